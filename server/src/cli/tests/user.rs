//! What the commands on accounts promise.

use std::{fs, os::unix::net::UnixDatagram, path::Path, time::Duration};

use rmail_proto::Secret;
use rmail_store::StoreError;
use tempfile::TempDir;

use super::{super::*, Transcript};
use crate::{credentials, outside::hints};

const PASSWORD: &str = "correct horse\n";

/// A store in a folder of its own.
struct Disk {
    folder: TempDir,
    store: Arc<dyn Store>,
}

impl Disk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = open_store(&Config::default_in(folder.path())).unwrap();
        Self { folder, store }
    }
}

/// Runs `rmail user ...` on a store.
fn user(disk: &Disk, line: &str, input: &str) -> Transcript {
    let store = &*disk.store;
    let arguments = super::parse(&format!("rmail user {line}")).unwrap();
    let Some(Command::User(command)) = arguments.command else {
        panic!("{line} is no command on accounts");
    };
    let config = Config::default_in(Path::new("/x"));
    let directory = Directory::new(store, &config);
    Transcript::of(input, |console| {
        super::super::user::run(console, &directory, &command)
    })
}

fn knows(disk: &Disk, address: &str, password: &str) -> bool {
    let accounts = disk.store.accounts().unwrap();
    let account = accounts
        .iter()
        .find(|account| account.address.to_string() == address);
    credentials::verify(
        Some(&account.unwrap().credential),
        &Secret::new(password.to_owned()),
    )
}

#[test]
fn added_account_is_listed_and_has_its_password() {
    let disk = Disk::new();
    let added = user(
        &disk,
        "add alice@Example.com --admin --password-stdin",
        PASSWORD,
    );
    assert_eq!(
        added.output,
        "alice@example.com is added as an administrator\n"
    );
    assert!(added.notes.is_empty() && added.succeeded());
    assert!(knows(&disk, "alice@example.com", "correct horse"));
    let listed = user(&disk, "list", "");
    assert!(
        listed.output.starts_with("alice@example.com  admin "),
        "{}",
        listed.output
    );
    let listed = user(&disk, "list --json", "");
    let listed: serde_json::Value = serde_json::from_str(&listed.output).unwrap();
    assert_eq!(listed[0]["address"], "alice@example.com");
    assert_eq!(listed[0]["admin"], true);
    assert_eq!(listed[0]["id"].as_str().unwrap().len(), 36);
}

#[test]
fn any_password_is_taken_that_is_not_empty_and_short_ones_are_warned_of() {
    let disk = Disk::new();
    let empty = user(&disk, "add alice@example.com --password-stdin", "\n");
    assert!(empty.failure().contains("empty"));
    let short = user(&disk, "add alice@example.com --password-stdin", "x");
    assert!(short.succeeded() && short.notes.contains("shorter than 8"));
    assert!(knows(&disk, "alice@example.com", "x"));
    let spaced = user(
        &disk,
        "passwd alice@example.com --password-stdin",
        " two words \r\n",
    );
    assert!(spaced.succeeded());
    assert!(knows(&disk, "alice@example.com", " two words "));
}

#[test]
fn addresses_that_cannot_be_are_refused_with_the_reason() {
    let disk = Disk::new();
    let refused = |address: &str| {
        let line = format!("add {address} --password-stdin");
        user(&disk, &line, PASSWORD).failure().to_owned()
    };
    assert!(refused("alice").contains("is no address"));
    assert!(refused("alice@elsewhere.org").contains("only example.com"));
    assert!(refused("alice+tag@example.com").contains("reaches alice@example.com"));
    user(&disk, "add alice@example.com --password-stdin", PASSWORD);
    assert!(refused("alice@example.com").contains("already"));
    assert!(refused("ALICE@example.com").contains("user passwd"));
}

#[test]
fn new_password_ends_the_old_one_and_raises_the_generation() {
    let disk = Disk::new();
    user(&disk, "add alice@example.com --password-stdin", PASSWORD);
    let changed = user(
        &disk,
        "passwd Alice@example.com --password-stdin",
        "battery staple",
    );
    assert_eq!(changed.output, "alice@example.com has a new password\n");
    assert!(knows(&disk, "alice@example.com", "battery staple"));
    assert!(!knows(&disk, "alice@example.com", "correct horse"));
    assert_eq!(disk.store.accounts().unwrap()[0].generation, 2);
    let unknown = user(&disk, "passwd bob@example.com --password-stdin", PASSWORD);
    assert!(
        unknown
            .failure()
            .contains("there is no account bob@example.com")
    );
}

#[test]
fn account_is_deleted_only_when_its_address_is_typed() {
    let disk = Disk::new();
    user(&disk, "add alice@example.com --password-stdin", PASSWORD);
    let kept = user(&disk, "delete alice@example.com", "yes\n");
    assert_eq!(kept.failure(), "nothing was deleted");
    assert!(kept.notes.contains("with all its mail"));
    assert!(user(&disk, "delete alice@example.com", "alice@example.com\n").succeeded());
    assert!(
        user(&disk, "delete alice@example.com --yes", "")
            .failure()
            .contains("no account")
    );
    user(&disk, "add alice@example.com --password-stdin", PASSWORD);
    assert!(user(&disk, "delete alice@example.com --yes", "").succeeded());
}

#[test]
fn import_adds_what_is_new_and_skips_what_is_there() {
    let disk = Disk::new();
    user(&disk, "add alice@example.com --password-stdin", PASSWORD);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("accounts");
    let lines = "# people\n\nalice@example.com other\nbob@example.com  two words#\r\n\
                 \tcarol@example.com\tpass word\n";
    fs::write(&file, lines).unwrap();
    let imported = user(&disk, &format!("import {}", file.display()), "");
    assert_eq!(
        imported.output,
        "alice@example.com was there already and is as it was\naccounts added: 2\n"
    );
    assert!(
        imported.notes.contains("characters: 1"),
        "{}",
        imported.notes
    );
    assert!(knows(&disk, "alice@example.com", "correct horse"));
    assert!(knows(&disk, "bob@example.com", "two words#"));
    assert!(knows(&disk, "carol@example.com", "pass word"));
    let again = user(&disk, "import - --json", lines);
    let again: serde_json::Value = serde_json::from_str(&again.output).unwrap();
    assert_eq!(
        (&again["added"], again["skipped"].as_array().unwrap().len()),
        (&0.into(), 3)
    );
}

#[test]
fn import_with_faulty_lines_lists_them_and_adds_nothing() {
    let disk = Disk::new();
    let lines = "good@example.com password\nnobody\nx@elsewhere.org pw\nnone@example.com\n\
                 GOOD@example.com again\n";
    let failed = user(&disk, "import -", lines);
    let failure = failed.failure();
    for part in [
        "line 2: \"nobody\"",
        "line 3: elsewhere",
        "line 4: there is no password",
    ] {
        assert!(failure.contains(part), "{failure}");
    }
    assert!(
        failure.contains("line 5: GOOD@example.com is in line 1 already"),
        "{failure}"
    );
    assert!(disk.store.accounts().unwrap().is_empty());
}

#[test]
fn busy_store_is_waited_for() {
    let mut tries = 0;
    let outcome = directory::while_busy(|| {
        tries += 1;
        if tries < 3 {
            Err(StoreError::Busy)
        } else {
            Ok(tries)
        }
    });
    assert_eq!(outcome, Ok(3));
    let outcome = directory::while_busy(|| Err::<(), _>(StoreError::Full));
    assert_eq!(outcome, Err(StoreError::Full));
}

#[test]
fn servers_that_run_are_told_of_a_change() {
    let disk = Disk::new();
    let server = UnixDatagram::bind(disk.store.hint_socket()).unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let store = open_store(&Config::default_in(disk.folder.path())).unwrap();
    let command_line = Disk {
        store,
        folder: TempDir::new().unwrap(),
    };
    user(
        &command_line,
        "add alice@example.com --password-stdin",
        PASSWORD,
    );
    let mut buffer = [0; 64];
    let length = server.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], hints::DIRECTORY);
    assert!(knows(&disk, "alice@example.com", "correct horse"));
}

#[test]
fn accounts_are_found_again_in_the_next_process() {
    let Disk { folder, store } = Disk::new();
    drop(store);
    let config = Config::default_in(folder.path());
    let mut disk = Disk {
        folder,
        store: open_store(&config).unwrap(),
    };
    for (line, input) in [
        ("add alice@example.com --admin --password-stdin", PASSWORD),
        (
            "import -",
            "bob@example.com password1\ncarol@example.com password2\n",
        ),
        ("passwd bob@example.com --password-stdin", "another one"),
        ("delete carol@example.com --yes", ""),
    ] {
        disk.store = open_store(&config).unwrap();
        let transcript = user(&disk, line, input);
        assert!(transcript.succeeded(), "{line}");
    }
    disk.store = open_store(&config).unwrap();
    let listed = user(&disk, "list", "").output;
    let addresses: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert_eq!(addresses, ["alice@example.com", "bob@example.com"]);
    assert!(knows(&disk, "alice@example.com", "correct horse"));
    assert!(knows(&disk, "bob@example.com", "another one"));
}

#[test]
fn what_an_account_may_do_and_keep_is_changed_and_its_tokens_end_with_it() {
    let disk = Disk::new();
    user(&disk, "add alice@example.com --password-stdin", PASSWORD);
    let account = || disk.store.accounts().unwrap().remove(0);
    let before = account().generation;
    let set = user(
        &disk,
        "set alice@example.com --quota 10g --name Alice --admin yes",
        "",
    );
    assert!(set.succeeded());
    let after = account();
    assert_eq!(after.quota_bytes, 10 << 30);
    assert_eq!(
        (after.display_name.as_str(), after.is_admin),
        ("Alice", true)
    );
    assert_eq!(after.generation, before);
    user(&disk, "set alice@example.com --enabled no --quota none", "");
    let after = account();
    assert_eq!((after.is_enabled, after.quota_bytes), (false, 0));
    assert!(after.generation > before, "tokens are void");
    for line in [
        "rmail user set alice@example.com --quota 10x",
        "rmail user set alice@example.com --quota 99999999999T",
        "rmail user set alice@example.com --enabled perhaps",
    ] {
        assert!(super::parse(line).is_err(), "{line}");
    }
}
