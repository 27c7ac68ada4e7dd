//! Names of mailboxes, patterns for them, and sets of numbers.

use std::ops::RangeInclusive;

use rmail_proto::imap::wire::{
    CommandBody, CommandReader, Pattern, Progress, SequenceNumber, decode_mailbox_name,
    encode_mailbox_name,
};

use crate::plan::Plan;

/// Longest pattern and name that are compared with the definition, whose time is exponential.
const PATTERN_BYTES_MAX: usize = 12;

/// Every name comes back from its encoding, an encoding is that of one name, and a pattern matches
/// what its definition says.
pub(crate) fn name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let encoded = encode_mailbox_name(text);
    assert!(encoded.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(decode_mailbox_name(&encoded).as_deref(), Some(text));
    if let Some(name) = decode_mailbox_name(text) {
        assert_eq!(encode_mailbox_name(&name), text);
    }
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().unwrap_or_default();
    let (reference, pattern, name) = (part(), part(), part());
    let compiled = Pattern::new(reference, pattern);
    let matches = compiled.matches(name);
    let whole = format!("{reference}{pattern}");
    if whole.len() <= PATTERN_BYTES_MAX && name.len() <= PATTERN_BYTES_MAX {
        let is_inbox = |level: &str| level.eq_ignore_ascii_case("INBOX");
        if !name.split('/').next().is_some_and(is_inbox) {
            assert_eq!(matches, definition(whole.as_bytes(), name.as_bytes()));
        }
    }
}

fn definition(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|length| definition(rest, &name[length..])),
        Some((b'%', rest)) => (0..=name.len())
            .take_while(|&length| !name[..length].contains(&b'/'))
            .any(|length| definition(rest, &name[length..])),
        Some((byte, rest)) => name.first() == Some(byte) && definition(rest, &name[1..]),
    }
}

/// A set's numbers are those of its ranges, however they overlap.
pub(crate) fn set(input: &[u8]) {
    let mut plan = Plan(input);
    let largest = plan.number() >> (plan.byte() % 32);
    let wire = [b"t UID EXPUNGE ", plan.0, b"\r\n"].concat();
    let (_, Progress::Command(command)) = CommandReader::default().handle_input(&wire) else {
        return;
    };
    let CommandBody::UidExpunge { uids: set } = command.body else {
        return;
    };
    let resolved = set.resolve(largest);
    for pair in resolved.windows(2) {
        assert!(
            pair[0]
                .end()
                .checked_add(1)
                .is_some_and(|next| next < *pair[1].start())
        );
    }
    let value = |number: SequenceNumber| match number {
        SequenceNumber::Number(number) => Some(number.get()),
        SequenceNumber::Star => Some(largest).filter(|&largest| largest > 0),
    };
    let ranges: Vec<RangeInclusive<u32>> = set
        .0
        .iter()
        .filter_map(|&(first, last)| {
            let (first, last) = (value(first)?, value(last)?);
            Some(first.min(last)..=first.max(last))
        })
        .collect();
    for range in &ranges {
        for end in [*range.start(), *range.end()] {
            for number in [end.saturating_sub(1), end, end.saturating_add(1)] {
                let expected = ranges.iter().any(|range| range.contains(&number));
                let found = resolved.iter().any(|range| range.contains(&number));
                assert_eq!(found, expected, "{number}");
            }
        }
    }
    let is_number = |end: &SequenceNumber| matches!(end, SequenceNumber::Number(_));
    let ends = set.0.iter().flat_map(|&(first, last)| [first, last]);
    assert_eq!(
        set.largest_number(),
        ends.filter(is_number).filter_map(value).max()
    );
}
