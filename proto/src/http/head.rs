//! A request's head on its way in.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{Bounds, chunked::is_text_byte, refusal::Refusal};
use crate::limits;

/// Gathers the head of one request up to its empty line, and refuses what no head holds: a bare
/// CR or LF, a control character, too much. It looks at one byte after the other, so that where
/// input is split changes nothing, and a fault is answered before the rest has come.
#[derive(Debug)]
pub(super) struct HeadReader {
    bounds: Bounds,
    /// Each line with its CRLF. It may hold a token.
    bytes: Zeroizing<Vec<u8>>,
    line_start: usize,
    lines: usize,
    /// CRLFs before the request line.
    empty_lines: usize,
    after_cr: bool,
}

/// What [`HeadReader::handle_input`] found.
#[derive(Debug)]
pub(super) enum HeadProgress {
    Incomplete,
    /// The empty line is there.
    Complete(Zeroizing<Vec<u8>>),
    Fault(Refusal),
}

impl HeadReader {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            bytes: Zeroizing::default(),
            line_start: 0,
            lines: 0,
            empty_lines: 0,
            after_cr: false,
        }
    }

    /// Whether nothing of a request has come.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What has come so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes bytes up to and including the empty line. Returns how many.
    pub(super) fn handle_input(&mut self, input: &[u8]) -> (usize, HeadProgress) {
        for (index, &byte) in input.iter().enumerate() {
            match self.take_byte(byte) {
                Ok(false) => {}
                Ok(true) => {
                    let head = core::mem::replace(self, Self::new(self.bounds));
                    return (index + 1, HeadProgress::Complete(head.bytes));
                }
                Err(refusal) => return (index + 1, HeadProgress::Fault(refusal)),
            }
        }
        (input.len(), HeadProgress::Incomplete)
    }

    /// Returns whether the head is complete.
    fn take_byte(&mut self, byte: u8) -> Result<bool, Refusal> {
        if self.after_cr != (byte == b'\n') {
            return Err(Refusal::bare_newline());
        }
        self.after_cr = byte == b'\r';
        if byte != b'\r' && byte != b'\n' && !is_text_byte(byte) {
            return Err(Refusal::control_character());
        }
        if self.bytes.len() == self.bounds.head_bytes {
            return Err(Refusal::header_too_large());
        }
        self.bytes.push(byte);
        let line_bytes = self.bytes.len() - self.line_start;
        let line_bytes_max = self.bounds.target_bytes + limits::HTTP_REQUEST_LINE_ADDED_BYTES;
        if self.lines == 0 && line_bytes > line_bytes_max {
            return Err(Refusal::request_line_too_long());
        }
        match byte {
            b'\n' => self.end_line(line_bytes),
            _ => Ok(false),
        }
    }

    fn end_line(&mut self, line_bytes: usize) -> Result<bool, Refusal> {
        let is_empty = line_bytes == 2;
        if is_empty && self.lines == 0 {
            // Some clients send a CRLF after a content (RFC 9112 §2.2).
            self.empty_lines += 1;
            self.bytes.clear();
            return match self.empty_lines <= limits::HTTP_EMPTY_LINES_MAX {
                true => Ok(false),
                false => Err(Refusal::request_line_malformed()),
            };
        }
        self.line_start = self.bytes.len();
        self.lines += 1;
        if !is_empty && self.lines > self.bounds.fields + 1 {
            return Err(Refusal::header_too_large());
        }
        Ok(is_empty)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use super::*;

    fn read(input: &[u8]) -> Result<Option<String>, Refusal> {
        let mut reader = HeadReader::new(Bounds::default());
        match reader.handle_input(input) {
            (consumed, HeadProgress::Complete(head)) => {
                assert!(input[..consumed].ends_with(&head));
                Ok(Some(String::from_utf8(head.to_vec()).unwrap()))
            }
            (consumed, HeadProgress::Incomplete) => {
                assert_eq!(consumed, input.len());
                Ok(None)
            }
            (_, HeadProgress::Fault(refusal)) => Err(refusal),
        }
    }

    #[test]
    fn head_ends_at_its_empty_line() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(read(format!("{head}GET").as_bytes()), Ok(Some(head.into())));
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Ok(None));
    }

    #[test]
    fn one_empty_line_before_a_request_is_passed_over() {
        assert_eq!(read(b"\r\nGET /\r\n\r\n"), Ok(Some("GET /\r\n\r\n".into())));
        assert_eq!(read(b"\r\n\r\nG"), Err(Refusal::request_line_malformed()));
    }

    #[test]
    fn bare_newlines_and_controls_are_refused_at_once() {
        for bare in ["\n", "a\n", "a\ra", "a\r\r", "a\r\nb\n", "\r\r"] {
            assert_eq!(read(bare.as_bytes()), Err(Refusal::bare_newline()));
        }
        for control in ["\0", "a\x07", "\x16\x03\x01", "a\x7f", "a\x1b"] {
            assert_eq!(read(control.as_bytes()), Err(Refusal::control_character()));
        }
    }

    #[test]
    fn longest_request_line_fits_and_one_byte_more_does_not() {
        let longest = limits::HTTP_TARGET_BYTES + limits::HTTP_REQUEST_LINE_ADDED_BYTES;
        let line = |bytes: usize| "a".repeat(bytes - 2) + "\r\n\r\n";
        assert!(read(line(longest).as_bytes()).is_ok());
        let longer = line(longest + 1);
        assert_eq!(
            read(longer.as_bytes()),
            Err(Refusal::request_line_too_long())
        );
    }

    #[test]
    fn largest_header_fits_and_one_byte_or_field_more_does_not() {
        let head = |bytes: usize| format!("a\r\nb:{}\r\n\r\n", "c".repeat(bytes - 9));
        assert!(matches!(
            read(head(limits::HTTP_HEAD_BYTES).as_bytes()),
            Ok(Some(_))
        ));
        let larger = head(limits::HTTP_HEAD_BYTES + 1);
        assert_eq!(read(larger.as_bytes()), Err(Refusal::header_too_large()));
        let fields = |count| format!("a\r\n{}\r\n", "b:\r\n".repeat(count));
        assert!(matches!(
            read(fields(limits::HTTP_FIELDS_MAX).as_bytes()),
            Ok(Some(_))
        ));
        let more = fields(limits::HTTP_FIELDS_MAX + 1);
        assert_eq!(read(more.as_bytes()), Err(Refusal::header_too_large()));
    }
}
