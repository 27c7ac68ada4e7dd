//! What is asked, and what is made of the answers.

use std::net::Ipv4Addr;

use hickory_proto::{
    op::ResponseCode,
    rr::{self, RData, Record, rdata},
};
use rmail_proto::{
    dns::{Failure, LookupResult, Mx, QueryId, Reason, Records, Tlsa},
    limits,
};

use crate::{
    harness::{A, Harness, config},
    zone::{Entry, TTL, name, record, response, soa, wire_name},
};

fn harness() -> Harness {
    Harness::new(config(&[A]))
}

/// What comes of a question to which a server says this.
fn result(text: &str, answers: &[Record], authorities: &[Record]) -> LookupResult {
    let mut harness = harness();
    harness.ask(text);
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message.answers = answers.to_vec();
    message.authorities = authorities.to_vec();
    harness.respond(&sent, &message);
    let (_, result) = harness.answer();
    harness.nothing();
    result
}

fn records(result: LookupResult) -> Records {
    result.expect("an answer").records
}

#[test]
fn query_is_recursive_and_says_what_we_take() {
    let mut harness = harness();
    harness.ask("MX example.com");
    let sent = harness.sent();
    let message = sent.message;
    assert_eq!(message.queries.len(), 1);
    assert_eq!(message.queries[0].name, wire_name("example.com"));
    assert_eq!(message.queries[0].query_type, rr::RecordType::MX);
    assert!(message.metadata.recursion_desired && message.metadata.authentic_data);
    let edns = message.edns.unwrap();
    assert_eq!(edns.max_payload(), limits::DNS_PAYLOAD_BYTES);
    assert!(!edns.flags().dnssec_ok);
}

#[test]
fn longest_name_can_be_asked_for() {
    let label = "x".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
    let mut harness = harness();
    harness.ask(&format!("A {longest}"));
    let sent = harness.sent();
    let mut message = response(&sent.message);
    let address = Ipv4Addr::new(192, 0, 2, 1);
    message
        .answers
        .push(record(&longest, TTL, &Entry::A(address)));
    harness.respond(&sent, &message);
    let (_, result) = harness.answer();
    assert_eq!(records(result), Records::A([address].into()));
}

#[test]
fn all_types_are_read() {
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let found = result("A a.b", &[record("a.b", TTL, &Entry::A(address))], &[]);
    assert_eq!(records(found), Records::A([address].into()));

    let address = "2001:db8::1".parse().unwrap();
    let found = result(
        "AAAA a.b",
        &[record("a.b", TTL, &Entry::Aaaa(address))],
        &[],
    );
    assert_eq!(records(found), Records::Aaaa([address].into()));

    let found = result(
        "PTR a.b",
        &[record("a.b", TTL, &Entry::Ptr("Host.Example"))],
        &[],
    );
    assert_eq!(records(found), Records::Ptr([name("host.example")].into()));

    let tlsa = rdata::TLSA::new(3.into(), 1.into(), 1.into(), vec![1, 2, 3]);
    let wire = Record::from_rdata(wire_name("_25._tcp.a.b"), TTL, RData::TLSA(tlsa));
    let expected = Tlsa {
        usage: 3,
        selector: 1,
        matching: 1,
        data: vec![1, 2, 3].into(),
    };
    let found = result("TLSA _25._tcp.a.b", &[wire], &[]);
    assert_eq!(records(found), Records::Tlsa([expected].into()));
}

#[test]
fn strings_of_a_text_are_joined() {
    let entries = [Entry::Txt(&["v=spf1 ", "-all"]), Entry::Txt(&["other"])];
    let answers = entries.map(|entry| record("a.b", TTL, &entry));
    let texts = Records::Txt(["v=spf1 -all".into(), "other".into()].into());
    assert_eq!(records(result("TXT a.b", &answers, &[])), texts);
}

#[test]
fn null_mx_names_the_root() {
    let found = result("MX a.b", &[record("a.b", TTL, &Entry::Mx(0, "."))], &[]);
    let mx = Mx {
        preference: 0,
        exchange: name("."),
    };
    assert_eq!(records(found), Records::Mx([mx].into()));
}

#[test]
fn records_with_names_that_are_none_are_left_out() {
    let odd = rr::Name::from_labels([&b"no name"[..], b"example"]).unwrap();
    let odd = RData::MX(rdata::MX::new(5, odd));
    let odd = Record::from_rdata(wire_name("a.b"), TTL, odd);
    let found = records(result("MX a.b", std::slice::from_ref(&odd), &[]));
    assert!(found.is_empty());
    let good = record("a.b", TTL, &Entry::Mx(10, "mx.a.b"));
    let found = records(result("MX a.b", &[odd, good], &[]));
    assert_eq!(found.len(), 1);
}

#[test]
fn aliases_are_followed_and_their_end_owns_the_records() {
    let address = Ipv4Addr::new(192, 0, 2, 1);
    let answers = [
        record("c.d", TTL, &Entry::A(address)),
        record("B.C", TTL, &Entry::Cname("c.D")),
        record("a.b", TTL, &Entry::Cname("b.c")),
    ];
    let answer = result("A a.b", &answers, &[]).unwrap();
    assert_eq!(answer.owner, name("c.d"));
    assert_eq!(answer.records, Records::A([address].into()));
}

#[test]
fn end_of_aliases_that_a_response_lacks_is_asked_for() {
    let mut harness = harness();
    harness.ask("A a.b");
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message
        .answers
        .push(record("a.b", TTL, &Entry::Cname("b.c")));
    harness.respond(&sent, &message);
    let sent = harness.sent();
    assert_eq!(sent.message.queries[0].name, wire_name("b.c"));
    let mut message = response(&sent.message);
    let address = Ipv4Addr::new(192, 0, 2, 1);
    message.answers.push(record("b.c", 60, &Entry::A(address)));
    harness.respond(&sent, &message);
    let (_, result) = harness.answer();
    let answer = result.unwrap();
    assert_eq!(answer.owner, name("b.c"));
    assert_eq!(answer.valid_until.since(harness.now.at).as_secs(), 60);
    assert!(!answer.authentic);
}

#[test]
fn as_many_aliases_as_the_limit_says_are_followed() {
    let chain = |aliases: u32| {
        let names: Vec<&'static str> = (0..=aliases)
            .map(|number| &*format!("n{number}").leak())
            .collect();
        let links = names.windows(2);
        let links = links.map(|pair| record(pair[0], TTL, &Entry::Cname(pair[1])));
        let address = Entry::A(Ipv4Addr::LOCALHOST);
        let end = record(names[names.len() - 1], TTL, &address);
        links.chain([end]).collect::<Vec<_>>()
    };
    let longest = limits::DNS_ALIASES_MAX;
    assert!(result("A n0", &chain(longest), &[]).is_ok());
    assert_eq!(
        result("A n0", &chain(longest + 1), &[]),
        Err(Failure::AliasLoop)
    );
    let circle = [
        record("a", TTL, &Entry::Cname("b")),
        record("b", TTL, &Entry::Cname("a")),
    ];
    assert_eq!(result("A a", &circle, &[]), Err(Failure::AliasLoop));
}

#[test]
fn circle_that_takes_many_responses_ends() {
    let mut harness = harness();
    harness.ask("A a");
    for _ in 0..limits::DNS_ALIASES_MAX {
        let sent = harness.sent();
        let owner = sent.message.queries[0].name.to_ascii();
        let target = if owner == "a." { "b" } else { "a" };
        let mut message = response(&sent.message);
        message
            .answers
            .push(record(&owner, TTL, &Entry::Cname(target)));
        harness.respond(&sent, &message);
    }
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message.answers.push(record("a", TTL, &Entry::Cname("b")));
    harness.respond(&sent, &message);
    assert_eq!(harness.answer().1, Err(Failure::AliasLoop));
}

#[test]
fn name_that_is_not_there_differs_from_records_that_are_not() {
    let mut harness = harness();
    harness.ask("A a.b");
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message.metadata.response_code = ResponseCode::NXDomain;
    message.authorities.push(soa("b", TTL, 60));
    harness.respond(&sent, &message);
    assert!(matches!(harness.answer().1, Err(Failure::NoSuchDomain(_))));

    let nothing = result("A a.b", &[], &[soa("b", TTL, 60)]);
    assert!(matches!(nothing, Err(Failure::NoData(_))));
    // RFC 2308 §2.2, NODATA type 3: not even the zone's SOA.
    assert!(matches!(result("A a.b", &[], &[]), Err(Failure::NoData(_))));
}

#[test]
fn missing_end_of_an_alias_is_no_such_domain() {
    let mut harness = harness();
    harness.ask("A a.b");
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message.metadata.response_code = ResponseCode::NXDomain;
    message
        .answers
        .push(record("a.b", TTL, &Entry::Cname("c.d")));
    harness.respond(&sent, &message);
    assert!(matches!(harness.answer().1, Err(Failure::NoSuchDomain(_))));
}

#[test]
fn server_that_knows_only_its_own_zones_can_not_say() {
    let mut harness = harness();
    harness.ask("A a.b");
    for _ in 0..2 {
        let sent = harness.sent();
        let mut message = response(&sent.message);
        message.metadata.recursion_available = false;
        harness.respond(&sent, &message);
    }
    let reason = Reason::NotRecursive;
    assert_eq!(harness.answer().1, Err(Failure::Temporary(reason)));
}

#[test]
fn ad_bit_counts_where_the_server_is_trusted_with_it() {
    for (trust_ad, bit, expected) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let mut config = config(&[A]);
        config.trust_ad = trust_ad;
        let mut harness = Harness::new(config);
        harness.ask("MX a.b");
        let sent = harness.sent();
        let mut message = response(&sent.message);
        message.metadata.authentic_data = bit;
        message
            .answers
            .push(record("a.b", TTL, &Entry::Mx(1, "c.d")));
        harness.respond(&sent, &message);
        let answer = harness.answer().1.unwrap();
        assert_eq!(answer.authentic, expected);
    }
}

#[test]
fn same_question_is_asked_once_and_answered_to_all() {
    let mut harness = harness();
    harness.ask("A a.b");
    harness.ask("A A.B");
    harness.ask("AAAA a.b");
    let first = harness.sent();
    let second = harness.sent();
    harness.nothing();
    assert_ne!(first.message.queries, second.message.queries);
    harness.respond(&first, &response(&first.message));
    assert_eq!(harness.answer().0, QueryId(0));
    assert_eq!(harness.answer().0, QueryId(1));
    harness.nothing();
}

#[test]
fn no_more_questions_are_asked_at_once_than_the_limit_says() {
    let mut harness = harness();
    for number in 0..=limits::DNS_LOOKUPS_IN_FLIGHT {
        harness.ask(&format!("A n{number}.example"));
    }
    let first = harness.sent();
    for _ in 1..limits::DNS_LOOKUPS_IN_FLIGHT {
        harness.sent();
    }
    harness.nothing();
    harness.respond(&first, &response(&first.message));
    let _ = harness.answer();
    let last = harness.sent();
    let expected = format!("n{}.example", limits::DNS_LOOKUPS_IN_FLIGHT);
    assert_eq!(last.message.queries[0].name, wire_name(&expected));
}

#[test]
fn no_more_questions_wait_than_the_limit_says_and_none_waits_for_ever() {
    let mut harness = harness();
    let fit = limits::DNS_LOOKUPS_IN_FLIGHT + limits::DNS_LOOKUPS_WAITING;
    for number in 0..fit {
        harness.ask(&format!("A n{number}.example"));
    }
    assert_eq!(harness.resolver.load().lookups, fit);
    harness.actions.clear();
    harness.ask("A one.more");
    let overloaded = Err(Failure::Temporary(Reason::Overloaded));
    assert_eq!(harness.answer().1, overloaded);
    harness.ask("A n0.example");
    harness.nothing();
    harness.pass(limits::DNS_LOOKUP_TIMEOUT);
    let load = harness.resolver.load();
    assert_eq!((load.lookups, load.waiters), (0, 0));
    assert_eq!(harness.resolver.poll_timeout(), None);
}

#[test]
fn no_more_queries_wait_for_one_answer_than_the_limit_says() {
    let mut harness = harness();
    for _ in 0..limits::DNS_WAITERS_MAX {
        harness.ask("A a.b");
    }
    let sent = harness.sent();
    harness.nothing();
    harness.ask("A a.b");
    let overloaded = Err(Failure::Temporary(Reason::Overloaded));
    assert_eq!(harness.answer().1, overloaded);
    harness.respond(&sent, &response(&sent.message));
    for _ in 0..limits::DNS_WAITERS_MAX {
        let _ = harness.answer();
    }
    assert_eq!(harness.resolver.load().waiters, 0);
}
