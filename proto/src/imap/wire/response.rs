//! Responses as bytes (RFC 3501 §7). Each function appends to a buffer.

use alloc::{format, vec::Vec};
use core::{fmt, ops::RangeInclusive};

use super::{Fault, FaultKind, StatusItem, Tag, encode_mailbox_name};
use crate::{
    Keywords, ModSeq, SystemFlags, Uid, UidValidity,
    imap::{Appended, Copied, MailboxStatus, No, NoCode, SpecialUse},
};

/// Longest value that is sent as a quoted string.
const QUOTED_BYTES_MAX: usize = 1000;

/// The charsets that a `BADCHARSET` names.
pub(super) const CHARSETS: &str = concat!(
    "US-ASCII UTF-8 ISO-8859-1 ISO-8859-15 WINDOWS-1252 KOI8-R ",
    "ISO-2022-JP SHIFT_JIS EUC-JP EUC-KR GB18030 BIG5",
);

/// The condition of a status response (RFC 3501 §7.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// `OK`
    Ok,
    /// `NO`
    No,
    /// `BAD`
    Bad,
    /// `PREAUTH`; untagged only.
    PreAuth,
    /// `BYE`; untagged only.
    Bye,
}

/// What stands in the brackets of a status response.
#[derive(Clone, Debug)]
pub enum ResponseCode<'a> {
    /// `ALERT`
    Alert,
    /// `CAPABILITY ...`
    Capability(&'a [&'a str]),
    /// `PERMANENTFLAGS (...)`; `new_keywords` adds `\*`.
    PermanentFlags {
        /// The system flags that can be changed.
        system: SystemFlags,
        /// The keywords that can be changed.
        keywords: &'a Keywords,
        /// Whether new keywords can be made.
        new_keywords: bool,
    },
    /// `READ-ONLY`
    ReadOnly,
    /// `READ-WRITE`
    ReadWrite,
    /// `UIDNEXT n`
    UidNext(Uid),
    /// `UIDVALIDITY n`
    UidValidity(UidValidity),
    /// `UNSEEN n`: the number of the first message without `\Seen`.
    Unseen(u32),
    /// `HIGHESTMODSEQ n` (RFC 7162 §3.1.2.1)
    HighestModSeq(ModSeq),
    /// `MODIFIED 1:3,5` (RFC 7162 §3.1.3): message numbers, or UIDs for UID STORE.
    Modified(&'a [RangeInclusive<u32>]),
    /// `APPENDUID ...` (RFC 4315 §3)
    AppendUid(&'a Appended),
    /// `COPYUID ...` (RFC 4315 §3); no code at all when nothing was copied.
    CopyUid(&'a Copied),
    /// `CLOSED` (RFC 7162 §3.2.11)
    Closed,
    /// `MAILBOXID (...)` (RFC 8474 §4.2)
    MailboxId(crate::MailboxId),
    /// The reason of a NO.
    No(NoCode),
    /// Any other, spelled out.
    Other(&'a str),
}

/// The attributes of a LIST or LSUB line, as a set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ListAttributes {
    /// `\NonExistent` (RFC 5258 §3)
    pub non_existent: bool,
    /// `\Noselect`
    pub no_select: bool,
    /// `\Noinferiors`
    pub no_inferiors: bool,
    /// `\HasChildren` or `\HasNoChildren` (RFC 3348)
    pub has_children: Option<bool>,
    /// `\Marked` or `\Unmarked`
    pub marked: Option<bool>,
    /// `\Subscribed` (RFC 5258 §3)
    pub subscribed: bool,
    /// Its use (RFC 6154 §2)
    pub special_use: Option<SpecialUse>,
}

impl ListAttributes {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        let when = |condition: bool, name| condition.then_some(name);
        let either = |value: Option<bool>, yes, no| value.map(|value| if value { yes } else { no });
        [
            when(self.non_existent, "\\NonExistent"),
            when(self.no_select, "\\Noselect"),
            when(self.no_inferiors, "\\Noinferiors"),
            either(self.has_children, "\\HasChildren", "\\HasNoChildren"),
            either(self.marked, "\\Marked", "\\Unmarked"),
            when(self.subscribed, "\\Subscribed"),
            self.special_use.map(special_use_name),
        ]
        .into_iter()
        .flatten()
    }
}

/// `tag OK [code] text`, or `* OK [code] text` without a tag. Anything in `text` that may not
/// stand in a line becomes a space.
pub fn write_status(
    out: &mut Vec<u8>,
    tag: Option<&Tag>,
    condition: Condition,
    code: Option<ResponseCode<'_>>,
    text: &str,
) {
    let condition = match condition {
        Condition::Ok => "OK",
        Condition::No => "NO",
        Condition::Bad => "BAD",
        Condition::PreAuth => "PREAUTH",
        Condition::Bye => "BYE",
    };
    write_text(
        out,
        format_args!("{} {condition} ", tag.map_or("*", Tag::as_str)),
    );
    if let Some(code) = code {
        write_code(out, &code);
    }
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    let text = text
        .bytes()
        .map(|byte| if printable(byte) { byte } else { b' ' });
    out.extend(text);
    out.extend_from_slice(b"\r\n");
}

/// The answer to a command that could not be understood.
pub fn write_fault(out: &mut Vec<u8>, fault: &Fault) {
    let charsets;
    let (condition, code) = match fault.kind {
        FaultKind::Bad => (Condition::Bad, None),
        FaultKind::TooBig => (Condition::Bad, Some("TOOBIG")),
        FaultKind::UseAttr => (Condition::No, Some("USEATTR")),
        FaultKind::MailboxName => (Condition::No, Some("CANNOT")),
        FaultKind::BadCharset => {
            charsets = format!("BADCHARSET ({CHARSETS})");
            (Condition::No, Some(charsets.as_str()))
        }
    };
    let code = code.map(ResponseCode::Other);
    // An untagged NO is a warning and answers nothing (RFC 3501 §7.1.2).
    let condition = if fault.tag.is_some() {
        condition
    } else {
        Condition::Bad
    };
    write_status(out, fault.tag.as_ref(), condition, code, fault.text);
}

/// A tagged NO with the code that belongs to it.
pub fn write_no(out: &mut Vec<u8>, tag: &Tag, no: &No) {
    write_status(
        out,
        Some(tag),
        Condition::No,
        Some(ResponseCode::No(no.code)),
        &no.text,
    );
}

/// `+ text`: go on (RFC 3501 §7.5).
pub fn write_continuation(out: &mut Vec<u8>, text: &str) {
    write_text(out, format_args!("+ {text}\r\n"));
}

/// `* CAPABILITY IMAP4rev1 ...`
pub fn write_capability(out: &mut Vec<u8>, capabilities: &[&str]) {
    write_words(out, "* CAPABILITY", capabilities);
}

/// `* ENABLED ...` (RFC 5161 §3.2)
pub fn write_enabled(out: &mut Vec<u8>, capabilities: &[&str]) {
    write_words(out, "* ENABLED", capabilities);
}

/// `* NAMESPACE (("" "/")) NIL NIL`: personal mailboxes only (RFC 2342 §5).
pub fn write_namespace(out: &mut Vec<u8>) {
    out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
}

/// `* ID ("name" "rmail" ...)` (RFC 2971 §3.2); `* ID NIL` when there is nothing to tell.
pub fn write_id(out: &mut Vec<u8>, parameters: &[(&str, &str)]) {
    out.extend_from_slice(b"* ID ");
    for (index, (name, value)) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write_string(out, name.as_bytes());
        out.push(b' ');
        write_string(out, value.as_bytes());
    }
    let end: &[u8] = if parameters.is_empty() {
        b"NIL\r\n"
    } else {
        b")\r\n"
    };
    out.extend_from_slice(end);
}

/// `* FLAGS (...)`
pub fn write_flags(out: &mut Vec<u8>, system: SystemFlags, keywords: &Keywords) {
    out.extend_from_slice(b"* FLAGS ");
    write_flag_list(out, system, keywords, false);
    out.extend_from_slice(b"\r\n");
}

/// `* n EXISTS`
pub fn write_exists(out: &mut Vec<u8>, messages: u32) {
    write_text(out, format_args!("* {messages} EXISTS\r\n"));
}

/// `* n RECENT`
pub fn write_recent(out: &mut Vec<u8>, messages: u32) {
    write_text(out, format_args!("* {messages} RECENT\r\n"));
}

/// `* n EXPUNGE`
pub fn write_expunge(out: &mut Vec<u8>, number: u32) {
    write_text(out, format_args!("* {number} EXPUNGE\r\n"));
}

/// `* VANISHED 1:3,5`, or `* VANISHED (EARLIER) ...` (RFC 7162 §3.2.10). Nothing without UIDs.
pub fn write_vanished(out: &mut Vec<u8>, earlier: bool, uids: &[RangeInclusive<u32>]) {
    if uids.is_empty() {
        return;
    }
    out.extend_from_slice(if earlier {
        b"* VANISHED (EARLIER) "
    } else {
        b"* VANISHED "
    });
    write_ranges(out, uids);
    out.extend_from_slice(b"\r\n");
}

/// `* LIST (\HasNoChildren) "/" name`; the name is in UTF-8.
pub fn write_list(out: &mut Vec<u8>, attributes: &ListAttributes, name: &str) {
    write_list_line(out, "LIST", attributes, name, false);
}

/// Like [`write_list`] for a name that is here only because a subscribed one is below it:
/// `("CHILDINFO" ("SUBSCRIBED"))` follows (RFC 5258 §3.5).
pub fn write_list_child_info(out: &mut Vec<u8>, attributes: &ListAttributes, name: &str) {
    write_list_line(out, "LIST", attributes, name, true);
}

/// `* LSUB () "/" name`; the name is in UTF-8.
pub fn write_lsub(out: &mut Vec<u8>, attributes: &ListAttributes, name: &str) {
    write_list_line(out, "LSUB", attributes, name, false);
}

/// `* LIST (\Noselect) "/" ""`: what the separator is (RFC 3501 §6.3.8).
pub fn write_list_separator(out: &mut Vec<u8>) {
    out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
}

/// `* STATUS name (MESSAGES 5 ...)`; the name is in UTF-8.
pub fn write_mailbox_status(
    out: &mut Vec<u8>,
    name: &str,
    items: &[StatusItem],
    status: &MailboxStatus,
) {
    out.extend_from_slice(b"* STATUS ");
    write_astring(out, encode_mailbox_name(name).as_bytes());
    out.extend_from_slice(b" (");
    for (index, item) in items.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let name = item.as_str();
        write_text(out, format_args!("{space}{name} "));
        let number = match item {
            StatusItem::Messages => u64::from(status.messages),
            StatusItem::Recent => u64::from(status.recent),
            StatusItem::UidNext => u64::from(status.uid_next.get()),
            StatusItem::UidValidity => u64::from(status.uid_validity.0.get()),
            StatusItem::Unseen => u64::from(status.unseen),
            StatusItem::HighestModSeq => status.modseq.0,
            StatusItem::Size => status.size_bytes,
            StatusItem::MailboxId => {
                write_text(out, format_args!("({})", status.mailbox));
                continue;
            }
        };
        write_text(out, format_args!("{number}"));
    }
    out.extend_from_slice(b")\r\n");
}

/// `* SEARCH 2 84 882`, with `(MODSEQ n)` at its end where MODSEQ was searched for and something
/// was found (RFC 7162 §3.1.5).
pub fn write_search(
    out: &mut Vec<u8>,
    numbers: impl IntoIterator<Item = u32>,
    modseq: Option<ModSeq>,
) {
    out.extend_from_slice(b"* SEARCH");
    for number in numbers {
        write_text(out, format_args!(" {number}"));
    }
    if let Some(ModSeq(modseq)) = modseq {
        write_text(out, format_args!(" (MODSEQ {modseq})"));
    }
    out.extend_from_slice(b"\r\n");
}

/// `* ESEARCH (TAG "a") UID MIN 2 MAX 47 ALL 2,47 COUNT 2` (RFC 4731 §3.1). `found` is sorted
/// and disjoint.
pub fn write_esearch(
    out: &mut Vec<u8>,
    tag: &Tag,
    by_uid: bool,
    returns: super::SearchReturn,
    found: &[RangeInclusive<u32>],
    modseq: Option<ModSeq>,
) {
    out.extend_from_slice(b"* ESEARCH (TAG ");
    write_string(out, tag.as_str().as_bytes());
    out.push(b')');
    if by_uid {
        out.extend_from_slice(b" UID");
    }
    if let (Some(first), Some(last)) = (found.first(), found.last()) {
        if returns.min {
            write_text(out, format_args!(" MIN {}", first.start()));
        }
        if returns.max {
            write_text(out, format_args!(" MAX {}", last.end()));
        }
        if returns.all {
            out.extend_from_slice(b" ALL ");
            write_ranges(out, found);
        }
    }
    if returns.count {
        let count: u64 = found
            .iter()
            .map(|range| u64::from(range.end() - range.start()) + 1)
            .sum();
        write_text(out, format_args!(" COUNT {count}"));
    }
    if let Some(ModSeq(modseq)) = modseq {
        write_text(out, format_args!(" MODSEQ {modseq}"));
    }
    out.extend_from_slice(b"\r\n");
}

/// `(\Answered \Seen Keyword)`, with `\Recent` when `recent` is set.
pub fn write_flag_list(out: &mut Vec<u8>, system: SystemFlags, keywords: &Keywords, recent: bool) {
    let names = SystemFlags::NAMED.iter();
    let names = names
        .filter(|(flag, _)| system.contains(*flag))
        .map(|&(_, name)| name);
    let recent = recent.then_some("\\Recent");
    let names = names
        .chain(recent)
        .chain(keywords.iter().map(crate::Keyword::as_str));
    out.push(b'(');
    for (index, name) in names.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    }
    out.push(b')');
}

/// `1:3,5`: ranges as a sequence set.
pub fn write_ranges(out: &mut Vec<u8>, ranges: &[RangeInclusive<u32>]) {
    for (index, range) in ranges.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (first, last) = (range.start(), range.end());
        if first == last {
            write_text(out, format_args!("{comma}{first}"));
        } else {
            write_text(out, format_args!("{comma}{first}:{last}"));
        }
    }
}

/// `1:3,5`: UIDs in their order, ascending runs as ranges (`uid-set`, RFC 4315 §4).
pub fn write_uids(out: &mut Vec<u8>, uids: &[Uid]) {
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    for uid in uids.iter().map(|uid| uid.get()) {
        match ranges.last_mut() {
            Some(range) if range.end().checked_add(1) == Some(uid) => {
                *range = *range.start()..=uid;
            }
            Some(_) | None => ranges.push(uid..=uid),
        }
    }
    write_ranges(out, &ranges);
}

/// An astring: bare where it may be, else like [`write_string`].
pub fn write_astring(out: &mut Vec<u8>, value: &[u8]) {
    let bare = !value.is_empty()
        && value.len() <= QUOTED_BYTES_MAX
        && value
            .iter()
            .all(|&byte| super::cursor::is_astring_char(byte))
        && !value.eq_ignore_ascii_case(b"NIL");
    if bare {
        out.extend_from_slice(value);
    } else {
        write_string(out, value);
    }
}

/// A quoted string where that is allowed and not too long, else a literal.
pub fn write_string(out: &mut Vec<u8>, value: &[u8]) {
    let quotable = value.len() <= QUOTED_BYTES_MAX
        && value
            .iter()
            .all(|&byte| byte.is_ascii() && !matches!(byte, b'\r' | b'\n' | 0));
    if !quotable {
        write_literal_start(out, value.len() as u64);
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// A string, or `NIL`.
pub fn write_nstring(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => write_string(out, value),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `{n}` CRLF: the literal's bytes come next.
pub fn write_literal_start(out: &mut Vec<u8>, size_bytes: u64) {
    write_text(out, format_args!("{{{size_bytes}}}\r\n"));
}

pub(super) fn write_text(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl fmt::Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    fmt::Write::write_fmt(&mut Bytes(out), text).expect("a Vec takes all that is written to it");
}

fn write_words(out: &mut Vec<u8>, start: &str, words: &[&str]) {
    out.extend_from_slice(start.as_bytes());
    for word in words {
        write_text(out, format_args!(" {word}"));
    }
    out.extend_from_slice(b"\r\n");
}

fn write_list_line(
    out: &mut Vec<u8>,
    name_of_line: &str,
    attributes: &ListAttributes,
    name: &str,
    child_info: bool,
) {
    write_text(out, format_args!("* {name_of_line} ("));
    for (index, attribute) in attributes.names().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write_text(out, format_args!("{space}{attribute}"));
    }
    out.extend_from_slice(b") \"/\" ");
    write_astring(out, encode_mailbox_name(name).as_bytes());
    if child_info {
        out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
    }
    out.extend_from_slice(b"\r\n");
}

/// With its backslash (RFC 6154 §2).
pub fn special_use_name(special_use: SpecialUse) -> &'static str {
    match special_use {
        SpecialUse::Archive => "\\Archive",
        SpecialUse::Drafts => "\\Drafts",
        SpecialUse::Junk => "\\Junk",
        SpecialUse::Sent => "\\Sent",
        SpecialUse::Trash => "\\Trash",
    }
}

fn write_code(out: &mut Vec<u8>, code: &ResponseCode<'_>) {
    if matches!(code, ResponseCode::CopyUid(copied) if copied.source.is_empty()) {
        return;
    }
    out.push(b'[');
    match code {
        ResponseCode::Alert => out.extend_from_slice(b"ALERT"),
        ResponseCode::Capability(names) => {
            write_text(out, format_args!("CAPABILITY {}", names.join(" ")));
        }
        ResponseCode::PermanentFlags {
            system,
            keywords,
            new_keywords,
        } => {
            out.extend_from_slice(b"PERMANENTFLAGS ");
            write_flag_list(out, *system, keywords, false);
            if *new_keywords {
                let empty = out.ends_with(b"()");
                out.pop();
                out.extend_from_slice(if empty { b"\\*)" } else { b" \\*)" });
            }
        }
        ResponseCode::ReadOnly => out.extend_from_slice(b"READ-ONLY"),
        ResponseCode::ReadWrite => out.extend_from_slice(b"READ-WRITE"),
        ResponseCode::UidNext(uid) => write_text(out, format_args!("UIDNEXT {}", uid.get())),
        ResponseCode::UidValidity(validity) => {
            write_text(out, format_args!("UIDVALIDITY {}", validity.0));
        }
        ResponseCode::Unseen(number) => write_text(out, format_args!("UNSEEN {number}")),
        ResponseCode::HighestModSeq(modseq) => {
            write_text(out, format_args!("HIGHESTMODSEQ {}", modseq.0));
        }
        ResponseCode::Modified(ranges) => {
            out.extend_from_slice(b"MODIFIED ");
            write_ranges(out, ranges);
        }
        ResponseCode::AppendUid(appended) => {
            write_text(out, format_args!("APPENDUID {} ", appended.uid_validity.0));
            write_uids(out, &appended.uids);
        }
        ResponseCode::CopyUid(copied) => {
            write_text(out, format_args!("COPYUID {} ", copied.uid_validity.0));
            write_uids(out, &copied.source);
            out.push(b' ');
            write_uids(out, &copied.target);
        }
        ResponseCode::Closed => out.extend_from_slice(b"CLOSED"),
        ResponseCode::MailboxId(id) => write_text(out, format_args!("MAILBOXID ({id})")),
        ResponseCode::No(code) => out.extend_from_slice(no_code_name(*code).as_bytes()),
        ResponseCode::Other(text) => out.extend_from_slice(text.as_bytes()),
    }
    out.extend_from_slice(b"] ");
}

fn no_code_name(code: NoCode) -> &'static str {
    match code {
        NoCode::TryCreate => "TRYCREATE",
        NoCode::NonExistent => "NONEXISTENT",
        NoCode::AlreadyExists => "ALREADYEXISTS",
        NoCode::Cannot => "CANNOT",
        NoCode::Limit => "LIMIT",
        NoCode::OverQuota => "OVERQUOTA",
        NoCode::AuthenticationFailed => "AUTHENTICATIONFAILED",
        NoCode::Unavailable => "UNAVAILABLE",
        NoCode::InUse => "INUSE",
        NoCode::ServerBug => "SERVERBUG",
    }
}
