//! What has changed, on a store in a temporary folder.

use std::sync::Arc;

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, DateTime, Flags, InstanceId, MailboxId, SystemFlags, Uid, UnixTime,
    imap::{StoreMode, UidSet},
    mime::Summary,
};
use rmail_store::{
    AccountWrite, AccountWritten, Content, DirectoryWrite, MailboxRef, NewAccount, NewMessage,
    RealFiles, RecordKind, SqliteStore, Store, limits::TOMBSTONES_MAX,
};

use super::{
    ChangeKind::{self, Created, Deleted, Updated},
    search::{News, keep, news, subscribers},
    *,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
const LATER: UnixTime = UnixTime(1_800_001_000);

struct World {
    store: SqliteStore,
    account: AccountId,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        let account = NewAccount {
            address: Address::parse("a@example.com").unwrap(),
            guid: 5,
            credential: String::new(),
            is_admin: false,
        };
        let made = store.write_directory(NOW, vec![DirectoryWrite::CreateAccount(account)]);
        let account = *made.unwrap()[0].as_ref().unwrap();
        Self {
            store,
            account,
            folder,
        }
    }

    fn mailbox(&self, name: &str) -> MailboxId {
        let mailbox = MailboxRef::Name(name.to_owned());
        self.store.status(self.account, &mailbox).unwrap().mailbox
    }

    fn write(&self, write: AccountWrite) -> AccountWritten {
        let written = self
            .store
            .write_account(NOW, self.account, vec![write], &[]);
        written.unwrap().results.remove(0).unwrap()
    }

    fn save(&self, mailbox: &str) -> (Uid, InstanceId) {
        let saved = self.write(AccountWrite::Save {
            mailbox: MailboxRef::Name(mailbox.to_owned()),
            messages: vec![message()],
        });
        saved_as(&saved)
    }

    fn flag(&self, mailbox: &str, uid: Uid, flag: SystemFlags) {
        self.write(AccountWrite::StoreFlags {
            mailbox: self.mailbox(mailbox),
            uids: [uid].into_iter().collect(),
            mode: StoreMode::Add,
            flags: Flags {
                system: flag,
                ..Flags::default()
            },
            unchanged_since: None,
        });
    }

    fn expunge(&self, mailbox: &str, uid: Uid) {
        self.flag(mailbox, uid, SystemFlags::DELETED);
        self.write(AccountWrite::Expunge {
            mailbox: self.mailbox(mailbox),
            uids: None,
        });
    }

    fn relocate(&self, from: &str, uid: Uid, to: &str) -> Uid {
        let moved = self.write(AccountWrite::Move {
            source: self.mailbox(from),
            uids: [uid].into_iter().collect(),
            target: MailboxRef::Name(to.to_owned()),
        });
        match moved {
            AccountWritten::Copied { target, .. } => target[0],
            other => panic!("{other:?}"),
        }
    }

    fn replace(&self, mailbox: &str, uid: Uid) -> (Uid, InstanceId) {
        let saved = self.write(AccountWrite::Replace {
            mailbox: self.mailbox(mailbox),
            uid,
            unchanged_since: None,
            message: message(),
        });
        saved_as(&saved)
    }

    fn create(&self, mailbox: &str) {
        self.write(AccountWrite::CreateMailbox {
            name: mailbox.to_owned(),
            special_use: None,
        });
    }

    fn delete(&self, mailbox: &str) {
        self.write(AccountWrite::DeleteMailbox {
            mailbox: MailboxRef::Name(mailbox.to_owned()),
        });
    }

    /// A subscription to all changes, of one folder or of all of them, which begins now.
    fn subscribe(&self, key: u128, folder: Option<&str>) {
        let folder = folder.map(|name| self.mailbox(name));
        let subscription = Subscription {
            resource: "me/messages".to_owned(),
            folder: folder.map(|folder| folder.to_string()),
            kinds: ChangeKind::ALL.to_vec(),
            notification_url: "https://hooks.example/".to_owned(),
            lifecycle_url: Some("https://hooks.example/life".to_owned()),
            client_state: None,
            tls_version: None,
            marks: Marks::now(&self.store, self.account, folder).unwrap(),
            untold: None,
        };
        let record = subscription.to_record(key, self.account, LATER);
        let write = DirectoryWrite::PutRecord(record);
        self.store.write_directory(NOW, vec![write]).unwrap();
    }

    /// What is news for a subscription; it is none the next time.
    fn news(&self, key: u128) -> Vec<(ChangeKind, InstanceId)> {
        let events = self.events(key).into_iter();
        let changes = events.map(|event| match event {
            Event::Changed(change) => (change.kind, change.instance),
            Event::Lifecycle(event) => panic!("{event:?}"),
        });
        changes.collect()
    }

    fn events(&self, key: u128) -> Vec<Event> {
        let news = self.all_news().into_iter();
        let news = news.filter(|news| news.subscriber.key == key);
        news.flat_map(|news| news.events).collect()
    }

    /// What is news for all subscriptions, which are told at once.
    fn all_news(&self) -> Vec<News> {
        let news = self.find();
        let keys = news.iter().map(|news| news.subscriber.key);
        self.keep(keys.map(|key| (key, Untold::default())).collect());
        assert!(news.iter().all(|news| news.inherited.is_none()));
        news
    }

    /// What is to be told, by a process that tells nothing else.
    fn find(&self) -> Vec<News> {
        self.find_while_telling(&[])
    }

    /// The same, by one that has something to tell to these.
    fn find_while_telling(&self, telling: &[u128]) -> Vec<News> {
        let telling = telling.iter().copied().collect();
        news(&self.store, NOW, self.account, &telling).unwrap()
    }

    fn keep(&self, left: Vec<(u128, Untold)>) {
        keep(&self.store, NOW, left).unwrap();
    }

    fn record(&self, key: u128) -> Record {
        let record = self.store.record(NOW, RecordKind::Subscription, key);
        record.unwrap().unwrap()
    }

    fn untold(&self, key: u128) -> Option<Untold> {
        Subscription::read(&self.record(key)).unwrap().untold
    }

    /// Another process on the same folder.
    fn other(&self, seed: u64) -> Self {
        let root = self.folder.path().join("mail");
        Self {
            store: SqliteStore::open(&root, Arc::new(RealFiles), None, seed).unwrap(),
            account: self.account,
            folder: tempfile::tempdir().unwrap(),
        }
    }
}

fn open(folder: &tempfile::TempDir) -> SqliteStore {
    let root = folder.path().join("mail");
    SqliteStore::open(&root, Arc::new(RealFiles), None, 1).unwrap()
}

fn message() -> NewMessage {
    NewMessage {
        content: Content::Inline(Bytes::from_static(b"Subject: x\r\n\r\n")),
        summary: Arc::new(Summary::default()),
        flags: Flags::default(),
        internal_date: DateTime::utc(NOW),
    }
}

fn saved_as(written: &AccountWritten) -> (Uid, InstanceId) {
    match written {
        AccountWritten::Saved {
            uids, instances, ..
        } => (uids[0], instances[0]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn message_that_comes_changes_and_goes_is_told_as_such() {
    let world = World::new();
    let (old, old_id) = world.save("INBOX");
    world.subscribe(1, None);
    assert_eq!(world.news(1), []);
    let (uid, id) = world.save("INBOX");
    assert_eq!(world.news(1), [(Created, id)]);
    assert_eq!(world.news(1), []);
    // Within the same second, by the same clock.
    world.flag("INBOX", uid, SystemFlags::SEEN);
    assert_eq!(world.news(1), [(Updated, id)]);
    world.flag("INBOX", old, SystemFlags::SEEN);
    assert_eq!(world.news(1), [(Updated, old_id)]);
    world.expunge("INBOX", uid);
    assert_eq!(world.news(1), [(Deleted, id)]);
    world.expunge("INBOX", old);
    assert_eq!(world.news(1), [(Deleted, old_id)]);
}

#[test]
fn what_happens_at_once_is_told_as_one_change_of_each_message() {
    let world = World::new();
    let (old, old_id) = world.save("INBOX");
    world.subscribe(1, None);
    let (uid, id) = world.save("INBOX");
    world.flag("INBOX", uid, SystemFlags::SEEN);
    world.flag("INBOX", old, SystemFlags::SEEN);
    let (gone, _) = world.save("Sent");
    world.expunge("Sent", gone);
    assert_eq!(world.news(1), [(Created, id), (Updated, old_id)]);
}

#[test]
fn move_is_an_update_of_the_mailbox_and_a_coming_and_going_of_folders() {
    let world = World::new();
    let (uid, id) = world.save("INBOX");
    world.subscribe(1, None);
    world.subscribe(2, Some("INBOX"));
    world.subscribe(3, Some("Archive"));
    world.subscribe(4, Some("Sent"));
    let news = {
        world.relocate("INBOX", uid, "Archive");
        world.all_news()
    };
    let told: Vec<_> = news
        .iter()
        .map(|news| match news.events[..] {
            [Event::Changed(change)] => (news.subscriber.key, change.kind, change.instance),
            _ => panic!("{news:?}"),
        })
        .collect();
    assert_eq!(told, [(1, Updated, id), (2, Deleted, id), (3, Created, id)]);
}

#[test]
fn message_that_came_and_was_moved_at_once_is_new() {
    let world = World::new();
    world.subscribe(1, None);
    let (uid, id) = world.save("INBOX");
    world.relocate("INBOX", uid, "Archive");
    assert_eq!(world.news(1), [(Created, id)]);
}

#[test]
fn draft_that_is_written_anew_is_updated() {
    let world = World::new();
    let (uid, id) = world.save("Drafts");
    world.subscribe(1, None);
    world.subscribe(2, Some("Drafts"));
    let (uid, same) = world.replace("Drafts", uid);
    assert_eq!(same, id);
    let news = world.all_news();
    for news in &news {
        assert!(matches!(news.events[..], [Event::Changed(change)]
            if (change.kind, change.instance) == (Updated, id)));
    }
    assert_eq!(news.len(), 2);
    world.replace("Drafts", uid);
    assert_eq!(world.news(2), [(Updated, id)]);
}

#[test]
fn copy_is_a_message_of_its_own() {
    let world = World::new();
    let (uid, id) = world.save("INBOX");
    world.subscribe(1, None);
    world.write(AccountWrite::Copy {
        source: world.mailbox("INBOX"),
        uids: [uid].into_iter().collect(),
        target: MailboxRef::Name("Archive".to_owned()),
    });
    let [(Created, copy)] = world.news(1)[..] else {
        panic!("one message was made");
    };
    assert_ne!(copy, id);
}

#[test]
fn mail_in_a_new_folder_is_new_and_renaming_a_folder_changes_none() {
    let world = World::new();
    world.save("Archive");
    world.subscribe(1, None);
    world.create("New");
    world.write(AccountWrite::RenameMailbox {
        mailbox: MailboxRef::Name("Archive".to_owned()),
        to: "Old".to_owned(),
    });
    assert_eq!(world.news(1), []);
    let (_, id) = world.save("New");
    assert_eq!(world.news(1), [(Created, id)]);
}

#[test]
fn messages_of_a_deleted_folder_are_gone_one_by_one() {
    let world = World::new();
    world.create("Short");
    let (_, stays) = world.save("Short");
    let (moved, moved_id) = world.save("Short");
    let (uid, gone) = world.save("Short");
    world.subscribe(1, None);
    world.expunge("Short", uid);
    world.relocate("Short", moved, "INBOX");
    world.delete("Short");
    assert_eq!(
        world.news(1),
        [(Deleted, gone), (Updated, moved_id), (Deleted, stays)]
    );
    assert_eq!(world.news(1), []);
}

#[test]
fn subscription_to_a_folder_ends_with_it() {
    let removed = Event::Lifecycle(LifecycleEvent::Removed);
    let world = World::new();
    world.create("Short");
    world.subscribe(1, Some("Short"));
    world.save("Short");
    world.delete("Short");
    let [news] = &world.find()[..] else {
        panic!("one subscription has news");
    };
    assert_eq!(news.events, [removed]);
    // Until that is told, the record says so, and nothing else.
    let untold = world.untold(1).unwrap();
    let waiting: Vec<Event> = untold.waiting.iter().map(|it| it.event).collect();
    assert_eq!(waiting, [removed]);
    assert!(world.find_while_telling(&[1]).is_empty());
    let next = world.other(2);
    assert!(next.find().is_empty(), "the first tells");
    drop(world.store);
    let inherited = next.find().remove(0).inherited.unwrap();
    assert_eq!(inherited.waiting, untold.waiting);
    next.keep(vec![(1, Untold::default())]);
    assert!(subscribers(&next.store, NOW).unwrap().all.is_empty());
}

#[test]
fn subscription_to_a_folder_that_nobody_is_told_the_end_of_is_gone_at_once() {
    let world = World::new();
    world.create("Short");
    world.subscribe(1, Some("Short"));
    let mut subscription = Subscription::read(&world.record(1)).unwrap();
    subscription.lifecycle_url = None;
    let record = subscription.to_record(1, world.account, LATER);
    let write = DirectoryWrite::PutRecord(record);
    world.store.write_directory(NOW, vec![write]).unwrap();
    world.delete("Short");
    world.find();
    assert!(subscribers(&world.store, NOW).unwrap().all.is_empty());
}

#[test]
fn subscription_whose_last_look_is_too_long_ago_is_told_that_it_missed_something() {
    let world = World::new();
    world.subscribe(1, None);
    world.write(AccountWrite::Save {
        mailbox: MailboxRef::Name("INBOX".to_owned()),
        messages: vec![message(); 1000],
    });
    // Into the same mailbox: new UIDs each time, and what is known of old ones has a bound.
    for _ in 0..2 * TOMBSTONES_MAX / 1000 {
        world.write(AccountWrite::Move {
            source: world.mailbox("INBOX"),
            uids: UidSet::from(Uid::MIN..=Uid::MAX),
            target: MailboxRef::Name("INBOX".to_owned()),
        });
    }
    assert_eq!(world.events(1), [Event::Lifecycle(LifecycleEvent::Missed)]);
    let (_, id) = world.save("INBOX");
    assert_eq!(world.news(1), [(Created, id)]);
}

#[test]
fn of_two_processes_that_look_one_tells() {
    let world = World::new();
    world.subscribe(1, None);
    let other = world.other(2);
    let (_, id) = world.save("INBOX");
    assert_eq!(world.news(1), [(Created, id)]);
    assert_eq!(other.news(1), []);
}

#[test]
fn record_that_somebody_else_has_moved_on_is_not_replaced() {
    let world = World::new();
    world.subscribe(1, None);
    let before = world.record(1);
    world.save("INBOX");
    assert_eq!(world.news(1).len(), 1);
    let write = DirectoryWrite::ReplaceRecord {
        record: before.clone(),
        expected: before.value.clone(),
    };
    let results = world.store.write_directory(NOW, vec![write]).unwrap();
    assert_eq!(results, [Err(rmail_store::StoreError::ChangedSince)]);
    assert_ne!(world.record(1), before);
}

#[test]
fn nothing_is_told_of_an_account_that_is_disabled_and_all_of_it_afterwards() {
    let world = World::new();
    world.subscribe(1, None);
    let set = |is_enabled| {
        let update = rmail_store::AccountUpdate {
            is_enabled: Some(is_enabled),
            ..Default::default()
        };
        let account = world.account;
        let write = DirectoryWrite::UpdateAccount { account, update };
        world.store.write_directory(NOW, vec![write]).unwrap();
    };
    let (_, id) = world.save("INBOX");
    set(false);
    assert_eq!(world.news(1), []);
    set(true);
    assert_eq!(world.news(1), [(Created, id)]);
}

#[test]
fn kinds_that_nobody_wants_are_not_told_and_not_looked_at_again() {
    let world = World::new();
    world.subscribe(1, None);
    let mut subscription = Subscription::read(&world.record(1)).unwrap();
    subscription.kinds = vec![Deleted];
    let write = DirectoryWrite::PutRecord(subscription.to_record(1, world.account, LATER));
    world.store.write_directory(NOW, vec![write]).unwrap();
    let (uid, id) = world.save("INBOX");
    assert_eq!(world.news(1), []);
    world.expunge("INBOX", uid);
    assert_eq!(world.news(1), [(Deleted, id)]);
}

#[test]
fn target_is_told_as_graph_tells_it() {
    let subscriber = Subscriber {
        key: 1,
        account: AccountId(1),
        guid: 2,
        notification_url: String::new(),
        lifecycle_url: None,
        client_state: Some("state".to_owned()),
        expires_at: NOW,
    };
    let change = Change {
        kind: Created,
        instance: InstanceId(7),
        modseq: rmail_proto::ModSeq(9),
    };
    let events = [
        Event::Changed(change),
        Event::Lifecycle(LifecycleEvent::Missed),
    ];
    let told: Value = serde_json::from_str(&tell(&subscriber, &events)).unwrap();
    let id = InstanceId(7).to_string();
    let resource = format!("Users/00000000-0000-0000-0000-000000000002/Messages/{id}");
    let head = json!({
        "subscriptionId": "00000000-0000-0000-0000-000000000001",
        "subscriptionExpirationDateTime": "2027-01-15T08:00:00Z",
        "clientState": "state",
        "tenantId": "00000000-0000-0000-0000-000000000000",
    });
    let with = |members: Value| {
        let mut whole = head.clone();
        let members = members.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(members);
        whole
    };
    let etag = crate::api::resources::etag(&crate::api::resources::change_key(
        change.instance,
        change.modseq,
    ));
    let expected = json!({"value": [
        with(json!({
            "changeType": "created",
            "resource": resource,
            "resourceData": {
                "@odata.type": "#Microsoft.Graph.Message",
                "@odata.id": resource,
                "@odata.etag": etag,
                "id": id,
            },
        })),
        with(json!({"lifecycleEvent": "missed"})),
    ]});
    assert_eq!(told, expected);
}

#[test]
fn what_is_found_waits_in_the_record_until_it_was_told() {
    let world = World::new();
    world.subscribe(1, None);
    assert_eq!(world.untold(1), None);
    let (_, first) = world.save("INBOX");
    world.find();
    let untold = world.untold(1).unwrap();
    assert_eq!(untold.teller, world.store.process_name());
    assert_eq!(instances(&untold), [first]);
    // While it tells of that, more happens.
    let (_, second) = world.save("INBOX");
    let found = world.find_while_telling(&[1]);
    assert!(found[0].inherited.is_none());
    assert_eq!(found[0].events.len(), 1);
    let mut untold = world.untold(1).unwrap();
    assert_eq!(instances(&untold), [first, second]);
    untold.waiting.remove(0);
    world.keep(vec![(1, untold)]);
    assert_eq!(instances(&world.untold(1).unwrap()), [second]);
    world.keep(vec![(1, Untold::default())]);
    assert_eq!(world.untold(1), None);
}

fn instances(untold: &Untold) -> Vec<InstanceId> {
    let changes = untold.waiting.iter().map(|waiting| match waiting.event {
        Event::Changed(change) => change.instance,
        Event::Lifecycle(event) => panic!("{event:?}"),
    });
    changes.collect()
}

#[test]
fn subscription_that_a_living_process_tells_is_left_to_it() {
    let world = World::new();
    world.subscribe(1, None);
    let other = world.other(2);
    world.save("INBOX");
    world.find();
    let before = world.record(1);
    world.save("INBOX");
    assert!(other.find().is_empty());
    other.keep(vec![(1, Untold::default())]);
    assert_eq!(world.record(1), before);
    let listed = subscribers(&other.store, NOW).unwrap();
    assert!(listed.ours.is_empty());
}

#[test]
fn what_a_dead_process_had_not_told_is_taken_over_by_one_before_what_is_newer() {
    let world = World::new();
    world.subscribe(1, None);
    let dead = world.other(2);
    let (_, first) = world.save("INBOX");
    dead.find();
    drop(dead);
    let (_, second) = world.save("INBOX");
    let listed = subscribers(&world.store, NOW).unwrap();
    assert_eq!(listed.ours, [(1, world.account)]);
    let other = world.other(3);
    let news = world.find();
    assert_eq!(instances(news[0].inherited.as_ref().unwrap()), [first]);
    assert!(matches!(news[0].events[..], [Event::Changed(change)] if change.instance == second));
    assert!(other.find().is_empty());
    let untold = world.untold(1).unwrap();
    assert_eq!(untold.teller, world.store.process_name());
    assert_eq!(instances(&untold), [first, second]);
}

#[test]
fn what_is_ours_and_unknown_to_us_is_told_like_a_dead_ones() {
    let world = World::new();
    world.subscribe(1, None);
    let (_, id) = world.save("INBOX");
    // It is written, and then something fails before anybody hears of it.
    world.find();
    let news = world.find();
    assert_eq!(instances(news[0].inherited.as_ref().unwrap()), [id]);
}

#[test]
fn record_of_an_earlier_version_has_nothing_untold() {
    let value = r#"{"resource":"me/messages","folder":null,"kinds":["created"],
        "notification_url":"https://hooks.example/","lifecycle_url":null,"client_state":null,
        "tls_version":null,"marks":{"modseq":0,"uids_next":{}}}"#;
    let world = World::new();
    let record = Record {
        kind: RecordKind::Subscription,
        key: 1,
        account: Some(world.account),
        value: value.to_owned(),
        expires_at: LATER,
    };
    let write = DirectoryWrite::PutRecord(record);
    world.store.write_directory(NOW, vec![write]).unwrap();
    assert_eq!(world.untold(1), None);
    let (_, id) = world.save("INBOX");
    assert_eq!(world.news(1), [(Created, id)]);
    let written = world.record(1).value;
    assert!(!written.contains("untold"), "{written}");
}

#[test]
fn client_that_changes_a_subscription_loses_nothing_that_waits() {
    let world = World::new();
    world.subscribe(1, None);
    let (_, id) = world.save("INBOX");
    world.find();
    let mut subscription = Subscription::read(&world.record(1)).unwrap();
    subscription.notification_url = "https://other.example/".to_owned();
    let expected = world.record(1).value;
    let record = subscription.to_record(1, world.account, LATER);
    let write = DirectoryWrite::ReplaceRecord { record, expected };
    let results = world.store.write_directory(NOW, vec![write]).unwrap();
    assert!(results[0].is_ok());
    assert_eq!(instances(&world.untold(1).unwrap()), [id]);
}
