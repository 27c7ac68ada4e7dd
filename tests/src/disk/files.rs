//! A disk as [`Files`].

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rmail_store::{FileHandle, Files};

use super::{
    DiskError,
    file::{FileRef, lock},
    locks::Owner,
    state::State,
};

/// The files of a disk as one process sees them.
pub(super) struct MountFiles {
    pub(super) root: PathBuf,
    pub(super) mount: u64,
    pub(super) state: Arc<Mutex<State>>,
}

impl From<DiskError> for io::Error {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Dead => Self::other("this process is dead"),
            DiskError::Failed => Self::other("input/output error"),
            DiskError::Full => io::ErrorKind::StorageFull.into(),
            DiskError::Locked => io::ErrorKind::WouldBlock.into(),
            DiskError::NotFound => io::ErrorKind::NotFound.into(),
            DiskError::Exists => io::ErrorKind::AlreadyExists.into(),
            DiskError::NotAFolder => io::ErrorKind::NotADirectory.into(),
            DiskError::IsAFolder => io::ErrorKind::IsADirectory.into(),
            DiskError::NotEmpty => io::ErrorKind::DirectoryNotEmpty.into(),
        }
    }
}

/// An open file.
struct DiskFile {
    mount: u64,
    owner: Owner,
    state: Arc<Mutex<State>>,
    file: FileRef,
    failures_known: u64,
    is_writable: bool,
}

impl FileHandle for DiskFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.is_writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut state = lock(&self.state);
        Ok(state.write(self.mount, &self.file, offset, bytes)?)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.state);
        Ok(state.read(self.mount, &self.file, offset, buffer)?)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = lock(&self.state);
        Ok(state.sync(self.mount, &self.file, &mut self.failures_known)?)
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        lock(&self.state).release(self.owner, &self.file);
    }
}

impl MountFiles {
    /// A path from the disk's root folder.
    fn inner<'a>(&self, path: &'a Path) -> io::Result<&'a str> {
        let inner = path.strip_prefix(&self.root).ok();
        let inner = inner.and_then(Path::to_str);
        inner.ok_or_else(|| {
            let place = format!("{} is not on this disk", path.display());
            io::Error::new(io::ErrorKind::NotFound, place)
        })
    }

    fn handle(&self, state: &mut State, file: FileRef, is_writable: bool) -> Box<dyn FileHandle> {
        let failures_known = lock(&file).failed_syncs;
        Box::new(DiskFile {
            mount: self.mount,
            owner: state.new_owner(self.mount),
            state: self.state.clone(),
            file,
            failures_known,
            is_writable,
        })
    }
}

impl Files for MountFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let path = self.inner(path)?;
        let mut state = lock(&self.state);
        let file = state.create_file(self.mount, path)?;
        Ok(self.handle(&mut state, file, true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let path = self.inner(path)?;
        let mut state = lock(&self.state);
        let file = state.open_file(self.mount, path)?;
        Ok(self.handle(&mut state, file, false))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let path = self.inner(path)?;
        let mut state = lock(&self.state);
        let file = state.open_file(self.mount, path)?;
        Ok(self.handle(&mut state, file, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.inner(from)?, self.inner(to)?);
        Ok(lock(&self.state).rename(self.mount, from, to)?)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.inner(from)?, self.inner(to)?);
        Ok(lock(&self.state).link(self.mount, from, to)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let path = self.inner(path)?;
        Ok(lock(&self.state).remove_file(self.mount, path)?)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        let path = self.inner(path)?;
        Ok(lock(&self.state).remove_folder(self.mount, path)?)
    }

    /// As `RealFiles` does it, with the same operations in the same order.
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        let inner = self.inner(path)?;
        let made = lock(&self.state).create_folder(self.mount, inner);
        match made {
            Ok(()) => self.sync_folder(path.parent().expect("the root folder is there")),
            Err(DiskError::Exists) => {
                lock(&self.state).tree.find_folder(inner)?;
                match path == self.root {
                    true => Ok(()),
                    false => self.sync_folder(path.parent().expect("it is not the root folder")),
                }
            }
            Err(DiskError::NotFound) => {
                self.create_folder(path.parent().expect("the root folder is there"))?;
                self.create_folder(path)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let path = self.inner(path)?;
        Ok(lock(&self.state).sync_folder(self.mount, path)?)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let inner = self.inner(path)?;
        let state = lock(&self.state);
        state.must_live(self.mount)?;
        let folder = state.tree.find_folder(inner)?;
        let names = state.tree.entries(folder).keys();
        Ok(names.map(|name| path.join(name)).collect())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileHandle>>> {
        let inner = self.inner(path)?;
        let mut state = lock(&self.state);
        let file = match state.open_file(self.mount, inner) {
            Err(DiskError::NotFound) => state.create_file(self.mount, inner)?,
            opened => opened?,
        };
        let owner = state.new_owner(self.mount);
        if lock(&file).locks.take_whole(&state.living, owner).is_err() {
            return Ok(None);
        }
        let failures_known = lock(&file).failed_syncs;
        Ok(Some(Box::new(DiskFile {
            mount: self.mount,
            owner,
            state: self.state.clone(),
            file,
            failures_known,
            is_writable: true,
        })))
    }

    fn boot_id(&self) -> String {
        format!("boot {}", lock(&self.state).boots)
    }
}
