//! `alias`: addresses that stand for others, whether the server runs or not.

use clap::{Args, Subcommand};
use rmail_proto::{Address, Domain};
use rmail_store::{
    Alias, AliasFilter, AliasWrite, StoreError,
    alias::{Meaning, Resolution, Step, canonical, folded},
};
use serde::Serialize;

use super::{console::Console, directory::Directory, failure::Failure};
use crate::{aliases, config::Config};

/// What can be done with aliases.
#[derive(Debug, Subcommand)]
pub(super) enum AliasCommand {
    /// Make an alias, or with --replace give it other targets
    Add(AddArgs),
    /// List the aliases with their targets
    List {
        /// Only those of this domain
        #[arg(long)]
        domain: Option<String>,
        /// Only those that name this target
        #[arg(long, value_name = "ADDRESS")]
        target: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove aliases
    Remove(Chosen),
    /// Say who would get the mail for an address, step by step, and why
    Test {
        /// The address, as a sender would write it
        address: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let aliases take mail again
    Enable(Chosen),
    /// Let aliases take no mail, as if nobody had their addresses, and keep their targets
    Disable(Chosen),
}

/// `alias add`
#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// Its address, in one of the hosted domains; * and ? are wildcards
    address: String,
    /// Who gets its mail
    #[arg(required = true, value_name = "TARGET")]
    targets: Vec<String>,
    /// Give other targets to an alias that is there
    #[arg(long)]
    replace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which aliases are meant.
#[derive(Args, Debug)]
pub(super) struct Chosen {
    /// Their addresses, spelled as "alias list" shows them
    #[arg(required = true, value_name = "ADDRESS")]
    addresses: Vec<String>,
}

/// An alias as `--json` prints it; the HTTP API's spelling.
#[derive(Serialize)]
struct AliasLine {
    address: String,
    targets: Vec<String>,
    enabled: bool,
}

/// What `alias test` finds, as `--json` prints it.
#[derive(Serialize)]
struct TestResult {
    address: String,
    steps: Vec<StepLine>,
    recipients: Vec<String>,
    refusal: Option<&'static str>,
}

#[derive(Serialize)]
struct StepLine {
    depth: usize,
    address: String,
    /// `account`, `alias`, `elsewhere` or `nobody`.
    is: &'static str,
    /// `exact`, `subaddress`, `pattern` or `catch-all`.
    by: Option<&'static str>,
    alias: Option<String>,
    why: String,
}

/// Does what is asked; whether the answer is yes.
pub(super) fn run(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    command: &AliasCommand,
) -> Result<bool, Failure> {
    let done = match command {
        AliasCommand::Add(args) => add(console, directory, args),
        AliasCommand::List {
            domain,
            target,
            json,
        } => {
            let filter = AliasFilter {
                domain: domain.as_deref().map(parse_domain).transpose()?,
                target: target.as_deref().map(parse).transpose()?,
            };
            list(console, directory, &filter, *json)
        }
        AliasCommand::Remove(chosen) => {
            change(console, directory, chosen, "is removed", AliasWrite::Delete)
        }
        AliasCommand::Enable(chosen) => {
            change(console, directory, chosen, "takes mail", switch(true))
        }
        AliasCommand::Disable(chosen) => {
            change(console, directory, chosen, "takes no mail", switch(false))
        }
        AliasCommand::Test { address, json } => {
            return test(console, directory, address, *json);
        }
    };
    done.map(|()| true)
}

fn add(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    args: &AddArgs,
) -> Result<(), Failure> {
    let address = canonical(&aliases::parse_address(directory.config, &args.address)?);
    let targets = args.targets.iter().map(String::as_str);
    let targets = aliases::parse_targets(directory.config, targets)?;
    let alias = directory.store.alias(&address)?;
    let write = match (&alias, args.replace) {
        (Some(_), true) => AliasWrite::Update {
            address: address.clone(),
            targets: Some(targets),
            is_enabled: None,
        },
        (Some(_), false) => {
            return Err(Failure(format!(
                "there is an alias {address} already; --replace gives it other targets"
            )));
        }
        (None, _) => AliasWrite::Create(Alias::new(&address, targets)),
    };
    let result = directory.write_aliases(&[write])?.remove(0);
    result.map_err(|error| refused(&address, error))?;
    let alias = directory.store.alias(&address)?;
    let alias = alias.ok_or(StoreError::NoSuchAlias)?;
    warn_of_dead_ends(console, directory, &alias)?;
    if args.json {
        return console.json(&AliasLine::new(&alias));
    }
    let targets = AliasLine::new(&alias).targets.join(", ");
    console.line(&format!("{address} leads to {targets}"))
}

/// Why an alias could not be made or changed, and what to do.
fn refused(address: &Address, error: StoreError) -> Failure {
    match error {
        StoreError::AddressTaken => Failure(format!(
            "{address} is an account's address: it gets its mail itself"
        )),
        StoreError::NoSuchAlias => no_alias(address),
        StoreError::AliasLoop(by) => Failure(format!(
            "{address} would lead back to itself, by way of {by}; nothing was changed. \
             \"alias test {by}\" shows where that leads"
        )),
        error => Failure(format!("{address}: {}", Failure::from(error))),
    }
}

/// Targets that nobody has may be made later: they are told of, and taken.
fn warn_of_dead_ends(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    alias: &Alias,
) -> Result<(), Failure> {
    for target in &alias.targets {
        let resolution = aliases::lead(directory.store, directory.config, target)?;
        if recipients(&resolution).is_empty() {
            console.note(&format!(
                "warning: nobody gets what {target} is sent: there is no such account or alias, \
                 or it is disabled"
            ));
        }
    }
    Ok(())
}

fn list(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    filter: &AliasFilter,
    json: bool,
) -> Result<(), Failure> {
    let aliases = directory.store.aliases(filter)?;
    let lines: Vec<AliasLine> = aliases.iter().map(AliasLine::new).collect();
    if json {
        return console.json(&lines);
    }
    if lines.is_empty() {
        console.note("there is no such alias; \"alias add ADDRESS TARGET\" makes one");
        return Ok(());
    }
    let widths = lines.iter().map(|line| line.address.chars().count());
    let width = widths.max().unwrap_or_default();
    for line in &lines {
        let AliasLine {
            address, enabled, ..
        } = line;
        let targets = line.targets.join(", ");
        let disabled = if *enabled { "" } else { "  (disabled)" };
        console.line(&format!("{address:width$}  {targets}{disabled}"))?;
    }
    Ok(())
}

fn switch(is_enabled: bool) -> impl Fn(Address) -> AliasWrite {
    move |address| AliasWrite::Update {
        address,
        targets: None,
        is_enabled: Some(is_enabled),
    }
}

fn change(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    chosen: &Chosen,
    verb: &str,
    write: impl Fn(Address) -> AliasWrite,
) -> Result<(), Failure> {
    let addresses = chosen.addresses.iter().map(|text| parse(text));
    let addresses = addresses.map(|address| address.map(|address| canonical(&address)));
    let addresses: Vec<Address> = addresses.collect::<Result<_, Failure>>()?;
    let writes: Vec<AliasWrite> = addresses.iter().cloned().map(write).collect();
    let results = directory.write_aliases(&writes)?;
    let mut failures = 0;
    for (address, result) in addresses.iter().zip(results) {
        match result {
            Ok(()) => console.line(&format!("{address} {verb}"))?,
            Err(error) => {
                failures += 1;
                console.note(&refused(address, error).0);
            }
        }
    }
    match (failures, addresses.len()) {
        (0, _) => Ok(()),
        (failures, count) => Err(Failure(format!(
            "{failures} of {count} could not be changed"
        ))),
    }
}

fn test(
    console: &mut Console<'_>,
    directory: &Directory<'_>,
    text: &str,
    json: bool,
) -> Result<bool, Failure> {
    let (config, address) = (directory.config, parse(text)?);
    if !config.hosts(address.domain()) {
        // Says which domains are.
        aliases::parse_address(config, text)?;
    }
    let resolution = aliases::lead(directory.store, config, &address)?;
    let result = TestResult {
        address: address.to_string(),
        steps: resolution.steps.iter().map(StepLine::new).collect(),
        recipients: recipients(&resolution),
        refusal: refusal(config, &resolution),
    };
    let is_taken = result.refusal.is_none();
    if json {
        console.json(&result)?;
        return Ok(is_taken);
    }
    for step in &result.steps {
        let indent = "  ".repeat(step.depth);
        console.line(&format!("{indent}{}: {}", step.address, step.why))?;
    }
    match (result.refusal, result.recipients.len()) {
        (Some(refusal), _) => console.line(&format!("nobody gets it: {refusal}"))?,
        (None, 1) => console.line("1 recipient gets it")?,
        (None, count) => console.line(&format!("{count} recipients get it"))?,
    }
    Ok(is_taken)
}

/// Those that an address leads to.
fn recipients(resolution: &Resolution) -> Vec<String> {
    let accounts = resolution.accounts().into_iter();
    let accounts = accounts.map(|account| &account.address);
    let recipients = accounts.chain(resolution.foreign());
    recipients.map(Address::to_string).collect()
}

/// Why RCPT would be refused.
fn refusal(config: &Config, resolution: &Resolution) -> Option<&'static str> {
    if resolution.cut.is_some() {
        Some("451 4.3.5, it leads to more addresses than are followed")
    } else if recipients(resolution).is_empty() {
        Some("550 5.1.1, it leads to no account that is enabled")
    } else if !resolution.foreign().is_empty() && !config.relay.enabled {
        Some("550 5.7.1, it leads to another server, and \"relay.enabled\" is false")
    } else {
        None
    }
}

fn parse(text: &str) -> Result<Address, Failure> {
    Address::parse(text).map_err(|error| {
        Failure::from(aliases::Fault::Malformed {
            text: text.to_owned(),
            error,
        })
    })
}

fn parse_domain(text: &str) -> Result<Domain, Failure> {
    Domain::parse(text)
        .map_err(|_| Failure(format!("{text:?} is no domain; write one like example.com")))
}

fn no_alias(address: &Address) -> Failure {
    Failure(format!(
        "there is no alias {address}; \"alias list\" shows those that there are"
    ))
}

/// By which rule an alias takes an address.
fn rule(alias: &Alias, address: &Address) -> &'static str {
    if alias.is_catch_all() {
        "catch-all"
    } else if alias.is_pattern() {
        "pattern"
    } else if alias.address == folded(address) {
        "exact"
    } else {
        "subaddress"
    }
}

impl AliasLine {
    fn new(alias: &Alias) -> Self {
        Self {
            address: alias.address.to_string(),
            targets: alias.targets.iter().map(Address::to_string).collect(),
            enabled: alias.is_enabled,
        }
    }
}

impl StepLine {
    fn new(step: &Step) -> Self {
        let led = |alias: &Alias, then: &str| {
            let (by, name) = (rule(alias, &step.address), &alias.address);
            let why = match by {
                "exact" => format!("an alias{then}"),
                by => format!("the alias {name} ({by}){then}"),
            };
            (Some((by, name.to_string())), why)
        };
        let (is, (by, why)) = match &step.meaning {
            Meaning::Account(account) => {
                let name = &account.address;
                let is_own = *name == folded(&step.address);
                let owner = if is_own {
                    String::new()
                } else {
                    format!(" {name}")
                };
                let disabled = if account.is_enabled {
                    ""
                } else {
                    ", which is disabled"
                };
                ("account", (None, format!("the account{owner}{disabled}")))
            }
            Meaning::Alias(alias) if alias.is_enabled => ("alias", led(alias, "")),
            Meaning::Alias(alias) => ("nobody", led(alias, ", which is disabled")),
            Meaning::Again(alias) => ("alias", led(alias, ", which was looked at above")),
            Meaning::Loop(alias) => ("nobody", led(alias, ", which leads here: a loop")),
            Meaning::Foreign => ("elsewhere", (None, "at another server".to_owned())),
            Meaning::Nobody => ("nobody", (None, "no account and no alias".to_owned())),
        };
        let (by, alias) = by.unzip();
        Self {
            depth: step.depth,
            address: step.address.to_string(),
            is,
            by,
            alias,
            why,
        }
    }
}
