//! An attempt at a lot has ended, or its recipients go elsewhere.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};

use rmail_proto::{UnixTime, smtp::Recipient};

use super::{
    super::database::to_sql,
    Batch, LOCAL, LotKey,
    rows::{destination_text, fate_number, recipient_values, shortened},
};
use crate::{
    Concluded, Destination, Fate, NewRecipient, NewSpoolEntry, SpoolId, StoreError, limits,
    store::Result,
};

impl Batch<'_> {
    /// Returns whether any of these recipients was still waiting: else all of it, its reports as
    /// well, has been done before.
    pub(super) fn conclude(
        &mut self,
        (spool, destination): LotKey<'_>,
        concluded: &[Concluded],
        retry_at: Option<UnixTime>,
        tells_delay: bool,
    ) -> Result<bool> {
        let entry = to_sql(spool.0);
        let mut is_new = false;
        for concluded in concluded {
            is_new |= self.note_fate(entry, destination, concluded)?;
        }
        if self.remove_lot_if_done(entry, destination)? {
            self.remove_if_finished(entry)?;
            return Ok(is_new);
        }
        let Some(retry_at) = retry_at else {
            return Ok(is_new);
        };
        self.transaction
            .prepare_cached(
                "UPDATE lots SET claimed_by = NULL, due_at = ?3, attempts = attempts + 1, \
                 delay_told = max(delay_told, ?4), reason = '' \
                 WHERE entry = ?1 AND destination = ?2 AND held = 0",
            )?
            .execute(params![entry, destination, retry_at.0, tells_delay])?;
        self.touch(destination);
        Ok(is_new)
    }

    /// Gives up the claim on a lot without an attempt: until then, or until it is released.
    pub(super) fn give_up_claim(
        &mut self,
        (spool, destination): LotKey<'_>,
        until: Option<UnixTime>,
        reason: &str,
    ) -> Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE lots SET claimed_by = NULL, held = ?3, due_at = coalesce(?4, due_at), \
                 reason = ?5 WHERE entry = ?1 AND destination = ?2 AND held = 0",
            )?
            .execute(params![
                to_sql(spool.0),
                destination,
                until.is_none(),
                until.map(|until| until.0),
                reason
            ])?;
        self.touch(destination);
        Ok(())
    }

    pub(super) fn expand(
        &mut self,
        spool: SpoolId,
        position: u32,
        targets: Vec<NewRecipient>,
        reports: &[NewSpoolEntry],
    ) -> Result<Vec<(u32, Recipient)>> {
        let entry = to_sql(spool.0);
        let next: u32 = self
            .transaction
            .prepare_cached(
                "SELECT coalesce(max(position) + 1, 0) FROM recipients WHERE entry = ?1",
            )?
            .query_row([entry], |row| row.get(0))?;
        let expanded = self
            .transaction
            .prepare_cached(
                "UPDATE recipients SET fate = ?3 \
                 WHERE entry = ?1 AND position = ?2 AND destination = '' AND fate = 0",
            )?
            .execute(params![entry, position, fate_number(Fate::Expanded)])?;
        if expanded == 0 {
            // It was expanded before, or the entry is gone.
            return Ok(Vec::new());
        }
        let mut added = Vec::new();
        for target in targets {
            if !self.has_recipient(entry, &target.recipient)? {
                added.push(target);
            }
        }
        if next as usize + added.len() > limits::ENTRY_RECIPIENTS {
            return Err(StoreError::TooMany("recipients of one message"));
        }
        self.insert_recipients(entry, next, &added)?;
        for target in &added {
            if let Destination::Remote(key) = &target.destination {
                self.insert_lot(entry, key, false, 0)?;
            }
        }
        for report in reports {
            self.accept(report)?;
        }
        self.remove_lot_if_done(entry, LOCAL)?;
        self.remove_if_finished(entry)?;
        let is_local = |(_, added): &(u32, NewRecipient)| added.destination == Destination::Local;
        let local = (next..).zip(added).filter(is_local);
        Ok(local
            .map(|(position, added)| (position, added.recipient))
            .collect())
    }

    pub(super) fn reroute(
        &mut self,
        spool: SpoolId,
        from: &Destination,
        to: &[(u32, Destination)],
    ) -> Result<()> {
        let entry = to_sql(spool.0);
        let from = destination_text(from);
        let attempts: Option<u32> = self
            .transaction
            .prepare_cached("SELECT attempts FROM lots WHERE entry = ?1 AND destination = ?2")?
            .query_row(params![entry, from], |row| row.get(0))
            .optional()?;
        let Some(attempts) = attempts else {
            return Ok(());
        };
        let mut others = BTreeSet::new();
        for (position, destination) in to {
            let destination = destination_text(destination);
            self.transaction
                .prepare_cached(
                    "UPDATE recipients SET destination = ?4 WHERE entry = ?1 AND position = ?2 \
                     AND destination = ?3 AND fate = 0",
                )?
                .execute(params![entry, position, from, destination])?;
            others.insert(destination);
        }
        others.remove(from);
        for destination in others {
            self.insert_lot(entry, destination, false, attempts)?;
        }
        if !self.remove_lot_if_done(entry, from)? {
            self.give_up_claim((spool, from), Some(self.now), "")?;
        }
        Ok(())
    }

    /// Notes what has become of recipients that wait, and what was tried. Returns whether there
    /// were any.
    fn note_fate(&self, entry: i64, destination: &str, concluded: &Concluded) -> Result<bool> {
        let (by, answer) = shortened(&concluded.told);
        let fate = fate_number(concluded.fate);
        let mut statement = self.transaction.prepare_cached(
            "UPDATE recipients SET fate = ?4, told_at = ?5, told_by = ?6, answer = ?7 \
             WHERE entry = ?1 AND position = ?2 AND destination = ?3 AND fate = 0",
        )?;
        let mut noted = 0;
        for position in &concluded.recipients {
            noted += statement.execute(params![
                entry,
                position,
                destination,
                fate,
                self.now.0,
                by,
                answer
            ])?;
        }
        if noted == 0 || concluded.fate == Fate::Delivered {
            return Ok(noted > 0);
        }
        let number: i64 = self
            .transaction
            .prepare_cached("SELECT coalesce(max(number) + 1, 0) FROM attempts WHERE entry = ?1")?
            .query_row([entry], |row| row.get(0))?;
        self.transaction
            .prepare_cached("INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
            .execute(params![
                entry,
                number,
                self.now.0,
                destination,
                noted as i64,
                fate,
                by,
                answer
            ])?;
        self.transaction
            .prepare_cached("DELETE FROM attempts WHERE entry = ?1 AND number <= ?2")?
            .execute(params![entry, number - limits::ATTEMPTS_KEPT])?;
        Ok(true)
    }

    /// Whether this path is a recipient of the entry already, whatever has become of it.
    fn has_recipient(&self, entry: i64, recipient: &Recipient) -> Result<bool> {
        let (path, _, _) = recipient_values(recipient);
        let mut statement = self.transaction.prepare_cached(
            "SELECT 1 FROM recipients WHERE entry = ?1 AND path IS ?2 COLLATE NOCASE",
        )?;
        Ok(statement.exists(params![entry, path])?)
    }
}
