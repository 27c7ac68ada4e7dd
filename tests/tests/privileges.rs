//! Who a daemon is on the machine, and who can read what it writes. Most of it needs root, who
//! alone can start a daemon that becomes somebody else.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use rmail_tests::{
    Setup,
    daemon::{Daemon, Kind, MailRoot, PATIENCE, Port, free_low_port},
    http::HttpClient,
    lines::Door,
    programs::{is_installed, is_root},
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// Is on every machine, and owns nothing.
const NOBODY: u32 = 65_534;

/// CAP_NET_BIND_SERVICE, as `/proc` has it.
const NET_BIND_SERVICE: u64 = 1 << 10;

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
    started_by_root_it_serves_low_ports_as_the_configured_user,
    without_the_capability_a_low_port_needs_a_restart_and_the_reload_says_so,
    key_that_root_alone_can_read_ends_the_start_with_a_remedy_that_helps,
    user_that_can_not_be_had_ends_the_start_with_a_remedy,
    all_that_is_written_is_for_its_owner_alone_under_any_umask,
    names_lead_nowhere_outside_mail_root,
    unit_is_as_systemd_wants_it,
}

fn started_by_root_it_serves_low_ports_as_the_configured_user(kind: Kind) {
    if !is_root() {
        return;
    }
    let root = MailRoot::new().on_low_ports().open_to_all();
    let mut daemon = root.start_with(kind, &json!({ "user": "nobody" }));
    expect_nobody(&daemon);
    daemon.add_user(ALICE, PASSWORD);
    deliver(&daemon, "from a low port");
    daemon.wait_for_mail((ALICE, PASSWORD), "from a low port");
    // The command line is root's here, and what it makes is the server's.
    for (path, metadata) in below(&root.folder().join("mail")) {
        assert_eq!(metadata.uid(), NOBODY, "{}", path.display());
    }
    let port = free_low_port();
    daemon.change_config(&json!({ "smtp": { "port": port } }));
    let said = reload(&daemon);
    assert!(!said.contains("warning"), "{said}");
    expect_greeting(&daemon);
    expect_nobody(&daemon);
    daemon.finish();
}

/// Asserts that no thread of the daemon has anything left of root.
fn expect_nobody(daemon: &Daemon) {
    let tasks = format!("/proc/{}/task", daemon.pid());
    let tasks = fs::read_dir(tasks).expect("it runs");
    let mut count = 0;
    for task in tasks {
        let path = task.expect("it runs").path().join("status");
        // A thread may just have ended.
        let Ok(status) = fs::read_to_string(path) else {
            continue;
        };
        let field = |name: &str| {
            let mut lines = status.lines().filter_map(|line| line.split_once(":\t"));
            let found = lines.find(|(found, _)| *found == name);
            found
                .unwrap_or_else(|| panic!("{name} is not in {status}"))
                .1
        };
        let ids = format!("{NOBODY}\t{NOBODY}\t{NOBODY}\t{NOBODY}");
        assert_eq!(field("Uid"), ids);
        assert_eq!(field("Gid"), ids);
        assert_eq!(field("Groups").trim(), NOBODY.to_string());
        assert_eq!(field("NoNewPrivs"), "1");
        let capabilities = |name| u64::from_str_radix(field(name), 16).expect("a number");
        assert_eq!(capabilities("CapPrm"), NET_BIND_SERVICE);
        assert_eq!(capabilities("CapEff"), NET_BIND_SERVICE);
        assert_eq!(capabilities("CapInh") | capabilities("CapAmb"), 0);
        count += 1;
    }
    assert!(count > 1, "a daemon has threads");
}

fn without_the_capability_a_low_port_needs_a_restart_and_the_reload_says_so(kind: Kind) {
    let needed = is_root() && is_installed("setpriv", Command::new("setpriv").arg("--version"));
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if !needed || first.is_ok_and(|first| first.trim() != "1024") {
        return;
    }
    let without = ["setpriv", "--bounding-set=-net_bind_service"];
    let root = MailRoot::new().open_to_all().launched_by(&without);
    let mut daemon = root.start_with(kind, &json!({ "user": "nobody" }));
    let before = daemon.door(Port::Smtp);
    daemon.change_config(&json!({ "smtp": { "port": free_low_port() } }));
    let said = reload(&daemon);
    assert!(
        said.contains("warning") && said.contains("(smtp.port)"),
        "{said}"
    );
    assert!(said.contains("restart the server"), "{said}");
    expect_greeting_at(&before);
    daemon.stop();
}

fn key_that_root_alone_can_read_ends_the_start_with_a_remedy_that_helps(kind: Kind) {
    if !is_root() {
        return;
    }
    let other = MailRoot::new();
    other.start(kind).finish();
    let root = MailRoot::new().open_to_all();
    let (certificate, key) = (
        root.folder().join("cert.pem"),
        root.folder().join("key.pem"),
    );
    let made = other.certificate();
    fs::copy(&made, &certificate).expect("the folder can be written");
    fs::copy(made.with_file_name("key.pem"), &key).expect("the folder can be written");
    set_mode(&certificate, 0o644);
    set_mode(&key, 0o600);
    let changes = json!({
        "user": "nobody",
        "tls": { "cert_file": certificate, "key_file": key },
    });
    let config = write_config(&root, &changes);
    let said = fail(Command::new(kind.path()).arg("--config").arg(&config));
    assert!(
        said.contains("CRITICAL") && said.contains("key.pem can't be read"),
        "{said}"
    );
    let group = said
        .split("chgrp ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let group = group.unwrap_or_else(|| panic!("no group in {said}"));
    assert!(
        said.contains(&format!("chmod 640 {}", key.display())),
        "{said}"
    );
    let changed = Command::new("chgrp").arg(group).arg(&key).status();
    assert!(changed.expect("it is installed").success());
    set_mode(&key, 0o640);
    root.start_with(kind, &changes).finish();
}

fn user_that_can_not_be_had_ends_the_start_with_a_remedy(kind: Kind) {
    if !is_root() {
        return;
    }
    let root = MailRoot::new().open_to_all();
    let config = write_config(&root, &json!({ "user": "nobody-so-called" }));
    let said = fail(Command::new(kind.path()).arg("--config").arg(&config));
    assert!(
        said.contains("this machine has no nobody-so-called"),
        "{said}"
    );
    assert!(said.contains("useradd --system"), "{said}");

    // Mail that is there already, and another's.
    let mail = root.folder().join("mail");
    fs::create_dir(&mail).expect("the folder can be written");
    let config = write_config(&root, &json!({ "user": "nobody" }));
    let said = fail(Command::new(kind.path()).arg("--config").arg(&config));
    assert!(said.contains("belongs to root"), "{said}");
    assert!(
        said.contains(&format!("chown -R nobody: {}", mail.display())),
        "{said}"
    );
    chown(&mail, Some(NOBODY), Some(NOBODY)).expect("we are root");

    // Who is not root can become nobody else. The way to the program may be closed to others.
    let program = root.folder().join("program");
    fs::copy(kind.path(), &program).expect("the folder can be written");
    let config = write_config(&root, &json!({ "user": "daemon" }));
    let mut command = Command::new(&program);
    let said = fail(command.uid(NOBODY).gid(NOBODY).arg("--config").arg(&config));
    assert!(said.contains("start it as root, or as daemon"), "{said}");
}

fn all_that_is_written_is_for_its_owner_alone_under_any_umask(kind: Kind) {
    let lax = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];
    let root = MailRoot::new().launched_by(&lax);
    // What is held stays in the spool.
    let relay = json!({ "relay": { "routes": ["example.net hold"] } });
    let daemon = root.start_with(kind, &relay);
    daemon.add_user(ALICE, PASSWORD);
    let token = daemon.command(&["token", "issue", ALICE], "");
    assert!(token.status.success(), "{token:?}");
    deliver(&daemon, "small");
    let large = format!("large\r\n\r\n{}", "0123456789abcdef\r\n".repeat(20_000));
    deliver(&daemon, &large);
    daemon.wait_for_mail((ALICE, PASSWORD), "Subject: large");
    let mut sender = daemon.submission(ALICE, PASSWORD);
    for subject in ["small", &large] {
        let message = format!("From: {ALICE}\r\nSubject: {subject}\r\n\r\n");
        let sent = sender.deliver(ALICE, &["bob@example.net"], &message);
        sent.expect("it is accepted");
    }
    let mail = root.folder().join("mail");
    let all = below(&mail);
    for (path, metadata) in &all {
        let mode = metadata.permissions().mode() & 0o7777;
        let expected: &[u32] = match metadata.is_dir() {
            true => &[0o700],
            // A socket has what a file can't have.
            false => &[0o600, 0o700],
        };
        assert!(expected.contains(&mode), "{mode:o} {}", path.display());
        assert!(
            !metadata.is_file() || mode == 0o600,
            "{mode:o} {}",
            path.display()
        );
    }
    let has = |text: &str| {
        all.iter()
            .any(|(path, _)| path.display().to_string().contains(text))
    };
    for text in [
        "/tls/key.pem",
        "/run/",
        "/messages/",
        "/spool/",
        "spool.db-wal",
        "mail.db",
    ] {
        assert!(has(text), "no {text} in {all:#?}");
    }
    let new = root.folder().join("new.json");
    let new_text = new.to_str().expect("it is UTF-8");
    assert!(
        daemon
            .command(&["init", "--config", new_text], "")
            .status
            .success()
    );
    let mode = fs::metadata(&new)
        .expect("it was made")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.finish();
}

fn names_lead_nowhere_outside_mail_root(kind: Kind) {
    let root = MailRoot::new();
    let daemon = root.start(kind);
    daemon.add_user(ALICE, PASSWORD);
    deliver(&daemon, "first");
    daemon.wait_for_mail((ALICE, PASSWORD), "first");
    let before = paths(root.folder());
    let long = "x".repeat(1_000);
    let names = [
        "..",
        "../../x",
        "/etc/x",
        "a/../../x",
        "..\\x",
        "x\\\"/../y",
        "%2E%2E",
        &long,
    ];

    // Mailboxes, by IMAP and HTTP: they are no paths at all.
    let mut imap = daemon.imap(ALICE, PASSWORD);
    let mut http = HttpClient::new(daemon.door(Port::Https));
    http.log_in(ALICE, PASSWORD);
    for name in names.into_iter().chain(["a\0b"]) {
        for command in ["CREATE", "SELECT", "DELETE"] {
            let line = format!("{command} {{{}+}}\r\n{name}", name.len());
            // One that has a NUL may end the connection.
            if imap.imap(&line).is_err() {
                imap = daemon.imap(ALICE, PASSWORD);
            }
        }
        let body = json!({ "displayName": name });
        let created = http.post("/v1.0/me/mailFolders", &body);
        assert!(created.status < 500, "{name:?}: {}", created.text());
    }
    let changed: Vec<_> = differences(&before, &paths(root.folder()));
    assert!(changed.iter().all(|path| is_passing(path)), "{changed:?}");

    let count = add_accounts(&daemon, &names);
    expect_accounts(root.folder(), &before, count);

    // Domains of the configuration.
    for name in ["..", "../x", "/etc", "a/b", "a\0b", "x\\y", "", &long] {
        let config = json!({ "domains": [name] }).to_string();
        let loaded = rmail_server::config::Config::load(&config, root.folder());
        assert!(loaded.is_err(), "{name:?} is no domain");
    }
    daemon.finish();
}

/// Makes accounts of these names, as far as they are taken, and brings them mail: so many.
fn add_accounts(daemon: &Daemon, names: &[&str]) -> usize {
    let quoted = |name: &&str| {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"@example.com")
    };
    let mut addresses: Vec<String> = names.iter().map(quoted).collect();
    addresses.extend(["..@example.com", "x@..", "x@../x", "x@/etc"].map(str::to_owned));
    let input = format!("{PASSWORD}\n");
    let is_taken = |address: &String| {
        let added = daemon.command(&["user", "add", address, "--password-stdin"], &input);
        added.status.success()
    };
    addresses.retain(is_taken);
    let mut client = daemon.door(Port::Smtp).connect().expect("it listens");
    client.read_reply().expect("it greets");
    client.smtp("EHLO client.example.net").expect("it answers");
    for address in &addresses {
        let sent = client.deliver("bob@example.net", &[address], "Subject: x\r\n\r\nx\r\n");
        sent.unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    addresses.len()
}

/// Waits for so many accounts' folders: each is one name below its domain's, and nothing else is
/// new.
fn expect_accounts(root: &Path, before: &[PathBuf], count: usize) {
    assert!(count > 4, "{count} names are taken");
    let until = Instant::now() + PATIENCE;
    loop {
        let mut accounts = BTreeSet::new();
        let new = differences(before, &paths(root));
        for path in new.iter().filter(|path| !is_passing(path)) {
            let rest = path.strip_prefix("mail/accounts/example.com");
            let rest = rest.unwrap_or_else(|_| panic!("{} is no account's", path.display()));
            let mut names = rest.iter().map(|name| name.to_string_lossy());
            let account = names.next().expect("the domain's folder is not new");
            assert!(
                !account.starts_with('.') && !account.contains('\\'),
                "{account}"
            );
            let inside = names.next();
            let known = [None, Some("mail.db"), Some("messages")];
            assert!(known.contains(&inside.as_deref()), "{}", path.display());
            accounts.insert(account.into_owned());
        }
        if accounts.len() == count {
            return;
        }
        assert!(Instant::now() < until, "{count} accounts in {accounts:?}");
    }
}

/// What comes and goes by itself: logs of SQLite's, processes, mail on its way.
fn is_passing(path: &Path) -> bool {
    let text = path.display().to_string();
    let is_log = ["-wal", "-shm", "-journal"]
        .iter()
        .any(|end| text.ends_with(end));
    is_log || path.starts_with("mail/run") || path.starts_with("mail/spool")
}

fn unit_is_as_systemd_wants_it(kind: Kind) {
    let root = MailRoot::new();
    let config = write_config(&root, &json!({ "user": "daemon" }));
    fs::create_dir(root.folder().join("mail")).expect("the folder can be written");
    let mut command = Command::new(kind.path());
    command
        .arg("--config")
        .arg(&config)
        .args(["install", "--print"]);
    let output = command.output().expect("the binary was built");
    assert!(output.status.success(), "{output:?}");
    let unit = String::from_utf8(output.stdout).expect("it is UTF-8");
    let start = format!(
        "ExecStart={} --config {} serve",
        kind.path().display(),
        config.display()
    );
    assert!(unit.lines().any(|line| line == start), "{unit}");
    let verify = || Command::new("systemd-analyze");
    if !is_installed("systemd-analyze", verify().arg("--version")) {
        return;
    }
    let path = root.folder().join(format!("{}.service", kind.program()));
    fs::write(&path, unit).expect("the folder can be written");
    let output = verify().args(["verify", "--man=no"]).arg(&path).output();
    let output = output.expect("it is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    // What it says of other units of the machine is not ours.
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains(kind.program()))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

fn deliver(daemon: &Daemon, subject: &str) {
    let mut client = daemon.door(Port::Smtp).connect().expect("it listens");
    client.read_reply().expect("it greets");
    client
        .smtp("EHLO client.example.net")
        .expect("the connection lasts");
    let message = format!("Subject: {subject}\r\n\r\nHello.\r\n");
    let delivered = client.deliver("bob@example.net", &[ALICE], &message);
    delivered.expect("the message is taken");
}

fn reload(daemon: &Daemon) -> String {
    let output = daemon.command(&["reload"], "");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn expect_greeting(daemon: &Daemon) {
    expect_greeting_at(&daemon.door(Port::Smtp));
}

fn expect_greeting_at(door: &Door) {
    let mut client = door.connect().expect("it listens");
    assert_eq!(client.read_reply().expect("it greets").0, 220);
}

/// A configuration file for a daemon that does not get as far as its ports.
fn write_config(root: &MailRoot, changes: &Value) -> PathBuf {
    let setup = Setup {
        config: changes.clone(),
        ..Setup::default()
    };
    // No listener is opened.
    let config = setup.config_json(Path::new("./mail"), [0; 7]);
    let path = root.folder().join("config.json");
    fs::write(&path, config.to_string()).expect("the folder can be written");
    path
}

/// Runs a daemon that does not start; what it says.
fn fail(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("the binary was built");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// The folder and all that is in it; what goes meanwhile is left out.
fn below(folder: &Path) -> Vec<(PathBuf, fs::Metadata)> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path()));
        }
        found.push((path, metadata));
    }
    found
}

/// The paths below a folder, relative to it.
fn paths(folder: &Path) -> Vec<PathBuf> {
    let below = below(folder).into_iter();
    let relative = |(path, _): (PathBuf, _)| path.strip_prefix(folder).map(Path::to_owned);
    below.filter_map(|entry| relative(entry).ok()).collect()
}

/// Those that are in one alone.
fn differences(before: &[PathBuf], after: &[PathBuf]) -> Vec<PathBuf> {
    let gone = before.iter().filter(|path| !after.contains(path));
    let new = after.iter().filter(|path| !before.contains(path));
    gone.chain(new).cloned().collect()
}
