//! What waits to be told to one target.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use rmail_proto::{Instant, Now};

use crate::{
    api::subscriptions::{Change, Event, LifecycleEvent, Merged, Subscriber, Waiting, tell},
    limits,
};

/// Which of a subscription's targets.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Channel {
    /// That of its notifications.
    Changes,
    /// That of lifecycle notifications.
    Lifecycle,
}

/// Names a queue.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QueueName {
    /// The subscription's id.
    pub key: u128,
    /// Which of its targets.
    pub channel: Channel,
}

/// Events for one target, in order. One post is at work at a time, so the order of what is told of
/// one message is kept.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) subscriber: Arc<Subscriber>,
    entries: VecDeque<Entry>,
    /// The first so many are being posted.
    posted: usize,
    /// Posts that have failed one after the other.
    failures: u32,
    retry_at: Option<Instant>,
    /// Whether it was told, since the last post that was taken, that something was missed.
    has_missed: bool,
    /// Whether there is no such subscription any more: it ends with the post that is at work.
    is_abandoned: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    waiting: Waiting,
    /// Whether the target may have heard of it: a post of it failed, or a process died.
    was_tried: bool,
}

/// What became of an event that was pushed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pushed {
    /// It waits, by itself or merged with another.
    Waits,
    /// Another was taken out, and there is nothing to tell.
    Cancelled,
    /// There is no room for it.
    Refused,
}

impl Queue {
    pub(super) fn new(subscriber: Arc<Subscriber>) -> Self {
        Self {
            subscriber,
            entries: VecDeque::new(),
            posted: 0,
            failures: 0,
            retry_at: None,
            has_missed: false,
            is_abandoned: false,
        }
    }

    /// Whether nothing is to be posted, and nothing is being posted.
    pub(super) fn is_over(&self) -> bool {
        self.posted == 0 && (self.entries.is_empty() || self.is_abandoned)
    }

    /// The subscription is gone: nothing more is told.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
    }

    pub(super) fn is_posting(&self) -> bool {
        self.posted > 0
    }

    /// When something is to be posted, if nothing is being posted.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let is_idle = self.posted == 0 && !self.is_over();
        is_idle.then(|| self.retry_at.unwrap_or_default())
    }

    /// What waits, in order; the first of it may be being posted.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Waiting> {
        self.entries.iter().map(|entry| &entry.waiting)
    }

    /// Adds what a dead process was to tell, and may have told.
    pub(super) fn inherit(&mut self, waiting: Waiting) {
        self.entries.push_back(Entry {
            waiting,
            was_tried: true,
        });
    }

    /// Adds an event; changes of one message are merged.
    pub(super) fn push(&mut self, now: Now, event: Event) -> Pushed {
        if let Event::Changed(change) = event
            && let Some(pushed) = self.merge(change)
        {
            return pushed;
        }
        if self.entries.len() >= limits::NOTIFICATIONS_WAITING {
            return Pushed::Refused;
        }
        let since = now.unix;
        self.entries.push_back(Entry {
            waiting: Waiting { event, since },
            was_tried: false,
        });
        Pushed::Waits
    }

    /// Merges a change with the last one of the same message that is not being posted, if it can.
    fn merge(&mut self, change: Change) -> Option<Pushed> {
        let entries = self.entries.iter().enumerate().skip(self.posted).rev();
        let mut known = entries.filter_map(|(index, entry)| match entry.waiting.event {
            Event::Changed(known) => Some((index, known, entry.was_tried)),
            Event::Lifecycle(_) => None,
        });
        let (index, known, was_tried) =
            known.find(|(_, known, _)| known.instance == change.instance)?;
        match known.kind.merge(change.kind, was_tried) {
            Merged::One(kind) => {
                self.entries[index].waiting.event = Event::Changed(Change { kind, ..change });
                Some(Pushed::Waits)
            }
            Merged::Nothing => {
                self.entries.remove(index);
                Some(Pushed::Cancelled)
            }
            Merged::Both => None,
        }
    }

    /// Adds that changes were missed, unless it waits already.
    pub(super) fn push_once(&mut self, now: Now, event: LifecycleEvent) {
        let event = Event::Lifecycle(event);
        if !self.waiting().any(|waiting| waiting.event == event) {
            self.push(now, event);
        }
    }

    /// Whether something was missed since the last post that was taken.
    pub(super) fn has_missed(&self) -> bool {
        self.has_missed
    }

    /// Whether it is to be told that something was missed: once until a post is taken.
    pub(super) fn note_missed(&mut self) -> bool {
        !std::mem::replace(&mut self.has_missed, true)
    }

    /// The content of the next post, which is at work from now on.
    pub(super) fn begin(&mut self) -> String {
        self.posted = self.entries.len().min(limits::NOTIFICATIONS_POSTED);
        let posted = self.waiting().take(self.posted);
        tell(&self.subscriber, posted.map(|waiting| &waiting.event))
    }

    /// The post was taken.
    pub(super) fn finish(&mut self) {
        self.entries.drain(..self.posted);
        self.posted = 0;
        self.failures = 0;
        self.retry_at = None;
        self.has_missed = false;
    }

    /// The post was not taken: it is tried again after a pause. Returns how many events are given
    /// up.
    pub(super) fn put_off(&mut self, now: Now) -> usize {
        for entry in self.entries.iter_mut().take(self.posted) {
            entry.was_tried = true;
        }
        self.posted = 0;
        self.retry_at = Some(now.at + pause(self.failures));
        self.failures = self.failures.saturating_add(1);
        let before = self.entries.len();
        let life = limits::POST_RETRY_LIFE.as_secs().cast_signed();
        let is_fresh = |entry: &Entry| now.unix.0.saturating_sub(entry.waiting.since.0) < life;
        self.entries.retain(is_fresh);
        before - self.entries.len()
    }
}

/// How long to wait after so many failures.
fn pause(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.min(16));
    (limits::POST_RETRY_FIRST * factor).min(limits::POST_RETRY_LONGEST)
}

#[cfg(test)]
mod tests {
    use rmail_proto::{AccountId, InstanceId, ModSeq, UnixTime};
    use serde_json::Value;

    use super::*;
    use crate::api::subscriptions::ChangeKind::{self, Created, Deleted, Updated};

    fn queue() -> Queue {
        Queue::new(Arc::new(Subscriber {
            key: 1,
            account: AccountId(1),
            guid: 2,
            notification_url: "https://a.example/".to_owned(),
            lifecycle_url: None,
            client_state: Some("state".to_owned()),
            expires_at: UnixTime(0),
        }))
    }

    fn instant(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn at(seconds: u64) -> Now {
        now_at(instant(seconds))
    }

    fn now_at(at: Instant) -> Now {
        let seconds = at.since_start().as_secs().cast_signed();
        Now {
            at,
            unix: UnixTime(1_800_000_000 + seconds),
        }
    }

    fn change(message: u128, kind: ChangeKind, modseq: u64) -> Event {
        Event::Changed(Change {
            kind,
            instance: InstanceId(message),
            modseq: ModSeq(modseq),
        })
    }

    /// The kinds of what is told, with the messages.
    fn told(content: &str) -> Vec<(String, String)> {
        let content: Value = serde_json::from_str(content).unwrap();
        let told = content["value"].as_array().unwrap().iter().map(|told| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (text(&told["changeType"]), text(&told["resourceData"]["id"]))
        });
        told.collect()
    }

    fn expected(changes: &[(&str, u128)]) -> Vec<(String, String)> {
        let changes = changes.iter();
        changes
            .map(|(kind, message)| ((*kind).to_owned(), InstanceId(*message).to_string()))
            .collect()
    }

    #[test]
    fn changes_of_one_message_are_merged() {
        for (changes, result) in [
            (&[Created, Updated, Updated][..], &["created"][..]),
            (&[Updated, Updated], &["updated"]),
            (&[Updated, Deleted], &["deleted"]),
            (&[Created, Deleted], &[]),
            (&[Created, Updated, Deleted], &[]),
            (&[Deleted, Created], &["deleted", "created"]),
            (&[Deleted, Created, Updated], &["deleted", "created"]),
            (&[Deleted, Created, Deleted], &["deleted"]),
        ] {
            let mut queue = queue();
            for (modseq, kind) in changes.iter().enumerate() {
                let pushed = queue.push(at(0), change(7, *kind, modseq as u64));
                assert_ne!(pushed, Pushed::Refused);
            }
            let result: Vec<_> = result.iter().map(|kind| (*kind, 7)).collect();
            assert_eq!(told(&queue.begin()), expected(&result), "{changes:?}");
        }
    }

    #[test]
    fn what_is_being_posted_is_not_merged_with() {
        let mut queue = queue();
        queue.push(at(0), change(7, Created, 1));
        queue.push(at(0), change(8, Created, 2));
        assert_eq!(told(&queue.begin()).len(), 2);
        queue.push(at(0), change(7, Deleted, 3));
        assert!(queue.due_at().is_none());
        queue.finish();
        assert_eq!(told(&queue.begin()), expected(&[("deleted", 7)]));
    }

    #[test]
    fn target_that_may_have_heard_of_a_message_hears_that_it_is_gone() {
        let mut queue = queue();
        queue.push(at(0), change(7, Created, 1));
        queue.begin();
        queue.put_off(at(0));
        queue.push(at(0), change(7, Deleted, 2));
        assert_eq!(told(&queue.begin()), expected(&[("deleted", 7)]));
    }

    #[test]
    fn a_post_has_a_hundred_notifications_and_the_queue_a_thousand() {
        let mut queue = queue();
        for message in 0..limits::NOTIFICATIONS_WAITING {
            let pushed = queue.push(at(0), change(message as u128, Created, 1));
            assert_eq!(pushed, Pushed::Waits);
        }
        let pushed = queue.push(at(0), change(5_000, Created, 2));
        assert_eq!(pushed, Pushed::Refused);
        assert_eq!(queue.push(at(0), change(5, Updated, 2)), Pushed::Waits);
        for _ in 0..limits::NOTIFICATIONS_WAITING / limits::NOTIFICATIONS_POSTED {
            assert_eq!(told(&queue.begin()).len(), limits::NOTIFICATIONS_POSTED);
            queue.finish();
        }
        assert!(queue.is_over());
    }

    #[test]
    fn pauses_grow_and_after_four_hours_all_is_given_up() {
        let mut queue = queue();
        queue.push(at(0), change(1, Created, 1));
        let (mut now, mut pauses) = (at(0), Vec::new());
        let given_up = loop {
            queue.begin();
            let given_up = queue.put_off(now);
            let Some(due) = queue.due_at() else {
                break given_up;
            };
            pauses.push(due.since(now.at));
            now = now_at(due);
        };
        assert_eq!(given_up, 1);
        assert!(pauses.is_sorted() && pauses.len() > 10, "{pauses:?}");
        assert_eq!(pauses.last(), Some(&limits::POST_RETRY_LONGEST));
        let life = limits::POST_RETRY_LIFE;
        let end = instant(0) + life;
        assert!(now.at >= end && now.at < end + limits::POST_RETRY_LONGEST);
    }

    #[test]
    fn post_that_was_taken_ends_the_pauses() {
        let mut queue = queue();
        queue.push(at(0), change(1, Created, 1));
        queue.begin();
        queue.put_off(at(0));
        assert_eq!(queue.due_at(), Some(instant(2)));
        queue.begin();
        queue.finish();
        queue.push(at(3), change(1, Updated, 2));
        assert_eq!(queue.due_at(), Some(Instant::default()));
    }
}
