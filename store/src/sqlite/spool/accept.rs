//! A message comes into the spool.

use std::collections::BTreeSet;

use rusqlite::params;

use rmail_proto::{Address, smtp::Return};

use super::{
    super::{
        content::{Source, place_file},
        database::{from_sql, to_sql},
        summary::{SUMMARY_COLUMNS, SummaryValues, references_to_text},
    },
    Batch, LOCAL,
    rows::{destination_text, recipient_values},
};
use crate::{Content, NewRecipient, NewSpoolEntry, SpoolId, StoreError, store::Result};

impl Batch<'_> {
    pub(super) fn accept(&mut self, entry: &NewSpoolEntry) -> Result<SpoolId> {
        let id = self.insert(entry)?;
        let destinations: BTreeSet<&str> = entry
            .recipients
            .iter()
            .map(|recipient| destination_text(&recipient.destination))
            .collect();
        for destination in destinations {
            let is_claimed = destination == LOCAL && entry.is_claimed;
            self.insert_lot(id, destination, is_claimed, 0)?;
        }
        Ok(SpoolId(from_sql(id)))
    }

    /// Inserts an entry with its recipients and its content, and no lot.
    pub(super) fn insert(&self, entry: &NewSpoolEntry) -> Result<i64> {
        assert!(!entry.recipients.is_empty(), "a message goes to somebody");
        let source = match &entry.content {
            Content::Inline(bytes) => Source::Memory(bytes.clone()),
            Content::Staged(stage) => Source::staged(self.stages, *stage)?,
            Content::Spooled(_) => return Err(StoreError::NoSuchUpload),
        };
        let source = source.load_small(self.spool.files.as_ref())?;
        let id = self.insert_entry(entry, &source)?;
        self.insert_recipients(id, 0, &entry.recipients)?;
        if let Source::File { path, .. } = &source {
            let target = self.spool.file(from_sql(id));
            place_file(self.spool.files.as_ref(), path, &target)?;
        }
        Ok(id)
    }

    fn insert_entry(&self, entry: &NewSpoolEntry, source: &Source) -> Result<i64> {
        let values = SummaryValues::new(&entry.summary);
        self.transaction
            .prepare_cached(&format!(
                "INSERT INTO entries (envelope_id, accepted_at, reverse_path, smtputf8, \
                 eight_bit_mime, ret, envid, message_references, in_file, bytes, size, \
                 {SUMMARY_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
                 ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)"
            ))?
            .execute(params![
                entry.envelope_id,
                self.now.0,
                entry.reverse_path.address().map(Address::to_string),
                entry.smtputf8,
                entry.eight_bit_mime,
                entry.notice.ret.map(Return::as_str),
                entry.notice.envid,
                references_to_text(&values.summary.references),
                source.bytes().is_none(),
                source.bytes(),
                to_sql(source.size_bytes()),
                values.header_bytes,
                values.sent_date,
                values.sent_zone,
                values.summary.has_attachments,
                values.summary.message_id,
                values.summary.envelope,
                values.summary.body,
                values.summary.body_structure,
                values.summary.parts,
            ])?;
        Ok(self.transaction.last_insert_rowid())
    }

    /// Adds recipients that wait, from this position on.
    pub(super) fn insert_recipients(
        &self,
        entry: i64,
        first_position: u32,
        recipients: &[NewRecipient],
    ) -> Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO recipients (entry, position, path, destination, notify, orcpt, fate) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
        )?;
        for (position, recipient) in (first_position..).zip(recipients) {
            let (path, notify, orcpt) = recipient_values(&recipient.recipient);
            let destination = destination_text(&recipient.destination);
            statement.execute(params![entry, position, path, destination, notify, orcpt])?;
        }
        Ok(())
    }

    /// Makes a lot that is due now, if there is none.
    pub(super) fn insert_lot(
        &mut self,
        entry: i64,
        destination: &str,
        is_claimed: bool,
        attempts: u32,
    ) -> Result<()> {
        self.transaction
            .prepare_cached(
                "INSERT INTO lots VALUES (?1, ?2, ?3, 0, ?4, ?5, 0, '') ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                entry,
                destination,
                is_claimed.then(|| self.presence.name()),
                self.now.0,
                attempts,
            ])?;
        if !is_claimed {
            self.touch(destination);
        }
        Ok(())
    }
}
