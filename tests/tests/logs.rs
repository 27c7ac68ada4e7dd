//! What daemons log, and what they never do.

use aws_lc_rs::digest;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, Port},
    http::HttpClient,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "zebra-right-password";
const WRONG: &str = "zebra-wrong-password";
const SUBJECT: &str = "zebra-subject";
const BODY: &str = "zebra-body";
const MAILBOX: &str = "zebra-mailbox";

/// Each promise, as a test of each daemon.
macro_rules! promises {
    ($($name:ident,)*) => {
        mod tokio {
            $(#[test] fn $name() { super::$name(super::Kind::Tokio); })*
        }
        mod async_std {
            $(#[test] fn $name() { super::$name(super::Kind::AsyncStd); })*
        }
    };
}

promises! {
    no_secret_and_nothing_of_mail_is_logged_at_any_level,
    json_lines_have_time_level_and_session_and_one_id_for_each_message,
    format_changes_with_a_reload,
    what_ends_the_process_is_a_json_line_too,
}

fn no_secret_and_nothing_of_mail_is_logged_at_any_level(kind: Kind) {
    for format in ["text", "json"] {
        let root = MailRoot::new();
        let config = json!({ "log_level": "DEBUG", "log_format": format });
        let daemon = root.start_with(kind, &config);
        let tokens = use_all_protocols(&daemon);
        let log = daemon.log();
        // It is there, and says what is done.
        for word in [
            "DEBUG",
            "logged in",
            "login refused",
            "accepted",
            "submitted",
            ALICE,
        ] {
            assert!(log.contains(word), "no {word} in\n{log}");
        }
        let mut secrets = vec!["zebra".to_owned()];
        for password in [PASSWORD, WRONG] {
            secrets.push(BASE64_STANDARD.encode(password));
            secrets.push(BASE64_STANDARD.encode(format!("\0{ALICE}\0{password}")));
            secrets.push(hex(
                digest::digest(&digest::SHA256, password.as_bytes()).as_ref()
            ));
        }
        for token in tokens {
            secrets.extend(token.split('.').map(str::to_owned));
        }
        for secret in secrets {
            assert!(!log.contains(&secret), "{secret} is in\n{log}");
        }
        daemon.finish();
    }
}

/// Logs in everywhere, rightly and wrongly, and sends and reads mail; the tokens that were used.
fn use_all_protocols(daemon: &Daemon) -> Vec<String> {
    daemon.add_user(ALICE, PASSWORD);
    let text = format!("From: {ALICE}\r\nTo: {ALICE}\r\nSubject: {SUBJECT}\r\n\r\n{BODY}\r\n");

    let (smtps, imaps) = (daemon.door(Port::Smtps), daemon.door(Port::Imaps));
    assert!(smtps.log_in_to_send(ALICE, WRONG).is_err());
    let mut smtp = smtps.connect().expect("it listens");
    smtp.read_reply().expect("it greets");
    smtp.smtp("EHLO client.example.net").expect("it answers");
    for password in [WRONG, PASSWORD] {
        smtp.smtp("AUTH LOGIN").expect("it asks");
        smtp.smtp(&BASE64_STANDARD.encode(ALICE)).expect("it asks");
        smtp.smtp(&BASE64_STANDARD.encode(password))
            .expect("it answers");
    }
    smtp.deliver(ALICE, &[ALICE], &text).expect("it is taken");
    // What is no command is not repeated either.
    smtp.smtp(&format!("{PASSWORD} {BODY}"))
        .expect("it answers");

    assert!(imaps.log_in(ALICE, WRONG).is_err());
    let mut imap = imaps.connect().expect("it listens");
    imap.read_line().expect("it greets");
    for password in [WRONG, PASSWORD] {
        let login = BASE64_STANDARD.encode(format!("\0{ALICE}\0{password}"));
        imap.imap(&format!("AUTHENTICATE PLAIN {login}"))
            .expect("it answers");
    }
    imap.imap(&format!("CREATE {MAILBOX}")).expect("it answers");
    imap.imap(&format!("APPEND {MAILBOX} {{{}+}}\r\n{text}", text.len()))
        .expect("it answers");
    daemon.wait_for_mail((ALICE, PASSWORD), BODY);
    imap.imap("SELECT INBOX").expect("it answers");
    imap.imap(&format!("SEARCH SUBJECT {SUBJECT} BODY {BODY}"))
        .expect("it answers");
    imap.imap(&format!("{PASSWORD} {BODY}"))
        .expect("it answers");

    let mut http = HttpClient::new(daemon.door(Port::Https));
    let login = |password: &str| json!({ "username": ALICE, "password": password });
    http.post("/auth/login", &login(WRONG)).expect(401);
    let token = http.log_in(ALICE, PASSWORD);
    http.get(&format!("/v1.0/me/messages?$search=%22{BODY}%22"))
        .expect(200);
    let message = json!({ "message": {
        "subject": SUBJECT,
        "body": { "contentType": "text", "content": BODY },
        "toRecipients": [{ "emailAddress": { "address": ALICE } }],
    }});
    http.post("/v1.0/me/sendMail", &message).expect(202);
    let forged = token.chars().rev().collect::<String>();
    http.set_token(&forged);
    http.get("/v1.0/me").expect(401);
    daemon.wait_for_log("submitted");
    vec![token, forged]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json_lines_have_time_level_and_session_and_one_id_for_each_message(kind: Kind) {
    let root = MailRoot::new();
    let config = json!({ "log_level": "DEBUG", "log_format": "json" });
    let daemon = root.start_with(kind, &config);
    use_all_protocols(&daemon);
    let lines = json_lines(&daemon.log());
    for line in &lines {
        let time = line["time"].as_str().expect("there is a time");
        assert!(time.len() == 27 && time.ends_with('Z'), "{line}");
        let level = line["level"].as_str().expect("there is a level");
        assert!(["DEBUG", "INFO", "WARNING"].contains(&level), "{line}");
        assert_eq!(line["pid"], daemon.pid(), "{line}");
        assert!(line["message"].is_string(), "{line}");
    }
    let said = |message: &str| {
        let found: Vec<&Value> = lines
            .iter()
            .filter(|line| line["message"] == message)
            .collect();
        assert!(!found.is_empty(), "{message} is not in {lines:#?}");
        found
    };
    let connected: Vec<&Value> = said("connected")
        .iter()
        .map(|line| &line["session"])
        .collect();
    for message in [
        "logged in",
        "login refused",
        "accepted",
        "submitted",
        "answered",
    ] {
        for line in said(message) {
            assert!(connected.contains(&&line["session"]), "{line}");
        }
    }
    // The same name from its acceptance to its delivery.
    let accepted = said("accepted")[0];
    let delivered = said("delivered");
    assert!(
        delivered
            .iter()
            .any(|line| line["mail"] == accepted["mail"]),
        "{delivered:#?}"
    );
    daemon.finish();
}

fn format_changes_with_a_reload(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = root.start(kind);
    daemon.wait_for_log(" INFO listening for ");
    daemon.change_config(&json!({ "log_format": "json" }));
    assert!(daemon.command(&["reload"], "").status.success());
    daemon.change_config(&json!({ "log_format": "text" }));
    assert!(daemon.command(&["reload"], "").status.success());
    let log = daemon.log();
    let objects: Vec<&str> = log.lines().filter(|line| line.starts_with('{')).collect();
    assert!(!json_lines(&objects.join("\n")).is_empty(), "{log}");
    daemon.finish();
}

fn what_ends_the_process_is_a_json_line_too(kind: Kind) {
    let root = MailRoot::new();
    let daemon = root.start(kind);
    let address = daemon.address(Port::Smtp);
    let config = json!({
        "log_format": "json",
        "log_level": "CRITICAL",
        "smtp": { "host": "127.0.0.1", "port": address.port() },
    });
    let path = root.folder().join("second.json");
    std::fs::write(&path, config.to_string()).expect("the folder can be written");
    let path = path.to_str().expect("it is UTF-8");
    let output = daemon.command(&["serve", "--config", path], "");
    let said = String::from_utf8(output.stderr).expect("it is UTF-8");
    let [line] = &json_lines(&said)[..] else {
        panic!("one line is expected: {said}")
    };
    assert_eq!(line["level"], "CRITICAL");
    let message = line["message"].as_str().expect("it is text");
    assert!(
        message.contains(&format!("cannot listen on {address}")),
        "{message}"
    );
    daemon.finish();
}

fn json_lines(log: &str) -> Vec<Value> {
    let parse = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line}"))
    };
    log.lines().map(parse).collect()
}
