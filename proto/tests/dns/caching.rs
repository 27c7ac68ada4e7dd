//! How long what was answered is remembered.

use std::{net::Ipv4Addr, time::Duration};

use hickory_proto::op::{Message, ResponseCode};
use rmail_proto::{
    dns::{Failure, Reason},
    limits,
};

use crate::{
    harness::{A, Harness, config},
    zone::{Entry, record, response, soa},
};

/// How long what this response says is remembered.
fn remembered(respond: impl Fn(&mut Message)) -> Duration {
    let mut harness = Harness::new(config(&[A]));
    harness.ask("A a.b");
    let sent = harness.sent();
    let mut message = response(&sent.message);
    respond(&mut message);
    harness.respond(&sent, &message);
    let _ = harness.answer();
    let mut passed = 0;
    let mut step = 1 << 20;
    // The longest time after which nothing is asked, to the second.
    while step > 0 {
        let mut again = Harness::new(config(&[A]));
        again.ask("A a.b");
        let sent = again.sent();
        let mut message = response(&sent.message);
        respond(&mut message);
        again.respond(&sent, &message);
        let _ = again.answer();
        again.pass(Duration::from_secs(passed + step - 1));
        again.ask("A a.b");
        if matches!(again.action(), rmail_proto::dns::Action::Answer { .. }) {
            passed += step;
        }
        step /= 2;
    }
    Duration::from_secs(passed)
}

fn address(ttl: u32) -> hickory_proto::rr::Record {
    record("a.b", ttl, &Entry::A(Ipv4Addr::LOCALHOST))
}

#[test]
fn records_are_remembered_for_their_ttl() {
    let ttl = remembered(|message| message.answers.push(address(300)));
    assert_eq!(ttl.as_secs(), 300);
    let shortest = remembered(|message| message.answers.extend([address(300), address(20)]));
    assert_eq!(shortest.as_secs(), 20);
    let zero = remembered(|message| message.answers.push(address(0)));
    assert_eq!(zero.as_secs(), 0);
}

#[test]
fn ttl_is_capped_and_a_negative_one_is_none() {
    let longest = remembered(|message| message.answers.push(address(i32::MAX as u32)));
    assert_eq!(longest, limits::DNS_TTL_MAX);
    let negative = remembered(|message| message.answers.push(address(1 << 31)));
    assert_eq!(negative.as_secs(), 0);
}

#[test]
fn alias_ends_the_answer_with_its_own_ttl() {
    let ttl = remembered(|message| {
        let alias = record("a.b", 30, &Entry::Cname("c.d"));
        let target = record("c.d", 300, &Entry::A(Ipv4Addr::LOCALHOST));
        message.answers.extend([alias, target]);
    });
    assert_eq!(ttl.as_secs(), 30);
}

#[test]
fn what_is_not_there_is_remembered_as_the_soa_says() {
    for code in [ResponseCode::NoError, ResponseCode::NXDomain] {
        let ttl = |owner, ttl, minimum| {
            remembered(|message| {
                message.metadata.response_code = code;
                message.authorities.push(soa(owner, ttl, minimum));
            })
        };
        assert_eq!(ttl("b", 300, 60).as_secs(), 60);
        assert_eq!(ttl("b", 30, 60).as_secs(), 30);
        assert_eq!(ttl("b", 999_999, 999_999), limits::DNS_NEGATIVE_TTL_MAX);
        assert_eq!(ttl("other.zone", 300, 60).as_secs(), 0);
    }
    assert_eq!(remembered(|_| {}).as_secs(), 0, "no SOA, RFC 2308 §5");
}

#[test]
fn failure_of_the_servers_is_remembered_shortly() {
    let mut harness = Harness::new(config(&[A]));
    harness.ask("A a.b");
    for _ in 0..2 {
        let sent = harness.sent();
        let mut message = response(&sent.message);
        message.metadata.response_code = ResponseCode::ServFail;
        harness.respond(&sent, &message);
    }
    let failure = Err(Failure::Temporary(Reason::ServerFailure));
    assert_eq!(harness.answer().1, failure);
    harness.pass(limits::DNS_FAILURE_TTL - Duration::from_secs(1));
    harness.ask("A a.b");
    assert_eq!(harness.answer().1, failure);
    harness.pass(Duration::from_secs(1));
    harness.ask("A a.b");
    harness.sent();
}

#[test]
fn other_configuration_forgets_what_was_answered() {
    let mut harness = Harness::new(config(&[A]));
    harness.ask("A a.b");
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message.answers.push(address(300));
    harness.respond(&sent, &message);
    let _ = harness.answer();
    harness.ask("A c.d");
    let running = harness.sent();
    harness.resolver.handle_config(config(&[crate::harness::B]));
    harness.ask("A a.b");
    assert_eq!(
        harness.sent().to,
        crate::harness::address(crate::harness::B)
    );
    harness.respond(&running, &response(&running.message));
    let _ = harness.answer();
}
