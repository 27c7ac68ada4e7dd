//! Our own server and the client, connected in memory: what arrives is what was sent, and each
//! recipient's fate is what the server decided.

use std::{
    collections::{BTreeMap, VecDeque},
    net::Ipv4Addr,
};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    Action, Connection, Domain, Event, ForwardPath, Now, TlsInfo, UploadId,
    smtp::{
        self, Listener, Refusal, Server, Tls,
        client::{Call, Client, Fate, Message, Reply, Security},
    },
};

use crate::world;

/// What the server keeps.
#[derive(Debug, Default)]
struct Spool {
    /// Recipients and content.
    messages: Vec<(Vec<String>, Vec<u8>)>,
    uploads: BTreeMap<UploadId, Vec<u8>>,
}

impl Spool {
    fn answer(&mut self, call: smtp::Call) -> smtp::Reply {
        match call {
            smtp::Call::Authenticate { .. } => unreachable!("AUTH is not offered"),
            smtp::Call::Mail { .. } | smtp::Call::Discard { .. } => smtp::Reply::Permitted,
            smtp::Call::Rcpt { forward_path, .. } => match local_part(&forward_path) {
                name if name.starts_with("no") => smtp::Reply::Refused(Refusal::no_such_mailbox()),
                name if name.starts_with("later") => smtp::Reply::Refused(Refusal::mailbox_full()),
                _ => smtp::Reply::Permitted,
            },
            smtp::Call::Chunk { upload, data } => {
                self.uploads.entry(upload).or_default().extend(data);
                smtp::Reply::ChunkTaken
            }
            smtp::Call::Message {
                upload,
                data,
                envelope,
            } => {
                let mut content = self.uploads.remove(&upload).unwrap_or_default();
                content.extend(data);
                if is_refused(&content) {
                    return smtp::Reply::Refused(Refusal::storage_full());
                }
                let recipients = envelope.recipients.iter().map(|it| local_part(&it.path));
                self.messages.push((recipients.collect(), content));
                smtp::Reply::Accepted
            }
        }
    }
}

/// Whether the server refuses this content. Its subject says so: the body may come in base64.
fn is_refused(content: &[u8]) -> bool {
    let subject = b"Subject: refuse\r\n";
    content.windows(subject.len()).any(|it| it == subject)
}

fn local_part(path: &ForwardPath) -> String {
    match path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Address(address) => address.local_part().to_owned(),
    }
}

/// The network between them.
struct Wire<'a> {
    client: Client,
    server: Server,
    spool: Spool,
    waiting: VecDeque<(Message, Bytes)>,
    content: Bytes,
    fates: BTreeMap<u64, BTreeMap<usize, Fate>>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Extensions that the client does not get to see.
    hidden: &'a [&'a str],
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    client_tls: bool,
    server_tls: bool,
    client_closed: bool,
    server_closed: bool,
    /// Bytes to the server after which the connection dies.
    dies_after: usize,
}

const NOW: fn() -> Now = Now::default;

impl Wire<'_> {
    fn drain(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Send(bytes) => {
                    self.to_server.extend(&bytes);
                    self.client.handle_event(NOW(), Event::Sent(bytes.len()));
                }
                Action::Call(id, call) => {
                    let reply = self.answer(call);
                    self.client.handle_event(NOW(), Event::Reply(id, reply));
                }
                Action::Cancel(_) => {}
                Action::StartTls => self.client_tls = true,
                Action::Close(_) => self.client_closed = true,
            }
        }
        while let Some(action) = self.server.poll_action() {
            match action {
                Action::Send(bytes) => {
                    let seen = self.hide(&bytes);
                    self.to_client.extend(seen);
                    self.server.handle_event(NOW(), Event::Sent(bytes.len()));
                }
                Action::Call(id, call) => {
                    let reply = self.spool.answer(call);
                    self.server.handle_event(NOW(), Event::Reply(id, reply));
                }
                Action::Cancel(_) => {}
                Action::StartTls => self.server_tls = true,
                Action::Close(_) => self.server_closed = true,
            }
        }
        if self.client_tls && self.server_tls {
            (self.client_tls, self.server_tls) = (false, false);
            let established = || Event::TlsEstablished(TlsInfo::default());
            self.client.handle_event(NOW(), established());
            self.server
                .handle_event(NOW(), Event::TlsEstablished(TlsInfo::default()));
            self.drain();
        }
    }

    /// The answer to EHLO without what is hidden.
    fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        if !bytes.starts_with(b"250-mx.example.net\r\n") {
            return bytes.to_vec();
        }
        let text = std::str::from_utf8(bytes).unwrap();
        let lines = text.split_inclusive('\n').filter(|line| {
            let keyword = line[4..].split([' ', '\r']).next().unwrap();
            !self.hidden.contains(&keyword)
        });
        lines.collect::<String>().into_bytes()
    }

    fn answer(&mut self, call: Call) -> Reply {
        match call {
            Call::NextMessage => match self.waiting.pop_front() {
                Some((message, content)) => {
                    self.content = content;
                    self.fates.insert(message.key, BTreeMap::new());
                    Reply::Message(Box::new(message))
                }
                None => Reply::NoMore,
            },
            Call::Read { offset, length } => {
                let start = offset as usize;
                Reply::Bytes(self.content.slice(start..start + length))
            }
            Call::Report(report) => {
                let fates = self.fates.get_mut(&report.key).expect("it was taken");
                for (place, fate) in report.fates {
                    assert_eq!(fates.insert(place, fate), None, "two fates");
                }
                Reply::Noted
            }
            Call::Ended(_) => Reply::Noted,
            Call::Scram(_) => unreachable!("nobody logs in"),
        }
    }

    /// Moves bytes until both have closed, or the connection dies.
    fn run(&mut self) {
        self.drain();
        for _ in 0..1_000_000 {
            let length = *self.pieces.next().unwrap();
            let to_server: Vec<u8> = self.peek(&self.to_server, length);
            if !to_server.is_empty() && !self.server_closed {
                let allowed = to_server.len().min(self.dies_after);
                let consumed = self.server.handle_input(NOW(), &to_server[..allowed]);
                self.to_server.drain(..consumed);
                self.dies_after -= consumed;
                self.drain();
                if self.dies_after == 0 {
                    return self.client_loses();
                }
            }
            let to_client = self.peek(&self.to_client, length);
            if !to_client.is_empty() && !self.client_closed {
                let consumed = self.client.handle_input(NOW(), &to_client);
                self.to_client.drain(..consumed);
                self.drain();
            }
            if self.client_closed {
                return;
            }
            if self.server_closed && self.to_client.is_empty() {
                return self.client_loses();
            }
        }
        panic!("it does not end");
    }

    fn peek(&self, bytes: &VecDeque<u8>, length: usize) -> Vec<u8> {
        bytes.iter().take(length).copied().collect()
    }

    fn client_loses(&mut self) {
        self.client.handle_event(NOW(), Event::PeerClosed);
        self.drain();
        assert!(self.client_closed);
    }
}

#[derive(Clone, Debug)]
struct Scenario {
    messages: Vec<(Vec<&'static str>, Vec<u8>)>,
    hidden: Vec<&'static str>,
    tls: Tls,
    recipients_max: u32,
    messages_max: u32,
    pieces: Vec<usize>,
    dies_after: usize,
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let recipient = prop_oneof![4 => Just("yes"), 1 => Just("no"), 1 => Just("later")];
    let line = prop_oneof![
        4 => Just("Some text.\r\n"), 2 => Just(".\r\n"), 1 => Just("..\r\n"), 1 => Just("\r\n"),
        1 => Just("caf\u{e9}\r\n"), 1 => Just("\0\r\n"),
    ];
    let subject = prop_oneof![9 => Just("x"), 1 => Just("refuse")];
    let end = prop_oneof![9 => Just(""), 1 => Just("no line end")];
    let times = prop_oneof![6 => Just(1usize), 1 => 1usize..4000];
    let content =
        (subject, vec(line, 0..20), times, end).prop_map(|(subject, lines, times, end)| {
            let text = lines.concat().repeat(times);
            format!("Subject: {subject}\r\n\r\n{text}{end}").into_bytes()
        });
    let hidden = proptest::sample::subsequence(
        vec![
            "PIPELINING",
            "CHUNKING",
            "8BITMIME",
            "SMTPUTF8",
            "SIZE",
            "LIMITS",
            "STARTTLS",
            "ENHANCEDSTATUSCODES",
        ],
        0..8,
    );
    (
        vec((vec(recipient, 0..8), content), 0..4),
        hidden,
        any::<bool>(),
        (1u32..6, 1u32..8),
        vec(1usize..5000, 1..5),
        prop_oneof![2 => Just(usize::MAX), 1 => 1usize..3000],
    )
        .prop_map(
            |(messages, hidden, offers_tls, (recipients_max, messages_max), pieces, dies_after)| {
                Scenario {
                    messages,
                    hidden,
                    tls: if offers_tls {
                        Tls::Offered
                    } else {
                        Tls::Unavailable
                    },
                    recipients_max,
                    messages_max,
                    pieces,
                    dies_after,
                }
            },
        )
}

fn play(scenario: &Scenario) -> (Spool, BTreeMap<u64, BTreeMap<usize, Fate>>, Vec<Message>) {
    let config = smtp::Config {
        hostname: Domain::parse("mx.example.net").unwrap(),
        listener: Listener::Inbound,
        peer: Ipv4Addr::new(192, 0, 2, 7).into(),
        tls: scenario.tls,
        message_bytes_max: 60_000,
        recipients_max: scenario.recipients_max,
        messages_max: scenario.messages_max,
        seed: 7,
    };
    let mut waiting = VecDeque::new();
    for (key, (names, content)) in scenario.messages.iter().enumerate() {
        let addresses: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(place, name)| format!("{name}-{key}-{place}@b.c"))
            .collect();
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        waiting.push_back(world::message(key as u64, &addresses, content));
    }
    let messages = waiting.iter().map(|(message, _)| message.clone()).collect();
    let mut wire = Wire {
        client: Client::new(world::config(Security::Opportunistic), NOW()),
        server: Server::new(config, NOW()),
        spool: Spool::default(),
        waiting,
        content: Bytes::new(),
        fates: BTreeMap::new(),
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        hidden: &scenario.hidden,
        pieces: scenario.pieces.iter().cycle(),
        client_tls: false,
        server_tls: false,
        client_closed: false,
        server_closed: false,
        dies_after: scenario.dies_after,
    };
    wire.run();
    (wire.spool, wire.fates, messages)
}

/// Checks what was stored for this recipient against its fate.
fn check(spool: &Spool, scenario: &Scenario, message: &Message, place: usize, fate: &Fate) {
    let name = local_part(&message.recipients[place].path);
    let stored: Vec<&Vec<u8>> = spool
        .messages
        .iter()
        .filter(|(recipients, _)| recipients.contains(&name))
        .map(|(_, content)| content)
        .collect();
    let (_, sent) = &scenario.messages[message.key as usize];
    for content in &stored {
        check_content(content, sent);
    }
    match fate {
        Fate::Accepted(_) => assert_eq!(stored.len(), 1, "{name}"),
        Fate::Uncertain(_) => assert!(stored.len() <= 1, "{name}"),
        Fate::Refused(_) | Fate::Deferred(_) | Fate::Failed(_) => {
            assert!(stored.is_empty(), "{name} {fate:?}");
        }
    }
    let whole = scenario.dies_after == usize::MAX && !matches!(fate, Fate::Failed(_));
    let fits = match fate {
        Fate::Accepted(_) => name.starts_with("yes") && !is_refused(sent),
        Fate::Refused(reply) => name.starts_with("no") || matches!(reply.code, 552 | 550),
        Fate::Deferred(reply) => !name.starts_with("yes") || is_refused(sent) || reply.code == 421,
        Fate::Failed(_) | Fate::Uncertain(_) => true,
    };
    assert!(fits || !whole, "{name} {fate:?}");
}

/// What is stored is a trace field and what was sent, or what it was converted to.
fn check_content(stored: &[u8], sent: &[u8]) {
    let mut expected = sent.to_vec();
    if !expected.ends_with(b"\r\n") {
        expected.extend(b"\r\n");
    }
    if stored.is_ascii() && !sent.is_ascii() {
        return;
    }
    let trace = stored
        .strip_suffix(&expected[..])
        .expect("it ends with what was sent");
    assert!(trace.starts_with(b"Return-Path") || trace.starts_with(b"Received"));
    assert!(trace.ends_with(b"\r\n") && !trace.windows(4).any(|it| it == b"\r\n\r\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_arrives_is_what_was_sent_and_fates_are_what_the_server_decided(
        scenario in scenarios(),
    ) {
        let (spool, fates, messages) = play(&scenario);
        for message in &messages {
            let Some(fates) = fates.get(&message.key) else {
                continue;
            };
            prop_assert_eq!(fates.len(), message.recipients.len(), "a fate for each");
            for (place, fate) in fates {
                check(&spool, &scenario, message, *place, fate);
            }
        }
        let is_whole = scenario.dies_after == usize::MAX;
        let transactions: usize = messages.iter().map(|it| it.recipients.len()).sum();
        if is_whole && transactions < scenario.messages_max as usize {
            prop_assert_eq!(fates.len(), messages.len(), "every message is taken");
        }
    }
}
