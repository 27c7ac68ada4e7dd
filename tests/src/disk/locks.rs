//! Who has locked what. A lock dies with its process: whoever asks leaves the dead out.

use std::collections::{BTreeMap, BTreeSet};

use sqlite_plugin::flags::{LockLevel, ShmLockMode};

/// One open file of one process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Owner {
    pub(super) mount: u64,
    pub(super) handle: u64,
}

/// The processes that live.
pub(super) type Living = BTreeSet<u64>;

/// Another has the lock.
#[derive(Debug)]
pub(super) struct IsLocked;

/// The locks of a file: SQLite's levels (<https://sqlite.org/lockingv3.html>), and the lock of a
/// whole file.
#[derive(Default)]
pub(super) struct FileLocks {
    levels: BTreeMap<Owner, LockLevel>,
    whole: Option<Owner>,
}

impl FileLocks {
    /// Raises what a connection holds, as SQLite's unix VFS does. `Pending` is kept where
    /// `Exclusive` can't be had yet.
    pub(super) fn raise(
        &mut self,
        living: &Living,
        owner: Owner,
        wanted: LockLevel,
    ) -> Result<(), IsLocked> {
        let others = self.highest(living, |other| *other != owner);
        let own = self.level(owner);
        if own >= wanted {
            return Ok(());
        }
        let (granted, is_locked) = match wanted {
            LockLevel::Unlocked => (own, false),
            LockLevel::Shared if others >= LockLevel::Pending => (own, true),
            LockLevel::Shared => (LockLevel::Shared, false),
            LockLevel::Reserved | LockLevel::Pending | LockLevel::Exclusive
                if others >= LockLevel::Reserved =>
            {
                (own, true)
            }
            LockLevel::Reserved => (LockLevel::Reserved, false),
            LockLevel::Pending => (LockLevel::Pending, false),
            LockLevel::Exclusive if others >= LockLevel::Shared => (LockLevel::Pending, true),
            LockLevel::Exclusive => (LockLevel::Exclusive, false),
        };
        self.levels.insert(owner, granted);
        match is_locked {
            true => Err(IsLocked),
            false => Ok(()),
        }
    }

    pub(super) fn lower(&mut self, owner: Owner, level: LockLevel) {
        if level == LockLevel::Unlocked {
            self.levels.remove(&owner);
        } else if self.level(owner) > level {
            self.levels.insert(owner, level);
        }
    }

    pub(super) fn is_reserved(&mut self, living: &Living) -> bool {
        self.highest(living, |_| true) >= LockLevel::Reserved
    }

    /// Takes the lock of the whole file.
    pub(super) fn take_whole(&mut self, living: &Living, owner: Owner) -> Result<(), IsLocked> {
        match self.whole {
            Some(holder) if living.contains(&holder.mount) => Err(IsLocked),
            Some(_) | None => {
                self.whole = Some(owner);
                Ok(())
            }
        }
    }

    /// Gives up all that this handle has.
    pub(super) fn release(&mut self, owner: Owner) {
        self.levels.remove(&owner);
        self.whole.take_if(|holder| *holder == owner);
    }

    fn level(&self, owner: Owner) -> LockLevel {
        let level = self.levels.get(&owner);
        level.copied().unwrap_or(LockLevel::Unlocked)
    }

    fn highest(&mut self, living: &Living, of: impl Fn(&Owner) -> bool) -> LockLevel {
        self.levels.retain(|owner, _| living.contains(&owner.mount));
        let levels = self.levels.iter().filter(|(owner, _)| of(owner));
        let highest = levels.map(|(_, level)| *level).max();
        highest.unwrap_or(LockLevel::Unlocked)
    }
}

/// Locks of a WAL-index (<https://sqlite.org/walformat.html>).
const SLOTS: usize = 8;

/// The locks of shared memory: each slot shared by many, or one's alone.
#[derive(Default)]
pub(super) struct SlotLocks {
    shared: [BTreeSet<Owner>; SLOTS],
    exclusive: [Option<Owner>; SLOTS],
}

impl SlotLocks {
    pub(super) fn change(
        &mut self,
        living: &Living,
        owner: Owner,
        slots: std::ops::Range<usize>,
        mode: ShmLockMode,
    ) -> Result<(), IsLocked> {
        self.forget(|other| living.contains(&other.mount));
        let is_others = |holder: &Owner| *holder != owner;
        let is_free = slots.clone().all(|slot| {
            let alone = self.exclusive[slot].as_ref().is_some_and(is_others);
            let shared = self.shared[slot].iter().any(is_others);
            match mode {
                ShmLockMode::LockShared => !alone,
                ShmLockMode::LockExclusive => !alone && !shared,
                ShmLockMode::UnlockShared | ShmLockMode::UnlockExclusive => true,
            }
        });
        if !is_free {
            return Err(IsLocked);
        }
        for slot in slots {
            match mode {
                ShmLockMode::LockShared => {
                    self.shared[slot].insert(owner);
                }
                ShmLockMode::UnlockShared => {
                    self.shared[slot].remove(&owner);
                }
                ShmLockMode::LockExclusive => self.exclusive[slot] = Some(owner),
                ShmLockMode::UnlockExclusive => {
                    self.exclusive[slot].take_if(|holder| *holder == owner);
                }
            }
        }
        Ok(())
    }

    pub(super) fn release(&mut self, owner: Owner) {
        self.forget(|other| *other != owner);
    }

    fn forget(&mut self, is_kept: impl Fn(&Owner) -> bool) {
        for slot in 0..SLOTS {
            self.shared[slot].retain(&is_kept);
            self.exclusive[slot].take_if(|holder| !is_kept(holder));
        }
    }
}
