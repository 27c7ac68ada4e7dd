//! `message`

use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use rmail_proto::{
    DateTime, Flags, Keyword, MailboxId, ModSeq, SystemFlags, UnixTime,
    imap::{MessageData, MessageState},
};
use serde_json::Value;

use super::{
    DateTimeTimeZone, EmailAddress, FlagStatus, Importance, ItemBody, Parsed, change_key, etag,
    values::write_recipient,
};
use crate::api::{json::ObjectWriter, odata::Select};

/// Keywords that mean something to programs, and are no categories.
const SYSTEM_KEYWORDS: [&str; 12] = [
    "$Forwarded",
    "$MDNSent",
    "$Junk",
    "$NotJunk",
    "$Completed",
    "$Phishing",
    "$SubmitPending",
    "$Submitted",
    "Junk",
    "NonJunk",
    "NotJunk",
    "Forwarded",
];

/// The keyword of a flag that is done with.
pub const COMPLETED: &str = "$Completed";

/// Categories that are no keywords themselves: keyword (`$cat7`, in lower case) to name.
pub type CategoryNames = BTreeMap<String, String>;

/// What is known of a message besides its content.
#[derive(Clone, Debug)]
pub struct MessageFacts<'a> {
    /// What is stored.
    pub data: &'a MessageData,
    /// Its flags, and when they last changed.
    pub state: &'a MessageState,
    /// Where it is.
    pub folder: MailboxId,
    /// When it came into the store.
    pub created_at: UnixTime,
    /// When it last changed.
    pub modified_at: UnixTime,
    /// Whether it has a part that is not inline.
    pub has_attachments: bool,
    /// What was set in the place of what its fields say.
    pub importance: Option<Importance>,
    /// The dates of its flag.
    pub flag_dates: [Option<UnixTime>; 3],
    /// The mailbox's.
    pub category_names: &'a CategoryNames,
}

/// `microsoft.graph.message`, of which is told what is selected.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    facts: MessageFacts<'a>,
    parsed: Arc<Parsed>,
    select: &'a Select,
    body: Option<ItemBody>,
    unique_body: Option<ItemBody>,
    /// In the place of nobody.
    own: Option<EmailAddress>,
    attachments: Option<Vec<Value>>,
}

impl<'a> Message<'a> {
    /// From what is stored and what its content says; without a body.
    pub fn new(facts: MessageFacts<'a>, parsed: Arc<Parsed>, select: &'a Select) -> Self {
        Self {
            facts,
            parsed,
            select,
            body: None,
            unique_body: None,
            own: None,
            attachments: None,
        }
    }

    /// With its body.
    #[must_use]
    pub fn with_body(mut self, body: ItemBody) -> Self {
        self.body = Some(body);
        self
    }

    /// With its body without what is quoted.
    #[must_use]
    pub fn with_unique_body(mut self, body: ItemBody) -> Self {
        self.unique_body = Some(body);
        self
    }

    /// With its attachments, selected or not.
    #[must_use]
    pub fn with_attachments(mut self, attachments: Vec<Value>) -> Self {
        self.attachments = Some(attachments);
        self
    }

    /// From somebody, in the place of nobody.
    #[must_use]
    pub fn from_account(mut self, account: EmailAddress) -> Self {
        self.own = Some(account);
        self
    }

    /// As JSON that something is added to.
    pub fn tell(&self) -> Value {
        let mut json = Vec::new();
        self.write(&mut json);
        serde_json::from_slice(&json).expect("it was just written")
    }

    fn from(&self) -> Option<&EmailAddress> {
        self.parsed.from.first().or(self.own.as_ref())
    }

    /// A change key's message and MODSEQ may be compared without reading the message.
    pub fn etag_of(data: &MessageData, modseq: ModSeq) -> String {
        etag(&change_key(data.instance_id, modseq))
    }
}

impl Message<'_> {
    /// Writes it as JSON.
    pub fn write(&self, json: &mut Vec<u8>) {
        let MessageFacts { data, state, .. } = &self.facts;
        let (facts, parsed) = (&self.facts, &*self.parsed);
        let key = change_key(data.instance_id, state.modseq);
        let has = |flag: SystemFlags| state.flags.system.contains(flag);
        let time = |time| DateTime::utc(time).rfc3339();
        let received_at = data.internal_date.unix;
        let mut object = ObjectWriter::begin(json);
        // Names are not looked up by the thousand where nobody has named any.
        let all = self.select.is_default();
        macro_rules! tell {
            ($($kind:ident $name:literal: $value:expr,)*) => {
                $(if all || self.select.has($name) {
                    object.$kind($name, $value);
                })*
            };
        }
        // As `etag` has it, its quotes escaped.
        object.plain("@odata.etag", &["W/\\\"", &key, "\\\""].concat());
        object.plain("id", data.instance_id.text().as_str());
        tell! {
            plain "createdDateTime": time(facts.created_at).as_str(),
            plain "lastModifiedDateTime": time(facts.modified_at).as_str(),
            plain "changeKey": &key,
            value "categories": &categories(&state.flags, facts.category_names),
            plain "receivedDateTime": time(received_at).as_str(),
            plain "sentDateTime": time(parsed.sent_at.unwrap_or(received_at)).as_str(),
            value "hasAttachments": &facts.has_attachments,
            optional_text "internetMessageId": parsed.message_id.as_deref(),
            text "subject": &parsed.subject,
            text "bodyPreview": &parsed.preview,
            plain "importance": facts.importance.unwrap_or(parsed.importance).name(),
            plain "parentFolderId": facts.folder.text().as_str(),
            plain "conversationId": data.thread_id.text().as_str(),
            text "conversationIndex": &conversation_index(facts, parsed),
            value "isDeliveryReceiptRequested": &parsed.wants_delivery_receipt,
            value "isReadReceiptRequested": &parsed.wants_read_receipt,
            value "isRead": &has(SystemFlags::SEEN),
            value "isDraft": &has(SystemFlags::DRAFT),
            plain "webLink": "",
            plain "inferenceClassification": "focused",
            object "flag": |flag| write_flag(flag, &state.flags, facts.flag_dates),
        }
        for (name, addresses) in [
            ("toRecipients", &parsed.to),
            ("ccRecipients", &parsed.cc),
            ("bccRecipients", &parsed.bcc),
            ("replyTo", &parsed.reply_to),
        ] {
            if all || self.select.has(name) {
                object.objects(name, addresses, write_recipient);
            }
        }
        let from = self.from();
        for (name, address) in [("sender", parsed.sender.as_ref().or(from)), ("from", from)] {
            match address {
                _ if !(all || self.select.has(name)) => {}
                Some(address) => object.object(name, |object| write_recipient(object, address)),
                None => object.value(name, &()),
            }
        }
        if self.select.has("internetMessageHeaders") {
            object.value("internetMessageHeaders", &parsed.headers);
        }
        for (name, body) in [("body", &self.body), ("uniqueBody", &self.unique_body)] {
            if let Some(body) = body
                && self.select.has(name)
            {
                object.object(name, |object| {
                    object.text("contentType", body.content_type);
                    object.text("content", &body.content);
                });
            }
        }
        if let Some(attachments) = &self.attachments {
            object.value("attachments", attachments);
        }
        object.end();
    }
}

/// Whether a keyword means something to programs, and is no category.
pub fn is_system_keyword(keyword: &Keyword) -> bool {
    let mut known = SYSTEM_KEYWORDS.iter();
    known.any(|known| known.eq_ignore_ascii_case(keyword.as_str()))
}

/// `categories`
pub fn categories(flags: &Flags, names: &CategoryNames) -> Vec<String> {
    let keywords = flags.keywords.iter();
    let keywords = keywords.filter(|keyword| !is_system_keyword(keyword));
    let categories = keywords.map(|keyword| {
        let named = names.get(&keyword.as_str().to_ascii_lowercase());
        named.map_or_else(|| keyword.as_str().to_owned(), String::clone)
    });
    categories.collect()
}

/// `flag/flagStatus`
pub fn flag_status(flags: &Flags) -> FlagStatus {
    let mut keywords = flags.keywords.iter();
    let is_completed = keywords.any(|it| it.as_str().eq_ignore_ascii_case(COMPLETED));
    match (is_completed, flags.system.contains(SystemFlags::FLAGGED)) {
        (_, true) => FlagStatus::Flagged,
        (true, false) => FlagStatus::Complete,
        (false, false) => FlagStatus::NotFlagged,
    }
}

/// Writes a `followupFlag`. Without a flag there are no dates of one.
fn write_flag(flag: &mut ObjectWriter<'_>, flags: &Flags, dates: [Option<UnixTime>; 3]) {
    let status = flag_status(flags);
    flag.plain("flagStatus", status.name());
    let names = ["startDateTime", "dueDateTime", "completedDateTime"];
    for (name, date) in names.into_iter().zip(dates) {
        if let (FlagStatus::Flagged | FlagStatus::Complete, Some(date)) = (status, date) {
            flag.value(name, &DateTimeTimeZone::utc(date));
        }
    }
}

/// Thread-Index; without one 6 bytes of the date (as 100 nanoseconds since 1601, without the last
/// 16 bits), 16 of the thread, and 5 for each message that it refers to.
fn conversation_index(facts: &MessageFacts<'_>, parsed: &Parsed) -> String {
    const EPOCH_1601_SECONDS: i64 = 11_644_473_600;
    const REFERENCES_COUNTED: usize = 32;
    if let Some(index) = &parsed.thread_index {
        return index.clone();
    }
    let seconds = facts
        .data
        .internal_date
        .unix
        .0
        .saturating_add(EPOCH_1601_SECONDS);
    let ticks = u64::try_from(seconds)
        .unwrap_or_default()
        .saturating_mul(10_000_000);
    let mut index = [0; 22 + 5 * REFERENCES_COUNTED];
    index[..6].copy_from_slice(&ticks.to_be_bytes()[..6]);
    index[6..22].copy_from_slice(&facts.data.thread_id.0.to_be_bytes());
    let references = parsed.references.min(REFERENCES_COUNTED);
    BASE64_STANDARD.encode(&index[..22 + 5 * references])
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rmail_proto::{EmailId, InstanceId, ThreadId, Uid};
    use serde_json::json;

    use super::*;
    use crate::api::schema::Schema;

    const NOW: UnixTime = UnixTime(1_700_000_000);

    fn data() -> MessageData {
        MessageData {
            uid: Uid::MIN,
            size_bytes: 10,
            internal_date: DateTime::utc(NOW),
            email_id: EmailId(1),
            thread_id: ThreadId(2),
            instance_id: InstanceId(3),
            envelope: Bytes::new(),
            body: Bytes::new(),
            body_structure: Bytes::new(),
            parts: Bytes::new(),
            header: Bytes::new(),
            content: None,
        }
    }

    fn tell(flags: Flags, content: &str, select: &Select) -> Value {
        let state = MessageState {
            uid: Uid::MIN,
            flags,
            modseq: ModSeq(9),
        };
        let names = CategoryNames::from([("$cat1".to_owned(), "Red category".to_owned())]);
        let facts = MessageFacts {
            data: &data(),
            state: &state,
            folder: MailboxId(4),
            created_at: NOW,
            modified_at: UnixTime(NOW.0 + 1),
            has_attachments: false,
            importance: None,
            flag_dates: [None, Some(UnixTime(0)), None],
            category_names: &names,
        };
        let parsed = Arc::new(Parsed::parse(content.as_bytes()));
        let body = parsed.body();
        Message::new(facts, parsed, select).with_body(body).tell()
    }

    fn told(flags: Flags, content: &str) -> Value {
        tell(flags, content, &Select::by_default(Schema::Message))
    }

    #[test]
    fn all_properties_are_there_and_those_on_demand_are_not() {
        let told = told(Flags::default(), "");
        let told = told.as_object().unwrap();
        let default: Vec<&str> = Select::by_default(Schema::Message).names().collect();
        for name in &default {
            assert!(told.contains_key(*name), "{name}");
        }
        assert_eq!(told.len(), default.len() + 1, "and the etag");
    }

    #[test]
    fn nothing_that_has_a_value_by_nature_is_null() {
        let told = told(Flags::default(), "");
        for name in [
            "toRecipients",
            "ccRecipients",
            "bccRecipients",
            "replyTo",
            "categories",
        ] {
            assert_eq!(told[name], json!([]), "{name}");
        }
        assert_eq!(told["flag"], json!({"flagStatus": "notFlagged"}));
        assert_eq!(told["body"], json!({"contentType": "text", "content": ""}));
        assert_eq!(told["from"], Value::Null);
        assert_eq!(told["webLink"], "");
    }

    #[test]
    fn stored_facts_are_told() {
        let told = told(Flags::default(), "From: a@b.test\r\n\r\n");
        assert_eq!(told["id"], InstanceId(3).to_string());
        assert_eq!(told["parentFolderId"], MailboxId(4).to_string());
        assert_eq!(told["conversationId"], ThreadId(2).to_string());
        assert_eq!(told["receivedDateTime"], "2023-11-14T22:13:20Z");
        assert_eq!(told["sentDateTime"], told["receivedDateTime"]);
        assert_eq!(told["lastModifiedDateTime"], "2023-11-14T22:13:21Z");
        assert_eq!(told["sender"], told["from"]);
        let key = told["changeKey"].as_str().unwrap();
        assert_eq!(told["@odata.etag"], format!("W/\"{key}\""));
        assert_eq!(told["@odata.etag"], Message::etag_of(&data(), ModSeq(9)));
        let id = told["id"].as_str().unwrap();
        assert!((20..=200).contains(&id.len()));
    }

    #[test]
    fn flags_and_keywords_are_told_in_the_apis_words() {
        let keywords = ["$Completed", "Blue", "$cat1", "$Forwarded", "NonJunk"];
        let flags = Flags {
            system: SystemFlags::SEEN | SystemFlags::DRAFT,
            keywords: keywords.into_iter().filter_map(Keyword::new).collect(),
        };
        let told = told(flags, "");
        assert_eq!(
            (&told["isRead"], &told["isDraft"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(told["categories"], json!(["Red category", "Blue"]));
        assert_eq!(told["flag"]["flagStatus"], "complete");
        assert_eq!(told["flag"]["dueDateTime"]["timeZone"], "UTC");
        let flagged = self::told(Flags::system(SystemFlags::FLAGGED), "");
        assert_eq!(flagged["flag"]["flagStatus"], "flagged");
    }

    #[test]
    fn selection_tells_what_was_asked_for() {
        let select = Select::parse(Schema::Message, "subject,internetMessageHeaders").unwrap();
        let told = tell(Flags::default(), "Subject: x\r\n\r\n", &select);
        let names: Vec<&String> = told.as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            ["@odata.etag", "id", "internetMessageHeaders", "subject"]
        );
        assert_eq!(
            told["internetMessageHeaders"],
            json!([{"name": "Subject", "value": "x"}])
        );
    }

    #[test]
    fn conversation_index_grows_with_replies() {
        let length = |content: &str| {
            let told = told(Flags::default(), content);
            BASE64_STANDARD
                .decode(told["conversationIndex"].as_str().unwrap())
                .unwrap()
                .len()
        };
        assert_eq!(length(""), 22);
        assert_eq!(length("References: <a@b> <c@d>\r\n\r\n"), 32);
        let told = told(Flags::default(), "Thread-Index: AQHZ\r\n\r\n");
        assert_eq!(told["conversationIndex"], "AQHZ");
    }
}
