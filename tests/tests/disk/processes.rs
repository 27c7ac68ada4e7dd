//! Several processes on one disk: locks, shared memory, and what is left of one that is killed.

use rmail_tests::{Disk, Mount};
use rusqlite::{Connection, ErrorCode, OpenFlags};

fn open(mount: &Mount) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = mount.root().join("one.db");
    let connection = Connection::open_with_flags_and_vfs(path, flags, mount.vfs())?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 5;
         CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY)",
    )?;
    Ok(connection)
}

fn add(connection: &Connection, number: i64) -> rusqlite::Result<usize> {
    connection.execute("INSERT INTO t VALUES (?1)", [number])
}

fn numbers(connection: &Connection) -> Vec<i64> {
    let mut statement = connection.prepare("SELECT n FROM t ORDER BY n").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn check(connection: &Connection) {
    let check: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}

fn is_busy<T: std::fmt::Debug>(result: rusqlite::Result<T>) -> bool {
    result.unwrap_err().sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

#[test]
fn processes_share_a_database_in_wal_mode_without_locking_each_other_out() {
    let disk = Disk::new(1);
    let mounts = [disk.mount(), disk.mount(), disk.mount()];
    let connections: Vec<Connection> = mounts.iter().map(|mount| open(mount).unwrap()).collect();
    for round in 0..40 {
        let writer = &connections[round % 3];
        add(writer, round as i64).unwrap();
        let reader = &connections[(round + 1) % 3];
        assert_eq!(numbers(reader).len(), round + 1);
    }
    let mode: String = connections[0]
        .query_row("PRAGMA locking_mode", [], |row| row.get(0))
        .unwrap();
    assert_eq!(mode, "normal");
    check(&connections[2]);
}

#[test]
fn one_writes_at_a_time_and_readers_see_their_moment() {
    let disk = Disk::new(1);
    let (mount, other) = (disk.mount(), disk.mount());
    let (one, two) = (open(&mount).unwrap(), open(&other).unwrap());
    add(&one, 1).unwrap();
    two.execute_batch("BEGIN").unwrap();
    assert_eq!(numbers(&two), [1]);
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    add(&one, 2).unwrap();
    assert!(is_busy(add(&two, 3)));
    assert_eq!(numbers(&two), [1]);
    one.execute_batch("COMMIT").unwrap();
    assert_eq!(numbers(&two), [1]);
    two.execute_batch("COMMIT").unwrap();
    assert_eq!(numbers(&two), [1, 2]);
    add(&two, 3).unwrap();
    assert_eq!(numbers(&one), [1, 2, 3]);
}

#[test]
fn rollback_journals_lock_as_they_should() {
    let disk = Disk::new(1);
    let (mount, other) = (disk.mount(), disk.mount());
    let one = open(&mount).unwrap();
    one.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    let two = Connection::open_with_flags_and_vfs(
        other.root().join("one.db"),
        OpenFlags::SQLITE_OPEN_READ_WRITE,
        other.vfs(),
    )
    .unwrap();
    two.busy_timeout(std::time::Duration::ZERO).unwrap();
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    add(&one, 1).unwrap();
    assert!(is_busy(two.execute_batch("BEGIN IMMEDIATE")));
    two.execute_batch("BEGIN").unwrap();
    assert_eq!(numbers(&two), Vec::<i64>::new());
    // The reader holds the commit up, and no new reader comes in before it.
    assert!(is_busy(one.execute_batch("COMMIT")));
    let third = open(&mount);
    assert!(third.is_err());
    two.execute_batch("COMMIT").unwrap();
    one.execute_batch("COMMIT").unwrap();
    assert_eq!(numbers(&two), [1]);
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_no_lock() {
    let disk = Disk::new(1);
    let (mount, other) = (disk.mount(), disk.mount());
    let (one, two) = (open(&mount).unwrap(), open(&other).unwrap());
    add(&one, 1).unwrap();
    one.execute_batch("BEGIN IMMEDIATE").unwrap();
    add(&one, 2).unwrap();
    let files = mount.files();
    let path = mount.root().join("lock");
    let mut held = files.try_lock(&path).unwrap().unwrap();
    held.write_at(0, b"mine").unwrap();
    let from_other = |name: &str| other.files().try_lock(&other.root().join(name)).unwrap();
    assert!(from_other("lock").is_none());
    assert!(is_busy(two.execute_batch("BEGIN IMMEDIATE")));
    mount.kill();
    assert!(!mount.is_alive() && other.is_alive());
    drop(one);
    add(&two, 3).unwrap();
    assert_eq!(numbers(&two), [1, 3]);
    let mut lock = from_other("lock").unwrap();
    held.write_at(0, b"dead").unwrap_err();
    held.sync().unwrap_err();
    // Its end frees nothing that is another's by now.
    drop(held);
    assert!(from_other("lock").is_none());
    let mut bytes = [0; 8];
    assert_eq!(lock.read_at(0, &mut bytes).unwrap(), 4);
    assert_eq!(&bytes[..4], b"mine");
    assert!(files.create(&mount.root().join("late")).is_err());
    check(&two);
}

#[test]
fn a_process_killed_after_any_operation_disturbs_nobody() {
    let script = |connection: &Connection, from: i64| -> rusqlite::Result<()> {
        for number in from..from + 8 {
            add(connection, number)?;
        }
        Ok(())
    };
    let disk = Disk::new(0);
    let mount = disk.mount();
    let before = disk.operations();
    script(&open(&mount).unwrap(), 100).unwrap();
    let count = disk.operations() - before;
    for kill_after in 1..=count {
        let disk = Disk::new(kill_after);
        let (mount, other) = (disk.mount(), disk.mount());
        let two = open(&other).unwrap();
        add(&two, 1).unwrap();
        mount.kill_after(disk.operations() + kill_after);
        let one = open(&mount);
        let mut acknowledged = 0;
        if let Ok(one) = &one {
            for number in 100..108 {
                match add(one, number) {
                    Ok(_) if mount.is_alive() => acknowledged += 1,
                    Ok(_) | Err(_) => break,
                }
            }
        }
        mount.kill();
        drop(one);
        let found = numbers(&two).len() - 1;
        assert!(found == acknowledged || found == acknowledged + 1);
        script(&two, 200).unwrap();
        check(&two);
        let third = disk.mount();
        let three = open(&third).unwrap();
        assert_eq!(numbers(&three).len(), 1 + found + 8);
        drop(two);
        disk.lose_power();
        drop(three);
        let mount = disk.mount();
        let last = open(&mount).unwrap();
        check(&last);
        assert_eq!(numbers(&last).len(), 1 + found + 8);
    }
}

#[test]
fn after_a_loss_of_power_nothing_of_before_works() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let one = open(&mount).unwrap();
    add(&one, 1).unwrap();
    let boot_id = mount.files().boot_id();
    disk.lose_power();
    assert!(add(&one, 2).is_err() && !mount.is_alive());
    assert!(open(&mount).is_err());
    let mount = disk.mount();
    assert_ne!(mount.files().boot_id(), boot_id);
    let two = open(&mount).unwrap();
    drop(one);
    add(&two, 3).unwrap();
    assert_eq!(numbers(&two), [1, 3]);
}

#[test]
fn a_crash_stops_every_process_at_once() {
    let disk = Disk::new(1);
    let (mount, other) = (disk.mount(), disk.mount());
    let (one, two) = (open(&mount).unwrap(), open(&other).unwrap());
    disk.crash_after(disk.operations() + 1);
    assert!(add(&one, 1).is_err());
    assert!(disk.has_crashed() && !other.is_alive());
    assert!(add(&two, 2).is_err());
    assert!(other.files().list(other.root()).is_err());
}

#[test]
fn disks_in_many_threads_do_not_touch_each_other() {
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            std::thread::spawn(move || {
                for round in 0..20 {
                    let disk = Disk::new(seed);
                    let mount = disk.mount();
                    let connection = open(&mount).unwrap();
                    for number in 0..10 {
                        add(&connection, number * seed as i64 + round).ok();
                    }
                    check(&connection);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn what_was_mounted_can_be_opened_no_more() {
    let disk = Disk::new(1);
    let mount = disk.mount();
    let vfs = mount.vfs();
    let path = mount.root().join("one.db");
    let open_one = open(&mount).unwrap();
    drop(mount);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    assert!(Connection::open_with_flags_and_vfs(path, flags, vfs).is_err());
    add(&open_one, 1).unwrap();
}
