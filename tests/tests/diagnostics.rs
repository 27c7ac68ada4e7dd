//! `rmail diagnostics` beside a daemon: what it says when all is well and when something is not,
//! and that it leaves nothing behind. Each promise on both daemons.

use std::{
    collections::BTreeSet,
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rmail_tests::daemon::{Daemon, Kind, MailRoot, Port, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const HOSTNAME: &str = "mx.example.com";
const PASSWORD: &str = "correct horse battery staple";

/// The phases, in order.
const PHASES: [&str; 8] = [
    "configuration",
    "storage",
    "tls",
    "ports",
    "smtp",
    "imap",
    "api",
    "delivery",
];

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
    good_server_passes_and_nothing_is_left_over,
    people_are_shown_eight_verdicts_with_the_evidence,
    where_no_server_runs_the_remedy_is_to_start_it,
    where_no_server_has_ever_run_the_remedy_is_to_start_it,
    faulty_configuration_is_told_and_nothing_else_is_tried,
    port_where_nobody_listens_fails_and_the_others_are_tried,
    port_of_another_protocol_has_the_wrong_greeting,
    certificate_for_another_name_fails_and_the_rest_is_tried,
    certificate_that_has_expired_fails_and_the_rest_is_tried,
    certificate_that_the_server_has_not_read_is_told_until_the_reload,
    rate_limited_diagnostics_say_so_and_name_the_whitelist,
    limits_that_the_server_does_not_go_by_are_a_warning,
    protocol_that_is_off_is_disabled_and_no_failure,
    account_goes_on_an_interrupt,
    what_killed_diagnostics_leave_behind_goes_with_the_next,
}

/// What `diagnostics --json` said.
struct Told {
    is_success: bool,
    report: Value,
}

impl Told {
    fn by(daemon: &Daemon) -> Self {
        Self::in_output(&daemon.command(&["diagnostics", "--json"], ""))
    }

    fn in_output(output: &Output) -> Self {
        let report = serde_json::from_slice(&output.stdout);
        let report: Value = report.unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let phases = report["phases"].as_array().expect("it is a list");
        let names: Vec<&str> = phases
            .iter()
            .map(|phase| phase["phase"].as_str().expect("it is a text"))
            .collect();
        assert_eq!(names, PHASES);
        let is_success = output.status.success();
        assert_eq!(report["ok"], is_success, "{report:#}");
        Self { is_success, report }
    }

    fn phase(&self, name: &str) -> &Value {
        let phases = self.report["phases"].as_array().expect("it is a list");
        let mut phases = phases.iter();
        phases.find(|it| it["phase"] == name).expect("all are told")
    }

    #[track_caller]
    fn expect(&self, verdicts: [&str; 8]) {
        let phases = self.report["phases"].as_array().expect("it is a list");
        let told = phases.iter().map(|phase| phase["verdict"].as_str());
        let told: Vec<&str> = told.map(|it| it.expect("it is a text")).collect();
        assert_eq!(told, verdicts, "{:#}", self.report);
    }

    /// The remedy of the finding of this verdict that has this in its evidence.
    #[track_caller]
    fn remedy(&self, phase: &str, verdict: &str, evidence: &str) -> String {
        let findings = self.phase(phase)["findings"].as_array();
        let found = findings.expect("it is a list").iter().find(|finding| {
            let told = finding["evidence"].as_str().expect("it is a text");
            finding["verdict"] == verdict && told.contains(evidence)
        });
        let found = found.unwrap_or_else(|| panic!("no {evidence:?}: {:#}", self.report));
        found["remedy"].as_str().unwrap_or_default().to_owned()
    }
}

/// A daemon with Alice, in a folder that is nobody else's.
fn start(kind: Kind, changes: &Value) -> Daemon {
    start_in(&MailRoot::new(), kind, changes)
}

fn start_in(root: &MailRoot, kind: Kind, changes: &Value) -> Daemon {
    let mut changes = changes.clone();
    // The name that all journeys have is the example's, and as such a warning.
    changes["hostname"] = json!(HOSTNAME);
    let daemon = root.start_with(kind, &changes);
    daemon.add_user(ALICE, PASSWORD);
    daemon
}

/// The files of accounts and of the queue, but for what SQLite comes and goes with.
fn files(daemon: &Daemon) -> BTreeSet<PathBuf> {
    let root = daemon.root().folder().join("mail");
    let mut found = BTreeSet::new();
    let mut folders = vec![root.join("accounts"), root.join("spool")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("the folder can be read").path();
            let name = path.to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if !name.ends_with("-wal") && !name.ends_with("-shm") {
                found.insert(path);
            }
        }
    }
    let top = fs::read_dir(&root).expect("the folder can be read");
    found.extend(top.map(|entry| entry.expect("it is there").path()));
    found.retain(|path| {
        let name = path.to_string_lossy();
        !name.ends_with("-wal") && !name.ends_with("-shm")
    });
    found
}

fn json_of(daemon: &Daemon, arguments: &[&str]) -> Value {
    let output = daemon.command(arguments, "");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// No account but Alice's, no mail, and an empty queue.
#[track_caller]
fn assert_nothing_left(daemon: &Daemon) {
    let users = json_of(daemon, &["user", "list", "--json"]);
    let addresses: Vec<&Value> = users.as_array().unwrap().iter().collect();
    let addresses: Vec<&Value> = addresses.iter().map(|it| &it["address"]).collect();
    assert_eq!(addresses, [ALICE]);
    assert_eq!(json_of(daemon, &["queue", "list", "--json"]), json!([]));
}

fn good_server_passes_and_nothing_is_left_over(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let before = files(&daemon);
    let told = Told::by(&daemon);
    told.expect(["ok"; 8]);
    assert!(told.is_success && told.report["left_behind"].is_null());
    assert_eq!(told.report["interrupted"], false);
    let smtp = told.phase("smtp");
    let refused = smtp["findings"].as_array().unwrap().iter();
    let refused = refused.filter(|it| it["evidence"].as_str().unwrap().contains("is refused"));
    // In clear twice; at 25: size, relay, recipient; at 587 and 465: login, password, sender.
    assert_eq!(refused.count(), 2 + 3 + 3 + 3, "{smtp:#}");
    told.remedy("delivery", "ok", "smtp, submission, smtps, http, https");
    told.remedy("delivery", "ok", "the limiter refuses connection 11");
    assert_nothing_left(&daemon);
    assert_eq!(files(&daemon), before);
    daemon.finish();
}

fn people_are_shown_eight_verdicts_with_the_evidence(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let output = daemon.command(&["diagnostics"], "");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    for (index, phase) in PHASES.iter().enumerate() {
        let line = format!("{} {phase:13} ok", index + 1);
        assert!(said.lines().any(|it| it == line), "{line:?} in {said}");
    }
    assert!(said.ends_with("\nnothing is wrong\n"), "{said}");
    assert!(said.contains("550 5.7.1 We do not relay"), "{said}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let help = daemon.command(&["diagnostics", "--help"], "");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("rate_limit.whitelist") && help.contains("Examples:"));
}

fn where_no_server_runs_the_remedy_is_to_start_it(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    assert!(daemon.stop().success());
    let told = Told::by(&daemon);
    told.expect([
        "ok", "ok", "ok", "failed", "not_run", "not_run", "not_run", "not_run",
    ]);
    for listener in ["smtp (", "submission (", "smtps (", "imaps (", "https ("] {
        let remedy = told.remedy("ports", "failed", listener);
        assert!(remedy.starts_with("start the server"), "{remedy}");
    }
    for phase in ["smtp", "imap", "api"] {
        let reason = told.phase(phase)["reason"].as_str().unwrap();
        assert!(reason.contains("start the server"), "{reason}");
    }
    assert_nothing_left(&daemon);
}

fn where_no_server_has_ever_run_the_remedy_is_to_start_it(kind: Kind) {
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("config.json");
    let port = || json!(free_port());
    let text = json!({
        "hostname": "mail.example.org",
        "smtp": {"port": port(), "submission_port": port(), "smtps_port": port()},
        "imap": {"port": port(), "imaps_port": port()},
        "exchange_api": {"port": port(), "secure_port": port()},
    });
    fs::write(&config, text.to_string()).unwrap();
    let output = diagnose(kind, &config).wait_with_output().unwrap();
    let told = Told::in_output(&output);
    told.expect([
        "ok", "failed", "failed", "failed", "not_run", "not_run", "not_run", "not_run",
    ]);
    for phase in ["storage", "tls", "ports"] {
        let remedy = told.remedy(phase, "failed", "");
        assert!(remedy.starts_with("start the server"), "{remedy}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

fn faulty_configuration_is_told_and_nothing_else_is_tried(kind: Kind) {
    let folder = tempfile::TempDir::new().unwrap();
    let config = folder.path().join("config.json");
    fs::write(&config, r#"{"smtp": {"port": "x"}}"#).unwrap();
    let output = diagnose(kind, &config).wait_with_output().unwrap();
    let told = Told::in_output(&output);
    told.expect([
        "failed", "not_run", "not_run", "not_run", "not_run", "not_run", "not_run", "not_run",
    ]);
    let remedy = told.remedy("configuration", "failed", "smtp.port: found the text");
    assert!(remedy.contains("correct smtp.port in "), "{remedy}");
}

fn port_where_nobody_listens_fails_and_the_others_are_tried(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    daemon.change_config(&json!({"smtp": {"submission_port": free_port()}}));
    let told = Told::by(&daemon);
    told.expect(["ok", "ok", "ok", "failed", "ok", "ok", "ok", "ok"]);
    let remedy = told.remedy(
        "ports",
        "failed",
        "smtp.submission_port: nobody listens there",
    );
    assert!(remedy.starts_with("start the server"), "{remedy}");
    assert_nothing_left(&daemon);
}

fn port_of_another_protocol_has_the_wrong_greeting(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    let smtp = daemon.port(Port::Smtp);
    daemon.change_config(&json!({"smtp": {"port": 0}, "imap": {"port": smtp}}));
    let told = Told::by(&daemon);
    told.remedy("ports", "ok", "smtp: off, as smtp.port is 0");
    told.remedy(
        "ports",
        "failed",
        "imap.port: the server says: 220 mx.example.com",
    );
    assert!(!told.is_success);
    assert_nothing_left(&daemon);
}

/// Writes a certificate for this name that ends in this year; the `tls` section for it.
fn certificate(folder: &Path, name: &str, last_year: i32) -> Value {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let path = |kind| folder.join(format!("{name}-{last_year}.{kind}"));
    fs::write(path("pem"), certificate.pem()).unwrap();
    fs::write(path("key"), key.serialize_pem()).unwrap();
    json!({"cert_file": path("pem"), "key_file": path("key")})
}

fn certificate_for_another_name_fails_and_the_rest_is_tried(kind: Kind) {
    let root = MailRoot::new();
    let tls = certificate(root.folder(), "other.example.net", 2090);
    let daemon = start_in(&root, kind, &json!({ "tls": tls }));
    let told = Told::by(&daemon);
    told.expect(["ok", "ok", "failed", "ok", "ok", "ok", "ok", "ok"]);
    let evidence = "it is for other.example.net, and hostname is mx.example.com";
    let remedy = told.remedy("tls", "failed", evidence);
    assert!(remedy.contains("get a certificate for mx.example.com"));
}

fn certificate_that_has_expired_fails_and_the_rest_is_tried(kind: Kind) {
    let root = MailRoot::new();
    let tls = certificate(root.folder(), HOSTNAME, 2021);
    let daemon = start_in(&root, kind, &json!({ "tls": tls }));
    let told = Told::by(&daemon);
    told.expect(["ok", "ok", "failed", "ok", "ok", "ok", "ok", "ok"]);
    let remedy = told.remedy("tls", "failed", "expired at 2021-01-01");
    assert!(remedy.contains("rmail reload"), "{remedy}");
}

fn certificate_that_the_server_has_not_read_is_told_until_the_reload(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    let tls = certificate(daemon.root().folder(), HOSTNAME, 2090);
    daemon.change_config(&json!({ "tls": tls }));
    let told = Told::by(&daemon);
    assert_eq!(told.phase("ports")["verdict"], "failed");
    let remedy = told.remedy(
        "ports",
        "failed",
        "another certificate than the configured one",
    );
    assert!(remedy.contains("rmail reload"), "{remedy}");
    let reload = daemon.command(&["reload"], "");
    assert!(reload.status.success(), "{reload:?}");
    let told = Told::by(&daemon);
    // Nobody's root vouches for it.
    told.expect(["ok", "ok", "warning", "ok", "ok", "ok", "ok", "ok"]);
    assert_nothing_left(&daemon);
}

fn rate_limited_diagnostics_say_so_and_name_the_whitelist(kind: Kind) {
    let limits = json!({"whitelist": [], "connection_rate": 4});
    let daemon = start(kind, &json!({ "rate_limit": limits }));
    let told = Told::by(&daemon);
    let remedy = told.remedy("configuration", "warning", "is not in rate_limit.whitelist");
    assert!(remedy.contains("put \"127.0.0.1\" into rate_limit.whitelist"));
    assert!(!told.is_success);
    let evidence = "the diagnostics are being rate-limited, as 127.0.0.1: 421";
    let remedy = told.remedy("smtp", "failed", evidence);
    assert!(remedy.contains("put \"127.0.0.1\" into rate_limit.whitelist"));
    // Before TLS nobody is told anything.
    let again = Told::by(&daemon);
    let evidence = "rate-limited, as 127.0.0.1: the connection is closed without a word";
    again.remedy("ports", "failed", evidence);
    let reason = again.phase("smtp")["reason"].as_str().unwrap();
    assert!(reason.contains("rate_limit.whitelist"), "{reason}");
    assert_nothing_left(&daemon);
}

fn limits_that_the_server_does_not_go_by_are_a_warning(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    daemon.change_config(&json!({"rate_limit": {"message_rate": 31}}));
    let told = Told::by(&daemon);
    let remedy = told.remedy("delivery", "warning", "has other limits than the file");
    assert!(told.is_success && remedy.contains("rmail reload"));
}

fn protocol_that_is_off_is_disabled_and_no_failure(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    daemon.change_config(&json!({"imap": {"port": 0, "imaps_port": 0}}));
    let told = Told::by(&daemon);
    told.expect(["ok", "ok", "ok", "ok", "ok", "disabled", "ok", "ok"]);
    assert_eq!(
        told.phase("imap")["reason"],
        "imap.port, imap.imaps_port are 0"
    );
    assert!(told.is_success);
}

fn diagnose(kind: Kind, config: &Path) -> Child {
    let child = Command::new(kind.path())
        .arg("--config")
        .arg(config)
        .args(["diagnostics", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    child.expect("the binary was built")
}

/// Diagnostics that wait for a greeting, with an account in the store.
fn waiting_diagnostics(daemon: &mut Daemon) -> (Child, (TcpListener, TcpStream)) {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())).unwrap();
    let port = silent.local_addr().unwrap().port();
    daemon.change_config(&json!({"smtp": {"port": port}}));
    let child = diagnose(daemon.kind(), daemon.config_path());
    let (accepted, _peer) = silent.accept().unwrap();
    let users = json_of(daemon, &["user", "list", "--json"]);
    let address = users[1]["address"].as_str().expect("there is another");
    assert!(address.starts_with("rmail-diagnostics-"), "{address}");
    (child, (silent, accepted))
}

fn account_goes_on_an_interrupt(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    let before = files(&daemon);
    let (child, _connection) = waiting_diagnostics(&mut daemon);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = Told::in_output(&output);
    told.expect([
        "ok", "ok", "ok", "not_run", "not_run", "not_run", "not_run", "not_run",
    ]);
    assert_eq!(told.report["interrupted"], true);
    assert_eq!(output.status.code(), Some(1));
    assert_nothing_left(&daemon);
    assert_eq!(files(&daemon), before);
}

fn what_killed_diagnostics_leave_behind_goes_with_the_next(kind: Kind) {
    let mut daemon = start(kind, &json!({}));
    let smtp = daemon.port(Port::Smtp);
    let (mut child, _connection) = waiting_diagnostics(&mut daemon);
    daemon.change_config(&json!({"smtp": {"port": smtp}}));
    // Meanwhile others wait.
    let told = Told::by(&daemon);
    told.remedy(
        "storage",
        "failed",
        "other diagnostics are at work on this mail_root",
    );
    assert_eq!(told.phase("smtp")["verdict"], "not_run");
    child.kill().unwrap();
    child.wait().unwrap();
    let told = Told::by(&daemon);
    told.expect(["ok"; 8]);
    told.remedy(
        "storage",
        "ok",
        "which diagnostics left behind that were killed",
    );
    assert_nothing_left(&daemon);
}
