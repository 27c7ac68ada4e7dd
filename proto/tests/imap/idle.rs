//! IDLE.

use std::time::Duration;

use rmail_proto::{Close, Event, Instant, Notice, imap::NoCode, limits};

use crate::world::{Memory, login, select};

#[test]
fn news_are_told_at_once_until_done() {
    let mut client = select(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling",
    );
    client.world.deliver("\r\n");
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "S: * 1 EXISTS
         S: * 1 RECENT",
    );
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.expect_silence();
    client.world.inbox().remove(&[1]);
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "S: * 1 EXPUNGE
         S: * 0 RECENT
         C: done
         S: a OK Idle completed
         C: b NOOP
         S: b OK *",
    );
}

#[test]
fn what_is_known_already_is_told_when_idle_begins() {
    let mut client = select(Memory::new());
    client.world.deliver("\r\n");
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a IDLE
         S: + idling
         S: * 1 EXISTS
         S: * 1 RECENT",
    );
}

#[test]
fn notice_between_the_bytes_of_done_changes_nothing() {
    let mut client = select(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling",
    );
    client.send(b"DO");
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: NE
         S: a OK *",
    );
}

#[test]
fn anything_but_done_is_a_fault() {
    let mut client = login(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling
         C: b NOOP
         S: a BAD *
         C: c NOOP
         S: c OK *
         C: d IDLE
         S: + idling",
    );
    client.send(&[b'x'; limits::IMAP_IDLE_LINE_BYTES]);
    client.play(
        "C: 
         S: d BAD *",
    );
}

#[test]
fn idle_is_kept_alive_for_hours() {
    let mut client = select(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling",
    );
    for _ in 0..100 {
        client.pass(limits::IMAP_KEEP_ALIVE_INTERVAL);
        client.play("S: * OK Still here");
    }
    client.play(
        "C: DONE
         S: a OK *",
    );
}

#[test]
fn shutdown_ends_idle_at_once() {
    let mut client = select(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling",
    );
    let grace_until = Instant::from_start(Duration::from_secs(9999));
    client.handle(Event::Shutdown { grace_until });
    client.play("S: * BYE [UNAVAILABLE] *");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn notice_during_a_refresh_leads_to_another_one() {
    let mut client = select(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling",
    );
    client.world.hold = Some("Refresh");
    client.handle(Event::Notice(Notice::MailboxChanged));
    let id = client.held.pop_front().unwrap();
    let reply = client.world.refresh();
    client.world.deliver("\r\n");
    client.world.hold = None;
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.handle(Event::Reply(id, reply));
    client.play(
        "S: * 1 EXISTS
         S: * 1 RECENT",
    );
}

#[test]
fn refresh_that_fails_is_tried_again_with_the_sign_of_life() {
    let mut client = select(Memory::new());
    client.play(
        "C: a IDLE
         S: + idling",
    );
    client.world.refuse = Some(("Refresh", NoCode::Unavailable));
    client.world.deliver("\r\n");
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.expect_silence();
    client.world.refuse = None;
    client.pass(limits::IMAP_KEEP_ALIVE_INTERVAL);
    client.play(
        "S: * OK Still here
         S: * 1 EXISTS
         S: * 1 RECENT",
    );
}
