//! Who may connect: listeners, and how many connections each protocol takes.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU16,
    sync::Arc,
};

use bytes::Bytes;
use rmail_proto::{Now, imap, smtp};

use super::{Node, SessionEntry, SessionKind};
use crate::{
    config::Config,
    session::{Machine, Session, SessionId, TlsSide},
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
}

/// A listener to be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
        }
    }

    pub(super) const fn is_imap(self) -> bool {
        match self {
            Self::Imap | Self::Imaps => true,
            Self::Smtp | Self::Submission | Self::Smtps => false,
        }
    }

    const fn is_implicit_tls(self) -> bool {
        match self {
            Self::Smtps | Self::Imaps => true,
            Self::Smtp | Self::Submission | Self::Imap => false,
        }
    }
}

impl ListenerSpec {
    /// Why this listener can't be opened, and what helps, for the operator.
    pub fn describe_failure(&self, error: &std::io::Error) -> String {
        let remedy = match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need root or CAP_NET_BIND_SERVICE; \
                 `rmail quickstart` uses high ports"
            }
            std::io::ErrorKind::AddrInUse => {
                "another program has the port: stop it, or set another port"
            }
            std::io::ErrorKind::AddrNotAvailable => "no interface has this address: set the host",
            _ => "set another port or host",
        };
        format!(
            "cannot listen on {} for {} ({}): {error}\n  {remedy}",
            self.address,
            self.kind.name(),
            self.kind.port_key(),
        )
    }
}

impl Node {
    /// The listeners that the configuration asks for.
    pub fn listeners(&self) -> Vec<ListenerSpec> {
        listeners(&self.config)
    }

    /// Somebody has connected.
    pub fn handle_connection(
        &mut self,
        now: Now,
        kind: ListenerKind,
        peer: SocketAddr,
    ) -> Admission {
        let same_protocol = |entry: &&SessionEntry| match entry.kind {
            SessionKind::Accepted(other) => other.is_imap() == kind.is_imap(),
            SessionKind::Dialled => false,
        };
        let connections = self.sessions.values().filter(same_protocol).count();
        let connections_max = match kind.is_imap() {
            true => self.config.imap.max_connections,
            false => self.config.smtp.max_connections,
        };
        if self.stopping.is_some() || connections >= connections_max.get() {
            let (peer, listener) = (peer.ip(), kind.name());
            tracing::info!(%peer, listener, "connection refused: too many");
            return Admission::Refused(refusal(kind, self.config.hostname.as_str()));
        }
        self.sessions_begun += 1;
        let id = SessionId(self.sessions_begun);
        let entry = SessionEntry {
            kind: SessionKind::Accepted(kind),
            login: None,
            selected: None,
        };
        self.sessions.insert(id, entry);
        tracing::debug!(session = id.0, peer = %peer.ip(), listener = kind.name(), "connected");
        let machine = self.machine(now, kind, peer.ip());
        let tls = Some(TlsSide::Server(Arc::clone(&self.tls.config)));
        let session = Session::new(id, machine, tls, kind.is_implicit_tls(), now);
        Admission::Admitted(Box::new(session))
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
        }
    }

    fn smtp_config(&self, kind: ListenerKind, peer: IpAddr, seed: u64) -> smtp::Config {
        let smtp = &self.config.smtp;
        smtp::Config {
            hostname: self.config.hostname.clone(),
            listener: match kind {
                ListenerKind::Submission => smtp::Listener::Submission,
                ListenerKind::Smtps => smtp::Listener::ImplicitTlsSubmission,
                ListenerKind::Smtp | ListenerKind::Imap | ListenerKind::Imaps => {
                    smtp::Listener::Inbound
                }
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

/// What one connection too many hears. With implicit TLS it hears nothing.
fn refusal(kind: ListenerKind, hostname: &str) -> Bytes {
    if kind.is_implicit_tls() {
        Bytes::new()
    } else if kind.is_imap() {
        Bytes::from_static(b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n")
    } else {
        let reply = format!("421 4.7.0 {hostname} Too many connections, try again later\r\n");
        Bytes::from(reply)
    }
}

/// The listeners that a configuration asks for.
pub(super) fn listeners(config: &Config) -> Vec<ListenerSpec> {
    let (smtp, imap) = (&config.smtp, &config.imap);
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
    ];
    specs.into_iter().flatten().collect()
}
