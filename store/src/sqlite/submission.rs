//! What an account sends, and its copy of it: one step over two databases.
//!
//! ```text
//!   spool.db                    mail.db                          spool.db
//!  ┌──────────┐  it is asked  ┌───────────────────────────┐   ┌──────────────────┐
//!  │ prepared ├──────────────►│ copy kept and entry noted ├──►│ queued (unsynced)│
//!  │ (synced) │               │ (synced: it is sent)      │   └──────────────────┘
//!  └──────────┘               └─────────────┬─────────────┘   ┌──────────────────┐
//!                                           └─ or refused ───►│ gone (unsynced)  │
//!                                                             └──────────────────┘
//! ```
//!
//! The account decides: the transaction that keeps the copy sends the message. An entry that is
//! prepared is nobody's work and stands in no list, so nothing happens to it meanwhile.
//!
//! | an entry is prepared | its account  | becomes                                       |
//! |----------------------|--------------|-----------------------------------------------|
//! | and being sent       | is asked     | queued, or gone, as that answers              |
//! | and left             | has noted it | queued, by whoever looks                      |
//! |                      | has not      | gone, by whoever looks                        |
//! |                      | is gone      | queued, by whoever looks: it may have been    |
//! |                      |              | acknowledged, and no copy contradicts it      |
//!
//! It is left when its process is dead, or has met a failure after which it does not know.
//! Whoever looks does so by [`settle_submissions`](crate::Store::settle_submissions).
//!
//! A note is needed for as long as the entry may come up again as prepared. The next entry that is
//! prepared for the account tells which ones can't: that was synced after they were settled.

use rmail_proto::{AccountId, InstanceId, UnixTime};
use rusqlite::Connection;

use super::{
    SqliteStore,
    account::AccountDatabase,
    batch::{Batch, Context, Plan, transact},
    database::{Durability, to_sql},
    lock,
    spool::{Prepared, Undecided},
};
use crate::{AccountWritten, SpoolId, StoreError, Submission, store::Result};

impl SqliteStore {
    /// See [`Store::submit`](crate::Store::submit).
    pub(super) fn send_and_keep(
        &self,
        now: UnixTime,
        account: AccountId,
        submission: &Submission,
    ) -> Result<InstanceId> {
        let entry = &submission.entry;
        let prepared = self
            .spool
            .prepare(now, account, entry, &self.stages, &self.presence)?;
        let context = self.context();
        let kept = self.with_account(account, |database| {
            keep(database, &context, now, prepared, submission)
        });
        // After such a failure nobody knows what is in the log, until it was settled.
        let is_in_doubt = matches!(kept, Err(StoreError::Full | StoreError::Failed(_)));
        if is_in_doubt || self.settle(now, prepared.entry, kept.is_ok()).is_err() {
            lock(&self.undecided).insert(prepared.entry);
        }
        if kept.is_ok() {
            self.presence.bump();
        }
        kept
    }

    /// See [`Store::settle_submissions`](crate::Store::settle_submissions).
    pub(super) fn settle_all(&self, now: UnixTime) -> Result<bool> {
        let mut has_queued = false;
        let mut failure = None;
        for undecided in self.spool.undecided()? {
            match self.settle_left(now, &undecided) {
                Ok(is_queued) => has_queued |= is_queued,
                // Others may be better off.
                Err(error) => failure = Some(error),
            }
        }
        if has_queued {
            self.presence.bump();
        }
        failure.map_or(Ok(has_queued), Err)
    }

    /// Settles an entry that nobody is about to settle. Returns whether it was queued.
    fn settle_left(&self, now: UnixTime, left: &Undecided) -> Result<bool> {
        let is_ours = lock(&self.undecided).contains(&left.entry);
        if !is_ours && self.presence.is_alive(&left.process)? {
            return Ok(false);
        }
        let origin = self.spool.origin();
        let is_noted = self.with_account(left.account, |database| {
            // What is seen must be durable, and what is not must not come up.
            database.database.sync()?;
            has_noted(database.database.connection(), origin, left.entry)
        });
        let is_sent = match is_noted {
            Err(StoreError::NoSuchAccount) => true,
            noted => noted?,
        };
        self.settle(now, left.entry, is_sent)?;
        lock(&self.undecided).remove(&left.entry);
        Ok(is_sent)
    }

    fn settle(&self, now: UnixTime, entry: SpoolId, is_sent: bool) -> Result<()> {
        self.spool
            .settle(now, entry, is_sent, &self.stages, &self.presence)
    }
}

/// Keeps the copy of an entry that is prepared: from then on it is sent.
fn keep(
    account: &mut AccountDatabase,
    context: &Context<'_>,
    now: UnixTime,
    prepared: Prepared,
    submission: &Submission,
) -> Result<InstanceId> {
    let plan = Plan {
        durability: Durability::Synced,
        modseqs_max: 1,
        heeds_quota: true,
    };
    transact(account, context, now, plan, |work| {
        work.note_sent(prepared)?;
        work.keep_copy(submission)
    })
}

impl Batch<'_> {
    fn note_sent(&self, prepared: Prepared) -> Result<()> {
        let origin = self.spool.origin();
        self.connection
            .prepare_cached("DELETE FROM sent WHERE origin = ?1 AND spool < ?2")?
            .execute([origin, to_sql(prepared.oldest.0)])?;
        self.connection
            .prepare_cached("INSERT INTO sent VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute([origin, to_sql(prepared.entry.0)])?;
        Ok(())
    }

    fn keep_copy(&mut self, submission: &Submission) -> Result<InstanceId> {
        let Submission {
            mailbox,
            copy,
            draft,
            entry: _,
        } = submission;
        let written = match draft {
            None => self.save(mailbox, std::slice::from_ref(copy)),
            Some(draft) => {
                let since = Some(draft.unchanged_since);
                self.replace((draft.mailbox, draft.uid), since, mailbox, copy)
            }
        };
        match written? {
            AccountWritten::Saved { instances, .. } => Ok(instances[0]),
            AccountWritten::Stored { .. }
            | AccountWritten::Copied { .. }
            | AccountWritten::Expunged { .. }
            | AccountWritten::Made(_)
            | AccountWritten::Done => unreachable!("messages are saved"),
        }
    }
}

fn has_noted(connection: &Connection, origin: i64, entry: SpoolId) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM sent WHERE origin = ?1 AND spool = ?2")?;
    Ok(statement.exists([origin, to_sql(entry.0)])?)
}
