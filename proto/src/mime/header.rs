//! Header fields (RFC 5322 §2.2): one after the other, and filtered by name.

use alloc::vec::Vec;
use core::ops::Range;

use crate::limits;

/// One field of a header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field<'a> {
    /// As written, without the white space that some write before the colon. A line without a
    /// colon is all name.
    pub name: &'a [u8],
    /// What follows the colon, with folding, without the final line end.
    pub value: &'a [u8],
    /// The whole field with its final line end, as a range of the header.
    pub range: Range<usize>,
}

/// Iterates over a header's fields; ends before the empty line.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    header: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    /// The header may be followed by the message's text.
    pub const fn new(header: &'a [u8]) -> Self {
        Self {
            header,
            position: 0,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let rest = &self.header[self.position..];
        if is_end_of_header(rest) {
            return None;
        }
        let mut end = line_length(rest);
        while matches!(rest.get(end), Some(b' ' | b'\t')) {
            end += line_length(&rest[end..]);
        }
        let (name, value) = split_field(&rest[..end]);
        let range = self.position..self.position + end;
        self.position = range.end;
        Some(Field { name, value, range })
    }
}

fn is_end_of_header(rest: &[u8]) -> bool {
    rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
}

/// Bytes of the first line, its line end included.
fn line_length(text: &[u8]) -> usize {
    let newline = text.iter().position(|&byte| byte == b'\n');
    newline.map_or(text.len(), |index| index + 1)
}

/// Name and value of a field that may end with a line end.
pub(super) fn split_field(field: &[u8]) -> (&[u8], &[u8]) {
    let field = field.strip_suffix(b"\n").unwrap_or(field);
    let field = field.strip_suffix(b"\r").unwrap_or(field);
    let colon = field.iter().position(|&byte| matches!(byte, b':' | b'\n'));
    match colon {
        Some(colon) if field[colon] == b':' => (trim_name(&field[..colon]), &field[colon + 1..]),
        Some(newline) => (
            field[..newline]
                .strip_suffix(b"\r")
                .unwrap_or(&field[..newline]),
            &[],
        ),
        None => (field, &[]),
    }
}

fn trim_name(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    &name[..end.map_or(0, |index| index + 1)]
}

/// A value as one line: line ends are dropped, and the white space behind them is kept (RFC 5322
/// §2.2.3).
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    value
        .iter()
        .copied()
        .filter(|byte| !line_end(byte))
        .collect()
}

/// The fields that have one of these names (in any case), or, with `keep` false, those that have
/// none of them, as they stand in the header, and an empty line (RFC 3501 §6.4.5, HEADER.FIELDS
/// and HEADER.FIELDS.NOT).
pub fn filter_fields<N: AsRef<[u8]>>(header: &[u8], names: &[N], keep: bool) -> Vec<u8> {
    let mut filter = FieldFilter::new(names, keep);
    let mut kept = filter.handle_input(header);
    kept.extend(filter.finish());
    kept
}

/// Does what [`filter_fields`] does on a header that comes in pieces, however they are cut. Holds
/// one field's name, of at most [`limits::FIELD_NAME_BYTES`].
#[derive(Clone, Debug)]
pub struct FieldFilter {
    names: Vec<Vec<u8>>,
    keep: bool,
    state: FilterState,
    last: u8,
}

#[derive(Clone, Debug)]
enum FilterState {
    /// At the start of a line; the field before it was kept or not, if there was one.
    LineStart(Option<bool>),
    /// A CR at the start of a line, which is not yet written.
    AfterCr,
    /// Within a name, which is not yet written.
    Name(Vec<u8>),
    /// Behind the name.
    Rest(bool),
    /// Behind the empty line.
    End,
}

impl FieldFilter {
    /// See [`filter_fields`].
    pub fn new<N: AsRef<[u8]>>(names: &[N], keep: bool) -> Self {
        let mut names: Vec<_> = names
            .iter()
            .map(|it| it.as_ref().to_ascii_lowercase())
            .collect();
        names.sort();
        Self {
            names,
            keep,
            state: FilterState::LineStart(None),
            last: b'\n',
        }
    }

    /// The next piece of the header; returns the next piece of the filtered one.
    pub fn handle_input(&mut self, input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in input {
            self.step(byte, &mut out);
        }
        out
    }

    /// There is no more; returns the end of the filtered header.
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let started = match core::mem::replace(&mut self.state, FilterState::End) {
            FilterState::End => return out,
            FilterState::Name(name) => name,
            FilterState::AfterCr => [b'\r'].into(),
            FilterState::LineStart(_) | FilterState::Rest(_) => Vec::new(),
        };
        if !started.is_empty() && self.wants(&started) {
            self.last = started[started.len() - 1];
            out.extend(started);
        }
        if self.last != b'\n' {
            out.extend(b"\r\n");
        }
        out.extend(b"\r\n");
        out
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match &mut self.state {
            FilterState::LineStart(before) => match (byte, *before) {
                (b'\r', _) => self.state = FilterState::AfterCr,
                (b'\n', _) => self.end(out),
                (b' ' | b'\t', Some(kept)) => self.enter_rest(kept, &[byte], out),
                _ => {
                    self.state = FilterState::Name(Vec::new());
                    self.name_byte(byte, out);
                }
            },
            FilterState::AfterCr if byte == b'\n' => self.end(out),
            FilterState::AfterCr => {
                self.state = FilterState::Name([b'\r'].into());
                self.name_byte(byte, out);
            }
            FilterState::Name(_) => self.name_byte(byte, out),
            FilterState::Rest(kept) => {
                let kept = *kept;
                self.write(kept, byte, out);
                if byte == b'\n' {
                    self.state = FilterState::LineStart(Some(kept));
                }
            }
            FilterState::End => {}
        }
    }

    fn name_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        let FilterState::Name(name) = &mut self.state else {
            unreachable!("called within a name");
        };
        name.push(byte);
        if !matches!(byte, b':' | b'\n') && name.len() <= limits::FIELD_NAME_BYTES {
            return;
        }
        let name = core::mem::take(name);
        let kept = self.wants(&name);
        self.enter_rest(kept, &name, out);
        if byte == b'\n' {
            self.state = FilterState::LineStart(Some(kept));
        }
    }

    fn enter_rest(&mut self, kept: bool, text: &[u8], out: &mut Vec<u8>) {
        for &byte in text {
            self.write(kept, byte, out);
        }
        self.state = FilterState::Rest(kept);
    }

    fn write(&mut self, kept: bool, byte: u8, out: &mut Vec<u8>) {
        if kept {
            out.push(byte);
            self.last = byte;
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend(b"\r\n");
        self.state = FilterState::End;
    }

    fn wants(&self, start: &[u8]) -> bool {
        let (name, _) = split_field(start);
        let name = name.to_ascii_lowercase();
        let fits = name.len() <= limits::FIELD_NAME_BYTES;
        (fits && self.names.binary_search(&name).is_ok()) == self.keep
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &[u8] = b"From: a\r\nSubject : x\r\n y\r\nNo colon\r\nFROM: b\r\n\r\nText: z\r\n";

    #[test]
    fn fields_end_before_the_empty_line() {
        let fields: Vec<_> = Fields::new(HEADER).map(|it| (it.name, it.value)).collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"From", b" a"),
            (b"Subject", b" x\r\n y"),
            (b"No colon", b""),
            (b"FROM", b" b"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn filter_keeps_order_and_folding() {
        let kept = filter_fields(HEADER, &["subject", "from"], true);
        assert_eq!(kept, b"From: a\r\nSubject : x\r\n y\r\nFROM: b\r\n\r\n");
        let kept = filter_fields(HEADER, &["FROM"], false);
        assert_eq!(kept, b"Subject : x\r\n y\r\nNo colon\r\n\r\n");
    }

    #[test]
    fn filtered_header_always_ends_with_an_empty_line() {
        assert_eq!(filter_fields(b"", &["a"], true), b"\r\n");
        assert_eq!(filter_fields(b"a: b", &["a"], true), b"a: b\r\n\r\n");
        assert_eq!(filter_fields(b"a", &["a"], true), b"a\r\n\r\n");
        assert_eq!(filter_fields(b"a: b\n\nx", &["a"], true), b"a: b\n\r\n");
        assert_eq!(filter_fields(b"a: b\r\n", &["b"], true), b"\r\n");
    }

    #[test]
    fn name_longer_than_the_bound_matches_nothing() {
        let long = alloc::vec![b'a'; limits::FIELD_NAME_BYTES + 1];
        let header = [&long[..], b": x\r\n\r\n"].concat();
        assert_eq!(filter_fields(&header, &[&long], true), b"\r\n");
        assert_eq!(filter_fields(&header, &[&long], false), header);
        assert_eq!(
            filter_fields(&header[1..], &[&long[1..]], true),
            header[1..]
        );
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(
            text in "[aAbB: \t\r\n]{0,40}",
            cut in 0usize..40,
            keep: bool,
        ) {
            let cut = cut.min(text.len());
            let mut filter = FieldFilter::new(&["a", "ab"], keep);
            let mut kept = filter.handle_input(&text.as_bytes()[..cut]);
            kept.extend(filter.handle_input(&text.as_bytes()[cut..]));
            kept.extend(filter.finish());
            prop_assert_eq!(kept, filter_fields(text.as_bytes(), &["a", "ab"], keep));
        }

        #[test]
        fn filter_agrees_with_the_iterator(text in "[aAbB: \t\r\n]{0,40}", keep: bool) {
            let mut expected = Vec::new();
            for field in Fields::new(text.as_bytes()) {
                if field.name.eq_ignore_ascii_case(b"a") == keep {
                    expected.extend(&text.as_bytes()[field.range]);
                }
            }
            if expected.last().is_some_and(|&byte| byte != b'\n') {
                expected.extend(b"\r\n");
            }
            expected.extend(b"\r\n");
            prop_assert_eq!(filter_fields(text.as_bytes(), &["a"], keep), expected);
        }
    }
}
