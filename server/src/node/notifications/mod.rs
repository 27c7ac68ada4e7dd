//! Change notifications: who is to be told of changed mail, and when.
//!
//! Mail of an account changes, here or in another process, and its account is marked. A moment
//! later a job looks what has changed for the account's subscriptions; of several processes, one
//! finds it to be its own to tell. That waits in a [`Queue`] for each target, which is told by one
//! post after the other, and in the subscription's record, from which another process takes it
//! when this one dies. Once a queue has become shorter, a job says so in the record.
//!
//! ```text
//!  write, hint ──► marked ──► Search ──► Queue ──► Post ──► taken ──────────────────► Keep
//!                    ▲ busy     │          ▲ pause   │                                 ▲
//!                    └──────────┘          └─────────┘ for 4 hours, then given up ─────┘
//!                                                      and `missed`
//! ```

mod job;
mod queue;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use rmail_proto::{AccountId, Instant, Now};
use rmail_store::StoreError;

use self::queue::{Pushed, Queue};
pub use self::{
    job::{NotifyDone, NotifyJob},
    queue::{Channel, QueueName},
};
use super::{
    Job, Node, NodeTimer,
    lifecycle::{Look, Stopping},
};
use crate::{
    api::subscriptions::{
        Event, LifecycleEvent, Subscriber, Untold,
        search::{News, Subscribers},
    },
    limits,
};

/// What the node knows of subscriptions.
#[derive(Debug, Default)]
pub(super) struct Notifications {
    subscribers: BTreeMap<u128, Arc<Subscriber>>,
    /// Those who have subscriptions.
    accounts: BTreeSet<AccountId>,
    load: Look,
    /// Those whose mail has changed since it was looked at.
    marked: BTreeSet<AccountId>,
    search: Search,
    /// Subscriptions whose records may say more than is left to be told.
    unkept: BTreeSet<u128>,
    /// Whether a job is at work that writes records: one at a time.
    is_writing: bool,
    /// Another process has written something, and may not have said what.
    is_sweep_wanted: bool,
    queues: BTreeMap<QueueName, Queue>,
    posts_running: usize,
    /// The queue that was last posted from: others come first.
    last: Option<QueueName>,
    /// When the timer for posts rings.
    wakes_at: Option<Instant>,
}

/// Whether changes are being looked for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Search {
    #[default]
    Idle,
    /// Changes are gathered for a moment.
    Settling,
    /// It is the next thing to do.
    Due,
}

impl Node {
    /// Subscriptions may have changed: reads them.
    pub(super) fn load_subscriptions(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        let load = &mut self.notifications.load;
        if *load == Look::Idle {
            *load = Look::Begun;
            self.run(Job::Notify(NotifyJob::Load(now.unix)));
        } else {
            *load = Look::BegunAndStale;
        }
    }

    /// Reads all of them from time to time, as a hint may have been lost.
    pub(super) fn handle_subscriptions_timer(&mut self, now: Now) {
        self.load_subscriptions(now);
        if std::mem::take(&mut self.notifications.is_sweep_wanted) {
            self.mark_all(now);
        }
        let at = now.at + limits::SUBSCRIPTIONS_INTERVAL;
        self.set_timer(at, NodeTimer::Subscriptions);
    }

    /// The mail of an account has changed.
    pub(super) fn mark_changed(&mut self, now: Now, account: AccountId) {
        if self.notifications.accounts.contains(&account) {
            self.notifications.marked.insert(account);
            self.settle(now);
        }
    }

    /// Other processes have written. They tell of it by themselves, unless they have died.
    pub(super) fn note_peers_writes(&mut self, now: Now, have_died: bool) {
        match have_died {
            true => self.mark_all(now),
            false => self.notifications.is_sweep_wanted = true,
        }
    }

    fn mark_all(&mut self, now: Now) {
        let all = self.notifications.accounts.iter().copied();
        self.notifications.marked.extend(all);
        self.settle(now);
    }

    /// Looks at marked accounts, and writes what is to be written, in a moment.
    fn settle(&mut self, now: Now) {
        let notifications = &mut self.notifications;
        let is_idle = notifications.marked.is_empty() && notifications.unkept.is_empty();
        if notifications.search == Search::Idle && !is_idle {
            notifications.search = Search::Settling;
            let at = now.at + limits::NOTIFICATIONS_SETTLE;
            self.set_timer(at, NodeTimer::Settled);
        }
    }

    pub(super) fn handle_settled(&mut self, now: Now) {
        self.notifications.search = Search::Due;
        self.write_records(now);
    }

    /// Begins the next job that writes records, if none is at work. When the process is to stop,
    /// it still writes down what was told.
    fn write_records(&mut self, now: Now) {
        let notifications = &mut self.notifications;
        if notifications.is_writing || self.stopping == Some(Stopping::Stopped) {
            return;
        }
        let is_due = notifications.search == Search::Due;
        if is_due {
            notifications.search = Search::Idle;
        }
        let job = if is_due && !notifications.marked.is_empty() && self.stopping.is_none() {
            notifications.begin_search(now)
        } else if !notifications.unkept.is_empty() {
            notifications.begin_keep(now)
        } else {
            return;
        };
        notifications.is_writing = true;
        self.run(Job::Notify(job));
    }

    pub(super) fn handle_notify_done(&mut self, now: Now, done: NotifyDone) {
        match done {
            NotifyDone::Loaded(outcome) => self.handle_loaded_subscriptions(now, outcome),
            NotifyDone::Searched(found) => self.handle_searched(now, found),
            NotifyDone::Kept(keys, outcome) => self.handle_kept(now, keys, outcome),
            NotifyDone::Posted(queue, outcome) => self.handle_posted(now, queue, outcome),
        }
    }

    fn handle_loaded_subscriptions(&mut self, now: Now, outcome: Result<Subscribers, StoreError>) {
        let notifications = &mut self.notifications;
        let is_stale = std::mem::take(&mut notifications.load) == Look::BegunAndStale;
        match outcome {
            Ok(subscribers) => {
                notifications.replace(subscribers.all);
                for (key, account) in subscribers.ours {
                    if !notifications.tells(key) {
                        notifications.marked.insert(account);
                    }
                }
            }
            Err(error) => super::log_failure(&error, "subscriptions can't be read"),
        }
        if is_stale {
            self.load_subscriptions(now);
        }
        self.settle(now);
        self.post(now);
    }

    fn handle_searched(
        &mut self,
        now: Now,
        found: Vec<(AccountId, Result<Vec<News>, StoreError>)>,
    ) {
        self.notifications.is_writing = false;
        for (account, outcome) in found {
            match outcome {
                Ok(news) => {
                    for news in news {
                        self.notifications.take(now, &news);
                    }
                }
                Err(StoreError::Busy) => {
                    self.notifications.marked.insert(account);
                }
                Err(error) => super::log_failure(&error, "changes can't be told"),
            }
        }
        self.settle(now);
        self.post(now);
        self.write_records(now);
    }

    fn handle_kept(&mut self, now: Now, keys: Vec<u128>, outcome: Result<(), StoreError>) {
        let notifications = &mut self.notifications;
        notifications.is_writing = false;
        let is_done = outcome.is_ok();
        match outcome {
            Ok(()) => {}
            Err(StoreError::Busy) => {
                notifications.unkept.extend(keys);
                self.settle(now);
            }
            // It is done with what comes next, at the latest once all subscriptions are read.
            Err(error) => {
                notifications.unkept.extend(keys);
                super::log_failure(&error, "it can't be noted what was told");
            }
        }
        if is_done || self.notifications.search == Search::Due {
            self.write_records(now);
        }
    }

    fn handle_posted(&mut self, now: Now, name: QueueName, outcome: Result<(), String>) {
        let notifications = &mut self.notifications;
        notifications.posts_running -= 1;
        if let Some(queue) = notifications.queues.get_mut(&name) {
            let is_shorter = match outcome {
                Ok(()) => {
                    queue.finish();
                    true
                }
                Err(reason) => {
                    let subscription = crate::api::token::write_guid(name.key);
                    tracing::info!(subscription, reason, "a notification was not taken");
                    let is_given_up = queue.put_off(now) > 0;
                    if is_given_up && name.channel == Channel::Changes {
                        let subscriber = Arc::clone(&queue.subscriber);
                        notifications.tell_missed(now, &subscriber);
                    }
                    is_given_up
                }
            };
            if is_shorter {
                notifications.unkept.insert(name.key);
            }
        }
        let queues = &mut notifications.queues;
        if queues.get(&name).is_some_and(Queue::is_over) {
            queues.remove(&name);
        }
        self.post(now);
        self.write_records(now);
    }

    /// Posts what is due, as far as the bounds allow.
    pub(super) fn post(&mut self, now: Now) {
        if self.stopping.is_some() {
            return;
        }
        while let Some(name) = self.notifications.next_due(now) {
            let queue = self.notifications.queues.get_mut(&name);
            let queue = queue.expect("it was just found");
            let subscriber = Arc::clone(&queue.subscriber);
            let url = match name.channel {
                Channel::Changes => Some(&subscriber.notification_url),
                Channel::Lifecycle => subscriber.lifecycle_url.as_ref(),
            };
            let job = NotifyJob::Post {
                queue: name,
                url: url.cloned().unwrap_or_default(),
                content: queue.begin(),
                config: Arc::clone(&self.config),
            };
            self.notifications.last = Some(name);
            self.notifications.posts_running += 1;
            self.run(Job::Notify(job));
        }
        let due = self.notifications.queues.values().filter_map(Queue::due_at);
        let due = due.filter(|due| *due > now.at).min();
        let wakes_at = self.notifications.wakes_at;
        if let Some(at) = due
            && wakes_at.is_none_or(|wakes_at| at < wakes_at)
        {
            self.notifications.wakes_at = Some(at);
            self.set_timer(at, NodeTimer::Posts);
        }
    }

    pub(super) fn handle_posts_timer(&mut self, now: Now) {
        self.notifications.wakes_at = None;
        self.post(now);
    }
}

impl Notifications {
    /// Takes what subscriptions there are in the place of those that were.
    fn replace(&mut self, subscribers: Vec<Arc<Subscriber>>) {
        let subscribers = subscribers.into_iter();
        let subscribers = subscribers.map(|subscriber| (subscriber.key, subscriber));
        let before = std::mem::replace(&mut self.subscribers, subscribers.collect());
        let all = self.subscribers.values();
        self.accounts = all.map(|subscriber| subscriber.account).collect();
        for (key, subscriber) in &self.subscribers {
            if !before.contains_key(key) {
                // Something may have changed between its beginning and now.
                self.marked.insert(subscriber.account);
            }
        }
        self.queues.retain(|name, queue| {
            if let Some(subscriber) = self.subscribers.get(&name.key) {
                queue.subscriber = Arc::clone(subscriber);
                return true;
            }
            // What was never read before may be newer than what was read now.
            if !before.contains_key(&name.key) {
                return true;
            }
            queue.abandon();
            queue.is_posting()
        });
    }

    /// The job that looks what has changed for some of those who are marked.
    fn begin_search(&mut self, now: Now) -> NotifyJob {
        let mut accounts = Vec::new();
        while accounts.len() < limits::NOTIFICATIONS_ACCOUNTS
            && let Some(account) = self.marked.pop_first()
        {
            accounts.push(account);
        }
        let telling = self.queues.keys().map(|name| name.key);
        NotifyJob::Search {
            accounts,
            telling: telling.chain(self.unkept.iter().copied()).collect(),
            now: now.unix,
        }
    }

    /// The job that writes down what is left to be told to some subscriptions.
    fn begin_keep(&mut self, now: Now) -> NotifyJob {
        let mut left = Vec::new();
        while left.len() < limits::NOTIFICATIONS_KEPT
            && let Some(key) = self.unkept.pop_first()
        {
            left.push((key, self.untold(key)));
        }
        NotifyJob::Keep(left, now.unix)
    }

    /// Whether there is something to be told to a subscription, or to be noted of it.
    fn tells(&self, key: u128) -> bool {
        let channels = [Channel::Changes, Channel::Lifecycle];
        let mut names = channels
            .map(|channel| QueueName { key, channel })
            .into_iter();
        names.any(|name| self.queues.contains_key(&name)) || self.unkept.contains(&key)
    }

    /// What is left to be told to a subscription.
    fn untold(&self, key: u128) -> Untold {
        let queue = |channel| self.queues.get(&QueueName { key, channel });
        let (changes, lifecycle) = (queue(Channel::Changes), queue(Channel::Lifecycle));
        let waiting = changes.into_iter().chain(lifecycle);
        Untold {
            teller: String::new(),
            waiting: waiting.flat_map(Queue::waiting).copied().collect(),
            has_missed: changes.is_some_and(Queue::has_missed),
        }
    }

    /// The queue of a target, which may be a new one.
    fn queue(&mut self, subscriber: &Arc<Subscriber>, channel: Channel) -> &mut Queue {
        let key = subscriber.key;
        let queue = self.queues.entry(QueueName { key, channel });
        queue.or_insert_with(|| Queue::new(Arc::clone(subscriber)))
    }

    /// Queues what is to be told.
    fn take(&mut self, now: Now, news: &News) {
        let subscriber = &news.subscriber;
        if let Some(inherited) = &news.inherited {
            self.inherit(subscriber, inherited);
        }
        for &event in &news.events {
            match event {
                Event::Lifecycle(LifecycleEvent::Missed) => self.tell_missed(now, subscriber),
                Event::Lifecycle(event @ LifecycleEvent::Removed) => {
                    self.tell_lifecycle(now, subscriber, event);
                }
                Event::Changed(_) => {
                    let pushed = self.queue(subscriber, Channel::Changes).push(now, event);
                    if pushed == Pushed::Refused {
                        self.tell_missed(now, subscriber);
                    }
                    if pushed != Pushed::Waits {
                        self.unkept.insert(subscriber.key);
                    }
                }
            }
        }
        // Changes may have cancelled each other out.
        self.queues.retain(|_, queue| !queue.is_over());
    }

    /// Queues what a process that died was to tell.
    fn inherit(&mut self, subscriber: &Arc<Subscriber>, untold: &Untold) {
        for &waiting in &untold.waiting {
            let channel = match waiting.event {
                Event::Changed(_) => Channel::Changes,
                Event::Lifecycle(_) => Channel::Lifecycle,
            };
            self.queue(subscriber, channel).inherit(waiting);
        }
        if untold.has_missed {
            self.queue(subscriber, Channel::Changes).note_missed();
        }
    }

    /// Changes are lost: that is told once.
    fn tell_missed(&mut self, now: Now, subscriber: &Arc<Subscriber>) {
        let name = QueueName {
            key: subscriber.key,
            channel: Channel::Changes,
        };
        let changes = self.queues.get_mut(&name);
        if changes.is_none_or(Queue::note_missed) {
            self.tell_lifecycle(now, subscriber, LifecycleEvent::Missed);
        }
    }

    fn tell_lifecycle(&mut self, now: Now, subscriber: &Arc<Subscriber>, event: LifecycleEvent) {
        if subscriber.lifecycle_url.is_some() {
            self.queue(subscriber, Channel::Lifecycle)
                .push_once(now, event);
        }
    }

    /// The next queue to be posted from: in turn, and so many of each account.
    fn next_due(&mut self, now: Now) -> Option<QueueName> {
        if self.posts_running >= limits::POSTS_RUNNING {
            return None;
        }
        self.queues.retain(|_, queue| {
            let is_over = queue.subscriber.expires_at <= now.unix;
            !is_over || queue.is_posting()
        });
        let is_due = |queue: &Queue| {
            let account = queue.subscriber.account;
            queue.due_at().is_some_and(|due| due <= now.at)
                && self.posts_of(account) < limits::POSTS_RUNNING_EACH
        };
        let after = match self.last {
            Some(last) => (Bound::Excluded(last), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let mut in_turn = self.queues.range(after).chain(&self.queues);
        let found = in_turn.find(|(_, queue)| is_due(queue));
        found.map(|(name, _)| *name)
    }

    fn posts_of(&self, account: AccountId) -> usize {
        let queues = self.queues.values();
        queues
            .filter(|queue| queue.is_posting() && queue.subscriber.account == account)
            .count()
    }
}
