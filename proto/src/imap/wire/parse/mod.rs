//! The grammar of commands (RFC 3501 §9).

mod append;
mod fetch;
mod list;
mod search;

use alloc::{string::String, vec::Vec};

use super::{
    Command, CommandBody, Fault, FaultKind, MessageSet, StatusItem, Tag,
    cursor::{Cursor, ParseError, Parsed, bad},
};
use crate::{
    Secret,
    imap::{SpecialUse, StoreMode},
    limits,
};

pub(super) use append::{AppendStart, parse_append_next, parse_append_start};

/// The tag at the start of a command, as soon as the space after it is there.
pub(super) fn parse_tag(text: &[u8]) -> Option<Tag> {
    let end = text.iter().position(|&byte| byte == b' ')?;
    Tag::new(&text[..end])
}

/// ```abnf
/// command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
/// ```
///
/// `text` is the whole command, with CRLF and bytes of each literal, and without the last CRLF.
pub(super) fn parse_command(text: &[u8]) -> Result<Command, Fault> {
    let Some(tag) = parse_tag(text) else {
        return Err(match Tag::new(text) {
            Some(tag) => fault(Some(tag), FaultKind::Bad, "Expected a command"),
            None => fault(None, FaultKind::Bad, "Expected a tag and a command"),
        });
    };
    let mut cursor = Cursor::new(&text[tag.as_str().len() + 1..]);
    let body = parse_body(&mut cursor).and_then(|body| {
        cursor.end()?;
        Ok(body)
    });
    match body {
        Ok(body) => Ok(Command { tag, body }),
        Err(error) => Err(error.into_fault(tag)),
    }
}

impl ParseError {
    fn into_fault(self, tag: Tag) -> Fault {
        match self {
            Self::Fault(kind, text) => fault(Some(tag), kind, text),
            Self::LiteralPending => fault(Some(tag), FaultKind::Bad, "Literal is not complete"),
        }
    }
}

const fn fault(tag: Option<Tag>, kind: FaultKind, text: &'static str) -> Fault {
    Fault { tag, kind, text }
}

fn parse_body(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let name = match cursor.keyword() {
        Ok(name) => name,
        Err(_) => return bad("Expected a command"),
    };
    match name.as_str() {
        "CAPABILITY" => Ok(CommandBody::Capability),
        "NOOP" => Ok(CommandBody::Noop),
        "LOGOUT" => Ok(CommandBody::Logout),
        "STARTTLS" => Ok(CommandBody::StartTls),
        "NAMESPACE" => Ok(CommandBody::Namespace),
        "IDLE" => Ok(CommandBody::Idle),
        "CHECK" => Ok(CommandBody::Check),
        "CLOSE" => Ok(CommandBody::Close),
        "UNSELECT" => Ok(CommandBody::Unselect),
        "EXPUNGE" => Ok(CommandBody::Expunge),
        "APPEND" => bad("APPEND needs a mailbox and a literal"),
        name => {
            cursor.space()?;
            parse_body_with_arguments(name, cursor)
        }
    }
}

fn parse_body_with_arguments(name: &str, cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        "AUTHENTICATE" => parse_authenticate(cursor),
        "LOGIN" => parse_login(cursor),
        "SELECT" => {
            let (mailbox, condstore) = parse_select(cursor)?;
            Ok(CommandBody::Select { mailbox, condstore })
        }
        "EXAMINE" => {
            let (mailbox, condstore) = parse_select(cursor)?;
            Ok(CommandBody::Examine { mailbox, condstore })
        }
        "CREATE" => parse_create(cursor),
        "DELETE" => Ok(CommandBody::Delete {
            mailbox: cursor.mailbox()?,
        }),
        "RENAME" => {
            let from = cursor.mailbox()?;
            cursor.space()?;
            Ok(CommandBody::Rename {
                from,
                to: cursor.mailbox()?,
            })
        }
        "SUBSCRIBE" => Ok(CommandBody::Subscribe {
            mailbox: cursor.mailbox()?,
        }),
        "UNSUBSCRIBE" => Ok(CommandBody::Unsubscribe {
            mailbox: cursor.mailbox()?,
        }),
        "LIST" => list::parse_list(cursor).map(CommandBody::List),
        "LSUB" => {
            let reference = cursor.mailbox()?;
            cursor.space()?;
            Ok(CommandBody::Lsub {
                reference,
                pattern: cursor.list_mailbox()?,
            })
        }
        "STATUS" => {
            let mailbox = cursor.mailbox()?;
            cursor.space()?;
            Ok(CommandBody::Status {
                mailbox,
                items: parse_status_items(cursor)?,
            })
        }
        "ID" => parse_id(cursor),
        "ENABLE" => parse_enable(cursor),
        "UID" => parse_uid(cursor),
        "SEARCH" | "FETCH" | "STORE" | "COPY" | "MOVE" => {
            parse_on_messages(name, cursor, MessageSet::Numbers)
        }
        _ => bad("Unknown command"),
    }
}

/// ```abnf
/// uid = "UID" SP (copy / fetch / search / store / move / "EXPUNGE" SP sequence-set)
/// ```
fn parse_uid(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let name = cursor.keyword()?;
    cursor.space()?;
    match name.as_str() {
        "EXPUNGE" => Ok(CommandBody::UidExpunge {
            uids: cursor.sequence_set()?,
        }),
        name => parse_on_messages(name, cursor, MessageSet::Uids),
    }
}

fn parse_on_messages(
    name: &str,
    cursor: &mut Cursor<'_>,
    message_set: fn(super::SequenceSet) -> MessageSet,
) -> Parsed<CommandBody> {
    if name == "SEARCH" {
        let any = super::SequenceSet(Vec::new());
        let by_uid = matches!(message_set(any), MessageSet::Uids(_));
        return search::parse_search(cursor, by_uid);
    }
    if !matches!(name, "FETCH" | "STORE" | "COPY" | "MOVE") {
        return bad("Unknown command");
    }
    let messages = message_set(cursor.sequence_set()?);
    cursor.space()?;
    match name {
        "FETCH" => fetch::parse_fetch(cursor, messages),
        "STORE" => parse_store(cursor, messages),
        "COPY" => Ok(CommandBody::Copy {
            messages,
            mailbox: cursor.mailbox()?,
        }),
        _ => Ok(CommandBody::Move {
            messages,
            mailbox: cursor.mailbox()?,
        }),
    }
}

/// ```abnf
/// authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]   ; RFC 4959 §7
/// ```
fn parse_authenticate(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mechanism = cursor.keyword()?;
    let mut initial_response = None;
    if cursor.take(b' ') {
        let response = cursor.atom()?;
        let response = if response == "=" { "" } else { response };
        initial_response = Some(Secret::new(String::from(response)));
    }
    Ok(CommandBody::Authenticate {
        mechanism,
        initial_response,
    })
}

/// `login = "LOGIN" SP userid SP password`, both astrings.
fn parse_login(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let username = cursor.text()?;
    cursor.space()?;
    let password = Secret::new(cursor.text()?);
    Ok(CommandBody::Login { username, password })
}

/// `select = "SELECT" SP mailbox [SP "(" "CONDSTORE" ")"]` (RFC 4466 §2.1, RFC 7162 §7)
fn parse_select(cursor: &mut Cursor<'_>) -> Parsed<(String, bool)> {
    let mailbox = cursor.mailbox()?;
    if !cursor.take(b' ') {
        return Ok((mailbox, false));
    }
    match cursor.take_word("(CONDSTORE)") {
        true => Ok((mailbox, true)),
        false => bad("Unknown parameter"),
    }
}

/// ```abnf
/// create = "CREATE" SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]
/// ```
///
/// RFC 6154 §6. A mailbox has one use at most here.
fn parse_create(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mailbox = cursor.mailbox()?;
    if !cursor.take(b' ') {
        return Ok(CommandBody::Create {
            mailbox,
            special_use: None,
        });
    }
    if !cursor.take_word("(USE ") {
        return bad("Unknown parameter");
    }
    let uses = cursor.list(Cursor::special_use)?;
    cursor.expect(b')', "Expected a closing parenthesis")?;
    let special_use: Option<SpecialUse> = match uses[..] {
        [] => None,
        [Some(special_use)] => Some(special_use),
        [None] | [_, _, ..] => {
            const TEXT: &str = "A mailbox can't have this use";
            return Err(ParseError::Fault(FaultKind::UseAttr, TEXT));
        }
    };
    Ok(CommandBody::Create {
        mailbox,
        special_use,
    })
}

/// `"(" status-att *(SP status-att) ")"`
fn parse_status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let named = cursor.list(|cursor| {
        let name = cursor.keyword()?;
        let named = StatusItem::NAMED.iter().find(|(_, known)| *known == name);
        match named {
            Some(&(item, _)) => Ok(item),
            None => bad("Unknown status item"),
        }
    })?;
    let mut items = Vec::new();
    for item in named {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    match items.is_empty() {
        true => bad("Expected a status item"),
        false => Ok(items),
    }
}

/// ```abnf
/// id             = "ID" SP id-params-list   ; RFC 2971 §4
/// id-params-list = "(" [string SP nstring *(SP string SP nstring)] ")" / nil
/// ```
fn parse_id(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    if cursor.take_word("NIL") {
        return Ok(CommandBody::Id { parameters: None });
    }
    let parameters = cursor.list(|cursor| {
        let name = cursor.string_text()?;
        cursor.space()?;
        Ok((name, cursor.nstring_text()?))
    })?;
    match parameters.len() <= limits::IMAP_ID_PAIRS {
        true => Ok(CommandBody::Id {
            parameters: Some(parameters),
        }),
        false => bad("Too many parameters"),
    }
}

/// `enable = "ENABLE" 1*(SP capability)` (RFC 5161 §4)
fn parse_enable(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mut capabilities = Vec::from([cursor.keyword()?]);
    while cursor.take(b' ') {
        capabilities.push(cursor.keyword()?);
    }
    Ok(CommandBody::Enable { capabilities })
}

/// ```abnf
/// store           = "STORE" SP sequence-set [SP store-modifiers] SP store-att-flags
/// store-modifiers = "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")"   ; RFC 7162 §7
/// store-att-flags = ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag)))
/// ```
fn parse_store(cursor: &mut Cursor<'_>, messages: MessageSet) -> Parsed<CommandBody> {
    let mut unchanged_since = None;
    if cursor.take(b'(') {
        if !cursor.take_word("UNCHANGEDSINCE ") {
            return bad("Unknown modifier");
        }
        unchanged_since = Some(cursor.modseq()?);
        cursor.expect(b')', "Expected a closing parenthesis")?;
        cursor.space()?;
    }
    let mode = if cursor.take(b'+') {
        StoreMode::Add
    } else if cursor.take(b'-') {
        StoreMode::Remove
    } else {
        StoreMode::Replace
    };
    let silent = match cursor.keyword()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return bad("Only flags can be stored"),
    };
    cursor.space()?;
    let flags = cursor.flag_list_or_flags()?;
    Ok(CommandBody::Store {
        messages,
        mode,
        silent,
        flags,
        unchanged_since,
    })
}
