//! One store below all: what one protocol or process changes, the others show at once.

use rmail_tests::{
    daemon::{Daemon, Kind, MailRoot},
    http::HttpClient,
    lines::Lines,
};
use serde_json::{Value, json};

use crate::{ALICE, PASSWORD, SECRET, client, logged_in, start};

const INBOX: &str = "/v1.0/me/mailFolders/inbox/messages";

fn imap(client: &mut Lines, command: &str) -> Vec<String> {
    let (untagged, completion) = client.imap(command).expect("the connection lasts");
    assert!(completion.starts_with("OK"), "{command}: {completion}");
    untagged
}

fn append(client: &mut Lines, subject: &str) {
    let message = format!("From: {ALICE}\r\nSubject: {subject}\r\n\r\nText.\r\n");
    let length = message.len();
    imap(client, &format!("APPEND INBOX {{{length}+}}\r\n{message}"));
}

/// The messages of INBOX, as the API lists them.
fn listed(client: &mut HttpClient) -> Vec<Value> {
    let page = client.get(INBOX).expect(200).json();
    page["value"].as_array().expect("it is a list").clone()
}

fn only(client: &mut HttpClient) -> Value {
    let listed = listed(client);
    let [message] = &listed[..] else {
        panic!("not one message: {listed:?}")
    };
    message.clone()
}

fn path_of(message: &Value) -> String {
    let id = message["id"].as_str().expect("it is text");
    format!("/v1.0/me/messages/{id}")
}

pub(crate) fn imap_then_http(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let mut mail = daemon.imap(ALICE, PASSWORD);
    let (mut http, _) = logged_in(&daemon);
    append(&mut mail, "one");
    let message = only(&mut http);
    assert_eq!(message["subject"], "one");
    assert_eq!(message["isRead"], false);
    imap(&mut mail, "SELECT INBOX");
    imap(&mut mail, r"STORE 1 +FLAGS (\Seen \Flagged Blue)");
    let changed = only(&mut http);
    assert_eq!(changed["id"], message["id"]);
    assert_eq!(changed["isRead"], true);
    assert_eq!(changed["flag"]["flagStatus"], "flagged");
    assert_eq!(changed["categories"], json!(["Blue"]));
    assert_ne!(changed["@odata.etag"], message["@odata.etag"]);
    imap(&mut mail, "CREATE Projects");
    imap(&mut mail, "MOVE 1 Projects");
    assert!(listed(&mut http).is_empty());
    let moved = http.get(&path_of(&message)).expect(200).json();
    assert_eq!(moved["subject"], "one", "the id outlives the move");
    let folders = http.get("/folders").expect(200).json();
    let folders = folders["folders"].as_array().expect("it is a list");
    assert!(folders.iter().any(|folder| folder["path"] == "Projects"));
    imap(&mut mail, "SELECT Projects");
    imap(&mut mail, r"STORE 1 +FLAGS (\Deleted)");
    imap(&mut mail, "EXPUNGE");
    http.get(&path_of(&message)).expect(404);
    daemon.finish();
}

pub(crate) fn http_then_imap(kind: Kind) {
    let daemon = start(kind, &json!({}));
    let mut mail = daemon.imap(ALICE, PASSWORD);
    let (mut http, _) = logged_in(&daemon);
    imap(&mut mail, "SELECT INBOX");
    let draft = json!({"subject": "two", "body": {"contentType": "text", "content": "Text."}});
    let made = http.post(INBOX, &draft).expect(201).json();
    let told = imap(&mut mail, "NOOP");
    assert!(told.contains(&"* 1 EXISTS".to_owned()), "{told:?}");
    let text = imap(&mut mail, "FETCH 1 BODY.PEEK[]").concat();
    assert!(text.contains("Subject: two"), "{text}");
    let path = path_of(&made);
    let value = http.get(&format!("{path}/$value")).expect(200);
    assert!(text.contains(value.text()), "it is the same, byte for byte");
    http.patch(
        &path,
        &json!({"isRead": true, "flag": {"flagStatus": "flagged"}}),
    )
    .expect(200);
    let told = imap(&mut mail, "NOOP").concat();
    assert!(
        told.contains(r"\Seen") && told.contains(r"\Flagged"),
        "{told}"
    );
    http.post(
        &format!("{path}/move"),
        &json!({"destinationId": "archive"}),
    )
    .expect(201);
    let told = imap(&mut mail, "NOOP");
    assert!(told.contains(&"* 1 EXPUNGE".to_owned()), "{told:?}");
    let found = imap(&mut mail, "STATUS Archive (MESSAGES)");
    assert_eq!(found, ["* STATUS Archive (MESSAGES 1)"]);
    http.post("/folders", &json!({"name": "Plans/2027"}))
        .expect(201);
    let names = imap(&mut mail, r#"LIST "" *"#).concat();
    assert!(names.contains("Plans/2027"), "{names}");
    daemon.finish();
}

pub(crate) fn two_processes(kind: Kind) {
    // The secret is the folder's own, where the configuration has none.
    let root = MailRoot::new();
    let config = json!({"exchange_api": {"token_secret": null}});
    let daemons = [
        root.start_with(kind, &config),
        root.start_with(kind.other(), &config),
    ];
    daemons[0].add_user(ALICE, PASSWORD);
    let mut clients = daemons.each_ref().map(|daemon: &Daemon| client(daemon));
    let token = clients[0].log_in(ALICE, PASSWORD);
    clients[1].set_token(&token);
    assert!(!token.is_empty() && token != SECRET);
    let draft = json!({"subject": "through one"});
    for (here, there) in [(0, 1), (1, 0)] {
        let made = clients[here].post(INBOX, &draft).expect(201).json();
        let path = path_of(&made);
        let seen = clients[there].get(&path).expect(200).json();
        assert_eq!(seen["@odata.etag"], made["@odata.etag"]);
        let change = json!({"isRead": true, "categories": ["Blue"]});
        clients[there].patch(&path, &change).expect(200);
        let seen = clients[here].get(&path).expect(200).json();
        assert_eq!(seen["categories"], json!(["Blue"]));
        assert_eq!(listed(&mut clients[here]).len(), 1);
        clients[here].delete(&path).expect(204);
        assert!(listed(&mut clients[there]).is_empty());
    }
    let folder = clients[1].post("/folders", &json!({"name": "Ours"}));
    let id = folder.expect(201).json()["id"].clone();
    let id = id.as_str().expect("it is text");
    clients[0]
        .get(&format!("/v1.0/me/mailFolders/{id}"))
        .expect(200);
    clients[1].post("/auth/logout", &json!({})).expect(204);
    clients[0].get("/auth/me").expect(401);
    daemons.into_iter().for_each(Daemon::finish);
}
