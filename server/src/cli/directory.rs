//! The directory of accounts and aliases as commands use it: whether a server runs or not.

use std::thread;

use rmail_proto::{AccountId, Address};
use rmail_store::{Account, AliasWrite, DirectoryWrite, Store, StoreError};

use super::failure::Failure;
use crate::{
    aliases,
    config::Config,
    limits,
    outside::{clock, hints},
};

/// The accounts and aliases of one `mail_root`, and the domains that they may be in.
pub(super) struct Directory<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) config: &'a Config,
}

impl<'a> Directory<'a> {
    /// Those in a store.
    pub(super) fn new(store: &'a dyn Store, config: &'a Config) -> Self {
        Self { store, config }
    }

    /// Parses an address that an account could have here.
    pub(super) fn parse_address(&self, text: &str) -> Result<Address, Failure> {
        let address = aliases::parse_address(self.config, text)?;
        if let Some((user, _tag)) = address.local_part().split_once('+') {
            return Err(Failure(format!(
                "an account's address has no \"+\": mail for {text} reaches {user}@{} by itself",
                address.domain()
            )));
        }
        Ok(address)
    }

    /// All accounts, by address.
    pub(super) fn accounts(&self) -> Result<Vec<Account>, Failure> {
        Ok(self.store.accounts()?)
    }

    /// The account with this address, if there is one.
    pub(super) fn find(&self, address: &Address) -> Result<Option<Account>, Failure> {
        Ok(self.store.account_by_address(address)?)
    }

    /// The account with this address; it may be in a domain that is hosted no more.
    pub(super) fn expect(&self, text: &str) -> Result<Account, Failure> {
        let Ok(address) = Address::parse(text) else {
            return Err(self
                .parse_address(text)
                .err()
                .unwrap_or_else(|| no_account(text)));
        };
        self.find(&address)?.ok_or_else(|| no_account(text))
    }

    /// Writes one change.
    pub(super) fn write(&self, change: DirectoryWrite) -> Result<AccountId, Failure> {
        let mut results = self.write_all(&[change])?;
        let result = results.pop().expect("there is a result for each change");
        Ok(result?)
    }

    /// Writes changes, each with its own result, and tells the servers that run.
    ///
    /// While another process is writing, it waits, for some seconds at most.
    pub(super) fn write_all(
        &self,
        changes: &[DirectoryWrite],
    ) -> Result<Vec<Result<AccountId, StoreError>>, Failure> {
        let results = while_busy(|| {
            self.store
                .write_directory(clock::unix_now(), changes.to_vec())
        })?;
        self.hint();
        Ok(results)
    }

    /// The same for aliases.
    pub(super) fn write_aliases(
        &self,
        changes: &[AliasWrite],
    ) -> Result<Vec<Result<(), StoreError>>, Failure> {
        let results = while_busy(|| self.store.write_aliases(changes.to_vec()))?;
        self.hint();
        Ok(results)
    }

    fn hint(&self) {
        // Without the list of the others they find out by themselves, within a second.
        if let Ok(news) = self.store.look_at_peers() {
            hints::send(&news.sockets, hints::DIRECTORY);
        }
    }
}

/// Tries again while another process is writing, for some seconds at most.
#[expect(
    clippy::disallowed_methods,
    reason = "a command has a thread of its own"
)]
pub(super) fn while_busy<T>(
    mut attempt: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for _ in 1..limits::CLI_BUSY_TRIES {
        match attempt() {
            Err(StoreError::Busy) => thread::sleep(limits::CLI_BUSY_WAIT),
            outcome => return outcome,
        }
    }
    attempt()
}

fn no_account(address: &str) -> Failure {
    Failure(format!(
        "there is no account {address}; \"user list\" shows those that there are"
    ))
}
