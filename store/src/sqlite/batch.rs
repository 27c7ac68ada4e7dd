//! One batch of changes to one account: a transaction, with a savepoint for each operation.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use rmail_proto::{MailboxId, ModSeq, UnixTime, imap::Changes};

use super::{
    account::{AccountDatabase, Counters, Surroundings},
    database::{Durability, from_sql, in_savepoint},
    directory::{Directory, Marks},
    mailbox::MailboxRow,
    read::changes_since,
    spool::Spool,
    stages::Stages,
};
use crate::{AccountWrite, AccountWritten, MailboxRef, StoreError, Written, store::Result};

/// What an operation works with.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    pub(super) around: &'a Surroundings,
    pub(super) stages: &'a Stages,
    pub(super) spool: &'a Spool,
    pub(super) folder: &'a Path,
    pub(super) now: UnixTime,
    pub(super) counters: Counters,
    /// Most bytes that the account may keep; 0: no bound.
    pub(super) quota_bytes: u64,
    /// The MODSEQ of the present operation, once it has needed one.
    modseq: Option<u64>,
    /// Contents' files that nothing needs once the transaction is committed.
    pub(super) unneeded: Vec<PathBuf>,
}

/// Where a batch comes from and goes to.
pub(super) struct Context<'a> {
    pub(super) around: &'a Surroundings,
    pub(super) directory: &'a Directory,
    pub(super) stages: &'a Stages,
    pub(super) spool: &'a Spool,
}

impl Batch<'_> {
    /// All changes of one operation have one MODSEQ.
    pub(super) fn modseq(&mut self) -> u64 {
        let counters = &mut self.counters;
        *self.modseq.get_or_insert_with(|| {
            counters.modseq += 1;
            counters.modseq
        })
    }

    fn write(&mut self, operation: AccountWrite) -> Result<AccountWritten> {
        match operation {
            AccountWrite::Save { mailbox, messages } => self.save(&mailbox, &messages),
            AccountWrite::Deliver { spool, message } => self.deliver(spool, &message),
            AccountWrite::StoreFlags {
                mailbox,
                uids,
                mode,
                flags,
                unchanged_since,
            } => self.store_flags(mailbox, &uids, mode, &flags, unchanged_since),
            AccountWrite::Copy {
                source,
                uids,
                target,
            } => self.copy_messages(source, &uids, &target),
            AccountWrite::Move {
                source,
                uids,
                target,
            } => self.move_messages(source, &uids, &target),
            AccountWrite::Expunge { mailbox, uids } => self.expunge(mailbox, uids.as_ref()),
            AccountWrite::CreateMailbox { name, special_use } => {
                self.create_mailbox(&name, special_use)
            }
            AccountWrite::DeleteMailbox { mailbox } => self.delete_mailbox(&mailbox),
            AccountWrite::RenameMailbox { mailbox, to } => self.rename_mailbox(&mailbox, &to),
            AccountWrite::Subscribe { name, subscribed } => self.subscribe(&name, subscribed),
            AccountWrite::TakeRecent {
                mailbox,
                first_recent,
            } => self.take_recent(mailbox, first_recent),
            AccountWrite::Replace {
                mailbox,
                uid,
                unchanged_since,
                message,
            } => {
                let target = MailboxRef::Id(mailbox);
                self.replace((mailbox, uid), unchanged_since, &target, &message)
            }
            AccountWrite::SetExtras {
                mailbox,
                uid,
                extras,
            } => self.set_extras(mailbox, uid, &extras),
            AccountWrite::SetDocument { name, value } => self.set_document(&name, value.as_deref()),
            AccountWrite::SwapDocument { name, old, new } => {
                self.swap_document(&name, old.as_deref(), &new)
            }
            AccountWrite::Upload(write) => self.write_upload(&write),
        }
    }

    /// Refuses what has made the account larger than it may be. The counts of its mailboxes are
    /// saved.
    pub(super) fn check_quota(&self) -> Result<()> {
        if self.quota_bytes == 0 {
            return Ok(());
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM mailboxes")?;
        let used: i64 = statement.query_row([], |row| row.get(0))?;
        match from_sql(used) <= self.quota_bytes {
            true => Ok(()),
            false => Err(StoreError::OverQuota),
        }
    }

    /// Runs one operation; when it fails, nothing of it is left.
    fn attempt(&mut self, operation: AccountWrite) -> Result<Result<AccountWritten>> {
        self.modseq = None;
        let unneeded = self.unneeded.len();
        let uid_validity = self.counters.uid_validity;
        let result = in_savepoint(self.connection, || self.write(operation))?;
        if result.is_err() {
            self.unneeded.truncate(unneeded);
            self.counters.uid_validity = uid_validity;
        }
        Ok(result)
    }
}

/// What is known of a transaction before it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) durability: Durability,
    /// Operations, each of which may take a MODSEQ.
    pub(super) modseqs_max: u64,
    /// Whether something is refused when the account is full.
    pub(super) heeds_quota: bool,
}

/// Changes an account's mail; see [`Store::write_account`](crate::Store::write_account).
pub(super) fn write_account(
    account: &mut AccountDatabase,
    context: &Context<'_>,
    now: UnixTime,
    batch: Vec<AccountWrite>,
    watched: &[(MailboxId, ModSeq)],
) -> Result<Written> {
    let durability = match batch.iter().all(may_be_lost) {
        true => Durability::Unsynced,
        false => Durability::Synced,
    };
    let plan = Plan {
        durability,
        modseqs_max: batch.len() as u64,
        heeds_quota: batch.iter().any(heeds_quota),
    };
    transact(account, context, now, plan, |work| {
        let mut results = Vec::with_capacity(batch.len());
        for operation in batch {
            results.push(work.attempt(operation)?);
        }
        let changes = watched_changes(work.connection, watched)?;
        Ok(Written { results, changes })
    })
}

/// Runs operations in one transaction; when they fail, nothing of it has happened.
pub(super) fn transact<T>(
    account: &mut AccountDatabase,
    context: &Context<'_>,
    now: UnixTime,
    plan: Plan,
    operations: impl FnOnce(&mut Batch<'_>) -> Result<T>,
) -> Result<T> {
    let Plan {
        durability,
        modseqs_max,
        heeds_quota,
    } = plan;
    let folder = account.folder.clone();
    let id = account.account;
    let quota_bytes = match heeds_quota {
        true => context.directory.quota_bytes(id)?,
        false => 0,
    };
    let (transaction, counters) = account.write(context.directory, durability, modseqs_max)?;
    let before = counters.clone();
    let mut work = Batch {
        connection: &transaction,
        around: context.around,
        stages: context.stages,
        spool: context.spool,
        folder: &folder,
        now,
        counters,
        quota_bytes,
        modseq: None,
        unneeded: Vec::new(),
    };
    let done = operations(&mut work)?;
    let Batch {
        counters, unneeded, ..
    } = work;
    if counters != before {
        counters.save(&transaction)?;
    }
    if counters.uid_validity != before.uid_validity {
        let marks = Marks {
            uid_validity: counters.uid_validity,
            ..Marks::default()
        };
        context
            .directory
            .raise_marks(id, marks, Durability::Synced)?;
    }
    transaction.commit()?;
    if durability == Durability::Synced {
        account.unrecorded_modseq = Some(counters.modseq);
    }
    for file in unneeded {
        // What stays is swept up later.
        context.around.files.remove(&file).ok();
    }
    Ok(done)
}

/// Whether it is refused when the account is full. What was accepted is delivered in any case.
fn heeds_quota(operation: &AccountWrite) -> bool {
    match operation {
        AccountWrite::Save { .. } | AccountWrite::Copy { .. } | AccountWrite::Replace { .. } => {
            true
        }
        AccountWrite::Deliver { .. }
        | AccountWrite::StoreFlags { .. }
        | AccountWrite::Move { .. }
        | AccountWrite::Expunge { .. }
        | AccountWrite::CreateMailbox { .. }
        | AccountWrite::DeleteMailbox { .. }
        | AccountWrite::RenameMailbox { .. }
        | AccountWrite::Subscribe { .. }
        | AccountWrite::TakeRecent { .. }
        | AccountWrite::SetExtras { .. }
        | AccountWrite::SetDocument { .. }
        | AccountWrite::SwapDocument { .. }
        | AccountWrite::Upload(_) => false,
    }
}

/// Whether a power loss may take this back.
fn may_be_lost(operation: &AccountWrite) -> bool {
    match operation {
        AccountWrite::StoreFlags { .. }
        | AccountWrite::SetExtras { .. }
        | AccountWrite::TakeRecent { .. } => true,
        AccountWrite::Save { .. }
        | AccountWrite::Deliver { .. }
        | AccountWrite::Copy { .. }
        | AccountWrite::Move { .. }
        | AccountWrite::Expunge { .. }
        | AccountWrite::CreateMailbox { .. }
        | AccountWrite::DeleteMailbox { .. }
        | AccountWrite::RenameMailbox { .. }
        | AccountWrite::Subscribe { .. }
        | AccountWrite::Replace { .. }
        | AccountWrite::SetDocument { .. }
        | AccountWrite::SwapDocument { .. }
        | AccountWrite::Upload(_) => false,
    }
}

fn watched_changes(
    connection: &Connection,
    watched: &[(MailboxId, ModSeq)],
) -> Result<Vec<(MailboxId, Changes)>> {
    let mut all = Vec::new();
    for &(id, since) in watched {
        if let Some(mailbox) = MailboxRow::by_id(connection, id)?
            && mailbox.highest_modseq > since.0
        {
            all.push((id, changes_since(connection, &mailbox, since)?));
        }
    }
    Ok(all)
}
