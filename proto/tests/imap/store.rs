//! STORE, EXPUNGE, COPY and MOVE.

use rmail_proto::{Event, Notice, SystemFlags};

use crate::world::{Client, Memory, flags, open, select};

fn with_messages(count: u32) -> Client {
    let mut world = Memory::new();
    world.make("Archive", None);
    for _ in 0..count {
        world.deliver("Subject: x\r\n\r\n");
    }
    let mut client = select(world);
    client.send(b"a EXAMINE INBOX\r\na SELECT INBOX\r\n");
    client.take_sent();
    client.world.take_calls();
    client
}

#[test]
fn store_tells_the_flags_of_each_message_that_it_named() {
    with_messages(2).play(
        "C: a STORE 1:2 +FLAGS (\\Seen \\Flagged)
         S: * 1 FETCH (FLAGS (\\Flagged \\Seen))
         S: * 2 FETCH (FLAGS (\\Flagged \\Seen))
         S: a OK Store completed
         C: b STORE 1 -FLAGS \\Seen
         S: * 1 FETCH (FLAGS (\\Flagged))
         S: b OK *
         C: c UID STORE 2 FLAGS ($New)
         S: * FLAGS (* $New)
         S: * 2 FETCH (UID 2 FLAGS ($New))
         S: c OK *
         C: d STORE 1 +FLAGS (\\Flagged)
         S: * 1 FETCH (FLAGS (\\Flagged))
         S: d OK *
         C: e STORE 3 +FLAGS (\\Seen)
         S: e BAD *
         C: f UID STORE 3 +FLAGS (\\Seen)
         S: f OK *",
    );
}

#[test]
fn silent_store_is_silent_but_for_what_others_did() {
    let mut client = with_messages(2);
    client.play(
        "C: a STORE 1:2 +FLAGS.SILENT (\\Seen)
         S: a OK *",
    );
    client
        .world
        .inbox()
        .set_flags(2, flags(SystemFlags::FLAGGED, &[]));
    client.play(
        "C: b STORE 1:2 +FLAGS.SILENT (\\Answered)
         S: * 2 FETCH (FLAGS (\\Answered \\Flagged))
         S: b OK *",
    );
}

#[test]
fn conditional_store_leaves_changed_messages_alone() {
    let mut client = with_messages(2);
    client
        .world
        .inbox()
        .set_flags(2, flags(SystemFlags::FLAGGED, &[]));
    client.play(
        "C: a UID STORE 1:2 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\\Seen)
         S: * 1 FETCH (UID 1 MODSEQ (5))
         S: * 2 FETCH (UID 2 MODSEQ (4) FLAGS (\\Flagged))
         S: a OK [MODIFIED 2] *
         C: b STORE 2 (UNCHANGEDSINCE 4) +FLAGS (\\Seen)
         S: * 2 FETCH (MODSEQ (6) FLAGS (\\Flagged \\Seen))
         S: b OK *",
    );
}

#[test]
fn read_only_mailbox_can_not_be_changed() {
    let mut world = Memory::new();
    world.deliver("\r\n");
    open(world, "EXAMINE").play(
        "C: a STORE 1 +FLAGS (\\Seen)
         S: a NO *
         C: b MOVE 1 INBOX
         S: b NO *
         C: c COPY 1 INBOX
         S: * 2 EXISTS
         S: * 2 RECENT
         S: c OK [COPYUID 9 1 2] *",
    );
}

#[test]
fn store_to_a_message_that_has_gone_says_so() {
    let mut client = with_messages(2);
    client.world.inbox().remove(&[1]);
    client.play(
        "C: a STORE 1:2 +FLAGS (\\Seen)
         S: * 2 FETCH (FLAGS (\\Seen))
         S: a NO [EXPUNGEISSUED] *
         C: b UID STORE 1:2 +FLAGS (\\Draft)
         S: * 1 EXPUNGE
         S: * 1 FETCH (UID 2 FLAGS (\\Seen \\Draft))
         S: b OK *",
    );
}

#[test]
fn new_messages_are_told_after_store_with_recent() {
    let mut client = with_messages(1);
    client.world.deliver("\r\n");
    client.play(
        "C: a STORE 1 +FLAGS.SILENT (\\Seen)
         S: * 2 EXISTS
         S: * 1 RECENT
         S: a OK *",
    );
}

#[test]
fn expunge_removes_and_tells() {
    let mut client = with_messages(4);
    client.play(
        "C: a STORE 1,3,4 +FLAGS.SILENT (\\Deleted)
         S: a OK *
         C: b UID EXPUNGE 4:9
         S: * 4 EXPUNGE
         S: b OK *
         C: c EXPUNGE
         S: * 1 EXPUNGE
         S: * 2 EXPUNGE
         S: c OK *
         C: d UID EXPUNGE 99
         S: d OK *",
    );
    assert_eq!(client.world.inbox().messages.len(), 1);
}

#[test]
fn copy_answers_with_both_uids() {
    with_messages(3).play(
        "C: a COPY 1,3 Archive
         S: a OK [COPYUID 9 1,3 1:2] Copy completed
         C: b UID COPY 7 Archive
         S: b OK *
         C: c COPY 4 Archive
         S: c BAD *
         C: d COPY 1 Nowhere
         S: d NO [TRYCREATE] *",
    );
}

#[test]
fn copy_into_the_selected_mailbox_shows_the_copies() {
    with_messages(1).play(
        "C: a COPY 1 INBOX
         S: * 2 EXISTS
         S: * 1 RECENT
         S: a OK [COPYUID 9 1 2] *",
    );
}

#[test]
fn move_tells_the_uids_before_it_expunges() {
    let mut client = with_messages(3);
    client.play(
        "C: a MOVE 1:2 Archive
         S: * OK [COPYUID 9 1:2 1:2] Moved
         S: * 1 EXPUNGE
         S: * 1 EXPUNGE
         S: a OK Move completed
         C: b UID MOVE 3 Archive
         S: * OK [COPYUID 9 3 3] Moved
         S: * 1 EXPUNGE
         S: b OK *",
    );
    assert_eq!(client.world.folder("Archive").messages.len(), 3);
}

#[test]
fn copy_by_number_of_a_message_that_has_gone_copies_nothing() {
    let mut client = with_messages(2);
    client.world.inbox().remove(&[1]);
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a FETCH 1 UID
         S: * 1 FETCH (UID 1)
         S: a OK *
         C: b COPY 1:2 Archive
         S: * 1 EXPUNGE
         S: b NO [EXPUNGEISSUED] *",
    );
    assert!(client.world.folder("Archive").messages.is_empty());
}
