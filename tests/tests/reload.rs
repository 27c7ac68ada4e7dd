//! `rmail reload` and `rmail status`, and what a reload does to listeners, certificates and
//! sessions. Each on both daemons.

use std::{fs, net::TcpListener, net::TcpStream, process::Output};

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, Port, free_port},
    http::HttpClient,
    lines::Door,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

rmail_tests::promises! {
    ports_move_and_sessions_go_on,
    listener_that_stays_is_not_touched,
    port_that_is_taken_is_named_and_the_old_one_stays,
    listener_that_is_switched_off_is_closed_and_comes_back,
    certificate_is_exchanged_for_new_connections,
    pair_that_does_not_fit_changes_nothing,
    faults_are_all_listed,
    token_secret_is_exchanged,
    another_mail_root_waits_for_a_restart,
    all_servers_on_a_mail_root_are_reached,
    server_that_does_not_answer_is_told_of,
    status_is_told,
    without_a_server_there_is_nobody_to_ask,
}

fn ports_move_and_sessions_go_on(kind: Kind) {
    let mut daemon = start(kind);
    let mut session = daemon.imap(ALICE, PASSWORD);
    let before = daemon.port(Port::Imaps);
    daemon.change_config(&json!({ "imap": { "imaps_port": free_port() } }));
    assert!(reload(&daemon).is_good);
    assert!(!accepts(before), "the old port is closed");
    daemon.imap(ALICE, PASSWORD);
    let (_, said) = session.imap("NOOP").expect("the session goes on");
    assert!(said.starts_with("OK"), "{said}");
    daemon.finish();
}

fn listener_that_stays_is_not_touched(kind: Kind) {
    let mut daemon = start(kind);
    // It would refuse connections for a moment if it were opened anew.
    let address = daemon.address(Port::Smtp);
    let logged = daemon.log().matches("listening for smtp ").count();
    daemon.change_config(&json!({ "imap": { "port": free_port() } }));
    assert!(reload(&daemon).is_good);
    let again = daemon.log().matches("listening for smtp ").count();
    assert_eq!(logged, again, "{}", daemon.log());
    TcpStream::connect(address).expect("it listens as before");
    daemon.finish();
}

fn port_that_is_taken_is_named_and_the_old_one_stays(kind: Kind) {
    let mut daemon = start(kind);
    let taken = TcpListener::bind(("127.0.0.1", free_port())).expect("it is free");
    let taken_port = taken.local_addr().expect("it is bound").port();
    let before = daemon.port(Port::Imaps);
    daemon.change_config(&json!({ "imap": { "imaps_port": taken_port } }));
    let reloaded = reload(&daemon);
    assert!(reloaded.is_good, "everything else holds: {}", reloaded.text);
    assert!(
        reloaded.text.contains(&taken_port.to_string()),
        "{}",
        reloaded.text
    );
    assert!(accepts(before), "the old port stays");
    // Once it is free, another reload is enough.
    drop(taken);
    assert!(reload(&daemon).is_good);
    assert!(!accepts(before));
    daemon.imap(ALICE, PASSWORD);
    assert!(daemon.stop().success());
}

fn listener_that_is_switched_off_is_closed_and_comes_back(kind: Kind) {
    let mut daemon = start(kind);
    let (http, smtp) = (daemon.port(Port::Http), daemon.port(Port::Smtp));
    daemon.change_config(&json!({ "exchange_api": { "port": 0 } }));
    assert!(reload(&daemon).is_good);
    assert!(!accepts(http) && accepts(smtp));
    daemon.change_config(&json!({ "exchange_api": { "port": http } }));
    assert!(reload(&daemon).is_good);
    assert!(accepts(http));
    daemon.finish();
}

fn certificate_is_exchanged_for_new_connections(kind: Kind) {
    let mut daemon = start(kind);
    let (certificate, key) = foreign_pair(kind, &daemon, "new");
    let mut session = daemon.imap(ALICE, PASSWORD);
    let old = daemon.door(Port::Imaps);
    let new = Door::tls(daemon.address(Port::Imaps), certificate.as_ref());
    new.log_in(ALICE, PASSWORD)
        .err()
        .expect("it is not there yet");
    daemon.change_config(&json!({ "tls": { "cert_file": certificate, "key_file": key } }));
    assert!(reload(&daemon).is_good);
    new.log_in(ALICE, PASSWORD).expect("the new one is shown");
    old.log_in(ALICE, PASSWORD)
        .err()
        .expect("the old one is not");
    let (_, said) = session.imap("NOOP").expect("the session goes on");
    assert!(said.starts_with("OK"), "{said}");
    daemon.finish();
}

fn pair_that_does_not_fit_changes_nothing(kind: Kind) {
    let mut daemon = start(kind);
    let (certificate, _) = foreign_pair(kind, &daemon, "first");
    let (_, key) = foreign_pair(kind, &daemon, "second");
    daemon.change_config(&json!({
        "domains": ["example.com", "example.org"],
        "tls": { "cert_file": certificate, "key_file": key },
    }));
    let reloaded = reload(&daemon);
    assert!(!reloaded.is_good);
    assert!(reloaded.text.contains("fault"), "{}", reloaded.text);
    assert!(reloaded.text.contains("tls"), "{}", reloaded.text);
    daemon.imap(ALICE, PASSWORD);
    let mut client = daemon.door(Port::Smtp).connect().expect("it listens");
    client.read_reply().expect("it greets");
    for command in ["EHLO client.example.net", "MAIL FROM:<bob@example.net>"] {
        assert_eq!(client.smtp(command).expect("it answers").0, 250);
    }
    let (code, _) = client
        .smtp("RCPT TO:<postmaster@example.org>")
        .expect("it answers");
    assert_eq!(code, 550, "the new domain is not hosted");
    assert!(daemon.stop().success());
}

fn faults_are_all_listed(kind: Kind) {
    let mut daemon = start(kind);
    let text =
        json!({ "smtp": { "port": "high" }, "imap": { "max_connections": 0 }, "log_level": 1 });
    fs::write(daemon.config_path(), text.to_string()).expect("it can be written");
    // The command itself reads the file, too, and the signal leaves nobody else to tell.
    daemon.hang_up();
    for path in ["smtp.port", "imap.max_connections", "log_level"] {
        daemon.wait_for_log(path);
    }
    assert!(accepts(daemon.port(Port::Smtp)));
    assert!(daemon.stop().success());
}

fn token_secret_is_exchanged(kind: Kind) {
    let mut daemon = start(kind);
    let mut client = HttpClient::new(daemon.door(Port::Http));
    client.log_in(ALICE, PASSWORD);
    client.get("/folders").expect(200);
    let secret = "another key of at least 32 bytes, for this test";
    daemon.change_config(&json!({ "exchange_api": { "token_secret": secret } }));
    assert!(reload(&daemon).is_good);
    client.get("/folders").expect(401);
    client.log_in(ALICE, PASSWORD);
    client.get("/folders").expect(200);
    daemon.finish();
}

fn another_mail_root_waits_for_a_restart(kind: Kind) {
    let mut daemon = start(kind);
    let before = fs::read_to_string(daemon.config_path()).expect("it is there");
    daemon.change_config(&json!({ "mail_root": "./elsewhere" }));
    daemon.hang_up();
    let line = daemon.wait_for_log("mail_root");
    assert!(line.contains("restart"), "{line}");
    daemon.imap(ALICE, PASSWORD);
    fs::write(daemon.config_path(), before).expect("it can be written");
    daemon.finish();
}

fn all_servers_on_a_mail_root_are_reached(kind: Kind) {
    let root = MailRoot::new();
    let daemons = [root.start(kind), root.start(kind.other())];
    let output = daemons[0].command(&["reload", "--json"], "");
    let reports: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(reports.as_array().expect("a list").len(), 2, "{reports}");
    let status = status(&daemons[1]);
    assert_eq!(status["servers"].as_array().expect("a list").len(), 2);
    for daemon in daemons {
        daemon.wait_for_log("configuration read again");
        daemon.finish();
    }
}

fn server_that_does_not_answer_is_told_of(kind: Kind) {
    let root = MailRoot::new();
    let (daemon, silent) = (root.start(kind), root.start(kind.other()));
    silent.hold();
    let reloaded = reload(&daemon);
    silent.go_on();
    assert!(!reloaded.is_good, "{}", reloaded.text);
    for part in [
        "1 of 2 servers did not answer",
        "has read its configuration again",
    ] {
        assert!(reloaded.text.contains(part), "{part:?}: {}", reloaded.text);
    }
    for daemon in [daemon, silent] {
        daemon.wait_for_log("configuration read again");
        daemon.finish();
    }
}

fn status_is_told(kind: Kind) {
    let mut daemon = start(kind);
    daemon.change_config(&json!({ "smtp": { "max_connections": 77 } }));
    assert!(reload(&daemon).is_good);
    let _imap = daemon.imap(ALICE, PASSWORD);
    let _smtp = daemon.door(Port::Smtp).connect().expect("it listens");
    let told = status(&daemon);
    let server = &told["servers"][0];
    let listeners = server["listeners"].as_array().expect("a list");
    assert_eq!(listeners.len(), Port::ALL.len());
    for port in Port::ALL {
        let address = daemon.address(port).to_string();
        let is_told = |it: &Value| it["address"] == address && it["state"] == "open";
        assert!(listeners.iter().any(is_told), "{port:?}: {server}");
    }
    assert_eq!(server["sessions"]["imap"], 1);
    assert_eq!(server["sessions"]["smtp"], 1);
    assert_eq!(server["sessions"]["logged_in"], 1);
    assert_eq!(server["limits"]["smtp"]["max_connections"], 77);
    assert_eq!(server["limits"]["rate_limit"]["enabled"], true);
    assert_eq!(told["queue"]["messages"], 0);
    let output = daemon.command(&["status"], "");
    let text = String::from_utf8(output.stdout).expect("it is text");
    let address = daemon.address(Port::Https).to_string();
    for part in [
        &address,
        "1 of 77",
        "queue: 0",
        "certificate until",
        "rate limit  on",
    ] {
        assert!(text.contains(part), "{part:?} is not told:\n{text}");
    }
    daemon.finish();
}

fn without_a_server_there_is_nobody_to_ask(kind: Kind) {
    let mut daemon = start(kind);
    assert!(daemon.stop().success());
    for command in ["reload", "status"] {
        let output = daemon.command(&[command], "");
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).expect("it is text");
        assert!(text.contains("no server runs"), "{text}");
    }
}

fn start(kind: Kind) -> Daemon {
    let daemon = MailRoot::new().start(kind);
    daemon.add_user(ALICE, PASSWORD);
    daemon
}

/// What `rmail reload` said.
struct Reloaded {
    is_good: bool,
    text: String,
}

fn reload(daemon: &Daemon) -> Reloaded {
    let Output {
        status,
        stdout,
        stderr,
    } = daemon.command(&["reload"], "");
    let text = String::from_utf8([stdout, stderr].concat()).expect("it is text");
    Reloaded {
        is_good: status.success(),
        text,
    }
}

fn status(daemon: &Daemon) -> Value {
    let output = daemon.command(&["status", "--json"], "");
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The certificate and key of another server, below this one's folder.
fn foreign_pair(kind: Kind, daemon: &Daemon, name: &str) -> (String, String) {
    let foreign = MailRoot::new();
    foreign.start(kind).finish();
    let made = foreign.folder().join("mail/tls");
    let copy = |file: &str| {
        let to = daemon.root().folder().join(format!("{name}-{file}"));
        fs::copy(made.join(file), &to).expect("the server made it");
        to.display().to_string()
    };
    (copy("cert.pem"), copy("key.pem"))
}
