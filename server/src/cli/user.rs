//! `user add`, `list`, `passwd` and `delete`.

use clap::{Args, Subcommand};
use rmail_proto::{DateTime, Secret};
use rmail_store::{Account, AccountUpdate, DirectoryWrite, NewAccount};
use serde::Serialize;

use super::{console::Console, directory::Directory, failure::Failure, import};
use crate::{credentials::Credential, outside::random};

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make an account; its password is asked for, or read from a pipe
    Add(AddArgs),
    /// List the accounts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Set an account's password; open sessions stay, tokens end
    Passwd {
        /// The account
        address: String,
        /// Read the password from one line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// Change what an account may do and keep
    Set(SetArgs),
    /// Delete an account with all its mail
    Delete {
        /// The account
        address: String,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Make many accounts from a file with lines of ADDRESS and PASSWORD
    Import(import::ImportArgs),
}

/// `user add`
#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// The address, in one of the hosted domains
    address: String,
    /// The account may administer the server
    #[arg(long)]
    admin: bool,
    /// Read the password from one line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `user set`
#[derive(Args, Debug)]
pub(super) struct SetArgs {
    /// The account
    address: String,
    /// Whether it may log in and receive mail; its tokens and sessions end with "no"
    #[arg(long, value_name = "YES|NO", value_parser = parse_yes_or_no)]
    enabled: Option<bool>,
    /// Whether it may administer the server
    #[arg(long, value_name = "YES|NO", value_parser = parse_yes_or_no)]
    admin: Option<bool>,
    /// Most bytes that it may keep: 500M, 10G, or none
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    quota: Option<u64>,
    /// A name for people
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// An account as `--json` prints it.
#[derive(Serialize)]
struct AccountLine {
    address: String,
    id: String,
    admin: bool,
    enabled: bool,
    display_name: String,
    quota_bytes: u64,
    created: String,
}

/// Does what is asked.
pub(super) fn run(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    command: &UserCommand,
) -> Result<(), Failure> {
    match command {
        UserCommand::Add(args) => add(console, directory, args),
        UserCommand::List { json } => list(console, directory, *json),
        UserCommand::Passwd {
            address,
            password_stdin,
        } => set_password(console, directory, address, *password_stdin),
        UserCommand::Set(args) => set(console, directory, args),
        UserCommand::Delete { address, yes } => delete(console, directory, address, *yes),
        UserCommand::Import(args) => import::run(console, directory, args),
    }
}

/// The change that makes an account.
pub(super) fn creation(
    address: &rmail_proto::Address,
    password: &Secret<String>,
    is_admin: bool,
) -> DirectoryWrite {
    DirectoryWrite::CreateAccount(NewAccount {
        address: address.clone(),
        guid: random::guid(),
        credential: Credential::new(password, random::bytes()).to_string(),
        is_admin,
    })
}

fn add(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    args: &AddArgs,
) -> Result<(), Failure> {
    let address = directory.parse_address(&args.address)?;
    if directory.find(&address)?.is_some() {
        return Err(Failure(format!(
            "there is an account {address} already; \"user passwd {address}\" sets its password"
        )));
    }
    if directory.store.alias(&address)?.is_some() {
        return Err(Failure(format!(
            "there is an alias {address}; \"alias remove {address}\" makes room for an account"
        )));
    }
    let password = console.new_password(args.password_stdin)?;
    directory.write(creation(&address, &password, args.admin))?;
    if args.json {
        let account = directory.expect(&args.address)?;
        return console.json(&AccountLine::new(&account));
    }
    let role = if args.admin {
        " as an administrator"
    } else {
        ""
    };
    console.line(&format!("{address} is added{role}"))
}

fn list(console: &mut Console<'_>, directory: &Directory<'_>, json: bool) -> Result<(), Failure> {
    let accounts = directory.accounts()?;
    let lines: Vec<AccountLine> = accounts.iter().map(AccountLine::new).collect();
    if json {
        return console.json(&lines);
    }
    if lines.is_empty() {
        console.note("there are no accounts yet; \"user add ADDRESS\" makes one");
        return Ok(());
    }
    let width = lines
        .iter()
        .map(|line| line.address.chars().count())
        .max()
        .unwrap_or_default();
    for line in &lines {
        let AccountLine {
            address, created, ..
        } = line;
        let role = match (line.enabled, line.admin) {
            (false, _) => "disabled",
            (true, true) => "admin",
            (true, false) => "user",
        };
        console.line(&format!("{address:width$}  {role:8}  {created}"))?;
    }
    Ok(())
}

fn set_password(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    address: &str,
    password_stdin: bool,
) -> Result<(), Failure> {
    let account = directory.expect(address)?;
    let password = console.new_password(password_stdin)?;
    let credential = Credential::new(&password, random::bytes());
    let update = AccountUpdate {
        credential: Some(credential.to_string()),
        raise_generation: true,
        ..AccountUpdate::default()
    };
    directory.write(DirectoryWrite::UpdateAccount {
        account: account.id,
        update,
    })?;
    console.line(&format!("{} has a new password", account.address))
}

fn set(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    args: &SetArgs,
) -> Result<(), Failure> {
    let account = directory.expect(&args.address)?;
    let is_changed = args.enabled.is_some_and(|it| it != account.is_enabled);
    directory.write(DirectoryWrite::UpdateAccount {
        account: account.id,
        update: AccountUpdate {
            credential: None,
            is_admin: args.admin,
            is_enabled: args.enabled,
            display_name: args.name.clone(),
            quota_bytes: args.quota,
            raise_generation: is_changed,
        },
    })?;
    console.line(&format!("{} is changed", account.address))
}

fn parse_yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Ok(true),
        "no" | "false" | "off" => Ok(false),
        _ => Err("write yes or no".to_owned()),
    }
}

/// Bytes; `none` and 0 stand for no bound.
fn parse_size(text: &str) -> Result<u64, String> {
    let refuse = || "write a size like 500M or 10G, or none".to_owned();
    let text = text.to_ascii_uppercase();
    if text == "NONE" {
        return Ok(0);
    }
    let number = text.trim_end_matches('B').trim_end_matches('I');
    let (digits, unit) = match number.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(digits) => (digits, &number[digits.len()..]),
        None => (number, ""),
    };
    let power = match unit {
        "K" => 1,
        "M" => 2,
        "G" => 3,
        "T" => 4,
        _ => 0,
    };
    let digits: u64 = digits.trim().parse().map_err(|_| refuse())?;
    digits.checked_mul(1024_u64.pow(power)).ok_or_else(refuse)
}

fn delete(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    address: &str,
    yes: bool,
) -> Result<(), Failure> {
    let account = directory.expect(address)?;
    let address = account.address.to_string();
    let question = format!(
        "This deletes {address} with all its mail, and can't be undone.\n\
         Type the address to go on:"
    );
    if !yes && !console.confirm(&question, &address)? {
        return Err(Failure("nothing was deleted".to_owned()));
    }
    directory.write(DirectoryWrite::DeleteAccount(account.id))?;
    console.line(&format!("{address} is deleted"))
}

impl AccountLine {
    fn new(account: &Account) -> Self {
        let hex = format!("{:032x}", account.guid);
        let parts = [
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        ];
        Self {
            address: account.address.to_string(),
            id: parts.join("-"),
            admin: account.is_admin,
            enabled: account.is_enabled,
            display_name: account.display_name.clone(),
            quota_bytes: account.quota_bytes,
            created: DateTime::utc(account.created_at).rfc3339().to_string(),
        }
    }
}
