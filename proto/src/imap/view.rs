//! A selected mailbox as one session's client knows it.
//!
//! A client speaks of messages by number, and a number means what the client was told (RFC 3501
//! §7.4.1). So a view keeps two pictures: the one that was `told`, and the `latest` one. Commands
//! are answered from what was told; [`View::sync`] brings it up to date where the protocol lets
//! it:
//!
//! | what happened          | said as                       | when                              |
//! |------------------------|-------------------------------|-----------------------------------|
//! | a message went         | EXPUNGE                       | not in FETCH, STORE and SEARCH    |
//! | flags changed          | FETCH (FLAGS)                 | any time                          |
//! | flags changed by STORE.SILENT, as expected | nothing, or FETCH (MODSEQ) | any time         |
//! | a message came         | EXISTS, RECENT                | any time                          |
//! | a keyword is new       | FLAGS, before the FETCH       | any time                          |
//!
//! A message that went and could not be said to have gone keeps its number, and has no content
//! any more (RFC 2180 §4.1). EXISTS never shrinks: what has gone is said by EXPUNGE before.

use alloc::{sync::Arc, vec::Vec};
use core::ops::RangeInclusive;

use super::{
    Changes, MessageState, Snapshot, StoreMode, UidSet,
    difference::{Difference, Differences},
};
use crate::{Flags, Keywords, MessageNumber, ModSeq, Uid};

/// What one session's client was told of its mailbox, and what there is to tell.
#[derive(Clone, Debug)]
pub struct View {
    told: Arc<Snapshot>,
    latest: Arc<Snapshot>,
    recent: UidSet,
    recent_told: u32,
    keywords_told: Keywords,
}

/// What a sync may and must say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Telling {
    /// Whether EXPUNGE may be sent (RFC 3501 §7.4.1).
    pub expunges: bool,
    /// Whether the client knows MODSEQs (RFC 7162 §3.1): then a change that leaves the flags
    /// alone is said too.
    pub modseqs: bool,
    /// Messages whose flags are said even when they are known: the answer to STORE. Those that
    /// have gone are passed over.
    pub flags_of: UidSet,
}

/// One untagged response that tells of a change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Update {
    /// FLAGS: the keywords in use, among them new ones.
    Keywords(Keywords),
    /// EXPUNGE.
    Expunge(MessageNumber),
    /// FETCH.
    Fetch {
        /// Which message.
        number: MessageNumber,
        /// Its UID.
        uid: Uid,
        /// Its flags; `None` when the client knows them and only the MODSEQ has changed.
        flags: Option<Flags>,
        /// Whether it is `\Recent`.
        is_recent: bool,
        /// Its MODSEQ.
        modseq: ModSeq,
    },
    /// EXISTS.
    Exists(u32),
    /// RECENT.
    Recent(u32),
}

/// The updates of one sync, in the order in which they are to be sent. The view already counts
/// them as told, so all must go out before anything else does.
#[derive(Debug)]
pub struct Updates {
    keywords: Option<Keywords>,
    differences: Differences,
    modseqs: bool,
    flags_of: UidSet,
    latest: Arc<Snapshot>,
    recent: UidSet,
    exists: Option<u32>,
    recent_count: Option<u32>,
}

impl View {
    /// The view of a client that was just told of all of this by SELECT or EXAMINE: the number of
    /// messages, the number of `\Recent` ones, and the keywords.
    pub fn new(snapshot: Arc<Snapshot>, recent: UidSet) -> Self {
        Self {
            recent_told: count(&snapshot, &recent),
            keywords_told: snapshot.keywords(),
            told: Arc::clone(&snapshot),
            latest: snapshot,
            recent,
        }
    }

    /// What the client was told: numbers mean messages of this picture, some of which may have
    /// gone.
    pub fn told(&self) -> &Snapshot {
        &self.told
    }

    /// The newest picture that was learned.
    pub fn latest(&self) -> &Snapshot {
        &self.latest
    }

    /// How many messages the client was told are `\Recent`.
    pub fn recent_count(&self) -> u32 {
        self.recent_told
    }

    /// The messages that are `\Recent` in this session.
    pub fn recent(&self) -> &UidSet {
        &self.recent
    }

    /// The keywords that the client was told of.
    pub fn keywords(&self) -> &Keywords {
        &self.keywords_told
    }

    /// Takes a newer picture, to be told of by the next sync, and messages that are `\Recent`
    /// besides those known. A picture that is older than the latest is passed over.
    pub fn learn(&mut self, latest: Arc<Snapshot>, recent: &UidSet) {
        if latest.modseq() >= self.latest.modseq() {
            self.latest = latest;
        }
        self.recent = self.recent.union(recent);
    }

    /// Whether there is nothing to tell.
    pub fn is_current(&self) -> bool {
        Arc::ptr_eq(&self.told, &self.latest)
    }

    /// Whether the latest picture holds messages that the client was not told of.
    pub fn has_untold_messages(&self) -> bool {
        self.latest.last_uid() > self.told.last_uid()
    }

    /// The UIDs from one message number to another, in either order; `None` when the client was
    /// told of no such messages. UIDs between them that no message has may be included.
    pub fn uids_numbered(
        &self,
        from: MessageNumber,
        to: MessageNumber,
    ) -> Option<RangeInclusive<Uid>> {
        let (first, last) = (from.min(to), from.max(to));
        Some(self.told.get(first)?.uid..=self.told.get(last)?.uid)
    }

    /// The number of the last message, which `*` means; `None` in an empty mailbox.
    pub fn last_number(&self) -> Option<MessageNumber> {
        MessageNumber::new(self.told.len())
    }

    /// These UIDs, without those that are too large for the client to know of.
    #[must_use]
    pub fn known(&self, uids: &UidSet) -> UidSet {
        match self.told.last_uid() {
            Some(last) => uids.intersection(&UidSet::from(Uid::MIN..=last)),
            None => UidSet::EMPTY,
        }
    }

    /// Whether the client can still see one of these messages though it has gone.
    pub fn has_gone(&self, uids: &UidSet) -> bool {
        if self.is_current() {
            return false;
        }
        self.told_of(uids)
            .any(|state| self.latest.find(state.uid).is_none())
    }

    /// Books the client's expectation after STORE.SILENT: these messages have changed so, unless
    /// a sync says otherwise.
    pub fn expect_stored(&mut self, uids: &UidSet, mode: StoreMode, flags: &Flags) {
        let changed = self.told_of(uids).map(|state| MessageState {
            flags: match mode {
                StoreMode::Replace => flags.clone(),
                StoreMode::Add => state.flags.with(flags),
                StoreMode::Remove => state.flags.without(flags),
            },
            ..state.clone()
        });
        self.retell(changed.collect());
    }

    /// Books the latest flags and MODSEQs of these messages as told: the caller says them.
    pub fn adopt(&mut self, uids: &UidSet) {
        let latest = self.told_of(uids).filter_map(|told| {
            let (_, latest) = self.latest.find(told.uid)?;
            (latest != told).then(|| latest.clone())
        });
        self.retell(latest.collect());
    }

    /// Brings what was told up to date, as far as `telling` allows.
    pub fn sync(&mut self, telling: &Telling) -> Updates {
        let target = self.target(telling.expunges);
        let told = core::mem::replace(&mut self.told, Arc::clone(&target));
        let exists = (target.last_uid() > told.last_uid()).then(|| target.len());
        let recent_count = match Arc::ptr_eq(&told, &target) && self.recent.is_empty() {
            true => self.recent_told,
            false => count(&target, &self.recent),
        };
        let say_recent = exists.is_some() || recent_count != self.recent_told;
        self.recent_told = recent_count;
        Updates {
            keywords: self.new_keywords(&told),
            differences: Differences::new(told, target, telling.flags_of.clone()),
            modseqs: telling.modseqs,
            flags_of: telling.flags_of.clone(),
            latest: Arc::clone(&self.latest),
            recent: self.recent.clone(),
            exists,
            recent_count: say_recent.then_some(recent_count),
        }
    }

    /// The picture that the client is to have: the latest one, or one of its own that keeps
    /// messages which can't be said to have gone.
    fn target(&self, expunges: bool) -> Arc<Snapshot> {
        let last_told = self.told.last_uid();
        let differs = |difference| match difference {
            Difference::Vanished(_) => !expunges,
            Difference::Stayed { .. } => false,
            // UIDs only grow; should one come late, the client is spared it.
            Difference::Appeared(state) => Some(state.uid) < last_told,
        };
        if !self.differences().any(differs) {
            return Arc::clone(&self.latest);
        }
        let mut changes = Changes {
            modseq: self.latest.modseq(),
            uid_next: Some(self.latest.uid_next()),
            ..Changes::default()
        };
        for difference in self.differences() {
            match difference {
                Difference::Vanished(uid) if expunges => changes.vanished.push(uid),
                Difference::Vanished(_) => {}
                Difference::Stayed { newer, .. } => changes.changed.push(newer),
                Difference::Appeared(state) if Some(state.uid) < last_told => {}
                Difference::Appeared(state) => changes.changed.push(state),
            }
        }
        Arc::new(self.told.apply(&changes))
    }

    fn differences(&self) -> Differences {
        let (told, latest) = (Arc::clone(&self.told), Arc::clone(&self.latest));
        Differences::new(told, latest, UidSet::EMPTY)
    }

    /// The keywords in use, when some are new since `before`.
    fn new_keywords(&mut self, before: &Arc<Snapshot>) -> Option<Keywords> {
        if Arc::ptr_eq(before, &self.told) {
            return None;
        }
        let keywords = self.told.keywords();
        let is_new = |keyword| !self.keywords_told.contains(keyword);
        if !keywords.iter().any(is_new) {
            return None;
        }
        self.keywords_told = keywords.clone();
        Some(keywords)
    }

    fn told_of<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = &'a MessageState> {
        let ranges = uids.ranges().iter();
        ranges.flat_map(|range| self.told.range(range.clone()).map(|(_, state)| state))
    }

    fn retell(&mut self, changed: Vec<MessageState>) {
        if changed.is_empty() {
            return;
        }
        let changes = Changes {
            changed,
            ..Changes::default()
        };
        self.told = Arc::new(self.told.apply(&changes));
    }
}

impl Updates {
    fn is_wanted(&self, uid: Uid) -> bool {
        self.flags_of.contains(uid) && self.latest.find(uid).is_some()
    }
}

/// How many of these UIDs messages have.
fn count(snapshot: &Snapshot, uids: &UidSet) -> u32 {
    let ranges = uids.ranges().iter();
    ranges
        .map(|range| snapshot.range(range.clone()).count() as u32)
        .sum()
}

impl Iterator for Updates {
    type Item = Update;

    fn next(&mut self) -> Option<Update> {
        if let Some(keywords) = self.keywords.take() {
            return Some(Update::Keywords(keywords));
        }
        while let Some(difference) = self.differences.next() {
            let number = self.differences.passed_in_newer();
            match difference {
                Difference::Vanished(_) => {
                    return MessageNumber::new(number + 1).map(Update::Expunge);
                }
                Difference::Stayed { older, newer } => {
                    let must = older.flags != newer.flags || self.is_wanted(newer.uid);
                    if must || (self.modseqs && older.modseq != newer.modseq) {
                        return MessageNumber::new(number).map(|number| Update::Fetch {
                            number,
                            uid: newer.uid,
                            flags: must.then_some(newer.flags),
                            is_recent: self.recent.contains(newer.uid),
                            modseq: newer.modseq,
                        });
                    }
                }
                Difference::Appeared(_) => {}
            }
        }
        let exists = self.exists.take().map(Update::Exists);
        exists.or_else(|| self.recent_count.take().map(Update::Recent))
    }
}
