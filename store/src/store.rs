//! The interface: what the server asks of any store.
//!
//! All methods block. Write methods take a batch and return one result per operation, each in a
//! savepoint of its own, all in one transaction that is synced once; the outer error means that
//! none of the batch has happened. No transaction outlives its call. [`StoreError::Busy`] is an
//! outcome, never waited for: who calls tries again later. Reading can be
//! busy, too: the first use of an account after a start may have to write.

use std::sync::Arc;

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, DateTime, Flags, InstanceId, MailboxId, ModSeq, Uid, UidValidity, UnixTime,
    imap::{Changes, Columns, Mailbox, MailboxStatus, MessageData, SpecialUse, StoreMode, UidSet},
    mime::Summary,
};

use crate::{
    AccountVersion, Addressee, Alias, AliasFilter, AliasWrite, Listing, MailboxChanges,
    MessageChanges, QueueFilter, QueuedMessage, QueuedSummary, Record, RecordKind, SpoolId,
    SpoolWrite, SpoolWritten, StoreError, StoredMessage, Submission, Upload, UploadWrite,
};

/// Shorthand.
pub type Result<T> = std::result::Result<T, StoreError>;

/// An account as the directory keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// For as long as it lives.
    pub id: AccountId,
    /// Its address, the local-part in lower case.
    pub address: Address,
    /// The account's id in the HTTP API: a GUID.
    pub guid: u128,
    /// The credential record, opaque here: versioned text that `server` writes and reads.
    pub credential: String,
    /// What the record was before its last change.
    pub previous_credential: Option<PreviousCredential>,
    /// Grows when the password changes, the account is disabled, or all tokens are to end.
    pub generation: u64,
    /// Whether it may administer the server.
    pub is_admin: bool,
    /// Whether it may log in and receive mail.
    pub is_enabled: bool,
    /// A name for people; may be empty.
    pub display_name: String,
    /// Most bytes it may keep; 0: no bound.
    pub quota_bytes: u64,
    /// When it was made.
    pub created_at: UnixTime,
    /// When somebody last logged in to it by the HTTP API.
    pub last_login_at: Option<UnixTime>,
    /// Whether its mail may want automatic replies; when and which, its documents say.
    pub replies_automatically: bool,
}

/// See [`Account::previous_credential`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PreviousCredential {
    /// The record.
    pub credential: String,
    /// When another took its place.
    pub replaced_at: UnixTime,
}

/// A change of the directory.
#[derive(Clone, Debug)]
pub enum DirectoryWrite {
    /// Makes an account with INBOX and the special-use mailboxes (subscribed).
    CreateAccount(NewAccount),
    /// Changes what is `Some`; raises `generation` when asked to.
    UpdateAccount {
        /// Which.
        account: AccountId,
        /// What.
        update: AccountUpdate,
    },
    /// Deletes an account with all its mail.
    DeleteAccount(AccountId),
    /// Somebody has logged in. Not synced by itself.
    RecordLogin(AccountId),
    /// Keeps a record in the place of one of the same kind and key. Those that have expired go.
    PutRecord(Record),
    /// Keeps a record in the place of the one of the same kind and key, if there is one that says
    /// `expected`; else `ChangedSince`.
    ReplaceRecord {
        /// The new one, of the same account.
        record: Record,
        /// What the old one says.
        expected: String,
    },
    /// Drops a record, if it is there.
    DropRecord(RecordKind, u128),
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its address; the local-part is folded to lower case.
    pub address: Address,
    /// The account's GUID.
    pub guid: u128,
    /// See [`Account::credential`].
    pub credential: String,
    /// Whether it may administer the server.
    pub is_admin: bool,
}

/// Changes of an account.
#[derive(Clone, Debug, Default)]
pub struct AccountUpdate {
    /// See [`Account::credential`].
    pub credential: Option<String>,
    /// Whether it may administer the server.
    pub is_admin: Option<bool>,
    /// Whether it may log in and receive mail.
    pub is_enabled: Option<bool>,
    /// A name for people.
    pub display_name: Option<String>,
    /// Most bytes it may keep; 0: no bound.
    pub quota_bytes: Option<u64>,
    /// See [`Account::replies_automatically`].
    pub replies_automatically: Option<bool>,
    /// Whether `generation` grows.
    pub raise_generation: bool,
}

/// The content of a message on its way in: small ones in memory, large ones in a staged file.
#[derive(Clone, Debug)]
pub enum Content {
    /// At most [`limits::INLINE_BYTES`](crate::limits::INLINE_BYTES).
    Inline(Bytes),
    /// A complete staged file; it is linked into place, and stays staged until it is dropped with
    /// [`Store::stage_drop`].
    Staged(StageId),
    /// The content of a spool entry.
    Spooled(SpoolId),
}

/// Names a staged file of this process.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StageId(pub u64);

/// A message to be saved.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The bytes.
    pub content: Content,
    /// What the scanner found in them.
    pub summary: Arc<Summary>,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub internal_date: DateTime,
}

/// Which mailbox is meant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MailboxRef {
    /// By id.
    Id(MailboxId),
    /// By name, in UTF-8; INBOX in any case.
    Name(String),
}

/// A change of one account's mail.
#[derive(Clone, Debug)]
pub enum AccountWrite {
    /// Saves messages, all or none. Answered by `Saved`.
    Save {
        /// Where.
        mailbox: MailboxRef,
        /// In order.
        messages: Vec<NewMessage>,
    },
    /// Saves one spooled message into INBOX, unless this entry was delivered to this account
    /// before: then nothing happens, and the answer names the UID it got. Answered by `Saved`.
    Deliver {
        /// The entry, for idempotence.
        spool: SpoolId,
        /// The message.
        message: NewMessage,
    },
    /// Answered by `Stored`.
    StoreFlags {
        /// Where.
        mailbox: MailboxId,
        /// Which; those that are gone are passed over.
        uids: UidSet,
        /// How.
        mode: StoreMode,
        /// Which flags.
        flags: Flags,
        /// Leave messages alone that changed since.
        unchanged_since: Option<ModSeq>,
    },
    /// Copies with flags and INTERNALDATE, all or none. Answered by `Copied`.
    Copy {
        /// From.
        source: MailboxId,
        /// Which; those that are gone are passed over.
        uids: UidSet,
        /// To.
        target: MailboxRef,
    },
    /// Moves, all or none; instances keep their ids. Answered by `Copied`.
    Move {
        /// From.
        source: MailboxId,
        /// Which; those that are gone are passed over.
        uids: UidSet,
        /// To. May be the source: messages get new UIDs.
        target: MailboxRef,
    },
    /// Removes messages that have `\Deleted`. Answered by `Expunged`.
    Expunge {
        /// Where.
        mailbox: MailboxId,
        /// Only these, when `Some`.
        uids: Option<UidSet>,
    },
    /// Makes a mailbox and those above it. Answered by `Made`.
    CreateMailbox {
        /// In UTF-8, parts separated by `/`.
        name: String,
        /// Its use.
        special_use: Option<SpecialUse>,
    },
    /// Deletes a mailbox with its messages; those below it stay. Answered by `Done`.
    DeleteMailbox {
        /// Which.
        mailbox: MailboxRef,
    },
    /// Renames a mailbox and those below it; renaming INBOX moves its messages to a new mailbox
    /// and leaves it empty (RFC 3501 §6.3.5). Answered by `Done`.
    RenameMailbox {
        /// Which.
        mailbox: MailboxRef,
        /// In UTF-8.
        to: String,
    },
    /// Subscribes or unsubscribes a name, whether there is such a mailbox or not. Answered by
    /// `Done`.
    Subscribe {
        /// In UTF-8.
        name: String,
        /// Which of the two.
        subscribed: bool,
    },
    /// Puts another message in the place of one, which keeps its instance and what is kept beside
    /// it, and gets a new UID: a draft. Answered by `Saved`; `NoSuchMessage`.
    Replace {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        uid: Uid,
        /// Only if it has not changed since.
        unchanged_since: Option<ModSeq>,
        /// The new one.
        message: NewMessage,
    },
    /// Sets what is kept beside a message. Answered by `Done`; `NoSuchMessage`.
    SetExtras {
        /// Where.
        mailbox: MailboxId,
        /// Which.
        uid: Uid,
        /// See [`StoredMessage::extras`].
        extras: String,
    },
    /// Sets a document of the account, or drops it. Answered by `Done`.
    SetDocument {
        /// Its name.
        name: String,
        /// At most [`limits::DOCUMENT_BYTES`](crate::limits::DOCUMENT_BYTES).
        value: Option<String>,
    },
    /// Sets a document of the account that is still as it was. Answered by `Done`;
    /// `ChangedSince`.
    SwapDocument {
        /// Its name.
        name: String,
        /// What it was; `None` when there was none.
        old: Option<String>,
        /// As in `SetDocument`.
        new: String,
    },
    /// Changes an upload. Answered by `Done`; `NoSuchUpload`.
    Upload(UploadWrite),
    /// `\Recent` of messages below this UID has been taken. Not synced. Answered by `Done`.
    TakeRecent {
        /// Where.
        mailbox: MailboxId,
        /// The first UID that is still `\Recent`.
        first_recent: Uid,
    },
}

/// What an [`AccountWrite`] did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccountWritten {
    /// Messages are saved.
    Saved {
        /// Where.
        mailbox: MailboxId,
        /// The generation of its UIDs.
        uid_validity: UidValidity,
        /// In the order of the messages.
        uids: Vec<Uid>,
        /// In the order of the messages.
        instances: Vec<InstanceId>,
    },
    /// Flags are changed.
    Stored {
        /// The messages that `unchanged_since` protected.
        modified: UidSet,
    },
    /// Messages are copied or moved.
    Copied {
        /// Where to.
        mailbox: MailboxId,
        /// The generation of its UIDs.
        uid_validity: UidValidity,
        /// In the source, in order.
        source: Vec<Uid>,
        /// In the target, in the same order.
        target: Vec<Uid>,
    },
    /// Messages are removed.
    Expunged {
        /// Which.
        uids: UidSet,
    },
    /// A mailbox is made.
    Made(MailboxId),
    /// Done.
    Done,
}

/// A mailbox's whole state, to make a snapshot from.
#[derive(Clone, Debug)]
pub struct MailboxState {
    /// Which.
    pub mailbox: MailboxId,
    /// The generation of its UIDs.
    pub uid_validity: UidValidity,
    /// The first UID that is still `\Recent`.
    pub first_recent: Uid,
    /// Everything in it.
    pub changes: Changes,
}

/// What the other processes on this `mail_root` did since the last look.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PeerNews {
    /// Whether any of them has written anything.
    pub changed: bool,
    /// Whether one of them is gone (its claims are anybody's).
    pub died: bool,
    /// Where the living ones take hints: paths of Unix datagram sockets.
    pub sockets: Vec<std::path::PathBuf>,
}

/// Accounts, mail and the spool of one `mail_root`.
pub trait Store: Send + Sync {
    // The directory.

    /// All accounts, sorted by address.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn accounts(&self) -> Result<Vec<Account>>;
    /// The account with this address, the local-part compared without case; no subaddress.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn account_by_address(&self, address: &Address) -> Result<Option<Account>>;
    /// The account with this id.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn account(&self, account: AccountId) -> Result<Option<Account>>;
    /// Grows with every change of the directory, in any process.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn directory_version(&self) -> Result<u64>;
    /// A record that has not expired.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn record(&self, now: UnixTime, kind: RecordKind, key: u128) -> Result<Option<Record>>;
    /// All records of a kind that have not expired, by key; of one account, or of all.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn records(
        &self,
        now: UnixTime,
        kind: RecordKind,
        account: Option<AccountId>,
    ) -> Result<Vec<Record>>;
    /// Changes the directory. Accounts made are returned by their ids.
    ///
    /// # Errors
    ///
    /// `Busy`, `Full`, `Failed` for the whole batch.
    fn write_directory(
        &self,
        now: UnixTime,
        batch: Vec<DirectoryWrite>,
    ) -> Result<Vec<Result<AccountId>>>;

    // Aliases.

    /// Aliases that match, by domain and local-part.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn aliases(&self, filter: &AliasFilter) -> Result<Vec<Alias>>;
    /// The alias that is spelled so; case, and the order of neighbouring wildcards, count for
    /// nothing.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn alias(&self, address: &Address) -> Result<Option<Alias>>;
    /// Who an address belongs to, in the order of [`alias`](crate::alias), enabled or not.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn addressee(&self, address: &Address) -> Result<Option<Addressee>>;
    /// Changes the aliases, and with them the directory's version. Which domains may have aliases
    /// is not known here. Synced.
    ///
    /// # Errors
    ///
    /// `Busy`, `Full`, `Failed` for the whole batch; for an operation, see [`AliasWrite`].
    fn write_aliases(&self, batch: Vec<AliasWrite>) -> Result<Vec<Result<()>>>;

    // Mailboxes and messages.

    /// All mailboxes and subscribed names of an account, sorted by name, names that only have
    /// children included.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>>;
    /// Bytes of all messages of an account, to be compared with [`Account::quota_bytes`]; a copy
    /// counts as a message.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn usage_bytes(&self, account: AccountId) -> Result<u64>;
    /// Counts of a mailbox.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn status(&self, account: AccountId, mailbox: &MailboxRef) -> Result<MailboxStatus>;
    /// A mailbox's whole state.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn mailbox_state(&self, account: AccountId, mailbox: &MailboxRef) -> Result<MailboxState>;
    /// What changed in a mailbox after `since`.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn changes(&self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Result<Changes>;
    /// Data of messages, in the order of `uids`, those that are gone left out, until `bytes_max`
    /// of content is reached (but at least one message). Returns how many of `uids` were looked
    /// at.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn messages(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uids: &[Uid],
        columns: Columns,
        bytes_max: usize,
    ) -> Result<(Vec<MessageData>, usize)>;
    /// A piece of a message; shorter than `length` at its end only, `None` when it is gone.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn read(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uid: Uid,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>>;
    /// Messages as a list shows them, and how many match in all when `with_total`.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn list(
        &self,
        account: AccountId,
        listing: &Listing,
        with_total: bool,
    ) -> Result<(Vec<StoredMessage>, Option<u64>)>;
    /// The message of this id, wherever it is.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn find_message(
        &self,
        account: AccountId,
        instance: InstanceId,
    ) -> Result<Option<StoredMessage>>;
    /// What changed in a mailbox after `since`, message by message; `None` when that is too long
    /// ago.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `Failed`.
    fn message_changes(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Option<MessageChanges>>;
    /// What changed among the mailboxes after `since`.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn mailbox_changes(&self, account: AccountId, since: ModSeq) -> Result<MailboxChanges>;
    /// What differs once anything in the account's mail has changed, in any process.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn account_version(&self, account: AccountId) -> Result<AccountVersion>;
    /// A document of an account.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn document(&self, account: AccountId, name: &str) -> Result<Option<String>>;
    /// An upload, unless it has expired.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn upload(&self, account: AccountId, now: UnixTime, key: &[u8; 32]) -> Result<Option<Upload>>;
    /// All bytes of an upload that are here.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchUpload`, `Failed`.
    fn upload_content(&self, account: AccountId, key: &[u8; 32]) -> Result<Bytes>;
    /// How many uploads an account has under way, and how many bytes of them are here; those that
    /// were emptied do not count.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Failed`.
    fn uploads(&self, account: AccountId, now: UnixTime) -> Result<(u64, u64)>;
    /// Changes an account's mail, and tells what has changed since then in those mailboxes that
    /// are `watched`, each with the MODSEQ from which on. A mailbox that is gone is left out.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `Busy`, `Full`, `Failed` for the whole batch.
    fn write_account(
        &self,
        now: UnixTime,
        account: AccountId,
        batch: Vec<AccountWrite>,
        watched: &[(MailboxId, ModSeq)],
    ) -> Result<Written>;

    // Uploads that do not fit in memory.

    /// Begins a staged file.
    ///
    /// # Errors
    ///
    /// `Full`, `Failed`.
    fn stage(&self) -> Result<StageId>;
    /// Adds to a staged file.
    ///
    /// # Errors
    ///
    /// `NoSuchUpload`, `Full`, `Failed`.
    fn stage_append(&self, stage: StageId, bytes: &[u8]) -> Result<()>;
    /// Makes a staged file complete and durable.
    ///
    /// # Errors
    ///
    /// `NoSuchUpload`, `Full`, `Failed`.
    fn stage_finish(&self, stage: StageId) -> Result<()>;
    /// The bytes of a staged file, complete or not; one that is no message need not be completed.
    ///
    /// # Errors
    ///
    /// `NoSuchUpload`, `Failed`.
    fn stage_read(&self, stage: StageId) -> Result<Bytes>;
    /// Removes a staged file; those of processes that died go by themselves.
    fn stage_drop(&self, stage: StageId);

    // The spool.

    /// Changes the spool.
    ///
    /// # Errors
    ///
    /// `Busy`, `Full`, `Failed` for the whole batch.
    fn write_spool(
        &self,
        now: UnixTime,
        batch: Vec<SpoolWrite>,
    ) -> Result<Vec<Result<SpoolWritten>>>;
    /// A piece of a spooled message; shorter than `length` at its end only, `None` when the entry
    /// is gone.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn read_spooled(&self, spool: SpoolId, offset: u64, length: usize) -> Result<Option<Bytes>>;
    /// Bytes of accepted messages that wait for this address of an account and are not in its
    /// mailbox yet: they are delivered whatever its quota says.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn reserved_bytes(&self, address: &Address) -> Result<u64>;
    /// Entries that match, by id, from after `after` on, `count_max` at most.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn queue(
        &self,
        filter: &QueueFilter,
        after: Option<SpoolId>,
        count_max: usize,
    ) -> Result<Vec<QueuedSummary>>;
    /// All that is known of an entry; by its number or its envelope id.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn queued(&self, name: &str) -> Result<Option<QueuedMessage>>;

    // Both.

    /// Spools a message and keeps the sender's copy of it: both, durably, or neither, whatever
    /// comes between. A draft that is sent becomes the copy. Answered by the copy's instance.
    ///
    /// # Errors
    ///
    /// `NoSuchAccount`, `NoSuchMailbox`, `OverQuota`; for a draft `NoSuchMessage` and
    /// `ChangedSince`; `Busy`, `Full`, `Failed`, after which a process that ends before
    /// [`settle_submissions`](Self::settle_submissions) may leave both.
    fn submit(
        &self,
        now: UnixTime,
        account: AccountId,
        submission: &Submission,
    ) -> Result<InstanceId>;
    /// Brings to an end what [`submit`](Self::submit) began in processes that died, or could not
    /// end in this one. Costs next to nothing when there is no such thing. Returns whether
    /// messages are in the queue now that were not before.
    ///
    /// # Errors
    ///
    /// `Busy`, `Full`, `Failed`: what is left is to be tried again.
    fn settle_submissions(&self, now: UnixTime) -> Result<bool>;

    // Other processes.

    /// What the others did; see [`PeerNews`].
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn look_at_peers(&self) -> Result<PeerNews>;
    /// Where this process takes hints.
    fn hint_socket(&self) -> std::path::PathBuf;
    /// The name of this process; no other has it, ever.
    fn process_name(&self) -> &str;
    /// Whether the process of this name lives.
    ///
    /// # Errors
    ///
    /// `Failed`.
    fn is_alive(&self, process: &str) -> Result<bool>;
}

/// What a batch of [`AccountWrite`]s did.
#[derive(Clone, Debug)]
pub struct Written {
    /// In the order of the batch.
    pub results: Vec<Result<AccountWritten>>,
    /// For the watched mailboxes that changed.
    pub changes: Vec<(MailboxId, Changes)>,
}
