//! Mail of users, and who may send what.

use rmail_server::node::ListenerKind;
use serde_json::json;

use super::Journey;
use crate::Site;

/// A user submits mail with STARTTLS, and with implicit TLS; where nothing is relayed, to users of
/// this server alone.
pub fn mail_is_submitted_over_tls() -> Journey {
    let mut journey = Journey::new(|site| {
        let mut starttls = site.connect(ListenerKind::Submission);
        starttls.expect("220 *");
        starttls.hello();
        starttls.starttls_smtp();
        let mut implicit = site.connect(ListenerKind::Smtps);
        implicit.expect("220 *");
        implicit.hello();
        for (client, subject) in [(&mut starttls, "first"), (&mut implicit, "second")] {
            client.play(
                "C: MAIL FROM:<alice@example.com>
                 S: 530 5.7.0 *",
            );
            client.authenticate("alice@example.com", "wonderland");
            let message = format!("From: alice@example.com\nSubject: {subject}\n\nHello, Bob.\n");
            client.send_message("alice@example.com", &["bob@example.com"], &message);
            client.play(
                "C: MAIL FROM:<alice@example.com>
                 S: 250 *
                 C: RCPT TO:<carol@example.net>
                 S: 550 5.7.1 *
                 C: QUIT
                 S: 221 *
                 END",
            );
        }
        let mut bob = site.connect(ListenerKind::Imaps);
        bob.login("bob@example.com", "builder's mate");
        bob.select("INBOX", 2);
        bob.play(
            "C: 1 FETCH 2 BODY.PEEK[]
             S: * 2 FETCH (BODY[] {*}
             S: Return-Path: <alice@example.com>
             S…: Subject: *
             S…: Hello, Bob.
             S: )
             S: 1 OK *",
        );
    });
    journey.setup.config = json!({ "relay": { "enabled": false } });
    journey
}

/// A user sends in no name but its own.
pub fn nobody_sends_in_anothers_name() -> Journey {
    Journey::new(|site| {
        let mut client = site.connect(ListenerKind::Smtps);
        client.expect("220 *");
        client.hello();
        client.authenticate("alice@example.com", "wonderland");
        client.play(
            "C: MAIL FROM:<bob@example.com>
             S: 550 5.7.1 *
             C: MAIL FROM:<alice+shop@example.com>
             S: 250 2.1.0 *
             C: RCPT TO:<bob@example.com>
             S: 250 2.1.5 *
             C: DATA
             S: 354 *
             C: From: bob@example.com
             C:
             C: I owe Alice money.
             C: .
             S: 550 5.7.1 *",
        );
        let own = "From: alice+shop@example.com\n\nI owe nobody money.\n";
        client.send_message("", &["bob@example.com"], own);
        let mut bob = site.connect(ListenerKind::Imaps);
        bob.login("bob@example.com", "builder's mate");
        bob.select("INBOX", 1);
    })
}

/// A password is not taken in the clear, nor on port 25.
pub fn nobody_logs_in_before_tls() -> Journey {
    fn run(site: &Site) {
        let plain = "AUTH PLAIN AGFsaWNlQGV4YW1wbGUuY29tAHdvbmRlcmxhbmQ=";
        let mut inbound = site.connect(ListenerKind::Smtp);
        inbound.expect("220 *");
        inbound.hello();
        inbound.send_line(plain);
        inbound.expect("503 5.5.1 *");
        inbound.starttls_smtp();
        inbound.send_line(plain);
        inbound.expect("503 5.5.1 *");

        let mut submission = site.connect(ListenerKind::Submission);
        submission.expect("220 *");
        submission.hello();
        submission.send_line(plain);
        submission.expect("538 5.7.11 *");
        submission.starttls_smtp();
        submission.send_line(plain);
        submission.expect("235 2.7.0 *");

        let mut imap = site.connect(ListenerKind::Imap);
        imap.play(
            "S: * OK [CAPABILITY * STARTTLS *LOGINDISABLED*] *
             C: 1 LOGIN alice@example.com wonderland
             S: 1 NO [PRIVACYREQUIRED] *
             C: 2 STARTTLS
             S: 2 OK *
             TLS
             C: 3 LOGIN alice@example.com wrong
             S: 3 NO [AUTHENTICATIONFAILED] *
             C: 4 LOGIN alice@example.com wonderland
             S: 4 OK *
             C: 5 SELECT inbox
             S…: 5 OK [READ-WRITE] *",
        );
    }
    Journey::new(run)
}
