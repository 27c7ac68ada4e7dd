//! Which processes share this `mail_root`, and whether they have written.
//!
//! Each has three files in `run/`: `<name>.lock`, locked for as long as it lives; `<name>.count`,
//! how often it has written; `<name>.sock`, where it takes hints (bound by who owns the store). A
//! command that asks servers has `<name>.ask` instead of the last, where it takes answers. Names
//! are never used twice.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use super::lock;
use crate::{FileHandle, Files, PeerNews, limits, store::Result};

/// This process's place in `run/`.
pub(super) struct Presence {
    files: Arc<dyn Files>,
    folder: PathBuf,
    name: String,
    counter: Mutex<Counter>,
    /// The counts of the others at the last look.
    peers: Mutex<BTreeMap<String, u64>>,
    /// Whether a process was found dead.
    has_found_dead: AtomicBool,
    /// Held until the end.
    _lock: Mutex<Box<dyn FileHandle>>,
}

struct Counter {
    file: Box<dyn FileHandle>,
    count: u64,
}

impl Presence {
    /// Announces this process.
    pub(super) fn announce(files: Arc<dyn Files>, folder: PathBuf, name: String) -> Result<Self> {
        files.create_folder(&folder)?;
        let (held, file) = take_name(files.as_ref(), &folder, &name)?;
        let presence = Self {
            files,
            folder,
            name,
            counter: Mutex::new(Counter { file, count: 0 }),
            peers: Mutex::new(BTreeMap::new()),
            has_found_dead: AtomicBool::new(false),
            _lock: Mutex::new(held),
        };
        presence.look()?;
        presence.sweep()?;
        Ok(presence)
    }

    /// Removes what processes left that died while they announced themselves.
    fn sweep(&self) -> Result<()> {
        let files = self.files.as_ref();
        for path in list(files, &self.folder)? {
            if let Some(name) = stem(&path, "new") {
                if files.try_lock(&path)?.is_some() {
                    remove_if_there(files, &self.path(name, "count"))?;
                    remove_if_there(files, &path)?;
                }
            } else if let Some(name) = stem(&path, "count")
                && files.open(&self.path(name, "new")).is_err()
            {
                // Whoever has a count had the other file before: by now its lock tells.
                self.is_alive(name)?;
            }
        }
        Ok(())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether a process has died uncleanly, as far as this one knows. What it committed last may
    /// be seen now and not be durable: SQLite finds in the log what was written, synced or not,
    /// when no living process has the database open.
    pub(super) fn has_found_dead(&self) -> bool {
        self.has_found_dead.load(Ordering::Relaxed)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path(&self.name, "sock")
    }

    /// Lets the others see that something was written. A failure is not told: what was written
    /// is, and the hint comes besides.
    pub(super) fn bump(&self) {
        let mut counter = lock(&self.counter);
        counter.count += 1;
        let count = counter.count.to_le_bytes();
        counter.file.write_at(0, &count).ok();
    }

    /// Whether that process lives. What a dead one left in `run/` is removed.
    pub(super) fn is_alive(&self, name: &str) -> Result<bool> {
        if name == self.name {
            return Ok(true);
        }
        let lock_file = self.path(name, "lock");
        let Some(_lock) = self.files.try_lock(&lock_file)? else {
            return Ok(true);
        };
        self.has_found_dead.store(true, Ordering::Relaxed);
        for kind in ["sock", "ask", "count", "lock"] {
            remove_if_there(self.files.as_ref(), &self.path(name, kind))?;
        }
        Ok(false)
    }

    /// What the others did since the last look.
    pub(super) fn look(&self) -> Result<PeerNews> {
        let mut known = lock(&self.peers);
        let mut seen = BTreeMap::new();
        let mut news = PeerNews::default();
        for path in list(self.files.as_ref(), &self.folder)? {
            let Some(name) = stem(&path, "lock") else {
                continue;
            };
            if name == self.name {
                continue;
            }
            let count = self.count_of(name);
            news.changed |= count != known.get(name).copied().unwrap_or(0);
            if self.is_alive(name)? {
                seen.insert(name.to_owned(), count);
                news.sockets.push(self.path(name, "sock"));
            } else {
                news.died = true;
            }
        }
        let gone = known.keys().any(|name| !seen.contains_key(name));
        // It may have written between the last look and its end.
        news.died |= gone;
        news.changed |= gone;
        *known = seen;
        Ok(news)
    }

    fn count_of(&self, name: &str) -> u64 {
        let mut count = [0; 8];
        let read = self
            .files
            .open(&self.path(name, "count"))
            .and_then(|mut file| file.read_at(0, &mut count));
        match read {
            Ok(8) => u64::from_le_bytes(count),
            // It is just coming or going, and will be looked at again.
            Ok(_) | Err(_) => 0,
        }
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.folder.join(format!("{name}.{kind}"))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        for kind in ["sock", "count", "lock"] {
            // What stays is removed by who finds it.
            self.files.remove(&self.path(&self.name, kind)).ok();
        }
    }
}

/// Makes a process's files: its lock, which is held, and its count.
fn take_name(
    files: &dyn Files,
    folder: &Path,
    name: &str,
) -> Result<(Box<dyn FileHandle>, Box<dyn FileHandle>)> {
    let path = |kind: &str| folder.join(format!("{name}.{kind}"));
    // Locked under another name first: a lock file that can be seen is a locked one, or its owner
    // is dead.
    let unseen = path("new");
    for _ in 0..limits::ANNOUNCEMENTS_MAX {
        let Some(held) = files.try_lock(&unseen)? else {
            break;
        };
        remove_if_there(files, &path("count"))?;
        let mut count = files.create(&path("count"))?;
        count.write_at(0, &0_u64.to_le_bytes())?;
        match files.rename(&unseen, &path("lock")) {
            // Another process has taken it for a dead one's, just before it was locked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => return Ok(renamed.map(|()| (held, count))?),
        }
    }
    let error = format!("{} is locked by another process", unseen.display());
    Err(io::Error::other(error).into())
}

/// The paths in a folder; none when there is no such folder.
pub(super) fn list(files: &dyn Files, folder: &Path) -> Result<Vec<PathBuf>> {
    match files.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => Ok(listed?),
    }
}

/// The name of a file without its extension, when it has this one.
pub(super) fn stem<'a>(path: &'a Path, extension: &str) -> Option<&'a str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(extension)?.strip_suffix('.')
}

pub(super) fn remove_if_there(files: &dyn Files, path: &Path) -> Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}
