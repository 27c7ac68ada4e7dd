//! Disks as a VFS of SQLite, by `sqlite-plugin`: one for all disks, which knows the disk and the
//! process by the beginning of a path.
//!
//! The crate keeps two things from us: the flags of a sync (all of ours are full ones), and
//! whether a removal is to be followed by a sync of the folder (SQLite asks for that in
//! `synchronous = EXTRA` alone).

use std::{
    collections::BTreeMap,
    path::Path,
    ptr::NonNull,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{Ordering, fence},
    },
};

use sqlite_plugin::{
    flags::{AccessFlags, LockLevel, OpenKind, OpenOpts, ShmLockMode},
    vars,
    vfs::{RegisterOpts, SqliteErr, Vfs, VfsHandle, VfsResult, register_static},
};

use super::{
    DiskError,
    file::{FileRef, SECTOR_BYTES, lock},
    locks::Owner,
    pages::Pages,
    shared_memory::{REGION_BYTES, Segment},
    state::State,
    tree::FolderId,
};

const NAME: &str = "rmail-disk";

/// `SQLITE_IOCAP_SUBPAGE_READ`, which is newer than the header of `sqlite-plugin`.
const SUBPAGE_READ: i32 = 0x0000_8000;

/// The disks that are mounted, by the paths of their mounts.
static MOUNTS: Mutex<BTreeMap<String, Mounted>> = Mutex::new(BTreeMap::new());

#[derive(Clone)]
struct Mounted {
    state: Arc<Mutex<State>>,
    mount: u64,
}

pub(super) fn announce(root: &Path, state: &Arc<Mutex<State>>, mount: u64) {
    let mounted = Mounted {
        state: state.clone(),
        mount,
    };
    lock(&MOUNTS).insert(root.display().to_string(), mounted);
}

pub(super) fn forget(root: &Path) {
    let removed = lock(&MOUNTS).remove(&root.display().to_string());
    // Dropped outside the lock, for it may be the last of its disk.
    drop(removed);
}

/// The name of the VFS, which SQLite knows from now on.
pub(super) fn registered() -> &'static str {
    static REGISTERED: OnceLock<()> = OnceLock::new();
    REGISTERED.get_or_init(|| {
        let name = std::ffi::CString::new(NAME).expect("the name has no zero");
        let opts = RegisterOpts {
            make_default: false,
        };
        register_static(name, DiskVfs, opts).expect("SQLite takes one more VFS");
    });
    NAME
}

/// Which disk and process a path belongs to, and the path from the disk's root folder.
fn find(path: &str) -> Option<(Mounted, &str)> {
    let mut slashes = path.match_indices('/').map(|(index, _)| index).skip(2);
    let end = slashes.next().unwrap_or(path.len());
    let mounted = lock(&MOUNTS).get(&path[..end]).cloned()?;
    Some((mounted, path[end..].trim_start_matches('/')))
}

struct DiskVfs;

/// What one connection of SQLite has open.
enum SqliteFile {
    OnDisk(OpenFile),
    /// A temporary file, which no other sees and no crash leaves.
    Temporary(Pages),
}

struct OpenFile {
    owner: Owner,
    state: Arc<Mutex<State>>,
    file: FileRef,
    is_readonly: bool,
    failures_known: u64,
    /// The folder of a journal or log, which is synced with its first sync.
    unsynced_folder: Option<FolderId>,
    segment: Option<Arc<Segment>>,
}

impl VfsHandle for SqliteFile {
    fn readonly(&self) -> bool {
        match self {
            Self::OnDisk(open) => open.is_readonly,
            Self::Temporary(_) => false,
        }
    }

    fn in_memory(&self) -> bool {
        false
    }
}

impl OpenFile {
    fn open(path: &str, opts: OpenOpts) -> VfsResult<Self> {
        let (Mounted { state, mount }, path) = find(path).ok_or(vars::SQLITE_CANTOPEN)?;
        let may_create = opts.flags() & vars::SQLITE_OPEN_CREATE != 0;
        let mut disk = lock(&state);
        let opened = match disk.open_file(mount, path) {
            Ok(_) if opts.mode().must_create() => Err(DiskError::Exists),
            Err(DiskError::NotFound) if may_create => disk.create_file(mount, path),
            opened => opened,
        };
        let file = opened.map_err(|error| match error {
            DiskError::IsAFolder => vars::SQLITE_CANTOPEN_ISDIR,
            _ => vars::SQLITE_CANTOPEN,
        })?;
        let is_journal = matches!(
            opts.kind(),
            OpenKind::MainJournal | OpenKind::SuperJournal | OpenKind::Wal
        );
        let folder = match is_journal && may_create {
            true => disk.tree.place(path).ok().map(|place| place.folder),
            false => None,
        };
        let owner = disk.new_owner(mount);
        drop(disk);
        let failures_known = lock(&file).failed_syncs;
        Ok(Self {
            owner,
            state,
            file,
            is_readonly: opts.mode().is_readonly(),
            failures_known,
            unsynced_folder: folder,
            segment: None,
        })
    }

    fn sync(&mut self) -> VfsResult<()> {
        let mut state = lock(&self.state);
        state
            .sync(self.owner.mount, &self.file, &mut self.failures_known)
            .map_err(code(vars::SQLITE_IOERR_FSYNC))?;
        if let Some(folder) = self.unsynced_folder.take() {
            // As in the unix VFS, whose log is as good without it: what matters is synced by us.
            state.sync_folder_id(self.owner.mount, folder).ok();
        }
        Ok(())
    }

    fn leave_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            lock(&self.state).leave(self.owner, &self.file, segment);
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.leave_segment();
        lock(&self.state).release(self.owner, &self.file);
    }
}

/// SQLite's word for an error of an operation that has a word of its own.
fn code(of_operation: SqliteErr) -> impl Fn(DiskError) -> SqliteErr {
    move |error| match error {
        DiskError::Full => vars::SQLITE_FULL,
        DiskError::Locked => vars::SQLITE_BUSY,
        DiskError::Dead
        | DiskError::Failed
        | DiskError::NotFound
        | DiskError::Exists
        | DiskError::NotAFolder
        | DiskError::IsAFolder
        | DiskError::NotEmpty => of_operation,
    }
}

impl Vfs for DiskVfs {
    type Handle = SqliteFile;

    fn open(&self, path: Option<&str>, opts: OpenOpts) -> VfsResult<SqliteFile> {
        match path {
            Some(path) => OpenFile::open(path, opts).map(SqliteFile::OnDisk),
            None => Ok(SqliteFile::Temporary(Pages::default())),
        }
    }

    fn delete(&self, path: &str) -> VfsResult<()> {
        let (Mounted { state, mount }, path) = find(path).ok_or(vars::SQLITE_IOERR_DELETE)?;
        let removed = lock(&state).remove_file(mount, path);
        removed.map_err(|error| match error {
            DiskError::NotFound => vars::SQLITE_IOERR_DELETE_NOENT,
            other => code(vars::SQLITE_IOERR_DELETE)(other),
        })
    }

    /// To the unix VFS, too, an empty file is none.
    fn access(&self, path: &str, flags: AccessFlags) -> VfsResult<bool> {
        let (Mounted { state, mount }, path) = find(path).ok_or(vars::SQLITE_IOERR_ACCESS)?;
        let opened = lock(&state).open_file(mount, path);
        match opened {
            Ok(file) => Ok(flags != AccessFlags::Exists || lock(&file).size_bytes() > 0),
            Err(DiskError::Dead) => Err(vars::SQLITE_IOERR_ACCESS),
            Err(_) => Ok(false),
        }
    }

    fn file_size(&self, handle: &mut SqliteFile) -> VfsResult<usize> {
        let size_bytes = match handle {
            SqliteFile::OnDisk(open) => {
                let lives = lock(&open.state).must_live(open.owner.mount);
                lives.map_err(code(vars::SQLITE_IOERR_FSTAT))?;
                lock(&open.file).size_bytes()
            }
            SqliteFile::Temporary(pages) => pages.size_bytes(),
        };
        usize::try_from(size_bytes).map_err(|_| vars::SQLITE_IOERR_FSTAT)
    }

    fn truncate(&self, handle: &mut SqliteFile, size: usize) -> VfsResult<()> {
        match handle {
            SqliteFile::OnDisk(open) => {
                let mut state = lock(&open.state);
                let done = state.set_size(open.owner.mount, &open.file, size as u64);
                done.map_err(code(vars::SQLITE_IOERR_TRUNCATE))
            }
            SqliteFile::Temporary(pages) => {
                pages.set_size(size as u64);
                Ok(())
            }
        }
    }

    fn write(&self, handle: &mut SqliteFile, offset: usize, data: &[u8]) -> VfsResult<usize> {
        match handle {
            SqliteFile::OnDisk(open) => {
                let mut state = lock(&open.state);
                let done = state.write(open.owner.mount, &open.file, offset as u64, data);
                done.map_err(code(vars::SQLITE_IOERR_WRITE))?;
            }
            SqliteFile::Temporary(pages) => pages.write(offset as u64, data),
        }
        Ok(data.len())
    }

    fn read(&self, handle: &mut SqliteFile, offset: usize, data: &mut [u8]) -> VfsResult<usize> {
        match handle {
            SqliteFile::OnDisk(open) => {
                let mut state = lock(&open.state);
                let done = state.read(open.owner.mount, &open.file, offset as u64, data);
                done.map_err(code(vars::SQLITE_IOERR_READ))
            }
            SqliteFile::Temporary(pages) => Ok(pages.read(offset as u64, data)),
        }
    }

    fn lock(&self, handle: &mut SqliteFile, level: LockLevel) -> VfsResult<()> {
        let SqliteFile::OnDisk(open) = handle else {
            return Ok(());
        };
        let state = lock(&open.state);
        let lives = state.must_live(open.owner.mount);
        lives.map_err(code(vars::SQLITE_IOERR_LOCK))?;
        let mut file = lock(&open.file);
        let raised = file.locks.raise(&state.living, open.owner, level);
        raised.map_err(|_| vars::SQLITE_BUSY)
    }

    fn unlock(&self, handle: &mut SqliteFile, level: LockLevel) -> VfsResult<()> {
        if let SqliteFile::OnDisk(open) = handle {
            let _state = lock(&open.state);
            lock(&open.file).locks.lower(open.owner, level);
        }
        Ok(())
    }

    fn check_reserved_lock(&self, handle: &mut SqliteFile) -> VfsResult<bool> {
        let SqliteFile::OnDisk(open) = handle else {
            return Ok(false);
        };
        let state = lock(&open.state);
        let lives = state.must_live(open.owner.mount);
        lives.map_err(code(vars::SQLITE_IOERR_CHECKRESERVEDLOCK))?;
        let mut file = lock(&open.file);
        Ok(file.locks.is_reserved(&state.living))
    }

    fn sync(&self, handle: &mut SqliteFile) -> VfsResult<()> {
        match handle {
            SqliteFile::OnDisk(open) => open.sync(),
            SqliteFile::Temporary(_) => Ok(()),
        }
    }

    fn close(&self, handle: SqliteFile) -> VfsResult<()> {
        drop(handle);
        Ok(())
    }

    fn sector_size(&self, _: &mut SqliteFile) -> VfsResult<i32> {
        Ok(SECTOR_BYTES as i32)
    }

    fn device_characteristics(&self, _: &mut SqliteFile) -> VfsResult<i32> {
        Ok(vars::SQLITE_IOCAP_POWERSAFE_OVERWRITE | SUBPAGE_READ)
    }

    fn shm_map(
        &self,
        handle: &mut SqliteFile,
        region_idx: usize,
        region_size: usize,
        extend: bool,
    ) -> VfsResult<Option<NonNull<u8>>> {
        let SqliteFile::OnDisk(open) = handle else {
            return Err(vars::SQLITE_IOERR_SHMMAP);
        };
        assert_eq!(
            region_size, REGION_BYTES,
            "SQLite asks for regions of one size"
        );
        let mut state = lock(&open.state);
        let lives = state.must_live(open.owner.mount);
        lives.map_err(code(vars::SQLITE_IOERR_SHMMAP))?;
        let segment = open
            .segment
            .get_or_insert_with(|| state.segment(open.owner, &open.file));
        Ok(segment.region(region_idx, extend))
    }

    fn shm_lock(
        &self,
        handle: &mut SqliteFile,
        offset: u32,
        count: u32,
        mode: ShmLockMode,
    ) -> VfsResult<()> {
        let SqliteFile::OnDisk(open) = handle else {
            return Err(vars::SQLITE_IOERR_SHMLOCK);
        };
        let Some(segment) = &open.segment else {
            return Err(vars::SQLITE_IOERR_SHMLOCK);
        };
        let slots = offset as usize..(offset + count) as usize;
        let mut state = lock(&open.state);
        let changed = state.lock_slots(open.owner, segment, slots, mode);
        changed.map_err(code(vars::SQLITE_IOERR_SHMLOCK))
    }

    fn shm_barrier(&self, _: &mut SqliteFile) {
        fence(Ordering::SeqCst);
    }

    fn shm_unmap(&self, handle: &mut SqliteFile, _delete: bool) -> VfsResult<()> {
        if let SqliteFile::OnDisk(open) = handle {
            open.leave_segment();
        }
        Ok(())
    }
}
