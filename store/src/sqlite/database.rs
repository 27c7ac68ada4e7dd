//! One SQLite database: how it is opened, migrated and written.

use std::{cell::Cell, io, ops::Deref, path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use crate::{Files, StoreError, limits, store::Result};

/// A connection that one thread at a time uses.
pub(super) struct Database {
    connection: Connection,
    durability: Durability,
    name: String,
    /// Whether a sync may have failed. What was written before it and only then would have become
    /// durable may never do so, and nothing that is written behind it in the log would count.
    is_doubtful: Cell<bool>,
}

/// A transaction that writes.
pub(super) struct Write<'a> {
    transaction: Transaction<'a>,
    connection: &'a Connection,
    is_doubtful: &'a Cell<bool>,
}

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
    pub(super) fn open(path: &Path, files: &dyn Files, vfs: Option<&str>) -> Result<Self> {
        let folder = path.parent().expect("a database lies in a folder");
        let has_log = Self::has_log(path, files);
        make_private(path, files)?;
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
        Ok(Self {
            connection,
            durability: Durability::Synced,
            name: path.display().to_string(),
            is_doubtful: Cell::new(false),
        })
    }

    /// Whether a database has been opened there before, to the end.
    pub(super) fn has_log(path: &Path, files: &dyn Files) -> bool {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        files.open(Path::new(&log)).is_ok()
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
        let name = self.name.clone();
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
        self.settle()?;
        if self.durability != durability {
            let mode = match durability {
                Durability::Synced => "PRAGMA synchronous = FULL",
                Durability::Unsynced => "PRAGMA synchronous = NORMAL",
            };
            self.connection.execute_batch(mode)?;
            self.durability = durability;
        }
        let connection = &self.connection;
        Ok(Write {
            transaction: Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?,
            connection,
            is_doubtful: &self.is_doubtful,
        })
    }

    /// Makes all durable that was committed.
    pub(super) fn sync(&mut self) -> Result<()> {
        let transaction = self.write(Durability::Synced)?;
        // The same number: what counts is the commit.
        let version: i64 =
            transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()
    }

    /// After a failed sync, moves all of the log into the database, which is synced, and begins a
    /// new log.
    fn settle(&mut self) -> Result<()> {
        if !self.is_doubtful.get() {
            return Ok(());
        }
        let is_busy: bool =
            self.connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if is_busy {
            return Err(StoreError::Busy);
        }
        self.is_doubtful.set(false);
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

impl Drop for Database {
    fn drop(&mut self) {
        // Whoever opens it next knows nothing of a failed sync. When this fails, too, so be it.
        self.settle().ok();
    }
}

impl<'a> Deref for Write<'a> {
    type Target = Transaction<'a>;

    fn deref(&self) -> &Transaction<'a> {
        &self.transaction
    }
}

impl Write<'_> {
    /// Commits. When this fails, nothing has happened.
    pub(super) fn commit(self) -> Result<()> {
        let Self {
            transaction,
            connection,
            is_doubtful,
        } = self;
        let committed = transaction.commit().map_err(StoreError::from);
        let log = match committed {
            Ok(()) => shorten_log(connection),
            Err(StoreError::Busy) => Ok(()),
            Err(_) => committed.clone(),
        };
        if log.is_err() {
            is_doubtful.set(true);
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
