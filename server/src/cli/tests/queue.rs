//! What `queue` promises.

use std::sync::Arc;

use bytes::Bytes;
use rmail_proto::{
    Address, ForwardPath, ReversePath, UnixTime,
    smtp::{MailNotice, Recipient},
};
use rmail_store::{
    Claim, Concluded, Content, Destination, Fate, Lots, NewRecipient, NewSpoolEntry, SpoolWrite,
    Told,
};

use super::*;
use crate::outside::clock;

/// A queue with one message, of which one recipient was put off and one refused.
fn example() -> (tempfile::TempDir, Config, SqliteStore) {
    let folder = tempfile::TempDir::new().unwrap();
    let config = Config::default_in(folder.path());
    let store = SqliteStore::open(&config.mail_root, Arc::new(RealFiles), None, 1).unwrap();
    let address = |text: &str| Address::parse(text).unwrap();
    let recipient = |text: &str| NewRecipient {
        recipient: Recipient::new(ForwardPath::Address(address(text))),
        destination: Destination::Remote("example.net".to_owned()),
    };
    let entry = NewSpoolEntry {
        envelope_id: "0abc".to_owned(),
        reverse_path: ReversePath::Address(address("alice@example.com")),
        notice: MailNotice::default(),
        smtputf8: false,
        eight_bit_mime: false,
        recipients: vec![recipient("bob@example.net"), recipient("eve@example.net")],
        summary: Arc::default(),
        content: Content::Inline(Bytes::from_static(b"text")),
        is_claimed: false,
    };
    let now = clock::unix_now();
    let claim = Claim {
        lots: Lots::Remote {
            each_max: 1,
            except: std::collections::BTreeSet::new(),
        },
        count_max: 1,
        bytes_max: 0,
    };
    let concluded = |position, fate, answer: &str| Concluded {
        recipients: vec![position],
        fate,
        told: Told {
            by: "mx.example.net".to_owned(),
            answer: answer.to_owned(),
        },
    };
    let results = store
        .write_spool(
            now,
            vec![SpoolWrite::Accept(entry), SpoolWrite::Claim(claim)],
        )
        .unwrap();
    let spool = match &results[0] {
        Ok(rmail_store::SpoolWritten::Accepted(spool)) => *spool,
        other => panic!("{other:?}"),
    };
    let conclude = SpoolWrite::Conclude {
        spool,
        destination: Destination::Remote("example.net".to_owned()),
        concluded: vec![
            concluded(0, Fate::Waiting, "450 4.2.1 later"),
            concluded(1, Fate::Failed, "550 5.1.1 no"),
        ],
        retry_at: Some(UnixTime(now.0 + 3600)),
        tells_delay: false,
        reports: Vec::new(),
    };
    store.write_spool(now, vec![conclude]).unwrap()[0]
        .as_ref()
        .unwrap();
    (folder, config, store)
}

fn run(config: &Config, store: &SqliteStore, line: &str) -> Transcript {
    let arguments = parse(line).unwrap();
    let Some(Command::Queue(command)) = arguments.command else {
        panic!("{line} is about the queue");
    };
    Transcript::of("", |console| {
        crate::cli::queue::run(console, store, config, &command)
    })
}

#[test]
fn queue_lists_what_waits_by_what_it_has_in_common() {
    let (_folder, config, store) = example();
    let listed = run(&config, &store, "rmail queue list").output;
    assert!(
        listed.contains("<alice@example.com> -> <bob@example.net>  waiting, next"),
        "{listed}"
    );
    assert!(listed.ends_with("1 message\n"));
    for (filter, is_found) in [
        ("--sender alice", true),
        ("--sender bob", false),
        ("--recipient bob", true),
        ("--recipient eve", false),
        ("--domain Example.net", true),
        ("--domain example.org", false),
        ("--older-than 1h", false),
        ("--older-than 0s", true),
        ("--held", false),
    ] {
        let listed = run(&config, &store, &format!("rmail queue list {filter}")).output;
        assert_eq!(listed.contains("bob@"), is_found, "{filter}: {listed}");
    }
    let json = run(&config, &store, "rmail queue list --json").output;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["id"], "0abc");
    assert_eq!(json[0]["recipients_waiting"], 1);
}

#[test]
fn why_says_what_was_tried_where_what_was_answered_and_what_is_next() {
    let (_folder, config, store) = example();
    let why = run(&config, &store, "rmail queue why 0abc").output;
    for part in [
        "bob@example.net: waiting",
        "mx.example.net: 450 4.2.1 later",
        "next: attempt 2 at example.net, ",
        "; given up ",
        "eve@example.net: failed",
        "mx.example.net: 550 5.1.1 no",
        "1 recipient(s) at example.net, put off: mx.example.net: 450",
    ] {
        assert!(why.contains(part), "{part:?} is missing:\n{why}");
    }
    let json = run(&config, &store, "rmail queue show 0abc --json").output;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["recipients"][1]["fate"], "failed");
    assert_eq!(json["attempts"].as_array().unwrap().len(), 2);
    let unknown = run(&config, &store, "rmail queue why 0xyz");
    assert!(unknown.failure().contains("no message 0xyz"));
}

#[test]
fn messages_are_held_released_retried_and_dropped() {
    let (_folder, config, store) = example();
    let said = |line: &str| run(&config, &store, line).output;
    assert_eq!(
        said("rmail queue hold --domain example.net"),
        "1 message held\n"
    );
    assert!(said("rmail queue why 0abc").contains("next: nothing (held by an operator)"));
    assert_eq!(said("rmail queue release --held"), "1 message released\n");
    assert_eq!(
        said("rmail queue retry 0abc"),
        "1 message will be tried at once\n"
    );
    assert_eq!(said("rmail queue drop 0abc --yes"), "1 message dropped\n");
    assert_eq!(said("rmail queue list"), "no message is waiting\n");
}

#[test]
fn nothing_is_meant_by_saying_nothing() {
    assert!(super::parse("rmail queue drop --yes").is_err());
    assert!(super::parse("rmail queue retry").is_err());
    assert!(super::parse("rmail queue list --older-than soon").is_err());
}
