//! What `alias` promises.

use std::{os::unix::net::UnixDatagram, time::Duration};

use rmail_store::{DirectoryWrite, NewAccount};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{super::*, Transcript};
use crate::outside::hints;

/// A store with `alice@example.com` in a folder of its own.
struct Disk {
    folder: TempDir,
    store: Arc<dyn Store>,
    config: Config,
    answer: bool,
}

impl Disk {
    fn new() -> Self {
        Self::with("{}")
    }

    fn with(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let (config, _) = Config::load(config, folder.path()).unwrap();
        let disk = Self {
            store: open_store(&config).unwrap(),
            folder,
            config,
            answer: true,
        };
        let account = NewAccount {
            address: rmail_proto::Address::parse("alice@example.com").unwrap(),
            guid: 1,
            credential: "x".to_owned(),
            is_admin: false,
        };
        let made = DirectoryWrite::CreateAccount(account);
        let now = rmail_proto::UnixTime(1_800_000_000);
        disk.store.write_directory(now, vec![made]).unwrap()[0]
            .as_ref()
            .unwrap();
        disk
    }

    /// Runs `rmail alias ...`.
    fn alias(&mut self, line: &str) -> Transcript {
        let arguments = super::parse(&format!("rmail alias {line}")).unwrap();
        let Some(Command::Alias(command)) = arguments.command else {
            panic!("{line} is no command on aliases");
        };
        let directory = Directory::new(&*self.store, &self.config);
        Transcript::of("", |console| {
            self.answer = super::super::alias::run(console, &directory, &command)?;
            Ok(())
        })
    }

    fn json(&mut self, line: &str) -> Value {
        serde_json::from_str(&self.alias(line).output).unwrap()
    }
}

#[test]
fn an_alias_is_made_listed_changed_and_removed() {
    let mut disk = Disk::new();
    let added = disk.alias("add Info@example.com alice@example.com bob@example.net");
    assert!(
        added.succeeded() && added.notes.is_empty(),
        "{}",
        added.notes
    );
    assert_eq!(
        added.output,
        "info@example.com leads to alice@example.com, bob@example.net\n"
    );
    disk.alias("add *@example.com info@example.com");
    assert_eq!(
        disk.alias("list").output,
        "*@example.com     info@example.com\n\
         info@example.com  alice@example.com, bob@example.net\n"
    );
    let replaced = disk.alias("add --replace info@example.com alice@example.com --json");
    let expected = json!({
        "address": "info@example.com", "targets": ["alice@example.com"], "enabled": true
    });
    assert_eq!(
        serde_json::from_str::<Value>(&replaced.output).unwrap(),
        expected
    );
    assert_eq!(
        disk.json("list --target alice@example.com --json"),
        json!([expected])
    );
    assert_eq!(disk.json("list --domain example.net --json"), json!([]));
    assert_eq!(
        disk.alias("disable info@example.com").output,
        "info@example.com takes no mail\n"
    );
    assert!(
        disk.alias("list")
            .output
            .ends_with("alice@example.com  (disabled)\n")
    );
    assert_eq!(
        disk.json("list --target alice@example.com --json")[0]["enabled"],
        false
    );
    disk.alias("enable info@example.com");
    let removed = disk.alias("remove *@example.com info@example.com");
    assert_eq!(
        removed.output,
        "*@example.com is removed\ninfo@example.com is removed\n"
    );
    assert!(disk.alias("list").notes.contains("there is no such alias"));
}

#[test]
fn what_can_not_be_is_refused_with_a_remedy() {
    let mut disk = Disk::new();
    disk.alias("add info@example.com alice@example.com");
    for (line, part) in [
        (
            "add info@example.com bob@example.net",
            "--replace gives it other targets",
        ),
        (
            "add alice@example.com bob@example.net",
            "is an account's address",
        ),
        (
            "add info@example.org alice@example.com",
            "example.org is not hosted here",
        ),
        ("add info alice@example.com", "is no address"),
        ("add a@example.com s*@example.com", "has a wildcard"),
        (
            "add a@example.com a@example.com",
            "would lead back to itself, by way of a@",
        ),
        (
            "add --replace info@example.com info@example.com",
            "nothing was changed",
        ),
        ("list --domain example..com", "is no domain"),
        ("test info@example.org", "example.org is not hosted here"),
        (
            "remove info@example.com gone@example.com",
            "1 of 2 could not be changed",
        ),
        ("disable info@example.com", "1 of 1 could not be changed"),
    ] {
        let refused = disk.alias(line);
        assert!(
            refused.failure().contains(part),
            "{line}: {}",
            refused.failure()
        );
    }
    assert!(
        super::parse("rmail alias add info@example.com").is_err(),
        "no target"
    );
    assert!(super::parse("rmail alias remove").is_err(), "no address");
    let error = Directory::new(&*disk.store, &disk.config).parse_address("x@example.org");
    assert!(error.unwrap_err().0.contains("not hosted"));
}

#[test]
fn targets_at_other_servers_are_refused_where_nothing_is_relayed() {
    let mut disk = Disk::with(r#"{"relay": {"enabled": false}}"#);
    let refused = disk.alias("add info@example.com bob@example.net");
    assert!(refused.failure().contains("\"relay.enabled\" is false"));
    assert!(
        disk.alias("add info@example.com alice@example.com")
            .succeeded()
    );
}

#[test]
fn targets_that_nobody_has_are_warned_of() {
    let mut disk = Disk::new();
    let added = disk.alias("add info@example.com later@example.com");
    assert!(added.succeeded());
    assert!(
        added
            .notes
            .contains("nobody gets what later@example.com is sent")
    );
}

#[test]
fn a_test_says_step_by_step_who_gets_the_mail_and_why() {
    let mut disk = Disk::new();
    disk.alias("add sales-*@example.com team@example.com gone@example.com");
    disk.alias("add team@example.com alice+sales@example.com bob@example.net");
    disk.alias("add *@example.com alice@example.com");
    disk.alias("add --replace sales-*@example.com team@example.com alice@example.com");
    let test = disk.alias("test sales-7@example.com");
    assert_eq!(
        test.output,
        "sales-7@example.com: the alias sales-*@example.com (pattern)\n\
         \x20 team@example.com: an alias\n\
         \x20   alice+sales@example.com: the account alice@example.com\n\
         \x20   bob@example.net: at another server\n\
         \x20 alice@example.com: the account\n\
         2 recipients get it\n"
    );
    assert!(disk.answer);
    let test = disk.json("test anybody@example.com --json");
    assert_eq!(test["steps"][0]["by"], "catch-all");
    assert_eq!(test["steps"][0]["alias"], "*@example.com");
    assert_eq!(test["steps"][1]["is"], "account");
    assert_eq!(test["recipients"], json!(["alice@example.com"]));
    assert_eq!(test["refusal"], Value::Null);
    assert_eq!(
        disk.json("test team+x@example.com --json")["steps"][0]["by"],
        "subaddress"
    );
}

#[test]
fn a_test_says_no_when_nobody_would_get_it() {
    let mut disk = Disk::new();
    disk.alias("add info@example.com gone@example.com");
    for (address, part) in [
        (
            "info@example.com",
            "  gone@example.com: no account and no alias\n",
        ),
        ("stranger@example.com", "nobody gets it: 550 5.1.1"),
    ] {
        let test = disk.alias(&format!("test {address}"));
        assert!(test.output.contains(part), "{}", test.output);
        assert!(!disk.answer, "the exit code is 1");
    }
    disk.alias("add team@example.com alice@example.com");
    disk.alias("disable team@example.com");
    let test = disk.alias("test team@example.com");
    assert!(
        test.output.contains("an alias, which is disabled"),
        "{}",
        test.output
    );
    assert!(!disk.answer);
    disk.alias("add --replace info@example.com bob@example.net");
    disk.config.relay.enabled = false;
    let test = disk.alias("test info@example.com");
    assert!(test.output.contains("550 5.7.1"), "{}", test.output);
    assert!(!disk.answer);
}

#[test]
fn an_account_can_not_have_an_aliass_address() {
    let mut disk = Disk::new();
    disk.alias("add info@example.com alice@example.com");
    let arguments = super::parse("rmail user add info@example.com --password-stdin").unwrap();
    let Some(Command::User(command)) = arguments.command else {
        panic!("it is a command on accounts");
    };
    let directory = Directory::new(&*disk.store, &disk.config);
    let added = Transcript::of("correct horse\n", |console| {
        super::super::user::run(console, &directory, &command)
    });
    assert!(
        added
            .failure()
            .contains("there is an alias info@example.com")
    );
}

#[test]
fn servers_that_run_are_told_of_a_change_of_the_aliases() {
    let disk = Disk::new();
    let server = UnixDatagram::bind(disk.store.hint_socket()).unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let (config, _) = Config::load("{}", disk.folder.path()).unwrap();
    let mut command_line = Disk {
        store: open_store(&config).unwrap(),
        folder: TempDir::new().unwrap(),
        config,
        answer: true,
    };
    command_line.alias("add info@example.com alice@example.com");
    let mut buffer = [0; 64];
    let length = server.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], hints::DIRECTORY);
    let info = rmail_proto::Address::parse("info@example.com").unwrap();
    assert!(disk.store.alias(&info).unwrap().is_some());
}
