//! `attachment`

use base64::{Engine, prelude::BASE64_STANDARD};
use rmail_proto::UnixTime;
use serde::Serialize;
use serde_json::Value;

use super::{ParsedAttachment, tell};
use crate::api::{odata::Select, time::write_time};

/// Which attachment it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub enum AttachmentKind {
    /// A file.
    #[serde(rename = "#microsoft.graph.fileAttachment")]
    File,
    /// A message.
    #[serde(rename = "#microsoft.graph.itemAttachment")]
    Item,
}

impl AttachmentKind {
    /// From `@odata.type`; `None` for a reference to a file elsewhere and for what there is not.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim_start_matches('#').to_ascii_lowercase().as_str() {
            "microsoft.graph.fileattachment" => Some(Self::File),
            "microsoft.graph.itemattachment" => Some(Self::Item),
            _ => None,
        }
    }
}

/// `microsoft.graph.fileAttachment` and `microsoft.graph.itemAttachment`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Without it, clients lose the content.
    #[serde(rename = "@odata.type")]
    kind: AttachmentKind,
    id: String,
    name: String,
    content_type: String,
    size: u64,
    is_inline: bool,
    last_modified_date_time: String,
    content_id: Option<String>,
    content_location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_bytes: Option<String>,
}

impl Attachment {
    /// `content`: of a file, when it is to be told.
    pub fn new(parsed: &ParsedAttachment, modified_at: UnixTime, content: Option<&[u8]>) -> Self {
        let kind = match parsed.is_message {
            true => AttachmentKind::Item,
            false => AttachmentKind::File,
        };
        let content = content.filter(|_| kind == AttachmentKind::File);
        Self {
            kind,
            id: parsed.id.clone(),
            name: parsed.name.clone(),
            content_type: parsed.content_type.clone(),
            size: parsed.size_bytes,
            is_inline: parsed.is_inline,
            last_modified_date_time: write_time(modified_at),
            content_id: parsed.content_id.clone(),
            content_location: parsed.content_location.clone(),
            content_bytes: content.map(|content| BASE64_STANDARD.encode(content)),
        }
    }

    /// As JSON.
    pub fn tell(&self, select: &Select) -> Value {
        Value::Object(tell(self, select))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::schema::Schema;

    fn parsed(is_message: bool) -> ParsedAttachment {
        ParsedAttachment {
            id: "id".to_owned(),
            part: 1,
            name: "a.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            size_bytes: 5,
            is_inline: false,
            content_id: None,
            content_location: None,
            is_message,
        }
    }

    #[test]
    fn type_always_comes_along_and_content_when_it_is_selected() {
        let attachment = Attachment::new(&parsed(false), UnixTime(0), Some(b"hello"));
        let told = attachment.tell(&Select::by_default(Schema::Attachment));
        let expected = json!({
            "@odata.type": "#microsoft.graph.fileAttachment",
            "id": "id", "name": "a.txt", "contentType": "text/plain", "size": 5,
            "isInline": false, "lastModifiedDateTime": "1970-01-01T00:00:00Z",
            "contentId": null, "contentLocation": null, "contentBytes": "aGVsbG8=",
        });
        assert_eq!(told, expected);
        let names = attachment.tell(&Select::parse(Schema::Attachment, "name").unwrap());
        let expected = json!({
            "@odata.type": "#microsoft.graph.fileAttachment", "id": "id", "name": "a.txt",
        });
        assert_eq!(names, expected);
    }

    #[test]
    fn message_is_an_item_without_bytes() {
        let attachment = Attachment::new(&parsed(true), UnixTime(0), Some(b"hello"));
        let told = attachment.tell(&Select::by_default(Schema::Attachment));
        assert_eq!(told["@odata.type"], "#microsoft.graph.itemAttachment");
        assert!(told.get("contentBytes").is_none());
    }

    #[test]
    fn references_to_files_elsewhere_are_none() {
        let parse = AttachmentKind::parse;
        assert_eq!(
            parse("#microsoft.graph.fileAttachment"),
            Some(AttachmentKind::File)
        );
        assert_eq!(
            parse("microsoft.graph.ItemAttachment"),
            Some(AttachmentKind::Item)
        );
        assert_eq!(parse("#microsoft.graph.referenceAttachment"), None);
    }
}
