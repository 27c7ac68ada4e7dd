//! Who an address is: a bounded memory of the directory's answers.

use std::{collections::BTreeMap, sync::Arc};

use rmail_proto::{Address, Domain, ForwardPath};
use rmail_store::{Account, Store, StoreError};

use super::{Asker, delivery::DeliveryId};
use crate::limits;

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

/// The account that mail for this address reaches: its own, or, for a subaddress (RFC 5233), the
/// user's.
pub(super) fn find_account(
    store: &dyn Store,
    address: &Address,
) -> Result<Option<Account>, StoreError> {
    if let Some(account) = store.account_by_address(address)? {
        return Ok(Some(account));
    }
    match without_tag(address) {
        Some(user) => store.account_by_address(&user),
        None => Ok(None),
    }
}

/// Who reads a postmaster's mail: the account of that name, else the admin who was made first.
pub(super) fn find_postmaster(
    store: &dyn Store,
    address: &Address,
) -> Result<Option<Account>, StoreError> {
    if let Some(account) = find_account(store, address)? {
        return Ok(Some(account));
    }
    let accounts = store.accounts()?.into_iter();
    let admins = accounts.filter(|account| account.is_admin && account.is_enabled);
    Ok(admins.min_by_key(|account| account.id))
}

/// Whether an address is the account's own: without regard to case and subaddress.
pub(crate) fn is_own_address(account: &Address, address: &Address) -> bool {
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

fn without_tag(address: &Address) -> Option<Address> {
    let (user, _) = address.local_part().split_once('+')?;
    Address::new(user.to_owned(), address.domain().clone()).ok()
}

fn folded(address: &Address) -> Address {
    let local_part = address.local_part().to_lowercase();
    Address::new(local_part, address.domain().clone()).unwrap_or_else(|_| address.clone())
}
