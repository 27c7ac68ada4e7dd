//! SEARCH's keys as a tree (RFC 3501 §6.4.4).

use alloc::{boxed::Box, string::String, vec::Vec};

use super::UidSet;
use crate::{EmailId, Keyword, ModSeq, SystemFlags, ThreadId};

/// What a message must match. Message numbers, `\Recent` and `$`-like references to the session
/// are resolved to UIDs before a program leaves the machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these.
    And(Vec<SearchKey>),
    /// One of these two.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// The UID is among these.
    Uids(UidSet),
    /// All these system flags are set.
    Flags(SystemFlags),
    /// The keyword is set.
    Keyword(Keyword),
    /// Larger than so many bytes.
    Larger(u64),
    /// Smaller than so many bytes.
    Smaller(u64),
    /// INTERNALDATE, as days since 1970-01-01 in its own zone, compared so.
    InternalDate(DateTest, i64),
    /// The Date field, as days since 1970-01-01 in its own zone, compared so.
    SentDate(DateTest, i64),
    /// A field of this name (lower case) contains the text; with an empty text: there is one.
    Header(String, SearchText),
    /// The text of a part contains this.
    Body(SearchText),
    /// The header or the text of a part contains this.
    Text(SearchText),
    /// Changed at or after this (RFC 7162 §3.1.5).
    ModSeq(ModSeq),
    /// It has this content (RFC 8474 §6).
    EmailId(EmailId),
    /// It belongs to this conversation (RFC 8474 §6).
    ThreadId(ThreadId),
}

/// How a date is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DateTest {
    /// Earlier than the day.
    Before,
    /// Within the day.
    On,
    /// Within the day or later.
    Since,
}

/// A text to look for, in UTF-8; compared without case (i;unicode-casemap-like).
pub type SearchText = String;
