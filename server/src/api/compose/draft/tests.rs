use proptest::prelude::*;
use rmail_proto::Entropy;
use serde_json::json;

use super::*;
use crate::api::{
    compose::{Writing, change::MessageChange},
    resources::attachment_content,
};

const NOW: UnixTime = UnixTime(1_700_000_000);

fn alice() -> EmailAddress {
    EmailAddress::new(Some("Alice"), "alice@example.test")
}

fn with_origin<T>(run: impl FnOnce(&mut Origin<'_>) -> T) -> T {
    run(&mut Origin {
        sender: &alice(),
        now: NOW,
        entropy: &mut Entropy::new(7),
    })
}

fn draft(value: &serde_json::Value) -> Draft {
    with_origin(|origin| {
        let change = MessageChange::read(value, Writing::NewDraft, origin).unwrap();
        let mut draft = Draft::new(origin);
        draft.apply(change.content);
        draft
    })
}

fn write(draft: &Draft) -> Vec<u8> {
    draft.write(&mut Entropy::new(3))
}

fn field_names(mime: &[u8]) -> Vec<String> {
    let names = header_fields(mime).map(|field| String::from_utf8_lossy(field.name).into_owned());
    names.collect()
}

#[test]
fn new_draft_is_the_accounts_with_a_date_and_an_identifier_in_its_domain() {
    let mime = write(&draft(&json!({})));
    let parsed = Parsed::parse(&mime);
    assert_eq!((parsed.from, parsed.sent_at), (vec![alice()], Some(NOW)));
    let id = parsed.message_id.unwrap();
    assert!(
        id.starts_with('<') && id.ends_with("@example.test>"),
        "{id}"
    );
    let names = [
        "From",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    ];
    assert_eq!(field_names(&mime), names);
    let (first, second) = with_origin(|origin| (Draft::new(origin), Draft::new(origin)));
    assert_ne!(first.message_id, second.message_id);
}

#[test]
fn what_is_asked_of_recipients_is_in_the_header() {
    let mime = write(&draft(&json!({
        "importance": "high", "isReadReceiptRequested": true, "isDeliveryReceiptRequested": true,
        "sender": {"emailAddress": {"address": "secretary@example.test"}},
        "internetMessageHeaders": [{"name": "X-Tag", "value": "grün"}],
    })));
    let parsed = Parsed::parse(&mime);
    assert_eq!(parsed.importance, Importance::High);
    assert!(parsed.wants_read_receipt && parsed.wants_delivery_receipt);
    assert_eq!(parsed.sender.unwrap().address, "secretary@example.test");
    assert!(field_names(&mime).contains(&"X-Tag".to_owned()));
    assert!(mime.is_ascii());
}

#[test]
fn attachments_come_back_as_they_were_given() {
    let file = "#microsoft.graph.fileAttachment";
    let item = "#microsoft.graph.itemAttachment";
    let mime = write(&draft(&json!({
        "body": {"contentType": "html", "content": "<img src=\"cid:pic\">"},
        "attachments": [
            {"@odata.type": file, "name": "Übersicht, \"neu\".pdf",
             "contentType": "application/pdf", "contentBytes": "JVBERi0="},
            {"@odata.type": file, "name": "pic.png", "contentType": "image/png", "isInline": true,
             "contentId": "<pic>", "contentBytes": "iVBORw0KGgo="},
            {"@odata.type": file, "name": "latin.csv", "contentType": "text/csv",
             "contentBytes": "5Dvk\r\nCg=="},
            {"@odata.type": item, "name": "inner", "item": {"subject": "within"}},
        ],
    })));
    let parsed = Parsed::parse(&mime);
    let all = parsed.attachments.iter().map(|it| {
        (
            it.name.as_str(),
            it.content_type.as_str(),
            it.is_inline,
            it.is_message,
        )
    });
    let expected = [
        ("pic.png", "image/png", true, false),
        ("Übersicht, \"neu\".pdf", "application/pdf", false, false),
        ("latin.csv", "text/csv", false, false),
        ("inner", "message/rfc822", false, true),
    ];
    assert_eq!(all.collect::<Vec<_>>(), expected);
    assert_eq!(parsed.attachments[0].content_id.as_deref(), Some("pic"));
    let content = |index: usize| attachment_content(&mime, &parsed.attachments[index].id).unwrap();
    assert_eq!(content(1), b"%PDF-");
    assert_eq!(content(2), b"\xe4;\xe4\n");
    assert_eq!(Parsed::parse(&content(3)).subject, "within");
}

#[test]
fn types_that_can_not_be_encoded_are_files_of_any_kind() {
    for kind in [
        "message/rfc822",
        "message/partial",
        "multipart/mixed",
        "x",
        "a/b\"; x=y",
        "",
    ] {
        let mime = write(&draft(&json!({"attachments": [{
            "@odata.type": "#microsoft.graph.fileAttachment", "name": "a", "contentType": kind,
            "contentBytes": "AAEC",
        }]})));
        let parsed = Parsed::parse(&mime);
        let [attachment] = parsed.attachments.as_slice() else {
            panic!("{kind}: {:?}", parsed.attachments);
        };
        assert_eq!(
            attachment.content_type, "application/octet-stream",
            "{kind}"
        );
        assert_eq!(
            attachment_content(&mime, &attachment.id).unwrap(),
            [0, 1, 2]
        );
    }
}

const FOREIGN: &str = "Received: from x\r\n\tby y; Tue, 14 Nov 2023 22:13:20 +0000\r\n\
    From: =?utf-8?q?Al=C3=ADce?= <alice@example.test>\r\n\
    To: <bob>, <\"C D\"@example.test>,\r\n e@example.test\r\n\
    X-Mailer: Pine\r\nSubject: old\r\nX-Uid: 7\r\nMessage-ID: <keep@example.test>\r\n\
    Thread-Index: AQHZ\r\nReferences: <a@b>\r\n <c@d>\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\ncaf\u{e9}\r\n\
    --b\r\nContent-Type: application/x-y; name=\"f.bin\"\r\nContent-Description: kept\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n--b--\r\n";

#[test]
fn change_of_a_draft_keeps_all_else() {
    let mut draft = Draft::read(FOREIGN.as_bytes());
    let value =
        json!({"subject": "new", "ccRecipients": [{"emailAddress": {"address": "x@y.test"}}]});
    let change = with_origin(|origin| MessageChange::read(&value, Writing::Draft, origin)).unwrap();
    draft.apply(change.content);
    let mime = write(&draft);
    let (before, after) = (Parsed::parse(FOREIGN.as_bytes()), Parsed::parse(&mime));
    assert_eq!(
        (after.subject.as_str(), after.cc[0].address.as_str()),
        ("new", "x@y.test")
    );
    assert_eq!(
        (after.from, after.message_id),
        (before.from, before.message_id)
    );
    assert_eq!((after.text, after.references), (before.text, 2));
    assert_eq!(after.thread_index.as_deref(), Some("AQHZ"));
    let to: Vec<&str> = after.to.iter().map(|to| to.address.as_str()).collect();
    assert_eq!(to.len(), 3, "{to:?}");
    let text = String::from_utf8_lossy(&mime);
    for kept in [
        "Received: from x\r\n\tby y;",
        "X-Mailer: Pine",
        "X-Uid: 7",
        "Content-Description: kept",
    ] {
        assert!(text.contains(kept), "{kept} in {text}");
    }
    let contents = |mime: &[u8]| -> Vec<Vec<u8>> {
        let parsed = Parsed::parse(mime);
        let ids = parsed.attachments.iter();
        ids.map(|it| attachment_content(mime, &it.id).unwrap())
            .collect()
    };
    assert_eq!(contents(&mime), contents(FOREIGN.as_bytes()));
    assert_eq!(write(&Draft::read(&mime)), mime, "read and written again");
}

#[test]
fn attachments_are_added_and_removed_one_by_one() {
    let mut draft = Draft::read(FOREIGN.as_bytes());
    let ids = |mime: &[u8]| -> Vec<String> {
        Parsed::parse(mime)
            .attachments
            .into_iter()
            .map(|it| it.id)
            .collect()
    };
    let value = json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": "n",
        "contentBytes": "AAEC", "isInline": true});
    let attachment = with_origin(|origin| Attachment::read(&value, origin)).unwrap();
    draft.attachments.push(attachment);
    let mime = write(&draft);
    assert_eq!(ids(&mime).len(), 3);
    let added = draft.id_of_last(&mime).unwrap();
    let of_added = Parsed::parse(&mime)
        .attachments
        .into_iter()
        .find(|it| it.id == added)
        .unwrap();
    assert_eq!((of_added.name.as_str(), of_added.is_inline), ("n", true));
    let mut draft = Draft::read(&mime);
    assert!(draft.remove_attachment(&added));
    assert!(!draft.remove_attachment(&added) && !draft.remove_attachment("x"));
    let names = |mime: &[u8]| -> Vec<String> {
        Parsed::parse(mime)
            .attachments
            .into_iter()
            .map(|it| it.name)
            .collect()
    };
    assert_eq!(names(&write(&draft)), names(FOREIGN.as_bytes()));
}

#[test]
fn parts_that_could_not_be_sent_are_encoded_anew() {
    let long = "x".repeat(2000);
    for content in ["a\nb\n", "a\rb", "a\0b", long.as_str()] {
        let mime = format!(
            "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
             text\r\n--b\r\nContent-Type: application/x-y\r\n\
             Content-Disposition: attachment; filename=f\r\n\r\n{content}\r\n--b--\r\n"
        );
        let written = write(&Draft::read(mime.as_bytes()));
        assert!(
            written
                .split(|byte| *byte == b'\n')
                .all(|line| line.len() <= 999)
        );
        assert!(!written.contains(&0));
        let parsed = Parsed::parse(&written);
        let attachment = attachment_content(&written, &parsed.attachments[0].id).unwrap();
        assert_eq!(attachment, content.as_bytes(), "{content:?}");
        assert_eq!(parsed.attachments[0].name, "f");
    }
}

/// Any text without line breaks and NUL, of which no white space at the edges.
fn text() -> impl Strategy<Value = String> {
    let any = prop_oneof![
        "\\PC{0,40}",
        "[a-z =?_<>@,;:\"\\\\().\\[\\]éß€😀]{0,40}",
        "(=\\?utf-8\\?[qb]\\?[a-z=]{1,5}\\?=| ){0,4}",
        "[x é]{60,200}",
    ];
    any.prop_map(|text: String| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Bytes, and what is nearly a message.
fn messages() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "From: a@b\r\n",
        "To: ,<x>\n",
        "Bcc:",
        "\r\n",
        "\n",
        " ",
        "\r",
        "\0",
        "Subject: =?utf-8?q?=0d=0aX: y?=\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "Content-Type: text/html\r\n",
        "Content-Type: message/rfc822\r\n",
        "Content-Transfer-Encoding: base64\r\n",
        "--b\r\n",
        "--b--",
        "X-A: b\r\n\tc\r\n",
        "x",
    ]);
    let pieces = prop::collection::vec(pieces, 0..16);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        pieces.prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn values_come_back_and_the_header_has_only_what_was_meant(
        subject in text(),
        names in prop::collection::vec(text(), 0..4),
        file in text(),
        own in text(),
        body in "(\\PC|[\r\n ]){0,80}",
        is_html: bool,
    ) {
        let recipient = |name: &String| {
            json!({"emailAddress": {"name": name, "address": "b+x@c.test"}})
        };
        let recipients: Vec<_> = names.iter().map(recipient).collect();
        let file_name = file.replace(['/', '\\'], "");
        let value = json!({
            "subject": subject, "toRecipients": recipients, "bccRecipients": recipients,
            "body": {"contentType": if is_html { "html" } else { "text" }, "content": body},
            "internetMessageHeaders": [{"name": "x-own", "value": own}],
            "attachments": [{"@odata.type": "#microsoft.graph.fileAttachment",
                "name": format!("f{file_name}"), "contentBytes": "AAEC"}],
        });
        let mime = write(&draft(&value));
        let parsed = Parsed::parse(&mime);
        prop_assert_eq!(&parsed.subject, &subject);
        let expected: Vec<_> =
            names.iter().map(|name| EmailAddress::new(Some(name), "b+x@c.test")).collect();
        prop_assert_eq!(&parsed.to, &expected);
        prop_assert_eq!(&parsed.bcc, &expected);
        prop_assert_eq!(parsed.attachments.len(), 1);
        let told = format!("f{file_name}");
        let told: String = told.chars().take(crate::limits::FILE_NAME_CHARS).collect();
        prop_assert_eq!(&parsed.attachments[0].name, &told);
        let lines = |text: &str| {
            let text = text.replace("\r\n", "\n").replace('\r', "\n");
            text.trim_end().to_owned()
        };
        let content = parsed.body();
        prop_assert_eq!(content.content_type, if is_html { "html" } else { "text" });
        prop_assert_eq!(lines(&content.content), lines(&body));
        let mut expected = vec!["From"];
        if !names.is_empty() {
            expected.extend(["To", "Bcc"]);
        }
        if !subject.is_empty() {
            expected.push("Subject");
        }
        expected.extend(["Date", "Message-ID", "x-own", "MIME-Version", "Content-Type"]);
        prop_assert_eq!(field_names(&mime), expected);
        for line in mime.split(|byte| *byte == b'\n') {
            prop_assert!(line.len() <= 999);
        }
        let text = String::from_utf8(mime.clone()).unwrap();
        prop_assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn whatever_is_read_is_written_as_a_message(mime in messages()) {
        let draft = Draft::read(&mime);
        let written = write(&draft);
        let again = Draft::read(&written);
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        prop_assert_eq!(words(&again.subject), words(&draft.subject));
        prop_assert_eq!(again.attachments.len(), draft.attachments.len());
        prop_assert_eq!(&again.to, &draft.to);
    }
}
