//! Servers that do not answer, or answer badly.

use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use rmail_proto::{
    dns::{Failure, Reason},
    limits,
};

use crate::{
    harness::{A, B, Harness, Sent, address, config},
    zone::response,
};

fn with_code(sent: &Sent, code: ResponseCode) -> Message {
    let mut message = response(&sent.message);
    message.metadata.response_code = code;
    message
}

#[test]
fn servers_are_asked_in_turn_as_often_as_configured() {
    let mut harness = Harness::new(config(&[A, B]));
    harness.ask("A a.b");
    let begun = harness.now.at;
    for server in [A, B, A, B] {
        assert_eq!(harness.sent().to, address(server));
        harness.nothing();
        harness.wake();
    }
    let timeout = Err(Failure::Temporary(Reason::Timeout));
    assert_eq!(harness.answer().1, timeout);
    assert_eq!(harness.now.at.since(begun), Duration::from_secs(20));
}

#[test]
fn server_that_fails_gives_way_at_once() {
    for (code, reason) in [
        (ResponseCode::ServFail, Reason::ServerFailure),
        (ResponseCode::Refused, Reason::Refused),
        (ResponseCode::NotAuth, Reason::ServerFailure),
    ] {
        let mut harness = Harness::new(config(&[A, B]));
        harness.ask("A a.b");
        for server in [A, B, A, B] {
            let sent = harness.sent();
            assert_eq!(sent.to, address(server));
            harness.respond(&sent, &with_code(&sent, code));
        }
        assert_eq!(harness.answer().1, Err(Failure::Temporary(reason)));
    }
}

#[test]
fn response_that_can_not_be_read_to_its_end_counts_as_failed() {
    let mut harness = Harness::new(config(&[A]));
    harness.ask("A a.b");
    for _ in 0..2 {
        let sent = harness.sent();
        let mut bytes = response(&sent.message).to_vec().unwrap();
        // It says that there is one answer.
        bytes[7] = 1;
        harness.datagram(sent.source, sent.to, &bytes);
    }
    let malformed = Err(Failure::Temporary(Reason::Malformed));
    assert_eq!(harness.answer().1, malformed);
}

#[test]
fn server_without_edns_is_asked_without_it() {
    let plain_header = |sent: &Sent| {
        let id = sent.message.metadata.id;
        let mut message = Message::new(id, MessageType::Response, OpCode::Query);
        message.metadata.response_code = ResponseCode::FormErr;
        message
    };
    let refusals: [&dyn Fn(&Sent) -> Message; 4] = [
        &|sent| with_code(sent, ResponseCode::FormErr),
        &|sent| with_code(sent, ResponseCode::NotImp),
        &|sent| {
            let mut message = with_code(sent, ResponseCode::BADVERS);
            message.set_edns(hickory_proto::op::Edns::new());
            message
        },
        &plain_header,
    ];
    for refusal in refusals {
        let mut harness = Harness::new(config(&[A, B]));
        harness.ask("A a.b");
        let sent = harness.sent();
        assert!(sent.message.edns.is_some());
        harness.respond(&sent, &refusal(&sent));
        let again = harness.sent();
        assert_eq!(again.to, sent.to);
        assert!(again.message.edns.is_none());
        harness.respond(&again, &response(&again.message));
        assert!(matches!(harness.answer().1, Err(Failure::NoData(_))));
    }
}

#[test]
fn server_that_finds_fault_with_a_plain_query_too_has_failed() {
    let mut harness = Harness::new(config(&[A]));
    harness.ask("A a.b");
    for edns in [true, false, false] {
        let sent = harness.sent();
        assert_eq!(sent.message.edns.is_some(), edns);
        harness.respond(&sent, &with_code(&sent, ResponseCode::FormErr));
    }
    let failure = Err(Failure::Temporary(Reason::ServerFailure));
    assert_eq!(harness.answer().1, failure);
}

#[test]
fn dead_server_does_not_slow_later_questions() {
    let mut harness = Harness::new(config(&[A, B]));
    for number in 0..limits::DNS_SERVER_TIMEOUTS_MAX {
        harness.ask(&format!("A n{number}"));
        assert_eq!(harness.sent().to, address(A));
        harness.wake();
        let sent = harness.sent();
        harness.respond(&sent, &response(&sent.message));
        let _ = harness.answer();
    }
    harness.ask("A next");
    let sent = harness.sent();
    assert_eq!(sent.to, address(B));
    harness.respond(&sent, &response(&sent.message));
    let _ = harness.answer();
    harness.pass(limits::DNS_SERVER_PENALTY);
    harness.ask("A first");
    harness.ask("A second");
    let probe = harness.sent();
    assert_eq!(probe.to, address(A));
    assert_eq!(harness.sent().to, address(B));
    harness.respond(&probe, &response(&probe.message));
    let _ = harness.answer();
    harness.ask("A third");
    assert_eq!(harness.sent().to, address(A));
}

#[test]
fn rotation_spreads_the_questions() {
    let mut config = config(&[A, B]);
    config.rotate = true;
    let mut harness = Harness::new(config);
    let servers: Vec<_> = ["A n1", "A n2", "A n3"]
        .iter()
        .map(|question| {
            harness.ask(question);
            harness.sent().to
        })
        .collect();
    assert_eq!(servers, [A, B, A].map(address));
}

#[test]
fn without_servers_there_is_an_answer_all_the_same() {
    let mut harness = Harness::new(config(&[]));
    harness.ask("A a.b");
    let failure = Err(Failure::Temporary(Reason::NoServers));
    assert_eq!(harness.answer().1, failure);
    // Nor is there an end to those that waited when the servers went.
    let mut harness = Harness::new(config(&[A]));
    for number in 0..limits::DNS_LOOKUPS_IN_FLIGHT + limits::DNS_LOOKUPS_WAITING {
        harness.ask(&format!("A n{number}"));
    }
    harness.resolver.handle_config(config(&[]));
    harness.pass(limits::DNS_TIMEOUT);
    harness.pass(limits::DNS_TIMEOUT);
    assert_eq!(harness.resolver.load().lookups, 0);
}

#[test]
fn question_is_given_up_when_its_time_is_over() {
    // The longest timeout is cut to 30 seconds; the last attempt of 25 to what is left.
    for (timeout, attempts) in [(999, 2), (25, 3)] {
        let mut config = config(&[A, B]);
        config.timeout = Duration::from_secs(timeout);
        config.attempts = limits::DNS_ATTEMPTS_MAX;
        let mut harness = Harness::new(config);
        harness.ask("A a.b");
        let begun = harness.now.at;
        for _ in 0..attempts {
            harness.sent();
            harness.nothing();
            harness.wake();
        }
        let timeout = Err(Failure::Temporary(Reason::Timeout));
        assert_eq!(harness.answer().1, timeout);
        assert_eq!(harness.now.at.since(begun), limits::DNS_LOOKUP_TIMEOUT);
    }
}

#[test]
fn attempts_are_limited() {
    let mut config = config(&[A]);
    config.timeout = Duration::from_secs(1);
    config.attempts = 999;
    let mut harness = Harness::new(config);
    harness.ask("A a.b");
    for _ in 0..limits::DNS_ATTEMPTS_MAX {
        harness.sent();
        harness.wake();
    }
    assert!(harness.answer().1.is_err());
}
