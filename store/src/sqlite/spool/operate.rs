//! What an operator does with messages in the queue.

use rusqlite::{OptionalExtension, params};

use super::{super::database::to_sql, Batch, rows::fate_number};
use crate::{Fate, Operation, SpoolId, StoreError, store::Result};

impl Batch<'_> {
    pub(super) fn operate(
        &mut self,
        spool: SpoolId,
        recipient: Option<u32>,
        operation: Operation,
    ) -> Result<()> {
        let entry = to_sql(spool.0);
        let lots = self.lots_of(entry, recipient)?;
        if lots.is_empty() {
            return Err(StoreError::NoSuchEntry);
        }
        for (destination, claimed_by) in &lots {
            if let Some(claimer) = claimed_by
                && self.presence.is_alive(claimer)?
            {
                return Err(StoreError::InDelivery);
            }
            match operation {
                Operation::Retry => self.set_lot(
                    "UPDATE lots SET claimed_by = NULL, due_at = min(due_at, ?3) \
                     WHERE entry = ?1 AND destination = ?2 AND held = 0",
                    entry,
                    destination,
                )?,
                Operation::Hold => self.set_lot(
                    "UPDATE lots SET claimed_by = NULL, held = 1, reason = 'held by an operator' \
                     WHERE entry = ?1 AND destination = ?2 AND ?3 IS NOT NULL",
                    entry,
                    destination,
                )?,
                Operation::Release => self.set_lot(
                    "UPDATE lots SET claimed_by = NULL, held = 0, due_at = ?3, reason = '' \
                     WHERE entry = ?1 AND destination = ?2 AND held = 1",
                    entry,
                    destination,
                )?,
                Operation::Drop => {
                    self.drop_recipients(entry, destination, recipient)?;
                    self.remove_lot_if_done(entry, destination)?;
                }
            }
        }
        self.remove_if_finished(entry)
    }

    /// The lots of an entry, or the one in which this recipient waits, with who has claimed them.
    fn lots_of(&self, entry: i64, recipient: Option<u32>) -> Result<Vec<(String, Option<String>)>> {
        let destination: Option<String> = match recipient {
            None => None,
            Some(position) => {
                let mut statement = self.transaction.prepare_cached(
                    "SELECT destination FROM recipients \
                     WHERE entry = ?1 AND position = ?2 AND fate = 0",
                )?;
                let found = statement
                    .query_row(params![entry, position], |row| row.get(0))
                    .optional()?;
                Some(found.ok_or(StoreError::NoSuchEntry)?)
            }
        };
        let mut statement = self.transaction.prepare_cached(
            "SELECT destination, claimed_by FROM lots \
             WHERE entry = ?1 AND (?2 IS NULL OR destination = ?2)",
        )?;
        let lots = statement.query_map(params![entry, destination], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        Ok(lots.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    fn set_lot(&mut self, statement: &str, entry: i64, destination: &str) -> Result<()> {
        self.transaction
            .prepare_cached(statement)?
            .execute(params![entry, destination, self.now.0])?;
        self.touch(destination);
        Ok(())
    }

    fn drop_recipients(&self, entry: i64, destination: &str, recipient: Option<u32>) -> Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE recipients SET fate = ?3, told_at = ?4 WHERE entry = ?1 \
                 AND destination = ?2 AND fate = 0 AND (?5 IS NULL OR position = ?5)",
            )?
            .execute(params![
                entry,
                destination,
                fate_number(Fate::Dropped),
                self.now.0,
                recipient
            ])?;
        Ok(())
    }
}
