//! The API's JSON objects, made from what is stored. Pure: rows and contents in, values out.

mod attachment;
mod folder;
mod ids;
mod message;
mod native;
mod parsed;
mod values;

pub use attachment::{Attachment, AttachmentKind};
pub use folder::{FolderFacts, MailFolder, WellKnown};
pub use ids::{attachment_id, change_key, etag, parse_attachment_id};
pub use message::{
    COMPLETED, CategoryNames, Message, MessageFacts, categories, flag_status, is_system_keyword,
};
pub use native::{NativeFolder, NativeMessage, Summary};
pub(in crate::api) use parsed::attachment_bytes;
pub use parsed::{Parsed, ParsedAttachment, attachment_content};
pub use values::{
    DateTimeTimeZone, EmailAddress, FlagStatus, Importance, InternetMessageHeader, ItemBody, User,
};

use serde::Serialize;
use serde_json::{Map, Value};

use super::odata::Select;

/// The object of a resource, with what is told of it.
fn tell(resource: &impl Serialize, select: &Select) -> Map<String, Value> {
    let value = serde_json::to_value(resource).expect("texts and numbers are JSON");
    let Value::Object(mut object) = value else {
        unreachable!("a resource is an object");
    };
    object.retain(|name, _| select.has(name));
    object
}
