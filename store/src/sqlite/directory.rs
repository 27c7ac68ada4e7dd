//! `directory.db`: the accounts, what is known of their folders, and the aliases.
//!
//! The row is the truth: an account's folder is made when it is first opened, and removed after
//! its row. Readers have a connection of their own, so that looking up an account never waits for
//! the disk.

mod aliases;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use rmail_proto::{AccountId, Address, Domain, UnixTime};

use super::{
    database::{Database, Durability, from_sql, in_savepoint, to_sql},
    layout::Layout,
    lock, records,
};
use crate::{
    Account, AccountUpdate, DirectoryWrite, Files, NewAccount, PreviousCredential, StoreError,
    store::Result,
};

const MIGRATIONS: &[&str] = &[
    include_str!("schema/directory_1.sql"),
    include_str!("schema/directory_2.sql"),
    include_str!("schema/directory_3.sql"),
    include_str!("schema/directory_4.sql"),
];

const ACCOUNT_COLUMNS: &str = "id, local_part, domain, guid, credential, generation, is_admin, \
                               is_enabled, display_name, quota_bytes, created_at, last_login_at, \
                               replies_automatically, previous_credential, \
                               credential_changed_at";

/// The directory of one `mail_root`.
pub(super) struct Directory {
    files: Arc<dyn Files>,
    layout: Layout,
    writer: Mutex<Database>,
    pub(super) reader: Mutex<Database>,
}

/// What the directory knows of an account's folder.
#[derive(Clone, Debug)]
pub(super) struct FolderRecord {
    pub(super) account: AccountId,
    pub(super) folder: PathBuf,
    pub(super) created_at: UnixTime,
    pub(super) marks: Marks,
}

/// How far an account's counters have come, for sure. A folder that is behind is an old copy.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Marks {
    /// The highest ceiling of MODSEQs.
    pub(super) modseq_ceiling: u64,
    /// A MODSEQ up to which everything was synced.
    pub(super) modseq_synced: u64,
    /// The last UIDVALIDITY.
    pub(super) uid_validity: u32,
}

impl Directory {
    pub(super) fn open(files: Arc<dyn Files>, layout: Layout, vfs: Option<&str>) -> Result<Self> {
        let mut writer = Database::open(&layout.directory(), files.clone(), vfs)?;
        writer.migrate(MIGRATIONS, |_| Ok(()))?;
        let reader = Database::open(&layout.directory(), files.clone(), vfs)?;
        let directory = Self {
            files,
            layout,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
        };
        match directory.finish_removals() {
            // Another process is at it, or will be next time.
            Ok(()) | Err(StoreError::Busy) => Ok(directory),
            Err(error) => Err(error),
        }
    }

    /// Makes all durable that is there.
    pub(super) fn sync(&self) -> Result<()> {
        lock(&self.writer).sync()
    }

    pub(super) fn accounts(&self) -> Result<Vec<Account>> {
        let reader = lock(&self.reader);
        let connection = reader.connection();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {ACCOUNT_COLUMNS} FROM accounts ORDER BY local_part, domain"
        ))?;
        let mut rows = statement.query([])?;
        let mut accounts = Vec::new();
        while let Some(row) = rows.next()? {
            accounts.push(account_from_row(row)?);
        }
        Ok(accounts)
    }

    pub(super) fn account(&self, account: AccountId) -> Result<Option<Account>> {
        let reader = lock(&self.reader);
        let connection = reader.connection();
        find_account(connection, account)
    }

    pub(super) fn account_by_address(&self, address: &Address) -> Result<Option<Account>> {
        let reader = lock(&self.reader);
        find_by_address(reader.connection(), address)
    }

    pub(super) fn version(&self) -> Result<u64> {
        let reader = lock(&self.reader);
        let connection = reader.connection();
        let mut statement = connection.prepare_cached("SELECT version FROM meta")?;
        let version = statement.query_row([], |row| row.get(0))?;
        Ok(from_sql(version))
    }

    /// Most bytes that an account may keep; 0: no bound.
    pub(super) fn quota_bytes(&self, account: AccountId) -> Result<u64> {
        let reader = lock(&self.reader);
        let connection = reader.connection();
        let mut statement =
            connection.prepare_cached("SELECT quota_bytes FROM accounts WHERE id = ?1")?;
        let quota = statement.query_row([to_sql(account.0)], |row| row.get(0));
        Ok(quota.optional()?.map_or(0, from_sql))
    }

    pub(super) fn has_account(&self, account: AccountId) -> Result<bool> {
        let reader = lock(&self.reader);
        let connection = reader.connection();
        let mut statement = connection.prepare_cached("SELECT 1 FROM accounts WHERE id = ?1")?;
        Ok(statement.exists([to_sql(account.0)])?)
    }

    pub(super) fn folder_record(&self, account: AccountId) -> Result<FolderRecord> {
        let reader = lock(&self.reader);
        let connection = reader.connection();
        let mut statement = connection.prepare_cached(
            "SELECT local_part, domain, created_at, modseq_ceiling, modseq_synced, uid_validity \
             FROM accounts WHERE id = ?1",
        )?;
        let mut rows = statement.query([to_sql(account.0)])?;
        let row = rows.next()?.ok_or(StoreError::NoSuchAccount)?;
        let (local_part, domain): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(FolderRecord {
            account,
            folder: self.layout.account_folder(&local_part, &domain)?,
            created_at: UnixTime(row.get(2)?),
            marks: Marks {
                modseq_ceiling: from_sql(row.get(3)?),
                modseq_synced: from_sql(row.get(4)?),
                uid_validity: row.get(5)?,
            },
        })
    }

    /// Raises what is recorded of an account's folder to `marks`. `NoSuchAccount` when it was
    /// deleted.
    pub(super) fn raise_marks(
        &self,
        account: AccountId,
        marks: Marks,
        durability: Durability,
    ) -> Result<()> {
        let mut writer = lock(&self.writer);
        let transaction = writer.write(durability)?;
        let changed = transaction
            .prepare_cached(
                "UPDATE accounts SET modseq_ceiling = max(modseq_ceiling, ?2), \
                 modseq_synced = max(modseq_synced, ?3), uid_validity = max(uid_validity, ?4) \
                 WHERE id = ?1",
            )?
            .execute(params![
                to_sql(account.0),
                to_sql(marks.modseq_ceiling),
                to_sql(marks.modseq_synced),
                marks.uid_validity
            ])?;
        transaction.commit()?;
        match changed {
            0 => Err(StoreError::NoSuchAccount),
            _ => Ok(()),
        }
    }

    pub(super) fn write(
        &self,
        now: UnixTime,
        batch: Vec<DirectoryWrite>,
    ) -> Result<Vec<Result<AccountId>>> {
        let is_login = |write: &DirectoryWrite| matches!(write, DirectoryWrite::RecordLogin(_));
        let durability = match batch.iter().all(is_login) {
            true => Durability::Unsynced,
            false => Durability::Synced,
        };
        let concerns_accounts = batch.iter().any(concerns_accounts);
        let mut writer = lock(&self.writer);
        let transaction = writer.write(durability)?;
        let mut results = Vec::with_capacity(batch.len());
        for operation in batch {
            results.push(in_savepoint(&transaction, || match operation {
                DirectoryWrite::CreateAccount(account) => self.create(&transaction, now, account),
                DirectoryWrite::UpdateAccount { account, update } => {
                    update_account(&transaction, now, account, update)
                }
                DirectoryWrite::DeleteAccount(account) => delete_account(&transaction, account),
                DirectoryWrite::RecordLogin(account) => record_login(&transaction, now, account),
                DirectoryWrite::PutRecord(record) => {
                    records::put(&transaction, now, &record)?;
                    Ok(record.account.unwrap_or(AccountId(0)))
                }
                DirectoryWrite::ReplaceRecord { record, expected } => {
                    records::replace(&transaction, now, &record, &expected)?;
                    Ok(record.account.unwrap_or(AccountId(0)))
                }
                DirectoryWrite::DropRecord(kind, key) => {
                    records::drop_record(&transaction, kind, key)?;
                    Ok(AccountId(0))
                }
            })?);
        }
        if concerns_accounts && results.iter().any(Result::is_ok) {
            raise_version(&transaction)?;
        }
        transaction.commit()?;
        Ok(results)
    }

    fn create(
        &self,
        transaction: &Transaction<'_>,
        now: UnixTime,
        account: NewAccount,
    ) -> Result<AccountId> {
        let local_part = account.address.local_part().to_lowercase();
        let domain = account.address.domain().as_str();
        self.layout.account_folder(&local_part, domain)?;
        let taken = transaction
            .prepare_cached("SELECT 1 FROM accounts WHERE local_part = ?1 AND domain = ?2")?
            .exists([&local_part, domain])?;
        if taken || aliases::has_alias(transaction, &local_part, domain)? {
            return Err(StoreError::AddressTaken);
        }
        self.finish_removal(transaction, &local_part, domain)?;
        let floor: u32 =
            transaction.query_row("SELECT uid_validity FROM meta", [], |row| row.get(0))?;
        transaction
            .prepare_cached(
                "INSERT INTO accounts (local_part, domain, guid, credential, generation, \
                 is_admin, is_enabled, display_name, quota_bytes, created_at, modseq_ceiling, \
                 modseq_synced, uid_validity) \
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, 1, '', 0, ?6, 0, 0, ?7)",
            )?
            .execute(params![
                local_part,
                domain,
                account.guid.to_be_bytes(),
                account.credential,
                account.is_admin,
                now.0,
                floor
            ])?;
        Ok(AccountId(from_sql(transaction.last_insert_rowid())))
    }

    /// Moves the folders of deleted accounts out of the way, and removes them.
    pub(super) fn finish_removals(&self) -> Result<()> {
        let mut writer = lock(&self.writer);
        let pending: Vec<(String, String)> = {
            let transaction = writer.read()?;
            let mut statement =
                transaction.prepare_cached("SELECT local_part, domain FROM removals")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        if !pending.is_empty() {
            // That the accounts are gone may not be durable yet.
            writer.sync()?;
            let transaction = writer.write(Durability::Synced)?;
            for (local_part, domain) in pending {
                self.finish_removal(&transaction, &local_part, &domain)?;
            }
            transaction.commit()?;
        }
        drop(writer);
        for folder in super::presence::list(self.files.as_ref(), &self.layout.trash_folder())? {
            match self.files.remove_folder(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// Moves the folder of a deleted account with this address to the trash, if it is still in
    /// place. Holding the directory's write lock, nobody can have made a new one there.
    fn finish_removal(
        &self,
        transaction: &Transaction<'_>,
        local_part: &str,
        domain: &str,
    ) -> Result<()> {
        let account: Option<i64> = transaction
            .prepare_cached("SELECT account FROM removals WHERE local_part = ?1 AND domain = ?2")?
            .query_row([local_part, domain], |row| row.get(0))
            .optional()?;
        let Some(account) = account else {
            return Ok(());
        };
        let folder = self.layout.account_folder(local_part, domain)?;
        let trash = self.layout.trash_folder();
        self.files.create_folder(&trash)?;
        match self.files.rename(&folder, &trash.join(account.to_string())) {
            // It never was, or whoever moved it may have died before that was durable.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        self.files.sync_folder(&trash)?;
        let domain_folder = folder
            .parent()
            .expect("an account's folder lies in a domain's");
        match self.files.sync_folder(domain_folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced?,
        }
        transaction
            .prepare_cached("DELETE FROM removals WHERE local_part = ?1 AND domain = ?2")?
            .execute([local_part, domain])?;
        Ok(())
    }
}

/// Whether others must look at the accounts again.
fn concerns_accounts(write: &DirectoryWrite) -> bool {
    match write {
        DirectoryWrite::CreateAccount(_)
        | DirectoryWrite::UpdateAccount { .. }
        | DirectoryWrite::DeleteAccount(_) => true,
        DirectoryWrite::RecordLogin(_)
        | DirectoryWrite::PutRecord(_)
        | DirectoryWrite::ReplaceRecord { .. }
        | DirectoryWrite::DropRecord(..) => false,
    }
}

fn record_login(
    transaction: &Transaction<'_>,
    now: UnixTime,
    account: AccountId,
) -> Result<AccountId> {
    transaction
        .prepare_cached("UPDATE accounts SET last_login_at = ?2 WHERE id = ?1")?
        .execute(params![to_sql(account.0), now.0])?;
    Ok(account)
}

/// Something has changed that others must notice.
fn raise_version(transaction: &Transaction<'_>) -> Result<()> {
    transaction.execute("UPDATE meta SET version = version + 1", [])?;
    Ok(())
}

fn update_account(
    transaction: &Transaction<'_>,
    now: UnixTime,
    account: AccountId,
    update: AccountUpdate,
) -> Result<AccountId> {
    let changed = transaction
        .prepare_cached(
            "UPDATE accounts SET \
             previous_credential = iif(?2 IS NULL, previous_credential, credential), \
             credential_changed_at = iif(?2 IS NULL, credential_changed_at, ?9), \
             credential = coalesce(?2, credential), \
             is_admin = coalesce(?3, is_admin), is_enabled = coalesce(?4, is_enabled), \
             display_name = coalesce(?5, display_name), quota_bytes = coalesce(?6, quota_bytes), \
             replies_automatically = coalesce(?8, replies_automatically), \
             generation = generation + ?7 WHERE id = ?1",
        )?
        .execute(params![
            to_sql(account.0),
            update.credential,
            update.is_admin,
            update.is_enabled,
            update.display_name,
            update.quota_bytes.map(to_sql),
            update.raise_generation,
            update.replies_automatically,
            now.0
        ])?;
    match changed {
        0 => Err(StoreError::NoSuchAccount),
        _ => Ok(account),
    }
}

fn delete_account(transaction: &Transaction<'_>, account: AccountId) -> Result<AccountId> {
    let id = to_sql(account.0);
    let known = transaction.execute(
        "INSERT OR REPLACE INTO removals \
         SELECT local_part, domain, id FROM accounts WHERE id = ?1",
        [id],
    )?;
    if known == 0 {
        return Err(StoreError::NoSuchAccount);
    }
    transaction.execute(
        "UPDATE meta SET uid_validity = max(uid_validity, \
         (SELECT uid_validity FROM accounts WHERE id = ?1))",
        [id],
    )?;
    transaction.execute("DELETE FROM accounts WHERE id = ?1", [id])?;
    transaction.execute("DELETE FROM records WHERE account = ?1", [id])?;
    Ok(account)
}

fn find_account(connection: &Connection, account: AccountId) -> Result<Option<Account>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE id = ?1"
    ))?;
    let mut rows = statement.query([to_sql(account.0)])?;
    rows.next()?.map(account_from_row).transpose()
}

fn find_by_address(connection: &Connection, address: &Address) -> Result<Option<Account>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {ACCOUNT_COLUMNS} FROM accounts WHERE local_part = ?1 AND domain = ?2"
    ))?;
    let mut rows = statement.query(params![
        address.local_part().to_lowercase(),
        address.domain().as_str()
    ])?;
    rows.next()?.map(account_from_row).transpose()
}

fn previous_credential(row: &Row<'_>) -> Result<Option<PreviousCredential>> {
    let (credential, replaced_at) = (row.get::<_, Option<_>>(13)?, row.get::<_, Option<_>>(14)?);
    Ok(credential
        .zip(replaced_at.map(UnixTime))
        .map(|(credential, replaced_at)| PreviousCredential {
            credential,
            replaced_at,
        }))
}

fn account_from_row(row: &Row<'_>) -> Result<Account> {
    let id = from_sql(row.get(0)?);
    let local_part: String = row.get(1)?;
    let domain: String = row.get(2)?;
    let address = Domain::parse(&domain)
        .and_then(|domain| Address::new(local_part, domain))
        .map_err(|_| StoreError::Failed(format!("account {id} has no valid address")))?;
    Ok(Account {
        id: AccountId(id),
        address,
        guid: u128::from_be_bytes(row.get(3)?),
        credential: row.get(4)?,
        generation: from_sql(row.get(5)?),
        is_admin: row.get(6)?,
        is_enabled: row.get(7)?,
        display_name: row.get(8)?,
        quota_bytes: from_sql(row.get(9)?),
        created_at: UnixTime(row.get(10)?),
        last_login_at: row.get::<_, Option<i64>>(11)?.map(UnixTime),
        replies_automatically: row.get(12)?,
        previous_credential: previous_credential(row)?,
    })
}
