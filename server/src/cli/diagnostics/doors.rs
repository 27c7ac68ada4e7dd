//! The listeners that the configuration asks for, and how they are reached from here.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use super::{report::Absence, trouble::Trouble};
use crate::{
    config::{Config, RateLimit},
    node::{self, ListenerKind, ListenerSpec},
    outside::client::{Client, Dialer},
    rate_limit::is_exempt,
};

/// Wrong passwords that are tried before a right one, at most; the right one takes them back.
const GUESSES_AT_ONCE: u32 = 1;

/// Listeners by what is tried with them together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Protocol {
    Smtp,
    Imap,
    Api,
}

/// A listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Door {
    pub(super) kind: ListenerKind,
    /// Where it is reached from this machine.
    pub(super) address: SocketAddr,
}

/// All listeners that are on, and which of them can be used.
#[derive(Debug, Default)]
pub(super) struct Doors {
    /// Each with what helps when it can't be used.
    known: Vec<(Door, Result<(), String>)>,
}

/// What clients of the server have in common.
pub(super) struct Tools {
    pub(super) dialer: Dialer,
    pub(super) rate_limit: RateLimit,
}

impl Protocol {
    /// Its listeners.
    pub(super) const fn kinds(self) -> &'static [ListenerKind] {
        match self {
            Self::Smtp => &[
                ListenerKind::Smtp,
                ListenerKind::Submission,
                ListenerKind::Smtps,
            ],
            Self::Imap => &[ListenerKind::Imap, ListenerKind::Imaps],
            Self::Api => &[ListenerKind::Http, ListenerKind::Https],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "SMTP",
            Self::Imap => "IMAP",
            Self::Api => "the HTTP API",
        }
    }
}

impl Door {
    /// One that is on for this protocol, whether it can be used or not.
    fn serves(&self, protocol: Protocol) -> bool {
        protocol.kinds().contains(&self.kind)
    }

    /// All of a configuration.
    pub(super) fn all(config: &Config) -> Vec<Self> {
        let specs = node::configured_listeners(config);
        let door = |ListenerSpec { kind, address }| Self {
            kind,
            address: reachable(address),
        };
        specs.into_iter().map(door).collect()
    }
}

impl fmt::Display for Door {
    /// `submission (127.0.0.1:587)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.kind.name(), self.address)
    }
}

/// Where something that listens there is reached: what listens everywhere, on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Doors {
    /// Notes whether a listener can be used; if not, what helps.
    pub(super) fn note(&mut self, door: Door, outcome: Result<(), String>) {
        self.known.push((door, outcome));
    }

    /// Those of a protocol that can be used: one at least.
    pub(super) fn open(&self, protocol: Protocol) -> Result<Vec<Door>, Absence> {
        let of_protocol = || self.known.iter().filter(|(door, _)| door.serves(protocol));
        let open = of_protocol().filter(|(_, outcome)| outcome.is_ok());
        let open: Vec<Door> = open.map(|(door, _)| *door).collect();
        if !open.is_empty() {
            return Ok(open);
        }
        let name = protocol.name();
        match of_protocol().find_map(|(_, outcome)| outcome.as_ref().err()) {
            Some(remedy) => Err(Absence::NotRun(format!(
                "no listener for {name} can be used (phase 4): {remedy}"
            ))),
            None => {
                let keys = protocol.kinds().iter().map(|kind| kind.port_key());
                let keys: Vec<&str> = keys.collect();
                Err(Absence::Disabled(format!("{} are 0", keys.join(", "))))
            }
        }
    }
}

impl Tools {
    /// Connects, and encrypts where TLS comes first.
    pub(super) fn connect(&self, door: &Door) -> Result<Client, Trouble> {
        let client = self.dialer.dial(door.address)?;
        if !door.kind.is_implicit_tls() {
            return Ok(client);
        }
        let from = client.local();
        client.start_tls().map_err(|error| {
            let is_cut = matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
            );
            let is_limited = door.kind == ListenerKind::Smtps && !is_exempt(&self.rate_limit, from);
            if is_cut && is_limited {
                // The limiter has nobody to tell before TLS.
                let said = "the connection is closed without a word, as it is done before TLS";
                return Trouble::Limited(from, said.to_owned());
            }
            error.into()
        })
    }

    /// Whether a wrong password may be tried there: it locks out nobody.
    pub(super) fn may_guess(&self, door: &Door) -> bool {
        is_exempt(&self.rate_limit, door.address.ip())
            || self.rate_limit.auth_failure_limit.get() > GUESSES_AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_on_loopback() {
        let reached = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reached("0.0.0.0:25"), "127.0.0.1:25");
        assert_eq!(reached("[::]:25"), "[::1]:25");
        assert_eq!(reached("192.0.2.1:25"), "192.0.2.1:25");
    }

    #[test]
    fn protocol_that_is_off_is_disabled_and_one_that_does_not_answer_is_not_run() {
        let config = r#"{"smtp": {"port": 0, "submission_port": 0, "smtps_port": 0}}"#;
        let (config, _) = Config::load(config, std::path::Path::new("/x")).unwrap();
        let mut doors = Doors::default();
        for door in Door::all(&config) {
            let outcome = match door.kind {
                ListenerKind::Https => Ok(()),
                _ => Err("start it".to_owned()),
            };
            doors.note(door, outcome);
        }
        let disabled = doors.open(Protocol::Smtp).unwrap_err();
        let keys = "smtp.port, smtp.submission_port, smtp.smtps_port are 0".to_owned();
        assert_eq!(disabled, Absence::Disabled(keys));
        let not_run = doors.open(Protocol::Imap).unwrap_err();
        assert!(matches!(not_run, Absence::NotRun(reason) if reason.ends_with(": start it")));
        assert_eq!(doors.open(Protocol::Api).unwrap().len(), 1);
    }
}
