//! Lists of messages, messages by id, and what is kept beside them.

use rmail_proto::{
    AccountId, Flags, InstanceId, MailboxId, ModSeq, SystemFlags, Uid, UnixTime,
    imap::{StoreMode, UidSet},
};
use rmail_store::{
    AccountWrite, AccountWritten, Departure, ListOrder, Listing, MailboxRef, NewMessage, Record,
    RecordKind, SqliteStore, Store, StoreError, StoredMessage, UploadWrite, limits,
};

use crate::world::{
    NOW, World, delete_messages, id_of, make_account, message, save, uid_set, write,
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
    fn save_at(&self, mailbox: &str, text: &str, at: i64) -> Uid {
        let mut new = message(text);
        new.internal_date.unix = UnixTime(at);
        let saved = self.write(AccountWrite::Save {
            mailbox: MailboxRef::Name(mailbox.to_owned()),
            messages: vec![new],
        });
        match saved {
            Ok(AccountWritten::Saved { uids, .. }) => uids[0],
            other => panic!("{other:?}"),
        }
    }

    fn write(&self, operation: AccountWrite) -> Result<AccountWritten, StoreError> {
        write(&self.store, self.account, operation)
    }

    fn list(&self, listing: &Listing) -> Vec<StoredMessage> {
        let listed = self.store.list(self.account, listing, true).unwrap();
        let all = Listing {
            offset: 0,
            count_max: u64::MAX,
            ..listing.clone()
        };
        let (all, _) = self.store.list(self.account, &all, false).unwrap();
        assert_eq!(listed.1, Some(all.len() as u64), "the total");
        listed.0
    }

    fn in_inbox(&self) -> Listing {
        Listing {
            mailbox: Some(self.inbox),
            ..Listing::default()
        }
    }

    fn flag(&self, uids: &[u32], flags: SystemFlags) {
        self.write(AccountWrite::StoreFlags {
            mailbox: self.inbox,
            uids: uid_set(uids),
            mode: StoreMode::Add,
            flags: Flags::system(flags),
            unchanged_since: None,
        })
        .unwrap();
    }

    fn replace(&self, uid: Uid, text: &str, since: Option<ModSeq>) -> Result<(), StoreError> {
        let written = self.write(AccountWrite::Replace {
            mailbox: self.inbox,
            uid,
            unchanged_since: since,
            message: message(text),
        });
        written.map(|_| ())
    }
}

fn dates(messages: &[StoredMessage]) -> Vec<i64> {
    messages
        .iter()
        .map(|it| it.data.internal_date.unix.0)
        .collect()
}

#[test]
fn lists_are_in_order_of_dates_whatever_the_uids() {
    let ann = ann();
    for at in [30, 10, 20, 20, 40] {
        ann.save_at("INBOX", "x", at);
    }
    assert_eq!(dates(&ann.list(&ann.in_inbox())), [40, 30, 20, 20, 10]);
    let oldest = Listing {
        order: ListOrder::OldestFirst,
        offset: 1,
        count_max: 3,
        ..ann.in_inbox()
    };
    assert_eq!(dates(&ann.list(&oldest)), [20, 20, 30]);
    let by_uid = Listing {
        order: ListOrder::ByUid,
        above: Uid::new(2),
        ..ann.in_inbox()
    };
    assert_eq!(dates(&ann.list(&by_uid)), [20, 20, 40]);
}

#[test]
fn pages_of_equal_dates_neither_repeat_nor_skip() {
    let ann = ann();
    for _ in 0..25 {
        ann.save_at("INBOX", "x", 7);
    }
    let mut seen = Vec::new();
    for offset in (0..25).step_by(4) {
        let page = Listing {
            offset,
            count_max: 4,
            ..ann.in_inbox()
        };
        seen.extend(ann.list(&page).iter().map(|it| it.data.uid));
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[test]
fn flags_dates_and_mailboxes_narrow_a_list() {
    let ann = ann();
    for at in 1..=4 {
        ann.save_at("INBOX", "x", at);
    }
    ann.save_at("Archive", "x", 9);
    ann.flag(&[1, 2], SystemFlags::SEEN);
    ann.flag(&[2, 3], SystemFlags::FLAGGED);
    let unseen = Listing {
        without: SystemFlags::SEEN,
        ..ann.in_inbox()
    };
    assert_eq!(dates(&ann.list(&unseen)), [4, 3]);
    let both = Listing {
        with: SystemFlags::SEEN | SystemFlags::FLAGGED,
        ..ann.in_inbox()
    };
    assert_eq!(dates(&ann.list(&both)), [2]);
    let between = Listing {
        received_from: Some(UnixTime(2)),
        received_until: Some(UnixTime(9)),
        ..Listing::default()
    };
    assert_eq!(dates(&ann.list(&between)), [9, 4, 3, 2]);
}

#[test]
fn a_message_keeps_its_id_where_it_goes_and_a_copy_has_its_own() {
    let ann = ann();
    ann.save_at("INBOX", "x", 1);
    let id = ann.list(&ann.in_inbox())[0].data.instance_id;
    ann.write(AccountWrite::Copy {
        source: ann.inbox,
        uids: uid_set(&[1]),
        target: MailboxRef::Name("Drafts".to_owned()),
    })
    .unwrap();
    ann.write(AccountWrite::Move {
        source: ann.inbox,
        uids: uid_set(&[1]),
        target: MailboxRef::Name("Archive".to_owned()),
    })
    .unwrap();
    let found = ann.store.find_message(ann.account, id).unwrap().unwrap();
    assert_eq!(found.mailbox, id_of(&ann.store, ann.account, "Archive"));
    let all = ann.list(&Listing::default());
    assert_eq!(all.len(), 2);
    assert_ne!(all[0].data.instance_id, all[1].data.instance_id);
    assert_eq!(all[0].data.email_id, all[1].data.email_id);
}

#[test]
fn a_replaced_message_keeps_id_and_extras_and_is_never_missing() {
    let ann = ann();
    let uid = ann.save_at("INBOX", "before", 1);
    ann.write(AccountWrite::SetExtras {
        mailbox: ann.inbox,
        uid,
        extras: "beside".to_owned(),
    })
    .unwrap();
    let before = ann.list(&ann.in_inbox()).remove(0);
    let stale = ModSeq(before.state.modseq.0 - 1);
    assert_eq!(
        ann.replace(uid, "after", Some(stale)),
        Err(StoreError::ChangedSince)
    );
    ann.replace(uid, "after", Some(before.state.modseq))
        .unwrap();
    let after = ann.list(&ann.in_inbox());
    assert_eq!(after.len(), 1);
    let after = &after[0];
    assert_eq!(after.data.instance_id, before.data.instance_id);
    assert_eq!(
        (after.extras.as_str(), after.created_at),
        ("beside", before.created_at)
    );
    assert!(after.data.uid > uid && after.state.modseq > before.state.modseq);
    assert_eq!(
        ann.replace(uid, "again", None),
        Err(StoreError::NoSuchMessage)
    );
}

#[test]
fn changes_name_what_changed_and_what_went_once_each() {
    let ann = ann();
    for at in 1..=4 {
        ann.save_at("INBOX", "x", at);
    }
    let all = ann.list(&Listing {
        order: ListOrder::ByUid,
        ..ann.in_inbox()
    });
    let since = ann
        .store
        .status(ann.account, &MailboxRef::Id(ann.inbox))
        .unwrap()
        .modseq;
    ann.flag(&[1], SystemFlags::SEEN);
    ann.replace(all[1].data.uid, "other", None).unwrap();
    delete_messages(&ann.store, ann.account, "INBOX", &[3]);
    ann.write(AccountWrite::Move {
        source: ann.inbox,
        uids: uid_set(&[4]),
        target: MailboxRef::Name("Archive".to_owned()),
    })
    .unwrap();
    let changes = ann
        .store
        .message_changes(ann.account, ann.inbox, since)
        .unwrap()
        .unwrap();
    let changed: Vec<_> = changes
        .changed
        .iter()
        .map(|it| it.data.instance_id)
        .collect();
    assert_eq!(changed, [all[0].data.instance_id, all[1].data.instance_id]);
    let mut vanished = changes.vanished.clone();
    vanished.sort_unstable();
    let mut gone = vec![all[2].data.instance_id, all[3].data.instance_id];
    gone.sort_unstable();
    assert_eq!(vanished, gone);
    let none = ann
        .store
        .message_changes(ann.account, ann.inbox, changes.modseq)
        .unwrap()
        .unwrap();
    assert!(none.changed.is_empty() && none.vanished.is_empty());
}

#[test]
fn mailbox_changes_name_new_renamed_and_removed_ones() {
    let ann = ann();
    let since = ann
        .store
        .mailbox_changes(ann.account, ModSeq(0))
        .unwrap()
        .modseq;
    for operation in [
        AccountWrite::CreateMailbox {
            name: "Work".to_owned(),
            special_use: None,
        },
        AccountWrite::RenameMailbox {
            mailbox: MailboxRef::Name("Junk".to_owned()),
            to: "Spam".to_owned(),
        },
    ] {
        ann.write(operation).unwrap();
    }
    let sent = id_of(&ann.store, ann.account, "Sent");
    ann.write(AccountWrite::DeleteMailbox {
        mailbox: MailboxRef::Id(sent),
    })
    .unwrap();
    let changes = ann.store.mailbox_changes(ann.account, since).unwrap();
    let expected = ["Spam", "Work"].map(|name| id_of(&ann.store, ann.account, name));
    assert_eq!(changes.changed, expected);
    assert_eq!(changes.vanished, [sent]);
}

#[test]
fn messages_that_go_with_their_mailbox_are_named() {
    let ann = ann();
    ann.save_at("Sent", "goes", 1);
    ann.save_at("Sent", "went before", 2);
    let sent = id_of(&ann.store, ann.account, "Sent");
    let listing = Listing {
        order: ListOrder::ByUid,
        mailbox: Some(sent),
        ..ann.in_inbox()
    };
    let all = ann.list(&listing);
    let state = |since| ann.store.mailbox_changes(ann.account, since).unwrap();
    let since = state(ModSeq(0)).modseq;
    delete_messages(&ann.store, ann.account, "Sent", &[2]);
    assert_eq!(state(since).departures, Some(vec![]), "it is there");
    ann.write(AccountWrite::DeleteMailbox {
        mailbox: MailboxRef::Id(sent),
    })
    .unwrap();
    let gone = |departures: Option<Vec<Departure>>| -> Vec<InstanceId> {
        departures.unwrap().iter().map(|it| it.instance).collect()
    };
    let [goes, went] = [0, 1].map(|place: usize| all[place].data.instance_id);
    let changes = state(since);
    assert_eq!(gone(changes.departures), [went, goes]);
    assert_eq!(state(changes.modseq).departures, Some(vec![]));
}

#[test]
fn of_mailboxes_that_are_gone_the_last_messages_are_named() {
    let ann = ann();
    let half = limits::TOMBSTONES_MAX as usize / 2 + 1;
    let names = ["Sent", "Junk", "Trash"];
    for name in names {
        ann.write(AccountWrite::Save {
            mailbox: MailboxRef::Name(name.to_owned()),
            messages: vec![message("x"); half],
        })
        .unwrap();
    }
    let changes = |since| ann.store.mailbox_changes(ann.account, since).unwrap();
    let departures = |since| changes(since).departures.map(|all| all.len());
    let mut modseqs = vec![changes(ModSeq(0)).modseq];
    for name in names {
        let before = *modseqs.last().unwrap();
        let mailbox = MailboxRef::Name(name.to_owned());
        ann.write(AccountWrite::DeleteMailbox { mailbox }).unwrap();
        modseqs.push(changes(before).modseq);
        assert_eq!(departures(before), Some(half), "{name}");
    }
    assert_eq!(departures(modseqs[0]), None, "the first are forgotten");
    assert_eq!(departures(modseqs[3]), Some(0));
}

#[test]
fn a_full_account_takes_nothing_more_but_what_was_accepted() {
    let ann = ann();
    let update = rmail_store::AccountUpdate {
        quota_bytes: Some(100),
        ..Default::default()
    };
    ann.store
        .write_directory(
            NOW,
            vec![rmail_store::DirectoryWrite::UpdateAccount {
                account: ann.account,
                update,
            }],
        )
        .unwrap();
    let large = "x".repeat(200);
    let saved = ann.write(AccountWrite::Save {
        mailbox: MailboxRef::Id(ann.inbox),
        messages: vec![message(&large)],
    });
    assert_eq!(saved, Err(StoreError::OverQuota));
    assert_eq!(ann.list(&ann.in_inbox()).len(), 0);
    let small = save(&ann.store, ann.account, "INBOX", "x");
    let copies: UidSet = UidSet::from(small..=small);
    let mut copied = Ok(AccountWritten::Done);
    for _ in 0..100 {
        copied = ann.write(AccountWrite::Copy {
            source: ann.inbox,
            uids: copies.clone(),
            target: MailboxRef::Name("Archive".to_owned()),
        });
        if copied.is_err() {
            break;
        }
    }
    assert_eq!(copied, Err(StoreError::OverQuota));
    assert!(ann.store.usage_bytes(ann.account).unwrap() <= 100);
    ann.write(AccountWrite::Deliver {
        spool: rmail_store::SpoolId(1),
        message: NewMessage { ..message(&large) },
    })
    .unwrap();
    assert!(ann.store.usage_bytes(ann.account).unwrap() > 100);
}

#[test]
fn uploads_grow_at_their_end_alone_and_end_in_time() {
    let ann = ann();
    let key = [7; 32];
    let put = |document: &str| {
        AccountWrite::Upload(UploadWrite::Put {
            key,
            document: document.to_owned(),
            expires_at: UnixTime(NOW.0 + 100),
        })
    };
    let append = |start, bytes: &'static [u8]| {
        AccountWrite::Upload(UploadWrite::Append {
            key,
            start,
            bytes: bytes.into(),
        })
    };
    assert_eq!(ann.write(append(0, b"x")), Err(StoreError::NoSuchUpload));
    ann.write(put("one")).unwrap();
    ann.write(append(0, b"hello ")).unwrap();
    assert_eq!(ann.write(append(5, b"x")), Err(StoreError::NoSuchUpload));
    ann.write(append(6, b"there")).unwrap();
    let content = ann.store.upload_content(ann.account, &key).unwrap();
    assert_eq!(&content[..], b"hello there");
    ann.write(put("two")).unwrap();
    let found = ann.store.upload(ann.account, NOW, &key).unwrap().unwrap();
    assert_eq!((found.document.as_str(), found.received), ("two", 11));
    assert_eq!(ann.store.uploads(ann.account, NOW).unwrap(), (1, 11));
    let later = UnixTime(NOW.0 + 100);
    assert_eq!(ann.store.upload(ann.account, later, &key).unwrap(), None);
    ann.write(AccountWrite::Upload(UploadWrite::Drop { key }))
        .unwrap();
    assert_eq!(ann.store.upload(ann.account, NOW, &key).unwrap(), None);
}

#[test]
fn documents_are_kept_and_bounded() {
    let ann = ann();
    let set = |value: Option<String>| {
        ann.write(AccountWrite::SetDocument {
            name: "settings".to_owned(),
            value,
        })
    };
    assert_eq!(ann.store.document(ann.account, "settings").unwrap(), None);
    set(Some("one".to_owned())).unwrap();
    set(Some("two".to_owned())).unwrap();
    let found = ann.store.document(ann.account, "settings").unwrap();
    assert_eq!(found.as_deref(), Some("two"));
    assert!(set(Some("x".repeat(limits::DOCUMENT_BYTES + 1))).is_err());
    set(None).unwrap();
    assert_eq!(ann.store.document(ann.account, "settings").unwrap(), None);
}

#[test]
fn records_end_in_time_and_with_their_account() {
    let ann = ann();
    let put = |key: u128, account: Option<AccountId>, until: i64| {
        let record = Record {
            kind: RecordKind::Revocation,
            key,
            account,
            value: "v".to_owned(),
            expires_at: UnixTime(until),
        };
        let write = rmail_store::DirectoryWrite::PutRecord(record);
        ann.store
            .write_directory(NOW, vec![write])
            .unwrap()
            .remove(0)
    };
    let find = |now: i64, key| {
        let found = ann.store.record(UnixTime(now), RecordKind::Revocation, key);
        found.unwrap().is_some()
    };
    put(1, Some(ann.account), NOW.0 + 10).unwrap();
    put(2, None, NOW.0 + 20).unwrap();
    assert_eq!(
        put(3, Some(AccountId(99)), NOW.0 + 10),
        Err(StoreError::NoSuchAccount)
    );
    assert!(find(NOW.0 + 9, 1) && !find(NOW.0 + 10, 1));
    assert!(
        ann.store
            .record(NOW, RecordKind::Subscription, 1)
            .unwrap()
            .is_none()
    );
    let own = ann
        .store
        .records(NOW, RecordKind::Revocation, Some(ann.account));
    assert_eq!(own.unwrap().len(), 1);
    let version = ann.store.directory_version().unwrap();
    put(4, None, NOW.0 + 20).unwrap();
    assert_eq!(ann.store.directory_version().unwrap(), version);
    let delete = rmail_store::DirectoryWrite::DeleteAccount(ann.account);
    ann.store.write_directory(NOW, vec![delete]).unwrap();
    assert!(!find(NOW.0, 1) && find(NOW.0, 2));
}
