//! What an attacker puts in front of a victim's TLS: forgotten, all of it
//! (RFC 3207 §4.2, RFC 3501 §6.2.1; CVE-2011-0411 was this).

use proptest::prelude::*;
use rmail_server::node::ListenerKind;

use crate::{
    client::{Client, noop, starttls},
    server::STARTTLS_LISTENERS,
};

const SMTP_INJECTIONS: [&str; 10] = [
    "RSET\r\n",
    "NOO",
    "EHLO evil\r\n",
    "EHLO evil\r\nMAIL FROM:<eve@example.net>\r\n",
    "EHLO evil\r\nMAIL FROM:<eve@example.net>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n",
    "EHLO evil\r\nMAIL FROM:<eve@example.net>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\nx\r\n.\r\n",
    "EHLO evil\r\nAUTH PLAIN AGV2ZQBldmU=\r\n",
    "EHLO evil\r\nAUTH LOGIN\r\nZXZl\r\n",
    "BDAT 1000 LAST\r\nx",
    "\r\nSTARTTLS\r\nQUIT\r\n",
];

const IMAP_INJECTIONS: [&str; 9] = [
    "x NOOP\r\n",
    "x LOG",
    "x LOGIN eve evil\r\n",
    "x LOGIN {3}\r\n",
    "x LOGIN {100+}\r\neve",
    "x AUTHENTICATE PLAIN\r\nAGV2ZQBldmU=\r\n",
    "x AUTHENTICATE PLAIN AGV2ZQBldmU=\r\n",
    "x APPEND INBOX {100+}\r\nSubject: ",
    "x LOGOUT\r\n",
];

fn injections(listener: ListenerKind) -> &'static [&'static str] {
    match listener {
        ListenerKind::Imap | ListenerKind::Imaps => &IMAP_INJECTIONS,
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => &SMTP_INJECTIONS,
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    }
}

/// Nobody's commands were carried out, and the victim is a stranger as after connecting.
fn assert_fresh(client: &mut Client, listener: ListenerKind) {
    assert_eq!(client.server.world.calls, Vec::<String>::new());
    let (command, answer) = noop(listener);
    let said = client.say(command);
    assert!(said.starts_with(answer), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let (commands, answers): (_, &[&str]) = match listener {
        ListenerKind::Imap | ListenerKind::Imaps => (
            "1 SELECT INBOX\r\n2 CLOSE\r\n3 IDLE\r\n",
            &[
                "1 BAD Log in first",
                "2 BAD Log in first",
                "3 BAD Log in first",
            ],
        ),
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => (
            "MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.com>\r\nDATA\r\n\
             BDAT 0 LAST\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
            &["503 ", "503 ", "503 ", "503 ", "503 "],
        ),
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    };
    let said = client.say(commands);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), answers.len(), "{said}");
    for (line, answer) in lines.iter().zip(answers) {
        assert!(line.starts_with(answer), "{said}");
    }
    assert_eq!(client.server.world.calls, Vec::<String>::new());
    client.introduce(listener);
}

#[test]
fn plaintext_in_one_segment_with_starttls_is_forgotten() {
    for listener in STARTTLS_LISTENERS {
        for injection in injections(listener) {
            let mut client = Client::connect(listener);
            let said = client.say(&format!("{}{injection}", starttls(listener)));
            let last = said.lines().last().unwrap();
            let accepted = ["220 2.0.0 ", "a OK "];
            assert!(
                accepted.iter().any(|start| last.starts_with(start)),
                "{said}"
            );
            assert_eq!(client.start_tls(), "", "{injection:?}");
            assert_fresh(&mut client, listener);
        }
    }
}

/// There is no TLS in which it could be forgotten: the victim's handshake fails.
#[test]
fn plaintext_between_starttls_and_the_handshake_ends_the_session() {
    for listener in STARTTLS_LISTENERS {
        for injection in injections(listener) {
            let mut client = Client::connect(listener);
            client.say(starttls(listener));
            client.server.receive(injection.as_bytes());
            let hello = rmail_tests::ClientTls::new().transmit();
            client.server.receive(&hello);
            let sent = client.server.take_sent();
            assert!(crate::client::are_alerts(&sent), "{injection:?}: {sent:?}");
            assert!(client.server.has_ended);
            assert_eq!(client.server.world.calls, Vec::<String>::new());
        }
    }
}

#[test]
fn mail_transaction_begun_in_the_clear_is_forgotten() {
    for (begun, open_uploads) in [
        ("MAIL FROM:<a@client.example>\r\n", 0),
        (
            "MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.com>\r\n",
            0,
        ),
        (
            "MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.com>\r\n\
             BDAT 14\r\nSubject: cut\r\n",
            0,
        ),
    ] {
        let mut client = Client::connect(ListenerKind::Smtp);
        client.say("EHLO client.example\r\n");
        client.say(begun);
        let said = client.say("STARTTLS\r\n");
        assert!(said.starts_with("220 2.0.0 "), "{said}");
        assert_eq!(client.start_tls(), "");
        client.server.world.calls.clear();
        assert_eq!(client.server.world.open_uploads(), open_uploads);
        assert_fresh(&mut client, ListenerKind::Smtp);
        assert!(client.server.world.accepted.is_empty());
    }
}

#[test]
fn login_tried_in_the_clear_counts_for_nothing() {
    let mut client = Client::connect(ListenerKind::Submission);
    let said = client.say(
        "EHLO client.example\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\nAUTH LOGIN\r\nYWxpY2U=\r\n",
    );
    assert_eq!(said.matches("538 5.7.11 ").count(), 2, "{said}");
    client.say("STARTTLS\r\n");
    assert_eq!(client.start_tls(), "");
    assert_fresh(&mut client, ListenerKind::Submission);

    let mut client = Client::connect(ListenerKind::Imap);
    let said = client.say(
        "b LOGIN alice secret\r\nc LOGIN {5+}\r\nalice {6+}\r\nsecret\r\n\
         d AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\ne AUTHENTICATE LOGIN\r\n",
    );
    assert_eq!(said.matches(" NO [PRIVACYREQUIRED] ").count(), 4, "{said}");
    client.say("f STARTTLS\r\n");
    assert_eq!(client.start_tls(), "");
    assert_fresh(&mut client, ListenerKind::Imap);
}

/// Half a command in front of TLS and the other half in it are no command.
#[test]
fn half_a_command_is_not_completed_within_tls() {
    let mut client = Client::connect(ListenerKind::Smtp);
    client.say("EHLO client.example\r\nSTARTTLS\r\nMAIL FROM:<eve@exam");
    assert_eq!(client.start_tls(), "");
    let said = client.say("ple.net>\r\n");
    assert!(said.starts_with("500 "), "{said}");
    assert_fresh(&mut client, ListenerKind::Smtp);

    let mut client = Client::connect(ListenerKind::Imap);
    client.say("a STARTTLS\r\nb LOGIN eve ");
    assert_eq!(client.start_tls(), "");
    let said = client.say("x NOOP\r\n");
    assert!(said.starts_with("x OK "), "{said}");
    assert_fresh(&mut client, ListenerKind::Imap);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However the attacker's bytes are cut into segments, none of them counts: the handshake
    /// fails, or begins afresh.
    #[test]
    fn injection_counts_for_nothing_however_it_is_cut(
        which in 0usize..STARTTLS_LISTENERS.len(),
        injection in 0usize..9,
        cuts in proptest::collection::vec(1usize..20, 1..6),
    ) {
        let listener = STARTTLS_LISTENERS[which];
        let injected = injections(listener)[injection];
        let text = format!("{}{injected}", starttls(listener));
        let segments = crate::client::Segments::Sizes(cuts);
        let mut client = Client::connect_in(listener, segments);
        client.send_raw(text.as_bytes());
        if client.server.has_ended {
            prop_assert_eq!(&client.server.world.calls, &Vec::<String>::new());
        } else if client.try_tls(rmail_tests::ClientTls::new()).is_empty()
            && client.tls_error.is_none()
            && !client.tls.as_ref().is_some_and(rmail_tests::ClientTls::is_handshaking)
        {
            assert_fresh(&mut client, listener);
        } else {
            prop_assert_eq!(&client.server.world.calls, &Vec::<String>::new());
        }
    }
}
