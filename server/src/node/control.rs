//! What an operator asks of the running server: `rmail reload` and `rmail status`.
//!
//! The commands send a datagram to the socket that takes hints, from a socket of their own in the
//! same folder, which only the server's user and root can reach; the answer goes there.
//!
//! | datagram | answer |
//! |---|---|
//! | `reload` | `reload` and a [`ReloadReport`], once it is known of each listener |
//! | `status` | `status` and a [`Status`] |

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use rmail_proto::{Now, UnixTime};
use serde::{Deserialize, Serialize};

use super::{
    Job, ListenerKind, Node, NodeAction, SessionKind,
    admission::{self, Served},
};
use crate::{config::Config, limits, outside::configuration::Reread};

/// Asks for a reload.
pub const RELOAD: &str = "reload";
/// Asks for the state.
pub const STATUS: &str = "status";

/// What became of a reload.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct ReloadReport {
    /// Which process it was.
    pub pid: u32,
    /// Why the configuration changes nothing; empty when it holds now.
    pub faults: Vec<String>,
    /// What the operator should know besides.
    pub warnings: Vec<String>,
}

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
    /// What is spoken there: the name of a [`ListenerKind`](super::ListenerKind).
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

/// See [`Status`]; the names are those of the configuration.
#[derive(Debug, Deserialize, Serialize)]
pub struct LimitsStatus {
    pub smtp_max_connections: usize,
    pub imap_max_connections: usize,
    pub http_max_connections: usize,
    pub smtp_max_message_size: u64,
    pub smtp_max_recipients: u32,
    pub rate_limit_enabled: bool,
    pub rate_limit_connection_rate: u32,
    pub rate_limit_message_rate: u32,
    pub rate_limit_recipient_rate: u32,
    pub rate_limit_max_concurrent_per_ip: usize,
    pub rate_limit_auth_failure_limit: u32,
    pub rate_limit_whitelist: Vec<String>,
}

/// Reloads that are asked for or at work. One at a time.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    step: Step,
    /// What became of the one at work so far.
    report: ReloadReport,
    /// Who wants to know.
    askers: Vec<PathBuf>,
    /// Who has asked since, and when the last one did: the file is read again for them.
    next: Vec<PathBuf>,
    again: Option<UnixTime>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Step {
    #[default]
    Idle,
    /// The file is being read.
    Reading,
    /// Listeners are being opened.
    Listening,
}

impl Node {
    /// SIGHUP: what the file says now holds from now on. Listeners whose address stays are not
    /// touched, and sessions go on. A faulty file changes nothing.
    pub fn handle_reload(&mut self, now: Now) {
        match self.reloads.step {
            Step::Idle => self.begin_reload(now.unix),
            Step::Reading | Step::Listening => self.reloads.again = Some(now.unix),
        }
    }

    fn begin_reload(&mut self, now: UnixTime) {
        self.reloads.step = Step::Reading;
        self.run(Job::Reload {
            running: Arc::clone(&self.config),
            now,
        });
    }

    /// A command, from somebody whose socket this is.
    pub(super) fn handle_command(&mut self, now: Now, from: &Path, bytes: &[u8]) {
        if bytes == RELOAD.as_bytes() {
            match self.reloads.step {
                Step::Idle => self.reloads.askers.push(from.to_owned()),
                Step::Reading | Step::Listening => self.reloads.next.push(from.to_owned()),
            }
            tracing::info!("a reload is asked for");
            self.handle_reload(now);
        } else if bytes == STATUS.as_bytes() {
            let status = self.status(now);
            self.answer_command(from.to_owned(), STATUS, &status);
        }
    }

    fn answer_command(&mut self, to: PathBuf, command: &str, answer: &impl Serialize) {
        let json = serde_json::to_string(answer).expect("texts and numbers are JSON");
        let mut text = format!("{command} {json}");
        if text.len() > limits::COMMAND_ANSWER_BYTES {
            let report = ReloadReport {
                pid: std::process::id(),
                faults: vec!["there is more to say than fits: see the log".to_owned()],
                warnings: Vec::new(),
            };
            let json = serde_json::to_string(&report).expect("texts are JSON");
            text = format!("{command} {json}");
        }
        let bytes = text.into_bytes();
        self.actions
            .push_back(NodeAction::SendDatagram { to, bytes });
    }

    pub(super) fn handle_reloaded(&mut self, outcome: Result<Box<Reread>, Vec<String>>) {
        self.reloads.step = Step::Listening;
        match outcome {
            Ok(reread) => {
                tracing::info!("configuration read again");
                for warning in reread.warnings {
                    tracing::warn!("{warning}");
                    self.reloads.report.warnings.push(warning);
                }
                self.inbound_tls = reread.tls.without_tickets();
                self.tls = Arc::new(reread.tls);
                self.use_config(Arc::from(reread.config));
            }
            Err(faults) => {
                for fault in &faults {
                    tracing::error!("the configuration is faulty and changes nothing: {fault}");
                }
                self.reloads.report.faults = faults;
            }
        }
        self.answer_reloads();
    }

    fn use_config(&mut self, config: Arc<Config>) {
        self.actions
            .push_back(NodeAction::SetLogLevel(config.log_level));
        self.directory.forget();
        self.config = config;
        self.api = Arc::new(self.api.with_config(Arc::clone(&self.config)));
        self.reconfigure_lookups();
        if self.stopping.is_none() {
            self.want_listeners(admission::listeners(&self.config));
        }
    }

    /// Something that whoever asked for the reload should know.
    pub(super) fn note_reload(&mut self, warning: String) {
        if self.reloads.step == Step::Listening {
            self.reloads.report.warnings.push(warning);
        }
    }

    /// Tells what became of the reload, once that is known.
    pub(super) fn answer_reloads(&mut self) {
        if self.reloads.step != Step::Listening || !self.listeners.are_settled() {
            return;
        }
        self.reloads.step = Step::Idle;
        let mut report = std::mem::take(&mut self.reloads.report);
        report.pid = std::process::id();
        for asker in std::mem::take(&mut self.reloads.askers) {
            self.answer_command(asker, RELOAD, &report);
        }
        if let Some(now) = self.reloads.again.take() {
            self.reloads.askers = std::mem::take(&mut self.reloads.next);
            self.begin_reload(now);
        }
    }

    /// What `rmail status` tells.
    pub fn status(&self, now: Now) -> Status {
        let listeners = self.listeners.states().map(|(spec, state)| ListenerStatus {
            name: spec.kind.name().to_owned(),
            address: spec.address,
            state: state.name().to_owned(),
        });
        let mut sessions = SessionsStatus::default();
        for entry in self.sessions.values() {
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
                jobs_running: self.jobs.running + self.jobs.hashes_running,
                jobs_waiting: self.jobs.waiting.len() + self.jobs.hashes_waiting.len(),
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
    fn of(config: &Config) -> Self {
        let clients = &config.rate_limit;
        Self {
            smtp_max_connections: config.smtp.max_connections.get(),
            imap_max_connections: config.imap.max_connections.get(),
            http_max_connections: limits::HTTP_CONNECTIONS,
            smtp_max_message_size: config.smtp.max_message_size.get(),
            smtp_max_recipients: config.smtp.max_recipients.get(),
            rate_limit_enabled: clients.enabled,
            rate_limit_connection_rate: clients.connection_rate.get(),
            rate_limit_message_rate: clients.message_rate.get(),
            rate_limit_recipient_rate: clients.recipient_rate.get(),
            rate_limit_max_concurrent_per_ip: clients.max_concurrent_per_ip.get(),
            rate_limit_auth_failure_limit: clients.auth_failure_limit.get(),
            rate_limit_whitelist: clients.whitelist.iter().map(ToString::to_string).collect(),
        }
    }
}
