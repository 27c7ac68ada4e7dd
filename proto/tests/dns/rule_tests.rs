//! The rules of a machine, whatever comes in: it is total, it is pure, what it opens it closes,
//! and each query has its answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use hickory_proto::op::Message;
use proptest::{collection::vec, prelude::*};
use rmail_proto::{
    Instant, Now, UnixTime,
    dns::{Action, Config, QueryId, Resolver, Source, StreamId},
    limits,
};

use crate::{
    harness::{A, B, address, config, framed, question},
    zone::{self, Entry, Zone},
};

#[derive(Clone, Debug)]
enum Step {
    Query(usize),
    /// Any bytes, to a source or stream that is open or was.
    Bytes {
        which: usize,
        from_server: bool,
        bytes: Vec<u8>,
    },
    /// A true response with some bytes changed, cut or added.
    Response {
        which: usize,
        changes: Vec<(usize, u8)>,
        length: Option<usize>,
    },
    Connected(usize),
    Failed(usize),
    Pass(Duration),
    Timeout,
    Config(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = prop_oneof![vec(any::<u8>(), 0..64), vec(any::<u8>(), 5000)];
    let changes = prop_oneof![
        2 => Just(vec![]),
        1 => vec((0usize..12, any::<u8>()), 1..3),
        2 => vec((0usize..200, any::<u8>()), 1..5),
    ];
    let step = prop_oneof![
        6 => (0usize..12).prop_map(Step::Query),
        3 => (any::<usize>(), any::<bool>(), bytes).prop_map(|(which, from_server, bytes)| {
            Step::Bytes { which, from_server, bytes }
        }),
        12 => (any::<usize>(), changes, proptest::option::weighted(0.2, 0usize..300))
            .prop_map(|(which, changes, length)| Step::Response { which, changes, length }),
        4 => any::<usize>().prop_map(Step::Connected),
        1 => any::<usize>().prop_map(Step::Failed),
        2 => (0u64..20_000).prop_map(|ms| Step::Pass(Duration::from_millis(ms))),
        1 => Just(Step::Timeout),
        1 => any::<bool>().prop_map(Step::Config),
    ];
    vec(step, 0..60)
}

const QUESTIONS: [&str; 12] = [
    "MX a.example",
    "A a.example",
    "AAAA a.example",
    "TXT a.example",
    "PTR a.example",
    "TLSA a.example",
    "A b.example",
    "MX b.example",
    "A c.example",
    "A d.example",
    "TXT missing.example",
    "A missing.example",
];

fn model() -> Zone {
    let everything = vec![
        Entry::A([192, 0, 2, 1].into()),
        Entry::Aaaa([1, 2, 3, 4, 5, 6, 7, 8].into()),
        Entry::Mx(1, "a.example"),
        Entry::Ptr("a.example"),
        Entry::Txt(&["text", "more"]),
    ];
    Zone::from([
        ("a.example", everything),
        ("b.example", vec![Entry::Cname("a.example")]),
        ("c.example", vec![Entry::Cname("d.example")]),
        ("d.example", vec![Entry::Cname("c.example")]),
    ])
}

#[derive(Debug)]
enum Exchange {
    Datagram(Source, SocketAddr, Message),
    Stream(StreamId, Option<Message>),
}

struct Run {
    resolver: Resolver,
    now: Now,
    exchanges: Vec<Exchange>,
    open: BTreeSet<u64>,
    owed: BTreeMap<QueryId, Instant>,
    next_query: u64,
    trace: Vec<String>,
}

impl Run {
    fn new(config: Config, seed: u64) -> Self {
        Self {
            resolver: Resolver::new(config, seed),
            now: Now {
                at: Instant::from_start(Duration::from_secs(1)),
                unix: UnixTime(0),
            },
            exchanges: Vec::new(),
            open: BTreeSet::new(),
            owed: BTreeMap::new(),
            next_query: 0,
            trace: Vec::new(),
        }
    }

    fn take_step(&mut self, step: &Step) {
        let count = self.exchanges.len().max(1);
        match step {
            Step::Query(which) => {
                let id = QueryId(self.next_query);
                self.next_query += 1;
                self.owed.insert(id, self.now.at);
                let question = question(QUESTIONS[*which]);
                self.resolver.handle_query(self.now, id, question);
            }
            Step::Bytes {
                which,
                from_server,
                bytes,
            } => {
                match self.exchanges.get(which % count) {
                    Some(Exchange::Datagram(source, to, _)) => {
                        let from = if *from_server {
                            *to
                        } else {
                            address("192.0.2.9:1")
                        };
                        self.resolver
                            .handle_datagram(self.now, *source, from, bytes);
                        // A number is a source's or a stream's.
                        let stream = StreamId(source.0);
                        self.resolver.handle_stream_bytes(self.now, stream, bytes);
                    }
                    Some(Exchange::Stream(stream, _)) => {
                        self.resolver.handle_stream_bytes(self.now, *stream, bytes);
                        let source = Source(stream.0);
                        self.resolver
                            .handle_datagram(self.now, source, address(A), bytes);
                    }
                    None => {}
                }
            }
            Step::Response {
                which,
                changes,
                length,
            } => {
                self.respond(which % count, changes, *length);
            }
            Step::Connected(which) => {
                if let Some(Exchange::Stream(stream, _)) = self.exchanges.get(which % count) {
                    self.resolver.handle_stream_connected(self.now, *stream);
                }
            }
            Step::Failed(which) => {
                if let Some(Exchange::Stream(stream, _)) = self.exchanges.get(which % count) {
                    self.resolver.handle_stream_failed(self.now, *stream);
                }
            }
            Step::Pass(duration) => {
                self.now.at = self.now.at + *duration;
                self.resolver.handle_timeout(self.now);
            }
            Step::Timeout => self.resolver.handle_timeout(self.now),
            Step::Config(with_servers) => {
                let servers: &[&str] = if *with_servers { &[B, A] } else { &[] };
                self.resolver.handle_config(config(servers));
            }
        }
        self.drain();
    }

    fn respond(&mut self, which: usize, changes: &[(usize, u8)], length: Option<usize>) {
        let corrupt = |mut bytes: Vec<u8>| {
            for (index, mask) in changes {
                if let Some(byte) = bytes.get_mut(*index) {
                    *byte ^= mask;
                }
            }
            if let Some(length) = length {
                bytes.resize(length, 0xc0);
            }
            bytes
        };
        match self.exchanges.get(which) {
            Some(Exchange::Datagram(source, to, query)) => {
                let bytes = corrupt(zone::resolve(&model(), query).to_vec().unwrap());
                self.resolver
                    .handle_datagram(self.now, *source, *to, &bytes);
            }
            Some(Exchange::Stream(stream, Some(query))) => {
                let bytes = corrupt(framed(&zone::resolve(&model(), query)));
                self.resolver.handle_stream_bytes(self.now, *stream, &bytes);
            }
            Some(Exchange::Stream(_, None)) | None => {}
        }
    }

    fn drain(&mut self) {
        let actions_max = 8 + 3 * (self.next_query as usize + 1);
        let mut actions = 0;
        while let Some(action) = self.resolver.poll_action() {
            self.trace.push(format!("{action:?}"));
            self.note(action);
            actions += 1;
        }
        assert!(actions <= actions_max, "{actions}");
        let load = self.resolver.load();
        assert_eq!(load.waiters, self.owed.len());
        assert!(load.lookups <= QUESTIONS.len() && self.open.len() <= load.lookups);
        assert_eq!(self.resolver.poll_timeout().is_some(), load.lookups > 0);
    }

    fn note(&mut self, action: Action) {
        match action {
            Action::SendDatagram { source, to, bytes } => {
                assert!(bytes.len() <= 512 && self.open.insert(source.0));
                let query = Message::from_vec(&bytes).unwrap();
                self.exchanges.push(Exchange::Datagram(source, to, query));
            }
            Action::Dial { stream, .. } => {
                assert!(self.open.insert(stream.0));
                self.exchanges.push(Exchange::Stream(stream, None));
            }
            Action::SendStream { stream, bytes } => {
                assert!(self.open.contains(&stream.0));
                let query = Message::from_vec(&bytes[2..]).unwrap();
                self.exchanges.push(Exchange::Stream(stream, Some(query)));
            }
            Action::CloseDatagram { source } => assert!(self.open.remove(&source.0)),
            Action::CloseStream { stream } => assert!(self.open.remove(&stream.0)),
            Action::Answer { id, .. } => {
                let asked_at = self.owed.remove(&id).expect("one answer to each query");
                // Steps may pass over a deadline by up to 20 seconds.
                let late = limits::DNS_LOOKUP_TIMEOUT + Duration::from_secs(20);
                assert!(self.now.at.since(asked_at) <= late);
            }
        }
    }

    fn finish(&mut self) {
        while let Some(at) = self.resolver.poll_timeout() {
            self.now.at = self.now.at.max(at);
            self.resolver.handle_timeout(self.now);
            self.drain();
        }
        assert!(self.owed.is_empty() && self.open.is_empty());
    }
}

fn run(steps: &[Step], config: Config, seed: u64) -> Vec<String> {
    let mut run = Run::new(config, seed);
    for step in steps {
        run.take_step(step);
    }
    run.finish();
    run.trace
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn machine_keeps_the_rules(steps in steps(), rotate: bool, mixed_case: bool, seed: u64) {
        let mut config = config(&[A, B]);
        config.rotate = rotate;
        config.mixed_case = mixed_case;
        let first = run(&steps, config.clone(), seed);
        prop_assert_eq!(first, run(&steps, config, seed));
    }
}
