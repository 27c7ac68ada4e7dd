//! Records in the directory: see [`Record`].

use rusqlite::{OptionalExtension, Row, Transaction, params};

use rmail_proto::{AccountId, UnixTime};

use super::{
    database::{from_sql, to_sql},
    directory::Directory,
    lock,
};
use crate::{Record, RecordKind, StoreError, store::Result};

const COLUMNS: &str = "key, account, value, expires_at";

impl Directory {
    pub(super) fn record(
        &self,
        now: UnixTime,
        kind: RecordKind,
        key: u128,
    ) -> Result<Option<Record>> {
        let reader = lock(&self.reader);
        let mut statement = reader.connection().prepare_cached(&format!(
            "SELECT {COLUMNS} FROM records WHERE kind = ?1 AND key = ?2 AND expires_at > ?3"
        ))?;
        let arguments = params![to_number(kind), key.to_be_bytes(), now.0];
        let found = statement.query_row(arguments, |row| from_row(kind, row));
        Ok(found.optional()?)
    }

    pub(super) fn records(
        &self,
        now: UnixTime,
        kind: RecordKind,
        account: Option<AccountId>,
    ) -> Result<Vec<Record>> {
        let reader = lock(&self.reader);
        let mut statement = reader.connection().prepare_cached(&format!(
            "SELECT {COLUMNS} FROM records WHERE kind = ?1 AND (?2 IS NULL OR account = ?2) \
             AND expires_at > ?3 ORDER BY key"
        ))?;
        let account = account.map(|account| to_sql(account.0));
        let rows = statement.query_map(params![to_number(kind), account, now.0], |row| {
            from_row(kind, row)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

pub(super) fn put(transaction: &Transaction<'_>, now: UnixTime, record: &Record) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM records WHERE expires_at <= ?1")?
        .execute([now.0])?;
    if let Some(account) = record.account {
        let is_there = transaction
            .prepare_cached("SELECT 1 FROM accounts WHERE id = ?1")?
            .exists([to_sql(account.0)])?;
        if !is_there {
            return Err(StoreError::NoSuchAccount);
        }
    }
    transaction
        .prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            to_number(record.kind),
            record.key.to_be_bytes(),
            record.account.map_or(0, |account| to_sql(account.0)),
            record.value,
            record.expires_at.0
        ])?;
    Ok(())
}

pub(super) fn replace(
    transaction: &Transaction<'_>,
    now: UnixTime,
    record: &Record,
    expected: &str,
) -> Result<()> {
    let replaced = transaction
        .prepare_cached(
            "UPDATE records SET value = ?3, expires_at = ?4 \
             WHERE kind = ?1 AND key = ?2 AND value = ?5 AND expires_at > ?6",
        )?
        .execute(params![
            to_number(record.kind),
            record.key.to_be_bytes(),
            record.value,
            record.expires_at.0,
            expected,
            now.0
        ])?;
    match replaced {
        0 => Err(StoreError::ChangedSince),
        _ => Ok(()),
    }
}

pub(super) fn drop_record(
    transaction: &Transaction<'_>,
    kind: RecordKind,
    key: u128,
) -> Result<()> {
    transaction
        .prepare_cached("DELETE FROM records WHERE kind = ?1 AND key = ?2")?
        .execute(params![to_number(kind), key.to_be_bytes()])?;
    Ok(())
}

fn from_row(kind: RecordKind, row: &Row<'_>) -> rusqlite::Result<Record> {
    let account = from_sql(row.get(1)?);
    Ok(Record {
        kind,
        key: u128::from_be_bytes(row.get(0)?),
        account: (account != 0).then_some(AccountId(account)),
        value: row.get(2)?,
        expires_at: UnixTime(row.get(3)?),
    })
}

const fn to_number(kind: RecordKind) -> u8 {
    match kind {
        RecordKind::Revocation => 1,
        RecordKind::Subscription => 2,
    }
}
