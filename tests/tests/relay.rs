//! One daemon relays to the other, over loopback, with a DNS of the test's own.

use std::{
    collections::BTreeSet,
    sync::mpsc::{Sender, channel},
    thread,
    time::Instant,
};

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
    // One that greets has come up, and heeds signals.
    let mut greeted = daemon.door(Port::Smtp).connect().expect("it listens");
    greeted.read_line().expect("it greets");
    daemon.hang_up();
    daemon.wait_for_log("configuration read again");
}

/// A client that has logged in for submission.
fn submission(daemon: &Daemon, address: &str) -> Lines {
    let mut client = daemon.door(Port::Smtps).connect().expect("it listens");
    client.read_reply().expect("it greets");
    client.smtp("EHLO client.example").expect("it answers");
    let login = base64(&format!("\0{address}\0{PASSWORD}"));
    let (code, text) = client
        .smtp(&format!("AUTH PLAIN {login}"))
        .expect("it answers");
    assert_eq!(code, 235, "{text}");
    client
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for index in 0..4 {
            match index <= chunk.len() {
                true => encoded.push(char::from(DIGITS[(bits >> (18 - 6 * index) & 63) as usize])),
                false => encoded.push('='),
            }
        }
    }
    encoded
}

/// Waits until a message with this text is in the mailbox; all of that message.
fn wait_for(daemon: &Daemon, address: &str, text: &str) -> String {
    let mut client = daemon.imap(address, PASSWORD);
    client.imap("SELECT INBOX").expect("there is an INBOX");
    let until = Instant::now() + PATIENCE;
    loop {
        let (_, found) = client.imap("NOOP").expect("the connection lasts");
        assert!(found.starts_with("OK"), "{found}");
        let fetched = client.imap("FETCH 1:* BODY.PEEK[]");
        let (untagged, _) = fetched.expect("the mailbox can be read");
        let all = untagged.join("\n");
        if all.contains(text) {
            return all;
        }
        assert!(
            Instant::now() < until,
            "{address} has no {text:?} in:\n{all}\nthe log:\n{}",
            daemon.log()
        );
    }
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

/// How often the sender is killed.
const KILLS: usize = 4;

/// Messages that it has accepted by then, in each round.
const ACCEPTED: usize = 60;

/// A connection may have lost the 250 of one message when its daemon was killed.
const DOUBLES_MAX: usize = KILLS * 8;

/// Submits messages with numbers from `first` on until it is cut off.
fn submit_all(mut client: Lines, first: usize, accepted: &Sender<usize>) {
    for number in first.. {
        let text = format!("From: alice@example.com\r\n\r\nNumber {number}\r\n");
        let sent = client.deliver("alice@example.com", &["bob@example.net"], &text);
        if sent.is_err() || accepted.send(number).is_err() {
            return;
        }
    }
}

fn all_that_was_accepted_arrives_through_kills(kind: Kind) {
    let mut town = Town::new(kind);
    let many = json!({ "smtp": { "max_messages_per_connection": 100_000 } });
    for daemon in [&mut town.com, &mut town.net] {
        daemon.change_config(&many);
        daemon.hang_up();
    }
    let mut accepted = Vec::new();
    for round in 0..KILLS {
        let (sender, receiver) = channel();
        let clients: Vec<_> = (0..4)
            .map(|index| {
                let client = submission(&town.com, "alice@example.com");
                let (first, sender) = ((round * 4 + index) * 100_000, sender.clone());
                thread::spawn(move || submit_all(client, first, &sender))
            })
            .collect();
        drop(sender);
        accepted.extend(receiver.iter().take(ACCEPTED + 7 * round));
        town.com.kill();
        accepted.extend(receiver.iter());
        for client in clients {
            client.join().expect("a client ends when it is cut off");
        }
        town.com.restart();
    }
    let mut client = town.net.imap("bob@example.net", PASSWORD);
    client.imap("SELECT INBOX").expect("there is an INBOX");
    let until = Instant::now() + 4 * PATIENCE;
    loop {
        client.imap("NOOP").expect("the connection lasts");
        let fetched = client.imap("FETCH 1:* BODY.PEEK[TEXT]");
        let (untagged, _) = fetched.expect("the mailbox can be read");
        let numbers: Vec<usize> = untagged.iter().filter_map(|it| number_in(it)).collect();
        let kept: BTreeSet<usize> = numbers.iter().copied().collect();
        let missing: Vec<&usize> = accepted.iter().filter(|it| !kept.contains(it)).collect();
        if missing.is_empty() {
            let doubles = numbers.len() - kept.len();
            assert!(doubles <= DOUBLES_MAX, "{doubles} came twice");
            break;
        }
        assert!(
            Instant::now() < until,
            "lost: {missing:?}\n{}",
            town.com.log()
        );
    }
    town.finish();
}

fn number_in(response: &str) -> Option<usize> {
    let (_, number) = response.split_once("Number ")?;
    let end = number.find(|byte: char| !byte.is_ascii_digit())?;
    number[..end].parse().ok()
}

#[test]
fn tokio_relays_all_that_it_accepted_through_kills() {
    all_that_was_accepted_arrives_through_kills(Kind::Tokio);
}

#[test]
fn async_std_relays_all_that_it_accepted_through_kills() {
    all_that_was_accepted_arrives_through_kills(Kind::AsyncStd);
}
