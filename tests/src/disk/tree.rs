//! The folders of a disk: their names as processes see them, and as they would be without power.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use rmail_proto::Entropy;

use super::{
    DiskError,
    file::{File, FileRef, Survival, lock},
};

/// Names a folder, as long as the disk lives.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct FolderId(u64);

const ROOT: FolderId = FolderId(0);

/// Changes of names that wait for a sync. The system writes the older half by itself then.
const UNSYNCED_MAX: usize = 2_048;

/// What a name leads to.
#[derive(Clone)]
pub(super) enum Entry {
    File(FileRef),
    Folder(FolderId),
}

/// A name in a folder.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) folder: FolderId,
    pub(super) name: String,
}

type Entries = BTreeMap<String, Entry>;

#[derive(Default)]
struct Folder {
    /// What processes see.
    entries: Entries,
    /// What was synced, or has reached the disk otherwise.
    durable: Entries,
}

/// Names that change together: all of it survives a loss of power, or nothing.
type Change = Vec<(Place, Option<Entry>)>;

pub(super) struct Tree {
    folders: BTreeMap<FolderId, Folder>,
    last: FolderId,
    /// In order; what a sync of a folder made durable is left out.
    unsynced: Vec<Change>,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self {
            folders: BTreeMap::from([(ROOT, Folder::default())]),
            last: ROOT,
            unsynced: Vec::new(),
        }
    }

    /// A tree with the same names and files of its own, all durable.
    pub(super) fn fork(&self, used_bytes: &Arc<AtomicU64>) -> Self {
        let mut files: BTreeMap<*const Mutex<File>, FileRef> = BTreeMap::new();
        let mut fork_entry = |entry: &Entry| match entry {
            Entry::Folder(folder) => Entry::Folder(*folder),
            Entry::File(file) => {
                let fork = files.entry(Arc::as_ptr(file));
                let fork = fork.or_insert_with(|| lock(file).fork(used_bytes.clone()));
                Entry::File(fork.clone())
            }
        };
        let mut folders = BTreeMap::new();
        for (id, folder) in &self.folders {
            let entries = folder.entries.iter();
            let entries: Entries = entries
                .map(|(name, entry)| (name.clone(), fork_entry(entry)))
                .collect();
            let durable = entries.clone();
            folders.insert(*id, Folder { entries, durable });
        }
        Self {
            folders,
            last: self.last,
            unsynced: Vec::new(),
        }
    }

    pub(super) fn find(&self, path: &str) -> Result<Entry, DiskError> {
        let mut found = Entry::Folder(ROOT);
        for name in names(path) {
            found = self.entry(&Place {
                folder: folder(found)?,
                name: name.to_owned(),
            })?;
        }
        Ok(found)
    }

    pub(super) fn find_file(&self, path: &str) -> Result<FileRef, DiskError> {
        match self.find(path)? {
            Entry::File(file) => Ok(file),
            Entry::Folder(_) => Err(DiskError::IsAFolder),
        }
    }

    pub(super) fn find_folder(&self, path: &str) -> Result<FolderId, DiskError> {
        folder(self.find(path)?)
    }

    /// The place of a path whose folder is there.
    pub(super) fn place(&self, path: &str) -> Result<Place, DiskError> {
        let (above, name) = match path.rsplit_once('/') {
            Some((above, name)) => (above, name),
            None => ("", path),
        };
        if name.is_empty() {
            return Err(DiskError::Exists);
        }
        Ok(Place {
            folder: self.find_folder(above)?,
            name: name.to_owned(),
        })
    }

    pub(super) fn entry(&self, place: &Place) -> Result<Entry, DiskError> {
        let entries = &self.folder(place.folder).entries;
        entries.get(&place.name).cloned().ok_or(DiskError::NotFound)
    }

    pub(super) fn entries(&self, folder: FolderId) -> &Entries {
        &self.folder(folder).entries
    }

    /// Gives a new entry a name that must be free.
    pub(super) fn add(&mut self, place: Place, entry: Entry) -> Result<(), DiskError> {
        match self.entry(&place) {
            Ok(_) => Err(DiskError::Exists),
            Err(_) => {
                self.change(vec![(place, Some(entry))]);
                Ok(())
            }
        }
    }

    pub(super) fn add_folder(&mut self, place: Place) -> Result<(), DiskError> {
        let id = FolderId(self.last.0 + 1);
        self.add(place, Entry::Folder(id))?;
        self.last = id;
        self.folders.insert(id, Folder::default());
        Ok(())
    }

    pub(super) fn remove(&mut self, place: Place) -> Result<(), DiskError> {
        if let Entry::Folder(folder) = self.entry(&place)?
            && !self.entries(folder).is_empty()
        {
            return Err(DiskError::NotEmpty);
        }
        self.change(vec![(place, None)]);
        Ok(())
    }

    /// One name takes the place of another, at once.
    pub(super) fn rename(&mut self, from: Place, to: Place) -> Result<(), DiskError> {
        let moved = self.entry(&from)?;
        match (&moved, self.entry(&to)) {
            (_, Err(_)) => {}
            (Entry::File(old), Ok(Entry::File(new))) if Arc::ptr_eq(old, &new) => return Ok(()),
            (Entry::File(_), Ok(Entry::File(_))) => {}
            (Entry::File(_), Ok(Entry::Folder(_))) => return Err(DiskError::IsAFolder),
            (Entry::Folder(_), Ok(Entry::File(_))) => return Err(DiskError::NotAFolder),
            (Entry::Folder(_), Ok(Entry::Folder(folder))) => {
                if !self.entries(folder).is_empty() {
                    return Err(DiskError::NotEmpty);
                }
            }
        }
        self.change(vec![(from, None), (to, Some(moved))]);
        Ok(())
    }

    fn change(&mut self, change: Change) {
        for (place, entry) in &change {
            apply(&mut self.folder_mut(place.folder).entries, place, entry);
        }
        self.unsynced.push(change);
        if self.unsynced.len() > UNSYNCED_MAX {
            self.write_back(UNSYNCED_MAX / 2);
        }
    }

    /// Makes the oldest changes durable until so many are left.
    pub(super) fn write_back(&mut self, left: usize) {
        let rest = self
            .unsynced
            .split_off(self.unsynced.len().saturating_sub(left));
        for change in std::mem::replace(&mut self.unsynced, rest) {
            self.make_durable(&change);
        }
    }

    /// Makes a folder's names durable, with what they depend on: a rename whole, and of each name
    /// what came before.
    pub(super) fn sync(&mut self, folder: FolderId) {
        let mut touched = BTreeSet::new();
        let mut synced = vec![false; self.unsynced.len()];
        for (index, change) in self.unsynced.iter().enumerate().rev() {
            let is_wanted = |(place, _): &(Place, Option<Entry>)| {
                place.folder == folder || touched.contains(place)
            };
            if change.iter().any(is_wanted) {
                synced[index] = true;
                touched.extend(change.iter().map(|(place, _)| place.clone()));
            }
        }
        let changes = std::mem::take(&mut self.unsynced);
        for (change, is_synced) in changes.into_iter().zip(synced) {
            match is_synced {
                true => self.make_durable(&change),
                false => self.unsynced.push(change),
            }
        }
    }

    fn make_durable(&mut self, change: &Change) {
        for (place, entry) in change {
            apply(&mut self.folder_mut(place.folder).durable, place, entry);
        }
    }

    /// Only what the disk has is left: of the changes that were not synced, some, whatever their
    /// order was. Of each file, likewise.
    pub(super) fn lose_power(&mut self, entropy: &mut Entropy, survival: Survival) {
        for change in std::mem::take(&mut self.unsynced) {
            if survival.survives(entropy) {
                self.make_durable(&change);
            }
        }
        let mut kept = BTreeMap::new();
        let mut files: Vec<FileRef> = Vec::new();
        let mut waiting = vec![ROOT];
        while let Some(id) = waiting.pop() {
            let Some(Folder { durable, .. }) = self.folders.remove(&id) else {
                continue;
            };
            for entry in durable.values() {
                match entry {
                    Entry::Folder(below) => waiting.push(*below),
                    Entry::File(file) => files.push(file.clone()),
                }
            }
            let entries = durable.clone();
            kept.insert(id, Folder { entries, durable });
        }
        self.folders = kept;
        // A file with two names loses its power once: the second time it has nothing to lose.
        for file in files {
            lock(&file).lose_power(entropy, survival);
        }
    }

    fn folder(&self, id: FolderId) -> &Folder {
        let folder = self.folders.get(&id);
        folder.expect("a folder is kept as long as the disk has power")
    }

    fn folder_mut(&mut self, id: FolderId) -> &mut Folder {
        let folder = self.folders.get_mut(&id);
        folder.expect("a folder is kept as long as the disk has power")
    }
}

fn apply(entries: &mut Entries, place: &Place, entry: &Option<Entry>) {
    match entry {
        Some(entry) => entries.insert(place.name.clone(), entry.clone()),
        None => entries.remove(&place.name),
    };
}

fn folder(entry: Entry) -> Result<FolderId, DiskError> {
    match entry {
        Entry::Folder(folder) => Ok(folder),
        Entry::File(_) => Err(DiskError::NotAFolder),
    }
}

fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}
