//! The directory.

use std::os::unix::fs::PermissionsExt;

use rmail_proto::AccountId;
use rmail_store::{AccountUpdate, DirectoryWrite, Store, StoreError};

use crate::world::{
    World, address, make_account, names, save, try_make_account, uid_validity_of, uids_in,
    write_directory,
};

#[test]
fn a_new_account_has_inbox_and_special_mailboxes_subscribed() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "Ann@Example.com");
    assert_eq!(
        names(&store, account),
        ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]
    );
    let mailboxes = store.mailboxes(account).expect("it lists");
    assert!(mailboxes.iter().all(|mailbox| mailbox.subscribed));
    let special = mailboxes
        .iter()
        .filter(|mailbox| mailbox.special_use.is_some());
    assert_eq!(special.count(), 5);
}

#[test]
fn addresses_match_without_case_and_are_unique() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "Ann@example.com");
    let found = store
        .account_by_address(&address("aNN@EXAMPLE.com"))
        .expect("it reads");
    assert_eq!(found.expect("it is there").id, account);
    assert_eq!(
        try_make_account(&store, "ANN@example.com"),
        Err(StoreError::AddressTaken)
    );
    let ann = store
        .account(account)
        .expect("it reads")
        .expect("it is there");
    assert_eq!(ann.address, address("ann@example.com"));
}

#[test]
fn accounts_are_sorted_by_address() {
    let (store, _world) = World::new_store();
    for text in ["b@b.example", "c@a.example", "a@z.example"] {
        make_account(&store, text);
    }
    let accounts = store.accounts().expect("it lists");
    let addresses: Vec<String> = accounts.iter().map(|a| a.address.to_string()).collect();
    assert_eq!(addresses, ["a@z.example", "b@b.example", "c@a.example"]);
}

#[test]
fn an_update_changes_what_it_names_and_nothing_else() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let before = store
        .account(account)
        .expect("it reads")
        .expect("it is there");
    let update = AccountUpdate {
        quota_bytes: Some(5_000_000_000),
        display_name: Some("Ann".to_owned()),
        is_enabled: Some(false),
        raise_generation: true,
        ..AccountUpdate::default()
    };
    write_directory(&store, DirectoryWrite::UpdateAccount { account, update })
        .expect("there is such an account");
    let after = store
        .account(account)
        .expect("it reads")
        .expect("it is there");
    assert_eq!(after.quota_bytes, 5_000_000_000);
    assert_eq!(after.display_name, "Ann");
    assert!(!after.is_enabled);
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(after.credential, before.credential);
    assert_eq!(after.is_admin, before.is_admin);
}

#[test]
fn each_change_raises_the_directory_version_and_a_failure_does_not() {
    let (store, _world) = World::new_store();
    let version = store.directory_version().expect("it reads");
    make_account(&store, "ann@example.com");
    let changed = store.directory_version().expect("it reads");
    assert!(changed > version);
    assert!(try_make_account(&store, "ann@example.com").is_err());
    assert_eq!(store.directory_version().expect("it reads"), changed);
}

#[test]
fn a_deleted_account_is_gone_with_its_folder() {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    assert!(world.account_folder("ann").exists());
    write_directory(&store, DirectoryWrite::DeleteAccount(account)).expect("it is there");
    assert!(!world.account_folder("ann").exists());
    assert_eq!(store.mailboxes(account), Err(StoreError::NoSuchAccount));
    assert_eq!(
        write_directory(&store, DirectoryWrite::DeleteAccount(account)),
        Err(StoreError::NoSuchAccount)
    );
}

#[test]
fn an_address_made_again_repeats_neither_id_nor_uid_validity() {
    let (store, _world) = World::new_store();
    let first = make_account(&store, "ann@example.com");
    save(&store, first, "INBOX", "one");
    let of_first: Vec<u32> = names(&store, first)
        .iter()
        .map(|name| uid_validity_of(&store, first, name))
        .collect();
    write_directory(&store, DirectoryWrite::DeleteAccount(first)).expect("it is there");
    let second = make_account(&store, "ann@example.com");
    assert_ne!(first, second);
    assert!(uids_in(&store, second, "INBOX").is_empty());
    for name in names(&store, second) {
        let again = uid_validity_of(&store, second, &name);
        assert!(!of_first.contains(&again), "{name}");
    }
}

#[test]
fn an_account_that_never_was_is_no_such_account() {
    let (store, _world) = World::new_store();
    assert_eq!(
        store.usage_bytes(AccountId(77)),
        Err(StoreError::NoSuchAccount)
    );
    assert_eq!(store.account(AccountId(77)), Ok(None));
}

#[test]
fn a_batch_with_a_failing_operation_keeps_the_others() {
    let (store, _world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let rename = |id| DirectoryWrite::UpdateAccount {
        account: id,
        update: AccountUpdate {
            display_name: Some("Ann".to_owned()),
            ..AccountUpdate::default()
        },
    };
    let batch = vec![rename(AccountId(99)), rename(account)];
    let results = store
        .write_directory(crate::world::NOW, batch)
        .expect("it writes");
    assert_eq!(results, [Err(StoreError::NoSuchAccount), Ok(account)]);
    let ann = store
        .account(account)
        .expect("it reads")
        .expect("it is there");
    assert_eq!(ann.display_name, "Ann");
}

#[test]
fn quoted_and_foreign_addresses_stay_within_the_accounts_folder() {
    let (store, world) = World::new_store();
    for text in [
        "\"../../x\"@example.com",
        "\"..\"@example.com",
        "é@exämple.com",
    ] {
        let account = make_account(&store, text);
        save(&store, account, "INBOX", "one");
    }
    let outside = std::fs::read_dir(world.root()).expect("it lists").count();
    let known = ["accounts", "directory.db", "run", "spool", "spool.db"];
    let logs = 4;
    assert_eq!(outside, known.len() + logs);
}

#[test]
fn nobody_else_can_read_the_mail() {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    save(&store, account, "INBOX", "one");
    let mode = |path: &std::path::Path| {
        let metadata = std::fs::metadata(path).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    let folder = world.account_folder("ann");
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("mail.db")), 0o600);
    assert_eq!(mode(&folder.join("mail.db-wal")), 0o600);
    assert_eq!(mode(&world.root().join("directory.db")), 0o600);
}

#[test]
fn a_database_of_a_newer_version_is_refused_with_words() {
    let (store, world) = World::new_store();
    drop(store);
    let path = world.root().join("directory.db");
    let directory = rusqlite::Connection::open(path).expect("it opens");
    directory
        .pragma_update(None, "user_version", 99)
        .expect("it writes");
    drop(directory);
    let files = std::sync::Arc::new(rmail_store::RealFiles);
    let opened = rmail_store::SqliteStore::open(&world.root(), files, None, 99);
    match opened.err() {
        Some(StoreError::Failed(why)) => assert!(why.contains("newer version"), "{why}"),
        other => panic!("{other:?}"),
    }
}
