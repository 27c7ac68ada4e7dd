//! One SQLite database: how it is opened, migrated and written.

use std::{
    cell::Cell,
    io,
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use super::presence::remove_if_there;
use crate::{Files, StoreError, limits, store::Result};

/// A connection that one thread at a time uses.
///
/// After a failed sync nobody knows what of the log is on the disk: the system may drop what it
/// could not write, and call the next sync a success. A commit that was not synced may lie there,
/// and without it recovery would lose every later one; and what failed to commit lies there, too,
/// and recovery would take it for a commit. So such a failure puts the log in doubt: before
/// anything more is done, the log is written again, byte for byte, and synced, and a commit of
/// nothing takes the place of the one that failed. A file beside the database says so to other
/// processes, and to the next one.
pub(super) struct Database {
    connection: Connection,
    files: Arc<dyn Files>,
    path: PathBuf,
    durability: Durability,
    is_in_doubt: Cell<bool>,
}

/// A transaction that writes; rolled back when it is dropped.
pub(super) struct Write<'a> {
    transaction: Transaction<'a>,
    database: &'a Database,
}

/// SQLite's write-ahead log, beside its database.
const LOG: &str = "-wal";

/// Beside a database whose log is in doubt.
const DOUBT: &str = "-doubt";

/// What a commit promises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Durability {
    /// It survives a power loss once it has returned.
    Synced,
    /// It survives the end of the process; after a power loss the last ones may be missing.
    Unsynced,
}

impl Database {
    /// Opens a database, an empty one when there is none. Its folder must be there.
    pub(super) fn open(path: &Path, files: Arc<dyn Files>, vfs: Option<&str>) -> Result<Self> {
        let folder = path.parent().expect("a database lies in a folder");
        let has_log = Self::has_log(path, files.as_ref());
        make_private(path, files.as_ref())?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match vfs {
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
            None => Connection::open_with_flags(path, flags)?,
        };
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Else a statement is prepared anew whenever a bound UID changes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
        connection.execute_batch(&format!(
            "PRAGMA mmap_size = 0;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -{};
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = {};",
            limits::PAGE_CACHE_KIB,
            limits::LOG_BYTES_KEPT,
        ))?;
        if set_journal_mode(&connection)? != "wal" {
            return Err(StoreError::Busy);
        }
        // The first read makes the log.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        if !has_log {
            // SQLite syncs the folder of a new log, too, but is content when that fails.
            files.sync_folder(folder)?;
        }
        let is_in_doubt = files.open(&beside(path, DOUBT)).is_ok();
        let mut database = Self {
            connection,
            files,
            path: path.to_owned(),
            durability: Durability::Synced,
            is_in_doubt: Cell::new(is_in_doubt),
        };
        database.settle_doubt()?;
        Ok(database)
    }

    /// Whether a database has been opened there before, to the end.
    pub(super) fn has_log(path: &Path, files: &dyn Files) -> bool {
        files.open(&beside(path, LOG)).is_ok()
    }

    /// Brings the schema up to date: `migrations[n]` leads from version `n` to `n + 1`. When the
    /// database was empty, `first` fills it in the same transaction.
    pub(super) fn migrate(
        &mut self,
        migrations: &[&str],
        first: impl FnOnce(&Transaction<'_>) -> Result<()>,
    ) -> Result<()> {
        if self.has_version(migrations.len())? {
            return Ok(());
        }
        let name = self.path.display().to_string();
        let transaction = self.write(Durability::Synced)?;
        let found: usize = transaction
            .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?
            as usize;
        let Some(missing) = migrations.get(found..) else {
            return Err(StoreError::Failed(format!(
                "{name} was written by a newer version of rmail: its schema is {found}, and this \
                 version knows {} at most",
                migrations.len()
            )));
        };
        for migration in missing {
            transaction.execute_batch(migration)?;
        }
        if found == 0 {
            first(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", migrations.len() as i64)?;
        transaction.commit()
    }

    fn has_version(&self, version: usize) -> Result<bool> {
        let found: i64 = self
            .connection
            .pragma_query_value(None, "user_version", |row| row.get(0))?;
        Ok(found == version as i64)
    }

    /// Begins a transaction that writes.
    pub(super) fn write(&mut self, durability: Durability) -> Result<Write<'_>> {
        self.settle_doubt()?;
        self.begin(durability)
    }

    fn begin(&mut self, durability: Durability) -> Result<Write<'_>> {
        if self.durability != durability {
            let mode = match durability {
                Durability::Synced => "PRAGMA synchronous = FULL",
                Durability::Unsynced => "PRAGMA synchronous = NORMAL",
            };
            self.connection.execute_batch(mode)?;
            self.durability = durability;
        }
        let database = &*self;
        let transaction =
            Transaction::new_unchecked(&database.connection, TransactionBehavior::Immediate)?;
        Ok(Write {
            transaction,
            database,
        })
    }

    /// Makes all durable that was committed.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.write(Durability::Synced)?.commit_nothing()
    }

    /// A sync may have failed: see [`Database`].
    fn doubt_log(&self) {
        self.is_in_doubt.set(true);
        // For others; for this process the flag is enough.
        self.files.create(&beside(&self.path, DOUBT)).ok();
    }

    /// Ends the doubt, if there is one.
    fn settle_doubt(&mut self) -> Result<()> {
        if !self.is_in_doubt.get() {
            return Ok(());
        }
        // With the write lock nobody else writes the log.
        let transaction = self.begin(Durability::Synced)?;
        let database = transaction.database;
        rewrite(database.files.as_ref(), &beside(&database.path, LOG))?;
        transaction.commit_nothing()?;
        remove_if_there(self.files.as_ref(), &beside(&self.path, DOUBT))?;
        self.is_in_doubt.set(false);
        Ok(())
    }

    /// For one statement that reads.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Begins a transaction in which all reads see the same moment.
    pub(super) fn read(&mut self) -> Result<Transaction<'_>> {
        let begun = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        Ok(begun)
    }
}

impl<'a> Deref for Write<'a> {
    type Target = Transaction<'a>;

    fn deref(&self) -> &Transaction<'a> {
        &self.transaction
    }
}

impl Write<'_> {
    /// Commits what changes nothing.
    fn commit_nothing(self) -> Result<()> {
        // The same number: what counts is the commit.
        let version: i64 = self.pragma_query_value(None, "user_version", |row| row.get(0))?;
        self.pragma_update(None, "user_version", version)?;
        self.commit()
    }

    /// Commits. When this fails, nothing has happened, or nobody knows until the doubt is settled.
    pub(super) fn commit(self) -> Result<()> {
        let Self {
            transaction,
            database,
        } = self;
        let committed = transaction.commit().map_err(StoreError::from);
        let log = match committed {
            Ok(()) => shorten_log(&database.connection),
            Err(StoreError::Busy) => Ok(()),
            Err(_) => committed.clone(),
        };
        if log.is_err() {
            database.doubt_log();
        }
        committed
    }
}

/// Moves the log into the database when it is long. SQLite could do so by itself, but would not
/// tell of a sync that failed.
fn shorten_log(connection: &Connection) -> Result<()> {
    let checkpoint = |mode: &str| -> Result<(i64, i64)> {
        let mut statement = connection.prepare_cached(mode)?;
        Ok(statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?)
    };
    let (pages, moved) = checkpoint("PRAGMA wal_checkpoint(NOOP)")?;
    if pages >= i64::from(limits::LOG_PAGES) && moved < pages {
        checkpoint("PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok(())
}

/// A file that belongs to a database.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file again as it is, and syncs it.
fn rewrite(files: &dyn Files, path: &Path) -> io::Result<()> {
    let mut file = files.open_to_write(path)?;
    let mut buffer = vec![0; limits::COPY_BYTES];
    let mut offset = 0;
    loop {
        let count = file.read_at(offset, &mut buffer)?;
        if count == 0 {
            return file.sync();
        }
        file.write_at(offset, &buffer[..count])?;
        offset += count as u64;
    }
}

/// Makes the file before SQLite does, for SQLite would let others read it.
fn make_private(path: &Path, files: &dyn Files) -> Result<()> {
    match files.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

/// Asks for the write-ahead log; the mode that there is now. The statement is run to its end, for
/// SQLite tells the mode first, and can fail to commit it then.
fn set_journal_mode(connection: &Connection) -> Result<String> {
    let mut statement = connection.prepare("PRAGMA journal_mode = wal")?;
    let mut rows = statement.query([])?;
    let mut mode = String::new();
    while let Some(row) = rows.next()? {
        mode = row.get(0)?;
    }
    Ok(mode)
}

/// Runs one operation of a batch in a savepoint of its own: when it fails, nothing of it has
/// happened and the transaction goes on. The outer error ends the transaction.
pub(super) fn in_savepoint<T>(
    connection: &Connection,
    operation: impl FnOnce() -> Result<T>,
) -> Result<Result<T>> {
    let run = |sql: &str| connection.prepare_cached(sql)?.execute([]);
    run("SAVEPOINT operation")?;
    let result = operation();
    match result {
        Ok(done) => {
            run("RELEASE operation")?;
            Ok(Ok(done))
        }
        Err(error) if error.ends_batch() => Err(error),
        Err(error) => {
            run("ROLLBACK TO operation")?;
            run("RELEASE operation")?;
            Ok(Err(error))
        }
    }
}

/// As SQLite's integer; numbers beyond its range are not told apart.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// From SQLite's integer.
pub(super) fn from_sql(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
