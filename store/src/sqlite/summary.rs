//! A message's [`Summary`] as columns.

use rusqlite::Row;

use rmail_proto::{DateTime, UnixTime, mime::Summary};

use super::database::{from_sql, to_sql};

/// The columns that contents and spool entries have in common, in the order of
/// [`SummaryValues`], after `size`.
pub(super) const SUMMARY_COLUMNS: &str = "header_bytes, sent_date, sent_zone, has_attachments, \
                                          message_id, envelope, body, body_structure, parts";

/// The values of [`SUMMARY_COLUMNS`].
pub(super) struct SummaryValues<'a> {
    pub(super) header_bytes: i64,
    pub(super) sent_date: Option<i64>,
    pub(super) sent_zone: Option<i16>,
    pub(super) summary: &'a Summary,
}

impl<'a> SummaryValues<'a> {
    pub(super) fn new(summary: &'a Summary) -> Self {
        Self {
            header_bytes: to_sql(summary.header_bytes),
            sent_date: summary.sent_date.map(|date| date.unix.0),
            sent_zone: summary.sent_date.map(|date| date.zone_minutes),
            summary,
        }
    }
}

/// Reads `size` and [`SUMMARY_COLUMNS`] from the column `first` on; without references.
pub(super) fn summary_from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Summary> {
    let sent_date: Option<i64> = row.get(first + 2)?;
    let sent_zone: Option<i16> = row.get(first + 3)?;
    Ok(Summary {
        size_bytes: from_sql(row.get(first)?),
        header_bytes: from_sql(row.get(first + 1)?),
        sent_date: sent_date.map(|unix| DateTime {
            unix: UnixTime(unix),
            zone_minutes: sent_zone.unwrap_or(0),
        }),
        has_attachments: row.get(first + 4)?,
        message_id: row.get(first + 5)?,
        envelope: row.get(first + 6)?,
        body: row.get(first + 7)?,
        body_structure: row.get(first + 8)?,
        parts: row.get(first + 9)?,
        references: Vec::new(),
    })
}

/// Ids as one text.
pub(super) fn references_to_text(references: &[String]) -> String {
    references.join("\n")
}

/// Reads [`references_to_text`].
pub(super) fn references_from_text(text: &str) -> Vec<String> {
    text.split('\n')
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect()
}
