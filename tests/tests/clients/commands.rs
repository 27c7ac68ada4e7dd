//! Programs that send and read: Python's libraries, curl, swaks and neomutt.

use std::{path::Path, process::Command};

use rmail_tests::daemon::{Daemon, Port};

use crate::{
    ALICE, PASSWORD, expect_subjects, has_module, is_installed, letter, succeed, url, write_file,
};

pub(crate) fn python(daemon: &Daemon) {
    if !is_installed("python3") {
        return;
    }
    let ports = [
        Port::Smtp,
        Port::Submission,
        Port::Smtps,
        Port::Imap,
        Port::Imaps,
    ];
    run_script(daemon, "python.py", &ports);
}

pub(crate) fn imapclient(daemon: &Daemon) {
    if has_module("imapclient") {
        run_script(daemon, "imapclient_reads.py", &[Port::Imap, Port::Imaps]);
    }
}

fn run_script(daemon: &Daemon, name: &str, ports: &[Port]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let mut command = Command::new("python3");
    command
        .arg(script.join(name))
        .arg(daemon.root().certificate())
        .args(ports.iter().map(|&port| daemon.port(port).to_string()))
        .args([ALICE, PASSWORD]);
    succeed(&mut command, "");
}

/// curl with what all its journeys need.
fn curl(daemon: &Daemon) -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--disable", "--silent", "--show-error", "--max-time", "30"])
        .arg("--cacert")
        .arg(daemon.root().certificate());
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
    // It reads only at a terminal, which `script` gives it.
    if !is_installed("neomutt") || !is_installed("script") {
        return;
    }
    let settings = write_file(daemon, "neomuttrc", &neomutt_settings(daemon));
    let settings = settings.display();
    let neomutt = |arguments: &str, input: &str| {
        let mut command = Command::new("script");
        command
            .env("HOME", daemon.root().folder())
            .env("TERM", "xterm")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("exec neomutt -n -F {settings} {arguments}"))
            .arg("/dev/null");
        succeed(&mut command, input);
    };
    let text = write_file(daemon, "text", "Grüße\n.\nend\n");
    let text = text.display();
    neomutt(&format!("-s muttered -- {ALICE} < {text}"), "");
    expect_subjects(daemon, "INBOX", &["muttered"]);

    let saved = daemon.root().folder().join("saved");
    let keys = format!(
        "push <copy-message><kill-line>{}<enter><flag-message><sync-mailbox><quit>",
        saved.display()
    );
    neomutt(&format!("-f +INBOX -e '{keys}'"), "");
    let saved = std::fs::read_to_string(saved).expect("neomutt saved the message");
    assert!(saved.contains("Subject: muttered"), "{saved}");
    assert!(saved.contains("\nGrüße\n.\nend\n"), "{saved}");
    let mut client = daemon.imap(ALICE, PASSWORD);
    client.imap("EXAMINE INBOX").expect("there is an INBOX");
    let found = client.imap("SEARCH FLAGGED").expect("SEARCH is taken");
    assert_eq!(found.0, ["* SEARCH 1"], "the flag was kept");
}

fn neomutt_settings(daemon: &Daemon) -> String {
    let submission = daemon.port(Port::Submission);
    let imaps = daemon.port(Port::Imaps);
    let certificate = daemon.root().certificate();
    let certificate = certificate.display();
    format!(
        "set from = '{ALICE}'\n\
         set charset = utf-8\n\
         set send_charset = utf-8\n\
         set smtp_url = 'smtp://{ALICE}@127.0.0.1:{submission}/'\n\
         set smtp_pass = '{PASSWORD}'\n\
         set imap_user = '{ALICE}'\n\
         set imap_pass = '{PASSWORD}'\n\
         set folder = 'imaps://127.0.0.1:{imaps}/'\n\
         set spoolfile = '+INBOX'\n\
         set certificate_file = '{certificate}'\n\
         set ssl_force_tls = yes\n\
         set copy = no\n\
         set mbox_type = mbox\n\
         set confirmappend = no\n\
         set confirmcreate = no\n"
    )
}
