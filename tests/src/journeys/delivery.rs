//! What happens to mail between its acceptance and its mailbox.

use std::time::Duration;

use rmail_server::node::ListenerKind;

use super::{Journey, mail_in::outsider};
use crate::AccountChange;

/// Mail that was accepted for an account that is gone comes back to its sender with the reason;
/// the others have theirs, once.
pub fn mail_for_a_deleted_account_comes_back() -> Journey {
    Journey::new(|site| {
        let mut sender = outsider(site);
        sender.play(
            "C: MAIL FROM:<alice@example.com> RET=HDRS ENVID=abc
             S: 250 *
             C: RCPT TO:<bob@example.com> ORCPT=rfc822;Bob@example.com
             S: 250 *
             C: RCPT TO:<alice@example.com>
             S: 250 *",
        );
        site.change_account(AccountChange::Delete {
            address: "bob@example.com".to_owned(),
        });
        site.pass(Duration::from_secs(2));
        sender.play(
            "C: DATA
             S: 354 *
             C: Subject: are you there?
             C:
             C: .
             S: 250 *",
        );
        site.pass(Duration::from_secs(120));
        let mut alice = site.connect(ListenerKind::Imaps);
        alice.login("alice@example.com", "wonderland");
        alice.select("INBOX", 2);
        alice.play(
            "C: 1 FETCH 2 BODY.PEEK[]
             S: * 2 FETCH (BODY[] {*}
             S: Return-Path: <>
             S…: Original-Envelope-Id: abc
             S…: Original-Recipient: rfc822; Bob@example.com
             S: Final-Recipient: rfc822; bob@example.com
             S: Action: failed
             S: Status: 5.1.1
             S…: Subject: are you there?
             S…: )
             S: 1 OK *",
        );
        // Once, also after a while.
        site.pass(Duration::from_secs(600));
        alice.select("INBOX", 2);
    })
}
