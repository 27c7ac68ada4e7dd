//! APPEND.

use std::time::Duration;

use rmail_proto::{Close, Event, Instant, SystemFlags, imap::NoCode, limits};

use crate::world::{Client, Memory, login, select};

fn client() -> Client {
    let mut world = Memory::new();
    world.make("Sent", None);
    login(world)
}

#[test]
fn message_is_stored_with_flags_and_date() {
    let mut client = client();
    client.play(
        "C: a APPEND Sent (\\Seen $Forwarded) \" 1-Feb-2024 10:00:00 +0100\" {14}
         S: + OK",
    );
    client.play(
        "C: Subject: x
         C: 
         C: 
         S: a OK [APPENDUID 7 1] Append completed",
    );
    let message = &client.world.folder("Sent").messages[0];
    assert_eq!(&message.raw[..], b"Subject: x\r\n\r\n");
    assert!(message.flags.system.contains(SystemFlags::SEEN));
    assert_eq!(message.flags.keywords.len(), 1);
}

#[test]
fn literal_that_does_not_wait_is_taken_at_once() {
    let mut client = client();
    client.play(
        "C: a APPEND Sent {3+}
         C: abc
         S: a OK [APPENDUID 7 1] *",
    );
    assert_eq!(&client.world.folder("Sent").messages[0].raw[..], b"abc");
}

#[test]
fn several_messages_are_stored_together() {
    let mut client = client();
    client.play(
        "C: a APPEND Sent {3+}
         C: abc (\\Seen) {2+}
         C: de
         S: a OK [APPENDUID 7 1:2] *",
    );
    client.play(
        "C: b APPEND Sent {3+}
         C: abc {2000000}
         S: b NO [TOOBIG] *
         C: c APPEND Sent {3+}
         C: abc nonsense
         S: c BAD *
         C: d NOOP
         S: d OK *",
    );
    assert_eq!(client.world.folder("Sent").messages.len(), 2);
    assert_eq!(client.world.open_uploads(), 0);
}

#[test]
fn too_many_messages_at_once_are_refused() {
    let mut client = client();
    let mut wire = b"a APPEND Sent".to_vec();
    for _ in 0..=limits::APPEND_MESSAGES {
        wire.extend_from_slice(b" {1+}\r\nx");
    }
    wire.extend_from_slice(b"\r\n");
    client.send(&wire);
    assert!(client.take_sent().starts_with("a NO [LIMIT]"));
    assert_eq!(client.world.open_uploads(), 0);
    client.play(
        "C: b NOOP
         S: b OK *",
    );
}

#[test]
fn message_that_can_not_be_stored_is_refused_before_it_comes() {
    let mut client = client();
    client.play(
        "C: a APPEND Nowhere {14}
         S: a NO [TRYCREATE] *
         C: b APPEND Sent {1000001}
         S: b NO [TOOBIG] *
         C: c APPEND Sent {0}
         S: c NO Message is empty
         C: d NOOP
         S: d OK *",
    );
}

#[test]
fn refused_message_that_comes_anyway_is_dropped() {
    let mut client = client();
    client.play(
        "C: a APPEND Nowhere {7+}
         C: b NOOP
         S: a NO [TRYCREATE] *
         C: c NOOP
         S: c OK *",
    );
    client.world.refuse = Some(("Chunk", NoCode::OverQuota));
    client.play(
        "C: d APPEND Sent {7+}
         C: e NOOP
         S: d NO [OVERQUOTA] *
         C: f NOOP
         S: f OK *",
    );
    assert!(client.world.folder("Sent").messages.is_empty());
}

#[test]
fn append_needs_a_login() {
    let mut client = crate::world::connect_to(Memory::new(), rmail_proto::imap::Tls::Unavailable);
    client.take_sent();
    client.play(
        "C: a APPEND INBOX {3+}
         C: abc
         S: a BAD *
         C: b APPEND INBOX {3}
         S: b BAD *
         C: c NOOP
         S: c OK *",
    );
}

#[test]
fn large_message_goes_in_pieces_and_two_are_in_flight() {
    let mut client = client();
    let raw = vec![b'x'; 300_000];
    client.send(b"a APPEND Sent {300000+}\r\n");
    client.world.hold = Some("Chunk");
    let taken = client.offer(&raw);
    assert_eq!(taken, 2 * limits::UPLOAD_CHUNK_BYTES);
    assert_eq!(client.held.len(), limits::UPLOAD_CHUNKS_IN_FLIGHT);
    client.world.hold = None;
    let id = client.held.pop_front().unwrap();
    client.handle(Event::Reply(id, rmail_proto::imap::Reply::Done));
    assert!(client.offer(&raw[taken..]) > 0);
    client.handle(Event::PeerClosed);
    assert!(client.held.is_empty());
    assert_eq!(client.world.open_uploads(), 0);

    let mut client = self::client();
    client.send(b"a APPEND Sent {300000+}\r\n");
    client.send(&raw);
    client.play(
        "C: 
         S: a OK [APPENDUID 7 1] *",
    );
    assert_eq!(client.world.largest_piece_bytes, limits::UPLOAD_CHUNK_BYTES);
    assert!(client.world.folder("Sent").messages[0].raw == raw);
}

#[test]
fn refused_chunk_ends_in_one_no_after_the_literal() {
    let mut client = client();
    client.world.refuse = Some(("Chunk", NoCode::OverQuota));
    client.send(b"a APPEND Sent {300000+}\r\n");
    client.send(&vec![b'x'; 300_000]);
    client.play(
        "C: 
         S: a NO [OVERQUOTA] *
         C: b NOOP
         S: b OK *",
    );
    assert_eq!(client.world.open_uploads(), 0);
}

#[test]
fn append_to_the_selected_mailbox_shows_it_first() {
    let mut client = select(Memory::new());
    client.play(
        "C: a APPEND INBOX {3+}
         C: abc
         S: * 1 EXISTS
         S: * 1 RECENT
         S: a OK [APPENDUID 7 1] *",
    );
}

#[test]
fn store_that_fails_discards_the_uploads() {
    let mut client = client();
    client.world.refuse = Some(("Append {", NoCode::Unavailable));
    client.play(
        "C: a APPEND Sent {3+}
         C: abc
         S: a NO [UNAVAILABLE] *",
    );
    assert_eq!(client.world.open_uploads(), 0);
}

#[test]
fn message_that_does_not_come_ends_the_session() {
    let mut client = client();
    client.play(
        "C: a APPEND Sent {3}
         S: + OK",
    );
    client.pass(limits::IMAP_DATA_TIMEOUT);
    client.play("S: * BYE *");
    assert_eq!(client.closed, Some(Close::Flush));
}

#[test]
fn shutdown_lets_an_upload_finish() {
    let mut client = client();
    client.play(
        "C: a APPEND Sent {3}
         S: + OK",
    );
    let grace_until = Instant::from_start(Duration::from_secs(9999));
    client.handle(Event::Shutdown { grace_until });
    client.play(
        "C: abc
         S: a OK *
         S: * BYE [UNAVAILABLE] *",
    );
}

#[test]
fn refused_chunk_cancels_the_check_of_the_next_message() {
    let mut client = client();
    client.world.hold = Some("Chunk");
    client.send(b"a APPEND Sent {3+}\r\nabc");
    client.world.hold = Some("AppendCheck");
    client.send(b" {3+}\r\n");
    assert_eq!(client.held.len(), 2);
    let id = client.held.pop_front().unwrap();
    let no = rmail_proto::imap::No {
        code: NoCode::OverQuota,
        text: "Full".into(),
    };
    client.world.refuse = Some(("Discard", NoCode::Unavailable));
    client.handle(Event::Reply(id, rmail_proto::imap::Reply::No(no)));
    assert!(client.held.is_empty());
    client.play(
        "S: a NO [OVERQUOTA] Full
         C: def
         C: b NOOP
         S: b OK *",
    );
}

#[test]
fn client_that_leaves_before_its_message_comes_leaves_nothing_to_discard() {
    let mut client = client();
    client.send(b"a APPEND Sent {3+}\r\n");
    client.handle(Event::PeerClosed);
    assert!(
        !client
            .world
            .calls
            .iter()
            .any(|call| call.starts_with("Discard"))
    );
}

#[test]
fn message_that_trickles_is_given_up_and_one_that_keeps_the_rate_is_not() {
    let enough = usize::try_from(60 * limits::CONTENT_BYTES_PER_SECOND).unwrap();
    for bytes in [1, enough] {
        let mut client = login(Memory::new());
        client.play(
            "C: a APPEND INBOX {700000}
             S: + *",
        );
        let minutes = (1..10).find(|_| {
            client.pass(Duration::from_secs(60));
            if client.closed.is_none() {
                client.send(&vec![b'x'; bytes]);
            }
            client.closed.is_some()
        });
        assert_eq!(
            minutes.is_some(),
            bytes < enough,
            "{bytes} bytes: {minutes:?}"
        );
        assert!(minutes <= Some(limits::IMAP_DATA_TIMEOUT.as_secs() / 60 + 1));
    }
}

/// The time for a command is over with the command.
#[test]
fn after_an_append_a_client_may_be_silent_as_long_as_ever() {
    let mut client = client();
    client.send(b"a APPEND Sent {14+}\r\nSubject");
    client.pass(Duration::from_secs(60));
    client.send(b": x\r\n\r\n");
    client.send(b"\r\n");
    client.play("S: a OK *");
    client.pass(limits::IMAP_COMMAND_TIMEOUT - Duration::from_secs(1));
    client.expect_silence();
    client.pass(Duration::from_secs(1));
    client.play("S: * BYE *");
}

#[test]
fn rest_of_a_refused_message_may_come_at_the_rate_and_must_not_trickle() {
    let enough = usize::try_from(60 * limits::CONTENT_BYTES_PER_SECOND).unwrap();
    for bytes in [1, enough] {
        let mut client = login(Memory::new());
        client.send(b"a APPEND INBOX {2000000+}\r\n");
        client.play("S: a NO [TOOBIG] *");
        let minutes = (1..20).find(|_| {
            client.pass(Duration::from_secs(60));
            if client.closed.is_none() {
                client.send(&vec![b'x'; bytes]);
            }
            client.closed.is_some()
        });
        assert_eq!(
            minutes.is_some(),
            bytes < enough,
            "{bytes} bytes: {minutes:?}"
        );
    }
}
