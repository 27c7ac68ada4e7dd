//! Programs that send and read: Python's libraries, curl, swaks and neomutt.

use std::{path::Path, process::Command};

use rmail_tests::daemon::{Daemon, Port};

use crate::{ALICE, PASSWORD, expect_subjects, is_installed, letter, succeed, url, write_file};

pub(crate) fn python(daemon: &Daemon) {
    if !is_installed("python3") {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python.py");
    let ports = [
        Port::Smtp,
        Port::Submission,
        Port::Smtps,
        Port::Imap,
        Port::Imaps,
    ];
    let mut command = Command::new("python3");
    command
        .arg(script)
        .arg(daemon.site().certificate())
        .args(ports.map(|port| daemon.port(port).to_string()))
        .args([ALICE, PASSWORD]);
    succeed(&mut command, "");
}

/// curl with what all its journeys need.
fn curl(daemon: &Daemon) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--disable", "--silent", "--show-error", "--max-time", "30"])
        .arg("--cacert")
        .arg(daemon.site().certificate());
    command
}

pub(crate) fn curl_sends(daemon: &Daemon) {
    if !is_installed("curl") {
        return;
    }
    let login = format!("{ALICE}:{PASSWORD}");
    let submit = ["--ssl-reqd", "--user", &login];
    let ways: [(&str, String, &[&str]); 3] = [
        ("cleartext", url(daemon, "smtp", Port::Smtp), &[]),
        ("starttls", url(daemon, "smtp", Port::Submission), &submit),
        ("tls", url(daemon, "smtps", Port::Smtps), &submit),
    ];
    for (subject, url, arguments) in ways {
        let mut command = curl(daemon);
        command
            .args(arguments)
            .args(["--mail-from", ALICE, "--mail-rcpt", ALICE])
            .args(["--upload-file", "-", &url]);
        succeed(&mut command, &letter(subject));
    }
    expect_subjects(daemon, "INBOX", &["cleartext", "starttls", "tls"]);
}

pub(crate) fn curl_reads(daemon: &Daemon) {
    if !is_installed("curl") {
        return;
    }
    let login = format!("{ALICE}:{PASSWORD}");
    let file = write_file(daemon, "letter.eml", &letter("appended"));
    let imaps = url(daemon, "imaps", Port::Imaps);
    let mut append = curl(daemon);
    append.args(["--user", &login, "--upload-file"]).arg(file);
    succeed(append.arg(format!("{imaps}/INBOX")), "");
    for base in [url(daemon, "imap", Port::Imap), imaps] {
        let mut fetch = curl(daemon);
        fetch.args(["--ssl-reqd", "--user", &login]);
        let text = succeed(fetch.arg(format!("{base}/INBOX;MAILINDEX=1")), "");
        assert_eq!(text, letter("appended"));
        let mut search = curl(daemon);
        search.args(["--ssl-reqd", "--user", &login]);
        let found = succeed(search.arg(format!("{base}/INBOX?SUBJECT%20appended")), "");
        assert_eq!(found.trim_end(), "* SEARCH 1");
    }
}

pub(crate) fn swaks(daemon: &Daemon) {
    if !is_installed("swaks") {
        return;
    }
    let login = [
        "--auth",
        "PLAIN",
        "--auth-user",
        ALICE,
        "--auth-password",
        PASSWORD,
    ];
    let login_after = |tls| [&[tls], &login[..]].concat();
    let ways = [
        ("cleartext", Port::Smtp, vec![]),
        ("from-a-server", Port::Smtp, vec!["--tls"]),
        ("starttls", Port::Submission, login_after("--tls")),
        ("tls", Port::Smtps, login_after("--tls-on-connect")),
    ];
    for (subject, port, arguments) in ways {
        let mut command = Command::new("swaks");
        command
            .args(["--server", "127.0.0.1", "--port"])
            .arg(daemon.port(port).to_string())
            .args([
                "--helo",
                "client.example.net",
                "--from",
                ALICE,
                "--to",
                ALICE,
            ])
            .args([
                "--header",
                &format!("Subject: {subject}"),
                "--timeout",
                "30",
            ])
            .args(arguments);
        succeed(&mut command, "");
    }
    let expected = ["cleartext", "from-a-server", "starttls", "tls"];
    expect_subjects(daemon, "INBOX", &expected);
}

pub(crate) fn neomutt(daemon: &Daemon) {
    if !is_installed("neomutt") {
        return;
    }
    let submission = daemon.port(Port::Submission);
    let imaps = daemon.port(Port::Imaps);
    let certificate = daemon.site().certificate();
    let settings = format!(
        "set from = '{ALICE}'\n\
         set realname = 'Alice'\n\
         set smtp_url = 'smtp://{ALICE}@127.0.0.1:{submission}/'\n\
         set smtp_pass = '{PASSWORD}'\n\
         set imap_user = '{ALICE}'\n\
         set imap_pass = '{PASSWORD}'\n\
         set folder = 'imaps://127.0.0.1:{imaps}/'\n\
         set spoolfile = '+INBOX'\n\
         set record = '+Sent'\n\
         set certificate_file = '{}'\n\
         set ssl_force_tls = yes\n\
         set ssl_verify_host = no\n\
         set header_cache = ''\n\
         set mail_check = 0\n\
         set wait_key = no\n\
         set delete = yes\n\
         set quit = yes\n\
         set confirmappend = no\n",
        certificate.display()
    );
    let settings = write_file(daemon, "neomuttrc", &settings);
    let neomutt = || {
        let mut command = Command::new("neomutt");
        command
            .env("HOME", daemon.site().folder())
            .env("TERM", "dumb")
            .arg("-n")
            .arg("-F")
            .arg(&settings);
        command
    };
    let mut send = neomutt();
    succeed(
        send.args(["-s", "muttered", "--", ALICE]),
        "Grüße\n.\nend\n",
    );
    expect_subjects(daemon, "INBOX", &["muttered"]);
    expect_subjects(daemon, "Sent", &["muttered"]);
    // Reads the mailbox, and saves what is in it, as somebody at the keys would.
    let saved = daemon.site().folder().join("saved");
    let keys = format!(
        "push <tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{}<enter><quit>",
        saved.display()
    );
    succeed(neomutt().args(["-f", "+INBOX", "-e", &keys]), "");
    let saved = std::fs::read_to_string(saved).expect("neomutt saved it");
    assert!(saved.contains("Subject: muttered"), "{saved}");
}
