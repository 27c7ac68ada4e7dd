//! SEARCH.

use bytes::Bytes;
use rmail_proto::{
    AccountId, Flags, MailboxId, ModSeq, Uid,
    imap::{
        Changes, MessageState, SearchKey, Snapshot, UidSet,
        wire::{CommandBody, CommandReader, Progress, SearchContext, SequenceSet},
    },
    mime::Scanner,
};
use rmail_server::search::{self, Place};

use super::store::OneMessage;

/// A session that sees one message.
struct One;

impl SearchContext for One {
    fn numbers(&self, numbers: &SequenceSet) -> UidSet {
        self.uids(numbers)
    }

    fn uids(&self, uids: &SequenceSet) -> UidSet {
        let found = uids.resolve(1).iter().any(|range| range.contains(&1));
        found.then_some(Uid::MIN).into_iter().collect()
    }

    fn recent(&self) -> UidSet {
        std::iter::once(Uid::MIN).collect()
    }
}

/// The first line is a SEARCH, the rest a message. Whether it matches does not depend on how the
/// message comes, NOT and OR are what they are in logic, and what BODY finds TEXT does, too.
pub(crate) fn search(input: &[u8]) {
    let line_end = input.iter().position(|&byte| byte == b'\n');
    let (line, message) = input.split_at(line_end.map_or(input.len(), |index| index + 1));
    let wire = [b"t SEARCH ", line.trim_ascii_end(), b"\r\n"].concat();
    let (_, Progress::Command(command)) = CommandReader::default().handle_input(&wire) else {
        return;
    };
    let CommandBody::Search { criteria, .. } = command.body else {
        return;
    };
    let key = criteria.resolve(&One);
    let mut scanner = Scanner::new();
    scanner.handle_input(message);
    let mut store = OneMessage {
        content: Bytes::copy_from_slice(message),
        summary: scanner.finish(),
        inline: true,
    };
    let found = matches(&store, &key);
    assert_eq!(matches(&store, &not(key.clone())), !found);
    assert!(matches(
        &store,
        &SearchKey::Or(Box::new(key.clone()), Box::new(not(key.clone())))
    ));
    assert!(!matches(
        &store,
        &SearchKey::And(vec![not(key.clone()), key.clone()])
    ));
    if let SearchKey::Body(text) = &key {
        assert!(!found || matches(&store, &SearchKey::Text(text.clone())));
    }
    if let SearchKey::Header(_, text) = &key {
        assert!(!found || matches(&store, &SearchKey::Text(text.clone())));
    }
    store.inline = false;
    assert_eq!(matches(&store, &key), found);
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn matches(store: &OneMessage, key: &SearchKey) -> bool {
    let state = MessageState {
        uid: Uid::MIN,
        flags: Flags::default(),
        modseq: ModSeq(1),
    };
    let snapshot = Snapshot::default().apply(&Changes {
        modseq: ModSeq(1),
        changed: vec![state],
        ..Changes::default()
    });
    let place = Place {
        store,
        account: AccountId(1),
        mailbox: MailboxId(1),
    };
    let uids = std::iter::once(Uid::MIN).collect();
    let found = search::search(&place, &snapshot, &uids, key);
    !found.expect("this store always answers").is_empty()
}
