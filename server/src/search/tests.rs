//! What SEARCH promises, on a store in a temporary folder.

use std::{fmt::Write as _, sync::Arc};

use bytes::Bytes;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use rmail_proto::{
    AccountId, Address, DateTime, EmailId, Flags, Keyword, MailboxId, ModSeq, SystemFlags,
    ThreadId, Uid, UnixTime,
    imap::{DateTest, SearchKey, Snapshot, StoreMode, UidSet},
    limits::{FETCH_HEADER_BYTES, FETCH_MESSAGES},
    mime::{Part, PartKind, Parts, Summary},
};
use rmail_store::{
    AccountWrite, AccountWritten, Content, DirectoryWrite, MailboxRef, NewAccount, NewMessage,
    RealFiles, SqliteStore, Store, StoreError, limits::INLINE_BYTES,
};

use super::{Place, search};
use crate::limits;

const NOW: UnixTime = UnixTime(1_800_000_000);

/// An INBOX in a temporary folder.
struct World {
    store: SqliteStore,
    account: AccountId,
    mailbox: MailboxId,
    _folder: tempfile::TempDir,
}

/// A part to write a message from, each with its header without the empty line.
enum Mime {
    Leaf(String, Vec<u8>),
    Multipart(String, Vec<Mime>),
    Message(String, Box<Mime>),
}

/// A message as it is saved.
#[derive(Default)]
struct Written {
    bytes: Vec<u8>,
    parts: Vec<Part>,
}

impl Written {
    fn new(mime: &Mime) -> Self {
        let mut written = Self::default();
        written.write(mime);
        written
    }

    fn write(&mut self, mime: &Mime) {
        let (kind, header, children) = match mime {
            Mime::Leaf(header, _) => (PartKind::Leaf, header, 0),
            Mime::Multipart(header, parts) => (PartKind::Multipart, header, parts.len() as u32),
            Mime::Message(header, _) => (PartKind::Message, header, 1),
        };
        let start = self.length();
        self.bytes.extend(header.as_bytes());
        self.bytes.extend(b"\r\n");
        let body_start = self.length();
        let index = self.parts.len();
        self.parts.push(Part {
            kind,
            header: start..body_start,
            body: body_start..body_start,
            children,
        });
        match mime {
            Mime::Leaf(_, body) => self.bytes.extend(body),
            Mime::Multipart(_, parts) => {
                for part in parts {
                    self.bytes.extend(b"\r\n--b\r\n");
                    self.write(part);
                }
                self.bytes.extend(b"\r\n--b--\r\n");
            }
            Mime::Message(_, message) => self.write(message),
        }
        self.parts[index].body.end = self.length();
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let root = folder.path().join("mail");
        let store = SqliteStore::open(&root, Arc::new(RealFiles), None, 1).expect("it opens");
        let account = NewAccount {
            address: Address::parse("a@example.com").expect("it is one"),
            guid: 1,
            credential: String::new(),
            is_admin: false,
        };
        let made = store.write_directory(NOW, vec![DirectoryWrite::CreateAccount(account)]);
        let account = *made.expect("it writes")[0].as_ref().expect("it is made");
        let inbox = MailboxRef::Name("INBOX".to_owned());
        let mailbox = store.status(account, &inbox).expect("it is there").mailbox;
        Self {
            store,
            account,
            mailbox,
            _folder: folder,
        }
    }

    fn write(&self, write: AccountWrite) -> AccountWritten {
        let written = self
            .store
            .write_account(NOW, self.account, vec![write], &[]);
        let results = written.expect("it writes").results;
        let result = results.into_iter().next();
        result.expect("one result a write").expect("it is done")
    }

    fn save_all(&self, messages: Vec<(Written, Flags, DateTime)>) -> Vec<Uid> {
        let messages = messages.into_iter().map(|(written, flags, internal_date)| {
            let parts = Parts::new(written.parts).expect("a tree");
            let header = &parts.iter().next().expect("there is one").header;
            let summary = Summary {
                size_bytes: written.bytes.len() as u64,
                header_bytes: header.end,
                parts: parts.encode(),
                ..Summary::default()
            };
            NewMessage {
                content: self.content(written.bytes),
                summary: Arc::new(summary),
                flags,
                internal_date,
            }
        });
        let saved = self.write(AccountWrite::Save {
            mailbox: MailboxRef::Id(self.mailbox),
            messages: messages.collect(),
        });
        match saved {
            AccountWritten::Saved { uids, .. } => uids,
            other => panic!("{other:?}"),
        }
    }

    fn content(&self, bytes: Vec<u8>) -> Content {
        if bytes.len() <= INLINE_BYTES {
            return Content::Inline(Bytes::from(bytes));
        }
        let stage = self.store.stage().expect("it begins");
        self.store.stage_append(stage, &bytes).expect("it grows");
        self.store.stage_finish(stage).expect("it ends");
        Content::Staged(stage)
    }

    fn save(&self, mime: &Mime) -> Uid {
        let written = Written::new(mime);
        self.save_all(vec![(written, Flags::default(), DateTime::utc(NOW))])[0]
    }

    fn save_text(&self, header: &str, body: impl AsRef<[u8]>) -> Uid {
        self.save(&leaf(header, body))
    }

    fn snapshot(&self) -> Snapshot {
        let inbox = MailboxRef::Id(self.mailbox);
        let state = self.store.mailbox_state(self.account, &inbox);
        Snapshot::default().apply(&state.expect("it is there").changes)
    }

    fn search_in(&self, snapshot: &Snapshot, key: &SearchKey) -> Result<UidSet, StoreError> {
        let place = Place {
            store: &self.store,
            account: self.account,
            mailbox: self.mailbox,
        };
        search(&place, snapshot, &UidSet::from(Uid::MIN..=Uid::MAX), key)
    }

    fn search(&self, key: &SearchKey) -> String {
        let found = self.search_in(&self.snapshot(), key);
        found.expect("it searches").to_string()
    }

    fn body(&self, text: &str) -> String {
        self.search(&SearchKey::Body(text.to_owned()))
    }

    fn text(&self, text: &str) -> String {
        self.search(&SearchKey::Text(text.to_owned()))
    }
}

fn leaf(header: &str, body: impl AsRef<[u8]>) -> Mime {
    Mime::Leaf(header.to_owned(), body.as_ref().to_vec())
}

fn multipart(header: &str, parts: Vec<Mime>) -> Mime {
    let header = format!("{header}Content-Type: multipart/mixed; boundary=b\r\n");
    Mime::Multipart(header, parts)
}

fn forwarded(message: Mime) -> Mime {
    Mime::Message(
        "Content-Type: message/rfc822\r\n".to_owned(),
        Box::new(message),
    )
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn or(one: SearchKey, other: SearchKey) -> SearchKey {
    SearchKey::Or(Box::new(one), Box::new(other))
}

fn header(name: &str, text: &str) -> SearchKey {
    SearchKey::Header(name.to_owned(), text.to_owned())
}

#[test]
fn texts_are_found_however_they_are_encoded() {
    let world = World::new();
    let plain = "Content-Type: text/plain; charset=";
    world.save_text("Subject: =?utf-8?B?R3LDvMOfZQ==?=\r\n", "nothing\r\n");
    let encoded = format!("{plain}utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n");
    world.save_text(&encoded, "Gr=C3=\r\n=BC=C3=9Fe\r\n");
    let encoded = format!("{plain}iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n");
    world.save_text(&encoded, "R3L832U=\r\n");
    assert_eq!(world.search(&header("subject", "GRÜße")), "1");
    assert_eq!(world.body("grüße"), "2:3");
    assert_eq!(world.text("grüße"), "1:3");
    assert_eq!(world.text("base64"), "3");
    assert_eq!(world.body("base64"), "");
    assert_eq!(world.body("R3L832U="), "");
}

#[test]
fn all_text_parts_are_searched_and_nothing_else() {
    let world = World::new();
    world.save(&multipart(
        "Subject: outer\r\n",
        vec![
            leaf("Content-Type: text/plain\r\n", "first words"),
            multipart(
                "",
                vec![leaf("Content-Type: text/html\r\n", "<p>second words</p>")],
            ),
            leaf("Content-Type: application/x-any\r\n", "third words"),
            leaf(
                "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n",
                "Zm91cnRo",
            ),
        ],
    ));
    assert_eq!(world.body("FIRST WORDS"), "1");
    assert_eq!(world.body("second"), "1");
    for text in ["third", "fourth", "Zm91cnRo", "--b", "outer", "text/html"] {
        assert_eq!(world.body(text), "", "{text}");
    }
    assert_eq!(world.text("outer"), "1");
}

#[test]
fn message_within_a_message_is_searched_with_its_header() {
    let world = World::new();
    let innermost = leaf("Subject: =?utf-8?Q?K=C3=B6ln?=\r\n", "inner words");
    let inner = multipart("Subject: middle\r\n", vec![forwarded(innermost)]);
    world.save(&multipart("Subject: outer\r\n", vec![forwarded(inner)]));
    for text in ["middle", "köln", "inner words"] {
        assert_eq!(world.body(text), "1", "{text}");
        assert_eq!(world.text(text), "1", "{text}");
        assert_eq!(world.search(&header("subject", text)), "", "{text}");
    }
    assert_eq!(world.body("outer"), "");
}

#[test]
fn message_that_fits_no_batch_is_read_part_by_part() {
    let world = World::new();
    let attachment = vec![b'x'; limits::SEARCH_BATCH_BYTES + 1];
    world.save(&multipart(
        "Subject: large\r\n",
        vec![
            leaf("Content-Type: application/zip\r\n", attachment),
            leaf("Content-Type: text/plain\r\n", "after the large one"),
        ],
    ));
    world.save_text("", "small");
    assert_eq!(world.body("the large"), "1");
    assert_eq!(world.body("xx"), "");
    assert_eq!(world.text("subject: large"), "1");
}

#[test]
fn text_of_a_part_is_searched_up_to_its_bound() {
    let world = World::new();
    let mut body = vec![b'x'; limits::SEARCH_PART_BYTES as usize];
    body[limits::SEARCH_PART_BYTES as usize - 3..].copy_from_slice(b"end");
    body.extend(b"beyond");
    world.save_text("", body);
    assert_eq!(world.body("xend"), "1");
    assert_eq!(world.body("endb"), "");
}

#[test]
fn header_too_long_to_come_along_is_searched() {
    let world = World::new();
    let mut fields = String::new();
    while fields.len() <= FETCH_HEADER_BYTES {
        write!(fields, "X-Filler: {}\r\n", "y".repeat(500)).expect("it fits");
    }
    world.save_text(&format!("{fields}Subject: last\r\n"), "words");
    assert_eq!(world.search(&header("subject", "last")), "1");
    assert_eq!(world.search(&header("subject", "words")), "");
    assert_eq!(world.text("subject: last"), "1");
    assert_eq!(world.body("words"), "1");
    assert_eq!(world.body("yyy"), "");
}

#[test]
fn message_with_a_damaged_part_tree_is_searched_as_one_text() {
    let world = World::new();
    let bytes = b"Subject: s\r\n\r\nsome words";
    let summary = Summary {
        size_bytes: bytes.len() as u64,
        header_bytes: 14,
        parts: vec![9],
        ..Summary::default()
    };
    world.write(AccountWrite::Save {
        mailbox: MailboxRef::Id(world.mailbox),
        messages: vec![NewMessage {
            content: Content::Inline(Bytes::from_static(bytes)),
            summary: Arc::new(summary),
            flags: Flags::default(),
            internal_date: DateTime::utc(NOW),
        }],
    });
    assert_eq!(world.body("some words"), "1");
    assert_eq!(world.body("subject"), "");
}

#[test]
fn message_that_has_gone_matches_nothing_not_even_not() {
    let world = World::new();
    for body in ["one", "two", "three"] {
        world.save_text("Subject: s\r\n", body);
    }
    let before = world.snapshot();
    let second = UidSet::from_iter(Uid::new(2));
    world.write(AccountWrite::StoreFlags {
        mailbox: world.mailbox,
        uids: second.clone(),
        mode: StoreMode::Add,
        flags: Flags::system(SystemFlags::DELETED),
        unchanged_since: None,
    });
    world.write(AccountWrite::Expunge {
        mailbox: world.mailbox,
        uids: Some(second),
    });
    for key in [
        not(SearchKey::Body("nowhere".to_owned())),
        not(header("subject", "nowhere")),
        SearchKey::Larger(0),
    ] {
        let found = world.search_in(&before, &key).expect("it searches");
        assert_eq!(found.to_string(), "1,3", "{key:?}");
    }
    let after = world.snapshot();
    let found = world.search_in(&after, &SearchKey::All);
    assert_eq!(found.expect("it searches").to_string(), "1,3");
}

#[test]
fn dates_are_compared_in_their_own_zones() {
    let world = World::new();
    let day = 19_787; // 2024-03-05
    let date = |hour, zone| DateTime::from_civil((2024, 3, 5), (hour, 30, 0), zone);
    let message = |date_field: &str, received: Option<DateTime>| {
        let header = format!("{date_field}\r\n");
        let received = received.expect("there is such a date");
        (
            Written::new(&leaf(&header, "x")),
            Flags::default(),
            received,
        )
    };
    world.save_all(vec![
        message("Date: Tue, 5 Mar 2024 23:30:00 -0800", date(0, 14 * 60)),
        message("Date: Wed, 6 Mar 2024 00:30:00 +1400", date(23, -12 * 60)),
        message("Date: nonsense", date(12, 0)),
        message("Subject: none", date(12, 0)),
    ]);
    let internal = |test, day| world.search(&SearchKey::InternalDate(test, day));
    assert_eq!(internal(DateTest::On, day), "1:4");
    assert_eq!(internal(DateTest::Before, day), "");
    assert_eq!(internal(DateTest::Since, day), "1:4");
    assert_eq!(internal(DateTest::Since, day + 1), "");
    let sent = |test, day| world.search(&SearchKey::SentDate(test, day));
    assert_eq!(sent(DateTest::On, day), "1,3:4");
    assert_eq!(sent(DateTest::Since, day + 1), "2");
    assert_eq!(sent(DateTest::Before, day + 1), "1,3:4");
}

#[test]
fn ids_and_modseqs_are_compared() {
    let world = World::new();
    world.save_text("Subject: s\r\n", "one");
    world.save_text("Subject: s\r\n", "two");
    let uids = [Uid::MIN];
    let found = world
        .store
        .messages(world.account, world.mailbox, &uids, Default::default(), 1);
    let (messages, _) = found.expect("it reads");
    let (email, thread) = (messages[0].email_id, messages[0].thread_id);
    assert_eq!(world.search(&SearchKey::EmailId(email)), "1");
    assert_eq!(world.search(&SearchKey::ThreadId(thread)), "1");
    assert_eq!(world.search(&SearchKey::EmailId(EmailId(email.0 ^ 1))), "");
    assert_eq!(
        world.search(&SearchKey::ThreadId(ThreadId(thread.0 ^ 1))),
        ""
    );
    let snapshot = world.snapshot();
    let (_, second) = snapshot.iter().nth(1).expect("there are two");
    assert_eq!(world.search(&SearchKey::ModSeq(second.modseq)), "2");
    assert_eq!(world.search(&SearchKey::ModSeq(ModSeq(0))), "1:2");
}

#[test]
fn empty_text_is_in_every_message() {
    let world = World::new();
    world.save_text("Content-Type: image/png\r\n", "x");
    assert_eq!(world.body(""), "1");
    assert_eq!(world.text(""), "1");
    assert_eq!(world.search(&header("content-type", "")), "1");
    assert_eq!(world.search(&header("subject", "")), "");
}

#[test]
fn only_the_uids_asked_for_and_known_are_looked_at() {
    let world = World::new();
    for _ in 0..4 {
        world.save_text("", "word");
    }
    let place = Place {
        store: &world.store,
        account: world.account,
        mailbox: world.mailbox,
    };
    let asked: UidSet = [2, 4, 9].into_iter().filter_map(Uid::new).collect();
    let found = |key| search(&place, &world.snapshot(), &asked, &key).expect("it searches");
    assert_eq!(found(SearchKey::All).to_string(), "2,4");
    assert_eq!(found(SearchKey::Body("word".to_owned())).to_string(), "2,4");
}

#[test]
fn mailbox_of_many_batches_is_searched_whole() {
    let world = World::new();
    let count = FETCH_MESSAGES * 2 + 1;
    let message = |number: usize| {
        let body = if number % 2 == 1 { "odd" } else { "even" };
        // Together far more than one step may hold.
        let body = format!("{body}{}", " ".repeat(8 * 1024));
        let written = Written::new(&leaf("", body));
        (written, Flags::default(), DateTime::utc(NOW))
    };
    world.save_all((1..=count).map(message).collect());
    let snapshot = world.snapshot();
    let found = world.search_in(&snapshot, &SearchKey::Body("ODD".to_owned()));
    let odd = (1..=count as u32).step_by(2).filter_map(Uid::new).collect();
    assert_eq!(found.expect("it searches"), odd);
}

/// A message of the property below, and what a plain evaluation knows of it.
struct Plain {
    uid: u32,
    flags: Flags,
    subject: &'static str,
    body: &'static str,
    size_bytes: u64,
}

impl Plain {
    fn matches(&self, key: &SearchKey) -> bool {
        match key {
            SearchKey::All => true,
            SearchKey::And(keys) => keys.iter().all(|key| self.matches(key)),
            SearchKey::Or(one, other) => self.matches(one) | self.matches(other),
            SearchKey::Not(key) => !self.matches(key),
            SearchKey::Uids(uids) => uids.iter().any(|uid| uid.get() == self.uid),
            SearchKey::Flags(flags) => self.flags.system.contains(*flags),
            SearchKey::Keyword(keyword) => self.flags.keywords.contains(keyword),
            SearchKey::Larger(bytes) => self.size_bytes > *bytes,
            SearchKey::Smaller(bytes) => self.size_bytes < *bytes,
            SearchKey::Header(_, text) => self.subject.contains(text),
            SearchKey::Body(text) => self.body.contains(text),
            SearchKey::Text(text) => self.subject.contains(text) || self.body.contains(text),
            SearchKey::InternalDate(test, day) | SearchKey::SentDate(test, day) => {
                let today = DateTime::utc(NOW).day_number();
                match test {
                    DateTest::Before => today < *day,
                    DateTest::On => today == *day,
                    DateTest::Since => today >= *day,
                }
            }
            SearchKey::ModSeq(_) | SearchKey::EmailId(_) | SearchKey::ThreadId(_) => {
                unreachable!("not generated")
            }
        }
    }
}

fn keyword() -> Keyword {
    Keyword::new("work").expect("it is an atom")
}

fn any_key() -> impl Strategy<Value = SearchKey> {
    let text = || "[pqr]{1,2}";
    let test = || {
        prop_oneof![
            Just(DateTest::Before),
            Just(DateTest::On),
            Just(DateTest::Since)
        ]
    };
    let today = DateTime::utc(NOW).day_number();
    let day = || today - 1..=today + 1;
    let one = prop_oneof![
        Just(SearchKey::All),
        Just(SearchKey::Flags(SystemFlags::SEEN)),
        Just(SearchKey::Keyword(keyword())),
        (1u32..6).prop_map(|uid| SearchKey::Uids(UidSet::from_iter(Uid::new(uid)))),
        (20u64..40).prop_map(SearchKey::Larger),
        (20u64..40).prop_map(SearchKey::Smaller),
        (test(), day()).prop_map(|(test, day)| SearchKey::InternalDate(test, day)),
        (test(), day()).prop_map(|(test, day)| SearchKey::SentDate(test, day)),
        text().prop_map(|text| header("subject", &text)),
        text().prop_map(SearchKey::Body),
        text().prop_map(SearchKey::Text),
    ];
    one.prop_recursive(4, 24, 3, |key| {
        prop_oneof![
            proptest::collection::vec(key.clone(), 0..4).prop_map(SearchKey::And),
            (key.clone(), key.clone()).prop_map(|(one, other)| or(one, other)),
            key.prop_map(not),
        ]
    })
}

#[test]
fn looking_step_by_step_finds_what_looking_at_everything_finds() {
    let world = World::new();
    let mut messages = Vec::new();
    for (uid, (subject, body)) in (1..).zip([
        ("p", "q"),
        ("q", "pq rr"),
        ("r p", "p"),
        ("pr", ""),
        ("", "qrp"),
    ]) {
        let flags = Flags {
            system: if uid % 2 == 0 {
                SystemFlags::SEEN
            } else {
                SystemFlags::NONE
            },
            keywords: (uid > 2).then(keyword).into_iter().collect(),
        };
        let written = Written::new(&leaf(&format!("Subject: {subject}\r\n"), body));
        messages.push(Plain {
            uid,
            flags: flags.clone(),
            subject,
            body,
            size_bytes: written.length(),
        });
        world.save_all(vec![(written, flags, DateTime::utc(NOW))]);
    }
    let snapshot = world.snapshot();
    let mut runner = TestRunner::new(Config {
        cases: 256,
        failure_persistence: None,
        ..Config::default()
    });
    let law = runner.run(&any_key(), |key| {
        let found = world.search_in(&snapshot, &key).expect("it searches");
        let expected = messages.iter().filter(|message| message.matches(&key));
        let expected: UidSet = expected
            .filter_map(|message| Uid::new(message.uid))
            .collect();
        prop_assert_eq!(found, expected);
        Ok(())
    });
    law.expect("it holds");
}
