//! `spool.db`: what was accepted and is not finished.
//!
//! An entry is a message. Its recipients that have one destination are a lot, which is claimed,
//! tried and put off as one; each of them meets its own fate.
//!
//! | a lot is    | `claimed_by`     | `held` | becomes                                            |
//! |-------------|------------------|--------|----------------------------------------------------|
//! | waiting     | NULL             | 0      | active (Claim, when due), held, gone (Operate)     |
//! | active      | a living process | 0      | waiting (Conclude, PutOff), held (Park), shorter,  |
//! |             |                  |        | gone with the last recipient that waits (Conclude, |
//! |             |                  |        | Expand, Reroute)                                   |
//! | abandoned   | a dead process   | 0      | waiting, at the next Claim of anybody              |
//! | held        | NULL             | 1      | waiting (Operate: Release), gone (Operate: Drop)   |
//!
//! | a recipient is        | becomes                                                              |
//! |-----------------------|----------------------------------------------------------------------|
//! | waiting, in an        | waiting, delivered, relayed or failed (Conclude), expanded (Expand), |
//! | active lot            | waiting in another lot (Reroute)                                     |
//! | waiting, in any other | dropped (Operate)                                                    |
//! | delivered, relayed,   | nothing else; gone with the entry                                    |
//! | failed, expanded,     |                                                                      |
//! | dropped               |                                                                      |
//!
//! With the last lot the entry goes, its recipients and its content. Each row of these tables is
//! one transaction, in which the reports are spooled that it owes: nothing can come between.
//!
//! An entry that comes with a copy for its sender is prepared first: it has no lots before the
//! account has decided ([`submission`](super::submission) has the table), nobody claims it, and
//! no list shows it.
//!
//! So much holds between two transactions: an entry has a lot or is prepared; but for those that
//! are, a recipient waits exactly if its lot is there; and `destinations` knows when the first
//! waiting lot of each destination is due. So nothing ever reads the queue to find its next piece
//! of work, however long it is.
//!
//! Large contents are files, `spool/<entry>.eml`. A file without an entry is removed when a store
//! is opened.

mod accept;
mod claim;
mod conclude;
mod listing;
mod operate;
mod prepared;
mod rows;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use rusqlite::{OptionalExtension, Transaction, params};

use rmail_proto::UnixTime;

pub(super) use self::prepared::{Prepared, Undecided};
use self::rows::destination_text;
use super::{
    content::{Source, read_piece},
    database::{Database, Durability, from_sql, in_savepoint, to_sql},
    ids::IdSource,
    layout::Layout,
    lock,
    presence::{Presence, list, remove_if_there, stem},
    stages::Stages,
};
use crate::{
    Fate, Files, SpoolId, SpoolWrite, SpoolWritten, StoreError, spool::Concluded, store::Result,
};

const MIGRATIONS: &[&str] = &[
    include_str!("../schema/spool_1.sql"),
    include_str!("../schema/spool_2.sql"),
    include_str!("../schema/spool_3.sql"),
];

/// The spool of one `mail_root`.
pub(super) struct Spool {
    files: Arc<dyn Files>,
    folder: PathBuf,
    origin: i64,
    database: Mutex<Database>,
    /// For lists and contents, which wait for no write.
    reader: Mutex<Database>,
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
    /// Destinations of which a lot began or ceased to wait.
    touched: BTreeSet<String>,
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
        let reader = Database::open(&layout.spool(), files.clone(), vfs)?;
        let spool = Self {
            files,
            folder,
            origin,
            database: Mutex::new(database),
            reader: Mutex::new(reader),
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
        let durability = match batch.iter().all(may_be_lost) {
            true => Durability::Unsynced,
            false => Durability::Synced,
        };
        self.transact(now, durability, stages, presence, |work| {
            let mut results = Vec::with_capacity(batch.len());
            for operation in batch {
                let unneeded = work.unneeded.len();
                let result = in_savepoint(work.transaction, || work.write(operation))?;
                if result.is_err() {
                    work.unneeded.truncate(unneeded);
                }
                results.push(result);
            }
            Ok(results)
        })
    }

    /// Runs operations in one transaction; when they fail, nothing of it has happened.
    fn transact<T>(
        &self,
        now: UnixTime,
        durability: Durability,
        stages: &Stages,
        presence: &Presence,
        operations: impl FnOnce(&mut Batch<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut database = lock(&self.database);
        let transaction = database.write(durability)?;
        let mut work = Batch {
            spool: self,
            transaction: &transaction,
            stages,
            presence,
            now,
            unneeded: Vec::new(),
            touched: BTreeSet::new(),
        };
        let done = operations(&mut work)?;
        work.note_due()?;
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
        Ok(done)
    }

    /// The content of an entry.
    pub(super) fn content(&self, entry: SpoolId) -> Result<Source> {
        let mut database = lock(&self.reader);
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

    /// A piece of it.
    pub(super) fn read(&self, entry: SpoolId, offset: u64, length: usize) -> Result<Option<Bytes>> {
        match self.content(entry) {
            Err(StoreError::NoSuchUpload) => Ok(None),
            Err(error) => Err(error),
            Ok(Source::Memory(bytes)) => {
                let start = usize::try_from(offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let end = start.saturating_add(length).min(bytes.len());
                Ok(Some(bytes.slice(start..end)))
            }
            Ok(Source::File { path, .. }) => {
                let mut file = match self.files.open(&path) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                    opened => opened?,
                };
                Ok(Some(read_piece(file.as_mut(), offset, length)?))
            }
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

/// Whether a power loss may take this back: what is claimed is claimed again, and what was
/// delivered to a mailbox is known there.
fn may_be_lost(operation: &SpoolWrite) -> bool {
    match operation {
        SpoolWrite::Claim(_) | SpoolWrite::PutOff { .. } => true,
        SpoolWrite::Conclude {
            concluded, reports, ..
        } => {
            let is_local = |concluded: &Concluded| concluded.fate == Fate::Delivered;
            reports.is_empty() && concluded.iter().all(is_local)
        }
        SpoolWrite::Accept(_)
        | SpoolWrite::Expand { .. }
        | SpoolWrite::Reroute { .. }
        | SpoolWrite::Park { .. }
        | SpoolWrite::Operate { .. } => false,
    }
}

impl Batch<'_> {
    fn write(&mut self, operation: SpoolWrite) -> Result<SpoolWritten> {
        let done = |()| SpoolWritten::Done;
        match operation {
            SpoolWrite::Accept(entry) => self.accept(&entry).map(SpoolWritten::Accepted),
            SpoolWrite::Conclude {
                spool,
                destination,
                concluded,
                retry_at,
                tells_delay,
                reports,
            } => {
                let lot = (spool, destination_text(&destination));
                let is_new = self.conclude(lot, &concluded, retry_at, tells_delay)?;
                if is_new {
                    for report in &reports {
                        self.accept(report)?;
                    }
                }
                Ok(SpoolWritten::Done)
            }
            SpoolWrite::Expand {
                spool,
                position,
                targets,
                reports,
            } => {
                let expanded = self.expand(spool, position, targets, &reports);
                expanded.map(SpoolWritten::Expanded)
            }
            SpoolWrite::Reroute {
                spool,
                destination,
                to,
            } => self.reroute(spool, &destination, &to).map(done),
            SpoolWrite::PutOff {
                spool,
                destination,
                until,
                reason,
            } => {
                let lot = (spool, destination_text(&destination));
                self.give_up_claim(lot, Some(until), &reason).map(done)
            }
            SpoolWrite::Park {
                spool,
                destination,
                reason,
            } => {
                let lot = (spool, destination_text(&destination));
                self.give_up_claim(lot, None, &reason).map(done)
            }
            SpoolWrite::Claim(claim) => self.claim(&claim),
            SpoolWrite::Operate {
                spool,
                recipient,
                operation,
            } => self.operate(spool, recipient, operation).map(done),
        }
    }

    /// A lot of this destination began or ceased to wait.
    fn touch(&mut self, destination: &str) {
        if !self.touched.contains(destination) {
            self.touched.insert(destination.to_owned());
        }
    }

    /// Notes when the first waiting lot of each destination is due that was touched.
    fn note_due(&mut self) -> Result<()> {
        let mut first = self.transaction.prepare_cached(
            "SELECT due_at FROM lots INDEXED BY lots_waiting \
             WHERE destination = ?1 AND claimed_by IS NULL AND held = 0 \
             ORDER BY due_at LIMIT 1",
        )?;
        let mut note = self.transaction.prepare_cached(
            "INSERT INTO destinations VALUES (?1, ?2) ON CONFLICT (destination) \
             DO UPDATE SET due_at = excluded.due_at WHERE due_at <> excluded.due_at",
        )?;
        let mut forget = self
            .transaction
            .prepare_cached("DELETE FROM destinations WHERE destination = ?1")?;
        for destination in std::mem::take(&mut self.touched) {
            let due: Option<i64> = first
                .query_row([&destination], |row| row.get(0))
                .optional()?;
            match due {
                Some(due) => note.execute(params![destination, due])?,
                None => forget.execute([&destination])?,
            };
        }
        Ok(())
    }

    /// Removes an entry of which no lot is left, with its content.
    fn remove_if_finished(&mut self, entry: i64) -> Result<()> {
        let is_left = self
            .transaction
            .prepare_cached("SELECT 1 FROM lots WHERE entry = ?1")?
            .exists([entry])?;
        if is_left {
            return Ok(());
        }
        let in_file: Option<bool> = self
            .transaction
            .prepare_cached("DELETE FROM entries WHERE id = ?1 RETURNING in_file")?
            .query_row([entry], |row| row.get(0))
            .optional()?;
        for table in ["recipients", "attempts"] {
            self.transaction
                .prepare_cached(&format!("DELETE FROM {table} WHERE entry = ?1"))?
                .execute([entry])?;
        }
        if in_file == Some(true) {
            self.unneeded.push(self.spool.file(from_sql(entry)));
        }
        Ok(())
    }

    /// Removes a lot if none of its recipients waits. Returns whether it is gone.
    fn remove_lot_if_done(&mut self, entry: i64, destination: &str) -> Result<bool> {
        let is_left = self
            .transaction
            .prepare_cached(
                "SELECT 1 FROM recipients WHERE entry = ?1 AND destination = ?2 AND fate = 0",
            )?
            .exists(params![entry, destination])?;
        if is_left {
            return Ok(false);
        }
        self.transaction
            .prepare_cached("DELETE FROM lots WHERE entry = ?1 AND destination = ?2")?
            .execute(params![entry, destination])?;
        self.touch(destination);
        Ok(true)
    }
}

/// The destination of mailboxes in the tables.
const LOCAL: &str = "";

/// A lot, as the tables name it.
type LotKey<'a> = (SpoolId, &'a str);
