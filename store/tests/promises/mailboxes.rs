//! Mailboxes and their names.

use rmail_proto::{AccountId, MailboxId};
use rmail_store::{
    AccountWrite, AccountWritten, MailboxRef, SqliteStore, Store, StoreError, limits,
};

use crate::world::{
    World, id_of, make_account, named, names, save, uid_validity_of, uids_in, write,
};

const FIRST: [&str; 6] = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"];

struct Ann {
    store: SqliteStore,
    account: AccountId,
    _world: World,
}

fn ann() -> Ann {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    Ann {
        store,
        account,
        _world: world,
    }
}

impl Ann {
    fn create(&self, name: &str) -> Result<MailboxId, StoreError> {
        let create = AccountWrite::CreateMailbox {
            name: name.to_owned(),
            special_use: None,
        };
        match write(&self.store, self.account, create)? {
            AccountWritten::Made(id) => Ok(id),
            other => panic!("{other:?}"),
        }
    }

    fn delete(&self, name: &str) -> Result<AccountWritten, StoreError> {
        let mailbox = named(name);
        write(
            &self.store,
            self.account,
            AccountWrite::DeleteMailbox { mailbox },
        )
    }

    fn rename(&self, from: &str, to: &str) -> Result<AccountWritten, StoreError> {
        let rename = AccountWrite::RenameMailbox {
            mailbox: named(from),
            to: to.to_owned(),
        };
        write(&self.store, self.account, rename)
    }

    fn subscribe(&self, name: &str, subscribed: bool) {
        let subscribe = AccountWrite::Subscribe {
            name: name.to_owned(),
            subscribed,
        };
        write(&self.store, self.account, subscribe).expect("it subscribes");
    }

    /// All names but those of a new account, which must be there.
    fn names(&self) -> Vec<String> {
        let mut names = names(&self.store, self.account);
        names.retain(|name| !FIRST.contains(&name.as_str()));
        names
    }
}

#[test]
fn creating_makes_what_is_above() {
    let ann = ann();
    ann.create("a/b/c").expect("it is made");
    assert_eq!(ann.names(), ["a", "a/b", "a/b/c"]);
    assert_eq!(ann.create("a/b"), Err(StoreError::MailboxExists));
}

#[test]
fn a_final_separator_is_dropped() {
    let ann = ann();
    ann.create("a/").expect("it is made");
    assert_eq!(ann.names(), ["a"]);
}

#[test]
fn inbox_is_one_mailbox_in_any_case() {
    let ann = ann();
    assert_eq!(ann.create("inBox"), Err(StoreError::MailboxExists));
    ann.create("inbox/sub").expect("it is made");
    assert_eq!(ann.names(), ["INBOX/sub"]);
    assert_eq!(
        id_of(&ann.store, ann.account, "Inbox"),
        id_of(&ann.store, ann.account, "INBOX")
    );
}

#[test]
fn names_have_bounds_and_no_empty_or_control_parts() {
    let ann = ann();
    for name in ["", "/", "a//b", "/a", "a\u{7}b", "a\n"] {
        assert_eq!(
            ann.create(name),
            Err(StoreError::MailboxProtected),
            "{name:?}"
        );
    }
    let too_deep = vec!["a"; limits::MAILBOX_DEPTH + 1].join("/");
    assert!(matches!(ann.create(&too_deep), Err(StoreError::TooMany(_))));
    let too_long = "a".repeat(limits::MAILBOX_NAME_BYTES + 1);
    assert!(matches!(ann.create(&too_long), Err(StoreError::TooMany(_))));
    let longest = "a".repeat(limits::MAILBOX_NAME_BYTES);
    assert!(ann.create(&longest).is_ok());
}

#[test]
fn a_deleted_mailbox_with_children_stays_as_a_name_alone() {
    let ann = ann();
    ann.create("a/b").expect("it is made");
    save(&ann.store, ann.account, "a", "one");
    ann.delete("a").expect("it is deleted");
    assert_eq!(ann.names(), ["(a)", "a/b"]);
    assert_eq!(ann.delete("a"), Err(StoreError::NoSuchMailbox));
    ann.create("a").expect("the name is free");
    assert!(uids_in(&ann.store, ann.account, "a").is_empty());
}

#[test]
fn inbox_is_never_deleted_and_special_mailboxes_may_be() {
    let ann = ann();
    assert_eq!(ann.delete("inbox"), Err(StoreError::MailboxProtected));
    ann.delete("Trash").expect("it is deleted");
    assert_eq!(ann.delete("Trash"), Err(StoreError::NoSuchMailbox));
}

#[test]
fn a_mailbox_made_again_has_another_id_and_uid_validity() {
    let ann = ann();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let id = ann.create("a").expect("the name is free");
        let uid_validity = uid_validity_of(&ann.store, ann.account, "a");
        assert!(seen.iter().all(|&(other, _)| other != id));
        assert!(seen.iter().all(|&(_, other)| other < uid_validity));
        seen.push((id, uid_validity));
        ann.delete("a").expect("it is there");
    }
}

#[test]
fn renaming_takes_children_along_and_keeps_ids() {
    let ann = ann();
    ann.create("a/b/c").expect("it is made");
    let id = id_of(&ann.store, ann.account, "a/b/c");
    let uid_validity = uid_validity_of(&ann.store, ann.account, "a/b/c");
    ann.rename("a/b", "x/y/z").expect("it is renamed");
    assert_eq!(ann.names(), ["a", "x", "x/y", "x/y/z", "x/y/z/c"]);
    assert_eq!(id_of(&ann.store, ann.account, "x/y/z/c"), id);
    assert_eq!(
        uid_validity_of(&ann.store, ann.account, "x/y/z/c"),
        uid_validity
    );
}

#[test]
fn renaming_takes_no_neighbour_along() {
    let ann = ann();
    for name in ["a", "a/b", "a-b", "a0", "ab/c"] {
        ann.create(name).expect("it is made");
    }
    ann.rename("a", "z").expect("it is renamed");
    assert_eq!(ann.names(), ["a-b", "a0", "ab", "ab/c", "z", "z/b"]);
}

#[test]
fn renaming_onto_a_mailbox_or_into_itself_is_refused() {
    let ann = ann();
    ann.create("a/b").expect("it is made");
    ann.create("c").expect("it is made");
    assert_eq!(ann.rename("a", "c"), Err(StoreError::MailboxExists));
    assert_eq!(ann.rename("a", "a"), Err(StoreError::MailboxExists));
    assert_eq!(ann.rename("a", "inbox"), Err(StoreError::MailboxExists));
    assert_eq!(ann.rename("a", "a/x"), Err(StoreError::MailboxProtected));
    assert_eq!(ann.rename("nothing", "x"), Err(StoreError::NoSuchMailbox));
    assert_eq!(ann.names(), ["a", "a/b", "c"]);
}

#[test]
fn a_child_that_would_cover_a_mailbox_stops_the_whole_rename() {
    let ann = ann();
    ann.create("a/b").expect("it is made");
    ann.create("c/b").expect("it is made");
    ann.delete("c").expect("it is there");
    assert_eq!(ann.rename("a", "c"), Err(StoreError::MailboxExists));
    assert_eq!(ann.names(), ["a", "a/b", "(c)", "c/b"]);
}

#[test]
fn a_name_with_children_alone_can_be_renamed() {
    let ann = ann();
    ann.create("a/b").expect("it is made");
    ann.delete("a").expect("it is there");
    ann.rename("a", "z").expect("it is renamed");
    assert_eq!(ann.names(), ["(z)", "z/b"]);
}

#[test]
fn renaming_inbox_moves_its_messages_and_leaves_it_with_its_children() {
    let ann = ann();
    ann.create("INBOX/sub").expect("it is made");
    save(&ann.store, ann.account, "INBOX", "one");
    save(&ann.store, ann.account, "INBOX", "two");
    ann.rename("Inbox", "old/mail").expect("it is renamed");
    assert_eq!(ann.names(), ["INBOX/sub", "old", "old/mail"]);
    assert!(uids_in(&ann.store, ann.account, "INBOX").is_empty());
    assert_eq!(uids_in(&ann.store, ann.account, "old/mail").len(), 2);
    assert_eq!(save(&ann.store, ann.account, "INBOX", "three").get(), 3);
}

#[test]
fn subscriptions_outlive_mailboxes_and_need_none() {
    let ann = ann();
    ann.create("a").expect("it is made");
    ann.subscribe("a", true);
    ann.subscribe("never", true);
    ann.delete("a").expect("it is there");
    assert_eq!(ann.names(), ["(a)", "(never)"]);
    ann.subscribe("a", false);
    ann.subscribe("never", false);
    assert!(ann.names().is_empty());
}

#[test]
fn an_account_has_a_bounded_number_of_mailboxes() {
    let ann = ann();
    let room = limits::MAILBOXES_MAX as usize - FIRST.len();
    let create = |number| AccountWrite::CreateMailbox {
        name: format!("m{number}"),
        special_use: None,
    };
    let batch = (0..room + 1).map(create).collect();
    let written = ann
        .store
        .write_account(crate::world::NOW, ann.account, batch, &[]);
    let results = written.expect("it writes").results;
    assert!(results[..room].iter().all(Result::is_ok));
    assert_eq!(results[room], Err(StoreError::TooMany("mailboxes")));
}

#[test]
fn an_account_has_a_bounded_number_of_subscriptions() {
    let ann = ann();
    let room = limits::SUBSCRIPTIONS_MAX as usize - FIRST.len();
    let subscribe = |number| AccountWrite::Subscribe {
        name: format!("s{number}"),
        subscribed: true,
    };
    let batch = (0..=room).chain([0]).map(subscribe).collect();
    let written = ann
        .store
        .write_account(crate::world::NOW, ann.account, batch, &[]);
    let results = written.expect("it writes").results;
    assert!(results[..room].iter().all(Result::is_ok));
    assert_eq!(results[room], Err(StoreError::TooMany("subscriptions")));
    assert_eq!(results[room + 1], Ok(AccountWritten::Done));
}

#[test]
fn a_mailbox_that_is_gone_is_not_found_by_its_id() {
    let ann = ann();
    let id = ann.create("a").expect("it is made");
    ann.delete("a").expect("it is there");
    let status = ann.store.status(ann.account, &MailboxRef::Id(id));
    assert_eq!(status, Err(StoreError::NoSuchMailbox));
}
