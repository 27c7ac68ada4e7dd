use rmail_proto::{Entropy, UnixTime};
use serde_json::json;

use super::*;

const ORIGINAL: &str = "From: Bob <bob@example.test>\r\n\
    To: Alice <Alice@example.test>, carol@example.test\r\n\
    Cc: al@example.test, Dave <dave@example.test>, bob@example.test\r\n\
    Subject: Plans <1>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\
    Message-ID: <3@example.test>\r\nReferences: <1@example.test> <2@example.test>\r\n\
    MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/html\r\n\r\n\
    <html><body onload=x><p>Old</p><img src=\"cid:used\"></body></html>\r\n\
    --c\r\nContent-Type: image/png; name=u.png\r\nContent-ID: <used>\r\n\
    Content-Disposition: inline\r\n\r\nx\r\n\
    --c\r\nContent-Type: image/png; name=v.png\r\nContent-ID: <unused>\r\n\
    Content-Disposition: inline\r\n\r\ny\r\n--c--\r\n\
    --b\r\nContent-Type: application/pdf\r\n\
    Content-Disposition: attachment; filename=d.pdf\r\n\r\nz\r\n--b--\r\n";

fn make(kind: ReplyKind, original: &str, body: serde_json::Value) -> Parsed {
    let own = ["alice@example.test", "al@example.test"].map(|own| Address::parse(own).unwrap());
    let mut origin = Origin {
        sender: &EmailAddress::new(Some("Alice"), "alice@example.test"),
        now: UnixTime(1_700_000_100),
        entropy: &mut Entropy::new(1),
    };
    let request = ReplyRequest::read(&body, &mut origin).unwrap();
    let draft = reply(kind, original.as_bytes(), &own, request, &mut origin);
    Parsed::parse(&draft.write(origin.entropy))
}

fn listed(addresses: &[EmailAddress]) -> Vec<&str> {
    addresses
        .iter()
        .map(|email| email.address.as_str())
        .collect()
}

#[test]
fn reply_goes_to_the_sender_or_where_the_sender_wants() {
    let parsed = make(ReplyKind::Reply, ORIGINAL, json!({}));
    assert_eq!(listed(&parsed.to), ["bob@example.test"]);
    assert!(parsed.cc.is_empty());
    assert_eq!(
        parsed.from,
        [EmailAddress::new(Some("Alice"), "alice@example.test")]
    );
    let redirected = format!("Reply-To: list@example.test\r\n{ORIGINAL}");
    let parsed = make(ReplyKind::Reply, &redirected, json!({}));
    assert_eq!(listed(&parsed.to), ["list@example.test"]);
    let targets = Parsed::parse(redirected.as_bytes());
    assert_eq!(listed(reply_targets(&targets)), ["list@example.test"]);
}

#[test]
fn reply_to_all_leaves_out_ones_own_addresses() {
    let parsed = make(ReplyKind::ReplyAll, ORIGINAL, json!({}));
    assert_eq!(
        listed(&parsed.to),
        ["bob@example.test", "carol@example.test"]
    );
    assert_eq!(listed(&parsed.cc), ["dave@example.test"]);
    let own = "From: al@example.test\r\nTo: alice@example.test\r\n\r\n";
    let parsed = make(ReplyKind::ReplyAll, own, json!({}));
    assert_eq!(listed(&parsed.to), ["al@example.test"]);
}

#[test]
fn thread_and_subject_go_on() {
    let header = |parsed: &Parsed, name: &str| {
        let found = parsed
            .headers
            .iter()
            .find(|header| header.name == name)
            .unwrap();
        found.value.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let parsed = make(ReplyKind::Reply, ORIGINAL, json!(null));
    assert_eq!(header(&parsed, "In-Reply-To"), "<3@example.test>");
    let all = "<1@example.test> <2@example.test> <3@example.test>";
    assert_eq!(header(&parsed, "References"), all);
    for (kind, before, after) in [
        (ReplyKind::Reply, "a", "RE: a"),
        (ReplyKind::Reply, "re: a", "re: a"),
        (ReplyKind::ReplyAll, "Re:a", "Re:a"),
        (ReplyKind::Forward, "RE: a", "FW: RE: a"),
        (ReplyKind::Forward, "Fwd: a", "Fwd: a"),
        (ReplyKind::Forward, "fw: a", "fw: a"),
    ] {
        let original = format!("Subject: {before}\r\n\r\n");
        assert_eq!(make(kind, &original, json!({})).subject, after);
    }
}

#[test]
fn body_is_one_document_with_comment_rule_header_and_original() {
    let parsed = make(
        ReplyKind::Reply,
        ORIGINAL,
        json!({"comment": "see <below>\nthanks"}),
    );
    let html = parsed.html.unwrap();
    assert!(html.starts_with("<html><head></head><body>") && html.ends_with("</body></html>"));
    assert_eq!(
        (html.matches("<html").count(), html.matches("<body").count()),
        (1, 1)
    );
    let places = [
        "see &lt;below&gt;<br>",
        "<hr ",
        "<b>From:</b> Bob &lt;bob@example.test&gt;",
        "<b>Sent:</b> Tue, 14 Nov 2023",
        "<b>To:</b> Alice &lt;Alice@example.test&gt;; carol@example.test",
        "<b>Subject:</b> Plans &lt;1&gt;",
        "<p>Old</p><img src=\"cid:used\">",
    ]
    .map(|text| {
        html.find(text)
            .unwrap_or_else(|| panic!("{text} in {html}"))
    });
    assert!(places.is_sorted());
    assert!(!html.contains("onload"));
    assert!(sanitize::unique_html(&html).contains("thanks"));
    assert!(!sanitize::unique_html(&html).contains("Old"));
}

#[test]
fn text_original_becomes_part_of_the_document() {
    let original = "From: b@c.test\r\n\r\nline <1>\r\nline 2\r\n";
    let html = make(ReplyKind::Forward, original, json!({})).html.unwrap();
    assert!(html.contains("line &lt;1&gt;<br>\r\nline 2"), "{html}");
}

#[test]
fn forward_has_all_attachments_and_reply_those_that_are_shown() {
    let names = |kind| {
        let parsed = make(kind, ORIGINAL, json!({}));
        parsed
            .attachments
            .into_iter()
            .map(|it| it.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(names(ReplyKind::Forward), ["u.png", "v.png", "d.pdf"]);
    assert_eq!(names(ReplyKind::Reply), ["u.png"]);
    assert_eq!(names(ReplyKind::ReplyAll), ["u.png"]);
}

#[test]
fn what_is_said_of_the_message_overrides_what_is_made() {
    let to = json!([{"emailAddress": {"address": "x@y.test"}}]);
    let text = json!({"contentType": "text", "content": "own"});
    let message = json!({"subject": "Mine", "body": text, "ccRecipients": to});
    let body = json!({"Message": message, "ToRecipients": to});
    let parsed = make(ReplyKind::Forward, ORIGINAL, body);
    assert_eq!((parsed.subject.as_str(), parsed.html), ("Mine", None));
    assert_eq!(parsed.text.unwrap().trim_end(), "own");
    assert_eq!(
        (listed(&parsed.to), listed(&parsed.cc)),
        (vec!["x@y.test"], vec!["x@y.test"])
    );
}
