//! A disk's state: one lock around all that its processes see.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use rmail_proto::Entropy;
use sqlite_plugin::flags::ShmLockMode;

use super::{
    DiskError, DiskFaults, DiskStats, OperationFault,
    file::{File, FileRef, Survival, lock},
    locks::{Living, Owner},
    shared_memory::{Segment, Snapshot},
    tree::{Entry, FolderId, Place, Tree},
};

/// What an operation is, for the faults.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Needs no more room than there is.
    Change,
    /// Needs so many bytes more, or a name.
    Growth(u64),
    Sync,
}

/// The slot of shared memory whose lock a writer holds (`WAL_WRITE_LOCK`).
const WRITE_SLOT: usize = 0;

/// Whether an operation is done.
enum Begun {
    Done,
    Fails(DiskError),
}

pub(super) struct State {
    pub(super) entropy: Entropy,
    pub(super) faults: DiskFaults,
    /// How probable it is that somebody else is writing to a database.
    pub(super) busy_databases: f64,
    pub(super) stats: DiskStats,
    /// Operations that change or sync something, also those that failed.
    pub(super) operations: u64,
    pub(super) crash_after: Option<u64>,
    pub(super) has_crashed: bool,
    /// The operation that fails.
    pub(super) failing: Option<(u64, OperationFault)>,
    /// After which operation which process dies.
    pub(super) kill_after: Option<(u64, u64)>,
    pub(super) boots: u64,
    mounts: u64,
    handles: u64,
    pub(super) living: Living,
    pub(super) tree: Tree,
    pub(super) used_bytes: Arc<AtomicU64>,
    segments: Vec<Weak<Segment>>,
    /// Shared memory as it was when a process died within a call of SQLite, which goes on until
    /// it notices.
    frozen: Vec<(Arc<Segment>, Snapshot)>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            entropy: Entropy::new(seed),
            faults: DiskFaults::default(),
            busy_databases: 0.0,
            stats: DiskStats::default(),
            operations: 0,
            crash_after: None,
            has_crashed: false,
            failing: None,
            kill_after: None,
            boots: 1,
            mounts: 0,
            handles: 0,
            living: Living::new(),
            tree: Tree::new(),
            used_bytes: Arc::default(),
            segments: Vec::new(),
            frozen: Vec::new(),
        }
    }

    /// Takes over what processes see on another disk.
    pub(super) fn take_content(&mut self, other: &Self) {
        self.boots = other.boots;
        self.tree = other.tree.fork(&self.used_bytes);
    }

    pub(super) fn add_mount(&mut self) -> u64 {
        self.mounts += 1;
        self.living.insert(self.mounts);
        self.mounts
    }

    pub(super) fn new_owner(&mut self, mount: u64) -> Owner {
        self.handles += 1;
        Owner {
            mount,
            handle: self.handles,
        }
    }

    pub(super) fn must_live(&self, mount: u64) -> Result<(), DiskError> {
        match !self.has_crashed && self.living.contains(&mount) {
            true => Ok(()),
            false => Err(DiskError::Dead),
        }
    }

    pub(super) fn kill(&mut self, mount: u64) {
        self.living.remove(&mount);
        if self.kill_after.is_some_and(|(_, victim)| victim == mount) {
            self.kill_after = None;
        }
        for (segment, snapshot) in std::mem::take(&mut self.frozen) {
            match segment.is_used_by(mount) {
                true => segment.restore(&snapshot),
                false => self.frozen.push((segment, snapshot)),
            }
        }
    }

    pub(super) fn lose_power(&mut self) {
        let survival = Survival::draw(&mut self.entropy);
        self.tree.lose_power(&mut self.entropy, survival);
        self.living.clear();
        self.frozen.clear();
        self.segments.clear();
        self.crash_after = None;
        self.kill_after = None;
        self.failing = None;
        self.has_crashed = false;
        self.boots += 1;
        self.stats.power_losses += 1;
    }

    // Operations.

    fn begin(&mut self, mount: u64, kind: Kind) -> Result<Begun, DiskError> {
        self.must_live(mount)?;
        self.operations += 1;
        let planned = self.failing.take_if(|(at, _)| *at == self.operations);
        if let Some((_, fault)) = planned {
            self.stats.faults += 1;
            return Ok(Begun::Fails(match fault {
                OperationFault::Failed => DiskError::Failed,
                OperationFault::Full => DiskError::Full,
            }));
        }
        let chance = match kind {
            Kind::Change | Kind::Growth(_) => self.faults.write_errors,
            Kind::Sync => self.faults.sync_errors,
        };
        if self.happens(chance) {
            return Ok(Begun::Fails(DiskError::Failed));
        }
        match kind {
            Kind::Growth(bytes) if !self.has_room(bytes) => {
                self.stats.refusals += 1;
                Ok(Begun::Fails(DiskError::Full))
            }
            Kind::Change | Kind::Growth(_) | Kind::Sync => Ok(Begun::Done),
        }
    }

    fn has_room(&mut self, bytes: u64) -> bool {
        let Some(capacity) = self.faults.capacity_bytes else {
            return true;
        };
        let would_use = |state: &Self| state.used_bytes.load(Ordering::Relaxed) + bytes.max(1);
        if would_use(self) > capacity {
            // Before it says that it is full, a file system takes back what was removed.
            self.tree.write_back(0);
        }
        would_use(self) <= capacity
    }

    /// After an operation: it may have been the last one.
    fn end(&mut self) {
        if self.crash_after == Some(self.operations) {
            self.has_crashed = true;
        }
        if let Some((at, mount)) = self.kill_after
            && at == self.operations
        {
            self.living.remove(&mount);
            self.segments.retain(|segment| segment.strong_count() > 0);
            let segments = self.segments.iter().filter_map(Weak::upgrade);
            for segment in segments {
                if segment.is_used_by(mount) && segment.is_used(&self.living) {
                    let snapshot = segment.snapshot();
                    self.frozen.push((segment, snapshot));
                }
            }
        }
    }

    fn operate<T>(
        &mut self,
        mount: u64,
        kind: Kind,
        work: impl FnOnce(&mut Self) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let result = match self.begin(mount, kind)? {
            Begun::Done => work(self),
            Begun::Fails(error) => Err(error),
        };
        self.end();
        result
    }

    fn happens(&mut self, chance: f64) -> bool {
        let happens = self.comes_true(chance);
        self.stats.faults += u64::from(happens);
        happens
    }

    fn comes_true(&mut self, chance: f64) -> bool {
        chance > 0.0 && (self.entropy.next_u64() as f64 / u64::MAX as f64) < chance
    }

    // Names.

    pub(super) fn open_file(&self, mount: u64, path: &str) -> Result<FileRef, DiskError> {
        self.must_live(mount)?;
        self.tree.find_file(path)
    }

    pub(super) fn create_file(&mut self, mount: u64, path: &str) -> Result<FileRef, DiskError> {
        let file = self.new_file();
        self.operate(mount, Kind::Growth(0), |state| {
            let place = state.tree.place(path)?;
            state.tree.add(place, Entry::File(file.clone()))?;
            Ok(file)
        })
    }

    /// A file without a name.
    pub(super) fn new_file(&self) -> FileRef {
        File::new(self.used_bytes.clone())
    }

    pub(super) fn link(&mut self, mount: u64, from: &str, to: &str) -> Result<(), DiskError> {
        self.operate(mount, Kind::Growth(0), |state| {
            let file = state.tree.find_file(from)?;
            let place = state.tree.place(to)?;
            state.tree.add(place, Entry::File(file))
        })
    }

    pub(super) fn rename(&mut self, mount: u64, from: &str, to: &str) -> Result<(), DiskError> {
        self.operate(mount, Kind::Change, |state| {
            let from = state.tree.place(from)?;
            let to = state.tree.place(to)?;
            state.tree.rename(from, to)
        })
    }

    pub(super) fn remove_file(&mut self, mount: u64, path: &str) -> Result<(), DiskError> {
        self.operate(mount, Kind::Change, |state| {
            state.tree.find_file(path)?;
            let place = state.tree.place(path)?;
            state.tree.remove(place)
        })
    }

    /// Removes what is in a folder, one operation each, and the folder.
    pub(super) fn remove_folder(&mut self, mount: u64, path: &str) -> Result<(), DiskError> {
        self.must_live(mount)?;
        let folder = self.tree.find_folder(path)?;
        let place = self.tree.place(path)?;
        self.remove_entries(mount, folder)?;
        self.operate(mount, Kind::Change, |state| state.tree.remove(place))
    }

    fn remove_entries(&mut self, mount: u64, folder: FolderId) -> Result<(), DiskError> {
        let entries = self.tree.entries(folder).clone();
        for (name, entry) in entries {
            if let Entry::Folder(below) = entry {
                self.remove_entries(mount, below)?;
            }
            let place = Place { folder, name };
            self.operate(mount, Kind::Change, |state| state.tree.remove(place))?;
        }
        Ok(())
    }

    pub(super) fn create_folder(&mut self, mount: u64, path: &str) -> Result<(), DiskError> {
        self.operate(mount, Kind::Growth(0), |state| {
            let place = state.tree.place(path)?;
            state.tree.add_folder(place)
        })
    }

    pub(super) fn sync_folder(&mut self, mount: u64, path: &str) -> Result<(), DiskError> {
        self.must_live(mount)?;
        let folder = self.tree.find_folder(path)?;
        self.sync_folder_id(mount, folder)
    }

    pub(super) fn sync_folder_id(&mut self, mount: u64, folder: FolderId) -> Result<(), DiskError> {
        self.operate(mount, Kind::Sync, |state| {
            state.stats.syncs += 1;
            state.tree.sync(folder);
            Ok(())
        })
    }

    // Contents.

    pub(super) fn read(
        &mut self,
        mount: u64,
        file: &FileRef,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, DiskError> {
        self.must_live(mount)?;
        if self.happens(self.faults.read_errors) {
            return Err(DiskError::Failed);
        }
        Ok(lock(file).read(offset, buffer))
    }

    /// Writes. Of what fails, a part may be there.
    pub(super) fn write(
        &mut self,
        mount: u64,
        file: &FileRef,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), DiskError> {
        let size_bytes = lock(file).size_bytes();
        let growth = (offset + bytes.len() as u64).saturating_sub(size_bytes);
        let kind = match growth {
            0 => Kind::Change,
            growth => Kind::Growth(growth),
        };
        let result = match self.begin(mount, kind)? {
            Begun::Done => {
                self.stats.bytes_written += bytes.len() as u64;
                lock(file).write(offset, bytes);
                Ok(())
            }
            Begun::Fails(DiskError::Failed) => {
                let some = self.entropy.next_below(bytes.len() as u64 + 1) as usize;
                lock(file).write(offset, &bytes[..some]);
                Err(DiskError::Failed)
            }
            Begun::Fails(error) => Err(error),
        };
        self.end();
        result
    }

    pub(super) fn set_size(
        &mut self,
        mount: u64,
        file: &FileRef,
        size_bytes: u64,
    ) -> Result<(), DiskError> {
        let kind = match size_bytes.saturating_sub(lock(file).size_bytes()) {
            0 => Kind::Change,
            growth => Kind::Growth(growth),
        };
        self.operate(mount, kind, |_| {
            lock(file).set_size(size_bytes);
            Ok(())
        })
    }

    /// Syncs a file. `failures_known` counts the failed syncs of this file that this handle has
    /// been told of; each handle is told of each (as Linux does since 4.13).
    pub(super) fn sync(
        &mut self,
        mount: u64,
        file: &FileRef,
        failures_known: &mut u64,
    ) -> Result<(), DiskError> {
        let result = match self.begin(mount, Kind::Sync)? {
            Begun::Done => {
                self.stats.syncs += 1;
                lock(file).sync();
                Ok(())
            }
            Begun::Fails(error) => {
                lock(file).fail_sync(&mut self.entropy);
                Err(error)
            }
        };
        self.end();
        let failures = lock(file).failed_syncs;
        let has_news = failures > *failures_known;
        *failures_known = failures;
        match has_news {
            true => result.and(Err(DiskError::Failed)),
            false => result,
        }
    }

    // What connections of SQLite share.

    /// The segment of a file, which this handle uses from now on.
    pub(super) fn segment(&mut self, owner: Owner, file: &FileRef) -> Arc<Segment> {
        let mut file = lock(file);
        let living = &self.living;
        let present = file
            .segment
            .take_if(|segment| segment.is_used(living))
            .unwrap_or_else(|| {
                let segment = Arc::new(Segment::default());
                self.segments.retain(|segment| segment.strong_count() > 0);
                self.segments.push(Arc::downgrade(&segment));
                segment
            });
        present.enter(owner);
        file.segment = Some(present.clone());
        present
    }

    pub(super) fn lock_slots(
        &mut self,
        owner: Owner,
        segment: &Segment,
        slots: std::ops::Range<usize>,
        mode: ShmLockMode,
    ) -> Result<(), DiskError> {
        let is_unlock = matches!(
            mode,
            ShmLockMode::UnlockShared | ShmLockMode::UnlockExclusive
        );
        match self.must_live(owner.mount) {
            Err(_) if is_unlock => return Ok(()),
            lives => lives?,
        }
        let is_alone = matches!(mode, ShmLockMode::LockExclusive);
        if is_alone && slots.contains(&WRITE_SLOT) && self.comes_true(self.busy_databases) {
            return Err(DiskError::Locked);
        }
        let changed = lock(&segment.locks).change(&self.living, owner, slots, mode);
        changed.map_err(|_| DiskError::Locked)
    }

    /// A handle is closed: its locks are free.
    pub(super) fn release(&mut self, owner: Owner, file: &FileRef) {
        lock(file).locks.release(owner);
    }

    pub(super) fn leave(&mut self, owner: Owner, file: &FileRef, segment: Arc<Segment>) {
        segment.leave(owner);
        let mut file = lock(file);
        let living = &self.living;
        let is_it =
            |present: &mut Arc<Segment>| Arc::ptr_eq(present, &segment) && !segment.is_used(living);
        file.segment.take_if(is_it);
    }
}
