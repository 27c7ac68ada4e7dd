//! What has become of recipients elsewhere: what peers said, what senders were told, and when.
//!
//! | a peer says to a recipient | what may follow                                             |
//! |----------------------------|-------------------------------------------------------------|
//! | 250 after the content      | nothing                                                     |
//! | 5yz                        | nothing but a report to the sender                          |
//! | 4yz                        | another attempt, when it is due; a report when its time is  |
//! |                            | over, and not before                                        |
//! | nothing                    | another attempt, at once or when it is due                  |
//!
//! That holds for what the other side has heard and had the time to write down: a reply is heard
//! when something follows that could not be sent without it, and what was not written down when a
//! process died or stopped is done again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rmail_proto::Instant;

use super::{super::message::Token, report::ReadReport};
use crate::HostId;

/// The waiting times that the documentation of `relay.retry_delays` promises.
const DELAYS: [Duration; 8] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// When the sender is told of a delay, and an attempt is made (`relay.delay_notice`).
const DELAY_NOTICE: Duration = Duration::from_secs(4 * 60 * 60);

/// How much later than it is due an attempt may be where nothing goes wrong: other servers that
/// are asked first, the DNS, and the way.
const LATE_MAX: Duration = Duration::from_secs(100);

/// Times are rounded to seconds.
const EARLY_MAX: Duration = Duration::from_secs(2);

/// What the sender of a message wants to be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in super::super) struct Wishes {
    pub(in super::super) failure: bool,
    pub(in super::super) delay: bool,
    pub(in super::super) success: bool,
}

/// A recipient of a message, before anything has become of it.
#[derive(Clone, Debug)]
pub(in super::super) struct Expected {
    pub(in super::super) author: String,
    /// Whose server takes the message first.
    pub(in super::super) origin: HostId,
    /// Nothing of it when the reverse-path is null.
    pub(in super::super) wishes: Wishes,
}

/// What a peer says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    Taken,
    Deferred,
    Refused,
}

/// When and to whom something was said.
#[derive(Clone, Copy, Debug)]
struct Heard {
    answer: Answer,
    at: Instant,
    /// How often the origin was interrupted by then.
    interruptions: u64,
}

/// What is known of a recipient.
#[derive(Clone, Debug)]
struct Known {
    expected: Expected,
    /// When its message was given to a server for the first time, and taken by it.
    offered_at: Option<Instant>,
    acknowledged_at: Option<Instant>,
    attempts: u32,
    /// Attempts that were put off for sure: the next one followed, and nothing came between.
    put_off: u32,
    last_heard: Option<Heard>,
    taken: i64,
    taken_and_heard: i64,
    /// Whether anybody refused it.
    is_refused: bool,
    failures: i64,
    delays: i64,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(in super::super) struct Fates {
    known: BTreeMap<(String, Token), Known>,
    /// Domains to which no mail can be sent.
    pub(in super::super) dead_domains: BTreeSet<String>,
    /// Peers without whims in a run where nothing goes wrong: attempts are made in time.
    pub(in super::super) punctual_domains: BTreeSet<String>,
    /// How long delivery is tried (`relay.expiry`).
    pub(in super::super) expiry: Duration,
    /// Whether what was done may be forgotten at any time: by a disk that fails.
    pub(in super::super) is_forgetful: bool,
    /// Attempts that peers saw.
    pub(in super::super) attempts: u64,
    /// Reports that senders got.
    pub(in super::super) reports: u64,
}

impl Fates {
    /// A message is going to be sent to this recipient.
    pub(in super::super) fn expect(&mut self, recipient: &str, token: Token, expected: Expected) {
        let known = Known {
            expected,
            offered_at: None,
            acknowledged_at: None,
            attempts: 0,
            put_off: 0,
            last_heard: None,
            taken: 0,
            taken_and_heard: 0,
            is_refused: recipient.starts_with("refuse-"),
            failures: 0,
            delays: 0,
        };
        self.known.insert((recipient.to_owned(), token), known);
    }

    /// The message is being given to its sender's server.
    pub(in super::super) fn offered(&mut self, recipient: &str, token: Token, now: Instant) {
        if let Some(known) = self.known.get_mut(&(recipient.to_owned(), token)) {
            known.offered_at.get_or_insert(now);
        }
    }

    /// The server has taken it.
    pub(in super::super) fn acknowledged(&mut self, recipient: &str, token: Token, now: Instant) {
        if let Some(known) = self.known.get_mut(&(recipient.to_owned(), token)) {
            known.acknowledged_at.get_or_insert(now);
        }
    }

    /// A peer is told of a recipient, of whom there are so many messages at most. Returns how
    /// often it was before.
    pub(in super::super) fn attempted(
        &mut self,
        recipient: &str,
        token: Token,
        copies_max: i64,
        (now, interruptions): (Instant, u64),
    ) -> u32 {
        let expiry = self.expiry;
        let (_, domain) = recipient.split_once('@').expect("it is an address");
        let is_punctual = self.punctual_domains.contains(domain);
        let is_forgetful = self.is_forgetful;
        let known = self.known.get_mut(&(recipient.to_owned(), token));
        let known = known.unwrap_or_else(|| panic!("nobody wrote to {recipient}"));
        let earlier = known.attempts;
        known.attempts += 1;
        self.attempts += 1;
        if copies_max > 1 {
            // They can't be told apart.
            return earlier;
        }
        if is_punctual {
            known.check_punctual(recipient, earlier, expiry, now);
        }
        if let Some(heard) = known.last_heard
            && !is_forgetful
            && heard.interruptions == interruptions
        {
            match heard.answer {
                Answer::Taken => panic!("{recipient} is sent again what was taken"),
                Answer::Refused => panic!("{recipient} is tried again after a refusal"),
                Answer::Deferred => {
                    known.check_not_early(recipient, heard.at, expiry, now);
                    known.put_off += 1;
                    // What follows at once belongs to this attempt.
                    known.last_heard = None;
                }
            }
        }
        earlier
    }

    /// What a peer says to a recipient, whether that is heard or not.
    pub(super) fn answered(&mut self, recipient: &str, token: Token, answer: Answer) {
        let known = self.known.get_mut(&(recipient.to_owned(), token));
        let known = known.expect("it was told of");
        match answer {
            Answer::Taken => known.taken += 1,
            Answer::Refused => known.is_refused = true,
            Answer::Deferred => {}
        }
    }

    /// What was said at that time has been heard.
    pub(super) fn heard(
        &mut self,
        recipient: &str,
        token: Token,
        answer: Answer,
        (at, interruptions): (Instant, u64),
    ) {
        let known = self.known.get_mut(&(recipient.to_owned(), token));
        let known = known.expect("it was told of");
        known.taken_and_heard += i64::from(answer == Answer::Taken);
        known.last_heard = Some(Heard {
            answer,
            at,
            interruptions,
        });
    }

    /// A peer refuses all recipients of a message there.
    pub(super) fn refused_all(&mut self, token: Option<Token>, domain: &str) {
        let at_domain = format!("@{domain}");
        let known = self.known.iter_mut();
        let meant = known.filter(|((recipient, known), _)| {
            recipient.ends_with(&at_domain) && token.is_none_or(|token| token == *known)
        });
        for (_, known) in meant {
            known.is_refused = true;
        }
    }

    /// Somebody found a report in this account.
    pub(in super::super) fn reported(&mut self, account: &str, report: &ReadReport) {
        self.reports += 1;
        for told in &report.recipients {
            let address = &told.address;
            let known = self.known.get_mut(&(address.clone(), report.token));
            let known = known.unwrap_or_else(|| panic!("a report on a stranger: {report:?}"));
            let Expected { author, wishes, .. } = &known.expected;
            assert_eq!(author, account, "somebody else's report: {report:?}");
            let is_wanted = match told.action.as_str() {
                "failed" => wishes.failure,
                "delayed" => wishes.delay,
                "delivered" | "relayed" | "expanded" => wishes.success,
                action => panic!("what is {action:?}? {report:?}"),
            };
            assert!(is_wanted, "nobody wanted this report: {report:?}");
            match told.action.as_str() {
                "failed" => known.failures += 1,
                "delayed" => known.delays += 1,
                _ => continue,
            }
            if told.action == "delayed" {
                assert!(report.after >= DELAY_NOTICE, "told too early: {report:?}");
                continue;
            }
            if told.status.starts_with('4') {
                assert!(
                    report.after >= self.expiry,
                    "given up too early: {report:?}"
                );
                continue;
            }
            let (_, domain) = address.split_once('@').expect("it is an address");
            if !self.dead_domains.contains(domain) {
                assert!(known.is_refused, "nobody refused it: {report:?}");
                // A refusal of the whole message names nobody.
                let names_all = !told.diagnostic.contains('@');
                let is_own = names_all || told.diagnostic.contains(address.as_str());
                assert!(is_own, "told in words for somebody else: {report:?}");
            }
        }
    }

    /// Whether a message comes to this account from another machine.
    pub(in super::super) fn is_elsewhere(&self, account: &str, token: Token) -> bool {
        let known = self.known.get(&(account.to_owned(), token));
        known.is_some_and(|known| {
            let domain = |address: &str| address.rsplit('@').next().map(str::to_owned);
            domain(account) != domain(&known.expected.author)
        })
    }

    /// How many failures were reported.
    pub(in super::super) fn failures(&self, recipient: &str, token: Token) -> i64 {
        let known = self.known.get(&(recipient.to_owned(), token));
        known.map_or(0, |known| known.failures)
    }

    /// At the end each message is delivered to this recipient or was bounced, and not both, so
    /// often as the ledger says; `delivered` is how often, where a mailbox says it.
    pub(in super::super) fn check(
        &self,
        (recipient, token): (&str, Token),
        (min, max): (i64, i64),
        interruptions: impl Fn(HostId) -> u64,
        history: &str,
    ) {
        let Some(known) = self.known.get(&(recipient.to_owned(), token)) else {
            panic!("a message to {recipient} that was not expected\n{history}");
        };
        let Known {
            taken,
            taken_and_heard: heard,
            failures,
            ..
        } = *known;
        let said = format!(
            "{recipient} took {taken}, {heard} of them for sure, and {failures} came back of \
             {min} to {max}\n{known:?}\n{history}"
        );
        if known.expected.wishes.failure || !self.may_fail(recipient, known) {
            assert!(taken + failures >= min, "lost: {said}");
        }
        let repeats = match self.is_forgetful {
            true => i64::MAX / 2,
            false => interruptions(known.expected.origin) as i64,
        };
        assert!(heard + failures <= max + repeats, "repeated: {said}");
        assert!(failures <= max, "told twice: {said}");
        assert!(known.delays <= max, "told twice of a delay: {said}");
    }

    /// Whether a recipient may meet a bad fate of which nobody hears.
    fn may_fail(&self, recipient: &str, known: &Known) -> bool {
        let (word, _) = recipient.split_once('-').expect("it is called by its fate");
        let (_, domain) = recipient.split_once('@').expect("it is an address");
        let may_expire = matches!(word, "defer" | "later");
        known.is_refused || may_expire || self.dead_domains.contains(domain)
    }
}

impl Known {
    /// After a 4yz the next attempt has to wait, the longer the more there were.
    fn check_not_early(&self, recipient: &str, last: Instant, expiry: Duration, now: Instant) {
        let delay = DELAYS[(self.put_off as usize).min(DELAYS.len() - 1)];
        if now + EARLY_MAX >= last + delay {
            return;
        }
        // The times at which an attempt is made in any case.
        let (Some(offered), acknowledged) = (self.offered_at, self.acknowledged_at) else {
            panic!("{recipient} is tried, and was never sent");
        };
        let is_there = |wait: Duration| {
            let until = acknowledged.unwrap_or(now) + wait + LATE_MAX;
            offered + wait <= now + EARLY_MAX && now <= until
        };
        assert!(
            is_there(DELAY_NOTICE) || is_there(expiry),
            "{recipient} is tried again {:?} after a 4yz, and not {delay:?}",
            now.since(last)
        );
    }

    /// Each attempt is made when the documentation says so.
    fn check_punctual(&self, recipient: &str, earlier: u32, expiry: Duration, now: Instant) {
        let acknowledged = self.acknowledged_at.unwrap_or(now);
        let Some(heard) = self.last_heard else {
            assert!(
                earlier > 0 || now <= acknowledged + LATE_MAX,
                "{recipient} waited {:?} for the first attempt",
                now.since(acknowledged)
            );
            return;
        };
        let offered = self.offered_at.expect("it was sent");
        let index = (earlier as usize - 1).min(DELAYS.len() - 1);
        let by_schedule = heard.at + DELAYS[index];
        // The time of acceptance lies between these two, and is counted in seconds.
        let due = [(offered, heard.at), (acknowledged, heard.at + EARLY_MAX)];
        let due = due.map(|(accepted, heard_at)| {
            let end = accepted + expiry;
            let notice = accepted + DELAY_NOTICE;
            match heard_at < notice {
                true => by_schedule.min(notice).min(end),
                false => by_schedule.min(end),
            }
        });
        assert!(
            due[0] <= now + EARLY_MAX && now <= due[1] + LATE_MAX,
            "attempt {} at {recipient} is made after {:?}, and due after {:?}",
            earlier + 1,
            now.since(heard.at),
            due.map(|due| due.since(heard.at)),
        );
    }
}
