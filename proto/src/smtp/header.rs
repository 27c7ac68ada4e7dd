//! A streaming look at the header of a submitted message.

use alloc::{string::String, vec::Vec};

use super::{from::parse_from, trace};
use crate::{Address, Domain, UnixTime, limits};

/// Passes content on, and on the way through the header notes the addresses of From, drops
/// Return-Path fields (RFC 5321 §4.4: there is one, and it is ours) and, where the header ends,
/// adds Date and Message-ID if they are missing (RFC 6409 §8.3).
///
/// The header ends at the first empty line, or at the first line that is no field: then an empty
/// line is put in front of that line, so that every reader sees the same header as this one.
#[derive(Debug)]
pub(super) struct HeaderFilter {
    place: Place,
    /// The start of a line of which it is not known yet whether it is a field. At most
    /// [`limits::SMTP_FIELD_NAME_BYTES`].
    held: Vec<u8>,
    /// The fields that are added unless they are met.
    date: Option<String>,
    message_id: Option<String>,
    /// The value of the From field that is being read. At most
    /// [`limits::SMTP_FROM_FIELD_BYTES`].
    from: Vec<u8>,
    addresses: Vec<Address>,
    malformed: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Before the first byte of the message.
    Start,
    /// Before the first byte of a line behind a field.
    AfterField(Field),
    /// In what may be a field's name.
    Name,
    /// In a field's value.
    Value(Field),
    /// After a CR that starts a line.
    EmptyLine,
    /// Behind the header.
    Body,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Field {
    From,
    ReturnPath,
    Other,
}

impl HeaderFilter {
    /// `id` and `hostname` make the Message-ID.
    pub(super) fn new(id: &str, hostname: &Domain, now: UnixTime) -> Self {
        Self {
            place: Place::Start,
            held: Vec::new(),
            date: Some(trace::write_date(now)),
            message_id: Some(trace::write_message_id(id, hostname)),
            from: Vec::new(),
            addresses: Vec::new(),
            malformed: false,
        }
    }

    /// Takes content, whose lines end in CRLF, and hands on what becomes of it. Hands on at most
    /// [`limits::SMTP_HEADER_ADDED_BYTES`] more than it was given in all.
    pub(super) fn handle_content(&mut self, mut content: &[u8], take: &mut impl FnMut(&[u8])) {
        while let Some(&byte) = content.first() {
            let consumed = match self.place {
                Place::Body => {
                    take(content);
                    content.len()
                }
                Place::Value(field) => self.take_value(field, content, take),
                Place::AfterField(field) if matches!(byte, b' ' | b'\t') => {
                    self.place = Place::Value(field);
                    0
                }
                Place::Start | Place::AfterField(_) => {
                    self.end_field();
                    self.place = if byte == b'\r' {
                        Place::EmptyLine
                    } else {
                        Place::Name
                    };
                    usize::from(byte == b'\r')
                }
                Place::Name => self.take_name(byte, take),
                Place::EmptyLine => {
                    self.add_missing(take);
                    take(b"\r");
                    self.place = Place::Body;
                    0
                }
            };
            content = &content[consumed..];
        }
    }

    /// The content is at its end.
    pub(super) fn finish(&mut self, take: &mut impl FnMut(&[u8])) {
        match self.place {
            Place::Body => return,
            Place::Name => return self.end_header(take),
            Place::Value(field) => {
                self.end_field();
                if field != Field::ReturnPath {
                    take(b"\r\n");
                }
            }
            Place::Start | Place::AfterField(_) => self.end_field(),
            Place::EmptyLine => {}
        }
        self.add_missing(take);
        self.place = Place::Body;
    }

    /// Whether a From field was met that can't be read.
    pub(super) fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// The addresses of all From fields.
    pub(super) fn into_addresses(self) -> Vec<Address> {
        self.addresses
    }

    /// `field-name = 1*ftext` (RFC 5322 §3.6.8), perhaps with white space behind it (§4.5).
    fn take_name(&mut self, byte: u8, take: &mut impl FnMut(&[u8])) -> usize {
        if byte == b':' && !self.held.is_empty() {
            let field = self.note_field();
            if field != Field::ReturnPath {
                take(&self.held);
                take(b":");
            }
            self.held.clear();
            self.place = Place::Value(field);
            return 1;
        }
        let after_space = matches!(self.held.last(), Some(b' ' | b'\t'));
        let fits = match byte {
            b' ' | b'\t' => !self.held.is_empty(),
            byte => byte.is_ascii_graphic() && byte != b':' && !after_space,
        };
        if !fits || self.held.len() == limits::SMTP_FIELD_NAME_BYTES {
            self.end_header(take);
            return 0;
        }
        self.held.push(byte);
        1
    }

    fn note_field(&mut self) -> Field {
        let name = self.held.trim_ascii_end();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("Date") {
            self.date = None;
        } else if is("Message-ID") {
            self.message_id = None;
        } else if is("Return-Path") {
            return Field::ReturnPath;
        } else if is("From") {
            return Field::From;
        }
        Field::Other
    }

    fn take_value(&mut self, field: Field, content: &[u8], take: &mut impl FnMut(&[u8])) -> usize {
        let line_end = content.iter().position(|&byte| byte == b'\n');
        let consumed = line_end.map_or(content.len(), |index| index + 1);
        let value = &content[..consumed];
        match field {
            Field::ReturnPath => {}
            Field::Other => take(value),
            Field::From => {
                if self.from.len() + value.len() > limits::SMTP_FROM_FIELD_BYTES {
                    self.malformed = true;
                } else {
                    self.from.extend_from_slice(value);
                }
                take(value);
            }
        }
        if line_end.is_some() {
            self.place = Place::AfterField(field);
        }
        consumed
    }

    /// The field that was being read, if any, is complete.
    fn end_field(&mut self) {
        let (Place::AfterField(Field::From) | Place::Value(Field::From)) = self.place else {
            return;
        };
        let value = core::mem::take(&mut self.from);
        match parse_from(&value) {
            Ok(addresses) => self.addresses.extend(addresses),
            Err(_) => self.malformed = true,
        }
        self.malformed |= self.addresses.len() > limits::SMTP_FROM_ADDRESSES_MAX;
        self.addresses.truncate(limits::SMTP_FROM_ADDRESSES_MAX);
    }

    /// The line that `held` starts is the first of the body.
    fn end_header(&mut self, take: &mut impl FnMut(&[u8])) {
        self.add_missing(take);
        take(b"\r\n");
        take(&self.held);
        self.held = Vec::new();
        self.place = Place::Body;
    }

    fn add_missing(&mut self, take: &mut impl FnMut(&[u8])) {
        for field in [self.date.take(), self.message_id.take()]
            .into_iter()
            .flatten()
        {
            take(field.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString, vec};

    use proptest::prelude::*;

    use super::*;

    const DATE: &str = "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n";
    const MESSAGE_ID: &str = "Message-ID: <id@mx.example>\r\n";

    fn filter(pieces: &[&[u8]]) -> (String, HeaderFilter) {
        let hostname = Domain::parse("mx.example").unwrap();
        let mut filter = HeaderFilter::new("id", &hostname, UnixTime(0));
        let mut content = Vec::new();
        let mut take = |run: &[u8]| content.extend_from_slice(run);
        for piece in pieces {
            filter.handle_content(piece, &mut take);
        }
        filter.finish(&mut take);
        (String::from_utf8_lossy(&content).into_owned(), filter)
    }

    fn filtered(content: &str) -> String {
        filter(&[content.as_bytes()]).0
    }

    fn addresses(content: &str) -> Option<Vec<String>> {
        let filter = filter(&[content.as_bytes()]).1;
        let addresses = filter.addresses.iter().map(Address::to_string).collect();
        (!filter.malformed).then_some(addresses)
    }

    #[test]
    fn missing_fields_are_added_at_the_end_of_the_header() {
        let added = format!("Subject: x\r\n{DATE}{MESSAGE_ID}\r\nbody\r\n");
        assert_eq!(filtered("Subject: x\r\n\r\nbody\r\n"), added);
        let added = format!("date : x\r\n{MESSAGE_ID}\r\n");
        assert_eq!(filtered("date : x\r\n\r\n"), added);
        let added = format!("MESSAGE-ID: x\r\n{DATE}\r\nDate: no\r\n");
        assert_eq!(filtered("MESSAGE-ID: x\r\n\r\nDate: no\r\n"), added);
        assert_eq!(
            filtered("Subject: x"),
            format!("Subject: x\r\n{DATE}{MESSAGE_ID}")
        );
        assert_eq!(filtered(""), format!("{DATE}{MESSAGE_ID}"));
    }

    #[test]
    fn complete_header_passes_as_it_is() {
        let content = "Date: x\r\nMessage-ID: y\r\n folded\r\n\r\nbody\r\n";
        assert_eq!(filtered(content), content);
    }

    #[test]
    fn body_without_a_header_gets_one() {
        for body in [
            "Hello there\r\n",
            " indented\r\n",
            "no colon",
            ": x\r\n",
            "From x y\r\n",
        ] {
            assert_eq!(
                filtered(body),
                format!("{DATE}{MESSAGE_ID}\r\n{body}"),
                "{body}"
            );
        }
        assert_eq!(filtered("\r\nbody"), format!("{DATE}{MESSAGE_ID}\r\nbody"));
    }

    #[test]
    fn line_that_is_no_field_ends_the_header_for_every_reader() {
        let content = "Subject: x\r\nno field\r\nFrom: x@y.z\r\n\r\n";
        let added = format!("Subject: x\r\n{DATE}{MESSAGE_ID}\r\nno field\r\nFrom: x@y.z\r\n\r\n");
        assert_eq!(filtered(content), added);
        assert_eq!(addresses(content), Some(vec![]));
    }

    #[test]
    fn return_path_fields_are_dropped_whole() {
        let content = "Date: x\r\nReturn-path: <a@b.c>\r\n\tfolded\r\nMessage-ID: y\r\n\r\n";
        assert_eq!(filtered(content), "Date: x\r\nMessage-ID: y\r\n\r\n");
    }

    #[test]
    fn all_from_fields_count() {
        let content = "From: A\r\n <a@b.c>\r\nfrom : d@e.f\r\nX-From: n@o.p\r\n\r\nFrom: q@r.s\r\n";
        assert_eq!(
            addresses(content),
            Some(vec!["a@b.c".to_string(), "d@e.f".to_string()])
        );
        assert_eq!(addresses("From: a@b.c"), Some(vec!["a@b.c".to_string()]));
        assert_eq!(addresses("From: nobody\r\n\r\n"), None);
    }

    #[test]
    fn longest_from_field_fits_and_one_byte_more_does_not() {
        let value = |bytes: usize| format!("{}a@b.c\r\n", " ".repeat(bytes - 7));
        let longest = value(limits::SMTP_FROM_FIELD_BYTES);
        assert_eq!(
            addresses(&format!("From:{longest}")),
            Some(vec!["a@b.c".to_string()])
        );
        assert_eq!(addresses(&format!("From: {longest}")), None);
    }

    #[test]
    fn longest_field_name_fits_and_one_byte_more_does_not() {
        let name = "x".repeat(limits::SMTP_FIELD_NAME_BYTES);
        assert!(filtered(&format!("{name}: y\r\n")).starts_with("xxx"));
        assert!(filtered(&format!("{name}x: y\r\n")).starts_with("Date"));
    }

    #[test]
    fn longest_hostname_adds_no_more_than_the_bound() {
        let label = "x".repeat(63);
        let hostname = Domain::parse(&[label.as_str(); 4].join(".")).unwrap();
        assert_eq!(hostname.as_str().len(), limits::DOMAIN_BYTES);
        let id = trace::write_id(&mut crate::Entropy::new(0), UnixTime(0));
        let mut filter = HeaderFilter::new(&id, &hostname, UnixTime(0));
        let mut added_bytes = 0;
        filter.handle_content(b"x\r\n", &mut |run| added_bytes += run.len());
        assert!((300..=limits::SMTP_HEADER_ADDED_BYTES).contains(&(added_bytes - 3)));
    }

    #[test]
    fn from_addresses_of_several_fields_are_bounded_together() {
        let field = "From: a@b.c\r\n";
        assert!(addresses(&field.repeat(limits::SMTP_FROM_ADDRESSES_MAX)).is_some());
        assert!(addresses(&field.repeat(limits::SMTP_FROM_ADDRESSES_MAX + 1)).is_none());
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing_and_little_is_added(
            lines in proptest::collection::vec(
                "(From|Return-Path|Date|a)?[: a@b.]{0,6}", 0..6),
            split in 0usize..64,
        ) {
            let content = lines.join("\r\n");
            let (left, right) = content.as_bytes().split_at(split.min(content.len()));
            let bytes: Vec<&[u8]> = content.as_bytes().chunks(1).collect();
            let whole = filter(&[content.as_bytes()]);
            let in_two = filter(&[left, right]);
            let in_bytes = filter(&bytes);
            prop_assert_eq!(&in_two.0, &whole.0);
            prop_assert_eq!(&in_bytes.0, &whole.0);
            prop_assert_eq!(in_bytes.1.malformed, whole.1.malformed);
            prop_assert_eq!(&in_bytes.1.addresses, &whole.1.addresses);
            prop_assert!(whole.0.len() <= content.len() + limits::SMTP_HEADER_ADDED_BYTES);
        }
    }
}
