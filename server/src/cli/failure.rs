//! Why a command could not do what it was asked: a sentence for people, with what to do.

use core::fmt;
use std::{io, path::Path};

use rmail_store::StoreError;

use crate::aliases::Fault;

/// A sentence for people. The process ends with exit code 1.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Failure(pub(super) String);

impl Failure {
    /// A file that could not be read or written.
    pub(super) fn file(path: &Path, verb: &str, cause: &io::Error) -> Self {
        let path = path.display();
        Self(format!("{path} can't be {verb}: {cause}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(fault.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let remedy = match &error {
            StoreError::Busy => "; another process is writing all the time: try again later",
            StoreError::Full => "; make room in mail_root, then try again",
            StoreError::Failed(_) => "; check the disk, and that mail_root belongs to you",
            StoreError::NoSuchAccount
            | StoreError::AddressTaken
            | StoreError::NoSuchAlias
            | StoreError::AliasLoop(_)
            | StoreError::NoSuchMailbox
            | StoreError::NoSuchMessage
            | StoreError::ChangedSince
            | StoreError::OverQuota
            | StoreError::MailboxExists
            | StoreError::MailboxProtected
            | StoreError::TooMany(_)
            | StoreError::NoSuchUpload
            | StoreError::NoSuchEntry => "",
            StoreError::InDelivery => "; try again in a moment",
        };
        Self(format!("{error}{remedy}"))
    }
}
