//! LIST, basic and extended (RFC 3501 §6.3.8, RFC 5258, RFC 6154, RFC 5819).

use alloc::vec::Vec;

use super::{
    super::{List, ListReturn, ListSelect},
    Cursor, Parsed, bad, parse_status_items,
};
use crate::limits;

/// ```abnf
/// list        = "LIST" [SP "(" [option *(SP option)] ")"] SP mailbox SP mbox-or-pat
///               [SP "RETURN" SP "(" [option *(SP option)] ")"]
/// mbox-or-pat = list-mailbox / "(" list-mailbox *(SP list-mailbox) ")"
/// ```
pub(super) fn parse_list(cursor: &mut Cursor<'_>) -> Parsed<List> {
    let mut list = List {
        select: ListSelect::default(),
        reference: Default::default(),
        patterns: Vec::new(),
        returns: ListReturn::default(),
        extended: false,
    };
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        parse_select_options(cursor, &mut list.select)?;
        cursor.space()?;
    }
    list.reference = cursor.mailbox()?;
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = cursor.list(Cursor::list_mailbox)?;
    } else {
        list.patterns.push(cursor.list_mailbox()?);
    }
    if !(1..=limits::IMAP_LIST_PATTERNS).contains(&list.patterns.len()) {
        return bad("Wrong number of patterns");
    }
    if cursor.take(b' ') {
        list.extended = true;
        if !cursor.take_word("RETURN ") {
            return bad("Expected RETURN");
        }
        parse_return_options(cursor, &mut list.returns)?;
    }
    Ok(list)
}

/// RECURSIVEMATCH must not be alone, or with REMOTE only (RFC 5258 §3.1).
fn parse_select_options(cursor: &mut Cursor<'_>, select: &mut ListSelect) -> Parsed<()> {
    cursor.list(|cursor| {
        match cursor.keyword()?.as_str() {
            "SUBSCRIBED" => select.subscribed = true,
            "REMOTE" => select.remote = true,
            "RECURSIVEMATCH" => select.recursive_match = true,
            "SPECIAL-USE" => select.special_use = true,
            _ => return bad("Unknown selection option"),
        }
        Ok(())
    })?;
    match select.recursive_match && !select.subscribed && !select.special_use {
        true => bad("RECURSIVEMATCH needs another selection option"),
        false => Ok(()),
    }
}

fn parse_return_options(cursor: &mut Cursor<'_>, returns: &mut ListReturn) -> Parsed<()> {
    cursor.list(|cursor| {
        match cursor.keyword()?.as_str() {
            "SUBSCRIBED" => returns.subscribed = true,
            "CHILDREN" => returns.children = true,
            "SPECIAL-USE" => returns.special_use = true,
            "STATUS" => {
                cursor.space()?;
                returns.status = parse_status_items(cursor)?;
            }
            _ => return bad("Unknown return option"),
        }
        Ok(())
    })?;
    Ok(())
}
