//! Vocabulary of what is kept for the HTTP API: messages as lists show them, documents, uploads,
//! records.

use bytes::Bytes;
use rmail_proto::{
    AccountId, InstanceId, MailboxId, ModSeq, SystemFlags, Uid, UnixTime,
    imap::{MessageData, MessageState},
};

/// Which messages are listed, and in which order. All that is `Some` must hold.
#[derive(Clone, Debug)]
pub struct Listing {
    /// Only of this mailbox.
    pub mailbox: Option<MailboxId>,
    /// Received at this time or later.
    pub received_from: Option<UnixTime>,
    /// Received at this time or before.
    pub received_until: Option<UnixTime>,
    /// All of these flags are set.
    pub with: SystemFlags,
    /// None of these flags is set.
    pub without: SystemFlags,
    /// In which order.
    pub order: ListOrder,
    /// Only UIDs above this one.
    pub above: Option<Uid>,
    /// So many are passed over.
    pub offset: u64,
    /// At most so many.
    pub count_max: u64,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ListOrder {
    /// By INTERNALDATE, then by instance, from the end.
    NewestFirst,
    /// The same from the beginning.
    OldestFirst,
    /// By UID: what is new comes last.
    ByUid,
}

impl Default for Listing {
    /// All messages, the newest first.
    fn default() -> Self {
        Self {
            mailbox: None,
            received_from: None,
            received_until: None,
            with: SystemFlags::default(),
            without: SystemFlags::default(),
            order: ListOrder::NewestFirst,
            above: None,
            offset: 0,
            count_max: u64::MAX,
        }
    }
}

/// A message as a list shows it.
#[derive(Clone, Debug)]
pub struct StoredMessage {
    /// Where it is.
    pub mailbox: MailboxId,
    /// Its dates, size and ids; no columns.
    pub data: MessageData,
    /// Its flags, and when they last changed.
    pub state: MessageState,
    /// When it came into the store.
    pub created_at: UnixTime,
    /// When it last changed.
    pub modified_at: UnixTime,
    /// Whether it has a part that is no inline text.
    pub has_attachments: bool,
    /// What is kept beside it, opaque here; may be empty.
    pub extras: String,
}

/// What changed in a mailbox, message by message.
#[derive(Clone, Debug)]
pub struct MessageChanges {
    /// The mailbox's MODSEQ that this leads to.
    pub modseq: ModSeq,
    /// Those that are new or changed, by MODSEQ.
    pub changed: Vec<StoredMessage>,
    /// Those that went and did not come back.
    pub vanished: Vec<InstanceId>,
    /// Each time that a message went, also if it came back under another UID.
    pub departures: Vec<Departure>,
}

/// A message left a mailbox, or its UID.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Departure {
    /// Which message.
    pub instance: InstanceId,
    /// The UID that it had.
    pub uid: Uid,
    /// When, as the mailbox counts.
    pub modseq: ModSeq,
}

/// What changed among an account's mailboxes.
#[derive(Clone, Debug)]
pub struct MailboxChanges {
    /// The account's MODSEQ that this leads to.
    pub modseq: ModSeq,
    /// Those that are new, renamed, or whose messages changed.
    pub changed: Vec<MailboxId>,
    /// Those that are gone.
    pub vanished: Vec<MailboxId>,
    /// Messages that went with their mailbox, or had left one that is gone now, by MODSEQ. `None`
    /// when it is too long ago: some are forgotten.
    pub departures: Option<Vec<Departure>>,
}

/// What an account's database looked like at some moment: another one when anything in it may have
/// changed since. To be compared with one of the same store and account alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccountVersion {
    /// Which opening of the database counts.
    pub(crate) opening: u64,
    /// Rows that this store has written, those of transactions that failed among them.
    pub(crate) written_rows: u64,
    /// Changes with each transaction of somebody else.
    pub(crate) others: i64,
}

/// An upload that is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upload {
    /// What it is for, opaque here.
    pub document: String,
    /// Bytes that are here.
    pub received: u64,
    /// When it is dropped.
    pub expires_at: UnixTime,
}

/// A change of an upload. `key` is a hash of what the client shows.
#[derive(Clone, Debug)]
pub enum UploadWrite {
    /// Begins one, or changes its document. Those that have expired go.
    Put {
        /// Its name.
        key: [u8; 32],
        /// See [`Upload::document`].
        document: String,
        /// See [`Upload::expires_at`].
        expires_at: UnixTime,
    },
    /// Adds to its end; refused with `NoSuchUpload` when `start` is not its end.
    Append {
        /// Its name.
        key: [u8; 32],
        /// Where the bytes begin.
        start: u64,
        /// At most [`limits::UPLOAD_PIECE_BYTES`](crate::limits::UPLOAD_PIECE_BYTES).
        bytes: Bytes,
    },
    /// Drops its bytes; the document stays until it expires.
    Empty {
        /// Its name.
        key: [u8; 32],
    },
    /// Drops it.
    Drop {
        /// Its name.
        key: [u8; 32],
    },
}

/// What a record is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RecordKind {
    /// A token that was given up before its time; the key is its id.
    Revocation,
    /// A subscription to changes of an account's mail; the key is its id.
    Subscription,
}

/// What the server keeps for a while, for itself or for an account. It goes with the account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// What it is.
    pub kind: RecordKind,
    /// Its name.
    pub key: u128,
    /// Whose it is.
    pub account: Option<AccountId>,
    /// What it says, opaque here.
    pub value: String,
    /// When it goes.
    pub expires_at: UnixTime,
}
