//! HTTP: the server machine's five rules, and what a conversation with it comes to.

use rmail_proto::{
    http::{Method, Tls},
    limits,
};

use crate::{
    plan::{Plan, talk},
    rules::{self, Step},
};

#[path = "../../../proto/tests/http/rule_tests.rs"]
#[expect(dead_code, reason = "its tests are run at home")]
mod rule_tests;
#[path = "../../../proto/tests/http/world.rs"]
#[expect(dead_code, reason = "it holds more than is needed here")]
mod world;

/// The five rules of a connection hold, and splitting changes nothing.
pub(crate) fn machine(input: &[u8]) {
    let mut plan = Plan(input);
    let subject = rule_tests::Http {
        tls: [Tls::Absent, Tls::Implicit][usize::from(plan.byte()) % 2],
        seed: plan.byte().into(),
    };
    let steps = plan.steps();
    rules::check_rules(&subject, &steps);
    let (input, pieces, choices) = talk(&steps);
    if !pieces.is_empty() {
        rules::check_splitting(&subject, &input, &pieces, &choices);
    }
}

/// Whatever a client sends to a machine whose calls are all answered, the responses can be told
/// apart by a strict reader, one for each request and one for what was none; contents and pieces
/// keep their bounds, and nothing stays open when the connection is over.
pub(crate) fn dialogue(input: &[u8]) {
    let mut client = world::connect();
    for step in Plan(input).steps() {
        if let Step::Input(bytes) = step {
            client.send(&bytes);
        }
    }
    let sent = client.take_sent();
    let is_over = client.closed.is_some();
    let requests = &client.world.requests;
    let methods: Vec<Method> = requests.iter().map(|request| request.method).collect();
    // What ends before its end has no end that could be read.
    if !requests
        .iter()
        .any(|request| request.target.path == "/broken")
    {
        check_responses(&sent, &methods, is_over);
    }
    assert!(client.world.open_uploads() <= 1);
    assert!(client.world.open_sources() <= 1);
    if is_over {
        assert_eq!(client.world.open_uploads(), 0, "an upload stays open");
        assert_eq!(client.world.open_sources(), 0, "a source stays open");
    }
    assert!(client.world.largest_read_bytes <= limits::READ_BYTES);
    assert!(client.world.largest_piece_bytes <= limits::UPLOAD_CHUNK_BYTES);
    for content in &client.world.contents {
        assert!(content.len() as u64 <= world::UPLOAD_BYTES_MAX);
    }
}

fn check_responses(sent: &str, methods: &[Method], is_over: bool) {
    let mut rest = sent;
    let mut methods = methods.iter();
    let mut responses = 0;
    while !rest.is_empty() {
        // What is no request is answered once, with an error that ends the connection; the method
        // may have been read.
        let method = methods.as_slice().first().copied();
        let method = method.unwrap_or(match rest.ends_with("\r\n\r\n") {
            true => Method::Head,
            false => Method::Get,
        });
        let response = world::read_response(&mut rest, method, is_over);
        if response.status < 200 {
            continue;
        }
        responses += 1;
        if methods.next().is_none() {
            assert!(response.status >= 400 && response.closes(), "{response:?}");
        }
        assert!(
            rest.is_empty() || !response.closes(),
            "{rest} behind the end"
        );
    }
    // One may still be waiting for its content.
    assert!(
        methods.len() <= 1,
        "{} are not answered, {responses} are",
        methods.len()
    );
}
