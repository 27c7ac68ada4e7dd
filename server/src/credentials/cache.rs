//! Passwords that were verified a moment ago.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use hashlink::LruCache;
use rmail_proto::{AccountId, Instant, Now, Secret};
use rmail_store::Account;

use crate::limits;

/// Remembers for [`limits::PASSWORD_CACHE_TIME`] which password an account was logged in with, so
/// that a client that logs in often doesn't cost an Argon2 hash each time.
///
/// What is kept is a keyed hash over the account's id, generation, record and password: without
/// the key, which never leaves the process, nothing can be learnt from it, and whatever changes
/// the account (in any process) makes it void. A wrong password is never remembered. At most
/// [`limits::PASSWORD_CACHE_ENTRIES`] accounts are; the one that was not used for longest goes
/// first.
pub struct PasswordCache {
    key: hmac::Key,
    entries: LruCache<AccountId, Entry>,
}

struct Entry {
    tag: hmac::Tag,
    until: Instant,
}

impl fmt::Debug for PasswordCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordCache")
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl PasswordCache {
    /// An empty cache; `key` is 32 random bytes, drawn for this process alone.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            entries: LruCache::new(limits::PASSWORD_CACHE_ENTRIES),
        }
    }

    /// Whether this password of this account was verified a short while ago, and neither has
    /// changed since.
    pub fn knows(&mut self, now: Now, account: &Account, password: &Secret<String>) -> bool {
        let tag = self.tag(account, password);
        let Some(entry) = self.entries.peek(&account.id) else {
            return false;
        };
        if now.at >= entry.until {
            self.forget(account.id);
            return false;
        }
        let equal = constant_time::verify_slices_are_equal(entry.tag.as_ref(), tag.as_ref());
        // This makes it the one that was used last.
        equal.is_ok() && self.entries.get(&account.id).is_some()
    }

    /// Remembers a password that has just been verified against this account's record.
    pub fn remember(&mut self, now: Now, account: &Account, password: &Secret<String>) {
        let entry = Entry {
            tag: self.tag(account, password),
            until: now.at + limits::PASSWORD_CACHE_TIME,
        };
        self.entries.insert(account.id, entry);
    }

    /// Forgets an account.
    pub fn forget(&mut self, account: AccountId) {
        self.entries.remove(&account);
    }

    fn tag(&self, account: &Account, password: &Secret<String>) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&account.id.0.to_be_bytes());
        context.update(&account.generation.to_be_bytes());
        context.update(&(account.credential.len() as u64).to_be_bytes());
        context.update(account.credential.as_bytes());
        context.update(password.reveal().as_bytes());
        context.sign()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use rmail_proto::{Address, UnixTime};

    use super::*;

    fn now(seconds: u64) -> Now {
        let at = Instant::from_start(Duration::from_secs(seconds));
        Now {
            at,
            unix: UnixTime(seconds as i64),
        }
    }

    fn account(id: u64) -> Account {
        Account {
            id: AccountId(id),
            address: Address::parse("alice@example.com").unwrap(),
            guid: 1,
            credential: "v1 {}".to_owned(),
            generation: 1,
            is_admin: false,
            is_enabled: true,
            display_name: String::new(),
            quota_bytes: 0,
            created_at: UnixTime(0),
            last_login_at: None,
            replies_automatically: false,
            previous_credential: None,
        }
    }

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn verified_password_is_known_for_a_while_and_no_other_is() {
        let mut cache = PasswordCache::new(&[1; 32]);
        let alice = account(1);
        assert!(!cache.knows(now(0), &alice, &secret("right")));
        cache.remember(now(0), &alice, &secret("right"));
        let last_second = limits::PASSWORD_CACHE_TIME.as_secs() - 1;
        assert!(cache.knows(now(last_second), &alice, &secret("right")));
        assert!(!cache.knows(now(last_second), &alice, &secret("wrong")));
        assert!(!cache.knows(now(last_second), &account(2), &secret("right")));
        assert!(!cache.knows(now(last_second + 1), &alice, &secret("right")));
        assert!(cache.entries.is_empty());
    }

    #[test]
    fn change_of_the_account_makes_it_void() {
        let mut cache = PasswordCache::new(&[1; 32]);
        cache.remember(now(0), &account(1), &secret("right"));
        let newer = Account {
            generation: 2,
            ..account(1)
        };
        assert!(!cache.knows(now(1), &newer, &secret("right")));
        let changed = Account {
            credential: "v1 {x}".to_owned(),
            ..account(1)
        };
        assert!(!cache.knows(now(1), &changed, &secret("right")));
        assert!(cache.knows(now(1), &account(1), &secret("right")));
        cache.forget(AccountId(1));
        assert!(!cache.knows(now(1), &account(1), &secret("right")));
    }

    #[test]
    fn full_cache_gives_up_the_account_not_used_for_longest() {
        let mut cache = PasswordCache::new(&[1; 32]);
        let count = limits::PASSWORD_CACHE_ENTRIES as u64;
        for id in 0..count {
            cache.remember(now(0), &account(id), &secret("x"));
        }
        assert!(cache.knows(now(0), &account(0), &secret("x")));
        cache.remember(now(0), &account(count), &secret("x"));
        assert_eq!(cache.entries.len(), limits::PASSWORD_CACHE_ENTRIES);
        assert!(cache.knows(now(0), &account(0), &secret("x")));
        assert!(!cache.knows(now(0), &account(1), &secret("x")));
        assert!(cache.knows(now(0), &account(count), &secret("x")));
    }
}
