//! A resolver whose actions a test takes one by one.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use hickory_proto::op::Message;
use rmail_proto::{
    Instant, Now, UnixTime,
    dns::{
        Action, Config, LookupResult, QueryId, Question, RecordType, Resolver, Source, StreamId,
    },
};

use crate::zone::name;

pub(crate) const A: &str = "192.0.2.1:53";
pub(crate) const B: &str = "192.0.2.2:53";

pub(crate) fn config(servers: &[&str]) -> Config {
    Config {
        servers: servers.iter().map(|server| address(server)).collect(),
        timeout: Duration::from_secs(5),
        attempts: 2,
        rotate: false,
        trust_ad: true,
        mixed_case: false,
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// As in `MX example.com`.
pub(crate) fn question(text: &str) -> Question {
    let (record_type, owner) = text.split_once(' ').unwrap();
    let record_type = match record_type {
        "A" => RecordType::A,
        "AAAA" => RecordType::Aaaa,
        "MX" => RecordType::Mx,
        "PTR" => RecordType::Ptr,
        "TLSA" => RecordType::Tlsa,
        "TXT" => RecordType::Txt,
        other => panic!("{other}"),
    };
    Question::new(name(owner), record_type)
}

/// A datagram that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) source: Source,
    pub(crate) to: SocketAddr,
    pub(crate) message: Message,
}

pub(crate) struct Harness {
    pub(crate) resolver: Resolver,
    pub(crate) now: Now,
    pub(crate) actions: VecDeque<Action>,
    next_query: u64,
}

impl Harness {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            resolver: Resolver::new(config, 7),
            now: Now {
                at: Instant::from_start(Duration::from_secs(1000)),
                unix: UnixTime(0),
            },
            actions: VecDeque::new(),
            next_query: 0,
        }
    }

    pub(crate) fn ask(&mut self, text: &str) -> QueryId {
        let id = QueryId(self.next_query);
        self.next_query += 1;
        self.resolver.handle_query(self.now, id, question(text));
        self.drain();
        id
    }

    pub(crate) fn drain(&mut self) {
        while let Some(action) = self.resolver.poll_action() {
            self.actions.push_back(action);
        }
    }

    /// The next action that is no closing.
    pub(crate) fn action(&mut self) -> Action {
        loop {
            match self.actions.pop_front().expect("an action") {
                Action::CloseDatagram { .. } | Action::CloseStream { .. } => {}
                action => return action,
            }
        }
    }

    /// Nothing is to be done, but for closing.
    #[track_caller]
    pub(crate) fn nothing(&mut self) {
        self.actions.retain(|action| {
            !matches!(
                action,
                Action::CloseDatagram { .. } | Action::CloseStream { .. }
            )
        });
        assert!(self.actions.is_empty(), "{:?}", self.actions);
    }

    #[track_caller]
    pub(crate) fn sent(&mut self) -> Sent {
        match self.action() {
            Action::SendDatagram { source, to, bytes } => Sent {
                source,
                to,
                message: Message::from_vec(&bytes).unwrap(),
            },
            action => panic!("{action:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn answer(&mut self) -> (QueryId, LookupResult) {
        match self.action() {
            Action::Answer { id, result } => (id, result),
            action => panic!("{action:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn dialled(&mut self) -> (StreamId, SocketAddr) {
        match self.action() {
            Action::Dial { stream, to } => (stream, to),
            action => panic!("{action:?}"),
        }
    }

    /// The message that goes out once this stream is connected.
    #[track_caller]
    pub(crate) fn connect(&mut self, stream: StreamId) -> Message {
        self.resolver.handle_stream_connected(self.now, stream);
        self.drain();
        match self.action() {
            Action::SendStream { stream: on, bytes } => {
                assert_eq!(on, stream);
                let length = u16::from_be_bytes([bytes[0], bytes[1]]);
                assert_eq!(usize::from(length), bytes.len() - 2);
                Message::from_vec(&bytes[2..]).unwrap()
            }
            action => panic!("{action:?}"),
        }
    }

    /// The message comes from where the query went.
    pub(crate) fn respond(&mut self, sent: &Sent, message: &Message) {
        self.datagram(sent.source, sent.to, &message.to_vec().unwrap());
    }

    pub(crate) fn datagram(&mut self, source: Source, from: SocketAddr, bytes: &[u8]) {
        self.resolver.handle_datagram(self.now, source, from, bytes);
        self.drain();
    }

    pub(crate) fn stream_bytes(&mut self, stream: StreamId, bytes: &[u8]) {
        self.resolver.handle_stream_bytes(self.now, stream, bytes);
        self.drain();
    }

    pub(crate) fn stream_failed(&mut self, stream: StreamId) {
        self.resolver.handle_stream_failed(self.now, stream);
        self.drain();
    }

    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now.at = self.now.at + duration;
        self.resolver.handle_timeout(self.now);
        self.drain();
    }

    /// To the next deadline.
    pub(crate) fn wake(&mut self) {
        self.now.at = self.resolver.poll_timeout().expect("a deadline");
        self.resolver.handle_timeout(self.now);
        self.drain();
    }
}

/// With the length before it, as on a stream.
pub(crate) fn framed(message: &Message) -> Vec<u8> {
    let bytes = message.to_vec().unwrap();
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], &bytes].concat()
}
