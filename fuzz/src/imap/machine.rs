//! The server machine: the five rules, and what a conversation with it comes to.

use std::collections::BTreeMap;

use rmail_proto::imap::{NoCode, Tls};

use crate::{
    plan::{Plan, talk},
    response::{Response, parse_stream},
    rules::{self, Step},
};

#[path = "../../../proto/tests/imap/rule_tests.rs"]
#[expect(dead_code, reason = "its tests are run at home")]
mod rule_tests;
#[path = "../../../proto/tests/imap/world.rs"]
#[expect(dead_code, reason = "it holds more than is needed here")]
mod world;

/// The five rules of a connection hold, and splitting changes nothing.
pub(crate) fn machine(input: &[u8]) {
    let mut plan = Plan(input);
    let kind = usize::from(plan.byte());
    let tls = [Tls::Unavailable, Tls::Offered, Tls::Implicit][kind % 3];
    let subject = rule_tests::Imap(world::config(tls));
    let steps = plan.steps();
    rules::check_rules(&subject, &steps);
    let (input, pieces, choices) = talk(&steps);
    if !pieces.is_empty() {
        rules::check_splitting(&subject, &input, &pieces, &choices);
    }
}

/// Whatever a client sends to a machine with mailboxes in memory, each of its responses is well
/// formed, and no tag gets more completions than it was sent.
pub(crate) fn dialogue(input: &[u8]) {
    let mut plan = Plan(input);
    let kind = plan.byte();
    let mut memory = world::Memory::new();
    memory.make("Other", None);
    memory.deliver("From: a@b.c\r\nSubject: x\r\n\r\nHello\r\n");
    memory.deliver(
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nOne\r\n\
         --x\r\nContent-Type: message/rfc822\r\n\r\nTo: d@e.f\r\n\r\nTwo\r\n--x--\r\n",
    );
    let refused = [
        "Select",
        "Mailboxes",
        "Append",
        "Store",
        "Fetch",
        "Read",
        "Search",
    ];
    let refused = refused.get(usize::from(kind));
    memory.refuse = refused.map(|call| (*call, NoCode::Unavailable));
    let mut client = world::connect_to(memory, Tls::Unavailable);
    let mut sent = Vec::new();
    for step in plan.steps() {
        if let Step::Input(bytes) = step {
            // What was appended comes back in answers that the transcript takes for text.
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte & 0x7f).collect();
            client.send(&bytes);
            sent.extend_from_slice(&bytes);
        }
    }
    let answered = client.take_sent();
    let mut completions: BTreeMap<String, usize> = BTreeMap::new();
    for response in parse_stream(answered.as_bytes()) {
        if let Response::Status(Some(tag)) = response {
            *completions.entry(tag).or_default() += 1;
        }
    }
    let sent = String::from_utf8_lossy(&sent);
    for (tag, count) in completions {
        assert!(sent.matches(&tag).count() >= count, "{tag}");
    }
}
