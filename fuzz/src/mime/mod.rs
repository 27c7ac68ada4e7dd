//! MIME: the scanner of messages, and what reads their headers.

use std::num::NonZeroU32;

use rmail_proto::{
    limits,
    mime::{
        FieldFilter, Fields, Part, PartKind, Parts, Scanner, Summary, filter_fields, parse_date,
    },
};

use crate::{
    plan::Plan,
    response::{Value, check_body, check_envelope, parse_values},
};

fn scan(message: &[u8], piece_bytes: usize) -> Summary {
    let mut scanner = Scanner::new();
    for piece in message.chunks(piece_bytes) {
        scanner.handle_input(piece);
    }
    scanner.finish()
}

/// Splitting changes nothing, and what is told of a message is well formed and fits it.
pub(crate) fn scanner(input: &[u8]) {
    let mut plan = Plan(input);
    let piece_bytes = usize::from(plan.byte()).max(1);
    check(plan.0, piece_bytes);
}

/// The same of a message whose header is one field: which one, the first byte says.
pub(crate) fn field(input: &[u8]) {
    const NAMES: [&str; 16] = [
        "From",
        "To",
        "Cc",
        "Reply-To",
        "Sender",
        "Date",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Content-Type",
        "Content-Disposition",
        "Content-Transfer-Encoding",
        "Content-Language",
        "Content-ID",
        "Content-Location",
    ];
    let mut plan = Plan(input);
    let kind = usize::from(plan.byte());
    let mut message = format!("{}:", NAMES[kind % NAMES.len()]).into_bytes();
    for &byte in plan.0 {
        message.push(byte);
        if byte == b'\n' {
            message.push(b' ');
        }
    }
    message.extend_from_slice(b"\r\n\r\n--x\r\n\r\nbody\r\n--x--\r\n");
    check(&message, 1 + kind / NAMES.len());
}

fn check(message: &[u8], piece_bytes: usize) {
    let summary = scan(message, message.len().max(1));
    assert_eq!(scan(message, piece_bytes), summary);
    assert_eq!(summary.size_bytes, message.len() as u64);
    let envelope = value(&summary.envelope);
    assert!(check_envelope(&envelope).is_some(), "{envelope:?}");
    let body = value(&summary.body);
    let body_structure = value(&summary.body_structure);
    let told = check_body(&body_structure, true);
    assert!(told.is_some(), "{body_structure:?}");
    assert_eq!(check_body(&body, false), told, "{body:?}");

    let parts = Parts::decode(&summary.parts).expect("it was just written");
    assert_eq!(parts.encode(), summary.parts);
    let all: Vec<Part> = parts.iter().cloned().collect();
    assert!((1..=limits::MIME_PARTS_MAX).contains(&all.len()));
    assert_eq!(
        (all[0].header.start, all[0].header.end),
        (0, summary.header_bytes)
    );
    assert_eq!(all[0].body.end, summary.size_bytes);
    assert_eq!(check_nesting(&all, 0), all.len());
    check_paths(&parts, &mut Vec::new(), 0);

    assert!(summary.references.len() <= limits::REFERENCES_MAX);
    let ids = summary.references.iter().chain(&summary.message_id);
    for id in ids {
        assert!((1..=limits::MESSAGE_ID_BYTES).contains(&id.len()));
    }
}

fn value(text: &[u8]) -> Value {
    let values = parse_values(text);
    match values.as_deref() {
        Some([value]) => value.clone(),
        _ => panic!("not one value: {}", String::from_utf8_lossy(text)),
    }
}

/// Children stand within their parents, one after the other. Returns the index after the part.
fn check_nesting(parts: &[Part], index: usize) -> usize {
    let part = &parts[index];
    assert_eq!(part.header.end, part.body.start);
    let mut next = index + 1;
    let mut end = part.body.start;
    for _ in 0..part.children {
        let child = &parts[next];
        assert!(end <= child.header.start && child.body.end <= part.body.end);
        if part.kind == PartKind::Message {
            assert_eq!(child.header.start..child.body.end, part.body);
        }
        end = child.body.end;
        next = check_nesting(parts, next);
    }
    next
}

/// Every part that a path leads to stands within the message, and none is beyond the last.
fn check_paths(parts: &Parts, path: &mut Vec<NonZeroU32>, depth: usize) {
    assert!(depth <= limits::MIME_DEPTH_MAX + 2, "{path:?}");
    let Some(found) = parts.find(path) else {
        panic!("{path:?}")
    };
    assert!(parts.iter().any(|part| part == found.part));
    if found.part.kind == PartKind::Leaf {
        return;
    }
    for number in 1..=8 {
        path.push(NonZeroU32::new(number).expect("it is not 0"));
        if parts
            .find(path)
            .is_some_and(|inner| inner.part != found.part)
        {
            check_paths(parts, path, depth + 1);
        }
        path.pop();
    }
}

/// What is stored of a part tree is read or refused, and comes out as it was.
pub(crate) fn parts(input: &[u8]) {
    let Some(parts) = Parts::decode(input) else {
        return;
    };
    let again = Parts::decode(&parts.encode());
    assert_eq!(again.as_ref(), Some(&parts));
    let all: Vec<Part> = parts.iter().cloned().collect();
    assert!((1..=limits::MIME_PARTS_MAX).contains(&all.len()));
    assert_eq!(Parts::new(all), Some(parts.clone()));
    check_paths(&parts, &mut Vec::new(), 0);
}

/// A date that can be read is read as it prints.
pub(crate) fn date(input: &[u8]) {
    let Some(date) = parse_date(input) else {
        return;
    };
    let printed = date.rfc5322().to_string();
    assert_eq!(parse_date(printed.as_bytes()), Some(date), "{printed}");
}

/// Each field of a header is kept or left out, in its order, however the header is cut.
pub(crate) fn filter(input: &[u8]) {
    let mut plan = Plan(input);
    let piece_bytes = usize::from(plan.byte()).max(1);
    let line_end = plan.0.iter().position(|&byte| byte == b'\n');
    let (line, header) = plan.0.split_at(line_end.map_or(0, |index| index + 1));
    let names: Vec<&[u8]> = line.trim_ascii().split(|&byte| byte == b' ').collect();
    let mut filtered = Vec::new();
    for keep in [true, false] {
        let whole = filter_fields(header, &names, keep);
        let mut filter = FieldFilter::new(&names, keep);
        let mut out = Vec::new();
        for piece in header.chunks(piece_bytes) {
            out.extend(filter.handle_input(piece));
        }
        out.extend(filter.finish());
        assert_eq!(out, whole);
        filtered.push(whole);
    }
    let is_named = |name: &[u8]| {
        name.len() <= limits::FIELD_NAME_BYTES
            && names.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let text = |field: rmail_proto::mime::Field<'_>| header[field.range].trim_ascii_end().to_vec();
    let (kept, left): (Vec<_>, Vec<_>) = Fields::new(header).partition(|it| is_named(it.name));
    for (fields, filtered) in [(kept, &filtered[0]), (left, &filtered[1])] {
        let expected: Vec<Vec<u8>> = fields.into_iter().map(text).collect();
        let found: Vec<Vec<u8>> = Fields::new(filtered)
            .map(|field| filtered[field.range].trim_ascii_end().to_vec())
            .collect();
        assert_eq!(found, expected);
    }
}
