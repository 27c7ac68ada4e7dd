//! How a TLS stream ends: by close_notify, by the end of its TCP stream alone, or by a reset.

use rmail_server::node::ListenerKind;

use crate::client::Client;

/// The three ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// As RFC 8446 §6.1 asks for.
    CloseNotify,
    /// An attacker can do this to a client that has more to say.
    Truncation,
    Reset,
}

const ENDS: [End; 3] = [End::CloseNotify, End::Truncation, End::Reset];

/// Lets a client's stream end. Returns what the server still said.
fn end(client: &mut Client, end: End) -> String {
    match end {
        End::CloseNotify => {
            client.close_notify();
            client.server.end();
        }
        End::Truncation => client.server.end(),
        End::Reset => client.server.fail(),
    }
    let said = client.receive();
    assert!(client.server.is_over());
    assert_eq!(client.server.world.open_uploads(), 0);
    said
}

const ENVELOPE: &str = "MAIL FROM:<alice@example.com>\r\nRCPT TO:<bob@example.com>\r\n";

/// Longer than the pieces in which it leaves the machine.
fn large_message() -> String {
    let mut message = String::from("From: alice@example.com\r\n\r\n");
    message.push_str(&"0123456789abcdef\r\n".repeat(10_000));
    message
}

#[test]
fn command_that_is_cut_is_not_carried_out() {
    for listener in [ListenerKind::Smtps, ListenerKind::Imaps] {
        for how in ENDS {
            let mut client = Client::ready(listener);
            let calls = client.server.world.calls.clone();
            client.say(match listener {
                ListenerKind::Smtps => "MAIL FROM:<alice@example.com>\r",
                _ => "x SELECT INBOX\r",
            });
            assert_eq!(end(&mut client, how), "");
            assert_eq!(client.server.world.calls, calls, "{how:?}");
        }
    }
}

#[test]
fn message_that_is_cut_is_never_acknowledged() {
    let large = large_message();
    for how in ENDS {
        for message in ["From: alice@example.com\r\n\r\nPay 10", &large] {
            for rest in ["", "\r\n", "\r\n.", "\r\n.\r"] {
                let mut client = Client::ready(ListenerKind::Smtps);
                client.say(ENVELOPE);
                let said = client.say("DATA\r\n");
                assert!(said.starts_with("354 "), "{said}");
                assert_eq!(client.say(&format!("{message}{rest}")), "");
                assert_eq!(end(&mut client, how), "", "{how:?}");
                assert!(client.server.world.accepted.is_empty());
            }
        }
    }
}

/// The last record of a message is cut at every byte: but for the whole of it, nothing counts.
#[test]
fn message_whose_last_record_is_cut_is_never_acknowledged() {
    let message = "From: alice@example.com\r\n\r\nPay 10\r\n.\r\n";
    let mut bytes = 0;
    loop {
        let mut client = Client::ready(ListenerKind::Smtps);
        client.say(ENVELOPE);
        client.say("DATA\r\n");
        let tls = client.tls.as_mut().unwrap();
        tls.write(message.as_bytes());
        let record = tls.transmit();
        client.server.receive(&record[..bytes]);
        let said = end(&mut client, End::Truncation);
        if bytes == record.len() {
            assert!(said.starts_with("250 2.0.0 "), "{said}");
            assert_eq!(client.server.world.accepted.len(), 1);
            break;
        }
        assert_eq!(said, "");
        assert!(client.server.world.accepted.is_empty());
        bytes += 1;
    }
}

#[test]
fn octets_of_bdat_that_are_cut_are_never_acknowledged() {
    let large = large_message();
    for how in ENDS {
        for message in ["From: alice@example.com\r\n\r\nPay 10\r\n", &large] {
            let mut client = Client::ready(ListenerKind::Smtps);
            client.say(ENVELOPE);
            let announced = message.len() + 1;
            let said = client.say(&format!("BDAT {announced} LAST\r\n{message}"));
            assert_eq!(said, "");
            assert_eq!(end(&mut client, how), "", "{how:?}");
            assert!(client.server.world.accepted.is_empty());
        }
    }
}

#[test]
fn literal_that_is_cut_is_never_appended() {
    let large = large_message();
    for how in ENDS {
        for message in ["Subject: x\r\n\r\nPay 10", &large] {
            // Also when only the CRLF after the literal is missing (RFC 3501 §6.3.11).
            for missing in [0, 1] {
                let mut client = Client::ready(ListenerKind::Imaps);
                let announced = message.len() + missing;
                let command = format!("x APPEND INBOX {{{announced}+}}\r\n{message}");
                assert_eq!(client.say(&command), "");
                assert_eq!(end(&mut client, how), "", "{how:?}");
                assert!(client.server.world.inbox.is_empty());
            }
        }
    }
}

#[test]
fn message_that_is_complete_before_the_end_is_kept_and_acknowledged() {
    for how in [End::CloseNotify, End::Truncation] {
        let mut client = Client::ready(ListenerKind::Smtps);
        client.say(ENVELOPE);
        client.say("DATA\r\n");
        client.server.holds_calls = true;
        client.say("From: alice@example.com\r\n\r\nPay 10\r\n.\r\n");
        match how {
            End::CloseNotify => client.close_notify(),
            End::Truncation | End::Reset => client.server.end(),
        }
        client.server.answer_held();
        let said = client.receive();
        assert!(said.starts_with("250 2.0.0 "), "{how:?}: {said}");
        assert_eq!(client.server.world.accepted.len(), 1);
    }
}

#[test]
fn nothing_counts_after_close_notify() {
    for listener in [ListenerKind::Smtps, ListenerKind::Imaps] {
        let mut client = Client::ready(listener);
        let calls = client.server.world.calls.clone();
        let tls = client.tls.as_mut().unwrap();
        tls.connection().send_close_notify();
        let mut wire = tls.transmit();
        wire.extend_from_slice(b"EHLO evil\r\nx SELECT INBOX\r\n");
        assert_eq!(client.send_raw(&wire), "");
        assert_eq!(client.server.world.calls, calls);
        assert!(client.server.is_over());
    }
}

#[test]
fn session_ends_its_stream_by_close_notify() {
    for (listener, goodbye) in [
        (ListenerKind::Smtps, "QUIT\r\n"),
        (ListenerKind::Smtp, "QUIT\r\n"),
        (ListenerKind::Imaps, "x LOGOUT\r\n"),
        (ListenerKind::Imap, "x LOGOUT\r\n"),
    ] {
        let mut client = Client::ready(listener);
        client.say(goodbye);
        assert!(client.server.has_ended);
        let tls = client.tls.as_mut().unwrap();
        let state = tls.connection().process_new_packets().unwrap();
        assert!(state.peer_has_closed(), "a truncation could not be told");
    }
}
