//! Where mail goes by the configuration, and on what conditions: smarthosts with logins, TLS that
//! is required, LMTP, hold, and servers that turn out to be ourselves. Each on both daemons.

use rmail_tests::{
    DnsServer, DnsWorld,
    daemon::{Daemon, Kind, MailRoot, Port},
    sink::{Sink, SinkSetup},
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.net";
const PASSWORD: &str = "correct horse battery staple";

/// Alice's at the smarthost.
const SMARTHOST_PASSWORD: &str = "a password for the smarthost";

rmail_tests::promises! {
    where_required_tls_is_not_offered_nothing_is_sent,
    where_required_tls_has_a_certificate_of_nobody_nothing_is_sent,
    required_tls_with_a_certificate_that_is_trusted_lets_mail_go,
    smarthost_takes_mail_by_implicit_tls_after_a_login,
    wrong_password_is_told_and_the_right_one_lets_mail_go,
    lmtp_server_has_a_word_for_each_recipient,
    mail_on_a_hold_route_goes_when_it_is_released,
    server_that_bears_our_name_is_ourselves,
    backup_that_bears_our_name_does_not_spoil_the_wait_for_the_others,
}

/// A daemon for example.com with Alice, with this `relay` section.
fn sender(kind: Kind, root: &MailRoot, relay: &Value) -> Daemon {
    let daemon = root.start_with(kind, &json!({ "relay": relay }));
    daemon.add_user(ALICE, PASSWORD);
    daemon
}

/// A daemon for example.net with Bob, on which Alice has an account, too.
fn smarthost(kind: Kind) -> Daemon {
    let daemon = MailRoot::new().start_with(
        kind,
        &json!({ "hostname": "mail.example.net", "domains": ["example.net", "example.com"] }),
    );
    daemon.add_user(BOB, PASSWORD);
    daemon.add_user(ALICE, SMARTHOST_PASSWORD);
    daemon
}

fn alice_sends(daemon: &Daemon, to: &[&str]) {
    let mut client = daemon.submission(ALICE, PASSWORD);
    let text = format!("From: {ALICE}\r\nSubject: a letter\r\n\r\nHi\r\n");
    client.deliver(ALICE, to, &text).expect("it is accepted");
}

/// Waits until `rmail queue why` says this of the one message that is there; all that it says.
fn wait_for_why(daemon: &Daemon, text: &str) -> String {
    let listed = daemon.ask(&["queue", "list", "--json"]);
    let listed: Value = serde_json::from_str(&listed).expect("it is JSON");
    let id = listed[0]["id"].as_str().expect("there is a message");
    daemon.wait_for_command(&["queue", "why", id], text)
}

fn where_required_tls_is_not_offered_nothing_is_sent(kind: Kind) {
    let sink = Sink::start(SinkSetup::default());
    let route = format!("example.net smtp:127.0.0.1:{}", sink.address().port());
    let relay = json!({ "routes": [route], "tls": "required" });
    let daemon = sender(kind, &MailRoot::new(), &relay);
    alice_sends(&daemon, &[BOB]);
    wait_for_why(&daemon, "the server does not offer TLS");
    assert_eq!(sink.commands(), ["EHLO mail.example.com", "QUIT"]);
    daemon.finish();
}

fn where_required_tls_has_a_certificate_of_nobody_nothing_is_sent(kind: Kind) {
    let peer = smarthost(kind.other());
    // It trusts another one.
    let other = MailRoot::new().start(kind);
    let root = MailRoot::trusting(&other.root().certificate());
    let route = format!("example.net smtp:127.0.0.1:{}", peer.port(Port::Smtp));
    let relay = json!({ "routes": [route], "tls": "required", "retry_delays": [86400] });
    let daemon = sender(kind, &root, &relay);
    alice_sends(&daemon, &[BOB]);
    let why = wait_for_why(&daemon, "the TLS handshake failed");
    assert!(why.contains("certificate"), "{why}");
    let mut bob = peer.imap(BOB, PASSWORD);
    let status = bob.imap("STATUS INBOX (MESSAGES)");
    let (untagged, _) = status.expect("the connection lasts");
    assert_eq!(untagged, ["* STATUS INBOX (MESSAGES 0)"]);
    for daemon in [daemon, other, peer] {
        daemon.finish();
    }
}

fn required_tls_with_a_certificate_that_is_trusted_lets_mail_go(kind: Kind) {
    let peer = smarthost(kind.other());
    let root = MailRoot::trusting(&peer.root().certificate());
    let route = format!("example.net smtp:127.0.0.1:{}", peer.port(Port::Smtp));
    let daemon = sender(
        kind,
        &root,
        &json!({ "routes": [route], "tls": "required" }),
    );
    alice_sends(&daemon, &[BOB]);
    let mail = peer.wait_for_mail((BOB, PASSWORD), "Subject: a letter");
    assert!(mail.contains("with ESMTPS"), "{mail}");
    daemon.finish();
    peer.finish();
}

/// Through this smarthost, at which Alice logs in.
fn relay_through(smarthost: &Daemon, password: &str) -> Value {
    json!({
        "smarthost": "127.0.0.1", "smarthost_port": smarthost.port(Port::Smtps),
        "smarthost_tls": "implicit", "smarthost_username": ALICE, "smarthost_password": password,
        "retry_delays": [86400],
    })
}

fn smarthost_takes_mail_by_implicit_tls_after_a_login(kind: Kind) {
    let smarthost = smarthost(kind.other());
    let root = MailRoot::trusting(&smarthost.root().certificate());
    let daemon = sender(kind, &root, &relay_through(&smarthost, SMARTHOST_PASSWORD));
    alice_sends(&daemon, &[BOB]);
    let mail = smarthost.wait_for_mail((BOB, PASSWORD), "Subject: a letter");
    assert!(mail.contains("with ESMTPSA"), "{mail}");
    daemon.finish();
    smarthost.finish();
}

fn wrong_password_is_told_and_the_right_one_lets_mail_go(kind: Kind) {
    let smarthost = smarthost(kind.other());
    let root = MailRoot::trusting(&smarthost.root().certificate());
    let mut daemon = sender(kind, &root, &relay_through(&smarthost, PASSWORD));
    alice_sends(&daemon, &[BOB]);
    wait_for_why(&daemon, "the server refused the login: 535 5.7.8");
    daemon.change_config(&json!({ "relay": { "smarthost_password": SMARTHOST_PASSWORD } }));
    daemon.hang_up();
    daemon.wait_for_log("configuration read again");
    daemon.ask(&["queue", "retry", "--domain", "example.net"]);
    smarthost.wait_for_mail((BOB, PASSWORD), "Subject: a letter");
    daemon.finish();
    smarthost.finish();
}

fn lmtp_server_has_a_word_for_each_recipient(kind: Kind) {
    let sink = Sink::start(SinkSetup {
        is_lmtp: true,
        ..SinkSetup::default()
    });
    let route = format!("example.net lmtp:127.0.0.1:{}", sink.address().port());
    let daemon = sender(kind, &MailRoot::new(), &json!({ "routes": [route] }));
    alice_sends(&daemon, &[BOB, "nobody@example.net"]);
    let report = daemon.wait_for_mail((ALICE, PASSWORD), "Action: failed");
    assert!(
        report.contains("Final-Recipient: rfc822; nobody@example.net"),
        "{report}"
    );
    assert!(
        report.contains("550 5.1.1 No such user at the sink") && !report.contains(BOB),
        "{report}"
    );
    let commands = sink.commands();
    assert_eq!(commands[0], "LHLO mail.example.com");
    let [taken] = &sink.taken()[..] else {
        panic!("one message for both: {:?}", sink.taken());
    };
    assert_eq!(taken.envelope.len(), 3, "{:?}", taken.envelope);
    daemon.finish();
}

fn mail_on_a_hold_route_goes_when_it_is_released(kind: Kind) {
    let sink = Sink::start(SinkSetup::default());
    let relay = json!({ "routes": ["example.net hold"] });
    let mut daemon = sender(kind, &MailRoot::new(), &relay);
    alice_sends(&daemon, &[BOB]);
    wait_for_why(&daemon, "lets it go on");
    let route = format!("example.net smtp:127.0.0.1:{}", sink.address().port());
    daemon.change_config(&json!({ "relay": { "routes": [route] } }));
    daemon.hang_up();
    daemon.wait_for_log("configuration read again");
    assert_eq!(sink.connections(), 0, "a route alone releases nothing");
    daemon.ask(&["queue", "release", "--held"]);
    let arrived = sink.wait_for(|taken| taken.first().cloned());
    assert!(arrived.is_some_and(|it| it.content.contains("Subject: a letter")));
    daemon.finish();
}

/// What the DNS says of example.net: this host, at the sink, and others before it.
fn dns_with(others: &str, sink: &Sink) -> (DnsServer, Value) {
    let records = format!("example.net MX 20 mx.example.net\nmx.example.net A 127.0.0.1\n{others}");
    let dns = DnsServer::start(DnsWorld::new(1, &records));
    let relay = json!({
        "dns_servers": [dns.address().to_string()], "port": sink.address().port(),
    });
    (dns, relay)
}

fn own_name() -> Sink {
    Sink::start(SinkSetup {
        name: "Mail.Example.com",
        ..SinkSetup::default()
    })
}

fn server_that_bears_our_name_is_ourselves(kind: Kind) {
    let sink = own_name();
    let (_dns, relay) = dns_with("", &sink);
    let daemon = sender(kind, &MailRoot::new(), &relay);
    alice_sends(&daemon, &[BOB]);
    let report = daemon.wait_for_mail((ALICE, PASSWORD), "Action: failed");
    assert!(report.contains("Status: 5.4.6"), "{report}");
    assert!(report.contains("bears our own name"), "{report}");
    assert_eq!(sink.commands(), ["QUIT"]);
    daemon.finish();
}

fn backup_that_bears_our_name_does_not_spoil_the_wait_for_the_others(kind: Kind) {
    let sink = own_name();
    let others = "example.net MX 10 down.example.net\ndown.example.net A 127.0.0.254";
    let (_dns, relay) = dns_with(others, &sink);
    let daemon = sender(kind, &MailRoot::new(), &relay);
    alice_sends(&daemon, &[BOB]);
    wait_for_why(&daemon, "down.example.net");
    assert_eq!(sink.commands(), ["QUIT"]);
    daemon.finish();
}
