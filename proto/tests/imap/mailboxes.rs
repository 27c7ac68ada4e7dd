//! LIST, LSUB, STATUS, and commands that make, rename and delete mailboxes.

use rmail_proto::imap::SpecialUse;

use crate::world::{Client, Memory, login, select};

fn with_folders() -> Client {
    let mut world = Memory::new();
    world.make("Sent", Some(SpecialUse::Sent));
    world.make("Work", None);
    world.make("Work too", None);
    world.make("Work/2024", None);
    world.make("Lists/Rust/internals", None);
    world.make("Entwürfe", Some(SpecialUse::Drafts));
    world.subscribe("INBOX");
    world.subscribe("Work/2024");
    world.subscribe("Gone/child");
    login(world)
}

#[test]
fn list_names_mailboxes_with_children_uses_and_encoded_names() {
    with_folders().play(
        "C: a LIST \"\" *
         S: * LIST (\\HasNoChildren \\Drafts) \"/\" Entw&APw-rfe
         S: * LIST (\\HasNoChildren) \"/\" INBOX
         S: * LIST (\\Noselect \\HasChildren) \"/\" Lists
         S: * LIST (\\Noselect \\HasChildren) \"/\" Lists/Rust
         S: * LIST (\\HasNoChildren) \"/\" Lists/Rust/internals
         S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
         S: * LIST (\\HasChildren) \"/\" Work
         S: * LIST (\\HasNoChildren) \"/\" \"Work too\"
         S: * LIST (\\HasNoChildren) \"/\" Work/2024
         S: a OK List completed",
    );
}

#[test]
fn percent_and_reference_select_one_level() {
    with_folders().play(
        "C: a LIST \"\" %
         S: * LIST (\\HasNoChildren \\Drafts) \"/\" Entw&APw-rfe
         S: * LIST (\\HasNoChildren) \"/\" INBOX
         S: * LIST (\\Noselect \\HasChildren) \"/\" Lists
         S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
         S: * LIST (\\HasChildren) \"/\" Work
         S: * LIST (\\HasNoChildren) \"/\" \"Work too\"
         S: a OK *
         C: b LIST Work/ %
         S: * LIST (\\HasNoChildren) \"/\" Work/2024
         S: b OK *
         C: c LIST \"\" \"\"
         S: * LIST (\\Noselect) \"/\" \"\"
         S: c OK *
         C: d LIST \"\" inbox
         S: * LIST (\\HasNoChildren) \"/\" INBOX
         S: d OK *",
    );
}

#[test]
fn lsub_names_what_is_subscribed_and_the_parents_that_percent_stops_at() {
    with_folders().play(
        "C: a LSUB \"\" *
         S: * LSUB (\\Noselect) \"/\" Gone/child
         S: * LSUB () \"/\" INBOX
         S: * LSUB () \"/\" Work/2024
         S: a OK Lsub completed
         C: b LSUB \"\" %
         S: * LSUB (\\Noselect) \"/\" Gone
         S: * LSUB () \"/\" INBOX
         S: * LSUB (\\Noselect) \"/\" Work
         S: b OK *",
    );
}

#[test]
fn extended_list_selects_and_returns() {
    with_folders().play(
        "C: a LIST (SUBSCRIBED) \"\" *
         S: * LIST (\\NonExistent \\Noselect \\HasNoChildren \\Subscribed) \"/\" Gone/child
         S: * LIST (\\HasNoChildren \\Subscribed) \"/\" INBOX
         S: * LIST (\\HasNoChildren \\Subscribed) \"/\" Work/2024
         S: a OK *
         C: b LIST (SPECIAL-USE) \"\" *
         S: * LIST (\\HasNoChildren \\Drafts) \"/\" Entw&APw-rfe
         S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
         S: b OK *
         C: c LIST \"\" (INBOX Sent) RETURN (SUBSCRIBED STATUS (MESSAGES UNSEEN))
         S: * LIST (\\HasNoChildren \\Subscribed) \"/\" INBOX
         S: * STATUS INBOX (MESSAGES 0 UNSEEN 0)
         S: * LIST (\\HasNoChildren \\Sent) \"/\" Sent
         S: * STATUS Sent (MESSAGES 0 UNSEEN 0)
         S: c OK *
         C: d LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
         S: * LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" Gone (\"CHILDINFO\" (\"SUBSCRIBED\"))
         S: * LIST (\\HasNoChildren \\Subscribed) \"/\" INBOX
         S: * LIST (\\HasChildren) \"/\" Work (\"CHILDINFO\" (\"SUBSCRIBED\"))
         S: d OK *",
    );
}

#[test]
fn status_tells_what_was_asked_in_that_order() {
    let mut world = Memory::new();
    world.deliver("Subject: x\r\n\r\n");
    login(world).play(
        "C: a STATUS INBOX (UIDNEXT MESSAGES UNSEEN RECENT UIDVALIDITY HIGHESTMODSEQ SIZE MAILBOXID)
         S: * STATUS INBOX (UIDNEXT 2 MESSAGES 1 UNSEEN 1 RECENT 1 UIDVALIDITY 7 HIGHESTMODSEQ 2 SIZE 14 MAILBOXID (F*1))
         S: a OK Status completed
         C: b STATUS Nowhere (MESSAGES)
         S: b NO [NONEXISTENT] *",
    );
}

#[test]
fn mailboxes_are_made_renamed_subscribed_and_deleted() {
    login(Memory::new()).play(
        "C: a CREATE Archive/
         S: a OK [MAILBOXID (F*2)] *
         C: b CREATE Archive
         S: b NO [ALREADYEXISTS] *
         C: c CREATE Papierkorb (USE (\\Trash))
         S: c OK *
         C: d RENAME Archive Archiv
         S: d OK *
         C: e RENAME Archive Archiv
         S: e NO [NONEXISTENT] *
         C: f SUBSCRIBE Archiv
         S: f OK Subscribe completed
         C: g LSUB \"\" *
         S: * LSUB () \"/\" Archiv
         S: g OK *
         C: h UNSUBSCRIBE Archiv
         S: h OK Unsubscribe completed
         C: i DELETE Archiv
         S: i OK *
         C: j DELETE Archiv
         S: j NO [NONEXISTENT] *
         C: k LIST \"\" *
         S: * LIST (\\HasNoChildren) \"/\" INBOX
         S: * LIST (\\HasNoChildren \\Trash) \"/\" Papierkorb
         S: k OK *",
    );
}

#[test]
fn deleting_the_selected_mailbox_leaves_it() {
    let mut client = select(Memory::new());
    client.play(
        "C: a DELETE INBOX
         S: a OK *
         C: b CHECK
         S: b BAD No mailbox is selected",
    );
}

#[test]
fn long_list_is_told_in_full() {
    let mut world = Memory::new();
    for number in 0..500 {
        world.make(&format!("m{number:03}"), None);
    }
    let mut client = login(world);
    client.send(b"a LIST \"\" *\r\n");
    let sent = client.take_sent();
    assert_eq!(sent.matches("* LIST ").count(), 501);
}
