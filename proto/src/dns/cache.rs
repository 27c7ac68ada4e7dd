//! What was answered, for as long as it holds.

use alloc::collections::BTreeMap;
use core::mem;

use super::{Failure, LookupResult, Question};
use crate::{Instant, limits};

/// Answers by question.
///
/// An answer that holds no longer stays until its question is asked again or its room is needed.
/// Room is made by throwing away what was used least recently, whether it holds or not.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Question, Entry>,
    /// The questions by their last use.
    uses: BTreeMap<u64, Question>,
    bytes: usize,
    next_use: u64,
}

#[derive(Debug)]
struct Entry {
    result: LookupResult,
    expires_at: Instant,
    /// Failures of the servers in a row.
    failures: u32,
    bytes: usize,
    last_use: u64,
}

impl Cache {
    /// What holds now.
    pub(super) fn find(&mut self, now: Instant, question: &Question) -> Option<LookupResult> {
        let entry = self.entries.get_mut(question)?;
        if entry.expires_at <= now {
            return None;
        }
        let question = self.uses.remove(&entry.last_use);
        entry.last_use = self.next_use;
        self.uses
            .extend(question.map(|question| (self.next_use, question)));
        self.next_use += 1;
        Some(entry.result.clone())
    }

    /// Keeps records and denials as long as they say, and failures of the servers shortly.
    pub(super) fn insert(&mut self, now: Instant, question: Question, result: LookupResult) {
        let previous = self.remove(&question);
        let mut failures = 0;
        let expires_at = match &result {
            Ok(answer) => answer.valid_until,
            Err(Failure::NoSuchDomain(denial) | Failure::NoData(denial)) => denial.valid_until,
            Err(Failure::AliasLoop | Failure::Temporary(_)) => {
                let recent = previous
                    .filter(|entry| now.since(entry.expires_at) <= limits::DNS_FAILURE_TTL_MAX);
                failures = recent.map_or(0, |entry| entry.failures).saturating_add(1);
                let doubled = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
                let ttl = limits::DNS_FAILURE_TTL.saturating_mul(doubled);
                now + ttl.min(limits::DNS_FAILURE_TTL_MAX)
            }
        };
        if expires_at <= now {
            return;
        }
        let bytes = entry_bytes(&question, &result);
        let last_use = self.next_use;
        self.next_use += 1;
        self.bytes += bytes;
        self.uses.insert(last_use, question.clone());
        let entry = Entry {
            result,
            expires_at,
            failures,
            bytes,
            last_use,
        };
        self.entries.insert(question, entry);
        while self.entries.len() > limits::DNS_CACHE_ENTRIES || self.bytes > limits::DNS_CACHE_BYTES
        {
            let oldest = self.uses.first_key_value();
            let oldest = oldest.expect("every entry has its use").1.clone();
            self.remove(&oldest);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many entries there are, and what they take together, about.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    fn remove(&mut self, question: &Question) -> Option<Entry> {
        let entry = self.entries.remove(question)?;
        self.uses.remove(&entry.last_use);
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

fn entry_bytes(question: &Question, result: &LookupResult) -> usize {
    // The question stands in two trees, whose nodes are not full.
    let fixed = 2 * (mem::size_of::<Entry>() + 2 * mem::size_of::<Question>());
    let names = question.name.as_str().len();
    let records = match result {
        Ok(answer) => answer.owner.as_str().len() + answer.records.bytes(),
        Err(_) => 0,
    };
    fixed + names + records
}

#[cfg(test)]
mod tests {
    use alloc::{format, vec};
    use core::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::dns::{Answer, Name, Reason, RecordType, Records};

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    fn question(number: usize) -> Question {
        let name = Name::parse(&format!("host{number}.example")).unwrap();
        Question::new(name, RecordType::Txt)
    }

    fn text(bytes: usize) -> LookupResult {
        Ok(Answer {
            records: Records::Txt([Bytes::from(vec![b'x'; bytes])].into()),
            owner: Name::root(),
            authentic: false,
            valid_until: at(1000),
        })
    }

    #[test]
    fn answers_hold_until_their_time_is_over() {
        let mut cache = Cache::default();
        cache.insert(at(0), question(0), text(1));
        assert_eq!(cache.find(at(999), &question(0)), Some(text(1)));
        assert_eq!(cache.find(at(1000), &question(0)), None);
        cache.insert(at(1000), question(1), text(1));
        assert_eq!(cache.find(at(1000), &question(1)), None, "a TTL of 0");
    }

    #[test]
    fn as_many_entries_as_the_limit_says_and_the_least_used_goes_first() {
        let mut cache = Cache::default();
        for number in 0..limits::DNS_CACHE_ENTRIES {
            cache.insert(at(0), question(number), text(1));
        }
        assert_eq!(cache.size().0, limits::DNS_CACHE_ENTRIES);
        assert!(cache.find(at(0), &question(0)).is_some());
        cache.insert(at(0), question(limits::DNS_CACHE_ENTRIES), text(1));
        assert_eq!(cache.size().0, limits::DNS_CACHE_ENTRIES);
        assert!(cache.find(at(0), &question(0)).is_some());
        assert!(cache.find(at(0), &question(1)).is_none());
    }

    #[test]
    fn as_many_bytes_as_the_limit_says() {
        let mut cache = Cache::default();
        let large = limits::DNS_MESSAGE_BYTES;
        let fit = limits::DNS_CACHE_BYTES / (large + 4096);
        for number in 0..fit {
            cache.insert(at(0), question(number), text(large));
        }
        assert_eq!(cache.size().0, fit);
        for number in fit..2 * fit {
            cache.insert(at(0), question(number), text(large));
            assert!(cache.size().1 <= limits::DNS_CACHE_BYTES);
        }
        assert!(cache.find(at(0), &question(0)).is_none());
        assert!(cache.find(at(0), &question(2 * fit - 1)).is_some());
    }

    #[test]
    fn failures_are_kept_longer_each_time_up_to_the_limit() {
        let mut cache = Cache::default();
        let failure = Err(Failure::Temporary(Reason::ServerFailure));
        let mut now = at(0);
        let mut expected = limits::DNS_FAILURE_TTL;
        for _ in 0..40 {
            cache.insert(now, question(0), failure.clone());
            assert!(cache.find(now, &question(0)).is_some());
            assert!(cache.find(now + expected, &question(0)).is_none());
            now = now + expected;
            expected = (expected * 2).min(limits::DNS_FAILURE_TTL_MAX);
        }
        cache.insert(now, question(0), text(1));
        cache.insert(now, question(0), failure);
        assert!(
            cache
                .find(now + limits::DNS_FAILURE_TTL, &question(0))
                .is_none()
        );
    }
}
