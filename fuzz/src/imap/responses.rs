//! Responses: what a client makes of them is what was written.

use std::ops::RangeInclusive;

use rmail_proto::{
    DateTime, Flags, Keyword, ModSeq, SystemFlags, Uid, UnixTime,
    imap::wire::{
        CommandBody, CommandReader, Condition, FetchItem, FetchResponse, ListAttributes, Progress,
        ResponseCode, SearchReturn, Tag, decode_mailbox_name, write_astring, write_esearch,
        write_exists, write_flags, write_id, write_list, write_nstring, write_search, write_status,
        write_vanished,
    },
    limits,
};

use crate::{
    plan::Plan,
    response::{Response, Value, parse_stream, parse_values},
};

/// The first byte says which writer.
pub(crate) fn response(input: &[u8]) {
    let mut plan = Plan(input);
    match plan.byte() % 6 {
        0 => status(plan),
        1 => strings(plan),
        2 => list(plan),
        3 => numbers(plan),
        4 => fetch(plan),
        _ => section(plan),
    }
}

fn only(out: &[u8]) -> Vec<Value> {
    let mut responses = parse_stream(out);
    assert_eq!(responses.len(), 1, "{responses:?}");
    match responses.remove(0) {
        Response::Data(values) => values,
        other => panic!("{other:?}"),
    }
}

fn status(mut plan: Plan<'_>) {
    let kind = plan.byte();
    let conditions = [
        Condition::Ok,
        Condition::No,
        Condition::Bad,
        Condition::PreAuth,
        Condition::Bye,
    ];
    let condition = conditions[usize::from(kind) % conditions.len()];
    let code = match kind >> 5 {
        0 => Some(ResponseCode::Unseen(plan.number())),
        1 => Some(ResponseCode::HighestModSeq(ModSeq(plan.number().into()))),
        2 => Some(ResponseCode::Closed),
        _ => None,
    };
    let text = String::from_utf8_lossy(plan.0);
    let (tag, text) = text.split_once(' ').unwrap_or(("", &text));
    let tag = Tag::new(tag.as_bytes());
    let mut out = Vec::new();
    write_status(&mut out, tag.as_ref(), condition, code, text);
    match &parse_stream(&out)[..] {
        [Response::Status(found)] => {
            assert_eq!(found.as_deref(), tag.as_ref().map(Tag::as_str));
        }
        other => panic!("{other:?}"),
    }
}

fn strings(plan: Plan<'_>) {
    let value = plan.0;
    let mut out = Vec::new();
    write_nstring(&mut out, Some(value));
    assert_eq!(parse_values(&out), Some(vec![Value::Text(value.into())]));
    let text = String::from_utf8_lossy(value).replace('\0', "");
    if text.len() > limits::IMAP_MAILBOX_NAME_BYTES {
        return;
    }
    let mut wire = b"t LOGIN ".to_vec();
    write_astring(&mut wire, text.as_bytes());
    wire.extend_from_slice(b" x\r\n");
    let mut reader = CommandReader::default();
    let mut rest = &wire[..];
    loop {
        let (consumed, progress) = reader.handle_input(rest);
        rest = &rest[consumed..];
        match progress {
            Progress::NeedContinuation => reader.accept_literal(),
            Progress::Incomplete if consumed > 0 => {}
            Progress::Command(command) => {
                let CommandBody::Login { username, .. } = command.body else {
                    panic!("{command:?}");
                };
                assert_eq!(username, text);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let mut out = Vec::new();
    write_id(&mut out, &[(text.as_str(), text.as_str())]);
    let pair = vec![Value::Text(text.clone().into()), Value::Text(text.into())];
    assert_eq!(only(&out)[1..], [Value::List(pair)]);
}

fn list(mut plan: Plan<'_>) {
    let kind = plan.byte();
    let maybe = |bits: u8| match bits & 3 {
        0 => None,
        bits => Some(bits == 1),
    };
    let attributes = ListAttributes {
        non_existent: kind & 1 > 0,
        no_select: kind & 2 > 0,
        no_inferiors: kind & 4 > 0,
        has_children: maybe(kind >> 3),
        marked: maybe(kind >> 5),
        subscribed: kind & 128 > 0,
        special_use: None,
    };
    let name = String::from_utf8_lossy(plan.0);
    let mut out = Vec::new();
    write_list(&mut out, &attributes, &name);
    let values = only(&out);
    let [Value::Atom(list), Value::List(_), separator, written] = &values[..] else {
        panic!("{values:?}");
    };
    assert_eq!(
        (list.as_str(), separator),
        ("LIST", &Value::Text(b"/".into()))
    );
    let written = match written {
        Value::Nil => "NIL",
        Value::Atom(written) => written,
        Value::Text(written) => std::str::from_utf8(written).expect("modified UTF-7 is ASCII"),
        Value::List(_) => panic!("{values:?}"),
    };
    assert_eq!(decode_mailbox_name(written).as_deref(), Some(&*name));
}

fn numbers(mut plan: Plan<'_>) {
    let kind = plan.byte();
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    let mut next = 1u32;
    while !plan.0.is_empty() && ranges.len() < 64 {
        let first = next.saturating_add(plan.byte().into());
        let Some(last) = first.checked_add(plan.byte().into()) else {
            break;
        };
        ranges.push(first..=last);
        next = last.saturating_add(2);
        if next == u32::MAX {
            break;
        }
    }
    let all = || ranges.iter().cloned().flatten();
    let modseq = (kind & 1 > 0).then_some(ModSeq(plan.number().into()));
    let mut out = Vec::new();
    write_search(&mut out, all(), modseq);
    assert_eq!(
        only(&out).len(),
        1 + all().count() + usize::from(modseq.is_some())
    );
    let mut out = Vec::new();
    let returns = SearchReturn {
        min: kind & 2 > 0,
        max: kind & 4 > 0,
        all: kind & 8 > 0,
        count: kind & 16 > 0,
    };
    let tag = Tag::new(b"a").expect("it is one");
    write_esearch(&mut out, &tag, kind & 32 > 0, returns, &ranges, modseq);
    let _ = only(&out);
    if !ranges.is_empty() {
        let mut out = Vec::new();
        write_vanished(&mut out, kind & 64 > 0, &ranges);
        let _ = only(&out);
    }
    let mut out = Vec::new();
    write_exists(&mut out, plan.number());
    assert_eq!(only(&out).len(), 2);
}

fn fetch(mut plan: Plan<'_>) {
    let kind = plan.byte();
    let system = SystemFlags::from_bits(plan.byte());
    let unix = UnixTime(i64::from(plan.number()) * 4 - (1 << 33));
    let number = plan.number();
    let text = String::from_utf8_lossy(plan.0);
    let flags = Flags {
        system,
        keywords: text.split(' ').filter_map(Keyword::new).collect(),
    };
    let mut out = Vec::new();
    write_flags(&mut out, system, &flags.keywords);
    let _ = only(&out);
    let mut out = Vec::new();
    let mut response = FetchResponse::start(&mut out, number);
    response.flags(&mut out, &flags, kind & 1 > 0);
    response.uid(&mut out, Uid::new(number).unwrap_or(Uid::MIN));
    response.internal_date(&mut out, DateTime::utc(unix));
    response.modseq(&mut out, ModSeq(number.into()));
    response.size(&mut out, number.into());
    response.rfc822(&mut out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
    response.end(&mut out);
    let values = only(&out);
    let [_, _, Value::List(items)] = &values[..] else {
        panic!("{values:?}");
    };
    assert_eq!(items[items.len() - 1], Value::Text(text.as_bytes().into()));
    let Value::List(named) = &items[1] else {
        panic!("{items:?}");
    };
    let names = flags.keywords.len() + system.bits().count_ones() as usize;
    assert_eq!(named.len(), names + usize::from(kind & 1 > 0));
}

/// A section is answered under the name by which it is asked for again.
fn section(plan: Plan<'_>) {
    let wire = [b"t FETCH 1 BODY[", plan.0, b"]\r\n"].concat();
    let Some(section) = fetch_section(&wire) else {
        return;
    };
    let again = format!("t FETCH 1 BODY{section}\r\n");
    assert_eq!(
        fetch_section(again.as_bytes()),
        Some(section.clone()),
        "{again}"
    );
    let mut out = Vec::new();
    let mut response = FetchResponse::start(&mut out, 1);
    response.section(&mut out, &section, Some(5), 2);
    out.extend_from_slice(b"ab");
    response.end(&mut out);
    let _ = only(&out);
}

fn fetch_section(wire: &[u8]) -> Option<rmail_proto::imap::wire::Section> {
    let (_, Progress::Command(command)) = CommandReader::default().handle_input(wire) else {
        return None;
    };
    match command.body {
        CommandBody::Fetch { mut items, .. } => match items.pop()? {
            FetchItem::BodySection { section, .. } => Some(section),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
