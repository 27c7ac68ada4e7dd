//! A `mail_root` in a temporary folder, and short words for what tests do with it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, DateTime, Flags, MailboxId, ModSeq, SystemFlags, Uid, UnixTime,
    imap::{StoreMode, UidSet},
    mime::Summary,
};
use rmail_store::{
    AccountWrite, AccountWritten, Content, DirectoryWrite, FileHandle, Files, MailboxRef,
    NewAccount, NewMessage, RealFiles, SqliteStore, Store, StoreError,
};
use tempfile::TempDir;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

pub(crate) struct World {
    pub(crate) folder: TempDir,
    seed: std::cell::Cell<u64>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is a temporary folder"),
            seed: std::cell::Cell::new(1),
        }
    }

    /// One process on a fresh `mail_root`.
    pub(crate) fn new_store() -> (SqliteStore, Self) {
        let world = Self::new();
        (world.open(), world)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// Another process on this `mail_root`.
    pub(crate) fn open(&self) -> SqliteStore {
        self.open_with(Arc::new(RealFiles))
    }

    pub(crate) fn open_with(&self, files: Arc<dyn Files>) -> SqliteStore {
        self.seed.set(self.seed.get() + 1);
        SqliteStore::open(&self.root(), files, None, self.seed.get()).expect("it opens")
    }

    pub(crate) fn account_folder(&self, local_part: &str) -> PathBuf {
        self.root().join("accounts/example.com").join(local_part)
    }
}

/// The real file system in some other state.
#[derive(Default)]
pub(crate) struct ChangedFiles {
    boot_id: &'static str,
    is_full: AtomicBool,
}

impl ChangedFiles {
    pub(crate) fn after_reboot() -> Arc<Self> {
        Arc::new(Self {
            boot_id: "another run",
            ..Self::default()
        })
    }

    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    fn must_have_room(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

impl Files for ChangedFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.must_have_room()?;
        RealFiles.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        RealFiles.open(path)
    }
    fn open_to_write(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        RealFiles.open_to_write(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFiles.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.must_have_room()?;
        RealFiles.link(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealFiles.remove(path)
    }
    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        RealFiles.remove_folder(path)
    }
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        RealFiles.create_folder(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        RealFiles.sync_folder(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        RealFiles.list(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileHandle>>> {
        RealFiles.try_lock(path)
    }
    fn boot_id(&self) -> String {
        self.boot_id.to_owned()
    }
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("it is an address")
}

pub(crate) fn make_account(store: &dyn Store, text: &str) -> AccountId {
    try_make_account(store, text).expect("the address is free")
}

pub(crate) fn try_make_account(store: &dyn Store, text: &str) -> Result<AccountId, StoreError> {
    let version = store.directory_version().expect("it reads");
    let account = NewAccount {
        address: address(text),
        guid: u128::from(version),
        credential: "secret".to_owned(),
        is_admin: false,
    };
    write_directory(store, DirectoryWrite::CreateAccount(account))
}

pub(crate) fn write_directory(
    store: &dyn Store,
    write: DirectoryWrite,
) -> Result<AccountId, StoreError> {
    let results = store.write_directory(NOW, vec![write]).expect("it writes");
    results
        .into_iter()
        .next()
        .expect("one result per operation")
}

pub(crate) fn named(name: &str) -> MailboxRef {
    MailboxRef::Name(name.to_owned())
}

pub(crate) fn id_of(store: &dyn Store, account: AccountId, name: &str) -> MailboxId {
    let status = store.status(account, &named(name));
    status.expect("there is such a mailbox").mailbox
}

pub(crate) fn message(text: &str) -> NewMessage {
    NewMessage {
        content: Content::Inline(Bytes::copy_from_slice(text.as_bytes())),
        summary: Arc::new(summary(text)),
        flags: Flags::default(),
        internal_date: DateTime {
            unix: NOW,
            zone_minutes: 90,
        },
    }
}

/// What the scanner would find, roughly.
pub(crate) fn summary(text: &str) -> Summary {
    let header_bytes = text.find("\r\n\r\n").map_or(text.len(), |end| end + 4);
    let field = |name: &str| {
        let value = text.split("\r\n").find_map(|line| line.strip_prefix(name));
        value.map(str::to_owned)
    };
    Summary {
        size_bytes: text.len() as u64,
        header_bytes: header_bytes as u64,
        envelope: b"(envelope)".to_vec(),
        body: b"(body)".to_vec(),
        body_structure: b"(structure)".to_vec(),
        parts: vec![1, 2, 3],
        sent_date: Some(DateTime::utc(UnixTime(7))),
        message_id: field("Message-ID: "),
        references: field("References: ").into_iter().collect(),
        has_attachments: true,
    }
}

pub(crate) fn write(
    store: &dyn Store,
    account: AccountId,
    write: AccountWrite,
) -> Result<AccountWritten, StoreError> {
    let written = store.write_account(NOW, account, vec![write], &[]);
    let results = written.expect("it writes").results;
    results
        .into_iter()
        .next()
        .expect("one result per operation")
}

pub(crate) fn save(store: &dyn Store, account: AccountId, mailbox: &str, text: &str) -> Uid {
    let saved = write(
        store,
        account,
        AccountWrite::Save {
            mailbox: named(mailbox),
            messages: vec![message(text)],
        },
    );
    match saved.expect("it is saved") {
        AccountWritten::Saved { uids, .. } => uids[0],
        other => panic!("{other:?}"),
    }
}

pub(crate) fn delete_messages(store: &dyn Store, account: AccountId, mailbox: &str, uids: &[u32]) {
    let mailbox = id_of(store, account, mailbox);
    let store_flags = AccountWrite::StoreFlags {
        mailbox,
        uids: uid_set(uids),
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::DELETED),
        unchanged_since: None,
    };
    write(store, account, store_flags).expect("it stores");
    let expunge = AccountWrite::Expunge {
        mailbox,
        uids: Some(uid_set(uids)),
    };
    write(store, account, expunge).expect("it expunges");
}

pub(crate) fn uid(number: u32) -> Uid {
    Uid::new(number).expect("not 0")
}

pub(crate) fn uid_set(uids: &[u32]) -> UidSet {
    uids.iter().map(|&number| uid(number)).collect()
}

pub(crate) fn uids_in(store: &dyn Store, account: AccountId, mailbox: &str) -> Vec<u32> {
    let state = store
        .mailbox_state(account, &named(mailbox))
        .expect("it is there");
    let states = state.changes.changed.iter();
    states.map(|state| state.uid.get()).collect()
}

pub(crate) fn names(store: &dyn Store, account: AccountId) -> Vec<String> {
    let mailboxes = store.mailboxes(account).expect("it lists");
    let named = mailboxes.into_iter().map(|mailbox| match mailbox.id {
        Some(_) => mailbox.name,
        None => format!("({})", mailbox.name),
    });
    named.collect()
}

pub(crate) fn modseq_of(store: &dyn Store, account: AccountId, mailbox: &str) -> ModSeq {
    let status = store.status(account, &named(mailbox));
    status.expect("there is such a mailbox").modseq
}

pub(crate) fn uid_validity_of(store: &dyn Store, account: AccountId, mailbox: &str) -> u32 {
    let status = store.status(account, &named(mailbox));
    status
        .expect("there is such a mailbox")
        .uid_validity
        .0
        .get()
}
