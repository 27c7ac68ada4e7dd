//! Writes quoted-printable (RFC 2045 §6.7) and base64 (§6.8) from content that comes in pieces.

use alloc::vec::Vec;

use base64::{Engine, engine::general_purpose::STANDARD};

/// Longest line that is written, without its CRLF (RFC 2045 §6.7 rule 5, §6.8).
const LINE_BYTES: usize = 76;

/// Octets of one full line of base64.
const BASE64_LINE_OCTETS: usize = LINE_BYTES / 4 * 3;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// One of the two encodings, at work.
#[derive(Debug)]
pub(super) enum Encoder {
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
}

impl Encoder {
    pub(super) fn handle_input(&mut self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::QuotedPrintable(encoder) => encoder.handle_input(input, out),
            Self::Base64(encoder) => encoder.handle_input(input, out),
        }
    }

    /// There is no more.
    pub(super) fn finish(self, out: &mut Vec<u8>) {
        match self {
            Self::QuotedPrintable(encoder) => encoder.finish(out),
            Self::Base64(encoder) => encoder.finish(out),
        }
    }
}

/// Quoted-printable: CRLF is a line break, and whatever is not printable is quoted, a bare CR or
/// LF too. Nothing is lost.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
    /// A space, tab or CR that is not yet written, as the next byte decides how.
    held: Option<u8>,
}

impl QuotedPrintable {
    fn handle_input(&mut self, input: &[u8], out: &mut Vec<u8>) {
        for &byte in input {
            match (self.held.take(), byte) {
                (Some(b'\r'), b'\n') => {
                    out.extend_from_slice(b"\r\n");
                    self.column = 0;
                    continue;
                }
                // White space before a line break would be taken for padding.
                (Some(held), b'\r') => self.quote(held, out),
                (Some(b'\r'), _) => self.quote(b'\r', out),
                (Some(space), _) => self.write(&[space], out),
                (None, _) => {}
            }
            match byte {
                b' ' | b'\t' | b'\r' => self.held = Some(byte),
                b'!'..=b'~' if byte != b'=' => self.write(&[byte], out),
                _ => self.quote(byte, out),
            }
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        if let Some(held) = self.held.take() {
            self.quote(held, out);
        }
    }

    fn quote(&mut self, byte: u8, out: &mut Vec<u8>) {
        let [high, low] = [byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]);
        self.write(&[b'=', high, low], out);
    }

    /// Writes what must stay in one line, with a soft line break before it where it must be.
    fn write(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.column + text.len() > LINE_BYTES - 1 {
            out.extend_from_slice(b"=\r\n");
            self.column = 0;
        }
        out.extend_from_slice(text);
        self.column += text.len();
    }
}

/// Base64 in lines. The last line has no line break.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    /// Less than a line.
    held: Vec<u8>,
    has_lines: bool,
}

impl Base64 {
    fn handle_input(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(input);
        let full = self.held.len() / BASE64_LINE_OCTETS * BASE64_LINE_OCTETS;
        let rest = self.held.split_off(full);
        let lines = core::mem::replace(&mut self.held, rest);
        for line in lines.chunks(BASE64_LINE_OCTETS) {
            self.write_line(line, out);
        }
    }

    fn finish(mut self, out: &mut Vec<u8>) {
        let held = core::mem::take(&mut self.held);
        if !held.is_empty() {
            self.write_line(&held, out);
        }
    }

    fn write_line(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        if core::mem::replace(&mut self.has_lines, true) {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(STANDARD.encode(octets).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(mut encoder: Encoder, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for piece in pieces {
            encoder.handle_input(piece, &mut out);
        }
        encoder.finish(&mut out);
        out
    }

    fn quoted_printable(pieces: &[&[u8]]) -> Vec<u8> {
        encode(Encoder::QuotedPrintable(QuotedPrintable::default()), pieces)
    }

    fn base64(pieces: &[&[u8]]) -> Vec<u8> {
        encode(Encoder::Base64(Base64::default()), pieces)
    }

    fn decode_quoted_printable(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((&first, behind)) = rest.split_first() {
            rest = match behind {
                [b'\r', b'\n', behind @ ..] if first == b'=' => behind,
                [high, low, behind @ ..] if first == b'=' => {
                    let digits = [*high, *low];
                    let digits = core::str::from_utf8(&digits).unwrap();
                    out.push(u8::from_str_radix(digits, 16).unwrap());
                    behind
                }
                _ => {
                    out.push(first);
                    behind
                }
            };
        }
        out
    }

    #[test]
    fn quoted_printable_follows_its_rules() {
        assert_eq!(
            quoted_printable(&[b"a=\xe9 \r\n\tb\t"]),
            b"a=3D=E9=20\r\n\tb=09"
        );
        assert_eq!(quoted_printable(&[b"a\rb\nc\r"]), b"a=0Db=0Ac=0D");
        let long = quoted_printable(&[&[b'x'; 160]]);
        let lengths: Vec<usize> = long.split(|&it| it == b'\n').map(<[u8]>::len).collect();
        assert_eq!(lengths, [77, 77, 10]);
    }

    #[test]
    fn base64_has_full_lines() {
        let text = base64(&[&[0; 58]]);
        assert_eq!(text.len(), 76 + 2 + 4);
        assert_eq!(base64(&[b""]), b"");
        assert!(!base64(&[&[0; 57]]).ends_with(b"\n"));
    }

    proptest! {
        #[test]
        fn encodings_lose_nothing_and_stay_in_their_lines(
            content in proptest::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'=')],
                0..400,
            ),
            split in 0usize..400,
        ) {
            let (left, right) = content.split_at(split.min(content.len()));
            let quoted = quoted_printable(&[left, right]);
            prop_assert_eq!(&quoted, &quoted_printable(&[&content]));
            prop_assert_eq!(decode_quoted_printable(&quoted), content.clone());
            let encoded = base64(&[left, right]);
            prop_assert_eq!(&encoded, &base64(&[&content]));
            let joined: Vec<u8> =
                encoded.iter().copied().filter(|byte| !b"\r\n".contains(byte)).collect();
            prop_assert_eq!(STANDARD.decode(joined).unwrap(), content);
            for text in [quoted, encoded] {
                prop_assert!(text.iter().all(u8::is_ascii));
                for line in text.split(|&byte| byte == b'\n') {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    prop_assert!(line.len() <= LINE_BYTES && !line.contains(&b'\r'));
                    prop_assert!(!line.ends_with(b" "));
                }
            }
        }
    }
}
