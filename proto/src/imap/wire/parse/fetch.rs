//! FETCH (RFC 3501 §6.4.5).

use alloc::{string::String, vec::Vec};

use super::{
    super::{FetchItem, MessageSet, Partial, Section, SectionText},
    CommandBody, Cursor, Parsed, bad,
};
use crate::{ModSeq, limits};

/// ```abnf
/// fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att /
///         "(" fetch-att *(SP fetch-att) ")") [SP fetch-modifiers]
/// ```
pub(super) fn parse_fetch(cursor: &mut Cursor<'_>, messages: MessageSet) -> Parsed<CommandBody> {
    let asked = match cursor.peek() {
        Some(b'(') => cursor.list(parse_item)?,
        Some(_) | None => parse_macro_or_item(cursor)?,
    };
    if !(1..=limits::IMAP_FETCH_ITEMS).contains(&asked.len()) {
        return bad("Wrong number of items");
    }
    let mut items = Vec::new();
    for item in asked {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    let (mut changed_since, mut vanished) = (None, false);
    if cursor.take(b' ') {
        (changed_since, vanished) = parse_modifiers(cursor)?;
    }
    if vanished && (changed_since.is_none() || matches!(messages, MessageSet::Numbers(_))) {
        return bad("VANISHED needs UID FETCH and CHANGEDSINCE");
    }
    Ok(CommandBody::Fetch {
        messages,
        items,
        changed_since,
        vanished,
    })
}

/// ```abnf
/// fetch-modifiers = "(" fetch-modifier *(SP fetch-modifier) ")"
/// fetch-modifier  = "CHANGEDSINCE" SP mod-sequence-value / "VANISHED"   ; RFC 7162 §7
/// ```
fn parse_modifiers(cursor: &mut Cursor<'_>) -> Parsed<(Option<ModSeq>, bool)> {
    let (mut changed_since, mut vanished) = (None, false);
    cursor.list(|cursor| {
        match cursor.keyword()?.as_str() {
            "CHANGEDSINCE" => {
                cursor.space()?;
                changed_since = Some(cursor.modseq()?);
            }
            "VANISHED" => vanished = true,
            _ => return bad("Unknown modifier"),
        }
        Ok(())
    })?;
    Ok((changed_since, vanished))
}

fn parse_macro_or_item(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    let fast = [
        FetchItem::Flags,
        FetchItem::InternalDate,
        FetchItem::Rfc822Size,
    ];
    let mut items = Vec::from(fast);
    let mut ahead = cursor.clone();
    match item_name(&mut ahead).as_str() {
        "FAST" => {}
        "ALL" => items.push(FetchItem::Envelope),
        "FULL" => items.extend([FetchItem::Envelope, FetchItem::Body]),
        _ => return Ok(Vec::from([parse_item(cursor)?])),
    }
    *cursor = ahead;
    Ok(items)
}

/// ```abnf
/// fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
///             "BODY" ["STRUCTURE"] / "UID" / "MODSEQ" / "EMAILID" / "THREADID" /
///             "BODY" [".PEEK"] section ["<" number "." nz-number ">"]
/// ```
fn parse_item(cursor: &mut Cursor<'_>) -> Parsed<FetchItem> {
    let name = item_name(cursor);
    if cursor.take(b'[') {
        let peek = match name.as_str() {
            "BODY" => false,
            "BODY.PEEK" => true,
            _ => return bad("Unknown item"),
        };
        let section = parse_section(cursor)?;
        let partial = parse_partial(cursor)?;
        return Ok(FetchItem::BodySection {
            section,
            partial,
            peek,
        });
    }
    Ok(match name.as_str() {
        "FLAGS" => FetchItem::Flags,
        "UID" => FetchItem::Uid,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Rfc822Size,
        "ENVELOPE" => FetchItem::Envelope,
        "BODY" => FetchItem::Body,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "MODSEQ" => FetchItem::ModSeq,
        "EMAILID" => FetchItem::EmailId,
        "THREADID" => FetchItem::ThreadId,
        "RFC822" => FetchItem::Rfc822,
        "RFC822.HEADER" => FetchItem::Rfc822Header,
        "RFC822.TEXT" => FetchItem::Rfc822Text,
        _ => return bad("Unknown item"),
    })
}

/// In capitals; possibly empty.
fn item_name(cursor: &mut Cursor<'_>) -> String {
    let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    name.iter()
        .map(|byte| char::from(byte.to_ascii_uppercase()))
        .collect()
}

/// What follows `[`, see [`Section`], and `]`.
fn parse_section(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    let mut section = Section::default();
    let mut text_wanted = false;
    while cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        if section.part.len() == limits::IMAP_SECTION_DEPTH {
            return bad("Section is too deep");
        }
        section.part.push(cursor.nonzero()?);
        text_wanted = cursor.take(b'.');
        if !text_wanted {
            break;
        }
    }
    let may_have_text = section.part.is_empty() || text_wanted;
    section.text = match item_name(cursor).as_str() {
        "" if !text_wanted => SectionText::Whole,
        _ if !may_have_text => return bad("Expected a dot"),
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields(parse_field_names(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(parse_field_names(cursor)?),
        "TEXT" => SectionText::Text,
        "MIME" if text_wanted => SectionText::Mime,
        _ => return bad("Unknown section"),
    };
    cursor.expect(b']', "Expected a closing bracket")?;
    Ok(section)
}

/// `SP "(" header-fld-name *(SP header-fld-name) ")"`
fn parse_field_names(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    let names = cursor.list(Cursor::field_name)?;
    match names.is_empty() {
        true => bad("Expected a field name"),
        false => Ok(names),
    }
}

/// `["<" number "." nz-number ">"]`
fn parse_partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !cursor.take(b'<') {
        return Ok(None);
    }
    let offset = cursor.number()?;
    cursor.expect(b'.', "Expected a dot")?;
    let length = cursor.number()?;
    cursor.expect(b'>', "Expected a closing angle bracket")?;
    match length {
        0 => bad("Length must not be 0"),
        length => Ok(Some(Partial { offset, length })),
    }
}
