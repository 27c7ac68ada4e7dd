//! One daemon relays to the other, over loopback, with a DNS of the test's own.

use std::time::Instant;

use rmail_tests::{
    DnsServer, DnsWorld,
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port},
    lines::Lines,
};
use serde_json::json;

const PASSWORD: &str = "correct horse battery staple";

/// `alice` and `carol` at example.com, `bob` at example.net, each domain on a daemon of its own.
struct Town {
    com: Daemon,
    net: Daemon,
    _dns: DnsServer,
}

impl Town {
    /// The daemon of this kind serves example.com, the other one example.net.
    fn new(kind: Kind) -> Self {
        let world = DnsWorld::new(
            1,
            "example.com MX 10 mx.example.com
             mx.example.com A 127.0.0.1
             example.net MX 5 dead.example.net
             example.net MX 10 mx.example.net
             dead.example.net A 127.0.0.254
             mx.example.net A 127.0.0.1
             null.example MX 0 .",
        );
        let dns = DnsServer::start(world);
        let relay = json!({ "dns_servers": [dns.address().to_string()], "retry_delays": [1] });
        let mut com = MailRoot::new().start_with(kind, &json!({ "relay": relay }));
        let mut net = MailRoot::new().start_with(
            kind.other(),
            &json!({
                "hostname": "mail.example.net",
                "domains": ["example.net"],
                "relay": relay,
            }),
        );
        lead_to(&mut com, net.port(Port::Smtp));
        lead_to(&mut net, com.port(Port::Smtp));
        for address in ["alice@example.com", "carol@example.com"] {
            com.add_user(address, PASSWORD);
        }
        net.add_user("bob@example.net", PASSWORD);
        Self {
            com,
            net,
            _dns: dns,
        }
    }

    fn finish(self) {
        self.com.finish();
        self.net.finish();
    }
}

/// Mail for others goes to this port from now on.
fn lead_to(daemon: &mut Daemon, port: u16) {
    daemon.change_config(&json!({ "relay": { "port": port } }));
    daemon.hang_up();
    daemon.wait_for_log("configuration read again");
}

/// A client that has logged in for submission.
fn submission(daemon: &Daemon, address: &str) -> Lines {
    daemon.submission(address, PASSWORD)
}

fn wait_for(daemon: &Daemon, address: &str, text: &str) -> String {
    daemon.wait_for_mail((address, PASSWORD), text)
}

fn mail_goes_to_the_other_server_and_what_it_refuses_comes_back(kind: Kind) {
    let town = Town::new(kind);
    let mut client = submission(&town.com, "alice@example.com");
    let to = ["bob@example.net", "nobody@example.net", "carol@example.com"];
    client
        .deliver(
            "alice@example.com",
            &to,
            "From: alice@example.com\r\nSubject: hi\r\n\r\nHi all\r\n",
        )
        .expect("it is accepted");
    let received = wait_for(&town.net, "bob@example.net", "Hi all");
    assert!(
        received.contains("with ESMTPS"),
        "TLS is used where it is offered:\n{received}"
    );
    assert_eq!(received.matches("Return-Path:").count(), 1, "{received}");
    wait_for(&town.com, "carol@example.com", "Hi all");
    let report = wait_for(&town.com, "alice@example.com", "Action: failed");
    for part in [
        "Final-Recipient: rfc822; nobody@example.net",
        "Status: 5.1.1",
        "Remote-MTA: dns; mx.example.net",
        "Diagnostic-Code: smtp; 550 5.1.1 No such mailbox here",
        "Subject: hi",
    ] {
        assert!(report.contains(part), "{part:?} is missing in:\n{report}");
    }
    let mut answer = submission(&town.net, "bob@example.net");
    answer
        .deliver(
            "bob@example.net",
            &["alice@example.com"],
            "From: bob@example.net\r\n\r\nHello\r\n",
        )
        .expect("it is accepted");
    wait_for(&town.com, "alice@example.com", "Hello");
    town.finish();
}

#[test]
fn tokio_relays_to_async_std_and_hears_of_what_is_refused() {
    mail_goes_to_the_other_server_and_what_it_refuses_comes_back(Kind::Tokio);
}

#[test]
fn async_std_relays_to_tokio_and_hears_of_what_is_refused() {
    mail_goes_to_the_other_server_and_what_it_refuses_comes_back(Kind::AsyncStd);
}

fn domain_that_takes_no_mail_is_told_of_at_once(kind: Kind) {
    let town = Town::new(kind);
    let mut client = submission(&town.com, "alice@example.com");
    let to = ["a@null.example", "b@missing.example"];
    client
        .deliver(
            "alice@example.com",
            &to,
            "From: alice@example.com\r\n\r\nHi\r\n",
        )
        .expect("it is accepted");
    wait_for(&town.com, "alice@example.com", "Status: 5.1.10");
    wait_for(&town.com, "alice@example.com", "Status: 5.1.2");
    town.finish();
}

#[test]
fn tokio_tells_at_once_of_domains_that_take_no_mail() {
    domain_that_takes_no_mail_is_told_of_at_once(Kind::Tokio);
}

#[test]
fn async_std_tells_at_once_of_domains_that_take_no_mail() {
    domain_that_takes_no_mail_is_told_of_at_once(Kind::AsyncStd);
}

/// Runs `alias ...` on the daemon's store; its output and whether the exit code is 0.
fn alias(daemon: &Daemon, arguments: &[&str]) -> (String, bool) {
    let arguments: Vec<&str> = std::iter::once("alias")
        .chain(arguments.iter().copied())
        .collect();
    let output = daemon.command(&arguments, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text, output.status.success())
}

/// What a stranger hears of a recipient.
fn rcpt(daemon: &Daemon, recipient: &str) -> String {
    let mut stranger = daemon.door(Port::Smtp).connect().expect("it listens");
    stranger.read_reply().expect("it greets");
    stranger.smtp("EHLO stranger.example").expect("it answers");
    stranger
        .smtp("MAIL FROM:<s@stranger.example>")
        .expect("it answers");
    let (_, text) = stranger
        .smtp(&format!("RCPT TO:<{recipient}>"))
        .expect("it answers");
    text
}

fn aliases_lead_here_and_elsewhere_and_open_no_relay(kind: Kind) {
    let town = Town::new(kind);
    let before = rcpt(&town.com, "sales-1@example.com");
    assert!(before.starts_with("550 5.1.1"), "{before}");
    let add = |arguments: &[&str]| {
        let arguments: Vec<&str> = std::iter::once("add")
            .chain(arguments.iter().copied())
            .collect();
        let (output, is_good) = alias(&town.com, &arguments);
        assert!(is_good, "{arguments:?}: {output}");
    };
    add(&[
        "sales-*@example.com",
        "team@example.com",
        "alice@example.com",
    ]);
    add(&["team@example.com", "bob@example.net", "carol@example.com"]);
    add(&["*@example.com", "carol@example.com"]);
    let (output, is_good) = alias(&town.com, &["test", "sales-1@example.com"]);
    assert!(
        is_good && output.contains("3 recipients get it"),
        "{output}"
    );
    // The server that runs is told, and a stranger reaches all of them.
    let until = Instant::now() + PATIENCE;
    while !rcpt(&town.com, "sales-1@example.com").starts_with("250") {
        assert!(
            Instant::now() < until,
            "it knows no alias:\n{}",
            town.com.log()
        );
    }
    assert!(rcpt(&town.com, "bob@example.net").starts_with("550 5.7.1"));
    let mut stranger = town.com.door(Port::Smtp).connect().expect("it listens");
    stranger.read_reply().expect("it greets");
    stranger.smtp("EHLO stranger.example").expect("it answers");
    let to = [
        "sales-1@example.com",
        "team@example.com",
        "anybody@example.com",
    ];
    stranger
        .deliver(
            "s@null.example",
            &to,
            "From: s@null.example\r\n\r\nOffer\r\n",
        )
        .expect("it is accepted");
    let received = wait_for(&town.net, "bob@example.net", "Offer");
    assert!(
        received.contains("Return-Path: <s@null.example>"),
        "{received}"
    );
    wait_for(&town.com, "alice@example.com", "Offer");
    wait_for(&town.com, "carol@example.com", "Offer");
    // By three ways, and once.
    let mut carol = town.com.imap("carol@example.com", PASSWORD);
    let (untagged, _) = carol.imap("SELECT INBOX").expect("there is an INBOX");
    assert!(
        untagged.iter().any(|line| line.contains("* 1 EXISTS")),
        "{untagged:?}"
    );
    // Who is behind an alias may send from it; who is not may not.
    let mut client = submission(&town.com, "carol@example.com");
    client
        .deliver(
            "team@example.com",
            &["alice@example.com"],
            "From: team@example.com\r\n\r\nAnswer of the team\r\n",
        )
        .expect("it is accepted");
    wait_for(&town.com, "alice@example.com", "Answer of the team");
    let mut client = submission(&town.com, "alice@example.com");
    let (_, text) = client
        .smtp("MAIL FROM:<team@example.com>")
        .expect("it answers");
    assert!(text.starts_with("550 5.7.1"), "{text}");
    let (output, is_good) = alias(&town.com, &["remove", "*@example.com"]);
    assert!(is_good, "{output}");
    let (output, is_good) = alias(&town.com, &["test", "anybody@example.com"]);
    assert!(!is_good && output.contains("550 5.1.1"), "{output}");
    town.finish();
}

#[test]
fn tokio_follows_aliases_here_and_elsewhere_and_opens_no_relay() {
    aliases_lead_here_and_elsewhere_and_open_no_relay(Kind::Tokio);
}

#[test]
fn async_std_follows_aliases_here_and_elsewhere_and_opens_no_relay() {
    aliases_lead_here_and_elsewhere_and_open_no_relay(Kind::AsyncStd);
}

fn mail_waits_for_a_server_that_is_down(kind: Kind) {
    let mut town = Town::new(kind);
    let status = town.net.stop();
    assert!(status.success());
    let mut client = submission(&town.com, "alice@example.com");
    let text = "From: alice@example.com\r\n\r\nStill there?\r\n";
    client
        .deliver("alice@example.com", &["bob@example.net"], text)
        .expect("it is accepted");
    town.com.wait_for_log("put off");
    // The sender is killed while the message waits.
    town.com.kill();
    town.net.restart();
    town.com
        .change_config(&json!({ "relay": { "port": town.net.port(Port::Smtp) } }));
    town.com.restart();
    wait_for(&town.net, "bob@example.net", "Still there?");
    town.finish();
}

#[test]
fn tokio_keeps_mail_for_a_server_that_is_down() {
    mail_waits_for_a_server_that_is_down(Kind::Tokio);
}

#[test]
fn async_std_keeps_mail_for_a_server_that_is_down() {
    mail_waits_for_a_server_that_is_down(Kind::AsyncStd);
}

fn nothing_is_relayed_without_right(kind: Kind) {
    let mut town = Town::new(kind);
    let mut stranger = town.com.door(Port::Smtp).connect().expect("it listens");
    stranger.read_reply().expect("it greets");
    stranger.smtp("EHLO stranger.example").expect("it answers");
    stranger
        .smtp("MAIL FROM:<alice@example.com>")
        .expect("it answers");
    let (code, text) = stranger
        .smtp("RCPT TO:<bob@example.net>")
        .expect("it answers");
    assert_eq!((code, text.starts_with("550 5.7.1")), (550, true), "{text}");
    town.com
        .change_config(&json!({ "relay": { "enabled": false } }));
    town.com.hang_up();
    let mut client = submission(&town.com, "alice@example.com");
    let until = Instant::now() + PATIENCE;
    loop {
        client
            .smtp("MAIL FROM:<alice@example.com>")
            .expect("it answers");
        let (code, text) = client
            .smtp("RCPT TO:<bob@example.net>")
            .expect("it answers");
        client.smtp("RSET").expect("it answers");
        if code == 550 {
            assert!(text.starts_with("550 5.7.1"), "{text}");
            break;
        }
        assert!(Instant::now() < until, "it still relays");
    }
    town.finish();
}

#[test]
fn tokio_relays_for_nobody_on_port_25_nor_where_relaying_is_off() {
    nothing_is_relayed_without_right(Kind::Tokio);
}

#[test]
fn async_std_relays_for_nobody_on_port_25_nor_where_relaying_is_off() {
    nothing_is_relayed_without_right(Kind::AsyncStd);
}

/// Each hands on what the other hands on: only the Received fields tell.
fn mail_that_goes_in_circles_comes_back(kind: Kind) {
    let town = Town::new(kind);
    for (daemon, from, to) in [
        (&town.com, "round@example.com", "round@example.net"),
        (&town.net, "round@example.net", "round@example.com"),
    ] {
        let (output, is_good) = alias(daemon, &["add", from, to]);
        assert!(is_good, "{output}");
    }
    let message = "From: alice@example.com\r\nSubject: circle\r\n\r\nRound and round\r\n";
    submission(&town.com, "alice@example.com")
        .deliver("alice@example.com", &["round@example.com"], message)
        .expect("it is accepted");
    let report = wait_for(&town.com, "alice@example.com", "Action: failed");
    assert!(report.contains("Status: 5.4.6"), "{report}");
    town.finish();
}

#[test]
fn tokio_and_async_std_send_back_what_goes_in_circles() {
    mail_that_goes_in_circles_comes_back(Kind::Tokio);
}

#[test]
fn async_std_and_tokio_send_back_what_goes_in_circles() {
    mail_that_goes_in_circles_comes_back(Kind::AsyncStd);
}
