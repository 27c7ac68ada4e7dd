//! Which targets are to be told what: what jobs do for the node.
//!
//! Of several processes on one `mail_root` that find the same change, one tells: the one that has
//! moved the record's [`Marks`](super::Marks) on. It does so before it tells.

use std::{collections::BTreeMap, sync::Arc};

use rmail_proto::{AccountId, UnixTime};
use rmail_store::{Account, DirectoryWrite, Record, RecordKind, Store, StoreError};

use super::{Event, LifecycleEvent, Seen, Subscriber, Subscription, changes_since};
use crate::limits;

/// What one subscription's target is to be told by us.
#[derive(Clone, Debug)]
pub struct News {
    /// The subscription.
    pub subscriber: Arc<Subscriber>,
    /// What.
    pub events: Vec<Event>,
}

/// All subscriptions that there are.
///
/// # Errors
///
/// `Failed`.
pub fn subscribers(store: &dyn Store, now: UnixTime) -> Result<Vec<Arc<Subscriber>>, StoreError> {
    let mut guids: BTreeMap<AccountId, Option<u128>> = BTreeMap::new();
    let mut subscribers = Vec::new();
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
        let owner = (account, guid);
        let subscriber = Subscriber::new(record.key, owner, &subscription, record.expires_at);
        subscribers.push(Arc::new(subscriber));
    }
    Ok(subscribers)
}

/// What has changed for the subscriptions of an account, and is ours to tell.
///
/// # Errors
///
/// What the store says; then nothing is ours.
pub fn news(store: &dyn Store, now: UnixTime, account: AccountId) -> Result<Vec<News>, StoreError> {
    let Some(owner) = store.account(account)?.filter(|owner| owner.is_enabled) else {
        return Ok(Vec::new());
    };
    let mut news = Vec::new();
    for _ in 0..limits::NOTIFICATIONS_TRIES {
        match advance_all(store, now, &owner, &mut news) {
            Ok(Outcome::Done) => break,
            Ok(Outcome::Again) => {}
            Err(error) if news.is_empty() => return Err(error),
            // What an earlier round has found is ours already.
            Err(_) => break,
        }
    }
    news.retain(|news| !news.events.is_empty());
    Ok(news)
}

/// Whether there may be more.
enum Outcome {
    Done,
    Again,
}

/// Moves on all records for which there is something new, and adds what is ours then.
fn advance_all(
    store: &dyn Store,
    now: UnixTime,
    owner: &Account,
    news: &mut Vec<News>,
) -> Result<Outcome, StoreError> {
    let (mut found, mut writes) = (Vec::new(), Vec::new());
    for record in store.records(now, RecordKind::Subscription, Some(owner.id))? {
        let Some(subscription) = Subscription::read(&record) else {
            continue;
        };
        let seen = changes_since(store, owner.id, &subscription)?;
        let Some((write, events)) = advance(now, owner.id, &record, &subscription, seen) else {
            continue;
        };
        let of = (owner.id, owner.guid);
        let subscriber = Subscriber::new(record.key, of, &subscription, record.expires_at);
        writes.push(write);
        found.push(News {
            subscriber: Arc::new(subscriber),
            events,
        });
    }
    if writes.is_empty() {
        return Ok(Outcome::Done);
    }
    let mut outcome = Outcome::Done;
    let results = store.write_directory(now, writes)?;
    for (result, found) in results.into_iter().zip(found) {
        match result {
            Ok(_) => news.push(found),
            // Another process was quicker, or the client has changed the subscription.
            Err(_) => outcome = Outcome::Again,
        }
    }
    Ok(outcome)
}

/// The write that moves a record's marks on, and what is to be told then.
fn advance(
    now: UnixTime,
    account: AccountId,
    record: &Record,
    subscription: &Subscription,
    seen: Seen,
) -> Option<(DirectoryWrite, Vec<Event>)> {
    let (marks, expires_at, events) = match seen {
        Seen::Nothing => return None,
        Seen::Changes(changes, marks) => {
            let changes = changes.into_iter();
            let wanted = changes.filter(|change| subscription.kinds.contains(&change.kind));
            let events = wanted.map(Event::Changed).collect();
            (marks, record.expires_at, events)
        }
        Seen::TooLongAgo(marks) => {
            let events = vec![Event::Lifecycle(LifecycleEvent::Missed)];
            (marks, record.expires_at, events)
        }
        Seen::FolderGone => {
            let events = vec![Event::Lifecycle(LifecycleEvent::Removed)];
            (subscription.marks.clone(), now, events)
        }
    };
    let subscription = Subscription {
        marks,
        ..subscription.clone()
    };
    let write = DirectoryWrite::ReplaceRecord {
        record: subscription.to_record(record.key, account, expires_at),
        expected: record.value.clone(),
    };
    Some((write, events))
}
