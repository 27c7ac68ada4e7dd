//! Where a TLS stream is cut, and what of it is read at once, changes nothing.

use proptest::prelude::*;
use rmail_server::node::ListenerKind;
use rmail_tests::ClientTls;
use rustls::version::{TLS12, TLS13};

use crate::{
    client::{Client, Segments, named, small_records, starttls},
    server::LISTENERS,
};

/// What a client does once TLS is up, all of it at once.
fn commands(listener: ListenerKind) -> &'static str {
    match listener {
        ListenerKind::Smtp => {
            "EHLO client.example\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.com>\r\n\
             DATA\r\nSubject: cut\r\n\r\n..dots\r\n.\r\nNOOP\r\nQUIT\r\n"
        }
        ListenerKind::Submission | ListenerKind::Smtps => {
            "EHLO client.example\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n\
             MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\n\
             BDAT 27\r\nFrom: alice@example.com\r\n\r\nBDAT 4 LAST\r\nHi\r\nQUIT\r\n"
        }
        ListenerKind::Imap | ListenerKind::Imaps => {
            "1 LOGIN {5+}\r\nalice {6+}\r\nsecret\r\n2 APPEND INBOX {14+}\r\nSubject: cut\r\n\r\n\
             3 SELECT INBOX\r\n4 FETCH 1 BODY.PEEK[]\r\n5 LOGOUT\r\n"
        }
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    }
}

/// What the client heard, and what the world was asked and given.
#[derive(Debug, Eq, PartialEq)]
struct Outcome {
    heard: String,
    calls: Vec<String>,
    messages: Vec<Vec<u8>>,
    sent_bytes: usize,
}

fn converse(listener: ListenerKind, tls: ClientTls, segments: Segments) -> Outcome {
    let mut client = Client::connect_in(listener, segments);
    client.say(starttls(listener));
    let mut heard = client.start_tls_with(tls);
    heard.push_str(&client.say(commands(listener)));
    assert!(client.server.has_ended);
    client.server.end();
    assert!(client.server.is_over());
    Outcome {
        heard,
        calls: client.server.world.calls.clone(),
        messages: match listener {
            ListenerKind::Imap | ListenerKind::Imaps => {
                let inbox = client.server.world.inbox.iter();
                inbox.map(|message| message.to_vec()).collect()
            }
            ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => {
                client.server.world.accepted.clone()
            }
            ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
        },
        sent_bytes: client.sent_bytes,
    }
}

fn whole(listener: ListenerKind) -> Outcome {
    let outcome = converse(listener, ClientTls::new(), Segments::Whole);
    assert_eq!(outcome.messages.len(), 1, "{}", outcome.heard);
    outcome
}

/// Sizes depend on what is left to chance in a handshake.
fn assert_same(outcome: &Outcome, expected: &Outcome) {
    assert_eq!(outcome.heard, expected.heard);
    assert_eq!(outcome.calls, expected.calls);
    assert_eq!(outcome.messages, expected.messages);
}

#[test]
fn stream_may_be_cut_at_every_byte() {
    for listener in LISTENERS {
        let expected = whole(listener);
        for cut in 1..expected.sent_bytes {
            let segments = Segments::CutAfter(cut);
            let outcome = converse(listener, ClientTls::new(), segments);
            assert_same(&outcome, &expected);
        }
    }
}

#[test]
fn stream_may_arrive_byte_by_byte() {
    for listener in LISTENERS {
        for versions in [[&TLS12], [&TLS13]] {
            let tls = || named(ClientTls::config(&versions));
            let outcome = converse(listener, tls(), Segments::Sizes(vec![1]));
            assert_same(&outcome, &converse(listener, tls(), Segments::Whole));
        }
    }
}

#[test]
fn many_records_in_one_read_are_all_taken() {
    for listener in LISTENERS {
        let mut client = Client::secure(listener);
        let tls = client.tls.as_mut().unwrap();
        for byte in commands(listener).bytes() {
            tls.write(&[byte]);
        }
        let wire = tls.transmit();
        assert!(wire.len() > 20 * commands(listener).len());
        let heard = client.send_raw(&wire);
        assert_eq!(heard, without_greeting(listener, &whole(listener).heard));
    }
}

/// With implicit TLS the greeting comes with the handshake, not with the answers.
fn without_greeting(listener: ListenerKind, heard: &str) -> String {
    match listener {
        ListenerKind::Smtps | ListenerKind::Imaps => {
            let (_greeting, rest) = heard.split_once("\r\n").unwrap();
            rest.to_owned()
        }
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Imap => heard.to_owned(),
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_and_segments_of_any_size_change_nothing(
        which in 0usize..LISTENERS.len(),
        record_bytes in 32usize..200,
        segments in proptest::collection::vec(1usize..300, 1..10),
    ) {
        let listener = LISTENERS[which];
        let tls = small_records(record_bytes);
        let outcome = converse(listener, tls, Segments::Sizes(segments));
        assert_same(&outcome, &whole(listener));
    }

    /// Also when the client takes a few bytes at a time.
    #[test]
    fn writes_of_any_size_change_nothing(
        which in 0usize..LISTENERS.len(),
        write_bytes_max in 1usize..100,
    ) {
        let listener = LISTENERS[which];
        let mut client = Client::connect(listener);
        client.server.write_bytes_max = write_bytes_max;
        client.say(starttls(listener));
        let mut heard = client.start_tls();
        heard.push_str(&client.say(commands(listener)));
        prop_assert_eq!(heard, whole(listener).heard);
    }
}
