//! What an operator asks of the running server: `rmail reload` and `rmail status`.
//!
//! The commands send a datagram to the socket that takes hints, from a socket of their own in the
//! same folder, which only the server's user and root can reach; the answer goes there.
//!
//! | datagram | answer |
//! |---|---|
//! | `reload` | `reload` and a [`ReloadReport`], once it is known of each listener |
//! | `status` | `status` and a [`Status`](super::Status) |

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rmail_proto::{Now, UnixTime};
use serde::{Deserialize, Serialize};

use super::{Job, Node, NodeAction, admission};
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

impl ReloadReport {
    /// Takes away what does not fit into a datagram; all of it is in the log.
    fn shorten(&mut self) {
        let mut left = limits::RELOAD_REPORT_BYTES;
        for texts in [&mut self.faults, &mut self.warnings] {
            let count = texts.len();
            texts.retain(|text| {
                // A character may become an escape of six.
                let fits = left.checked_sub(6 * text.len());
                left = fits.unwrap_or(left);
                fits.is_some()
            });
            if texts.len() < count {
                texts.push(format!("{} more: see the log", count - texts.len()));
            }
        }
    }
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
        let bytes = format!("{command} {json}").into_bytes();
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
            .push_back(NodeAction::SetLog(config.log_level, config.log_format));
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
        report.shorten();
        for asker in std::mem::take(&mut self.reloads.askers) {
            self.answer_command(asker, RELOAD, &report);
        }
        if let Some(now) = self.reloads.again.take() {
            self.reloads.askers = std::mem::take(&mut self.reloads.next);
            self.begin_reload(now);
        }
    }
}
