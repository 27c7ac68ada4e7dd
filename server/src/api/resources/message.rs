//! `message`

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use rmail_proto::{
    Flags, Keyword, MailboxId, ModSeq, SystemFlags, UnixTime,
    imap::{MessageData, MessageState},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    DateTimeTimeZone, EmailAddress, FlagStatus, FollowupFlag, Importance, InternetMessageHeader,
    ItemBody, Parsed, Recipient, change_key, etag, tell,
};
use crate::api::{odata::Select, time::write_time};

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

/// `microsoft.graph.message`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    #[serde(rename = "@odata.etag")]
    etag: String,
    id: String,
    created_date_time: String,
    last_modified_date_time: String,
    change_key: String,
    categories: Vec<String>,
    received_date_time: String,
    sent_date_time: String,
    has_attachments: bool,
    internet_message_id: Option<String>,
    subject: String,
    body_preview: String,
    importance: Importance,
    parent_folder_id: String,
    conversation_id: String,
    conversation_index: String,
    is_delivery_receipt_requested: bool,
    is_read_receipt_requested: bool,
    is_read: bool,
    is_draft: bool,
    web_link: &'static str,
    inference_classification: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<ItemBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unique_body: Option<ItemBody>,
    sender: Option<Recipient>,
    from: Option<Recipient>,
    to_recipients: Vec<Recipient>,
    cc_recipients: Vec<Recipient>,
    bcc_recipients: Vec<Recipient>,
    reply_to: Vec<Recipient>,
    flag: FollowupFlag,
    #[serde(skip_serializing_if = "Option::is_none")]
    internet_message_headers: Option<Vec<InternetMessageHeader>>,
}

impl Message {
    /// From what is stored and what its content says; without a body and header fields.
    pub fn new(facts: &MessageFacts<'_>, parsed: &Parsed) -> Self {
        let MessageFacts { data, state, .. } = facts;
        let key = change_key(data.instance_id, state.modseq);
        let has = |flag: SystemFlags| state.flags.system.contains(flag);
        let received_at = data.internal_date.unix;
        let from = parsed.from.first().cloned();
        let recipients = |addresses: &[EmailAddress]| {
            let recipients = addresses.iter().cloned().map(Recipient::from);
            recipients.collect::<Vec<_>>()
        };
        Self {
            etag: etag(&key),
            id: data.instance_id.to_string(),
            created_date_time: write_time(facts.created_at),
            last_modified_date_time: write_time(facts.modified_at),
            change_key: key,
            categories: categories(&state.flags, facts.category_names),
            received_date_time: write_time(received_at),
            sent_date_time: write_time(parsed.sent_at.unwrap_or(received_at)),
            has_attachments: facts.has_attachments,
            internet_message_id: parsed.message_id.clone(),
            subject: parsed.subject.clone(),
            body_preview: parsed.preview.clone(),
            importance: facts.importance.unwrap_or(parsed.importance),
            parent_folder_id: facts.folder.to_string(),
            conversation_id: data.thread_id.to_string(),
            conversation_index: conversation_index(facts, parsed),
            is_delivery_receipt_requested: parsed.wants_delivery_receipt,
            is_read_receipt_requested: parsed.wants_read_receipt,
            is_read: has(SystemFlags::SEEN),
            is_draft: has(SystemFlags::DRAFT),
            web_link: "",
            inference_classification: "focused",
            body: None,
            unique_body: None,
            sender: parsed
                .sender
                .clone()
                .or_else(|| from.clone())
                .map(Recipient::from),
            from: from.map(Recipient::from),
            to_recipients: recipients(&parsed.to),
            cc_recipients: recipients(&parsed.cc),
            bcc_recipients: recipients(&parsed.bcc),
            reply_to: recipients(&parsed.reply_to),
            flag: flag(&state.flags, facts.flag_dates),
            internet_message_headers: None,
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

    /// With its header fields.
    #[must_use]
    pub fn with_headers(mut self, headers: Vec<InternetMessageHeader>) -> Self {
        self.internet_message_headers = Some(headers);
        self
    }

    /// From somebody, in the place of nobody.
    #[must_use]
    pub fn from_account(mut self, account: EmailAddress) -> Self {
        self.from = Some(account.into());
        self.sender = self.sender.or_else(|| self.from.clone());
        self
    }

    /// As JSON.
    pub fn tell(&self, select: &Select) -> Value {
        Value::Object(tell(self, select))
    }

    /// The present one, for `If-Match`.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// A change key's message and MODSEQ may be compared without reading the message.
    pub fn etag_of(data: &MessageData, modseq: ModSeq) -> String {
        etag(&change_key(data.instance_id, modseq))
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
    let is_completed = Keyword::new(COMPLETED).is_some_and(|it| flags.keywords.contains(&it));
    match (is_completed, flags.system.contains(SystemFlags::FLAGGED)) {
        (_, true) => FlagStatus::Flagged,
        (true, false) => FlagStatus::Complete,
        (false, false) => FlagStatus::NotFlagged,
    }
}

fn flag(flags: &Flags, [start, due, completed]: [Option<UnixTime>; 3]) -> FollowupFlag {
    let flag_status = match flag_status(flags) {
        // Without a flag there are no dates of one.
        FlagStatus::NotFlagged => return FollowupFlag::default(),
        status @ (FlagStatus::Flagged | FlagStatus::Complete) => status,
    };
    FollowupFlag {
        flag_status,
        start_date_time: start.map(DateTimeTimeZone::utc),
        due_date_time: due.map(DateTimeTimeZone::utc),
        completed_date_time: completed.map(DateTimeTimeZone::utc),
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
    let mut index = ticks.to_be_bytes()[..6].to_vec();
    index.extend_from_slice(&facts.data.thread_id.0.to_be_bytes());
    for _ in 0..parsed.references.min(REFERENCES_COUNTED) {
        index.extend_from_slice(&[0; 5]);
    }
    BASE64_STANDARD.encode(index)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rmail_proto::{DateTime, EmailId, InstanceId, ThreadId, Uid};
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

    fn message(flags: Flags, content: &str) -> Message {
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
        let parsed = Parsed::parse(content.as_bytes());
        Message::new(&facts, &parsed)
            .with_body(parsed.body())
            .with_headers(parsed.headers)
    }

    fn told(message: &Message) -> Value {
        message.tell(&Select::by_default(Schema::Message))
    }

    #[test]
    fn all_properties_are_there_and_those_on_demand_are_not() {
        let told = told(&message(Flags::default(), ""));
        let told = told.as_object().unwrap();
        let default: Vec<&str> = Select::by_default(Schema::Message).names().collect();
        for name in &default {
            assert!(told.contains_key(*name), "{name}");
        }
        assert_eq!(told.len(), default.len() + 1, "and the etag");
    }

    #[test]
    fn nothing_that_has_a_value_by_nature_is_null() {
        let told = told(&message(Flags::default(), ""));
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
        let told = told(&message(Flags::default(), "From: a@b.test\r\n\r\n"));
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
        let told = told(&message(flags, ""));
        assert_eq!(
            (&told["isRead"], &told["isDraft"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(told["categories"], json!(["Red category", "Blue"]));
        assert_eq!(told["flag"]["flagStatus"], "complete");
        assert_eq!(told["flag"]["dueDateTime"]["timeZone"], "UTC");
        let flagged = message(Flags::system(SystemFlags::FLAGGED), "");
        assert_eq!(self::told(&flagged)["flag"]["flagStatus"], "flagged");
    }

    #[test]
    fn selection_tells_what_was_asked_for() {
        let select = Select::parse(Schema::Message, "subject,internetMessageHeaders").unwrap();
        let told = message(Flags::default(), "Subject: x\r\n\r\n").tell(&select);
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
            let told = told(&message(Flags::default(), content));
            BASE64_STANDARD
                .decode(told["conversationIndex"].as_str().unwrap())
                .unwrap()
                .len()
        };
        assert_eq!(length(""), 22);
        assert_eq!(length("References: <a@b> <c@d>\r\n\r\n"), 32);
        let told = told(&message(Flags::default(), "Thread-Index: AQHZ\r\n\r\n"));
        assert_eq!(told["conversationIndex"], "AQHZ");
    }
}
