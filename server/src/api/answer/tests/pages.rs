//! Pages that were told before. That what is told from memory is what is so, is checked with each
//! list of all tests here (see [`Site::call_as`]).

use proptest::{collection::vec, prelude::*};

use super::*;

const INBOX: &str = "/v1.0/me/mailFolders/inbox/messages";

/// Lists that are asked for after each step.
const LISTS: [&str; 6] = [
    INBOX,
    "/v1.0/me/messages?$count=true",
    "/v1.0/me/mailFolders/archive/messages",
    "/v1.0/me/messages?$filter=categories/any(c:c%20eq%20'Two%20words')",
    "/v1.0/me/messages?$orderby=importance,subject",
    "/v1.0/me/messages?$search=%22letter%22",
];

/// What may change a page.
#[derive(Clone, Debug)]
enum Step {
    Save,
    Patch(usize, Value),
    Post(usize, &'static str, Value),
    Delete(usize),
    Rename(&'static str),
    NameAccount(&'static str),
    SaveDraft,
}

fn step() -> impl Strategy<Value = Step> {
    let changes = [
        json!({"isRead": true}),
        json!({"importance": "high"}),
        json!({"categories": ["Two words"]}),
        json!({"categories": []}),
        json!({"flag": {"flagStatus": "flagged", "dueDateTime": {
            "dateTime": "2030-01-01T00:00:00", "timeZone": "UTC"}, "startDateTime": {
            "dateTime": "2029-01-01T00:00:00", "timeZone": "UTC"}}}),
        json!({"subject": "another letter"}),
    ];
    let to = || json!({"destinationId": "archive"});
    let posts = [
        ("move", to()),
        ("copy", to()),
        ("permanentDelete", json!({})),
    ];
    let which = 0..8_usize;
    prop_oneof![
        2 => Just(Step::Save),
        6 => (which.clone(), proptest::sample::select(changes.to_vec()))
            .prop_map(|(which, change)| Step::Patch(which, change)),
        3 => (which.clone(), proptest::sample::select(posts.to_vec()))
            .prop_map(|(which, (action, body))| Step::Post(which, action, body)),
        1 => which.prop_map(Step::Delete),
        1 => proptest::sample::select(vec!["A", "B"]).prop_map(Step::Rename),
        1 => proptest::sample::select(vec!["Alice", "Ann"]).prop_map(Step::NameAccount),
        1 => Just(Step::SaveDraft),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_from_memory_is_so(steps in vec(step(), 1..16)) {
        let site = Site::new();
        let folder = site.post("/v1.0/me/mailFolders", json!({"displayName": "Work"}));
        let folder = format!("/v1.0/me/mailFolders/{}", id(&folder.json(201)));
        let mut ids = Vec::new();
        for step in [Step::Save, Step::SaveDraft].into_iter().chain(steps) {
            let which = |which: usize| format!("/v1.0/me/messages/{}", ids[which % ids.len()]);
            match step {
                Step::Save => {
                    let mail = mail("letter", "\r\nletter\r\n");
                    ids.push(site.save("INBOX", SystemFlags::NONE, &mail));
                }
                Step::Patch(index, change) => drop(site.patch(&which(index), change)),
                Step::Post(index, action, body) => {
                    site.post(&format!("{}/{action}", which(index)), body);
                }
                Step::Delete(index) => drop(site.delete(&which(index))),
                Step::Rename(name) => drop(site.patch(&folder, json!({"displayName": name}))),
                Step::NameAccount(name) => name_account(&site, name),
                Step::SaveDraft => {
                    // As some clients save it: it is told to be from the account.
                    let mail = "Subject: letter\r\n\r\n";
                    ids.push(site.save("Drafts", SystemFlags::DRAFT, mail));
                }
            }
            for list in LISTS {
                site.get(list).json(200);
            }
        }
    }
}

fn name_account(site: &Site, name: &str) {
    let update = rmail_store::AccountUpdate {
        display_name: Some(name.to_owned()),
        ..Default::default()
    };
    let account = site.account(ALICE).id;
    let batch = vec![DirectoryWrite::UpdateAccount { account, update }];
    assert!(site.store.write_directory(START, batch).unwrap()[0].is_ok());
}

#[test]
fn page_is_told_from_memory_until_something_changes() {
    let site = Site::new();
    let message = site.save("INBOX", SystemFlags::NONE, &mail("letter", "\r\n"));
    let place = |preferences: &[(&str, &str)]| {
        let told = site.call_as(Some(ALICE), Method::Get, INBOX, preferences, b"");
        // What is told from memory lies where it lay.
        told.content.as_ptr()
    };
    let first = place(&[]);
    assert_eq!(place(&[]), first);
    assert_ne!(place(&[("prefer", "odata.maxpagesize=1")]), first);
    assert_eq!(place(&[]), first, "both are remembered");
    site.get(&format!("/v1.0/me/messages/{message}")).json(200);
    assert_eq!(place(&[]), first, "who reads changes nothing");
    site.patch(
        &format!("/v1.0/me/messages/{message}"),
        json!({"isRead": true}),
    );
    assert_ne!(place(&[]), first);
}

#[test]
fn pages_of_one_account_are_not_told_another() {
    let site = Site::new();
    site.save("INBOX", SystemFlags::NONE, &mail("letter", "\r\n"));
    assert_eq!(site.subjects(INBOX), ["letter"]);
    let bobs = site.call_as(Some("bob@example.com"), Method::Get, INBOX, &[], b"");
    assert_eq!(subjects(&bobs.json(200)), [""; 0]);
    assert_eq!(site.subjects(INBOX), ["letter"]);
}
