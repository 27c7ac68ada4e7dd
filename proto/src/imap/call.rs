//! What the IMAP server is made with, what it asks of the world, and what it is answered.

use alloc::{borrow::Cow, boxed::Box, string::String, sync::Arc, vec::Vec};
use core::net::IpAddr;

use bytes::Bytes;

use super::{Snapshot, UidSet};
use crate::{
    AccountId, DateTime, EmailId, Flags, InstanceId, MailboxId, ModSeq, Secret, ThreadId, Uid,
    UidValidity, UploadId,
};

/// What TLS a connection has or can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// None: there is no certificate. LOGIN works in cleartext.
    Unavailable,
    /// STARTTLS is offered, and LOGIN disabled before it.
    Offered,
    /// The connection starts with a handshake; `Event::TlsEstablished` comes before any input.
    Implicit,
}

/// What a server connection is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the greeting.
    pub hostname: crate::Domain,
    /// The peer's address.
    pub peer: IpAddr,
    /// Whether and how TLS comes up.
    pub tls: Tls,
    /// Largest message that APPEND takes, in bytes.
    pub message_bytes_max: u64,
    /// The only randomness.
    pub seed: u64,
}

/// The uses that mailboxes can have (RFC 6154 §2).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

/// One line of LIST or LSUB. The separator is always `/`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mailbox {
    /// In UTF-8 (not modified UTF-7), `INBOX` in capitals.
    pub name: String,
    /// `None` when there is no such mailbox: a name that has children (`\Noselect`) or is only
    /// subscribed.
    pub id: Option<MailboxId>,
    /// Whether it is subscribed.
    pub subscribed: bool,
    /// Its use.
    pub special_use: Option<SpecialUse>,
}

/// The answer to SELECT and EXAMINE.
#[derive(Clone, Debug)]
pub struct Selected {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// The generation of its UIDs.
    pub uid_validity: UidValidity,
    /// Its messages.
    pub snapshot: Arc<Snapshot>,
    /// The messages that are `\Recent` in this session.
    pub recent: UidSet,
}

/// The answer to STATUS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MailboxStatus {
    /// Which mailbox.
    pub mailbox: MailboxId,
    /// Messages.
    pub messages: u32,
    /// Messages with `\Recent`.
    pub recent: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// The next UID.
    pub uid_next: Uid,
    /// The generation of UIDs.
    pub uid_validity: UidValidity,
    /// The highest MODSEQ.
    pub modseq: ModSeq,
    /// Bytes of all messages.
    pub size_bytes: u64,
}

/// One message of an APPEND.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its content.
    pub upload: UploadId,
    /// Its flags.
    pub flags: Flags,
    /// Its INTERNALDATE; now, when there is none.
    pub internal_date: Option<DateTime>,
}

/// How STORE changes flags.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Which parts of a message's data are wanted; the rest may be absent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Columns {
    /// `envelope`
    pub envelope: bool,
    /// `body` and `body_structure`
    pub body_structure: bool,
    /// `parts`
    pub parts: bool,
    /// `header`
    pub header: bool,
    /// `content`
    pub content: bool,
}

/// What is stored of a message.
#[derive(Clone, Debug)]
pub struct MessageData {
    /// Its UID.
    pub uid: Uid,
    /// Its whole size (RFC822.SIZE).
    pub size_bytes: u64,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// EMAILID.
    pub email_id: EmailId,
    /// THREADID.
    pub thread_id: ThreadId,
    /// The message's own id.
    pub instance_id: InstanceId,
    /// The parenthesised list that follows `ENVELOPE `.
    pub envelope: Bytes,
    /// The parenthesised list that follows `BODY `.
    pub body: Bytes,
    /// The parenthesised list that follows `BODYSTRUCTURE `.
    pub body_structure: Bytes,
    /// The part tree in its stored form; see [`mime::Parts`](crate::mime::Parts).
    pub parts: Bytes,
    /// The header with its final empty line, when it was asked for and is no longer than
    /// [`limits::FETCH_HEADER_BYTES`](crate::limits::FETCH_HEADER_BYTES); else empty.
    pub header: Bytes,
    /// The whole message, when it was asked for and fits what the call allowed; else `None`, and
    /// it is to be read in pieces with [`Call::Read`].
    pub content: Option<Bytes>,
}

/// What the server asks. Each is owed one [`Reply`]; any may be answered by [`Reply::No`].
#[derive(Debug)]
pub enum Call {
    /// Are these credentials good? Answered by `Authenticated`.
    Authenticate {
        /// As the client gave it.
        username: String,
        /// As the client gave it.
        password: Secret<String>,
    },
    /// All mailboxes, and all subscribed names. Answered by `Mailboxes`.
    Mailboxes,
    /// Open a mailbox. Answered by `Selected`. From then on `Notice::MailboxChanged` may come.
    Select {
        /// In UTF-8.
        name: String,
        /// EXAMINE: `\Recent` is not taken away.
        read_only: bool,
    },
    /// The mailbox is no longer selected. Answered by `Done`, which nobody waits for.
    Unselect,
    /// The selected mailbox's present state. Answered by `Snapshot`.
    Refresh,
    /// Answered by `Created` (or by `Done`: then the client isn't told the mailbox's id).
    Create {
        /// In UTF-8.
        name: String,
        /// Its use (RFC 6154 §3).
        special_use: Option<SpecialUse>,
    },
    /// Answered by `Done`.
    Delete {
        /// In UTF-8.
        name: String,
    },
    /// Answered by `Done`.
    Rename {
        /// In UTF-8.
        from: String,
        /// In UTF-8.
        to: String,
    },
    /// Answered by `Done`.
    Subscribe {
        /// In UTF-8.
        name: String,
        /// `false` for UNSUBSCRIBE.
        subscribed: bool,
    },
    /// Answered by `Status`.
    Status {
        /// In UTF-8.
        name: String,
    },
    /// May a message of this size be appended there? Asked before a literal is invited. Answered
    /// by `Done`.
    AppendCheck {
        /// In UTF-8.
        name: String,
        /// Size of the literal.
        size_bytes: u64,
    },
    /// A piece of a message; the first one begins the upload, `last` ends it. Answered by `Done`.
    /// Whatever the answer, the upload is used by `Append` or given up by `Discard`.
    Chunk {
        /// Which upload.
        upload: UploadId,
        /// At most [`limits::UPLOAD_CHUNK_BYTES`](crate::limits::UPLOAD_CHUNK_BYTES).
        data: Bytes,
        /// Whether this is the end of the message.
        last: bool,
    },
    /// The upload will not be used. Answered by `Done`, which nobody waits for.
    Discard {
        /// Which upload.
        upload: UploadId,
    },
    /// Store complete uploads, all or none. Answered by `Appended` once they are durable.
    Append {
        /// In UTF-8.
        name: String,
        /// Not empty.
        messages: Vec<NewMessage>,
    },
    /// Change flags in the selected mailbox. Answered by `Stored`.
    Store {
        /// Messages that are gone are passed over.
        uids: UidSet,
        /// How.
        mode: StoreMode,
        /// Which flags.
        flags: Flags,
        /// Leave messages alone that changed since (RFC 7162 §3.1.3).
        unchanged_since: Option<ModSeq>,
    },
    /// Copy from the selected mailbox, all or none. Answered by `Copied` once that is durable.
    Copy {
        /// Messages that are gone are passed over.
        uids: UidSet,
        /// In UTF-8.
        target: String,
    },
    /// Move from the selected mailbox, all or none (RFC 6851). Answered by `Copied` once that is
    /// durable; the messages' absence shows in the next snapshot.
    Move {
        /// Messages that are gone are passed over.
        uids: UidSet,
        /// In UTF-8.
        target: String,
    },
    /// Remove messages that have `\Deleted`. Answered by `Snapshot`.
    Expunge {
        /// Only these; all, when `None`.
        uids: Option<UidSet>,
    },
    /// Data of messages in the selected mailbox. Answered by `Fetched`.
    Fetch {
        /// At most [`limits::FETCH_MESSAGES`](crate::limits::FETCH_MESSAGES).
        uids: Vec<Uid>,
        /// What is wanted.
        columns: Columns,
        /// Contents that would make the answer larger than this are left out, but the answer
        /// holds at least one message.
        bytes_max: usize,
    },
    /// A piece of a message of the selected mailbox. Answered by `Bytes`.
    Read {
        /// Which message.
        uid: Uid,
        /// From where.
        offset: u64,
        /// How much; at most [`limits::READ_BYTES`](crate::limits::READ_BYTES).
        length: usize,
    },
    /// Which of these messages match? Answered by `Found`.
    Search {
        /// The messages to look at, which the program's message sets are already part of.
        uids: UidSet,
        /// What they must match.
        program: Arc<super::SearchKey>,
    },
}

/// What the server is answered.
#[derive(Debug)]
pub enum Reply {
    /// The credentials are good.
    Authenticated {
        /// The account.
        account: AccountId,
    },
    /// Sorted by name.
    Mailboxes(Arc<[Mailbox]>),
    /// The mailbox is open.
    Selected(Box<Selected>),
    /// The present state of the selected mailbox.
    Snapshot {
        /// The state.
        snapshot: Arc<Snapshot>,
        /// Messages that are `\Recent` in this session and were not yet said to be.
        recent: UidSet,
    },
    /// It is done.
    Done,
    /// The mailbox is made.
    Created(MailboxId),
    /// The answer to STATUS.
    Status(MailboxStatus),
    /// The messages are on disk.
    Appended(Appended),
    /// The flags are changed.
    Stored {
        /// The state after it.
        snapshot: Arc<Snapshot>,
        /// The messages that `unchanged_since` protected.
        modified: UidSet,
    },
    /// The copies are on disk.
    Copied(Copied),
    /// In the order asked, at least one, without those that are gone. Fewer than asked for: ask
    /// again for the rest.
    Fetched {
        /// The data.
        messages: Vec<MessageData>,
        /// How many of the UIDs asked for this answers, from the first.
        answered: usize,
    },
    /// At most as many as asked for; fewer at the end only. `None` when the message is gone.
    Bytes(Option<Bytes>),
    /// In order.
    Found(UidSet),
    /// The tagged answer is NO (or, for `NoCode::Unavailable` and the like, still NO).
    No(No),
}

/// APPENDUID (RFC 4315 §3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Of the mailbox appended to.
    pub uid_validity: UidValidity,
    /// In the order of the messages.
    pub uids: Vec<Uid>,
}

/// COPYUID (RFC 4315 §3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Copied {
    /// Of the target.
    pub uid_validity: UidValidity,
    /// In the selected mailbox.
    pub source: Vec<Uid>,
    /// In the target, in the same order.
    pub target: Vec<Uid>,
}

/// A NO with its response code.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct No {
    /// The machine-readable reason.
    pub code: NoCode,
    /// One line for people, without CR or LF.
    pub text: Cow<'static, str>,
}

/// Response codes of NO (RFC 3501 §7.1, RFC 5530 §3, RFC 9208 §4.3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoCode {
    /// The mailbox does not exist and could be made (COPY, APPEND, MOVE).
    TryCreate,
    /// `NONEXISTENT`
    NonExistent,
    /// `ALREADYEXISTS`
    AlreadyExists,
    /// `CANNOT`
    Cannot,
    /// `LIMIT`
    Limit,
    /// `OVERQUOTA`
    OverQuota,
    /// `AUTHENTICATIONFAILED`
    AuthenticationFailed,
    /// `UNAVAILABLE`
    Unavailable,
    /// `INUSE`
    InUse,
    /// `SERVERBUG`: an operator must act.
    ServerBug,
}
