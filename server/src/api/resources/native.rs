//! The objects of the native family.

use rmail_proto::{
    SystemFlags,
    imap::{Mailbox, MailboxStatus, SpecialUse},
};
use serde::Serialize;

use super::{EmailAddress, InternetMessageHeader, MessageFacts, Parsed};
use crate::api::time::write_time;

/// A message in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    id: String,
    folder_id: String,
    uid: u32,
    modseq: u64,
    thread_id: String,
    message_id: Option<String>,
    subject: String,
    from: Vec<EmailAddress>,
    to: Vec<EmailAddress>,
    cc: Vec<EmailAddress>,
    date: String,
    received_at: String,
    size: u64,
    flags: Vec<String>,
    seen: bool,
    flagged: bool,
    answered: bool,
    draft: bool,
    has_attachments: bool,
    preview: String,
}

impl Summary {
    /// From what is stored and what its content says.
    pub fn new(facts: &MessageFacts<'_>, parsed: &Parsed) -> Self {
        let MessageFacts { data, state, .. } = facts;
        let has = |flag: SystemFlags| state.flags.system.contains(flag);
        let system = SystemFlags::NAMED.iter().filter(|(flag, _)| has(*flag));
        let system = system.map(|(_, name)| (*name).to_owned());
        let keywords = state
            .flags
            .keywords
            .iter()
            .map(|keyword| keyword.as_str().to_owned());
        let received_at = data.internal_date.unix;
        Self {
            id: data.instance_id.to_string(),
            folder_id: facts.folder.to_string(),
            uid: data.uid.get(),
            modseq: state.modseq.0,
            thread_id: data.thread_id.to_string(),
            message_id: parsed.message_id.clone(),
            subject: parsed.subject.clone(),
            from: parsed.from.clone(),
            to: parsed.to.clone(),
            cc: parsed.cc.clone(),
            date: write_time(parsed.sent_at.unwrap_or(received_at)),
            received_at: write_time(received_at),
            size: data.size_bytes,
            flags: system.chain(keywords).collect(),
            seen: has(SystemFlags::SEEN),
            flagged: has(SystemFlags::FLAGGED),
            answered: has(SystemFlags::ANSWERED),
            draft: has(SystemFlags::DRAFT),
            has_attachments: parsed.has_attachments(),
            preview: parsed.preview.clone(),
        }
    }
}

/// An attachment in a message.
#[derive(Clone, Debug, Serialize)]
struct NativeAttachment {
    id: String,
    name: String,
    content_type: String,
    size: u64,
    inline: bool,
    content_id: Option<String>,
}

/// A message by itself.
#[derive(Clone, Debug, Serialize)]
pub struct NativeMessage {
    #[serde(flatten)]
    summary: Summary,
    headers: Vec<InternetMessageHeader>,
    text: Option<String>,
    html: Option<String>,
    attachments: Vec<NativeAttachment>,
}

impl NativeMessage {
    /// From what is stored and what its content says.
    pub fn new(facts: &MessageFacts<'_>, parsed: &Parsed) -> Self {
        let attachments = parsed
            .attachments
            .iter()
            .map(|attachment| NativeAttachment {
                id: attachment.id.clone(),
                name: attachment.name.clone(),
                content_type: attachment.content_type.clone(),
                size: attachment.size_bytes,
                inline: attachment.is_inline,
                content_id: attachment.content_id.clone(),
            });
        Self {
            summary: Summary::new(facts, parsed),
            headers: parsed.headers.clone(),
            text: parsed.text.clone(),
            html: parsed.html.clone(),
            attachments: attachments.collect(),
        }
    }
}

/// A folder.
#[derive(Clone, Debug, Serialize)]
pub struct NativeFolder {
    id: Option<String>,
    name: String,
    path: String,
    parent_id: Option<String>,
    special_use: Option<&'static str>,
    messages: u32,
    unseen: u32,
    size: u64,
    subscribed: bool,
}

impl NativeFolder {
    /// `parent`: the id of the folder above it, if it has one. A name that only has folders below
    /// it has neither id nor counts.
    pub fn new(mailbox: &Mailbox, parent: Option<String>, status: Option<&MailboxStatus>) -> Self {
        let name = mailbox.name.rsplit('/').next().unwrap_or_default();
        Self {
            id: mailbox.id.map(|id| id.to_string()),
            name: name.to_owned(),
            path: mailbox.name.clone(),
            parent_id: parent,
            special_use: mailbox.special_use.map(|special_use| match special_use {
                SpecialUse::Archive => "\\Archive",
                SpecialUse::Drafts => "\\Drafts",
                SpecialUse::Junk => "\\Junk",
                SpecialUse::Sent => "\\Sent",
                SpecialUse::Trash => "\\Trash",
            }),
            messages: status.map_or(0, |status| status.messages),
            unseen: status.map_or(0, |status| status.unseen),
            size: status.map_or(0, |status| status.size_bytes),
            subscribed: mailbox.subscribed,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rmail_proto::{
        DateTime, EmailId, Flags, InstanceId, Keyword, MailboxId, ModSeq, ThreadId, Uid, UnixTime,
        imap::{MessageData, MessageState},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{resources::CategoryNames, schema::Schema};

    /// The names that a schema lists, those of others within it included.
    fn listed(schema: Schema) -> Vec<&'static str> {
        let properties = schema.properties().iter();
        properties
            .filter(|property| !property.name.is_empty())
            .map(|p| p.name)
            .collect()
    }

    fn told() -> Value {
        let data = MessageData {
            uid: Uid::MIN,
            size_bytes: 10,
            internal_date: DateTime::utc(UnixTime(0)),
            email_id: EmailId(1),
            thread_id: ThreadId(2),
            instance_id: InstanceId(3),
            envelope: Bytes::new(),
            body: Bytes::new(),
            body_structure: Bytes::new(),
            parts: Bytes::new(),
            header: Bytes::new(),
            content: None,
        };
        let state = MessageState {
            uid: Uid::MIN,
            flags: Flags {
                system: SystemFlags::SEEN,
                keywords: Keyword::new("Blue").into_iter().collect(),
            },
            modseq: ModSeq(9),
        };
        let facts = MessageFacts {
            data: &data,
            state: &state,
            folder: MailboxId(4),
            created_at: UnixTime(0),
            modified_at: UnixTime(0),
            has_attachments: false,
            importance: None,
            flag_dates: [None; 3],
            category_names: &CategoryNames::new(),
        };
        let content = b"Subject: x\r\nTo: Bob <b@c.test>\r\n\r\ntext";
        serde_json::to_value(NativeMessage::new(&facts, &Parsed::parse(content))).unwrap()
    }

    #[test]
    fn message_has_what_its_schema_says() {
        let told = told();
        let names: Vec<&String> = told.as_object().unwrap().keys().collect();
        let mut expected = listed(Schema::MessageSummary);
        expected.extend(listed(Schema::NativeMessage));
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(told["flags"], json!(["\\Seen", "Blue"]));
        assert_eq!(told["to"], json!([{"name": "Bob", "address": "b@c.test"}]));
        assert_eq!(
            (&told["subject"], &told["text"]),
            (&json!("x"), &json!("text"))
        );
    }

    #[test]
    fn folder_has_what_its_schema_says() {
        let mailbox = Mailbox {
            name: "Work/2026".to_owned(),
            id: Some(MailboxId(1)),
            subscribed: true,
            special_use: Some(SpecialUse::Archive),
        };
        let folder = NativeFolder::new(&mailbox, Some("parent".to_owned()), None);
        let told = serde_json::to_value(folder).unwrap();
        let names: Vec<&String> = told.as_object().unwrap().keys().collect();
        let mut expected = listed(Schema::NativeFolder);
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(
            (&told["name"], &told["path"]),
            (&json!("2026"), &json!("Work/2026"))
        );
        assert_eq!(told["special_use"], "\\Archive");
    }
}
