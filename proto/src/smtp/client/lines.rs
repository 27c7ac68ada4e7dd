//! A message's content as it stands on the wire: lines that end in CRLF, dots stuffed.

use alloc::vec::Vec;

use bytes::Bytes;

/// Where the writer stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    LineStart,
    InLine,
    /// A CR was read and not yet written.
    AfterCr,
}

/// Writes content so that no bare CR or LF goes out and the last line ends in CRLF.
///
/// A stored message may have bare ones (it came by another way than SMTP, or was made here): each
/// becomes a CRLF, as a line end is what it must have meant (RFC 5321 §2.3.8 allows no other
/// reading). For DATA a dot is put before each one that starts a line (§4.5.2); dots are looked at
/// after line ends are, so that nothing can forge the end of the data.
///
/// What comes out is at most twice as long as what went in, and a CRLF.
#[derive(Debug)]
pub(super) struct LineWriter {
    stuffs_dots: bool,
    at: At,
}

impl LineWriter {
    /// With `stuffs_dots` for DATA, without for BDAT.
    pub(super) fn new(stuffs_dots: bool) -> Self {
        Self {
            stuffs_dots,
            at: At::LineStart,
        }
    }

    /// Takes the next piece. One that needs no change is not copied.
    pub(super) fn write(&mut self, piece: Bytes) -> Bytes {
        if self.is_plain(&piece) {
            if let Some(&last) = piece.last() {
                self.at = if last == b'\n' {
                    At::LineStart
                } else {
                    At::InLine
                };
            }
            return piece;
        }
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 16 + 4);
        self.copy(&piece, &mut out);
        out.into()
    }

    /// There is no more; returns what is missing.
    pub(super) fn finish(&mut self) -> &'static [u8] {
        match core::mem::replace(&mut self.at, At::LineStart) {
            At::LineStart => b"",
            At::InLine | At::AfterCr => b"\r\n",
        }
    }

    /// Whether the piece can go out as it is.
    fn is_plain(&self, piece: &[u8]) -> bool {
        let mut rest = piece;
        let mut at_start = match self.at {
            At::LineStart => true,
            At::InLine => false,
            At::AfterCr => return piece.is_empty(),
        };
        while let Some(&first) = rest.first() {
            if at_start && first == b'.' && self.stuffs_dots {
                return false;
            }
            let Some(end) = rest.iter().position(|&byte| matches!(byte, b'\r' | b'\n')) else {
                return true;
            };
            if !rest[end..].starts_with(b"\r\n") {
                return false;
            }
            rest = &rest[end + 2..];
            at_start = true;
        }
        true
    }

    fn copy(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some((&first, behind)) = rest.split_first() {
            match (self.at, first) {
                (At::AfterCr, b'\n') | (At::LineStart | At::InLine, b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                    rest = behind;
                }
                (At::AfterCr, _) => {
                    // The byte is looked at again.
                    out.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                }
                (At::LineStart | At::InLine, b'\r') => {
                    self.at = At::AfterCr;
                    rest = behind;
                }
                (at @ (At::LineStart | At::InLine), _) => {
                    if at == At::LineStart && first == b'.' && self.stuffs_dots {
                        out.push(b'.');
                    }
                    let end = rest.iter().position(|&byte| matches!(byte, b'\r' | b'\n'));
                    let (text, behind) = rest.split_at(end.unwrap_or(rest.len()));
                    out.extend_from_slice(text);
                    self.at = At::InLine;
                    rest = behind;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::smtp::dot::DotDecoder;

    fn write(pieces: &[&[u8]], stuffs_dots: bool) -> Vec<u8> {
        let mut writer = LineWriter::new(stuffs_dots);
        let mut wire = Vec::new();
        for piece in pieces {
            let out = writer.write(Bytes::copy_from_slice(piece));
            assert!(out.len() <= piece.len() * 2 + 2);
            wire.extend_from_slice(&out);
        }
        wire.extend_from_slice(writer.finish());
        wire
    }

    /// Content with each bare CR or LF as a CRLF, and one at its end.
    fn canonical(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = content;
        while let Some(&first) = rest.first() {
            let line_end = match rest {
                [b'\r', b'\n', ..] => 2,
                [b'\r' | b'\n', ..] => 1,
                _ => 0,
            };
            if line_end == 0 {
                out.push(first);
            } else {
                out.extend_from_slice(b"\r\n");
            }
            rest = &rest[line_end.max(1)..];
        }
        if !out.is_empty() && !out.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    #[test]
    fn bare_line_ends_become_crlf_and_can_not_forge_an_end() {
        assert_eq!(
            write(&[b"a\n.\nb\r.\rc"], true),
            b"a\r\n..\r\nb\r\n..\r\nc\r\n"
        );
        assert_eq!(write(&[b"a\n.\n"], false), b"a\r\n.\r\n");
        assert_eq!(write(&[b""], true), b"");
        assert_eq!(write(&[b"a\r", b"\nb\r", b"c"], true), b"a\r\nb\r\nc\r\n");
    }

    #[test]
    fn piece_that_needs_no_change_is_not_copied() {
        let mut writer = LineWriter::new(true);
        let piece = Bytes::from_static(b"a.\r\nb\r\n");
        assert_eq!(writer.write(piece.clone()).as_ptr(), piece.as_ptr());
    }

    proptest! {
        #[test]
        fn what_goes_out_is_what_a_server_reads(
            content in proptest::collection::vec(
                prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0)],
                0..64,
            ),
            split in 0usize..64,
        ) {
            let (left, right) = content.split_at(split.min(content.len()));
            let expected = canonical(&content);
            prop_assert_eq!(write(&[left, right], false), expected.clone());
            let mut wire = write(&[left, right], true);
            prop_assert_eq!(write(&[&content], true), wire.clone());
            wire.extend_from_slice(b".\r\n");
            let mut decoder = DotDecoder::new();
            let mut read = Vec::new();
            let (consumed, ended) = decoder.decode(&wire, |run| read.extend_from_slice(run));
            prop_assert!(ended && consumed == wire.len() && !decoder.is_broken());
            prop_assert_eq!(read, expected);
        }
    }
}
