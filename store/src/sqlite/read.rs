//! What is asked of one account's mail.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use rusqlite::{Connection, MAIN_DB, OptionalExtension, Row, params};

use rmail_proto::{
    DateTime, EmailId, Flags, InstanceId, Keywords, MailboxId, ModSeq, SystemFlags, ThreadId, Uid,
    UnixTime,
    imap::{Changes, Columns, Mailbox, MailboxStatus, MessageData, MessageState},
    limits::FETCH_HEADER_BYTES,
};

use super::{
    account::{AccountDatabase, Surroundings},
    content::read_piece,
    database::{from_sql, to_sql},
    layout::content_file,
    mailbox::{MailboxRow, special_use_from_sql, superiors},
    messages::{known_uid, known_uid_validity},
};
use crate::{MailboxRef, MailboxState, StoreError, store::Result, uid_ranges::runs};

const STATE_COLUMNS: &str = "uid, modseq, flags, keywords";

impl AccountDatabase {
    pub(super) fn mailboxes(&mut self) -> Result<Vec<Mailbox>> {
        let transaction = self.database.read()?;
        let mut mailboxes: BTreeMap<String, Mailbox> = BTreeMap::new();
        let entry = |name: &str| Mailbox {
            name: name.to_owned(),
            id: None,
            subscribed: false,
            special_use: None,
        };
        let mut statement =
            transaction.prepare_cached("SELECT name, mailbox_id, special_use FROM mailboxes")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            for superior in superiors(&name) {
                if !mailboxes.contains_key(superior) {
                    mailboxes.insert(superior.to_owned(), entry(superior));
                }
            }
            let mailbox = mailboxes
                .entry(name.clone())
                .or_insert_with(|| entry(&name));
            mailbox.id = Some(MailboxId(u128::from_be_bytes(row.get(1)?)));
            mailbox.special_use = row.get::<_, Option<u8>>(2)?.and_then(special_use_from_sql);
        }
        let mut statement = transaction.prepare_cached("SELECT name FROM subscriptions")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(0)?;
            let mailbox = mailboxes
                .entry(name.clone())
                .or_insert_with(|| entry(&name));
            mailbox.subscribed = true;
        }
        Ok(mailboxes.into_values().collect())
    }

    pub(super) fn usage_bytes(&mut self) -> Result<u64> {
        let mut statement = self
            .database
            .connection()
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM mailboxes")?;
        Ok(from_sql(statement.query_row([], |row| row.get(0))?))
    }

    pub(super) fn status(&mut self, mailbox: &MailboxRef) -> Result<MailboxStatus> {
        let transaction = self.database.read()?;
        let row = MailboxRow::load(&transaction, mailbox)?;
        let recent = match row.first_recent {
            first if first >= row.uid_next => 0,
            1 => row.messages,
            first => transaction
                .prepare_cached("SELECT count(*) FROM messages WHERE mailbox = ?1 AND uid >= ?2")?
                .query_row(params![row.row, first], |row| row.get(0))?,
        };
        Ok(MailboxStatus {
            mailbox: row.id,
            messages: row.messages,
            recent,
            unseen: row.unseen,
            uid_next: known_uid(row.uid_next),
            uid_validity: known_uid_validity(row.uid_validity),
            modseq: ModSeq(row.highest_modseq),
            size_bytes: row.bytes,
        })
    }

    pub(super) fn mailbox_state(&mut self, mailbox: &MailboxRef) -> Result<MailboxState> {
        let transaction = self.database.read()?;
        let row = MailboxRow::load(&transaction, mailbox)?;
        let mut statement = transaction.prepare_cached(&format!(
            "SELECT {STATE_COLUMNS} FROM messages WHERE mailbox = ?1 ORDER BY uid"
        ))?;
        let changed = states(statement.query([row.row])?, row.messages as usize)?;
        Ok(MailboxState {
            mailbox: row.id,
            uid_validity: known_uid_validity(row.uid_validity),
            first_recent: known_uid(row.first_recent),
            changes: Changes {
                modseq: ModSeq(row.highest_modseq),
                changed,
                vanished: Vec::new(),
                uid_next: Uid::new(row.uid_next),
            },
        })
    }

    pub(super) fn changes(&mut self, mailbox: MailboxId, since: ModSeq) -> Result<Changes> {
        let transaction = self.database.read()?;
        let row = MailboxRow::load(&transaction, &MailboxRef::Id(mailbox))?;
        changes_since(&transaction, &row, since)
    }

    pub(super) fn messages(
        &mut self,
        around: &Surroundings,
        mailbox: MailboxId,
        uids: &[Uid],
        columns: Columns,
        bytes_max: usize,
    ) -> Result<(Vec<MessageData>, usize)> {
        let folder = self.folder.clone();
        let transaction = self.database.read()?;
        let row = MailboxRow::load(&transaction, &MailboxRef::Id(mailbox))?;
        let reader = MessageReader {
            connection: &transaction,
            around,
            folder: &folder,
            columns,
            bytes_max,
        };
        let mut messages = Vec::with_capacity(uids.len());
        let mut bytes_used = 0;
        let mut answered = 0;
        for (first, last) in runs(uids) {
            let stopped_at =
                reader.read_run(row.row, (first, last), &mut messages, &mut bytes_used)?;
            if let Some(uid) = stopped_at {
                return Ok((messages, answered + (uid - first) as usize));
            }
            answered += (last - first) as usize + 1;
        }
        Ok((messages, answered))
    }

    pub(super) fn read(
        &mut self,
        around: &Surroundings,
        mailbox: MailboxId,
        uid: Uid,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>> {
        let transaction = self.database.read()?;
        let row = MailboxRow::load(&transaction, &MailboxRef::Id(mailbox))?;
        let found = transaction
            .prepare_cached(
                "SELECT c.id, c.email_id, c.in_file, c.size FROM messages m \
                 JOIN contents c ON c.id = m.content WHERE m.mailbox = ?1 AND m.uid = ?2",
            )?
            .query_row(params![row.row, uid.get()], |row| {
                Ok(Place {
                    content: row.get(0)?,
                    email_id: u128::from_be_bytes(row.get(1)?),
                    in_file: row.get(2)?,
                    size_bytes: from_sql(row.get(3)?),
                })
            })
            .optional()?;
        match found {
            None => Ok(None),
            Some(place) => place.read(&transaction, around, &self.folder, offset, length),
        }
    }
}

/// Where a content is.
struct Place {
    content: i64,
    email_id: u128,
    in_file: bool,
    size_bytes: u64,
}

impl Place {
    /// `None` when its file has gone: another process has just removed the message.
    fn read(
        &self,
        connection: &Connection,
        around: &Surroundings,
        folder: &std::path::Path,
        offset: u64,
        length: usize,
    ) -> Result<Option<Bytes>> {
        let left = self.size_bytes.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(length);
        if self.in_file {
            let path = content_file(folder, self.email_id);
            return match around.files.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                opened => Ok(Some(read_piece(opened?.as_mut(), offset, length)?)),
            };
        }
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let mut buffer = vec![0; length];
        let blob = connection.blob_open(MAIN_DB, c"contents", c"bytes", self.content, true)?;
        blob.read_at_exact(&mut buffer, offset as usize)?;
        Ok(Some(Bytes::from(buffer)))
    }
}

/// Reads messages' data within a bound.
struct MessageReader<'a> {
    connection: &'a Connection,
    around: &'a Surroundings,
    folder: &'a std::path::Path,
    columns: Columns,
    bytes_max: usize,
}

impl MessageReader<'_> {
    /// Reads the messages from the first to the last UID. Returns the first UID that did not fit.
    fn read_run(
        &self,
        mailbox: i64,
        (first, last): (u32, u32),
        messages: &mut Vec<MessageData>,
        bytes_used: &mut usize,
    ) -> Result<Option<u32>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT m.uid, m.internal_date, m.zone, m.instance_id, c.id, c.email_id, \
             c.thread_id, c.in_file, c.size, c.header_bytes, \
             CASE WHEN ?4 THEN c.envelope END, CASE WHEN ?5 THEN c.body END, \
             CASE WHEN ?5 THEN c.body_structure END, CASE WHEN ?6 THEN c.parts END \
             FROM messages m JOIN contents c ON c.id = m.content \
             WHERE m.mailbox = ?1 AND m.uid BETWEEN ?2 AND ?3 ORDER BY m.uid",
        )?;
        let columns = &self.columns;
        let mut rows = statement.query(params![
            mailbox,
            first,
            last,
            columns.envelope,
            columns.body_structure,
            columns.parts
        ])?;
        while let Some(row) = rows.next()? {
            if !messages.is_empty() && self.exceeds(row, *bytes_used)? {
                return Ok(Some(row.get(0)?));
            }
            let message = self.message(row)?;
            *bytes_used += size_of(&message);
            messages.push(message);
        }
        Ok(None)
    }

    /// Whether this message would not fit besides the others. A content that never fits is left
    /// out, and no reason to stop.
    fn exceeds(&self, row: &Row<'_>, bytes_used: usize) -> Result<bool> {
        if bytes_used >= self.bytes_max {
            return Ok(true);
        }
        let size_bytes = usize::try_from(from_sql(row.get(8)?)).unwrap_or(usize::MAX);
        Ok(self.columns.content
            && size_bytes <= self.bytes_max
            && size_bytes > self.bytes_max - bytes_used)
    }

    fn message(&self, row: &Row<'_>) -> Result<MessageData> {
        let place = Place {
            content: row.get(4)?,
            email_id: u128::from_be_bytes(row.get(5)?),
            in_file: row.get(7)?,
            size_bytes: from_sql(row.get(8)?),
        };
        let header_bytes = usize::try_from(from_sql(row.get(9)?)).unwrap_or(usize::MAX);
        let read = |length| place.read(self.connection, self.around, self.folder, 0, length);
        let content = match usize::try_from(place.size_bytes) {
            Ok(size) if self.columns.content && size <= self.bytes_max => read(size)?,
            Ok(_) | Err(_) => None,
        };
        let header = match &content {
            _ if !self.columns.header || header_bytes > FETCH_HEADER_BYTES => Bytes::new(),
            Some(content) => content.slice(..header_bytes.min(content.len())),
            None => read(header_bytes)?.unwrap_or_default(),
        };
        let bytes = |column| -> rusqlite::Result<Bytes> {
            Ok(row
                .get::<_, Option<Vec<u8>>>(column)?
                .unwrap_or_default()
                .into())
        };
        Ok(MessageData {
            uid: known_uid(row.get(0)?),
            size_bytes: place.size_bytes,
            internal_date: DateTime {
                unix: UnixTime(row.get(1)?),
                zone_minutes: row.get(2)?,
            },
            email_id: EmailId(place.email_id),
            thread_id: ThreadId(u128::from_be_bytes(row.get(6)?)),
            instance_id: InstanceId(u128::from_be_bytes(row.get(3)?)),
            envelope: bytes(10)?,
            body: bytes(11)?,
            body_structure: bytes(12)?,
            parts: bytes(13)?,
            header,
            content,
        })
    }
}

/// What a message's data takes of the bound.
fn size_of(message: &MessageData) -> usize {
    let columns = [
        &message.envelope,
        &message.body,
        &message.body_structure,
        &message.parts,
    ];
    let columns: usize = columns.iter().map(|column| column.len()).sum();
    let content = match &message.content {
        // The header is a part of it.
        Some(content) => content.len(),
        None => message.header.len(),
    };
    columns + content
}

/// What changed in a mailbox after `since`.
pub(super) fn changes_since(
    connection: &Connection,
    mailbox: &MailboxRow,
    since: ModSeq,
) -> Result<Changes> {
    let arguments = params![mailbox.row, to_sql(since.0)];
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {STATE_COLUMNS} FROM messages INDEXED BY messages_by_modseq \
         WHERE mailbox = ?1 AND modseq > ?2 ORDER BY uid"
    ))?;
    let changed = states(statement.query(arguments)?, 0)?;
    let vanished = match since.0 < mailbox.vanished_floor {
        true => all_that_are_gone(connection, mailbox)?,
        false => {
            let mut statement = connection.prepare_cached(
                "SELECT uid FROM vanished WHERE mailbox = ?1 AND modseq > ?2 ORDER BY uid",
            )?;
            let rows = statement.query_map(arguments, |row| Ok(known_uid(row.get(0)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        }
    };
    Ok(Changes {
        modseq: ModSeq(mailbox.highest_modseq),
        changed,
        vanished,
        uid_next: Uid::new(mailbox.uid_next),
    })
}

/// Every UID that was used and is no more.
fn all_that_are_gone(connection: &Connection, mailbox: &MailboxRow) -> Result<Vec<Uid>> {
    let mut statement =
        connection.prepare_cached("SELECT uid FROM messages WHERE mailbox = ?1 ORDER BY uid")?;
    let mut rows = statement.query([mailbox.row])?;
    let mut gone = Vec::new();
    let mut next = 1;
    while let Some(row) = rows.next()? {
        let uid: u32 = row.get(0)?;
        gone.extend((next..uid).filter_map(Uid::new));
        next = uid + 1;
    }
    gone.extend((next..mailbox.uid_next).filter_map(Uid::new));
    Ok(gone)
}

/// Reads rows of [`STATE_COLUMNS`].
fn states(mut rows: rusqlite::Rows<'_>, count: usize) -> Result<Vec<MessageState>> {
    let mut states = Vec::with_capacity(count);
    // Most messages have the keywords of some other: they share them.
    let mut known: BTreeMap<String, Keywords> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let line = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
        let keywords = match known.get(line) {
            _ if line.is_empty() => Keywords::default(),
            Some(keywords) => keywords.clone(),
            None => {
                let keywords = Flags::keywords_from_line(line);
                known.insert(line.to_owned(), keywords.clone());
                keywords
            }
        };
        let uid = Uid::new(row.get(0)?)
            .ok_or_else(|| StoreError::Failed("a message has the UID 0".to_owned()))?;
        states.push(MessageState {
            uid,
            flags: Flags {
                system: SystemFlags::from_bits(row.get(2)?),
                keywords,
            },
            modseq: ModSeq(from_sql(row.get(1)?)),
        });
    }
    Ok(states)
}
