//! The clients of the Graph-compatible API, through every call of the acceptance table.
//!
//! A script of each client goes through the table, and prints a line for each call; see
//! `graph/rows.py`. What is asserted: each call is there once, none has failed, and those that the
//! client has not got are the ones that are known, each with its reason.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use rmail_tests::{
    daemon::{Daemon, MailRoot, Port},
    http::HttpClient,
    jwt::Jwt,
    programs,
};
use serde_json::json;

use crate::{ALICE, Kind, PASSWORD, has_module, succeed};

const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const SECRET: &str = "a key of at least 32 bytes, for these tests";

/// Who has a call.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Who {
    All,
    AllBut(&'static [Client]),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    MsGraph,
    JavaScript,
    O365,
}

use Client::{JavaScript, MsGraph, O365};
use Who::{All, AllBut};

/// The calls.
const CALLS: [(&str, Who); 26] = [
    ("current user", All),
    ("user by address and by GUID", All),
    ("bad, forged, expired token", All),
    ("list folders, well-known names in any case", All),
    ("create, rename, child, find by name, duplicate 409", All),
    ("move folder, delete folder", All),
    ("create draft, update, etag and If-Match", All),
    ("draft with attachments in one POST", All),
    ("small attachment: add, list, get, $value, delete", All),
    ("upload session, one and several ranges", All),
    ("send draft; Sent copy; draft gone", All),
    ("sendMail with header, attachment, not saved", All),
    ("sendMail as MIME", AllBut(&[O365])),
    (
        "get message, $select, $expand=attachments, MIME $value",
        All,
    ),
    ("isRead, categories, flag with dates", All),
    (
        "list with filter, orderby, top, skip, count, all pages",
        All,
    ),
    ("search", All),
    (
        "createReply/All, createForward, reply, replyAll, forward",
        All,
    ),
    ("move, copy, delete twice, permanentDelete", All),
    ("immutable ids", AllBut(&[O365])),
    ("message delta, folder delta", AllBut(&[O365])),
    ("batch", AllBut(&[O365])),
    ("subscriptions: create, notify, renew, list, delete", All),
    ("master categories, mailbox settings", All),
    (
        "another user's mailbox 403, foreign ids 404, Bcc hidden",
        All,
    ),
    ("CORS preflight", AllBut(&[MsGraph, O365])),
];

pub(crate) fn msgraph(daemon: &Daemon) {
    if has_module("msgraph") {
        go_through(daemon, MsGraph, "python3", "with_msgraph.py");
    }
}

pub(crate) fn o365(daemon: &Daemon) {
    if has_module("O365") {
        go_through(daemon, O365, "python3", "with_o365.py");
    }
}

pub(crate) fn javascript(daemon: &Daemon) {
    const PACKAGE: &str = "@microsoft/microsoft-graph-client";
    let require = format!("require({PACKAGE:?})");
    let mut node = Command::new("node");
    if programs::is_installed(PACKAGE, node.args(["-e", &require])) {
        go_through(daemon, JavaScript, "node", "with_javascript.cjs");
    }
}

/// A daemon with Alice, Bob and Carol.
pub(crate) fn run(kind: Kind, journey: fn(&Daemon)) {
    let config = json!({"exchange_api": {
        "token_secret": SECRET,
        "notification_targets": ["http://127.0.0.1:"],
    }});
    let daemon = MailRoot::new().start_with(kind, &config);
    for address in [ALICE, BOB, CAROL] {
        daemon.add_user(address, PASSWORD);
    }
    journey(&daemon);
    daemon.finish();
}

/// What a script is told.
fn setup(daemon: &Daemon) -> String {
    let url = |scheme, port| crate::url(daemon, scheme, port);
    let log_in = |address| HttpClient::new(daemon.door(Port::Https)).log_in(address, PASSWORD);
    let token = log_in(ALICE);
    let good = Jwt::parse(&token);
    let issued_at = good.claims["iat"].as_i64().expect("it is a number");
    let expired = good.clone().with_claim("exp", issued_at - 1);
    json!({
        "http": url("http", Port::Http),
        "https": url("https", Port::Https),
        "certificate": daemon.root().certificate(),
        "address": ALICE,
        "token": token,
        "bob": BOB,
        "bob_token": log_in(BOB),
        "carol": CAROL,
        "bad": "bad",
        "forged": good.sign_hs256("another key of at least 32 bytes, truly"),
        "expired": expired.sign_hs256(SECRET),
    })
    .to_string()
}

fn go_through(daemon: &Daemon, client: Client, program: &str, script: &str) {
    let mut command = Command::new(program);
    command
        .arg(folder().join(script))
        .env("NODE_EXTRA_CA_CERTS", daemon.root().certificate());
    let said = succeed(&mut command, &setup(daemon));
    let report = Report::read(&said);
    report.print(client, daemon.kind());
    report.check(client);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/graph")
}

/// What a script printed.
#[derive(Debug)]
struct Report {
    /// Call, outcome and reason, in the script's order.
    lines: Vec<[String; 3]>,
}

impl Report {
    fn read(said: &str) -> Self {
        let lines = said.lines().map(|line| {
            let mut columns = line.splitn(3, '\t').map(str::to_owned);
            let mut next = || columns.next().unwrap_or_default();
            let (outcome, call, reason) = (next(), next(), next());
            [call, outcome, reason]
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// Says what the client can't do, past what the harness captures of a test that passes.
    fn print(&self, client: Client, kind: Kind) {
        let program = kind.program();
        let mut stderr = std::io::stderr();
        for [call, outcome, reason] in &self.lines {
            let _ = match outcome.as_str() {
                "none" | "part" => writeln!(stderr, "{client:?} can't: {call}: {reason}"),
                _ => writeln!(stderr, "{client:?}, {program}: {outcome}: {call} {reason}"),
            };
        }
    }

    fn check(&self, client: Client) {
        let calls = self
            .lines
            .iter()
            .filter(|[_, outcome, _]| outcome != "part");
        let mut outcomes = BTreeMap::new();
        for [call, outcome, reason] in calls {
            let before = outcomes.insert(call.as_str(), outcome.as_str());
            assert_eq!(before, None, "{call} is there twice");
            assert!(outcome == "pass" || !reason.is_empty(), "{call}: no reason");
        }
        let expected = CALLS.map(|(call, who)| {
            let is_missing = matches!(who, AllBut(clients) if clients.contains(&client));
            (call, if is_missing { "none" } else { "pass" })
        });
        assert_eq!(outcomes, BTreeMap::from(expected), "{self:#?}");
    }
}
