//! Much data through TLS, in bounded memory. [`Server`](crate::server::Server) looks at what the
//! session holds after each step.

use std::time::Duration;

use rmail_proto::limits::{IMAP_KEEP_ALIVE_INTERVAL, SEND_CREDIT_BYTES, SEND_TIMEOUT};
use rmail_server::node::ListenerKind;
use rmail_tests::ClientTls;
use rustls::version::{TLS12, TLS13};

use crate::{
    client::{Client, named, starttls},
    server::HELD_BYTES_MAX,
};

const MESSAGE_BYTES: usize = 5 * 1024 * 1024;

/// No piece of it is like another.
fn large_message() -> String {
    let mut message = String::from("From: alice@example.com\r\nSubject: large\r\n\r\n");
    let mut number = 0u64;
    while message.len() < MESSAGE_BYTES {
        message.push_str(&format!("{:020} bottles of beer\r\n", number * 7919));
        number += 1;
    }
    message
}

fn ready(listener: ListenerKind, version: &'static rustls::SupportedProtocolVersion) -> Client {
    let mut client = Client::connect(listener);
    client.say(starttls(listener));
    client.start_tls_with(named(ClientTls::config(&[version])));
    client.introduce(listener);
    client
}

#[test]
fn large_message_comes_in_whole_through_both_versions() {
    let message = large_message();
    for version in [&TLS12, &TLS13] {
        let mut client = ready(ListenerKind::Smtps, version);
        client.say("MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n");
        // The world is slow at first: the rest waits in the socket.
        client.server.holds_calls = true;
        assert_eq!(client.say(&message), "");
        client.server.answer_held();
        let said = client.say(".\r\n");
        assert!(said.starts_with("250 2.0.0 "), "{said}");
        // The header got fields.
        let (_, body) = message.split_once("\r\n\r\n").unwrap();
        let accepted = &client.server.world.accepted[0];
        assert!(accepted.ends_with(body.as_bytes()), "it is another one");
    }
}

#[test]
fn large_message_is_appended_and_fetched_through_both_versions() {
    let message = large_message();
    for version in [&TLS12, &TLS13] {
        let mut client = ready(ListenerKind::Imap, version);
        let said = client.say(&format!("a APPEND INBOX {{{}}}\r\n", message.len()));
        assert!(said.starts_with("+ "), "{said}");
        let said = client.say(&format!("{message}\r\n"));
        assert!(said.contains("a OK [APPENDUID 7 1] "), "{said}");
        let said = client.say("f FETCH 1 BODY.PEEK[]\r\n");
        let start = format!("* 1 FETCH (BODY[] {{{}}}\r\n", message.len());
        let rest = said.strip_prefix(&start).expect("it is all there");
        let rest = rest.strip_prefix(&message).expect("it is the same");
        assert!(rest.starts_with(")\r\nf OK "), "{rest}");
    }
}

/// The session is given an INBOX with one large message.
fn with_large_message(message: &str) -> Client {
    let mut client = Client::secure(ListenerKind::Imaps);
    client.server.world.inbox.push(message.to_owned().into());
    client.introduce(ListenerKind::Imaps);
    client
}

#[test]
fn client_that_asks_and_does_not_read_costs_the_send_credit() {
    let message = large_message();
    let mut client = with_large_message(&message);
    client.server.is_read = false;
    assert_eq!(client.say(&"f FETCH 1 BODY.PEEK[]\r\n".repeat(3)), "");
    let held = client.server.held_bytes_max;
    assert!(
        held > SEND_CREDIT_BYTES / 2,
        "{held} bytes: nothing was sent"
    );
    assert!(held <= HELD_BYTES_MAX);
    // It reads in the end, and nothing is missing.
    client.server.is_read = true;
    client.server.progress();
    let said = client.receive();
    assert_eq!(said.matches("f OK ").count(), 3);
    assert_eq!(said.matches(&message).count(), 3);
}

#[test]
fn client_that_does_not_read_is_given_up() {
    let mut client = with_large_message(&large_message());
    client.server.is_read = false;
    client.say("f FETCH 1 BODY.PEEK[]\r\n");
    client.server.pass(SEND_TIMEOUT - Duration::from_secs(1));
    assert!(!client.server.is_over());
    client.server.pass(Duration::from_secs(1));
    assert!(client.server.is_over());
}

#[test]
fn pushes_to_a_client_that_does_not_read_are_bounded_and_none_is_lost() {
    const MESSAGES: usize = 20_000;
    let mut client = Client::ready(ListenerKind::Imaps);
    let said = client.say("i IDLE\r\n");
    assert!(said.starts_with("+ "), "{said}");
    client.server.is_read = false;
    let content = bytes::Bytes::from_static(b"Subject: push\r\n\r\n");
    for _ in 0..MESSAGES {
        client.server.world.inbox.push(content.clone());
        if client.server.world.inbox.len().is_multiple_of(16) {
            client.server.notice();
        }
    }
    assert!(client.server.held_bytes_max <= HELD_BYTES_MAX);
    client.server.is_read = true;
    client.server.progress();
    let said = client.receive() + &client.say("DONE\r\n");
    let counts = said.lines().filter_map(|line| {
        let count = line.strip_prefix("* ")?.strip_suffix(" EXISTS")?;
        count.parse().ok()
    });
    let counts: Vec<usize> = counts.collect();
    assert!(counts.is_sorted());
    assert_eq!(counts.last(), Some(&MESSAGES));
    assert!(said.contains("\r\ni OK "));
}

#[test]
fn idling_client_that_does_not_read_is_given_up() {
    let mut client = Client::ready(ListenerKind::Imaps);
    client.say("i IDLE\r\n");
    client.server.is_read = false;
    client.server.pass(IMAP_KEEP_ALIVE_INTERVAL);
    assert!(!client.server.is_over());
    client.server.pass(SEND_TIMEOUT);
    assert!(client.server.is_over());
}
