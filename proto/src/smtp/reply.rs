//! Writes replies (RFC 5321 §4.2), with enhanced status codes (RFC 2034).

use alloc::{string::String, vec::Vec};
use core::fmt::Write;

use bytes::Bytes;

use super::{EnhancedCode, Refusal};
use crate::limits;

/// A reply in one line, in several if the text is long. What can't stand in a reply (control
/// characters, non-ASCII text) becomes a question mark.
pub(super) fn write_reply(code: u16, enhanced: EnhancedCode, text: &str) -> Bytes {
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    let text: Vec<u8> = text.chars().map(|c| printable(c) as u8).collect();
    let mut lines = text.chunks(limits::SMTP_REPLY_TEXT_BYTES).peekable();
    let mut reply = String::with_capacity(text.len() + 16);
    let first = lines.next().unwrap_or_default();
    let mut next = Some(first);
    while let Some(line) = next {
        next = lines.next();
        let separator = if next.is_some() { '-' } else { ' ' };
        let line = core::str::from_utf8(line).expect("it was made of ASCII above");
        write!(reply, "{code}{separator}{enhanced} {line}\r\n").expect("a string takes all");
    }
    reply.into()
}

/// A negative reply.
pub(super) fn write_refusal(refusal: &Refusal) -> Bytes {
    write_reply(refusal.code, refusal.enhanced, &refusal.text)
}

/// The answer to EHLO: a multi-line reply without enhanced status codes (RFC 2034 §3).
pub(super) fn write_ehlo(hostname: &str, keywords: &[String]) -> Bytes {
    let mut reply = String::new();
    let lines = core::iter::once(hostname).chain(keywords.iter().map(String::as_str));
    let last = keywords.len();
    for (index, line) in lines.enumerate() {
        let separator = if index == last { ' ' } else { '-' };
        write!(reply, "250{separator}{line}\r\n").expect("a string takes all");
    }
    reply.into()
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    #[test]
    fn reply_is_code_enhanced_code_and_text() {
        let reply = write_reply(250, EnhancedCode(2, 1, 0), "Ok");
        assert_eq!(reply, "250 2.1.0 Ok\r\n");
    }

    #[test]
    fn long_text_is_parted_into_lines_of_one_reply() {
        let reply = write_reply(550, EnhancedCode(5, 7, 1), &"x".repeat(1000));
        let reply = core::str::from_utf8(&reply).unwrap();
        let starts: Vec<&str> = reply.lines().map(|line| &line[..10]).collect();
        assert_eq!(starts, ["550-5.7.1 ", "550-5.7.1 ", "550 5.7.1 "]);
        assert!(reply.lines().all(|line| line.len() <= 510));
    }

    #[test]
    fn text_can_not_forge_a_line() {
        let refusal = Refusal::relay_denied().with_text("a\r\n250 ok é".to_owned());
        assert_eq!(write_refusal(&refusal), "550 5.7.1 a??250 ok ?\r\n");
    }

    #[test]
    fn last_line_of_ehlo_has_a_space() {
        let reply = write_ehlo("mx.example", &["PIPELINING".to_owned(), "HELP".to_owned()]);
        assert_eq!(reply, "250-mx.example\r\n250-PIPELINING\r\n250 HELP\r\n");
    }
}
