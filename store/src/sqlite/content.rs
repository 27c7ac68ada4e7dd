//! Where a message's bytes come from.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::stages::Stages;
use crate::{FileHandle, Files, StageId, limits, store::Result};

/// The bytes of a message that is to be kept.
pub(super) enum Source {
    /// Here.
    Memory(Bytes),
    /// In a complete, synced file, which gets a second name.
    File {
        /// Where.
        path: PathBuf,
        /// Its length.
        size_bytes: u64,
    },
}

impl Source {
    pub(super) fn staged(stages: &Stages, stage: StageId) -> Result<Self> {
        let (path, size_bytes) = stages.complete(stage)?;
        Ok(Self::File { path, size_bytes })
    }

    /// The same content; in memory when it is to be kept in a database.
    pub(super) fn load_small(self, files: &dyn Files) -> Result<Self> {
        match self {
            Self::File { path, size_bytes } if size_bytes <= limits::INLINE_BYTES as u64 => {
                let mut file = files.open(&path)?;
                let bytes = read_piece(file.as_mut(), 0, size_bytes as usize)?;
                Ok(Self::Memory(bytes))
            }
            other => Ok(other),
        }
    }

    pub(super) fn size_bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size_bytes, .. } => *size_bytes,
        }
    }

    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Memory(bytes) => Some(bytes),
            Self::File { .. } => None,
        }
    }
}

/// Gives a synced file its place, durably. The database's write lock is held: what lies there is
/// a leftover.
pub(super) fn place_file(files: &dyn Files, from: &Path, to: &Path) -> Result<()> {
    match files.link(from, to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            files.remove(to)?;
            files.link(from, to)?;
        }
        linked => linked?,
    }
    let folder = to.parent().expect("a content's file lies in a folder");
    Ok(files.sync_folder(folder)?)
}

/// Up to `length` bytes of a file from `offset`; fewer at its end only.
pub(super) fn read_piece(
    file: &mut dyn FileHandle,
    offset: u64,
    length: usize,
) -> io::Result<Bytes> {
    let mut buffer = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let count = file.read_at(offset + filled as u64, &mut buffer[filled..])?;
        if count == 0 {
            break;
        }
        filled += count;
    }
    buffer.truncate(filled);
    Ok(Bytes::from(buffer))
}
