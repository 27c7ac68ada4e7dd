//! The memory that SQLite's connections to one file share: the WAL-index.
//!
//! SQLite keeps pointers into it for as long as a connection lives, also one of a process that
//! the test has killed. So a region is never freed, and is used again only when no connection,
//! dead or alive, can reach it.

use std::{
    collections::BTreeSet,
    ptr::NonNull,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    file::lock,
    locks::{Living, Owner, SlotLocks},
};

/// What SQLite asks for at once.
pub(super) const REGION_BYTES: usize = 32 * 1024;

const REGION_WORDS: usize = REGION_BYTES / size_of::<u64>();

type Region = &'static [AtomicU64];

/// Regions that nobody can reach.
static POOL: Mutex<Vec<Region>> = Mutex::new(Vec::new());

/// The shared memory of one file, for as long as a living process has it mapped.
#[derive(Default)]
pub(super) struct Segment {
    regions: Mutex<Vec<Region>>,
    users: Mutex<BTreeSet<Owner>>,
    pub(super) locks: Mutex<SlotLocks>,
}

/// What a segment held at one moment.
pub(super) struct Snapshot(Vec<Vec<u64>>);

impl Segment {
    pub(super) fn enter(&self, owner: Owner) {
        lock(&self.users).insert(owner);
    }

    pub(super) fn leave(&self, owner: Owner) {
        lock(&self.users).remove(&owner);
        lock(&self.locks).release(owner);
    }

    /// Whether a process that lives has it mapped.
    pub(super) fn is_used(&self, living: &Living) -> bool {
        let users = lock(&self.users);
        users.iter().any(|owner| living.contains(&owner.mount))
    }

    pub(super) fn is_used_by(&self, mount: u64) -> bool {
        lock(&self.users).iter().any(|owner| owner.mount == mount)
    }

    /// A region, made with those before it when it is to be.
    pub(super) fn region(&self, index: usize, is_made: bool) -> Option<NonNull<u8>> {
        let mut regions = lock(&self.regions);
        while is_made && regions.len() <= index {
            regions.push(take_region());
        }
        regions
            .get(index)
            .map(|&region| NonNull::from(region).cast())
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let words = |region: &Region| {
            let words = region.iter();
            words.map(|word| word.load(Ordering::Relaxed)).collect()
        };
        Snapshot(lock(&self.regions).iter().map(words).collect())
    }

    /// Back to what it was. Regions that have come since are zeros.
    pub(super) fn restore(&self, snapshot: &Snapshot) {
        for (index, region) in lock(&self.regions).iter().enumerate() {
            match snapshot.0.get(index) {
                Some(words) => {
                    for (word, &old) in region.iter().zip(words) {
                        word.store(old, Ordering::Relaxed);
                    }
                }
                None => clear(region),
            }
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        lock(&POOL).append(&mut lock(&self.regions));
    }
}

fn take_region() -> Region {
    let region = lock(&POOL).pop();
    match region {
        Some(region) => {
            clear(region);
            region
        }
        None => {
            let words: Vec<AtomicU64> = (0..REGION_WORDS).map(|_| AtomicU64::new(0)).collect();
            words.leak()
        }
    }
}

fn clear(region: Region) {
    for word in region {
        word.store(0, Ordering::Relaxed);
    }
}
