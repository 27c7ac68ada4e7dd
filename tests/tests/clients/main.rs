//! Other people's clients, each against both daemons.

mod commands;
mod graph;
mod libraries;
mod mbsync;
mod schemathesis;
mod thunderbird;

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Instant,
};

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port},
    programs,
};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Each client, as a test of each daemon.
macro_rules! clients {
    ($run:path => $($name:ident: $journey:path,)*) => {
        mod tokio {
            $(#[test] fn $name() { $run(crate::Kind::Tokio, $journey); })*
        }
        mod async_std {
            $(#[test] fn $name() { $run(crate::Kind::AsyncStd, $journey); })*
        }
    };
}

mod mail {
    clients! { crate::run =>
        lettre_sends_in_cleartext_after_starttls_and_over_tls: crate::libraries::lettre_sends,
        async_imap_reads_after_starttls_and_over_tls: crate::libraries::async_imap_reads,
        async_imap_idles_until_mail_comes: crate::libraries::async_imap_idles,
        python_sends_and_reads: crate::commands::python,
        imapclient_reads_after_starttls_and_over_tls: crate::commands::imapclient,
        curl_sends_in_cleartext_after_starttls_and_over_tls: crate::commands::curl_sends,
        curl_reads_after_starttls_and_over_tls: crate::commands::curl_reads,
        swaks_sends_on_all_three_ports: crate::commands::swaks,
        neomutt_sends_and_reads: crate::commands::neomutt,
        mbsync_syncs_both_ways_and_then_finds_nothing_to_do: crate::mbsync::syncs,
        thunderbird_finds_the_account_by_autoconfig_and_reads: crate::thunderbird::sets_itself_up,
    }
}

mod api {
    clients! { crate::graph::run =>
        msgraph_sdk_makes_every_call_that_it_has: crate::graph::msgraph,
        microsoft_graph_client_makes_every_call_that_it_has: crate::graph::javascript,
        o365_makes_every_call_that_it_has: crate::graph::o365,
        schemathesis_finds_no_answer_outside_the_document: crate::schemathesis::asks_for_everything,
    }
}

/// A daemon with Alice on it; what goes wrong in it is a failure, too.
fn run(kind: Kind, journey: fn(&Daemon)) {
    let daemon = MailRoot::new().start(kind);
    daemon.add_user(ALICE, PASSWORD);
    journey(&daemon);
    daemon.finish();
}

/// Whether there is this program.
fn is_installed(program: &str) -> bool {
    programs::is_installed(program, Command::new(program).arg("--version"))
}

/// Whether `python3` has this library.
fn has_module(name: &str) -> bool {
    let import = format!("import {name}");
    programs::is_installed(name, Command::new("python3").args(["-c", &import]))
}

/// Runs a program to its end, which must be a good one; what it said.
fn succeed(command: &mut Command, input: &str) -> String {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("it is installed");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    // A program that does not read its input to the end says itself what that means.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Writes a file into the daemon's folder.
fn write_file(daemon: &Daemon, name: &str, content: &str) -> PathBuf {
    let path = daemon.root().folder().join(name);
    fs::write(&path, content).expect("the folder can be written");
    path
}

/// A message from Alice to herself.
fn letter(subject: &str) -> String {
    format!(
        "From: {ALICE}\r\nTo: {ALICE}\r\nSubject: {subject}\r\n\
         Message-ID: <{subject}@client.example.net>\r\n\r\nThis is {subject}.\r\n"
    )
}

/// Waits until the mailbox holds exactly these subjects, in any order.
fn expect_subjects(daemon: &Daemon, mailbox: &str, expected: &[&str]) {
    let mut client = daemon.imap(ALICE, PASSWORD);
    let selected = client.imap(&format!("SELECT {mailbox}"));
    let (_, completion) = selected.expect("the connection lasts");
    assert!(completion.starts_with("OK"), "{completion}");
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    let until = Instant::now() + PATIENCE;
    loop {
        let fetched = client.imap("UID FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]");
        let (untagged, _) = fetched.expect("the connection lasts");
        let subject = |line: &String| {
            let (_, subject) = line.split_once("Subject: ")?;
            Some(subject.lines().next()?.to_owned())
        };
        let mut subjects: Vec<String> = untagged.iter().filter_map(subject).collect();
        subjects.sort_unstable();
        if subjects == expected {
            return;
        }
        assert!(
            Instant::now() < until,
            "{subjects:?} instead of {expected:?}; the log:\n{}",
            daemon.log()
        );
        thread::yield_now();
    }
}

/// A URL of a listener.
fn url(daemon: &Daemon, scheme: &str, port: Port) -> String {
    format!("{scheme}://{}", daemon.address(port))
}
