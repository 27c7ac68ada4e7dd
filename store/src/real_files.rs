//! The machine's own file system.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{FileHandle, Files, limits};

const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// The file system of the machine. Files and folders that it makes are for their owner alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealFiles;

impl RealFiles {
    /// Makes the name of a folder durable: whoever made it may have died before. Where we may not
    /// look at the folder above, we can't have made it.
    fn sync_name_of(self, path: &Path) -> io::Result<()> {
        let Some(above) = path.parent() else {
            return Ok(());
        };
        match self.sync_folder(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        }
    }
}

struct RealFile(File);

impl FileHandle for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match FileExt::read_at(&self.0, buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE);
        Ok(Box::new(RealFile(options.open(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }

    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(RealFile(
            options.read(true).write(true).open(path)?,
        )))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Copies, and syncs the copy, where the two lie on different file systems.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        match fs::hard_link(from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let copied = copy(self, from, to);
                if copied.is_err() {
                    // The copy's own error is the one to tell.
                    fs::remove_file(to).ok();
                }
                copied
            }
            linked => linked,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            Ok(()) => match path.parent() {
                Some(above) => self.sync_folder(above),
                None => Ok(()),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                self.sync_name_of(path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create_folder(path.parent().ok_or(error)?)?;
                self.create_folder(path)
            }
            Err(error) => Err(error),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let path = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        File::open(path)?.sync_all()
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileHandle>>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE);
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealFile(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Empty where the operating system does not tell.
    fn boot_id(&self) -> String {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_owned()
    }
}

fn copy(files: &RealFiles, from: &Path, to: &Path) -> io::Result<()> {
    let mut source = files.open(from)?;
    let mut target = files.create(to)?;
    let mut buffer = vec![0; limits::COPY_BYTES];
    let mut offset = 0;
    loop {
        let count = source.read_at(offset, &mut buffer)?;
        if count == 0 {
            return target.sync();
        }
        target.write_at(offset, &buffer[..count])?;
        offset += count as u64;
    }
}
