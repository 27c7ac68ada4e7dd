//! What has changed since a token.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*};
use rmail_proto::imap::StoreMode;
use rmail_store::AccountWrite;

use super::*;

const DELTA: &str = "/v1.0/me/mailFolders/inbox/messages/delta";

/// A round: what was told by id (`None`: removed), and the link of the next one.
fn round(site: &Site, target: &str, items: &str) -> (BTreeMap<String, Option<Value>>, String) {
    let mut told = BTreeMap::new();
    let mut target = target.to_owned();
    let prefer = format!("odata.maxpagesize={items}");
    loop {
        let page = site.get_with(&target, ("prefer", &prefer)).json(200);
        for item in page["value"].as_array().unwrap() {
            let removed = item.get("@removed").is_some();
            told.insert(id(item), (!removed).then(|| item.clone()));
        }
        let link = |name: &str| {
            let link = page[name].as_str()?;
            Some(link.strip_prefix("https://localhost").unwrap().to_owned())
        };
        match (link("@odata.nextLink"), link("@odata.deltaLink")) {
            (Some(next), None) => target = next,
            (None, Some(delta)) => return (told, delta),
            other => panic!("{other:?}"),
        }
    }
}

fn write(site: &Site, write: AccountWrite) {
    let account = site.account(ALICE).id;
    let written = site.store.write_account(START, account, vec![write], &[]);
    written.unwrap().results.remove(0).unwrap();
}

#[test]
fn first_round_tells_all_and_a_later_one_what_changed() {
    let site = Site::new();
    let ids: Vec<String> = (0..5)
        .map(|n| site.save("INBOX", SystemFlags::NONE, &mail(&format!("s{n}"), "\r\n")))
        .collect();
    let (told, link) = round(&site, DELTA, "2");
    assert_eq!(told.len(), 5);
    let (told, link) = round(&site, &link, "2");
    assert!(told.is_empty());
    site.patch(
        &format!("/v1.0/me/messages/{}", ids[0]),
        json!({"isRead": true}),
    );
    site.delete(&format!("/v1.0/me/messages/{}", ids[1]));
    let new = site.save("INBOX", SystemFlags::NONE, &mail("new", "\r\n"));
    let (told, link) = round(&site, &link, "1");
    assert_eq!(told.len(), 3);
    assert_eq!(told[&ids[0]].as_ref().unwrap()["isRead"], true);
    assert_eq!(told[&ids[1]], None);
    assert_eq!(told[&new].as_ref().unwrap()["subject"], "new");
    let passing = site.save("INBOX", SystemFlags::NONE, &mail("passing", "\r\n"));
    site.post(
        &format!("/v1.0/me/messages/{passing}/permanentDelete"),
        json!({}),
    );
    let (told, _) = round(&site, &link, "10");
    assert!(told.values().all(Option::is_none), "{told:?}");
}

#[test]
fn options_live_in_the_token() {
    let site = Site::new();
    site.save("INBOX", SystemFlags::NONE, &mail("one", "\r\n"));
    let (told, link) = round(&site, &format!("{DELTA}?$select=subject"), "10");
    let only = told.values().next().unwrap().as_ref().unwrap();
    assert!(only.get("isRead").is_none() && only["subject"] == "one");
    site.save("INBOX", SystemFlags::NONE, &mail("two", "\r\n"));
    let (told, _) = round(&site, &link, "10");
    let only = told.values().next().unwrap().as_ref().unwrap();
    assert!(only.get("isRead").is_none() && only["subject"] == "two");
}

#[test]
fn what_leaves_the_filter_is_removed_as_changed() {
    let site = Site::new();
    let message = site.save("INBOX", SystemFlags::NONE, &mail("one", "\r\n"));
    let target = format!("{DELTA}?$filter=isRead%20eq%20false");
    let (told, link) = round(&site, &target, "10");
    assert_eq!(told.len(), 1);
    site.patch(
        &format!("/v1.0/me/messages/{message}"),
        json!({"isRead": true}),
    );
    let page = site.get(&link).json(200);
    assert_eq!(page["value"][0]["@removed"]["reason"], "changed");
}

#[test]
fn latest_gives_a_token_alone() {
    let site = Site::new();
    site.save("INBOX", SystemFlags::NONE, &mail("old", "\r\n"));
    let (told, link) = round(&site, &format!("{DELTA}?$deltatoken=latest"), "10");
    assert!(told.is_empty());
    let new = site.save("INBOX", SystemFlags::NONE, &mail("new", "\r\n"));
    let (told, _) = round(&site, &link, "10");
    assert_eq!(told.keys().collect::<Vec<_>>(), [&new]);
}

#[test]
fn change_types_narrow_what_is_told() {
    let site = Site::new();
    let old = site.save("INBOX", SystemFlags::NONE, &mail("old", "\r\n"));
    for (kind, expected) in [("created", "new"), ("updated", "old"), ("deleted", "")] {
        let (_, link) = round(&site, &format!("{DELTA}?changeType={kind}"), "10");
        // Later than the token.
        let at = UnixTime(START.0 + 1000);
        let new = site.save_at("INBOX", SystemFlags::NONE, &mail("new", "\r\n"), at);
        let flip = kind == "updated";
        site.patch(&format!("/v1.0/me/messages/{old}"), json!({"isRead": flip}));
        let (told, link) = round(&site, &link, "10");
        let subjects: Vec<&str> = told
            .values()
            .filter_map(|it| it.as_ref()?["subject"].as_str())
            .collect();
        assert_eq!(subjects.join(","), expected, "{kind}");
        site.post(
            &format!("/v1.0/me/messages/{new}/permanentDelete"),
            json!({}),
        );
        let (told, _) = round(&site, &link, "10");
        assert_eq!(told.contains_key(&new), kind == "deleted", "{kind}");
    }
    assert_eq!(site.get(&format!("{DELTA}?changeType=x")).status, 400);
}

#[test]
fn token_that_is_no_good_is_gone_with_a_place_to_start() {
    let site = Site::new();
    let (_, link) = round(&site, DELTA, "10");
    let token = link.split('=').next_back().unwrap();
    for target in [
        format!("{DELTA}?$deltatoken={token}x"),
        format!("{DELTA}?$deltatoken=x"),
        format!("{DELTA}?$skiptoken={token}"),
        format!("/v1.0/me/mailFolders/drafts/messages/delta?$deltatoken={token}"),
    ] {
        let told = site.get(&target);
        assert_eq!(told.code(410), "SyncStateNotFound");
        let path = target.split('?').next().unwrap();
        assert_eq!(
            told.field("Location"),
            Some(&*format!("https://localhost{path}"))
        );
    }
    let bob = site.call_as(Some("bob@example.com"), Method::Get, &link, &[], b"");
    assert_eq!(bob.status, 410);
}

#[test]
fn folders_that_are_new_renamed_or_gone_are_told() {
    let site = Site::new();
    let target = "/v1.0/me/mailFolders/delta";
    let (told, link) = round(&site, target, "3");
    assert_eq!(told.len(), 6);
    let made = site.post("/v1.0/me/mailFolders", json!({"displayName": "Work"}));
    let made = id(&made.json(201));
    site.save("INBOX", SystemFlags::NONE, &mail("x", "\r\n"));
    let (told, link) = round(&site, &link, "3");
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[&made].as_ref().unwrap()["displayName"], "Work");
    site.post(
        &format!("/v1.0/me/mailFolders/{made}/permanentDelete"),
        json!({}),
    );
    let (told, _) = round(&site, &link, "3");
    assert_eq!(told[&made], None);
}

/// What is done to a mailbox between pages.
#[derive(Clone, Debug)]
enum Step {
    Save,
    Flag(usize),
    Remove(usize),
    Leave(usize),
    Page,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Save),
        2 => (0..8_usize).prop_map(Step::Flag),
        1 => (0..8_usize).prop_map(Step::Remove),
        1 => (0..8_usize).prop_map(Step::Leave),
        4 => Just(Step::Page),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens between pages, a client that follows the links knows the folder in the end.
    #[test]
    fn client_that_follows_the_links_knows_the_folder(steps in vec(step(), 1..40)) {
        let site = Site::new();
        let mut ids: Vec<String> = (0..5)
            .map(|n| site.save("INBOX", SystemFlags::NONE, &mail(&format!("s{n}"), "\r\n")))
            .collect();
        let mut known: BTreeMap<String, bool> = BTreeMap::new();
        let mut target = DELTA.to_owned();
        let mut page = |target: &mut String| {
            let prefer = ("prefer", "odata.maxpagesize=2");
            let page = site.get_with(target, prefer).json(200);
            for item in page["value"].as_array().unwrap() {
                match item.get("@removed") {
                    Some(_) => known.remove(&id(item)),
                    None => known.insert(id(item), item["isRead"] == true),
                };
            }
            let is_end = page["@odata.deltaLink"].is_string();
            let name = if is_end { "@odata.deltaLink" } else { "@odata.nextLink" };
            let link = page[name].as_str().unwrap();
            link.strip_prefix("https://localhost").unwrap().clone_into(target);
            (is_end, known.clone())
        };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Save => {
                    let text = mail(&format!("n{number}"), "\r\n");
                    ids.push(site.save("INBOX", SystemFlags::NONE, &text));
                }
                Step::Flag(index) if !ids.is_empty() => {
                    let it = &ids[index % ids.len()];
                    let read = json!({"isRead": number % 2 == 0});
                    site.patch(&format!("/v1.0/me/messages/{it}"), read);
                }
                Step::Remove(index) if !ids.is_empty() => {
                    let it = ids.remove(index % ids.len());
                    site.post(&format!("/v1.0/me/messages/{it}/permanentDelete"), json!({}));
                }
                Step::Leave(index) if !ids.is_empty() => {
                    let it = ids.remove(index % ids.len());
                    let to = json!({"destinationId": "archive"});
                    site.post(&format!("/v1.0/me/messages/{it}/move"), to);
                }
                Step::Flag(_) | Step::Remove(_) | Step::Leave(_) => {}
                Step::Page => {
                    page(&mut target);
                }
            }
        }
        // The present round to its end, and one more for what came meanwhile.
        while !page(&mut target).0 {}
        let known = loop {
            let (is_end, known) = page(&mut target);
            if is_end {
                break known;
            }
        };
        let present = site.get("/v1.0/me/mailFolders/inbox/messages?$top=1000").json(200);
        let present: BTreeMap<String, bool> = present["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (id(it), it["isRead"] == true))
            .collect();
        prop_assert_eq!(known, present);
    }
}

#[test]
fn what_was_pruned_is_told_as_gone() {
    let site = Site::new();
    let (_, link) = round(&site, DELTA, "10");
    let inbox = site.get("/v1.0/me/mailFolders/inbox").json(200);
    let inbox = rmail_proto::MailboxId::parse(&id(&inbox)).unwrap();
    // More removals than are remembered, in few batches.
    let messages = 2 * rmail_store::limits::TOMBSTONES_MAX;
    let account = site.account(ALICE).id;
    let text = mail("x", "\r\n");
    let mut scanner = rmail_proto::mime::Scanner::new();
    scanner.handle_input(text.as_bytes());
    let new = rmail_store::NewMessage {
        content: rmail_store::Content::Inline(text.clone().into()),
        summary: Arc::new(scanner.finish()),
        flags: Flags::system(SystemFlags::DELETED),
        internal_date: DateTime::utc(START),
    };
    let first = AccountWrite::Save {
        mailbox: MailboxRef::Id(inbox),
        messages: vec![new],
    };
    write(&site, first);
    let all = || rmail_proto::imap::UidSet::from(rmail_proto::Uid::MIN..=rmail_proto::Uid::MAX);
    let mut count = 1;
    while count < messages {
        write(
            &site,
            AccountWrite::Copy {
                source: inbox,
                uids: all(),
                target: MailboxRef::Id(inbox),
            },
        );
        count *= 2;
    }
    let _ = (account, StoreMode::Add);
    write(
        &site,
        AccountWrite::Expunge {
            mailbox: inbox,
            uids: None,
        },
    );
    assert_eq!(site.get(&link).code(410), "SyncStateNotFound");
}
