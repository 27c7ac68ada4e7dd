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

    /// Whether it is known of all that are wanted whether they could be opened.
    pub(super) fn are_settled(&self) -> bool {
        let mut wanted = self.wanted.iter();
        wanted.all(|spec| self.is_open(spec) || self.failed.contains(spec))
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
                tracing::info!(address = %spec.address, "listening for {}", spec.kind.name());
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
