//! The store on SQLite and a file system.
//!
//! ```text
//! directory.db                                accounts, aliases
//! spool.db  spool/<entry>.eml  spool/tmp/     the queue: what is not finished; uploads
//! accounts/<domain>/<local-part>/mail.db      an account's mail
//!                    messages/xx/<email>.eml  its large contents
//! run/                                        the processes that share all this
//! ```
//!
//! Locks are taken in this order: account, spool or directory; never two accounts. No lock is
//! waited for but those of this process: what another process holds is [`StoreError::Busy`].

mod account;
mod batch;
mod content;
mod database;
mod directory;
mod documents;
mod error;
mod ids;
mod layout;
mod list;
mod mailbox;
mod messages;
mod names;
mod open_accounts;
mod presence;
mod read;
mod records;
mod spool;
mod stages;
mod submission;
mod summary;
mod threads;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use rmail_proto::{
    AccountId, Address, InstanceId, MailboxId, ModSeq, Uid, UnixTime,
    imap::{Changes, Columns, Mailbox, MailboxStatus, MessageData},
};

use self::{
    account::{AccountDatabase, Surroundings},
    batch::{Context, write_account},
    directory::Directory,
    ids::IdSource,
    layout::Layout,
    open_accounts::OpenAccounts,
    presence::Presence,
    spool::Spool,
    stages::Stages,
};
use crate::{
    Account, AccountVersion, AccountWrite, Addressee, Alias, AliasFilter, AliasWrite,
    DirectoryWrite, Files, Listing, MailboxChanges, MailboxRef, MailboxState, MessageChanges,
    PeerNews, QueueFilter, QueuedMessage, QueuedSummary, Record, RecordKind, SpoolId, SpoolWrite,
    SpoolWritten, StageId, Store, StoreError, StoredMessage, Submission, Upload, Written,
    store::Result,
};

/// The store of one `mail_root`, which other processes may share.
pub struct SqliteStore {
    around: Surroundings,
    accounts: OpenAccounts,
    directory: Directory,
    spool: Spool,
    stages: Stages,
    /// What this process has prepared in the spool and could not settle.
    undecided: Mutex<BTreeSet<SpoolId>>,
    /// Last: what is above is closed while this process is still seen to live.
    presence: Presence,
}

impl SqliteStore {
    /// Opens the store below `root`, which is made when it is missing.
    ///
    /// `vfs` names the SQLite VFS to use; `None` for SQLite's own. It must lead to the same disk as
    /// `files`. `entropy_seed` must be another one at each start: identifiers and the name of
    /// this process come from it.
    ///
    /// # Errors
    ///
    /// `Busy` when another process is just making or recovering a database; `Full`; `Failed`,
    /// also when a newer version has written there.
    pub fn open(
        root: &Path,
        files: Arc<dyn Files>,
        vfs: Option<&str>,
        entropy_seed: u64,
    ) -> Result<Self> {
        let layout = Layout::new(root);
        files.create_folder(root)?;
        files.create_folder(&layout.accounts_folder())?;
        let ids = IdSource::new(entropy_seed);
        let name = ids.process_name();
        let presence = Presence::announce(files.clone(), layout.run_folder(), name)?;
        let stages = Stages::open(files.clone(), layout.stage_folder(), &presence)?;
        let spool = Spool::open(files.clone(), &layout, vfs, &ids)?;
        let directory = Directory::open(files.clone(), layout, vfs)?;
        if presence.has_found_dead() {
            unless_busy(spool.sync())?;
            unless_busy(directory.sync())?;
        }
        let boot_id = files.boot_id();
        Ok(Self {
            around: Surroundings {
                files,
                vfs: vfs.map(str::to_owned),
                ids,
                boot_id,
            },
            accounts: OpenAccounts::default(),
            directory,
            spool,
            stages,
            undecided: Mutex::default(),
            presence,
        })
    }

    fn context(&self) -> Context<'_> {
        Context {
            around: &self.around,
            directory: &self.directory,
            stages: &self.stages,
            spool: &self.spool,
        }
    }

    fn with_account<T>(
        &self,
        account: AccountId,
        work: impl FnOnce(&mut AccountDatabase) -> Result<T>,
    ) -> Result<T> {
        if !self.directory.has_account(account)? {
            self.accounts.forget(account);
            return Err(StoreError::NoSuchAccount);
        }
        let (slot, evicted) = self.accounts.take(account);
        for database in evicted {
            database.close(&self.directory);
        }
        let mut open = lock(&slot);
        let database = match open.take() {
            Some(database) => database,
            None => {
                let record = self.directory.folder_record(account)?;
                let mut opened = AccountDatabase::open(&self.around, &self.directory, record)?;
                if self.presence.has_found_dead() {
                    // No UID is shown that a loss of power could take back.
                    unless_busy(opened.database.sync())?;
                }
                opened
            }
        };
        work(open.insert(database))
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        for database in self.accounts.take_all() {
            database.close(&self.directory);
        }
    }
}

impl Store for SqliteStore {
    fn accounts(&self) -> Result<Vec<Account>> {
        self.directory.accounts()
    }

    fn account_by_address(&self, address: &Address) -> Result<Option<Account>> {
        self.directory.account_by_address(address)
    }

    fn account(&self, account: AccountId) -> Result<Option<Account>> {
        self.directory.account(account)
    }

    fn directory_version(&self) -> Result<u64> {
        self.directory.version()
    }

    fn record(&self, now: UnixTime, kind: RecordKind, key: u128) -> Result<Option<Record>> {
        self.directory.record(now, kind, key)
    }

    fn records(
        &self,
        now: UnixTime,
        kind: RecordKind,
        account: Option<AccountId>,
    ) -> Result<Vec<Record>> {
        self.directory.records(now, kind, account)
    }

    fn write_directory(
        &self,
        now: UnixTime,
        batch: Vec<DirectoryWrite>,
    ) -> Result<Vec<Result<AccountId>>> {
        let is_delete = |write: &DirectoryWrite| matches!(write, DirectoryWrite::DeleteAccount(_));
        let deletes: Vec<bool> = batch.iter().map(is_delete).collect();
        let results = self.directory.write(now, batch)?;
        self.presence.bump();
        for (result, is_delete) in results.iter().zip(&deletes) {
            if let (Ok(account), true) = (result, is_delete) {
                self.accounts.forget(*account);
            }
        }
        if deletes.contains(&true) {
            // The rows are gone, durably. What stays of the folders is removed at the next start.
            self.directory.finish_removals().ok();
        }
        Ok(results)
    }

    fn aliases(&self, filter: &AliasFilter) -> Result<Vec<Alias>> {
        self.directory.aliases(filter)
    }

    fn alias(&self, address: &Address) -> Result<Option<Alias>> {
        self.directory.alias(address)
    }

    fn addressee(&self, address: &Address) -> Result<Option<Addressee>> {
        self.directory.addressee(address)
    }

    fn write_aliases(&self, batch: Vec<AliasWrite>) -> Result<Vec<Result<()>>> {
        let results = self.directory.write_aliases(batch)?;
        self.presence.bump();
        Ok(results)
    }

    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>> {
        self.with_account(account, AccountDatabase::mailboxes)
    }

    fn usage_bytes(&self, account: AccountId) -> Result<u64> {
        self.with_account(account, AccountDatabase::usage_bytes)
    }

    fn status(&self, account: AccountId, mailbox: &MailboxRef) -> Result<MailboxStatus> {
        self.with_account(account, |database| database.status(mailbox))
    }

    fn mailbox_state(&self, account: AccountId, mailbox: &MailboxRef) -> Result<MailboxState> {
        self.with_account(account, |database| database.mailbox_state(mailbox))
    }

    fn changes(&self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Result<Changes> {
        self.with_account(account, |database| database.changes(mailbox, since))
    }

    fn messages(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[Uid],
        columns: Columns,
        bytes_max: usize,
    ) -> Result<(Vec<MessageData>, usize)> {
        self.with_account(account, |database| {
            database.messages(&self.around, mailbox, uids, columns, bytes_max)
        })
    }

    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uid: Uid,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>> {
        self.with_account(account, |database| {
            database.read(&self.around, mailbox, uid, offset, length)
        })
    }

    fn list(
        &self,
        account: AccountId,
        listing: &Listing,
        with_total: bool,
    ) -> Result<(Vec<StoredMessage>, Option<u64>)> {
        self.with_account(account, |database| database.list(listing, with_total))
    }

    fn find_message(
        &self,
        account: AccountId,
        instance: InstanceId,
    ) -> Result<Option<StoredMessage>> {
        self.with_account(account, |database| database.find_message(instance))
    }

    fn message_changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Option<MessageChanges>> {
        self.with_account(account, |database| database.message_changes(mailbox, since))
    }

    fn mailbox_changes(&self, account: AccountId, since: ModSeq) -> Result<MailboxChanges> {
        self.with_account(account, |database| database.mailbox_changes(since))
    }

    fn account_version(&self, account: AccountId) -> Result<AccountVersion> {
        self.with_account(account, |database| database.version())
    }

    fn document(&self, account: AccountId, name: &str) -> Result<Option<String>> {
        self.with_account(account, |database| database.document(name))
    }

    fn upload(&self, account: AccountId, now: UnixTime, key: &[u8; 32]) -> Result<Option<Upload>> {
        self.with_account(account, |database| database.upload(now, key))
    }

    fn upload_content(&self, account: AccountId, key: &[u8; 32]) -> Result<Bytes> {
        self.with_account(account, |database| database.upload_content(key))
    }

    fn uploads(&self, account: AccountId, now: UnixTime) -> Result<(u64, u64)> {
        self.with_account(account, |database| database.uploads(now))
    }

    fn write_account(
        &self,
        now: UnixTime,
        account: AccountId,
        batch: Vec<AccountWrite>,
        watched: &[(MailboxId, ModSeq)],
    ) -> Result<Written> {
        let context = self.context();
        let written = self.with_account(account, |database| {
            write_account(database, &context, now, batch, watched)
        })?;
        self.presence.bump();
        Ok(written)
    }

    fn stage(&self) -> Result<StageId> {
        self.stages.begin()
    }

    fn stage_append(&self, stage: StageId, bytes: &[u8]) -> Result<()> {
        self.stages.append(stage, bytes)
    }

    fn stage_finish(&self, stage: StageId) -> Result<()> {
        self.stages.finish(stage)
    }

    fn stage_read(&self, stage: StageId) -> Result<Bytes> {
        self.stages.read(stage)
    }

    fn stage_drop(&self, stage: StageId) {
        self.stages.remove(stage);
    }

    fn write_spool(
        &self,
        now: UnixTime,
        batch: Vec<SpoolWrite>,
    ) -> Result<Vec<Result<SpoolWritten>>> {
        let results = self.spool.write(now, batch, &self.stages, &self.presence)?;
        let is_change = |result: &Result<SpoolWritten>| match result {
            Ok(SpoolWritten::Claimed { entries, .. }) => !entries.is_empty(),
            Ok(SpoolWritten::Accepted(_) | SpoolWritten::Expanded(_) | SpoolWritten::Done) => true,
            Err(_) => false,
        };
        if results.iter().any(is_change) {
            self.presence.bump();
        }
        Ok(results)
    }

    fn read_spooled(&self, spool: SpoolId, offset: u64, length: usize) -> Result<Option<Bytes>> {
        self.spool.read(spool, offset, length)
    }

    fn reserved_bytes(&self, address: &Address) -> Result<u64> {
        self.spool.reserved_bytes(address)
    }

    fn queue(
        &self,
        filter: &QueueFilter,
        after: Option<SpoolId>,
        count_max: usize,
    ) -> Result<Vec<QueuedSummary>> {
        self.spool.queue(filter, after, count_max)
    }

    fn queued(&self, name: &str) -> Result<Option<QueuedMessage>> {
        self.spool.queued(name)
    }

    fn submit(
        &self,
        now: UnixTime,
        account: AccountId,
        submission: &Submission,
    ) -> Result<InstanceId> {
        self.send_and_keep(now, account, submission)
    }

    fn settle_submissions(&self, now: UnixTime) -> Result<bool> {
        self.settle_all(now)
    }

    fn look_at_peers(&self) -> Result<PeerNews> {
        self.presence.look()
    }

    fn hint_socket(&self) -> PathBuf {
        self.presence.socket()
    }

    fn process_name(&self) -> &str {
        self.presence.name()
    }

    fn is_alive(&self, process: &str) -> Result<bool> {
        self.presence.is_alive(process)
    }
}

/// Where another process is writing, it has shown only what it synced.
fn unless_busy(synced: Result<()>) -> Result<()> {
    match synced {
        Err(StoreError::Busy) => Ok(()),
        other => other,
    }
}

/// A panic while the lock was held has rolled its transaction back: the next one may go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
