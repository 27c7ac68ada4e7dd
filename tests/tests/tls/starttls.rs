//! STARTTLS where it is not the plain case: repeated, with arguments, while the machine waits.

use rmail_proto::limits::SEND_CREDIT_BYTES;
use rmail_server::node::ListenerKind;
use rmail_tests::ClientTls;

use crate::{
    client::{Client, noop, starttls},
    server::{LISTENERS, STARTTLS_LISTENERS},
};

const HANDSHAKE: u8 = 22;

fn is_imap(listener: ListenerKind) -> bool {
    match listener {
        ListenerKind::Imap | ListenerKind::Imaps => true,
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => false,
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    }
}

#[test]
fn starttls_within_tls_is_refused_and_the_session_goes_on() {
    for listener in LISTENERS {
        let mut client = Client::secure(listener);
        let said = match is_imap(listener) {
            true => client.say("b STARTTLS\r\n"),
            false => client.say("EHLO client.example\r\nSTARTTLS\r\n"),
        };
        let last = said.lines().last().unwrap();
        let refused = ["503 ", "b BAD "];
        assert!(
            refused.iter().any(|start| last.starts_with(start)),
            "{said}"
        );
        let (command, answer) = noop(listener);
        assert!(client.say(command).starts_with(answer));
    }
}

#[test]
fn starttls_is_not_offered_within_tls() {
    for listener in LISTENERS {
        let mut client = Client::secure(listener);
        let said = match is_imap(listener) {
            true => client.say("b CAPABILITY\r\n"),
            false => client.say("EHLO client.example\r\n"),
        };
        assert!(!said.contains("STARTTLS"), "{said}");
        assert!(!said.contains("LOGINDISABLED"), "{said}");
        let offers_login = said.contains("AUTH");
        assert_eq!(offers_login, listener != ListenerKind::Smtp, "{said}");
    }
}

#[test]
fn starttls_with_arguments_is_refused_and_starts_nothing() {
    for listener in STARTTLS_LISTENERS {
        let commands: &[&str] = match is_imap(listener) {
            true => &[
                "b STARTTLS now\r\n",
                "b STARTTLS (x)\r\n",
                "b STARTTLS \r\n",
                "b STARTTLS {1+}\r\nx\r\n",
            ],
            false => &["STARTTLS now\r\n", "STARTTLS mail.example.com\r\n"],
        };
        for command in commands {
            let mut client = Client::connect(listener);
            let said = client.say(command);
            let refused = ["501 ", "b BAD "];
            assert!(
                refused.iter().any(|start| said.starts_with(start)),
                "{said}"
            );
            let (command, answer) = noop(listener);
            assert!(client.say(command).starts_with(answer), "{said}");
        }
    }
}

/// What looks like STARTTLS within a literal is a part of the literal.
#[test]
fn starttls_within_a_literal_is_data() {
    let mut client = Client::connect(ListenerKind::Imap);
    let said = client.say("b LOGIN {12+}\r\nc STARTTLS\r\n secret\r\n");
    assert!(said.starts_with("b NO [PRIVACYREQUIRED] "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn starttls_behind_a_command_that_waits_drops_what_follows_it() {
    let mut client = Client::connect(ListenerKind::Smtp);
    client.say("EHLO client.example\r\n");
    client.server.holds_calls = true;
    let said = client.say(
        "MAIL FROM:<a@client.example>\r\nSTARTTLS\r\nRCPT TO:<alice@example.com>\r\nEHLO evil\r\n",
    );
    assert_eq!(said, "");
    client.server.answer_held();
    let said = client.receive();
    let codes: Vec<&str> = said.lines().map(|line| &line[..9]).collect();
    assert_eq!(codes, ["250 2.1.0", "220 2.0.0"]);
    assert_eq!(client.start_tls(), "");
    assert_eq!(client.server.world.calls, ["mail a@client.example"]);
    let said = client.say("RCPT TO:<alice@example.com>\r\nDATA\r\nMAIL FROM:<a@b.example>\r\n");
    let codes: Vec<&str> = said.lines().map(|line| &line[..4]).collect();
    assert_eq!(codes, ["503 ", "503 ", "503 "], "{said}");
}

/// The client asks for much, takes nothing, and STARTTLS comes once it takes it.
#[test]
fn starttls_behind_spent_send_credit_drops_what_follows_it() {
    for listener in STARTTLS_LISTENERS {
        let question = match is_imap(listener) {
            true => "q CAPABILITY\r\n",
            false => "EHLO client.example\r\n",
        };
        let mut client = Client::connect(listener);
        client.server.is_read = false;
        client.say(&question.repeat(2 * SEND_CREDIT_BYTES / 100));
        let (command, _) = noop(listener);
        client.say(&format!("{}{command}", starttls(listener)));
        client.server.is_read = true;
        client.server.progress();
        let said = client.receive();
        let last = said.lines().last().unwrap();
        let accepted = ["220 2.0.0 ", "a OK "];
        assert!(
            accepted.iter().any(|start| last.starts_with(start)),
            "{last}"
        );
        assert_eq!(client.start_tls(), "");
    }
}

/// Whatever was said in the clear is on the wire before TLS begins, also when the client begins
/// before it has taken it.
#[test]
fn every_cleartext_byte_precedes_the_first_record() {
    for listener in STARTTLS_LISTENERS {
        for write_bytes_max in [1, 7, usize::MAX] {
            let mut client = Client::connect(listener);
            client.server.write_bytes_max = write_bytes_max;
            client.server.is_read = false;
            client.server.receive(starttls(listener).as_bytes());
            client.server.receive(&ClientTls::new().transmit());
            client.server.is_read = true;
            client.server.progress();
            let sent = client.server.take_sent();
            let end = sent.windows(2).rposition(|pair| pair == b"\r\n");
            let ready = sent.windows(4).position(|bytes| match is_imap(listener) {
                true => bytes == b"a OK",
                false => bytes == b"220 ",
            });
            let ready = ready.expect("STARTTLS was accepted");
            let line = sent[ready..].windows(2).position(|pair| pair == b"\r\n");
            let cleartext_bytes = ready + line.expect("the line ends") + 2;
            assert!(end.is_some_and(|end| end + 2 >= cleartext_bytes));
            assert!(sent[..cleartext_bytes].is_ascii());
            assert_eq!(sent.get(cleartext_bytes), Some(&HANDSHAKE));
        }
    }
}

/// Nothing that was said before TLS is said again in it, and nothing comes unasked
/// (RFC 3207 §4.2, RFC 3501 §6.2.1).
#[test]
fn nothing_said_before_tls_is_said_in_it() {
    for listener in STARTTLS_LISTENERS {
        let mut client = Client::connect(listener);
        client.server.is_read = false;
        let (command, answer) = noop(listener);
        client.say(&command.repeat(10));
        client.say(starttls(listener));
        client.server.is_read = true;
        client.server.progress();
        let said = client.receive();
        assert_eq!(said.matches(answer).count(), 10, "{said}");
        assert_eq!(client.start_tls(), "");
        let said = client.say(command);
        assert!(said.starts_with(answer), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
