//! DATA: trace fields, limits, pieces, and what is added to submitted mail.

use std::time::Duration;

use rmail_proto::{
    Close, Event, TlsInfo, limits,
    smtp::{Config, Listener, Refusal, Reply, Tls},
};

use crate::world::{Client, Memory, Stored, config, connect, inbound, start_data, submission};

fn only(world: &Memory) -> &Stored {
    assert_eq!(world.messages.len(), 1);
    assert_eq!(world.open_uploads(), 0);
    &world.messages[0]
}

/// What the client sent, behind the trace fields.
fn body(stored: &Stored) -> &str {
    let date = "\tTue, 14 Nov 2023 22:13:20 +0000\r\n";
    let index = stored
        .content
        .find(date)
        .expect("the Received field ends with the date");
    &stored.content[index + date.len()..]
}

/// A message of this many bytes, in lines.
fn text(bytes: usize) -> Vec<u8> {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnop\r\n";
    let mut text: Vec<u8> = line.iter().copied().cycle().take(bytes - 2).collect();
    // The cut may have gone through a CRLF.
    text.truncate(bytes - 4);
    while matches!(text.last(), Some(b'\r' | b'\n')) {
        text.pop();
    }
    text.resize(bytes - 2, b'x');
    text.extend_from_slice(b"\r\n");
    text
}

#[test]
fn message_begins_with_its_trace() {
    let mut client = inbound();
    start_data(&mut client);
    client.play(
        "C: Subject: hello
         C:
         C: ..one dot
         C: .
         S: 250 2.0.0 Ok: queued as *",
    );
    let stored = only(&client.world);
    let id = &stored.envelope.id;
    let expected = format!(
        "Return-Path: <alice@example.com>\r\n\
         Received: from client.example ([192.0.2.7])\r\n\
         \tby mx.example.com with ESMTP\r\n\
         \tid {id}\r\n\
         \tfor <bob@example.com>;\r\n\
         \tTue, 14 Nov 2023 22:13:20 +0000\r\n\
         Subject: hello\r\n\r\n.one dot\r\n"
    );
    assert_eq!(stored.content, expected);
    assert!(
        stored.envelope.header_from.is_empty(),
        "nobody authenticated"
    );
}

#[test]
fn id_of_the_answer_is_the_id_of_the_message() {
    let mut client = inbound();
    let mut ids = Vec::new();
    for _ in 0..2 {
        start_data(&mut client);
        client.send(b"x\r\n.\r\n");
        let sent = client.take_sent();
        ids.push(sent.trim().rsplit(' ').next().unwrap().to_string());
    }
    let stored: Vec<&str> = client
        .world
        .messages
        .iter()
        .map(|m| m.envelope.id.as_str())
        .collect();
    assert_eq!(stored, ids);
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn several_recipients_do_not_learn_of_each_other() {
    let mut client = inbound();
    client.play(
        "C: MAIL FROM:<a@b.c>
         S: 250 2.1.0 *
         C: RCPT TO:<a@example.com>
         S: 250 2.1.5 *
         C: RCPT TO:<b@example.com>
         S: 250 2.1.5 *
         C: DATA
         S: 354 *
         C: .
         S: 250 2.0.0 *",
    );
    assert!(!only(&client.world).content.contains("example.com>"));
}

#[test]
fn tls_and_authentication_show_in_the_trace() {
    let mut client = connect(config(Listener::ImplicitTlsSubmission, Tls::Implicit));
    client.handle(Event::TlsEstablished(TlsInfo {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        server_name: None,
    }));
    client.send(b"EHLO a.b\r\nAUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHNlY3JldA==\r\n");
    client.take_sent();
    start_data(&mut client);
    client.send(b".\r\n");
    let content = &only(&client.world).content;
    assert!(content.contains("(using TLSv1.3 with cipher TLS13_AES_256_GCM_SHA384)\r\n"));
    assert!(content.contains("with ESMTPSA\r\n"));
}

#[test]
fn submitted_message_gets_what_it_lacks() {
    let mut client = submission();
    start_data(&mut client);
    client.play(
        "C: Return-Path: <forged@x.y>
         C: From: Alice <alice@example.com>,
         C:  \"Bob, too\" <bob@example.com>
         C:
         C: hello
         C: .
         S: 250 2.0.0 *",
    );
    let stored = only(&client.world);
    let id = &stored.envelope.id;
    let expected = format!(
        "From: Alice <alice@example.com>,\r\n \"Bob, too\" <bob@example.com>\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\
         Message-ID: <{id}@mx.example.com>\r\n\r\nhello\r\n"
    );
    assert_eq!(body(stored), expected);
    let from: Vec<String> = stored
        .envelope
        .header_from
        .iter()
        .map(|a| a.to_string())
        .collect();
    assert_eq!(from, ["alice@example.com", "bob@example.com"]);
}

#[test]
fn from_field_that_can_not_be_read_is_refused() {
    let mut client = submission();
    start_data(&mut client);
    client.play(
        "C: From: alice@example.com <bob@example.com>
         C:
         C: .
         S: 550 5.7.1 *",
    );
    assert!(client.world.messages.is_empty());
    // On port 25 the field is the sender's own business.
    let mut client = inbound();
    start_data(&mut client);
    client.play(
        "C: From: alice@example.com <bob@example.com>
         C: .
         S: 250 2.0.0 *",
    );
}

#[test]
fn message_that_fits_a_piece_is_one_call() {
    let mut client = inbound();
    start_data(&mut client);
    client.send(b".\r\n");
    let trace_bytes = only(&client.world).content.len();
    client.take_sent();
    for (bytes, calls) in [
        (limits::UPLOAD_CHUNK_BYTES, 1),
        (limits::UPLOAD_CHUNK_BYTES + 1, 2),
    ] {
        let mut client = inbound();
        start_data(&mut client);
        client.world.calls.clear();
        let text = text(bytes - trace_bytes);
        client.send(&text);
        client.send(b".\r\n");
        assert_eq!(client.world.calls.len(), calls);
        assert_eq!(body(only(&client.world)).as_bytes(), text);
        client.take_sent();
    }
}

#[test]
fn large_message_comes_out_byte_for_byte_in_bounded_pieces() {
    for mut client in [inbound(), submission()] {
        start_data(&mut client);
        let header = "From: a@b.c\r\nDate: x\r\nMessage-ID: y\r\n\r\n";
        client.send(header.as_bytes());
        let text = text(900_000);
        for piece in text.chunks(1447) {
            client.send(piece);
        }
        client.send(b".\r\n");
        assert!(client.take_sent().starts_with("250 2.0.0"));
        assert_eq!(client.world.largest_piece_bytes, limits::UPLOAD_CHUNK_BYTES);
        let stored = body(only(&client.world));
        assert_eq!(
            stored.strip_prefix(header).map(str::as_bytes),
            Some(&text[..])
        );
    }
}

#[test]
fn full_window_stops_the_client() {
    let mut client = inbound();
    start_data(&mut client);
    client.world.hold = Some("Chunk");
    let text = text(900_000);
    let taken = client.offer(&text);
    assert_eq!(client.held.len(), limits::UPLOAD_CHUNKS_IN_FLIGHT);
    let bound = (limits::UPLOAD_CHUNKS_IN_FLIGHT + 1) * limits::UPLOAD_CHUNK_BYTES + 1;
    assert!(taken <= bound, "{taken}");
    // While the world is slow, the client is not at fault.
    client.pass(limits::SMTP_DATA_TIMEOUT * 2);
    client.expect_silence();
    let call = client.held.pop_front().unwrap();
    client.handle(Event::Reply(call, Reply::ChunkTaken));
    let more = client.offer(&text[taken..]);
    assert_eq!(more, limits::UPLOAD_CHUNK_BYTES);
}

#[test]
fn last_piece_waits_for_all_others() {
    let mut client = inbound();
    start_data(&mut client);
    client.world.hold = Some("Chunk");
    client.send(&text(150_000));
    client.send(b".\r\n");
    assert_eq!(client.offer(b"QUIT\r\n"), 0);
    assert!(client.world.messages.is_empty());
    while let Some(call) = client.held.pop_front() {
        client.handle(Event::Reply(call, Reply::ChunkTaken));
    }
    client.play("S: 250 2.0.0 *");
    assert_eq!(client.world.messages.len(), 1);
}

#[test]
fn piece_refused_after_the_end_is_the_answer() {
    let mut client = inbound();
    start_data(&mut client);
    client.world.hold = Some("Chunk");
    client.send(&text(150_000));
    client.send(b".\r\n");
    let call = client.held.pop_front().unwrap();
    client.handle(Event::Reply(call, Reply::Refused(Refusal::storage_full())));
    client.play("S: 452 4.3.1 *");
    assert_eq!(client.world.open_uploads(), 0);
    assert!(client.world.messages.is_empty());
}

#[test]
fn refused_piece_ends_the_upload_and_the_rest_is_dropped() {
    let mut client = inbound();
    start_data(&mut client);
    client.world.refuse = Some(("Chunk", Refusal::storage_full()));
    client.send(&text(900_000));
    client.expect_silence();
    client.play(
        "C: .
         S: 452 4.3.1 *
         C: NOOP
         S: 250 2.0.0 Ok",
    );
    let calls = &client.world.calls;
    assert_eq!(calls.iter().filter(|name| **name == "Chunk").count(), 1);
    assert_eq!(calls.last(), Some(&"Discard"));
}

#[test]
fn largest_message_fits_and_one_byte_more_does_not() {
    let config = || Config {
        message_bytes_max: 200_000,
        ..config(Listener::Inbound, Tls::Unavailable)
    };
    for (bytes, answer) in [(200_000, "S: 250 2.0.0 *"), (200_001, "S: 552 5.3.4 *")] {
        let mut client = connect(config());
        client.send(b"EHLO a.b\r\n");
        client.take_sent();
        start_data(&mut client);
        client.send(&text(bytes));
        // Dots that are stuffed do not count.
        client.send(b".\r\n");
        client.play(answer);
        assert_eq!(client.world.open_uploads(), 0);
        assert_eq!(client.closed, None);
    }
}

#[test]
fn refused_message_leaves_the_session_in_step() {
    let mut client = inbound();
    start_data(&mut client);
    client.world.refuse = Some(("Message", Refusal::temporary_failure()));
    client.play(
        "C: hello
         C: .
         S: 451 4.3.0 *
         C: RCPT TO:<bob@example.com>
         S: 503 5.5.1 Send MAIL first",
    );
}

fn disconnect_within(client: &mut Client) {
    client.handle(Event::PeerClosed);
    assert_eq!(client.closed, Some(Close::Flush));
    assert_eq!(client.world.open_uploads(), 0);
    assert!(client.world.messages.is_empty());
    client.expect_silence();
}

#[test]
fn client_that_goes_away_within_data_leaves_nothing() {
    let mut client = inbound();
    start_data(&mut client);
    client.send(b"hello\r\n");
    disconnect_within(&mut client);
    assert_eq!(
        client.world.calls.last(),
        Some(&"Rcpt"),
        "nothing was begun"
    );
    let mut client = inbound();
    start_data(&mut client);
    client.send(&text(300_000));
    disconnect_within(&mut client);
    assert_eq!(client.world.calls.last(), Some(&"Discard"));
}

#[test]
fn complete_message_is_answered_even_if_no_more_can_come() {
    let mut client = inbound();
    start_data(&mut client);
    client.world.hold = Some("Message");
    client.send(b"hello\r\n.\r\n");
    client.handle(Event::PeerClosed);
    assert_eq!(client.closed, None);
    let call = client.held.pop_front().unwrap();
    client.handle(Event::Reply(call, Reply::Accepted));
    client.play("S: 250 2.0.0 *");
    assert_eq!(client.closed, Some(Close::Flush));
}

/// Sends so many bytes each minute; the minutes until the server has enough of it.
fn minutes_of_patience(client: &mut Client, bytes: usize) -> Option<u64> {
    let piece = vec![b'x'; bytes];
    (1..15).find(|_| {
        client.pass(Duration::from_secs(60));
        if client.closed.is_none() {
            client.offer(&piece);
        }
        client.closed.is_some()
    })
}

#[test]
fn message_that_trickles_is_given_up_and_one_that_keeps_the_rate_is_not() {
    let enough = usize::try_from(60 * limits::CONTENT_BYTES_PER_SECOND).unwrap();
    let timeout = limits::SMTP_DATA_TIMEOUT.as_secs() / 60;
    for bytes in [1, enough] {
        let mut client = inbound();
        start_data(&mut client);
        let expected = (bytes < enough).then_some(timeout + 1);
        let minutes = minutes_of_patience(&mut client, bytes);
        assert!(minutes <= expected, "{bytes} bytes: {minutes:?} minutes");
        assert_eq!(minutes.is_some(), expected.is_some());
        assert!(client.world.messages.is_empty());
    }
}
