//! Who gets in, and how everybody is shown out.

use rmail_server::node::ListenerKind;
use serde_json::json;

use super::{Journey, mail_in::outsider};
use crate::{ServerIndex, Setup, Site};

/// One connection too many is told so; the place of one that left can be taken.
pub fn one_connection_too_many_is_told_so() -> Journey {
    fn run(site: &Site) {
        let first = outsider(site);
        let mut second = site.connect(ListenerKind::Submission);
        second.expect("220 *");
        let mut third = site.connect(ListenerKind::Smtp);
        third.play(
            "S: 421 4.7.0 *
             END",
        );
        second.play(
            "C: QUIT
             S: 221 *
             END",
        );
        connect_when_there_is_room(site, ListenerKind::Smtp, "220 ", "421 ");
        drop(first);
        connect_when_there_is_room(site, ListenerKind::Smtp, "220 ", "421 ");

        let imap = site.connect(ListenerKind::Imaps);
        let mut refused = site.connect(ListenerKind::Imap);
        refused.play(
            "S: * BYE [UNAVAILABLE] *
             END",
        );
        drop(imap);
        connect_when_there_is_room(site, ListenerKind::Imap, "* OK ", "* BYE ");
    }
    let config = json!({ "smtp": { "max_connections": 2 }, "imap": { "max_connections": 1 } });
    let setup = Setup {
        config,
        ..Setup::default()
    };
    Journey { setup, run }
}

/// The server notices soon, but not at once, that a client has left.
#[track_caller]
fn connect_when_there_is_room(site: &Site, listener: ListenerKind, welcome: &str, refusal: &str) {
    for _ in 0..200 {
        let mut client = site.connect(listener);
        let greeting = client.expect("*");
        if greeting.starts_with(welcome) {
            return;
        }
        assert!(greeting.starts_with(refusal), "odd greeting: {greeting}");
        site.pass(std::time::Duration::from_millis(50));
    }
    panic!("there is never room again");
}

/// A server that stops says so to everybody, and has after its next start what it accepted.
pub fn stop_says_goodbye_and_loses_nothing() -> Journey {
    Journey::new(|site| {
        let mut idling = site.connect(ListenerKind::Imaps);
        idling.login("alice@example.com", "wonderland");
        idling.select("INBOX", 0);
        idling.play(
            "C: 1 IDLE
             S: + idling",
        );
        let mut sender = outsider(site);
        for number in 1..=5 {
            let message = format!("Subject: {number}\n\nKeep me.\n");
            let both = ["alice@example.com", "bob@example.com"];
            sender.send_message("carol@example.net", &both, &message);
        }
        site.stop(ServerIndex(0));
        idling.expect_after_others("* BYE [UNAVAILABLE] *");
        idling.expect_end();
        sender.play(
            "S: 421 4.3.2 *
             END",
        );
        site.restart(ServerIndex(0));
        for (address, password) in [
            ("alice@example.com", "wonderland"),
            ("bob@example.com", "builder's mate"),
        ] {
            let mut reader = site.connect(ListenerKind::Imaps);
            reader.login(address, password);
            reader.select("INBOX", 5);
        }
    })
}
