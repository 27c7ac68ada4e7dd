//! What IMAP sessions read.

use std::sync::Arc;

use rmail_proto::{
    AccountId, MailboxId, ModSeq, Uid,
    imap::{self, Columns, SearchKey, Snapshot, UidSet},
};
use rmail_store::{MailboxRef, MailboxState, Store, StoreError};

use super::super::imap::{no_from, no_from_target};
use crate::search;

/// What an IMAP call reads.
#[derive(Debug)]
pub enum Query {
    /// All mailboxes.
    Mailboxes,
    /// Counts of a mailbox.
    Status(String),
    /// Whether a mailbox is there.
    AppendCheck(String),
    /// Data of messages.
    Fetch {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        uids: Vec<Uid>,
        /// What.
        columns: Columns,
        /// See [`imap::Call::Fetch`].
        bytes_max: usize,
    },
    /// A piece of a message.
    Read {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        uid: Uid,
        /// From where.
        offset: u64,
        /// How much.
        length: usize,
    },
    /// Matching messages.
    Search {
        /// Where.
        mailbox: MailboxId,
        /// Its state.
        snapshot: Arc<Snapshot>,
        /// Among which.
        uids: UidSet,
        /// What they must match.
        program: Arc<SearchKey>,
    },
}

/// How a mailbox was loaded.
#[derive(Debug)]
pub enum Loaded {
    /// From nothing.
    Whole(MailboxState),
    /// What is new since this state, in which it was in memory.
    Since(MailboxId, ModSeq, imap::Changes),
}

impl Query {
    pub(super) fn refuse(&self, error: &StoreError) -> imap::Reply {
        imap::Reply::No(match self {
            Self::AppendCheck(_) => no_from_target(error),
            Self::Mailboxes
            | Self::Status(_)
            | Self::Fetch { .. }
            | Self::Read { .. }
            | Self::Search { .. } => no_from(error),
        })
    }

    pub(super) fn ask(
        &self,
        store: &dyn Store,
        account: AccountId,
    ) -> Result<imap::Reply, StoreError> {
        match self {
            Self::Mailboxes => {
                let mailboxes = store.mailboxes(account)?;
                Ok(imap::Reply::Mailboxes(mailboxes.into()))
            }
            Self::Status(name) => {
                let status = store.status(account, &MailboxRef::Name(name.clone()))?;
                Ok(imap::Reply::Status(status))
            }
            Self::AppendCheck(name) => {
                store.status(account, &MailboxRef::Name(name.clone()))?;
                Ok(imap::Reply::Done)
            }
            Self::Fetch {
                mailbox,
                uids,
                columns,
                bytes_max,
            } => {
                let found = store.messages(account, *mailbox, uids, *columns, *bytes_max)?;
                let (messages, answered) = found;
                Ok(imap::Reply::Fetched { messages, answered })
            }
            Self::Read {
                mailbox,
                uid,
                offset,
                length,
            } => {
                let bytes = store.read(account, *mailbox, *uid, *offset, *length)?;
                Ok(imap::Reply::Bytes(bytes))
            }
            Self::Search {
                mailbox,
                snapshot,
                uids,
                program,
            } => {
                let place = search::Place {
                    store,
                    account,
                    mailbox: *mailbox,
                };
                let found = search::search(&place, snapshot, uids, program)?;
                Ok(imap::Reply::Found(found))
            }
        }
    }
}
