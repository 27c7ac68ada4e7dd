//! The end of mail data, and what stands before it: dot-unstuffing (RFC 5321 §4.5.2).

/// Where the decoder stands. It starts as if a CRLF came before, so that an empty message ends at
/// its first dot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// At the start of a line.
    AfterCrlf,
    /// After a dot that starts a line; the dot is not content.
    AfterDot,
    /// After a dot that starts a line, and CR.
    AfterDotCr,
    /// Within a line.
    InLine,
    /// After a CR within or at the start of a line.
    AfterCr,
}

/// Turns mail data as it stands on the wire into content, and finds its end.
///
/// The end is `CRLF.CRLF` and nothing else. A CR without LF or an LF without CR breaks the data:
/// no content comes out from there on, and the end is still looked for.
///
/// | state | `.` | CR | LF | other |
/// |---|---|---|---|---|
/// | after CRLF | after dot | after CR | broken | in line |
/// | after dot | in line | after dot CR | broken | in line |
/// | after dot CR | broken | broken | **end** | broken |
/// | in line | in line | after CR | broken | in line |
/// | after CR | broken | broken | after CRLF | broken |
#[derive(Debug)]
pub(super) struct DotDecoder {
    state: State,
    broken: bool,
}

impl DotDecoder {
    pub(super) fn new() -> Self {
        Self {
            state: State::AfterCrlf,
            broken: false,
        }
    }

    /// Whether a bare CR or LF was seen.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Hands content to `take`, in order. Returns the bytes consumed, which are all of them unless
    /// the end was found, and whether it was.
    pub(super) fn decode(&mut self, input: &[u8], mut take: impl FnMut(&[u8])) -> (usize, bool) {
        let mut run_start = 0;
        let mut index = 0;
        while index < input.len() {
            if self.state == State::InLine {
                let rest = &input[index..];
                let skipped = rest.iter().position(|&b| b == b'\r' || b == b'\n');
                index += skipped.unwrap_or(rest.len());
                if index == input.len() {
                    break;
                }
            }
            match (self.state, input[index]) {
                (State::AfterDotCr, b'\n') => return (index + 1, true),
                (State::AfterCrlf, b'.') => {
                    self.hand_on(&input[run_start..index], &mut take);
                    run_start = index + 1;
                    self.state = State::AfterDot;
                }
                (State::AfterDot, b'\r') => self.state = State::AfterDotCr,
                (State::AfterCr, b'\n') => self.state = State::AfterCrlf,
                (State::AfterCrlf | State::InLine, b'\r') => self.state = State::AfterCr,
                (State::AfterCr | State::AfterDotCr, byte) => {
                    self.broken = true;
                    self.state = if byte == b'\r' {
                        State::AfterCr
                    } else {
                        State::InLine
                    };
                }
                (State::AfterCrlf | State::AfterDot | State::InLine, byte) => {
                    self.broken |= byte == b'\n';
                    self.state = State::InLine;
                }
            }
            index += 1;
        }
        // A CR after a lone dot is no content: either the end follows, or the data is broken.
        if self.state != State::AfterDotCr {
            self.hand_on(&input[run_start..], &mut take);
        }
        (input.len(), false)
    }

    fn hand_on(&self, content: &[u8], take: &mut impl FnMut(&[u8])) {
        if !self.broken && !content.is_empty() {
            take(content);
        }
    }
}

/// Looks for a bare CR or LF in content whose length is known (BDAT).
#[derive(Debug, Default)]
pub(super) struct NewlineCheck {
    after_cr: bool,
}

impl NewlineCheck {
    /// Whether every CR and LF so far is part of a CRLF; a CR at the very end is still open.
    pub(super) fn is_clean(&mut self, piece: &[u8]) -> bool {
        for &byte in piece {
            if self.after_cr != (byte == b'\n') {
                return false;
            }
            self.after_cr = byte == b'\r';
        }
        true
    }

    /// Whether the content may end here.
    pub(super) fn is_closed(&self) -> bool {
        !self.after_cr
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Content, whether it is broken, and what follows the end, if there is one.
    fn decode<'a>(pieces: &[&'a [u8]]) -> (Vec<u8>, bool, Option<&'a [u8]>) {
        let mut decoder = DotDecoder::new();
        let mut content = Vec::new();
        for piece in pieces {
            let (consumed, ended) = decoder.decode(piece, |run| content.extend_from_slice(run));
            if ended {
                return (content, decoder.is_broken(), Some(&piece[consumed..]));
            }
            assert_eq!(consumed, piece.len());
        }
        (content, decoder.is_broken(), None)
    }

    /// As a client writes mail data (RFC 5321 §4.5.2).
    fn stuff(content: &[u8]) -> Vec<u8> {
        let mut wire = Vec::new();
        let mut at_line_start = true;
        for &byte in content {
            if at_line_start && byte == b'.' {
                wire.push(b'.');
            }
            wire.push(byte);
            at_line_start = byte == b'\n';
        }
        wire.extend_from_slice(b".\r\n");
        wire
    }

    #[test]
    fn empty_message_ends_at_first_dot() {
        assert_eq!(
            decode(&[b".\r\nQUIT"]),
            (Vec::new(), false, Some(&b"QUIT"[..]))
        );
    }

    #[test]
    fn one_leading_dot_is_removed() {
        let (content, broken, rest) = decode(&[b"..\r\n.a\r\nb.\r\n...\r\n.\r\n"]);
        assert_eq!(content, b".\r\na\r\nb.\r\n..\r\n");
        assert!(!broken);
        assert_eq!(rest, Some(&b""[..]));
    }

    #[test]
    fn nul_is_content() {
        let (content, broken, _) = decode(&[b"a\0b\r\n\0.\r\n.\r\n"]);
        assert_eq!(content, b"a\0b\r\n\0.\r\n");
        assert!(!broken);
    }

    #[test]
    fn bare_newline_breaks_the_data_and_never_ends_it() {
        let forms: [&[u8]; 12] = [
            b"\n.\n",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\r",
            b"\n.\r",
            b"\r.\n",
            b"\r\n\r.\r\n",
            b"\r\r\n.\n",
            b"\r\n.\r\r\n",
            b"\n\r.\n\r",
        ];
        for form in forms {
            let wire = [b"a", form, b"MAIL FROM:<x@y.z>\r\nb\r\n.\r\nNEXT"].concat();
            let (_, broken, rest) = decode(&[&wire]);
            assert!(broken, "{form:?}");
            assert_eq!(rest, Some(&b"NEXT"[..]), "{form:?}");
        }
    }

    fn newlines_and_dots() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0)];
        proptest::collection::vec(byte, 0..48)
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(wire in newlines_and_dots(), split in 0usize..48) {
            let (left, right) = wire.split_at(split.min(wire.len()));
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            let (content, broken, rest) = decode(&[&wire]);
            let in_two = decode(&[left, right]);
            prop_assert_eq!(in_two.1, broken);
            prop_assert_eq!(in_two.2.is_some(), rest.is_some());
            let in_bytes = decode(&bytes);
            prop_assert_eq!(in_bytes.1, broken);
            if !broken {
                prop_assert_eq!(in_two.0, content.clone());
                prop_assert_eq!(in_bytes.0, content);
            }
        }

        #[test]
        fn the_end_is_crlf_dot_crlf_and_nothing_else(wire in newlines_and_dots()) {
            let (_, _, rest) = decode(&[&wire]);
            let framed = [b"\r\n", &wire[..]].concat();
            let end = framed.windows(5).position(|window| window == b"\r\n.\r\n");
            prop_assert_eq!(rest.map(<[u8]>::len), end.map(|index| framed.len() - index - 5));
        }

        #[test]
        fn stuffed_content_comes_back(lines in proptest::collection::vec("[.a\\x00]{0,4}", 0..8)) {
            let content: Vec<u8> =
                lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            let wire = stuff(&content);
            prop_assert_eq!(decode(&[&wire]), (content, false, Some(&b""[..])));
        }

        #[test]
        fn check_and_decoder_agree_on_bare_newlines(content in newlines_and_dots()) {
            let mut check = NewlineCheck::default();
            let clean = check.is_clean(&content) && check.is_closed();
            let mut text = content.clone();
            text.retain(|&byte| byte != b'.');
            let (_, broken, _) = decode(&[&text, b"x"]);
            let mut check = NewlineCheck::default();
            prop_assert_eq!(!broken, check.is_clean(&text) && check.is_closed());
            prop_assert!(clean || content.contains(&b'\r') || content.contains(&b'\n'));
        }
    }
}
