//! FETCH: items, sections, `\Seen`, large messages, and messages that have gone.

use rmail_proto::{Close, Event, Notice, SystemFlags, imap::NoCode, limits};

use crate::world::{Client, Memory, flags, open, select};

const MESSAGE: &str =
    "From: a@example.com\r\nSubject: Hi\r\n there\r\nX-Y: z\r\n\r\nHello\r\nWorld\r\n";

fn with_message() -> Client {
    let mut world = Memory::new();
    world.deliver(MESSAGE);
    select(world)
}

#[test]
fn flags_uids_and_modseqs_are_answered_from_memory() {
    let mut client = with_message();
    client.world.inbox();
    client.play(
        "C: a FETCH 1 (FLAGS UID)
         S: * 1 FETCH (FLAGS (\\Recent) UID 1)
         S: a OK Fetch completed
         C: b UID FETCH 1:* FLAGS
         S: * 1 FETCH (UID 1 FLAGS (\\Recent))
         S: b OK *
         C: c UID FETCH 1 (FLAGS) (CHANGEDSINCE 1)
         S: * 1 FETCH (UID 1 FLAGS (\\Recent) MODSEQ (2))
         S: c OK *
         C: d FETCH 1 (FLAGS) (CHANGEDSINCE 2)
         S: d OK *
         C: e UID FETCH 77 FLAGS
         S: e OK *",
    );
    assert!(client.world.calls.is_empty());
}

#[test]
fn numbers_that_no_message_has_are_refused() {
    let mut client = with_message();
    client.play(
        "C: a FETCH 2 FLAGS
         S: a BAD *
         C: b FETCH 1:2 FLAGS
         S: b BAD *
         C: c FETCH 1:* FLAGS
         S: * 1 FETCH (FLAGS (\\Recent))
         S: c OK *
         C: d UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)
         S: d BAD *",
    );
    let mut empty = select(Memory::new());
    empty.play(
        "C: a FETCH * FLAGS
         S: a BAD *
         C: b UID FETCH 1:* FLAGS
         S: b OK *",
    );
}

#[test]
fn stored_items_are_told_as_they_were_made() {
    with_message().play(
        "C: a FETCH 1 (INTERNALDATE RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE EMAILID THREADID MODSEQ)
         S: * 1 FETCH (INTERNALDATE \" 5-Mar-2024 10:11:12 +0200\" RFC822.SIZE 66 ENVELOPE (envelope) BODY (body) BODYSTRUCTURE (bodystructure) EMAILID (M*1) THREADID (T*5) MODSEQ (2))
         S: a OK *",
    );
}

#[test]
fn reading_a_message_sets_seen_and_tells_it() {
    let mut client = with_message();
    client.play(
        "C: a FETCH 1 BODY.PEEK[]
         S: * 1 FETCH (BODY[] {66}
         S: From: a@example.com
         S: Subject: Hi
         S:  there
         S: X-Y: z
         S: 
         S: Hello
         S: World
         S: )
         S: a OK *
         C: b UID FETCH 1 BODY[TEXT]
         S: * 1 FETCH (FLAGS (\\Seen \\Recent) UID 1 BODY[TEXT] {14}
         S: Hello
         S: World
         S: )
         S: b OK *
         C: c FETCH 1 RFC822.TEXT
         S: * 1 FETCH (RFC822.TEXT {14}
         S: Hello
         S: World
         S: )
         S: c OK *",
    );
    assert!(
        client.world.inbox().messages[0]
            .flags
            .system
            .contains(SystemFlags::SEEN)
    );
}

#[test]
fn examine_sets_no_flags() {
    let mut world = Memory::new();
    world.deliver(MESSAGE);
    let mut client = open(world, "EXAMINE");
    client.send(b"a FETCH 1 BODY[TEXT]\r\n");
    assert!(
        client
            .take_sent()
            .starts_with("* 1 FETCH (BODY[TEXT] {14}\r\n")
    );
    assert_eq!(
        client.world.inbox().messages[0].flags.system,
        SystemFlags::NONE
    );
}

#[test]
fn message_is_told_when_seen_can_not_be_set() {
    let mut client = with_message();
    client.world.refuse = Some(("Store", NoCode::Unavailable));
    client.send(b"a FETCH 1 BODY[TEXT]\r\n");
    assert!(
        client
            .take_sent()
            .starts_with("* 1 FETCH (BODY[TEXT] {14}\r\n")
    );
}

#[test]
fn flags_that_were_set_are_told_when_the_message_can_not_be_read() {
    let mut client = with_message();
    client.world.refuse = Some(("Fetch", NoCode::Unavailable));
    client.play(
        "C: a FETCH 1 BODY[]
         S: * 1 FETCH (FLAGS (\\Seen \\Recent))
         S: a NO [UNAVAILABLE] *",
    );
}

#[test]
fn headers_come_whole_or_filtered() {
    with_message().play(
        "C: a FETCH 1 BODY.PEEK[HEADER]
         S: * 1 FETCH (BODY[HEADER] {52}
         S: From: a@example.com
         S: Subject: Hi
         S:  there
         S: X-Y: z
         S: 
         S: )
         S: a OK *
         C: b FETCH 1 (BODY.PEEK[HEADER.FIELDS (subject \"to\")])
         S: * 1 FETCH (BODY[HEADER.FIELDS (subject to)] {23}
         S: Subject: Hi
         S:  there
         S: 
         S: )
         S: b OK *
         C: c FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (Subject)]<6.8>
         S: * 1 FETCH (BODY[HEADER.FIELDS.NOT (Subject)]<6> {8}
         S: a@exampl)
         S: c OK *
         C: d FETCH 1 RFC822.HEADER
         S: * 1 FETCH (RFC822.HEADER {52}
         S: From: a@example.com
         S: Subject: Hi
         S:  there
         S: X-Y: z
         S: 
         S: )
         S: d OK *",
    );
}

#[test]
fn partials_are_cut_at_the_end() {
    with_message().play(
        "C: a FETCH 1 (BODY.PEEK[TEXT]<7.3> BODY.PEEK[TEXT]<12.99> BODY.PEEK[]<99.1>)
         S: * 1 FETCH (BODY[TEXT]<7> {3}
         S: Wor BODY[TEXT]<12> {2}
         S: 
         S:  BODY[]<99> {0}
         S: )
         S: a OK *",
    );
}

/// A line of 64 bytes, so many times.
fn large(lines: usize) -> String {
    format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcde\r\n".repeat(lines)
    )
}

#[test]
fn large_message_is_read_in_pieces_and_comes_out_byte_for_byte() {
    let raw = large(50_000);
    let mut world = Memory::new();
    world.deliver(&raw);
    let mut client = select(world);
    client.send(b"a FETCH 1 (BODY.PEEK[] UID)\r\n");
    let expected = format!(
        "* 1 FETCH (BODY[] {{{}}}\r\n{raw} UID 1)\r\na OK Fetch completed\r\n",
        raw.len()
    );
    assert!(client.take_sent() == expected);
    let reads = client
        .world
        .calls
        .iter()
        .filter(|call| call.starts_with("Read"));
    assert!(reads.count() >= raw.len() / limits::READ_BYTES);
}

#[test]
fn long_header_is_filtered_in_pieces() {
    let filler = "X-Filler: 0123456789\r\n".repeat(8_000);
    let mut world = Memory::new();
    world.deliver(&format!("{filler}Subject: found\r\n\r\nText"));
    let mut client = select(world);
    client.play(
        "C: a FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]
         S: * 1 FETCH (BODY[HEADER.FIELDS (Subject)] {18}
         S: Subject: found
         S: 
         S: )
         S: a OK *",
    );
}

#[test]
fn fields_behind_the_bound_are_not_looked_for() {
    let filler = "X-Filler: 0123456789\r\n".repeat(limits::FETCH_HEADER_FIELDS_BYTES as usize / 20);
    let mut world = Memory::new();
    world.deliver(&format!("{filler}Subject: found\r\n\r\nText"));
    let mut client = select(world);
    client.play(
        "C: a FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]
         S: * 1 FETCH (BODY[HEADER.FIELDS (Subject)] {2}
         S: 
         S: )
         S: a OK *",
    );
}

#[test]
fn many_messages_are_fetched_in_slices() {
    let mut world = Memory::new();
    for _ in 0..limits::FETCH_MESSAGES + 10 {
        world.deliver(MESSAGE);
    }
    let mut client = select(world);
    client.send(b"a FETCH 1:* (RFC822.SIZE BODY[TEXT])\r\n");
    let sent = client.take_sent();
    assert_eq!(
        sent.matches("RFC822.SIZE 66").count(),
        limits::FETCH_MESSAGES + 10
    );
    assert_eq!(sent.matches("\\Seen").count(), limits::FETCH_MESSAGES + 10);
    let fetches = client
        .world
        .calls
        .iter()
        .filter(|call| call.starts_with("Fetch"));
    assert_eq!(fetches.count(), 2);
}

#[test]
fn message_that_has_gone_is_left_out_and_said_to_have() {
    let mut world = Memory::new();
    for _ in 0..3 {
        world.deliver(MESSAGE);
    }
    let mut client = select(world);
    client.world.inbox().remove(&[2]);
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a FETCH 1:3 RFC822.SIZE
         S: * 1 FETCH (RFC822.SIZE 66)
         S: * 3 FETCH (RFC822.SIZE 66)
         S: a NO [EXPUNGEISSUED] *
         C: b FETCH 1:3 UID
         S: * 1 FETCH (UID 1)
         S: * 2 FETCH (UID 2)
         S: * 3 FETCH (UID 3)
         S: b OK *
         C: c UID FETCH 1:3 RFC822.SIZE
         S: * 1 FETCH (UID 1 RFC822.SIZE 66)
         S: * 3 FETCH (UID 3 RFC822.SIZE 66)
         S: * 2 EXPUNGE
         S: * 2 RECENT
         S: c OK *",
    );
}

#[test]
fn message_that_goes_before_its_content_is_left_out_and_within_it_ends_the_connection() {
    let raw = large(50_000);
    for pieces_before in [0, 1] {
        let mut world = Memory::new();
        world.deliver(&raw);
        world.hold = Some("Read");
        let mut client = select(world);
        client.play("C: a FETCH 1 BODY.PEEK[]");
        for _ in 0..pieces_before {
            let id = client.held.pop_front().unwrap();
            let piece = bytes::Bytes::from(vec![b'x'; limits::READ_BYTES]);
            client.handle(Event::Reply(
                id,
                rmail_proto::imap::Reply::Bytes(Some(piece)),
            ));
            assert!(client.take_sent().starts_with("* 1 FETCH (BODY[] {850"));
        }
        let id = client.held.pop_front().unwrap();
        client.handle(Event::Reply(id, rmail_proto::imap::Reply::Bytes(None)));
        if pieces_before == 0 {
            client.play("S: a NO [EXPUNGEISSUED] *");
        } else {
            assert_eq!(client.closed, Some(Close::Abort));
        }
    }
}

#[test]
fn new_keywords_are_named_first() {
    let mut client = with_message();
    client
        .world
        .inbox()
        .set_flags(1, flags(SystemFlags::SEEN, &["$Work"]));
    client.handle(Event::Notice(Notice::MailboxChanged));
    client.play(
        "C: a FETCH 1 UID
         S: * 1 FETCH (UID 1)
         S: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)
         S: * 1 FETCH (FLAGS (\\Seen \\Recent $Work))
         S: a OK *",
    );
}

const NESTED: &str = "Subject: outer\r\n\r\npreamble\r\n\
    --=\r\nContent-Type: text/plain\r\n\r\nfirst\r\n\
    --=\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nX-Y: z\r\n\r\nsecond\r\n--=--\r\n";

#[test]
fn nested_sections_are_found() {
    let mut world = Memory::new();
    world.deliver(NESTED);
    let mut client = select(world);
    for (section, expected) in [
        ("1", Some("first")),
        ("1.MIME", Some("Content-Type: text/plain\r\n\r\n")),
        ("1.TEXT", None),
        ("1.HEADER", None),
        ("1.1", None),
        ("2", Some("Subject: inner\r\nX-Y: z\r\n\r\nsecond")),
        ("2.MIME", Some("Content-Type: message/rfc822\r\n\r\n")),
        ("2.HEADER", Some("Subject: inner\r\nX-Y: z\r\n\r\n")),
        ("2.HEADER.FIELDS (SUBJECT)", Some("Subject: inner\r\n\r\n")),
        ("2.HEADER.FIELDS.NOT (SUBJECT)", Some("X-Y: z\r\n\r\n")),
        ("2.TEXT", Some("second")),
        ("2.1", Some("second")),
        ("2.1.MIME", Some("Subject: inner\r\nX-Y: z\r\n\r\n")),
        ("3", None),
        ("9.9.9", None),
    ] {
        client.send(format!("a FETCH 1 BODY.PEEK[{section}]\r\n").as_bytes());
        let expected = match expected {
            Some(text) => format!("{{{}}}\r\n{text}", text.len()),
            None => "NIL".to_owned(),
        };
        let end = "a OK Fetch completed\r\n";
        assert_eq!(
            client.take_sent(),
            format!("* 1 FETCH (BODY[{section}] {expected})\r\n{end}")
        );
    }
    client.play(
        "C: b FETCH 1 (BODY.PEEK[2.TEXT]<2.3> BODY.PEEK[3]<0.5>)
         S: * 1 FETCH (BODY[2.TEXT]<2> {3}
         S: con BODY[3]<0> NIL)
         S: b OK *",
    );
}

#[test]
fn message_that_is_one_text_has_a_first_part() {
    with_message().play(
        "C: a FETCH 1 (BODY.PEEK[1]<0.5> BODY.PEEK[2])
         S: * 1 FETCH (BODY[1]<0> {5}
         S: Hello BODY[2] NIL)
         S: a OK *",
    );
}
