//! Pages that were told before. Clients ask for the same page again and again, to see what is new,
//! and mostly nothing is: then it is told from memory.
//!
//! Nothing is told that is not so: a page depends on the account's database, and has its version;
//! on what the directory says of the account, and on the request, and has these as its key; and on
//! the configuration, with which the memory goes.

use rmail_proto::http::Status;
use rmail_store::AccountVersion;

use super::{
    Cx, Outcome,
    cache::Cache,
    reply::{Content, Reply},
};
use crate::{api::prefer::Preferences, limits};

/// The pages asked for last; at most [`limits::PAGES_CACHE_BYTES`].
#[derive(Debug)]
pub struct Pages {
    pages: Cache<Key, (AccountVersion, Reply)>,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            pages: Cache::new(limits::PAGES_CACHE_BYTES),
        }
    }
}

/// All that a page depends on besides what is in the account's database.
#[derive(Eq, Hash, PartialEq)]
struct Key {
    account: u128,
    /// What `own_address` says of it.
    names: [String; 2],
    base: String,
    path: String,
    query: String,
    preferences: Preferences,
}

impl Key {
    fn of(cx: &Cx<'_>) -> Self {
        let (account, exchange) = (cx.account(), cx.exchange);
        Self {
            account: account.guid,
            names: [account.address.to_string(), account.display_name.clone()],
            base: exchange.base.clone(),
            path: exchange.path.clone(),
            query: exchange.query.clone(),
            preferences: exchange.preferences.clone(),
        }
    }

    fn bytes(&self) -> usize {
        let texts = [&self.base, &self.path, &self.query];
        let texts = texts.into_iter().chain(&self.names);
        size_of::<Self>() + texts.map(String::len).sum::<usize>()
    }
}

/// Answers as `list` does, or as it did before if nothing has changed since.
pub(super) fn remembering(cx: &mut Cx<'_>, list: fn(&mut Cx<'_>) -> Outcome) -> Outcome {
    // Before the page is read: what comes meanwhile makes it out of date, not wrong.
    let version = cx.store().account_version(cx.account().id)?;
    let (key, pages) = (Key::of(cx), &cx.service().pages.pages);
    if let Some((seen, reply)) = pages.find(&key)
        && seen == version
    {
        return Ok(reply);
    }
    let reply = list(cx)?;
    if let (Status::OK, Content::Text(json)) = (reply.status, &reply.content) {
        let bytes = key.bytes() + json.len() + size_of::<Reply>();
        pages.remember(key, bytes, (version, reply.clone()));
    }
    Ok(reply)
}
