//! The view, model-tested: a client that knows nothing but untagged responses, against a mailbox
//! that others change all the time.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;
use rmail_proto::{
    Flags, MessageNumber, ModSeq, SystemFlags, Uid,
    imap::{Changes, MessageState, Snapshot, StoreMode, Telling, UidSet, Update, View},
};

fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

fn number(number: usize) -> MessageNumber {
    MessageNumber::new(number as u32).unwrap()
}

/// The mailbox as it is.
struct Mailbox {
    messages: BTreeMap<u32, MessageState>,
    uid_next: u32,
    modseq: u64,
    snapshot: Arc<Snapshot>,
}

impl Mailbox {
    fn new(count: u32) -> Self {
        let mut mailbox = Self {
            messages: BTreeMap::new(),
            uid_next: 1,
            modseq: 1,
            snapshot: Arc::default(),
        };
        mailbox.arrive(count);
        mailbox
    }

    fn arrive(&mut self, count: u32) -> UidSet {
        let uids: Vec<u32> = (self.uid_next..self.uid_next + count).collect();
        self.uid_next += count;
        self.write(&uids, |_| Flags::default());
        uids.into_iter().map(uid).collect()
    }

    fn write(&mut self, uids: &[u32], flags: impl Fn(&Flags) -> Flags) {
        self.modseq += 1;
        let changed = uids.iter().map(|&number| {
            let before = self.messages.get(&number);
            let before = before.map_or_else(Flags::default, |state| state.flags.clone());
            MessageState {
                uid: uid(number),
                flags: flags(&before),
                modseq: ModSeq(self.modseq),
            }
        });
        let changed: Vec<MessageState> = changed.collect();
        let states = changed.iter().map(|state| (state.uid.get(), state.clone()));
        self.messages.extend(states);
        self.apply(changed, Vec::new());
    }

    fn vanish(&mut self, uids: &[u32]) {
        self.modseq += 1;
        for number in uids {
            self.messages.remove(number);
        }
        self.apply(Vec::new(), uids.iter().map(|&number| uid(number)).collect());
    }

    fn apply(&mut self, changed: Vec<MessageState>, vanished: Vec<Uid>) {
        self.snapshot = Arc::new(self.snapshot.apply(&Changes {
            modseq: ModSeq(self.modseq),
            changed,
            vanished,
            uid_next: Uid::new(self.uid_next),
        }));
    }

    /// Those of the UIDs that are there.
    fn present(&self, uids: &[u32]) -> Vec<u32> {
        let present = uids.iter().copied();
        present
            .filter(|number| self.messages.contains_key(number))
            .collect()
    }
}

/// What a client knows of one message: nothing after EXISTS, until it fetches.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    uid: Option<Uid>,
    flags: Option<Flags>,
    modseq: Option<ModSeq>,
}

#[derive(Default)]
struct Client {
    messages: Vec<Known>,
    recent: u32,
}

impl Client {
    fn hear(&mut self, update: Update, telling: &Telling) {
        match update {
            Update::Keywords(_) => {}
            Update::Expunge(number) => {
                assert!(telling.expunges, "EXPUNGE where it may not be sent");
                self.messages.remove(number.get() as usize - 1);
            }
            Update::Fetch {
                number,
                uid,
                flags,
                modseq,
                ..
            } => {
                let known = &mut self.messages[number.get() as usize - 1];
                assert!(known.uid.is_none_or(|known| known == uid));
                known.uid = Some(uid);
                known.flags = flags.or(known.flags.take());
                known.modseq = Some(modseq);
            }
            Update::Exists(count) => {
                assert!(
                    count as usize > self.messages.len(),
                    "EXISTS must not shrink"
                );
                self.messages.resize(count as usize, Known::default());
            }
            Update::Recent(count) => self.recent = count,
        }
    }

    /// FETCH (UID FLAGS MODSEQ) for what is not known.
    fn fetch_unknown(&mut self, view: &View) {
        for (index, known) in self.messages.iter_mut().enumerate() {
            if known.flags.is_none() {
                let state = view.told().get(number(index + 1)).expect("it was told of");
                *known = Known {
                    uid: Some(state.uid),
                    flags: Some(state.flags.clone()),
                    modseq: Some(state.modseq),
                };
            }
        }
    }

    fn store(&mut self, uids: &UidSet, mode: StoreMode, changed: &Flags) {
        for known in &mut self.messages {
            if known.uid.is_some_and(|uid| uids.contains(uid)) {
                let flags = known.flags.take().expect("all is fetched");
                known.flags = Some(stored(&flags, mode, changed));
            }
        }
    }

    fn assert_knows(&self, snapshot: &Snapshot, modseqs: bool) {
        assert_eq!(self.messages.len() as u32, snapshot.len());
        for ((_, state), known) in snapshot.iter().zip(&self.messages) {
            assert_eq!(known.uid, Some(state.uid));
            assert_eq!(known.flags.as_ref(), Some(&state.flags));
            if modseqs {
                assert_eq!(known.modseq, Some(state.modseq));
            }
        }
    }
}

fn stored(flags: &Flags, mode: StoreMode, changed: &Flags) -> Flags {
    match mode {
        StoreMode::Replace => changed.clone(),
        StoreMode::Add => flags.with(changed),
        StoreMode::Remove => flags.without(changed),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(u32, bool),
    Vanish(Vec<u32>),
    Change(Vec<u32>, u8),
    /// The session hears of the present state, and says what it may.
    Sync {
        expunges: bool,
        flags_of: Vec<u32>,
    },
    /// STORE.SILENT; somebody else may change the same messages at the same time.
    StoreSilent {
        uids: Vec<u32>,
        mode: StoreMode,
        bits: u8,
        other: Option<u8>,
    },
    /// FETCH BODY[]: `\Seen` is set, and the answer says so.
    Read(Vec<u32>),
}

fn uids() -> impl Strategy<Value = Vec<u32>> {
    let few = proptest::collection::btree_set(1u32..60, 0..8);
    let many = (1u32..900, 0u32..500).prop_map(|(from, count)| (from..from + count).collect());
    prop_oneof![6 => few, 1 => many].prop_map(|uids| uids.into_iter().collect())
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![
        Just(StoreMode::Replace),
        Just(StoreMode::Add),
        Just(StoreMode::Remove)
    ];
    let count = prop_oneof![6 => 0u32..4, 1 => 0u32..600];
    prop_oneof![
        (count, any::<bool>()).prop_map(|(count, recent)| Step::Arrive(count, recent)),
        uids().prop_map(Step::Vanish),
        (uids(), 0u8..32).prop_map(|(uids, bits)| Step::Change(uids, bits)),
        (any::<bool>(), uids()).prop_map(|(expunges, flags_of)| Step::Sync { expunges, flags_of }),
        (uids(), mode, 0u8..32, proptest::option::of(0u8..32)).prop_map(
            |(uids, mode, bits, other)| Step::StoreSilent {
                uids,
                mode,
                bits,
                other
            }
        ),
        uids().prop_map(Step::Read),
    ]
}

fn flags(bits: u8) -> Flags {
    Flags::system(SystemFlags::from_bits(bits))
}

/// One session with its client.
struct Session {
    mailbox: Mailbox,
    view: View,
    client: Client,
    recent: UidSet,
    modseqs: bool,
}

impl Session {
    fn new(count: u32, modseqs: bool) -> Self {
        let mailbox = Mailbox::new(count);
        let view = View::new(Arc::clone(&mailbox.snapshot), UidSet::EMPTY);
        let mut client = Client::default();
        client.messages.resize(count as usize, Known::default());
        client.fetch_unknown(&view);
        Self {
            mailbox,
            view,
            client,
            recent: UidSet::EMPTY,
            modseqs,
        }
    }

    fn sync(&mut self, expunges: bool, flags_of: UidSet) {
        let recent = core::mem::take(&mut self.recent);
        self.view.learn(Arc::clone(&self.mailbox.snapshot), &recent);
        let telling = Telling {
            expunges,
            modseqs: self.modseqs,
            flags_of,
        };
        let updates: Vec<Update> = self.view.sync(&telling).collect();
        let said = |uid: Uid| {
            let of_uid = updates.iter().filter(|update| {
                matches!(update, Update::Fetch { uid: said, flags: Some(_), .. } if *said == uid)
            });
            of_uid.count()
        };
        for uid in telling.flags_of.iter().collect::<Vec<Uid>>() {
            let told = self.view.told().find(uid).is_some();
            let present = self.view.latest().find(uid).is_some();
            let is_new = self
                .client
                .messages
                .iter()
                .all(|known| known.uid != Some(uid));
            assert_eq!(
                said(uid),
                usize::from(told && present && !is_new),
                "STORE answers for {uid:?}"
            );
        }
        for update in updates {
            self.client.hear(update, &telling);
        }
        self.client.fetch_unknown(&self.view);
        self.client.assert_knows(self.view.told(), self.modseqs);
        let is_recent = |known: &&Known| {
            known
                .uid
                .is_some_and(|uid| self.view.recent().contains(uid))
        };
        let recent = self.client.messages.iter().filter(is_recent).count();
        assert_eq!(self.client.recent as usize, recent);
        if expunges {
            assert!(self.view.is_current());
            self.client
                .assert_knows(&self.mailbox.snapshot, self.modseqs);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Arrive(count, is_recent) => {
                let uids = self.mailbox.arrive(*count);
                if *is_recent {
                    self.recent = self.recent.union(&uids);
                }
            }
            Step::Vanish(uids) => self.mailbox.vanish(&self.mailbox.present(uids)),
            Step::Change(uids, bits) => {
                let uids = self.mailbox.present(uids);
                self.mailbox.write(&uids, |_| flags(*bits));
            }
            Step::Sync { expunges, flags_of } => {
                self.sync(
                    *expunges,
                    flags_of.iter().map(|&number| uid(number)).collect(),
                );
            }
            Step::StoreSilent {
                uids,
                mode,
                bits,
                other,
            } => {
                let set = uids.iter().map(|&number| uid(number)).collect();
                let set = self.view.known(&set);
                let known: Vec<u32> = set.iter().map(Uid::get).collect();
                let known = self.mailbox.present(&known);
                self.mailbox
                    .write(&known, |before| stored(before, *mode, &flags(*bits)));
                if let Some(other) = other {
                    self.mailbox.write(&known, |_| flags(*other));
                }
                self.client.store(&set, *mode, &flags(*bits));
                self.view
                    .learn(Arc::clone(&self.mailbox.snapshot), &UidSet::EMPTY);
                self.view.expect_stored(&set, *mode, &flags(*bits));
                self.client.assert_knows(self.view.told(), false);
            }
            Step::Read(uids) => self.read(uids),
        }
    }

    fn read(&mut self, uids: &[u32]) {
        let set = self
            .view
            .known(&uids.iter().map(|&number| uid(number)).collect());
        let known: Vec<u32> = set.iter().map(Uid::get).collect();
        let seen = Flags::system(SystemFlags::SEEN);
        let known = self.mailbox.present(&known);
        self.mailbox.write(&known, |before| before.with(&seen));
        self.view
            .learn(Arc::clone(&self.mailbox.snapshot), &UidSet::EMPTY);
        self.view.adopt(&set);
        for known in &mut self.client.messages {
            let uid = known.uid.expect("all is fetched");
            if set.contains(uid) {
                let (_, state) = self.view.told().find(uid).expect("it was told of");
                (known.flags, known.modseq) = (Some(state.flags.clone()), Some(state.modseq));
            }
        }
        self.client.assert_knows(self.view.told(), false);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn client_that_hears_untagged_responses_alone_knows_the_told_view(
        count in prop_oneof![6 => 0u32..40, 1 => 0u32..1200],
        modseqs: bool,
        steps in proptest::collection::vec(step(), 0..40),
    ) {
        let mut session = Session::new(count, modseqs);
        for step in &steps {
            session.take(step);
        }
        session.sync(false, UidSet::EMPTY);
        session.sync(true, UidSet::EMPTY);
    }
}

#[test]
fn message_that_went_keeps_its_number_until_it_may_be_said() {
    let mut session = Session::new(3, false);
    session.mailbox.vanish(&[1]);
    session.sync(false, UidSet::EMPTY);
    assert_eq!(session.view.told().len(), 3);
    assert!(session.view.has_gone(&UidSet::from(uid(1)..=uid(2))));
    assert!(!session.view.has_gone(&UidSet::from(uid(2)..=uid(3))));
    let range = session.view.uids_numbered(number(3), number(2));
    assert_eq!(range, Some(uid(2)..=uid(3)));
    session.sync(true, UidSet::EMPTY);
    assert_eq!(session.view.uids_numbered(number(3), number(2)), None);
}

#[test]
fn own_silent_store_is_not_told_and_the_change_of_another_is() {
    let mut session = Session::new(2, false);
    let seen = Flags::system(SystemFlags::SEEN);
    let both = UidSet::from(uid(1)..=uid(2));
    session.mailbox.write(&[1, 2], |_| seen.clone());
    session.mailbox.write(&[2], |_| flags(4));
    session
        .view
        .learn(Arc::clone(&session.mailbox.snapshot), &UidSet::EMPTY);
    session.view.expect_stored(&both, StoreMode::Add, &seen);
    let updates: Vec<Update> = session.view.sync(&Telling::default()).collect();
    let said: Vec<u32> = updates
        .iter()
        .map(|update| match update {
            Update::Fetch { uid, .. } => uid.get(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(said, [2]);
}

#[test]
fn new_keyword_is_named_before_the_first_message_that_has_it() {
    let mut session = Session::new(1, false);
    let keyword = rmail_proto::Keyword::new("$Forwarded").unwrap();
    let keywords = [keyword].into_iter().collect();
    let changed = Flags {
        keywords,
        ..Flags::default()
    };
    session.mailbox.write(&[1], |_| changed.clone());
    session
        .view
        .learn(Arc::clone(&session.mailbox.snapshot), &UidSet::EMPTY);
    let updates: Vec<Update> = session.view.sync(&Telling::default()).collect();
    assert!(matches!(
        updates[..],
        [Update::Keywords(_), Update::Fetch { .. }]
    ));
}

#[test]
fn view_with_nothing_to_tell_is_the_shared_snapshot() {
    let mut session = Session::new(1000, false);
    session.mailbox.vanish(&[7]);
    session.sync(false, UidSet::EMPTY);
    assert!(!session.view.is_current());
    session.sync(true, UidSet::EMPTY);
    assert!(core::ptr::eq(session.view.told(), session.view.latest()));
    assert!(core::ptr::eq(
        session.view.told(),
        &*session.mailbox.snapshot
    ));
}
