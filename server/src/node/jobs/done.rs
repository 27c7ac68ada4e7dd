//! What jobs bring back.

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, MailboxId, ModSeq, Secret, UploadId, imap, mime::Summary, smtp::client,
};
use rmail_store::{
    AccountWrite, Content, PeerNews, SpoolId, SpoolWrite, SpoolWritten, StageId, StoreError,
    Written,
};

use super::{
    super::{
        Asker, Login, NotifyDone,
        authentication::Protocol,
        automatic_replies::DueReply,
        conclusions::Pending,
        directory::{Edition, Found, Lookup},
        smtp::{Room, Submission},
        writes::{AccountOrigin, SpoolOrigin},
    },
    Job, JobKind, Loaded,
};
use crate::{
    api::answer::Answer, credentials::Verdict, outbound::report::Report,
    outside::configuration::Reread, session::SessionId,
};

/// A finished [`Job`].
#[derive(Debug)]
pub enum Done {
    /// Of `Authenticate`.
    Authenticated {
        /// Who asked.
        asker: Asker,
        /// In which protocol.
        protocol: Protocol,
        /// The address that was tried.
        address: Option<Address>,
        /// Whether it is right.
        outcome: Result<Verdict, StoreError>,
        /// The password, to be remembered.
        password: Secret<String>,
        /// When it was asked.
        directory: Edition,
    },
    /// Of `CheckLogins`: those that hold no more.
    LoginsChecked(Result<Vec<Login>, StoreError>),
    /// Of `FindRecipient`.
    RecipientFound {
        /// Where the answer goes.
        lookup: Lookup,
        /// The address.
        address: Address,
        /// Who gets its mail.
        outcome: Result<Found, StoreError>,
        /// When it was asked.
        directory: Edition,
    },
    /// Of `CheckRoom`.
    RoomChecked {
        /// Who asked.
        asker: Asker,
        /// The most that one has.
        outcome: Result<Room, StoreError>,
    },
    /// Of `CheckSender`.
    SenderChecked {
        /// Who asked.
        asker: Asker,
        /// Whether it reaches him for all of them.
        outcome: Result<bool, StoreError>,
        /// The end of the message.
        message: Option<Box<Submission>>,
    },
    /// Of `Query`.
    Answer {
        /// Who asked.
        asker: Asker,
        /// The answer.
        reply: imap::Reply,
    },
    /// Of `Select`.
    Selected {
        /// Who asked.
        asker: Asker,
        /// Of which account.
        account: AccountId,
        /// As it was asked for.
        name: String,
        /// EXAMINE.
        read_only: bool,
        /// Account writes that were done when this was asked.
        commits: u64,
        /// The mailbox.
        outcome: Result<Loaded, StoreError>,
    },
    /// Of `Changes`.
    Changes {
        /// Of which account.
        account: AccountId,
        /// Which.
        mailbox: MailboxId,
        /// Since when.
        since: ModSeq,
        /// What changed.
        outcome: Result<imap::Changes, StoreError>,
    },
    /// Of `WriteAccount`.
    AccountWritten {
        /// Which.
        account: AccountId,
        /// The batch, when it has to be tried again.
        batch: Vec<AccountWrite>,
        /// For whom.
        origins: Vec<AccountOrigin>,
        /// The mailboxes that were watched.
        watched: Vec<(MailboxId, ModSeq)>,
        /// What was done.
        outcome: Result<Written, StoreError>,
    },
    /// Of `WriteSpool`.
    SpoolWritten {
        /// The batch, when it has to be tried again.
        batch: Vec<SpoolWrite>,
        /// For whom.
        origins: Vec<SpoolOrigin>,
        /// What was done.
        outcome: Result<Vec<Result<SpoolWritten, StoreError>>, StoreError>,
    },
    /// Of `Stage`.
    Staged {
        /// Of which session.
        session: SessionId,
        /// Which upload.
        upload: UploadId,
        /// Its file, also after an error when there is one.
        stage: Option<StageId>,
        /// Whether the piece is in it.
        outcome: Result<(), StoreError>,
    },
    /// Of `DropStage`.
    StageDropped,
    /// Of a job that somebody waits for: another process was writing, and the job is as it was.
    Busy(Box<Job>),
    /// Of `LookAtPeers`.
    Peers {
        /// What they did.
        outcome: Result<PeerNews, StoreError>,
        /// Whether messages were queued that others had begun to send.
        settled: Result<bool, StoreError>,
        /// The directory's version.
        directory_version: Result<u64, StoreError>,
    },
    /// Of `Report`.
    Reported {
        /// What they say.
        reports: Vec<Report>,
        /// What they belong to.
        pending: Box<Pending>,
        /// Their contents, in the same order.
        outcome: Result<Vec<(Content, Summary)>, StoreError>,
    },
    /// Of `ReadSpooled`.
    SpooledRead {
        /// Who asked.
        asker: Asker,
        /// Which message.
        spool: SpoolId,
        /// The piece.
        outcome: Result<Option<Bytes>, StoreError>,
    },
    /// Of `Scram`.
    ScramComputed {
        /// Who asked.
        asker: Asker,
        /// The proof.
        reply: client::Reply,
    },
    /// Of `Answer`.
    Answered {
        /// Who asked.
        asker: Asker,
        /// What kind of job it was.
        kind: JobKind,
        /// The request's content, which is not needed any more.
        content: Content,
        /// The answer.
        answer: Box<Answer>,
    },
    /// Of `ReadStored`.
    StoredRead {
        /// Who asked.
        asker: Asker,
        /// The piece.
        outcome: Result<Option<Bytes>, StoreError>,
    },
    /// Of `ReplyAutomatically`: the reply that is due.
    ReplyDecided(Result<Option<Box<DueReply>>, StoreError>),
    /// Of `Notify`.
    Notified(NotifyDone),
    /// Of `Reload`: the configuration, or why it changes nothing.
    Reloaded(Result<Box<Reread>, Vec<String>>),
}

impl Done {
    /// What kind of job it was.
    pub(in super::super) fn kind(&self) -> JobKind {
        match self {
            Self::Busy(job) => job.kind(),
            Self::Answered { kind, .. } => *kind,
            Self::Authenticated { .. } => JobKind::Hash,
            Self::Notified(NotifyDone::Posted(..)) => JobKind::Post,
            Self::LoginsChecked(_)
            | Self::RecipientFound { .. }
            | Self::RoomChecked { .. }
            | Self::SenderChecked { .. }
            | Self::Answer { .. }
            | Self::Selected { .. }
            | Self::Changes { .. }
            | Self::AccountWritten { .. }
            | Self::SpoolWritten { .. }
            | Self::Staged { .. }
            | Self::StageDropped
            | Self::Peers { .. }
            | Self::Reported { .. }
            | Self::SpooledRead { .. }
            | Self::ScramComputed { .. }
            | Self::StoredRead { .. }
            | Self::ReplyDecided(_)
            | Self::Notified(_)
            | Self::Reloaded(_) => JobKind::Common,
        }
    }
}
