//! What can go wrong in the store.

use rmail_proto::Address;
use thiserror::Error;

/// Why the store did not do what it was asked. Nothing of the operation has happened then.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum StoreError {
    /// Another process is writing; try again in a moment.
    #[error("the database is busy")]
    Busy,
    /// The disk is full; try again when there is room.
    #[error("the disk is full")]
    Full,
    /// There is no such account.
    #[error("no such account")]
    NoSuchAccount,
    /// There is such an account or alias already.
    #[error("the address is taken")]
    AddressTaken,
    /// There is no such alias.
    #[error("no such alias")]
    NoSuchAlias,
    /// The alias would lead to itself, by way of this address.
    #[error("the alias leads back to itself, by way of {0}")]
    AliasLoop(Address),
    /// There is no such mailbox.
    #[error("no such mailbox")]
    NoSuchMailbox,
    /// There is such a mailbox already.
    #[error("the mailbox exists")]
    MailboxExists,
    /// There is no such message.
    #[error("no such message")]
    NoSuchMessage,
    /// The message has changed since the state that was asked for.
    #[error("the message has changed")]
    ChangedSince,
    /// The account would have more bytes than its quota.
    #[error("the mailbox is full")]
    OverQuota,
    /// The mailbox can't be deleted or renamed so (INBOX, a name within itself).
    #[error("that can't be done with this mailbox")]
    MailboxProtected,
    /// A bound of [`limits`](crate::limits) is reached.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// There is no such upload.
    #[error("no such upload")]
    NoSuchUpload,
    /// There is no such message in the queue, or no such recipient of it.
    #[error("no such message in the queue")]
    NoSuchEntry,
    /// The message is being delivered at this moment.
    #[error("it is being delivered just now")]
    InDelivery,
    /// The disk, the file system or SQLite failed; an operator must act.
    #[error("{0}")]
    Failed(String),
}
