//! The server machine: the five rules, and what a conversation with it comes to.

use rmail_proto::smtp::{Listener, Refusal, Tls};

use crate::{
    plan::{Plan, talk},
    rules::{self, Step},
};

#[path = "../../../proto/tests/smtp/rule_tests.rs"]
#[expect(dead_code, reason = "its tests are run at home")]
mod rule_tests;
#[path = "../../../proto/tests/smtp/world.rs"]
#[expect(dead_code, reason = "it holds more than is needed here")]
mod world;

const LISTENERS: [Listener; 3] = [
    Listener::Inbound,
    Listener::Submission,
    Listener::ImplicitTlsSubmission,
];

/// The five rules of a connection hold, and splitting changes nothing.
pub(crate) fn machine(input: &[u8]) {
    let mut plan = Plan(input);
    let kind = usize::from(plan.byte());
    let tls = [Tls::Unavailable, Tls::Offered, Tls::Implicit][kind / 3 % 3];
    let config = rmail_proto::smtp::Config {
        message_bytes_max: 200_000,
        ..world::config(LISTENERS[kind % 3], tls)
    };
    let subject = rule_tests::Smtp(config);
    let steps = plan.steps();
    rules::check_rules(&subject, &steps);
    let (input, pieces, choices) = talk(&steps);
    if !pieces.is_empty() {
        rules::check_splitting(&subject, &input, &pieces, &choices);
    }
}

/// Whatever a client sends to a machine whose calls are all answered, each of its replies is well
/// formed, each message that is accepted is whole lines behind our trace fields, and no more than
/// one upload is open.
pub(crate) fn dialogue(input: &[u8]) {
    let mut plan = Plan(input);
    let kind = plan.byte();
    let config = world::config(LISTENERS[usize::from(kind % 3)], Tls::Unavailable);
    let message_bytes_max = config.message_bytes_max as usize;
    let recipients_max = config.recipients_max as usize;
    let mut client = world::connect(config);
    let refused = ["Authenticate", "Mail", "Rcpt", "Chunk", "Message"];
    let refused = refused.get(usize::from(kind >> 4));
    client.world.refuse = refused.map(|call| (*call, Refusal::temporary_failure()));
    for step in plan.steps() {
        if let Step::Input(bytes) = step {
            client.send(&bytes);
        }
    }
    check_replies(&client.take_sent());
    assert!(client.world.open_uploads() <= 1);
    for message in &client.world.messages {
        assert!(!message.envelope.recipients.is_empty());
        assert!(message.envelope.recipients.len() <= recipients_max);
        assert!(message.content.len() <= message_bytes_max + 8 * 1024);
        let content = message.content.replace("\r\n", "");
        assert!(!content.contains(['\r', '\n']), "{:?}", message.content);
        let start = ["Return-Path: <", "\r\nReceived: from "];
        assert!(message.content.starts_with(start[0]) && message.content.contains(start[1]));
    }
}

/// `code ("-" / SP) text CRLF`: the lines of one reply have one code, and the last one has a space
/// (RFC 5321 §4.2).
fn check_replies(sent: &str) {
    let mut open: Option<&str> = None;
    for line in sent.split_inclusive("\r\n") {
        let text = line.strip_suffix("\r\n").expect("every reply ends in CRLF");
        assert!(line.len() <= 512, "{line}");
        assert!(!text.contains(|c: char| c.is_control()), "{line:?}");
        let (code, rest) = text.split_at_checked(3).expect("every line has a code");
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{line}");
        assert!(matches!(code.as_bytes()[0], b'2'..=b'5'), "{line}");
        assert!(open.is_none_or(|before| before == code), "{line}");
        open = match rest.as_bytes().first() {
            Some(b'-') => Some(code),
            Some(b' ') => None,
            _ => panic!("neither a hyphen nor a space: {line}"),
        };
    }
    assert!(open.is_none(), "the last reply has no end");
}
