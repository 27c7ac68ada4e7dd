//! Aliases as the command line, the HTTP API and the node see them: spelled by people, and
//! followed under a configuration.
//!
//! Only hosted domains have aliases; a target may be anywhere. What goes to a target at another
//! server keeps its reverse-path, so reports on it go to its sender. Where `relay.enabled` is false
//! no alias with such a target can be made; one that was made before refuses its mail (550 5.7.1)
//! rather than losing a part of it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use rmail_proto::{AccountId, Address, AddressError, Domain};
use rmail_store::{
    Account, Addressee, Alias, AliasFilter, Store, StoreError,
    alias::{Meaning, Resolution, pattern, resolve},
    limits,
};

use crate::config::Config;

/// Why an alias can't be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// A text is no address.
    Malformed {
        /// The text.
        text: String,
        /// What is wrong with it.
        error: AddressError,
    },
    /// The alias is in a domain that is not hosted.
    Foreign {
        /// Its domain.
        domain: Domain,
        /// Those that are.
        hosted: Vec<Domain>,
    },
    /// A target has a wildcard.
    TargetIsPattern(Address),
    /// A target is at another server, and nothing is relayed.
    RelayDisabled(Address),
    /// There is no target, or there are too many.
    TargetCount,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { text, error } => {
                let reason = match error {
                    AddressError::LocalPart => "what stands before the @ is not well formed",
                    AddressError::Domain => {
                        "what stands after the @ is not well formed, or missing"
                    }
                    AddressError::LocalPartTooLong => "what stands before the @ is too long",
                    AddressError::DomainTooLong => "what stands after the @ is too long",
                };
                write!(
                    f,
                    "{text:?} is no address: {reason}; write one like alice@example.com"
                )
            }
            Self::Foreign { domain, hosted } => {
                let hosted: Vec<&str> = hosted.iter().map(Domain::as_str).collect();
                let hosted = hosted.join(", ");
                write!(
                    f,
                    "{domain} is not hosted here, only {hosted}; add it to \"domains\" in the \
                     configuration first"
                )
            }
            Self::TargetIsPattern(target) => write!(
                f,
                "{target} has a wildcard; an alias may have one, its targets are plain addresses"
            ),
            Self::RelayDisabled(target) => write!(
                f,
                "{target} is at another server, and \"relay.enabled\" is false in the \
                 configuration: nothing would get there"
            ),
            Self::TargetCount => write!(f, "an alias has 1 to {} targets", limits::ALIAS_TARGETS),
        }
    }
}

/// Parses the address of an alias or account that is to be: one in a hosted domain. In that of an
/// alias, `*` and `?` are wildcards.
///
/// # Errors
///
/// `Malformed`, `Foreign`.
pub fn parse_address(config: &Config, text: &str) -> Result<Address, Fault> {
    let address = parse(text)?;
    match config.hosts(address.domain()) {
        true => Ok(address),
        false => Err(Fault::Foreign {
            domain: address.domain().clone(),
            hosted: config.domains.clone(),
        }),
    }
}

/// Parses the targets of an alias.
///
/// # Errors
///
/// `Malformed`, `TargetIsPattern`, `RelayDisabled`, `TargetCount`.
pub fn parse_targets<'a>(
    config: &Config,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Address>, Fault> {
    let mut targets = Vec::new();
    for text in texts {
        let target = parse(text)?;
        if pattern::is_pattern(target.local_part()) {
            return Err(Fault::TargetIsPattern(target));
        }
        if !config.hosts(target.domain()) && !config.relay.enabled {
            return Err(Fault::RelayDisabled(target));
        }
        targets.push(target);
    }
    match targets.len() {
        1..=limits::ALIAS_TARGETS => Ok(targets),
        _ => Err(Fault::TargetCount),
    }
}

/// Finds out whom an address leads to, at this moment.
///
/// A hosted domain's `postmaster` (RFC 5321 §4.5.1) without an account or alias of that very name
/// is the admin who was made first: no pattern takes its mail.
///
/// # Errors
///
/// Those of the store.
pub fn lead(
    store: &dyn Store,
    config: &Config,
    address: &Address,
) -> Result<Resolution, StoreError> {
    resolve(address, |address| look_up(store, config, address))
}

/// Whether mail for an address reaches this account, so that it may send from there.
///
/// # Errors
///
/// Those of the store.
pub fn reaches(
    store: &dyn Store,
    config: &Config,
    account: AccountId,
    address: &Address,
) -> Result<bool, StoreError> {
    Ok(lead(store, config, address)?.reaches(account))
}

/// The aliases that lead to this account, themselves or through others that are enabled, by
/// address. Those that are disabled themselves are among them.
///
/// # Errors
///
/// Those of the store.
pub fn aliases_of(
    store: &dyn Store,
    config: &Config,
    account: &Account,
) -> Result<Vec<Alias>, StoreError> {
    let mut found: BTreeMap<(Domain, String), Alias> = BTreeMap::new();
    let mut ends = VecDeque::from([account.address.clone()]);
    while let Some(end) = ends.pop_front() {
        let filter = AliasFilter {
            domain: None,
            target: Some(end),
        };
        for alias in store.aliases(&filter)? {
            let address = &alias.address;
            let key = (address.domain().clone(), address.local_part().to_owned());
            let is_new = !found.contains_key(&key) && config.hosts(address.domain());
            if is_new && has_target_that_reaches(store, config, &alias, account.id)? {
                ends.push_back(alias.address.clone());
                found.insert(key, alias);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// What names an account's address, or takes it by its pattern, need not lead there: another alias
/// may be closer.
fn has_target_that_reaches(
    store: &dyn Store,
    config: &Config,
    alias: &Alias,
    account: AccountId,
) -> Result<bool, StoreError> {
    for target in &alias.targets {
        if reaches(store, config, account, target)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn look_up(store: &dyn Store, config: &Config, address: &Address) -> Result<Meaning, StoreError> {
    if !config.hosts(address.domain()) {
        return Ok(Meaning::Foreign);
    }
    let is_postmaster = is_postmaster(address);
    match store.addressee(address)? {
        Some(Addressee::Account(account)) => Ok(Meaning::Account(account)),
        Some(Addressee::Alias(alias)) if !(is_postmaster && alias.is_pattern()) => {
            Ok(Meaning::Alias(alias))
        }
        None | Some(Addressee::Alias(_)) if is_postmaster => {
            let admin = first_admin(store)?;
            Ok(admin.map_or(Meaning::Nobody, Meaning::Account))
        }
        None | Some(Addressee::Alias(_)) => Ok(Meaning::Nobody),
    }
}

pub(crate) fn is_postmaster(address: &Address) -> bool {
    address.local_part().eq_ignore_ascii_case("postmaster")
}

/// Who reads a postmaster's mail where nobody has that name.
pub(crate) fn first_admin(store: &dyn Store) -> Result<Option<Account>, StoreError> {
    let accounts = store.accounts()?.into_iter();
    let admins = accounts.filter(|account| account.is_admin && account.is_enabled);
    Ok(admins.min_by_key(|account| account.id))
}

fn parse(text: &str) -> Result<Address, Fault> {
    Address::parse(text).map_err(|error| Fault::Malformed {
        text: text.to_owned(),
        error,
    })
}
