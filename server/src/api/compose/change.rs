//! What a client changes of a message, from Graph's JSON.

use rmail_proto::UnixTime;
use serde_json::Value;

use super::{
    attachment::Attachment,
    draft::{DraftBody, Origin},
    value::{
        header_text, own_field_name, parse_message_id, read_boolean, read_list, read_recipient,
        read_recipients, read_text, refuse,
    },
    zone::read_date_time,
};
use crate::{
    api::{
        error::ApiError,
        resources::{EmailAddress, FlagStatus, Importance},
        schema::Schema,
    },
    limits,
};

/// What is being written, which decides on what may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Writing {
    /// A new message: what the server sets is passed over.
    NewDraft,
    /// A change of a draft.
    Draft,
    /// A change of another message: only what does not touch its content.
    Received,
}

/// All that a client says of a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MessageChange {
    /// What makes a new MIME.
    pub content: ContentChange,
    /// What is kept beside it.
    pub state: StateChange,
}

/// What of a message's content changes: only what is said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContentChange {
    /// `subject`
    pub subject: Option<String>,
    /// `body`
    pub body: Option<DraftBody>,
    /// `importance`, of a draft.
    pub importance: Option<Importance>,
    /// `from`
    pub from: Option<EmailAddress>,
    /// `sender`
    pub sender: Option<EmailAddress>,
    /// `toRecipients`
    pub to: Option<Vec<EmailAddress>>,
    /// `ccRecipients`
    pub cc: Option<Vec<EmailAddress>>,
    /// `bccRecipients`
    pub bcc: Option<Vec<EmailAddress>>,
    /// `replyTo`
    pub reply_to: Option<Vec<EmailAddress>>,
    /// `isDeliveryReceiptRequested`
    pub wants_delivery_receipt: Option<bool>,
    /// `isReadReceiptRequested`
    pub wants_read_receipt: Option<bool>,
    /// `internetMessageId`, with its angle brackets.
    pub message_id: Option<String>,
    /// `internetMessageHeaders`: names that begin with `x-`, and values.
    pub headers: Vec<(String, String)>,
    /// `attachments`
    pub attachments: Vec<Attachment>,
}

/// What of a message changes without its content.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StateChange {
    /// `isRead`
    pub is_read: Option<bool>,
    /// `categories`: all of them.
    pub categories: Option<Vec<String>>,
    /// `flag`
    pub flag: Option<FlagChange>,
    /// `importance`, of a message that is no draft.
    pub importance: Option<Importance>,
}

/// `flag`: what is said of it. The dates of a flag that is none are cleared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FlagChange {
    /// `flagStatus`
    pub status: Option<FlagStatus>,
    /// `startDateTime`, `dueDateTime`, `completedDateTime`; null clears a date.
    pub dates: [Option<Option<UnixTime>>; 3],
}

const MESSAGE_TYPE: &str = "microsoft.graph.message";

/// What the server sets.
const READ_ONLY: [&str; 14] = [
    "bodyPreview",
    "changeKey",
    "conversationId",
    "conversationIndex",
    "createdDateTime",
    "hasAttachments",
    "id",
    "isDraft",
    "lastModifiedDateTime",
    "parentFolderId",
    "receivedDateTime",
    "sentDateTime",
    "uniqueBody",
    "webLink",
];

/// What a draft is given when it is made, and only then.
const AT_CREATION: [&str; 2] = ["attachments", "internetMessageHeaders"];

/// What is kept beside the content.
const STATE: [&str; 5] = [
    "categories",
    "flag",
    "importance",
    "inferenceClassification",
    "isRead",
];

impl MessageChange {
    /// Reads a message. Properties that there are not are passed over.
    ///
    /// # Errors
    ///
    /// `property_not_writable`, `invalid_recipients` for what is no address, `invalid_header` and
    /// `too_many_headers`, those of [`Attachment::read`]; `invalid_request` for all else that
    /// does not fit, line breaks in what becomes a header included.
    pub fn read(
        value: &Value,
        writing: Writing,
        origin: &mut Origin<'_>,
    ) -> Result<Self, ApiError> {
        let content = ContentChange::read_nested(value, writing, origin, 0)?;
        let importance = read_importance(value)?.filter(|_| writing == Writing::Received);
        let categories = match &value["categories"] {
            Value::Null => None,
            list => Some(read_categories(list)?),
        };
        let flag = match &value["flag"] {
            Value::Null => None,
            flag => Some(FlagChange::read(flag)?),
        };
        Ok(Self {
            content,
            state: StateChange {
                is_read: read_boolean(&value["isRead"], "isRead")?,
                categories,
                flag,
                importance,
            },
        })
    }
}

impl ContentChange {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn read_nested(
        value: &Value,
        writing: Writing,
        origin: &mut Origin<'_>,
        depth: usize,
    ) -> Result<Self, ApiError> {
        check_properties(value, writing)?;
        let recipients = |name: &str| match value.get(name) {
            None => Ok(None),
            Some(list) => read_recipients(list, name).map(Some),
        };
        let recipient = |name: &str| match &value[name] {
            Value::Null => Ok(None),
            recipient => read_recipient(recipient).map(Some),
        };
        let subject = read_text(&value["subject"], "subject")?
            .map(header_text)
            .transpose()?;
        let message_id = read_text(&value["internetMessageId"], "internetMessageId")?;
        let message_id = message_id.map(|id| {
            parse_message_id(id).ok_or_else(|| refuse("The message identifier is not valid."))
        });
        let mut attachments = Vec::new();
        for attachment in read_list(&value["attachments"], "attachments")? {
            attachments.push(Attachment::read_nested(attachment, origin, depth)?);
        }
        Ok(Self {
            subject: subject.or(value.get("subject").map(|_| String::new())),
            body: read_body(&value["body"])?,
            importance: read_importance(value)?.filter(|_| writing != Writing::Received),
            from: recipient("from")?,
            sender: recipient("sender")?,
            to: recipients("toRecipients")?,
            cc: recipients("ccRecipients")?,
            bcc: recipients("bccRecipients")?,
            reply_to: recipients("replyTo")?,
            wants_delivery_receipt: read_boolean(
                &value["isDeliveryReceiptRequested"],
                "isDeliveryReceiptRequested",
            )?,
            wants_read_receipt: read_boolean(
                &value["isReadReceiptRequested"],
                "isReadReceiptRequested",
            )?,
            message_id: message_id.transpose()?,
            headers: read_headers(&value["internetMessageHeaders"])?,
            attachments,
        })
    }
}

/// Whether each property that there is may be written.
fn check_properties(value: &Value, writing: Writing) -> Result<(), ApiError> {
    let object = value
        .as_object()
        .ok_or_else(|| refuse("A message is an object."))?;
    let kind = read_text(&value["@odata.type"], "@odata.type")?;
    let is_message = kind.is_none_or(|kind| {
        kind.trim_start_matches('#')
            .eq_ignore_ascii_case(MESSAGE_TYPE)
    });
    if !is_message {
        return Err(refuse("The type is not 'microsoft.graph.message'."));
    }
    let is_writable = |name: &str| match writing {
        Writing::NewDraft => true,
        Writing::Draft => !READ_ONLY.contains(&name) && !AT_CREATION.contains(&name),
        Writing::Received => STATE.contains(&name),
    };
    let properties = Schema::Message
        .properties()
        .iter()
        .map(|property| property.name);
    let refused = properties
        .filter(|name| object.contains_key(*name))
        .find(|it| !is_writable(it));
    match refused {
        Some(name) => Err(ApiError::property_not_writable()
            .with_message(format!("The property '{name}' can't be set on this item."))),
        None => Ok(()),
    }
}

fn read_importance(value: &Value) -> Result<Option<Importance>, ApiError> {
    let text = read_text(&value["importance"], "importance")?;
    let parse =
        |text| Importance::parse(text).ok_or_else(|| refuse("There is no such importance."));
    text.map(parse).transpose()
}

/// `{"contentType", "content"}`, the type in any case; text without one.
pub(super) fn read_body(value: &Value) -> Result<Option<DraftBody>, ApiError> {
    if value.is_null() {
        return Ok(None);
    }
    if !value.is_object() {
        return Err(refuse("The property 'body' must be an object."));
    }
    let content = read_text(&value["content"], "content")?.unwrap_or_default();
    // What MIME can't carry, and no reader shows.
    let content = Some(content.replace('\0', ""));
    let kind = read_text(&value["contentType"], "contentType")?.unwrap_or("text");
    let body = match kind.to_ascii_lowercase().as_str() {
        "html" => DraftBody {
            text: None,
            html: content,
        },
        "text" => DraftBody {
            text: content,
            html: None,
        },
        _ => return Err(refuse("A body is 'text' or 'html'.")),
    };
    Ok(Some(body))
}

fn read_headers(value: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let headers = read_list(value, "internetMessageHeaders")?;
    if headers.len() > limits::GRAPH_HEADERS {
        return Err(ApiError::too_many_headers());
    }
    let read = |header: &Value| {
        let name = read_text(&header["name"], "name")?.unwrap_or_default();
        let value = read_text(&header["value"], "value")?.unwrap_or_default();
        Ok((own_field_name(name)?, header_text(value)?))
    };
    headers.iter().map(read).collect()
}

fn read_categories(value: &Value) -> Result<Vec<String>, ApiError> {
    let categories = read_list(value, "categories")?;
    let mut names: Vec<String> = Vec::new();
    for category in categories {
        let name = read_text(category, "categories")?
            .map(header_text)
            .transpose()?;
        let name = name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| refuse("A category has a name."))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.len() > limits::CATEGORIES {
        true => Err(refuse("There are too many categories.")),
        false => Ok(names),
    }
}

impl FlagChange {
    fn read(value: &Value) -> Result<Self, ApiError> {
        if !value.is_object() {
            return Err(refuse("The property 'flag' must be an object."));
        }
        let status = read_text(&value["flagStatus"], "flagStatus")?;
        let parse = |text| FlagStatus::parse(text).ok_or_else(|| refuse("There is no such flag."));
        let status = status.map(parse).transpose()?;
        let date = |name: &str| match value.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(date) => read_date_time(date).map(|date| Some(Some(date))),
        };
        let dates = [
            date("startDateTime")?,
            date("dueDateTime")?,
            date("completedDateTime")?,
        ];
        Ok(Self {
            status,
            dates: match status {
                Some(FlagStatus::NotFlagged) => [Some(None); 3],
                Some(FlagStatus::Flagged | FlagStatus::Complete) | None => dates,
            },
        })
    }

    /// The dates of a flag that had others.
    pub fn apply(&self, dates: [Option<UnixTime>; 3]) -> [Option<UnixTime>; 3] {
        std::array::from_fn(|index| self.dates[index].unwrap_or(dates[index]))
    }
}

#[cfg(test)]
mod tests;
