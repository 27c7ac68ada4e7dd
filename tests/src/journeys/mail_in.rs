//! Mail from other servers, into mailboxes.

use rmail_server::node::ListenerKind;

use super::Journey;
use crate::{Setup, Site};

/// A message comes in on port 25 and is read by IMAP over implicit TLS.
pub fn mail_comes_in_and_is_read() -> Journey {
    fn run(site: &Site) {
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
            "C: 2 FETCH 1 (FLAGS ENVELOPE BODY[TEXT])
             S: * 1 FETCH (FLAGS (*) ENVELOPE (NIL \"lunch\" ((\"Carol\" NIL \"carol\" \"example.net\")) *
             S: At noon?
             S: .
             S: )
             S…: 2 OK *
             C: 3 LOGOUT
             S: * BYE *
             S: 3 OK *
             END",
        );
    }
    Journey {
        setup: Setup::default(),
        run,
    }
}
