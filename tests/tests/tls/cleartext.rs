//! What comes in the clear where TLS is to be.

use rmail_server::node::ListenerKind;
use rmail_tests::ClientTls;

use crate::{
    client::{Client, are_alerts, noop, starttls},
    server::{IMPLICIT_LISTENERS, LISTENERS},
};

const CLEARTEXT: [&str; 8] = [
    "GET / HTTP/1.1\r\nHost: mail.example.com\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\nMAIL FROM:<eve@example.net>\r\n",
    "EHLO client.example\r\n",
    "EHLO client.example\r\nSTARTTLS\r\n",
    "a LOGIN alice secret\r\n",
    "a STARTTLS\r\n",
    "QUIT\r\n",
    "\r\n\r\n\r\n",
];

#[test]
fn implicit_tls_says_nothing_before_the_handshake() {
    for listener in IMPLICIT_LISTENERS {
        let client = Client::connect(listener);
        assert_eq!(client.cleartext, "");
    }
}

#[test]
fn cleartext_where_tls_is_to_be_hears_an_alert_and_no_banner() {
    for listener in LISTENERS {
        for cleartext in CLEARTEXT {
            for is_split in [false, true] {
                let mut client = Client::connect(listener);
                client.send(starttls(listener).as_bytes());
                match is_split {
                    true => cleartext
                        .bytes()
                        .for_each(|byte| client.server.receive(&[byte])),
                    false => client.server.receive(cleartext.as_bytes()),
                }
                let sent = client.server.take_sent();
                assert!(are_alerts(&sent), "{listener:?}, {cleartext:?}: {sent:?}");
                assert!(client.server.has_ended);
                assert_eq!(client.server.world.calls, Vec::<String>::new());
            }
        }
    }
}

#[test]
fn cleartext_within_tls_ends_the_session_before_it_counts() {
    for listener in LISTENERS {
        let mut client = Client::ready(listener);
        let calls = client.server.world.calls.len();
        let cleartext = match listener {
            ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => {
                "MAIL FROM:<eve@example.net>\r\n"
            }
            ListenerKind::Imap | ListenerKind::Imaps => "x SELECT INBOX\r\n",
            ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
        };
        let said = client.send_raw(cleartext.as_bytes());
        assert_eq!(said, "");
        assert!(client.tls_error.is_some(), "no alert came");
        assert!(client.server.has_ended);
        assert_eq!(client.server.world.calls.len(), calls);
    }
}

/// A record that somebody repeats, drops or moves is not one that the client sent.
#[test]
fn records_repeated_dropped_or_moved_end_the_session() {
    for listener in LISTENERS {
        for order in [vec![0, 0], vec![1], vec![1, 0]] {
            let mut client = Client::ready(listener);
            let calls = client.server.world.calls.len();
            let (command, answer) = noop(listener);
            let records: Vec<Vec<u8>> = (0..2).map(|_| encrypted(&mut client, command)).collect();
            let mut said = String::new();
            for index in &order {
                client.server.receive(&records[*index]);
                said.push_str(&client.receive());
            }
            let good = usize::from(order[0] == 0);
            assert_eq!(said.matches(answer).count(), good, "{said}");
            assert!(client.server.has_ended);
            assert_eq!(client.server.world.calls.len(), calls);
        }
    }
}

fn encrypted(client: &mut Client, command: &str) -> Vec<u8> {
    let tls: &mut ClientTls = client.tls.as_mut().unwrap();
    tls.write(command.as_bytes());
    tls.transmit()
}
