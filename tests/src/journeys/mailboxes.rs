//! What users do with their mailboxes.

use rmail_server::node::ListenerKind;

use super::{Journey, mail_in::deliver};
use crate::{Client, Site};

/// What one session does is seen by another when it may be.
pub fn two_sessions_see_one_mailbox() -> Journey {
    Journey::new(|site| {
        for number in 1..=3 {
            deliver(
                site,
                &["alice@example.com"],
                &format!("Subject: {number}\n\n"),
            );
        }
        let mut first = alice(site);
        first.select("INBOX", 3);
        let mut second = alice(site);
        second.select("INBOX", 3);
        first.play(
            "C: 1 STORE 1 +FLAGS.SILENT (\\Deleted $Work)
             S…: 1 OK *
             C: 2 EXPUNGE
             S: * 1 EXPUNGE
             S…: 2 OK *",
        );
        // An EXPUNGE may not come while message numbers are in use (RFC 3501 §7.4.1).
        second.play(
            "C: 1 FETCH 2 UID
             S…: * 2 FETCH (UID 2)
             S…: 1 OK *
             C: 2 NOOP
             S…: * 1 EXPUNGE
             S…: 2 OK *
             C: 3 FETCH 1:* UID
             S: * 1 FETCH (UID 2)
             S: * 2 FETCH (UID 3)
             S: 3 OK *
             C: 4 IDLE
             S: + idling",
        );
        first.play(
            "C: 3 UID STORE 3 FLAGS (\\Flagged)
             S: * 2 FETCH (UID 3 FLAGS (\\Flagged*))
             S: 3 OK *",
        );
        second.play(
            "S: * 2 FETCH (*FLAGS (\\Flagged*)
             C: DONE
             S: 4 OK *",
        );
    })
}

/// APPEND, COPY, MOVE, CREATE, RENAME and DELETE.
pub fn mailboxes_are_renamed_and_messages_moved() -> Journey {
    Journey::new(|site| {
        let mut client = alice(site);
        client.select("INBOX", 0);
        client.play(
            "C: 1 CREATE Projects/R&AOk-sum&AOk-
             S: 1 OK *
             C: 2 APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {17}
             S: + *
             C: Subject: kept
             C:
             C:
             S…: 2 OK [APPENDUID * 1] *
             C: 3 APPEND Nowhere {5}
             S: 3 NO [TRYCREATE] *
             C: 4 COPY 1 Projects/R&AOk-sum&AOk-
             S: 4 OK [COPYUID * 1 1] *
             C: 5 MOVE 1 Projects/R&AOk-sum&AOk-
             S: * OK [COPYUID * 1 2] *
             S: * 1 EXPUNGE
             S…: 5 OK *
             C: 6 RENAME Projects Done
             S: 6 OK *
             C: 7 LIST \"\" Done/*
             S: * LIST (*) \"/\" Done/R&AOk-sum&AOk-
             S: 7 OK *
             C: 8 SELECT Done/R&AOk-sum&AOk-
             S…: 8 OK [READ-WRITE] *
             C: 9 FETCH 1:2 (UID FLAGS INTERNALDATE BODY.PEEK[])
             S: * 1 FETCH (UID 1 FLAGS (\\Seen*) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {17}
             S: Subject: kept
             S:
             S: )
             S: * 2 FETCH (UID 2 FLAGS (\\Seen*) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" BODY[] {17}
             S: Subject: kept
             S:
             S: )
             S: 9 OK *
             C: 10 UNSELECT
             S: 10 OK *
             C: 11 DELETE Done/R&AOk-sum&AOk-
             S: 11 OK *
             C: 12 SELECT Done/R&AOk-sum&AOk-
             S: 12 NO *",
        );
    })
}

/// Alice, logged in.
#[track_caller]
fn alice(site: &Site) -> Client {
    let mut client = site.connect(ListenerKind::Imaps);
    client.login("alice@example.com", "wonderland");
    client
}
