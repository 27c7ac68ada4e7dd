//! A small world for transcripts: messages that wait, their contents, and a memory of reports.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rmail_proto::{
    Address, Domain, Event, ForwardPath, Now, ReversePath, Secret, TlsInfo, limits,
    mime::Scanner,
    smtp::client::{
        Call, Client, Config, Credentials, End, Fate, Message, Protocol, Recipient, Reply, Report,
        Security, Trouble,
    },
};

use crate::transcript::{Session, World};

/// Answers every call at once.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Messages that are not yet sent, with their contents.
    pub(crate) waiting: VecDeque<(Message, Bytes)>,
    /// The content that is read.
    content: Bytes,
    /// Whether contents can't be read.
    pub(crate) unreadable: bool,
    /// Whether `NextMessage` is not answered when nothing waits.
    pub(crate) keeps_waiting: bool,
    /// The fates of each message's recipients, by key.
    pub(crate) fates: BTreeMap<u64, BTreeMap<usize, Fate>>,
    /// Whether the last report said that DSN parameters were passed on.
    pub(crate) dsn_passed_on: bool,
    /// How the session ended.
    pub(crate) end: Option<End>,
    /// How often a piece was read.
    pub(crate) reads: usize,
    /// Which calls came.
    pub(crate) calls: Vec<&'static str>,
}

impl World<Client> for Outbox {
    const PEER: &str = "S:";
    const MACHINE: &str = "C:";

    fn answer(&mut self, call: Call) -> Option<Reply> {
        assert_eq!(self.end, None, "{call:?} after the end");
        self.calls.push(name(&call));
        match call {
            Call::NextMessage => match self.waiting.pop_front() {
                Some((message, content)) => {
                    self.content = content;
                    Some(Reply::Message(Box::new(message)))
                }
                None if self.keeps_waiting => None,
                None => Some(Reply::NoMore),
            },
            Call::Read { .. } if self.unreadable => Some(Reply::Unavailable),
            Call::Read { offset, length } => {
                assert!((1..=limits::READ_BYTES).contains(&length));
                self.reads += 1;
                let start = offset as usize;
                Some(Reply::Bytes(self.content.slice(start..start + length)))
            }
            Call::Report(report) => {
                self.note(report);
                Some(Reply::Noted)
            }
            Call::Ended(end) => {
                self.end = Some(end);
                Some(Reply::Noted)
            }
            // The example of RFC 7677 §3.
            Call::Scram(_) => Some(Reply::Scram {
                client_proof: decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
                server_signature: decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="),
            }),
        }
    }
}

impl Outbox {
    fn note(&mut self, report: Report) {
        assert!(!report.fates.is_empty());
        self.dsn_passed_on = report.dsn_passed_on;
        let known = self.fates.entry(report.key).or_default();
        for (place, fate) in report.fates {
            let before = known.insert(place, fate);
            assert_eq!(before, None, "two fates of recipient {place}");
        }
    }

    /// The fates of this message's recipients in short: a letter and the code or enhanced status
    /// code.
    pub(crate) fn fates_of(&self, key: u64) -> Vec<String> {
        let fates = self.fates.get(&key);
        fates
            .into_iter()
            .flat_map(BTreeMap::values)
            .map(short)
            .collect()
    }

    /// Why the session was broken off.
    pub(crate) fn trouble(&self) -> &Trouble {
        match &self.end {
            Some(End::Broken(trouble)) => trouble,
            other => panic!("{other:?}"),
        }
    }
}

fn name(call: &Call) -> &'static str {
    match call {
        Call::NextMessage => "NextMessage",
        Call::Read { .. } => "Read",
        Call::Report(_) => "Report",
        Call::Ended(_) => "Ended",
        Call::Scram(_) => "Scram",
    }
}

fn short(fate: &Fate) -> String {
    match fate {
        Fate::Accepted(reply) => format!("accepted {}", reply.code),
        Fate::Refused(reply) => format!("refused {}", reply.code),
        Fate::Deferred(reply) => format!("deferred {}", reply.code),
        Fate::Failed(trouble) => format!("failed {}", trouble.enhanced()),
        Fate::Uncertain(trouble) => format!("uncertain {}", trouble.enhanced()),
    }
}

/// Base64 of 32 bytes.
fn decode(text: &str) -> [u8; 32] {
    let sextet = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    };
    let bits = text.bytes().fold(Vec::new(), |mut bits, c| {
        bits.extend((0..6).rev().map(|bit| sextet(c) >> bit & 1));
        bits
    });
    let bytes: Vec<u8> = bits
        .chunks_exact(8)
        .take(32)
        .map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit))
        .collect();
    bytes.try_into().unwrap()
}

pub(crate) fn config(security: Security) -> Config {
    Config {
        protocol: Protocol::Smtp,
        hostname: Domain::parse("mx.example.com").unwrap(),
        shuns_own_name: true,
        security,
        credentials: None,
    }
}

/// The user of RFC 7677 §3; its nonce is `rOprNGfwEbeRWgbNEkqO` there, and longer here.
pub(crate) fn credentials() -> Credentials {
    Credentials {
        username: "user".to_owned(),
        password: Secret::new("pencil".to_owned()),
        cleartext_allowed: false,
        nonce: *b"\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51\x55\x97",
    }
}

pub(crate) fn message(key: u64, recipients: &[&str], content: &[u8]) -> (Message, Bytes) {
    let mut scanner = Scanner::new();
    scanner.handle_input(content);
    let recipients = recipients.iter().map(|address| Recipient {
        path: ForwardPath::Address(Address::parse(address).unwrap()),
        notify: None,
        original: None,
    });
    let message = Message {
        key,
        reverse_path: ReversePath::Address(Address::parse("alice@example.com").unwrap()),
        recipients: recipients.collect(),
        size_bytes: content.len() as u64,
        parts: scanner.finish().parts.into(),
        eight_bit: !content.is_ascii(),
        smtputf8: false,
        return_of_content: None,
        envelope_id: None,
    };
    (message, Bytes::copy_from_slice(content))
}

pub(crate) type Peer = Session<Client, Outbox>;

/// Content of one line.
pub(crate) const HELLO: &[u8] = b"Subject: hi\r\n\r\nHello\r\n";

pub(crate) fn connect(config: Config, waiting: Vec<(Message, Bytes)>) -> Peer {
    let outbox = Outbox {
        waiting: waiting.into(),
        ..Outbox::default()
    };
    Session::new(outbox, |now: Now| Client::new(config, now))
}

/// Without TLS, up to the answer to EHLO, which names these extensions.
pub(crate) fn greeted(extensions: &[&str], waiting: Vec<(Message, Bytes)>) -> Peer {
    let mut peer = connect(config(Security::Opportunistic), waiting);
    peer.play("S: 220 mx.example.net ESMTP\nC: EHLO mx.example.com");
    answer_hello(&mut peer, extensions);
    peer
}

pub(crate) fn answer_hello(peer: &mut Peer, extensions: &[&str]) {
    for extension in extensions {
        peer.send(format!("250-{extension}\r\n").as_bytes());
    }
    peer.send(b"250 HELP\r\n");
}

/// One message, and a peer with these extensions.
pub(crate) fn one_message(extensions: &[&str], recipients: &[&str]) -> Peer {
    let extensions = [&["mx.example.net"], extensions].concat();
    greeted(&extensions, vec![message(1, recipients, HELLO)])
}

pub(crate) fn establish_tls(peer: &mut Peer) {
    peer.establish_tls(TlsInfo::default());
}

pub(crate) fn fail_tls(peer: &mut Peer) {
    peer.handle(Event::TlsFailed("certificate expired".to_owned()));
}
