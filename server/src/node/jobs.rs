//! Work that may block, as data: what it needs, what it brings back, and for whom.

mod done;
mod query;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, MailboxId, ModSeq, Secret, UnixTime, UploadId, smtp::client,
};
use rmail_store::{
    Account, AccountWrite, Content, MailboxRef, SpoolId, SpoolWrite, StageId, Store, StoreError,
};

pub use self::done::Done;
pub(super) use self::query::{Loaded, Query};
use super::{
    Asker, Login, NotifyJob,
    authentication::Protocol,
    automatic_replies::{self, Delivered},
    conclusions::Pending,
    directory::{Edition, Lookup, find_recipient},
    smtp::{Submission, find_room},
    writes::{AccountOrigin, SpoolOrigin},
};
use crate::{
    aliases,
    api::{
        self,
        answer::{Answer, StoredBody},
        exchange::Exchange,
        service::Service,
    },
    config::Config,
    credentials,
    outbound::report::Report,
    outside::{self, webhooks::Post},
    session::SessionId,
};

/// What jobs may touch.
pub struct World {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Posts to targets of subscriptions.
    pub poster: Arc<dyn Post>,
    /// The configuration file, for reloads.
    pub config_path: PathBuf,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("config_path", &self.config_path)
            .finish_non_exhaustive()
    }
}

/// One piece of work.
#[derive(Debug)]
pub enum Job {
    /// Check a password. The only job that burns the processor.
    Authenticate {
        /// Who asks.
        asker: Asker,
        /// In which protocol.
        protocol: Protocol,
        /// `None`: no such address can be; costs the same time.
        address: Option<Address>,
        /// The password.
        password: Secret<String>,
        /// When it was asked.
        directory: Edition,
        /// The time.
        now: UnixTime,
    },
    /// See which logins hold no more.
    CheckLogins(Vec<Login>),
    /// Find out who gets the mail for an address.
    FindRecipient {
        /// Where the answer goes.
        lookup: Lookup,
        /// The address.
        address: Address,
        /// Which domains are hosted.
        config: Arc<Config>,
        /// When it was asked.
        directory: Edition,
    },
    /// See whether accounts have room for a message.
    CheckRoom {
        /// Who asks.
        asker: Asker,
        /// Those that a recipient leads to, all with a quota.
        accounts: Vec<Arc<Account>>,
        /// Announced; 0 when it was not.
        message_bytes: u64,
    },
    /// See whether the mail for addresses reaches who wants to send from there.
    CheckSender {
        /// Who asks.
        asker: Asker,
        /// Who wants to send.
        account: AccountId,
        /// From where.
        addresses: Vec<Address>,
        /// Which domains are hosted.
        config: Arc<Config>,
        /// The end of the message, which goes on if so.
        message: Option<Box<Submission>>,
    },
    /// Answer an IMAP call by reading.
    Query {
        /// Who asks.
        asker: Asker,
        /// Of which account.
        account: AccountId,
        /// What.
        query: Query,
    },
    /// Open a mailbox.
    Select {
        /// Who asks.
        asker: Asker,
        /// Of which account.
        account: AccountId,
        /// In UTF-8.
        name: String,
        /// EXAMINE.
        read_only: bool,
        /// Mailboxes of the account that are in memory, each with its MODSEQ there.
        known: Vec<(MailboxId, ModSeq)>,
        /// Account writes that were done when this was asked.
        commits: u64,
    },
    /// See what changed in an open mailbox.
    Changes {
        /// Of which account.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Since when.
        since: ModSeq,
    },
    /// Write a batch to an account.
    WriteAccount {
        /// Which.
        account: AccountId,
        /// What.
        batch: Vec<AccountWrite>,
        /// For whom, in the same order.
        origins: Vec<AccountOrigin>,
        /// Open mailboxes.
        watched: Vec<(MailboxId, ModSeq)>,
        /// The time.
        now: UnixTime,
    },
    /// Write a batch to the spool.
    WriteSpool {
        /// What.
        batch: Vec<SpoolWrite>,
        /// For whom, in the same order.
        origins: Vec<SpoolOrigin>,
        /// The time.
        now: UnixTime,
    },
    /// Add a piece to a staged file.
    Stage {
        /// Of which session.
        session: SessionId,
        /// Which upload.
        upload: UploadId,
        /// Its file, once there is one.
        stage: Option<StageId>,
        /// The piece.
        data: Bytes,
        /// Whether the file is complete then, and made durable.
        is_synced: bool,
    },
    /// Remove a staged file.
    DropStage(StageId),
    /// See what other processes did, and bring to an end what those that died have begun.
    LookAtPeers {
        /// The time.
        now: UnixTime,
    },
    /// Write reports to a sender.
    Report {
        /// What they say.
        reports: Vec<Report>,
        /// What they belong to.
        pending: Box<Pending>,
    },
    /// Read a piece of a message that is being sent.
    ReadSpooled {
        /// Who asks.
        asker: Asker,
        /// Which message.
        spool: SpoolId,
        /// From where.
        offset: u64,
        /// How much.
        length: usize,
    },
    /// Prove that a password is known, without showing it.
    Scram {
        /// Who asks.
        asker: Asker,
        /// What the proof is made of.
        input: client::ScramInput,
    },
    /// Carry an HTTP request out.
    Answer {
        /// Who asks.
        asker: Asker,
        /// The API.
        service: Arc<Service>,
        /// What is asked.
        exchange: Box<Exchange>,
        /// The request's content.
        content: Content,
    },
    /// Read a piece of a message for an HTTP client.
    ReadStored {
        /// Who asks.
        asker: Asker,
        /// Which message.
        body: StoredBody,
        /// From where.
        offset: u64,
        /// How much.
        length: usize,
    },
    /// See whether a message wants an automatic reply.
    ReplyAutomatically {
        /// The message.
        delivered: Box<Delivered>,
        /// Which domains are hosted.
        config: Arc<Config>,
        /// The time.
        now: UnixTime,
        /// Fresh randomness.
        seed: u64,
    },
    /// Work for change notifications.
    Notify(NotifyJob),
    /// Read the configuration and the certificate again.
    Reload {
        /// The configuration that is in force.
        running: Arc<Config>,
        /// The time.
        now: UnixTime,
    },
}

/// What a job takes: see [`job_queues`](super::job_queues).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JobKind {
    /// It waits for the disk.
    Common,
    /// It burns a processor.
    Hash,
    /// It takes much memory.
    Large,
    /// It waits for a stranger.
    Post,
}

impl Job {
    /// What it takes.
    pub(super) fn kind(&self) -> JobKind {
        match self {
            Self::Authenticate { .. } => JobKind::Hash,
            Self::Answer { exchange, .. } if exchange.checks_password() => JobKind::Hash,
            Self::Answer { content, .. } => match content {
                Content::Staged(_) => JobKind::Large,
                Content::Inline(_) | Content::Spooled(_) => JobKind::Common,
            },
            Self::Notify(NotifyJob::Post { .. }) => JobKind::Post,
            Self::CheckLogins(_)
            | Self::CheckSender { .. }
            | Self::FindRecipient { .. }
            | Self::CheckRoom { .. }
            | Self::Query { .. }
            | Self::Select { .. }
            | Self::Changes { .. }
            | Self::WriteAccount { .. }
            | Self::WriteSpool { .. }
            | Self::Stage { .. }
            | Self::DropStage(_)
            | Self::LookAtPeers { .. }
            | Self::Report { .. }
            | Self::ReadSpooled { .. }
            | Self::Scram { .. }
            | Self::ReadStored { .. }
            | Self::ReplyAutomatically { .. }
            | Self::Notify(_)
            | Self::Reload { .. } => JobKind::Common,
        }
    }

    /// The session that waits for it; delivery and the node itself are none.
    pub(super) fn session(&self) -> Option<SessionId> {
        match self {
            Self::Authenticate { asker, .. }
            | Self::Query { asker, .. }
            | Self::Select { asker, .. }
            | Self::ReadSpooled { asker, .. }
            | Self::CheckRoom { asker, .. }
            | Self::Answer { asker, .. }
            | Self::ReadStored { asker, .. }
            | Self::Scram { asker, .. }
            | Self::CheckSender { asker, .. }
            | Self::FindRecipient {
                lookup: Lookup::Recipient(asker),
                ..
            } => Some(asker.session),
            Self::FindRecipient {
                lookup: Lookup::Delivery(..),
                ..
            }
            | Self::CheckLogins(_)
            | Self::Changes { .. }
            | Self::WriteAccount { .. }
            | Self::WriteSpool { .. }
            | Self::Stage { .. }
            | Self::DropStage(_)
            | Self::LookAtPeers { .. }
            | Self::Report { .. }
            | Self::ReplyAutomatically { .. }
            | Self::Notify(_)
            | Self::Reload { .. } => None,
        }
    }

    /// Does the work.
    pub fn run(self, world: &World) -> Done {
        let store = &*world.store;
        let kind = self.kind();
        match self {
            Self::Authenticate {
                asker,
                protocol,
                address,
                password,
                directory,
                now,
            } => match credentials::check(store, address.as_ref(), &password, now) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::Authenticate {
                    asker,
                    protocol,
                    address,
                    password,
                    directory,
                    now,
                })),
                outcome => Done::Authenticated {
                    asker,
                    protocol,
                    address,
                    outcome,
                    password,
                    directory,
                },
            },
            Self::CheckLogins(logins) => Done::LoginsChecked(ended_logins(store, logins)),
            Self::FindRecipient {
                lookup,
                address,
                config,
                directory,
            } => match find_recipient(store, &config, &address) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::FindRecipient {
                    lookup,
                    address,
                    config,
                    directory,
                })),
                outcome => Done::RecipientFound {
                    lookup,
                    outcome,
                    address,
                    directory,
                },
            },
            Self::CheckSender {
                asker,
                account,
                addresses,
                config,
                message,
            } => match reaches_all(store, &config, account, &addresses) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::CheckSender {
                    asker,
                    account,
                    addresses,
                    config,
                    message,
                })),
                outcome => Done::SenderChecked {
                    asker,
                    outcome,
                    message,
                },
            },
            Self::Query {
                asker,
                account,
                query,
            } => match contain(|| query.ask(store, account)) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::Query {
                    asker,
                    account,
                    query,
                })),
                outcome => Done::Answer {
                    asker,
                    reply: outcome.unwrap_or_else(|error| query.refuse(&error)),
                },
            },
            Self::Select {
                asker,
                account,
                name,
                read_only,
                known,
                commits,
            } => match load(store, account, &name, &known) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::Select {
                    asker,
                    account,
                    name,
                    read_only,
                    known,
                    commits,
                })),
                outcome => Done::Selected {
                    asker,
                    account,
                    outcome,
                    name,
                    read_only,
                    commits,
                },
            },
            Self::Changes {
                account,
                mailbox,
                since,
            } => Done::Changes {
                account,
                mailbox,
                since,
                outcome: store.changes(account, mailbox, since),
            },
            Self::WriteAccount {
                account,
                batch,
                origins,
                watched,
                now,
            } => {
                let outcome = store.write_account(now, account, batch.clone(), &watched);
                Done::AccountWritten {
                    account,
                    batch,
                    origins,
                    watched,
                    outcome,
                }
            }
            Self::WriteSpool {
                batch,
                origins,
                now,
            } => {
                let outcome = store.write_spool(now, batch.clone());
                Done::SpoolWritten {
                    batch,
                    origins,
                    outcome,
                }
            }
            Self::Stage {
                session,
                upload,
                stage,
                data,
                is_synced,
            } => {
                let (stage, outcome) = stage_piece(store, stage, &data, is_synced);
                Done::Staged {
                    session,
                    upload,
                    stage,
                    outcome,
                }
            }
            Self::DropStage(stage) => {
                store.stage_drop(stage);
                Done::StageDropped
            }
            Self::LookAtPeers { now } => Done::Peers {
                outcome: store.look_at_peers(),
                settled: store.settle_submissions(now),
                directory_version: store.directory_version(),
            },
            Self::Report { reports, pending } => {
                let outcome = reports.iter().map(|report| report.compose(store));
                let outcome = outcome.collect();
                Done::Reported {
                    reports,
                    pending,
                    outcome,
                }
            }
            Self::ReadSpooled {
                asker,
                spool,
                offset,
                length,
            } => match store.read_spooled(spool, offset, length) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::ReadSpooled {
                    asker,
                    spool,
                    offset,
                    length,
                })),
                outcome => Done::SpooledRead {
                    asker,
                    spool,
                    outcome,
                },
            },
            Self::Scram { asker, input } => Done::ScramComputed {
                asker,
                reply: credentials::answer_scram(&input),
            },
            Self::CheckRoom {
                asker,
                accounts,
                message_bytes,
            } => match find_room(store, &accounts, message_bytes) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::CheckRoom {
                    asker,
                    accounts,
                    message_bytes,
                })),
                outcome => Done::RoomChecked { asker, outcome },
            },
            Self::Answer {
                asker,
                service,
                exchange,
                content,
            } => match contain(|| {
                let bytes = whole_content(store, &content)?;
                api::answer::answer(store, &service, &*world.poster, &exchange, &bytes)
            }) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::Answer {
                    asker,
                    service,
                    exchange,
                    content,
                })),
                outcome => Done::Answered {
                    asker,
                    kind,
                    content,
                    answer: Box::new(
                        outcome.unwrap_or_else(|error| Answer::failed(&exchange, error)),
                    ),
                },
            },
            Self::ReadStored {
                asker,
                body,
                offset,
                length,
            } => match store.read(body.account, body.mailbox, body.uid, offset, length) {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::ReadStored {
                    asker,
                    body,
                    offset,
                    length,
                })),
                outcome => Done::StoredRead { asker, outcome },
            },
            Self::ReplyAutomatically {
                delivered,
                config,
                now,
                seed,
            } => match contain(|| automatic_replies::decide(store, &config, &delivered, now, seed))
            {
                Err(StoreError::Busy) => Done::Busy(Box::new(Self::ReplyAutomatically {
                    delivered,
                    config,
                    now,
                    seed,
                })),
                outcome => Done::ReplyDecided(outcome),
            },
            Self::Notify(job) => Done::Notified(job.run(store, &*world.poster)),
            Self::Reload { running, now } => {
                let path = &world.config_path;
                Done::Reloaded(outside::configuration::reread(path, &running, now))
            }
        }
    }
}

/// Queries decode what strangers wrote, with the help of others' code: a panic in it costs the
/// one command that asked, and not the server.
fn contain<T>(ask: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(ask)).unwrap_or_else(|_| {
        let bug = "a query panicked; please report what stands before this line";
        Err(StoreError::Failed(bug.to_owned()))
    })
}

/// A request's content, in memory.
fn whole_content(store: &dyn Store, content: &Content) -> Result<Bytes, StoreError> {
    match content {
        Content::Inline(bytes) => Ok(bytes.clone()),
        Content::Staged(stage) => store.stage_read(*stage),
        Content::Spooled(_) => unreachable!("a request's content is no message in the spool"),
    }
}

fn reaches_all(
    store: &dyn Store,
    config: &Config,
    account: AccountId,
    addresses: &[Address],
) -> Result<bool, StoreError> {
    for address in addresses {
        if !aliases::reaches(store, config, account, address)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Those whose account is gone or disabled, or not as it was.
fn ended_logins(store: &dyn Store, logins: Vec<Login>) -> Result<Vec<Login>, StoreError> {
    let mut ended = Vec::new();
    for login in logins {
        let account = store.account(login.account)?;
        let holds = account
            .is_some_and(|account| account.is_enabled && account.generation == login.generation);
        if !holds {
            ended.push(login);
        }
    }
    Ok(ended)
}

fn load(
    store: &dyn Store,
    account: AccountId,
    name: &str,
    known: &[(MailboxId, ModSeq)],
) -> Result<Loaded, StoreError> {
    let by_name = MailboxRef::Name(name.to_owned());
    if !known.is_empty() {
        let status = store.status(account, &by_name)?;
        let in_memory = known.iter().find(|(id, _)| *id == status.mailbox);
        if let Some(&(mailbox, since)) = in_memory {
            let changes = store.changes(account, mailbox, since)?;
            return Ok(Loaded::Since(mailbox, since, changes));
        }
    }
    Ok(Loaded::Whole(store.mailbox_state(account, &by_name)?))
}

fn stage_piece(
    store: &dyn Store,
    stage: Option<StageId>,
    data: &[u8],
    is_synced: bool,
) -> (Option<StageId>, Result<(), StoreError>) {
    let stage = match stage.map_or_else(|| store.stage(), Ok) {
        Ok(stage) => stage,
        Err(error) => return (None, Err(error)),
    };
    let mut outcome = store.stage_append(stage, data);
    if outcome.is_ok() && is_synced {
        outcome = store.stage_finish(stage);
    }
    (Some(stage), outcome)
}
