//! The queue as an operator sees it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use rmail_proto::{Address, UnixTime};

use super::{
    super::{
        database::{from_sql, to_sql},
        lock,
    },
    Spool,
    rows::{
        destination_from_text, fate_from_row, notice_from_row, recipient_from_row,
        reverse_path_from,
    },
};
use crate::{
    LotState, QueueFilter, QueuedAttempt, QueuedLot, QueuedMessage, QueuedRecipient, QueuedSummary,
    SpoolId, Told, store::Result,
};

impl Spool {
    pub(in super::super) fn reserved_bytes(&self, address: &Address) -> Result<u64> {
        let database = lock(&self.reader);
        // Two indexes, so that mail for elsewhere is not looked at.
        let mut statement = database.connection().prepare_cached(
            "SELECT coalesce(sum(e.size), 0) FROM \
             (SELECT entry FROM lots WHERE destination = '' AND claimed_by IS NULL AND held = 0 \
              UNION SELECT entry FROM lots WHERE claimed_by IS NOT NULL AND destination = '') l \
             CROSS JOIN entries e ON e.id = l.entry WHERE EXISTS (SELECT 1 FROM recipients r \
             WHERE r.entry = l.entry AND r.fate = 0 AND lower(r.path) = ?1)",
        )?;
        let path = address.to_string().to_lowercase();
        Ok(from_sql(statement.query_row([path], |row| row.get(0))?))
    }

    pub(in super::super) fn queue(
        &self,
        filter: &QueueFilter,
        after: Option<SpoolId>,
        count_max: usize,
    ) -> Result<Vec<QueuedSummary>> {
        let mut database = lock(&self.reader);
        let transaction = database.read()?;
        // instr knows no wildcards that would have to be escaped.
        let mut statement = transaction.prepare_cached(
            "SELECT id, envelope_id, accepted_at, reverse_path, size FROM entries WHERE id > ?1 \
             AND (?2 IS NULL OR instr(lower(coalesce(reverse_path, '<>')), lower(?2)) > 0) \
             AND (?3 IS NULL OR accepted_at <= ?3) \
             AND (?4 IS NULL OR EXISTS (SELECT 1 FROM recipients WHERE entry = id AND fate = 0 \
               AND instr(lower(coalesce(path, 'postmaster')), lower(?4)) > 0)) \
             AND (?5 IS NULL OR EXISTS (SELECT 1 FROM recipients WHERE entry = id AND fate = 0 \
               AND path LIKE '%@' || ?5)) \
             AND (NOT ?6 OR EXISTS (SELECT 1 FROM lots WHERE entry = id AND held = 1)) \
             AND id NOT IN (SELECT entry FROM prepared) ORDER BY id LIMIT ?7",
        )?;
        let mut rows = statement.query(params![
            after.map_or(0, |after| to_sql(after.0)),
            filter.sender,
            filter.accepted_until.map(|until| until.0),
            filter.recipient,
            filter.domain,
            filter.is_held,
            to_sql(count_max as u64),
        ])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(summary_from(&transaction, row)?);
        }
        Ok(entries)
    }

    pub(in super::super) fn queued(&self, name: &str) -> Result<Option<QueuedMessage>> {
        let mut database = lock(&self.reader);
        let transaction = database.read()?;
        let found = transaction
            .prepare_cached(
                "SELECT id FROM entries WHERE envelope_id = ?1 \
                 UNION ALL SELECT id FROM entries WHERE id = CAST(?1 AS INTEGER) \
                 AND CAST(CAST(?1 AS INTEGER) AS TEXT) = ?1 LIMIT 1",
            )?
            .query_row([name], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(id) = found else {
            return Ok(None);
        };
        let mut statement = transaction.prepare_cached(
            "SELECT id, envelope_id, accepted_at, reverse_path, size, ret, envid \
             FROM entries WHERE id = ?1 AND id NOT IN (SELECT entry FROM prepared)",
        )?;
        let mut rows = statement.query([id])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(QueuedMessage {
            summary: summary_from(&transaction, row)?,
            notice: notice_from_row(row, 5)?,
            lots: lots(&transaction, id)?,
            recipients: recipients(&transaction, id)?,
            attempts: attempts(&transaction, id)?,
        }))
    }
}

fn summary_from(connection: &Connection, row: &Row<'_>) -> Result<QueuedSummary> {
    let id: i64 = row.get(0)?;
    let number = from_sql(id);
    let states: Vec<LotState> = lots(connection, id)?.iter().map(|lot| lot.state).collect();
    let due = states.iter().filter_map(|state| match state {
        LotState::Due(at) => Some(*at),
        LotState::Active | LotState::Held => None,
    });
    let waiting: u32 = connection
        .prepare_cached("SELECT count(*) FROM recipients WHERE entry = ?1 AND fate = 0")?
        .query_row([id], |row| row.get(0))?;
    let mut first = connection.prepare_cached(
        "SELECT path, notify, orcpt FROM recipients WHERE entry = ?1 AND fate = 0 \
         ORDER BY position LIMIT 1",
    )?;
    let mut first = first.query([id])?;
    let first_recipient = match first.next()? {
        Some(row) => Some(recipient_from_row(number, row, 0)?),
        None => None,
    };
    Ok(QueuedSummary {
        id: SpoolId(number),
        envelope_id: row.get(1)?,
        accepted_at: UnixTime(row.get(2)?),
        reverse_path: reverse_path_from(number, row.get(3)?)?,
        size_bytes: from_sql(row.get(4)?),
        waiting,
        next_due: due.min(),
        is_held: states.contains(&LotState::Held),
        is_active: states.contains(&LotState::Active),
        first_recipient,
    })
}

fn lots(connection: &Connection, entry: i64) -> Result<Vec<QueuedLot>> {
    let mut statement = connection.prepare_cached(
        "SELECT destination, attempts, claimed_by IS NOT NULL, held, due_at, reason \
         FROM lots WHERE entry = ?1 ORDER BY destination",
    )?;
    let lots = statement.query_map([entry], |row| {
        Ok(QueuedLot {
            destination: destination_from_text(row.get(0)?),
            attempts: row.get(1)?,
            state: match (row.get(2)?, row.get(3)?) {
                (true, _) => LotState::Active,
                (false, true) => LotState::Held,
                (false, false) => LotState::Due(UnixTime(row.get(4)?)),
            },
            reason: row.get(5)?,
        })
    })?;
    Ok(lots.collect::<rusqlite::Result<Vec<_>>>()?)
}

fn recipients(connection: &Connection, entry: i64) -> Result<Vec<QueuedRecipient>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, path, notify, orcpt, destination, fate, told_at, told_by, answer \
         FROM recipients WHERE entry = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([entry])?;
    let mut recipients = Vec::new();
    while let Some(row) = rows.next()? {
        let told_at: Option<i64> = row.get(6)?;
        let told = Told {
            by: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
            answer: row.get::<_, Option<String>>(8)?.unwrap_or_default(),
        };
        recipients.push(QueuedRecipient {
            position: row.get(0)?,
            recipient: recipient_from_row(from_sql(entry), row, 1)?,
            destination: destination_from_text(row.get(4)?),
            fate: fate_from_row(row, 5)?,
            told: told_at.map(|at| (UnixTime(at), told)),
        });
    }
    Ok(recipients)
}

fn attempts(connection: &Connection, entry: i64) -> Result<Vec<QueuedAttempt>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, destination, recipients, fate, told_by, answer FROM attempts \
         WHERE entry = ?1 ORDER BY number",
    )?;
    let attempts = statement.query_map([entry], |row| {
        Ok(QueuedAttempt {
            at: UnixTime(row.get(0)?),
            destination: destination_from_text(row.get(1)?),
            recipients: row.get(2)?,
            fate: fate_from_row(row, 3)?,
            told: Told {
                by: row.get(4)?,
                answer: row.get(5)?,
            },
        })
    })?;
    Ok(attempts.collect::<rusqlite::Result<Vec<_>>>()?)
}
