//! Entries of which an account decides; see [`submission`](super::super::submission).

use rusqlite::params;

use rmail_proto::{AccountId, UnixTime};

use super::{
    super::{
        database::{Durability, from_sql, to_sql},
        lock,
        presence::Presence,
        stages::Stages,
    },
    Batch, Spool,
};
use crate::{NewSpoolEntry, SpoolId, store::Result};

/// An entry that was just prepared.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Prepared {
    pub(in super::super) entry: SpoolId,
    /// The first of the account's entries that is prepared, this one at the latest. What became of
    /// those before it is durable.
    pub(in super::super) oldest: SpoolId,
}

/// An entry that waits for the account's word.
#[derive(Clone, Debug)]
pub(in super::super) struct Undecided {
    pub(in super::super) entry: SpoolId,
    pub(in super::super) account: AccountId,
    pub(in super::super) process: String,
}

impl Spool {
    /// Takes a message, durably, that goes nowhere before it is [settled](Self::settle).
    pub(in super::super) fn prepare(
        &self,
        now: UnixTime,
        account: AccountId,
        entry: &NewSpoolEntry,
        stages: &Stages,
        presence: &Presence,
    ) -> Result<Prepared> {
        self.transact(now, Durability::Synced, stages, presence, |work| {
            work.prepare(account, entry)
        })
    }

    /// The account has decided: the entry is queued, or it goes. Where that was done before,
    /// nothing happens. A loss of power may take it back.
    pub(in super::super) fn settle(
        &self,
        now: UnixTime,
        entry: SpoolId,
        is_sent: bool,
        stages: &Stages,
        presence: &Presence,
    ) -> Result<()> {
        self.transact(now, Durability::Unsynced, stages, presence, |work| {
            work.settle(to_sql(entry.0), is_sent)
        })
    }

    /// All entries that wait for an account's word, of any process.
    pub(in super::super) fn undecided(&self) -> Result<Vec<Undecided>> {
        let database = lock(&self.reader);
        let mut statement = database
            .connection()
            .prepare_cached("SELECT entry, account, prepared_by FROM prepared")?;
        let undecided = statement.query_map([], |row| {
            Ok(Undecided {
                entry: SpoolId(from_sql(row.get(0)?)),
                account: AccountId(from_sql(row.get(1)?)),
                process: row.get(2)?,
            })
        })?;
        Ok(undecided.collect::<rusqlite::Result<_>>()?)
    }
}

impl Batch<'_> {
    fn prepare(&mut self, account: AccountId, entry: &NewSpoolEntry) -> Result<Prepared> {
        assert!(!entry.is_claimed, "what is not sent yet is not delivered");
        let id = self.insert(entry)?;
        let account = to_sql(account.0);
        self.transaction
            .prepare_cached("INSERT INTO prepared VALUES (?1, ?2, ?3)")?
            .execute(params![id, account, self.presence.name()])?;
        let oldest = self
            .transaction
            .prepare_cached("SELECT min(entry) FROM prepared WHERE account = ?1")?
            .query_row([account], |row| row.get(0))?;
        Ok(Prepared {
            entry: SpoolId(from_sql(id)),
            oldest: SpoolId(from_sql(oldest)),
        })
    }

    fn settle(&mut self, entry: i64, is_sent: bool) -> Result<()> {
        let settled = self
            .transaction
            .prepare_cached("DELETE FROM prepared WHERE entry = ?1")?
            .execute([entry])?;
        match (settled, is_sent) {
            (0, _) => Ok(()),
            (_, true) => self.insert_lots(entry),
            (_, false) => self.remove_if_finished(entry),
        }
    }

    /// Makes the lots of an entry, all due now.
    fn insert_lots(&mut self, entry: i64) -> Result<()> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT DISTINCT destination FROM recipients WHERE entry = ?1")?;
        let destinations = statement.query_map([entry], |row| row.get::<_, String>(0))?;
        for destination in destinations.collect::<rusqlite::Result<Vec<_>>>()? {
            self.insert_lot(entry, &destination, false, 0)?;
        }
        Ok(())
    }
}
