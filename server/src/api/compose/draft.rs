//! A message that is being written.

use mail_parser::{MessageParser, PartType};
use rmail_proto::{
    DateTime, Entropy, UnixTime,
    mime::{Field, Fields},
    smtp::write_id,
};

use super::{
    attachment::{Attachment, kept_field},
    change::ContentChange,
    value::{parse_address, parse_message_id},
};
use crate::api::resources::{EmailAddress, Importance, Parsed};

/// A message as values. What writes it is [`Draft::write`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Draft {
    /// From
    pub from: Option<EmailAddress>,
    /// Sender, when it is another.
    pub sender: Option<EmailAddress>,
    /// To
    pub to: Vec<EmailAddress>,
    /// Cc
    pub cc: Vec<EmailAddress>,
    /// Bcc
    pub bcc: Vec<EmailAddress>,
    /// Reply-To
    pub reply_to: Vec<EmailAddress>,
    /// Subject
    pub subject: String,
    /// What is to be read.
    pub body: DraftBody,
    /// Importance
    pub importance: Importance,
    /// Whether a delivery receipt is asked for.
    pub wants_delivery_receipt: bool,
    /// Whether a read receipt is asked for.
    pub wants_read_receipt: bool,
    /// Date
    pub date: Option<UnixTime>,
    /// Message-ID, with its angle brackets.
    pub message_id: Option<String>,
    /// In order; files and what belongs into the text.
    pub attachments: Vec<Attachment>,
    pub(super) fields: Vec<DraftField>,
}

/// The text of a message. Without either, it is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DraftBody {
    /// As text; made from the HTML when there is only that.
    pub text: Option<String>,
    /// As HTML.
    pub html: Option<String>,
}

/// A field that a draft has no property for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum DraftField {
    /// Given by the client: `x-…`.
    Own { name: String, value: String },
    /// In-Reply-To and References: identifiers with their brackets.
    Ids {
        name: &'static str,
        ids: Vec<String>,
    },
    /// As it stood in the message, with its line ends.
    Kept(Vec<u8>),
}

/// Whose message it is, and when it is written.
#[derive(Debug)]
pub struct Origin<'a> {
    /// The account.
    pub sender: &'a EmailAddress,
    /// Of Date.
    pub now: UnixTime,
    /// Of Message-ID and boundaries.
    pub entropy: &'a mut Entropy,
}

/// Fields that are written anew from the values of a draft; `content-*` besides.
const REBUILT: [&str; 16] = [
    "bcc",
    "cc",
    "date",
    "disposition-notification-to",
    "from",
    "importance",
    "message-id",
    "mime-version",
    "priority",
    "reply-to",
    "return-path",
    "return-receipt-to",
    "sender",
    "subject",
    "to",
    "x-priority",
];

impl Draft {
    /// An empty one from the account, with a Message-ID in its domain.
    pub fn new(origin: &mut Origin<'_>) -> Self {
        let address = parse_address(&origin.sender.address);
        let domain = address
            .as_ref()
            .map_or("localhost", |address| address.domain().as_str());
        // An identifier is ASCII (RFC 5322 §3.6.4), and has no blanks.
        let domain = if domain.is_ascii() {
            domain
        } else {
            "localhost"
        };
        let id = write_id(origin.entropy, origin.now);
        Self {
            from: Some(origin.sender.clone()),
            date: Some(origin.now),
            message_id: Some(format!(
                "<{id}.{:016x}@{domain}>",
                origin.entropy.next_u64()
            )),
            ..Self::default()
        }
    }

    /// Reads one from MIME. Attachments and fields that it does not know stay as they are.
    pub fn read(content: &[u8]) -> Self {
        let parsed = Parsed::parse(content);
        let (body, attachments) = read_parts(content, &parsed);
        let valid = |addresses: Vec<EmailAddress>| addresses.into_iter().filter_map(readable);
        Self {
            from: valid(parsed.from).next(),
            sender: parsed.sender.and_then(readable),
            to: valid(parsed.to).collect(),
            cc: valid(parsed.cc).collect(),
            bcc: valid(parsed.bcc).collect(),
            reply_to: valid(parsed.reply_to).collect(),
            subject: parsed.subject.replace(['\r', '\n', '\0'], " "),
            body,
            importance: parsed.importance,
            wants_delivery_receipt: parsed.wants_delivery_receipt,
            wants_read_receipt: parsed.wants_read_receipt,
            date: parsed.sent_at,
            message_id: parsed.message_id.as_deref().and_then(parse_message_id),
            attachments,
            fields: kept_fields(content),
        }
    }

    /// Takes a change over; a list replaces the old list, and attachments are added.
    pub fn apply(&mut self, change: ContentChange) {
        fn set<T>(value: &mut T, change: Option<T>) {
            if let Some(change) = change {
                *value = change;
            }
        }
        set(&mut self.subject, change.subject);
        set(&mut self.body, change.body);
        set(&mut self.importance, change.importance);
        set(&mut self.to, change.to);
        set(&mut self.cc, change.cc);
        set(&mut self.bcc, change.bcc);
        set(&mut self.reply_to, change.reply_to);
        set(
            &mut self.wants_delivery_receipt,
            change.wants_delivery_receipt,
        );
        set(&mut self.wants_read_receipt, change.wants_read_receipt);
        self.from = change.from.or(self.from.take());
        self.sender = change.sender.or(self.sender.take());
        self.message_id = change.message_id.or(self.message_id.take());
        let own = change.headers.into_iter();
        self.fields
            .extend(own.map(|(name, value)| DraftField::Own { name, value }));
        self.attachments.extend(change.attachments);
    }

    /// Takes an attachment out; `false` when there is none of this id.
    pub fn remove_attachment(&mut self, id: &str) -> bool {
        let found = self
            .attachments
            .iter()
            .position(|it| it.id.as_deref() == Some(id));
        found.map(|index| self.attachments.remove(index)).is_some()
    }

    /// The id that the attachment which was added last has in what this draft wrote.
    pub fn id_of_last(&self, written: &[u8]) -> Option<String> {
        let last = self.attachments.last()?;
        let read = Self::read(written).attachments;
        let same = read.into_iter().rev().find(|it| it.entity == last.entity);
        same.and_then(|it| it.id)
    }

    /// The message in reply to which it is, and all that it refers to.
    pub(super) fn set_thread(&mut self, in_reply_to: String, references: Vec<String>) {
        self.fields.push(DraftField::Ids {
            name: "In-Reply-To",
            ids: vec![in_reply_to],
        });
        self.fields.push(DraftField::Ids {
            name: "References",
            ids: references,
        });
    }
}

/// An address that can be written; `bob` alone is kept, as drafts may have it.
fn readable(email: EmailAddress) -> Option<EmailAddress> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    let address = match parse_address(&email.address) {
        Some(address) => address.to_string(),
        None if email.address.chars().all(is_plain) => email.address.clone(),
        None => return None,
    };
    let name = Some(email.name.as_str()).filter(|name| **name != email.address);
    let name = name.map(|name| name.replace(['\r', '\n', '\0'], " "));
    Some(EmailAddress::new(name.as_deref(), &address))
}

/// The body, and all other parts as attachments.
fn read_parts(content: &[u8], parsed: &Parsed) -> (DraftBody, Vec<Attachment>) {
    let Some(message) = MessageParser::default().parse(content) else {
        return (DraftBody::default(), Vec::new());
    };
    let is_text = |id: &&u32| {
        matches!(
            message.part(**id).map(|it| &it.body),
            Some(PartType::Text(_))
        )
    };
    let is_html = |id: &&u32| {
        matches!(
            message.part(**id).map(|it| &it.body),
            Some(PartType::Html(_))
        )
    };
    let text = message.text_body.first().filter(is_text);
    let html = message.html_body.first().filter(is_html);
    let body = DraftBody {
        text: text.and(parsed.text.clone()),
        html: html.and(parsed.html.clone()),
    };
    let parts = message.parts.iter().zip(0..).filter(|(part, index)| {
        let is_body = Some(index) == text || Some(index) == html;
        !is_body && !matches!(part.body, PartType::Multipart(_))
    });
    let attachments = parts.map(|(part, index)| Attachment::of_part(&message, index, part));
    (body, attachments.collect())
}

/// The fields of a header up to the first line that is none.
pub(super) fn header_fields(content: &[u8]) -> impl Iterator<Item = Field<'_>> {
    Fields::new(content).take_while(|field| is_field(content, field))
}

/// Whether a field of a header has a name and a colon (RFC 5322 §2.2).
pub(super) fn is_field(header: &[u8], field: &Field<'_>) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_graphic() && *byte != b':';
    let has_colon = header[field.range.clone()].contains(&b':');
    !field.name.is_empty() && field.name.iter().all(is_name) && has_colon
}

fn kept_fields(content: &[u8]) -> Vec<DraftField> {
    let kept = header_fields(content).filter(|field| {
        let name = String::from_utf8_lossy(field.name).to_ascii_lowercase();
        !name.starts_with("content-") && !REBUILT.contains(&name.as_str())
    });
    kept.map(|field| DraftField::Kept(kept_field(&content[field.range])))
        .collect()
}

/// `Date` as it is written.
pub(super) fn write_date(time: UnixTime) -> String {
    DateTime::utc(time).rfc5322().to_string()
}

#[cfg(test)]
mod tests;
