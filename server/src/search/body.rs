//! Looking into the parts of a message that hold text.

use std::{borrow::Cow, collections::BTreeSet};

use mail_parser::{
    decoders::{
        base64::base64_decode_stream,
        charsets::{DecoderFnc, map::charset_decoder},
    },
    parsers::MessageStream,
};
use rmail_proto::{
    limits::FETCH_HEADER_FIELDS_BYTES,
    mime::{Part, PartKind, Parts},
};
use rmail_store::StoreError;

use super::{Content, evaluate::Program, header, text::Needle};
use crate::limits::SEARCH_PART_BYTES;

/// Which of the program's texts a message's body holds: the text of its parts, and the headers of
/// the messages within it. `None` when the message has gone.
pub(super) fn find_texts<'a>(
    content: &Content<'_>,
    program: &Program<'a>,
) -> Result<Option<BTreeSet<&'a str>>, StoreError> {
    let mut finder = Finder {
        found: BTreeSet::new(),
        missing: program.body_needles().collect(),
    };
    let parts = match Parts::decode(&content.data.parts) {
        Some(parts) => parts,
        None => one_part(content),
    };
    let mut is_message = false;
    for part in parts.iter() {
        if finder.missing.is_empty() {
            break;
        }
        if part.kind == PartKind::Leaf || is_message {
            let Some(header) = content.read(part.header.clone(), FETCH_HEADER_FIELDS_BYTES)? else {
                return Ok(None);
            };
            if is_message {
                finder.look(|needle| header::contains(&header, needle));
            }
            if let (PartKind::Leaf, Some(encoding)) = (part.kind, Encoding::of_text(&header)) {
                let Some(body) = content.read(part.body.clone(), SEARCH_PART_BYTES)? else {
                    return Ok(None);
                };
                let text = encoding.decode(&body);
                finder.look(|needle| needle.is_in(&text));
            }
        }
        is_message = part.kind == PartKind::Message;
    }
    Ok(Some(finder.found))
}

/// A message whose parts are not known.
fn one_part(content: &Content<'_>) -> Parts {
    let header_bytes = content.data.header.len() as u64;
    let part = Part {
        kind: PartKind::Leaf,
        header: 0..header_bytes,
        body: header_bytes..content.data.size_bytes.max(header_bytes),
        children: 0,
    };
    Parts::new(vec![part]).expect("one leaf is a tree")
}

/// Texts that were found, and those that are still looked for.
struct Finder<'a, 'n> {
    found: BTreeSet<&'a str>,
    missing: Vec<(&'a str, &'n Needle)>,
}

impl Finder<'_, '_> {
    fn look(&mut self, holds: impl Fn(&Needle) -> bool) {
        let found = &mut self.found;
        self.missing.retain(|(text, needle)| {
            let is_found = holds(needle);
            if is_found {
                found.insert(text);
            }
            !is_found
        });
    }
}

/// How a part with text is written.
struct Encoding {
    transfer: Transfer,
    /// `None` for UTF-8, ASCII and charsets that nobody knows.
    charset: Option<DecoderFnc>,
}

/// Content-Transfer-Encoding (RFC 2045 §6).
enum Transfer {
    Identity,
    QuotedPrintable,
    Base64,
}

impl Encoding {
    /// From a part's header; `None` when the part is no text. Multiparts and messages that were
    /// not taken apart are searched as if they were.
    fn of_text(header: &[u8]) -> Option<Self> {
        let mut charset = None;
        if let Some(field) = header::first(header, "content-type")
            && let Some(content_type) = header::parse_content_type(field.value)
        {
            let kind = &content_type.c_type;
            let is_text = ["text", "message", "multipart"]
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known));
            // Without a subtype it means nothing (RFC 2045 §5.2).
            if content_type.c_subtype.is_some() && !is_text {
                return None;
            }
            let attributes = content_type.attributes.unwrap_or_default();
            let named = attributes
                .iter()
                .find(|attribute| attribute.name.eq_ignore_ascii_case("charset"));
            charset = named.and_then(|attribute| decoder_of(&attribute.value));
        }
        let field = header::first(header, "content-transfer-encoding");
        Some(Self {
            transfer: field.map_or(Transfer::Identity, |field| {
                Transfer::from_value(field.value)
            }),
            charset,
        })
    }

    /// A part's body in UTF-8.
    fn decode<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        let bytes = self.transfer.decode(body);
        match self.charset {
            None => bytes,
            Some(decode) => Cow::Owned(decode(&bytes).into_bytes()),
        }
    }
}

fn decoder_of(charset: &str) -> Option<DecoderFnc> {
    let is_utf8 = ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|name| charset.eq_ignore_ascii_case(name));
    match is_utf8 {
        true => None,
        false => charset_decoder(charset.as_bytes()),
    }
}

impl Transfer {
    fn from_value(value: &[u8]) -> Self {
        let mut words =
            value.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b';' | b'('));
        let name = words.find(|word| !word.is_empty()).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"base64") {
            Self::Base64
        } else if name.eq_ignore_ascii_case(b"quoted-printable") {
            Self::QuotedPrintable
        } else {
            Self::Identity
        }
    }

    /// What can't be decoded stays as it is.
    fn decode<'b>(&self, body: &'b [u8]) -> Cow<'b, [u8]> {
        match self {
            Self::Identity => Cow::Borrowed(body),
            Self::QuotedPrintable => {
                match MessageStream::new(body).decode_quoted_printable_mime(b"") {
                    (usize::MAX, _) => Cow::Borrowed(body),
                    (_, decoded) => decoded,
                }
            }
            Self::Base64 => {
                // Characters that are not in the alphabet are ignored (RFC 2045 §6.8).
                let digits = body.iter().filter(|&&byte| is_base64(byte));
                let decoded = base64_decode_stream(digits, body.len(), u8::MAX);
                decoded.map_or(Cow::Borrowed(body), Cow::Owned)
            }
        }
    }
}

const fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(header: &str, body: &[u8]) -> Option<String> {
        let encoding = Encoding::of_text(header.as_bytes())?;
        Some(String::from_utf8_lossy(&encoding.decode(body)).into_owned())
    }

    #[test]
    fn text_is_decoded_by_its_header() {
        for (header, body, expected) in [
            ("\r\n", &b"plain \xc3\xbc"[..], "plain ü"),
            (
                "Content-Type: text/plain; charset=UTF-8\r\n\
                 Content-Transfer-Encoding: Quoted-Printable\r\n\r\n",
                b"gr=C3=BC=\r\n=C3=9Fe",
                "grüße",
            ),
            (
                "Content-Type: TEXT/HTML;\r\n charset=\"iso-8859-1\"\r\n\
                 Content-Transfer-Encoding: base64 (really)\r\n\r\n",
                b"S/Zs\r\nbg==\r\n-- \r\n",
                "Köln",
            ),
            (
                "Content-Type: text/plain; charset=koi8-r\r\n\r\n",
                b"\xf0\xd2\xc9\xd7\xc5\xd4",
                "Привет",
            ),
            (
                "Content-Type: text/plain; charset=nobody-knows\r\n\r\n",
                b"ok",
                "ok",
            ),
            ("Content-Type: nonsense\r\n\r\n", b"ok", "ok"),
        ] {
            let text = decoded(header, body);
            assert!(
                text.as_deref()
                    .is_some_and(|text| text.starts_with(expected)),
                "{header}: {text:?}"
            );
        }
    }

    #[test]
    fn only_text_is_searched() {
        assert_eq!(decoded("Content-Type: image/png\r\n\r\n", b"x"), None);
        assert_eq!(decoded("Content-Type: application/pdf\r\n\r\n", b"x"), None);
    }

    #[test]
    fn broken_quoted_printable_stays_as_it_is() {
        let header = "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
        assert_eq!(decoded(header, b"a == b").as_deref(), Some("a == b"));
    }
}
