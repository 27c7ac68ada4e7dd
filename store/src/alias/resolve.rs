//! Whom an address leads to: a walk along aliases that ends whatever they say.
//!
//! The walk goes from target to target, the first one first. An alias that was met before on
//! another way is not entered again; one that is met on its own way is a loop, and leads to
//! nobody. What it may cost is bounded by [`limits::ALIAS_DEPTH`] and [`limits::ALIAS_STEPS`].

use std::collections::BTreeSet;

use rmail_proto::{AccountId, Address};

use super::{Alias, folded};
use crate::{Account, limits};

/// Who an address was found to be.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// An account here.
    Account(Account),
    /// An alias; its targets follow, unless it is disabled.
    Alias(Alias),
    /// An alias whose targets have been looked at before.
    Again(Alias),
    /// An alias that leads here itself.
    Loop(Alias),
    /// Another server's.
    Foreign,
    /// Nobody's.
    Nobody,
}

/// An address on the way.
#[derive(Clone, Debug)]
pub struct Step {
    /// How many aliases have led to it.
    pub depth: usize,
    /// The address.
    pub address: Address,
    /// Who it is.
    pub meaning: Meaning,
}

/// Why a walk was not taken to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// More aliases one behind the other than [`limits::ALIAS_DEPTH`].
    Depth,
    /// More addresses than [`limits::ALIAS_STEPS`].
    Steps,
}

impl Cut {
    /// Of what there is too much.
    pub fn what(self) -> &'static str {
        match self {
            Self::Depth => "aliases one behind the other",
            Self::Steps => "addresses behind one alias",
        }
    }
}

/// Whom an address leads to, and by which way.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// Each address that was looked at, those that an alias leads to right behind it.
    pub steps: Vec<Step>,
    /// Why some are missing, if so.
    pub cut: Option<Cut>,
}

impl Resolution {
    /// The accounts that get the mail, each once. Those that are disabled get none.
    pub fn accounts(&self) -> Vec<&Account> {
        let mut seen = BTreeSet::new();
        let accounts = self.steps.iter().filter_map(|step| match &step.meaning {
            Meaning::Account(account) => Some(account),
            Meaning::Alias(_)
            | Meaning::Again(_)
            | Meaning::Loop(_)
            | Meaning::Foreign
            | Meaning::Nobody => None,
        });
        accounts
            .filter(|account| account.is_enabled && seen.insert(account.id))
            .collect()
    }

    /// Whether this account gets the mail.
    pub fn reaches(&self, account: AccountId) -> bool {
        self.accounts().iter().any(|reached| reached.id == account)
    }

    /// The addresses at other servers that get the mail, each once.
    pub fn foreign(&self) -> Vec<&Address> {
        let mut seen = BTreeSet::new();
        let foreign = self.steps.iter().filter_map(|step| match step.meaning {
            Meaning::Foreign => Some(&step.address),
            Meaning::Account(_)
            | Meaning::Alias(_)
            | Meaning::Again(_)
            | Meaning::Loop(_)
            | Meaning::Nobody => None,
        });
        foreign
            .filter(|address| seen.insert(folded(address)))
            .collect()
    }

    /// The first address that leads back to an alias before it.
    pub fn find_loop(&self) -> Option<&Address> {
        let mut steps = self.steps.iter();
        let closing = steps.find(|step| matches!(step.meaning, Meaning::Loop(_)))?;
        Some(&closing.address)
    }
}

/// Finds out whom an address leads to. `look_up` answers with an account, an alias, `Foreign` or
/// `Nobody`.
///
/// # Errors
///
/// Those of `look_up`.
pub fn resolve<E>(
    address: &Address,
    look_up: impl FnMut(&Address) -> Result<Meaning, E>,
) -> Result<Resolution, E> {
    let mut walk = Walk::new(look_up, false);
    walk.visit(address)?;
    Ok(walk.resolution)
}

/// Finds out whom an alias leads to, as if it and all others were enabled.
///
/// # Errors
///
/// Those of `look_up`.
pub fn resolve_alias<E>(
    alias: &Alias,
    look_up: impl FnMut(&Address) -> Result<Meaning, E>,
) -> Result<Resolution, E> {
    let mut walk = Walk::new(look_up, true);
    walk.enter(alias)?;
    Ok(walk.resolution)
}

struct Walk<L> {
    look_up: L,
    enters_disabled: bool,
    resolution: Resolution,
    /// The aliases that lead to where the walk is.
    way: Vec<Address>,
    entered: BTreeSet<Address>,
}

impl<L> Walk<L> {
    fn new(look_up: L, enters_disabled: bool) -> Self {
        Self {
            look_up,
            enters_disabled,
            resolution: Resolution::default(),
            way: Vec::new(),
            entered: BTreeSet::new(),
        }
    }

    fn visit<E>(&mut self, address: &Address) -> Result<(), E>
    where
        L: FnMut(&Address) -> Result<Meaning, E>,
    {
        if self.resolution.steps.len() >= limits::ALIAS_STEPS {
            self.resolution.cut = Some(Cut::Steps);
            return Ok(());
        }
        let meaning = match (self.look_up)(address)? {
            Meaning::Alias(alias) if self.way.contains(&alias.address) => Meaning::Loop(alias),
            Meaning::Alias(alias) if self.entered.contains(&alias.address) => Meaning::Again(alias),
            meaning => meaning,
        };
        let next = match &meaning {
            Meaning::Alias(alias) if alias.is_enabled || self.enters_disabled => {
                Some(alias.clone())
            }
            Meaning::Alias(_)
            | Meaning::Account(_)
            | Meaning::Again(_)
            | Meaning::Loop(_)
            | Meaning::Foreign
            | Meaning::Nobody => None,
        };
        self.resolution.steps.push(Step {
            depth: self.way.len(),
            address: address.clone(),
            meaning,
        });
        match next {
            Some(alias) => self.enter(&alias),
            None => Ok(()),
        }
    }

    fn enter<E>(&mut self, alias: &Alias) -> Result<(), E>
    where
        L: FnMut(&Address) -> Result<Meaning, E>,
    {
        if self.way.len() >= limits::ALIAS_DEPTH {
            self.resolution.cut = Some(Cut::Depth);
            return Ok(());
        }
        self.way.push(alias.address.clone());
        self.entered.insert(alias.address.clone());
        for target in &alias.targets {
            self.visit(target)?;
        }
        self.way.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, convert::Infallible};

    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// Aliases by name; names that are missing are those of other servers.
    struct Book(BTreeMap<Address, Alias>);

    impl Book {
        fn new(lines: &[(&str, &str)]) -> Self {
            let aliases = lines.iter().map(|(name, targets)| {
                let targets = targets
                    .split(' ')
                    .map(|target| address(&format!("{target}@x.example")));
                let alias = Alias::new(&address(&format!("{name}@x.example")), targets.collect());
                (alias.address.clone(), alias)
            });
            Self(aliases.collect())
        }

        fn look_up(&self) -> impl FnMut(&Address) -> Result<Meaning, Infallible> + '_ {
            |address| {
                let alias = self.0.get(&folded(address)).cloned();
                Ok(alias.map_or(Meaning::Foreign, Meaning::Alias))
            }
        }

        fn ends(&self, name: &str) -> Vec<String> {
            let Ok(found) = resolve(&address(&format!("{name}@x.example")), self.look_up());
            let ends = found.foreign().into_iter();
            ends.map(|end| end.local_part().to_owned()).collect()
        }
    }

    #[test]
    fn targets_are_reached_through_aliases_and_each_once() {
        let book = Book::new(&[("all", "a dev"), ("dev", "b A c all2"), ("all2", "c dev2")]);
        assert_eq!(book.ends("all"), ["a", "b", "c", "dev2"]);
        assert_eq!(book.ends("ALL2"), ["c", "dev2"]);
        assert_eq!(book.ends("stranger"), ["stranger"]);
    }

    #[test]
    fn two_ways_to_one_alias_are_no_loop() {
        let book = Book::new(&[
            ("all", "dev ops"),
            ("dev", "team"),
            ("ops", "team"),
            ("team", "a"),
        ]);
        let Ok(found) = resolve(&address("all@x.example"), book.look_up());
        assert!(found.find_loop().is_none());
        assert_eq!(book.ends("all"), ["a"]);
    }

    #[test]
    fn a_loop_ends_and_is_named_and_the_others_are_reached() {
        let book = Book::new(&[("a", "b x"), ("b", "c y"), ("c", "a z")]);
        let Ok(found) = resolve(&address("a@x.example"), book.look_up());
        assert_eq!(found.find_loop(), Some(&address("a@x.example")));
        assert_eq!(book.ends("a"), ["z", "y", "x"]);
        assert_eq!(book.ends("c"), ["y", "x", "z"]);
    }

    #[test]
    fn a_disabled_alias_leads_to_nobody_but_a_loop_through_it_is_found() {
        let mut book = Book::new(&[("a", "b x"), ("b", "a y")]);
        let b = book.0.get_mut(&address("b@x.example")).unwrap();
        b.is_enabled = false;
        assert_eq!(book.ends("a"), ["x"]);
        let alias = &book.0[&address("a@x.example")];
        let Ok(found) = resolve_alias(alias, book.look_up());
        assert_eq!(found.find_loop(), Some(&address("a@x.example")));
    }

    #[test]
    fn the_last_alias_that_is_followed_is_entered_and_one_more_is_not() {
        let chain = |length: usize| {
            let lines = (0..length).map(|n| (format!("n{n}"), format!("n{}", n + 1)));
            let lines: Vec<(String, String)> = lines.collect();
            let lines = lines.iter().map(|(name, to)| (name.as_str(), to.as_str()));
            let book = Book::new(&lines.collect::<Vec<_>>());
            let Ok(found) = resolve(&address("n0@x.example"), book.look_up());
            found
        };
        let found = chain(limits::ALIAS_DEPTH);
        assert_eq!((found.cut, found.foreign().len()), (None, 1));
        let found = chain(limits::ALIAS_DEPTH + 1);
        assert_eq!((found.cut, found.foreign().len()), (Some(Cut::Depth), 0));
    }

    #[test]
    fn a_walk_looks_at_so_many_addresses_and_no_more() {
        let targets = (1..limits::ALIAS_STEPS).map(|n| format!("t{n}"));
        let targets = targets.collect::<Vec<_>>().join(" ");
        let book = Book::new(&[("all", &targets)]);
        let Ok(found) = resolve(&address("all@x.example"), book.look_up());
        assert_eq!((found.cut, found.steps.len()), (None, limits::ALIAS_STEPS));
        let book = Book::new(&[("all", &format!("{targets} more"))]);
        let Ok(found) = resolve(&address("all@x.example"), book.look_up());
        assert_eq!(found.cut, Some(Cut::Steps));
        assert_eq!(found.steps.len(), limits::ALIAS_STEPS);
    }

    proptest! {
        /// Against reachability in a graph, by the most naive way.
        #[test]
        fn who_is_reached_is_who_can_be_and_a_loop_is_told_exactly_if_there_is_one(
            edges in prop::collection::vec(prop::collection::vec(0_usize..9, 1..4), 6)
        ) {
            let lines: Vec<(String, String)> = edges.iter().enumerate().map(|(from, to)| {
                let to: Vec<String> = to.iter().map(|to| format!("n{to}")).collect();
                (format!("n{from}"), to.join(" "))
            }).collect();
            let lines: Vec<(&str, &str)> =
                lines.iter().map(|(name, to)| (name.as_str(), to.as_str())).collect();
            let book = Book::new(&lines);
            let reachable = |start: usize| {
                let mut reached = BTreeSet::from([start]);
                loop {
                    let next: BTreeSet<usize> = reached.iter()
                        .filter_map(|&from| edges.get(from)).flatten().copied().collect();
                    let before = reached.len();
                    reached.extend(next);
                    if reached.len() == before {
                        return reached;
                    }
                }
            };
            let reached = reachable(0);
            let mut ends = book.ends("n0");
            ends.sort();
            let expected: Vec<String> =
                reached.iter().filter(|&&n| n >= edges.len()).map(|n| format!("n{n}")).collect();
            prop_assert_eq!(ends, expected);
            let has_loop = reached.iter().any(|&n| {
                edges.get(n).into_iter().flatten().any(|&to| reachable(to).contains(&n))
            });
            let Ok(found) = resolve(&address("n0@x.example"), book.look_up());
            prop_assert_eq!(found.find_loop().is_some(), has_loop);
        }
    }
}
