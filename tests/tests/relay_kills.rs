//! A daemon that relays is killed again and again. What it acknowledged arrives, and nothing
//! arrives twice whose 250 it has heard and written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use rmail_proto::Entropy;
use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot},
    lines::Lines,
    sink::{Sink, SinkSetup, Taken},
};
use serde_json::json;

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Messages that are acknowledged in all.
const MESSAGES: usize = 5_000;

/// How often the daemon is killed meanwhile.
const KILLS: usize = 10;

/// Clients that send at the same time.
const CLIENTS: usize = 4;

/// Of so many messages the sink takes one whose 250 is lost on the way.
const HANGS_UP_AT: usize = 97;

/// Connections to the sink.
const CONNECTIONS: usize = 8;

/// 250s of one connection of which a kill can take the memory: the last one, and one that is being
/// written down while the next message goes out.
const UNWRITTEN_MAX: usize = 2;

#[test]
fn tokio_relays_all_that_it_acknowledged_through_kills() {
    relays_through_kills(Kind::Tokio);
}

#[test]
fn async_std_relays_all_that_it_acknowledged_through_kills() {
    relays_through_kills(Kind::AsyncStd);
}

fn relays_through_kills(kind: Kind) {
    let sink = Sink::start(SinkSetup {
        hangs_up_at: Some(HANGS_UP_AT),
        ..SinkSetup::default()
    });
    let mut daemon = MailRoot::new().start_with(
        kind,
        &json!({
            "smtp": { "max_messages_per_connection": 100_000 },
            "relay": {
                "smarthost": "127.0.0.1", "smarthost_port": sink.address().port(),
                "connections_per_destination": CONNECTIONS, "retry_delays": [1],
            },
        }),
    );
    daemon.add_user(ALICE, PASSWORD);
    let numbers = AtomicUsize::new(0);
    let mut entropy = Entropy::new(kind as u64);
    let mut acknowledged = BTreeSet::new();
    // The first connection of each life of the daemon.
    let mut lives = vec![0];
    while acknowledged.len() < MESSAGES {
        let share = 2 * MESSAGES / (KILLS + 1);
        let is_last = lives.len() > KILLS;
        let wanted = match is_last {
            true => MESSAGES - acknowledged.len(),
            false => 1 + entropy.next_below(share as u64) as usize,
        };
        let enough = (MESSAGES - acknowledged.len()).min(wanted);
        acknowledged.extend(send_until(&mut daemon, &numbers, enough, !is_last));
        if !is_last {
            lives.push(sink.connections());
            daemon.restart();
        }
    }
    let all_arrived = sink.wait_for(|taken| {
        let arrived: BTreeSet<usize> = taken
            .iter()
            .filter(|it| it.is_answered)
            .map(number)
            .collect();
        acknowledged.is_subset(&arrived).then_some(())
    });
    let taken = sink.taken();
    let arrived: BTreeSet<usize> = taken.iter().map(number).collect();
    let lost: Vec<_> = acknowledged.difference(&arrived).collect();
    assert!(all_arrived.is_some(), "lost: {lost:?}\n{}", daemon.log());
    assert_doubles_had_cause(&taken, &lives);
    daemon.finish();
}

/// Clients send until so many messages were acknowledged; then the daemon is killed, if it is to
/// be. All that were acknowledged.
fn send_until(
    daemon: &mut Daemon,
    numbers: &AtomicUsize,
    enough: usize,
    is_killed: bool,
) -> Vec<usize> {
    let (sender, receiver): (_, Receiver<usize>) = channel();
    let clients: Vec<Lines> = (0..CLIENTS)
        .map(|_| daemon.submission(ALICE, PASSWORD))
        .collect();
    thread::scope(|scope| {
        for client in clients {
            let sender = sender.clone();
            scope.spawn(move || submit(client, numbers, &sender));
        }
        drop(sender);
        let mut acknowledged: Vec<usize> = receiver.iter().take(enough).collect();
        assert_eq!(acknowledged.len(), enough, "clients gave up");
        if is_killed {
            daemon.kill();
            acknowledged.extend(receiver.iter());
        }
        // Those who have nobody to tell end.
        drop(receiver);
        acknowledged
    })
}

/// Sends messages until the connection is cut off, or nobody counts any more.
fn submit(mut client: Lines, numbers: &AtomicUsize, acknowledged: &Sender<usize>) {
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let text = format!("From: {ALICE}\r\nX-Number: {number}\r\n\r\nHi\r\n");
        let sent = client.deliver(ALICE, &["bob@example.net"], &text);
        if sent.is_err() || acknowledged.send(number).is_err() {
            return;
        }
    }
}

/// Asserts that what came more than once was not answered before, or came before a kill.
fn assert_doubles_had_cause(taken: &[Taken], lives: &[usize]) {
    let life = |taken: &Taken| lives.partition_point(|first| *first <= taken.connection);
    let mut arrivals: BTreeMap<usize, Vec<&Taken>> = BTreeMap::new();
    for one in taken {
        arrivals.entry(number(one)).or_default().push(one);
    }
    let mut unheard = 0;
    for (number, arrivals) in &arrivals {
        for pair in arrivals.windows(2).filter(|pair| pair[0].is_answered) {
            assert!(
                life(pair[0]) < life(pair[1]),
                "{number} was sent again by one that had heard its 250"
            );
            unheard += 1;
        }
    }
    let kills = lives.len() - 1;
    assert!(
        unheard <= kills * CONNECTIONS * UNWRITTEN_MAX,
        "{unheard} were sent again after {kills} kills"
    );
    println!("{kills} kills; {} arrived; {unheard} again", arrivals.len());
}

fn number(taken: &Taken) -> usize {
    let (_, number) = taken
        .content
        .split_once("X-Number: ")
        .expect("all have one");
    let (number, _) = number.split_once("\r\n").expect("a line has an end");
    number.parse().expect("it is a number")
}
