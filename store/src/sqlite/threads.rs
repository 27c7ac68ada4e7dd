//! Which conversation a message belongs to.
//!
//! A message joins the thread of a message that it refers to, of one that refers to it, or of one
//! with its own Message-ID. Where it would join several, the oldest wins; messages that are there
//! keep their thread, for a THREADID never changes (RFC 8474 §5.2), and later ones go to the
//! winner.

use rusqlite::{Connection, params};

use rmail_proto::{ThreadId, mime::Summary};

use super::{
    database::{from_sql, to_sql},
    ids::IdSource,
};
use crate::store::Result;

/// The thread of a new message, whose MODSEQ is given.
pub(super) fn join_thread(
    connection: &Connection,
    ids: &IdSource,
    summary: &Summary,
    modseq: u64,
) -> Result<ThreadId> {
    let names = summary.message_id.iter().chain(&summary.references);
    let hashes: Vec<i64> = names.map(|name| hash(name)).collect();
    let mut find =
        connection.prepare_cached("SELECT thread_id, since FROM thread_refs WHERE hash = ?1")?;
    let mut oldest: Option<(u64, u128)> = None;
    let mut known = Vec::with_capacity(hashes.len());
    for &hash in &hashes {
        let mut rows = find.query([hash])?;
        let thread = match rows.next()? {
            Some(row) => Some((from_sql(row.get(1)?), u128::from_be_bytes(row.get(0)?))),
            None => None,
        };
        oldest = [oldest, thread].into_iter().flatten().min();
        known.push(thread);
    }
    let thread = oldest.unwrap_or_else(|| (modseq, ids.next_id()));
    let mut remember =
        connection.prepare_cached("INSERT OR REPLACE INTO thread_refs VALUES (?1, ?2, ?3)")?;
    for (hash, known) in hashes.into_iter().zip(known) {
        if known != Some(thread) {
            remember.execute(params![hash, thread.1.to_be_bytes(), to_sql(thread.0)])?;
        }
    }
    Ok(ThreadId(thread.1))
}

/// FNV-1a: a stored number, so it must never change.
fn hash(message_id: &str) -> i64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    message_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, fold)
        .cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_hashes_never_change() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325_u64.cast_signed());
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c_u64.cast_signed());
    }
}
