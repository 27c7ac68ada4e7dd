//! Attachments: each is a whole MIME entity, and is handed on as such.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use mail_builder::{
    headers::{HeaderType, content_type::ContentType, message_id::MessageId, text::Text},
    mime::{BodyPart, MimePart},
};
use mail_parser::{Message, MessagePart, MimeHeaders, PartType};
use rmail_proto::mime::Fields;
use serde_json::Value;

use super::{
    change::{ContentChange, Writing},
    draft::{Draft, Origin, is_field},
    value::{header_text, parse_message_id, read_boolean, read_text, refuse},
};
use crate::{
    api::{
        error::ApiError,
        resources::{AttachmentKind, attachment_bytes, attachment_id},
    },
    limits,
};

/// An attachment of a message that is being written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// Its id in the message that it was read from.
    pub(super) id: Option<String>,
    /// Content fields, an empty line, the encoded content. Lines end in CRLF.
    pub(super) entity: Vec<u8>,
    /// Whether it belongs into the text.
    pub is_inline: bool,
    /// Without angle brackets.
    pub content_id: Option<String>,
}

/// What is said of a file besides its bytes. The values are checked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct FileInfo {
    pub(super) name: String,
    pub(super) content_type: Option<String>,
    pub(super) is_inline: bool,
    pub(super) content_id: Option<String>,
    pub(super) content_location: Option<String>,
}

impl FileInfo {
    /// From the properties that files and upload sessions have.
    pub(super) fn read(value: &Value) -> Result<Self, ApiError> {
        let text = |name: &str| -> Result<Option<String>, ApiError> {
            let text = read_text(&value[name], name)?
                .map(header_text)
                .transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let content_id = text("contentId")?.map(|id| {
            let bracketed = parse_message_id(&id).ok_or(refuse("The content id is not valid."));
            bracketed.map(|id| id[1..id.len() - 1].to_owned())
        });
        Ok(Self {
            name: text("name")?.ok_or_else(ApiError::property_missing)?,
            content_type: text("contentType")?,
            is_inline: read_boolean(&value["isInline"], "isInline")?.unwrap_or_default(),
            content_id: content_id.transpose()?,
            content_location: text("contentLocation")?,
        })
    }
}

impl Attachment {
    /// From Graph's JSON.
    ///
    /// # Errors
    ///
    /// `property_missing` without type, name or content; `invalid_request` for references to
    /// files elsewhere, for other types, and for values that can't be.
    pub fn read(value: &Value, origin: &mut Origin<'_>) -> Result<Self, ApiError> {
        Self::read_nested(value, origin, 0)
    }

    pub(super) fn read_nested(
        value: &Value,
        origin: &mut Origin<'_>,
        depth: usize,
    ) -> Result<Self, ApiError> {
        let kind = read_text(&value["@odata.type"], "@odata.type")?;
        let kind = kind.ok_or_else(ApiError::property_missing)?;
        match AttachmentKind::parse(kind) {
            Some(AttachmentKind::File) => {
                let content = read_text(&value["contentBytes"], "contentBytes")?;
                let content = content.ok_or_else(ApiError::property_missing)?;
                let content = decode_base64(content.as_bytes())
                    .ok_or_else(|| refuse("The content of the attachment is no base64."))?;
                Ok(Self::file(&FileInfo::read(value)?, &content))
            }
            Some(AttachmentKind::Item) => Self::read_item(value, origin, depth),
            None => Err(refuse("Attachments of this type are not supported.")),
        }
    }

    fn read_item(value: &Value, origin: &mut Origin<'_>, depth: usize) -> Result<Self, ApiError> {
        if depth == limits::ITEM_ATTACHMENT_DEPTH {
            return Err(refuse("Attached messages are too deep within each other."));
        }
        let item = &value["item"];
        if !item.is_object() {
            return Err(ApiError::property_missing());
        }
        let change = ContentChange::read_nested(item, Writing::NewDraft, origin, depth + 1)?;
        let mut draft = Draft::new(origin);
        draft.apply(change);
        let name = read_text(&value["name"], "name")?
            .map(header_text)
            .transpose()?;
        let name = name
            .filter(|name| !name.is_empty())
            .unwrap_or(draft.subject.clone());
        Ok(Self::message(&name, &draft.write(origin.entropy)))
    }

    /// A file.
    pub(super) fn file(info: &FileInfo, content: &[u8]) -> Self {
        let (kind, charset) = content_type(info.content_type.as_deref().unwrap_or_default());
        if kind == "message/rfc822" && is_mail_text(content) {
            return Self::message(&info.name, content);
        }
        let kind = match kind.starts_with("message/") || kind.starts_with("multipart/") {
            // Neither may be in base64 (RFC 2045 §6.4, RFC 2046 §5.2.1).
            true => "application/octet-stream".to_owned(),
            false => kind,
        };
        let mut kind = ContentType::new(kind);
        if let Some(charset) = charset {
            kind = kind.attribute("charset", charset);
        }
        let mut headers = described(kind, &info.name, info.is_inline);
        if let Some(id) = &info.content_id {
            headers.push(("Content-ID".into(), MessageId::new(id.clone()).into()));
        }
        if let Some(location) = &info.content_location {
            headers.push((
                "Content-Location".into(),
                Text::new(location.clone()).into(),
            ));
        }
        headers.push((
            "Content-Transfer-Encoding".into(),
            Text::new("base64").into(),
        ));
        Self {
            id: None,
            entity: write_entity(headers, encode_base64(content)),
            is_inline: info.is_inline,
            content_id: info.content_id.clone(),
        }
    }

    /// A message.
    pub(super) fn message(name: &str, content: &[u8]) -> Self {
        let encoding = match content.is_ascii() {
            true => "7bit",
            false => "8bit",
        };
        let mut headers = described(ContentType::new("message/rfc822"), name, false);
        headers.push((
            "Content-Transfer-Encoding".into(),
            Text::new(encoding).into(),
        ));
        Self {
            id: None,
            entity: write_entity(headers, with_crlf(content)),
            is_inline: false,
            content_id: None,
        }
    }

    /// A part of a message, as it stands. A part whose lines could not be sent is encoded anew.
    pub(super) fn of_part(message: &Message<'_>, index: u32, part: &MessagePart<'_>) -> Self {
        let raw = |start: u32, end: u32| {
            let range = start as usize..end as usize;
            message.raw_message.get(range).unwrap_or_default()
        };
        let header = raw(part.offset_header, part.offset_body);
        let body = raw(part.offset_body, part.offset_end);
        let is_message = matches!(part.body, PartType::Message(_));
        let is_kept = is_mail_text(body) && !body.contains(&0);
        let mut entity = Vec::new();
        for field in Fields::new(header) {
            let name = field.name.to_ascii_lowercase();
            let is_encoding = name == b"content-transfer-encoding";
            let is_content = is_field(header, &field) && name.starts_with(b"content-");
            if is_content && (is_kept || is_message || !is_encoding) {
                entity.extend_from_slice(&kept_field(&header[field.range]));
            }
        }
        let body = match is_kept || is_message {
            true => with_crlf(body),
            false => {
                entity.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n");
                encode_base64(&attachment_bytes(message, part))
            }
        };
        entity.extend_from_slice(b"\r\n");
        entity.extend_from_slice(&body);
        let disposition = part.content_disposition();
        let content_id = part.content_id().map(str::to_owned);
        let is_attachment = disposition.is_some_and(|it| it.is_attachment());
        let is_inline = disposition.is_some_and(|it| it.is_inline());
        Self {
            id: Some(attachment_id(index, &attachment_bytes(message, part))),
            entity,
            is_inline: is_inline || (content_id.is_some() && !is_attachment),
            content_id,
        }
    }
}

/// A field as it stands in a header, its lines ended by CRLF, without what would end it early.
pub(super) fn kept_field(field: &[u8]) -> Vec<u8> {
    let mut kept: Vec<u8> = Vec::with_capacity(field.len() + 2);
    for (index, line) in field.split(|byte| *byte == b'\n').enumerate() {
        let line: Vec<u8> = line
            .iter()
            .copied()
            .filter(|byte| !b"\r\0".contains(byte))
            .collect();
        // A line of blanks only would be read as the end of the header by some.
        if !line.iter().all(|byte| b" \t".contains(byte)) {
            debug_assert!(index == 0 || b" \t".contains(&line[0]));
            kept.extend_from_slice(&line);
            kept.extend_from_slice(b"\r\n");
        }
    }
    kept
}

type Headers = Vec<(std::borrow::Cow<'static, str>, HeaderType<'static>)>;

fn described(kind: ContentType<'static>, name: &str, is_inline: bool) -> Headers {
    let disposition = ContentType::new(if is_inline { "inline" } else { "attachment" });
    vec![
        (
            "Content-Type".into(),
            kind.attribute("name", name.to_owned()).into(),
        ),
        (
            "Content-Disposition".into(),
            disposition.attribute("filename", name.to_owned()).into(),
        ),
    ]
}

fn write_entity(headers: Headers, body: Vec<u8>) -> Vec<u8> {
    let mut entity = Vec::new();
    let part = MimePart {
        headers,
        contents: BodyPart::Binary(body.into()),
    };
    part.write_part(&mut entity);
    entity
}

/// Type and subtype in lower case, and the charset; what is none is a file of any kind.
fn content_type(text: &str) -> (String, Option<String>) {
    let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let is_token = |text: &str| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !text.is_empty() && text.len() <= 127 && text.bytes().all(is_part)
    };
    let is_kind = kind
        .split_once('/')
        .is_some_and(|(a, b)| is_token(a) && is_token(b));
    let parameters: BTreeMap<String, &str> = parameters
        .split(';')
        .filter_map(|parameter| parameter.split_once('='))
        .map(|(name, value)| {
            (
                name.trim().to_ascii_lowercase(),
                value.trim().trim_matches('"'),
            )
        })
        .collect();
    let charset = parameters
        .get("charset")
        .filter(|charset| is_token(charset));
    match is_kind {
        true => (kind, charset.map(|charset| (*charset).to_owned())),
        false => ("application/octet-stream".to_owned(), None),
    }
}

/// Whether bytes can be sent as they are: lines of at most 998 bytes that end in CRLF (RFC 5322
/// §2.1.1), and no NUL.
fn is_mail_text(bytes: &[u8]) -> bool {
    let is_line = |line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        line.len() <= limits::LINE_BYTES && !line.contains(&b'\r') && !line.contains(&0)
    };
    let mut lines = bytes.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        if !is_line(line) || (!is_last && !line.ends_with(b"\r")) {
            return false;
        }
    }
    true
}

/// Every line end as CRLF, those of a CR or an LF alone included (RFC 5321 §2.3.8).
pub(super) fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut previous = 0;
    for &byte in bytes {
        match (previous, byte) {
            (b'\r', b'\n') => {}
            (_, b'\r' | b'\n') => out.extend_from_slice(b"\r\n"),
            (_, byte) => out.push(byte),
        }
        previous = byte;
    }
    out
}

/// In lines of 76 characters (RFC 2045 §6.8).
fn encode_base64(bytes: &[u8]) -> Vec<u8> {
    const LINE_BYTES: usize = 57;
    let mut out = Vec::with_capacity(bytes.len() / LINE_BYTES * 78 + 80);
    for line in bytes.chunks(LINE_BYTES) {
        out.extend_from_slice(BASE64_STANDARD.encode(line).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// White space is passed over; `None` for what is no base64.
pub(super) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let dense: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64_STANDARD.decode(dense).ok()
}
