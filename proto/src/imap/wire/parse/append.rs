//! APPEND as far as its literals (RFC 3501 §6.3.11, RFC 3502).

use alloc::string::String;

use super::{Cursor, Fault, ParseError, Parsed, Tag, parse_tag};
use crate::{DateTime, Flags};

/// What stands before a message of an APPEND.
#[derive(Debug)]
pub(in super::super) struct AppendStart {
    /// The tag and the mailbox, before the first message.
    pub target: Option<(Tag, String)>,
    /// The message's flags.
    pub flags: Flags,
    /// The message's date.
    pub internal_date: Option<DateTime>,
}

/// ```abnf
/// append         = "APPEND" SP mailbox 1*append-message
/// append-message = [SP flag-list] [SP date-time] SP literal
/// ```
///
/// `text` is a command that ends in the announcement of a literal. `None` when it is not that of
/// a message: the command is another one, or the mailbox's name is the literal.
pub(in super::super) fn parse_append_start(text: &[u8]) -> Result<Option<AppendStart>, Fault> {
    let Some(tag) = parse_tag(text) else {
        return Ok(None);
    };
    let mut cursor = Cursor::new(&text[tag.as_str().len() + 1..]);
    if !cursor.take_word("APPEND ") {
        return Ok(None);
    }
    let mailbox = match cursor.mailbox() {
        Ok(mailbox) => mailbox,
        Err(ParseError::LiteralPending) => return Ok(None),
        Err(error) => return Err(error.into_fault(tag)),
    };
    match parse_options(&mut cursor) {
        Ok((flags, internal_date)) => {
            let target = Some((tag, mailbox));
            Ok(Some(AppendStart {
                target,
                flags,
                internal_date,
            }))
        }
        Err(error) => Err(error.into_fault(tag)),
    }
}

/// What stands between a message of an APPEND and the next one. Never `None`.
pub(in super::super) fn parse_append_next(
    tag: &Tag,
    text: &[u8],
) -> Result<Option<AppendStart>, Fault> {
    match parse_options(&mut Cursor::new(text)) {
        Ok((flags, internal_date)) => Ok(Some(AppendStart {
            target: None,
            flags,
            internal_date,
        })),
        Err(error) => Err(error.into_fault(tag.clone())),
    }
}

/// `[SP flag-list] [SP date-time] SP "{" number ["+"] "}" CRLF`
fn parse_options(cursor: &mut Cursor<'_>) -> Parsed<(Flags, Option<DateTime>)> {
    cursor.space()?;
    let mut flags = Flags::default();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flag_list()?;
        cursor.space()?;
    }
    let mut internal_date = None;
    if cursor.peek() == Some(b'"') {
        internal_date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    cursor.literal_announcement()?;
    cursor.end()?;
    Ok((flags, internal_date))
}
