//! Several processes on one `mail_root`.

use std::time::Duration;

use rmail_server::node::ListenerKind;

use super::{
    Journey,
    mail_in::{deliver, outsider},
};
use crate::{AccountChange, Client, ServerIndex, Setup, Site};

fn two_servers(run: fn(&Site)) -> Journey {
    let setup = Setup {
        servers: 2,
        ..Setup::default()
    };
    Journey { setup, run }
}

/// Mail and flags that come by one process are soon seen in the other, also while idling.
pub fn mail_is_seen_by_all_processes() -> Journey {
    two_servers(|site| {
        let mut there = alice_on(site, ServerIndex(1));
        there.select("INBOX", 0);
        there.play(
            "C: 1 IDLE
             S: + idling",
        );
        for count in 1..=2 {
            deliver(site, &["alice@example.com"], "Subject: here\n\n");
            there.expect_after_others(&format!("* {count} EXISTS"));
        }
        let mut here = alice_on(site, ServerIndex(0));
        here.select("INBOX", 2);
        here.play(
            "C: 1 STORE 2 FLAGS.SILENT (\\Deleted)
             S…: 1 OK *",
        );
        there.expect_after_others("* 2 FETCH (*FLAGS (\\Deleted*");
        here.play(
            "C: 2 CLOSE
             S: 2 OK *",
        );
        there.expect_after_others("* 2 EXPUNGE");
        there.play(
            "C: DONE
             S…: 1 OK *",
        );
    })
}

/// A new password counts everywhere within a second, and the old one nowhere, although it was
/// remembered.
pub fn new_password_counts_in_all_processes() -> Journey {
    two_servers(|site| {
        for server in [ServerIndex(0), ServerIndex(1)] {
            // The second login is answered from memory.
            alice_on(site, server);
            alice_on(site, server);
        }
        site.change_account(AccountChange::SetPassword {
            address: "alice@example.com".to_owned(),
            password: "looking-glass".to_owned(),
        });
        site.pass(Duration::from_millis(1500));
        for server in [ServerIndex(0), ServerIndex(1)] {
            let mut client = site.connect_to(server, ListenerKind::Imaps);
            client.play(
                "S: * OK *
                 C: 1 LOGIN alice@example.com wonderland
                 S: 1 NO [AUTHENTICATIONFAILED] *
                 C: 2 LOGIN alice@example.com looking-glass
                 S: 2 OK *",
            );
        }
        site.change_account(AccountChange::Add(crate::AccountSetup::new(
            "dora@example.com",
            "explorer",
        )));
        site.pass(Duration::from_millis(1500));
        outsider(site).send_message("carol@example.net", &["dora@example.com"], "Hi: x\n\n");
        let mut dora = site.connect_to(ServerIndex(1), ListenerKind::Imaps);
        dora.login("dora@example.com", "explorer");
        dora.select("INBOX", 1);
    })
}

/// Alice, logged in at a server.
#[track_caller]
fn alice_on(site: &Site, server: ServerIndex) -> Client {
    let mut client = site.connect_to(server, ListenerKind::Imaps);
    client.login("alice@example.com", "wonderland");
    client
}
