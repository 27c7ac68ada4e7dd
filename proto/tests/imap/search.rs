//! SEARCH.

use rmail_proto::{Event, Notice, SystemFlags, limits};

use crate::world::{Client, Memory, flags, login, select};

fn with_messages() -> Client {
    let mut world = Memory::new();
    world.deliver("Subject: apples\r\n\r\nred\r\n");
    world.deliver("Subject: pears\r\n\r\ngreen\r\n");
    world.deliver("Subject: cherries\r\n\r\nred too\r\n");
    world
        .inbox()
        .set_flags(2, flags(SystemFlags::SEEN, &["$Work"]));
    select(world)
}

#[test]
fn flags_numbers_and_uids_are_decided_in_memory() {
    let mut client = with_messages();
    client.play(
        "C: a SEARCH UNSEEN
         S: * SEARCH 1 3
         S: a OK Search completed
         C: b UID SEARCH NOT 2 RECENT
         S: * SEARCH 1 3
         S: b OK *
         C: c SEARCH OR KEYWORD $Work UID 3:*
         S: * SEARCH 2 3
         S: c OK *
         C: d SEARCH OLD
         S: * SEARCH
         S: d OK *
         C: e SEARCH NEW
         S: * SEARCH 1 3
         S: e OK *
         C: f SEARCH 4
         S: f BAD *
         C: g UID SEARCH UID 4:*
         S: * SEARCH 3
         S: g OK *",
    );
    assert!(client.world.calls.is_empty());
}

#[test]
fn texts_are_looked_for_in_what_flags_leave_open() {
    let mut client = with_messages();
    client.play(
        "C: a SEARCH BODY red
         S: * SEARCH 1 3
         S: a OK *
         C: b UID SEARCH UNSEEN SUBJECT pears
         S: * SEARCH
         S: b OK *
         C: c SEARCH CHARSET UTF-8 OR SEEN TEXT cherries
         S: * SEARCH 2 3
         S: c OK *
         C: d SEARCH SINCE 5-Mar-2024 LARGER 24 SMALLER 1000
         S: * SEARCH 2 3
         S: d OK *",
    );
    let asked = &client.world.calls[1];
    assert!(asked.starts_with("Search"), "{asked}");
    assert!(
        !asked.contains("Uid(2)"),
        "a seen message was asked about: {asked}"
    );
}

#[test]
fn esearch_returns_what_was_asked() {
    with_messages().play(
        "C: a SEARCH RETURN (MIN MAX COUNT ALL) UNSEEN
         S: * ESEARCH (TAG \"a\") MIN 1 MAX 3 ALL 1,3 COUNT 2
         S: a OK *
         C: b UID SEARCH RETURN () 1:*
         S: * ESEARCH (TAG \"b\") UID ALL 1:3
         S: b OK *
         C: c SEARCH RETURN (COUNT) DRAFT
         S: * ESEARCH (TAG \"c\") COUNT 0
         S: c OK *",
    );
}

#[test]
fn messages_are_found_by_their_ids() {
    with_messages().play(
        "C: a SEARCH EMAILID M00000000000000000000000000000002
         S: * SEARCH 2
         S: a OK *
         C: b SEARCH THREADID T00000000000000000000000000000005
         S: * SEARCH 1 2 3
         S: b OK *
         C: c SEARCH EMAILID elsewhere
         S: * SEARCH
         S: c OK *
         C: d SEARCH EMAILID \"no id\"
         S: d BAD *",
    );
}

#[test]
fn search_for_modseq_tells_the_highest_found() {
    with_messages().play(
        "C: a SEARCH MODSEQ 4
         S: * SEARCH 2 3 (MODSEQ 5)
         S: a OK *
         C: b SEARCH MODSEQ 99
         S: * SEARCH
         S: b OK *",
    );
}

#[test]
fn message_that_has_gone_does_not_match() {
    let mut client = with_messages();
    client.world.inbox().remove(&[1]);
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a SEARCH ALL
         S: * SEARCH 1 2 3
         S: a OK *
         C: b SEARCH ALL
         S: * SEARCH 2 3
         S: b OK *
         C: c UID SEARCH ALL
         S: * SEARCH 2 3
         S: * 1 EXPUNGE
         S: * 2 RECENT
         S: c OK *",
    );
}

#[test]
fn large_mailbox_is_searched_in_slices() {
    let mut world = Memory::new();
    let count = limits::SEARCH_MESSAGES * 2 + 7;
    for _ in 0..count {
        world.deliver("Subject: x\r\n\r\n");
    }
    let mut client = login(world);
    client.send(b"a SELECT INBOX\r\nb SEARCH SUBJECT x\r\n");
    let sent = client.take_sent();
    let line = sent
        .lines()
        .find(|line| line.starts_with("* SEARCH"))
        .unwrap();
    assert_eq!(line.split(' ').count(), 2 + count);
    let searches = client
        .world
        .calls
        .iter()
        .filter(|call| call.starts_with("Search"));
    assert_eq!(searches.count(), 3);
}
