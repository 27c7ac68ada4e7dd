//! SQLite on the disk: what its transactions promise holds through every crash.

use std::path::Path;

use rmail_tests::{Disk, DiskFaults, Mount, OperationFault};
use rusqlite::{Connection, OpenFlags};

/// Transactions of a script.
const ROWS: i64 = 12;

/// How a user of SQLite works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Ways {
    journal_mode: &'static str,
    synchronous: &'static str,
}

const SOUND: Ways = Ways {
    journal_mode: "wal",
    synchronous: "FULL",
};

fn database(mount: &Mount) -> std::path::PathBuf {
    mount.root().join("one.db")
}

fn connect(mount: &Mount) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags_and_vfs(database(mount), flags, mount.vfs())
}

fn open(mount: &Mount, ways: Ways) -> rusqlite::Result<Connection> {
    let connection = connect(mount)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = {}; PRAGMA wal_autocheckpoint = 8; PRAGMA mmap_size = 0;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = 4;",
        ways.synchronous
    ))?;
    let mode = set_journal_mode(&connection, ways.journal_mode)?;
    assert_eq!(mode, ways.journal_mode);
    // SQLite syncs the folder of a new log, too, but is content when that fails.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let synced = mount.files().sync_folder(mount.root());
    synced.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    Ok(connection)
}

/// The statement is run to its end: SQLite tells the mode first, and commits it then.
fn set_journal_mode(connection: &Connection, mode: &str) -> rusqlite::Result<String> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode = {mode}"))?;
    let mut rows = statement.query([])?;
    let mut told = String::new();
    while let Some(row) = rows.next()? {
        told = row.get(0)?;
    }
    Ok(told)
}

fn make_file(mount: &Mount) -> std::io::Result<()> {
    let files = mount.files();
    match files.create(&database(mount)) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        made => drop(made?),
    }
    files.sync_folder(mount.root())
}

/// Adds rows, one in each transaction, and moves an old one. `acknowledged` is the last row whose
/// commit has returned.
fn add_rows(connection: &Connection, acknowledged: &mut i64) -> rusqlite::Result<()> {
    connection.execute_batch("CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, text BLOB)")?;
    for row in *acknowledged + 1..=ROWS {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute("INSERT INTO t VALUES (?1, zeroblob(?2))", [row, row * 700])?;
        connection.execute(
            "UPDATE t SET text = zeroblob(?2) WHERE n = ?1",
            [row - 3, (row * 5) % 2_000],
        )?;
        connection.execute_batch("COMMIT")?;
        *acknowledged = row;
    }
    Ok(())
}

/// The number of rows, which are the first ones, in a database without faults.
fn count_rows(connection: &Connection) -> i64 {
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    let is_there: bool = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    if !is_there {
        return 0;
    }
    let (count, last): (i64, i64) = connection
        .query_row("SELECT count(*), coalesce(max(n), 0) FROM t", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert_eq!(count, last);
    count
}

/// Runs the script, with a crash after so many operations; then what was acknowledged and what is
/// there, and how many operations there were.
fn crash(seed: u64, ways: Ways, crash_after: u64) -> (i64, i64, u64) {
    let disk = Disk::new(seed);
    let mount = disk.mount();
    disk.crash_after(crash_after);
    let mut acknowledged = 0;
    if make_file(&mount).is_ok()
        && let Ok(connection) = open(&mount, ways)
    {
        let end = add_rows(&connection, &mut acknowledged);
        assert!(end.is_ok() || disk.has_crashed(), "{end:?}");
    }
    let operations = disk.operations();
    disk.lose_power();
    let mount = disk.mount();
    make_file(&mount).unwrap();
    let connection = open(&mount, ways).unwrap();
    let found = count_rows(&connection);
    let mut present = found;
    add_rows(&connection, &mut present).unwrap();
    assert_eq!(count_rows(&connection), ROWS);
    (acknowledged, found, operations)
}

/// The crash points at which something that was acknowledged was lost, and how many there were.
fn losses(ways: Ways) -> (u64, u64) {
    let (_, _, operations) = crash(0, ways, u64::MAX);
    let mut lost = 0;
    for crash_after in 1..=operations {
        let (acknowledged, found, _) = crash(crash_after, ways, crash_after);
        assert!(found <= acknowledged + 1);
        lost += u64::from(found < acknowledged);
    }
    (lost, operations)
}

#[test]
fn synced_transactions_survive_a_crash_after_each_operation() {
    for journal_mode in ["wal", "truncate", "persist"] {
        let ways = Ways {
            journal_mode,
            ..SOUND
        };
        let (lost, operations) = losses(ways);
        assert_eq!(lost, 0, "{journal_mode}");
        println!("{journal_mode}: {operations} crash points");
    }
}

#[test]
fn who_does_not_sync_before_acknowledging_is_caught() {
    let ways = Ways {
        synchronous: "NORMAL",
        ..SOUND
    };
    let (lost, operations) = losses(ways);
    assert!(lost > operations / 10, "{lost} of {operations}");
}

#[test]
fn who_never_syncs_is_caught_by_a_broken_database() {
    let broken = |seed| {
        let disk = Disk::new(seed);
        let mount = disk.mount();
        make_file(&mount).unwrap();
        let ways = Ways {
            journal_mode: "off",
            synchronous: "OFF",
        };
        let connection = open(&mount, ways).unwrap();
        add_rows(&connection, &mut 0).unwrap();
        disk.lose_power();
        drop(connection);
        let mount = disk.mount();
        let connection = connect(&mount).unwrap();
        let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0));
        check != Ok("ok".to_owned())
    };
    let count = (0..32).filter(|&seed| broken(seed)).count();
    assert!(count > 8, "{count}");
}

#[test]
fn one_seed_gives_one_run_and_one_database() {
    let run = |seed| {
        let disk = Disk::new(seed);
        let mount = disk.mount();
        make_file(&mount).unwrap();
        let connection = open(&mount, SOUND).unwrap();
        disk.set_faults(DiskFaults {
            write_errors: 0.02,
            sync_errors: 0.05,
            ..DiskFaults::default()
        });
        let mut acknowledged = 0;
        let mut failures = 0;
        while add_rows(&connection, &mut acknowledged).is_err() {
            failures += 1;
            connection.execute_batch("ROLLBACK").ok();
        }
        disk.lose_power();
        drop(connection);
        let mount = disk.mount();
        disk.set_faults(DiskFaults::default());
        let connection = open(&mount, SOUND).unwrap();
        let found = count_rows(&connection);
        connection
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        let mut bytes = vec![0; 1_000_000];
        let mut file = mount.files().open(&database(&mount)).unwrap();
        let count = file.read_at(0, &mut bytes).unwrap();
        bytes.truncate(count);
        (failures, found, disk.operations(), disk.stats(), bytes)
    };
    let first = run(7);
    assert!(first.0 > 0);
    assert_eq!(first, run(7));
    assert_ne!(first.3, run(8).3);
}

#[test]
fn a_failing_operation_leaves_a_database_that_goes_on() {
    let (_, _, operations) = crash(0, SOUND, u64::MAX);
    for fault in [OperationFault::Failed, OperationFault::Full] {
        for failing in 1..=operations {
            let disk = Disk::new(failing);
            let mount = disk.mount();
            disk.fail_operation(failing, fault);
            while make_file(&mount).is_err() {}
            let connection = open(&mount, SOUND)
                .or_else(|_| open(&mount, SOUND))
                .unwrap();
            let mut acknowledged = 0;
            if add_rows(&connection, &mut acknowledged).is_err() {
                connection.execute_batch("ROLLBACK").ok();
                add_rows(&connection, &mut acknowledged).unwrap();
            }
            assert_eq!(count_rows(&connection), ROWS);
            disk.lose_power();
            drop(connection);
            let mount = disk.mount();
            let connection = open(&mount, SOUND).unwrap();
            assert_eq!(count_rows(&connection), ROWS, "{fault:?} at {failing}");
        }
    }
}

#[test]
fn what_files_make_sqlite_sees_and_the_other_way_round() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let connection = open(&mount, SOUND).unwrap();
    add_rows(&connection, &mut 0).unwrap();
    drop(connection);
    let files = mount.files();
    let copy = mount.root().join("copy.db");
    let listed = files.list(mount.root()).unwrap();
    assert_eq!(listed, [database(&mount)]);
    let mut bytes = vec![0; 1_000_000];
    let count = files
        .open(&database(&mount))
        .unwrap()
        .read_at(0, &mut bytes)
        .unwrap();
    let mut file = files.create(&copy).unwrap();
    file.write_at(0, &bytes[..count]).unwrap();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let copied = Connection::open_with_flags_and_vfs(&copy, flags, mount.vfs()).unwrap();
    assert_eq!(count_rows(&copied), ROWS);
    let missing = Path::new("/disk-0/mount-0/one.db");
    assert!(Connection::open_with_flags_and_vfs(missing, flags, mount.vfs()).is_err());
}
