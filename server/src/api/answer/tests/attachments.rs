//! Attachments.

use super::*;

fn file(name: &str, content: &[u8]) -> Value {
    json!({"@odata.type": "#microsoft.graph.fileAttachment", "name": name,
        "contentType": "text/plain", "contentBytes": BASE64_STANDARD.encode(content)})
}

fn draft(site: &Site) -> String {
    let told = site.post("/v1.0/me/messages", json!({"subject": "draft"}));
    format!("/v1.0/me/messages/{}", id(&told.json(201)))
}

#[test]
fn attachment_is_added_told_and_taken_away() {
    let site = Site::new();
    let message = draft(&site);
    let attachments = format!("{message}/attachments");
    let added = site.post(&attachments, file("a \"b\" \u{e9}.txt", b"hello\n"));
    let location = added.field("Location").unwrap().to_owned();
    let added = added.json(201);
    assert_eq!(added["@odata.type"], "#microsoft.graph.fileAttachment");
    assert_eq!(
        (&added["size"], &added["isInline"]),
        (&json!(6), &json!(false))
    );
    let target = location.strip_prefix("https://localhost").unwrap();
    let told = site.get(target).json(200);
    assert_eq!(
        told["contentBytes"],
        json!(BASE64_STANDARD.encode("hello\n"))
    );
    assert_eq!(told["name"], "a \"b\" \u{e9}.txt");
    let content = site.get(&format!("{target}/$value"));
    assert_eq!(content.content, "hello\n");
    assert_eq!(content.field("Content-Type"), Some("text/plain"));
    assert_eq!(content.field("Content-Security-Policy"), Some("sandbox"));
    assert!(
        content
            .field("Content-Disposition")
            .unwrap()
            .starts_with("attachment; filename=")
    );
    site.post(&attachments, file("second", b"\0\xff")).json(201);
    let list = site.get(&attachments).json(200);
    assert_eq!(list["value"].as_array().unwrap().len(), 2);
    let first = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] != "second");
    let target = format!("{attachments}/{}", id(first.unwrap()));
    assert_eq!(site.delete(&target).status, 204);
    assert_eq!(site.delete(&target).code(404), "ErrorItemNotFound");
    let list = site.get(&format!("{attachments}?$select=name")).json(200);
    let names: Vec<&Value> = list["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["name"])
        .collect();
    assert_eq!(names, ["second"]);
    assert!(list["value"][0].get("contentBytes").is_none());
    assert_eq!(site.get(&message).json(200)["subject"], "draft");
}

#[test]
fn all_attachments_are_told_unless_pages_are_asked_for() {
    let site = Site::new();
    let message = draft(&site);
    let attachments = format!("{message}/attachments");
    for number in 0..12 {
        site.post(&attachments, file(&format!("f{number}"), &[number]))
            .json(201);
    }
    let all = site.get(&attachments).json(200);
    assert_eq!(all["value"].as_array().unwrap().len(), 12);
    assert!(all.get("@odata.nextLink").is_none());
    let page = site
        .get(&format!("{attachments}?$top=5&$count=true&$skip=10"))
        .json(200);
    assert_eq!(page["value"].as_array().unwrap().len(), 2);
    assert_eq!(page["@odata.count"], 12);
    let page = site.get(&format!("{attachments}?$top=5")).json(200);
    assert!(
        page["@odata.nextLink"]
            .as_str()
            .unwrap()
            .ends_with("$skip=5")
    );
}

#[test]
fn message_that_is_attached_is_an_item() {
    let site = Site::new();
    let inner = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
                 Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nFrom: x@y.test\r\n\r\n\
                 <inner text>\r\n--b--\r\n";
    let id_of = site.save("INBOX", SystemFlags::SEEN, &mail("outer", inner));
    let attachments = format!("/v1.0/me/messages/{id_of}/attachments");
    let expand = "$expand=microsoft.graph.itemattachment/item";
    let list = site.get(&format!("{attachments}?{expand}")).json(200);
    let item = &list["value"][0];
    assert_eq!(item["@odata.type"], "#microsoft.graph.itemAttachment");
    assert_eq!(item["item"]["subject"], "inner");
    let target = format!("{attachments}/{}", id(item));
    let told = site.get(&format!("{target}?{expand}")).json(200);
    assert_eq!(told["item"]["from"]["emailAddress"]["address"], "x@y.test");
    assert_eq!(told["item"]["@odata.type"], "#microsoft.graph.message");
    assert!(site.get(&target).json(200).get("item").is_none());
    let mime = site.get(&format!("{target}/$value"));
    assert!(mime.content.starts_with(b"Subject: inner\r\n"));
    assert_eq!(mime.field("Content-Type"), Some("message/rfc822"));
}

#[test]
fn received_messages_and_references_take_no_attachments() {
    let site = Site::new();
    let received = site.save("INBOX", SystemFlags::SEEN, &mail("x", "\r\ntext"));
    let attachments = format!("/v1.0/me/messages/{received}/attachments");
    assert_eq!(
        site.post(&attachments, file("a", b"x")).code(400),
        "ErrorInvalidPropertySet"
    );
    assert_eq!(
        site.delete(&format!("{attachments}/AAAA")).code(400),
        "ErrorInvalidPropertySet"
    );
    let session = json!({"AttachmentItem": {"attachmentType": "file", "name": "a", "size": 1}});
    let told = site.post(&format!("{attachments}/createUploadSession"), session);
    assert_eq!(told.code(400), "ErrorInvalidPropertySet");
    let message = draft(&site);
    let reference = json!({"@odata.type": "#microsoft.graph.referenceAttachment", "name": "x"});
    assert_eq!(
        site.post(&format!("{message}/attachments"), reference)
            .status,
        400
    );
    assert_eq!(
        site.post(&format!("{message}/attachments"), json!({"name": "x"}))
            .status,
        400
    );
    let told = site.get(&format!("{message}/attachments/AAAA"));
    assert_eq!(told.code(404), "ErrorItemNotFound");
}

#[test]
fn draft_must_have_the_version_that_is_named() {
    let site = Site::new();
    let message = draft(&site);
    let etag = site.get(&message).field("ETag").unwrap().to_owned();
    let attachments = format!("{message}/attachments");
    let add = || {
        let body = file("a", b"x").to_string();
        let fields = [("if-match", etag.as_str())];
        site.call_as(
            Some(ALICE),
            Method::Post,
            &attachments,
            &fields,
            body.as_bytes(),
        )
    };
    assert_eq!(add().status, 201);
    assert_eq!(add().code(412), "ErrorIrresolvableConflict");
}
