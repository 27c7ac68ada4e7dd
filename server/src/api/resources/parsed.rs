//! What the API tells of a message's content.

use std::{borrow::Cow, sync::OnceLock};

use mail_parser::{
    Address, Encoding, HeaderValue, Message, MessageParser, MessagePart, MimeHeaders, PartType,
    decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode},
};
use rmail_proto::UnixTime;

use super::{EmailAddress, Importance, InternetMessageHeader, ItemBody, attachment_id};
use crate::{api::sanitize::html_to_text, limits};

/// A message's content, taken apart. What is broken in it is made the best of.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// Decoded; empty without one.
    pub subject: String,
    /// From
    pub from: Vec<EmailAddress>,
    /// Sender
    pub sender: Option<EmailAddress>,
    /// To
    pub to: Vec<EmailAddress>,
    /// Cc
    pub cc: Vec<EmailAddress>,
    /// Bcc
    pub bcc: Vec<EmailAddress>,
    /// Reply-To
    pub reply_to: Vec<EmailAddress>,
    /// Date, unless it is absurd.
    pub sent_at: Option<UnixTime>,
    /// Message-ID, with its angle brackets.
    pub message_id: Option<String>,
    /// Of its fields.
    pub importance: Importance,
    /// Whether a delivery receipt is asked for.
    pub wants_delivery_receipt: bool,
    /// Whether a read receipt is asked for.
    pub wants_read_receipt: bool,
    /// Thread-Index
    pub thread_index: Option<String>,
    /// Messages that it refers to.
    pub references: usize,
    /// The first text that is to be read, as text.
    pub text: Option<String>,
    /// The same as HTML, if it was written so. Not sanitised.
    pub html: Option<String>,
    /// The same sanitised, once somebody has asked for it.
    pub(in crate::api) safe_html: OnceLock<String>,
    /// At most [`limits::PREVIEW_CHARS`], white space folded.
    pub preview: String,
    /// All fields, in order.
    pub headers: Vec<InternetMessageHeader>,
    /// Its attachments.
    pub attachments: Vec<ParsedAttachment>,
}

/// An attachment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParsedAttachment {
    /// Its id.
    pub id: String,
    /// Its place in the message.
    pub part: u32,
    /// Its file name, without path and control characters; made up if it has none.
    pub name: String,
    /// Its content type, in lower case, without parameters.
    pub content_type: String,
    /// Of its decoded content.
    pub size_bytes: u64,
    /// Whether it belongs into the text.
    pub is_inline: bool,
    /// Content-ID, without angle brackets.
    pub content_id: Option<String>,
    /// Content-Location
    pub content_location: Option<String>,
    /// Whether it is a message.
    pub is_message: bool,
}

impl Parsed {
    /// Takes a message apart. What can't be read at all has neither fields nor text.
    pub fn parse(content: &[u8]) -> Self {
        let Some(message) = MessageParser::default().parse(content) else {
            return Self::default();
        };
        let field = |name: &'static str| message.header(name).and_then(HeaderValue::as_text);
        let raw = |name: &'static str| message.header_raw(name).map(str::trim);
        let is_html = message
            .html_bodies()
            .next()
            .is_some_and(|part| matches!(part.body, PartType::Html(_)));
        let text = match message.text_bodies().next().map(|part| &part.body) {
            Some(PartType::Html(html)) => Some(html_to_text(html)),
            Some(_) | None => message.body_text(0).map(|text| clean(&text)),
        };
        Self {
            subject: clean(message.subject().unwrap_or_default()),
            from: addresses(message.from()),
            sender: addresses(message.sender()).into_iter().next(),
            to: addresses(message.to()),
            cc: addresses(message.cc()),
            bcc: addresses(message.bcc()),
            reply_to: addresses(message.reply_to()),
            sent_at: sent_at(&message),
            message_id: message.message_id().map(|id| format!("<{}>", clean(id))),
            importance: Importance::from_fields(
                raw("Importance"),
                raw("X-Priority"),
                raw("Priority"),
            ),
            wants_delivery_receipt: raw("Return-Receipt-To").is_some(),
            wants_read_receipt: raw("Disposition-Notification-To").is_some(),
            thread_index: field("Thread-Index").map(clean),
            references: message.references().as_text_list().map_or(0, <[_]>::len),
            preview: preview(text.as_deref().unwrap_or_default()),
            text,
            html: message
                .body_html(0)
                .filter(|_| is_html)
                .map(|html| clean(&html)),
            safe_html: OnceLock::new(),
            headers: headers(&message),
            attachments: attachments(&message),
        }
    }

    /// `body`: HTML if the message has some, else text.
    pub fn body(&self) -> ItemBody {
        match (&self.html, &self.text) {
            (Some(html), _) => ItemBody {
                content_type: "html",
                content: html.clone(),
            },
            (None, text) => ItemBody {
                content_type: "text",
                content: text.clone().unwrap_or_default(),
            },
        }
    }

    /// Whether it has a part that is not inline.
    pub fn has_attachments(&self) -> bool {
        self.attachments
            .iter()
            .any(|attachment| !attachment.is_inline)
    }
}

/// The decoded content of an attachment; of a message that is attached, its MIME.
pub fn attachment_content(content: &[u8], id: &str) -> Option<Vec<u8>> {
    let message = MessageParser::default().parse(content)?;
    let part = super::parse_attachment_id(id)?;
    let bytes = attachment_bytes(&message, message.part(part)?).into_owned();
    (attachment_id(part, &bytes) == id).then_some(bytes)
}

/// The bytes of a part. Those of a text are not in UTF-8 but in its charset.
pub(in crate::api) fn attachment_bytes<'a>(
    message: &'a Message<'_>,
    part: &'a MessagePart<'_>,
) -> Cow<'a, [u8]> {
    let (start, end) = (part.offset_body as usize, part.offset_end as usize);
    let encoded = message.raw_message.get(start..end).unwrap_or_default();
    match &part.body {
        PartType::Text(text) | PartType::Html(text) => match part.encoding {
            Encoding::None => Cow::Borrowed(encoded),
            Encoding::QuotedPrintable => {
                quoted_printable_decode(encoded).map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned)
            }
            Encoding::Base64 => {
                base64_decode(encoded).map_or(Cow::Borrowed(text.as_bytes()), Cow::Owned)
            }
        },
        PartType::Binary(bytes) | PartType::InlineBinary(bytes) => Cow::Borrowed(bytes),
        PartType::Message(inner) => Cow::Borrowed(inner.raw_message()),
        PartType::Multipart(_) => Cow::Borrowed(encoded),
    }
}

/// What JSON and XML can carry: no control characters but tabs and newlines.
fn clean(text: &str) -> String {
    let is_kept = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text.chars().filter(is_kept).collect()
}

fn addresses(addresses: Option<&Address<'_>>) -> Vec<EmailAddress> {
    let all = addresses.into_iter().flat_map(Address::iter);
    let with_address = all.filter_map(|addr| {
        let address = clean(addr.address.as_deref()?);
        let name = addr.name.as_deref().map(clean);
        Some(EmailAddress::new(name.as_deref(), &address))
    });
    with_address.take(limits::ADDRESSES_TOLD).collect()
}

/// Years that are no mistake.
fn sent_at(message: &Message<'_>) -> Option<UnixTime> {
    let date = message
        .date()
        .filter(|date| (1970..=9999).contains(&date.year))?;
    Some(UnixTime(date.to_timestamp()))
}

fn preview(text: &str) -> String {
    let mut preview = String::new();
    let mut left = limits::PREVIEW_CHARS;
    for word in text.split_whitespace() {
        let gap = usize::from(!preview.is_empty());
        let length = word.chars().count();
        if left <= gap {
            break;
        }
        if gap > 0 {
            preview.push(' ');
        }
        let taken = length.min(left - gap);
        preview.extend(word.chars().take(taken));
        left -= gap + taken;
    }
    preview
}

fn headers(message: &Message<'_>) -> Vec<InternetMessageHeader> {
    let fields = message.headers_raw().take(limits::HEADERS_TOLD);
    let fields = fields.map(|(name, value)| InternetMessageHeader {
        name: name.to_owned(),
        value: clean(&value.replace(['\r', '\n'], "")).trim().to_owned(),
    });
    fields.collect()
}

fn attachments(message: &Message<'_>) -> Vec<ParsedAttachment> {
    let ids = message.attachments.iter().copied();
    let parts = ids.filter_map(|id| message.part(id).map(|part| (id, part)));
    parts
        .map(|(id, part)| attachment(message, id, part))
        .collect()
}

fn attachment(message: &Message<'_>, id: u32, part: &MessagePart<'_>) -> ParsedAttachment {
    let content = &*attachment_bytes(message, part);
    let is_message = matches!(part.body, PartType::Message(_));
    let disposition = part.content_disposition();
    let is_attachment = disposition.is_some_and(|disposition| disposition.is_attachment());
    let is_inline = disposition.is_some_and(|disposition| disposition.is_inline());
    let content_id = part.content_id().map(clean);
    ParsedAttachment {
        id: attachment_id(id, content),
        part: id,
        name: part
            .attachment_name()
            .map(file_name)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| match &part.body {
                PartType::Message(inner) => {
                    format!("{}.eml", file_name(inner.subject().unwrap_or("message")))
                }
                PartType::Text(_)
                | PartType::Html(_)
                | PartType::Binary(_)
                | PartType::InlineBinary(_)
                | PartType::Multipart(_) => format!("attachment-{id}"),
            }),
        content_type: content_type(part),
        size_bytes: content.len() as u64,
        is_inline: is_inline || (content_id.is_some() && !is_attachment),
        content_id,
        content_location: part.content_location().map(clean),
        is_message,
    }
}

fn content_type(part: &MessagePart<'_>) -> String {
    let written = part.content_type().map(|kind| {
        format!(
            "{}/{}",
            kind.ctype(),
            kind.subtype().unwrap_or("octet-stream")
        )
    });
    let written = written.map(|kind| clean(&kind).to_ascii_lowercase());
    written.unwrap_or_else(|| match &part.body {
        PartType::Text(_) => "text/plain".to_owned(),
        PartType::Html(_) => "text/html".to_owned(),
        PartType::Message(_) => "message/rfc822".to_owned(),
        PartType::Binary(_) | PartType::InlineBinary(_) | PartType::Multipart(_) => {
            "application/octet-stream".to_owned()
        }
    })
}

/// Without a path and control characters.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars()
        .filter(|c| !c.is_control())
        .take(limits::FILE_NAME_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> String {
        let lines = [
            "From: =?utf-8?q?Al=C3=ADce?= <alice@example.test>",
            "To: Bob <bob@example.test>, carol@example.test",
            "Cc: team: dave@example.test, Eve <eve@example.test>;",
            "Subject: =?utf-8?b?SGVsbG8gd8O2cmxk?=",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000",
            "Message-ID: <1@example.test>",
            "References: <a@example.test> <b@example.test>",
            "X-Priority: 1",
            "X-Long: first",
            "\tsecond",
            "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=b",
            "",
            "--b",
            "Content-Type: multipart/alternative; boundary=c",
            "",
            "--c",
            "Content-Type: text/plain",
            "",
            "Hello   there,",
            "you.",
            "--c",
            "Content-Type: text/html",
            "",
            "<p>Hello <b>there</b>, you.</p><img src=\"cid:pic\">",
            "--c--",
            "--b",
            "Content-Type: image/png; name=pic.png",
            "Content-Disposition: inline",
            "Content-ID: <pic>",
            "Content-Transfer-Encoding: base64",
            "",
            "iVBORw0KGgo=",
            "--b",
            "Content-Type: application/pdf",
            "Content-Disposition: attachment; filename=\"../etc/a b.pdf\"",
            "Content-Transfer-Encoding: base64",
            "",
            "JVBERi0=",
            "--b",
            "Content-Type: message/rfc822",
            "",
            "Subject: within",
            "",
            "text",
            "--b--",
            "",
        ];
        lines.join("\r\n")
    }

    #[test]
    fn fields_are_decoded() {
        let parsed = Parsed::parse(message().as_bytes());
        assert_eq!(parsed.subject, "Hello w\u{f6}rld");
        assert_eq!(
            parsed.from,
            [EmailAddress::new(Some("Al\u{ed}ce"), "alice@example.test")]
        );
        assert_eq!(parsed.to[1], EmailAddress::new(None, "carol@example.test"));
        let cc: Vec<&str> = parsed.cc.iter().map(|cc| cc.address.as_str()).collect();
        assert_eq!(cc, ["dave@example.test", "eve@example.test"]);
        assert_eq!(parsed.sent_at, Some(UnixTime(1_700_000_000)));
        assert_eq!(parsed.message_id.as_deref(), Some("<1@example.test>"));
        assert_eq!(
            (parsed.importance, parsed.references),
            (Importance::High, 2)
        );
        let long = parsed
            .headers
            .iter()
            .find(|header| header.name == "X-Long")
            .unwrap();
        assert_eq!(long.value, "first\tsecond");
        assert_eq!(parsed.headers[0].name, "From");
    }

    #[test]
    fn html_is_the_body_and_text_the_preview() {
        let parsed = Parsed::parse(message().as_bytes());
        assert_eq!(parsed.body().content_type, "html");
        assert!(parsed.body().content.starts_with("<p>Hello <b>there"));
        assert_eq!(parsed.preview, "Hello there, you.");
        let plain = Parsed::parse(b"Subject: x\r\n\r\nonly text\r\n");
        assert_eq!(plain.body().content_type, "text");
        assert_eq!(
            (plain.body().content.trim(), plain.html),
            ("only text", None)
        );
    }

    #[test]
    fn attachments_have_names_types_and_contents() {
        let message = message();
        let parsed = Parsed::parse(message.as_bytes());
        let [picture, document, inner] = parsed.attachments.as_slice() else {
            panic!("{:?}", parsed.attachments);
        };
        assert_eq!(
            (picture.name.as_str(), picture.is_inline),
            ("pic.png", true)
        );
        assert_eq!(picture.content_id.as_deref(), Some("pic"));
        assert_eq!(
            (document.name.as_str(), document.is_inline),
            ("a b.pdf", false)
        );
        assert_eq!(
            (document.content_type.as_str(), document.size_bytes),
            ("application/pdf", 5)
        );
        assert!(inner.is_message && parsed.has_attachments());
        assert_eq!(inner.name, "within.eml");
        let content = |id: &str| attachment_content(message.as_bytes(), id);
        assert_eq!(content(&document.id).as_deref(), Some(&b"%PDF-"[..]));
        let mime = content(&inner.id).unwrap();
        assert!(mime.starts_with(b"Subject: within"));
        let other = attachment_id(document.part, b"another content");
        assert_eq!(content(&other), None);
    }

    #[test]
    fn preview_of_html_has_its_words_apart() {
        let html = "Content-Type: text/html\r\n\r\n<title>t</title><div>Hello</div><div>there</div>\
            <table><tr><td>a<td>b</table>";
        assert_eq!(Parsed::parse(html.as_bytes()).preview, "Hello there a b");
    }

    #[test]
    fn bytes_of_a_text_that_is_attached_stay_in_its_charset() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n.\r\n--b\r\n\
            Content-Type: text/csv; charset=iso-8859-1\r\nContent-Disposition: attachment\r\n\r\n\
            caf\xe9\r\n--b--\r\n";
        let id = &Parsed::parse(message).attachments[0].id;
        assert_eq!(attachment_content(message, id).unwrap(), b"caf\xe9");
    }

    #[test]
    fn preview_is_bounded_and_folded() {
        assert_eq!(preview(" a \r\n\t b "), "a b");
        let long = preview(&"\u{e9}\u{e9}\u{e9} ".repeat(200));
        assert_eq!(long.chars().count(), limits::PREVIEW_CHARS);
        assert_eq!(preview(&"x".repeat(1000)).len(), limits::PREVIEW_CHARS);
        assert_eq!(preview(""), "");
    }

    #[test]
    fn broken_messages_are_made_the_best_of() {
        for content in [
            &b""[..],
            b"\0\0\0",
            b"no header at all",
            b"Subject: a\0b\x07c\r\n\r\n\x1b",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x",
            b"From: <>\r\nDate: Tue, 99 Foo 0000\r\nTo: ,,,@,<\r\n\r\n",
            b"Subject: =?utf-8?b?////?=\r\nContent-Type: text/plain; charset=nope\r\n\r\n\xff\xfe",
        ] {
            let parsed = Parsed::parse(content);
            let is_clean = |text: &str| !text.contains(['\0', '\x07', '\x1b']);
            assert!(is_clean(&parsed.subject) && is_clean(&parsed.body().content));
        }
    }
}
