//! A store with one message.

use std::path::PathBuf;

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, EmailId, InstanceId, MailboxId, ModSeq, ThreadId, Uid, UnixTime,
    imap::{Changes, Columns, Mailbox, MailboxStatus, MessageData},
    mime::Summary,
};
use rmail_store::{
    Account, AccountVersion, AccountWrite, Addressee, Alias, AliasFilter, AliasWrite,
    DirectoryWrite, Listing, MailboxChanges, MailboxRef, MailboxState, MessageChanges, PeerNews,
    QueueFilter, QueuedMessage, QueuedSummary, Record, RecordKind, SpoolId, SpoolWrite,
    SpoolWritten, StageId, Store, StoreError, StoredMessage, Submission, Upload, Written,
};

type Result<T> = std::result::Result<T, StoreError>;

/// The message, whose UID is 1.
pub(super) struct OneMessage {
    pub(super) content: Bytes,
    pub(super) summary: Summary,
    /// Whether its content comes along with its data, or is read in pieces.
    pub(super) inline: bool,
}

impl Store for OneMessage {
    fn messages(
        &self,
        _account: AccountId,
        _mailbox: MailboxId,
        uids: &[Uid],
        columns: Columns,
        _bytes_max: usize,
    ) -> Result<(Vec<MessageData>, usize)> {
        let header_bytes = self.summary.header_bytes as usize;
        let header = self.content.slice(..header_bytes);
        let with_header = columns.header && self.inline;
        let data = MessageData {
            uid: Uid::MIN,
            size_bytes: self.content.len() as u64,
            internal_date: Default::default(),
            email_id: EmailId(1),
            thread_id: ThreadId(2),
            instance_id: InstanceId(3),
            envelope: self.summary.envelope.clone().into(),
            body: self.summary.body.clone().into(),
            body_structure: self.summary.body_structure.clone().into(),
            parts: self.summary.parts.clone().into(),
            header: if with_header { header } else { Bytes::new() },
            content: (columns.content && self.inline).then(|| self.content.clone()),
        };
        let found = uids.contains(&Uid::MIN).then_some(data);
        Ok((found.into_iter().collect(), uids.len()))
    }

    fn read(
        &self,
        _account: AccountId,
        _mailbox: MailboxId,
        _uid: Uid,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>> {
        let start = (offset as usize).min(self.content.len());
        let end = start.saturating_add(length).min(self.content.len());
        Ok(Some(self.content.slice(start..end)))
    }

    fn accounts(&self) -> Result<Vec<Account>> {
        unreachable!("a search asks for messages alone")
    }

    fn account_by_address(&self, _address: &Address) -> Result<Option<Account>> {
        unreachable!("a search asks for messages alone")
    }

    fn account(&self, _account: AccountId) -> Result<Option<Account>> {
        unreachable!("a search asks for messages alone")
    }

    fn directory_version(&self) -> Result<u64> {
        unreachable!("a search asks for messages alone")
    }

    fn record(&self, _now: UnixTime, _kind: RecordKind, _key: u128) -> Result<Option<Record>> {
        unreachable!("a search asks for messages alone")
    }

    fn records(
        &self,
        _now: UnixTime,
        _kind: RecordKind,
        _account: Option<AccountId>,
    ) -> Result<Vec<Record>> {
        unreachable!("a search asks for messages alone")
    }

    fn reserved_bytes(&self, _address: &Address) -> Result<u64> {
        unreachable!("a search asks for messages alone")
    }

    fn list(
        &self,
        _account: AccountId,
        _listing: &Listing,
        _with_total: bool,
    ) -> Result<(Vec<StoredMessage>, Option<u64>)> {
        unreachable!("a search asks for messages alone")
    }

    fn find_message(
        &self,
        _account: AccountId,
        _instance: InstanceId,
    ) -> Result<Option<StoredMessage>> {
        unreachable!("a search asks for messages alone")
    }

    fn message_changes(
        &self,
        _account: AccountId,
        _mailbox: MailboxId,
        _since: ModSeq,
    ) -> Result<Option<MessageChanges>> {
        unreachable!("a search asks for messages alone")
    }

    fn mailbox_changes(&self, _account: AccountId, _since: ModSeq) -> Result<MailboxChanges> {
        unreachable!("a search asks for messages alone")
    }

    fn account_version(&self, _account: AccountId) -> Result<AccountVersion> {
        unreachable!("a search asks for messages alone")
    }

    fn document(&self, _account: AccountId, _name: &str) -> Result<Option<String>> {
        unreachable!("a search asks for messages alone")
    }

    fn upload(
        &self,
        _account: AccountId,
        _now: UnixTime,
        _key: &[u8; 32],
    ) -> Result<Option<Upload>> {
        unreachable!("a search asks for messages alone")
    }

    fn upload_content(&self, _account: AccountId, _key: &[u8; 32]) -> Result<Bytes> {
        unreachable!("a search asks for messages alone")
    }

    fn uploads(&self, _account: AccountId, _now: UnixTime) -> Result<(u64, u64)> {
        unreachable!("a search asks for messages alone")
    }

    fn write_directory(
        &self,
        _now: UnixTime,
        _batch: Vec<DirectoryWrite>,
    ) -> Result<Vec<Result<AccountId>>> {
        unreachable!("a search asks for messages alone")
    }

    fn aliases(&self, _filter: &AliasFilter) -> Result<Vec<Alias>> {
        unreachable!("a search asks for messages alone")
    }

    fn alias(&self, _address: &Address) -> Result<Option<Alias>> {
        unreachable!("a search asks for messages alone")
    }

    fn addressee(&self, _address: &Address) -> Result<Option<Addressee>> {
        unreachable!("a search asks for messages alone")
    }

    fn write_aliases(&self, _batch: Vec<AliasWrite>) -> Result<Vec<Result<()>>> {
        unreachable!("a search asks for messages alone")
    }

    fn mailboxes(&self, _account: AccountId) -> Result<Vec<Mailbox>> {
        unreachable!("a search asks for messages alone")
    }

    fn usage_bytes(&self, _account: AccountId) -> Result<u64> {
        unreachable!("a search asks for messages alone")
    }

    fn status(&self, _account: AccountId, _mailbox: &MailboxRef) -> Result<MailboxStatus> {
        unreachable!("a search asks for messages alone")
    }

    fn mailbox_state(&self, _account: AccountId, _mailbox: &MailboxRef) -> Result<MailboxState> {
        unreachable!("a search asks for messages alone")
    }

    fn changes(&self, _account: AccountId, _mailbox: MailboxId, _since: ModSeq) -> Result<Changes> {
        unreachable!("a search asks for messages alone")
    }

    fn write_account(
        &self,
        _now: UnixTime,
        _account: AccountId,
        _batch: Vec<AccountWrite>,
        _watched: &[(MailboxId, ModSeq)],
    ) -> Result<Written> {
        unreachable!("a search asks for messages alone")
    }

    fn stage(&self) -> Result<StageId> {
        unreachable!("a search asks for messages alone")
    }

    fn stage_append(&self, _stage: StageId, _bytes: &[u8]) -> Result<()> {
        unreachable!("a search asks for messages alone")
    }

    fn stage_finish(&self, _stage: StageId) -> Result<()> {
        unreachable!("a search asks for messages alone")
    }

    fn stage_read(&self, _stage: StageId) -> Result<Bytes> {
        unreachable!("a search asks for messages alone")
    }

    fn stage_drop(&self, _stage: StageId) {
        unreachable!("a search asks for messages alone")
    }

    fn write_spool(
        &self,
        _now: UnixTime,
        _batch: Vec<SpoolWrite>,
    ) -> Result<Vec<Result<SpoolWritten>>> {
        unreachable!("a search asks for messages alone")
    }

    fn read_spooled(&self, _: SpoolId, _: u64, _: usize) -> Result<Option<Bytes>> {
        unreachable!("a search asks for messages alone")
    }

    fn queue(&self, _: &QueueFilter, _: Option<SpoolId>, _: usize) -> Result<Vec<QueuedSummary>> {
        unreachable!("a search asks for messages alone")
    }

    fn queued(&self, _name: &str) -> Result<Option<QueuedMessage>> {
        unreachable!("a search asks for messages alone")
    }

    fn submit(&self, _: UnixTime, _: AccountId, _: &Submission) -> Result<InstanceId> {
        unreachable!("a search asks for messages alone")
    }

    fn settle_submissions(&self, _: UnixTime) -> Result<bool> {
        unreachable!("a search asks for messages alone")
    }

    fn look_at_peers(&self) -> Result<PeerNews> {
        unreachable!("a search asks for messages alone")
    }

    fn hint_socket(&self) -> PathBuf {
        unreachable!("a search asks for messages alone")
    }

    fn process_name(&self) -> &str {
        unreachable!("a search asks for messages alone")
    }

    fn is_alive(&self, _process: &str) -> Result<bool> {
        unreachable!("a search asks for messages alone")
    }
}
