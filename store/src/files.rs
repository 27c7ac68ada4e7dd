//! The file system as the store needs it, so that a simulator can put its own in place.

use std::{io, path::Path, path::PathBuf};

/// An open file.
pub trait FileHandle: Send {
    /// Writes all of it at `offset`.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes at `offset`; 0 at the end only.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Makes the content durable. After an error the file must not be trusted again.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// What the store does with files that are not SQLite's.
pub trait Files: Send + Sync {
    /// Makes a new file; an error when there is one.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;
    /// Replaces `to` by `from`. Durable after `sync_folder` of the folder of `to`.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name. Durable after `sync_folder`.
    ///
    /// # Errors
    ///
    /// As the file system says; `AlreadyExists` when `to` is there.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a folder with all that is in it.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder and those above it, readable for the owner alone. It is durable afterwards,
    /// also when it was there: who made it may have died before it was.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder's entries durable.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// The paths in a folder, sorted.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Takes the lock of a file that is made when it is missing; `None` when another process (or
    /// another holder in this one) has it. The lock goes when the handle is dropped, or its
    /// process dies.
    ///
    /// # Errors
    ///
    /// As the file system says.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileHandle>>>;
    /// Names the present run of the operating system: after an unclean stop of the machine it is
    /// another one.
    fn boot_id(&self) -> String;
}
