//! Strings as IMAP responses carry them (RFC 3501 §4.3).

use alloc::{format, vec::Vec};

/// Writes a quoted string, or a literal when the text does not fit into one. NUL, which neither
/// can hold, becomes 0x80.
pub(super) fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    let is_quotable = |&byte: &u8| byte < 0x80 && !matches!(byte, 0 | b'\r' | b'\n');
    if !text.iter().all(is_quotable) {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend(text.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }));
        return;
    }
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Writes a string or NIL.
pub(super) fn write_nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Writes a number.
pub(super) fn write_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(format!("{number}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_it_can_be() {
        for (text, expected) in [
            (&b""[..], &b"\"\""[..]),
            (b"a\"\\\tb", b"\"a\\\"\\\\\tb\""),
            (b"\xc3\xa9", b"{2}\r\n\xc3\xa9"),
            (b"a\r\nb", b"{4}\r\na\r\nb"),
            (b"a\0", b"{2}\r\na\x80"),
        ] {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(out, expected);
        }
    }
}
