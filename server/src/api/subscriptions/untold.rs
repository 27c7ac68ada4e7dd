//! What a target is still to be told, as the record of its subscription keeps it.
//!
//! The process that has found the first of it tells all of it, and is named here. Others leave such
//! a subscription alone for as long as that process lives, so a target hears of a message in order.
//! Whoever finds it dead tells in its place. What the dead one had posted nobody knows: all of it
//! is told.

use rmail_proto::{InstanceId, ModSeq, UnixTime};
use serde::{Deserialize, Serialize};

use super::{Change, ChangeKind, Event, LifecycleEvent};
use crate::limits;

/// What waits to be told, and who tells it. At most [`limits::NOTIFICATIONS_WAITING`] changes, some
/// 60 bytes each.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Untold {
    /// The process that tells, as [`Store::process_name`](rmail_store::Store::process_name) has it.
    pub teller: String,
    /// What, in order.
    pub waiting: Vec<Waiting>,
    /// Whether the target was told, or will be, that something was missed since it last took a
    /// post.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_missed: bool,
}

/// An event that waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Waiting {
    /// What has happened.
    pub event: Event,
    /// Since when it waits: it is given up [`limits::POST_RETRY_LIFE`] later.
    pub since: UnixTime,
}

impl Untold {
    /// Adds what has changed; returns what there was room for, and that something was missed if
    /// there was not enough.
    pub fn add(
        &mut self,
        now: UnixTime,
        changes: impl IntoIterator<Item = Change>,
        has_lifecycle: bool,
    ) -> Vec<Event> {
        let mut added = Vec::new();
        let mut is_missed = false;
        for change in changes {
            match self.add_change(now, change) {
                true => added.push(Event::Changed(change)),
                false => is_missed = true,
            }
        }
        if is_missed {
            added.push(self.miss(now, has_lifecycle));
        }
        added
    }

    /// Changes of one message are merged. As its teller may be posting any of them, they don't
    /// cancel each other out here: it knows better, and will say so.
    fn add_change(&mut self, now: UnixTime, change: Change) -> bool {
        let last = self.waiting.iter_mut().rev().find_map(|waiting| {
            let is_same = |known: &&mut Change| known.instance == change.instance;
            waiting.change_mut().filter(is_same)
        });
        if let Some(known) = last
            && let Merged::One(kind) = known.kind.merge(change.kind, true)
        {
            *known = Change { kind, ..change };
            return true;
        }
        let has_room = self.waiting.len() < limits::NOTIFICATIONS_WAITING;
        if has_room {
            let event = Event::Changed(change);
            self.waiting.push(Waiting { event, since: now });
        }
        has_room
    }

    /// Something was missed: that waits, once, if there is anybody to be told.
    pub fn miss(&mut self, now: UnixTime, has_lifecycle: bool) -> Event {
        let event = Event::Lifecycle(LifecycleEvent::Missed);
        if !std::mem::replace(&mut self.has_missed, true) && has_lifecycle {
            self.waiting.push(Waiting { event, since: now });
        }
        event
    }

    /// The subscription is removed: that waits, and nothing else, if there is anybody to be told.
    pub fn remove(&mut self, now: UnixTime, has_lifecycle: bool) -> Event {
        let event = Event::Lifecycle(LifecycleEvent::Removed);
        let waiting = Waiting { event, since: now };
        self.waiting = has_lifecycle.then_some(waiting).into_iter().collect();
        event
    }

    /// Whether it waits that the subscription is removed.
    pub fn is_removal(&self) -> bool {
        let removed = Event::Lifecycle(LifecycleEvent::Removed);
        self.waiting.iter().any(|waiting| waiting.event == removed)
    }

    /// It is told by this process, if there is anything to be told.
    pub fn told_by(&self, teller: &str) -> Option<Self> {
        let is_something = !self.waiting.is_empty();
        is_something.then(|| Self {
            teller: teller.to_owned(),
            ..self.clone()
        })
    }
}

impl Waiting {
    fn change_mut(&mut self) -> Option<&mut Change> {
        match &mut self.event {
            Event::Changed(change) => Some(change),
            Event::Lifecycle(_) => None,
        }
    }

    /// Since when, which event; of a change, of which message, and when as the account counts.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let since = UnixTime(words.next()?.parse().ok()?);
        let kind = match words.next()? {
            "c" => ChangeKind::Created,
            "u" => ChangeKind::Updated,
            "d" => ChangeKind::Deleted,
            "missed" => {
                let event = Event::Lifecycle(LifecycleEvent::Missed);
                return Some(Self { event, since });
            }
            "removed" => {
                let event = Event::Lifecycle(LifecycleEvent::Removed);
                return Some(Self { event, since });
            }
            _ => return None,
        };
        let change = Change {
            kind,
            instance: InstanceId::parse(words.next()?)?,
            modseq: ModSeq(words.next()?.parse().ok()?),
        };
        let event = Event::Changed(change);
        Some(Self { event, since })
    }
}

impl TryFrom<String> for Waiting {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("this is no event")
    }
}

impl From<Waiting> for String {
    fn from(waiting: Waiting) -> Self {
        let since = waiting.since.0;
        match waiting.event {
            Event::Changed(change) => {
                let kind = match change.kind {
                    ChangeKind::Created => "c",
                    ChangeKind::Updated => "u",
                    ChangeKind::Deleted => "d",
                };
                format!("{since} {kind} {} {}", change.instance, change.modseq.0)
            }
            Event::Lifecycle(LifecycleEvent::Missed) => format!("{since} missed"),
            Event::Lifecycle(LifecycleEvent::Removed) => format!("{since} removed"),
        }
    }
}

/// What two changes of one message come to, one after the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Merged {
    /// One change.
    One(ChangeKind),
    /// None.
    Nothing,
    /// Both are told.
    Both,
}

impl ChangeKind {
    /// Merges this change with a later one. `may_be_known`: the target may have heard of this one.
    pub fn merge(self, later: Self, may_be_known: bool) -> Merged {
        match (self, later) {
            (Self::Created, Self::Deleted) if !may_be_known => Merged::Nothing,
            (Self::Created | Self::Updated, Self::Deleted) => Merged::One(Self::Deleted),
            (Self::Created, Self::Updated) => Merged::One(Self::Created),
            (Self::Updated, Self::Updated) => Merged::One(Self::Updated),
            // It went and came back.
            (Self::Deleted, _) | (_, Self::Created) => Merged::Both,
        }
    }
}

#[cfg(test)]
mod tests {
    use ChangeKind::{Created, Deleted, Updated};

    use super::*;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn change(message: u128, kind: ChangeKind, modseq: u64) -> Change {
        Change {
            kind,
            instance: InstanceId(message),
            modseq: ModSeq(modseq),
        }
    }

    fn kinds(untold: &Untold) -> Vec<ChangeKind> {
        let changes = untold.waiting.iter().map(|waiting| match waiting.event {
            Event::Changed(change) => change.kind,
            Event::Lifecycle(event) => panic!("{event:?}"),
        });
        changes.collect()
    }

    #[test]
    fn events_are_short_and_read_as_they_were_written() {
        let kinds = ChangeKind::ALL.into_iter();
        let mut events: Vec<Event> = kinds
            .map(|kind| Event::Changed(change(u128::MAX, kind, 4_000_000_000)))
            .collect();
        events.push(Event::Lifecycle(LifecycleEvent::Missed));
        events.push(Event::Lifecycle(LifecycleEvent::Removed));
        for event in events {
            let waiting = Waiting { event, since: NOW };
            let text = serde_json::to_string(&waiting).unwrap();
            assert!(text.len() <= 60, "{text}");
            assert_eq!(serde_json::from_str::<Waiting>(&text).unwrap(), waiting);
        }
    }

    #[test]
    fn text_that_is_no_event_is_refused() {
        for text in ["", "1800000000", "1800000000 x", "1 c I1 1", "now missed"] {
            assert!(Waiting::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn changes_are_merged_as_if_the_target_had_heard_of_them() {
        for (changes, result) in [
            (&[Created, Updated, Updated][..], &[Created][..]),
            (&[Updated, Deleted], &[Deleted]),
            (&[Created, Deleted], &[Deleted]),
            (&[Deleted, Created], &[Deleted, Created]),
        ] {
            let mut untold = Untold::default();
            for (modseq, kind) in (1..).zip(changes) {
                untold.add(NOW, [change(7, *kind, modseq)], true);
            }
            assert_eq!(kinds(&untold), result, "{changes:?}");
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_missed_once() {
        let mut untold = Untold::default();
        let many = 1 + limits::NOTIFICATIONS_WAITING as u128;
        let changes = (0..many).map(|message| change(message, Created, 1));
        let added = untold.add(NOW, changes, true);
        let missed = Event::Lifecycle(LifecycleEvent::Missed);
        assert_eq!(added.len(), limits::NOTIFICATIONS_WAITING + 1);
        assert_eq!(added.last(), Some(&missed));
        untold.add(NOW, [change(5_000, Created, 2)], true);
        let waiting = untold.waiting.iter();
        assert_eq!(waiting.filter(|waiting| waiting.event == missed).count(), 1);
        assert_eq!(untold.waiting.len(), limits::NOTIFICATIONS_WAITING + 1);
        // What is known of already still finds room.
        assert_eq!(untold.add(NOW, [change(5, Updated, 2)], true).len(), 1);
    }
}
