//! Mail from other servers, into mailboxes.

use rmail_server::node::ListenerKind;

use super::Journey;
use crate::{Client, Setup, Site};

/// A message comes in on port 25 and is read by IMAP over implicit TLS.
pub fn mail_comes_in_and_is_read() -> Journey {
    Journey::new(|site| {
        let mut sender = site.connect(ListenerKind::Smtp);
        sender.play(
            "S: 220 mail.example.com ESMTP*
             C: EHLO client.example.net
             S: 250-mail.example.com*
             S…: 250 *
             C: MAIL FROM:<carol@example.net>
             S: 250 2.1.0 *
             C: RCPT TO:<alice@example.com>
             S: 250 2.1.5 *
             C: DATA
             S: 354 *
             C: From: Carol <carol@example.net>
             C: Subject: lunch
             C:
             C: At noon?
             C: ..
             C: .
             S: 250 2.0.0 *
             C: QUIT
             S: 221 2.0.0 *
             END",
        );
        let mut alice = site.connect(ListenerKind::Imaps);
        alice.login("alice@example.com", "wonderland");
        alice.select("INBOX", 1);
        alice.play(
            "C: 2 FETCH 1 (FLAGS BODY.PEEK[])
             S: * 1 FETCH (FLAGS (\\Recent) BODY[] {*}
             S: Return-Path: <carol@example.net>
             S: Received: from client.example.net ([127.0.0.1])
             S…: From: Carol <carol@example.net>
             S: Subject: lunch
             S:
             S: At noon?
             S: .
             S: )
             S: 2 OK *
             C: 3 FETCH 1 BODY[]<0.12>
             S: * 1 FETCH (FLAGS (\\Seen \\Recent) BODY[]<0> {12}
             S: Return-Path:)
             S: 3 OK *
             C: 4 FETCH 1 FLAGS
             S: * 1 FETCH (FLAGS (\\Seen \\Recent))
             S: 4 OK *
             C: 5 FETCH 1 (ENVELOPE BODY.PEEK[TEXT])
             S: * 1 FETCH (ENVELOPE (NIL \"lunch\" ((\"Carol\" NIL \"carol\" \"example.net\")) * BODY[TEXT] {13}
             S: At noon?
             S: .
             S: )
             S: 5 OK *
             C: 6 LOGOUT
             S: * BYE *
             S: 6 OK *
             END",
        );
    })
}

/// A client that idles is told at once that mail has come.
pub fn idling_client_is_told_of_mail() -> Journey {
    Journey::new(|site| {
        let mut alice = site.connect(ListenerKind::Imaps);
        alice.login("alice@example.com", "wonderland");
        alice.select("INBOX", 0);
        alice.play(
            "C: i IDLE
             S: + idling",
        );
        for count in 1..=3 {
            deliver(site, &["alice@example.com"], "Subject: news\n\nNews.\n");
            alice.expect_after_others(&format!("* {count} EXISTS"));
        }
        alice.play(
            "C: DONE
             S…: i OK *",
        );
    })
}

/// Hosted addresses, subaddresses and the postmaster are accepted; nobody else.
pub fn recipients_are_found_or_refused() -> Journey {
    fn run(site: &Site) {
        let mut sender = site.connect(ListenerKind::Smtp);
        sender.expect("220 *");
        sender.hello();
        sender.play(
            "C: MAIL FROM:<>
             S: 250 2.1.0 *
             C: RCPT TO:<nobody@example.com>
             S: 550 5.1.1 *
             C: RCPT TO:<carol@example.net>
             S: 550 5.7.1 *
             C: RCPT TO:<Alice+lists@EXAMPLE.com>
             S: 250 2.1.5 *
             C: RCPT TO:<bob@example.com>
             S: 250 2.1.5 *
             C: RCPT TO:<postmaster>
             S: 250 2.1.5 *
             C: DATA
             S: 354 *
             C: Subject: to three
             C:
             C: .
             S: 250 2.0.0 *
             C: MAIL FROM:<>
             S: 250 2.1.0 *
             C: RCPT TO:<POSTMASTER@example.com>
             S: 250 2.1.5 *
             C: RCPT TO:<alice+a@example.com>
             S: 250 2.1.5 *
             C: RCPT TO:<alice+b@example.com>
             S: 250 2.1.5 *
             C: DATA
             S: 354 *
             C: Subject: to two, one of them twice
             C:
             C: .
             S: 250 2.0.0 *",
        );
        for (address, password, messages) in [
            ("alice@example.com", "wonderland", 2),
            ("bob@example.com", "builder's mate", 1),
            ("root@example.com", "wheel", 2),
        ] {
            let mut reader = site.connect(ListenerKind::Imaps);
            reader.login(address, password);
            reader.select("INBOX", messages);
        }
    }
    let mut setup = Setup::default();
    let mut root = crate::AccountSetup::new("root@example.com", "wheel");
    root.is_admin = true;
    setup.accounts.push(root);
    Journey { setup, run }
}

/// A message that fits no single chunk is stored, and read again, byte for byte.
pub fn large_message_comes_out_as_it_went_in() -> Journey {
    Journey::new(|site| {
        let body = large_body();
        deliver(site, &["alice@example.com", "bob@example.com"], &body);
        for (address, password) in [
            ("alice@example.com", "wonderland"),
            ("bob@example.com", "builder's mate"),
        ] {
            let mut reader = site.connect(ListenerKind::Imaps);
            reader.login(address, password);
            reader.select("INBOX", 1);
            reader.send_line("f FETCH 1 (BODY.PEEK[])");
            let line = reader.expect("* 1 FETCH (BODY[] {*}");
            let (_, size) = line.split_once('{').expect("it was expected");
            let size = size.trim_end_matches('}').parse().expect("it is a number");
            let message = reader.expect_bytes(size);
            reader.play(
                "S: )
                 S: f OK *",
            );
            let expected = body.replace('\n', "\r\n");
            let is_same = message.ends_with(expected.as_bytes());
            assert!(is_same, "the message is another one");
        }
    })
}

/// 3 MB of lines that all differ.
fn large_body() -> String {
    let mut body = String::from("Subject: large\n\n");
    for number in 0..60_000 {
        body.push_str(&format!(
            "{number:>10} bottles of beer, of {}\n",
            number * 7919
        ));
    }
    body.push_str("That is all.\n");
    body
}

/// A message from outside.
#[track_caller]
pub(super) fn deliver(site: &Site, to: &[&str], message: &str) {
    let mut sender = outsider(site);
    sender.send_message("carol@example.net", to, message);
    sender.play(
        "C: QUIT
         S: 221 *
         END",
    );
}

/// Another server, past its EHLO.
#[track_caller]
pub(super) fn outsider(site: &Site) -> Client {
    let mut sender = site.connect(ListenerKind::Smtp);
    sender.expect("220 *");
    sender.hello();
    sender
}
