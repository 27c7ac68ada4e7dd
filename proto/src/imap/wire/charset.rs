//! The charsets of SEARCH's texts (RFC 3501 §6.4.4).

use alloc::string::String;

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};

/// How the texts of a SEARCH are encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Charset {
    /// US-ASCII, which is also meant when no charset is named. UTF-8 is tolerated.
    Ascii,
    /// Any other.
    Other(&'static Encoding),
}

impl Charset {
    /// The charset of this name, in any case; `None` when it is not known. The UTF-16 charsets
    /// can't be written in a command, which has no place for NUL.
    pub(super) fn from_name(name: &[u8]) -> Option<Self> {
        if name.eq_ignore_ascii_case(b"US-ASCII") || name.eq_ignore_ascii_case(b"ASCII") {
            return Some(Self::Ascii);
        }
        let encoding = Encoding::for_label(name)?;
        let usable = ![REPLACEMENT, UTF_16BE, UTF_16LE].contains(&encoding);
        usable.then_some(Self::Other(encoding))
    }

    /// The text in UTF-8; `None` when it is not in this charset.
    pub(super) fn decode(self, text: &[u8]) -> Option<String> {
        let encoding = match self {
            Self::Ascii => UTF_8,
            Self::Other(encoding) => encoding,
        };
        let decoded = encoding.decode_without_bom_handling_and_without_replacement(text)?;
        Some(decoded.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    fn decode(charset: &str, text: &[u8]) -> Option<String> {
        Charset::from_name(charset.as_bytes())?.decode(text)
    }

    #[test]
    fn texts_of_known_charsets_become_utf_8() {
        for (charset, text, expected) in [
            ("us-ascii", &b"abc"[..], Some("abc")),
            ("UTF-8", "für".as_bytes(), Some("für")),
            ("ISO-8859-1", b"f\xfcr", Some("für")),
            ("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4", Some("Привет")),
            ("ISO-2022-JP", b"\x1b$B4A;z\x1b(B", Some("漢字")),
            ("UTF-8", b"f\xfcr", None),
            ("US-ASCII", b"f\xfcr", None),
            ("UTF-16", b"ab", None),
            ("X-NONE", b"ab", None),
        ] {
            assert_eq!(
                decode(charset, text),
                expected.map(ToOwned::to_owned),
                "{charset}"
            );
        }
    }

    #[test]
    fn charsets_that_a_badcharset_names_are_known() {
        for charset in super::super::response::CHARSETS.split_ascii_whitespace() {
            assert!(
                Charset::from_name(charset.as_bytes()).is_some(),
                "{charset}"
            );
        }
    }
}
