//! SEARCH (RFC 3501 §6.4.4, RFC 4731, RFC 7162, RFC 8474).

use alloc::{boxed::Box, string::String, vec::Vec};

use super::{
    super::{FaultKind, SearchCriteria, SearchReturn, charset::Charset},
    CommandBody, Cursor, ParseError, Parsed, bad,
};
use crate::{EmailId, SystemFlags, ThreadId, imap::DateTest, limits};

/// ```abnf
/// search = "SEARCH" [SP "RETURN" SP "(" [option *(SP option)] ")"] [SP "CHARSET" SP astring]
///          1*(SP search-key)
/// ```
pub(super) fn parse_search(cursor: &mut Cursor<'_>, by_uid: bool) -> Parsed<CommandBody> {
    let mut returns = None;
    if cursor.take_word("RETURN ") {
        returns = Some(parse_return_options(cursor)?);
        cursor.space()?;
    }
    let mut charset = Charset::Ascii;
    if cursor.take_word("CHARSET ") {
        let name = cursor.astring()?;
        charset = match Charset::from_name(&name) {
            Some(charset) => charset,
            None => {
                const TEXT: &str = "Charset is not supported";
                return Err(ParseError::Fault(FaultKind::BadCharset, TEXT));
            }
        };
        cursor.space()?;
    }
    let mut keys = Keys { charset, count: 0 };
    let mut all = Vec::from([keys.parse_key(cursor, 0)?]);
    while cursor.take(b' ') {
        all.push(keys.parse_key(cursor, 0)?);
    }
    Ok(CommandBody::Search {
        by_uid,
        returns,
        criteria: and(all),
    })
}

/// `"(" [("MIN" / "MAX" / "ALL" / "COUNT") *(SP ...)] ")"` (RFC 4731 §3.1)
fn parse_return_options(cursor: &mut Cursor<'_>) -> Parsed<SearchReturn> {
    let mut returns = SearchReturn::default();
    let options = cursor.list(|cursor| {
        match cursor.keyword()?.as_str() {
            "MIN" => returns.min = true,
            "MAX" => returns.max = true,
            "ALL" => returns.all = true,
            "COUNT" => returns.count = true,
            _ => return bad("Unknown return option"),
        }
        Ok(())
    })?;
    returns.all |= options.is_empty();
    Ok(returns)
}

fn and(mut all: Vec<SearchCriteria>) -> SearchCriteria {
    match all.len() {
        1 => all.remove(0),
        _ => SearchCriteria::And(all),
    }
}

/// What the keys of one SEARCH have in common.
struct Keys {
    charset: Charset,
    count: usize,
}

impl Keys {
    /// ```abnf
    /// search-key = "ALL" / "ANSWERED" / ... / sequence-set / "NOT" SP search-key /
    ///              "OR" SP search-key SP search-key / "(" search-key *(SP search-key) ")"
    /// ```
    fn parse_key(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Parsed<SearchCriteria> {
        self.count += 1;
        if self.count > limits::IMAP_SEARCH_KEYS {
            return bad("Too many search keys");
        }
        if depth > limits::IMAP_SEARCH_DEPTH {
            return bad("Search keys nest too deeply");
        }
        match cursor.peek() {
            Some(b'(') => {
                let all = cursor.list(|cursor| self.parse_key(cursor, depth + 1))?;
                match all.is_empty() {
                    true => bad("Expected a search key"),
                    false => Ok(and(all)),
                }
            }
            Some(b'0'..=b'9' | b'*') => cursor.sequence_set().map(SearchCriteria::Numbers),
            Some(_) | None => match cursor.keyword()?.as_str() {
                "NOT" => {
                    cursor.space()?;
                    Ok(not(self.parse_key(cursor, depth + 1)?))
                }
                "OR" => {
                    cursor.space()?;
                    let one = self.parse_key(cursor, depth + 1)?;
                    cursor.space()?;
                    let other = self.parse_key(cursor, depth + 1)?;
                    Ok(SearchCriteria::Or(Box::new(one), Box::new(other)))
                }
                name => match plain_key(name) {
                    Some(criteria) => Ok(criteria),
                    None => self.parse_key_with_argument(name, cursor),
                },
            },
        }
    }

    fn parse_key_with_argument(
        &self,
        name: &str,
        cursor: &mut Cursor<'_>,
    ) -> Parsed<SearchCriteria> {
        // An unknown key is told apart from one without its argument.
        let known = matches!(
            name,
            "BCC"
                | "CC"
                | "FROM"
                | "SUBJECT"
                | "TO"
                | "HEADER"
                | "BODY"
                | "TEXT"
                | "KEYWORD"
                | "UNKEYWORD"
                | "BEFORE"
                | "ON"
                | "SINCE"
                | "SENTBEFORE"
                | "SENTON"
                | "SENTSINCE"
                | "LARGER"
                | "SMALLER"
                | "UID"
                | "MODSEQ"
                | "EMAILID"
                | "THREADID"
        );
        if !known {
            return bad("Unknown search key");
        }
        cursor.space()?;
        Ok(match name {
            "HEADER" => {
                let field = cursor.field_name()?.to_ascii_lowercase();
                cursor.space()?;
                SearchCriteria::Header(field, self.parse_text(cursor)?)
            }
            "BODY" => SearchCriteria::Body(self.parse_text(cursor)?),
            "TEXT" => SearchCriteria::Text(self.parse_text(cursor)?),
            "KEYWORD" => SearchCriteria::Keyword(cursor.flag_keyword()?),
            "UNKEYWORD" => not(SearchCriteria::Keyword(cursor.flag_keyword()?)),
            "BEFORE" => SearchCriteria::InternalDate(DateTest::Before, cursor.date()?),
            "ON" => SearchCriteria::InternalDate(DateTest::On, cursor.date()?),
            "SINCE" => SearchCriteria::InternalDate(DateTest::Since, cursor.date()?),
            "SENTBEFORE" => SearchCriteria::SentDate(DateTest::Before, cursor.date()?),
            "SENTON" => SearchCriteria::SentDate(DateTest::On, cursor.date()?),
            "SENTSINCE" => SearchCriteria::SentDate(DateTest::Since, cursor.date()?),
            "LARGER" => SearchCriteria::Larger(cursor.number()?),
            "SMALLER" => SearchCriteria::Smaller(cursor.number()?),
            "UID" => SearchCriteria::Uids(cursor.sequence_set()?),
            "MODSEQ" => parse_modseq(cursor)?,
            "EMAILID" => id(EmailId::parse(&object_id(cursor)?).map(SearchCriteria::EmailId)),
            "THREADID" => id(ThreadId::parse(&object_id(cursor)?).map(SearchCriteria::ThreadId)),
            field => SearchCriteria::Header(field.to_ascii_lowercase(), self.parse_text(cursor)?),
        })
    }

    /// An astring in the charset of the SEARCH.
    fn parse_text(&self, cursor: &mut Cursor<'_>) -> Parsed<String> {
        let text = cursor.astring()?;
        match self.charset.decode(&text) {
            Some(text) => Ok(text),
            None => bad("Text is not in the charset of the search"),
        }
    }
}

fn not(criteria: SearchCriteria) -> SearchCriteria {
    SearchCriteria::Not(Box::new(criteria))
}

/// ```abnf
/// objectid = 1*255(ALPHA / DIGIT / "_" / "-")   ; RFC 8474 §7
/// ```
fn object_id(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let text = cursor.astring()?;
    let valid = (1..=255).contains(&text.len())
        && text
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match core::str::from_utf8(&text) {
        Ok(text) if valid => Ok(String::from(text)),
        Ok(_) | Err(_) => bad("This is no object id"),
    }
}

/// An id that no object can have here matches nothing.
fn id(criteria: Option<SearchCriteria>) -> SearchCriteria {
    criteria.unwrap_or_else(|| not(SearchCriteria::All))
}

/// A key without an argument.
fn plain_key(name: &str) -> Option<SearchCriteria> {
    let flag = |flag| SearchCriteria::Flags(flag);
    Some(match name {
        "ALL" => SearchCriteria::All,
        "ANSWERED" => flag(SystemFlags::ANSWERED),
        "DELETED" => flag(SystemFlags::DELETED),
        "DRAFT" => flag(SystemFlags::DRAFT),
        "FLAGGED" => flag(SystemFlags::FLAGGED),
        "SEEN" => flag(SystemFlags::SEEN),
        "UNANSWERED" => not(flag(SystemFlags::ANSWERED)),
        "UNDELETED" => not(flag(SystemFlags::DELETED)),
        "UNDRAFT" => not(flag(SystemFlags::DRAFT)),
        "UNFLAGGED" => not(flag(SystemFlags::FLAGGED)),
        "UNSEEN" => not(flag(SystemFlags::SEEN)),
        "RECENT" => SearchCriteria::Recent,
        "OLD" => not(SearchCriteria::Recent),
        "NEW" => SearchCriteria::And(Vec::from([
            SearchCriteria::Recent,
            not(flag(SystemFlags::SEEN)),
        ])),
        _ => return None,
    })
}

/// ```abnf
/// search-modseq     = "MODSEQ" [SP entry-name SP entry-type-req] SP mod-sequence-valzer
/// entry-name        = DQUOTE "/flags/" flag DQUOTE
/// entry-type-req    = "priv" / "shared" / "all"
/// ```
///
/// RFC 7162 §7. Flags have one mod-sequence together here, so the entry makes no difference.
fn parse_modseq(cursor: &mut Cursor<'_>) -> Parsed<SearchCriteria> {
    if cursor.peek() == Some(b'"') {
        let _entry = cursor.string_text()?;
        cursor.space()?;
        if !matches!(cursor.keyword()?.as_str(), "PRIV" | "SHARED" | "ALL") {
            return bad("Unknown entry type");
        }
        cursor.space()?;
    }
    cursor.modseq().map(SearchCriteria::ModSeq)
}
