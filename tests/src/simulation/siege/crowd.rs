//! Those who connect, and keep the server busy with next to nothing. They are cheap: no task each,
//! but one for all of a kind.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use rmail_proto::Entropy;
use rmail_server::node::ListenerKind;

use super::{
    super::scene::{HOST, Scene},
    HTTP_EACH_MAX, State, stranger,
};
use crate::{ServerIndex, StreamId, pipe::Read};

/// How often something is said, and whoever was sent away comes again.
const PAUSE: Duration = Duration::from_secs(5);

/// A connection on which so little comes is ended by then: a login takes no longer, nor a command.
const ENDED_WITHIN: Duration = Duration::from_secs(12 * 60);

/// Connections of a flood, each from another address.
const FLOOD: u16 = 2_500;

/// Connections of a flood at a time.
const FLOOD_AT_ONCE: u64 = 30;

/// Who comes to a listener.
pub(super) struct Crowd {
    pub(super) listener: ListenerKind,
    addresses: u16,
    /// Connections that each of them wants to have.
    each: usize,
    /// What is said at first, and then one byte after the other.
    first: &'static [u8],
    more: &'static [u8],
}

/// A ClientHello that does not come to its end.
const HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

const fn crowd(listener: ListenerKind, addresses: u16, each: usize) -> Crowd {
    let (first, more): (&[u8], &[u8]) = match listener {
        ListenerKind::Smtp | ListenerKind::Submission => (b"EHLO ", b"x"),
        ListenerKind::Imap => (b"a NOOP ", b"x"),
        ListenerKind::Http => (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"x"),
        ListenerKind::Smtps | ListenerKind::Imaps | ListenerKind::Https => (HELLO, b"\0"),
    };
    Crowd {
        listener,
        addresses,
        each,
        first,
        more,
    }
}

/// They leave a few of the places that are not bounded for each address.
pub(super) const CROWDS: [Crowd; 7] = [
    crowd(ListenerKind::Smtp, 3, 12),
    crowd(ListenerKind::Submission, 1, 12),
    crowd(ListenerKind::Smtps, 1, 12),
    crowd(ListenerKind::Imap, 2, 14),
    crowd(ListenerKind::Imaps, 2, 6),
    crowd(ListenerKind::Http, 24, 14),
    crowd(ListenerKind::Https, 12, 14),
];

/// A connection of a crowd.
struct Held {
    peer: IpAddr,
    since: rmail_proto::Instant,
}

impl Crowd {
    pub(super) async fn run(&self, scene: &Scene, state: &State) {
        let mut held: BTreeMap<StreamId, Held> = BTreeMap::new();
        while !state.is_over(scene) {
            scene.status(format!("holds {} connections", held.len()));
            self.come(scene, state, &mut held);
            scene.sleep(PAUSE).await;
            let before = held.len();
            held.retain(|stream, _| is_open(scene, *stream));
            let ended = (before - held.len()) as u64;
            state.count(|figures| figures.ended += ended);
            self.check(scene, &held);
            for stream in held.keys() {
                scene.world().person_sends(*stream, self.more);
            }
        }
        for stream in held.keys() {
            scene.world().person_leaves(*stream);
        }
    }

    /// Everybody opens as many as are missing.
    fn come(&self, scene: &Scene, state: &State, held: &mut BTreeMap<StreamId, Held>) {
        for number in 0..self.addresses {
            let peer = stranger(self.listener as u8, number);
            let has = held.values().filter(|held| held.peer == peer).count();
            for _ in has..self.each {
                let stream = connect(scene, peer, self.listener);
                let stream = stream.expect("some listener of a kind is always open");
                scene.world().person_sends(stream, self.first);
                let since = scene.at();
                held.insert(stream, Held { peer, since });
                state.count(|figures| figures.connections += 1);
            }
        }
    }

    /// Those that were too many have been sent away by now.
    fn check(&self, scene: &Scene, held: &BTreeMap<StreamId, Held>) {
        let oldest = held.values().map(|held| scene.at().since(held.since)).max();
        assert!(
            oldest.is_none_or(|oldest| oldest <= ENDED_WITHIN),
            "{} waits without end",
            self.listener.name()
        );
        if !matches!(self.listener, ListenerKind::Http | ListenerKind::Https) {
            return;
        }
        for number in 0..self.addresses {
            let peer = stranger(self.listener as u8, number);
            let count = held.values().filter(|held| held.peer == peer).count();
            assert!(count <= HTTP_EACH_MAX, "{peer} has {count} connections");
        }
    }
}

/// Once all guessers are locked out, somebody comes from thousands of addresses, once from each.
pub(super) async fn flood(scene: &Scene, mut entropy: Entropy, state: &State) {
    let is_time = |_: &Scene| (state.guessing.get() == 0).then_some(());
    scene.wait_for(is_time).await;
    let mut number = 0;
    while number < FLOOD && !state.is_over(scene) {
        scene.status(format!("has come from {number} addresses"));
        let count = 1 + entropy.next_below(FLOOD_AT_ONCE) as u16;
        let streams: Vec<StreamId> = (0..count)
            .filter_map(|_| {
                number += 1;
                connect(scene, stranger(100, number), ListenerKind::Smtp)
            })
            .collect();
        state.count(|figures| figures.connections += u64::from(count));
        for stream in &streams {
            scene
                .world()
                .person_sends(*stream, b"EHLO flood.example\r\nRSET\r\n");
        }
        scene.sleep(Duration::from_millis(500)).await;
        for stream in streams {
            scene.world().person_leaves(stream);
        }
        scene.sleep(Duration::from_millis(300)).await;
    }
}

fn connect(scene: &Scene, peer: IpAddr, listener: ListenerKind) -> Option<StreamId> {
    let peer = SocketAddr::new(peer, 40_000);
    scene
        .world()
        .connect_from(peer, HOST, ServerIndex(0), listener)
}

/// Whether the server has not ended it.
fn is_open(scene: &Scene, stream: StreamId) -> bool {
    loop {
        let read = scene.world().person_reads(stream);
        match read {
            Read::Bytes(_) => {}
            Read::Nothing => return true,
            Read::End | Read::Lost => {
                scene.world().person_leaves(stream);
                return false;
            }
        }
    }
}
