//! Random operations of two processes against a model of what mailboxes are.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    AccountId, Flags, MailboxId, ModSeq, SystemFlags,
    imap::{StoreMode, UidSet},
};
use rmail_store::{AccountWrite, MailboxRef, SqliteStore, Store};

use crate::world::{World, id_of, make_account, message, uid, uid_set, write};

const NAMES: [&str; 2] = ["INBOX", "Sent"];

#[derive(Clone, Debug)]
enum Step {
    Save {
        mailbox: usize,
        flags: u8,
    },
    Flags {
        mailbox: usize,
        uids: Vec<u32>,
        mode: StoreMode,
        flags: u8,
    },
    Copy {
        source: usize,
        uids: Vec<u32>,
        target: usize,
    },
    Move {
        source: usize,
        uids: Vec<u32>,
        target: usize,
    },
    Expunge {
        mailbox: usize,
        uids: Option<Vec<u32>>,
    },
    Restart,
}

/// A mailbox: flags by UID.
#[derive(Clone, Debug)]
struct Model {
    messages: BTreeMap<u32, SystemFlags>,
    uid_next: u32,
}

impl Model {
    fn add(&mut self, flags: SystemFlags) {
        self.messages.insert(self.uid_next, flags);
        self.uid_next += 1;
    }

    fn flags_of(&self, uids: &[u32]) -> Vec<(u32, SystemFlags)> {
        let chosen = self.messages.iter().filter(|(uid, _)| uids.contains(uid));
        chosen.map(|(&uid, &flags)| (uid, flags)).collect()
    }
}

fn apply(models: &mut [Model; 2], step: &Step) {
    match step {
        Step::Save { mailbox, flags } => models[*mailbox].add(SystemFlags::from_bits(*flags)),
        Step::Flags {
            mailbox,
            uids,
            mode,
            flags,
        } => {
            let flags = SystemFlags::from_bits(*flags);
            for (uid, old) in models[*mailbox].flags_of(uids) {
                let new = match mode {
                    StoreMode::Replace => flags,
                    StoreMode::Add => old | flags,
                    StoreMode::Remove => old.without(flags),
                };
                models[*mailbox].messages.insert(uid, new);
            }
        }
        Step::Copy {
            source,
            uids,
            target,
        } => {
            for (_, flags) in models[*source].flags_of(uids) {
                models[*target].add(flags);
            }
        }
        Step::Move {
            source,
            uids,
            target,
        } => {
            for (uid, flags) in models[*source].flags_of(uids) {
                models[*source].messages.remove(&uid);
                models[*target].add(flags);
            }
        }
        Step::Expunge { mailbox, uids } => models[*mailbox].messages.retain(|uid, flags| {
            let named = uids.as_ref().is_none_or(|uids| uids.contains(uid));
            !(named && flags.contains(SystemFlags::DELETED))
        }),
        Step::Restart => {}
    }
}

fn operation(step: &Step, ids: [MailboxId; 2]) -> Option<AccountWrite> {
    let set = |uids: &Vec<u32>| -> UidSet { uid_set(uids) };
    Some(match step {
        Step::Save { mailbox, flags } => {
            let mut saved = message("text");
            saved.flags = Flags::system(SystemFlags::from_bits(*flags));
            AccountWrite::Save {
                mailbox: MailboxRef::Id(ids[*mailbox]),
                messages: vec![saved],
            }
        }
        Step::Flags {
            mailbox,
            uids,
            mode,
            flags,
        } => AccountWrite::StoreFlags {
            mailbox: ids[*mailbox],
            uids: set(uids),
            mode: *mode,
            flags: Flags::system(SystemFlags::from_bits(*flags)),
            unchanged_since: None,
        },
        Step::Copy {
            source,
            uids,
            target,
        } => AccountWrite::Copy {
            source: ids[*source],
            uids: set(uids),
            target: MailboxRef::Id(ids[*target]),
        },
        Step::Move {
            source,
            uids,
            target,
        } => AccountWrite::Move {
            source: ids[*source],
            uids: set(uids),
            target: MailboxRef::Id(ids[*target]),
        },
        Step::Expunge { mailbox, uids } => AccountWrite::Expunge {
            mailbox: ids[*mailbox],
            uids: uids.as_ref().map(set),
        },
        Step::Restart => return None,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let uids = || vec(1_u32..12, 0..5);
    let mode = prop_oneof![
        Just(StoreMode::Replace),
        Just(StoreMode::Add),
        Just(StoreMode::Remove)
    ];
    let step = prop_oneof![
        4 => (0..2_usize, 0..32_u8).prop_map(|(mailbox, flags)| Step::Save { mailbox, flags }),
        3 => (0..2_usize, uids(), mode, 0..32_u8).prop_map(|(mailbox, uids, mode, flags)| {
            Step::Flags { mailbox, uids, mode, flags }
        }),
        1 => (0..2_usize, uids(), 0..2_usize)
            .prop_map(|(source, uids, target)| Step::Copy { source, uids, target }),
        2 => (0..2_usize, uids(), 0..2_usize)
            .prop_map(|(source, uids, target)| Step::Move { source, uids, target }),
        2 => (0..2_usize, proptest::option::of(uids()))
            .prop_map(|(mailbox, uids)| Step::Expunge { mailbox, uids }),
        1 => Just(Step::Restart),
    ];
    vec(step, 1..30)
}

/// What a client knows that learns of changes alone.
#[derive(Default)]
struct Follower {
    messages: BTreeMap<u32, SystemFlags>,
    modseq: ModSeq,
}

impl Follower {
    fn catch_up(&mut self, store: &SqliteStore, account: AccountId, mailbox: MailboxId) {
        let changes = store
            .changes(account, mailbox, self.modseq)
            .expect("it reads");
        assert!(changes.modseq >= self.modseq);
        self.modseq = changes.modseq;
        for state in changes.changed {
            self.messages.insert(state.uid.get(), state.flags.system);
        }
        for uid in changes.vanished {
            self.messages.remove(&uid.get());
        }
    }
}

fn check(store: &SqliteStore, account: AccountId, mailbox: MailboxId, model: &Model) {
    let reference = MailboxRef::Id(mailbox);
    let state = store.mailbox_state(account, &reference).expect("it reads");
    let states = state.changes.changed.iter();
    let found: BTreeMap<u32, SystemFlags> = states
        .map(|state| (state.uid.get(), state.flags.system))
        .collect();
    assert_eq!(found, model.messages);
    assert_eq!(state.changes.uid_next, Some(uid(model.uid_next)));
    let status = store.status(account, &reference).expect("it reads");
    let unseen = model
        .messages
        .values()
        .filter(|flags| !flags.contains(SystemFlags::SEEN));
    assert_eq!(status.messages as usize, model.messages.len());
    assert_eq!(status.unseen as usize, unseen.count());
    assert_eq!(
        status.size_bytes as usize,
        model.messages.len() * "text".len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn mailboxes_are_what_the_model_says(steps in steps()) {
        let world = World::new();
        let mut stores = [world.open(), world.open()];
        let account = make_account(&stores[0], "ann@example.com");
        let ids = NAMES.map(|name| id_of(&stores[0], account, name));
        let empty = Model { messages: BTreeMap::new(), uid_next: 1 };
        let mut models = [empty.clone(), empty];
        let mut followers = [Follower::default(), Follower::default()];
        for (index, step) in steps.iter().enumerate() {
            let store = &mut stores[index % 2];
            match operation(step, ids) {
                Some(operation) => {
                    write(store, account, operation).expect("nothing can fail");
                }
                None => *store = world.open(),
            }
            apply(&mut models, step);
            for mailbox in 0..2 {
                // Now and then it is the other process that looks.
                let store = &stores[index / 2 % 2];
                check(store, account, ids[mailbox], &models[mailbox]);
                // One of the two looks less often.
                if mailbox == 0 || index % 3 == 0 {
                    followers[mailbox].catch_up(store, account, ids[mailbox]);
                    prop_assert_eq!(&followers[mailbox].messages, &models[mailbox].messages);
                }
            }
        }
    }
}
