//! Messages: saving, flags, copies, moves, expunging, reading.

use rmail_proto::{
    AccountId, Flags, Keyword, MailboxId, ModSeq, SystemFlags, ThreadId, Uid,
    imap::{Changes, Columns, MessageData, StoreMode, UidSet},
};
use rmail_store::{AccountWrite, AccountWritten, SqliteStore, Store, StoreError, limits};

use crate::world::{
    NOW, World, delete_messages, id_of, make_account, message, modseq_of, named, save, uid,
    uid_set, uids_in, write,
};

const EVERYTHING: Columns = Columns {
    envelope: true,
    body_structure: true,
    parts: true,
    header: true,
    content: true,
};

struct Ann {
    store: SqliteStore,
    account: AccountId,
    inbox: MailboxId,
    _world: World,
}

fn ann() -> Ann {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    Ann {
        inbox: id_of(&store, account, "INBOX"),
        store,
        account,
        _world: world,
    }
}

impl Ann {
    fn save(&self, text: &str) -> Uid {
        save(&self.store, self.account, "INBOX", text)
    }

    fn write(&self, operation: AccountWrite) -> Result<AccountWritten, StoreError> {
        write(&self.store, self.account, operation)
    }

    fn store_flags(
        &self,
        uids: &[u32],
        mode: StoreMode,
        flags: Flags,
        unchanged_since: Option<ModSeq>,
    ) -> AccountWritten {
        let store_flags = AccountWrite::StoreFlags {
            mailbox: self.inbox,
            uids: uid_set(uids),
            mode,
            flags,
            unchanged_since,
        };
        self.write(store_flags).expect("it stores")
    }

    fn modseq(&self) -> ModSeq {
        modseq_of(&self.store, self.account, "INBOX")
    }

    fn changes(&self, since: ModSeq) -> Changes {
        let changes = self.store.changes(self.account, self.inbox, since);
        changes.expect("it reads")
    }

    fn read_one(&self, number: u32) -> MessageData {
        let (mut messages, answered) = self.read_all(&[number], 1_000_000);
        assert_eq!((messages.len(), answered), (1, 1));
        messages.remove(0)
    }

    fn read_all(&self, uids: &[u32], bytes_max: usize) -> (Vec<MessageData>, usize) {
        let uids: Vec<Uid> = uids.iter().map(|&number| uid(number)).collect();
        let read = self
            .store
            .messages(self.account, self.inbox, &uids, EVERYTHING, bytes_max);
        read.expect("it reads")
    }

    fn thread_of(&self, number: u32) -> ThreadId {
        self.read_one(number).thread_id
    }
}

fn seen() -> Flags {
    Flags::system(SystemFlags::SEEN)
}

#[test]
fn a_saved_message_comes_back_as_it_was() {
    let ann = ann();
    let text = "Subject: hi\r\n\r\nthe text\r\n";
    let uid = ann.save(text);
    let data = ann.read_one(uid.get());
    let sent = message(text);
    assert_eq!(data.content.as_deref(), Some(text.as_bytes()));
    assert_eq!(&data.header[..], b"Subject: hi\r\n\r\n");
    assert_eq!(data.size_bytes, text.len() as u64);
    assert_eq!(data.internal_date, sent.internal_date);
    assert_eq!(&data.envelope[..], &sent.summary.envelope[..]);
    assert_eq!(&data.body[..], &sent.summary.body[..]);
    assert_eq!(&data.body_structure[..], &sent.summary.body_structure[..]);
    assert_eq!(&data.parts[..], &sent.summary.parts[..]);
}

#[test]
fn columns_that_are_not_asked_for_are_absent() {
    let ann = ann();
    ann.save("Subject: hi\r\n\r\nthe text\r\n");
    let columns = Columns {
        envelope: true,
        ..Columns::default()
    };
    let read = ann
        .store
        .messages(ann.account, ann.inbox, &[uid(1)], columns, 0);
    let (messages, _) = read.expect("it reads");
    assert!(!messages[0].envelope.is_empty());
    assert!(messages[0].body.is_empty() && messages[0].header.is_empty());
    assert_eq!(messages[0].content, None);
}

#[test]
fn a_piece_is_shorter_at_the_end_only() {
    let ann = ann();
    ann.save("0123456789");
    let piece = |offset, length| {
        let read = ann
            .store
            .read(ann.account, ann.inbox, uid(1), offset, length);
        let bytes = read.expect("it reads").expect("it is there");
        String::from_utf8(bytes.to_vec()).expect("it is text")
    };
    assert_eq!(piece(0, 4), "0123");
    assert_eq!(piece(8, 4), "89");
    assert_eq!(piece(10, 4), "");
    assert_eq!(piece(1_000, 4), "");
    let gone = ann.store.read(ann.account, ann.inbox, uid(2), 0, 4);
    assert_eq!(gone, Ok(None));
}

#[test]
fn contents_stop_at_the_bound_but_one_message_always_comes() {
    let ann = ann();
    for _ in 0..6 {
        ann.save(&"x".repeat(1_000));
    }
    delete_messages(&ann.store, ann.account, "INBOX", &[2]);
    let (messages, answered) = ann.read_all(&[1, 2, 3, 5, 6], 2_100);
    let uids: Vec<u32> = messages.iter().map(|data| data.uid.get()).collect();
    assert_eq!((uids, answered), (vec![1, 3], 3));
    let (messages, answered) = ann.read_all(&[5, 6], 10);
    assert_eq!((messages.len(), answered), (1, 1));
    assert_eq!(messages[0].content, None);
    let (messages, answered) = ann.read_all(&[2, 9], 10);
    assert_eq!((messages.len(), answered), (0, 2));
}

#[test]
fn messages_come_in_the_order_asked() {
    let ann = ann();
    for text in ["one", "two", "three", "four"] {
        ann.save(text);
    }
    let (messages, answered) = ann.read_all(&[4, 2, 3, 1], 1_000);
    let uids: Vec<u32> = messages.iter().map(|data| data.uid.get()).collect();
    assert_eq!((uids, answered), (vec![4, 2, 3, 1], 4));
}

#[test]
fn delivered_twice_is_there_once() {
    let ann = ann();
    let deliver = || AccountWrite::Deliver {
        spool: rmail_store::SpoolId(7),
        message: message("one"),
    };
    let first = ann.write(deliver()).expect("it is delivered");
    let second = ann.write(deliver()).expect("it was delivered");
    assert_eq!(first, second);
    assert_eq!(uids_in(&ann.store, ann.account, "INBOX"), [1]);
}

#[test]
fn a_delivery_is_forgotten_after_a_month_and_not_before() {
    let ann = ann();
    let deliver = |spool, seconds| {
        let deliver = AccountWrite::Deliver {
            spool: rmail_store::SpoolId(spool),
            message: message("one"),
        };
        let now = rmail_proto::UnixTime(NOW.0 + seconds);
        let written = ann
            .store
            .write_account(now, ann.account, vec![deliver], &[]);
        written
            .expect("it writes")
            .results
            .remove(0)
            .expect("it is delivered");
        uids_in(&ann.store, ann.account, "INBOX").len()
    };
    let month = limits::DELIVERED_KEPT.as_secs() as i64;
    let pruning = u64::from(limits::DELIVERED_PRUNED);
    assert_eq!(deliver(1, 0), 1);
    assert_eq!(deliver(pruning, month), 2);
    assert_eq!(deliver(1, month), 2);
    assert_eq!(deliver(2 * pruning, month + 1), 3);
    assert_eq!(deliver(1, month + 1), 4);
}

#[test]
fn changes_are_complete_where_single_removals_are_forgotten() {
    let ann = ann();
    ann.save("one");
    let since = ann.modseq();
    let mut count = 1;
    while count <= 2 * limits::TOMBSTONES_MAX {
        let all = UidSet::from(Uid::MIN..=Uid::MAX);
        let copy = AccountWrite::Copy {
            source: ann.inbox,
            uids: all,
            target: named("INBOX"),
        };
        ann.write(copy).expect("it copies");
        count *= 2;
    }
    let deleted = Flags::system(SystemFlags::DELETED);
    let before_last: UidSet = (1..count).filter_map(Uid::new).collect();
    let store_flags = AccountWrite::StoreFlags {
        mailbox: ann.inbox,
        uids: before_last,
        mode: StoreMode::Add,
        flags: deleted,
        unchanged_since: None,
    };
    ann.write(store_flags).expect("it stores");
    let (mailbox, uids) = (ann.inbox, None);
    ann.write(AccountWrite::Expunge { mailbox, uids })
        .expect("it expunges");
    let changes = ann.changes(since);
    assert_eq!(changes.vanished.len(), count as usize - 1);
    let changed: Vec<u32> = changes
        .changed
        .iter()
        .map(|state| state.uid.get())
        .collect();
    assert_eq!(changed, [count]);
    assert_eq!(ann.changes(ann.modseq()).vanished, []);
}

#[test]
fn flags_that_do_not_change_have_no_new_modseq() {
    let ann = ann();
    ann.save("one");
    ann.save("two");
    ann.store_flags(&[1], StoreMode::Add, seen(), None);
    let before = ann.modseq();
    ann.store_flags(&[1], StoreMode::Add, seen(), None);
    assert_eq!(ann.modseq(), before);
    ann.store_flags(&[1, 2, 77], StoreMode::Add, seen(), None);
    let changes = ann.changes(before);
    let changed: Vec<u32> = changes
        .changed
        .iter()
        .map(|state| state.uid.get())
        .collect();
    assert_eq!(changed, [2]);
}

#[test]
fn the_three_modes_replace_add_and_remove() {
    let ann = ann();
    ann.save("one");
    let keyword = Keyword::new("$Label").expect("it is an atom");
    let flags = Flags {
        system: SystemFlags::FLAGGED,
        keywords: [keyword].into_iter().collect(),
    };
    let now_has = |expected: &Flags| {
        let state = ann.store.mailbox_state(ann.account, &named("INBOX"));
        assert_eq!(&state.expect("it reads").changes.changed[0].flags, expected);
    };
    ann.store_flags(&[1], StoreMode::Add, flags.clone(), None);
    now_has(&flags);
    ann.store_flags(&[1], StoreMode::Add, seen(), None);
    now_has(&flags.with(&seen()));
    ann.store_flags(&[1], StoreMode::Remove, flags.clone(), None);
    now_has(&seen());
    ann.store_flags(&[1], StoreMode::Replace, flags.clone(), None);
    now_has(&flags);
}

#[test]
fn a_message_has_a_bounded_number_of_keywords() {
    let ann = ann();
    ann.save("one");
    let keywords = (0..=rmail_proto::Keywords::COUNT_MAX)
        .map(|number| Keyword::new(&format!("k{number}")).expect("it is an atom"));
    let too_many = Flags {
        system: SystemFlags::NONE,
        keywords: keywords.collect(),
    };
    let store_flags = AccountWrite::StoreFlags {
        mailbox: ann.inbox,
        uids: uid_set(&[1]),
        mode: StoreMode::Add,
        flags: too_many,
        unchanged_since: None,
    };
    assert_eq!(ann.write(store_flags), Err(StoreError::TooMany("keywords")));
}

#[test]
fn messages_changed_since_are_left_alone() {
    let ann = ann();
    ann.save("one");
    ann.save("two");
    let since = ann.modseq();
    ann.store_flags(&[1], StoreMode::Add, seen(), None);
    let flagged = Flags::system(SystemFlags::FLAGGED);
    let written = ann.store_flags(&[1, 2], StoreMode::Add, flagged, Some(since));
    let modified = uid_set(&[1]);
    assert_eq!(written, AccountWritten::Stored { modified });
}

#[test]
fn expunge_takes_deleted_messages_among_those_named() {
    let ann = ann();
    for text in ["one", "two", "three"] {
        ann.save(text);
    }
    let deleted = Flags::system(SystemFlags::DELETED);
    ann.store_flags(&[1, 3], StoreMode::Add, deleted, None);
    let expunge = |uids| AccountWrite::Expunge {
        mailbox: ann.inbox,
        uids,
    };
    let uids = uid_set(&[1]);
    let written = ann
        .write(expunge(Some(uid_set(&[1, 2]))))
        .expect("it expunges");
    assert_eq!(written, AccountWritten::Expunged { uids });
    let uids = uid_set(&[3]);
    let written = ann.write(expunge(None)).expect("it expunges");
    assert_eq!(written, AccountWritten::Expunged { uids });
    assert_eq!(uids_in(&ann.store, ann.account, "INBOX"), [2]);
}

#[test]
fn changes_since_a_modseq_tell_what_came_changed_and_vanished() {
    let ann = ann();
    for text in ["one", "two", "three", "four"] {
        ann.save(text);
    }
    let since = ann.modseq();
    assert_eq!(ann.changes(since).changed, []);
    ann.store_flags(&[2], StoreMode::Add, seen(), None);
    delete_messages(&ann.store, ann.account, "INBOX", &[3, 1]);
    ann.save("five");
    let changes = ann.changes(since);
    let changed: Vec<u32> = changes
        .changed
        .iter()
        .map(|state| state.uid.get())
        .collect();
    assert_eq!(changed, [2, 5]);
    assert_eq!(changes.vanished, [uid(1), uid(3)]);
    assert_eq!(changes.uid_next, Some(uid(6)));
    assert_eq!(changes.modseq, ann.modseq());
}

#[test]
fn copies_share_the_content_and_have_their_own_instance() {
    let ann = ann();
    ann.save("one");
    ann.store_flags(&[1], StoreMode::Add, seen(), None);
    let copy = AccountWrite::Copy {
        source: ann.inbox,
        uids: uid_set(&[1, 50]),
        target: named("INBOX"),
    };
    let copied = ann.write(copy).expect("it copies");
    let AccountWritten::Copied { source, target, .. } = copied else {
        panic!("{copied:?}");
    };
    assert_eq!((source, target), (vec![uid(1)], vec![uid(2)]));
    let (one, two) = (ann.read_one(1), ann.read_one(2));
    assert_eq!((one.email_id, one.thread_id), (two.email_id, two.thread_id));
    assert_eq!(one.internal_date, two.internal_date);
    assert_ne!(one.instance_id, two.instance_id);
    delete_messages(&ann.store, ann.account, "INBOX", &[1]);
    assert_eq!(ann.read_one(2).content.as_deref(), Some(&b"one"[..]));
}

#[test]
fn a_copy_to_nowhere_copies_nothing() {
    let ann = ann();
    ann.save("one");
    let before = ann.modseq();
    let copy = AccountWrite::Copy {
        source: ann.inbox,
        uids: uid_set(&[1]),
        target: named("nowhere"),
    };
    assert_eq!(ann.write(copy), Err(StoreError::NoSuchMailbox));
    assert_eq!(ann.modseq(), before);
}

#[test]
fn a_save_of_several_is_all_or_none() {
    let ann = ann();
    let mut lost = message("two");
    lost.content = rmail_store::Content::Staged(rmail_store::StageId(99));
    let save = AccountWrite::Save {
        mailbox: named("INBOX"),
        messages: vec![message("one"), lost],
    };
    assert_eq!(ann.write(save), Err(StoreError::NoSuchUpload));
    assert!(uids_in(&ann.store, ann.account, "INBOX").is_empty());
}

#[test]
fn a_moved_message_keeps_its_instance_and_vanishes_from_its_source() {
    let ann = ann();
    ann.save("one");
    let before = ann.read_one(1);
    let since = ann.modseq();
    let move_to = |target| AccountWrite::Move {
        source: ann.inbox,
        uids: uid_set(&[1]),
        target: named(target),
    };
    ann.write(move_to("INBOX"))
        .expect("it moves within its mailbox");
    assert_eq!(uids_in(&ann.store, ann.account, "INBOX"), [2]);
    assert_eq!(ann.changes(since).vanished, [uid(1)]);
    let after = ann.read_one(2);
    assert_eq!(before.instance_id, after.instance_id);
    assert_eq!(before.email_id, after.email_id);
}

#[test]
fn status_counts_what_is_there() {
    let ann = ann();
    for text in ["one", "two", "three"] {
        ann.save(text);
    }
    ann.store_flags(&[1, 2], StoreMode::Add, seen(), None);
    let take = AccountWrite::TakeRecent {
        mailbox: ann.inbox,
        first_recent: uid(3),
    };
    ann.write(take).expect("it is taken");
    delete_messages(&ann.store, ann.account, "INBOX", &[2]);
    let status = ann
        .store
        .status(ann.account, &named("INBOX"))
        .expect("it reads");
    assert_eq!((status.messages, status.recent, status.unseen), (2, 1, 1));
    assert_eq!(status.size_bytes, "onethree".len() as u64);
    assert_eq!(status.uid_next, uid(4));
    assert_eq!(ann.store.usage_bytes(ann.account), Ok(status.size_bytes));
}

#[test]
fn a_batch_with_one_failing_operation_keeps_the_others() {
    let ann = ann();
    let save = |mailbox| AccountWrite::Save {
        mailbox: named(mailbox),
        messages: vec![message("one")],
    };
    let batch = vec![save("INBOX"), save("nowhere"), save("Sent")];
    let since = ann.modseq();
    let watched = [(ann.inbox, since), (MailboxId(9), ModSeq(0))];
    let written = ann.store.write_account(NOW, ann.account, batch, &watched);
    let written = written.expect("it writes");
    assert!(written.results[0].is_ok() && written.results[2].is_ok());
    assert_eq!(written.results[1], Err(StoreError::NoSuchMailbox));
    assert_eq!(uids_in(&ann.store, ann.account, "Sent"), [1]);
    let [(mailbox, changes)] = &written.changes[..] else {
        panic!("{:?}", written.changes);
    };
    assert_eq!((*mailbox, changes.changed.len()), (ann.inbox, 1));
}

#[test]
fn watched_mailboxes_that_did_not_change_are_left_out() {
    let ann = ann();
    let watched = [(ann.inbox, ann.modseq())];
    let written = ann
        .store
        .write_account(NOW, ann.account, Vec::new(), &watched);
    assert!(written.expect("it writes").changes.is_empty());
}

#[test]
fn answers_join_the_thread_whichever_comes_first() {
    let ann = ann();
    ann.save("Message-ID: a\r\n\r\n");
    ann.save("Message-ID: b\r\nReferences: a\r\n\r\n");
    ann.save("Message-ID: d\r\nReferences: c\r\n\r\n");
    ann.save("Message-ID: c\r\n\r\n");
    ann.save("Message-ID: x\r\n\r\n");
    ann.save("no id at all\r\n\r\n");
    let threads: Vec<ThreadId> = (1..=6).map(|number| ann.thread_of(number)).collect();
    assert_eq!(threads[0], threads[1]);
    assert_eq!(threads[2], threads[3]);
    assert_ne!(threads[0], threads[2]);
    assert_ne!(threads[4], threads[5]);
    assert_ne!(threads[0], threads[4]);
}

#[test]
fn of_two_threads_that_meet_the_older_goes_on() {
    let ann = ann();
    ann.save("Message-ID: a\r\n\r\n");
    ann.save("Message-ID: b\r\n\r\n");
    ann.save("Message-ID: b\r\nReferences: a\r\n\r\n");
    ann.save("Message-ID: c\r\nReferences: b\r\n\r\n");
    assert_eq!(ann.thread_of(3), ann.thread_of(1));
    assert_eq!(ann.thread_of(4), ann.thread_of(1));
    assert_ne!(ann.thread_of(2), ann.thread_of(1));
}
