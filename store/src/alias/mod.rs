//! Aliases: addresses that stand for others.
//!
//! Who gets the mail for an address of a hosted domain is looked for in this order, and the first
//! that is there is the answer, also when it is disabled:
//!
//! 1. the account or alias with exactly this address;
//! 2. for a subaddress (`user+tag`, RFC 5233), the account or alias of the user;
//! 3. the pattern with the most literal text that takes the local-part, with its tag and then
//!    without it;
//! 4. last of the patterns, the catch-all: `*`.
//!
//! An alias leads to its targets, each of which is looked for in the same way: see [`resolve`].

pub mod pattern;
mod resolve;

use rmail_proto::Address;

pub use resolve::{Cut, Meaning, Resolution, Step, resolve, resolve_alias};

use crate::Account;

/// An alias.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Alias {
    /// Whose mail it takes; the local-part in lower case, and with `*` and `?` as wildcards.
    pub address: Address,
    /// Who gets it, as they were given: 1 to [`limits::ALIAS_TARGETS`](crate::limits::ALIAS_TARGETS)
    /// different addresses without wildcards.
    pub targets: Vec<Address>,
    /// Whether it takes mail; else its addresses are those of nobody.
    pub is_enabled: bool,
}

impl Alias {
    /// An alias as it is kept: see the fields. Targets that repeat one are left out.
    pub fn new(address: &Address, targets: Vec<Address>) -> Self {
        Self {
            address: canonical(address),
            targets: distinct(targets),
            is_enabled: true,
        }
    }

    /// Whether its local-part holds a wildcard.
    pub fn is_pattern(&self) -> bool {
        pattern::is_pattern(self.address.local_part())
    }

    /// Whether it takes all that nobody else in its domain takes.
    pub fn is_catch_all(&self) -> bool {
        self.address.local_part() == "*"
    }

    /// Whether this address (without regard to case and tag), or for an address with wildcards
    /// one that it takes, is among its targets.
    pub fn names(&self, address: &Address) -> bool {
        let wanted = canonical(address);
        let is_pattern = pattern::is_pattern(wanted.local_part());
        self.targets.iter().any(|target| {
            let target = folded(target);
            let base = without_tag(&target);
            [Some(&target), base.as_ref()]
                .into_iter()
                .flatten()
                .any(|target| {
                    let takes = || pattern::matches(wanted.local_part(), target.local_part());
                    *target == wanted || is_pattern && target.domain() == wanted.domain() && takes()
                })
        })
    }
}

/// Who an address belongs to.
#[derive(Clone, Debug)]
pub enum Addressee {
    /// An account.
    Account(Account),
    /// An alias, perhaps by its pattern.
    Alias(Alias),
}

/// A change of the aliases.
#[derive(Clone, Debug)]
pub enum AliasWrite {
    /// Makes an alias. `AddressTaken` when its address is an account's or an alias's;
    /// `AliasLoop`; `TooMany`.
    Create(Alias),
    /// Changes what is `Some`. `NoSuchAlias`; `AliasLoop`, `TooMany` unless it only disables.
    Update {
        /// Which.
        address: Address,
        /// Who gets its mail; not empty.
        targets: Option<Vec<Address>>,
        /// Whether it takes mail.
        is_enabled: Option<bool>,
    },
    /// Removes an alias. `NoSuchAlias`.
    Delete(Address),
}

/// Which aliases are wanted; all that is `Some` must hold.
#[derive(Clone, Debug, Default)]
pub struct AliasFilter {
    /// Those of this domain.
    pub domain: Option<rmail_proto::Domain>,
    /// Those that name this target themselves: see [`Alias::names`].
    pub target: Option<Address>,
}

/// An address as the directory compares it: in lower case.
#[must_use]
pub fn folded(address: &Address) -> Address {
    let local_part = address.local_part().to_lowercase();
    Address::new(local_part, address.domain().clone()).unwrap_or_else(|_| address.clone())
}

/// For a subaddress (`user+tag`, RFC 5233), the user's.
#[must_use]
pub fn without_tag(address: &Address) -> Option<Address> {
    let (user, _) = address.local_part().split_once('+')?;
    Address::new(user.to_owned(), address.domain().clone()).ok()
}

/// An alias's address as it is kept.
#[must_use]
pub fn canonical(address: &Address) -> Address {
    let folded = folded(address);
    let local_part = pattern::canonical(folded.local_part());
    Address::new(local_part, folded.domain().clone()).expect("it is no longer than before")
}

/// Each address once, without regard to case, in the order given.
pub(crate) fn distinct(mut addresses: Vec<Address>) -> Vec<Address> {
    let mut seen = std::collections::BTreeSet::new();
    addresses.retain(|address| seen.insert(folded(address)));
    addresses
}
