//! BDAT (RFC 3030).

use std::time::Duration;

use rmail_proto::{
    limits,
    smtp::{Config, Listener, Refusal, Tls},
};

use crate::world::{Client, config, connect, greet, inbound};

/// Up to an accepted recipient.
fn start(client: &mut Client) {
    client.play(
        "C: MAIL FROM:<alice@example.com> BODY=8BITMIME
         S: 250 2.1.0 *
         C: RCPT TO:<bob@example.com>
         S: 250 2.1.5 *",
    );
}

fn ends_with(client: &Client, content: &str) {
    assert_eq!(client.world.messages.len(), 1);
    assert!(client.world.messages[0].content.ends_with(content));
    assert_eq!(client.world.open_uploads(), 0);
}

#[test]
fn chunks_make_a_message_and_dots_mean_nothing() {
    let mut client = inbound();
    start(&mut client);
    client.send(b"BDAT 9\r\na\r\n.\r\nbcdBDAT 4 LAST\r\n..\r\n");
    client.play(
        "S: 250 2.0.0 9 octets received
         S: 250 2.0.0 Ok: queued as *",
    );
    ends_with(&client, "+0000\r\na\r\n.\r\nbcd..\r\n");
    assert!(client.world.messages[0].envelope.eight_bit_mime);
}

#[test]
fn empty_last_chunk_ends_the_message() {
    let mut client = inbound();
    start(&mut client);
    client.send(b"BDAT 3\r\nabcBDAT 0\r\nBDAT 0 LAST\r\n");
    client.play(
        "S: 250 2.0.0 3 octets received
         S: 250 2.0.0 0 octets received
         S: 250 2.0.0 Ok: queued as *",
    );
    ends_with(&client, "\r\nabc");
}

#[test]
fn octets_of_a_misplaced_chunk_are_no_commands() {
    let mut client = inbound();
    client.send(b"BDAT 6\r\nQUIT\r\nBDAT 0 LAST\r\n");
    client.play("S: 503 5.5.1 Send MAIL first\nS: 503 5.5.1 Send MAIL first");
    client.play(
        "C: MAIL FROM:<a@b.c>
         S: 250 2.1.0 *",
    );
    client.send(b"BDAT 6 LAST\r\nQUIT\r\n");
    client.play(
        "S: 554 5.5.1 No valid recipients
         C: NOOP
         S: 250 2.0.0 Ok",
    );
    assert_eq!(client.closed, None);
}

#[test]
fn faulty_bdat_ends_the_session_since_its_octets_are_no_commands() {
    for line in ["BDAT 6x", "BDAT", "bdat -1", "BDAT 6 FIRST"] {
        let mut client = inbound();
        client.offer(format!("{line}\r\nMAIL FROM:<a@b.c>\r\n").as_bytes());
        client.play("S: 501 5.5.4 *");
        assert!(client.closed.is_some(), "{line}");
        assert!(client.world.calls.is_empty());
    }
}

#[test]
fn data_and_bdat_do_not_mix() {
    let mut client = inbound();
    start(&mut client);
    client.send(b"BDAT 3\r\nabc");
    client.play(
        "S: 250 2.0.0 3 octets received
         C: DATA
         S: 503 5.5.1 *
         C: RCPT TO:<bob@example.com>
         S: 503 5.5.1 *
         C: MAIL FROM:<a@b.c>
         S: 503 5.5.1 *
         C: NOOP
         S: 250 2.0.0 Ok
         C: BDAT 0 LAST
         S: 250 2.0.0 *",
    );
    ends_with(&client, "abc");
}

#[test]
fn bare_newline_is_refused_and_the_session_stays_in_step() {
    for octets in ["a\nb", "a\rb", "ab\r", "\n", "\r\r\n"] {
        let mut client = inbound();
        start(&mut client);
        client.send(format!("BDAT {} LAST\r\n{octets}", octets.len()).as_bytes());
        client.play(
            "S: 550 5.5.2 *
             C: NOOP
             S: 250 2.0.0 Ok",
        );
        assert!(client.world.messages.is_empty(), "{octets:?}");
    }
}

#[test]
fn newline_may_be_parted_by_chunks() {
    let mut client = inbound();
    start(&mut client);
    client.send(b"BDAT 2\r\na\rBDAT 2 LAST\r\n\nb");
    client.play(
        "S: 250 2.0.0 2 octets received
         S: 250 2.0.0 Ok: queued as *",
    );
    ends_with(&client, "a\r\nb");
}

#[test]
fn refused_chunk_ends_the_transaction_and_later_ones_are_swallowed() {
    let mut client = inbound();
    start(&mut client);
    client.send(b"BDAT 3\r\na\nbBDAT 6 LAST\r\nQUIT\r\n");
    client.play(
        "S: 550 5.5.2 *
         S: 503 5.5.1 Send MAIL first",
    );
    assert_eq!(client.closed, None);
}

#[test]
fn reset_between_chunks_discards_what_came() {
    let mut client = inbound();
    start(&mut client);
    let bytes = limits::UPLOAD_CHUNK_BYTES * 2;
    client.send(format!("BDAT {bytes}\r\n").as_bytes());
    client.send(&b"x".repeat(bytes));
    assert_eq!(client.world.open_uploads(), 1);
    client.play(
        "S: 250 2.0.0 131072 octets received
         C: RSET
         S: 250 2.0.0 Ok
         C: BDAT 0 LAST
         S: 503 5.5.1 *",
    );
    assert_eq!(client.world.open_uploads(), 0);
    assert!(client.world.messages.is_empty());
}

#[test]
fn piece_refused_between_chunks_is_the_answer_to_the_next() {
    let mut client = inbound();
    start(&mut client);
    client.world.hold = Some("Chunk");
    client.send(b"BDAT 70000\r\n");
    client.send(&b"x".repeat(70000));
    client.play("S: 250 2.0.0 70000 octets received");
    let call = client.held.pop_front().unwrap();
    let refused = rmail_proto::smtp::Reply::Refused(Refusal::storage_full());
    client.handle(rmail_proto::Event::Reply(call, refused));
    client.send(b"BDAT 1 LAST\r\nx");
    client.play("S: 452 4.3.1 *");
    assert!(client.world.messages.is_empty());
    assert_eq!(client.world.open_uploads(), 0);
}

/// Greeted by a server that takes messages of five bytes at most.
fn inbound_of_five_bytes() -> Client {
    let limited = Config {
        message_bytes_max: 5,
        ..config(Listener::Inbound, Tls::Unavailable)
    };
    let mut client = connect(limited);
    greet(&mut client);
    client
}

#[test]
fn limit_holds_over_all_chunks() {
    let mut client = inbound_of_five_bytes();
    start(&mut client);
    client.send(b"BDAT 3\r\nabcBDAT 3 LAST\r\ndef");
    client.play(
        "S: 250 2.0.0 3 octets received
         S: 552 5.3.4 *",
    );
    start(&mut client);
    client.send(b"BDAT 3\r\nabcBDAT 2 LAST\r\nde");
    client.play(
        "S: 250 2.0.0 3 octets received
         S: 250 2.0.0 Ok: queued as *",
    );
}

/// A client that pipelines has sent them all before it reads the first refusal.
#[test]
fn chunks_of_a_refused_message_are_one_error() {
    let mut client = inbound_of_five_bytes();
    for _ in 1..limits::SMTP_ERRORS_MAX {
        start(&mut client);
        client.send(b"BDAT 6\r\nabcdef");
        client.play("S: 552 5.3.4 *");
        for _ in 0..limits::SMTP_ERRORS_MAX {
            client.send(b"BDAT 1\r\ng");
            client.play("S: 503 5.5.1 *");
        }
        client.send(b"BDAT 1 LAST\r\nh");
        client.play("S: 503 5.5.1 *");
    }
    assert_eq!(client.closed, None);
    client.send(b"BDAT 1 LAST\r\ni");
    client.play(
        "S: 503 5.5.1 *
         S: 421 4.7.0 Too many errors*",
    );
}

/// The time between chunks is the message's as well.
#[test]
fn message_in_small_chunks_is_given_up_like_one_that_trickles() {
    let mut client = inbound();
    start(&mut client);
    let minute = Duration::from_secs(60);
    let minutes = (1..60).find(|_| {
        client.send(b"BDAT 1\r\nx");
        client.play("S: 250 2.0.0 1 octets received");
        client.pass(minute);
        client.closed.is_some()
    });
    assert_eq!(minutes, Some(limits::SMTP_DATA_TIMEOUT.as_secs() / 60 + 1));
}
