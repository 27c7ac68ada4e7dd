//! A store that has accounts and nothing else, in memory.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use rmail_proto::{
    AccountId, Address, MailboxId, ModSeq, Uid, UnixTime,
    imap::{Changes, Columns, Mailbox, MailboxStatus, MessageData},
};
use rmail_store::{
    Account, AccountWrite, DirectoryWrite, MailboxRef, MailboxState, PeerNews, Result, SpoolWrite,
    SpoolWritten, StageId, Store, StoreError, Written,
};

/// Accounts, and how often the next write finds somebody else writing.
#[derive(Default)]
pub(in crate::cli) struct Accounts {
    pub(in crate::cli) accounts: Mutex<Vec<Account>>,
    pub(in crate::cli) busy: AtomicU32,
    pub(in crate::cli) sockets: Vec<PathBuf>,
}

impl Accounts {
    fn write(&self, now: UnixTime, write: DirectoryWrite) -> Result<AccountId> {
        let mut accounts = self.accounts.lock().unwrap();
        match write {
            DirectoryWrite::CreateAccount(new) => {
                if accounts
                    .iter()
                    .any(|account| account.address == new.address)
                {
                    return Err(StoreError::AddressTaken);
                }
                let id = AccountId(accounts.len() as u64 + 1);
                accounts.push(Account {
                    id,
                    address: new.address,
                    guid: new.guid,
                    credential: new.credential,
                    generation: 1,
                    is_admin: new.is_admin,
                    is_enabled: true,
                    display_name: String::new(),
                    quota_bytes: 0,
                    created_at: now,
                });
                Ok(id)
            }
            DirectoryWrite::UpdateAccount {
                account: id,
                update,
            } => {
                let account = accounts.iter_mut().find(|account| account.id == id);
                let account = account.ok_or(StoreError::NoSuchAccount)?;
                if let Some(credential) = update.credential {
                    account.credential = credential;
                }
                account.generation += u64::from(update.raise_generation);
                Ok(id)
            }
            DirectoryWrite::DeleteAccount(id) => {
                accounts.retain(|account| account.id != id);
                Ok(id)
            }
        }
    }
}

impl Store for Accounts {
    fn accounts(&self) -> Result<Vec<Account>> {
        let mut accounts = self.accounts.lock().unwrap().clone();
        accounts.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(accounts)
    }

    fn account_by_address(&self, address: &Address) -> Result<Option<Account>> {
        let wanted = address.to_string().to_lowercase();
        let accounts = self.accounts.lock().unwrap();
        Ok(accounts
            .iter()
            .find(|account| account.address.to_string() == wanted)
            .cloned())
    }

    fn account(&self, id: AccountId) -> Result<Option<Account>> {
        let accounts = self.accounts.lock().unwrap();
        Ok(accounts.iter().find(|account| account.id == id).cloned())
    }

    fn directory_version(&self) -> Result<u64> {
        no_mail()
    }

    fn write_directory(
        &self,
        now: UnixTime,
        batch: Vec<DirectoryWrite>,
    ) -> Result<Vec<Result<AccountId>>> {
        let busy = self.busy.load(Ordering::Relaxed);
        if busy > 0 {
            self.busy.store(busy - 1, Ordering::Relaxed);
            return Err(StoreError::Busy);
        }
        Ok(batch
            .into_iter()
            .map(|write| self.write(now, write))
            .collect())
    }

    fn mailboxes(&self, _: AccountId) -> Result<Vec<Mailbox>> {
        no_mail()
    }

    fn status(&self, _: AccountId, _: &MailboxRef) -> Result<MailboxStatus> {
        no_mail()
    }

    fn mailbox_state(&self, _: AccountId, _: &MailboxRef) -> Result<MailboxState> {
        no_mail()
    }

    fn changes(&self, _: AccountId, _: MailboxId, _: ModSeq) -> Result<Changes> {
        no_mail()
    }

    fn messages(
        &self,
        _: AccountId,
        _: MailboxId,
        _: &[Uid],
        _: Columns,
        _: usize,
    ) -> Result<(Vec<MessageData>, usize)> {
        no_mail()
    }

    fn read(
        &self,
        _: AccountId,
        _: MailboxId,
        _: Uid,
        _: u64,
        _: usize,
    ) -> Result<Option<bytes::Bytes>> {
        no_mail()
    }

    fn write_account(
        &self,
        _: UnixTime,
        _: AccountId,
        _: Vec<AccountWrite>,
        _: &[(MailboxId, ModSeq)],
    ) -> Result<Written> {
        no_mail()
    }

    fn stage(&self) -> Result<StageId> {
        no_mail()
    }

    fn stage_append(&self, _: StageId, _: &[u8]) -> Result<()> {
        no_mail()
    }

    fn stage_finish(&self, _: StageId) -> Result<()> {
        no_mail()
    }

    fn stage_drop(&self, _: StageId) {}

    fn write_spool(&self, _: UnixTime, _: Vec<SpoolWrite>) -> Result<Vec<Result<SpoolWritten>>> {
        no_mail()
    }

    fn spool_due(&self) -> Result<Option<UnixTime>> {
        no_mail()
    }

    fn look_at_peers(&self) -> Result<PeerNews> {
        Ok(PeerNews {
            sockets: self.sockets.clone(),
            ..PeerNews::default()
        })
    }

    fn hint_socket(&self) -> PathBuf {
        PathBuf::new()
    }
}

fn no_mail<T>() -> Result<T> {
    Err(StoreError::Failed(
        "this store has accounts only".to_owned(),
    ))
}
