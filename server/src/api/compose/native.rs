//! What the native family sends: `POST /messages/send`.

use serde_json::Value;

use super::{
    action::read_mime,
    attachment::{Attachment, FileInfo, decode_base64},
    change::ContentChange,
    draft::{Draft, DraftBody, Origin},
    value::{
        email_address, header_text, own_field_name, parse_message_id, read_boolean, read_list,
        read_text, refuse,
    },
};
use crate::{
    api::{error::ApiError, resources::EmailAddress},
    limits,
};

/// A message to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeSubmission {
    /// The message.
    pub mime: Vec<u8>,
    /// To whom it goes instead of those in its header; only with `raw`.
    pub to: Option<Vec<EmailAddress>>,
    /// `save_to_sent`; unless it is said, it is saved.
    pub saves: bool,
}

impl NativeSubmission {
    /// Reads the request.
    ///
    /// # Errors
    ///
    /// `invalid_recipients`, `invalid_header`, `invalid_base64`, and `invalid_request` for all
    /// else that does not fit.
    pub fn read(body: &Value, origin: &mut Origin<'_>) -> Result<Self, ApiError> {
        if !body.is_object() {
            return Err(refuse("A message is an object."));
        }
        let saves = read_boolean(&body["save_to_sent"], "save_to_sent")?.unwrap_or(true);
        let (mime, to) = match read_text(&body["raw"], "raw")? {
            Some(raw) => (read_mime(raw.as_bytes())?, addresses(body, "to")?),
            None => (compose(body, origin)?, None),
        };
        Ok(Self { mime, to, saves })
    }
}

fn compose(body: &Value, origin: &mut Origin<'_>) -> Result<Vec<u8>, ApiError> {
    let text = |name: &str| Ok(read_text(&body[name], name)?.map(|text| text.replace('\0', "")));
    let from = match &body["from"] {
        Value::Null => None,
        from => Some(address(from)?),
    };
    let mut attachments = Vec::new();
    for value in read_list(&body["attachments"], "attachments")? {
        attachments.push(attachment(value)?);
    }
    let subject = read_text(&body["subject"], "subject")?
        .map(header_text)
        .transpose()?;
    let mut draft = Draft::new(origin);
    draft.apply(ContentChange {
        from,
        to: addresses(body, "to")?,
        cc: addresses(body, "cc")?,
        bcc: addresses(body, "bcc")?,
        reply_to: addresses(body, "reply_to")?,
        subject,
        body: Some(DraftBody {
            text: text("text")?,
            html: text("html")?,
        }),
        headers: headers(&body["headers"])?,
        attachments,
        ..ContentChange::default()
    });
    if let Some(id) = read_text(&body["in_reply_to"], "in_reply_to")? {
        let id = parse_message_id(id).ok_or_else(|| refuse("'in_reply_to' is not valid."))?;
        draft.set_thread(id.clone(), vec![id]);
    }
    Ok(draft.write(origin.entropy))
}

/// A list of addresses, or one.
fn addresses(body: &Value, name: &str) -> Result<Option<Vec<EmailAddress>>, ApiError> {
    match &body[name] {
        Value::Null => Ok(None),
        Value::Array(values) => values
            .iter()
            .map(address)
            .collect::<Result<_, _>>()
            .map(Some),
        one => Ok(Some(vec![address(one)?])),
    }
}

/// `a@b`, `Name <a@b>`, or `{"name", "address"}`
fn address(value: &Value) -> Result<EmailAddress, ApiError> {
    if value.is_object() {
        let name = read_text(&value["name"], "name")?;
        let address = read_text(&value["address"], "address")?;
        return email_address(name, address.unwrap_or_default());
    }
    let text = read_text(value, "address")?.unwrap_or_default().trim();
    match text
        .strip_suffix('>')
        .and_then(|text| text.rsplit_once('<'))
    {
        Some((name, address)) => {
            let name = name.trim();
            let unquoted = name
                .strip_prefix('"')
                .and_then(|name| name.strip_suffix('"'));
            email_address(Some(unquoted.unwrap_or(name)), address)
        }
        None => email_address(None, text),
    }
}

fn headers(value: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let Some(headers) = value.as_object() else {
        return match value.is_null() {
            true => Ok(Vec::new()),
            false => Err(refuse("'headers' must be an object.")),
        };
    };
    if headers.len() > limits::OWN_FIELDS {
        return Err(refuse("There are too many headers."));
    }
    let read = |(name, value): (&String, &Value)| {
        let value = read_text(value, "headers")?.unwrap_or_default();
        Ok((own_field_name(name)?, header_text(value)?))
    };
    headers.iter().map(read).collect()
}

fn attachment(value: &Value) -> Result<Attachment, ApiError> {
    let content = read_text(&value["content"], "content")?;
    let content = content.ok_or_else(ApiError::property_missing)?;
    let content = decode_base64(content.as_bytes())
        .ok_or_else(|| refuse("The content of an attachment is no base64."))?;
    let info = FileInfo::read(&serde_json::json!({
        "name": value["name"],
        "contentType": value["content_type"],
        "contentId": value["content_id"],
        "isInline": !value["content_id"].is_null(),
    }))?;
    Ok(Attachment::file(&info, &content))
}

#[cfg(test)]
mod tests {
    use rmail_proto::{Entropy, UnixTime};
    use serde_json::json;

    use super::*;
    use crate::api::resources::Parsed;

    fn read(body: &Value) -> Result<NativeSubmission, ApiError> {
        NativeSubmission::read(
            body,
            &mut Origin {
                sender: &EmailAddress::new(Some("Alice"), "alice@example.test"),
                now: UnixTime(1_700_000_000),
                entropy: &mut Entropy::new(1),
            },
        )
    }

    #[test]
    fn message_is_made_of_what_is_said() {
        let body = json!({
            "to": ["bob@example.test", "\"C, D\" <c@example.test>"],
            "cc": {"name": "Eve", "address": "e@example.test"},
            "subject": "Hé", "text": "plain", "html": "<p>rich",
            "headers": {"X-Tag": "1"}, "in_reply_to": "<a@b>",
            "attachments": [{"name": "a.txt", "content_type": "text/plain", "content": "aGk="}],
            "save_to_sent": false,
        });
        let submission = read(&body).unwrap();
        assert!(!submission.saves && submission.to.is_none());
        let parsed = Parsed::parse(&submission.mime);
        assert_eq!(
            parsed.from,
            [EmailAddress::new(Some("Alice"), "alice@example.test")]
        );
        assert_eq!(
            parsed.to[1],
            EmailAddress::new(Some("C, D"), "c@example.test")
        );
        assert_eq!(
            parsed.cc,
            [EmailAddress::new(Some("Eve"), "e@example.test")]
        );
        assert_eq!(parsed.subject, "Hé");
        let (text, html) = (parsed.text.as_deref(), parsed.html.as_deref());
        assert_eq!((text, html), (Some("plain"), Some("<p>rich")));
        assert_eq!(parsed.attachments[0].name, "a.txt");
        let value = |name: &str| {
            let found = parsed.headers.iter().find(|header| header.name == name);
            found.map(|header| header.value.as_str())
        };
        assert_eq!(
            (value("X-Tag"), value("In-Reply-To")),
            (Some("1"), Some("<a@b>"))
        );
        assert_eq!(
            (parsed.references, parsed.sent_at),
            (1, Some(UnixTime(1_700_000_000)))
        );
    }

    #[test]
    fn raw_message_is_taken_as_it_is() {
        let body = json!({"raw": "U3ViamVjdDogeA0KDQo=", "to": ["a@b.test"]});
        let submission = read(&body).unwrap();
        assert_eq!(submission.mime, b"Subject: x\r\n\r\n");
        assert_eq!(submission.to.unwrap()[0].address, "a@b.test");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (body, code) in [
            (json!([]), "ErrorInvalidRequest"),
            (json!({"raw": "!"}), "ErrorMimeContentInvalidBase64String"),
            (json!({"to": ["bob"]}), "ErrorInvalidRecipients"),
            (json!({"to": [null]}), "ErrorInvalidRecipients"),
            (json!({"to": [5]}), "ErrorInvalidRequest"),
            (
                json!({"subject": "a\r\nBcc: x@y.test"}),
                "ErrorInvalidRequest",
            ),
            (
                json!({"headers": {"Bcc": "x@y.test"}}),
                "InvalidInternetMessageHeader",
            ),
            (json!({"headers": []}), "ErrorInvalidRequest"),
            (json!({"in_reply_to": "<a"}), "ErrorInvalidRequest"),
            (
                json!({"attachments": [{"name": "a"}]}),
                "ErrorRequiredPropertyMissing",
            ),
        ] {
            assert_eq!(read(&body).unwrap_err().code(), code, "{body}");
        }
    }
}
