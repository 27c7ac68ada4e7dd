//! Other processes and shutdown.

use std::path::PathBuf;

use rmail_proto::{AccountId, Instant, Now};
use rmail_store::{PeerNews, StoreError};

use super::{Done, Job, Node, NodeAction, NodeTimer, SessionKind, directory::Lookup};
use crate::{
    limits,
    session::{SessionEvent, SessionId},
};

/// The other processes on the same `mail_root`.
#[derive(Debug, Default)]
pub(super) struct Peers {
    sockets: Vec<PathBuf>,
    look: Look,
}

/// Whether the other processes, or all subscriptions, are being looked at.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Look {
    #[default]
    Idle,
    Begun,
    /// Something came since: they are looked at again afterwards.
    BegunAndStale,
}

/// The server is going down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stopping {
    /// Sessions come to their end; deliveries go on.
    Grace,
    /// What runs is finished, nothing more is begun: what waits is in the spool.
    Finishing,
    /// The driver knows.
    Stopped,
}

/// What one process tells another: where to look. Losing one is harmless.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hint {
    /// The mail of an account has changed.
    Account(AccountId),
    /// An account was made, changed or deleted.
    Directory,
    /// Something in the queue is due.
    Queue,
    /// A subscription was made, changed or dropped.
    Subscriptions,
}

impl Hint {
    /// As it is sent.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Account(account) => format!("account {}", account.0).into_bytes(),
            Self::Directory => b"directory".to_vec(),
            Self::Queue => b"queue".to_vec(),
            Self::Subscriptions => b"subscriptions".to_vec(),
        }
    }

    /// `None` when it is none.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        match text.split_once(' ') {
            Some(("account", id)) => Some(Self::Account(AccountId(id.parse().ok()?))),
            None if text == "directory" => Some(Self::Directory),
            None if text == "queue" => Some(Self::Queue),
            None if text == "subscriptions" => Some(Self::Subscriptions),
            Some(_) | None => None,
        }
    }
}

impl Node {
    pub(super) fn send_hint(&mut self, hint: &Hint) {
        for socket in &self.peers.sockets {
            self.actions.push_back(NodeAction::SendDatagram {
                to: socket.clone(),
                bytes: hint.to_bytes(),
            });
        }
    }

    pub(super) fn handle_hint(&mut self, now: Now, bytes: &[u8]) {
        match Hint::from_bytes(bytes) {
            Some(Hint::Account(account)) => {
                self.refresh_all(Some(account));
                self.mark_changed(now, account);
            }
            Some(Hint::Subscriptions) => self.load_subscriptions(now),
            Some(Hint::Directory) => {
                self.directory.forget();
                self.look_at_peers(now);
            }
            Some(Hint::Queue) => {
                self.claim_spooled(now);
                self.claim_remote(now);
            }
            None => {}
        }
    }

    /// The time to look at the other processes has come.
    pub(super) fn handle_peers_timer(&mut self, now: Now) {
        self.look_at_peers(now);
        self.set_timer(now.at + limits::PEERS_INTERVAL, NodeTimer::Peers);
    }

    /// SIGTERM or SIGINT: no new connections; sessions end at their next boundary; what runs is
    /// finished.
    pub fn handle_stop(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        tracing::info!(sessions = self.sessions.len(), "stopping");
        self.stopping = Some(Stopping::Grace);
        self.want_listeners(Vec::new());
        let grace_until = now.at + limits::STOP_GRACE;
        self.set_timer(grace_until, NodeTimer::Grace);
        self.tell_all(grace_until, now.at + limits::STOP_GRACE_OUTBOUND);
        self.conclude_all_decided(now);
        self.check_stopped(now);
    }

    pub(super) fn end_grace(&mut self) {
        if let Some(stopping @ Stopping::Grace) = &mut self.stopping {
            *stopping = Stopping::Finishing;
        }
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for session in sessions {
            self.notify(session, SessionEvent::Abort);
        }
    }

    pub(super) fn check_stopped(&mut self, _now: Now) {
        let Some(stopping @ (Stopping::Grace | Stopping::Finishing)) = &mut self.stopping else {
            return;
        };
        let is_idle = self.sessions.is_empty()
            && self.account_writes.is_empty()
            && self.spool_writes.is_idle()
            && self.delivery.is_idle()
            && self.outbound.is_idle()
            && self.jobs.running() == 0;
        if is_idle {
            *stopping = Stopping::Stopped;
            tracing::info!("stopped");
            self.actions.push_back(NodeAction::Stopped);
        }
    }

    /// Brings home what a job did.
    pub(super) fn handle_done(&mut self, now: Now, done: Done) {
        match done {
            Done::Authenticated {
                asker,
                protocol,
                address,
                outcome,
                password,
                directory,
            } => self.handle_authenticated(
                now,
                (asker, protocol),
                address.as_ref(),
                outcome,
                &password,
                directory,
            ),
            Done::LoginsChecked(outcome) => self.handle_logins_checked(now, outcome),
            Done::RecipientFound {
                lookup,
                address,
                outcome,
                directory,
            } => {
                if let Ok(found) = &outcome {
                    self.directory.remember_found(directory, address, found);
                }
                match lookup {
                    Lookup::Recipient(asker) => self.reply_found(asker, &outcome),
                    Lookup::Delivery(id, position) => {
                        self.handle_recipient_found(now, id, position, outcome);
                    }
                }
            }
            Done::SenderChecked {
                asker,
                outcome,
                message,
            } => self.handle_sender_checked(now, asker, outcome, message),
            Done::Answer { asker, reply } => self.reply_imap(asker, reply),
            Done::Selected {
                asker,
                account,
                name,
                read_only,
                commits,
                outcome,
            } => {
                let (who, what) = ((asker, account), (name, read_only));
                self.handle_loaded(now, who, what, commits, outcome);
            }
            Done::Changes {
                account,
                mailbox,
                since,
                outcome,
            } => self.handle_changes(now, account, mailbox, since, outcome),
            Done::AccountWritten {
                account,
                batch,
                origins,
                watched,
                outcome,
            } => self.handle_account_written(now, account, batch, origins, &watched, outcome),
            Done::SpoolWritten {
                batch,
                origins,
                outcome,
            } => self.handle_spool_written(now, batch, origins, outcome),
            Done::Staged {
                session,
                upload,
                stage,
                outcome,
            } => self.handle_staged(now, (session, upload), stage, outcome),
            Done::RoomChecked { asker, outcome } => self.handle_room_checked(asker, outcome),
            Done::ReplyDecided(outcome) => self.handle_reply_decided(now, outcome),
            Done::Answered {
                asker,
                content,
                answer,
                ..
            } => {
                self.drop_content(&content);
                self.handle_answered(now, asker, *answer);
            }
            Done::StoredRead { asker, outcome } => self.handle_stored_read(asker, outcome),
            Done::StageDropped => {}
            Done::Busy(job) => self.put_off(now, *job),
            Done::Peers {
                outcome,
                settled,
                directory_version,
            } => {
                self.handle_submissions(now, settled);
                self.handle_peers(now, outcome, directory_version);
            }
            Done::Reported {
                reports,
                pending,
                outcome,
            } => self.handle_reported(now, reports, *pending, outcome),
            Done::SpooledRead {
                asker,
                spool,
                outcome,
            } => self.handle_spooled_read(asker, spool, outcome),
            Done::ScramComputed { asker, reply } => {
                self.reply(asker, crate::session::Reply::SmtpClient(reply));
            }
            Done::Notified(done) => self.handle_notify_done(now, done),
            Done::Reloaded(outcome) => self.handle_reloaded(outcome),
        }
    }

    /// Sessions end by themselves until then.
    fn tell_all(&mut self, accepted_until: Instant, dialled_until: Instant) {
        let sessions = self.sessions.iter();
        let sessions: Vec<(SessionId, Instant)> = sessions
            .map(|(session, entry)| match entry.kind {
                SessionKind::Accepted(_) => (*session, accepted_until),
                SessionKind::Dialled => (*session, dialled_until),
            })
            .collect();
        for (session, grace_until) in sessions {
            self.notify(session, SessionEvent::Shutdown { grace_until });
        }
    }

    /// One look at a time, however slow the disk is; none that would hold up a shutdown.
    fn look_at_peers(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        if self.peers.look == Look::Idle {
            self.peers.look = Look::Begun;
            self.run(Job::LookAtPeers { now: now.unix });
        } else {
            self.peers.look = Look::BegunAndStale;
        }
    }

    /// What was half sent is in the queue, or gone.
    fn handle_submissions(&mut self, now: Now, settled: Result<bool, StoreError>) {
        match settled {
            Ok(true) => {
                self.claim_spooled(now);
                self.claim_remote(now);
            }
            Ok(false) | Err(StoreError::Busy) => {}
            Err(error) => super::log_failure(&error, "what was half sent can't be settled"),
        }
    }

    fn handle_peers(
        &mut self,
        now: Now,
        outcome: Result<PeerNews, StoreError>,
        directory_version: Result<u64, StoreError>,
    ) {
        if std::mem::take(&mut self.peers.look) == Look::BegunAndStale {
            self.look_at_peers(now);
        }
        if let Ok(version) = directory_version
            && self.directory.handle_version(version)
        {
            self.check_logins();
            self.load_subscriptions(now);
        }
        match outcome {
            Ok(news) => {
                self.peers.sockets = news.sockets;
                if news.changed {
                    self.refresh_all(None);
                }
                if news.changed || news.died {
                    self.note_peers_writes(now, news.died);
                    self.claim_spooled(now);
                    self.claim_remote(now);
                }
            }
            Err(error) => tracing::error!(%error, "other processes can't be seen"),
        }
    }
}
