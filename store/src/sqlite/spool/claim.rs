//! Lots that are due become somebody's.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use rmail_proto::{UnixTime, smtp::Recipient};

use super::{
    super::{
        database::{from_sql, to_sql},
        summary::{SUMMARY_COLUMNS, references_from_text, summary_from_row},
    },
    Batch, LOCAL,
    rows::{
        destination_from_text, destination_text, notice_from_row, recipient_from_row,
        reverse_path_from,
    },
};
use crate::{Claim, Lots, SpoolEntry, SpoolId, SpoolWritten, limits, store::Result};

impl Batch<'_> {
    pub(super) fn claim(&mut self, claim: &Claim) -> Result<SpoolWritten> {
        self.release_abandoned()?;
        // What this batch has done so far counts.
        self.note_due()?;
        let mut entries = Vec::new();
        let mut bytes_left = claim.bytes_max;
        match &claim.lots {
            Lots::Local => self.claim_of(LOCAL, claim.count_max, &mut bytes_left, &mut entries)?,
            Lots::Remote { each_max, except } => {
                let mut due = self.due_destinations(except)?.into_iter();
                while entries.len() < claim.count_max
                    && let Some(destination) = due.next()
                {
                    let count_max = (claim.count_max - entries.len()).min(*each_max);
                    self.claim_of(&destination, count_max, &mut bytes_left, &mut entries)?;
                }
            }
        }
        let mut except = match &claim.lots {
            Lots::Local => BTreeSet::new(),
            Lots::Remote { except, .. } => except.clone(),
        };
        if matches!(claim.lots, Lots::Remote { .. }) {
            // What was just claimed of is claimed of again when there is room for it.
            let claimed = entries.iter();
            except.extend(claimed.map(|entry| destination_text(&entry.destination).to_owned()));
        }
        self.note_due()?;
        let next_due = self.next_due(&claim.lots, &except)?;
        Ok(SpoolWritten::Claimed { entries, next_due })
    }

    /// Lots of processes that are dead wait again.
    fn release_abandoned(&mut self) -> Result<()> {
        for claimer in claimers(self.transaction)? {
            if self.presence.is_alive(&claimer)? {
                continue;
            }
            let mut release = self.transaction.prepare_cached(
                "UPDATE lots SET claimed_by = NULL WHERE claimed_by = ?1 RETURNING destination",
            )?;
            let released = release.query_map([claimer], |row| row.get::<_, String>(0))?;
            for destination in released.collect::<rusqlite::Result<BTreeSet<_>>>()? {
                self.touched.insert(destination);
            }
        }
        Ok(())
    }

    /// Destinations that have something due, the oldest first.
    fn due_destinations(&self, except: &BTreeSet<String>) -> Result<Vec<String>> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT destination FROM destinations INDEXED BY destinations_by_due \
             WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
        )?;
        // Of those that are passed over there is one more at most: the mailboxes.
        let count_max = limits::CLAIMED_DESTINATIONS + except.len() + 1;
        let due = statement.query_map(params![self.now.0, count_max as i64], |row| {
            row.get::<_, String>(0)
        })?;
        let mut destinations = due.collect::<rusqlite::Result<Vec<_>>>()?;
        destinations.retain(|destination| destination != LOCAL && !except.contains(destination));
        destinations.truncate(limits::CLAIMED_DESTINATIONS);
        Ok(destinations)
    }

    /// Claims lots of one destination.
    fn claim_of(
        &mut self,
        destination: &str,
        count_max: usize,
        bytes_left: &mut usize,
        claimed: &mut Vec<SpoolEntry>,
    ) -> Result<()> {
        let first = claimed.len();
        let mut statement = self.transaction.prepare_cached(&format!(
            "SELECT id, envelope_id, accepted_at, reverse_path, smtputf8, eight_bit_mime, ret, \
             envid, message_references, attempts, delay_told, size, {SUMMARY_COLUMNS}, in_file \
             FROM lots INDEXED BY lots_waiting JOIN entries ON id = entry \
             WHERE destination = ?1 AND claimed_by IS NULL AND held = 0 AND due_at <= ?2 \
             ORDER BY due_at, entry LIMIT ?3"
        ))?;
        let count_max = to_sql(count_max as u64);
        let mut rows = statement.query(params![destination, self.now.0, count_max])?;
        while let Some(row) = rows.next()? {
            let mut entry = entry_from_row(row, destination)?;
            let size_bytes = usize::try_from(entry.summary.size_bytes).unwrap_or(usize::MAX);
            if !row.get::<_, bool>(21)? && size_bytes <= *bytes_left {
                *bytes_left -= size_bytes;
                entry.content = Some(inline_content(self.transaction, entry.id)?);
            }
            entry.recipients = waiting_recipients(self.transaction, entry.id, destination)?;
            claimed.push(entry);
        }
        drop(rows);
        let mut claim = self.transaction.prepare_cached(
            "UPDATE lots SET claimed_by = ?3 WHERE entry = ?1 AND destination = ?2",
        )?;
        for entry in &claimed[first..] {
            let id = to_sql(entry.id.0);
            claim.execute(params![id, destination, self.presence.name()])?;
        }
        self.touch(destination);
        Ok(())
    }

    /// When the next lot is due that waits.
    fn next_due(&self, lots: &Lots, except: &BTreeSet<String>) -> Result<Option<UnixTime>> {
        if let Lots::Local = lots {
            let mut statement = self
                .transaction
                .prepare_cached("SELECT due_at FROM destinations WHERE destination = ?1")?;
            let due = statement.query_row([LOCAL], |row| row.get(0)).optional()?;
            return Ok(due.map(UnixTime));
        }
        let mut statement = self.transaction.prepare_cached(
            "SELECT destination, due_at FROM destinations INDEXED BY destinations_by_due \
             ORDER BY due_at LIMIT ?1",
        )?;
        let mut rows = statement.query([except.len() as i64 + 2])?;
        while let Some(row) = rows.next()? {
            let destination: String = row.get(0)?;
            if destination != LOCAL && !except.contains(&destination) {
                return Ok(Some(UnixTime(row.get(1)?)));
            }
        }
        Ok(None)
    }
}

/// The processes that have claims.
pub(super) fn claimers(connection: &Connection) -> Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT min(claimed_by) FROM lots WHERE claimed_by > ?1")?;
    let mut names: Vec<String> = Vec::new();
    loop {
        let last = names.last().map_or("", String::as_str);
        match statement.query_row([last], |row| row.get::<_, Option<String>>(0))? {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}

fn entry_from_row(row: &Row<'_>, destination: &str) -> Result<SpoolEntry> {
    let id = from_sql(row.get(0)?);
    let references: String = row.get(8)?;
    let mut summary = summary_from_row(row, 11)?;
    summary.references = references_from_text(&references);
    Ok(SpoolEntry {
        id: SpoolId(id),
        destination: destination_from_text(destination.to_owned()),
        attempts: row.get(9)?,
        is_delay_told: row.get(10)?,
        envelope_id: row.get(1)?,
        accepted_at: UnixTime(row.get(2)?),
        reverse_path: reverse_path_from(id, row.get(3)?)?,
        notice: notice_from_row(row, 6)?,
        smtputf8: row.get(4)?,
        eight_bit_mime: row.get(5)?,
        recipients: Vec::new(),
        summary: Arc::new(summary),
        content: None,
    })
}

fn inline_content(connection: &Connection, entry: SpoolId) -> Result<Bytes> {
    let bytes: Vec<u8> = connection
        .prepare_cached("SELECT bytes FROM entries WHERE id = ?1")?
        .query_row([to_sql(entry.0)], |row| row.get(0))?;
    Ok(Bytes::from(bytes))
}

fn waiting_recipients(
    connection: &Connection,
    entry: SpoolId,
    destination: &str,
) -> Result<Vec<(u32, Recipient)>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, path, notify, orcpt FROM recipients \
         WHERE entry = ?1 AND destination = ?2 AND fate = 0 ORDER BY position",
    )?;
    let mut rows = statement.query(params![to_sql(entry.0), destination])?;
    let mut recipients = Vec::new();
    while let Some(row) = rows.next()? {
        recipients.push((row.get(0)?, recipient_from_row(entry.0, row, 1)?));
    }
    Ok(recipients)
}
