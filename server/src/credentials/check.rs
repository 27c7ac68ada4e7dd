//! Whether a login is right.

use rmail_proto::{Address, Secret, UnixTime};
use rmail_store::{Account, Store, StoreError};

use super::verify;
use crate::limits;

/// What became of a login.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The account is there and enabled, and this is its password.
    Right(Box<Account>),
    /// It was the account's password until a change less than
    /// [`limits::PREVIOUS_PASSWORD_TIME`] ago: refused, but nobody is guessing.
    Outdated,
    /// Anything else.
    Wrong,
}

/// Checks a password. Takes as long for an account that is not there as for one that is; only
/// within a day after a change a wrong one takes twice as long.
///
/// # Errors
///
/// When the directory can't be read.
pub fn check(
    store: &dyn Store,
    address: Option<&Address>,
    password: &Secret<String>,
    now: UnixTime,
) -> Result<Verdict, StoreError> {
    let account = match address {
        Some(address) => store.account_by_address(address)?,
        None => None,
    };
    let record = account.as_ref().map(|account| account.credential.as_str());
    let is_right = verify(record, password);
    let Some(account) = account.filter(|account| account.is_enabled) else {
        return Ok(Verdict::Wrong);
    };
    if is_right {
        return Ok(Verdict::Right(Box::new(account)));
    }
    let previous = account.previous_credential.as_ref();
    let time = limits::PREVIOUS_PASSWORD_TIME.as_secs() as i64;
    let previous = previous.filter(|it| now.0 < it.replaced_at.0.saturating_add(time));
    let is_previous = previous.is_some_and(|it| verify(Some(&it.credential), password));
    Ok(match is_previous {
        true => Verdict::Outdated,
        false => Verdict::Wrong,
    })
}
