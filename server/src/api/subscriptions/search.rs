//! Which targets are to be told what: what jobs do for the node.
//!
//! Of several processes on one `mail_root` that find the same change, one tells: the one that has
//! moved the record's [`Marks`](super::Marks) on. It does so before it tells.

use std::{collections::BTreeMap, sync::Arc};

use rmail_proto::{AccountId, UnixTime};
use rmail_store::{DirectoryWrite, Record, RecordKind, Store, StoreError};

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
    let records = store.records(now, RecordKind::Subscription, None)?;
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let guids = store.accounts()?.into_iter();
    let guids: BTreeMap<_, _> = guids.map(|account| (account.id, account.guid)).collect();
    let subscribers = records.into_iter().filter_map(|record| {
        let account = record.account?;
        let owner = (account, *guids.get(&account)?);
        let subscription = Subscription::read(&record)?;
        let subscriber = Subscriber::new(record.key, owner, &subscription, record.expires_at);
        Some(Arc::new(subscriber))
    });
    Ok(subscribers.collect())
}

/// What has changed for the subscriptions of an account, and is ours to tell.
///
/// # Errors
///
/// What the store says; what was found is lost then, unless it is `Busy`: then nothing was found.
pub fn news(store: &dyn Store, now: UnixTime, account: AccountId) -> Result<Vec<News>, StoreError> {
    let Some(owner) = store.account(account)?.filter(|owner| owner.is_enabled) else {
        return Ok(Vec::new());
    };
    let mut news = Vec::new();
    for _ in 0..limits::NOTIFICATIONS_TRIES {
        let mut found = Vec::new();
        let mut writes = Vec::new();
        for record in store.records(now, RecordKind::Subscription, Some(account))? {
            let Some(subscription) = Subscription::read(&record) else {
                continue;
            };
            let seen = changes_since(store, account, &subscription)?;
            let Some((write, events)) = advance(now, account, &record, &subscription, seen) else {
                continue;
            };
            writes.push(write);
            let owner = (account, owner.guid);
            let subscriber = Subscriber::new(record.key, owner, &subscription, record.expires_at);
            found.push(News {
                subscriber: Arc::new(subscriber),
                events,
            });
        }
        if writes.is_empty() {
            break;
        }
        let results = match store.write_directory(now, writes) {
            // What an earlier round has found is ours already.
            Err(_) if !news.is_empty() => break,
            results => results?,
        };
        let mut is_again = false;
        for (result, found) in results.into_iter().zip(found) {
            match result {
                Ok(_) => news.push(found),
                // Another process was quicker, or the client has changed the subscription.
                Err(StoreError::ChangedSince) => is_again = true,
                Err(error) => return Err(error),
            }
        }
        if !is_again {
            break;
        }
    }
    news.retain(|news| !news.events.is_empty());
    Ok(news)
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
