//! A disk of a simulated machine: in memory, deterministic, and as unkind as disks are.
//!
//! One [`Disk`] holds the message files and the databases of a `mail_root`. Each process of the
//! simulated machine has a [`Mount`] of it: a path of its own that leads to the same content. A
//! mount serves [`Files`](rmail_store::Files) and SQLite (by a VFS that is registered once for
//! all disks) alike, so what one makes the other sees.
//!
//! | What happens       | What is left                                                          |
//! |--------------------|-----------------------------------------------------------------------|
//! | a process is killed| all that it wrote; its locks are free, its handles dead               |
//! | power is lost      | what was synced; of the rest some sectors, some names, in any order;  |
//! |                    | the last write of a file perhaps torn; no byte that was not written   |
//! | a sync fails       | some of what was written; the rest is seen until power is lost, and   |
//! |                    | no later sync brings it to the disk                                   |
//! | a write fails      | perhaps its beginning                                                 |
//! | the disk is full   | what was there; only what needs more room is refused                  |
//!
//! A name (of a file that was made, renamed, linked or removed) is durable after a sync of its
//! folder; a rename survives whole or not at all. As SQLite's own unix VFS does, ours syncs the
//! folder of a journal or log with the first sync of that file, and never for a removal, as rmail
//! does not ask for `synchronous = EXTRA`. To SQLite the device has the properties that the unix
//! VFS reports: no byte changes beside those written (`SQLITE_IOCAP_POWERSAFE_OVERWRITE`), and
//! parts of pages may be read (`SQLITE_IOCAP_SUBPAGE_READ`). WAL mode shares its index between
//! connections and processes in memory that is all zeros again when no living process has it
//! mapped, as the unix VFS cuts it off then.
//!
//! **What a seed does not decide.** SQLite draws random numbers from its default VFS, whatever
//! VFS a database has, and `sqlite-plugin` passes the clock of that one on. rmail asks SQLite
//! neither for the time nor for random values, so only the salts of a log (and with them its
//! checksums) and the nonce of a journal differ between two runs. They lie in fields of fixed
//! size that nothing but recovery compares, so they change neither which operations there are,
//! nor what recovery finds; databases are the same byte for byte.

mod file;
mod files;
mod locks;
mod pages;
mod shared_memory;
mod state;
mod tree;
mod vfs;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use rmail_store::Files;

use self::{file::lock, files::MountFiles, state::State};

/// Disks of this test process, so that no two have the same paths.
static DISKS: AtomicU64 = AtomicU64::new(0);

/// A disk; see the module's documentation. A clone is another handle of the same disk.
#[derive(Clone)]
pub struct Disk {
    /// `/disk-7`.
    root: PathBuf,
    state: Arc<Mutex<State>>,
}

/// How often what goes wrong by itself, and how much there is room for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DiskFaults {
    /// Of a read of a file's content, from 0 to 1.
    pub read_errors: f64,
    /// Of an operation that changes something.
    pub write_errors: f64,
    /// Of a sync of a file or a folder.
    pub sync_errors: f64,
    /// Bytes of all files, at most. With less than is used, nothing can be made or grow.
    pub capacity_bytes: Option<u64>,
}

/// How a chosen operation fails; see [`Disk::fail_operation`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperationFault {
    /// With an input/output error.
    Failed,
    /// As on a full disk.
    Full,
}

/// What a disk has seen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DiskStats {
    /// Bytes that were written into files.
    pub bytes_written: u64,
    /// Syncs of files and folders that succeeded.
    pub syncs: u64,
    /// Operations and reads that failed as if the device were broken.
    pub faults: u64,
    /// Operations that were refused because the disk was full.
    pub refusals: u64,
    /// How often the power was lost.
    pub power_losses: u64,
}

/// Why something can't be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum DiskError {
    /// The process is dead, or the machine.
    Dead,
    /// The device failed.
    Failed,
    /// There is no room.
    Full,
    /// Another has the lock.
    Locked,
    NotFound,
    Exists,
    NotAFolder,
    IsAFolder,
    NotEmpty,
}

impl Disk {
    /// An empty disk. What happens to it is drawn from the seed.
    pub fn new(seed: u64) -> Self {
        let number = DISKS.fetch_add(1, Ordering::Relaxed) + 1;
        Self {
            root: PathBuf::from(format!("/disk-{number}")),
            state: Arc::new(Mutex::new(State::new(seed))),
        }
    }

    /// Another disk with the same content, all of it durable, in the same run of the operating
    /// system. The two share what neither changes.
    pub fn fork(&self, seed: u64) -> Self {
        let fork = Self::new(seed);
        lock(&fork.state).take_content(&lock(&self.state));
        fork
    }

    /// The disk as a further process sees it.
    pub fn mount(&self) -> Mount {
        let number = lock(&self.state).add_mount();
        let root = self.root.join(format!("mount-{number}"));
        vfs::announce(&root, &self.state, number);
        Mount {
            root,
            number,
            state: self.state.clone(),
        }
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: DiskFaults) {
        lock(&self.state).faults = faults;
    }

    /// How probable it is from now on, from 0 to 1, that somebody else is writing to a database
    /// which is to be written to. In a simulation of one thread nobody ever is.
    pub fn set_busy_databases(&self, chance: f64) {
        lock(&self.state).busy_databases = chance;
    }

    /// Operations so far that change something or sync, also those that failed: all that a crash
    /// can come between. Reads and locks are none, nor is what SQLite does with temporary files.
    pub fn operations(&self) -> u64 {
        lock(&self.state).operations
    }

    /// Right after that operation the power is lost: everything later fails, until
    /// [`lose_power`](Self::lose_power).
    pub fn crash_after(&self, operations: u64) {
        let mut state = lock(&self.state);
        state.has_crashed = state.operations >= operations;
        state.crash_after = Some(operations);
    }

    /// Whether [`crash_after`](Self::crash_after) has come true.
    pub fn has_crashed(&self) -> bool {
        lock(&self.state).has_crashed
    }

    /// That operation, counted from 1, fails.
    pub fn fail_operation(&self, operation: u64, fault: OperationFault) {
        lock(&self.state).failing = Some((operation, fault));
    }

    /// The power is lost and comes back: every mount is dead, every lock is free, and of what was
    /// not synced only a part is left. Then the operating system runs anew.
    pub fn lose_power(&self) {
        lock(&self.state).lose_power();
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        let used = lock(&self.state).used_bytes.clone();
        used.load(Ordering::Relaxed)
    }

    /// What the disk has seen.
    pub fn stats(&self) -> DiskStats {
        lock(&self.state).stats
    }
}

/// A disk as one process sees it. Dropping it unmounts it: what is open stays so, and nothing
/// more can be opened.
pub struct Mount {
    root: PathBuf,
    number: u64,
    state: Arc<Mutex<State>>,
}

impl Mount {
    /// The path that leads to the disk's root folder. The last two parts of a path differ from
    /// mount to mount, the rest is the same.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk's files, for paths below [`root`](Self::root).
    pub fn files(&self) -> Arc<dyn Files> {
        Arc::new(MountFiles {
            root: self.root.clone(),
            mount: self.number,
            state: self.state.clone(),
        })
    }

    /// The name of the SQLite VFS that serves databases below [`root`](Self::root), with those of
    /// all other mounts and disks.
    ///
    /// # Panics
    ///
    /// When SQLite does not take it.
    pub fn vfs(&self) -> &'static str {
        vfs::registered()
    }

    /// The process is killed (SIGKILL): what it wrote stays, its locks are free, and whatever is
    /// still done with what it had open fails or has no effect.
    ///
    /// A transaction of SQLite that was open then is best dropped before another process writes:
    /// rolling it back, SQLite tidies the memory that it shares with them.
    pub fn kill(&self) {
        lock(&self.state).kill(self.number);
    }

    /// The process dies right after that operation of the disk. Whatever the call that is under
    /// way returns, nobody hears of it any more; once it has returned, [`kill`](Self::kill) must
    /// be called, before another process uses the disk.
    pub fn kill_after(&self, operations: u64) {
        lock(&self.state).kill_after = Some((operations, self.number));
    }

    /// Whether the process lives, and the machine.
    pub fn is_alive(&self) -> bool {
        lock(&self.state).must_live(self.number).is_ok()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        vfs::forget(&self.root);
    }
}
