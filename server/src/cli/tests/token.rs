//! What the commands on tokens promise.

use rmail_store::RecordKind;
use tempfile::TempDir;

use super::{super::*, Transcript};
use crate::outside::clock;

/// Runs a command on the configuration in a folder.
fn run(folder: &TempDir, line: &str, input: &str) -> Transcript {
    let path = folder.path().join("config.json");
    let line = format!("rmail --config {} {line}", path.display());
    let arguments = super::parse(&line).unwrap();
    Transcript::of(input, |console| {
        execute(console, "rmail", arguments).map(drop)
    })
}

fn folder_with_alice() -> TempDir {
    let folder = TempDir::new().unwrap();
    assert!(run(&folder, "init", "").succeeded());
    let added = run(
        &folder,
        "user add alice@example.com --password-stdin",
        "correct horse\n",
    );
    assert!(added.succeeded());
    folder
}

#[test]
fn issued_tokens_are_good_until_they_are_revoked() {
    let folder = folder_with_alice();
    let first = run(&folder, "token issue alice@example.com", "");
    let second = run(&folder, "token issue alice@example.com --json", "");
    assert!(first.succeeded() && second.output.contains("\"expires_at\""));
    assert!(!second.output.contains(first.output.trim()));
    let revoked = run(&folder, "token revoke", &first.output);
    assert!(revoked.succeeded());
    let config = Config::default_in(folder.path());
    let store = open_store(&config).unwrap();
    let records = store.records(clock::unix_now(), RecordKind::Revocation, None);
    assert_eq!(records.unwrap().len(), 1);
}

#[test]
fn what_is_no_token_is_told_and_all_tokens_end_at_once() {
    let folder = folder_with_alice();
    let refused = run(&folder, "token revoke", "nonsense\n");
    assert!(refused.failure().contains("no token of this server"));
    let config = Config::default_in(folder.path());
    let generation = || {
        let store = open_store(&config).unwrap();
        store.accounts().unwrap()[0].generation
    };
    let before = generation();
    assert!(run(&folder, "token revoke-all alice@example.com", "").succeeded());
    assert!(generation() > before);
    let unknown = run(&folder, "token issue bob@example.com", "");
    assert!(unknown.failure().contains("user list"));
}

#[test]
fn a_disabled_account_gets_no_token() {
    let folder = folder_with_alice();
    assert!(run(&folder, "user set alice@example.com --enabled no", "").succeeded());
    let refused = run(&folder, "token issue alice@example.com", "");
    assert!(refused.failure().contains("--enabled yes"));
}
