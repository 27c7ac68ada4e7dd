//! Datagrams that are no answers.

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode},
    rr::{DNSClass, RecordType},
};
use rmail_proto::{
    dns::{Failure, Records},
    limits,
};

use crate::{
    harness::{A, B, Harness, Sent, address, config, framed},
    zone::{Entry, TTL, record, response, wire_name},
};

fn asked() -> (Harness, Sent) {
    let mut harness = Harness::new(config(&[A]));
    harness.ask("A a.b");
    let sent = harness.sent();
    (harness, sent)
}

fn right(sent: &Sent) -> Message {
    let mut message = response(&sent.message);
    let address = Entry::A(Ipv4Addr::new(192, 0, 2, 1));
    message.answers.push(record("a.b", TTL, &address));
    message
}

#[test]
fn what_does_not_fit_the_question_is_ignored() {
    let (mut harness, sent) = asked();
    let right = right(&sent);
    let change = |change: fn(&mut Message)| {
        let mut message = right.clone();
        change(&mut message);
        message
    };
    let strays = [
        change(|message| message.metadata.id ^= 1),
        change(|message| message.metadata.message_type = MessageType::Query),
        change(|message| message.metadata.op_code = OpCode::Notify),
        change(|message| message.queries.clear()),
        change(|message| message.queries.push(message.queries[0].clone())),
        change(|message| message.queries[0].name = wire_name("a.c")),
        change(|message| message.queries[0].query_type = RecordType::AAAA),
        change(|message| message.queries[0].query_class = DNSClass::CH),
    ];
    assert!(strays.len() < limits::DNS_STRAYS_MAX as usize);
    for stray in &strays {
        harness.respond(&sent, stray);
        harness.nothing();
    }
    harness.datagram(sent.source, address(B), &right.to_vec().unwrap());
    harness.datagram(sent.source, sent.to, &[]);
    harness.datagram(sent.source, sent.to, &right.to_vec().unwrap()[..11]);
    harness.nothing();
    harness.respond(&sent, &right);
    assert!(harness.answer().1.is_ok());
}

#[test]
fn case_of_the_name_does_not_matter() {
    let (mut harness, sent) = asked();
    let mut message = right(&sent);
    message.queries[0].name = wire_name("A.b");
    harness.respond(&sent, &message);
    assert!(harness.answer().1.is_ok());
}

#[test]
fn records_of_others_are_ignored() {
    let (mut harness, sent) = asked();
    let mut message = right(&sent);
    let evil = Entry::A(Ipv4Addr::new(203, 0, 113, 6));
    message.answers.insert(0, record("c.d", TTL, &evil));
    message
        .answers
        .push(record("c.d", TTL, &Entry::Cname("a.b")));
    let mut chaos = record("a.b", TTL, &evil);
    chaos.dns_class = DNSClass::CH;
    message.answers.push(chaos);
    message.additionals.push(record("a.b", TTL, &evil));
    message.authorities.push(record("a.b", TTL, &evil));
    harness.respond(&sent, &message);
    let answer = harness.answer().1.unwrap();
    assert_eq!(
        answer.records,
        Records::A([Ipv4Addr::new(192, 0, 2, 1)].into())
    );
    // They are not remembered either.
    harness.ask("A c.d");
    harness.sent();
}

#[test]
fn late_and_doubled_answers_are_ignored() {
    let (mut harness, first) = asked();
    harness.wake();
    let second = harness.sent();
    assert_ne!(first.source, second.source);
    harness.respond(&first, &right(&first));
    harness.nothing();
    harness.respond(&second, &right(&second));
    assert!(harness.answer().1.is_ok());
    harness.respond(&second, &right(&second));
    harness.nothing();
}

#[test]
fn each_attempt_has_a_fresh_source_and_id() {
    let mut harness = Harness::new(config(&[A]));
    let mut sources = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for number in 0..limits::DNS_LOOKUPS_IN_FLIGHT {
        harness.ask(&format!("A n{number}"));
        let sent = harness.sent();
        sources.insert(sent.source);
        ids.insert(sent.message.metadata.id);
    }
    assert_eq!(sources.len(), limits::DNS_LOOKUPS_IN_FLIGHT);
    assert!(ids.len() > limits::DNS_LOOKUPS_IN_FLIGHT - 4, "{ids:?}");
}

#[test]
fn somebody_who_guesses_drives_us_to_tcp() {
    let (mut harness, sent) = asked();
    let mut guess = right(&sent);
    for _ in 0..limits::DNS_STRAYS_MAX {
        harness.nothing();
        guess.metadata.id = guess.metadata.id.wrapping_add(1);
        harness.respond(&sent, &guess);
    }
    let (stream, to) = harness.dialled();
    assert_eq!(to, address(A));
    harness.respond(&sent, &right(&sent));
    harness.nothing();
    let message = harness.connect(stream);
    let sent = Sent { message, ..sent };
    harness.stream_bytes(stream, &framed(&right(&sent)));
    assert!(harness.answer().1.is_ok());
}

#[test]
fn datagram_longer_than_the_limit_is_not_looked_at() {
    let padded = |bytes: usize| {
        let (mut harness, sent) = asked();
        let mut message = right(&sent).to_vec().unwrap();
        message.resize(bytes, 0);
        harness.datagram(sent.source, sent.to, &message);
        harness
    };
    assert!(padded(limits::DNS_DATAGRAM_BYTES).answer().1.is_ok());
    padded(limits::DNS_DATAGRAM_BYTES + 1).nothing();
}

#[test]
fn mixed_case_must_come_back_as_it_was_sent() {
    let mut config = config(&[A]);
    config.mixed_case = true;
    let mut harness = Harness::new(config);
    harness.ask("A a-long-name-with-many-letters.example");
    let sent = harness.sent();
    let text = sent.message.queries[0].name.to_ascii();
    assert_ne!(text, text.to_lowercase());
    assert_ne!(text, text.to_uppercase());
    let address = Entry::A(Ipv4Addr::new(192, 0, 2, 1));
    let mut message = response(&sent.message);
    message
        .answers
        .push(record(&text.to_lowercase(), TTL, &address));
    let mut changed = message.clone();
    changed.queries[0].name = changed.queries[0].name.to_lowercase();
    harness.respond(&sent, &changed);
    // Not believed, but asked for where it can't be forged.
    let (stream, _) = harness.dialled();
    let query = harness.connect(stream);
    let mut message = response(&query);
    message
        .answers
        .push(record(&text.to_lowercase(), TTL, &address));
    message.queries[0].name = message.queries[0].name.to_lowercase();
    harness.stream_bytes(stream, &framed(&message));
    assert!(harness.answer().1.is_ok());
}

#[test]
fn nothing_but_strays_is_a_timeout() {
    let (mut harness, sent) = asked();
    harness.datagram(sent.source, sent.to, b"nonsense and more");
    harness.pass(Duration::from_secs(5));
    harness.sent();
    harness.pass(Duration::from_secs(5));
    let (_, result) = harness.answer();
    assert!(matches!(result, Err(Failure::Temporary(_))));
}
