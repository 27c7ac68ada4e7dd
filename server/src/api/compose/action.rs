//! What the actions of the Graph family are asked with. Their parameters are matched without
//! case: clients write `Message` and `message`.

use serde_json::Value;

use super::{
    attachment::{Attachment, FileInfo, decode_base64},
    change::{MessageChange, Writing},
    draft::Origin,
    value::{read_boolean, read_recipients, read_text, refuse},
};
use crate::api::{error::ApiError, resources::EmailAddress};

/// A parameter of an action, its name in any case; null when it is not there.
pub fn parameter<'a>(body: &'a Value, name: &str) -> &'a Value {
    let object = body.as_object().into_iter().flatten();
    let mut found = object.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    found.next().map_or(&Value::Null, |(_, value)| value)
}

/// The MIME of a body in base64; white space is passed over.
///
/// # Errors
///
/// `invalid_base64`, also when there is nothing.
pub fn read_mime(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mime = decode_base64(body).filter(|mime| !mime.is_empty());
    mime.ok_or_else(ApiError::invalid_base64)
}

/// `sendMail`
#[derive(Clone, Debug, PartialEq)]
pub struct SendMail {
    /// `message`
    pub message: MessageChange,
    /// `saveToSentItems`; unless it is said, it is saved.
    pub saves: bool,
}

impl SendMail {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// `property_missing` without a message; those of [`MessageChange::read`].
    pub fn read(body: &Value, origin: &mut Origin<'_>) -> Result<Self, ApiError> {
        let message = parameter(body, "message");
        if message.is_null() {
            return Err(ApiError::property_missing());
        }
        let saves = read_boolean(parameter(body, "saveToSentItems"), "saveToSentItems")?;
        Ok(Self {
            message: MessageChange::read(message, Writing::NewDraft, origin)?,
            saves: saves.unwrap_or(true),
        })
    }
}

/// Which answer to a message it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplyKind {
    /// To its sender.
    Reply,
    /// To its sender and all who got it.
    ReplyAll,
    /// To others.
    Forward,
}

/// `createReply`, `reply`, `forward` and their like.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplyRequest {
    /// `comment`: text that comes before what is quoted.
    pub comment: Option<String>,
    /// `message`: what overrides the properties that are made.
    pub message: MessageChange,
    /// `toRecipients`, in the place of those that are made.
    pub to: Option<Vec<EmailAddress>>,
}

impl ReplyRequest {
    /// Reads the parameters; an empty body is `null` or `{}`.
    ///
    /// # Errors
    ///
    /// `invalid_request` for a comment beside a body; those of [`MessageChange::read`].
    pub fn read(body: &Value, origin: &mut Origin<'_>) -> Result<Self, ApiError> {
        let comment = read_text(parameter(body, "comment"), "comment")?;
        let message = match parameter(body, "message") {
            Value::Null => MessageChange::default(),
            message => MessageChange::read(message, Writing::NewDraft, origin)?,
        };
        if comment.is_some_and(|text| !text.is_empty()) && message.content.body.is_some() {
            return Err(refuse(
                "Either 'comment' or the body of 'message' is given.",
            ));
        }
        let to = match parameter(body, "toRecipients") {
            Value::Null => None,
            list => Some(read_recipients(list, "toRecipients")?),
        };
        Ok(Self {
            comment: comment.filter(|text| !text.is_empty()).map(str::to_owned),
            message,
            to,
        })
    }
}

/// `AttachmentItem` of `createUploadSession`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UploadItem {
    /// `size`, in bytes; at least 1.
    pub size_bytes: u64,
    info: FileInfo,
}

impl UploadItem {
    /// Reads the parameters.
    ///
    /// # Errors
    ///
    /// `property_missing` without item, name or size; `invalid_request` for what is no file, and
    /// for an empty one.
    pub fn read(body: &Value) -> Result<Self, ApiError> {
        let item = parameter(body, "attachmentItem");
        if !item.is_object() {
            return Err(ApiError::property_missing());
        }
        let kind = read_text(&item["attachmentType"], "attachmentType")?.unwrap_or("file");
        if !kind.eq_ignore_ascii_case("file") {
            return Err(refuse("Attachments of this type can't be uploaded."));
        }
        let size = match &item["size"] {
            Value::Null => return Err(ApiError::property_missing()),
            size => size.as_u64().filter(|size| *size > 0),
        };
        Ok(Self {
            size_bytes: size.ok_or_else(|| refuse("The size is not valid."))?,
            info: FileInfo::read(item)?,
        })
    }

    /// The attachment, once its bytes are there.
    pub fn into_attachment(self, content: &[u8]) -> Attachment {
        Attachment::file(&self.info, content)
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        &self.info.name
    }
}

#[cfg(test)]
mod tests {
    use rmail_proto::{Entropy, UnixTime};
    use serde_json::json;

    use super::*;

    fn with_origin<T>(run: impl FnOnce(&mut Origin<'_>) -> T) -> T {
        run(&mut Origin {
            sender: &EmailAddress::new(None, "alice@example.test"),
            now: UnixTime(0),
            entropy: &mut Entropy::new(1),
        })
    }

    #[test]
    fn parameters_are_matched_without_case() {
        for (message, save) in [
            ("Message", "SaveToSentItems"),
            ("message", "savetosentitems"),
        ] {
            let body = json!({message: {"subject": "x"}, save: false});
            let read = with_origin(|origin| SendMail::read(&body, origin)).unwrap();
            assert_eq!(read.message.content.subject.as_deref(), Some("x"));
            assert!(!read.saves);
        }
        let body =
            json!({"Comment": "hi", "ToRecipients": [{"emailAddress": {"address": "a@b.test"}}]});
        let read = with_origin(|origin| ReplyRequest::read(&body, origin)).unwrap();
        assert_eq!(read.comment.as_deref(), Some("hi"));
        assert_eq!(read.to.unwrap()[0].address, "a@b.test");
        assert_eq!(
            parameter(&json!({"DestinationId": "x"}), "destinationId"),
            "x"
        );
        assert_eq!(parameter(&json!([]), "x"), &Value::Null);
    }

    #[test]
    fn what_an_action_needs_must_be_there() {
        let code = |body: Value| {
            with_origin(|origin| SendMail::read(&body, origin))
                .unwrap_err()
                .code()
        };
        assert_eq!(code(json!({})), "ErrorRequiredPropertyMissing");
        assert_eq!(code(json!({"message": []})), "ErrorInvalidRequest");
        let body = json!({"message": {}});
        assert!(
            with_origin(|origin| SendMail::read(&body, origin))
                .unwrap()
                .saves
        );
        assert_eq!(
            with_origin(|origin| ReplyRequest::read(&Value::Null, origin)).unwrap(),
            ReplyRequest::default()
        );
    }

    #[test]
    fn comment_beside_a_body_is_refused() {
        let both = json!({"comment": "x", "message": {"body": {"content": "y"}}});
        let error = with_origin(|origin| ReplyRequest::read(&both, origin)).unwrap_err();
        assert_eq!(error.code(), "ErrorInvalidRequest");
        let subject = json!({"comment": "x", "message": {"subject": "y"}});
        assert!(with_origin(|origin| ReplyRequest::read(&subject, origin)).is_ok());
    }

    #[test]
    fn mime_comes_in_base64_with_white_space() {
        assert_eq!(
            read_mime(b" U3Vi\r\namVj\tdDog\neA== \n").unwrap(),
            b"Subject: x"
        );
        for text in [&b""[..], b" ", b"U3V", b"U3Vi!", b"=", b"\xff"] {
            assert_eq!(read_mime(text).unwrap_err(), ApiError::invalid_base64());
        }
    }

    #[test]
    fn uploads_are_files_with_a_name_and_a_size() {
        let item = |item: Value| UploadItem::read(&json!({"AttachmentItem": item}));
        let read = item(json!({"attachmentType": "file", "name": "a.bin", "size": 5})).unwrap();
        assert_eq!((read.name(), read.size_bytes), ("a.bin", 5));
        for (bad, code) in [
            (json!(null), "ErrorRequiredPropertyMissing"),
            (json!({"name": "a"}), "ErrorRequiredPropertyMissing"),
            (json!({"size": 1}), "ErrorRequiredPropertyMissing"),
            (json!({"name": "a", "size": 0}), "ErrorInvalidRequest"),
            (json!({"name": "a", "size": -1}), "ErrorInvalidRequest"),
            (json!({"name": "a\nb", "size": 1}), "ErrorInvalidRequest"),
            (
                json!({"name": "a", "size": 1, "attachmentType": "item"}),
                "ErrorInvalidRequest",
            ),
        ] {
            assert_eq!(item(bad).unwrap_err().code(), code);
        }
    }
}
