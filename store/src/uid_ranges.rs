//! Sets of UIDs as the numbers that the database knows.

use rmail_proto::{Uid, imap::UidSet};

/// First and last UID of each range, in order.
pub(crate) fn ranges(uids: &UidSet) -> impl Iterator<Item = (u32, u32)> + '_ {
    let ranges = uids.ranges().iter();
    ranges.map(|range| (range.start().get(), range.end().get()))
}

/// First UID and count of each run of UIDs that follow one another in `uids`, in that order.
pub(crate) fn runs(uids: &[Uid]) -> impl Iterator<Item = (u32, u32)> + '_ {
    uids.chunk_by(|a, b| a.get().checked_add(1) == Some(b.get()))
        .map(|run| (run[0].get(), run[run.len() - 1].get()))
}
