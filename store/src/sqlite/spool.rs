//! `spool.db`: what was accepted and is not finished.
//!
//! | entry is         | `claimed_by`      | becomes                                               |
//! |------------------|-------------------|-------------------------------------------------------|
//! | being worked on  | a living process  | shorter or gone (Finish), waiting (Hold)              |
//! | abandoned        | a dead process    | waiting, at the next Claim of anybody                 |
//! | waiting          | NULL              | being worked on, at a Claim when it is due            |
//!
//! Large contents are files, `spool/<entry>.eml`. A file without an entry is removed when a store
//! is opened.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use rmail_proto::{Address, ForwardPath, ReversePath, UnixTime, smtp::Recipient};

use super::{
    content::{Source, place_file},
    database::{Database, Durability, from_sql, in_savepoint, to_sql},
    ids::IdSource,
    layout::Layout,
    lock,
    presence::{Presence, list, remove_if_there, stem},
    stages::Stages,
    summary::{
        SUMMARY_COLUMNS, SummaryValues, references_from_text, references_to_text, summary_from_row,
    },
};
use crate::{
    Content, Files, NewSpoolEntry, SpoolEntry, SpoolId, SpoolWrite, SpoolWritten, StoreError,
    store::Result,
};

const MIGRATIONS: &[&str] = &[include_str!("schema/spool_1.sql")];

/// The spool of one `mail_root`.
pub(super) struct Spool {
    files: Arc<dyn Files>,
    folder: PathBuf,
    origin: i64,
    database: Mutex<Database>,
}

/// What a batch works with.
struct Batch<'a> {
    spool: &'a Spool,
    transaction: &'a Transaction<'a>,
    stages: &'a Stages,
    presence: &'a Presence,
    now: UnixTime,
    /// Files that no entry needs once the transaction is committed.
    unneeded: Vec<PathBuf>,
}

impl Spool {
    pub(super) fn open(
        files: Arc<dyn Files>,
        layout: &Layout,
        vfs: Option<&str>,
        ids: &IdSource,
    ) -> Result<Self> {
        let folder = layout.spool_folder();
        files.create_folder(&folder)?;
        let mut database = Database::open(&layout.spool(), files.clone(), vfs)?;
        database.migrate(MIGRATIONS, |transaction| {
            let origin = ids.next_number().cast_signed();
            transaction.execute("INSERT INTO meta VALUES (1, ?1)", [origin])?;
            Ok(())
        })?;
        let origin = {
            let transaction = database.read()?;
            transaction.query_row("SELECT origin FROM meta", [], |row| row.get(0))?
        };
        let spool = Self {
            files,
            folder,
            origin,
            database: Mutex::new(database),
        };
        match spool.sweep() {
            // Another process is writing; the next start will do.
            Ok(()) | Err(StoreError::Busy) => Ok(spool),
            Err(error) => Err(error),
        }
    }

    /// Tells this spool's entries from those of any other.
    pub(super) fn origin(&self) -> i64 {
        self.origin
    }

    pub(super) fn write(
        &self,
        now: UnixTime,
        batch: Vec<SpoolWrite>,
        stages: &Stages,
        presence: &Presence,
    ) -> Result<Vec<Result<SpoolWritten>>> {
        let accepts = |operation: &SpoolWrite| matches!(operation, SpoolWrite::Accept(_));
        let durability = match batch.iter().any(accepts) {
            true => Durability::Synced,
            false => Durability::Unsynced,
        };
        let mut database = lock(&self.database);
        let transaction = database.write(durability)?;
        let mut work = Batch {
            spool: self,
            transaction: &transaction,
            stages,
            presence,
            now,
            unneeded: Vec::new(),
        };
        let mut results = Vec::with_capacity(batch.len());
        for operation in batch {
            results.push(in_savepoint(&transaction, || work.write(operation))?);
        }
        let unneeded = work.unneeded;
        transaction.commit()?;
        // No entry may come back without its file.
        let may_remove =
            unneeded.is_empty() || durability == Durability::Synced || database.sync().is_ok();
        drop(database);
        for file in unneeded.iter().filter(|_| may_remove) {
            // What stays is removed at the next start.
            self.files.remove(file).ok();
        }
        Ok(results)
    }

    pub(super) fn due(&self, presence: &Presence) -> Result<Option<UnixTime>> {
        let mut database = lock(&self.database);
        let transaction = database.read()?;
        let mut due = transaction
            .prepare_cached("SELECT min(due_at) FROM entries WHERE claimed_by IS NULL")?
            .query_row([], |row| row.get::<_, Option<i64>>(0))?;
        for claimer in claimers(&transaction)? {
            if !presence.is_alive(&claimer)? {
                let abandoned: Option<i64> = transaction
                    .prepare_cached("SELECT min(due_at) FROM entries WHERE claimed_by = ?1")?
                    .query_row([claimer], |row| row.get(0))?;
                due = [due, abandoned].into_iter().flatten().min();
            }
        }
        Ok(due.map(UnixTime))
    }

    /// The content of an entry.
    pub(super) fn content(&self, entry: SpoolId) -> Result<Source> {
        let mut database = lock(&self.database);
        let transaction = database.read()?;
        let found: Option<(i64, Option<Vec<u8>>)> = transaction
            .prepare_cached("SELECT size, bytes FROM entries WHERE id = ?1")?
            .query_row([to_sql(entry.0)], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match found {
            None => Err(StoreError::NoSuchUpload),
            Some((_, Some(bytes))) => Ok(Source::Memory(Bytes::from(bytes))),
            Some((size, None)) => Ok(Source::File {
                path: self.file(entry.0),
                size_bytes: from_sql(size),
            }),
        }
    }

    fn file(&self, entry: u64) -> PathBuf {
        self.folder.join(format!("{entry}.eml"))
    }

    /// Makes all durable that is there.
    pub(super) fn sync(&self) -> Result<()> {
        lock(&self.database).sync()
    }

    /// Removes files that no entry names.
    fn sweep(&self) -> Result<()> {
        let mut database = lock(&self.database);
        let orphans = self.orphans(&database.read()?)?;
        if orphans.is_empty() {
            return Ok(());
        }
        // That their entries are gone may not be durable yet.
        database.sync()?;
        // The write lock: nobody is just placing a file.
        let transaction = database.write(Durability::Unsynced)?;
        let still = self.orphans(&transaction)?;
        for path in orphans.iter().filter(|path| still.contains(path)) {
            remove_if_there(self.files.as_ref(), path)?;
        }
        Ok(())
    }

    fn orphans(&self, transaction: &Transaction<'_>) -> Result<Vec<PathBuf>> {
        let mut statement = transaction.prepare_cached("SELECT 1 FROM entries WHERE id = ?1")?;
        let mut orphans = Vec::new();
        for path in list(self.files.as_ref(), &self.folder)? {
            let entry = stem(&path, "eml").and_then(|name| name.parse::<i64>().ok());
            if let Some(entry) = entry
                && !statement.exists([entry])?
            {
                orphans.push(path);
            }
        }
        Ok(orphans)
    }
}

impl Batch<'_> {
    fn write(&mut self, operation: SpoolWrite) -> Result<SpoolWritten> {
        match operation {
            SpoolWrite::Accept(entry) => self.accept(&entry).map(SpoolWritten::Accepted),
            SpoolWrite::Finish { spool, recipients } => {
                self.finish(spool, &recipients).map(|()| SpoolWritten::Done)
            }
            SpoolWrite::Hold {
                spool,
                until,
                reason,
            } => self
                .hold(spool, until, &reason)
                .map(|()| SpoolWritten::Done),
            SpoolWrite::Claim {
                count_max,
                bytes_max,
            } => self.claim(count_max, bytes_max).map(SpoolWritten::Claimed),
        }
    }

    fn accept(&mut self, entry: &NewSpoolEntry) -> Result<SpoolId> {
        let source = match &entry.content {
            Content::Inline(bytes) => Source::Memory(bytes.clone()),
            Content::Staged(stage) => Source::staged(self.stages, *stage)?,
            Content::Spooled(_) => return Err(StoreError::NoSuchUpload),
        };
        let source = source.load_small(self.spool.files.as_ref())?;
        let values = SummaryValues::new(&entry.summary);
        self.transaction
            .prepare_cached(&format!(
                "INSERT INTO entries (envelope_id, accepted_at, reverse_path, claimed_by, due_at, \
                 reason, message_references, in_file, bytes, size, {SUMMARY_COLUMNS}) \
                 VALUES (?1, ?2, ?3, ?4, ?2, '', ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
                 ?15, ?16, ?17)"
            ))?
            .execute(params![
                entry.envelope_id,
                self.now.0,
                entry.reverse_path.address().map(Address::to_string),
                entry.is_claimed.then(|| self.presence.name()),
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
        let id = self.transaction.last_insert_rowid();
        let mut statement = self
            .transaction
            .prepare_cached("INSERT INTO recipients VALUES (?1, ?2, ?3, 0)")?;
        for (position, recipient) in entry.recipients.iter().enumerate() {
            let path = match &recipient.path {
                ForwardPath::Postmaster => None,
                ForwardPath::Address(address) => Some(address.to_string()),
            };
            statement.execute(params![id, position as i64, path])?;
        }
        let id = from_sql(id);
        if let Source::File { path, .. } = &source {
            place_file(self.spool.files.as_ref(), path, &self.spool.file(id))?;
        }
        Ok(SpoolId(id))
    }

    fn finish(&mut self, entry: SpoolId, recipients: &[u32]) -> Result<()> {
        let id = to_sql(entry.0);
        let mut done = self
            .transaction
            .prepare_cached("UPDATE recipients SET done = 1 WHERE entry = ?1 AND position = ?2")?;
        for position in recipients {
            done.execute(params![id, position])?;
        }
        let is_left = self
            .transaction
            .prepare_cached("SELECT 1 FROM recipients WHERE entry = ?1 AND done = 0")?
            .exists([id])?;
        if is_left {
            return Ok(());
        }
        let in_file: Option<bool> = self
            .transaction
            .prepare_cached("DELETE FROM entries WHERE id = ?1 RETURNING in_file")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        self.transaction
            .prepare_cached("DELETE FROM recipients WHERE entry = ?1")?
            .execute([id])?;
        if in_file == Some(true) {
            self.unneeded.push(self.spool.file(entry.0));
        }
        Ok(())
    }

    fn hold(&mut self, entry: SpoolId, until: UnixTime, reason: &str) -> Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE entries SET claimed_by = NULL, due_at = ?2, reason = ?3 WHERE id = ?1",
            )?
            .execute(params![to_sql(entry.0), until.0, reason])?;
        Ok(())
    }

    fn claim(&mut self, count_max: usize, bytes_max: usize) -> Result<Vec<SpoolEntry>> {
        for claimer in claimers(self.transaction)? {
            if !self.presence.is_alive(&claimer)? {
                self.transaction
                    .prepare_cached("UPDATE entries SET claimed_by = NULL WHERE claimed_by = ?1")?
                    .execute([claimer])?;
            }
        }
        let mut claimed = Vec::new();
        let mut bytes_left = bytes_max;
        let mut statement = self.transaction.prepare_cached(&format!(
            "SELECT id, envelope_id, accepted_at, reverse_path, message_references, size, \
             {SUMMARY_COLUMNS}, in_file FROM entries \
             WHERE claimed_by IS NULL AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![self.now.0, to_sql(count_max as u64)])?;
        while let Some(row) = rows.next()? {
            let mut entry = entry_from_row(row)?;
            if !row.get::<_, bool>(15)? {
                let size_bytes = usize::try_from(entry.summary.size_bytes).unwrap_or(usize::MAX);
                if size_bytes > bytes_left && !claimed.is_empty() {
                    break;
                }
                bytes_left = bytes_left.saturating_sub(size_bytes);
                entry.content = Some(inline_content(self.transaction, entry.id)?);
            }
            entry.recipients = recipients(self.transaction, entry.id)?;
            claimed.push(entry);
        }
        drop(rows);
        let mut claim = self
            .transaction
            .prepare_cached("UPDATE entries SET claimed_by = ?2 WHERE id = ?1")?;
        for entry in &claimed {
            claim.execute(params![to_sql(entry.id.0), self.presence.name()])?;
        }
        Ok(claimed)
    }
}

/// The processes that have claims.
fn claimers(connection: &Connection) -> Result<Vec<String>> {
    let mut statement =
        connection.prepare_cached("SELECT min(claimed_by) FROM entries WHERE claimed_by > ?1")?;
    let mut names: Vec<String> = Vec::new();
    loop {
        let last = names.last().map_or("", String::as_str);
        match statement.query_row([last], |row| row.get::<_, Option<String>>(0))? {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}

fn entry_from_row(row: &Row<'_>) -> Result<SpoolEntry> {
    let id = from_sql(row.get(0)?);
    let reverse_path: Option<String> = row.get(3)?;
    let references: String = row.get(4)?;
    let mut summary = summary_from_row(row, 5)?;
    summary.references = references_from_text(&references);
    Ok(SpoolEntry {
        id: SpoolId(id),
        envelope_id: row.get(1)?,
        accepted_at: UnixTime(row.get(2)?),
        reverse_path: match reverse_path {
            None => ReversePath::Null,
            Some(text) => ReversePath::Address(parse_address(id, &text)?),
        },
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

fn recipients(connection: &Connection, entry: SpoolId) -> Result<Vec<(u32, Recipient)>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, path FROM recipients WHERE entry = ?1 AND done = 0 ORDER BY position",
    )?;
    let mut rows = statement.query([to_sql(entry.0)])?;
    let mut recipients = Vec::new();
    while let Some(row) = rows.next()? {
        let path = match row.get::<_, Option<String>>(1)? {
            None => ForwardPath::Postmaster,
            Some(text) => ForwardPath::Address(parse_address(entry.0, &text)?),
        };
        recipients.push((row.get(0)?, Recipient { path }));
    }
    Ok(recipients)
}

fn parse_address(entry: u64, text: &str) -> Result<Address> {
    Address::parse(text)
        .map_err(|_| StoreError::Failed(format!("spool entry {entry} has an invalid address")))
}
