//! What was read and taken apart before: contents of messages never change.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use rmail_proto::EmailId;

use crate::{api::resources::Parsed, limits};

/// Contents taken apart, the ones used last; at most [`limits::PARSED_CACHE_BYTES`].
#[derive(Default)]
pub struct Caches {
    parsed: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    uses: u64,
    bytes: usize,
    entries: BTreeMap<EmailId, Entry>,
    by_use: BTreeMap<u64, EmailId>,
}

struct Entry {
    used: u64,
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
        table.uses += 1;
        let uses = table.uses;
        let entry = table.entries.get_mut(&id)?;
        let before = std::mem::replace(&mut entry.used, uses);
        let parsed = Arc::clone(&entry.parsed);
        table.by_use.remove(&before);
        table.by_use.insert(uses, id);
        Some(parsed)
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
        table.uses += 1;
        let used = table.uses;
        let entry = Entry {
            used,
            bytes,
            parsed: Arc::clone(parsed),
        };
        table.bytes += bytes;
        table.by_use.insert(used, id);
        table.entries.insert(id, entry);
        while table.bytes > limits::PARSED_CACHE_BYTES
            && let Some((_, oldest)) = table.by_use.pop_first()
            && let Some(entry) = table.entries.remove(&oldest)
        {
            table.bytes -= entry.bytes;
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
            assert_eq!(table.entries.len(), table.by_use.len());
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
