//! Batches, settings, categories, and the server's own endpoints.

use super::*;

fn put_admin(site: &Site, who: &str) {
    let update = rmail_store::AccountUpdate {
        is_admin: Some(true),
        ..Default::default()
    };
    let account = site.account(who).id;
    let write = DirectoryWrite::UpdateAccount { account, update };
    site.store.write_directory(START, vec![write]).unwrap();
}

fn batch(site: &Site, requests: Value) -> Value {
    site.post("/v1.0/$batch", json!({"requests": requests}))
        .json(200)
}

fn statuses(answer: &Value) -> Vec<(String, u64)> {
    let responses = answer["responses"].as_array().unwrap();
    let mut statuses: Vec<_> = responses
        .iter()
        .map(|it| (id(it), it["status"].as_u64().unwrap()))
        .collect();
    statuses.sort();
    statuses
}

fn pairs(of: &[(&str, u64)]) -> Vec<(String, u64)> {
    of.iter()
        .map(|(id, status)| ((*id).to_owned(), *status))
        .collect()
}

#[test]
fn batch_takes_urls_in_all_spellings_and_keeps_their_order() {
    let site = Site::new();
    let answer = batch(
        &site,
        json!([
            {"id": "a", "method": "GET", "url": "/me"},
            {"id": "b", "method": "GET", "url": "me/mailFolders/inbox"},
            {"id": "c", "method": "get", "url": "/v1.0/me/messages?$filter=isRead eq false"},
            {"id": "d", "method": "GET", "url": "https://localhost/v1.0/me"},
            {"id": "e", "method": "GET", "url": "https://evil.test/v1.0/me"},
            {"id": "f", "method": "GET", "url": "/nonsense"},
            {"id": "g", "method": "POST", "url": "/$batch", "body": {"requests": []}},
        ]),
    );
    let expected = [
        ("a", 200),
        ("b", 200),
        ("c", 200),
        ("d", 200),
        ("e", 400),
        ("f", 400),
        ("g", 400),
    ];
    assert_eq!(statuses(&answer), pairs(&expected));
}

#[test]
fn batch_heeds_what_depends_on_what() {
    let site = Site::new();
    let folder = json!({"displayName": "Work"});
    let json = json!({"Content-Type": "application/json"});
    let answer = batch(
        &site,
        json!([
            {"id": "2", "method": "POST", "url": "/me/mailFolders", "headers": json,
             "body": folder, "dependsOn": ["1"]},
            {"id": "1", "method": "POST", "url": "/me/mailFolders", "headers": json,
             "body": folder},
            {"id": "3", "method": "GET", "url": "/me", "depends_on": ["2"]},
            {"id": "4", "method": "GET", "url": "/me", "dependsOn": []},
        ]),
    );
    let expected = [("1", 201), ("2", 409), ("3", 424), ("4", 200)];
    assert_eq!(statuses(&answer), pairs(&expected));
    for requests in [
        json!([]),
        json!([{"method": "GET", "url": "/me"}]),
        json!([{"id": "1", "method": "GET", "url": "/me"},
               {"id": "1", "method": "GET", "url": "/me"}]),
        json!([{"id": "1", "method": "GET", "url": "/me", "dependsOn": ["1"]}]),
        json!([{"id": "1", "method": "GET", "url": "/me", "dependsOn": ["9"]}]),
        Value::Array(
            (0..21)
                .map(|n| json!({"id": n, "method": "GET", "url": "/me"}))
                .collect(),
        ),
    ] {
        let told = site.post("/v1.0/$batch", json!({"requests": requests}));
        assert_eq!(told.status, 400, "{requests}");
    }
}

#[test]
fn batch_gives_bytes_in_base64_and_counts_what_is_within() {
    let site = Site::new();
    let text = mail("x", "\r\nhello\r\n");
    let message = site.save("INBOX", SystemFlags::NONE, &text);
    let url = format!("/me/messages/{message}/$value");
    let requests = json!({"requests": [{"id": "1", "method": "GET", "url": url}]});
    let told = site.post("/v1.0/$batch", requests);
    assert_eq!(told.touched.requests, 1);
    let answer = told.json(200);
    let body = answer["responses"][0]["body"].as_str().unwrap();
    assert_eq!(BASE64_STANDARD.decode(body).unwrap(), text.as_bytes());
    assert_eq!(
        answer["responses"][0]["headers"]["Content-Type"],
        "text/plain"
    );
}

#[test]
fn batch_opens_nothing_that_its_token_does_not() {
    let site = Site::new();
    let answer = batch(
        &site,
        json!([
            {"id": "1", "method": "GET", "url": "/users"},
            {"id": "2", "method": "GET", "url": "/users/bob@example.com/messages"},
            {"id": "3", "method": "GET", "url": "/../auth/me"},
            {"id": "4", "method": "PUT", "url": "/uploads/x"},
        ]),
    );
    let expected = [("1", 403), ("2", 403), ("3", 400), ("4", 400)];
    assert_eq!(statuses(&answer), pairs(&expected));
}

#[test]
fn mailbox_settings_are_all_there_and_merged() {
    let site = Site::new();
    let target = "/v1.0/me/mailboxSettings";
    let before = site.get(target).json(200);
    for name in [
        "timeZone",
        "language",
        "dateFormat",
        "timeFormat",
        "userPurpose",
    ] {
        assert!(!before[name].is_null(), "{name}");
    }
    let change = json!({"timeZone": "Europe/Berlin", "automaticRepliesSetting": {
        "status": "AlwaysEnabled", "internalReplyMessage": "away"}});
    let after = site.patch(target, change).json(200);
    assert_eq!(after["timeZone"], "Europe/Berlin");
    let replies = &after["automaticRepliesSetting"];
    assert_eq!(replies["status"], "alwaysEnabled");
    assert_eq!(replies["externalAudience"], "all");
    assert!(site.account(ALICE).replies_automatically);
    assert_eq!(site.get(target).json(200)["timeZone"], "Europe/Berlin");
    for change in [
        json!({"timeZone": 1}),
        json!({"automaticRepliesSetting": {"status": "sometimes"}}),
        json!({"automaticRepliesSetting": {"scheduledStartDateTime": {"dateTime": "x"}}}),
    ] {
        assert_eq!(site.patch(target, change.clone()).status, 400, "{change}");
    }
    site.patch(
        target,
        json!({"automaticRepliesSetting": {"status": "disabled"}}),
    );
    assert!(!site.account(ALICE).replies_automatically);
}

#[test]
fn master_categories_are_made_coloured_and_deleted() {
    let site = Site::new();
    let target = "/v1.0/me/outlook/masterCategories";
    let made = site.post(target, json!({"displayName": "Red", "color": "Preset0"}));
    let made = made.json(201);
    assert_eq!(
        (&made["displayName"], &made["color"]),
        (&json!("Red"), &json!("preset0"))
    );
    let doubled = site.post(target, json!({"displayName": "RED"}));
    assert_eq!(doubled.code(409), "ErrorDuplicateCategory");
    let own = format!("{target}/{}", id(&made));
    assert_eq!(
        site.patch(&own, json!({"color": "preset24"})).json(200)["color"],
        "preset24"
    );
    assert_eq!(site.patch(&own, json!({"color": "preset25"})).status, 400);
    assert_eq!(site.patch(&own, json!({"displayName": "Blue"})).status, 400);
    assert_eq!(
        site.get(target).json(200)["value"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(site.delete(&own).status, 204);
    assert_eq!(site.get(&own).code(404), "ErrorItemNotFound");
}

#[test]
fn native_messages_are_appended_changed_copied_and_deleted() {
    let site = Site::new();
    let text = mail("x", "\r\nhello\r\n");
    let body = json!({"folder": "INBOX", "raw": BASE64_STANDARD.encode(&text),
                      "flags": ["\\Seen", "Blue"], "date": "2026-01-02T03:04:05Z"});
    let made = site.post("/messages", body).json(201);
    assert_eq!(made["flags"], json!(["\\Seen", "Blue"]));
    assert_eq!(made["received_at"], "2026-01-02T03:04:05Z");
    let own = format!("/messages/{}", id(&made));
    assert_eq!(site.get(&format!("{own}/raw")).content, text.as_bytes());
    let change = json!({"seen": false, "flagged": true, "add_keywords": ["Red"],
                        "remove_keywords": ["blue"], "folder": "Archive"});
    let changed = site.patch(&own, change).json(200);
    assert_eq!(changed["flags"], json!(["\\Flagged", "Red"]));
    let archive = site.get("/folders/Archive/messages").json(200);
    assert_eq!(
        (&archive["total"], id(&archive["messages"][0])),
        (&json!(1), id(&made))
    );
    let copy = site
        .post(&format!("{own}/copy"), json!({"folder": "INBOX"}))
        .json(201);
    assert_ne!(id(&copy), id(&made));
    assert_eq!(site.delete(&own).status, 204);
    assert_eq!(site.get("/folders/Trash/messages").json(200)["total"], 1);
    assert_eq!(site.delete(&own).status, 204);
    assert_eq!(site.get(&own).status, 404);
    for body in [
        json!({"folder": "INBOX"}),
        json!({"folder": "INBOX", "raw": "!"}),
        json!({"folder": "Nowhere", "raw": "eA=="}),
        json!({"folder": "INBOX", "raw": "eA==", "flags": ["\\Nonsense"]}),
        json!({"folder": "INBOX", "raw": "eA==", "date": "yesterday"}),
    ] {
        let status = site.post("/messages", body.clone()).status;
        assert!((400..500).contains(&status), "{body}: {status}");
    }
}

#[test]
fn native_lists_are_narrowed_sorted_and_cut() {
    let site = Site::new();
    for (number, subject) in ["b", "c", "a"].into_iter().enumerate() {
        let flags = if number == 0 {
            SystemFlags::SEEN
        } else {
            SystemFlags::NONE
        };
        let at = UnixTime(START.0 + i64::try_from(number).unwrap());
        let padding = "x".repeat(100 * (3 - number));
        site.save_at(
            "INBOX",
            flags,
            &mail(subject, &format!("\r\nPart-{subject} {padding}")),
            at,
        );
    }
    let subjects = |options: &str| {
        let told = site
            .get(&format!("/folders/inbox/messages?{options}"))
            .json(200);
        let messages = told["messages"].as_array().unwrap().iter();
        let subjects: Vec<&str> = messages.map(|it| it["subject"].as_str().unwrap()).collect();
        subjects.join("")
    };
    assert_eq!(subjects(""), "acb");
    assert_eq!(subjects("sort=date&limit=2"), "bc");
    assert_eq!(subjects("sort=subject&offset=1"), "bc");
    assert_eq!(subjects("sort=-size"), "bca");
    assert_eq!(subjects("unseen=1"), "ac");
    assert_eq!(subjects("search=part-C"), "c");
    assert_eq!(subjects("since=2023-11-14T22:13:21Z"), "ac");
    for options in ["sort=x", "limit=0", "limit=501", "offset=x", "since=x"] {
        let told = site.get(&format!("/folders/inbox/messages?{options}"));
        assert_eq!(told.status, 400, "{options}");
    }
}

#[test]
fn native_folders_are_made_renamed_and_deleted() {
    let site = Site::new();
    let made = site.post("/folders", json!({"name": "A/B"})).json(201);
    assert_eq!((&made["path"], &made["name"]), (&json!("A/B"), &json!("B")));
    assert_eq!(site.post("/folders", json!({"name": "A/B"})).status, 409);
    for name in ["", "a//b", "a\u{7}"] {
        assert_eq!(
            site.post("/folders", json!({"name": name})).status,
            400,
            "{name:?}"
        );
    }
    let renamed = site.patch("/folders/A%2FB", json!({"name": "C", "subscribed": false}));
    let renamed = renamed.json(200);
    assert_eq!(
        (&renamed["path"], &renamed["subscribed"]),
        (&json!("A/C"), &json!(false))
    );
    let moved = site.patch(
        &format!("/folders/{}", id(&made)),
        json!({"parent_id": null}),
    );
    assert_eq!(moved.json(200)["path"], "C");
    let below = json!({"parent_id": id(&made)});
    assert_eq!(site.patch("/folders/C", below).status, 400);
    assert_eq!(
        site.patch("/folders/INBOX", json!({"name": "x"})).status,
        403
    );
    assert_eq!(site.delete("/folders/inbox").status, 403);
    assert_eq!(site.delete("/folders/C").status, 204);
    assert_eq!(
        site.get("/folders/Trash%2FC/messages").json(200)["total"],
        0
    );
    assert_eq!(site.delete("/folders/Trash%2FC?purge=1").status, 204);
    assert_eq!(site.get("/folders/Trash%2FC/messages").status, 404);
}

#[test]
fn native_submission_goes_out_and_is_kept() {
    let site = Site::new();
    let body = json!({"to": ["bob@example.com"], "bcc": ["carol@example.net"],
                      "subject": "Hi", "text": "hello"});
    let sent = site.post("/messages/send", body).json(202);
    let queue = site.queue();
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].recipients.len(), 2);
    assert!(!site.queued_content(&queue[0]).contains("carol"));
    assert_eq!(sent["queue_id"], json!(queue[0].summary.envelope_id));
    let kept = site.get(&format!("/messages/{}", sent["sent_id"].as_str().unwrap()));
    assert_eq!(kept.json(200)["subject"], "Hi");
    let foreign = json!({"from": "bob@example.com", "to": ["x@example.net"], "subject": "x"});
    assert_eq!(site.post("/messages/send", foreign).status, 403);
    assert_eq!(site.queue().len(), 1);
}

#[test]
fn accounts_are_administered_and_the_last_admin_stays() {
    let site = Site::new();
    assert_eq!(site.get("/users").status, 403);
    put_admin(&site, ALICE);
    let body = json!({"username": "Dora", "domain": "Example.com", "password": "long enough",
                      "display_name": "Dora D.", "quota": 1000});
    let made = site.post("/users", body.clone()).json(201);
    assert_eq!(made["address"], "dora@example.com");
    assert_eq!(
        (&made["quota"], &made["enabled"]),
        (&json!(1000), &json!(true))
    );
    assert_eq!(site.post("/users", body).status, 409);
    for (change, status) in [
        (json!({"password": "short"}), 400),
        (json!({"quota": -1}), 400),
        (json!({"enabled": "yes"}), 400),
        (json!({"enabled": false, "quota": 0}), 200),
    ] {
        let told = site.patch("/users/dora@example.com", change.clone());
        assert_eq!(told.status, status, "{change}");
    }
    assert_eq!(site.get("/users?search=dora").json(200)["total"], 1);
    assert_eq!(site.get("/domains").json(200)["domains"][0]["users"], 3);
    for change in [json!({"is_admin": false}), json!({"enabled": false})] {
        assert_eq!(site.patch(&format!("/users/{ALICE}"), change).status, 409);
    }
    assert_eq!(site.delete(&format!("/users/{ALICE}")).status, 409);
    assert_eq!(site.delete("/users/dora@example.com").status, 204);
    assert_eq!(site.get("/users/dora@example.com").status, 404);
}

#[test]
fn aliases_are_administered_and_seen_by_those_they_lead_to() {
    let site = Site::new();
    put_admin(&site, "bob@example.com");
    let bob = |method, target: &str, body: Value| {
        let body = body.to_string();
        site.call_as(
            Some("bob@example.com"),
            method,
            target,
            &[],
            body.as_bytes(),
        )
    };
    let alias = json!({"address": "Info@example.com", "targets": [ALICE, "x@example.net"]});
    assert_eq!(site.post("/aliases", alias.clone()).status, 403);
    let made = bob(Method::Post, "/aliases", alias.clone()).json(201);
    assert_eq!(
        (&made["address"], &made["enabled"]),
        (&json!("info@example.com"), &json!(true))
    );
    assert_eq!(bob(Method::Post, "/aliases", alias).status, 409);
    for (address, target, status) in [
        ("bob@example.com", ALICE, 409),
        ("a@example.net", ALICE, 400),
        ("b@example.com", "b@example.com", 400),
        ("b@example.com", "*@example.com", 400),
    ] {
        let body = json!({"address": address, "targets": [target]});
        assert_eq!(
            bob(Method::Post, "/aliases", body).status,
            status,
            "{address}"
        );
    }
    let seen = site.get("/aliases").json(200);
    assert_eq!(
        (&seen["total"], &seen["aliases"][0]["address"]),
        (&json!(1), &made["address"])
    );
    let changed = bob(
        Method::Patch,
        "/aliases/INFO@example.com",
        json!({"enabled": false}),
    );
    assert_eq!(changed.json(200)["enabled"], false);
    assert_eq!(
        bob(Method::Delete, "/aliases/info@example.com", json!({})).status,
        204
    );
    assert_eq!(
        bob(Method::Delete, "/aliases/info@example.com", json!({})).status,
        404
    );
}

#[test]
fn token_ends_with_logout_and_with_its_account() {
    let site = Site::new();
    assert_eq!(site.get("/auth/me").json(200)["address"], ALICE);
    assert_eq!(site.post("/auth/logout", json!({})).status, 204);
    let told = site.get("/auth/me");
    assert_eq!(told.status, 401);
    let challenge = told.field("WWW-Authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    let bob = "bob@example.com";
    assert_eq!(
        site.call_as(None, Method::Get, "/auth/me", &[], b"").status,
        401
    );
    let account = site.account(bob).id;
    let now = Now {
        unix: START,
        ..Now::default()
    };
    let old = site.token(bob, now);
    site.store
        .write_directory(START, vec![DirectoryWrite::DeleteAccount(account)])
        .unwrap();
    let made = NewAccount {
        address: Address::parse(bob).unwrap(),
        guid: 9,
        credential: String::new(),
        is_admin: false,
    };
    let write = DirectoryWrite::CreateAccount(made);
    site.store.write_directory(START, vec![write]).unwrap();
    assert_ne!(site.token(bob, now), old, "another GUID");
    let field = format!("Bearer {old}");
    let claims = site.service.tokens.verify(START, &field["Bearer ".len()..]);
    assert_eq!(
        claims.unwrap().subject.guid,
        2,
        "its signature is good, its account is another"
    );
}

#[test]
fn foreign_mailboxes_are_closed_and_foreign_users_hidden() {
    let site = Site::new();
    let told = site.get("/v1.0/users/bob@example.com/messages");
    assert_eq!(told.code(403), "ErrorAccessDenied");
    assert_eq!(site.get("/v1.0/users/bob@example.com").status, 403);
    assert_eq!(site.get("/v1.0/users/nobody@example.com").status, 403);
    put_admin(&site, ALICE);
    assert_eq!(
        site.get("/v1.0/users/bob@example.com").json(200)["mail"],
        "bob@example.com"
    );
    let missing = site.get("/v1.0/users/nobody@example.com");
    assert_eq!(missing.code(404), "Request_ResourceNotFound");
    assert_eq!(
        site.get("/v1.0/users").json(200)["value"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[test]
fn folders_of_graph_obey_their_rules() {
    let site = Site::new();
    let folders = "/v1.0/me/mailFolders";
    let names = |target: &str| {
        let told = site.get(target).json(200);
        let value = told["value"].as_array().unwrap().iter();
        let names: Vec<String> = value
            .map(|it| it["displayName"].as_str().unwrap().to_owned())
            .collect();
        names.join(",")
    };
    assert_eq!(
        names(folders),
        "Archive,Deleted Items,Drafts,Inbox,Junk Email,Sent Items"
    );
    let made = site.post(folders, json!({"displayName": "Work"})).json(201);
    assert_eq!(
        names(&format!(
            "{folders}?$filter=displayName%20eq%20'wORK'&$top=1"
        )),
        "Work"
    );
    let own = format!("{folders}/{}", id(&made));
    assert_eq!(
        site.post(folders, json!({"displayName": "WORK"})).code(409),
        "ErrorFolderExists"
    );
    let child = site.post(
        &format!("{own}/childFolders"),
        json!({"displayName": "2026"}),
    );
    assert_eq!(child.json(201)["parentFolderId"], made["id"]);
    assert_eq!(names(&format!("{own}/childFolders")), "2026");
    let below = json!({"destinationId": id(&child.json(201))});
    assert_eq!(
        site.post(&format!("{own}/move"), below).code(400),
        "ErrorMoveCopyFailed"
    );
    let moved = site.post(&format!("{own}/move"), json!({"DestinationId": "archive"}));
    let archive = site.get(&format!("{folders}/Archive")).json(200);
    assert_eq!(moved.json(201)["parentFolderId"], archive["id"]);
    for (told, code) in [
        (
            site.delete(&format!("{folders}/inbox")),
            "ErrorDeleteDistinguishedFolder",
        ),
        (
            site.post(
                &format!("{folders}/inbox/move"),
                json!({"destinationId": "archive"}),
            ),
            "ErrorMoveDistinguishedFolder",
        ),
        (
            site.patch(&format!("{folders}/SentItems"), json!({"displayName": "x"})),
            "ErrorAccessDenied",
        ),
    ] {
        assert_eq!(told.code(403), code);
    }
    assert_eq!(
        site.get(&format!("{folders}/clutter")).code(404),
        "ErrorItemNotFound"
    );
    assert_eq!(
        site.get(&format!("{folders}/msgfolderroot")).json(200)["childFolderCount"],
        6
    );
    assert_eq!(site.delete(&own).status, 204);
    assert_eq!(
        names(&format!("{folders}/deleteditems/childFolders")),
        "Work"
    );
    assert_eq!(site.delete(&own).status, 204);
    assert_eq!(site.get(&own).status, 404);
}
