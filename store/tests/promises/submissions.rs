//! What an account sends, and its copy.

use rmail_proto::{AccountId, Flags, InstanceId, ModSeq, SystemFlags};
use rmail_store::{
    AccountUpdate, DirectoryWrite, Listing, MessageVersion, QueueFilter, Store, StoreError,
    Submission, limits,
};
use rusqlite::Connection;

use crate::{
    queue::must_hold_together,
    spool::{entry, entry_for},
    world::{NOW, World, address, id_of, make_account, message, named, save, write_directory},
};

const TEXT: &str = "Message-ID: <1@example.com>\r\n\r\nwhat is sent";

const COPY: &str = "Message-ID: <1@example.com>\r\nBcc: carol@example.net\r\n\r\nwhat is sent";

fn submission() -> Submission {
    let mut entry = entry(TEXT);
    entry.is_claimed = false;
    Submission {
        entry,
        mailbox: named("Sent"),
        copy: message(COPY),
        draft: None,
    }
}

fn queued(store: &dyn Store) -> usize {
    let queue = store.queue(&QueueFilter::default(), None, 100);
    queue.expect("it reads").len()
}

/// Messages of a mailbox.
fn count(store: &dyn Store, account: AccountId, mailbox: &str) -> u32 {
    let status = store.status(account, &named(mailbox));
    status.expect("there is such a mailbox").messages
}

fn spool(world: &World) -> Connection {
    Connection::open(world.root().join("spool.db")).expect("it opens")
}

fn rows(connection: &Connection, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    let counted = connection.query_row(&sql, [], |row| row.get(0));
    counted.expect("it counts")
}

/// A draft of this account, as it is now, and its instance.
fn draft(store: &dyn Store, account: AccountId) -> (MessageVersion, InstanceId) {
    save(store, account, "Drafts", "a draft");
    let (listed, _) = store
        .list(account, &Listing::default(), false)
        .expect("it lists");
    let draft = listed.first().expect("there is one");
    let version = MessageVersion {
        mailbox: draft.mailbox,
        uid: draft.data.uid,
        unchanged_since: draft.state.modseq,
    };
    (version, draft.data.instance_id)
}

/// What is left by a process that lost its power before the entry was settled: `name` is that
/// process.
fn unsettle(world: &World, account: AccountId, name: &str) {
    let spool = spool(world);
    let sql = "DELETE FROM lots; DELETE FROM destinations;";
    spool.execute_batch(sql).expect("the tables are there");
    spool
        .execute(
            "INSERT INTO prepared SELECT id, ?1, ?2 FROM entries",
            rusqlite::params![account.0.cast_signed(), name],
        )
        .expect("the table is there");
}

fn name_of(store: &dyn Store) -> String {
    let socket = store.hint_socket();
    let stem = socket.file_stem().expect("it has a name");
    stem.to_string_lossy().into_owned()
}

#[test]
fn what_is_sent_is_queued_and_the_copy_is_kept() {
    let (store, world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    let instance = store.submit(NOW, ann, &submission()).expect("it is sent");
    assert_eq!(queued(&store), 1);
    let found = store.find_message(ann, instance).expect("it reads");
    let found = found.expect("the copy is there");
    assert_eq!(found.mailbox, id_of(&store, ann, "Sent"));
    assert_eq!(found.data.size_bytes, COPY.len() as u64);
    assert_eq!(store.settle_submissions(NOW), Ok(false), "nothing is left");
    assert_eq!(rows(&spool(&world), "prepared"), 0);
}

#[test]
fn a_draft_that_is_sent_is_the_copy_and_keeps_its_instance() {
    let (store, _world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    let (version, instance) = draft(&store, ann);
    let mut submission = submission();
    submission.draft = Some(version);
    submission.copy.flags = Flags::system(SystemFlags::SEEN);
    assert_eq!(store.submit(NOW, ann, &submission), Ok(instance));
    assert_eq!(count(&store, ann, "Drafts"), 0);
    assert_eq!(count(&store, ann, "Sent"), 1);
    let again = store.submit(NOW, ann, &submission);
    assert_eq!(again, Err(StoreError::NoSuchMessage));
    assert_eq!(queued(&store), 1, "of two who send it, one does");
    assert_eq!(count(&store, ann, "Sent"), 1);
}

/// Large contents, so that files would be left over.
#[test]
fn where_the_copy_is_refused_nothing_is_sent_and_nothing_is_left() {
    let (store, world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    let (version, _) = draft(&store, ann);
    let changed = MessageVersion {
        unchanged_since: ModSeq(version.unchanged_since.0 - 1),
        ..version
    };
    let large = "x".repeat(limits::INLINE_BYTES + 1);
    let stage = store.stage().expect("it begins");
    store
        .stage_append(stage, large.as_bytes())
        .expect("it fits");
    store.stage_finish(stage).expect("it is complete");
    let mut submission = submission();
    submission.entry.content = rmail_store::Content::Staged(stage);
    let refused = |submission: &Submission, error: StoreError| {
        let spooled = world.root().join("spool");
        assert_eq!(store.submit(NOW, ann, submission), Err(error));
        assert_eq!(store.settle_submissions(NOW), Ok(false));
        assert_eq!(rows(&spool(&world), "entries"), 0);
        assert_eq!(rows(&spool(&world), "recipients"), 0);
        assert_eq!(rows(&spool(&world), "prepared"), 0);
        let files = std::fs::read_dir(spooled).expect("it lists");
        let files = files.map(|file| file.expect("it lists").file_name());
        assert_eq!(files.collect::<Vec<_>>(), ["tmp"]);
        assert_eq!(count(&store, ann, "Sent"), 0);
        assert_eq!(count(&store, ann, "Drafts"), 1);
    };
    submission.draft = Some(changed);
    refused(&submission, StoreError::ChangedSince);
    submission.draft = None;
    submission.mailbox = named("no such");
    refused(&submission, StoreError::NoSuchMailbox);
    submission.mailbox = named("Sent");
    let update = AccountUpdate {
        quota_bytes: Some(50),
        ..AccountUpdate::default()
    };
    let update = DirectoryWrite::UpdateAccount {
        account: ann,
        update,
    };
    write_directory(&store, update).expect("it is changed");
    refused(&submission, StoreError::OverQuota);
    let mail = world.account_folder("ann").join("mail.db");
    let mail = Connection::open(mail).expect("it opens");
    mail.execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    refused(&submission, StoreError::Busy);
}

#[test]
fn what_a_living_process_prepares_is_nobodys_work_and_in_no_list() {
    let world = World::new();
    let [first, second] = [world.open(), world.open()];
    let ann = make_account(&first, "ann@example.com");
    first.submit(NOW, ann, &submission()).expect("it is sent");
    unsettle(&world, ann, &name_of(&first));
    assert_eq!(second.settle_submissions(NOW), Ok(false));
    assert_eq!(queued(&second), 0);
    let named = |name: &str| second.queued(name).expect("it reads").is_some();
    assert!(!named("1") && !named("envelope"));
    let reserved = second.reserved_bytes(&address("ann@example.com"));
    assert_eq!(reserved, Ok(0), "it is not accepted yet");
    assert_eq!(rows(&spool(&world), "entries"), 1);
    must_hold_together(&world);
}

#[test]
fn what_a_dead_process_has_prepared_is_sent_exactly_if_its_copy_was_kept() {
    for is_kept in [true, false] {
        let world = World::new();
        let store = world.open();
        let ann = make_account(&store, "ann@example.com");
        store.submit(NOW, ann, &submission()).expect("it is sent");
        unsettle(&world, ann, "dead");
        if !is_kept {
            let mail = world.account_folder("ann").join("mail.db");
            let mail = Connection::open(mail).expect("it opens");
            assert_eq!(mail.execute("DELETE FROM sent", []), Ok(1));
        }
        assert_eq!(store.settle_submissions(NOW), Ok(is_kept));
        assert_eq!(queued(&store), usize::from(is_kept));
        let spool = spool(&world);
        assert_eq!(rows(&spool, "entries"), i64::from(is_kept));
        assert_eq!(rows(&spool, "lots"), i64::from(is_kept));
        assert_eq!(rows(&spool, "prepared"), 0);
        must_hold_together(&world);
    }
}

/// It may have been acknowledged.
#[test]
fn what_an_account_that_is_gone_has_sent_goes_out() {
    let (store, world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    store.submit(NOW, ann, &submission()).expect("it is sent");
    unsettle(&world, ann, "dead");
    write_directory(&store, DirectoryWrite::DeleteAccount(ann)).expect("it is deleted");
    assert_eq!(store.settle_submissions(NOW), Ok(true));
    assert_eq!(queued(&store), 1);
}

#[test]
fn an_account_that_is_busy_is_asked_again() {
    let (store, world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    store.submit(NOW, ann, &submission()).expect("it is sent");
    unsettle(&world, ann, "dead");
    let mail = world.account_folder("ann").join("mail.db");
    let mail = Connection::open(mail).expect("it opens");
    mail.execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    assert_eq!(store.settle_submissions(NOW), Err(StoreError::Busy));
    assert_eq!(rows(&spool(&world), "prepared"), 1);
    mail.execute_batch("ROLLBACK").expect("it was begun");
    assert_eq!(store.settle_submissions(NOW), Ok(true));
}

#[test]
fn an_account_forgets_what_it_has_sent_once_that_is_settled() {
    let (store, world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    for _ in 0..3 {
        store.submit(NOW, ann, &submission()).expect("it is sent");
    }
    let mail = world.account_folder("ann").join("mail.db");
    let mail = Connection::open(mail).expect("it opens");
    assert_eq!(rows(&mail, "sent"), 1);
    // As long as one is not settled, neither it nor what came after it is forgotten.
    let (first, account) = (
        "INSERT INTO prepared VALUES (3, ?1, 'dead')",
        ann.0.cast_signed(),
    );
    let spool = spool(&world);
    assert_eq!(spool.execute(first, [account]), Ok(1));
    store.submit(NOW, ann, &submission()).expect("it is sent");
    assert_eq!(rows(&mail, "sent"), 2);
}

#[test]
fn each_destination_of_what_is_sent_is_claimed_by_itself() {
    let (store, world) = World::new_store();
    let ann = make_account(&store, "ann@example.com");
    let mut submission = submission();
    let recipients = [
        (Some("ann@example.com"), None),
        (Some("a@b.example"), Some("b.example")),
        (Some("c@b.example"), Some("b.example")),
    ];
    submission.entry = entry_for(TEXT, &recipients);
    submission.entry.is_claimed = false;
    store.submit(NOW, ann, &submission).expect("it is sent");
    assert_eq!(rows(&spool(&world), "lots"), 2);
    must_hold_together(&world);
}
