//! Restarts, crashes, restored copies, and several processes on one `mail_root`.

use std::{fs, path::Path};

use rmail_proto::{
    AccountId, Flags, SystemFlags,
    imap::{Changes, StoreMode},
};
use rmail_store::{AccountWrite, DirectoryWrite, PeerNews, SqliteStore, Store, StoreError, limits};

use crate::world::{
    ChangedFiles, NOW, World, delete_messages, id_of, make_account, message, modseq_of, named,
    names, save, uid_set, uid_validity_of, uids_in, write, write_directory,
};

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is made");
    for entry in fs::read_dir(from).expect("it lists") {
        let path = entry.expect("it lists").path();
        let target = to.join(path.file_name().expect("it has a name"));
        match path.is_dir() {
            true => copy_folder(&path, &target),
            false => {
                fs::copy(&path, &target).expect("it copies");
            }
        }
    }
}

fn restore(copy: &Path, folder: &Path) {
    fs::remove_dir_all(folder).expect("it was there");
    copy_folder(copy, folder);
}

fn toggle_seen(store: &SqliteStore, account: AccountId, mode: StoreMode) {
    let store_flags = AccountWrite::StoreFlags {
        mailbox: id_of(store, account, "INBOX"),
        uids: uid_set(&[1]),
        mode,
        flags: Flags::system(SystemFlags::SEEN),
        unchanged_since: None,
    };
    write(store, account, store_flags).expect("it stores");
}

#[test]
fn uids_only_grow_over_restarts_and_expunges() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    let mut last = 0;
    drop(store);
    for _ in 0..4 {
        let store = world.open();
        let uid = save(&store, account, "INBOX", "one").get();
        assert!(uid > last);
        last = uid;
        delete_messages(&store, account, "INBOX", &[uid]);
    }
}

#[test]
fn what_was_written_is_there_after_a_restart_with_the_same_ids() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    let before = store
        .mailbox_state(account, &named("INBOX"))
        .expect("it reads");
    drop(store);
    let store = world.open();
    let after = store
        .mailbox_state(account, &named("INBOX"))
        .expect("it reads");
    assert_eq!(before.mailbox, after.mailbox);
    assert_eq!(before.uid_validity, after.uid_validity);
    assert_eq!(before.changes, after.changes);
}

#[test]
fn after_the_machine_went_down_modseqs_go_on_at_the_ceiling() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    let before = modseq_of(&store, account, "INBOX");
    drop(store);
    let store = world.open();
    save(&store, account, "INBOX", "two");
    let same_run = modseq_of(&store, account, "INBOX");
    assert_eq!(same_run.0, before.0 + 1);
    drop(store);
    let store = world.open_with(ChangedFiles::after_reboot());
    let uid_validity = uid_validity_of(&store, account, "INBOX");
    save(&store, account, "INBOX", "three");
    let after = modseq_of(&store, account, "INBOX");
    assert!(after.0 >= limits::MODSEQ_BLOCK, "{after:?}");
    assert_eq!(uid_validity_of(&store, account, "INBOX"), uid_validity);
    assert_eq!(uids_in(&store, account, "INBOX"), [1, 2, 3]);
}

#[test]
fn modseqs_grow_past_the_ceiling() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    let inbox = id_of(&store, account, "INBOX");
    let mut last = modseq_of(&store, account, "INBOX");
    for round in 0..4 {
        let toggle = |number| AccountWrite::StoreFlags {
            mailbox: inbox,
            uids: uid_set(&[1]),
            mode: match number % 2 {
                0 => StoreMode::Add,
                _ => StoreMode::Remove,
            },
            flags: Flags::system(SystemFlags::SEEN),
            unchanged_since: None,
        };
        let count = 4_000;
        let batch = (0..count).map(toggle).collect();
        let written = store
            .write_account(NOW, account, batch, &[])
            .expect("it writes");
        assert!(written.results.iter().all(Result::is_ok));
        let modseq = modseq_of(&store, account, "INBOX");
        assert_eq!(modseq.0, last.0 + count, "round {round}");
        last = modseq;
    }
    assert!(last.0 > limits::MODSEQ_BLOCK);
}

#[test]
fn a_restored_copy_gets_new_uid_validities_and_higher_modseqs() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    drop(store);
    let copy = world.folder.path().join("copy");
    copy_folder(&world.account_folder("ann"), &copy);
    let store = world.open();
    save(&store, account, "INBOX", "two");
    let modseq = modseq_of(&store, account, "INBOX");
    let before: Vec<u32> = names(&store, account)
        .iter()
        .map(|name| uid_validity_of(&store, account, name))
        .collect();
    drop(store);
    restore(&copy, &world.account_folder("ann"));
    let store = world.open();
    assert_eq!(uids_in(&store, account, "INBOX"), [1]);
    for name in names(&store, account) {
        let after = uid_validity_of(&store, account, &name);
        assert!(before.iter().all(|&before| before < after), "{name}");
    }
    save(&store, account, "INBOX", "three");
    assert!(modseq_of(&store, account, "INBOX") > modseq);
    let settled = uid_validity_of(&store, account, "INBOX");
    drop(store);
    assert_eq!(uid_validity_of(&world.open(), account, "INBOX"), settled);
}

#[test]
fn an_account_whose_folder_is_lost_starts_anew_above_all_it_had() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    let uid_validity = uid_validity_of(&store, account, "Trash");
    let modseq = modseq_of(&store, account, "INBOX");
    drop(store);
    fs::remove_dir_all(world.account_folder("ann")).expect("it was there");
    let store = world.open();
    assert!(uids_in(&store, account, "INBOX").is_empty());
    assert!(uid_validity_of(&store, account, "INBOX") > uid_validity);
    assert!(modseq_of(&store, account, "INBOX") > modseq);
}

#[test]
fn two_processes_see_each_others_changes() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    let account = make_account(&one, "ann@example.com");
    save(&one, account, "INBOX", "from one");
    let since = modseq_of(&two, account, "INBOX");
    save(&two, account, "INBOX", "from two");
    toggle_seen(&one, account, StoreMode::Add);
    let inbox = id_of(&one, account, "INBOX");
    let changes: Changes = two.changes(account, inbox, since).expect("it reads");
    assert_eq!(changes.changed.len(), 2);
    assert_eq!(uids_in(&one, account, "INBOX"), [1, 2]);
    assert_eq!(one.directory_version(), two.directory_version());
}

/// See the list of what can be written: [`AccountWrite`].
#[test]
fn version_of_an_account_is_another_one_after_each_change_in_any_process() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    let account = make_account(&one, "ann@example.com");
    let others = make_account(&one, "bob@example.com");
    let seen = |store: &SqliteStore| store.account_version(account).expect("it reads");
    save(&one, account, "INBOX", "first");
    let mailbox = id_of(&one, account, "INBOX");
    let (uids, uid) = (uid_set(&[1]), uid_set(&[1]).iter().next().expect("one"));
    let name = || "Work".to_owned();
    let writes = [
        AccountWrite::Save {
            mailbox: named("INBOX"),
            messages: vec![message("second")],
        },
        AccountWrite::SetExtras {
            mailbox,
            uid,
            extras: "{}".to_owned(),
        },
        AccountWrite::SetDocument {
            name: name(),
            value: Some("{}".to_owned()),
        },
        AccountWrite::Copy {
            source: mailbox,
            uids: uids.clone(),
            target: named("INBOX"),
        },
        AccountWrite::CreateMailbox {
            name: name(),
            special_use: None,
        },
        AccountWrite::Subscribe {
            name: name(),
            subscribed: true,
        },
        AccountWrite::RenameMailbox {
            mailbox: named("Work"),
            to: "Play".to_owned(),
        },
        AccountWrite::StoreFlags {
            mailbox,
            uids: uids.clone(),
            mode: StoreMode::Add,
            flags: Flags::system(SystemFlags::DELETED),
            unchanged_since: None,
        },
        AccountWrite::Move {
            source: mailbox,
            uids,
            target: named("Play"),
        },
        AccountWrite::DeleteMailbox {
            mailbox: named("Play"),
        },
    ];
    for operation in writes {
        let (by_itself, by_the_other) = (seen(&one), seen(&two));
        uids_in(&one, account, "INBOX");
        save(&one, others, "INBOX", "not hers");
        assert_eq!((seen(&one), seen(&two)), (by_itself, by_the_other));
        write(&one, account, operation.clone()).expect("it can be done");
        assert_ne!(seen(&one), by_itself, "{operation:?}");
        assert_ne!(seen(&two), by_the_other, "{operation:?}");
    }
    let before = seen(&one);
    drop(one);
    let one = world.open();
    let seen = one.account_version(account).expect("it reads");
    assert_ne!(seen, before, "what another store has seen says nothing");
}

#[test]
fn a_look_tells_whether_others_wrote_and_where_they_take_hints() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    let quiet = PeerNews {
        sockets: vec![one.hint_socket()],
        ..PeerNews::default()
    };
    assert_eq!(two.look_at_peers(), Ok(quiet.clone()));
    make_account(&one, "ann@example.com");
    let changed = PeerNews {
        changed: true,
        ..quiet.clone()
    };
    assert_eq!(two.look_at_peers(), Ok(changed));
    assert_eq!(two.look_at_peers(), Ok(quiet));
    let news = one.look_at_peers().expect("it looks");
    assert_eq!(
        (news.changed, news.sockets),
        (false, vec![two.hint_socket()])
    );
}

#[test]
fn a_look_tells_that_another_is_gone_once() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    two.look_at_peers().expect("it looks");
    drop(one);
    let news = two.look_at_peers().expect("it looks");
    assert!(news.died && news.sockets.is_empty());
    assert_eq!(two.look_at_peers(), Ok(PeerNews::default()));
}

#[test]
fn what_a_killed_process_left_is_cleaned_up() {
    let world = World::new();
    let store = world.open();
    let run = world.root().join("run");
    for kind in ["lock", "count", "sock"] {
        fs::write(run.join(format!("dead.{kind}")), [0; 8]).expect("it is written");
    }
    let staged = world.root().join("spool/tmp/dead-1");
    fs::write(&staged, b"half").expect("it is written");
    // Two died while they announced themselves.
    let unborn = ["unborn.new", "unborn.count", "lost.count"].map(|name| run.join(name));
    for path in &unborn {
        fs::write(path, [0; 8]).expect("it is written");
    }
    let news = store.look_at_peers().expect("it looks");
    assert!(news.died && news.sockets.is_empty());
    assert!(!run.join("dead.lock").exists() && !run.join("dead.sock").exists());
    let other = world.open();
    assert!(!staged.exists());
    assert!(!unborn.iter().any(|path| path.exists()));
    assert_eq!(
        other.look_at_peers().expect("it looks").sockets,
        [store.hint_socket()]
    );
}

#[test]
fn uploads_of_the_living_survive_the_start_of_another() {
    let world = World::new();
    let one = world.open();
    let stage = one.stage().expect("there is room");
    one.stage_append(stage, b"half").expect("it is written");
    let _two = world.open();
    let files = fs::read_dir(world.root().join("spool/tmp")).expect("it lists");
    assert_eq!(files.count(), 1);
    one.stage_finish(stage).expect("it is still there");
}

#[test]
fn an_account_deleted_by_another_process_is_gone_here_too() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    let account = make_account(&one, "ann@example.com");
    save(&two, account, "INBOX", "one");
    write_directory(&one, DirectoryWrite::DeleteAccount(account)).expect("it is there");
    assert_eq!(two.mailboxes(account), Err(StoreError::NoSuchAccount));
    let again = make_account(&two, "ann@example.com");
    assert!(uids_in(&two, again, "INBOX").is_empty());
}

#[test]
fn a_writer_in_another_process_is_busy_and_not_waited_for() {
    let world = World::new();
    let store = world.open();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    let other = rusqlite::Connection::open(world.account_folder("ann").join("mail.db"));
    let other = other.expect("it opens");
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let write = AccountWrite::Subscribe {
        name: "a".to_owned(),
        subscribed: true,
    };
    let busy = store.write_account(NOW, account, vec![write], &[]);
    assert_eq!(busy.err(), Some(StoreError::Busy));
    assert_eq!(uids_in(&store, account, "INBOX"), [1]);
}

#[test]
fn more_accounts_than_are_held_open_can_be_used() {
    let world = World::new();
    let store = world.open();
    let count = limits::OPEN_ACCOUNTS + 3;
    let accounts: Vec<AccountId> = (0..count)
        .map(|number| make_account(&store, &format!("u{number}@example.com")))
        .collect();
    for round in 1..=2 {
        for &account in &accounts {
            assert_eq!(save(&store, account, "INBOX", "one").get(), round);
        }
    }
    let open = fs::read_dir("/proc/self/fd").expect("it lists");
    let of_this_root = open.filter(|entry| {
        let link = entry
            .as_ref()
            .ok()
            .and_then(|entry| fs::read_link(entry.path()).ok());
        link.is_some_and(|path| path.starts_with(world.root()) && path.ends_with("mail.db"))
    });
    assert_eq!(of_this_root.count(), limits::OPEN_ACCOUNTS);
}
