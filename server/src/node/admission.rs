//! Who may connect: listeners, and how many connections each protocol takes.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rmail_proto::{Now, http, imap, smtp};

use super::{Node, SessionEntry, SessionKind};
use crate::{
    api::exchange::Origin,
    config::Config,
    limits,
    rate_limit::TooManyConnections,
    session::{Machine, Session, SessionEvent, SessionId, TlsSide},
};

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ListenerKind {
    /// SMTP from other servers (port 25).
    Smtp,
    /// Submission (port 587).
    Submission,
    /// Submission over implicit TLS (port 465).
    Smtps,
    /// IMAP (port 143).
    Imap,
    /// IMAP over implicit TLS (port 993).
    Imaps,
    /// The HTTP API.
    Http,
    /// The HTTP API over implicit TLS.
    Https,
}

/// A listener to be opened.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ListenerSpec {
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Where.
    pub address: SocketAddr,
}

/// What becomes of a connection.
#[derive(Debug)]
pub enum Admission {
    /// Drive this session.
    Admitted(Box<Session>),
    /// Send this and close.
    Refused(Bytes),
}

impl ListenerKind {
    /// For logs and error messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Smtps => "smtps",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The configuration key of its port.
    pub const fn port_key(self) -> &'static str {
        match self {
            Self::Smtp => "smtp.port",
            Self::Submission => "smtp.submission_port",
            Self::Smtps => "smtp.smtps_port",
            Self::Imap => "imap.port",
            Self::Imaps => "imap.imaps_port",
            Self::Http => "exchange_api.port",
            Self::Https => "exchange_api.secure_port",
        }
    }

    pub(super) const fn is_imap(self) -> bool {
        match self.served() {
            Served::Imap => true,
            Served::Smtp | Served::Http => false,
        }
    }

    pub(super) const fn served(self) -> Served {
        match self {
            Self::Smtp | Self::Submission | Self::Smtps => Served::Smtp,
            Self::Imap | Self::Imaps => Served::Imap,
            Self::Http | Self::Https => Served::Http,
        }
    }

    /// Whether TLS comes before anything else.
    pub const fn is_implicit_tls(self) -> bool {
        match self {
            Self::Smtps | Self::Imaps | Self::Https => true,
            Self::Smtp | Self::Submission | Self::Imap | Self::Http => false,
        }
    }
}

/// The protocols whose connections are counted together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Served {
    Smtp,
    Imap,
    Http,
}

impl Node {
    /// Somebody at `peer` has connected to our address `local`.
    pub fn handle_connection(
        &mut self,
        now: Now,
        kind: ListenerKind,
        peer: SocketAddr,
        local: IpAddr,
    ) -> Admission {
        let is_full = self.is_full(kind, peer.ip());
        let useless = match is_full {
            true => self.most_useless(now, kind),
            false => None,
        };
        let is_refused = self.stopping.is_some() || is_full && useless.is_none();
        let refused = match is_refused {
            true => Err("Too many connections, try again later"),
            false => self.check_rate(now, kind, peer.ip()),
        };
        if let Err(reason) = refused {
            let (peer, listener) = (peer.ip(), kind.name());
            tracing::info!(%peer, listener, reason, "connection refused");
            let hostname = self.config.hostname.as_str();
            return Admission::Refused(refusal(kind, hostname, reason));
        }
        if let Some(useless) = useless {
            self.make_room(useless);
        }
        self.sessions_begun += 1;
        let id = SessionId(self.sessions_begun);
        let entry = SessionEntry::new(now, SessionKind::Accepted(kind), Some(peer.ip()));
        self.sessions.insert(id, entry);
        if kind.served() == Served::Http {
            let origin = Origin {
                session: id,
                peer: peer.ip().to_canonical(),
                local,
                is_tls: kind.is_implicit_tls(),
            };
            self.begin_http(id, origin);
        }
        tracing::debug!(session = id.0, peer = %peer.ip(), listener = kind.name(), "connected");
        let machine = self.machine(now, kind, peer.ip());
        let tls = match kind {
            ListenerKind::Smtp => &self.inbound_tls,
            ListenerKind::Submission
            | ListenerKind::Smtps
            | ListenerKind::Imap
            | ListenerKind::Imaps
            | ListenerKind::Http
            | ListenerKind::Https => &self.tls.config,
        };
        let tls = Some(TlsSide::Server(Arc::clone(tls)));
        let session = Session::new(id, machine, tls, kind.is_implicit_tls(), now);
        Admission::Admitted(Box::new(session))
    }

    /// Counts a connection of SMTP's, and says why there is one too many.
    fn check_rate(
        &mut self,
        now: Now,
        kind: ListenerKind,
        peer: IpAddr,
    ) -> Result<(), &'static str> {
        match kind.served() {
            Served::Smtp => {}
            Served::Imap | Served::Http => return Ok(()),
        }
        let limits = &self.config.rate_limit;
        let admitted = self.rate_limiter.admit(now.at, limits, peer);
        admitted.map_err(|too_many| match too_many {
            TooManyConnections::AtOnce => "Too many connections from you at a time",
            TooManyConnections::Lately => "Too many connections from you lately, try again later",
        })
    }

    /// A connection is over: its place is free.
    pub(super) fn release_connection(&mut self, entry: &SessionEntry) {
        if let (SessionKind::Accepted(kind), Some(peer)) = (entry.kind, entry.peer)
            && kind.served() == Served::Smtp
        {
            self.rate_limiter.release(peer);
        }
    }

    /// Whether one more connection is one too many.
    fn is_full(&self, kind: ListenerKind, peer: IpAddr) -> bool {
        let counts = |entry: &&SessionEntry| entry.is_served(kind.served()) && !entry.is_leaving;
        let connections = self.sessions.values().filter(counts).count();
        match kind.served() {
            Served::Smtp => connections >= self.config.smtp.max_connections.get(),
            Served::Imap => connections >= self.config.imap.max_connections.get(),
            Served::Http => {
                let mut whitelist = self.config.rate_limit.whitelist.iter();
                let each_max = self.config.exchange_api.limits.connections_per_ip.get();
                connections >= limits::HTTP_CONNECTIONS
                    || !whitelist.any(|network| network.contains(peer))
                        && self.http_connections_of(peer.to_canonical()) >= each_max
            }
        }
    }

    /// The connection that has been of no use for longest. So whoever takes all the places with
    /// connections on which nothing happens keeps nobody out.
    fn most_useless(&self, now: Now, kind: ListenerKind) -> Option<SessionId> {
        let served = kind.served();
        let is_useless = |entry: &SessionEntry| {
            let patience = entry.patience();
            entry.is_served(served)
                && !entry.is_leaving
                && entry.login.is_none()
                && patience.is_some_and(|time| entry.active_at + time <= now.at)
        };
        let sessions = self.sessions.iter();
        let useless = sessions.filter(|(_, entry)| is_useless(entry));
        let longest = useless.min_by_key(|(_, entry)| entry.active_at);
        longest.map(|(session, _)| *session)
    }

    /// Gives the place of a connection to another.
    fn make_room(&mut self, useless: SessionId) {
        if let Some(entry) = self.sessions.get_mut(&useless) {
            entry.is_leaving = true;
        }
        tracing::info!(
            session = useless.0,
            "ended: nothing happens, and its place is needed"
        );
        self.notify(useless, SessionEvent::Abort);
    }

    fn machine(&mut self, now: Now, kind: ListenerKind, peer: IpAddr) -> Machine {
        let seed = self.entropy.next_u64();
        match kind {
            ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => {
                let config = self.smtp_config(kind, peer, seed);
                Machine::Smtp(Box::new(smtp::Server::new(config, now)))
            }
            ListenerKind::Imap | ListenerKind::Imaps => {
                let config = imap::Config {
                    hostname: self.config.hostname.clone(),
                    peer,
                    tls: match kind.is_implicit_tls() {
                        true => imap::Tls::Implicit,
                        false => imap::Tls::Offered,
                    },
                    message_bytes_max: self.config.smtp.max_message_size.get(),
                    seed,
                };
                Machine::Imap(Box::new(imap::Server::new(config, now)))
            }
            ListenerKind::Http | ListenerKind::Https => {
                let config = self.api.machine_config(kind.is_implicit_tls(), seed);
                Machine::Http(Box::new(http::Server::new(config, now)))
            }
        }
    }

    fn smtp_config(&self, kind: ListenerKind, peer: IpAddr, seed: u64) -> smtp::Config {
        let smtp = &self.config.smtp;
        smtp::Config {
            hostname: self.config.hostname.clone(),
            listener: match kind {
                ListenerKind::Submission => smtp::Listener::Submission,
                ListenerKind::Smtps => smtp::Listener::ImplicitTlsSubmission,
                ListenerKind::Smtp
                | ListenerKind::Imap
                | ListenerKind::Imaps
                | ListenerKind::Http
                | ListenerKind::Https => smtp::Listener::Inbound,
            },
            peer,
            tls: match kind.is_implicit_tls() {
                true => smtp::Tls::Implicit,
                false => smtp::Tls::Offered,
            },
            message_bytes_max: smtp.max_message_size.get(),
            recipients_max: smtp.max_recipients.get(),
            messages_max: smtp.max_messages_per_connection.get(),
            seed,
        }
    }
}

impl SessionEntry {
    fn is_served(&self, served: Served) -> bool {
        match self.kind {
            SessionKind::Accepted(kind) => kind.served() == served,
            SessionKind::Dialled => false,
        }
    }

    /// How long nothing may happen on it where its place is needed. HTTP has its own bounds.
    fn patience(&self) -> Option<Duration> {
        match self.kind {
            SessionKind::Accepted(kind) => match kind {
                ListenerKind::Smtp => Some(limits::IDLE_WHEN_FULL),
                ListenerKind::Submission
                | ListenerKind::Smtps
                | ListenerKind::Imap
                | ListenerKind::Imaps => Some(limits::LOGIN_WHEN_FULL),
                ListenerKind::Http | ListenerKind::Https => None,
            },
            SessionKind::Dialled => None,
        }
    }
}

/// What one connection too many hears. With implicit TLS it hears nothing.
fn refusal(kind: ListenerKind, hostname: &str, reason: &str) -> Bytes {
    if kind.is_implicit_tls() {
        return Bytes::new();
    }
    match kind.served() {
        Served::Smtp => Bytes::from(format!("421 4.7.0 {hostname} {reason}\r\n")),
        Served::Imap => Bytes::from(format!("* BYE [UNAVAILABLE] {reason}\r\n")),
        Served::Http => Bytes::from_static(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
              Content-Length: 0\r\n\r\n",
        ),
    }
}

/// The listeners that a configuration asks for.
pub(crate) fn listeners(config: &Config) -> Vec<ListenerSpec> {
    let (smtp, imap, api) = (&config.smtp, &config.imap, &config.exchange_api);
    let spec = |kind, host: IpAddr, port: Option<NonZeroU16>| {
        port.map(|port| ListenerSpec {
            kind,
            address: SocketAddr::new(host, port.get()),
        })
    };
    let specs = [
        spec(ListenerKind::Smtp, smtp.host, smtp.port),
        spec(ListenerKind::Submission, smtp.host, smtp.submission_port),
        spec(ListenerKind::Smtps, smtp.host, smtp.smtps_port),
        spec(ListenerKind::Imap, imap.host, imap.port),
        spec(ListenerKind::Imaps, imap.host, imap.imaps_port),
        spec(ListenerKind::Http, api.host, api.port),
        spec(ListenerKind::Https, api.host, api.secure_port),
    ];
    specs.into_iter().flatten().collect()
}
