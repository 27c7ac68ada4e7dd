//! Who an address is: a bounded memory of the directory's answers.

use std::{collections::BTreeMap, sync::Arc};

use rmail_proto::{Address, Domain, ForwardPath};
use rmail_store::{
    Account, Store, StoreError,
    alias::{Meaning, folded, without_tag},
};

use super::{Asker, delivery::DeliveryId};
use crate::{aliases, config::Config, limits};

/// Who gets the mail for an address.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nobody.
    Nobody,
    /// An account, which may be disabled.
    Account(Arc<Account>),
    /// Those behind an alias; not nobody.
    Alias {
        /// Accounts here.
        accounts: Vec<Arc<Account>>,
        /// Addresses at other servers.
        foreign: Vec<Address>,
    },
    /// An alias that leads on and on: see `limits::ALIAS_DEPTH` and `ALIAS_STEPS` of the store.
    TooMany,
}

/// Answers that hold until the directory changes.
#[derive(Debug, Default)]
pub(super) struct Directory {
    accounts: BTreeMap<Address, Option<Arc<Account>>>,
    version: Option<u64>,
    edition: Edition,
}

/// Grows whenever the answers are forgotten: an answer that was asked for in an earlier edition
/// may be out of date.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Edition(u64);

/// Who wants to know.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    /// RCPT: is there such a recipient?
    Recipient(Asker),
    /// Delivery of the recipient at this position.
    Delivery(DeliveryId, u32),
}

impl Directory {
    /// `None`: not known; `Some(None)`: known not to be there.
    pub(super) fn cached(&self, address: &Address) -> Option<Option<Arc<Account>>> {
        self.accounts.get(&folded(address)).cloned()
    }

    /// The account that may log in by this address: no subaddress.
    pub(super) fn cached_login(&self, address: &Address) -> Option<Arc<Account>> {
        let account = self.cached(address)??;
        (account.is_enabled && folded(&account.address) == folded(address)).then_some(account)
    }

    pub(super) fn edition(&self) -> Edition {
        self.edition
    }

    /// Remembers what was found by a question of that edition. What stands behind an alias is
    /// not: it may be long, and all addresses that a pattern takes would have it.
    pub(super) fn remember_found(&mut self, edition: Edition, address: Address, found: &Found) {
        match found {
            Found::Nobody => self.remember(edition, address, None),
            Found::Account(account) => self.remember(edition, address, Some(account.clone())),
            Found::Alias { accounts, .. } => {
                for account in accounts {
                    let address = account.address.clone();
                    self.remember(edition, address, Some(account.clone()));
                }
            }
            Found::TooMany => {}
        }
    }

    /// Remembers the answer to a question of that edition, if it still holds.
    pub(super) fn remember(
        &mut self,
        edition: Edition,
        address: Address,
        account: Option<Arc<Account>>,
    ) {
        if edition != self.edition {
            return;
        }
        if self.accounts.len() >= limits::DIRECTORY_CACHE {
            self.accounts.clear();
        }
        self.accounts.insert(folded(&address), account);
    }

    /// Forgets everything when the directory is another one than before; returns whether it is.
    pub(super) fn handle_version(&mut self, version: u64) -> bool {
        let has_changed = self.version != Some(version);
        if has_changed {
            self.version = Some(version);
            self.forget();
        }
        has_changed
    }

    /// The next look at the directory counts as a change of it.
    pub(super) fn distrust(&mut self) {
        self.version = None;
    }

    pub(super) fn forget(&mut self) {
        self.accounts.clear();
        self.edition.0 += 1;
    }
}

/// Finds out who gets the mail for an address that is, or was, in a hosted domain.
pub(super) fn find_recipient(
    store: &dyn Store,
    config: &Config,
    address: &Address,
) -> Result<Found, StoreError> {
    let account = |account: Option<Account>| match account {
        Some(account) => Found::Account(Arc::new(account)),
        None => Found::Nobody,
    };
    if !config.hosts(address.domain()) {
        // It was hosted when the message came.
        return find_account(store, address).map(account);
    }
    let resolution = aliases::lead(store, config, address)?;
    if let Some(Meaning::Account(own)) = resolution.steps.first().map(|step| &step.meaning) {
        return Ok(account(Some(own.clone())));
    }
    let accounts = resolution.accounts().into_iter().cloned().map(Arc::new);
    let accounts: Vec<Arc<Account>> = accounts.collect();
    let foreign: Vec<Address> = resolution.foreign().into_iter().cloned().collect();
    match accounts.is_empty() && foreign.is_empty() {
        _ if resolution.cut.is_some() => Ok(Found::TooMany),
        false => Ok(Found::Alias { accounts, foreign }),
        true if aliases::is_postmaster(address) => aliases::first_admin(store).map(account),
        true => Ok(Found::Nobody),
    }
}

/// The account of this address, or, for a subaddress (RFC 5233), the user's.
fn find_account(store: &dyn Store, address: &Address) -> Result<Option<Account>, StoreError> {
    if let Some(account) = store.account_by_address(address)? {
        return Ok(Some(account));
    }
    match without_tag(address) {
        Some(user) => store.account_by_address(&user),
        None => Ok(None),
    }
}

/// Whether an address is the account's own: without regard to case and subaddress.
pub(super) fn is_own_address(account: &Address, address: &Address) -> bool {
    let (account, address) = (folded(account), folded(address));
    address == account || without_tag(&address).is_some_and(|user| user == account)
}

/// The postmaster of a hosted domain (RFC 5321 §4.5.1): without a domain, that of the first.
pub(super) fn postmaster_domain<'a>(
    path: &'a ForwardPath,
    hosted: &'a [Domain],
) -> Option<&'a Domain> {
    match path {
        ForwardPath::Postmaster => hosted.first(),
        ForwardPath::Address(address) => (address.local_part().eq_ignore_ascii_case("postmaster"))
            .then(|| address.domain())
            .filter(|domain| hosted.contains(domain)),
    }
}
