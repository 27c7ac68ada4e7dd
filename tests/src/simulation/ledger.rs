//! What must be true: which messages may be where, and which must be.
//!
//! An account holds between `min` and `max` copies of a message, in all its mailboxes together.
//!
//! | a client | before | acknowledged | refused | no answer |
//! |---|---|---|---|---|
//! | sends, appends or copies | max + 1 | min + 1 | max − 1 | as it is |
//! | moves | | | | |
//! | marks with `\Deleted`, or deletes the mailbox | min − 1, once | | | |
//! | deletes for good, by HTTP | min − 1 | max − 1 | | |
//!
//! What is sent by HTTP with a copy for its author comes to all of them or to none. Where no answer
//! says which, the author's account does in the end.
//!
//! Where a disk fails, a refusal is no answer: what could not be synced may be there all the same,
//! as when the answer is lost.
//!
//! A message that anybody marked may be expunged by anybody, and so may a copy of it: from then on
//! `min` does not grow. A UID that was seen belongs to one message for ever, and one that was seen
//! to go does not come back.

use std::collections::{BTreeMap, BTreeSet};

use rmail_proto::Instant;

use super::{draft::Draft, message::Token, relay::Fates, siege::SiegeFigures};
use crate::HostId;

/// Where a UID counts: MAILBOXID and UIDVALIDITY.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Generation {
    pub(super) mailbox_id: String,
    pub(super) uid_validity: u32,
}

/// How many copies of a message an account may hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Copies {
    min: i64,
    max: i64,
    is_doomed: bool,
}

/// Whether a mailbox must be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Existence {
    /// It was made.
    There,
    /// It was deleted.
    Gone,
    /// Somebody tried, and heard no answer.
    Unknown,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Ledger {
    /// The time, for the histories.
    pub(super) now: Instant,
    /// Whether the disk fails now and then, so that a refusal says nothing.
    pub(super) disk_fails: bool,
    last_token: u64,
    /// What was noted of each message, for whoever has to find out what went wrong.
    histories: BTreeMap<Token, Vec<String>>,
    authors: BTreeMap<Token, String>,
    /// Messages that servers write from what HTTP clients tell them.
    pub(super) drafts: BTreeMap<Token, Draft>,
    copies: BTreeMap<(String, Token), Copies>,
    /// Messages of which nobody has said whether they were sent, each with those who got a copy
    /// then.
    sendings: BTreeMap<Token, Vec<String>>,
    uids: BTreeMap<(Generation, u32), Token>,
    /// By account and id, as the HTTP API tells them.
    ids: BTreeMap<(String, String), Token>,
    marked: BTreeSet<(Generation, u32)>,
    gone: BTreeSet<(Generation, u32)>,
    /// The highest MODSEQ of each mailbox that anybody was told, by UIDNEXT.
    modseqs: BTreeMap<Generation, BTreeMap<u32, u64>>,
    pub(super) mailboxes: BTreeMap<(String, String), Existence>,
    /// What has become of recipients on other machines.
    pub(super) fates: Fates,
    /// What audits found, by account.
    found: BTreeMap<String, BTreeMap<Token, i64>>,
    /// Those among them that are no drafts.
    found_sent: BTreeMap<String, BTreeSet<Token>>,
    /// Messages that a server took over, by SMTP, APPEND or HTTP.
    pub(super) acknowledged: u64,
    /// Answers that HTTP clients read to their end.
    pub(super) requests: u64,
    /// Tagged completions that IMAP clients heard.
    pub(super) commands: u64,
    /// Views that were compared with the store.
    pub(super) views_compared: u64,
    /// What came of a siege.
    pub(super) siege: SiegeFigures,
}

impl Ledger {
    /// A message by this author that nobody has seen yet.
    pub(super) fn new_message(&mut self, author: &str) -> Token {
        self.last_token += 1;
        let token = Token(self.last_token);
        self.authors.insert(token, author.to_owned());
        token
    }

    /// What the message of this token is.
    pub(super) fn message(&self, token: Token) -> Vec<u8> {
        super::message::message(token, &self.authors[&token])
    }

    /// Whether these bytes, whatever fields a server has put before them, are the message of this
    /// token.
    pub(super) fn is_message(&self, token: Token, bytes: &[u8]) -> bool {
        match self.drafts.get(&token) {
            Some(draft) => draft.is_in(token, bytes),
            None => bytes.ends_with(&self.message(token)),
        }
    }

    /// Who wrote it.
    pub(super) fn author(&self, token: Token) -> &str {
        &self.authors[&token]
    }

    /// A peer is told of a recipient; see [`Fates::attempted`].
    pub(super) fn attempted(&mut self, recipient: &str, token: Token, when: (Instant, u64)) -> u32 {
        self.note(token, format!("an attempt to reach {recipient}"));
        let copies_max = self.copies(recipient, token).max;
        self.fates.attempted(recipient, token, copies_max, when)
    }

    /// A copy may appear from now on.
    pub(super) fn may_come(&mut self, account: &str, token: Token) {
        self.fates.offered(account, token, self.now);
        self.note(token, format!("may come to {account}"));
        self.copies(account, token).max += 1;
    }

    /// The server said that it did not take the copy.
    pub(super) fn refused(&mut self, account: &str, token: Token) {
        match self.disk_fails {
            true => self.note(
                token,
                format!("was refused for {account} by a disk that fails"),
            ),
            false => self.did_not_come(account, token),
        }
    }

    /// The copy's end was never sent, or it is certain that there is none.
    pub(super) fn did_not_come(&mut self, account: &str, token: Token) {
        self.note(token, format!("did not come to {account}"));
        self.copies(account, token).max -= 1;
    }

    /// The copy was acknowledged.
    pub(super) fn came(&mut self, account: &str, token: Token) {
        self.note(token, format!("came to {account}"));
        self.fates.acknowledged(account, token, self.now);
        let copies = self.copies(account, token);
        if !copies.is_doomed {
            copies.min += 1;
        }
    }

    /// A message is sent by HTTP, and its author has it then: so many copies, or none.
    pub(super) fn sends(&mut self, token: Token, accounts: Vec<String>) {
        self.sendings.insert(token, accounts);
    }

    /// The server said whether it was sent.
    pub(super) fn end_sending(&mut self, token: Token, accounts: &[String], is_sent: bool) {
        for account in accounts {
            match is_sent {
                true => self.came(account, token),
                false => self.refused(account, token),
            }
        }
        if is_sent || !self.disk_fails {
            self.sendings.remove(&token);
        }
        self.acknowledged += u64::from(is_sent);
    }

    /// Whether the author has it says whether it was sent, unless somebody may have deleted it.
    fn settle_sendings(&mut self) {
        for (token, accounts) in std::mem::take(&mut self.sendings) {
            let author = self.author(token).to_owned();
            let is_doomed = self.copies(&author, token).is_doomed;
            let Some(found) = self.found_sent.get(&author).filter(|_| !is_doomed) else {
                continue;
            };
            let is_sent = found.contains(&token);
            for account in &accounts {
                match is_sent {
                    true => self.came(account, token),
                    false => self.did_not_come(account, token),
                }
            }
        }
    }

    /// Somebody is about to mark the message with this UID as deleted.
    pub(super) fn mark(&mut self, account: &str, generation: &Generation, uid: u32, token: Token) {
        if self.marked.insert((generation.clone(), uid)) {
            self.note(token, format!("marked: UID {uid} in {generation:?}"));
            self.doom(account, token);
        }
    }

    /// A copy may vanish from now on.
    pub(super) fn doom(&mut self, account: &str, token: Token) {
        self.note(token, format!("may vanish from {account}"));
        let copies = self.copies(account, token);
        copies.min -= 1;
        copies.is_doomed = true;
    }

    /// A copy is gone for good, as a client was told that had doomed it.
    pub(super) fn purged(&mut self, account: &str, token: Token) {
        self.note(token, format!("was deleted from {account}"));
        self.copies(account, token).max -= 1;
    }

    /// An id was seen with this message.
    pub(super) fn saw_id(&mut self, account: &str, id: &str, token: Token) {
        let key = (account.to_owned(), id.to_owned());
        let known = *self.ids.entry(key).or_insert(token);
        assert_eq!(known, token, "an id was used twice: {id} of {account}");
    }

    /// A UID was seen with this message.
    pub(super) fn saw(&mut self, generation: &Generation, uid: u32, token: Token) {
        let key = (generation.clone(), uid);
        if !self.uids.contains_key(&key) {
            self.note(token, format!("seen: UID {uid} in {generation:?}"));
        }
        let known = *self.uids.entry(key).or_insert(token);
        assert_eq!(
            known, token,
            "a UID was used twice: {uid} in {generation:?}"
        );
    }

    /// A UID is there when all is over: nobody has seen it go.
    pub(super) fn check_not_gone(&self, generation: &Generation, uid: u32) {
        assert!(
            !self.gone.contains(&(generation.clone(), uid)),
            "an expunged message came back: UID {uid} in {generation:?}"
        );
    }

    /// The message that a UID was seen with.
    pub(super) fn token(&self, generation: &Generation, uid: u32) -> Option<Token> {
        self.uids.get(&(generation.clone(), uid)).copied()
    }

    /// A message was seen to go.
    pub(super) fn saw_gone(&mut self, generation: &Generation, uid: u32) {
        if let Some(token) = self.token(generation, uid) {
            self.note(token, format!("gone: UID {uid} in {generation:?}"));
        }
        self.gone.insert((generation.clone(), uid));
    }

    /// SELECT told this UIDNEXT and HIGHESTMODSEQ. Between two that tell different UIDNEXTs a
    /// message has come, which has a MODSEQ of its own (RFC 7162 §3.1.1), whatever went wrong in
    /// between.
    pub(super) fn saw_modseq(&mut self, generation: &Generation, uid_next: u32, modseq: u64) {
        let told = self.modseqs.entry(generation.clone()).or_default();
        let before = told.range(..uid_next).next_back();
        if let Some((before, highest)) = before {
            assert!(
                modseq > *highest,
                "MODSEQs go back from {highest} to {modseq}, UIDNEXT from {before} to {uid_next} \
                 in {generation:?}"
            );
        }
        let highest = told.entry(uid_next).or_default();
        *highest = modseq.max(*highest);
    }

    /// Somebody is about to make mailboxes or to delete them. Returns what was known of them.
    pub(super) fn begin_change(
        &mut self,
        account: &str,
        ends: &[(&str, Existence)],
    ) -> Vec<Option<Existence>> {
        let ends = ends.iter().map(|(name, _)| {
            let key = (account.to_owned(), (*name).to_owned());
            self.mailboxes.insert(key, Existence::Unknown)
        });
        ends.collect()
    }

    /// The server said whether it did that.
    pub(super) fn end_change(
        &mut self,
        account: &str,
        ends: &[(&str, Existence)],
        before: Vec<Option<Existence>>,
        is_done: bool,
    ) {
        // As with messages: a refusal says nothing where a disk fails.
        let mut known = before.iter();
        let is_certain = !self.disk_fails && known.all(|known| *known != Some(Existence::Unknown));
        for ((name, end), before) in ends.iter().zip(before) {
            let key = (account.to_owned(), (*name).to_owned());
            let existence = match is_done {
                true => *end,
                false if is_certain => before.unwrap_or(Existence::Gone),
                false => Existence::Unknown,
            };
            self.mailboxes.insert(key, existence);
        }
    }

    /// An audit found these copies in an account; those of `sent` are no drafts, or not all.
    pub(super) fn found(
        &mut self,
        account: &str,
        found: BTreeMap<Token, i64>,
        sent: BTreeSet<Token>,
    ) {
        self.found.insert(account.to_owned(), found);
        self.found_sent.insert(account.to_owned(), sent);
    }

    /// Compares what accounts hold, what peers took and what came back with what there must and
    /// may be. A copy may be there twice for each time that the way between two servers was cut,
    /// and they were so often.
    pub(super) fn check(&mut self, cuts: i64, interruptions: impl Fn(HostId) -> u64) {
        self.settle_sendings();
        for ((address, token), copies) in &self.copies {
            let (min, max) = (copies.min, copies.max);
            let history = self.history(*token);
            let Some(found) = self.found.get(address) else {
                let recipient = (address.as_str(), *token);
                let bounds = (min, max);
                self.fates
                    .check(recipient, bounds, &interruptions, &history);
                continue;
            };
            let count = found.get(token).copied().unwrap_or(0);
            let bounced = self.fates.failures(address, *token);
            assert!(
                count + bounced >= min,
                "lost: {address} holds {count} copies of {token:?}, and must hold {min}, \
                 {bounced} came back\n{history}"
            );
            let repeats = if self.fates.is_elsewhere(address, *token) {
                cuts
            } else {
                0
            };
            assert!(
                count + bounced <= max + repeats,
                "repeated: {address} holds {count} copies of {token:?}, not {max}, {bounced} came \
                 back\n{history}"
            );
        }
        for (account, found) in &self.found {
            for token in found.keys() {
                let is_known = self.copies.contains_key(&(account.to_owned(), *token));
                assert!(
                    is_known,
                    "{account} holds message {token:?}, which nobody sent there"
                );
            }
        }
    }

    fn note(&mut self, token: Token, text: String) {
        let at = self.now.since_start().as_secs_f64();
        let history = self.histories.entry(token).or_default();
        history.push(format!("{at:>12.6}  {text}"));
    }

    fn history(&self, token: Token) -> String {
        let lines = self.histories.get(&token);
        lines.map(|lines| lines.join("\n")).unwrap_or_default()
    }

    fn copies(&mut self, account: &str, token: Token) -> &mut Copies {
        self.copies.entry((account.to_owned(), token)).or_default()
    }
}
