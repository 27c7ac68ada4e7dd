//! A daemon among other processes: on one `mail_root` with another, under signals, and beside the
//! command line.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    time::Instant,
};

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port},
    lines::Lines,
};
use serde_json::json;

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

rmail_tests::promises! {
    mail_that_the_other_daemon_takes_is_seen_in_idle,
    changes_made_through_the_other_daemon_are_seen,
    mail_of_a_killed_process_is_delivered_by_the_other,
    faulty_configuration_changes_nothing_on_hangup,
    changed_limits_hold_after_hangup,
    hangup_at_the_first_word_is_heeded,
    new_domain_is_hosted_after_hangup,
    terminated_daemon_finishes_what_runs,
    second_signal_ends_at_once_and_loses_nothing_that_was_acknowledged,
    new_password_holds_at_once_and_the_old_one_no_more,
    deleted_account_takes_no_mail_and_no_login,
    occupied_port_ends_the_start_with_cause_and_remedy,
}

fn mail_that_the_other_daemon_takes_is_seen_in_idle(kind: Kind) {
    let root = MailRoot::new();
    let reading = root.start(kind);
    reading.add_user(ALICE, PASSWORD);
    let taking = root.start(kind.other());
    let mut reader = reading.imap(ALICE, PASSWORD);
    expect_ok(&mut reader, "SELECT INBOX");
    let tag = reader.begin("IDLE").expect("the connection lasts");
    assert_eq!(read_line(&mut reader), "+ idling");
    deliver(&taking, &["news"]);
    wait_for_line(&mut reader, "* 1 EXISTS");
    reader.send("DONE\r\n").expect("the connection lasts");
    let ended = reader.complete(&tag).expect("the connection lasts");
    assert!(ended.1.starts_with("OK"), "{ended:?}");
    taking.finish();
    reading.finish();
}

fn changes_made_through_the_other_daemon_are_seen(kind: Kind) {
    let root = MailRoot::new();
    let one = root.start(kind);
    one.add_user(ALICE, PASSWORD);
    let other = root.start(kind.other());
    let mut reader = one.imap(ALICE, PASSWORD);
    let mut writer = other.imap(ALICE, PASSWORD);
    append(&mut writer, "first");
    append(&mut writer, "second");
    expect_ok(&mut reader, "SELECT INBOX");
    expect_ok(&mut writer, "SELECT INBOX");
    let tag = reader.begin("IDLE").expect("the connection lasts");
    assert_eq!(read_line(&mut reader), "+ idling");
    expect_ok(&mut writer, "STORE 1 +FLAGS (\\Flagged)");
    let told = wait_for_line(&mut reader, "\\Flagged");
    assert!(told.starts_with("* 1 FETCH "), "{told}");
    expect_ok(&mut writer, "STORE 1 +FLAGS (\\Deleted)");
    expect_ok(&mut writer, "EXPUNGE");
    wait_for_line(&mut reader, "* 1 EXPUNGE");
    reader.send("DONE\r\n").expect("the connection lasts");
    reader.complete(&tag).expect("the connection lasts");
    expect_ok(&mut writer, "CREATE Elsewhere");
    expect_ok(&mut reader, "MOVE 1 Elsewhere");
    let moved = other
        .imap(ALICE, PASSWORD)
        .imap("STATUS Elsewhere (MESSAGES)");
    let (untagged, _) = moved.expect("the connection lasts");
    assert_eq!(untagged, ["* STATUS Elsewhere (MESSAGES 1)"]);
    other.finish();
    one.finish();
}

fn mail_of_a_killed_process_is_delivered_by_the_other(kind: Kind) {
    let root = MailRoot::new();
    let surviving = root.start(kind);
    surviving.add_user(ALICE, PASSWORD);
    let mut dying = root.start(kind.other());
    let subjects = ["one", "two", "three", "four", "five"];
    deliver(&dying, &subjects);
    dying.kill();
    let mut reader = surviving.imap(ALICE, PASSWORD);
    expect_ok(&mut reader, "SELECT INBOX");
    wait_for_messages(&mut reader, subjects.len());
    surviving.finish();
}

fn faulty_configuration_changes_nothing_on_hangup(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = root.start(kind);
    daemon.add_user(ALICE, PASSWORD);
    daemon.change_config(&json!({
        "domains": ["example.com", "example.org"],
        "smtp": { "max_recipients": "many" },
    }));
    daemon.hang_up();
    let line = daemon.wait_for_log("changes nothing");
    assert!(line.contains("ERROR"), "{line}");
    assert!(daemon.wait_for_log("smtp.max_recipients").contains("many"));
    fs::write(daemon.config_path(), "{ \"domains\": ").expect("it can be written");
    daemon.hang_up();
    daemon.wait_for_log("line 1, column");
    let mut client = mail_transaction(&daemon);
    assert_eq!(reply_to(&mut client, "RCPT TO:<alice@example.com>"), 250);
    assert_eq!(
        reply_to(&mut client, "RCPT TO:<postmaster@example.org>"),
        550
    );
    assert!(daemon.stop().success());
}

fn changed_limits_hold_after_hangup(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = root.start(kind);
    let users = [ALICE, "bob@example.com", "carol@example.com"];
    for user in users {
        daemon.add_user(user, PASSWORD);
    }
    daemon.change_config(&json!({
        "smtp": { "max_recipients": 2, "max_message_size": 1000 },
        "log_level": "DEBUG",
    }));
    daemon.hang_up();
    daemon.wait_for_log("configuration read again");
    let mut client = mail_transaction(&daemon);
    let codes = users.map(|user| reply_to(&mut client, &format!("RCPT TO:<{user}>")));
    assert_eq!(codes, [250, 250, 452]);
    assert_eq!(reply_to(&mut client, "RSET"), 250);
    let mail = "MAIL FROM:<bob@example.net> SIZE=1001";
    assert_eq!(reply_to(&mut client, mail), 552);
    daemon.wait_for_log("DEBUG");
    daemon.finish();
}

fn hangup_at_the_first_word_is_heeded(kind: Kind) {
    let mut daemon = MailRoot::new().start(kind);
    assert!(daemon.stop().success());
    daemon.restart_and_hang_up();
    daemon.wait_for_log("configuration read again");
    daemon.finish();
}

fn new_domain_is_hosted_after_hangup(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = root.start(kind);
    daemon.change_config(&json!({ "domains": ["example.com", "example.org"] }));
    daemon.add_user("olga@example.org", PASSWORD);
    let mut client = mail_transaction(&daemon);
    assert_eq!(reply_to(&mut client, "RCPT TO:<olga@example.org>"), 550);
    daemon.hang_up();
    daemon.wait_for_log("configuration read again");
    assert_eq!(reply_to(&mut client, "RCPT TO:<olga@example.org>"), 250);
    daemon.finish();
}

fn terminated_daemon_finishes_what_runs(kind: Kind) {
    let root = MailRoot::new();
    let mut daemon = root.start(kind);
    daemon.add_user(ALICE, PASSWORD);
    let mut sender = mail_transaction(&daemon);
    assert_eq!(reply_to(&mut sender, "RCPT TO:<alice@example.com>"), 250);
    assert_eq!(reply_to(&mut sender, "DATA"), 354);
    sender
        .send("Subject: half\r\n\r\nHalf of")
        .expect("the connection lasts");
    let mut reader = daemon.imap(ALICE, PASSWORD);
    let mut quiet = daemon.door(Port::Smtp).connect().expect("it listens");
    assert_eq!(quiet.read_reply().expect("it greets").0, 220);

    daemon.begin_stop();
    daemon.wait_for_log("stopping");
    assert!(read_line(&mut reader).starts_with("* BYE"));
    assert_eq!(quiet.read_reply().expect("it says goodbye").0, 421);
    sender
        .send(" it, and all.\r\n.\r\n")
        .expect("the connection lasts");
    assert_eq!(sender.read_reply().expect("the message is finished").0, 250);
    let status = daemon.wait();
    assert_eq!(status.code(), Some(0), "{}", daemon.log());

    daemon.restart();
    let mut reader = daemon.imap(ALICE, PASSWORD);
    expect_ok(&mut reader, "SELECT INBOX");
    wait_for_messages(&mut reader, 1);
    daemon.finish();
}

fn second_signal_ends_at_once_and_loses_nothing_that_was_acknowledged(kind: Kind) {
    let mut daemon = MailRoot::new().start(kind);
    daemon.add_user(ALICE, PASSWORD);
    deliver(&daemon, &["news"]);
    // It would wait for the rest of this one.
    let mut sender = mail_transaction(&daemon);
    assert_eq!(reply_to(&mut sender, "RCPT TO:<alice@example.com>"), 250);
    assert_eq!(reply_to(&mut sender, "DATA"), 354);
    daemon.begin_stop();
    daemon.wait_for_log("stopping");
    daemon.begin_stop();
    let status = daemon.wait();
    assert_eq!(status.code(), Some(130), "{}", daemon.log());
    daemon.restart();
    let mut reader = daemon.imap(ALICE, PASSWORD);
    expect_ok(&mut reader, "SELECT INBOX");
    wait_for_messages(&mut reader, 1);
    daemon.finish();
}

fn new_password_holds_at_once_and_the_old_one_no_more(kind: Kind) {
    const NEW: &str = "tr0ub4dor and three";
    let root = MailRoot::new();
    let daemon = root.start(kind);
    daemon.add_user(ALICE, PASSWORD);
    // From now on it is remembered.
    drop(daemon.imap(ALICE, PASSWORD));
    daemon.set_password(ALICE, NEW);
    let until = Instant::now() + PATIENCE;
    while daemon.door(Port::Imaps).log_in(ALICE, PASSWORD).is_ok() {
        assert!(Instant::now() < until, "the old password is still taken");
    }
    drop(daemon.imap(ALICE, NEW));
    daemon.finish();
}

fn deleted_account_takes_no_mail_and_no_login(kind: Kind) {
    let root = MailRoot::new();
    let daemon = root.start(kind);
    daemon.add_user(ALICE, PASSWORD);
    drop(daemon.imap(ALICE, PASSWORD));
    let deleted = daemon.command(&["user", "delete", ALICE, "--yes"], "");
    assert!(deleted.status.success(), "{deleted:?}");
    let until = Instant::now() + PATIENCE;
    let mut client = mail_transaction(&daemon);
    while reply_to(&mut client, "RCPT TO:<alice@example.com>") == 250 {
        assert!(Instant::now() < until, "a deleted account still takes mail");
        client = mail_transaction(&daemon);
    }
    assert!(daemon.door(Port::Imaps).log_in(ALICE, PASSWORD).is_err());
    daemon.finish();
}

fn occupied_port_ends_the_start_with_cause_and_remedy(kind: Kind) {
    let root = MailRoot::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let taken = taken.local_addr().map(|address| (address, taken));
    let (address, _listener) = taken.expect("it is bound");
    let port = address.port();
    let config = json!({
        "mail_root": "./mail",
        "smtp": { "host": "127.0.0.1", "port": port, "submission_port": 0, "smtps_port": 0 },
        "imap": { "host": "127.0.0.1", "port": 0, "imaps_port": 0 },
        "exchange_api": { "port": 0, "secure_port": 0 },
    });
    let config_path = root.folder().join("config.json");
    fs::write(&config_path, config.to_string()).expect("the folder can be written");
    let output = Command::new(kind.path())
        .arg("--config")
        .arg(config_path)
        .stdin(Stdio::null())
        .output();
    let output = output.expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let critical = said.lines().find(|line| line.contains("CRITICAL"));
    let critical = critical.unwrap_or_else(|| panic!("nothing is CRITICAL in {said}"));
    let expected =
        format!("cannot listen on {address} for smtp (smtp.port): Address already in use");
    assert!(critical.contains(&expected), "{said}");
    assert!(said.contains("stop it, or set another port"), "{said}");
}

/// A client of the port 25 that has said MAIL.
fn mail_transaction(daemon: &Daemon) -> Lines {
    let mut client = daemon.door(Port::Smtp).connect().expect("it listens");
    assert_eq!(client.read_reply().expect("it greets").0, 220);
    assert_eq!(reply_to(&mut client, "EHLO client.example.net"), 250);
    assert_eq!(reply_to(&mut client, "MAIL FROM:<bob@example.net>"), 250);
    client
}

fn reply_to(client: &mut Lines, command: &str) -> u16 {
    client.smtp(command).expect("the connection lasts").0
}

fn deliver(daemon: &Daemon, subjects: &[&str]) {
    let mut client = daemon.door(Port::Smtp).connect().expect("it listens");
    client.read_reply().expect("it greets");
    reply_to(&mut client, "EHLO client.example.net");
    for subject in subjects {
        let message = format!("Subject: {subject}\r\n\r\nThis is {subject}.");
        let delivered = client.deliver("bob@example.net", &[ALICE], &message);
        delivered.expect("the message is taken");
    }
}

fn append(client: &mut Lines, subject: &str) {
    let message = format!("Subject: {subject}\r\n\r\nThis is {subject}.\r\n");
    let command = format!("APPEND INBOX {{{}+}}\r\n{message}", message.len());
    expect_ok(client, &command);
}

fn expect_ok(client: &mut Lines, command: &str) {
    let (_, completion) = client.imap(command).expect("the connection lasts");
    assert!(completion.starts_with("OK"), "{command}: {completion}");
}

fn read_line(client: &mut Lines) -> String {
    client.read_line().expect("the connection lasts")
}

/// Reads until a line has this text; the line.
fn wait_for_line(client: &mut Lines, text: &str) -> String {
    loop {
        let line = read_line(client);
        if line.contains(text) {
            return line;
        }
    }
}

/// Waits until the selected mailbox has so many messages, and no more.
fn wait_for_messages(client: &mut Lines, count: usize) {
    let until = Instant::now() + PATIENCE;
    let all = (1..=count)
        .map(|number| format!(" {number}"))
        .collect::<String>();
    let all = format!("* SEARCH{all}");
    loop {
        expect_ok(client, "NOOP");
        let (untagged, _) = client.imap("SEARCH ALL").expect("the connection lasts");
        let found = untagged.iter().find(|line| line.starts_with("* SEARCH"));
        if found.is_some_and(|found| *found == all) {
            return;
        }
        assert!(Instant::now() < until, "{untagged:?} instead of {all}");
    }
}
