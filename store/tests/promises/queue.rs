//! The spool as a queue: lots of many destinations, fates of recipients, an operator's hand, and
//! the schema of an earlier version.

use std::collections::{BTreeMap, BTreeSet};

use rmail_proto::{Entropy, UnixTime};
use rmail_store::{
    Claim, Concluded, Destination, Fate, LotState, Lots, NewRecipient, Operation, QueueFilter,
    QueuedMessage, SpoolEntry, SpoolId, SpoolWrite, SpoolWritten, Store, StoreError, Told, limits,
};
use rusqlite::Connection;

use crate::{
    spool::{accept, claim_with, entry_for, one},
    world::{NOW, World},
};

const LATER: UnixTime = UnixTime(NOW.0 + 60);

fn remote(key: &str) -> Destination {
    Destination::Remote(key.to_owned())
}

fn claim_remote(store: &dyn Store, now: UnixTime, each_max: usize) -> Vec<SpoolEntry> {
    claim_except(store, now, each_max, &[]).0
}

fn claim_except(
    store: &dyn Store,
    now: UnixTime,
    each_max: usize,
    except: &[&str],
) -> (Vec<SpoolEntry>, Option<UnixTime>) {
    let except = except.iter().map(|&key| key.to_owned()).collect();
    let claim = Claim {
        lots: Lots::Remote { each_max, except },
        count_max: 100,
        bytes_max: 1_000_000,
    };
    claim_with(store, now, claim)
}

fn told(answer: &str) -> Told {
    Told {
        by: "mx.example".to_owned(),
        answer: answer.to_owned(),
    }
}

fn concluded(recipients: &[u32], fate: Fate, answer: &str) -> Concluded {
    Concluded {
        recipients: recipients.to_vec(),
        fate,
        told: told(answer),
    }
}

fn conclude(
    store: &dyn Store,
    spool: SpoolId,
    key: &str,
    concluded: Vec<Concluded>,
    retry_at: Option<UnixTime>,
) {
    let conclude = SpoolWrite::Conclude {
        spool,
        destination: remote(key),
        concluded,
        retry_at,
        tells_delay: false,
        reports: Vec::new(),
    };
    one(store, NOW, conclude).expect("it is concluded");
}

fn operate(store: &dyn Store, spool: SpoolId, operation: Operation) -> Result<(), StoreError> {
    let operate = SpoolWrite::Operate {
        spool,
        recipient: None,
        operation,
    };
    one(store, NOW, operate).map(|_| ())
}

fn queued(store: &dyn Store, spool: SpoolId) -> Option<QueuedMessage> {
    store.queued(&spool.0.to_string()).expect("it reads")
}

fn fates(message: &QueuedMessage) -> Vec<Fate> {
    let recipients = message.recipients.iter();
    recipients.map(|recipient| recipient.fate).collect()
}

const MIXED: [(Option<&str>, Option<&str>); 4] = [
    (Some("ann@example.com"), None),
    (Some("a@one.example"), Some("one.example")),
    (Some("b@one.example"), Some("one.example")),
    (Some("c@two.example"), Some("two.example")),
];

#[test]
fn recipients_of_one_destination_are_claimed_together_and_the_local_ones_apart() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED));
    must_hold_together(&world);
    let lots = claim_remote(&store, NOW, 10);
    let claimed: Vec<(Destination, Vec<u32>)> = lots
        .into_iter()
        .map(|lot| {
            assert_eq!(lot.id, id);
            let positions = lot.recipients.iter().map(|(position, _)| *position);
            (lot.destination, positions.collect())
        })
        .collect();
    let expected = [
        (remote("one.example"), vec![1, 2]),
        (remote("two.example"), vec![3]),
    ];
    assert_eq!(claimed, expected);
    assert!(claim_remote(&store, LATER, 10).is_empty());
    must_hold_together(&world);
}

#[test]
fn each_recipient_meets_its_own_fate_and_the_last_takes_the_entry() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED[1..]));
    claim_remote(&store, NOW, 10);
    let fate = vec![
        concluded(&[0], Fate::Relayed, "250 2.0.0 taken"),
        concluded(&[1], Fate::Waiting, "450 4.2.1 later"),
    ];
    conclude(&store, id, "one.example", fate, Some(LATER));
    must_hold_together(&world);
    let message = queued(&store, id).expect("it is there");
    assert_eq!(
        fates(&message),
        [Fate::Relayed, Fate::Waiting, Fate::Waiting]
    );
    assert_eq!(message.lots[0].state, LotState::Due(LATER));
    assert_eq!(message.lots[0].attempts, 1);
    assert_eq!(message.lots[1].state, LotState::Active);
    let answers: Vec<&str> = message
        .attempts
        .iter()
        .map(|a| a.told.answer.as_str())
        .collect();
    assert_eq!(answers, ["250 2.0.0 taken", "450 4.2.1 later"]);
    let two = vec![concluded(&[2], Fate::Failed, "550 5.1.1 no")];
    conclude(&store, id, "two.example", two, Some(LATER));
    must_hold_together(&world);

    assert!(claim_remote(&store, NOW, 10).is_empty());
    let again = claim_remote(&store, LATER, 10);
    assert_eq!((again[0].attempts, again[0].recipients.len()), (1, 1));
    let end = vec![concluded(&[1], Fate::Relayed, "250 2.0.0 taken")];
    conclude(&store, id, "one.example", end, Some(LATER));
    assert!(queued(&store, id).is_none());
    must_hold_together(&world);
}

#[test]
fn a_fate_that_was_met_stays() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED));
    claim_remote(&store, NOW, 10);
    let relayed = vec![concluded(&[3], Fate::Relayed, "250 taken")];
    conclude(&store, id, "two.example", relayed, None);
    let refused = vec![concluded(&[3, 1], Fate::Failed, "550 no")];
    conclude(&store, id, "two.example", refused, None);
    let message = queued(&store, id).expect("it is there");
    assert_eq!(message.recipients[3].fate, Fate::Relayed);
    // It is in another lot.
    assert_eq!(message.recipients[1].fate, Fate::Waiting);
    must_hold_together(&world);
}

#[test]
fn the_report_is_spooled_with_the_failure_or_neither_is() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED[3..]));
    claim_remote(&store, NOW, 10);
    let mut report = entry_for("report", &MIXED[..1]);
    report.is_claimed = false;
    let conclude = |report| SpoolWrite::Conclude {
        spool: id,
        destination: remote("two.example"),
        concluded: vec![concluded(&[0], Fate::Failed, "550 no")],
        retry_at: None,
        tells_delay: false,
        reports: vec![report],
    };
    let mut lost = report.clone();
    lost.content = rmail_store::Content::Staged(rmail_store::StageId(7));
    one(&store, NOW, conclude(lost)).expect_err("the report has no content");
    assert_eq!(
        fates(&queued(&store, id).expect("it is there")),
        [Fate::Waiting]
    );
    one(&store, NOW, conclude(report)).expect("it is concluded");
    assert!(queued(&store, id).is_none());
    let left = store
        .queue(&QueueFilter::default(), None, 10)
        .expect("it reads");
    assert_eq!(left.len(), 1);
    must_hold_together(&world);
}

#[test]
fn a_destination_that_is_busy_holds_up_no_other() {
    let (store, world) = World::new_store();
    for index in 0..40 {
        let path = format!("u{index}@stalled.example");
        accept(
            &store,
            entry_for("x", &[(Some(&path), Some("stalled.example"))]),
        );
    }
    let other = accept(
        &store,
        entry_for("x", &[(Some("a@b.example"), Some("b.example"))]),
    );
    let lots = claim_remote(&store, NOW, 3);
    assert_eq!(lots.len(), 4, "three of the one, and the other");
    assert!(lots.iter().any(|lot| lot.id == other));
    let (none, next_due) = claim_except(&store, NOW, 3, &["stalled.example"]);
    assert!(none.is_empty());
    assert_eq!(next_due, None, "what is not asked for wakes nobody");
    must_hold_together(&world);
}

#[test]
fn an_alias_makes_room_for_its_targets_once() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED));
    let targets = entry_for(
        "",
        &[
            (Some("bob@example.com"), None),
            (Some("A@one.example"), Some("one.example")),
            (Some("d@three.example"), Some("three.example")),
        ],
    );
    let expand = SpoolWrite::Expand {
        spool: id,
        position: 0,
        targets: targets
            .recipients
            .into_iter()
            .collect::<Vec<NewRecipient>>(),
        reports: Vec::new(),
    };
    let expanded = one(&store, NOW, expand.clone()).expect("it expands");
    let SpoolWritten::Expanded(local) = expanded else {
        panic!("{expanded:?}");
    };
    let local: Vec<(u32, String)> = local
        .into_iter()
        .map(|(position, recipient)| (position, recipient.path.to_string()))
        .collect();
    assert_eq!(local, [(4, "<bob@example.com>".to_owned())]);
    must_hold_together(&world);
    let message = queued(&store, id).expect("it is there");
    assert_eq!(message.recipients.len(), 6, "one of them is there already");
    assert_eq!(message.recipients[0].fate, Fate::Expanded);
    let again = one(&store, NOW, expand).expect("nothing happens");
    assert!(matches!(again, SpoolWritten::Expanded(local) if local.is_empty()));
    assert_eq!(claim_remote(&store, NOW, 10).len(), 3);
    must_hold_together(&world);
}

#[test]
fn an_alias_is_expanded_with_its_report_or_not_at_all() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED));
    let target = |number: usize| NewRecipient {
        destination: remote("one.example"),
        ..entry_for("t", &[(Some(&format!("t{number}@one.example")), None)]).recipients[0].clone()
    };
    let expand = |count: usize| SpoolWrite::Expand {
        spool: id,
        position: 0,
        targets: (0..count).map(target).collect(),
        reports: vec![entry_for("report", &[(Some("ann@example.com"), None)])],
    };
    let room = limits::ENTRY_RECIPIENTS - MIXED.len();
    let error = one(&store, NOW, expand(room + 1));
    assert!(matches!(error, Err(StoreError::TooMany(_))), "{error:?}");
    must_hold_together(&world);
    assert_eq!(
        store
            .queue(&QueueFilter::default(), None, 10)
            .expect("it reads")
            .len(),
        1
    );
    one(&store, NOW, expand(room)).expect("that fits");
    let queued = store.queue(&QueueFilter::default(), None, 10);
    assert_eq!(
        queued.expect("it reads").len(),
        2,
        "the message and the report"
    );
    one(&store, NOW, expand(room)).expect("nothing happens");
    let queued = store.queue(&QueueFilter::default(), None, 10);
    assert_eq!(queued.expect("it reads").len(), 2, "it is reported once");
    must_hold_together(&world);
}

#[test]
fn recipients_are_led_elsewhere_with_the_attempts_that_were_made() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED[1..]));
    claim_remote(&store, NOW, 10);
    let wait = vec![concluded(&[0, 1], Fate::Waiting, "no answer")];
    conclude(&store, id, "one.example", wait, Some(NOW));
    claim_remote(&store, NOW, 10);
    let reroute = SpoolWrite::Reroute {
        spool: id,
        destination: remote("one.example"),
        to: vec![(0, remote("smarthost")), (1, remote("two.example"))],
    };
    one(&store, NOW, reroute).expect("it is rerouted");
    must_hold_together(&world);
    let lots = claim_remote(&store, NOW, 10);
    assert_eq!(lots.len(), 1, "the lot of two.example is active");
    assert_eq!(lots[0].destination, remote("smarthost"));
    assert_eq!(lots[0].attempts, 1);
}

#[test]
fn an_operator_holds_releases_retries_and_drops() {
    let (store, world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED[3..]));
    operate(&store, id, Operation::Hold).expect("it is held");
    must_hold_together(&world);
    assert!(claim_remote(&store, LATER, 10).is_empty());
    let held = QueueFilter {
        is_held: true,
        ..QueueFilter::default()
    };
    assert_eq!(store.queue(&held, None, 10).expect("it reads").len(), 1);
    operate(&store, id, Operation::Retry).expect("it stays held");
    assert!(claim_remote(&store, LATER, 10).is_empty());
    operate(&store, id, Operation::Release).expect("it is released");
    assert_eq!(claim_remote(&store, NOW, 10).len(), 1);
    let error = operate(&store, id, Operation::Drop);
    assert_eq!(error, Err(StoreError::InDelivery));
    let wait = vec![concluded(&[0], Fate::Waiting, "no answer")];
    conclude(&store, id, "two.example", wait, Some(LATER));
    operate(&store, id, Operation::Retry).expect("it is due");
    assert_eq!(claim_remote(&store, NOW, 10).len(), 1);
    let wait = vec![concluded(&[0], Fate::Waiting, "no answer")];
    conclude(&store, id, "two.example", wait, Some(LATER));
    operate(&store, id, Operation::Drop).expect("it is dropped");
    assert!(queued(&store, id).is_none());
    assert_eq!(
        operate(&store, id, Operation::Drop),
        Err(StoreError::NoSuchEntry)
    );
    must_hold_together(&world);
}

#[test]
fn the_queue_is_listed_by_sender_recipient_domain_and_age() {
    let (store, _world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED));
    let matches = |filter: QueueFilter| {
        let found = store.queue(&filter, None, 10).expect("it reads");
        found.iter().map(|entry| entry.id).collect::<Vec<_>>()
    };
    let none = QueueFilter::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(matches(none()), [id]);
    for (filter, is_found) in [
        (
            QueueFilter {
                sender: text("EXAMPLE.ORG"),
                ..none()
            },
            true,
        ),
        (
            QueueFilter {
                sender: text("%"),
                ..none()
            },
            false,
        ),
        (
            QueueFilter {
                recipient: text("c@two"),
                ..none()
            },
            true,
        ),
        (
            QueueFilter {
                recipient: text("nobody"),
                ..none()
            },
            false,
        ),
        (
            QueueFilter {
                domain: text("two.example"),
                ..none()
            },
            true,
        ),
        (
            QueueFilter {
                domain: text("o.example"),
                ..none()
            },
            false,
        ),
        (
            QueueFilter {
                accepted_until: Some(NOW),
                ..none()
            },
            true,
        ),
        (
            QueueFilter {
                accepted_until: Some(UnixTime(NOW.0 - 1)),
                ..none()
            },
            false,
        ),
    ] {
        assert_eq!(!matches(filter.clone()).is_empty(), is_found, "{filter:?}");
    }
    let after = store.queue(&none(), Some(id), 10).expect("it reads");
    assert!(after.is_empty());
    let by_envelope = store.queued("envelope").expect("it reads");
    assert_eq!(by_envelope.expect("it is there").summary.id, id);
    assert!(store.queued("1x").expect("it reads").is_none());
}

#[test]
fn history_and_answers_are_bounded() {
    let (store, _world) = World::new_store();
    let id = accept(&store, entry_for("text", &MIXED[3..]));
    let long = "é".repeat(rmail_store::limits::ANSWER_BYTES);
    for _ in 0..rmail_store::limits::ATTEMPTS_KEPT + 5 {
        claim_remote(&store, NOW, 10);
        let wait = vec![concluded(&[0], Fate::Waiting, &long)];
        conclude(&store, id, "two.example", wait, Some(NOW));
    }
    let message = queued(&store, id).expect("it is there");
    assert_eq!(
        message.attempts.len() as i64,
        rmail_store::limits::ATTEMPTS_KEPT
    );
    assert!(message.attempts[0].told.answer.len() <= rmail_store::limits::ANSWER_BYTES);
}

#[test]
fn lots_of_a_dead_process_are_anybodys_at_every_destination() {
    let world = World::new();
    let (first, second) = (world.open(), world.open());
    accept(&first, entry_for("text", &MIXED));
    assert_eq!(claim_remote(&first, NOW, 10).len(), 2);
    assert!(claim_remote(&second, LATER, 10).is_empty());
    drop(first);
    assert_eq!(claim_remote(&second, LATER, 10).len(), 2);
    must_hold_together(&world);
}

#[test]
fn a_spool_of_the_first_version_is_taken_over_with_all_that_is_in_it() {
    let world = World::new();
    drop(world.open());
    let path = world.root().join("spool.db");
    std::fs::remove_file(&path).expect("it was made");
    for rest in ["spool.db-wal", "spool.db-shm"] {
        std::fs::remove_file(world.root().join(rest)).ok();
    }
    let old = Connection::open(&path).expect("it can be made");
    old.execute_batch(include_str!("../../src/sqlite/schema/spool_1.sql"))
        .expect("the schema is good");
    old.execute_batch(
        "PRAGMA journal_mode = wal;
         PRAGMA user_version = 1;
         INSERT INTO meta VALUES (1, 42);
         INSERT INTO entries (envelope_id, accepted_at, reverse_path, claimed_by, due_at, reason, \
           in_file, size, header_bytes, has_attachments, message_references, envelope, body, \
           body_structure, parts, bytes) \
         VALUES ('one', 1800000000, 'a@b.example', NULL, 1800000060, 'no such mailbox', 0, 4, 4, \
           0, '', x'', x'', x'', x'', x'74657874'), \
           ('two', 1800000000, NULL, 'dead', 1800000000, '', 0, 4, 4, 0, '', x'', x'', x'', x'', \
           x'74657874'), \
           ('gone', 1800000000, NULL, NULL, 0, '', 0, 4, 4, 0, '', x'', x'', x'', x'', x'');
         DELETE FROM entries WHERE envelope_id = 'gone';
         INSERT INTO recipients VALUES (1, 0, 'ann@example.com', 1), (1, 1, NULL, 0), \
           (2, 0, 'bob@example.com', 0);",
    )
    .expect("the rows are good");
    drop(old);

    let store = world.open();
    must_hold_together(&world);
    let local = || Claim {
        lots: Lots::Local,
        count_max: 10,
        bytes_max: 100,
    };
    let (claimed, next_due) = claim_with(&store, NOW, local());
    assert_eq!(claimed.len(), 1, "that of the dead process");
    assert_eq!(claimed[0].envelope_id, "two");
    assert_eq!(claimed[0].content.as_deref(), Some(&b"text"[..]));
    assert_eq!(next_due, Some(LATER));
    let (claimed, _) = claim_with(&store, LATER, local());
    assert_eq!(claimed[0].recipients.len(), 1, "the other is done");
    assert_eq!(claimed[0].recipients[0].0, 1);
    let new = accept(&store, entry_for("text", &MIXED));
    assert_eq!(new, SpoolId(4), "3 was used before");
    must_hold_together(&world);
}

/// Everything that can happen to lots happens, in an order drawn from a seed: the tables hold
/// together, no recipient is lost, and none has two fates.
#[test]
fn the_state_table_holds_whatever_happens() {
    for seed in 0..8 {
        let world = World::new();
        let mut stores = vec![world.open(), world.open()];
        let mut entropy = Entropy::new(seed);
        let mut met: BTreeMap<(u64, u32), Fate> = BTreeMap::new();
        let mut claimed: Vec<(usize, SpoolId, Destination)> = Vec::new();
        for _ in 0..40 {
            let which = entropy.next_below(2) as usize;
            match entropy.next_below(8) {
                0 | 1 => drop(accept(&stores[which], entry_for("text", &MIXED[1..]))),
                2 | 3 => {
                    let lots = claim_remote(&stores[which], NOW, 2);
                    claimed.extend(lots.into_iter().map(|lot| (which, lot.id, lot.destination)));
                }
                4 => {
                    // A process dies, and another takes its place.
                    claimed.retain(|(owner, ..)| *owner != which);
                    stores.remove(which);
                    stores.insert(which, world.open());
                }
                5 => {
                    let entries = stores[which].queue(&QueueFilter::default(), None, 5);
                    if let Some(entry) = entries.expect("it reads").first() {
                        let operation = match entropy.next_below(3) {
                            0 => Operation::Hold,
                            1 => Operation::Release,
                            _ => Operation::Retry,
                        };
                        operate(&stores[which], entry.id, operation).ok();
                    }
                }
                _ => {
                    if let Some((owner, id, destination)) = claimed.pop() {
                        conclude_by_chance(&stores[owner], &mut entropy, id, destination);
                    }
                }
            }
            must_hold_together(&world);
            note_fates(&stores[which], &mut met);
        }
    }
}

fn conclude_by_chance(
    store: &dyn Store,
    entropy: &mut Entropy,
    spool: SpoolId,
    destination: Destination,
) {
    let fates = [Fate::Waiting, Fate::Relayed, Fate::Failed];
    let fate = |entropy: &mut Entropy| fates[entropy.next_below(3) as usize];
    let concluded = (0..3).map(|position| concluded(&[position], fate(entropy), "words"));
    let conclude = SpoolWrite::Conclude {
        spool,
        destination,
        concluded: concluded.collect(),
        retry_at: Some(NOW),
        tells_delay: false,
        reports: Vec::new(),
    };
    one(store, NOW, conclude).expect("it is concluded");
}

fn note_fates(store: &dyn Store, met: &mut BTreeMap<(u64, u32), Fate>) {
    let entries = store
        .queue(&QueueFilter::default(), None, 100)
        .expect("it reads");
    for entry in entries {
        let Some(message) = queued(store, entry.id) else {
            continue;
        };
        for recipient in message.recipients {
            let key = (entry.id.0, recipient.position);
            let before = met.insert(key, recipient.fate).unwrap_or(Fate::Waiting);
            assert!(
                before == Fate::Waiting || before == recipient.fate,
                "{key:?} was {before:?} and is {:?}",
                recipient.fate
            );
        }
    }
}

/// What holds between any two transactions: see the module of the spool.
pub(crate) fn must_hold_together(world: &World) {
    let connection = Connection::open(world.root().join("spool.db")).expect("it opens");
    let count = |query: &str| -> i64 {
        let counted = connection.query_row(query, [], |row| row.get(0));
        counted.unwrap_or_else(|error| panic!("{query}: {error}"))
    };
    let faults = [
        "SELECT count(*) FROM recipients r WHERE fate = 0 AND NOT EXISTS \
         (SELECT 1 FROM lots l WHERE l.entry = r.entry AND l.destination = r.destination) \
         AND entry NOT IN (SELECT entry FROM prepared)",
        "SELECT count(*) FROM lots l WHERE NOT EXISTS (SELECT 1 FROM recipients r \
         WHERE l.entry = r.entry AND l.destination = r.destination AND r.fate = 0)",
        "SELECT count(*) FROM entries WHERE EXISTS (SELECT 1 FROM lots WHERE entry = id) \
         = EXISTS (SELECT 1 FROM prepared WHERE entry = id)",
        "SELECT count(*) FROM prepared WHERE entry NOT IN (SELECT id FROM entries)",
        "SELECT count(*) FROM lots WHERE NOT EXISTS (SELECT 1 FROM entries WHERE entry = id)",
        "SELECT count(*) FROM recipients WHERE entry NOT IN (SELECT id FROM entries)",
        "SELECT count(*) FROM attempts WHERE entry NOT IN (SELECT id FROM entries)",
    ];
    for fault in faults {
        assert_eq!(count(fault), 0, "{fault}");
    }
    let read = |query: &str| -> BTreeSet<(String, i64)> {
        let mut statement = connection.prepare(query).expect("the query is good");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        rows.expect("it reads")
            .map(|row| row.expect("it reads"))
            .collect()
    };
    let noted = read("SELECT destination, due_at FROM destinations");
    let true_ones = read(
        "SELECT destination, min(due_at) FROM lots \
         WHERE claimed_by IS NULL AND held = 0 GROUP BY destination",
    );
    assert_eq!(noted, true_ones);
}
