//! Answers that a datagram does not hold.

use std::time::Duration;

use hickory_proto::op::Message;
use proptest::prelude::*;
use rmail_proto::{
    dns::{Action, Failure, Reason, Records, StreamId},
    limits,
};

use crate::{
    harness::{A, B, Harness, address, config, framed},
    zone::{Entry, TTL, record, response},
};

/// A question whose answer was truncated, connected by TCP.
fn connected() -> (Harness, StreamId, Message) {
    let mut harness = Harness::new(config(&[A, B]));
    let (stream, to) = truncated(&mut harness);
    assert_eq!(to, address(A));
    let query = harness.connect(stream);
    (harness, stream, query)
}

fn truncated(harness: &mut Harness) -> (StreamId, std::net::SocketAddr) {
    harness.ask("TXT a.b");
    let sent = harness.sent();
    let mut message = response(&sent.message);
    message.metadata.truncation = true;
    harness.respond(&sent, &message);
    harness.dialled()
}

/// A response of this length, with the length before it. What is behind its records says nothing.
fn response_of(query: &Message, bytes: usize) -> Vec<u8> {
    let mut message = response(query);
    message
        .answers
        .push(record("a.b", TTL, &Entry::Txt(&["x"])));
    let mut message = message.to_vec().unwrap();
    assert!(message.len() <= bytes);
    message.resize(bytes, 0);
    let length = u16::try_from(bytes).unwrap();
    [&length.to_be_bytes()[..], &message].concat()
}

#[test]
fn truncated_answer_is_asked_for_by_tcp() {
    let (mut harness, stream, query) = connected();
    let mut message = response(&query);
    message
        .answers
        .push(record("a.b", TTL, &Entry::Txt(&["long"])));
    harness.stream_bytes(stream, &framed(&message));
    let answer = harness.answer().1.unwrap();
    assert_eq!(answer.records, Records::Txt(["long".into()].into()));
    assert!(harness.actions.is_empty());
}

#[test]
fn stream_is_closed_with_the_answer() {
    let (mut harness, stream, query) = connected();
    harness.actions.clear();
    harness.stream_bytes(stream, &framed(&response(&query)));
    assert_eq!(harness.actions[0], Action::CloseStream { stream });
    harness.actions.clear();
    harness.stream_failed(stream);
    harness.stream_bytes(stream, b"more");
    assert!(harness.actions.is_empty());
}

#[test]
fn stream_that_fails_or_says_nothing_gives_way_to_the_next_server() {
    let mut harness = Harness::new(config(&[A, B]));
    let (stream, _) = truncated(&mut harness);
    harness.stream_failed(stream);
    assert_eq!(harness.sent().to, address(B));

    let (mut harness, stream, _) = connected();
    harness.stream_failed(stream);
    assert_eq!(harness.sent().to, address(B));

    let (mut harness, ..) = connected();
    harness.pass(Duration::from_secs(5));
    assert_eq!(harness.sent().to, address(B));
}

#[test]
fn response_to_another_question_ends_the_stream() {
    let (mut harness, stream, query) = connected();
    let mut message = response(&query);
    message.metadata.id ^= 1;
    harness.stream_bytes(stream, &framed(&message));
    assert_eq!(harness.sent().to, address(B));
}

#[test]
fn answer_truncated_by_tcp_can_not_be_read() {
    let mut harness = Harness::new(config(&[A]));
    let (mut stream, _) = truncated(&mut harness);
    for is_last in [false, true] {
        let query = harness.connect(stream);
        let mut message = response(&query);
        message.metadata.truncation = true;
        harness.stream_bytes(stream, &framed(&message));
        if !is_last {
            let sent = harness.sent();
            let mut message = response(&sent.message);
            message.metadata.truncation = true;
            harness.respond(&sent, &message);
            stream = harness.dialled().0;
        }
    }
    let malformed = Err(Failure::Temporary(Reason::Malformed));
    assert_eq!(harness.answer().1, malformed);
}

#[test]
fn longest_message_is_taken_and_one_byte_more_is_not() {
    let (mut harness, stream, query) = connected();
    let bytes = response_of(&query, limits::DNS_MESSAGE_BYTES);
    harness.stream_bytes(stream, &bytes);
    assert!(harness.answer().1.is_ok());

    let (mut harness, stream, _) = connected();
    let length = limits::DNS_MESSAGE_BYTES as u16 + 1;
    harness.stream_bytes(stream, &length.to_be_bytes());
    assert_eq!(harness.sent().to, address(B));

    let (mut harness, stream, _) = connected();
    harness.stream_bytes(stream, &[0, 11]);
    assert_eq!(harness.sent().to, address(B), "shorter than a header");
}

proptest! {
    #[test]
    fn splitting_changes_nothing(
        bytes in 100usize..3000,
        cut in proptest::option::of(any::<usize>()),
        pieces in proptest::collection::vec(1usize..700, 1..8),
    ) {
        let run = |pieces: &[usize]| {
            let (mut harness, stream, query) = connected();
            harness.actions.clear();
            let mut wire = response_of(&query, bytes);
            if let Some(cut) = cut {
                let index = cut % wire.len();
                wire[index] ^= 0x55;
            }
            wire.extend_from_slice(b"and more");
            let mut rest = &wire[..];
            let mut pieces = pieces.iter().cycle();
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
                harness.stream_bytes(stream, piece);
                rest = behind;
            }
            format!("{:?}", harness.actions)
        };
        prop_assert_eq!(run(&[usize::MAX]), run(&pieces));
    }
}
