//! Mailboxes: their rows and their names.

use rusqlite::{Connection, Row, params};

use rmail_proto::{MailboxId, UnixTime, imap::SpecialUse};

use super::{
    account::Counters,
    database::{from_sql, to_sql},
    ids::IdSource,
};
use crate::{MailboxRef, StoreError, limits, store::Result};

/// The mailbox that every account has (RFC 3501 §5.1).
pub(super) const INBOX: &str = "INBOX";

/// What a new account has besides INBOX.
const SPECIAL_MAILBOXES: [(&str, SpecialUse); 5] = [
    ("Archive", SpecialUse::Archive),
    ("Drafts", SpecialUse::Drafts),
    ("Junk", SpecialUse::Junk),
    ("Sent", SpecialUse::Sent),
    ("Trash", SpecialUse::Trash),
];

const COLUMNS: &str = "id, mailbox_id, name, uid_validity, uid_next, first_recent, \
                       highest_modseq, messages, unseen, bytes, tombstones, vanished_floor";

/// A mailbox as the database has it.
#[derive(Clone, Debug)]
pub(super) struct MailboxRow {
    pub(super) row: i64,
    pub(super) id: MailboxId,
    pub(super) name: String,
    pub(super) uid_validity: u32,
    /// One more than the largest UID that was ever used.
    pub(super) uid_next: u32,
    pub(super) first_recent: u32,
    pub(super) highest_modseq: u64,
    pub(super) messages: u32,
    pub(super) unseen: u32,
    pub(super) bytes: u64,
    pub(super) tombstones: u32,
    /// Changes since this MODSEQ are known one by one.
    pub(super) vanished_floor: u64,
}

impl MailboxRow {
    /// Stands in `vanished` for all that are gone: none has this row.
    pub(super) const GONE: i64 = 0;

    /// The mailbox that is meant.
    pub(super) fn load(connection: &Connection, mailbox: &MailboxRef) -> Result<Self> {
        match mailbox {
            MailboxRef::Id(id) => Self::by_id(connection, *id)?,
            MailboxRef::Name(name) => Self::by_name(connection, &canonical_name(name))?,
        }
        .ok_or(StoreError::NoSuchMailbox)
    }

    pub(super) fn by_id(connection: &Connection, id: MailboxId) -> Result<Option<Self>> {
        let mut statement = connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM mailboxes WHERE mailbox_id = ?1"
        ))?;
        let mut rows = statement.query([id.0.to_be_bytes()])?;
        Ok(rows.next()?.map(Self::from_row).transpose()?)
    }

    /// The name must be canonical.
    pub(super) fn by_name(connection: &Connection, name: &str) -> Result<Option<Self>> {
        let mut statement = connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM mailboxes WHERE name = ?1"))?;
        let mut rows = statement.query([name])?;
        Ok(rows.next()?.map(Self::from_row).transpose()?)
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: row.get(0)?,
            id: MailboxId(u128::from_be_bytes(row.get(1)?)),
            name: row.get(2)?,
            uid_validity: row.get(3)?,
            uid_next: row.get(4)?,
            first_recent: row.get(5)?,
            highest_modseq: from_sql(row.get(6)?),
            messages: row.get(7)?,
            unseen: row.get(8)?,
            bytes: from_sql(row.get(9)?),
            tombstones: row.get(10)?,
            vanished_floor: from_sql(row.get(11)?),
        })
    }

    /// Writes the counters back.
    pub(super) fn save(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached(
                "UPDATE mailboxes SET uid_next = ?2, first_recent = ?3, highest_modseq = ?4, \
                 messages = ?5, unseen = ?6, bytes = ?7, tombstones = ?8, vanished_floor = ?9 \
                 WHERE id = ?1",
            )?
            .execute(params![
                self.row,
                self.uid_next,
                self.first_recent,
                to_sql(self.highest_modseq),
                self.messages,
                self.unseen,
                to_sql(self.bytes),
                self.tombstones,
                to_sql(self.vanished_floor),
            ])?;
        Ok(())
    }

    /// The next UID. The last one is never used, so that there always is a next.
    pub(super) fn take_uid(&mut self) -> Result<u32> {
        let uid = self.uid_next;
        self.uid_next = uid.checked_add(1).ok_or(StoreError::TooMany("messages"))?;
        Ok(uid)
    }
}

/// Makes INBOX and the special-use mailboxes, subscribed.
pub(super) fn make_first_mailboxes(
    connection: &Connection,
    ids: &IdSource,
    counters: &mut Counters,
    now: UnixTime,
) -> Result<()> {
    let special = SPECIAL_MAILBOXES.map(|(name, special_use)| (name, Some(special_use)));
    for (name, special_use) in [(INBOX, None)].into_iter().chain(special) {
        insert_mailbox(connection, ids, counters, now, name, special_use)?;
        subscribe(connection, name, true)?;
    }
    Ok(())
}

/// Makes one mailbox, nothing else.
pub(super) fn insert_mailbox(
    connection: &Connection,
    ids: &IdSource,
    counters: &mut Counters,
    now: UnixTime,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Result<MailboxId> {
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM mailboxes")?
        .query_row([], |row| row.get(0))?;
    if count >= limits::MAILBOXES_MAX {
        return Err(StoreError::TooMany("mailboxes"));
    }
    let id = MailboxId(ids.next_id());
    let modseq = to_sql(counters.modseq);
    connection
        .prepare_cached(
            "INSERT INTO mailboxes (mailbox_id, name, special_use, uid_validity, uid_next, \
             first_recent, highest_modseq, messages, unseen, bytes, tombstones, vanished_floor) \
             VALUES (?1, ?2, ?3, ?4, 1, 1, ?5, 0, 0, 0, 0, 0)",
        )?
        .execute(params![
            id.0.to_be_bytes(),
            name,
            special_use.map(special_use_to_sql),
            counters.next_uid_validity(now)?,
            modseq,
        ])?;
    Ok(id)
}

pub(super) fn subscribe(connection: &Connection, name: &str, subscribed: bool) -> Result<()> {
    if !subscribed {
        connection
            .prepare_cached("DELETE FROM subscriptions WHERE name = ?1")?
            .execute([name])?;
        return Ok(());
    }
    connection
        .prepare_cached("INSERT OR IGNORE INTO subscriptions VALUES (?1)")?
        .execute([name])?;
    let count: u32 = connection
        .prepare_cached("SELECT count(*) FROM subscriptions")?
        .query_row([], |row| row.get(0))?;
    match count <= limits::SUBSCRIPTIONS_MAX {
        true => Ok(()),
        // The operation's savepoint takes it back.
        false => Err(StoreError::TooMany("subscriptions")),
    }
}

/// A name with its INBOX, if it begins with that, in capitals.
pub(super) fn canonical_name(name: &str) -> String {
    let (first, rest) = match name.find('/') {
        Some(end) => name.split_at(end),
        None => (name, ""),
    };
    match first.eq_ignore_ascii_case(INBOX) {
        true => format!("{INBOX}{rest}"),
        false => name.to_owned(),
    }
}

/// A name that a mailbox can have, canonical. One `/` at its end is dropped (RFC 3501 §6.3.3).
///
/// # Errors
///
/// `MailboxProtected` for empty parts and control characters, `TooMany` beyond the bounds.
pub(super) fn new_name(name: &str) -> Result<String> {
    let name = name.strip_suffix('/').unwrap_or(name);
    if name.len() > limits::MAILBOX_NAME_BYTES {
        return Err(StoreError::TooMany("bytes in the mailbox name"));
    }
    if name.split('/').count() > limits::MAILBOX_DEPTH {
        return Err(StoreError::TooMany("levels in the mailbox name"));
    }
    if name.split('/').any(str::is_empty) || name.chars().any(char::is_control) {
        return Err(StoreError::MailboxProtected);
    }
    Ok(canonical_name(name))
}

/// The names above this one, from the top.
pub(super) fn superiors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(end, _)| &name[..end])
}

fn special_use_to_sql(special_use: SpecialUse) -> u8 {
    match special_use {
        SpecialUse::Archive => 1,
        SpecialUse::Drafts => 2,
        SpecialUse::Junk => 3,
        SpecialUse::Sent => 4,
        SpecialUse::Trash => 5,
    }
}

pub(super) fn special_use_from_sql(number: u8) -> Option<SpecialUse> {
    let known = SPECIAL_MAILBOXES
        .iter()
        .map(|&(_, special_use)| special_use);
    known
        .into_iter()
        .find(|&special_use| special_use_to_sql(special_use) == number)
}
