//! Looking into headers.

use mail_parser::{Attribute, ContentType, HeaderValue, parsers::MessageStream};
use rmail_proto::{
    DateTime,
    mime::{Field, Fields, unfold},
};

use super::text::Needle;
use crate::limits::SEARCH_FIELD_BYTES;

/// Bytes of the header at the start of a message, without the empty line.
pub(super) fn length(message: &[u8]) -> usize {
    Fields::new(message)
        .last()
        .map_or(0, |field| field.range.end)
}

/// The first field of this name (in any case).
pub(super) fn first<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    named(header, name).next()
}

/// Whether a field of this name contains this; with an empty text: whether there is one.
pub(super) fn field_contains(header: &[u8], name: &str, needle: &Needle) -> bool {
    named(header, name).any(|field| value_contains(&field, needle))
}

/// Whether a header contains this: as it is written, or in a field as it is meant.
pub(super) fn contains(header: &[u8], needle: &Needle) -> bool {
    needle.is_in(header) || Fields::new(header).any(|field| meant_contains(&field, needle))
}

/// The Date field as days since 1970-01-01 in its own zone, when it can be read.
pub(super) fn sent_day(header: &[u8]) -> Option<i64> {
    let line = as_line(first(header, "date")?.value);
    let HeaderValue::DateTime(date) = MessageStream::new(&line).parse_date() else {
        return None;
    };
    let day = (date.year.into(), date.month.into(), date.day.into());
    let time = (date.hour.into(), date.minute.into(), date.second.into());
    Some(DateTime::from_civil(day, time, 0)?.day_number())
}

/// The Content-Type or a field like it.
pub(super) fn parse_content_type(value: &[u8]) -> Option<ContentType<'static>> {
    let line = as_line(value);
    let parsed = MessageStream::new(&line).parse_content_type();
    match parsed.into_owned() {
        HeaderValue::ContentType(content_type) => Some(content_type),
        _ => None,
    }
}

fn named<'a>(header: &'a [u8], name: &str) -> impl Iterator<Item = Field<'a>> {
    Fields::new(header).filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()))
}

fn value_contains(field: &Field<'_>, needle: &Needle) -> bool {
    needle.is_in(field.value) || meant_contains(field, needle)
}

/// Whether a value contains this once it is unfolded or decoded.
fn meant_contains(field: &Field<'_>, needle: &Needle) -> bool {
    let is_folded = field.value.contains(&b'\n');
    (is_folded && needle.is_in(&unfold(field.value)))
        || decoded_words(field.value).is_some_and(|text| needle.is_in(text.as_bytes()))
        || decoded_parameters(field)
            .iter()
            .any(|parameter| needle.is_in(parameter.value.as_bytes()))
}

/// A value with encoded words (RFC 2047), decoded.
fn decoded_words(value: &[u8]) -> Option<String> {
    if !value.windows(2).any(|two| two == b"=?") {
        return None;
    }
    let line = as_line(value);
    let decoded = MessageStream::new(&line).parse_unstructured();
    decoded.as_text().map(str::to_owned)
}

/// Parameters of a field with encoded ones (RFC 2231), decoded.
fn decoded_parameters(field: &Field<'_>) -> Vec<Attribute<'static>> {
    let has_parameters = [&b"content-type"[..], b"content-disposition"]
        .iter()
        .any(|name| field.name.eq_ignore_ascii_case(name));
    if !has_parameters || !field.value.contains(&b'*') {
        return Vec::new();
    }
    let content_type = parse_content_type(field.value);
    content_type
        .and_then(|content_type| content_type.attributes)
        .unwrap_or_default()
}

/// A value as mail-parser reads one: it ends with a line. Without what is beyond
/// [`SEARCH_FIELD_BYTES`], since encoded words that never end take quadratic time.
fn as_line(value: &[u8]) -> Vec<u8> {
    let mut line = unfold(&value[..value.len().min(SEARCH_FIELD_BYTES)]);
    line.extend(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_has(header: &str, name: &str, text: &str) -> bool {
        field_contains(header.as_bytes(), name, &Needle::new(text))
    }

    #[test]
    fn encoded_words_are_decoded_and_found_as_written() {
        let header = "Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?B?IGF1cyBL9mxu?=\r\n\r\n";
        for text in [
            "grüße",
            "Grüße aus köln",
            "=?UTF-8?q?Gr=C3",
            "B?IGF1cyBL9mxu?=",
        ] {
            assert!(field_has(header, "subject", text), "{text}");
            assert!(contains(header.as_bytes(), &Needle::new(text)), "{text}");
        }
        assert!(!field_has(header, "subject", "Gruesse"));
        assert!(!field_has(header, "from", "grüße"));
    }

    #[test]
    fn folding_is_undone() {
        let header = "Subject: one\r\n two\r\nTo: x\r\n\r\n";
        assert!(field_has(header, "subject", "one two"));
        assert!(contains(header.as_bytes(), &Needle::new("ONE TWO")));
        assert!(!field_has(header, "subject", "x"));
    }

    #[test]
    fn encoded_parameters_are_decoded() {
        let header = "Content-Disposition: attachment;\r\n filename*0*=utf-8''pre%C3%A7o;\r\n \
                      filename*1*=%20final.txt\r\n\r\n";
        assert!(field_has(header, "content-disposition", "PREÇO final"));
        assert!(contains(header.as_bytes(), &Needle::new("preço FINAL")));
        assert!(field_has(header, "content-disposition", "pre%C3%A7o"));
    }

    #[test]
    fn raw_utf8_is_found() {
        assert!(field_has("Subject: Ärger\r\n\r\n", "subject", "ärger"));
    }

    #[test]
    fn empty_text_asks_whether_the_field_exists() {
        assert!(field_has("X-Empty:\r\n\r\n", "x-empty", ""));
        assert!(!field_has("X-Empty:\r\n\r\n", "x-full", ""));
    }

    #[test]
    fn date_is_the_day_that_was_written() {
        let day = |date: &str| sent_day(format!("Date: {date}\r\n\r\n").as_bytes());
        assert_eq!(day("Thu, 1 Jan 1970 23:59:59 -1200"), Some(0));
        assert_eq!(day("2 Jan 1970 00:00:00 +1400 (a comment)"), Some(1));
        assert_eq!(day("Thu, 1 Jan\r\n 1970 10:00 +0000"), Some(0));
        assert_eq!(day("yesterday"), None);
        assert_eq!(day("Thu, 31 Feb 2024 10:00:00 +0000"), None);
        assert_eq!(sent_day(b"Subject: none\r\n\r\n"), None);
    }

    #[test]
    fn words_that_never_end_are_bounded() {
        let header = format!("Subject: {}\r\n\r\n", "=?aa?q?".repeat(SEARCH_FIELD_BYTES));
        assert!(!field_has(&header, "subject", "ü"));
        assert!(field_has(&header, "subject", "=?AA?Q?"));
    }

    #[test]
    fn header_ends_before_the_empty_line() {
        assert_eq!(length(b"A: b\r\n c\r\n\r\nD: e\r\n"), 10);
        assert_eq!(length(b"\r\ntext"), 0);
        assert_eq!(length(b""), 0);
    }
}
