//! What was read and taken apart before: contents of messages never change.

use std::{
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use hashlink::LruCache;
use rmail_proto::EmailId;

use crate::{api::resources::Parsed, limits};

/// Contents taken apart, the ones used last; at most [`limits::PARSED_CACHE_BYTES`].
#[derive(Debug)]
pub struct Caches {
    parsed: Cache<EmailId, Arc<Parsed>>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            parsed: Cache::new(limits::PARSED_CACHE_BYTES),
        }
    }
}

impl Caches {
    /// What a content says, if it is remembered.
    pub(super) fn find(&self, id: EmailId) -> Option<Arc<Parsed>> {
        self.parsed.find(&id)
    }

    pub(super) fn remember(&self, id: EmailId, parsed: &Arc<Parsed>) {
        let bytes = weight(parsed);
        self.parsed.remember(id, bytes, Arc::clone(parsed));
    }
}

/// Entries that were used last, of so many bytes at most.
pub(super) struct Cache<K, V> {
    bytes_max: usize,
    table: Mutex<Table<K, V>>,
}

struct Table<K, V> {
    bytes: usize,
    /// With their weights.
    entries: LruCache<K, (usize, V)>,
}

impl<K, V> fmt::Debug for Cache<K, V> {
    /// Without what people have written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new(bytes_max: usize) -> Self {
        let table = Table {
            bytes: 0,
            entries: LruCache::new_unbounded(),
        };
        Self {
            bytes_max,
            table: Mutex::new(table),
        }
    }

    pub(super) fn find(&self, key: &K) -> Option<V> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = table.entries.get(key);
        entry.map(|(_, value)| value.clone())
    }

    /// Keeps this one, in the place of what its key had; not one that would take too much room.
    pub(super) fn remember(&self, key: K, bytes: usize, value: V) {
        let is_kept = bytes <= self.bytes_max / 16;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match is_kept {
            true => table.entries.insert(key, (bytes, value)),
            false => table.entries.remove(&key),
        };
        table.bytes -= before.map_or(0, |(bytes, _)| bytes);
        table.bytes += if is_kept { bytes } else { 0 };
        while table.bytes > self.bytes_max
            && let Some((_, (oldest, _))) = table.entries.remove_lru()
        {
            table.bytes -= oldest;
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

    const BYTES_MAX: usize = 1000;

    #[test]
    fn what_was_used_least_goes_first_and_the_bound_holds() {
        let cache = Cache::new(BYTES_MAX);
        for key in 0..100 {
            cache.remember(key, BYTES_MAX / 20, key);
            assert_eq!(cache.find(&0), Some(0), "it is used all the time");
            let table = cache.table.lock().unwrap();
            assert!(table.bytes <= BYTES_MAX);
            let bytes: usize = table.entries.iter().map(|(_, (bytes, _))| bytes).sum();
            assert_eq!(table.bytes, bytes);
        }
        assert_eq!(cache.find(&1), None);
        assert_eq!(cache.find(&99), Some(99));
    }

    #[test]
    fn new_value_takes_the_place_of_the_old_one() {
        let cache = Cache::new(BYTES_MAX);
        for value in 0..100 {
            cache.remember("key", BYTES_MAX / 20, value);
            assert_eq!(cache.find(&"key"), Some(value));
        }
        cache.remember("key", BYTES_MAX / 4, 100);
        assert_eq!(
            cache.find(&"key"),
            None,
            "neither the old one nor the new one"
        );
        assert_eq!(cache.table.lock().unwrap().bytes, 0);
    }

    #[test]
    fn weight_grows_with_what_a_message_says() {
        let parsed = |bytes: usize| Parsed {
            text: Some("x".repeat(bytes)),
            ..Parsed::default()
        };
        assert_eq!(weight(&parsed(5000)), weight(&parsed(0)) + 5000);
    }
}
