//! What SEARCH looks for, as the client wrote it.

use alloc::{boxed::Box, string::String, vec::Vec};

use super::SequenceSet;
use crate::{
    EmailId, Keyword, ModSeq, SystemFlags, ThreadId,
    imap::{DateTest, SearchKey, UidSet},
};

/// What a message must match, with message numbers, `*` and `\Recent` still in it; see
/// [`SearchCriteria::resolve`]. Texts are in UTF-8, whatever charset they came in.
///
/// Nested at most [`limits::IMAP_SEARCH_DEPTH`](crate::limits::IMAP_SEARCH_DEPTH) deep, with at
/// most [`limits::IMAP_SEARCH_KEYS`](crate::limits::IMAP_SEARCH_KEYS) keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SearchCriteria {
    /// Every message.
    All,
    /// All of these.
    And(Vec<SearchCriteria>),
    /// One of these two.
    Or(Box<SearchCriteria>, Box<SearchCriteria>),
    /// Not this.
    Not(Box<SearchCriteria>),
    /// The message number is among these.
    Numbers(SequenceSet),
    /// The UID is among these.
    Uids(SequenceSet),
    /// `\Recent` in this session. NEW is this without `\Seen`, OLD is not this.
    Recent,
    /// All these system flags are set.
    Flags(SystemFlags),
    /// The keyword is set.
    Keyword(Keyword),
    /// Larger than so many bytes.
    Larger(u64),
    /// Smaller than so many bytes.
    Smaller(u64),
    /// INTERNALDATE, as days since 1970-01-01.
    InternalDate(DateTest, i64),
    /// The Date field, as days since 1970-01-01.
    SentDate(DateTest, i64),
    /// A field of this name (lower case) contains the text; with an empty text: there is one.
    Header(String, String),
    /// The text of a part contains this.
    Body(String),
    /// The header or the text of a part contains this.
    Text(String),
    /// Changed at or after this (RFC 7162 §3.1.5).
    ModSeq(ModSeq),
    /// It has this content (RFC 8474 §6).
    EmailId(EmailId),
    /// It belongs to this conversation (RFC 8474 §6).
    ThreadId(ThreadId),
}

/// What a session knows that a search needs.
pub trait SearchContext {
    /// The UIDs of the messages with these message numbers.
    fn numbers(&self, numbers: &SequenceSet) -> UidSet;
    /// The UIDs among these; `*` is the largest in the mailbox.
    fn uids(&self, uids: &SequenceSet) -> UidSet;
    /// The messages that are `\Recent` in this session.
    fn recent(&self) -> UidSet;
}

impl SearchCriteria {
    /// The program that the store can carry out: message numbers, `*` and `\Recent` become UIDs.
    pub fn resolve(&self, context: &impl SearchContext) -> SearchKey {
        match self {
            Self::All => SearchKey::All,
            Self::And(all) => SearchKey::And(all.iter().map(|key| key.resolve(context)).collect()),
            Self::Or(one, other) => SearchKey::Or(
                Box::new(one.resolve(context)),
                Box::new(other.resolve(context)),
            ),
            Self::Not(key) => SearchKey::Not(Box::new(key.resolve(context))),
            Self::Numbers(numbers) => SearchKey::Uids(context.numbers(numbers)),
            Self::Uids(uids) => SearchKey::Uids(context.uids(uids)),
            Self::Recent => SearchKey::Uids(context.recent()),
            Self::Flags(flags) => SearchKey::Flags(*flags),
            Self::Keyword(keyword) => SearchKey::Keyword(keyword.clone()),
            Self::Larger(bytes) => SearchKey::Larger(*bytes),
            Self::Smaller(bytes) => SearchKey::Smaller(*bytes),
            Self::InternalDate(test, day) => SearchKey::InternalDate(*test, *day),
            Self::SentDate(test, day) => SearchKey::SentDate(*test, *day),
            Self::Header(field, text) => SearchKey::Header(field.clone(), text.clone()),
            Self::Body(text) => SearchKey::Body(text.clone()),
            Self::Text(text) => SearchKey::Text(text.clone()),
            Self::ModSeq(modseq) => SearchKey::ModSeq(*modseq),
            Self::EmailId(id) => SearchKey::EmailId(*id),
            Self::ThreadId(id) => SearchKey::ThreadId(*id),
        }
    }

    /// Every set of message numbers in it, for a check against the mailbox's size.
    pub fn number_sets(&self) -> Vec<&SequenceSet> {
        let mut sets = Vec::new();
        let mut waiting = Vec::from([self]);
        while let Some(criteria) = waiting.pop() {
            match criteria {
                Self::Numbers(numbers) => sets.push(numbers),
                Self::And(all) => waiting.extend(all),
                Self::Or(one, other) => waiting.extend([&**one, &**other]),
                Self::Not(key) => waiting.push(key),
                Self::All
                | Self::Uids(_)
                | Self::Recent
                | Self::Flags(_)
                | Self::Keyword(_)
                | Self::Larger(_)
                | Self::Smaller(_)
                | Self::InternalDate(..)
                | Self::SentDate(..)
                | Self::Header(..)
                | Self::Body(_)
                | Self::Text(_)
                | Self::ModSeq(_)
                | Self::EmailId(_)
                | Self::ThreadId(_) => {}
            }
        }
        sets
    }

    /// Whether MODSEQ is asked about, which the answer then ends in (RFC 7162 §3.1.5).
    pub fn has_modseq(&self) -> bool {
        match self {
            Self::ModSeq(_) => true,
            Self::And(all) => all.iter().any(Self::has_modseq),
            Self::Or(one, other) => one.has_modseq() || other.has_modseq(),
            Self::Not(key) => key.has_modseq(),
            Self::All
            | Self::Numbers(_)
            | Self::Uids(_)
            | Self::Recent
            | Self::Flags(_)
            | Self::Keyword(_)
            | Self::Larger(_)
            | Self::Smaller(_)
            | Self::InternalDate(..)
            | Self::SentDate(..)
            | Self::Header(..)
            | Self::Body(_)
            | Self::Text(_)
            | Self::EmailId(_)
            | Self::ThreadId(_) => false,
        }
    }
}
