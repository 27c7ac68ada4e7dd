//! A resolver, a model zone, and a network between them that loses, delays, doubles, reorders and
//! truncates: each query gets exactly one answer, right or temporary, in time.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;
use rmail_proto::{
    Entropy, Instant, Now, UnixTime,
    dns::{
        Action, Config, LookupResult, QueryId, Question, RecordType, Resolver, Source, StreamId,
    },
    limits,
};

use crate::{
    harness::{A, B, address, config, framed},
    zone::{self, Entry, Truth, Zone, name, said, truth},
};

const TYPES: [RecordType; 5] = [
    RecordType::A,
    RecordType::Aaaa,
    RecordType::Mx,
    RecordType::Ptr,
    RecordType::Txt,
];

fn model() -> Zone {
    let a = |last: u8| Entry::A([192, 0, 2, last].into());
    let aaaa = |last: u16| Entry::Aaaa([0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into());
    Zone::from([
        (
            "example.com",
            vec![
                Entry::Mx(10, "mx1.example.com"),
                Entry::Mx(20, "mx2.example.com"),
            ],
        ),
        ("mx1.example.com", vec![a(1), a(2), aaaa(1)]),
        ("mx2.example.com", vec![aaaa(2)]),
        ("null.example", vec![Entry::Mx(0, ".")]),
        ("alias.example", vec![Entry::Cname("other.example")]),
        ("other.example", vec![Entry::Cname("mx1.example.com")]),
        ("dangling.example", vec![Entry::Cname("nowhere.example")]),
        ("circle.example", vec![Entry::Cname("elcric.example")]),
        ("elcric.example", vec![Entry::Cname("circle.example")]),
        ("empty.example", vec![]),
        (
            "7.2.0.192.in-addr.arpa",
            vec![Entry::Ptr("mx1.example.com")],
        ),
        (
            "text.example",
            vec![Entry::Txt(&["v=spf1 ", "-all"]), Entry::Txt(&["more"])],
        ),
    ])
}

/// How bad the world is, in percent.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    lost: u64,
    doubled: u64,
    late: u64,
    truncated: u64,
    server_failure: u64,
    nonsense: u64,
    no_edns: u64,
    stream_fails: u64,
    alias_only: u64,
    dead_server: bool,
}

#[derive(Debug)]
enum Event {
    Query(QueryId, Question),
    Datagram(Source, SocketAddr, Vec<u8>),
    Connected(StreamId),
    Stream(StreamId, Vec<u8>),
    StreamFailed(StreamId),
}

struct World {
    zone: Zone,
    resolver: Resolver,
    faults: Faults,
    entropy: Entropy,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    next_event: u64,
    /// Sockets and streams that are open.
    open: Vec<u64>,
    servers: BTreeMap<StreamId, SocketAddr>,
    asked: BTreeMap<QueryId, (Instant, Question)>,
    answers: BTreeMap<QueryId, LookupResult>,
    trace: Vec<String>,
}

impl World {
    fn new(config: Config, faults: Faults, seed: u64) -> Self {
        Self {
            zone: model(),
            resolver: Resolver::new(config, seed),
            faults,
            entropy: Entropy::new(seed ^ 0x5555),
            now: Instant::from_start(Duration::from_secs(5)),
            events: BTreeMap::new(),
            next_event: 0,
            open: Vec::new(),
            servers: BTreeMap::new(),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            trace: Vec::new(),
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.entropy.next_below(100) < percent
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.events
            .insert((self.now + after, self.next_event), event);
        self.next_event += 1;
    }

    /// A way through the network.
    fn latency(&mut self) -> Duration {
        let late = self.chance(self.faults.late);
        let milliseconds = if late { 15_000 } else { 100 };
        Duration::from_millis(1 + self.entropy.next_below(milliseconds))
    }

    fn ask(&mut self, after: Duration) {
        let names: Vec<_> = self
            .zone
            .keys()
            .copied()
            .chain(["missing.example"])
            .collect();
        let owner = names[self.entropy.next_below(names.len() as u64) as usize];
        let record_type = TYPES[self.entropy.next_below(TYPES.len() as u64) as usize];
        let question = Question::new(name(owner), record_type);
        let id = QueryId(self.asked.len() as u64);
        self.asked.insert(id, (self.now + after, question.clone()));
        self.schedule(after, Event::Query(id, question));
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            let event = self.events.first_key_value().map(|(&(at, _), _)| at);
            let wake = self.resolver.poll_timeout();
            let Some(at) = event.into_iter().chain(wake).min() else {
                return;
            };
            self.now = self.now.max(at);
            let now = Now {
                at: self.now,
                unix: UnixTime(0),
            };
            match self.events.pop_first() {
                Some(((due, _), event)) if due <= at => self.happen(now, event),
                Some((key, event)) => {
                    self.events.insert(key, event);
                    self.resolver.handle_timeout(now);
                }
                None => self.resolver.handle_timeout(now),
            }
            while let Some(action) = self.resolver.poll_action() {
                self.trace.push(format!("{action:?}"));
                self.act(action);
            }
        }
        panic!("it does not come to rest");
    }

    fn happen(&mut self, now: Now, event: Event) {
        let is_open = |number: u64| self.open.contains(&number);
        match event {
            Event::Query(id, question) => self.resolver.handle_query(now, id, question),
            Event::Datagram(source, from, bytes) if is_open(source.0) => {
                self.resolver.handle_datagram(now, source, from, &bytes);
            }
            Event::Connected(stream) if is_open(stream.0) => {
                self.resolver.handle_stream_connected(now, stream);
            }
            Event::Stream(stream, bytes) if is_open(stream.0) => {
                self.resolver.handle_stream_bytes(now, stream, &bytes);
            }
            Event::StreamFailed(stream) if is_open(stream.0) => {
                self.resolver.handle_stream_failed(now, stream);
            }
            Event::Datagram(..)
            | Event::Connected(_)
            | Event::Stream(..)
            | Event::StreamFailed(_) => {}
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::SendDatagram { source, to, bytes } => {
                self.open(source.0);
                self.take_datagram(source, to, &bytes);
            }
            Action::Dial { stream, to } => {
                self.open(stream.0);
                self.servers.insert(stream, to);
                let latency = self.latency();
                let event = match self.chance(self.faults.stream_fails) {
                    true => Event::StreamFailed(stream),
                    false => Event::Connected(stream),
                };
                self.schedule(latency, event);
            }
            Action::SendStream { stream, bytes } => {
                let query = Message::from_vec(&bytes[2..]).unwrap();
                let response = self.respond(&query);
                let wire = framed(&response);
                let half = wire.len() / 2;
                let latency = self.latency();
                self.schedule(latency, Event::Stream(stream, wire[..half].to_vec()));
                self.schedule(latency, Event::Stream(stream, wire[half..].to_vec()));
                self.schedule(latency * 2, Event::StreamFailed(stream));
            }
            Action::CloseDatagram { source } => self.close(source.0),
            Action::CloseStream { stream } => self.close(stream.0),
            Action::Answer { id, result } => {
                let (asked_at, _) = &self.asked[&id];
                assert!(self.now.since(*asked_at) <= limits::DNS_LOOKUP_TIMEOUT);
                assert!(self.answers.insert(id, result).is_none(), "answered twice");
            }
        }
    }

    fn open(&mut self, number: u64) {
        assert!(!self.open.contains(&number));
        self.open.push(number);
        assert!(self.open.len() <= limits::DNS_LOOKUPS_IN_FLIGHT);
    }

    fn close(&mut self, number: u64) {
        let index = self.open.iter().position(|&open| open == number);
        self.open.remove(index.expect("what is closed was open"));
    }

    fn take_datagram(&mut self, source: Source, to: SocketAddr, bytes: &[u8]) {
        let is_dead = self.faults.dead_server && to == address(A);
        if is_dead || self.chance(self.faults.lost) {
            return;
        }
        let query = Message::from_vec(bytes).unwrap();
        let mut response = self.respond(&query);
        if self.chance(self.faults.truncated) {
            response.metadata.truncation = true;
            response.answers.clear();
        }
        let mut bytes = response.to_vec().unwrap();
        if self.chance(self.faults.nonsense) {
            let index = self.entropy.next_below(12) as usize;
            bytes[index] ^= 1 << self.entropy.next_below(8);
            // What is wrong with the code, the truncation and the records is the server's word.
            bytes[2] |= 0x02;
        }
        let copies = if self.chance(self.faults.doubled) {
            2
        } else {
            1
        };
        for _ in 0..copies {
            if !self.chance(self.faults.lost) {
                let latency = self.latency();
                self.schedule(latency, Event::Datagram(source, to, bytes.clone()));
            }
        }
    }

    fn respond(&mut self, query: &Message) -> Message {
        let mut response = zone::resolve(&self.zone, query);
        let is_alias = response.answers.len() > 1
            && response.answers[0].record_type() == hickory_proto::rr::RecordType::CNAME;
        if query.edns.is_some() && self.chance(self.faults.no_edns) {
            response = zone::response(query);
            response.metadata.response_code = ResponseCode::FormErr;
        } else if self.chance(self.faults.server_failure) {
            response = zone::response(query);
            response.metadata.response_code = ResponseCode::ServFail;
        } else if is_alias && self.chance(self.faults.alias_only) {
            response.metadata.response_code = ResponseCode::NoError;
            response.answers.truncate(1);
            response.authorities.clear();
        }
        response
    }

    fn check(&self) {
        assert_eq!(
            self.answers.len(),
            self.asked.len(),
            "a query without answer"
        );
        for (id, result) in &self.answers {
            if let Some(said) = said(result) {
                assert_eq!(said, self.truth(*id), "{:?}", self.asked[id].1);
            }
        }
        assert_eq!(self.open, []);
        let load = self.resolver.load();
        assert_eq!((load.lookups, load.waiters), (0, 0));
    }

    fn truth(&self, id: QueryId) -> Truth {
        let question = &self.asked[&id].1;
        truth(&self.zone, question.name.as_str(), question.record_type)
    }
}

fn faults() -> impl Strategy<Value = Faults> {
    (proptest::array::uniform9(0u64..30), any::<bool>()).prop_map(|(percent, dead_server)| Faults {
        lost: percent[0],
        doubled: percent[1],
        late: percent[2],
        truncated: percent[3],
        server_failure: percent[4],
        nonsense: percent[5],
        no_edns: percent[6],
        stream_fails: percent[7],
        alias_only: percent[8],
        dead_server,
    })
}

fn world(faults: Faults, seed: u64, mixed_case: bool) -> World {
    let mut config = config(&[A, B]);
    config.mixed_case = mixed_case;
    let mut world = World::new(config, faults, seed);
    for _ in 0..60 {
        let after = Duration::from_millis(world.entropy.next_below(60_000));
        world.ask(after);
    }
    world.run();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn each_query_has_one_answer_right_or_temporary_in_time(
        faults in faults(),
        seed: u64,
        mixed_case: bool,
    ) {
        let mut world = world(faults, seed, mixed_case);
        world.check();

        // Then everything heals, and what the failures left behind passes.
        world.faults = Faults::default();
        world.now = world.now + limits::DNS_FAILURE_TTL_MAX;
        let before = world.asked.len();
        for _ in 0..20 {
            world.ask(Duration::from_millis(1));
        }
        world.run();
        world.check();
        for (id, result) in world.answers.range(QueryId(before as u64)..) {
            let loops = Truth::AliasLoop;
            prop_assert!(said(result).is_some() || world.truth(*id) == loops, "{:?}", result);
        }
    }

    #[test]
    fn same_seed_gives_the_same_trace(faults in faults(), seed: u64) {
        prop_assert_eq!(world(faults, seed, true).trace, world(faults, seed, true).trace);
    }
}
