//! A mailbox's UIDs, flags and MODSEQs at one moment, shared by everybody who has it open.

use alloc::{sync::Arc, vec::Vec};
use core::{cmp::Ordering, ops::RangeInclusive};

use crate::{Flags, Keywords, MessageNumber, ModSeq, SystemFlags, Uid, limits};

/// What a snapshot knows of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageState {
    /// Its UID.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// When it last changed.
    pub modseq: ModSeq,
}

/// What has happened in a mailbox since some MODSEQ.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// The mailbox's highest MODSEQ.
    pub modseq: ModSeq,
    /// Messages that came or whose flags changed, sorted by UID, in their present state.
    pub changed: Vec<MessageState>,
    /// Messages that went, sorted by UID.
    pub vanished: Vec<Uid>,
    /// The UID that the next message will get, or a smaller one that is larger than any shown.
    pub uid_next: Option<Uid>,
}

/// An immutable picture of a mailbox. Cheap to derive the next one from: messages live in shared
/// chunks of at most [`limits::SNAPSHOT_CHUNK_MESSAGES`], and only those that change are copied.
///
/// Messages are numbered from 1 in the order of their UIDs.
#[derive(Clone, Debug)]
pub struct Snapshot {
    chunks: Vec<Placed>,
    uid_next: Uid,
    modseq: ModSeq,
}

/// A chunk and how many messages lie before it.
#[derive(Clone, Debug)]
struct Placed {
    before: u32,
    chunk: Arc<Chunk>,
}

/// Some messages in a row; not empty.
#[derive(Debug)]
pub(super) struct Chunk {
    messages: Vec<MessageState>,
    unseen_count: u32,
    keywords: Keywords,
}

impl Default for Snapshot {
    /// An empty mailbox that never held a message.
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            uid_next: Uid::MIN,
            modseq: ModSeq::default(),
        }
    }
}

impl Snapshot {
    /// The picture after these changes. A message that `changed` holds in an older state than
    /// this snapshot is passed over, and so is one below the largest UID that this snapshot does
    /// not hold: UIDs only grow, so it has gone.
    #[must_use]
    pub fn apply(&self, changes: &Changes) -> Self {
        let mut changed = changes.changed.as_slice();
        let mut vanished = changes.vanished.as_slice();
        let mut builder = Builder::default();
        for placed in &self.chunks {
            let last = placed.chunk.last_uid();
            let (here, later) = split_after(changed, last, |state| state.uid);
            let (gone, not_yet) = split_after(vanished, last, |&uid| uid);
            (changed, vanished) = (later, not_yet);
            if here.is_empty() && gone.is_empty() {
                builder.push_chunk(&placed.chunk);
            } else {
                builder.push_changed(&placed.chunk.messages, here, gone);
            }
        }
        for state in changed {
            if vanished.binary_search(&state.uid).is_err() {
                builder.push(state.clone());
            }
        }
        let chunks = builder.finish();
        let after_last = chunks
            .last()
            .map_or(Uid::MIN, |placed| successor(placed.chunk.last_uid()));
        let said = changes.uid_next.unwrap_or(Uid::MIN);
        Self {
            chunks,
            uid_next: self.uid_next.max(said).max(after_last),
            modseq: self.modseq.max(changes.modseq),
        }
    }

    /// How many messages there are.
    pub fn len(&self) -> u32 {
        self.chunks
            .last()
            .map_or(0, |placed| placed.before + placed.chunk.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The highest MODSEQ.
    pub fn modseq(&self) -> ModSeq {
        self.modseq
    }

    /// The UID that the next message will get, or a smaller one that is larger than any here.
    pub fn uid_next(&self) -> Uid {
        self.uid_next
    }

    /// The largest UID.
    pub fn last_uid(&self) -> Option<Uid> {
        self.chunks.last().map(|placed| placed.chunk.last_uid())
    }

    /// The message with this number.
    pub fn get(&self, number: MessageNumber) -> Option<&MessageState> {
        let index = number.get() - 1;
        let chunk = self.chunks.partition_point(|placed| placed.before <= index);
        let placed = self.chunks.get(chunk.checked_sub(1)?)?;
        let offset = usize::try_from(index - placed.before).ok()?;
        placed.chunk.messages.get(offset)
    }

    /// The message with this UID.
    pub fn find(&self, uid: Uid) -> Option<(MessageNumber, &MessageState)> {
        self.range(uid..=uid).next()
    }

    /// The messages with these UIDs, in order.
    pub fn range(
        &self,
        uids: RangeInclusive<Uid>,
    ) -> impl Iterator<Item = (MessageNumber, &MessageState)> + '_ {
        let (start, end) = uids.into_inner();
        self.iter_from(start)
            .take_while(move |(_, state)| state.uid <= end)
    }

    /// All messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = (MessageNumber, &MessageState)> + '_ {
        self.iter_from(Uid::MIN)
    }

    /// The number of the first message without `\Seen`.
    pub fn first_unseen(&self) -> Option<MessageNumber> {
        let placed = self
            .chunks
            .iter()
            .find(|placed| placed.chunk.unseen_count > 0)?;
        let offset = placed.chunk.messages.iter().position(is_unseen)?;
        number_at(placed.before, offset)
    }

    /// How many messages have no `\Seen`.
    pub fn unseen_count(&self) -> u32 {
        self.chunks
            .iter()
            .map(|placed| placed.chunk.unseen_count)
            .sum()
    }

    /// The keywords that messages have, in order: the first
    /// [`limits::MAILBOX_KEYWORDS_SHOWN`] of them.
    pub fn keywords(&self) -> Keywords {
        let mut all = Keywords::default();
        for placed in &self.chunks {
            let chunk = &placed.chunk.keywords;
            if !chunk.iter().all(|keyword| all.contains(keyword)) {
                let both = all.iter().chain(chunk.iter()).cloned();
                let both: Keywords = both.collect();
                let shown = both.iter().take(limits::MAILBOX_KEYWORDS_SHOWN);
                all = shown.cloned().collect();
            }
        }
        all
    }

    /// Messages from this UID on, in order.
    pub fn iter_from(&self, uid: Uid) -> impl Iterator<Item = (MessageNumber, &MessageState)> + '_ {
        let from = self
            .chunks
            .partition_point(|placed| placed.chunk.last_uid() < uid);
        let chunks = self.chunks.get(from..).unwrap_or_default();
        let offset = chunks.first().map_or(0, |placed| {
            let messages = &placed.chunk.messages;
            messages.partition_point(|state| state.uid < uid)
        });
        chunks.iter().enumerate().flat_map(move |(index, placed)| {
            let skipped = if index == 0 { offset } else { 0 };
            let states = placed.chunk.messages.iter().enumerate().skip(skipped);
            states.filter_map(|(offset, state)| Some((number_at(placed.before, offset)?, state)))
        })
    }

    /// The chunk at this index, and how many messages lie before it.
    pub(super) fn chunk(&self, index: usize) -> Option<(u32, &Arc<Chunk>)> {
        let placed = self.chunks.get(index)?;
        Some((placed.before, &placed.chunk))
    }
}

impl Chunk {
    fn new(messages: Vec<MessageState>) -> Self {
        let unseen_count = messages.iter().filter(|state| is_unseen(state)).count() as u32;
        let keywords = messages
            .iter()
            .flat_map(|state| state.flags.keywords.iter())
            .cloned()
            .collect();
        Self {
            messages,
            unseen_count,
            keywords,
        }
    }

    fn len(&self) -> u32 {
        self.messages.len() as u32
    }

    pub(super) fn messages(&self) -> &[MessageState] {
        &self.messages
    }

    pub(super) fn first_uid(&self) -> Uid {
        self.messages.first().expect("no chunk is empty").uid
    }

    pub(super) fn last_uid(&self) -> Uid {
        self.messages.last().expect("no chunk is empty").uid
    }
}

fn is_unseen(state: &MessageState) -> bool {
    !state.flags.system.contains(SystemFlags::SEEN)
}

fn number_at(before: u32, offset: usize) -> Option<MessageNumber> {
    MessageNumber::new(before + offset as u32 + 1)
}

fn successor(uid: Uid) -> Uid {
    Uid::new(uid.get().saturating_add(1)).unwrap_or(Uid::MAX)
}

/// The items up to this UID, and the rest.
fn split_after<T>(sorted: &[T], last: Uid, uid_of: impl Fn(&T) -> Uid) -> (&[T], &[T]) {
    sorted.split_at(sorted.partition_point(|item| uid_of(item) <= last))
}

/// Gathers the chunks of a new snapshot, sharing those that did not change.
#[derive(Default)]
struct Builder {
    chunks: Vec<Placed>,
    /// Messages after those in `chunks`, not yet in one.
    open: Vec<MessageState>,
}

impl Builder {
    /// An old chunk as it is. One that is small enough joins what is open, so that a mailbox
    /// whose messages go one by one does not end as many tiny chunks.
    fn push_chunk(&mut self, chunk: &Arc<Chunk>) {
        let together = self.open.len() + chunk.messages.len();
        if !self.open.is_empty() && together <= limits::SNAPSHOT_CHUNK_MESSAGES / 2 {
            self.open.extend_from_slice(&chunk.messages);
        } else {
            self.close();
            self.place(Arc::clone(chunk));
        }
    }

    /// The messages of an old chunk with what happened to them.
    fn push_changed(&mut self, old: &[MessageState], changed: &[MessageState], vanished: &[Uid]) {
        let mut changed = changed.iter().peekable();
        for state in old {
            while changed.next_if(|newer| newer.uid < state.uid).is_some() {}
            let newer = changed.next_if(|newer| newer.uid == state.uid);
            if vanished.binary_search(&state.uid).is_err() {
                let newer = newer.filter(|newer| newer.modseq.cmp(&state.modseq) != Ordering::Less);
                self.push(newer.unwrap_or(state).clone());
            }
        }
    }

    fn push(&mut self, state: MessageState) {
        if self.open.is_empty() {
            self.reopen();
        }
        if self.open.len() == limits::SNAPSHOT_CHUNK_MESSAGES {
            self.close();
        }
        self.open.push(state);
    }

    /// Takes the last chunk back when it is less than half full, to go on filling it.
    fn reopen(&mut self) {
        let is_small =
            |placed: &mut Placed| placed.chunk.messages.len() < limits::SNAPSHOT_CHUNK_MESSAGES / 2;
        if let Some(placed) = self.chunks.pop_if(is_small) {
            self.open = match Arc::try_unwrap(placed.chunk) {
                Ok(chunk) => chunk.messages,
                Err(shared) => shared.messages.clone(),
            };
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let messages = core::mem::take(&mut self.open);
            self.place(Arc::new(Chunk::new(messages)));
        }
    }

    fn place(&mut self, chunk: Arc<Chunk>) {
        let last = self.chunks.last();
        let before = last.map_or(0, |placed| placed.before + placed.chunk.len());
        self.chunks.push(Placed { before, chunk });
    }

    fn finish(mut self) -> Vec<Placed> {
        self.close();
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::Keyword;

    fn uid(number: u32) -> Uid {
        Uid::new(number).unwrap()
    }

    fn state(number: u32, modseq: u64) -> MessageState {
        let system = SystemFlags::from_bits((modseq % 32) as u8);
        let keyword = modseq
            .is_multiple_of(3)
            .then(|| Keyword::new("three").unwrap());
        MessageState {
            uid: uid(number),
            flags: Flags {
                system,
                keywords: keyword.into_iter().collect(),
            },
            modseq: ModSeq(modseq),
        }
    }

    fn filled(count: u32) -> Snapshot {
        Snapshot::default().apply(&Changes {
            modseq: ModSeq(1),
            changed: (1..=count).map(|number| state(number, 1)).collect(),
            ..Changes::default()
        })
    }

    fn shared_chunks(a: &Snapshot, b: &Snapshot) -> usize {
        let is_in_b = |chunk: &Arc<Chunk>| {
            b.chunks
                .iter()
                .any(|other| Arc::ptr_eq(&other.chunk, chunk))
        };
        a.chunks
            .iter()
            .filter(|placed| is_in_b(&placed.chunk))
            .count()
    }

    #[test]
    fn one_change_copies_one_chunk() {
        let before = filled(5 * limits::SNAPSHOT_CHUNK_MESSAGES as u32);
        let changes = [
            Changes {
                changed: alloc::vec![state(700, 2)],
                ..Changes::default()
            },
            Changes {
                vanished: alloc::vec![uid(700)],
                ..Changes::default()
            },
        ];
        for change in changes {
            let after = before.apply(&change);
            assert_eq!(
                (before.chunks.len(), shared_chunks(&before, &after)),
                (5, 4)
            );
        }
    }

    #[test]
    fn mailbox_that_is_emptied_message_by_message_keeps_few_chunks() {
        let mut snapshot = filled(8 * limits::SNAPSHOT_CHUNK_MESSAGES as u32);
        for number in 1..=snapshot.len() {
            if number % 64 != 0 {
                snapshot = snapshot.apply(&Changes {
                    vanished: alloc::vec![uid(number)],
                    ..Changes::default()
                });
            }
        }
        assert_eq!(snapshot.len(), 64);
        assert_eq!(snapshot.chunks.len(), 1);
    }

    #[test]
    fn uids_only_grow() {
        let before = filled(3).apply(&Changes {
            vanished: alloc::vec![uid(2)],
            ..Changes::default()
        });
        let after = before.apply(&Changes {
            changed: alloc::vec![state(2, 9), state(9, 9)],
            ..Changes::default()
        });
        let uids: Vec<u32> = after.iter().map(|(_, state)| state.uid.get()).collect();
        assert_eq!(uids, [1, 3, 9]);
        assert_eq!(after.uid_next(), uid(10));
        assert_eq!(filled(0).uid_next(), Uid::MIN);
    }

    #[test]
    fn older_state_does_not_replace_a_newer_one() {
        let newer = filled(1).apply(&Changes {
            changed: alloc::vec![state(1, 5)],
            ..Changes::default()
        });
        let after = newer.apply(&Changes {
            changed: alloc::vec![state(1, 4)],
            ..Changes::default()
        });
        assert_eq!(after.find(uid(1)).unwrap().1, &state(1, 5));
    }

    #[test]
    fn keywords_shown_are_bounded() {
        let keyword = |number: u32| Keyword::new(&alloc::format!("k{number:04}")).unwrap();
        let states = (1..=limits::MAILBOX_KEYWORDS_SHOWN as u32 + 10).map(|number| MessageState {
            flags: Flags {
                keywords: [keyword(number)].into_iter().collect(),
                ..Flags::default()
            },
            ..state(number, 1)
        });
        let snapshot = Snapshot::default().apply(&Changes {
            changed: states.collect(),
            ..Changes::default()
        });
        assert_eq!(snapshot.keywords().len(), limits::MAILBOX_KEYWORDS_SHOWN);
    }

    #[derive(Clone, Debug)]
    struct Step {
        arrived: u32,
        changed: BTreeSet<u32>,
        vanished: BTreeSet<u32>,
    }

    fn step() -> impl Strategy<Value = Step> {
        let some = || proptest::collection::btree_set(1u32..2000, 0..12);
        let arrived = prop_oneof![0u32..4, 0u32..700];
        let many = (1u32..2000, 0u32..600).prop_map(|(from, count)| (from..from + count).collect());
        (arrived, some(), prop_oneof![some(), many]).prop_map(|(arrived, changed, vanished)| Step {
            arrived,
            changed,
            vanished,
        })
    }

    /// Takes the step in the model, and says what it changed.
    fn take(
        step: &Step,
        model: &mut BTreeMap<u32, MessageState>,
        next: &mut u32,
        modseq: u64,
    ) -> Changes {
        let changed: Vec<u32> = step
            .changed
            .iter()
            .copied()
            .filter(|number| model.contains_key(number))
            .collect();
        let arrived = *next..*next + step.arrived;
        *next += step.arrived;
        let vanished: Vec<u32> = step
            .vanished
            .iter()
            .copied()
            .filter(|number| model.contains_key(number))
            .collect();
        let changed: Vec<u32> = changed
            .into_iter()
            .filter(|number| !vanished.contains(number))
            .chain(arrived)
            .collect();
        for &number in &changed {
            model.insert(number, state(number, modseq + u64::from(number)));
        }
        for number in &vanished {
            model.remove(number);
        }
        Changes {
            modseq: ModSeq(modseq),
            changed: changed.iter().map(|number| model[number].clone()).collect(),
            vanished: vanished.into_iter().map(uid).collect(),
            uid_next: Uid::new(*next),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]
        #[test]
        fn behaves_as_a_map_from_uid_to_state(steps in proptest::collection::vec(step(), 1..12)) {
            let (mut model, mut next, mut snapshot) = (BTreeMap::new(), 1, Snapshot::default());
            for (index, step) in steps.iter().enumerate() {
                let modseq = (index as u64 + 1) * 10_000;
                let changes = take(step, &mut model, &mut next, modseq);
                snapshot = snapshot.apply(&changes);
                prop_assert_eq!(snapshot.modseq(), ModSeq(modseq));
                prop_assert_eq!(snapshot.uid_next(), uid(next));
                prop_assert_eq!(snapshot.len() as usize, model.len());
                let both = snapshot.iter().zip(model.values());
                for (index, ((number, seen), expected)) in both.enumerate() {
                    prop_assert_eq!(number.get() as usize, index + 1);
                    prop_assert_eq!(seen, expected);
                    prop_assert_eq!(snapshot.get(number), Some(expected));
                    prop_assert_eq!(snapshot.find(expected.uid), Some((number, expected)));
                }
                let beyond = MessageNumber::new(snapshot.len() + 1).unwrap();
                prop_assert_eq!(snapshot.get(beyond), None);
                let first_unseen = model.values().position(is_unseen).map(|index| index as u32 + 1);
                prop_assert_eq!(snapshot.first_unseen().map(MessageNumber::get), first_unseen);
                let unseen_count = model.values().filter(|state| is_unseen(state)).count();
                prop_assert_eq!(snapshot.unseen_count() as usize, unseen_count);
                let has_keyword = model.values().any(|state| !state.flags.keywords.is_empty());
                prop_assert_eq!(snapshot.keywords().len(), usize::from(has_keyword));
                for placed in &snapshot.chunks {
                    let size = placed.chunk.messages.len();
                    prop_assert!((1..=limits::SNAPSHOT_CHUNK_MESSAGES).contains(&size));
                }
                let ranged = snapshot.range(uid(100)..=uid(700)).count();
                prop_assert_eq!(ranged, model.range(100..=700).count());
            }
        }
    }
}
