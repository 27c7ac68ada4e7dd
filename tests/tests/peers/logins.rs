//! Postfix with Cyrus SASL as the smarthost, with one mechanism at a time.

use rmail_tests::{
    daemon::{Kind, MailRoot, free_port},
    peers::{Peer, PeerKind, PeerSetup},
};
use serde_json::json;

use crate::{ALICE, PASSWORD};

fn logs_in_by(kind: Kind, mechanism: &str) {
    if !PeerKind::Postfix.is_installed() {
        return;
    }
    let port = free_port();
    let root = MailRoot::new();
    let domain = PeerKind::Postfix.domain();
    let daemon = root.start_with(
        kind,
        &json!({ "relay": {
            "smarthost": "127.0.0.1", "smarthost_port": port,
            "smarthost_username": format!("{}@{domain}", Peer::USER),
            "smarthost_password": Peer::PASSWORD,
        } }),
    );
    daemon.add_user(ALICE, PASSWORD);
    let tls = root.folder().join("mail/tls");
    let setup = PeerSetup {
        mechanism: Some(mechanism),
        ..PeerSetup::new(port, &tls)
    };
    let peer = Peer::start(PeerKind::Postfix, &setup);
    let mut client = daemon.submission(ALICE, PASSWORD);
    let text = format!("From: {ALICE}\r\nSubject: a letter\r\n\r\nHi\r\n");
    let sent = client.deliver(ALICE, &[&format!("bob@{domain}")], &text);
    sent.expect("rmail takes it");
    let mail = peer.wait_for_mail("Subject: a letter");
    let user = Peer::USER;
    assert!(
        mail.contains(&format!("(Authenticated sender: {user}")),
        "{mail}"
    );
    peer.wait_for_log(&format!("sasl_method={mechanism}, sasl_username={user}"));
    daemon.finish();
}

#[test]
fn tokio_logs_in_by_plain() {
    logs_in_by(Kind::Tokio, "PLAIN");
}

#[test]
fn tokio_logs_in_by_login() {
    logs_in_by(Kind::Tokio, "LOGIN");
}

#[test]
fn tokio_logs_in_by_scram_sha_256() {
    logs_in_by(Kind::Tokio, "SCRAM-SHA-256");
}

#[test]
fn async_std_logs_in_by_plain() {
    logs_in_by(Kind::AsyncStd, "PLAIN");
}

#[test]
fn async_std_logs_in_by_login() {
    logs_in_by(Kind::AsyncStd, "LOGIN");
}

#[test]
fn async_std_logs_in_by_scram_sha_256() {
    logs_in_by(Kind::AsyncStd, "SCRAM-SHA-256");
}
