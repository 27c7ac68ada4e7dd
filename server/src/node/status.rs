//! What a running server tells of itself: `rmail status`.

use std::net::SocketAddr;

use rmail_proto::Now;
use serde::{Deserialize, Serialize};

use super::{ListenerKind, Node, SessionKind, admission::Served};
use crate::{config::Config, limits};

/// The state of a process.
#[derive(Debug, Deserialize, Serialize)]
pub struct Status {
    /// Its number.
    pub pid: u32,
    /// The version of its program.
    pub version: String,
    /// How long it runs.
    pub uptime_seconds: u64,
    /// When its certificate ends, in seconds since 1970.
    pub certificate_not_after: i64,
    /// Whether it is going down.
    pub is_stopping: bool,
    /// Its listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Its connections.
    pub sessions: SessionsStatus,
    /// What it does at the moment.
    pub work: WorkStatus,
    /// What the limiter of clients knows.
    pub rate_limit: RateLimitStatus,
    /// The limits in force.
    pub limits: LimitsStatus,
}

/// See [`Status`].
#[derive(Debug, Deserialize, Serialize)]
pub struct ListenerStatus {
    /// What is spoken there: the name of a [`ListenerKind`].
    pub name: String,
    /// Where.
    pub address: SocketAddr,
    /// `open`, `opening` or `closing`.
    pub state: String,
}

/// How many connections there are. See [`Status`].
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct SessionsStatus {
    /// SMTP, on all its ports.
    pub smtp: usize,
    /// IMAP, on both its ports.
    pub imap: usize,
    /// HTTP, on both its ports.
    pub http: usize,
    /// To other servers.
    pub outbound: usize,
    /// Of SMTP and IMAP, those that have logged in.
    pub logged_in: usize,
}

/// See [`Status`].
#[derive(Debug, Deserialize, Serialize)]
pub struct WorkStatus {
    /// Jobs that have a thread.
    pub jobs_running: usize,
    /// Jobs that wait for one.
    pub jobs_waiting: usize,
}

/// See [`Status`].
#[derive(Debug, Deserialize, Serialize)]
pub struct RateLimitStatus {
    /// Clients of which something is remembered.
    pub tracked: usize,
    /// Clients that are locked out of logging in.
    pub locked_out: usize,
}

/// See [`Status`]; sections and names are those of the configuration, times are in seconds.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LimitsStatus {
    /// Of SMTP.
    pub smtp: SmtpLimits,
    /// Of IMAP.
    pub imap: ConnectionLimits,
    /// Of the HTTP API.
    pub exchange_api: ConnectionLimits,
    /// Of each client.
    pub rate_limit: ClientLimits,
}

/// See [`LimitsStatus`].
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/configuration.md tells of each key")]
pub struct SmtpLimits {
    pub max_connections: usize,
    pub max_message_size: u64,
    pub max_recipients: u32,
    pub max_messages_per_connection: u32,
}

/// See [`LimitsStatus`].
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConnectionLimits {
    pub max_connections: usize,
}

/// See [`LimitsStatus`].
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/configuration.md tells of each key")]
pub struct ClientLimits {
    pub enabled: bool,
    pub connection_rate: u32,
    pub connection_period: u64,
    pub message_rate: u32,
    pub message_period: u64,
    pub recipient_rate: u32,
    pub recipient_period: u64,
    pub auth_failure_limit: u32,
    pub auth_failure_lockout: u64,
    pub max_concurrent_per_ip: usize,
    /// How many addresses and networks are in it.
    pub whitelist: usize,
    pub max_tracked_ips: usize,
    pub cleanup_interval: u64,
}

impl Node {
    /// What `rmail status` shows.
    pub fn status(&self, now: Now) -> Status {
        let listeners = self.listeners.states().map(|(spec, state)| ListenerStatus {
            name: spec.kind.name().to_owned(),
            address: spec.address,
            state: state.name().to_owned(),
        });
        let mut sessions = SessionsStatus::default();
        for entry in self.sessions.values().filter(|it| !it.is_leaving) {
            sessions.logged_in += usize::from(entry.login.is_some());
            *match entry.kind {
                SessionKind::Dialled => &mut sessions.outbound,
                SessionKind::Accepted(kind) => sessions.count_of(kind),
            } += 1;
        }
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: now.at.since(self.started_at).as_secs(),
            certificate_not_after: self.tls.not_after.0,
            is_stopping: self.stopping.is_some(),
            listeners: listeners.collect(),
            sessions,
            work: WorkStatus {
                jobs_running: self.jobs.running(),
                jobs_waiting: self.jobs.waiting(),
            },
            rate_limit: RateLimitStatus {
                tracked: self.rate_limiter.tracked(),
                locked_out: self.rate_limiter.locked_out(now.at),
            },
            limits: LimitsStatus::of(&self.config),
        }
    }
}

impl SessionsStatus {
    fn count_of(&mut self, kind: ListenerKind) -> &mut usize {
        match kind.served() {
            Served::Smtp => &mut self.smtp,
            Served::Imap => &mut self.imap,
            Served::Http => &mut self.http,
        }
    }
}

impl LimitsStatus {
    /// Those of a configuration.
    pub(crate) fn of(config: &Config) -> Self {
        let (smtp, clients) = (&config.smtp, &config.rate_limit);
        Self {
            smtp: SmtpLimits {
                max_connections: smtp.max_connections.get(),
                max_message_size: smtp.max_message_size.get(),
                max_recipients: smtp.max_recipients.get(),
                max_messages_per_connection: smtp.max_messages_per_connection.get(),
            },
            imap: ConnectionLimits {
                max_connections: config.imap.max_connections.get(),
            },
            exchange_api: ConnectionLimits {
                max_connections: limits::HTTP_CONNECTIONS,
            },
            rate_limit: ClientLimits {
                enabled: clients.enabled,
                connection_rate: clients.connection_rate.get(),
                connection_period: clients.connection_period.as_secs(),
                message_rate: clients.message_rate.get(),
                message_period: clients.message_period.as_secs(),
                recipient_rate: clients.recipient_rate.get(),
                recipient_period: clients.recipient_period.as_secs(),
                auth_failure_limit: clients.auth_failure_limit.get(),
                auth_failure_lockout: clients.auth_failure_lockout.as_secs(),
                max_concurrent_per_ip: clients.max_concurrent_per_ip.get(),
                whitelist: clients.whitelist.len(),
                max_tracked_ips: clients.max_tracked_ips.get(),
                cleanup_interval: clients.cleanup_interval.as_secs(),
            },
        }
    }
}
