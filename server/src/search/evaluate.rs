//! What a program says of a message of which more or less is known.

use std::collections::{BTreeMap, BTreeSet};

use rmail_proto::imap::{DateTest, MessageData, MessageState, SearchKey};

use super::{header, text::Needle};

/// A program with what it looks for, ready to be looked for.
pub(super) struct Program<'a> {
    key: &'a SearchKey,
    /// All its texts.
    needles: BTreeMap<&'a str, Needle>,
    /// The texts that may stand in a body; none is empty.
    body_texts: BTreeSet<&'a str>,
    asks_data: bool,
    asks_header: bool,
}

/// What is known of a message so far.
pub(super) struct Known<'a> {
    state: &'a MessageState,
    pub(super) data: Option<&'a MessageData>,
    pub(super) header: Option<&'a [u8]>,
    /// Those of the program's texts that the body holds.
    pub(super) body_texts: Option<&'a BTreeSet<&'a str>>,
}

impl<'a> Known<'a> {
    /// Only what the snapshot tells.
    pub(super) const fn state(state: &'a MessageState) -> Self {
        Self {
            state,
            data: None,
            header: None,
            body_texts: None,
        }
    }
}

impl<'a> Program<'a> {
    pub(super) fn new(key: &'a SearchKey) -> Self {
        let mut program = Self {
            key,
            needles: BTreeMap::new(),
            body_texts: BTreeSet::new(),
            asks_data: false,
            asks_header: false,
        };
        program.note(key);
        program
    }

    /// Whether something of [`MessageData`], or the header, may decide.
    pub(super) const fn asks_data(&self) -> bool {
        self.asks_data
    }

    /// Whether the header may decide.
    pub(super) const fn asks_header(&self) -> bool {
        self.asks_header
    }

    /// Whether the body may have to decide.
    pub(super) fn asks_body(&self) -> bool {
        !self.body_texts.is_empty()
    }

    /// What may have to be looked for in a body.
    pub(super) fn body_needles(&self) -> impl Iterator<Item = (&'a str, &Needle)> + '_ {
        let texts = self.body_texts.iter();
        texts.map(|&text| (text, self.needle(text)))
    }

    /// Whether a message matches, or `None` when that hangs on what is not yet known.
    pub(super) fn decide(&self, known: &Known<'_>) -> Option<bool> {
        self.decide_key(self.key, known)
    }

    fn needle(&self, text: &str) -> &Needle {
        self.needles.get(text).expect("all texts were noted")
    }

    fn note(&mut self, key: &'a SearchKey) {
        match key {
            SearchKey::And(keys) => keys.iter().for_each(|key| self.note(key)),
            SearchKey::Or(one, other) => {
                self.note(one);
                self.note(other);
            }
            SearchKey::Not(key) => self.note(key),
            SearchKey::Header(_, text) => {
                self.asks_data = true;
                self.asks_header = true;
                self.note_text(text);
            }
            SearchKey::Body(text) => {
                self.note_text(text);
                self.note_body(text);
            }
            SearchKey::Text(text) => {
                self.asks_header = true;
                self.note_text(text);
                self.note_body(text);
            }
            SearchKey::SentDate(..) => {
                self.asks_data = true;
                self.asks_header = true;
            }
            SearchKey::Larger(_)
            | SearchKey::Smaller(_)
            | SearchKey::InternalDate(..)
            | SearchKey::EmailId(_)
            | SearchKey::ThreadId(_) => self.asks_data = true,
            SearchKey::All
            | SearchKey::Uids(_)
            | SearchKey::Flags(_)
            | SearchKey::Keyword(_)
            | SearchKey::ModSeq(_) => {}
        }
    }

    fn note_text(&mut self, text: &'a str) {
        let needle = self.needles.entry(text);
        needle.or_insert_with(|| Needle::new(text));
    }

    fn note_body(&mut self, text: &'a str) {
        if !text.is_empty() {
            self.body_texts.insert(text);
        }
    }

    fn decide_key(&self, key: &SearchKey, known: &Known<'_>) -> Option<bool> {
        match key {
            SearchKey::All => Some(true),
            SearchKey::And(keys) => self.decide_all(keys, known),
            SearchKey::Or(one, other) => match self.decide_key(one, known) {
                Some(true) => Some(true),
                Some(false) => self.decide_key(other, known),
                None => self.decide_key(other, known).filter(|&matches| matches),
            },
            SearchKey::Not(key) => self.decide_key(key, known).map(|matches| !matches),
            SearchKey::Uids(uids) => Some(uids.contains(known.state.uid)),
            SearchKey::Flags(flags) => Some(known.state.flags.system.contains(*flags)),
            SearchKey::Keyword(keyword) => Some(known.state.flags.keywords.contains(keyword)),
            SearchKey::ModSeq(modseq) => Some(known.state.modseq >= *modseq),
            SearchKey::Larger(bytes) => known.data.map(|data| data.size_bytes > *bytes),
            SearchKey::Smaller(bytes) => known.data.map(|data| data.size_bytes < *bytes),
            SearchKey::InternalDate(test, day) => known
                .data
                .map(|data| compare(*test, data.internal_date.day_number(), *day)),
            SearchKey::SentDate(test, day) => {
                let received = known.data?.internal_date;
                let sent = header::sent_day(known.header?);
                let sent = sent.unwrap_or_else(|| received.day_number());
                Some(compare(*test, sent, *day))
            }
            SearchKey::EmailId(id) => known.data.map(|data| data.email_id == *id),
            SearchKey::ThreadId(id) => known.data.map(|data| data.thread_id == *id),
            SearchKey::Header(name, text) => known
                .header
                .map(|header| header::field_contains(header, name, self.needle(text))),
            SearchKey::Body(text) if text.is_empty() => Some(true),
            SearchKey::Body(text) => known.body_texts.map(|texts| texts.contains(text.as_str())),
            SearchKey::Text(text) if text.is_empty() => Some(true),
            SearchKey::Text(text) => {
                // The body answers first when it is known: looking that up costs nothing.
                let in_body = known.body_texts.map(|texts| texts.contains(text.as_str()));
                if in_body == Some(true) {
                    return Some(true);
                }
                match header::contains(known.header?, self.needle(text)) {
                    true => Some(true),
                    false => in_body,
                }
            }
        }
    }

    fn decide_all(&self, keys: &[SearchKey], known: &Known<'_>) -> Option<bool> {
        let mut all = Some(true);
        for key in keys {
            match self.decide_key(key, known) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => all = None,
            }
        }
        all
    }
}

fn compare(test: DateTest, day: i64, with: i64) -> bool {
    match test {
        DateTest::Before => day < with,
        DateTest::On => day == with,
        DateTest::Since => day >= with,
    }
}
