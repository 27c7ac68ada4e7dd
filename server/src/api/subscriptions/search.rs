//! Which targets are to be told what: what jobs do for the node.
//!
//! Of several processes on one `mail_root` that find the same change, one tells: the one that has
//! moved the record's [`Marks`](super::Marks) on. The same write says what is [`Untold`] now, and
//! that this process tells it; it does so before anything is told. What was told since is taken out
//! of the record later ([`keep`]). So what a process had not told when it died is told by another.
//!
//! ```text
//!  nothing untold ──── news: advance ────► told by a process ◄─── it is dead: another ──┐
//!        ▲                                   │ more news: advance     takes it over     │
//!        └── all is told, or given up: keep ─┴──────────────────────────────────────────┘
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rmail_proto::{AccountId, UnixTime};
use rmail_store::{Account, DirectoryWrite, Record, RecordKind, Store, StoreError};

use super::{Event, Seen, Subscriber, Subscription, Untold, changes_since};
use crate::limits;

/// What one subscription's target is to be told by us.
#[derive(Clone, Debug)]
pub struct News {
    /// The subscription.
    pub subscriber: Arc<Subscriber>,
    /// What a process that died has left untold: it comes first.
    pub inherited: Option<Untold>,
    /// What has happened since.
    pub events: Vec<Event>,
}

/// All subscriptions.
#[derive(Debug)]
pub struct Subscribers {
    /// Those whose account is there.
    pub all: Vec<Arc<Subscriber>>,
    /// Those to which something is to be told by us, or by a process that is dead; with their
    /// accounts.
    pub ours: Vec<(u128, AccountId)>,
}

/// All subscriptions that there are.
///
/// # Errors
///
/// `Failed`.
pub fn subscribers(store: &dyn Store, now: UnixTime) -> Result<Subscribers, StoreError> {
    let mut guids: BTreeMap<AccountId, Option<u128>> = BTreeMap::new();
    let (mut all, mut ours) = (Vec::new(), Vec::new());
    for record in store.records(now, RecordKind::Subscription, None)? {
        let (Some(account), Some(subscription)) = (record.account, Subscription::read(&record))
        else {
            continue;
        };
        let guid = match guids.get(&account) {
            Some(guid) => *guid,
            None => store.account(account)?.map(|account| account.guid),
        };
        guids.insert(account, guid);
        let Some(guid) = guid else { continue };
        if let Some(untold) = &subscription.untold
            && (untold.teller == store.process_name() || !store.is_alive(&untold.teller)?)
        {
            ours.push((record.key, account));
        }
        let owner = (account, guid);
        let subscriber = Subscriber::new(record.key, owner, &subscription, record.expires_at);
        all.push(Arc::new(subscriber));
    }
    Ok(Subscribers { all, ours })
}

/// What has changed for the subscriptions of an account, and is ours to tell. `telling`: those to
/// which we have something to tell already.
///
/// # Errors
///
/// What the store says; then nothing is ours.
pub fn news(
    store: &dyn Store,
    now: UnixTime,
    account: AccountId,
    telling: &BTreeSet<u128>,
) -> Result<Vec<News>, StoreError> {
    let Some(owner) = store.account(account)?.filter(|owner| owner.is_enabled) else {
        return Ok(Vec::new());
    };
    let mut search = Search {
        store,
        now,
        owner,
        telling: telling.clone(),
        news: Vec::new(),
    };
    for _ in 0..limits::NOTIFICATIONS_TRIES {
        match search.advance_all() {
            Ok(Outcome::Done) => break,
            Ok(Outcome::Again) => {}
            Err(error) if search.news.is_empty() => return Err(error),
            // What an earlier round has found is ours already.
            Err(_) => break,
        }
    }
    let mut news = search.news;
    news.retain(|news| !news.events.is_empty() || news.inherited.is_some());
    Ok(news)
}

/// Writes down what is left to be told to subscriptions; those that are gone are passed over, and
/// so are those that another process tells. What is written already is not written again.
///
/// # Errors
///
/// What the store says, for some or all of them; `Busy` also when records changed all the time.
pub fn keep(
    store: &dyn Store,
    now: UnixTime,
    mut left: Vec<(u128, Untold)>,
) -> Result<(), StoreError> {
    for _ in 0..limits::NOTIFICATIONS_TRIES {
        let (mut kept, mut writes) = (Vec::new(), Vec::new());
        for (key, untold) in left {
            if let Some(write) = keep_one(store, now, key, &untold)? {
                kept.push((key, untold));
                writes.push(write);
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        let results = store.write_directory(now, writes)?;
        let results = results.into_iter().zip(kept);
        left = results
            .filter_map(|(result, kept)| result.is_err().then_some(kept))
            .collect();
    }
    match left.is_empty() {
        true => Ok(()),
        false => Err(StoreError::Busy),
    }
}

/// The write that puts down what is left to be told, unless the record says so already.
fn keep_one(
    store: &dyn Store,
    now: UnixTime,
    key: u128,
    untold: &Untold,
) -> Result<Option<DirectoryWrite>, StoreError> {
    let Some(record) = store.record(now, RecordKind::Subscription, key)? else {
        return Ok(None);
    };
    let (Some(account), Some(subscription)) = (record.account, Subscription::read(&record)) else {
        return Ok(None);
    };
    let us = store.process_name();
    let known = subscription.untold.as_ref();
    let untold = untold.told_by(us);
    if known.is_some_and(|known| known.teller != us) || known == untold.as_ref() {
        return Ok(None);
    }
    let expires_at = match subscription.is_over() && untold.is_none() {
        true => now,
        false => record.expires_at,
    };
    let subscription = Subscription {
        untold,
        ..subscription
    };
    Ok(Some(DirectoryWrite::ReplaceRecord {
        record: subscription.to_record(key, account, expires_at),
        expected: record.value,
    }))
}

/// Whether there may be more.
enum Outcome {
    Done,
    Again,
}

/// A look at the subscriptions of an account.
struct Search<'s> {
    store: &'s dyn Store,
    now: UnixTime,
    owner: Account,
    telling: BTreeSet<u128>,
    news: Vec<News>,
}

impl Search<'_> {
    /// Moves on all records for which there is something new, and adds what is ours then.
    fn advance_all(&mut self) -> Result<Outcome, StoreError> {
        let (mut found, mut writes) = (Vec::new(), Vec::new());
        let (store, account) = (self.store, Some(self.owner.id));
        for record in store.records(self.now, RecordKind::Subscription, account)? {
            if let Some((write, news)) = self.advance(record)? {
                writes.push(write);
                found.push(news);
            }
        }
        if writes.is_empty() {
            return Ok(Outcome::Done);
        }
        let mut outcome = Outcome::Done;
        let results = store.write_directory(self.now, writes)?;
        for (result, found) in results.into_iter().zip(found) {
            match result {
                Ok(_) => {
                    self.telling.insert(found.subscriber.key);
                    self.news.push(found);
                }
                // Another process was quicker, or the client has changed the subscription.
                Err(_) => outcome = Outcome::Again,
            }
        }
        Ok(outcome)
    }

    /// The write that moves a record on, and what is to be told then; `None` when there is nothing
    /// new, or another process tells.
    fn advance(&self, record: Record) -> Result<Option<(DirectoryWrite, News)>, StoreError> {
        let Some(subscription) = Subscription::read(&record) else {
            return Ok(None);
        };
        let us = self.store.process_name();
        let is_inherited = match &subscription.untold {
            None => false,
            Some(untold) if untold.teller == us => !self.telling.contains(&record.key),
            // It looks by itself.
            Some(untold) if self.store.is_alive(&untold.teller)? => return Ok(None),
            Some(_) => true,
        };
        let inherited = subscription.untold.clone().filter(|_| is_inherited);
        let owner = (self.owner.id, self.owner.guid);
        let subscriber = Subscriber::new(record.key, owner, &subscription, record.expires_at);
        let mut news = News {
            subscriber: Arc::new(subscriber),
            inherited,
            events: Vec::new(),
        };
        let mut next = subscription.clone();
        let mut untold = next.untold.take().unwrap_or_default();
        let mut expires_at = record.expires_at;
        let has_lifecycle = subscription.lifecycle_url.is_some();
        let seen = match subscription.is_over() {
            true => Seen::Nothing,
            false => changes_since(self.store, self.owner.id, &subscription)?,
        };
        match seen {
            Seen::Nothing if !is_inherited => return Ok(None),
            Seen::Nothing => {}
            Seen::Changes(changes, marks) => {
                let changes = changes.into_iter();
                let wanted = changes.filter(|change| subscription.kinds.contains(&change.kind));
                news.events = untold.add(self.now, wanted, has_lifecycle);
                next.marks = marks;
            }
            Seen::TooLongAgo(marks) => {
                news.events = vec![untold.miss(self.now, has_lifecycle)];
                next.marks = marks;
            }
            Seen::FolderGone => {
                news.inherited = None;
                news.events = vec![untold.remove(self.now, has_lifecycle)];
                if !has_lifecycle {
                    expires_at = self.now;
                }
            }
        }
        next.untold = untold.told_by(us);
        let write = DirectoryWrite::ReplaceRecord {
            record: next.to_record(record.key, self.owner.id, expires_at),
            expected: record.value,
        };
        Ok(Some((write, news)))
    }
}
