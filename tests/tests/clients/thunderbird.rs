//! Thunderbird finds the account by autoconfig, and reads a message.

use std::{path::Path, process::Command};

use rmail_tests::daemon::{Daemon, Port};
use serde_json::{Value, json};

use crate::{ALICE, PASSWORD, expect_subjects, is_installed, letter, succeed};

pub(crate) fn sets_itself_up(daemon: &Daemon) {
    if !is_installed("thunderbird") || !is_installed("python3") {
        return;
    }
    let mut sender = daemon.door(Port::Smtp).connect().expect("it listens");
    sender.read_reply().expect("it greets");
    sender.smtp("EHLO client.example.net").expect("it answers");
    let text = letter("hello");
    let delivered = sender.deliver("bob@example.net", &[ALICE], &text);
    delivered.expect("the message is taken");
    expect_subjects(daemon, "INBOX", &["hello"]);
    let setup = json!({
        "address": ALICE,
        "password": PASSWORD,
        "certificate": daemon.root().certificate(),
        "hosts": ["autoconfig.example.com", "example.com", "mail.example.com"],
        "ports": {"80": daemon.port(Port::Http), "443": daemon.port(Port::Https)},
        "tls_ports": [443, daemon.port(Port::Imaps), daemon.port(Port::Smtps)],
        "subject": "hello",
        "folder": daemon.root().folder(),
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/thunderbird.py");
    let said = succeed(Command::new("python3").arg(script), &setup.to_string());
    let found: Value = serde_json::from_str(&said).expect("it is JSON");
    let port = |port| daemon.port(port);
    let incoming = json!(["imap", "mail.example.com", port(Port::Imaps)]);
    assert_eq!(found["incoming"], incoming, "{said}");
    let outgoing = json!(["smtp", "mail.example.com", port(Port::Smtps)]);
    assert_eq!(found["outgoing"], outgoing, "{said}");
    assert_eq!(found["username"], ALICE, "{said}");
    let asked = found["asked"].as_array().expect("it is a list");
    assert!(asked.contains(&json!("autoconfig.example.com")), "{said}");
    let read = found["text"].as_str().unwrap_or_default();
    assert!(read.contains("This is hello."), "{said}");
}
