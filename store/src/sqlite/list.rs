//! Messages as the HTTP API asks for them: lists, one by its id, and what changed.

use std::{cmp::Reverse, collections::BTreeSet};

use rusqlite::{Connection, OptionalExtension, Row, ToSql, named_params, params};

use rmail_proto::{
    DateTime, EmailId, Flags, InstanceId, MailboxId, ModSeq, SystemFlags, ThreadId, UnixTime,
    imap::{MessageData, MessageState},
};

use super::{
    account::{AccountDatabase, Counters},
    database::{from_sql, to_sql},
    mailbox::MailboxRow,
    messages::known_uid,
};
use crate::{
    Departure, ListOrder, Listing, MailboxChanges, MailboxRef, MessageChanges, StoredMessage,
    limits, store::Result,
};

const COLUMNS: &str = "b.mailbox_id, m.uid, m.modseq, m.flags, m.keywords, m.instance_id, \
                       m.internal_date, m.zone, c.size, c.email_id, c.thread_id, \
                       c.has_attachments, m.created_at, m.modified_at, m.extras";

const TABLES: &str = "messages m JOIN mailboxes b ON b.id = m.mailbox \
                      JOIN contents c ON c.id = m.content";

/// What a listing demands of `messages m`.
const CONDITIONS: &str = "(m.flags & :with) = :with AND (m.flags & :without) = 0 \
                          AND m.internal_date BETWEEN :from AND :until";

impl AccountDatabase {
    pub(super) fn list(
        &mut self,
        listing: &Listing,
        with_total: bool,
    ) -> Result<(Vec<StoredMessage>, Option<u64>)> {
        let transaction = self.database.read()?;
        let mailbox = match listing.mailbox {
            Some(id) => Some(MailboxRow::load(&transaction, &MailboxRef::Id(id))?),
            None => None,
        };
        let messages = listed(&transaction, listing, mailbox.as_ref())?;
        let total = match with_total {
            true => Some(count(&transaction, listing, mailbox.as_ref())?),
            false => None,
        };
        Ok((messages, total))
    }

    pub(super) fn find_message(&mut self, instance: InstanceId) -> Result<Option<StoredMessage>> {
        let connection = self.database.connection();
        let found = connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM {TABLES} WHERE m.instance_id = ?1"
            ))?
            .query_row([instance.0.to_be_bytes()], stored_message)
            .optional()?;
        Ok(found)
    }

    pub(super) fn message_changes(
        &mut self,
        mailbox: MailboxId,
        since: ModSeq,
    ) -> Result<Option<MessageChanges>> {
        let transaction = self.database.read()?;
        let mailbox = MailboxRow::load(&transaction, &MailboxRef::Id(mailbox))?;
        if since.0 < mailbox.vanished_floor {
            return Ok(None);
        }
        let arguments = params![mailbox.row, to_sql(since.0)];
        let mut statement = transaction.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM {TABLES} \
             WHERE m.mailbox = ?1 AND m.modseq > ?2 ORDER BY m.modseq, m.uid"
        ))?;
        let changed = statement
            .query_map(arguments, stored_message)?
            .collect::<rusqlite::Result<_>>()?;
        let mut statement = transaction.prepare_cached(
            "SELECT v.instance_id, v.uid, v.modseq, EXISTS \
             (SELECT 1 FROM messages m WHERE m.instance_id = v.instance_id AND m.mailbox = ?1) \
             FROM vanished v \
             WHERE v.mailbox = ?1 AND v.modseq > ?2 AND v.instance_id NOT NULL \
             ORDER BY v.modseq, v.uid",
        )?;
        let mut rows = statement.query(arguments)?;
        let (mut vanished, mut departures) = (BTreeSet::new(), Vec::new());
        while let Some(row) = rows.next()? {
            let departure = departure(row)?;
            let is_back: bool = row.get(3)?;
            if !is_back {
                vanished.insert(departure.instance);
            }
            departures.push(departure);
        }
        Ok(Some(MessageChanges {
            modseq: ModSeq(mailbox.highest_modseq),
            changed,
            vanished: vanished.into_iter().collect(),
            departures,
        }))
    }

    pub(super) fn mailbox_changes(&mut self, since: ModSeq) -> Result<MailboxChanges> {
        let transaction = self.database.read()?;
        let counters = Counters::load(&transaction)?;
        let ids = |sql: &str| -> Result<Vec<MailboxId>> {
            let mut statement = transaction.prepare_cached(sql)?;
            let rows = statement.query_map([to_sql(since.0)], |row| {
                Ok(MailboxId(u128::from_be_bytes(row.get(0)?)))
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        };
        Ok(MailboxChanges {
            modseq: ModSeq(counters.modseq),
            changed: ids(
                "SELECT mailbox_id FROM mailboxes WHERE highest_modseq > ?1 ORDER BY name",
            )?,
            vanished: ids("SELECT mailbox_id FROM vanished_mailboxes WHERE modseq > ?1")?,
            departures: departures_from_gone(&transaction, since)?,
        })
    }
}

/// Which messages left mailboxes that are gone now; `None` when some may be forgotten.
fn departures_from_gone(connection: &Connection, since: ModSeq) -> Result<Option<Vec<Departure>>> {
    let since = to_sql(since.0);
    let mut statement = connection.prepare_cached(
        "SELECT instance_id, uid, modseq FROM vanished \
         WHERE mailbox = ?1 AND modseq > ?2 AND instance_id NOT NULL ORDER BY modseq, uid",
    )?;
    let departures = statement.query_map(params![MailboxRow::GONE, since], departure)?;
    let departures = departures.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut statement = connection.prepare_cached(
        "SELECT min(modseq) > ?2 FROM vanished WHERE mailbox = ?1 \
         AND (SELECT count(*) FROM vanished WHERE mailbox = ?1) > ?3",
    )?;
    let is_known = departures.is_empty() || {
        let arguments = params![MailboxRow::GONE, since, limits::TOMBSTONES_MAX];
        let is_short: Option<bool> = statement.query_row(arguments, |row| row.get(0))?;
        is_short != Some(true)
    };
    Ok(is_known.then_some(departures))
}

/// Reads `instance_id, uid, modseq` of `vanished`.
fn departure(row: &Row<'_>) -> rusqlite::Result<Departure> {
    Ok(Departure {
        instance: InstanceId(u128::from_be_bytes(row.get(0)?)),
        uid: known_uid(row.get(1)?),
        modseq: ModSeq(from_sql(row.get(2)?)),
    })
}

fn listed(
    connection: &Connection,
    listing: &Listing,
    mailbox: Option<&MailboxRow>,
) -> Result<Vec<StoredMessage>> {
    let order = match listing.order {
        ListOrder::NewestFirst => "m.internal_date DESC, m.instance_id DESC",
        ListOrder::OldestFirst => "m.internal_date ASC, m.instance_id ASC",
        ListOrder::ByUid => "m.mailbox, m.uid",
    };
    let above = above(listing);
    let of_mailbox = of_mailbox(mailbox);
    // The inner query finds the page by index and flags alone; only the page is joined. Its order
    // is made again by `sort`: SQLite would copy all columns to do it.
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT m.mailbox AS box, m.uid AS number FROM messages m \
         WHERE {of_mailbox} AND {CONDITIONS}{above} ORDER BY {order} \
         LIMIT :count OFFSET :offset) page CROSS JOIN messages m ON m.mailbox = page.box \
         AND m.uid = page.number JOIN mailboxes b ON b.id = m.mailbox \
         JOIN contents c ON c.id = m.content"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = with_conditions(listing, mailbox, |conditions| {
        let (count, offset) = (to_sql(listing.count_max), to_sql(listing.offset));
        let mut arguments: Vec<(&str, &dyn ToSql)> = conditions.to_vec();
        arguments.push((":count", &count));
        arguments.push((":offset", &offset));
        let rows = statement.query_map(arguments.as_slice(), stored_message)?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    sort(&mut rows, listing.order);
    Ok(rows)
}

fn sort(messages: &mut [StoredMessage], order: ListOrder) {
    let date = |it: &StoredMessage| (it.data.internal_date.unix, it.data.instance_id);
    match order {
        ListOrder::NewestFirst => messages.sort_unstable_by_key(|it| Reverse(date(it))),
        ListOrder::OldestFirst => messages.sort_unstable_by_key(date),
        ListOrder::ByUid => messages.sort_unstable_by_key(|it| (it.mailbox, it.data.uid)),
    }
}

fn count(connection: &Connection, listing: &Listing, mailbox: Option<&MailboxRow>) -> Result<u64> {
    let is_whole = listing.with == SystemFlags::default()
        && listing.without == SystemFlags::default()
        && listing.received_from.is_none()
        && listing.received_until.is_none()
        && listing.above.is_none();
    if let (true, Some(mailbox)) = (is_whole, mailbox) {
        return Ok(u64::from(mailbox.messages));
    }
    let (of_mailbox, above) = (of_mailbox(mailbox), above(listing));
    let sql = format!("SELECT count(*) FROM messages m WHERE {of_mailbox} AND {CONDITIONS}{above}");
    let mut statement = connection.prepare_cached(&sql)?;
    let count = with_conditions(listing, mailbox, |conditions| {
        statement.query_row(conditions, |row| row.get(0))
    })?;
    Ok(from_sql(count))
}

fn of_mailbox(mailbox: Option<&MailboxRow>) -> &'static str {
    match mailbox {
        Some(_) => "m.mailbox = :mailbox",
        None => ":mailbox IS NULL",
    }
}

/// With the plus, it is no reason to choose the index by UID.
fn above(listing: &Listing) -> &'static str {
    match listing.order {
        ListOrder::ByUid => " AND m.uid > :above",
        ListOrder::NewestFirst | ListOrder::OldestFirst => " AND +m.uid > :above",
    }
}

/// Hands on the arguments of [`CONDITIONS`] and of the mailbox.
fn with_conditions<T>(
    listing: &Listing,
    mailbox: Option<&MailboxRow>,
    query: impl FnOnce(&[(&str, &dyn ToSql)]) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    query(named_params! {
        ":mailbox": mailbox.map(|mailbox| mailbox.row),
        ":above": listing.above.map_or(0, |uid| uid.get()),
        ":with": listing.with.bits(),
        ":without": listing.without.bits(),
        ":from": listing.received_from.map_or(i64::MIN, |time| time.0),
        ":until": listing.received_until.map_or(i64::MAX, |time| time.0),
    })
}

/// Reads a row of [`COLUMNS`].
fn stored_message(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let uid = known_uid(row.get(1)?);
    Ok(StoredMessage {
        mailbox: MailboxId(u128::from_be_bytes(row.get(0)?)),
        state: MessageState {
            uid,
            flags: Flags {
                system: SystemFlags::from_bits(row.get(3)?),
                keywords: Flags::keywords_from_line(row.get_ref(4)?.as_str()?),
            },
            modseq: ModSeq(from_sql(row.get(2)?)),
        },
        data: MessageData {
            uid,
            size_bytes: from_sql(row.get(8)?),
            internal_date: DateTime {
                unix: UnixTime(row.get(6)?),
                zone_minutes: row.get(7)?,
            },
            email_id: EmailId(u128::from_be_bytes(row.get(9)?)),
            thread_id: ThreadId(u128::from_be_bytes(row.get(10)?)),
            instance_id: InstanceId(u128::from_be_bytes(row.get(5)?)),
            envelope: Default::default(),
            body: Default::default(),
            body_structure: Default::default(),
            parts: Default::default(),
            header: Default::default(),
            content: None,
        },
        has_attachments: row.get(11)?,
        created_at: UnixTime(row.get(12)?),
        modified_at: UnixTime(row.get(13)?),
        extras: row.get(14)?,
    })
}
