//! The stub resolver as a state machine.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};
use core::{net::SocketAddr, time::Duration};

use bytes::Bytes;

use super::{
    Answer, Denial, Failure, LookupResult, Question, Reason, ResolvConf,
    cache::Cache,
    lookup::{self, Lookup, State},
    servers::Servers,
    wire::{End, Query, Reading, Told},
};
use crate::{Entropy, Instant, Now, limits};

/// Asks recursive name servers, and remembers what they say.
///
/// The driver does this, and nothing else:
///
/// 1. It hands in queries, datagrams, bytes of streams and their failures.
/// 2. After each of these it drains [`poll_action`](Self::poll_action) until `None` and carries
///    the actions out in their order.
/// 3. It calls [`handle_timeout`](Self::handle_timeout) once the time of
///    [`poll_timeout`](Self::poll_timeout) has come.
///
/// In return each query gets exactly one [`Action::Answer`], at once or within
/// [`limits::DNS_LOOKUP_TIMEOUT`]. Nothing that comes in panics or is an error to the driver; what
/// fits no question that is being asked is ignored. There is no clock, no I/O and no randomness
/// but the seed. Memory is bounded: see the limits that begin with `DNS`.
///
/// Equal questions are asked once. A server that does not answer in time, fails, refuses or
/// answers nonsense gives way to the next one; a truncated answer is asked for again by TCP; a
/// server that knows no EDNS is asked without it. Against forgery each attempt has a fresh source,
/// a random id and, where it is configured, a random case of its letters; only records on the way
/// from the question's name along its aliases count.
#[derive(Debug)]
pub struct Resolver {
    config: Config,
    entropy: Entropy,
    servers: Servers,
    cache: Cache,
    lookups: BTreeMap<LookupId, Lookup>,
    by_question: BTreeMap<Question, LookupId>,
    /// Sources and streams that are open.
    exchanges: BTreeMap<u64, LookupId>,
    alarms: BTreeSet<(Instant, LookupId)>,
    waiting: BTreeSet<LookupId>,
    waiters: usize,
    next_lookup: u64,
    next_exchange: u64,
    actions: VecDeque<Action>,
}

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The servers; of more than [`limits::DNS_SERVERS_MAX`], the first ones.
    pub servers: Vec<SocketAddr>,
    /// How long one is waited for, [`limits::DNS_TIMEOUT_MAX`] at most.
    pub timeout: Duration,
    /// How often each is asked, [`limits::DNS_ATTEMPTS_MAX`] at most.
    pub attempts: u32,
    /// Whether they take turns. Otherwise the first one that answers is asked.
    pub rotate: bool,
    /// Whether their AD bit means anything: they validate, and the way to them is safe.
    pub trust_ad: bool,
    /// Whether names are sent in mixed case, which makes answers harder to forge
    /// (draft-vixie-dnsext-dns0x20). A server that gives them back otherwise is asked by TCP.
    pub mixed_case: bool,
}

/// Names a query. The driver chooses it; the answer carries it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QueryId(pub u64);

/// Names a socket that sends one datagram. Never reused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source(pub u64);

/// Names a TCP connection. Never reused, nor the number of a [`Source`].
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct StreamId(pub u64);

/// What the resolver wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Action {
    /// Open a UDP socket on a port that nobody can guess, send this from it, and hand in what
    /// comes back to it until it is closed. Where that fails, nothing is to be done.
    SendDatagram {
        /// The new socket.
        source: Source,
        /// The server.
        to: SocketAddr,
        /// The datagram.
        bytes: Bytes,
    },
    /// Close this socket.
    CloseDatagram {
        /// One that was opened.
        source: Source,
    },
    /// Connect to a server by TCP, and say how it went.
    Dial {
        /// The new connection.
        stream: StreamId,
        /// The server.
        to: SocketAddr,
    },
    /// Send this on a connection.
    SendStream {
        /// One that is connected.
        stream: StreamId,
        /// The bytes.
        bytes: Bytes,
    },
    /// Close this connection, or stop connecting.
    CloseStream {
        /// One that was dialled.
        stream: StreamId,
    },
    /// What comes of a query. The last word on it.
    Answer {
        /// The query.
        id: QueryId,
        /// What comes of it.
        result: LookupResult,
    },
}

/// How much a resolver has to do and to remember.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Load {
    /// Questions that are being asked or wait for it.
    pub lookups: usize,
    /// Queries that wait for an answer.
    pub waiters: usize,
    /// Answers that are kept.
    pub cache_entries: usize,
    /// What they take in memory, about.
    pub cache_bytes: usize,
}

/// In the order in which they came.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct LookupId(u64);

impl Config {
    /// What `resolv.conf` says, with servers on this port.
    pub fn from_resolv_conf(conf: &ResolvConf, port: u16) -> Self {
        let servers = conf.servers.iter();
        Self {
            servers: servers.map(|&ip| SocketAddr::new(ip, port)).collect(),
            timeout: conf.timeout,
            attempts: conf.attempts,
            rotate: conf.rotate,
            trust_ad: conf.trust_ad,
            mixed_case: false,
        }
    }

    fn within_limits(mut self) -> Self {
        let shortest = Duration::from_millis(1);
        self.timeout = self.timeout.clamp(shortest, limits::DNS_TIMEOUT_MAX);
        self.attempts = self.attempts.clamp(1, limits::DNS_ATTEMPTS_MAX);
        self
    }
}

impl Resolver {
    /// The seed is to be drawn for this resolver alone: forging answers is as hard as guessing
    /// what comes of it.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            servers: Servers::new(&config.servers, config.rotate),
            config: config.within_limits(),
            entropy: Entropy::new(seed),
            cache: Cache::default(),
            lookups: BTreeMap::new(),
            by_question: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            alarms: BTreeSet::new(),
            waiting: BTreeSet::new(),
            waiters: 0,
            next_lookup: 0,
            next_exchange: 0,
            actions: VecDeque::new(),
        }
    }

    /// Takes another configuration and forgets what was answered. What is being asked goes on with
    /// the servers that it began with.
    pub fn handle_config(&mut self, config: Config) {
        self.servers = Servers::new(&config.servers, config.rotate);
        self.config = config.within_limits();
        self.cache.clear();
    }

    /// Asks a question. [`Action::Answer`] with this id is owed.
    pub fn handle_query(&mut self, now: Now, id: QueryId, question: Question) {
        if let Some(result) = self.cache.find(now.at, &question) {
            self.actions.push_back(Action::Answer { id, result });
            return;
        }
        let known = self.by_question.get(&question).copied();
        let lookups_max = limits::DNS_LOOKUPS_IN_FLIGHT + limits::DNS_LOOKUPS_WAITING;
        let reason = if self.servers.is_empty() {
            Some(Reason::NoServers)
        } else if self.waiters >= limits::DNS_WAITERS_MAX
            || (known.is_none() && self.lookups.len() >= lookups_max)
        {
            Some(Reason::Overloaded)
        } else {
            None
        };
        if let Some(reason) = reason {
            let result = Err(Failure::Temporary(reason));
            self.actions.push_back(Action::Answer { id, result });
            return;
        }
        let lookup = known.unwrap_or_else(|| self.add_lookup(now.at, question));
        self.waiters += 1;
        self.lookup(lookup).waiters.push(id);
        self.start_waiting(now.at);
    }

    /// Takes a datagram that came to this source.
    pub fn handle_datagram(&mut self, now: Now, source: Source, from: SocketAddr, bytes: &[u8]) {
        let Some(&id) = self.exchanges.get(&source.0) else {
            return;
        };
        let lookup = self.lookup(id);
        let aliases = lookup.aliases;
        let State::Datagram {
            server,
            query,
            strays,
            ..
        } = &mut lookup.state
        else {
            return;
        };
        let is_from_server = (from.ip(), from.port()) == (server.ip(), server.port());
        let reading = match is_from_server && bytes.len() <= limits::DNS_DATAGRAM_BYTES {
            true => query.read(bytes, true, aliases),
            false => Reading::Stray,
        };
        if let Reading::Stray = reading {
            *strays += 1;
            if *strays >= limits::DNS_STRAYS_MAX {
                self.ask_by_stream(now.at, id);
            }
            return;
        }
        self.take_reading(now.at, id, reading);
        self.start_waiting(now.at);
    }

    /// The connection that [`Action::Dial`] asked for is there.
    pub fn handle_stream_connected(&mut self, now: Now, stream: StreamId) {
        let Some(&id) = self.exchanges.get(&stream.0) else {
            return;
        };
        let lookup = self.lookup(id);
        let State::Dialing { server, query, .. } = &lookup.state else {
            return;
        };
        let (server, query) = (*server, query.clone());
        let message = query.write();
        let length = u16::try_from(message.len()).expect("a query is short");
        let bytes = Bytes::from([&length.to_be_bytes()[..], &message].concat());
        lookup.state = State::Reading {
            stream,
            server,
            query,
            received: Vec::new(),
        };
        self.actions.push_back(Action::SendStream { stream, bytes });
        self.set_attempt_alarm(now.at, id);
    }

    /// Takes bytes that came on this connection, however they are split.
    pub fn handle_stream_bytes(&mut self, now: Now, stream: StreamId, bytes: &[u8]) {
        let Some(&id) = self.exchanges.get(&stream.0) else {
            return;
        };
        let lookup = self.lookup(id);
        let aliases = lookup.aliases;
        let State::Reading {
            query, received, ..
        } = &mut lookup.state
        else {
            return;
        };
        let reading = match lookup::receive(received, bytes) {
            Ok(None) => return,
            Ok(Some(message)) => query.read(message, false, aliases),
            Err(reason) => Reading::Failed(reason),
        };
        self.take_reading(now.at, id, reading);
        self.start_waiting(now.at);
    }

    /// This connection could not be made, or has ended.
    pub fn handle_stream_failed(&mut self, now: Now, stream: StreamId) {
        if let Some(&id) = self.exchanges.get(&stream.0)
            && let State::Dialing { .. } | State::Reading { .. } = self.lookup(id).state
        {
            self.fail_attempt(now.at, id, Reason::Unreachable);
            self.start_waiting(now.at);
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come. Too early does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(&(at, id)) = self.alarms.first()
            && at <= now.at
        {
            if let Some(server) = self.lookup(id).state.server() {
                self.servers.note_timeout(now.at, server);
            }
            if self.waiting.contains(&id) {
                self.finish(now.at, id, Err(Failure::Temporary(Reason::Overloaded)));
            } else if self.lookup(id).give_up_at <= now.at {
                self.finish(now.at, id, Err(Failure::Temporary(Reason::Timeout)));
            } else {
                self.fail_attempt(now.at, id, Reason::Timeout);
            }
        }
        self.start_waiting(now.at);
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): when to give up waiting for a
    /// server.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.alarms.first().map(|&(at, _)| at)
    }

    /// How much there is to do and to remember.
    pub fn load(&self) -> Load {
        let (cache_entries, cache_bytes) = self.cache.size();
        Load {
            lookups: self.lookups.len(),
            waiters: self.waiters,
            cache_entries,
            cache_bytes,
        }
    }

    fn add_lookup(&mut self, now: Instant, question: Question) -> LookupId {
        let id = LookupId(self.next_lookup);
        self.next_lookup += 1;
        self.by_question.insert(question.clone(), id);
        let lookup = Lookup::new(now, question);
        self.alarms.insert((lookup.alarm_at, id));
        self.lookups.insert(id, lookup);
        self.waiting.insert(id);
        id
    }

    /// Lets those that have waited longest begin, as far as there is room.
    fn start_waiting(&mut self, now: Instant) {
        while self.lookups.len() - self.waiting.len() < limits::DNS_LOOKUPS_IN_FLIGHT {
            let Some(id) = self.waiting.pop_first() else {
                return;
            };
            self.ask_servers(now, id);
        }
    }

    /// Asks the servers for the target, from the first attempt on.
    fn ask_servers(&mut self, now: Instant, id: LookupId) {
        let order = self.servers.order(now);
        let lookup = self.lookup(id);
        lookup.order = order;
        lookup.attempts = 0;
        self.ask_next(now, id);
    }

    fn fail_attempt(&mut self, now: Instant, id: LookupId, reason: Reason) {
        self.lookup(id).reason = reason;
        self.ask_next(now, id);
    }

    /// Asks the server whose turn it is, if there is one.
    fn ask_next(&mut self, now: Instant, id: LookupId) {
        let attempts_max = self.config.attempts as usize;
        let lookup = self.lookup(id);
        let count = lookup.order.len();
        if lookup.attempts >= count * attempts_max {
            let reason = lookup.reason;
            self.finish(now, id, Err(Failure::Temporary(reason)));
            return;
        }
        let server = lookup.order[lookup.attempts % count];
        lookup.attempts += 1;
        self.ask_by_datagram(now, id, server);
    }

    fn ask_by_datagram(&mut self, now: Instant, id: LookupId, server: SocketAddr) {
        let source = Source(self.open_exchange(id));
        let query = self.new_query(id);
        self.actions.push_back(Action::SendDatagram {
            source,
            to: server,
            bytes: Bytes::from(query.write()),
        });
        self.lookup(id).state = State::Datagram {
            source,
            server,
            query,
            strays: 0,
        };
        self.set_attempt_alarm(now, id);
    }

    /// Asks the server that is being asked once more.
    fn ask_by_stream(&mut self, now: Instant, id: LookupId) {
        let server = self.lookup(id).state.server();
        let server = server.expect("what has a response is being asked");
        let stream = StreamId(self.open_exchange(id));
        let query = self.new_query(id);
        let to = server;
        self.actions.push_back(Action::Dial { stream, to });
        self.lookup(id).state = State::Dialing {
            stream,
            server,
            query,
        };
        self.set_attempt_alarm(now, id);
    }

    fn new_query(&mut self, id: LookupId) -> Query {
        let lookup = &self.lookups[&id];
        let mixed = self.config.mixed_case;
        Query::new(
            &lookup.next_question(),
            lookup.edns,
            mixed,
            &mut self.entropy,
        )
    }

    fn take_reading(&mut self, now: Instant, id: LookupId, reading: Reading) {
        let server = self.lookup(id).state.server();
        let server = server.expect("what has a response is being asked");
        self.servers.note_answer(server);
        match reading {
            Reading::Truncated | Reading::CaseChanged => self.ask_by_stream(now, id),
            Reading::EdnsNotUnderstood => {
                self.lookup(id).edns = false;
                self.ask_by_datagram(now, id, server);
            }
            Reading::Stray => self.fail_attempt(now, id, Reason::Malformed),
            Reading::Failed(reason) => self.fail_attempt(now, id, reason),
            Reading::Told(told) => self.take_told(now, id, told),
        }
    }

    fn take_told(&mut self, now: Instant, id: LookupId, told: Told) {
        let trusted = told.authentic && self.config.trust_ad;
        let lookup = self.lookup(id);
        lookup.target = told.owner;
        lookup.aliases += told.aliases;
        lookup.authentic &= trusted;
        lookup.valid_until = lookup.valid_until.min(now + told.ttl);
        let authentic = lookup.authentic;
        let denial = Denial {
            authentic,
            valid_until: lookup.valid_until,
        };
        let result = match told.end {
            End::Unfinished => {
                self.ask_servers(now, id);
                return;
            }
            End::Records(records) => Ok(Answer {
                records,
                owner: lookup.target.clone(),
                authentic,
                valid_until: lookup.valid_until,
            }),
            End::NoSuchDomain => Err(Failure::NoSuchDomain(denial)),
            End::NoData => Err(Failure::NoData(denial)),
            End::AliasLoop => Err(Failure::AliasLoop),
        };
        self.finish(now, id, result);
    }

    /// Answers all who wait for it.
    fn finish(&mut self, now: Instant, id: LookupId, result: LookupResult) {
        self.close_exchange(id);
        let lookup = self.lookups.remove(&id).expect("it ends once");
        self.by_question.remove(&lookup.question);
        self.alarms.remove(&(lookup.alarm_at, id));
        // One that was never asked says nothing about its question.
        if !self.waiting.remove(&id) {
            self.cache.insert(now, lookup.question, result.clone());
        }
        self.waiters -= lookup.waiters.len();
        for id in lookup.waiters {
            let result = result.clone();
            self.actions.push_back(Action::Answer { id, result });
        }
    }

    /// Closes the exchange that is open, and numbers the next one.
    fn open_exchange(&mut self, id: LookupId) -> u64 {
        self.close_exchange(id);
        let number = self.next_exchange;
        self.next_exchange += 1;
        self.exchanges.insert(number, id);
        number
    }

    fn close_exchange(&mut self, id: LookupId) {
        let (number, action) = match self.lookup(id).state {
            State::Waiting => return,
            State::Datagram { source, .. } => (source.0, Action::CloseDatagram { source }),
            State::Dialing { stream, .. } | State::Reading { stream, .. } => {
                (stream.0, Action::CloseStream { stream })
            }
        };
        self.exchanges.remove(&number);
        self.actions.push_back(action);
    }

    fn set_attempt_alarm(&mut self, now: Instant, id: LookupId) {
        let timeout = self.config.timeout;
        let lookup = self.lookup(id);
        let at = lookup.give_up_at.min(now + timeout);
        let previous = core::mem::replace(&mut lookup.alarm_at, at);
        self.alarms.remove(&(previous, id));
        self.alarms.insert((at, id));
    }

    fn lookup(&mut self, id: LookupId) -> &mut Lookup {
        let lookup = self.lookups.get_mut(&id);
        lookup.expect("ids are those of lookups that go on")
    }
}
