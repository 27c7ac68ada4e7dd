//! Drafts: made, changed, and made as replies.

use super::*;

fn path(id: &str) -> String {
    format!("/v1.0/me/messages/{id}")
}

fn draft(site: &Site) -> Value {
    let message = json!({
        "subject": "Gr\u{fc}\u{df}e",
        "body": {"contentType": "HTML", "content": "<p>hello</p>"},
        "toRecipients": [recipient("bob@example.com")],
        "bccRecipients": [recipient("carol@example.net")],
        "importance": "High",
        "internetMessageHeaders": [{"name": "x-mine", "value": "1"}],
        "attachments": [{"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt",
            "contentBytes": "aGVsbG8="}],
    });
    site.post("/v1.0/me/messages", message).json(201)
}

#[test]
fn draft_is_what_it_was_made_of() {
    let site = Site::new();
    let told = draft(&site);
    assert_eq!(told["isDraft"], true);
    assert_eq!(told["subject"], "Gr\u{fc}\u{df}e");
    assert_eq!(told["importance"], "high");
    assert_eq!(told["from"]["emailAddress"]["address"], ALICE);
    assert_eq!(
        told["bccRecipients"][0]["emailAddress"]["address"],
        "carol@example.net"
    );
    assert_eq!(told["body"]["contentType"], "html");
    assert_eq!(told["hasAttachments"], true);
    assert!(
        told["internetMessageId"]
            .as_str()
            .unwrap()
            .ends_with("@example.com>")
    );
    let drafts = site.get("/v1.0/me/mailFolders/drafts").json(200)["id"].clone();
    assert_eq!(told["parentFolderId"], drafts);
    let headers = site.get(&format!(
        "{}?$select=internetMessageHeaders",
        path(&id(&told))
    ));
    let headers = headers.json(200)["internetMessageHeaders"].clone();
    assert!(
        headers
            .as_array()
            .unwrap()
            .contains(&json!({"name": "x-mine", "value": "1"}))
    );
    let other = site.post(
        "/v1.0/me/mailFolders/inbox/messages",
        json!({"subject": "x"}),
    );
    let location = other.field("Location").unwrap().to_owned();
    let other = other.json(201);
    assert_ne!(other["parentFolderId"], drafts);
    assert!(
        location.ends_with(&format!("/messages/{}", id(&other))),
        "{location}"
    );
}

#[test]
fn changed_draft_keeps_its_id_and_what_was_not_changed() {
    let site = Site::new();
    let told = draft(&site);
    let id = id(&told);
    let change = json!({"subject": "new", "ccRecipients": [recipient("d@example.net")],
        "isRead": false, "categories": ["Blue"]});
    let changed = site.patch(&path(&id), change).json(200);
    assert_eq!(changed["id"], json!(id));
    assert_eq!(
        (&changed["subject"], &changed["isRead"]),
        (&json!("new"), &json!(false))
    );
    for same in [
        "toRecipients",
        "bccRecipients",
        "internetMessageId",
        "importance",
        "body",
        "hasAttachments",
        "createdDateTime",
        "conversationId",
    ] {
        assert_eq!(changed[same], told[same], "{same}");
    }
    assert_ne!(changed["changeKey"], told["changeKey"]);
    assert_eq!(changed["categories"], json!(["Blue"]));
    assert_eq!(
        site.get("/v1.0/me/mailFolders/drafts/messages/$count")
            .content,
        "1"
    );
    let none = site.patch(
        &path(&id),
        json!({"ccRecipients": [], "body":
        {"contentType": "text", "content": "plain"}}),
    );
    let none = none.json(200);
    assert_eq!(
        (&none["ccRecipients"], &none["body"]["contentType"]),
        (&json!([]), &json!("text"))
    );
}

#[test]
fn draft_that_has_changed_is_not_overwritten() {
    let site = Site::new();
    let told = draft(&site);
    let etag = told["@odata.etag"].as_str().unwrap();
    let change = |subject: &str| {
        let change = json!({"subject": subject});
        site.patch_with(&path(&id(&told)), &[("if-match", etag)], change)
    };
    assert_eq!(change("first").status, 200);
    assert_eq!(change("second").code(412), "ErrorIrresolvableConflict");
    assert_eq!(site.get(&path(&id(&told))).json(200)["subject"], "first");
}

#[test]
fn nothing_can_be_smuggled_into_a_header() {
    let site = Site::new();
    let evil = "x\r\nBcc: eve@example.net";
    for message in [
        json!({"subject": evil}),
        json!({"toRecipients": [{"emailAddress": {"name": evil, "address": "a@b.test"}}]}),
        json!({"toRecipients": [recipient(evil)]}),
        json!({"categories": [evil]}),
        json!({"internetMessageHeaders": [{"name": "x-a", "value": evil}]}),
        json!({"attachments": [{"@odata.type": "#microsoft.graph.fileAttachment", "name": evil,
            "contentBytes": ""}]}),
    ] {
        let told = site.post("/v1.0/me/messages", message.clone());
        assert_eq!(told.code(400), "ErrorInvalidRequest", "{message}");
    }
    let header = json!({"internetMessageHeaders": [{"name": "Bcc", "value": "x"}]});
    let told = site.post("/v1.0/me/messages", header);
    assert_eq!(told.code(400), "InvalidInternetMessageHeader");
    assert_eq!(site.get("/v1.0/me/messages/$count").content, "0");
    for body in ["{", "[]", "\"x\"", "{\"subject\":5}"] {
        let told = site.call_as(
            Some(ALICE),
            Method::Post,
            "/v1.0/me/messages",
            &[],
            body.as_bytes(),
        );
        assert_eq!(told.status, 400, "{body}");
    }
}

#[test]
fn draft_can_be_made_of_mime() {
    let site = Site::new();
    let told = site.post_mime(
        "/v1.0/me/messages",
        "Subject: mime\nTo: bob@example.com\n\nhi\n",
    );
    let told = told.json(201);
    assert_eq!(
        (&told["subject"], &told["isDraft"]),
        (&json!("mime"), &json!(true))
    );
    assert_eq!(told["from"]["emailAddress"]["address"], ALICE);
    assert!(told["internetMessageId"].is_string());
    let mime = site.get(&format!("{}/$value", path(&id(&told)))).content;
    assert!(mime.ends_with(b"Subject: mime\r\nTo: bob@example.com\r\n\r\nhi\r\n"));
    let fields = [("content-type", "text/plain")];
    let told = site.call_as(
        Some(ALICE),
        Method::Post,
        "/v1.0/me/messages",
        &fields,
        b"?",
    );
    assert_eq!(told.code(400), "ErrorMimeContentInvalidBase64String");
}

#[test]
fn replies_and_forwards_are_drafts_that_quote_the_original() {
    let site = Site::new();
    let rest = "Cc: alice@example.com, dave@example.net\r\nContent-Type: multipart/mixed; \
                boundary=b\r\n\r\n--b\r\n\r\noriginal <text>\r\n--b\r\nContent-Disposition: \
                attachment; filename=a.txt\r\n\r\nhello\r\n--b--\r\n";
    let original = site.save("INBOX", SystemFlags::SEEN, &mail("topic", rest));
    let make = |action: &str, body: Value| {
        site.post(&format!("{}/{action}", path(&original)), body)
            .json(201)
    };
    let addresses = |told: &Value, list: &str| -> Vec<String> {
        let list = told[list].as_array().unwrap().iter();
        list.map(|it| it["emailAddress"]["address"].as_str().unwrap().to_owned())
            .collect()
    };
    let reply = make("createReply", json!({"Comment": "my <comment>"}));
    assert_eq!(reply["subject"], "RE: topic");
    assert_eq!(addresses(&reply, "toRecipients"), ["bob@example.com"]);
    let body = reply["body"]["content"].as_str().unwrap();
    assert!(body.contains("my &lt;comment&gt;") && body.contains("original &lt;text&gt;"));
    assert!(body.contains("<html>") && body.contains("<body>"), "{body}");
    assert_eq!(reply["hasAttachments"], false);
    assert_eq!(reply["isDraft"], true);
    assert_eq!(
        reply["conversationId"],
        site.get(&path(&original)).json(200)["conversationId"]
    );
    let all = make("createReplyAll", json!({}));
    assert_eq!(addresses(&all, "toRecipients"), ["bob@example.com"]);
    assert_eq!(addresses(&all, "ccRecipients"), ["dave@example.net"]);
    let forward = make(
        "createForward",
        json!({"toRecipients": [recipient("x@example.net")]}),
    );
    assert_eq!(forward["subject"], "FW: topic");
    assert_eq!(addresses(&forward, "toRecipients"), ["x@example.net"]);
    assert_eq!(forward["hasAttachments"], true);
    let both = json!({"comment": "x", "message": {"body": {"content": "y"}}});
    let told = site.post(&format!("{}/createReply", path(&original)), both);
    assert_eq!(told.code(400), "ErrorInvalidRequest");
    // The o365 library sends a type and no content.
    let fields = [("content-type", "application/json")];
    let target = format!("{}/createReply", path(&original));
    assert_eq!(
        site.call_as(Some(ALICE), Method::Post, &target, &fields, b"")
            .status,
        201
    );
    let mime = site
        .post_mime(&target, "Subject: own\r\nTo: x@y.test\r\n\r\ntext")
        .json(201);
    assert_eq!(addresses(&mime, "toRecipients"), ["bob@example.com"]);
    assert_eq!(mime["subject"], "own");
}

#[test]
fn full_mailbox_takes_no_draft() {
    let site = Site::new();
    site.set_quota(ALICE, 100);
    let told = site.post("/v1.0/me/messages", json!({"subject": "x"}));
    assert_eq!(told.code(507), "ErrorQuotaExceeded");
    assert_eq!(site.get("/v1.0/me/messages/$count").content, "0");
}

#[test]
fn message_that_is_too_large_is_refused() {
    let site = Site::with(json!({"smtp": {"max_message_size": 300_000}}));
    let body = |bytes: usize| json!({"body": {"content": "x".repeat(bytes)}});
    let told = site.post("/v1.0/me/messages", body(200_000)).json(201);
    assert_eq!(told["body"]["content"].as_str().unwrap().len(), 200_000);
    let told = site.post("/v1.0/me/messages", body(310_000));
    assert_eq!(told.code(413), "ErrorMessageSizeExceeded");
}
