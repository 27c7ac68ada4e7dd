//! The work for notifications that blocks.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rmail_proto::{AccountId, UnixTime};
use rmail_store::{Store, StoreError};

use super::queue::QueueName;
use crate::{
    api::subscriptions::{
        Untold,
        search::{self, News, Subscribers},
    },
    config::Config,
    outside::{
        target::Target,
        webhooks::{Post, Posting, Purpose},
    },
};

/// One piece of it.
pub enum NotifyJob {
    /// Read all subscriptions.
    Load(UnixTime),
    /// See what has changed for the subscriptions of these accounts.
    Search {
        /// Whose.
        accounts: Vec<AccountId>,
        /// The subscriptions that we have something to tell to.
        telling: BTreeSet<u128>,
        /// The time.
        now: UnixTime,
    },
    /// Write down what is left to be told to these subscriptions.
    Keep(Vec<(u128, Untold)>, UnixTime),
    /// Tell a target. It is not counted among the jobs: it waits for a stranger.
    Post {
        /// Which target.
        queue: QueueName,
        /// Its URL.
        url: String,
        /// What it is told.
        content: String,
        /// Says which targets need not be public.
        config: Arc<Config>,
    },
}

impl std::fmt::Debug for NotifyJob {
    /// Without what is told, and where.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Load(now) => f.debug_tuple("Load").field(now).finish(),
            Self::Search { accounts, .. } => f.debug_tuple("Search").field(accounts).finish(),
            Self::Keep(left, _) => f.debug_tuple("Keep").field(&left.len()).finish(),
            Self::Post { queue, .. } => f.debug_tuple("Post").field(queue).finish(),
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub enum NotifyDone {
    /// All subscriptions.
    Loaded(Result<Subscribers, StoreError>),
    /// By account, what is to be told.
    Searched(Vec<(AccountId, Result<Vec<News>, StoreError>)>),
    /// Of these subscriptions it is written down, or not.
    Kept(Vec<u128>, Result<(), StoreError>),
    /// Whether the target has taken it, or why not.
    Posted(QueueName, Result<(), String>),
}

impl NotifyJob {
    pub(in crate::node) fn run(self, store: &dyn Store, poster: &dyn Post) -> NotifyDone {
        match self {
            Self::Load(now) => NotifyDone::Loaded(search::subscribers(store, now)),
            Self::Search {
                accounts,
                telling,
                now,
            } => {
                let news = |account| search::news(store, now, account, &telling);
                let found = accounts.into_iter().map(|account| (account, news(account)));
                NotifyDone::Searched(found.collect())
            }
            Self::Keep(left, now) => {
                let keys = left.iter().map(|(key, _)| *key).collect();
                NotifyDone::Kept(keys, search::keep(store, now, left))
            }
            Self::Post {
                queue,
                url,
                content,
                config,
            } => {
                // Others' code reads what strangers answer: a panic in it costs the one post.
                let post = || post(poster, &url, &content, &config);
                let outcome = catch_unwind(AssertUnwindSafe(post));
                let bug = || Err("the client panicked; please report it".to_owned());
                NotifyDone::Posted(queue, outcome.unwrap_or_else(|_| bug()))
            }
        }
    }
}

fn post(poster: &dyn Post, url: &str, content: &str, config: &Config) -> Result<(), String> {
    let exempt = &config.exchange_api.notification_targets;
    let target = Target::parse(url, exempt).map_err(|error| error.to_string())?;
    let posting = Posting {
        target: &target,
        content_type: "application/json; charset=utf-8",
        content: content.as_bytes(),
        purpose: Purpose::Notification,
    };
    let answer = poster.post(&posting).map_err(|error| error.to_string())?;
    match answer.is_success() {
        true => Ok(()),
        false => Err(format!("the status of the answer is {}", answer.status)),
    }
}
