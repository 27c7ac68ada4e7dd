//! What was read and taken apart before: contents of messages never change.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use hashlink::LruCache;
use rmail_proto::EmailId;

use crate::{api::resources::Parsed, limits};

/// Contents taken apart, the ones used last; at most [`limits::PARSED_CACHE_BYTES`].
#[derive(Default)]
pub struct Caches {
    parsed: Mutex<Table>,
}

struct Table {
    bytes: usize,
    entries: LruCache<EmailId, Entry>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            bytes: 0,
            entries: LruCache::new_unbounded(),
        }
    }
}

struct Entry {
    bytes: usize,
    parsed: Arc<Parsed>,
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caches")
    }
}

impl Caches {
    /// What a content says, if it is remembered.
    pub(super) fn find(&self, id: EmailId) -> Option<Arc<Parsed>> {
        let mut table = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.entries.get(&id);
        entry.map(|entry| Arc::clone(&entry.parsed))
    }

    pub(super) fn remember(&self, id: EmailId, parsed: &Arc<Parsed>) {
        let bytes = weight(parsed);
        if bytes > limits::PARSED_CACHE_BYTES / 16 {
            return;
        }
        let mut table = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if table.entries.contains_key(&id) {
            return;
        }
        table.bytes += bytes;
        let parsed = Arc::clone(parsed);
        table.entries.insert(id, Entry { bytes, parsed });
        while table.bytes > limits::PARSED_CACHE_BYTES
            && let Some((_, oldest)) = table.entries.remove_lru()
        {
            table.bytes -= oldest.bytes;
        }
    }
}

/// About how much memory it takes.
fn weight(parsed: &Parsed) -> usize {
    const BASE: usize = 1024;
    const EACH: usize = 160;
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let headers = parsed.headers.iter();
    let headers: usize = headers.map(|h| EACH + h.name.len() + h.value.len()).sum();
    let addresses = parsed.from.len() + parsed.to.len() + parsed.cc.len() + parsed.bcc.len();
    BASE + text(&parsed.text)
        // As it is, and sanitised.
        + 2 * text(&parsed.html)
        + headers
        + EACH * (addresses + parsed.attachments.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: usize) -> Arc<Parsed> {
        Arc::new(Parsed {
            text: Some("x".repeat(bytes)),
            ..Parsed::default()
        })
    }

    #[test]
    fn what_was_used_least_goes_first_and_the_bound_holds() {
        let caches = Caches::default();
        let each = limits::PARSED_CACHE_BYTES / 20;
        for id in 0..100 {
            caches.remember(EmailId(id), &parsed(each));
            assert!(caches.find(EmailId(0)).is_some(), "it is used all the time");
            let table = caches.parsed.lock().unwrap();
            assert!(table.bytes <= limits::PARSED_CACHE_BYTES);
            let bytes: usize = table.entries.iter().map(|(_, entry)| entry.bytes).sum();
            assert_eq!(table.bytes, bytes);
        }
        assert!(caches.find(EmailId(1)).is_none());
        assert!(caches.find(EmailId(99)).is_some());
    }

    #[test]
    fn one_that_would_take_too_much_is_not_kept() {
        let caches = Caches::default();
        caches.remember(EmailId(1), &parsed(limits::PARSED_CACHE_BYTES / 4));
        assert!(caches.find(EmailId(1)).is_none());
    }
}
