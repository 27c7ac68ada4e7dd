//! What happens to mail between its acceptance and its mailbox.

use std::time::Duration;

use rmail_server::node::ListenerKind;

use super::{Journey, mail_in::outsider};
use crate::{AccountChange, AccountSetup};

/// Mail that was accepted for an account that is gone is held, and delivered once there is an
/// account of that address again. It takes minutes, which only virtual time has.
pub fn mail_for_a_deleted_account_waits_for_it() -> Journey {
    Journey::new(|site| {
        let mut sender = outsider(site);
        sender.play(
            "C: MAIL FROM:<carol@example.net>
             S: 250 *
             C: RCPT TO:<bob@example.com>
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
        let mut alice = site.connect(ListenerKind::Imaps);
        alice.login("alice@example.com", "wonderland");
        alice.select("INBOX", 1);
        site.pass(Duration::from_secs(600));
        site.change_account(AccountChange::Add(AccountSetup::new(
            "bob@example.com",
            "back again",
        )));
        site.pass(Duration::from_secs(120));
        let mut bob = site.connect(ListenerKind::Imaps);
        bob.login("bob@example.com", "back again");
        bob.select("INBOX", 1);
        // Once to each, also after a while.
        site.pass(Duration::from_secs(600));
        alice.select("INBOX", 1);
        bob.select("INBOX", 1);
    })
}
