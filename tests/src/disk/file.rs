//! A file: what processes see of it, what the disk would still have without power, and what lies
//! between the two.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use rmail_proto::Entropy;

use super::{
    locks::FileLocks,
    pages::{PAGE_BYTES, Pages, pieces},
    shared_memory::Segment,
};

/// A file that names and open handles share.
pub(super) type FileRef = Arc<Mutex<File>>;

/// Changes of one file that wait for a sync. The system writes the older half by itself then.
const UNSYNCED_MAX: usize = 16_384;

/// How much of what was not synced survives a loss of power, of 256.
#[derive(Clone, Copy, Debug)]
pub(super) struct Survival(u64);

impl Survival {
    /// Each loss of power has its own: all, nothing and what lies between happen.
    pub(super) fn draw(entropy: &mut Entropy) -> Self {
        const CHANCES: [u64; 5] = [0, 32, 128, 224, 256];
        Self(CHANCES[entropy.next_below(CHANCES.len() as u64) as usize])
    }

    pub(super) const HALF: Self = Self(128);

    pub(super) fn survives(self, entropy: &mut Entropy) -> bool {
        entropy.next_below(256) < self.0
    }
}

/// What was done to a file.
enum Change {
    Write { offset: u64, bytes: Box<[u8]> },
    SetSize(u64),
}

pub(super) struct File {
    /// What processes see.
    content: Pages,
    /// What was synced, or has reached the disk otherwise.
    durable: Pages,
    /// In order, since the last sync.
    unsynced: Vec<Change>,
    /// Syncs that failed. A handle that has not heard of one is told at its next sync.
    pub(super) failed_syncs: u64,
    pub(super) locks: FileLocks,
    /// The memory that SQLite's connections to this file share.
    pub(super) segment: Option<Arc<Segment>>,
    /// Bytes of all files of this disk.
    used_bytes: Arc<AtomicU64>,
}

impl File {
    pub(super) fn new(used_bytes: Arc<AtomicU64>) -> FileRef {
        Self::with(Pages::default(), used_bytes)
    }

    /// A file with the same content, all of it durable.
    pub(super) fn fork(&self, used_bytes: Arc<AtomicU64>) -> FileRef {
        used_bytes.fetch_add(self.content.size_bytes(), Ordering::Relaxed);
        Self::with(self.content.clone(), used_bytes)
    }

    fn with(content: Pages, used_bytes: Arc<AtomicU64>) -> FileRef {
        Arc::new(Mutex::new(Self {
            durable: content.clone(),
            content,
            unsynced: Vec::new(),
            failed_syncs: 0,
            locks: FileLocks::default(),
            segment: None,
            used_bytes,
        }))
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.content.size_bytes()
    }

    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> usize {
        self.content.read(offset, buffer)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.change(Change::Write {
            offset,
            bytes: bytes.into(),
        });
    }

    pub(super) fn set_size(&mut self, size_bytes: u64) {
        self.change(Change::SetSize(size_bytes));
    }

    fn change(&mut self, change: Change) {
        let before = self.content.size_bytes();
        match &change {
            Change::Write { offset, bytes } => self.content.write(*offset, bytes),
            Change::SetSize(size_bytes) => self.content.set_size(*size_bytes),
        }
        self.count_from(before);
        if self.unsynced.len() == UNSYNCED_MAX {
            for old in self.unsynced.drain(..UNSYNCED_MAX / 2) {
                match old {
                    Change::Write { offset, bytes } => self.durable.write(offset, &bytes),
                    Change::SetSize(size_bytes) => self.durable.set_size(size_bytes),
                }
            }
        }
        self.unsynced.push(change);
    }

    /// All that was written is durable. Pages that an earlier, failed sync has dropped stay as
    /// the disk has them, unless they were written again.
    pub(super) fn sync(&mut self) {
        if self.unsynced.is_empty() {
            return;
        }
        let mut written = Vec::new();
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write { offset, bytes } => {
                    written.extend(pieces(offset, bytes.len()).map(|piece| piece.page));
                }
                Change::SetSize(size_bytes) => self.durable.set_size(size_bytes),
            }
        }
        self.durable.set_size(self.content.size_bytes());
        for page in written {
            self.durable.take_page(&self.content, page);
        }
    }

    /// Some of what was written reaches the disk. The rest never will: the system takes it for
    /// written, and processes see it for as long as there is power.
    pub(super) fn fail_sync(&mut self, entropy: &mut Entropy) {
        self.keep_some(entropy, Survival::HALF);
        self.failed_syncs += 1;
    }

    /// Only what the disk has is left.
    pub(super) fn lose_power(&mut self, entropy: &mut Entropy, survival: Survival) {
        self.keep_some(entropy, survival);
        let before = self.content.size_bytes();
        self.content = self.durable.clone();
        self.count_from(before);
        self.failed_syncs = 0;
        self.locks = FileLocks::default();
        self.segment = None;
    }

    /// Sectors of what was not synced reach the disk or don't, each by itself; of the last write,
    /// perhaps only the beginning. A file can have its new length without what was written there.
    /// No byte changes that was not written.
    fn keep_some(&mut self, entropy: &mut Entropy, survival: Survival) {
        let changes = std::mem::take(&mut self.unsynced);
        if changes.is_empty() {
            return;
        }
        let last = changes.len() - 1;
        for (index, change) in changes.into_iter().enumerate() {
            match change {
                Change::Write { offset, bytes } => {
                    let is_torn = index == last && survival.survives(entropy);
                    let whole = match is_torn {
                        true => entropy.next_below(bytes.len() as u64 + 1) as usize,
                        false => bytes.len(),
                    };
                    for piece in pieces(offset, whole) {
                        if survival.survives(entropy) {
                            let kept = &bytes[piece.start..piece.start + piece.length];
                            self.durable.write(offset + piece.start as u64, kept);
                        }
                    }
                }
                Change::SetSize(size_bytes) => {
                    if survival.survives(entropy) {
                        self.durable.set_size(size_bytes);
                    }
                }
            }
        }
        if self.durable.size_bytes() < self.content.size_bytes() && survival.survives(entropy) {
            self.durable.set_size(self.content.size_bytes());
        }
    }

    fn count_from(&self, before: u64) {
        let now = self.content.size_bytes();
        self.used_bytes.fetch_add(now, Ordering::Relaxed);
        self.used_bytes.fetch_sub(before, Ordering::Relaxed);
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let size_bytes = self.content.size_bytes();
        self.used_bytes.fetch_sub(size_bytes, Ordering::Relaxed);
    }
}

/// A file is changed in steps that can't panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sector that SQLite is told of.
pub(super) const SECTOR_BYTES: usize = PAGE_BYTES;
