//! The open network: crowds that connect and say next to nothing, floods, guessers of passwords,
//! and an operator who changes the configuration in the middle of it all.
//!
//! * Crowds come to each listener: connections of a protocol, and by HTTP those of one address,
//!   stay within their bounds, and each is ended in time.
//! * A flood comes from thousands of addresses: no more clients are remembered than
//!   `max_tracked_ips`.
//! * Guessers come by SMTP, IMAP and HTTP in turn: failures count together; while a lockout lasts
//!   the right password is refused everywhere, whoever else comes; then it is taken.
//! * The operator: what the file says holds; a faulty one changes nothing.
//! * Honest clients are served all the while, and what was acknowledged is there.
//! * Afterwards nobody is remembered any more.

mod crowd;
mod guesser;
mod operator;
mod watch;

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::Duration,
};

use rmail_proto::{Entropy, Instant};
use rmail_server::node::ListenerKind;
use serde_json::{Value, json};

use self::{crowd::Crowd, guesser::Guesser, operator::Operator};
use super::scene::{Cast, Scene};
use crate::AccountSetup;

/// `rate_limit.max_tracked_ips`
const TRACKED_MAX: usize = 300;

/// `rate_limit.auth_failure_limit`
const FAILURES_MAX: u32 = 5;

/// `rate_limit.auth_failure_lockout`
const LOCKOUT: Duration = Duration::from_secs(600);

/// `exchange_api.limits.connections_per_ip`
const HTTP_EACH_MAX: usize = 10;

/// `rate_limit.cleanup_interval`, and the longest of the periods.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60 + 60 + 5);

/// How many guess passwords.
const GUESSERS: u8 = 8;

/// What came of it, in numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SiegeFigures {
    /// Connections that attackers tried to open.
    pub connections: u64,
    /// Those that were ended by the server.
    pub ended: u64,
    /// Clients that were locked out.
    pub lockouts: u64,
    /// Right passwords that were refused for that, by SMTP, IMAP and HTTP.
    pub kept_out: [u64; 3],
    /// Configurations that came into force.
    pub reloads: u64,
    /// Faulty ones, that did not.
    pub faulty_reloads: u64,
    /// How often an honest stranger was served.
    pub served: u64,
    /// How long one of them waited for that, at most.
    pub longest_wait: Duration,
    /// Most clients that were remembered at a time.
    pub tracked_max: usize,
    /// Most connections at a time: SMTP, IMAP, HTTP.
    pub connections_max: [usize; 3],
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Siege {
    pub(super) duration: Duration,
    /// Whom everybody wants to be.
    pub(super) victim: AccountSetup,
}

/// What its people share.
pub(super) struct State {
    until: Instant,
    figures: RefCell<SiegeFigures>,
    /// Guessers that are not locked out yet: the flood, which makes the server forget clients,
    /// comes after them.
    guessing: Cell<u8>,
    /// People who are not done.
    busy: Cell<u32>,
}

impl Siege {
    /// What the server is to have in its configuration.
    pub(super) fn config() -> Value {
        json!({
            "smtp": { "max_connections": operator::CONNECTIONS_MAX },
            "imap": { "max_connections": operator::CONNECTIONS_MAX },
            "rate_limit": {
                "connection_rate": 30,
                "max_concurrent_per_ip": 8,
                "max_tracked_ips": TRACKED_MAX,
                "auth_failure_limit": FAILURES_MAX,
                "auth_failure_lockout": LOCKOUT.as_secs(),
                "cleanup_interval": 60,
            },
            "exchange_api": { "limits": { "connections_per_ip": HTTP_EACH_MAX } },
        })
    }

    /// Everybody begins. The figures are complete when they are done.
    pub(super) fn populate(&self, cast: &mut Cast, scene: &Scene, entropy: &mut Entropy) {
        let state = Rc::new(State {
            until: scene.at() + self.duration,
            figures: RefCell::default(),
            guessing: Cell::new(GUESSERS),
            busy: Cell::new(0),
        });
        let mut add = |name: String, work: Work| {
            let (scene, state) = (scene.clone(), Rc::clone(&state));
            state.busy.set(state.busy.get() + 1);
            let chance = Entropy::new(entropy.next_u64());
            cast.add(name, async move {
                work.run(&scene, chance, &state).await;
                state.busy.set(state.busy.get() - 1);
                scene.status("is done");
            });
        };
        for crowd in crowd::CROWDS {
            add(
                format!("crowd at {}", crowd.listener.name()),
                Work::Crowd(crowd),
            );
        }
        add("flood".to_owned(), Work::Flood);
        for number in 0..GUESSERS {
            let victim = self.victim.clone();
            let guesser = Guesser { number, victim };
            add(format!("guesser {number}"), Work::Guesser(guesser));
        }
        add("operator".to_owned(), Work::Operator);
        add("bounds".to_owned(), Work::Bounds);
        add("stranger".to_owned(), Work::Stranger(self.victim.clone()));
        add("resident".to_owned(), Work::Resident(self.victim.clone()));
        cast.add("peace".to_owned(), watch::peace(scene.clone(), state));
    }
}

/// What somebody is about.
enum Work {
    Crowd(Crowd),
    Flood,
    Guesser(Guesser),
    Operator,
    Bounds,
    Stranger(AccountSetup),
    Resident(AccountSetup),
}

impl Work {
    async fn run(self, scene: &Scene, entropy: Entropy, state: &State) {
        match self {
            Self::Crowd(crowd) => crowd.run(scene, state).await,
            Self::Flood => crowd::flood(scene, entropy, state).await,
            Self::Guesser(guesser) => guesser.run(scene, entropy, state).await,
            Self::Operator => Operator::new().run(scene, entropy, state).await,
            Self::Bounds => watch::bounds(scene, state).await,
            Self::Stranger(victim) => watch::stranger(scene, state, &victim).await,
            Self::Resident(victim) => watch::resident(scene, state, &victim).await,
        }
    }
}

impl State {
    fn is_over(&self, scene: &Scene) -> bool {
        scene.at() >= self.until
    }

    fn count(&self, change: impl FnOnce(&mut SiegeFigures)) {
        change(&mut self.figures.borrow_mut());
    }
}

/// An address of a stranger: nobody is on the whitelist from there.
fn stranger(network: u8, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(203, network, high, low))
}

/// A listener of each protocol, with TLS from the start.
const PROTOCOLS: [ListenerKind; 3] = [
    ListenerKind::Smtps,
    ListenerKind::Imaps,
    ListenerKind::Https,
];
