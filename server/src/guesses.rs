//! Failed logins for each account, wherever they come from: where there are many, somebody guesses
//! a password from many addresses, each of which stays below what locks it out.
//!
//! Answers to logins for such an account are slowed, the right ones, too, or whoever guesses would
//! not wait for the others. Nobody is locked out: the owner waits as well, but for a moment, and
//! not where the password was verified shortly before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rmail_proto::{Address, Instant};

use crate::limits;

/// Counts failed logins for at most [`limits::ACCOUNTS_GUESSED`] accounts, those that are not
/// there included; the one that was tried longest ago goes first.
#[derive(Debug, Default)]
pub struct Guesses {
    accounts: BTreeMap<String, VecDeque<Instant>>,
    /// Whom to forget first.
    by_age: BTreeSet<(Instant, String)>,
}

impl Guesses {
    /// A login for this account has failed.
    pub fn note(&mut self, now: Instant, account: &Address) {
        let name = key(account);
        let mut failures = match self.accounts.remove(&name) {
            Some(failures) => {
                let last = failures.back().copied();
                let last = last.expect("an account is there because of a failure");
                self.by_age.remove(&(last, name.clone()));
                failures
            }
            None => VecDeque::new(),
        };
        if self.accounts.len() >= limits::ACCOUNTS_GUESSED
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.accounts.remove(&oldest);
        }
        if failures.len() >= limits::GUESSES_MAX {
            failures.pop_front();
        }
        failures.push_back(now);
        self.by_age.insert((now, name.clone()));
        self.accounts.insert(name, failures);
    }

    /// Whether there were [`limits::GUESSES_MAX`] within [`limits::GUESSES_TIME`].
    pub fn are_many(&self, now: Instant, account: &Address) -> bool {
        let failures = self.accounts.get(&key(account));
        failures.is_some_and(|failures| {
            let first = failures.front().copied();
            failures.len() >= limits::GUESSES_MAX
                && first.is_some_and(|first| now < first + limits::GUESSES_TIME)
        })
    }
}

/// The letters' case makes no other account.
fn key(account: &Address) -> String {
    account.to_string().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn an_account_is_guessed_at_the_hundredth_failure_and_for_an_hour_after_the_first() {
        let mut guesses = Guesses::default();
        let ann = address("ann@mail.example");
        for second in 0..99 {
            guesses.note(at(second), &ann);
        }
        assert!(!guesses.are_many(at(99), &ann));
        guesses.note(at(99), &address("Ann@Mail.Example"));
        assert!(guesses.are_many(at(99), &ann));
        assert!(!guesses.are_many(at(99), &address("ben@mail.example")));
        assert!(guesses.are_many(at(3_599), &ann));
        assert!(!guesses.are_many(at(3_600), &ann));
        guesses.note(at(3_600), &ann);
        assert!(
            guesses.are_many(at(3_600), &ann),
            "the last hundred are within an hour"
        );
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_stalest_goes_first() {
        let mut guesses = Guesses::default();
        let ann = address("ann@mail.example");
        for second in 0..100 {
            guesses.note(at(second), &ann);
        }
        for number in 1..limits::ACCOUNTS_GUESSED as u64 {
            guesses.note(at(200), &address(&format!("user{number}@mail.example")));
        }
        assert!(guesses.are_many(at(200), &ann));
        guesses.note(at(201), &address("one-more@mail.example"));
        assert!(!guesses.are_many(at(201), &ann));
        assert_eq!(guesses.accounts.len(), limits::ACCOUNTS_GUESSED);
        assert_eq!(guesses.by_age.len(), limits::ACCOUNTS_GUESSED);
    }
}
