//! Lists of messages: filters, orders, searches, pages.

use std::collections::BTreeSet;

use super::*;

/// Messages with the subjects `s0`, `s1`, …; each third is read, each fourth from carol, three of
/// a kind arrived at the same second.
fn site(count: i64) -> Site {
    let site = Site::new();
    for number in 0..count {
        let flags = match number % 3 {
            0 => SystemFlags::SEEN,
            _ => SystemFlags::NONE,
        };
        let mime = match number % 4 {
            0 => format!("From: carol@example.net\r\nSubject: s{number}\r\n\r\nneedle {number}"),
            _ => mail(&format!("s{number}"), &format!("\r\nhay {number}")),
        };
        site.save_at("INBOX", flags, &mime, UnixTime(START.0 + number / 3));
    }
    site
}

const INBOX: &str = "/v1.0/me/mailFolders/inbox/messages";

/// All pages of a list.
fn pages(site: &Site, query: &str) -> (Vec<String>, usize) {
    let mut all = Vec::new();
    let mut target = format!("{INBOX}?{query}");
    for page in 1.. {
        let told = site.get(&target).json(200);
        all.extend(subjects(&told));
        match told["@odata.nextLink"].as_str() {
            Some(link) => {
                assert_ne!(told["value"], json!([]), "an empty page has no link");
                let rest = link.strip_prefix("https://localhost");
                target = rest.expect("it is absolute").to_owned();
            }
            None => return (all, page),
        }
    }
    unreachable!("there is an end");
}

fn numbers(subjects: &[String]) -> Vec<i64> {
    subjects.iter().map(|it| it[1..].parse().unwrap()).collect()
}

#[test]
fn default_order_is_newest_first_and_pages_are_of_ten() {
    let site = site(25);
    let told = site.get(INBOX).json(200);
    let first = numbers(&subjects(&told));
    assert_eq!(first.len(), 10);
    assert_eq!(first[0], 24);
    assert!(first.is_sorted_by(|a, b| a / 3 >= b / 3));
    assert!(told.get("@odata.count").is_none());
    let counted = site.get(&format!("{INBOX}?$count=true&$top=2")).json(200);
    assert_eq!(counted["@odata.count"], 25);
}

#[test]
fn pages_neither_repeat_nor_skip_a_message_whatever_the_query() {
    let site = site(40);
    for (query, count) in [
        ("$top=7", 40),
        ("$top=7&$orderby=receivedDateTime", 40),
        ("$top=7&$orderby=receivedDateTime asc,id asc", 40),
        (
            "$top=7&$orderby=from/emailAddress/address,receivedDateTime desc",
            40,
        ),
        ("$top=7&$orderby=isRead", 40),
        ("$top=3&$filter=isRead eq false", 26),
        (
            "$top=3&$filter=isRead eq true and isDraft eq false&$orderby=subject desc",
            14,
        ),
        ("$top=3&$filter=startswith(subject,'s1')", 11),
        (
            "$top=3&$filter=from/emailAddress/address eq 'CAROL@example.net'",
            10,
        ),
        (
            "$top=3&$filter=contains(body/content,'needle')&$count=true",
            10,
        ),
        ("$top=3&$search=\"needle\"", 10),
        ("$top=3&$search=\"from:carol isread:false\"", 6),
        ("$top=40", 40),
        ("$top=1000", 40),
        ("$top=20&$filter=parentFolderId eq 'inbox'", 40),
        ("$top=5&$filter=subject eq 'nothing'", 0),
    ] {
        let query = query.replace(' ', "%20").replace('"', "%22");
        let (all, _) = pages(&site, &query);
        let unique: BTreeSet<&String> = all.iter().collect();
        assert_eq!((all.len(), unique.len()), (count, count), "{query}");
    }
    let top = |items: u32| pages(&site, &format!("$top={items}")).1;
    assert_eq!((top(20), top(40), top(41)), (2, 1, 1));
    let (all, _) = pages(&site, "$top=7&$skip=30");
    assert_eq!(all.len(), 10);
}

#[test]
fn walk_finds_each_message_though_many_came_at_once() {
    let site = Site::new();
    for number in 0..300 {
        let mime = mail(&format!("s{number}"), "\r\nx");
        site.save("INBOX", SystemFlags::NONE, &mime);
    }
    let (all, _) = pages(&site, "$top=100&$filter=startswith(subject,'s')");
    let unique: BTreeSet<&String> = all.iter().collect();
    assert_eq!((all.len(), unique.len()), (300, 300));
    let (all, _) = pages(&site, "$top=100&$orderby=subject");
    assert_eq!(all.len(), 300);
    assert!(all.is_sorted());
}

#[test]
fn dates_are_ranges_of_seconds() {
    let site = site(9);
    let found = |filter: &str| {
        let filter = filter.replace(' ', "%20").replace('+', "%2B");
        numbers(&site.subjects(&format!("{INBOX}?$filter={filter}")))
    };
    // The middle second is 22:13:21.
    assert_eq!(found("receivedDateTime ge 2023-11-14T22:13:21Z").len(), 6);
    assert_eq!(found("receivedDateTime gt 2023-11-14T22:13:21Z").len(), 3);
    assert_eq!(found("receivedDateTime ge 2023-11-14T22:13:20.5Z").len(), 6);
    assert_eq!(
        found("receivedDateTime lt 2023-11-14T22:13:21+00:00").len(),
        3
    );
    assert_eq!(found("receivedDateTime lt 2023-11-14T22:13:21.5Z").len(), 6);
    assert_eq!(found("receivedDateTime le 2023-11-14T22:13:21Z").len(), 6);
    assert_eq!(found("receivedDateTime eq 2023-11-14T22:13:21Z").len(), 3);
    assert_eq!(found("receivedDateTime eq 2023-11-14T22:13:21.5Z").len(), 0);
    assert_eq!(found("2023-11-14T22:13:21Z lt receivedDateTime").len(), 3);
    let between = "receivedDateTime ge 2023-11-14T22:13:21Z and receivedDateTime lt \
                   2023-11-14T22:13:22Z and isRead eq false";
    assert_eq!(found(between).len(), 2);
    assert_eq!(found("receivedDateTime ne 2023-11-14T22:13:21Z").len(), 6);
    let twice = "receivedDateTime ge 2023-11-14T22:13:22Z and receivedDateTime ge \
                 2023-11-14T22:13:21Z";
    assert_eq!(found(twice).len(), 3);
}

#[test]
fn what_the_store_selects_is_what_the_filter_says() {
    let site = Site::new();
    let flagged = SystemFlags::FLAGGED | SystemFlags::SEEN;
    site.save("INBOX", flagged, &mail("flagged", "\r\nx"));
    site.save("INBOX", SystemFlags::NONE, &mail("plain", "\r\nx"));
    let id = site.save("INBOX", SystemFlags::DRAFT, &mail("draft", "\r\nx"));
    site.save("Archive", SystemFlags::NONE, &mail("elsewhere", "\r\nx"));
    let change = json!({"flag": {"flagStatus": "complete"}});
    site.patch(&format!("/v1.0/me/messages/{id}"), change)
        .json(200);
    let found = |filter: &str| {
        let filter = filter.replace(' ', "%20");
        let mut found = site.subjects(&format!("/v1.0/me/messages?$filter={filter}"));
        found.sort();
        found
    };
    assert_eq!(found("flag/flagStatus eq 'flagged'"), ["flagged"]);
    assert_eq!(
        found("flag/flagStatus eq 'notFlagged'"),
        ["elsewhere", "plain"]
    );
    assert_eq!(found("flag/flagStatus eq 'complete'"), ["draft"]);
    assert_eq!(found("isDraft"), ["draft"]);
    assert_eq!(
        found("not isRead and isDraft eq false"),
        ["elsewhere", "plain"]
    );
    assert_eq!(found("isRead and not isRead"), [""; 0]);
    assert_eq!(found("isRead or isDraft"), ["draft", "flagged"]);
    assert_eq!(found("parentFolderId eq 'archive'"), ["elsewhere"]);
    assert_eq!(found("parentFolderId ne 'archive'").len(), 3);
    let archive = site.get("/v1.0/me/mailFolders/archive").json(200);
    let by_id = format!("parentFolderId eq '{}'", archive["id"].as_str().unwrap());
    assert_eq!(found(&by_id), ["elsewhere"]);
    let both = format!("{by_id} and parentFolderId eq 'inbox'");
    assert_eq!(found(&both), [""; 0]);
    assert_eq!(
        found("parentFolderId eq 'F00000000000000000000000000000000'"),
        [""; 0]
    );
    assert_eq!(found("true").len(), 4);
    assert_eq!(found("false"), [""; 0]);
    let counted = site.get("/v1.0/me/messages/$count?$filter=isRead%20eq%20false");
    assert_eq!((counted.content, counted.status), (Bytes::from("3"), 200));
}

#[test]
fn list_shows_what_is_selected_and_expanded() {
    let site = Site::new();
    let parts = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n\
                 Content-Disposition: attachment; filename=a.txt\r\n\r\nhello\r\n--b--\r\n";
    site.save("INBOX", SystemFlags::NONE, &mail("one", parts));
    let target = format!("{INBOX}?$select=isRead&$expand=attachments($select=id,name)");
    let told = site.get(&target).json(200)["value"][0].clone();
    let names: Vec<&String> = told.as_object().unwrap().keys().collect();
    assert_eq!(names, ["@odata.etag", "attachments", "id", "isRead"]);
    let attachment = &told["attachments"][0];
    assert_eq!(attachment["@odata.type"], "#microsoft.graph.fileAttachment");
    assert_eq!(attachment["name"], "a.txt");
    assert!(attachment.get("contentBytes").is_none());
    let whole = site.get(&format!("{INBOX}?$expand=attachments")).json(200);
    assert_eq!(
        whole["value"][0]["attachments"][0]["contentBytes"],
        "aGVsbG8="
    );
    let filter = "$filter=hasAttachments%20eq%20true";
    assert_eq!(site.subjects(&format!("{INBOX}?{filter}")), ["one"]);
    assert_eq!(whole["value"][0]["hasAttachments"], true);
}

#[test]
fn root_has_no_messages_and_other_folders_theirs() {
    let site = site(2);
    assert_eq!(
        site.subjects("/v1.0/me/mailFolders/msgfolderroot/messages"),
        [""; 0]
    );
    assert_eq!(
        site.subjects("/v1.0/me/mailFolders/SentItems/messages"),
        [""; 0]
    );
    assert_eq!(
        site.get("/v1.0/me/mailFolders/x/messages").code(404),
        "ErrorItemNotFound"
    );
    for query in [
        "$top=0",
        "$filter=x",
        "$skiptoken=abc",
        "$search=%22a%22&$filter=isRead",
    ] {
        assert_eq!(site.get(&format!("{INBOX}?{query}")).status, 400, "{query}");
    }
}

#[test]
fn folders_are_filtered_and_sorted() {
    let site = Site::new();
    for name in ["beta", "Alpha"] {
        site.post("/v1.0/me/mailFolders", json!({"displayName": name}))
            .json(201);
    }
    let found = |query: &str| {
        let query = query.replace(' ', "%20");
        let told = site.get(&format!("/v1.0/me/mailFolders?{query}")).json(200);
        let folders = told["value"].as_array().unwrap().iter();
        let names = folders.map(|it| it["displayName"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(found("$filter=displayName eq 'ALPHA'&$top=1"), ["Alpha"]);
    assert_eq!(found("$filter=displayName eq 'sent items'"), ["Sent Items"]);
    assert_eq!(found("$filter=startswith(displayName,'b')"), ["beta"]);
    let all = found("$filter=parentFolderId eq 'msgfolderroot'&$orderby=displayName desc&$top=999");
    assert!(all.len() > 2 && all.is_sorted_by(|a, b| a.to_lowercase() >= b.to_lowercase()));
    assert_eq!(
        site.get("/v1.0/me/mailFolders?$search=%22x%22").code(400),
        "BadRequest"
    );
}
