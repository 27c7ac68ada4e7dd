//! A bounded buffer that gathers one line.

use alloc::vec::Vec;

/// Gathers a line that ends in CRLF, and refuses bare CR and bare LF.
///
/// A line that is longer than the bound, or that holds a bare CR or LF, is still consumed to its
/// end (the next LF), so that the peer hears one error for it and the conversation stays in step.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    fault: Option<LineFault>,
    after_cr: bool,
}

/// A bare newline is the graver fault: it counts also in a line that was too long before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LineFault {
    TooLong,
    BareNewline,
}

/// What [`LineBuffer::handle_input`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// The line is not complete: all input was consumed.
    Incomplete,
    /// A line, without its CRLF.
    Complete(Vec<u8>),
    /// The line was longer than the bound, and was thrown away.
    TooLong,
    /// The line held a CR without LF, or ended in LF without CR, and was thrown away.
    BareNewline,
}

impl LineBuffer {
    /// Takes bytes up to and including the end of the line. `line_bytes_max` bounds the line, its
    /// CRLF included. Returns the number of bytes consumed, which is 0 for empty input only.
    pub fn handle_input(&mut self, input: &[u8], line_bytes_max: usize) -> (usize, Line) {
        let end = input.iter().position(|&byte| byte == b'\n');
        let consumed = end.map_or(input.len(), |index| index + 1);
        let text = &input[..end.unwrap_or(input.len())];
        self.take_text(text, line_bytes_max);
        if end.is_none() {
            return (consumed, Line::Incomplete);
        }
        if !self.after_cr {
            self.fault = Some(LineFault::BareNewline);
        }
        if self.bytes.len() + 2 > line_bytes_max {
            self.fault = self.fault.or(Some(LineFault::TooLong));
        }
        self.after_cr = false;
        let bytes = core::mem::take(&mut self.bytes);
        let line = match self.fault.take() {
            None => Line::Complete(bytes),
            Some(LineFault::TooLong) => Line::TooLong,
            Some(LineFault::BareNewline) => Line::BareNewline,
        };
        (consumed, line)
    }

    /// Forgets what was gathered.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the next byte starts a line.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.fault.is_none() && !self.after_cr
    }

    fn take_text(&mut self, text: &[u8], line_bytes_max: usize) {
        let Some((&last, before_last)) = text.split_last() else {
            return;
        };
        // A CR is held back until the next byte shows whether it belongs to a CRLF.
        if self.after_cr || before_last.contains(&b'\r') {
            self.fault = Some(LineFault::BareNewline);
        }
        self.after_cr = last == b'\r';
        let text = if self.after_cr { before_last } else { text };
        if self.fault.is_some() {
            return;
        }
        if self.bytes.len() + text.len() + 2 > line_bytes_max {
            self.fault = Some(LineFault::TooLong);
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], line_bytes_max: usize) -> Vec<Line> {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (consumed, line) = buffer.handle_input(rest, line_bytes_max);
                assert!(consumed > 0);
                rest = &rest[consumed..];
                if line != Line::Incomplete {
                    lines.push(line);
                }
            }
        }
        lines
    }

    #[test]
    fn bare_newlines_are_named_and_the_next_line_is_whole() {
        let bare = || Line::BareNewline;
        let good = || Line::Complete(b"b".to_vec());
        assert_eq!(lines(&[b"a\nb\r\n"], 80), vec![bare(), good()]);
        assert_eq!(lines(&[b"a\rx\r\nb\r\n"], 80), vec![bare(), good()]);
        assert_eq!(lines(&[b"a\r", b"\r\nb\r\n"], 80), vec![bare(), good()]);
    }

    #[test]
    fn longest_line_fits_and_one_byte_more_does_not() {
        assert_eq!(
            lines(&[b"1234\r\n", b"12345\r\n"], 6),
            vec![Line::Complete(b"1234".to_vec()), Line::TooLong]
        );
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(
            input in proptest::collection::vec(
                prop_oneof![Just(b'a'), Just(b'\r'), Just(b'\n')],
                0..64,
            ),
            split in 0usize..64,
        ) {
            let split = split.min(input.len());
            let whole = lines(&[&input], 8);
            prop_assert_eq!(lines(&[&input[..split], &input[split..]], 8), whole.clone());
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            prop_assert_eq!(lines(&bytes, 8), whole);
        }
    }
}
