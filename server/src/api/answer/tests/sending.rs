//! Sending.

use super::*;

fn message(to: &[&str]) -> Value {
    let to: Vec<Value> = to.iter().map(|address| recipient(address)).collect();
    json!({"subject": "hello", "body": {"contentType": "text", "content": "text"},
        "toRecipients": to, "bccRecipients": [recipient("secret@example.net")]})
}

fn paths(entry: &QueuedMessage) -> Vec<String> {
    let recipients = entry.recipients.iter();
    recipients.map(|it| it.recipient.path.to_string()).collect()
}

const SENT: &str = "/v1.0/me/mailFolders/sentitems/messages";

#[test]
fn mail_is_queued_for_all_and_bcc_stays_with_the_sender() {
    let site = Site::new();
    let to = ["bob@example.com", "carol@example.net"];
    let told = site.post("/v1.0/me/sendMail", json!({"Message": message(&to)}));
    assert_eq!((told.status, told.content.len()), (202, 0));
    assert!(told.touched.spool);
    let queue = site.queue();
    assert_eq!(queue.len(), 1);
    let all = [
        "<bob@example.com>",
        "<carol@example.net>",
        "<secret@example.net>",
    ];
    assert_eq!(paths(&queue[0]), all);
    assert_eq!(
        queue[0].summary.reverse_path.to_string(),
        format!("<{ALICE}>")
    );
    let sent = site.queued_content(&queue[0]);
    assert!(
        sent.starts_with("Received: by mail.example.com with HTTPS"),
        "{sent}"
    );
    assert!(!sent.to_lowercase().contains("bcc") && !sent.contains("secret@"));
    let copy = site.get(SENT).json(200)["value"][0].clone();
    assert_eq!(
        (&copy["isRead"], &copy["isDraft"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        copy["bccRecipients"][0]["emailAddress"]["address"],
        "secret@example.net"
    );
    let id = copy["internetMessageId"].as_str().unwrap();
    assert!(sent.contains(&format!("Message-ID: {id}")));
}

#[test]
fn copy_is_kept_unless_the_sender_will_not_have_it() {
    let site = Site::new();
    let body = json!({"message": message(&["bob@example.com"]), "SaveToSentItems": false});
    assert_eq!(site.post("/v1.0/me/sendMail", body).status, 202);
    assert_eq!(site.subjects(SENT), [""; 0]);
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn sent_draft_moves_to_sent_items_and_keeps_its_id() {
    let site = Site::new();
    let draft = site
        .post("/v1.0/me/messages", message(&["bob@example.com"]))
        .json(201);
    let path = format!("/v1.0/me/messages/{}", id(&draft));
    let fields = [("content-type", "application/json")];
    let send = || {
        site.call_as(
            Some(ALICE),
            Method::Post,
            &format!("{path}/send"),
            &fields,
            b"",
        )
    };
    assert_eq!(send().status, 202);
    assert_eq!(
        site.subjects("/v1.0/me/mailFolders/drafts/messages"),
        [""; 0]
    );
    let sent = site.get(&format!("{SENT}/{}", id(&draft))).json(200);
    assert_eq!(
        (&sent["isDraft"], &sent["isRead"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(sent["internetMessageId"], draft["internetMessageId"]);
    assert_eq!(send().code(400), "ErrorInvalidRequest");
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn who_may_not_send_so_sends_nothing_and_keeps_nothing() {
    let site = Site::new();
    let send = |message: Value| site.post("/v1.0/me/sendMail", json!({"message": message}));
    let with = |name: &str, value: Value| {
        let mut message = message(&["bob@example.com"]);
        message[name] = value;
        message
    };
    let bob = recipient("bob@example.com");
    assert_eq!(
        send(with("from", bob.clone())).code(403),
        "ErrorSendAsDenied"
    );
    assert_eq!(
        send(with("sender", bob.clone())).code(403),
        "ErrorSendAsDenied"
    );
    let mime = "From: bob@example.com\r\nTo: a@example.net\r\nSubject: x\r\n\r\n";
    assert_eq!(
        site.post_mime("/v1.0/me/sendMail", mime).code(403),
        "ErrorSendAsDenied"
    );
    let nobody = json!({"subject": "x"});
    assert_eq!(send(nobody).code(400), "ErrorInvalidRecipients");
    let many: Vec<Value> = (0..51)
        .map(|n| recipient(&format!("u{n}@example.net")))
        .collect();
    assert_eq!(
        send(with("toRecipients", json!(many))).code(400),
        "ErrorInvalidRecipients"
    );
    assert_eq!(
        send(with("toRecipients", json!([recipient("x")]))).code(400),
        "ErrorInvalidRecipients"
    );
    assert_eq!(
        site.post("/v1.0/me/sendMail", json!({})).code(400),
        "ErrorRequiredPropertyMissing"
    );
    let draft = site.post("/v1.0/me/messages", with("from", bob)).json(201);
    let send = format!("/v1.0/me/messages/{}/send", id(&draft));
    assert_eq!(site.post(&send, json!({})).code(403), "ErrorSendAsDenied");
    let still = site.get(&format!(
        "/v1.0/me/mailFolders/drafts/messages/{}",
        id(&draft)
    ));
    assert_eq!(still.json(200)["changeKey"], draft["changeKey"]);
    assert!(site.queue().is_empty());
    assert_eq!(site.subjects(SENT), [""; 0]);
    let own = json!({"emailAddress": {"address": "ALICE+tag@example.com"}});
    let own = json!({"message": with("from", own)});
    assert_eq!(site.post("/v1.0/me/sendMail", own).status, 202);
}

#[test]
fn where_the_copy_has_no_room_nothing_is_sent() {
    let site = Site::new();
    let draft = site
        .post("/v1.0/me/messages", message(&["bob@example.com"]))
        .json(201);
    site.set_quota(ALICE, 1);
    let mail = json!({"message": message(&["bob@example.com"])});
    assert_eq!(
        site.post("/v1.0/me/sendMail", mail.clone()).code(507),
        "ErrorQuotaExceeded"
    );
    assert!(site.queue().is_empty());
    assert_eq!(site.subjects(SENT), [""; 0]);
    let still = site.get(&format!("/v1.0/me/messages/{}", id(&draft)));
    assert_eq!(still.json(200)["isDraft"], true);
    let uncopied = json!({"message": mail["message"], "saveToSentItems": false});
    assert_eq!(site.post("/v1.0/me/sendMail", uncopied).status, 202);
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn nothing_leaves_where_relaying_is_off() {
    let site = Site::with(json!({"relay": {"enabled": false}}));
    let mut mail = message(&["bob@example.com"]);
    let told = site.post("/v1.0/me/sendMail", json!({"message": mail}));
    assert_eq!(told.code(400), "ErrorInvalidRecipients");
    mail["bccRecipients"] = json!([]);
    assert_eq!(
        site.post("/v1.0/me/sendMail", json!({"message": mail}))
            .status,
        202
    );
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn mime_is_sent_as_it_is() {
    let site = Site::new();
    let mime = "From: Alice <alice@example.com>\r\nTo: bob@example.com\r\nBcc: c@example.net\r\n\
                Message-ID: <mine@example.com>\r\nSubject: mime\r\nX-Odd:  two  blanks\r\n\r\n\
                text\r\n";
    assert_eq!(site.post_mime("/v1.0/me/sendMail", mime).status, 202);
    let queue = site.queue();
    assert_eq!(paths(&queue[0]), ["<bob@example.com>", "<c@example.net>"]);
    let sent = site.queued_content(&queue[0]);
    assert!(sent.contains("X-Odd:  two  blanks\r\n") && sent.contains("<mine@example.com>"));
    assert!(!sent.contains("c@example.net") && sent.contains("\r\nDate: "));
    assert_eq!(site.subjects(SENT), ["mime"]);
    let fields = [("content-type", "text/plain")];
    let told = site.call_as(
        Some(ALICE),
        Method::Post,
        "/v1.0/me/sendMail",
        &fields,
        b"!!",
    );
    assert_eq!(told.code(400), "ErrorMimeContentInvalidBase64String");
}

#[test]
fn answers_are_sent_and_the_original_is_marked() {
    let site = Site::new();
    let original = site.save("INBOX", SystemFlags::SEEN, &mail("topic", "\r\ntext"));
    let path = format!("/v1.0/me/messages/{original}");
    let has = |flag: &str| {
        let account = site.account(ALICE).id;
        let instance = rmail_proto::InstanceId::parse(&original).unwrap();
        let found = site.store.find_message(account, instance).unwrap().unwrap();
        let flags = found.state.flags;
        match flag {
            "answered" => flags.system.contains(SystemFlags::ANSWERED),
            keyword => flags.keywords.iter().any(|it| it.as_str() == keyword),
        }
    };
    let forward = json!({"toRecipients": [recipient("x@example.net")], "comment": "see"});
    assert_eq!(site.post(&format!("{path}/forward"), forward).status, 202);
    assert!(has("$Forwarded") && !has("answered"));
    assert_eq!(
        site.post(&format!("{path}/forward"), json!({})).code(400),
        "ErrorInvalidRecipients"
    );
    assert_eq!(
        site.post(&format!("{path}/reply"), json!({"comment": "yes"}))
            .status,
        202
    );
    assert!(has("answered"));
    assert_eq!(
        site.post(&format!("{path}/replyAll"), json!({})).status,
        202
    );
    let queue = site.queue();
    assert_eq!(queue.len(), 3);
    let reply = site.queued_content(&queue[1]);
    assert!(
        reply.contains("In-Reply-To: <topic@example.com>"),
        "{reply}"
    );
    let mut sent = site.subjects(SENT);
    sent.sort();
    assert_eq!(sent, ["FW: topic", "RE: topic", "RE: topic"]);
}

#[test]
fn reply_that_was_a_draft_marks_the_original_when_it_is_sent() {
    let site = Site::new();
    let original = site.save("INBOX", SystemFlags::SEEN, &mail("topic", "\r\ntext"));
    let path = format!("/v1.0/me/messages/{original}");
    let draft = site
        .post(&format!("{path}/createReply"), json!({}))
        .json(201);
    let flags = || {
        let account = site.account(ALICE).id;
        let instance = rmail_proto::InstanceId::parse(&original).unwrap();
        let found = site.store.find_message(account, instance).unwrap();
        found.unwrap().state.flags.system
    };
    assert!(!flags().contains(SystemFlags::ANSWERED));
    let send = format!("/v1.0/me/messages/{}/send", id(&draft));
    assert_eq!(site.post(&send, json!({})).status, 202);
    assert!(flags().contains(SystemFlags::ANSWERED));
}

#[test]
fn large_mail_is_sent_from_a_file() {
    let site = Site::new();
    let mut mail = message(&["bob@example.com"]);
    mail["body"]["content"] = json!("a line of text\n".repeat(40_000));
    assert_eq!(
        site.post("/v1.0/me/sendMail", json!({"message": mail}))
            .status,
        202
    );
    let queue = site.queue();
    assert!(queue[0].summary.size_bytes > 500_000);
    assert_eq!(
        site.queued_content(&queue[0]).len() as u64,
        queue[0].summary.size_bytes
    );
    assert_eq!(site.subjects(SENT), ["hello"]);
}
