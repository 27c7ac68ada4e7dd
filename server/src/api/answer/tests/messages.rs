//! Single messages: told, changed, moved, copied, deleted.

use super::*;
use crate::api::{odata::Select, schema::Schema};

fn site() -> (Site, String) {
    let site = Site::new();
    let html = "Content-Type: text/html\r\n\r\n<p onclick=\"x()\">Hi <b>you</b></p>\
                <script>alert(1)</script>";
    let id = site.save("INBOX", SystemFlags::NONE, &mail("one", html));
    (site, id)
}

fn path(id: &str) -> String {
    format!("/v1.0/me/messages/{id}")
}

#[test]
fn message_has_all_its_default_properties_and_a_context() {
    let (site, id) = site();
    let told = site.get(&path(&id)).json(200);
    for property in Select::by_default(Schema::Message).names() {
        assert!(told.get(property).is_some(), "{property}");
    }
    assert_eq!(told["id"], json!(id));
    assert_eq!(told["subject"], "one");
    assert_eq!(told["from"]["emailAddress"]["name"], "Bob");
    assert_eq!(told["bccRecipients"], json!([]));
    let context = told["@odata.context"].as_str().unwrap();
    assert!(
        context.starts_with("https://localhost/v1.0/$metadata#users("),
        "{context}"
    );
    let in_folder = format!("/v1.0/me/mailFolders('INBOX')/messages('{id}')");
    assert_eq!(site.get(&in_folder).json(200)["id"], told["id"]);
    let me = "alice%40example.com";
    let by_address = format!("/v1.0/users/{me}/messages/{id}?$select=subject");
    let told = site.get(&by_address).json(200);
    let names: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(names, ["@odata.context", "@odata.etag", "id", "subject"]);
}

#[test]
fn html_is_sanitised_unless_the_client_will_not_have_it() {
    let (site, id) = site();
    let body = |field| site.get_with(&path(&id), field).json(200)["body"].clone();
    let safe = body(("x", "y"));
    assert_eq!(safe["contentType"], "html");
    let safe = safe["content"].as_str().unwrap().to_owned();
    assert!(safe.contains("<b>you</b>") && !safe.contains("script") && !safe.contains("onclick"));
    let raw = body(("prefer", "outlook.allow-unsafe-html"));
    assert!(raw["content"].as_str().unwrap().contains("<script>"));
    let told = site.get_with(&path(&id), ("prefer", "outlook.body-content-type=\"text\""));
    assert_eq!(told.json(200)["body"]["contentType"], "text");
    let applied = told.field("Preference-Applied");
    assert_eq!(applied, Some("outlook.body-content-type=\"text\""));
}

#[test]
fn mime_is_exactly_what_is_stored() {
    let (site, id) = site();
    let told = site.get(&format!("{}/$value", path(&id)));
    assert_eq!(told.status, 200);
    assert_eq!(told.field("Content-Type"), Some("text/plain"));
    assert!(told.content.starts_with(b"From: Bob <bob@example.com>\r\n"));
    assert!(told.content.ends_with(b"</script>"));
}

#[test]
fn etag_tells_whether_a_message_has_changed() {
    let (site, id) = site();
    let told = site.get(&path(&id));
    let etag = told.field("ETag").unwrap().to_owned();
    assert_eq!(told.json(200)["@odata.etag"], json!(etag));
    assert_eq!(
        site.get_with(&path(&id), ("if-none-match", &etag)).status,
        304
    );
    let changed = site.patch_with(&path(&id), &[("if-match", &etag)], json!({"isRead": true}));
    let changed = changed.json(200);
    assert_ne!(changed["@odata.etag"], json!(etag));
    assert_eq!(changed["isRead"], true);
    assert_eq!(
        site.get_with(&path(&id), ("if-none-match", &etag)).status,
        200
    );
    let stale = site.patch_with(&path(&id), &[("if-match", &etag)], json!({"isRead": false}));
    assert_eq!(stale.code(412), "ErrorIrresolvableConflict");
    let any = site.patch_with(&path(&id), &[("if-match", "*")], json!({"isRead": false}));
    assert_eq!(any.json(200)["isRead"], false);
    let stale = site.call_as(
        Some(ALICE),
        Method::Delete,
        &path(&id),
        &[("if-match", &etag)],
        b"",
    );
    assert_eq!(stale.code(412), "ErrorIrresolvableConflict");
}

#[test]
fn flags_categories_and_dates_are_kept() {
    let (site, id) = site();
    let flag = json!({"flagStatus": "flagged", "dueDateTime":
        {"dateTime": "2030-01-02T01:00:00", "timeZone": "Europe/Berlin"}});
    let change = json!({"isRead": true, "categories": ["Blue", "Red category"], "flag": flag,
        "importance": "HIGH"});
    let told = site.patch(&path(&id), change).json(200);
    assert_eq!(told["categories"].as_array().unwrap().len(), 2);
    assert!(
        told["categories"]
            .as_array()
            .unwrap()
            .contains(&json!("Red category"))
    );
    assert_eq!(told["importance"], "high");
    assert_eq!(told["flag"]["flagStatus"], "flagged");
    let due = json!({"dateTime": "2030-01-02T00:00:00.0000000", "timeZone": "UTC"});
    assert_eq!(told["flag"]["dueDateTime"], due);
    let found = site.subjects("/v1.0/me/messages?$filter=categories/any(c:c eq 'red CATEGORY')");
    assert_eq!(found, ["one"]);
    let complete = json!({"flag": {"flagStatus": "complete"}, "categories": ["Blue"]});
    let told = site.patch(&path(&id), complete).json(200);
    assert_eq!(
        (&told["flag"]["flagStatus"], &told["categories"]),
        (&json!("complete"), &json!(["Blue"]))
    );
    let none = json!({"flag": {"flagStatus": "notFlagged"}, "categories": []});
    let told = site.patch(&path(&id), none).json(200);
    assert_eq!(told["flag"], json!({"flagStatus": "notFlagged"}));
    assert_eq!(told["categories"], json!([]));
    assert_eq!(told["isRead"], true);
}

#[test]
fn what_a_received_message_says_can_not_be_changed() {
    let (site, id) = site();
    for change in [
        json!({"subject": "other"}),
        json!({"body": {"content": "x"}}),
        json!({"toRecipients": []}),
        json!({"isDraft": true}),
        json!({"receivedDateTime": "2030-01-01T00:00:00Z"}),
    ] {
        assert_eq!(
            site.patch(&path(&id), change).code(400),
            "ErrorInvalidPropertySet"
        );
    }
    assert_eq!(site.get(&path(&id)).json(200)["subject"], "one");
}

#[test]
fn moved_message_keeps_its_id_and_a_copy_gets_one() {
    let (site, id) = site();
    let to = |folder: &str| json!({"DestinationId": folder});
    let moved = site
        .post(&format!("{}/move", path(&id)), to("archive"))
        .json(201);
    assert_eq!(moved["id"], json!(id));
    let archive = site.get("/v1.0/me/mailFolders/archive").json(200)["id"].clone();
    assert_eq!(moved["parentFolderId"], archive);
    assert_eq!(
        site.get(&format!("/v1.0/me/mailFolders/inbox/messages/{id}"))
            .status,
        404
    );
    let copy = site
        .post(&format!("{}/copy", path(&id)), to("inbox"))
        .json(201);
    assert_ne!(copy["id"], json!(id));
    assert_eq!(copy["subject"], "one");
    assert_eq!(site.get("/v1.0/me/messages/$count").content, "2");
    for folder in ["nowhere", "clutter"] {
        let told = site.post(&format!("{}/move", path(&id)), to(folder));
        assert_eq!(told.code(404), "ErrorItemNotFound");
    }
    let told = site.post(&format!("{}/move", path(&id)), json!({}));
    assert_eq!(told.code(400), "ErrorRequiredPropertyMissing");
}

#[test]
fn message_is_deleted_in_two_steps_or_purged_in_one() {
    let (site, id) = site();
    let told = site.delete(&path(&id));
    assert_eq!((told.status, told.content.len()), (204, 0));
    assert_eq!(told.touched.accounts, [site.account(ALICE).id]);
    let trash = site
        .get("/v1.0/me/mailFolders/deleteditems/messages")
        .json(200);
    assert_eq!(trash["value"][0]["id"], json!(id));
    assert_eq!(site.delete(&path(&id)).status, 204);
    assert_eq!(site.delete(&path(&id)).code(404), "ErrorItemNotFound");
    let other = site.save("INBOX", SystemFlags::NONE, &mail("two", "\r\nx"));
    let purge = format!("{}/permanentDelete", path(&other));
    assert_eq!(site.post(&purge, json!({})).status, 204);
    assert_eq!(site.get(&path(&other)).code(404), "ErrorItemNotFound");
    assert_eq!(site.get("/v1.0/me/messages/$count").content, "0");
}

#[test]
fn messages_of_others_are_not_there() {
    let (site, id) = site();
    let as_bob = |path: &str| site.call_as(Some("bob@example.com"), Method::Get, path, &[], b"");
    assert_eq!(as_bob(&path(&id)).code(404), "ErrorItemNotFound");
    assert_eq!(
        as_bob(&format!("/v1.0/users/{ALICE}/messages/{id}")).code(403),
        "ErrorAccessDenied"
    );
    for bad in ["x", "M", &"M0".repeat(100), "%20"] {
        assert_eq!(site.get(&path(bad)).code(404), "ErrorItemNotFound", "{bad}");
    }
    assert_eq!(
        site.call_as(None, Method::Get, &path(&id), &[], b"").status,
        401
    );
}

#[test]
fn hostile_messages_are_told_as_far_as_they_can_be() {
    let site = Site::new();
    let deep = format!(
        "{}x",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n".repeat(200)
    );
    let many = format!("X: y\r\n{}\r\n", "To: a@b.test\r\n".repeat(5000));
    let messages: [&[u8]; 9] = [
        b"",
        b"\0\xff\xfe",
        b"no header",
        b"Subject: \x1b[0m\0x\r\n\r\n\x07\x00",
        b"Content-Type: text/html; charset=nope\r\n\r\n<a href=\"javascript:x\">\xff</a><b",
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
          Content-Type: message/rfc822\r\n\r\n--b--",
        b"From: <>\r\nTo: ,,,\r\nDate: x\r\nReferences: <<<>>>\r\nMessage-ID: <>\r\n\r\n",
        deep.as_bytes(),
        many.as_bytes(),
    ];
    for (number, message) in messages.into_iter().enumerate() {
        let id = site.save_bytes("INBOX", SystemFlags::NONE, message, START);
        for suffix in [
            "",
            "?$select=uniqueBody,internetMessageHeaders,body",
            "/attachments",
            "/attachments?$expand=microsoft.graph.itemattachment/item",
            "?$expand=attachments",
        ] {
            let told = site.get(&format!("{}{suffix}", path(&id)));
            assert_eq!(told.status, 200, "{number} {suffix}");
        }
        let reply = site.post(&format!("{}/createReplyAll", path(&id)), json!({}));
        assert!(reply.status < 500, "{number}: {reply:?}");
    }
    for query in [
        "$filter=contains(body/content,'x')",
        "$search=\"x\"",
        "$orderby=from/emailAddress/name",
    ] {
        assert_eq!(
            site.get(&format!("/v1.0/me/messages?{query}")).status,
            200,
            "{query}"
        );
    }
    let listed = site
        .get("/v1.0/me/mailFolders/inbox/messages?$top=100")
        .json(200);
    assert_eq!(listed["value"].as_array().unwrap().len(), messages.len());
}
