//! The world's faults, in the store's words.

use std::io;

use rusqlite::ErrorCode;

use crate::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(_) | None => Self::Failed(error.to_string()),
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl StoreError {
    /// Whether nothing more can be done in this transaction: the world's fault, not the
    /// operation's.
    pub(super) fn ends_batch(&self) -> bool {
        match self {
            Self::Busy | Self::Full | Self::Failed(_) => true,
            Self::NoSuchAccount
            | Self::AddressTaken
            | Self::NoSuchAlias
            | Self::AliasLoop(_)
            | Self::NoSuchMailbox
            | Self::NoSuchMessage
            | Self::ChangedSince
            | Self::OverQuota
            | Self::MailboxExists
            | Self::MailboxProtected
            | Self::TooMany(_)
            | Self::NoSuchUpload
            | Self::NoSuchEntry
            | Self::InDelivery => false,
        }
    }
}
