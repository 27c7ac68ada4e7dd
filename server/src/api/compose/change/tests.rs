use rmail_proto::Entropy;
use serde_json::json;

use super::*;

fn read(value: &Value, writing: Writing) -> Result<MessageChange, ApiError> {
    MessageChange::read(
        value,
        writing,
        &mut Origin {
            sender: &EmailAddress::new(None, "alice@example.test"),
            now: UnixTime(0),
            entropy: &mut Entropy::new(1),
        },
    )
}

fn code(value: &Value, writing: Writing) -> &'static str {
    read(value, writing).unwrap_err().code()
}

#[test]
fn draft_is_read_with_all_that_may_be_written() {
    let value = json!({
        "@odata.type": "#Microsoft.Graph.Message", "id": "x", "isDraft": false, "unknown": 1,
        "subject": " Hello ", "importance": "HIGH", "isRead": true,
        "body": {"contentType": "HTML", "content": "<p>x"},
        "from": {"emailAddress": {"address": "alice@example.test"}},
        "sender": null,
        "toRecipients": [{"emailAddress": {"name": "Bob", "address": "bob@example.test"}}],
        "ccRecipients": null,
        "replyTo": [],
        "isDeliveryReceiptRequested": true, "isReadReceiptRequested": false,
        "internetMessageId": "<a@b>",
        "internetMessageHeaders": [{"name": "x-tag", "value": "1"}],
        "categories": ["Red", "Red", "Blue"],
        "attachments": [{
            "@odata.type": "#microsoft.graph.fileAttachment", "name": "a", "contentBytes": "aGk=",
        }],
    });
    let MessageChange { content, state } = read(&value, Writing::NewDraft).unwrap();
    assert_eq!(content.subject.as_deref(), Some("Hello"));
    assert_eq!(content.body.unwrap().html.as_deref(), Some("<p>x"));
    assert_eq!(
        (content.importance, state.importance),
        (Some(Importance::High), None)
    );
    assert_eq!(
        content.to.unwrap(),
        [EmailAddress::new(Some("Bob"), "bob@example.test")]
    );
    assert_eq!(
        (content.cc, content.bcc, content.reply_to),
        (Some(vec![]), None, Some(vec![]))
    );
    assert_eq!(
        (content.sender, content.message_id.as_deref()),
        (None, Some("<a@b>"))
    );
    assert_eq!(content.headers, [("x-tag".to_owned(), "1".to_owned())]);
    assert_eq!(content.attachments.len(), 1);
    assert_eq!(content.wants_delivery_receipt, Some(true));
    assert_eq!(content.wants_read_receipt, Some(false));
    assert_eq!(state.is_read, Some(true));
    assert_eq!(state.categories.unwrap(), ["Red", "Blue"]);
}

#[test]
fn what_the_server_sets_is_passed_over_once_and_refused_later() {
    for name in READ_ONLY {
        let value = json!({name: "x"});
        assert!(
            read(&value, Writing::NewDraft).unwrap().content.is_empty(),
            "{name}"
        );
        assert_eq!(
            code(&value, Writing::Draft),
            "ErrorInvalidPropertySet",
            "{name}"
        );
        assert_eq!(
            code(&value, Writing::Received),
            "ErrorInvalidPropertySet",
            "{name}"
        );
    }
    for name in AT_CREATION {
        let value = json!({name: []});
        assert!(read(&value, Writing::NewDraft).is_ok());
        assert_eq!(
            code(&value, Writing::Draft),
            "ErrorInvalidPropertySet",
            "{name}"
        );
    }
}

#[test]
fn every_property_is_writable_somewhere_or_the_servers() {
    for property in Schema::Message.properties() {
        let is_servers = READ_ONLY.contains(&property.name);
        let value = json!({property.name: null});
        assert_eq!(
            check_properties(&value, Writing::Draft).is_err(),
            is_servers || AT_CREATION.contains(&property.name),
            "{}",
            property.name
        );
    }
}

#[test]
fn only_what_is_beside_the_content_of_a_received_message_changes() {
    let state = json!({"isRead": false, "categories": [], "importance": "low",
        "inferenceClassification": "focused", "flag": {"flagStatus": "Complete"}, "unknown": 1});
    let change = read(&state, Writing::Received).unwrap();
    assert!(change.content.is_empty());
    assert_eq!(change.state.importance, Some(Importance::Low));
    assert_eq!(change.state.categories, Some(vec![]));
    for name in [
        "subject",
        "body",
        "toRecipients",
        "from",
        "isReadReceiptRequested",
    ] {
        let value = json!({name: null});
        assert_eq!(
            code(&value, Writing::Received),
            "ErrorInvalidPropertySet",
            "{name}"
        );
    }
}

#[test]
fn flags_have_dates_until_they_are_none() {
    let flag =
        |flag: Value| read(&json!({"flag": flag}), Writing::Received).map(|it| it.state.flag);
    let due = json!({"dateTime": "1970-01-02T00:00:00.0000000", "timeZone": "UTC"});
    let change = flag(json!({"flagStatus": "flagged", "dueDateTime": due}))
        .unwrap()
        .unwrap();
    assert_eq!(change.status, Some(FlagStatus::Flagged));
    let start = Some(UnixTime(5));
    assert_eq!(
        change.apply([start, None, None]),
        [start, Some(UnixTime(86_400)), None]
    );
    let cleared = flag(json!({"startDateTime": null})).unwrap().unwrap();
    assert_eq!(cleared.apply([start; 3]), [None, start, start]);
    let none = flag(json!({"flagStatus": "notFlagged", "dueDateTime": due}))
        .unwrap()
        .unwrap();
    assert_eq!(none.apply([start; 3]), [None; 3]);
    for bad in [
        json!("flagged"),
        json!({"flagStatus": "x"}),
        json!({"dueDateTime": "1970-01-02T00:00:00Z"}),
        json!({"dueDateTime": {"dateTime": "x", "timeZone": "UTC"}}),
        json!({"dueDateTime": {"dateTime": "1970-01-02T00:00:00", "timeZone": "Nowhere"}}),
    ] {
        assert_eq!(flag(bad).unwrap_err().code(), "ErrorInvalidRequest");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let header = |name: &str, value: &str| json!({"name": name, "value": value});
    let file = "#microsoft.graph.fileAttachment";
    for (value, expected) in [
        (json!([]), "ErrorInvalidRequest"),
        (
            json!({"@odata.type": "#microsoft.graph.event"}),
            "ErrorInvalidRequest",
        ),
        (json!({"subject": 5}), "ErrorInvalidRequest"),
        (
            json!({"subject": "a\r\nBcc: x@y.test"}),
            "ErrorInvalidRequest",
        ),
        (json!({"body": "x"}), "ErrorInvalidRequest"),
        (
            json!({"body": {"contentType": "rtf"}}),
            "ErrorInvalidRequest",
        ),
        (json!({"importance": "urgent"}), "ErrorInvalidRequest"),
        (json!({"toRecipients": {}}), "ErrorInvalidRequest"),
        (
            json!({"toRecipients": [{"emailAddress": {"address": "x"}}]}),
            "ErrorInvalidRecipients",
        ),
        (json!({"internetMessageId": "<a b>"}), "ErrorInvalidRequest"),
        (json!({"isReadReceiptRequested": 1}), "ErrorInvalidRequest"),
        (json!({"categories": "x"}), "ErrorInvalidRequest"),
        (json!({"categories": ["a\nb"]}), "ErrorInvalidRequest"),
        (
            json!({"internetMessageHeaders": [header("Bcc", "x")]}),
            "InvalidInternetMessageHeader",
        ),
        (
            json!({"internetMessageHeaders": [header("x-a", "b\nc")]}),
            "ErrorInvalidRequest",
        ),
        (
            json!({"internetMessageHeaders": vec![header("x-a", "b"); 6]}),
            "InvalidInternetMessageHeaderCollection",
        ),
        (
            json!({"attachments": [{"name": "a", "contentBytes": ""}]}),
            "ErrorRequiredPropertyMissing",
        ),
        (
            json!({"attachments": [{"@odata.type": file, "name": "a"}]}),
            "ErrorRequiredPropertyMissing",
        ),
        (
            json!({"attachments": [{"@odata.type": file, "contentBytes": ""}]}),
            "ErrorRequiredPropertyMissing",
        ),
        (
            json!({"attachments": [{"@odata.type": file, "name": "a", "contentBytes": "!"}]}),
            "ErrorInvalidRequest",
        ),
        (
            json!({"attachments": [{"@odata.type": file, "name": "a\nb", "contentBytes": ""}]}),
            "ErrorInvalidRequest",
        ),
        (
            json!({"attachments": [{"@odata.type": "#microsoft.graph.referenceAttachment"}]}),
            "ErrorInvalidRequest",
        ),
    ] {
        assert_eq!(code(&value, Writing::NewDraft), expected, "{value}");
    }
}

#[test]
fn messages_attached_to_messages_are_bounded_in_depth() {
    let nested = |depth: usize| {
        (0..depth).fold(json!({"subject": "inner"}), |item, _| {
            let kind = "#microsoft.graph.itemAttachment";
            json!({"attachments": [{"@odata.type": kind, "name": "m", "item": item}]})
        })
    };
    assert!(read(&nested(limits::ITEM_ATTACHMENT_DEPTH), Writing::NewDraft).is_ok());
    let deeper = nested(limits::ITEM_ATTACHMENT_DEPTH + 1);
    assert_eq!(code(&deeper, Writing::NewDraft), "ErrorInvalidRequest");
}
