//! The rules of the house that no compiler knows, read off the manifests and the tree.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The packages whose code runs in the daemons.
const CRATES: [&str; 5] = [
    "proto",
    "store",
    "server",
    "runtime-tokio",
    "runtime-async-std",
];
const RUNTIMES: [&str; 2] = ["runtime-tokio", "runtime-async-std"];

const FILE_LINES_MAX: usize = 900;
const LINE_COLUMNS_MAX: usize = 100;
const RUNTIME_LINES_MAX: usize = 1_000;

/// Where server code may open sockets of its own.
const SOCKETS_ALLOWED: [&str; 2] = ["server/src/outside/", "server/src/cli/quickstart.rs"];

/// What of `std::net` is data.
const NET_DATA: [&str; 6] = [
    "IpAddr",
    "Ipv4Addr",
    "Ipv6Addr",
    "SocketAddr",
    "SocketAddrV4",
    "SocketAddrV6",
];

/// A text file of the tree.
struct File {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is in a crate's `src` and no module of tests.
    fn is_production(&self) -> bool {
        let mut parts = self.path.split('/');
        let is_crate = parts.next().is_some_and(|name| CRATES.contains(&name));
        is_crate
            && parts.next() == Some("src")
            && self.is_rust()
            && parts.all(|part| part != "tests" && part != "tests.rs")
    }

    /// The lines that are no comments, with their numbers, without what is for tests alone.
    fn code(&self) -> Vec<(usize, &str)> {
        let mut code = Vec::new();
        // The indentation of a test item that is being left out, once it is known.
        let mut skipped: Option<&str> = None;
        for (index, line) in self.text.lines().enumerate() {
            let content = line.trim_start();
            let indentation = &line[..line.len() - content.len()];
            match skipped {
                None if content == "#[cfg(test)]" => skipped = Some(indentation),
                None if content.starts_with("//") => {}
                None => code.push((index + 1, line)),
                Some(outer) if indentation == outer => {
                    if content.ends_with(';') || content.starts_with('}') {
                        skipped = None;
                    }
                }
                Some(_) => {}
            }
        }
        code
    }
}

fn root() -> &'static Path {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.expect("this crate is in a workspace")
}

/// Every text file that belongs to the tree, sorted.
fn files() -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_ours = !["target", ".git", "mailstore", "proptest-regressions"]
                .contains(&name.as_ref())
                && !name.starts_with("try-");
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if path.is_file() && is_ours {
                let Ok(text) = fs::read_to_string(&path) else {
                    continue;
                };
                let path = relative(&path);
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(root()).unwrap();
    path.to_str().unwrap().replace('\\', "/")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with what to do, and every place where it is to be done.
#[track_caller]
fn must_be_empty(found: &[String], remedy: &str) {
    assert!(found.is_empty(), "{remedy}\n  {}", found.join("\n  "));
}

/// The lines of production code in which `is_wrong`.
fn wrong_lines(is_wrong: impl Fn(&File, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is_production()) {
        for (number, line) in file.code() {
            if is_wrong(file, line) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    found
}

/// The words of a text: what lies between characters that no identifier has.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// What each package of the workspace depends on, by kind ("normal" or "dev"), from cargo itself.
fn dependencies() -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let mut packages = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = dependency["kind"].as_str().unwrap_or("normal").to_owned();
            let name = dependency["name"].as_str().unwrap().to_owned();
            kinds.entry(kind).or_default().insert(name);
        }
        packages.insert(package["name"].as_str().unwrap().to_owned(), kinds);
    }
    packages
}

#[test]
fn imports_go_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("rmail-proto", &[][..]),
        ("rmail-store", &["rmail-proto"]),
        ("rmail-server", &["rmail-proto", "rmail-store"]),
        ("rmail-runtime-tokio", &["rmail-server"]),
        ("rmail-runtime-async-std", &["rmail-server"]),
    ]);
    let packages = dependencies();
    let mut found = Vec::new();
    for (package, allowed) in allowed {
        for (kind, names) in &packages[package] {
            let ours = names.iter().filter(|name| name.starts_with("rmail-"));
            let wrong = ours.filter(|name| !allowed.contains(&name.as_str()));
            found.extend(wrong.map(|name| format!("{package} ({kind}): {name}")));
        }
    }
    let remedy = "proto ← store ← server ← runtime-*: move the code to the crate that may know it";
    must_be_empty(&found, remedy);
}

#[test]
fn only_a_runtime_knows_its_executor() {
    let executors = [
        "tokio",
        "async-std",
        "smol",
        "async-io",
        "mio",
        "futures-lite",
    ];
    let packages = dependencies();
    let mut found = Vec::new();
    for package in ["rmail-proto", "rmail-store", "rmail-server"] {
        let names = packages[package].values().flatten();
        let wrong = names.filter(|name| executors.contains(&name.as_str()));
        found.extend(wrong.map(|name| format!("{package}: {name}")));
    }
    for (runtime, other) in [
        ("rmail-runtime-tokio", "async-std"),
        ("rmail-runtime-async-std", "tokio"),
    ] {
        if packages[runtime]
            .values()
            .flatten()
            .any(|name| name == other)
        {
            found.push(format!("{runtime}: {other}"));
        }
    }
    must_be_empty(
        &found,
        "the core is sans-IO: wait in a runtime, and only in its own executor",
    );
}

#[test]
fn core_of_the_protocols_has_no_std() {
    assert!(
        read("proto/src/lib.rs").contains("\n#![no_std]\n"),
        "proto/src/lib.rs must say #![no_std]"
    );
    let found = wrong_lines(|file, line| {
        file.path.starts_with("proto/") && (line.contains("std::") || line.contains("crate std"))
    });
    must_be_empty(&found, "proto is no_std: use core, alloc or an argument");
}

#[test]
fn store_takes_only_vocabulary_from_the_protocols() {
    let machines = ["Server", "Connection", "Action", "Event", "View"];
    let found = wrong_lines(|file, line| {
        let names = line.contains("rmail_proto::") && words(line).any(|w| machines.contains(&w));
        file.path.starts_with("store/") && names
    });
    must_be_empty(
        &found,
        "store knows no machine: take addresses, flags, ids and time alone",
    );
}

#[test]
fn manifests_take_the_lints_and_versions_of_the_workspace() {
    let mut found = Vec::new();
    for name in CRATES.into_iter().chain(["tests", "bench"]) {
        let path = format!("{name}/Cargo.toml");
        let manifest = read(&path);
        if !manifest.contains("\n[lints]\nworkspace = true\n") {
            found.push(format!("{path}: [lints] workspace = true is missing"));
        }
        for line in manifest
            .lines()
            .filter(|line| line.contains("version = \""))
        {
            found.push(format!(
                "{path}: {line}: versions stand in the workspace's Cargo.toml"
            ));
        }
    }
    if !read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n") {
        found.push("Cargo.toml: unsafe_code = \"forbid\" is missing".to_owned());
    }
    must_be_empty(&found, "every crate is under the same rules");
}

#[test]
fn every_dependency_is_used_and_accounted_for() {
    let architecture = read("ARCHITECTURE.md");
    let files = files();
    let mut found = Vec::new();
    for (package, kinds) in dependencies() {
        let folder = package
            .strip_prefix("rmail-")
            .expect("our packages are so named");
        for name in kinds.into_values().flatten() {
            if !name.starts_with("rmail-") && !architecture.contains(&format!("`{name}`")) {
                found.push(format!(
                    "{package}: ARCHITECTURE.md does not say what {name} is for"
                ));
            }
            let identifier = name.replace('-', "_");
            let mut own = files.iter().filter(|file| {
                file.is_rust() && file.path.split('/').next().is_some_and(|top| top == folder)
            });
            if !own.any(|file| words(&file.text).any(|word| word == identifier)) {
                found.push(format!("{package}: nothing uses {name}"));
            }
        }
    }
    must_be_empty(
        &found,
        "a dependency is used, and its reason stands in ARCHITECTURE.md",
    );
}

#[test]
fn runtimes_have_the_same_files() {
    let list = |runtime: &str| -> BTreeSet<String> {
        let prefix = format!("{runtime}/");
        let files = files();
        let paths = files
            .iter()
            .filter_map(|file| file.path.strip_prefix(&prefix));
        paths.map(str::to_owned).collect()
    };
    let [tokio, async_std] = RUNTIMES.map(list);
    let differing: Vec<String> = tokio.symmetric_difference(&async_std).cloned().collect();
    must_be_empty(
        &differing,
        "what one runtime has in a file, the other has in a file so named",
    );
}

#[test]
fn runtimes_are_small() {
    for runtime in RUNTIMES {
        let files = files();
        let own = files
            .iter()
            .filter(|file| file.path.starts_with(runtime) && file.is_rust());
        let lines: usize = own.map(|file| file.text.lines().count()).sum();
        assert!(
            lines < RUNTIME_LINES_MAX,
            "{runtime} has {lines} lines: what both runtimes do belongs into server"
        );
    }
}

#[test]
fn runtimes_know_nothing_of_mail() {
    let mail = [
        "smtp",
        "imap",
        "mailbox",
        "recipient",
        "rcpt",
        "fetch",
        "jwt",
    ];
    let mut found = Vec::new();
    for file in files() {
        if !RUNTIMES
            .iter()
            .any(|runtime| file.path.starts_with(runtime))
        {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            // An atomic's method is no IMAP command.
            let line = line
                .to_lowercase()
                .replace("fetch_add", "")
                .replace("fetch_sub", "");
            if mail.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    must_be_empty(
        &found,
        "a runtime moves bytes: what it knows of mail belongs into server",
    );
}

#[test]
fn sockets_are_opened_by_runtimes_and_outside_alone() {
    let found = wrong_lines(|file, line| {
        let is_core = !RUNTIMES
            .iter()
            .any(|runtime| file.path.starts_with(runtime));
        let is_allowed = SOCKETS_ALLOWED
            .iter()
            .any(|path| file.path.starts_with(path));
        let sockets = [
            "TcpListener",
            "TcpStream",
            "UdpSocket",
            "UnixDatagram",
            "UnixListener",
            "UnixStream",
            "ToSocketAddrs",
        ];
        is_core && !is_allowed && words(line).any(|word| sockets.contains(&word))
    });
    must_be_empty(
        &found,
        "ask the node for it (NodeAction), or put it into server/src/outside/",
    );
    // What is imported from std::net on one line is data, too.
    let found = wrong_lines(|file, line| {
        let is_core = !RUNTIMES
            .iter()
            .any(|runtime| file.path.starts_with(runtime));
        let is_allowed = SOCKETS_ALLOWED
            .iter()
            .any(|path| file.path.starts_with(path));
        let Some((_, names)) = line.split_once("net::") else {
            return false;
        };
        let mut types = words(names).filter(|word| word.starts_with(char::is_uppercase));
        is_core && !is_allowed && !types.next().is_none_or(|name| NET_DATA.contains(&name))
    });
    must_be_empty(
        &found,
        "of std::net, addresses are data; all else belongs to the runtimes",
    );
}

#[test]
fn simulated_time_is_the_only_time_of_the_simulator() {
    let mut found = Vec::new();
    let files = files();
    for file in files
        .iter()
        .filter(|file| file.path.starts_with("tests/src/host"))
    {
        for (number, line) in file.code() {
            let clocks = [
                "Instant::now(",
                "SystemTime::now(",
                "thread::sleep",
                "thread::spawn",
            ];
            if clocks.iter().any(|clock| line.contains(clock)) {
                found.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    must_be_empty(
        &found,
        "the host runs in one thread on virtual time: ask it for Now",
    );
}

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            found.push(format!("{}: {lines} lines", file.path));
        }
    }
    must_be_empty(&found, "one noun a file: split it");
}

#[test]
fn lines_are_short() {
    let mut found = Vec::new();
    for file in files() {
        if !file.is_rust() && !file.path.ends_with(".sql") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            // What a server says in one line stands in one line of a transcript.
            let is_transcript = ["S: ", "C: ", "\"S: ", "\"C: "]
                .iter()
                .any(|start| line.trim_start().starts_with(start));
            if line.chars().count() > LINE_COLUMNS_MAX && !is_transcript {
                found.push(format!("{}:{}", file.path, index + 1));
            }
        }
    }
    must_be_empty(
        &found,
        "100 columns at most: break the line (rustfmt leaves long texts alone)",
    );
}

#[test]
fn nothing_is_left_undone() {
    // Put together here, so that this file keeps the rule.
    let marks = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("dbg", "!("),
    ];
    let mut found = Vec::new();
    for file in files() {
        if file.path == "Cargo.lock" {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    must_be_empty(
        &found,
        "do it, or say in ARCHITECTURE.md what is not there yet",
    );
}

#[test]
fn no_lint_is_silenced_without_need() {
    let allowance = concat!("#[", "allow(");
    let whole = concat!("#![", "allow(");
    let unused = concat!("dead", "_code");
    let found = wrong_lines(|_, line| {
        line.contains(allowance) || line.contains(whole) || line.contains(unused)
    });
    must_be_empty(
        &found,
        "use #[expect(lint, reason = \"…\")], which says when it has become needless",
    );
}

#[test]
fn production_code_says_why_it_can_not_fail() {
    let found = wrong_lines(|_, line| line.contains(concat!(".unwr", "ap()")));
    must_be_empty(
        &found,
        "write .expect(\"why it holds\"), or handle the error",
    );
}

#[test]
fn tree_knows_no_machine() {
    // Put together here, so that this file keeps the rule.
    let places = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("/tmp/", "wt"),
    ];
    let mut found = Vec::new();
    for file in files() {
        for (index, line) in file.text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                found.push(format!("{}:{}: {}", file.path, index + 1, line.trim()));
            }
        }
    }
    must_be_empty(
        &found,
        "a path of one machine means nothing on another: make it relative",
    );
}

/// The paths of all keys of the example, each with its default as JSON.
fn keys() -> BTreeMap<String, String> {
    fn collect(value: &Value, path: &str, keys: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    collect(value, &format!("{path}.{key}"), keys);
                }
            }
            value => {
                keys.insert(path.trim_start_matches('.').to_owned(), value.to_string());
            }
        }
    }
    let mut keys = BTreeMap::new();
    let example = serde_json::from_str(&read("config.example.json")).unwrap();
    collect(&example, "", &mut keys);
    keys
}

#[test]
fn every_key_is_documented_with_its_default() {
    let mut documented = BTreeMap::new();
    for line in read("docs/configuration.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", key, default, ..] = cells.as_slice()
            && key.starts_with('`')
        {
            let plain = |cell: &str| cell.trim_matches('`').replace(' ', "");
            documented.insert(plain(key), plain(default));
        }
    }
    let mut found = Vec::new();
    for (key, default) in keys() {
        match documented.remove(&key) {
            None => found.push(format!("{key} has no row")),
            Some(said) if said != default => {
                found.push(format!("{key}: its default is {default}, not {said}"));
            }
            Some(_) => {}
        }
    }
    found.extend(
        documented
            .keys()
            .map(|key| format!("{key}: there is no such key")),
    );
    must_be_empty(
        &found,
        "docs/configuration.md has one row for each key of config.example.json",
    );
}

#[test]
fn tests_that_documents_name_are_there() {
    let files = files();
    let is_test = |name: &str| {
        // A macro that makes a test for each daemon names it as `name: what_it_calls`.
        let definitions = [format!("fn {name}("), format!(" {name}: ")];
        files
            .iter()
            .any(|file| file.is_rust() && definitions.iter().any(|text| file.text.contains(text)))
    };
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for name in file.text.split('`').skip(1).step_by(2) {
            // The names of tests are sentences.
            let is_sentence = name.matches('_').count() >= 3
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if is_sentence && !is_test(name) {
                found.push(format!("{}: {name}", file.path));
            }
        }
    }
    must_be_empty(
        &found,
        "a document names a test that is gone: name the one that took its place",
    );
}

#[test]
fn documents_link_to_files_that_are_there() {
    let mut found = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = root().join(&file.path);
        let folder = folder.parent().unwrap();
        for link in file.text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                found.push(format!("{}: {target}", file.path));
            }
        }
    }
    must_be_empty(&found, "a document links to a file that is gone");
}

#[test]
fn ci_runs_the_command_of_the_readme() {
    let command = "cargo test --workspace";
    let is_said = |path: &str| read(path).lines().any(|line| line.trim() == command);
    assert!(
        is_said("README.md"),
        "README.md must have a line \"{command}\""
    );
    assert!(is_said(".ci/run"), ".ci/run must have a line \"{command}\"");
}
