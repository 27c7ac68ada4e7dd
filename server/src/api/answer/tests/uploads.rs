//! Upload sessions.

use super::*;

struct Upload<'s> {
    site: &'s Site,
    message: String,
    /// Path of the session.
    path: String,
}

impl<'s> Upload<'s> {
    fn new(site: &'s Site, size: usize) -> Self {
        let told = site.post("/v1.0/me/messages", json!({"subject": "draft"}));
        let message = format!("/v1.0/me/messages/{}", id(&told.json(201)));
        Self::of(site, message, size)
    }

    fn of(site: &'s Site, message: String, size: usize) -> Self {
        let item = json!({"AttachmentItem": {"attachmentType": "file", "name": "big.bin",
            "size": size}});
        let target = format!("{message}/attachments/createUploadSession");
        let told = site.post(&target, item).json(201);
        let end = format!("0-{}", size - 1);
        assert_eq!(told["nextExpectedRanges"], json!([end]));
        assert!(told["expirationDateTime"].as_str().unwrap().ends_with('Z'));
        let url = told["uploadUrl"].as_str().unwrap();
        let path = url.strip_prefix("https://localhost").unwrap().to_owned();
        assert!(path.starts_with("/v1.0/uploads/"));
        Self {
            site,
            message,
            path,
        }
    }

    /// A range, sent without any token.
    fn put(&self, range: &str, content: &[u8]) -> Told {
        let range = format!("bytes {range}");
        let fields = [
            ("content-range", range.as_str()),
            ("content-type", "application/octet-stream"),
        ];
        self.site
            .call_as(None, Method::Put, &self.path, &fields, content)
    }

    fn get(&self) -> Told {
        self.site.call_as(None, Method::Get, &self.path, &[], b"")
    }

    fn attachments(&self) -> Vec<Value> {
        let told = self
            .site
            .get(&format!("{}/attachments", self.message))
            .json(200);
        told["value"].as_array().unwrap().clone()
    }
}

#[test]
fn ranges_become_an_attachment_with_the_last_one() {
    let site = Site::new();
    let upload = Upload::new(&site, 10);
    let told = upload.put("0-3/10", b"0123").json(200);
    assert_eq!(told["nextExpectedRanges"], json!(["4-9"]));
    assert!(upload.attachments().is_empty());
    assert_eq!(upload.get().json(200)["nextExpectedRanges"], json!(["4-9"]));
    let done = upload.put("4-9/10", b"456789");
    let location = done.field("Location").unwrap().to_owned();
    let body = done.json(201);
    assert_eq!(body["@odata.type"], "#microsoft.graph.fileAttachment");
    assert_eq!(
        (&body["name"], &body["size"]),
        (&json!("big.bin"), &json!(10))
    );
    let target = location.strip_prefix("https://localhost").unwrap();
    assert_eq!(site.get(&format!("{target}/$value")).content, "0123456789");
    assert_eq!(upload.attachments().len(), 1);
}

#[test]
fn last_range_repeated_is_answered_again_and_changes_nothing() {
    let site = Site::new();
    let upload = Upload::new(&site, 6);
    let first = upload.put("0-5/6", b"abcdef");
    for (range, content) in [("0-5/6", &b""[..]), ("3-5/6", b"xyz"), ("0-5/6", b"abcdef")] {
        let again = upload.put(range, content);
        assert_eq!(again.field("Location"), first.field("Location"));
        assert_eq!(again.json(201), first.json(201));
    }
    assert_eq!(upload.attachments().len(), 1);
    assert_eq!(upload.get().json(200)["nextExpectedRanges"], json!([]));
    // The token of somebody, or what is none, is not looked at.
    let fields = [("content-range", "bytes 0-5/6")];
    let as_bob = site.call_as(
        Some("bob@example.com"),
        Method::Put,
        &upload.path,
        &fields,
        b"",
    );
    assert_eq!(as_bob.status, 201);
}

#[test]
fn ranges_that_do_not_follow_leave_the_state_alone() {
    let site = Site::new();
    let upload = Upload::new(&site, 10);
    upload.put("0-4/10", b"01234").json(200);
    for (range, content) in [
        ("6-7/10", &b"67"[..]),
        ("4-6/10", b"456"),
        ("5-6/11", b"56"),
        ("5-6/10", b"567"),
        ("5-9/10", b""),
        ("5-10/10", b"56789x"),
    ] {
        assert_eq!(
            upload.put(range, content).code(416),
            "invalidRange",
            "{range}"
        );
    }
    // One that is there already is passed over.
    let told = upload.put("0-4/10", b"xxxxx").json(200);
    assert_eq!(told["nextExpectedRanges"], json!(["5-9"]));
    assert_eq!(upload.put("nonsense", b"x").status, 400);
    upload.put("5-9/10", b"56789").json(201);
    assert_eq!(
        upload.attachments()[0]["contentBytes"],
        json!(BASE64_STANDARD.encode("0123456789"))
    );
}

#[test]
fn session_ends_with_its_time_its_message_or_a_word() {
    let site = Site::new();
    let cancelled = Upload::new(&site, 5);
    let told = site.call_as(None, Method::Delete, &cancelled.path, &[], b"");
    assert_eq!(told.status, 204);
    assert_eq!(
        cancelled.put("0-4/5", b"01234").code(404),
        "ErrorItemNotFound"
    );
    let orphan = Upload::new(&site, 5);
    let purge = format!("{}/permanentDelete", orphan.message);
    assert_eq!(site.post(&purge, json!({})).status, 204);
    assert_eq!(orphan.put("0-4/5", b"01234").code(404), "ErrorItemNotFound");
    assert_eq!(orphan.get().status, 404);
    let late = Upload::new(&site, 5);
    site.requests.set(site.requests.get() + 3600);
    assert_eq!(late.put("0-4/5", b"01234").code(404), "ErrorItemNotFound");
    for path in [
        "/v1.0/uploads/x",
        &late.path[..late.path.len() - 1],
        &format!("{}A", late.path),
    ] {
        assert_eq!(
            site.call_as(None, Method::Get, path, &[], b"").status,
            404,
            "{path}"
        );
    }
}

#[test]
fn sessions_are_bounded_and_those_that_are_done_do_not_count() {
    let limits = json!({"uploads_per_mailbox": 2, "upload_bytes_per_mailbox": 1000});
    let site = Site::with(json!({"exchange_api": {"limits": limits}}));
    let first = Upload::new(&site, 5);
    let second = Upload::of(&site, first.message.clone(), 5);
    let item = |size: u64| json!({"AttachmentItem": {"name": "x", "size": size}});
    let target = format!("{}/attachments/createUploadSession", first.message);
    let told = site.post(&target, item(5));
    assert!(told.field("Retry-After").is_some());
    assert_eq!(told.code(429), "TooManyRequests");
    first.put("0-4/5", b"01234").json(201);
    second.put("0-4/5", b"01234").json(201);
    assert_eq!(site.post(&target, item(5)).status, 201);
    assert_eq!(site.post(&target, item(1001)).status, 429);
    assert_eq!(
        site.post(&target, item(60_000_000)).code(413),
        "ErrorMessageSizeExceeded"
    );
    assert_eq!(first.attachments().len(), 2);
}
