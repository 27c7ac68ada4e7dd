//! SEARCH: which messages of a mailbox match (RFC 3501 §6.4.4).
//!
//! A message is looked at in up to three steps, each dearer than the one before, and only as long
//! as it is undecided:
//!
//! | step | what it reads | what it answers |
//! |---|---|---|
//! | 1 | the snapshot | flags, keywords, UIDs, MODSEQs |
//! | 2 | columns, and the header | sizes, dates, ids, fields |
//! | 3 | the parts with text | BODY, and TEXT where the header does not have it |
//!
//! Texts are compared without case, and without regard to how a message encodes them: encoded
//! words (RFC 2047), parameters (RFC 2231), transfer encodings and charsets are decoded. Fields
//! are searched as they are written, too.

mod body;
mod evaluate;
mod header;
mod text;

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, ops::Range};

use bytes::Bytes;
use rmail_proto::{
    AccountId, MailboxId, Uid,
    imap::{Columns, MessageData, MessageState, SearchKey, Snapshot, UidSet},
    limits::{FETCH_HEADER_FIELDS_BYTES, FETCH_MESSAGES},
};
use rmail_store::{Store, StoreError};

use self::evaluate::{Known, Program};
use crate::limits;

/// Where to search.
pub struct Place<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Whose mailbox.
    pub account: AccountId,
    /// Which mailbox.
    pub mailbox: MailboxId,
}

/// The messages among `uids` that match. Flags and MODSEQs are those of `snapshot`; a message
/// that is not in it, or has gone since, matches nothing. Blocks, as the store does.
///
/// Searched are at most [`FETCH_HEADER_FIELDS_BYTES`] of a header and
/// [`limits::SEARCH_PART_BYTES`] of each part with text.
///
/// # Errors
///
/// As the store's.
pub fn search(
    place: &Place<'_>,
    snapshot: &Snapshot,
    uids: &UidSet,
    program: &SearchKey,
) -> Result<UidSet, StoreError> {
    let search = Search {
        place,
        program: Program::new(program),
    };
    let mut found = UidSet::EMPTY;
    let mut undecided = Vec::new();
    let ranges = uids.ranges().iter();
    for (_, state) in ranges.flat_map(|range| snapshot.range(range.clone())) {
        match search.program.decide(&Known::state(state)) {
            Some(true) => found.insert(state.uid),
            Some(false) => {}
            None => undecided.push(state),
        }
        if undecided.len() == FETCH_MESSAGES {
            search.look_at(&undecided, &mut found)?;
            undecided.clear();
        }
    }
    search.look_at(&undecided, &mut found)?;
    Ok(found)
}

struct Search<'a> {
    place: &'a Place<'a>,
    program: Program<'a>,
}

/// A message's bytes, in memory or in the store.
struct Content<'a> {
    place: &'a Place<'a>,
    data: &'a MessageData,
}

impl<'a> Search<'a> {
    /// Decides about messages that the snapshot leaves open; at most [`FETCH_MESSAGES`].
    fn look_at(&self, states: &[&MessageState], found: &mut UidSet) -> Result<(), StoreError> {
        let mut undecided = states.to_vec();
        if self.program.asks_data() {
            let columns = Columns {
                header: self.program.asks_header(),
                ..Columns::default()
            };
            undecided = self.load(&undecided, columns, found)?;
        }
        if self.program.asks_body() {
            let columns = Columns {
                header: true,
                parts: true,
                content: true,
                ..Columns::default()
            };
            undecided = self.load(&undecided, columns, found)?;
        }
        assert!(
            undecided.is_empty(),
            "each key is answered by one of the steps"
        );
        Ok(())
    }

    /// Loads messages' data, adds those that match to `found`, and returns those that it left
    /// undecided.
    fn load<'s>(
        &self,
        states: &[&'s MessageState],
        columns: Columns,
        found: &mut UidSet,
    ) -> Result<Vec<&'s MessageState>, StoreError> {
        let &Place {
            store,
            account,
            mailbox,
        } = self.place;
        let uids: Vec<Uid> = states.iter().map(|state| state.uid).collect();
        let mut undecided = Vec::new();
        let mut rest = uids.as_slice();
        while !rest.is_empty() {
            let bytes_max = limits::SEARCH_BATCH_BYTES;
            let (messages, answered) =
                store.messages(account, mailbox, rest, columns, bytes_max)?;
            assert!(answered > 0, "the store looks at one message at least");
            rest = rest.get(answered..).unwrap_or_default();
            for data in &messages {
                let Ok(index) = states.binary_search_by_key(&data.uid, |state| state.uid) else {
                    continue;
                };
                match self.decide(states[index], data, columns)? {
                    Verdict::Decided(true) => found.insert(data.uid),
                    Verdict::Decided(false) => {}
                    Verdict::Undecided => undecided.push(states[index]),
                }
            }
        }
        Ok(undecided)
    }

    fn decide(
        &self,
        state: &MessageState,
        data: &MessageData,
        columns: Columns,
    ) -> Result<Verdict, StoreError> {
        let content = Content {
            place: self.place,
            data,
        };
        let mut known = Known::state(state);
        known.data = Some(data);
        let header;
        if columns.header {
            header = match content.header()? {
                Some(header) => header,
                None => return Ok(Verdict::GONE),
            };
            known.header = Some(&header);
        }
        if let Some(matches) = self.program.decide(&known) {
            return Ok(Verdict::Decided(matches));
        }
        if !columns.content {
            return Ok(Verdict::Undecided);
        }
        let texts: Option<BTreeSet<&str>> = body::find_texts(&content, &self.program)?;
        let Some(texts) = texts else {
            return Ok(Verdict::GONE);
        };
        known.body_texts = Some(&texts);
        let matches = self.program.decide(&known);
        Ok(Verdict::Decided(
            matches.expect("all of the message is known"),
        ))
    }
}

/// What a step found out about a message.
enum Verdict {
    Decided(bool),
    Undecided,
}

impl Verdict {
    /// What has gone matches nothing, not even NOT.
    const GONE: Self = Self::Decided(false);
}

impl Content<'_> {
    /// The header, without what is beyond [`FETCH_HEADER_FIELDS_BYTES`]. `None` when the message
    /// has gone.
    fn header(&self) -> Result<Option<Bytes>, StoreError> {
        if !self.data.header.is_empty() {
            return Ok(Some(self.data.header.clone()));
        }
        let start = self.read(0..self.data.size_bytes, FETCH_HEADER_FIELDS_BYTES)?;
        Ok(start.map(|start| start.slice(..header::length(&start))))
    }

    /// At most so many bytes from the start of a range, which may reach beyond the end. `None`
    /// when the message has gone.
    fn read(&self, range: Range<u64>, bytes_max: u64) -> Result<Option<Bytes>, StoreError> {
        let end = range.end.min(self.data.size_bytes);
        let start = range.start.min(end);
        let length = usize::try_from((end - start).min(bytes_max)).unwrap_or(usize::MAX);
        let Some(whole) = &self.data.content else {
            let &Place {
                store,
                account,
                mailbox,
            } = self.place;
            return store.read(account, mailbox, self.data.uid, start, length);
        };
        let start = usize::try_from(start).map_or(whole.len(), |start| start.min(whole.len()));
        let end = start.saturating_add(length).min(whole.len());
        Ok(Some(whole.slice(start..end)))
    }
}
