//! What the Content-* fields of a part say (RFC 2045, 2183, 3282, 1864, 2557).

use alloc::vec::Vec;

use super::{
    PartKind,
    header::{Fields, unfold},
    lexer::Lexer,
};
use crate::limits;

/// The Content-* fields of one part. Of several fields of one name, the first one counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Content {
    /// As written, like all that follows.
    pub(super) media_type: Vec<u8>,
    pub(super) subtype: Vec<u8>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) description: Option<Vec<u8>>,
    pub(super) transfer_encoding: Option<Vec<u8>>,
    pub(super) md5: Option<Vec<u8>>,
    pub(super) disposition: Option<Disposition>,
    pub(super) languages: Vec<Vec<u8>>,
    pub(super) location: Option<Vec<u8>>,
}

/// A parameter of a field, unquoted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// A Content-Disposition field (RFC 2183).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Disposition {
    pub(super) kind: Vec<u8>,
    pub(super) parameters: Vec<Parameter>,
}

/// What a part is that says nothing of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DefaultType {
    /// `text/plain`
    Text,
    /// `message/rfc822`, in a `multipart/digest` (RFC 2046 §5.1.5).
    Message,
}

impl Default for Content {
    /// A part without fields (RFC 2045 §5.2).
    fn default() -> Self {
        Self {
            media_type: b"text".to_vec(),
            subtype: b"plain".to_vec(),
            parameters: Vec::new(),
            id: None,
            description: None,
            transfer_encoding: None,
            md5: None,
            disposition: None,
            languages: Vec::new(),
            location: None,
        }
    }
}

impl Content {
    /// The fields that are read here.
    pub(super) const FIELDS: &'static [&'static str] = &[
        "content-type",
        "content-id",
        "content-description",
        "content-transfer-encoding",
        "content-md5",
        "content-disposition",
        "content-language",
        "content-location",
        "mime-version",
    ];

    /// Reads a message's header. Without a MIME-Version or Content-Type field it is not MIME, and
    /// nothing else counts.
    pub(super) fn of_message(header: &[u8]) -> Self {
        let is_mime = Fields::new(header).any(|field| {
            field.name.eq_ignore_ascii_case(b"mime-version")
                || field.name.eq_ignore_ascii_case(b"content-type")
        });
        if is_mime {
            Self::of_body_part(header, DefaultType::Text)
        } else {
            Self::default()
        }
    }

    /// Reads the header of a part in a multipart.
    pub(super) fn of_body_part(header: &[u8], default: DefaultType) -> Self {
        let mut content = Self::default();
        let mut content_type = None;
        for field in Fields::new(header) {
            let value = || Some(unfolded(field.value)).filter(|value| !value.is_empty());
            match field.name.to_ascii_lowercase().as_slice() {
                b"content-type" if content_type.is_none() => content_type = Some(field.value),
                b"content-id" if content.id.is_none() => content.id = value(),
                b"content-description" if content.description.is_none() => {
                    content.description = value();
                }
                b"content-transfer-encoding" if content.transfer_encoding.is_none() => {
                    content.transfer_encoding = parse_only_token(field.value);
                }
                b"content-md5" if content.md5.is_none() => content.md5 = value(),
                b"content-disposition" if content.disposition.is_none() => {
                    content.disposition = parse_disposition(field.value);
                }
                b"content-language" if content.languages.is_empty() => {
                    content.languages = parse_languages(field.value);
                }
                b"content-location" if content.location.is_none() => content.location = value(),
                _ => {}
            }
        }
        match content_type {
            Some(value) => {
                if let Some((media_type, subtype, parameters)) = parse_content_type(value) {
                    content.media_type = media_type;
                    content.subtype = subtype;
                    content.parameters = parameters;
                }
            }
            None if default == DefaultType::Message => {
                content.media_type = b"message".to_vec();
                content.subtype = b"rfc822".to_vec();
            }
            None => {}
        }
        content
    }

    /// What the body is made of, if its nesting is allowed.
    pub(super) fn kind(&self) -> PartKind {
        if self.media_type.eq_ignore_ascii_case(b"multipart") {
            PartKind::Multipart
        } else if self.media_type.eq_ignore_ascii_case(b"message")
            && self.subtype.eq_ignore_ascii_case(b"rfc822")
        {
            PartKind::Message
        } else {
            PartKind::Leaf
        }
    }

    /// Whether it is `multipart/digest`.
    pub(super) fn is_digest(&self) -> bool {
        self.kind() == PartKind::Multipart && self.subtype.eq_ignore_ascii_case(b"digest")
    }

    /// Whether it is `text/*`.
    pub(super) fn is_text(&self) -> bool {
        self.media_type.eq_ignore_ascii_case(b"text")
    }

    /// The body is not looked into.
    pub(super) fn make_opaque(&mut self) {
        self.media_type = b"application".to_vec();
        self.subtype = b"octet-stream".to_vec();
    }

    /// What delimits the parts of a multipart; `None` when there is none, or it is longer than
    /// [`limits::MIME_BOUNDARY_BYTES`].
    pub(super) fn boundary(&self) -> Option<Vec<u8>> {
        let boundary = parameter(&self.parameters, b"boundary")?;
        (boundary.len() <= limits::MIME_BOUNDARY_BYTES).then(|| boundary.to_vec())
    }

    /// Whether mail programs show it as an attachment: it says so, or it does not say, and is
    /// neither text without a name, nor shown within another part.
    pub(super) fn is_attachment(&self) -> bool {
        match &self.disposition {
            Some(disposition) => !disposition.kind.eq_ignore_ascii_case(b"inline"),
            None if self.kind() == PartKind::Multipart || self.id.is_some() => false,
            None => !self.is_text() || parameter(&self.parameters, b"name").is_some(),
        }
    }
}

fn parameter<'a>(parameters: &'a [Parameter], name: &[u8]) -> Option<&'a [u8]> {
    let found = parameters
        .iter()
        .find(|it| it.name.eq_ignore_ascii_case(name))?;
    Some(&found.value)
}

/// The value as one line, without the white space before it.
pub(super) fn unfolded(value: &[u8]) -> Vec<u8> {
    let start = value
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    unfold(&value[start.unwrap_or(value.len())..])
}

/// `type "/" subtype *(";" parameter)`; `None` when it is not.
fn parse_content_type(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Vec<Parameter>)> {
    let mut lexer = Lexer::new(value);
    let media_type = token(&mut lexer)?;
    if !lexer.at(b'/') {
        return None;
    }
    lexer.bump();
    let subtype = token(&mut lexer)?;
    (lexer.is_empty() || lexer.at(b';')).then(|| (media_type, subtype, parse_parameters(lexer)))
}

fn parse_disposition(value: &[u8]) -> Option<Disposition> {
    let mut lexer = Lexer::new(value);
    let kind = token(&mut lexer)?;
    Some(Disposition {
        kind,
        parameters: parse_parameters(lexer),
    })
}

/// The value if it is one token and nothing else.
fn parse_only_token(value: &[u8]) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    let found = token(&mut lexer)?;
    lexer.is_empty().then_some(found)
}

/// `Language-Tag *("," Language-Tag)` (RFC 3282 §2)
fn parse_languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    let mut languages = Vec::new();
    while !lexer.is_empty() {
        languages.extend(token(&mut lexer));
        lexer.skip_behind(b',');
    }
    languages
}

/// A token with the white space and comments around it.
fn token(lexer: &mut Lexer<'_>) -> Option<Vec<u8>> {
    lexer.skip_space().ok()?;
    let mut token = Vec::new();
    // What is behind the token may be faulty without harm.
    let _ = lexer.token(&mut token);
    (!token.is_empty()).then_some(token)
}

/// `*(";" attribute "=" value)`; what is no parameter is stepped over.
fn parse_parameters(mut lexer: Lexer<'_>) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    loop {
        lexer.skip_behind(b';');
        if lexer.is_empty() {
            return join_continuations(parameters);
        }
        let Some(name) = token(&mut lexer) else {
            continue;
        };
        if !lexer.at(b'=') {
            continue;
        }
        lexer.bump();
        let _ = lexer.skip_space();
        let mut value = Vec::new();
        if lexer.parameter_value(&mut value).is_ok() {
            parameters.push(Parameter { name, value });
        }
    }
}

/// Parameters that are cut into sections become one each, behind the others (RFC 2231 §3). One
/// with a section that is percent-encoded keeps the asterisk that says so (§4), and the encoding.
fn join_continuations(parameters: Vec<Parameter>) -> Vec<Parameter> {
    let mut whole = Vec::new();
    let mut sections = Vec::new();
    for parameter in parameters {
        match section_of(&parameter.name) {
            Some((name, number, encoded)) => {
                sections.push((name, number, encoded, parameter.value));
            }
            None => whole.push(parameter),
        }
    }
    sections.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut sections = sections.into_iter().peekable();
    while let Some((name, number, mut encoded, mut value)) = sections.next() {
        let mut next = number + 1;
        let follows = |it: &(Vec<u8>, u32, bool, Vec<u8>), next| it.0 == name && it.1 == next;
        while let Some(more) = sections.next_if(|it| follows(it, next)) {
            encoded |= more.2;
            value.extend(more.3);
            next += 1;
        }
        let mut name = name;
        if encoded {
            name.push(b'*');
        }
        whole.push(Parameter { name, value });
    }
    whole
}

/// Name, number and encoding of `name*number[*]`.
fn section_of(name: &[u8]) -> Option<(Vec<u8>, u32, bool)> {
    let (rest, encoded) = match name.strip_suffix(b"*") {
        Some(rest) => (rest, true),
        None => (name, false),
    };
    let asterisk = rest.iter().rposition(|&byte| byte == b'*')?;
    let digits = &rest[asterisk + 1..];
    let is_number = (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number = digits.iter().fold(0, |sum, digit| {
        sum * 10 + u32::from(digit.wrapping_sub(b'0')) % 10
    });
    is_number.then(|| (rest[..asterisk].to_ascii_lowercase(), number, encoded))
}
