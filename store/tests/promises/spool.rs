//! The spool.

use std::sync::Arc;

use bytes::Bytes;
use rmail_proto::{
    ForwardPath, ReversePath, UnixTime,
    smtp::{MailNotice, Recipient},
};
use rmail_store::{
    AccountWrite, Claim, Concluded, Content, Destination, Fate, Lots, NewRecipient, NewSpoolEntry,
    SpoolEntry, SpoolId, SpoolWrite, SpoolWritten, Store, StoreError, Told, limits,
};

use crate::world::{NOW, World, address, make_account, message, summary, uids_in, write};

pub(crate) fn entry(text: &str) -> NewSpoolEntry {
    entry_for(text, &[(Some("ann@example.com"), None), (None, None)])
}

/// A message for these paths (`None` is the postmaster's), each with the key of its destination.
pub(crate) fn entry_for(text: &str, recipients: &[(Option<&str>, Option<&str>)]) -> NewSpoolEntry {
    let recipients = recipients.iter().map(|(path, destination)| NewRecipient {
        recipient: Recipient::new(match path {
            None => ForwardPath::Postmaster,
            Some(text) => ForwardPath::Address(address(text)),
        }),
        destination: match destination {
            None => Destination::Local,
            Some(key) => Destination::Remote((*key).to_owned()),
        },
    });
    NewSpoolEntry {
        is_claimed: true,
        envelope_id: "envelope".to_owned(),
        reverse_path: ReversePath::Address(address("\"b @ c\"@example.org")),
        notice: MailNotice::default(),
        smtputf8: false,
        eight_bit_mime: true,
        recipients: recipients.collect(),
        summary: Arc::new(summary(text)),
        content: Content::Inline(Bytes::copy_from_slice(text.as_bytes())),
    }
}

pub(crate) fn one(
    store: &dyn Store,
    now: UnixTime,
    write: SpoolWrite,
) -> Result<SpoolWritten, StoreError> {
    let results = store.write_spool(now, vec![write]).expect("it writes");
    results
        .into_iter()
        .next()
        .expect("one result per operation")
}

pub(crate) fn accept(store: &dyn Store, entry: NewSpoolEntry) -> SpoolId {
    match one(store, NOW, SpoolWrite::Accept(entry)).expect("it is accepted") {
        SpoolWritten::Accepted(id) => id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn claim_with(
    store: &dyn Store,
    now: UnixTime,
    claim: Claim,
) -> (Vec<SpoolEntry>, Option<UnixTime>) {
    match one(store, now, SpoolWrite::Claim(claim)).expect("it claims") {
        SpoolWritten::Claimed { entries, next_due } => (entries, next_due),
        other => panic!("{other:?}"),
    }
}

fn claim_all(store: &dyn Store, now: UnixTime) -> (Vec<SpoolEntry>, Option<UnixTime>) {
    let claim = Claim {
        lots: Lots::Local,
        count_max: 10,
        bytes_max: 1_000_000,
    };
    claim_with(store, now, claim)
}

fn claim(store: &dyn Store, now: UnixTime) -> Vec<SpoolEntry> {
    claim_all(store, now).0
}

fn due(store: &dyn Store) -> Option<UnixTime> {
    claim_all(store, UnixTime(0)).1
}

fn claimed_ids(store: &dyn Store, now: UnixTime) -> Vec<u64> {
    claim(store, now).iter().map(|entry| entry.id.0).collect()
}

fn hold(store: &dyn Store, spool: SpoolId, until: UnixTime) {
    let put_off = SpoolWrite::PutOff {
        spool,
        destination: Destination::Local,
        until,
        reason: "not now".to_owned(),
    };
    one(store, NOW, put_off).expect("it is put off");
}

fn finish(store: &dyn Store, spool: SpoolId, recipients: &[u32]) {
    let finish = SpoolWrite::Conclude {
        spool,
        destination: Destination::Local,
        concluded: vec![Concluded {
            recipients: recipients.to_vec(),
            fate: Fate::Delivered,
            told: Told::default(),
        }],
        retry_at: None,
        tells_delay: false,
        reports: Vec::new(),
    };
    one(store, NOW, finish).expect("it is finished");
}

const LATER: UnixTime = UnixTime(NOW.0 + 60);

#[test]
fn an_accepted_entry_is_claimed_by_who_accepted_it() {
    let (store, _world) = World::new_store();
    accept(&store, entry("one"));
    assert!(claim(&store, LATER).is_empty());
    assert_eq!(due(&store), None);
}

#[test]
fn a_held_entry_comes_back_whole_when_it_is_due() {
    let (store, _world) = World::new_store();
    let sent = entry("Message-ID: a\r\nReferences: b\r\n\r\ntext");
    let id = accept(&store, sent.clone());
    hold(&store, id, LATER);
    assert!(claim(&store, NOW).is_empty());
    assert_eq!(due(&store), Some(LATER));
    let claimed = claim(&store, LATER);
    let [back] = &claimed[..] else {
        panic!("{claimed:?}");
    };
    assert_eq!((back.id, back.accepted_at), (id, NOW));
    assert_eq!(back.envelope_id, sent.envelope_id);
    assert_eq!(back.reverse_path, sent.reverse_path);
    assert_eq!(back.summary, sent.summary);
    let recipients = sent.recipients.into_iter().map(|new| new.recipient);
    let recipients: Vec<(u32, Recipient)> = (0..).zip(recipients).collect();
    assert_eq!(back.recipients, recipients);
    assert!(back.eight_bit_mime && !back.smtputf8);
    let content = back.content.as_deref();
    assert_eq!(
        content,
        Some(&b"Message-ID: a\r\nReferences: b\r\n\r\ntext"[..])
    );
    assert!(claim(&store, LATER).is_empty());
}

#[test]
fn recipients_are_done_one_by_one_and_the_last_takes_the_entry() {
    let (store, _world) = World::new_store();
    let id = accept(&store, entry("one"));
    finish(&store, id, &[0]);
    hold(&store, id, NOW);
    let claimed = claim(&store, NOW);
    let left: Vec<u32> = claimed[0]
        .recipients
        .iter()
        .map(|(position, _)| *position)
        .collect();
    assert_eq!(left, [1]);
    finish(&store, id, &[1]);
    hold(&store, id, NOW);
    assert!(claim(&store, NOW).is_empty());
    finish(&store, id, &[1]);
}

#[test]
fn an_entry_number_is_never_used_again() {
    let world = World::new();
    let store = world.open();
    let first = accept(&store, entry("one"));
    finish(&store, first, &[0, 1]);
    drop(store);
    let store = world.open();
    assert!(accept(&store, entry("two")) > first);
}

#[test]
fn a_claim_is_bounded_by_count_and_bytes() {
    let (store, _world) = World::new_store();
    for _ in 0..4 {
        let id = accept(&store, entry(&"x".repeat(1_000)));
        hold(&store, id, NOW);
    }
    let claim = |count_max, bytes_max| {
        let claim = Claim {
            lots: Lots::Local,
            count_max,
            bytes_max,
        };
        let (entries, _) = claim_with(&store, NOW, claim);
        let contents = entries.iter().filter(|entry| entry.content.is_some());
        (entries.len(), contents.count())
    };
    assert_eq!(claim(1, 1_000_000), (1, 1));
    assert_eq!(claim(10, 2_500), (3, 2));
    assert_eq!(claim(10, 0), (0, 0));
}

#[test]
fn entries_of_a_living_process_are_its_own_and_those_of_a_dead_one_anybodys() {
    let world = World::new();
    let (one, two) = (world.open(), world.open());
    let id = accept(&one, entry("one"));
    assert!(claim(&two, LATER).is_empty());
    assert_eq!(due(&two), None);
    drop(one);
    assert_eq!(due(&two), Some(NOW));
    assert_eq!(claimed_ids(&two, LATER), [id.0]);
}

#[test]
fn a_large_entry_is_delivered_by_its_file_which_goes_with_it() {
    let (store, world) = World::new_store();
    let account = make_account(&store, "ann@example.com");
    let text = "x".repeat(limits::INLINE_BYTES + 1);
    let stage = store.stage().expect("there is room");
    store
        .stage_append(stage, text.as_bytes())
        .expect("it is written");
    store.stage_finish(stage).expect("it is synced");
    let mut large = entry(&text);
    large.content = Content::Staged(stage);
    let id = accept(&store, large);
    store.stage_drop(stage);
    let file = world.root().join(format!("spool/{}.eml", id.0));
    assert!(file.exists());
    hold(&store, id, NOW);
    assert_eq!(claim(&store, NOW)[0].content, None);
    let mut delivered = message(&text);
    delivered.content = Content::Spooled(id);
    let deliver = AccountWrite::Deliver {
        spool: id,
        message: delivered,
    };
    write(&store, account, deliver.clone()).expect("it is delivered");
    finish(&store, id, &[0, 1]);
    assert!(!file.exists());
    assert_eq!(uids_in(&store, account, "INBOX"), [1]);
    write(&store, account, deliver).expect("a second time needs no content");
    let inbox = crate::world::id_of(&store, account, "INBOX");
    let end = limits::INLINE_BYTES as u64;
    let last = store.read(account, inbox, crate::world::uid(1), end, 10);
    assert_eq!(last.expect("it reads").as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_file_without_an_entry_is_removed_at_the_next_start() {
    let world = World::new();
    drop(world.open());
    let orphan = world.root().join("spool/77.eml");
    std::fs::write(&orphan, b"nobody's").expect("it is written");
    let _store = world.open();
    assert!(!orphan.exists());
}

#[test]
fn an_entry_without_its_upload_is_refused_and_the_others_are_kept() {
    let (store, _world) = World::new_store();
    let mut lost = entry("two");
    lost.content = Content::Staged(rmail_store::StageId(5));
    let batch = [entry("one"), lost, entry("three")];
    let batch = batch.into_iter().map(SpoolWrite::Accept).collect();
    let results = store.write_spool(NOW, batch).expect("it writes");
    assert!(matches!(results[0], Ok(SpoolWritten::Accepted(_))));
    assert!(matches!(results[1], Err(StoreError::NoSuchUpload)));
    assert!(matches!(results[2], Ok(SpoolWritten::Accepted(_))));
}
