//! A reply as a client reads it (RFC 5321 §4.2), with its enhanced status code (RFC 2034, 3463).

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::EnhancedCode;
use crate::{Line, LineBuffer, limits};

/// What a peer answered, in its own words.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerReply {
    /// 200 to 599.
    pub code: u16,
    /// When the text starts with one whose class is the code's first digit.
    pub enhanced: Option<EnhancedCode>,
    /// The text line by line, without codes: printable, at most
    /// [`limits::SMTP_REPLY_KEPT_BYTES`](crate::limits::SMTP_REPLY_KEPT_BYTES) in all.
    pub lines: Vec<String>,
}

impl PeerReply {
    /// 2yz: it is done.
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// 4yz: it may be tried again.
    pub const fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5yz: it need not be tried again.
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Whether the peer ends the session with it (RFC 5321 §3.8).
    pub const fn is_final(&self) -> bool {
        self.code == 421
    }

    /// The text in one line.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

impl fmt::Display for PeerReply {
    /// In one line: `550 5.1.1 No such mailbox here`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in self.lines.iter().filter(|line| !line.is_empty()) {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

/// What [`ReplyReader::handle_input`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read {
    /// The reply is not complete.
    Incomplete,
    /// A reply.
    Complete(PeerReply),
    /// What came is no reply: the conversation can't go on.
    Malformed,
}

/// Gathers the lines of a reply, within bounds, and takes nothing for a reply that is none.
///
/// ```text
/// Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
/// Reply-code = %x32-35 2DIGIT
/// ```
///
/// All lines have the same code. The second digit may be any, which RFC 5321 does not allow and
/// peers use. A line that ends in a bare LF is malformed, like one that is too long.
#[derive(Debug, Default)]
pub struct ReplyReader {
    line: LineBuffer,
    reply: Option<PeerReply>,
    lines: usize,
    kept_bytes: usize,
}

impl ReplyReader {
    /// Takes bytes up to and including the end of a line. Returns the number of bytes consumed,
    /// which is 0 for empty input only.
    pub fn handle_input(&mut self, input: &[u8]) -> (usize, Read) {
        let (consumed, line) = self.line.handle_input(input, limits::SMTP_REPLY_LINE_BYTES);
        let read = match line {
            Line::Incomplete => Read::Incomplete,
            Line::Complete(line) => self.handle_line(&line),
            Line::TooLong | Line::BareNewline => Read::Malformed,
        };
        (consumed, read)
    }

    /// Forgets what was gathered.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn handle_line(&mut self, line: &[u8]) -> Read {
        let Some((code, is_last, text)) = split_line(line) else {
            return Read::Malformed;
        };
        let mut reply = match self.reply.take() {
            None => PeerReply {
                code,
                enhanced: split_enhanced(code, text).map(|(enhanced, _)| enhanced),
                lines: Vec::new(),
            },
            Some(reply) => reply,
        };
        self.lines += 1;
        if reply.code != code || self.lines > limits::SMTP_REPLY_LINES_MAX {
            return Read::Malformed;
        }
        let text = match split_enhanced(code, text) {
            Some((enhanced, rest)) if reply.enhanced == Some(enhanced) => rest,
            Some(_) | None => text,
        };
        self.kept_bytes += text.len();
        if self.kept_bytes <= limits::SMTP_REPLY_KEPT_BYTES {
            reply.lines.push(printable(text));
        }
        if is_last {
            self.lines = 0;
            self.kept_bytes = 0;
            return Read::Complete(reply);
        }
        self.reply = Some(reply);
        Read::Incomplete
    }
}

/// Code, whether it is the reply's last line, and text.
fn split_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let valid = matches!(digits[0], b'2'..=b'5') && digits.iter().all(u8::is_ascii_digit);
    if !valid {
        return None;
    }
    let code = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// `status-code = class "." subject "." detail`, `class = "2" / "4" / "5"`, `subject = 1*3digit`,
/// `detail = 1*3digit` (RFC 3463 §2), and the text behind it.
fn split_enhanced(code: u16, text: &[u8]) -> Option<(EnhancedCode, &[u8])> {
    let end = text.iter().position(|&byte| byte == b' ');
    let (status, rest) = text.split_at(end.unwrap_or(text.len()));
    let status = core::str::from_utf8(status).ok()?;
    let mut numbers = status.split('.').map(parse_number);
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let fits = numbers.next().is_none() && class == code / 100 && matches!(class, 2 | 4 | 5);
    let class = u8::try_from(class).ok().filter(|_| fits)?;
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some((EnhancedCode(class, subject, detail), rest))
}

fn parse_number(digits: &str) -> Option<u16> {
    let valid = (1..=3).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_digit());
    valid.then(|| digits.parse().ok()).flatten()
}

/// UTF-8 passes (RFC 6531 §3.7.4.2); control characters, and what is not UTF-8, do not.
fn printable(text: &[u8]) -> String {
    let printable = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() || c == char::REPLACEMENT_CHARACTER => '?',
        c => c,
    };
    String::from_utf8_lossy(text)
        .chars()
        .map(printable)
        .collect()
}

#[cfg(test)]
mod tests {
    use alloc::{
        borrow::ToOwned,
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    };

    use proptest::prelude::*;

    use super::*;
    use crate::smtp::reply;

    fn read(wire: &[u8]) -> Vec<Read> {
        let mut reader = ReplyReader::default();
        let mut found = Vec::new();
        let mut rest = wire;
        while !rest.is_empty() {
            let (consumed, read) = reader.handle_input(rest);
            rest = &rest[consumed..];
            if read != Read::Incomplete {
                found.push(read);
            }
        }
        found
    }

    fn reply(wire: &str) -> PeerReply {
        match read(wire.as_bytes()).as_slice() {
            [Read::Complete(reply)] => reply.clone(),
            other => panic!("{wire:?}: {other:?}"),
        }
    }

    #[test]
    fn reply_is_code_enhanced_code_and_text() {
        let refused = reply("550-5.1.1 No such\r\n550 5.1.1 mailbox\r\n");
        assert_eq!(refused.code, 550);
        assert_eq!(refused.enhanced, Some(EnhancedCode(5, 1, 1)));
        assert_eq!(refused.lines, ["No such", "mailbox"]);
        assert_eq!(refused.to_string(), "550 5.1.1 No such mailbox");
        assert_eq!(reply("250\r\n").to_string(), "250");
        assert_eq!(reply("250 \r\n").to_string(), "250");
    }

    #[test]
    fn enhanced_code_of_another_class_is_text() {
        for text in [
            "5.1.1 x",
            "2.1",
            "2.1.1.1 x",
            "2.1.1x",
            "2.1000.1 x",
            "2..1",
        ] {
            let reply = reply(&format!("250 {text}\r\n"));
            assert_eq!(reply.enhanced, None, "{text}");
            assert_eq!(reply.lines, [text]);
        }
    }

    #[test]
    fn what_is_no_reply_is_malformed() {
        for line in [
            "",
            "25",
            "2500 x",
            "150 x",
            "650 x",
            "25a x",
            "250_x",
            " 250 x",
            "250-a\r\n251 b",
            "HTTP/1.1 400 Bad Request",
        ] {
            let found = read(format!("{line}\r\n").as_bytes());
            assert!(found.contains(&Read::Malformed), "{line:?}: {found:?}");
        }
        assert_eq!(read(b"250 x\n"), [Read::Malformed]);
        assert_eq!(read(b"250 x\ry\r\n"), [Read::Malformed]);
    }

    #[test]
    fn longest_line_and_most_lines_fit_and_no_more() {
        let line = |bytes: usize| format!("250 {}\r\n", "x".repeat(bytes - 6));
        assert_eq!(reply(&line(limits::SMTP_REPLY_LINE_BYTES)).code, 250);
        let found = read(line(limits::SMTP_REPLY_LINE_BYTES + 1).as_bytes());
        assert_eq!(found, [Read::Malformed]);
        let lines = |count: usize| "250-\r\n".repeat(count - 1) + "250 \r\n";
        let full = reply(&lines(limits::SMTP_REPLY_LINES_MAX));
        assert_eq!(full.lines.len(), limits::SMTP_REPLY_LINES_MAX);
        let found = read(lines(limits::SMTP_REPLY_LINES_MAX + 1).as_bytes());
        assert!(found.contains(&Read::Malformed));
    }

    #[test]
    fn text_that_is_kept_is_bounded() {
        let line = format!("250-{}\r\n", "x".repeat(1000));
        let reply = reply(&(line.repeat(20) + "250 end\r\n"));
        assert_eq!(reply.lines.len(), limits::SMTP_REPLY_KEPT_BYTES / 1000);
    }

    #[test]
    fn what_is_not_printable_becomes_a_question_mark() {
        let found = read(b"250 a\0b\xff\xc3\xa9\r\n");
        let [Read::Complete(reply)] = found.as_slice() else {
            panic!("{found:?}");
        };
        assert_eq!(reply.lines, ["a?b?é"]);
    }

    proptest! {
        #[test]
        fn what_our_server_writes_is_read_as_it_was_meant(
            code in 200u16..600,
            subject in 0u16..1000,
            detail in 0u16..1000,
            text in "[ -~]{0,1200}",
        ) {
            let code = if code / 100 == 3 { code - 100 } else { code };
            let enhanced = EnhancedCode((code / 100) as u8, subject, detail);
            let wire = reply::write_reply(code, enhanced, &text);
            let read = read(&wire);
            let lines: Vec<String> = text
                .as_bytes()
                .chunks(limits::SMTP_REPLY_TEXT_BYTES)
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect();
            let lines = if lines.is_empty() { vec!["".to_owned()] } else { lines };
            let expected = PeerReply { code, enhanced: Some(enhanced), lines };
            prop_assert_eq!(read, vec![Read::Complete(expected)]);
        }

        #[test]
        fn answer_to_ehlo_comes_back_line_by_line(
            keywords in proptest::collection::vec("[A-Z0-9][ A-Z0-9=]{0,20}", 0..20),
        ) {
            let wire = reply::write_ehlo("mx.example", &keywords);
            let lines = [vec!["mx.example".to_owned()], keywords].concat();
            let expected = PeerReply { code: 250, enhanced: None, lines };
            prop_assert_eq!(read(&wire), vec![Read::Complete(expected)]);
        }

        #[test]
        fn splitting_changes_nothing(
            wire in "(2[0-5][0-9]|x)[- ]?[a-z.0-9]{0,6}(\r\n|\n|\r)(250[- ]a\r\n){0,3}",
            split in 0usize..40,
        ) {
            let split = split.min(wire.len());
            let mut reader = ReplyReader::default();
            let mut found = Vec::new();
            for mut piece in [&wire.as_bytes()[..split], &wire.as_bytes()[split..]] {
                while !piece.is_empty() {
                    let (consumed, read) = reader.handle_input(piece);
                    piece = &piece[consumed..];
                    if read != Read::Incomplete {
                        found.push(read);
                    }
                }
            }
            prop_assert_eq!(found, read(wire.as_bytes()));
        }
    }
}
