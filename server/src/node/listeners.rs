//! Which listeners are open, and which should be.
//!
//! | state | what comes | next |
//! |---|---|---|
//! | – | it is wanted, and no other has its port | [`Opening`](State::Opening) |
//! | – | it is wanted, and one that is not has its port | that one is closed first |
//! | `Opening` | it is open | `Open`; the one that it replaces is closed |
//! | `Opening` | it can't be opened | –; the one that it would have replaced stays |
//! | `Open` | it is not wanted, and what replaces it, if anything does, is open | `Closing` |
//! | `Closing` | it is closed | – |
//!
//! One whose address stays is not touched. Sessions go on, whatever becomes of the listener that
//! they came in by.

use std::collections::{BTreeMap, BTreeSet};

use super::{ListenerSpec, Node, NodeAction};

/// The listeners of a process.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    states: BTreeMap<ListenerSpec, State>,
    wanted: BTreeSet<ListenerSpec>,
    /// Wanted ones that can't be opened. They are tried again at the next change.
    failed: BTreeSet<ListenerSpec>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Opening,
    Open,
    Closing,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Closing => "closing",
        }
    }
}

impl Listeners {
    /// Those that are open from the start.
    pub(super) fn new(open: Vec<ListenerSpec>) -> Self {
        Self {
            states: open.iter().map(|spec| (*spec, State::Open)).collect(),
            wanted: open.into_iter().collect(),
            failed: BTreeSet::new(),
        }
    }

    pub(super) fn states(&self) -> impl Iterator<Item = (ListenerSpec, State)> {
        self.states.iter().map(|(spec, state)| (*spec, *state))
    }

    /// Whether nothing is on its way: all that are wanted are open or can't be opened, and those
    /// that are replaced or switched off accept no more.
    pub(super) fn are_settled(&self) -> bool {
        let mut wanted = self.wanted.iter();
        self.states.values().all(|state| *state == State::Open)
            && wanted.all(|spec| self.is_open(spec) || self.failed.contains(spec))
    }

    fn is_open(&self, spec: &ListenerSpec) -> bool {
        self.states.get(spec) == Some(&State::Open)
    }

    /// What is to be done next.
    fn settle(&mut self) -> Vec<NodeAction> {
        let mut actions = Vec::new();
        for spec in &self.wanted {
            if self.states.contains_key(spec) || self.failed.contains(spec) {
                continue;
            }
            let has_its_port = |other: &&ListenerSpec| {
                other.address.port() == spec.address.port() && !self.wanted.contains(other)
            };
            let in_the_way: Vec<_> = self.states.keys().filter(has_its_port).copied().collect();
            if in_the_way.is_empty() {
                self.states.insert(*spec, State::Opening);
                actions.push(NodeAction::Listen(*spec));
            }
            for other in in_the_way {
                if self.is_open(&other) {
                    self.states.insert(other, State::Closing);
                    actions.push(NodeAction::CloseListener(other));
                }
            }
        }
        let is_superfluous = |spec: &&ListenerSpec| {
            let mut wanted = self.wanted.iter();
            let is_replaced = wanted.all(|other| other.kind != spec.kind || self.is_open(other));
            self.is_open(spec) && !self.wanted.contains(spec) && is_replaced
        };
        let superfluous: Vec<_> = self.states.keys().filter(is_superfluous).copied().collect();
        for spec in superfluous {
            self.states.insert(spec, State::Closing);
            actions.push(NodeAction::CloseListener(spec));
        }
        actions
    }
}

impl Node {
    /// The listeners that are open; before [`handle_start`](Self::handle_start), those that the
    /// driver has to open first.
    pub fn listeners(&self) -> Vec<ListenerSpec> {
        let states = self.listeners.states();
        let open = states.filter(|(_, state)| *state == State::Open);
        open.map(|(spec, _)| spec).collect()
    }

    /// Says that they are served: not before connections are accepted.
    pub(super) fn tell_listeners(&self) {
        for spec in self.listeners() {
            tell_listening(spec);
        }
    }

    /// These are to be open from now on.
    pub(super) fn want_listeners(&mut self, wanted: Vec<ListenerSpec>) {
        self.listeners.wanted = wanted.into_iter().collect();
        self.listeners.failed.clear();
        self.settle_listeners();
    }

    /// What became of [`NodeAction::Listen`]; a failure is for the operator.
    pub fn handle_listening(&mut self, spec: ListenerSpec, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                tell_listening(spec);
                self.listeners.states.insert(spec, State::Open);
            }
            Err(reason) => {
                tracing::error!("{reason}");
                self.note_reload(reason);
                self.listeners.states.remove(&spec);
                self.listeners.failed.insert(spec);
            }
        }
        self.settle_listeners();
    }

    /// What [`NodeAction::CloseListener`] named is closed.
    pub fn handle_listener_closed(&mut self, spec: ListenerSpec) {
        tracing::info!(address = %spec.address, "listening for {} no more", spec.kind.name());
        self.listeners.states.remove(&spec);
        self.settle_listeners();
    }

    fn settle_listeners(&mut self) {
        let actions = self.listeners.settle();
        self.actions.extend(actions);
        self.answer_reloads();
    }
}

fn tell_listening(spec: ListenerSpec) {
    tracing::info!(address = %spec.address, "listening for {}", spec.kind.name());
}

#[cfg(test)]
mod tests {
    use NodeAction::{CloseListener, Listen};

    use super::*;
    use crate::node::ListenerKind;

    fn spec(kind: ListenerKind, address: &str) -> ListenerSpec {
        let address = address.parse().unwrap();
        ListenerSpec { kind, address }
    }

    fn smtp(address: &str) -> ListenerSpec {
        spec(ListenerKind::Smtp, address)
    }

    /// What is to be done when these are wanted.
    fn want(listeners: &mut Listeners, wanted: &[ListenerSpec]) -> String {
        listeners.wanted = wanted.iter().copied().collect();
        listeners.failed.clear();
        settle(listeners)
    }

    fn settle(listeners: &mut Listeners) -> String {
        let tell = |action| match action {
            Listen(spec) => format!("open {} ", spec.address),
            CloseListener(spec) => format!("close {} ", spec.address),
            other => panic!("{other:?}"),
        };
        listeners.settle().into_iter().map(tell).collect()
    }

    fn opened(listeners: &mut Listeners, spec: ListenerSpec) -> String {
        listeners.states.insert(spec, State::Open);
        settle(listeners)
    }

    fn failed(listeners: &mut Listeners, spec: ListenerSpec) -> String {
        listeners.states.remove(&spec);
        listeners.failed.insert(spec);
        settle(listeners)
    }

    fn closed(listeners: &mut Listeners, spec: ListenerSpec) -> String {
        listeners.states.remove(&spec);
        settle(listeners)
    }

    #[test]
    fn the_old_port_is_closed_once_the_new_one_is_open() {
        let (old, new) = (smtp("127.0.0.1:25"), smtp("127.0.0.1:26"));
        let mut listeners = Listeners::new(vec![old]);
        assert_eq!(want(&mut listeners, &[new]), "open 127.0.0.1:26 ");
        assert!(!listeners.are_settled());
        assert_eq!(opened(&mut listeners, new), "close 127.0.0.1:25 ");
        assert!(!listeners.are_settled(), "the old one accepts still");
        assert_eq!(closed(&mut listeners, old), "");
        assert!(listeners.are_settled());
        assert_eq!(listeners.states().collect::<Vec<_>>(), [(new, State::Open)]);
    }

    #[test]
    fn the_old_port_stays_where_the_new_one_cannot_be_opened_and_it_is_tried_again() {
        let (old, new) = (smtp("127.0.0.1:25"), smtp("127.0.0.1:26"));
        let mut listeners = Listeners::new(vec![old]);
        want(&mut listeners, &[new]);
        assert_eq!(failed(&mut listeners, new), "");
        assert!(listeners.are_settled());
        assert!(listeners.is_open(&old));
        assert_eq!(want(&mut listeners, &[new]), "open 127.0.0.1:26 ");
        assert_eq!(opened(&mut listeners, new), "close 127.0.0.1:25 ");
    }

    #[test]
    fn whoever_has_the_port_is_closed_first() {
        let (one, all) = (smtp("127.0.0.1:25"), smtp("0.0.0.0:25"));
        let mut listeners = Listeners::new(vec![one]);
        assert_eq!(want(&mut listeners, &[all]), "close 127.0.0.1:25 ");
        assert_eq!(settle(&mut listeners), "", "it is on its way");
        assert_eq!(closed(&mut listeners, one), "open 0.0.0.0:25 ");
        assert_eq!(opened(&mut listeners, all), "");
    }

    #[test]
    fn ports_change_hands() {
        let imap = |address| spec(ListenerKind::Imap, address);
        let before = [smtp("127.0.0.1:25"), imap("127.0.0.1:143")];
        let after = [smtp("127.0.0.1:143"), imap("127.0.0.1:25")];
        let mut listeners = Listeners::new(before.to_vec());
        let actions = want(&mut listeners, &after);
        assert_eq!(actions, "close 127.0.0.1:143 close 127.0.0.1:25 ");
        assert_eq!(closed(&mut listeners, before[0]), "open 127.0.0.1:25 ");
        assert_eq!(closed(&mut listeners, before[1]), "open 127.0.0.1:143 ");
        assert_eq!(opened(&mut listeners, after[0]), "");
        assert_eq!(opened(&mut listeners, after[1]), "");
        assert!(listeners.are_settled());
    }

    #[test]
    fn what_stays_is_not_touched_and_what_is_not_wanted_is_closed() {
        let imap = spec(ListenerKind::Imap, "127.0.0.1:143");
        let mut listeners = Listeners::new(vec![smtp("127.0.0.1:25"), imap]);
        let actions = want(&mut listeners, &[smtp("127.0.0.1:25")]);
        assert_eq!(actions, "close 127.0.0.1:143 ");
        assert!(!listeners.are_settled());
        assert_eq!(closed(&mut listeners, imap), "");
        assert!(listeners.are_settled());
        assert_eq!(want(&mut listeners, &[]), "close 127.0.0.1:25 ");
    }

    /// The change is taken back while it is made.
    #[test]
    fn one_that_is_wanted_again_while_it_closes_is_opened_again() {
        let (old, new) = (smtp("127.0.0.1:25"), smtp("127.0.0.1:26"));
        let mut listeners = Listeners::new(vec![old]);
        want(&mut listeners, &[new]);
        opened(&mut listeners, new);
        assert_eq!(want(&mut listeners, &[old]), "");
        assert_eq!(closed(&mut listeners, old), "open 127.0.0.1:25 ");
        assert_eq!(opened(&mut listeners, old), "close 127.0.0.1:26 ");
    }
}
