//! The five rules of a connection, and the law of fates.

use std::{cell::Cell, collections::BTreeMap};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    Action, CallId, Connection, Event, Now, TlsInfo, limits,
    smtp::client::{Call, Client, Config, Message, Protocol, Reply, Security},
};

use crate::{
    rules::{self, Subject},
    world,
};

#[derive(Debug)]
struct Smtp {
    config: Config,
    message: Message,
    content: Bytes,
    /// How often the message was given to the machine.
    given: Cell<usize>,
}

/// How often a message is given, as one that is settled at once would be asked for for ever.
const GIVEN_MAX: usize = 5;

impl Smtp {
    fn answer(&self, call: &Call) -> Reply {
        match call {
            Call::NextMessage if self.given.replace(self.given.get() + 1) >= GIVEN_MAX => {
                Reply::NoMore
            }
            Call::NextMessage => Reply::Message(Box::new(self.message.clone())),
            Call::Read { offset, length } => {
                let start = (*offset as usize).min(self.content.len());
                let end = (start + length).min(self.content.len());
                Reply::Bytes(self.content.slice(start..end))
            }
            Call::Report(_) | Call::Ended(_) => Reply::Noted,
            Call::Scram(_) => Reply::Scram {
                client_proof: [0; 32],
                server_signature: [0; 32],
            },
        }
    }
}

impl Subject for Smtp {
    type Machine = Client;

    // Cancel, QUIT, report, end, close; or a chunk, its command, and the next call.
    const ACTIONS_MAX: usize = 6;

    fn machine(&self, now: Now) -> Client {
        self.given.set(0);
        Client::new(self.config.clone(), now)
    }

    fn starts_with_tls(&self) -> bool {
        self.config.security == Security::Implicit
    }

    fn is_awaited(&self, call: &Call) -> bool {
        !matches!(call, Call::Report(_) | Call::Ended(_))
    }

    fn reply(&self, call: &Call, choice: u8) -> Reply {
        match choice % 8 {
            0..3 => self.answer(call),
            3 => Reply::NoMore,
            4 => Reply::Unavailable,
            5 => Reply::Bytes(Bytes::from_static(b"x\n.\r\n\xe9")),
            6 => Reply::Noted,
            _ => self.answer(&Call::NextMessage),
        }
    }
}

fn subjects() -> impl Strategy<Value = Smtp> {
    let security = prop_oneof![
        3 => Just(Security::Opportunistic),
        1 => Just(Security::Required),
        1 => Just(Security::Implicit),
        1 => Just(Security::Cleartext),
    ];
    let line = prop_oneof![
        4 => Just("Some text.\r\n"), 1 => Just(".\r\n"), 1 => Just("caf\u{e9}\r\n"),
        1 => Just("\n"), 1 => Just("\r"),
    ];
    let text = (
        vec(line, 0..20),
        prop_oneof![3 => Just(1), 1 => 1usize..2000],
    );
    let recipients = vec(
        prop_oneof![4 => Just("a@b.c"), 1 => Just("j\u{f6}rg@b.c")],
        0..6,
    );
    (security, any::<(bool, bool, bool)>(), text, recipients).prop_map(
        |(security, (lmtp, logs_in, smtputf8), (lines, times), recipients)| {
            let content = format!("Subject: x\r\n\r\n{}", lines.concat().repeat(times));
            let (message, content) = world::message(1, &recipients, content.as_bytes());
            let config = Config {
                protocol: if lmtp { Protocol::Lmtp } else { Protocol::Smtp },
                credentials: logs_in.then(world::credentials),
                ..world::config(security)
            };
            Smtp {
                config,
                given: Cell::new(0),
                message: Message {
                    smtputf8,
                    ..message
                },
                content,
            }
        },
    )
}

/// What a peer may say, sense and nonsense.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let line = |line: &str| Just(format!("{line}\r\n").into_bytes()).boxed();
    let hello = proptest::sample::subsequence(
        vec![
            "PIPELINING",
            "CHUNKING",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "STARTTLS",
            "SIZE 20000",
            "AUTH PLAIN LOGIN SCRAM-SHA-256",
            "AUTH LOGIN",
            "LIMITS RCPTMAX=2 MAILMAX=2",
        ],
        0..8,
    );
    let hello = hello.prop_map(|keywords| {
        let lines: String = keywords.iter().map(|it| format!("250-{it}\r\n")).collect();
        format!("250-mx\r\n{lines}250 HELP\r\n").into_bytes()
    });
    prop_oneof![
        2 => line("220 mx ready"),
        4 => hello,
        10 => line("250 2.0.0 ok"),
        3 => line("354 go"),
        1 => prop_oneof![line("235 welcome"), line("334 VXNlcm5hbWU6"), line("334 ")],
        4 => prop_oneof![line("550 5.1.1 no"), line("451 4.3.0 later"), line("452 4.5.3 many")],
        1 => prop_oneof![line("421 bye"), line("221 bye"), line("250-more"), line("503 no")],
        1 => vec(any::<u8>(), 0..16),
        1 => Just(b"250 2.0.0 ok\r\n".repeat(8)),
        1 => Just(b"250 ok".to_vec()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn machine_keeps_the_rules(subject in subjects(), steps in rules::steps(input())) {
        rules::check_rules(&subject, &steps);
    }

    #[test]
    fn splitting_changes_nothing(
        subject in subjects(),
        input in vec(input(), 0..20),
        pieces in vec(1usize..40, 1..6),
        choices in vec(prop_oneof![6 => Just(0u8), 1 => any::<u8>()], 0..8),
    ) {
        let input = [&b"220 mx\r\n"[..], &input.concat()].concat();
        rules::check_splitting(&subject, &input, &pieces, &choices);
    }

    #[test]
    fn each_recipient_has_one_fate_whatever_the_peer_does(
        subject in subjects(),
        input in vec(input(), 0..40),
        choices in vec(prop_oneof![8 => Just(0u8), 1 => any::<u8>()], 0..8),
        ending in 0usize..4,
    ) {
        let input = [&b"220 mx\r\n"[..], &input.concat()].concat();
        check_fates(&subject, &input, &choices, ending);
    }
}

/// Counts the fates of every message that the machine took.
struct Ledger<'a> {
    subject: &'a Smtp,
    client: Client,
    now: Now,
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
    /// Recipients without a fate.
    pending: BTreeMap<usize, ()>,
    ended: bool,
    closed: bool,
    starttls: bool,
}

impl Ledger<'_> {
    fn drain(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Send(bytes) => self.handle(Event::Sent(bytes.len())),
                Action::Call(id, call) => self.answer(id, &call),
                Action::Cancel(_) => {}
                Action::StartTls => self.starttls = true,
                Action::Close(_) => self.closed = true,
            }
        }
        if std::mem::take(&mut self.starttls) {
            self.handle(Event::TlsEstablished(TlsInfo::default()));
            self.drain();
        }
    }

    fn handle(&mut self, event: Event<Reply>) {
        self.client.handle_event(self.now, event);
    }

    fn answer(&mut self, id: CallId, call: &Call) {
        assert!(!self.ended, "{call:?} after the end");
        let choice = self.choices.next().copied().unwrap_or(0);
        match call {
            Call::Report(report) => {
                assert!(!report.fates.is_empty());
                for (place, _) in &report.fates {
                    assert_eq!(
                        self.pending.remove(place),
                        Some(()),
                        "a second fate: {place}"
                    );
                }
            }
            Call::Ended(_) => {
                assert!(self.pending.is_empty(), "no fate: {:?}", self.pending);
                self.ended = true;
            }
            Call::NextMessage => {
                assert!(self.pending.is_empty(), "the message before is not done");
                let reply = self.subject.reply(call, choice);
                if let Reply::Message(message) = &reply {
                    self.pending = (0..message.recipients.len()).map(|it| (it, ())).collect();
                }
                self.handle(Event::Reply(id, reply));
            }
            Call::Read { .. } | Call::Scram(_) => {
                let reply = self.subject.reply(call, choice);
                self.handle(Event::Reply(id, reply));
            }
        }
    }
}

fn check_fates(subject: &Smtp, input: &[u8], choices: &[u8], ending: usize) {
    let now = Now::default();
    let mut ledger = Ledger {
        subject,
        client: subject.machine(now),
        now,
        choices: choices.iter().cycle(),
        pending: BTreeMap::new(),
        ended: false,
        closed: false,
        starttls: subject.starts_with_tls(),
    };
    ledger.drain();
    let mut rest = input;
    while !rest.is_empty() && !ledger.closed {
        let consumed = ledger.client.handle_input(now, rest);
        assert!(consumed > 0, "blocked, with all answers given");
        rest = &rest[consumed..];
        ledger.drain();
    }
    match ending {
        0 => ledger.handle(Event::PeerClosed),
        1 => {
            ledger.now.at = ledger.now.at + limits::SMTP_DATA_END_TIMEOUT;
            ledger.handle(Event::Timeout);
        }
        2 => {
            let grace_until = ledger.now.at;
            ledger.handle(Event::Shutdown { grace_until });
            ledger.drain();
            ledger.handle(Event::Timeout);
        }
        _ => ledger.handle(Event::PeerClosed),
    }
    ledger.drain();
    assert!(ledger.ended && ledger.closed);
}
