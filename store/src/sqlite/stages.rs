//! Files that are being uploaded: `spool/tmp/<process>-<number>`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use bytes::Bytes;

use super::{
    content::read_piece,
    lock,
    presence::{Presence, list},
};
use crate::{FileHandle, Files, StageId, StoreError, limits, store::Result};

/// The staged files of this process.
pub(super) struct Stages {
    files: Arc<dyn Files>,
    folder: PathBuf,
    process: String,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u64,
    stages: BTreeMap<StageId, Arc<Mutex<Stage>>>,
}

struct Stage {
    path: PathBuf,
    size_bytes: u64,
    progress: Progress,
}

enum Progress {
    Open(Box<dyn FileHandle>),
    Complete,
    /// Writing failed: the content can't be trusted.
    Broken,
}

impl Stages {
    /// Removes what dead processes left.
    pub(super) fn open(
        files: Arc<dyn Files>,
        folder: PathBuf,
        presence: &Presence,
    ) -> Result<Self> {
        files.create_folder(&folder)?;
        for path in list(files.as_ref(), &folder)? {
            let name = path.file_name().and_then(|name| name.to_str());
            let process = name.and_then(|name| Some(name.rsplit_once('-')?.0));
            if let Some(process) = process
                && !presence.is_alive(process)?
            {
                files.remove(&path)?;
            }
        }
        Ok(Self {
            files,
            folder,
            process: presence.name().to_owned(),
            table: Mutex::default(),
        })
    }

    pub(super) fn begin(&self) -> Result<StageId> {
        let mut table = lock(&self.table);
        if table.stages.len() >= limits::STAGES_MAX {
            return Err(StoreError::TooMany("uploads"));
        }
        table.last += 1;
        let id = StageId(table.last);
        let path = self.folder.join(format!("{}-{}", self.process, id.0));
        let file = self.files.create(&path)?;
        let stage = Stage {
            path,
            size_bytes: 0,
            progress: Progress::Open(file),
        };
        table.stages.insert(id, Arc::new(Mutex::new(stage)));
        Ok(id)
    }

    pub(super) fn append(&self, id: StageId, bytes: &[u8]) -> Result<()> {
        let stage = self.find(id)?;
        let mut stage = lock(&stage);
        let offset = stage.size_bytes;
        let Progress::Open(file) = &mut stage.progress else {
            return Err(StoreError::NoSuchUpload);
        };
        if let Err(error) = file.write_at(offset, bytes) {
            stage.progress = Progress::Broken;
            return Err(error.into());
        }
        stage.size_bytes += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(&self, id: StageId) -> Result<()> {
        let stage = self.find(id)?;
        let mut stage = lock(&stage);
        let Progress::Open(file) = &mut stage.progress else {
            return Err(StoreError::NoSuchUpload);
        };
        let synced = file.sync();
        stage.progress = match synced {
            Ok(()) => Progress::Complete,
            Err(_) => Progress::Broken,
        };
        Ok(synced?)
    }

    pub(super) fn read(&self, id: StageId) -> Result<Bytes> {
        let stage = self.find(id)?;
        let stage = lock(&stage);
        let mut file = match stage.progress {
            Progress::Open(_) | Progress::Complete => self.files.open(&stage.path)?,
            Progress::Broken => return Err(StoreError::NoSuchUpload),
        };
        let length = usize::try_from(stage.size_bytes).unwrap_or(usize::MAX);
        Ok(read_piece(file.as_mut(), 0, length)?)
    }

    pub(super) fn remove(&self, id: StageId) {
        let stage = lock(&self.table).stages.remove(&id);
        if let Some(stage) = stage {
            // What stays goes when this process is dead.
            self.files.remove(&lock(&stage).path).ok();
        }
    }

    /// A complete file: its path and size.
    pub(super) fn complete(&self, id: StageId) -> Result<(PathBuf, u64)> {
        let stage = self.find(id)?;
        let stage = lock(&stage);
        match stage.progress {
            Progress::Complete => Ok((stage.path.clone(), stage.size_bytes)),
            Progress::Open(_) | Progress::Broken => Err(StoreError::NoSuchUpload),
        }
    }

    fn find(&self, id: StageId) -> Result<Arc<Mutex<Stage>>> {
        let table = lock(&self.table);
        table
            .stages
            .get(&id)
            .cloned()
            .ok_or(StoreError::NoSuchUpload)
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        let ids: Vec<StageId> = lock(&self.table).stages.keys().copied().collect();
        for id in ids {
            self.remove(id);
        }
    }
}
