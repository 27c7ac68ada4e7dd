//! Which hosts take the mail for a destination, and the resolver that knows them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use rmail_proto::{
    Now,
    dns::{
        Action, Config as ResolverConfig, Failure, LookupResult, Name, QueryId, Question,
        RecordType, Records, ResolvConf, Resolver, Source, StreamId,
    },
    smtp::{EnhancedCode, Route, RouteAction, RouteConfig},
};

use super::{Node, NodeAction, NodeTimer, SessionEntry, SessionKind, SocketId};
use crate::{
    config::{Config, PeerHost},
    limits,
    outbound::route::NextHop,
    session::{Machine, RawStream, Reply, Session, SessionEvent, SessionId},
};

/// The port of name servers.
const NAME_SERVER_PORT: u16 = 53;

/// A host that may take mail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct FoundHost {
    /// Its name, for people and for its certificate.
    pub(super) name: String,
    pub(super) address: SocketAddr,
}

/// Why there is none.
#[derive(Clone, Debug)]
pub(super) struct NoHosts {
    pub(super) status: EnhancedCode,
    pub(super) why: String,
}

/// The resolver, and what is being looked up.
#[derive(Debug)]
pub(super) struct Lookups {
    resolver: Resolver,
    resolv_conf: String,
    /// For which destination a question was asked.
    queries: BTreeMap<QueryId, (String, Question)>,
    queries_asked: u64,
    searches: BTreeMap<String, Search>,
    /// The resolver's connections, by the sessions that drive them.
    streams: BTreeMap<SessionId, StreamId>,
}

/// What is looked for, for a destination.
#[derive(Debug)]
enum Search {
    /// The mail exchangers of a domain.
    Exchangers(Box<Route>),
    /// The addresses of a host that the configuration names.
    Addresses {
        port: u16,
        found: Vec<IpAddr>,
        /// Answers that are still to come.
        pending: u32,
        failure: Option<Failure>,
    },
}

impl Lookups {
    pub(super) fn new(config: &Config, resolv_conf: String, seed: u64) -> Self {
        Self {
            resolver: Resolver::new(resolver_config(config, &resolv_conf), seed),
            resolv_conf,
            queries: BTreeMap::new(),
            queries_asked: 0,
            searches: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }
}

fn resolver_config(config: &Config, resolv_conf: &str) -> ResolverConfig {
    let (conf, _errors) = ResolvConf::parse(resolv_conf);
    let mut resolver = ResolverConfig::from_resolv_conf(&conf, NAME_SERVER_PORT);
    if !config.relay.dns_servers.is_empty() {
        resolver.servers = config.relay.dns_servers.clone();
    }
    resolver
}

/// What finding mail exchangers must know of this server.
fn route_config(config: &Config) -> RouteConfig {
    let own_addresses = match config.smtp.host.is_unspecified() {
        true => Vec::new(),
        false => vec![config.smtp.host],
    };
    // On another port somebody else may listen.
    let is_own_port = config.smtp.port == Some(config.relay.port);
    RouteConfig {
        own_names: Name::from_domain(&config.hostname).into_iter().collect(),
        own_addresses: if is_own_port {
            own_addresses
        } else {
            Vec::new()
        },
        loopback_is_own: is_own_port,
        ..RouteConfig::default()
    }
}

impl Node {
    /// The configuration is another one.
    pub(super) fn reconfigure_lookups(&mut self) {
        let config = resolver_config(&self.config, &self.lookups.resolv_conf);
        self.lookups.resolver.handle_config(config);
    }

    /// Looks for the hosts of a destination; [`Node::handle_hosts`] follows, perhaps at once.
    pub(super) fn find_hosts(&mut self, now: Now, key: &str, next_hop: &NextHop) {
        match next_hop {
            NextHop::Mx(domain) => {
                let config = Arc::new(route_config(&self.config));
                let route = Route::new(config, domain.clone(), self.entropy.next_u64());
                let search = Search::Exchangers(Box::new(route));
                self.lookups.searches.insert(key.to_owned(), search);
                self.advance_search(now, key);
            }
            NextHop::Host { host, port, .. } => match host {
                PeerHost::Address(address) => {
                    let host = FoundHost {
                        name: address.to_string(),
                        address: SocketAddr::new(*address, *port),
                    };
                    self.handle_hosts(now, key, Ok(vec![host]));
                }
                PeerHost::Name(name) => self.find_addresses(now, key, name.as_str(), *port),
            },
        }
    }

    fn find_addresses(&mut self, now: Now, key: &str, name: &str, port: u16) {
        let found = match name {
            "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            _ => Vec::new(),
        };
        let asked = Name::parse(name).ok().filter(|_| found.is_empty());
        let search = Search::Addresses {
            port,
            found,
            pending: if asked.is_some() { 2 } else { 0 },
            failure: None,
        };
        self.lookups.searches.insert(key.to_owned(), search);
        if let Some(name) = asked {
            for record_type in [RecordType::Aaaa, RecordType::A] {
                self.ask(now, key, Question::new(name.clone(), record_type));
            }
        }
        self.advance_search(now, key);
    }

    fn ask(&mut self, now: Now, key: &str, question: Question) {
        let lookups = &mut self.lookups;
        lookups.queries_asked += 1;
        let id = QueryId(lookups.queries_asked);
        lookups
            .queries
            .insert(id, (key.to_owned(), question.clone()));
        lookups.resolver.handle_query(now, id, question);
        self.drain_resolver(now);
    }

    fn handle_answer(&mut self, now: Now, id: QueryId, result: LookupResult) {
        let Some((key, question)) = self.lookups.queries.remove(&id) else {
            return;
        };
        match self.lookups.searches.get_mut(&key) {
            Some(Search::Exchangers(route)) => route.handle_answer(&question, result),
            Some(Search::Addresses {
                found,
                pending,
                failure,
                ..
            }) => {
                *pending -= 1;
                match result {
                    Ok(answer) => found.extend(addresses(&answer.records)),
                    Err(why) => *failure = Some(why),
                }
            }
            None => {}
        }
        self.advance_search(now, &key);
    }

    /// Asks what a search wants to know, and ends it when it knows all.
    fn advance_search(&mut self, now: Now, key: &str) {
        let outcome = loop {
            match self.lookups.searches.get_mut(key) {
                None => return,
                Some(Search::Exchangers(route)) => match route.poll_action() {
                    None => return,
                    Some(RouteAction::Ask(question)) => self.ask(now, key, question),
                    Some(RouteAction::Done(outcome)) => {
                        let port = self.config.relay.port.get();
                        break outcome
                            .map(|plan| hosts_of(&plan, port))
                            .map_err(|failure| NoHosts {
                                status: failure.enhanced,
                                why: failure.text,
                            });
                    }
                },
                Some(Search::Addresses { pending: 1.., .. }) => return,
                Some(Search::Addresses {
                    port,
                    found,
                    failure,
                    ..
                }) => break named_host(key, *port, found, failure.as_ref()),
            }
        };
        self.lookups.searches.remove(key);
        self.handle_hosts(now, key, outcome);
    }
}

fn addresses(records: &Records) -> Vec<IpAddr> {
    match records {
        Records::A(found) => found.iter().copied().map(IpAddr::from).collect(),
        Records::Aaaa(found) => found.iter().copied().map(IpAddr::from).collect(),
        Records::Mx(_) | Records::Ptr(_) | Records::Tlsa(_) | Records::Txt(_) => Vec::new(),
    }
}

fn hosts_of(plan: &rmail_proto::smtp::Plan, port: u16) -> Vec<FoundHost> {
    let targets = plan.targets().map(|(exchanger, address)| FoundHost {
        name: match &exchanger.name {
            Some(name) => name.to_string(),
            None => address.to_string(),
        },
        address: SocketAddr::new(address, port),
    });
    targets.take(limits::HOSTS_TRIED).collect()
}

/// The host of a key such as `smarthost:mail.example.net:587`.
fn named_host(
    key: &str,
    port: u16,
    found: &[IpAddr],
    failure: Option<&Failure>,
) -> Result<Vec<FoundHost>, NoHosts> {
    let name = key.split(':').nth(1).unwrap_or(key);
    let hosts = found.iter().take(limits::HOSTS_TRIED);
    let hosts: Vec<FoundHost> = hosts
        .map(|&address| FoundHost {
            name: name.to_owned(),
            address: SocketAddr::new(address, port),
        })
        .collect();
    match (hosts.is_empty(), failure) {
        (false, _) => Ok(hosts),
        // What the configuration names may be put right: that is no ground to give mail up.
        (true, Some(failure)) => Err(NoHosts {
            status: EnhancedCode(4, 4, 3),
            why: format!("{name} can't be found: {failure}"),
        }),
        (true, None) => Err(NoHosts {
            status: EnhancedCode(4, 4, 3),
            why: format!("{name} can't be found"),
        }),
    }
}

// The resolver and the world.
impl Node {
    fn drain_resolver(&mut self, now: Now) {
        while let Some(action) = self.lookups.resolver.poll_action() {
            match action {
                Action::SendDatagram { source, to, bytes } => {
                    let socket = SocketId(source.0);
                    self.actions
                        .push_back(NodeAction::SendUdp { socket, to, bytes });
                }
                Action::CloseDatagram { source } => {
                    let socket = SocketId(source.0);
                    self.actions.push_back(NodeAction::CloseUdp(socket));
                }
                Action::Dial { stream, to } => {
                    let session = self.dial(to);
                    self.lookups.streams.insert(session, stream);
                }
                Action::SendStream { stream, bytes } => {
                    if let Some(session) = self.session_of_stream(stream) {
                        let event = SessionEvent::Reply(RawStream::UNASKED, Reply::Raw(bytes));
                        self.notify(session, event);
                    }
                }
                Action::CloseStream { stream } => {
                    if let Some(session) = self.session_of_stream(stream) {
                        self.lookups.streams.remove(&session);
                        self.notify(session, SessionEvent::Abort);
                    }
                }
                Action::Answer { id, result } => self.handle_answer(now, id, result),
            }
        }
        let at = self.lookups.resolver.poll_timeout();
        self.move_timer(NodeTimer::Lookups, at);
    }

    /// A datagram came to a UDP socket.
    pub fn handle_udp(&mut self, now: Now, socket: SocketId, from: SocketAddr, bytes: &[u8]) {
        let source = Source(socket.0);
        self.lookups
            .resolver
            .handle_datagram(now, source, from, bytes);
        self.drain_resolver(now);
    }

    pub(super) fn handle_lookups_timer(&mut self, now: Now) {
        self.lookups.resolver.handle_timeout(now);
        self.drain_resolver(now);
    }

    pub(super) fn handle_lookup_bytes(&mut self, now: Now, session: SessionId, bytes: &[u8]) {
        if let Some(&stream) = self.lookups.streams.get(&session) {
            self.lookups
                .resolver
                .handle_stream_bytes(now, stream, bytes);
            self.drain_resolver(now);
        }
    }

    /// Whether the session was to be the resolver's; what becomes of it.
    pub(super) fn lookup_session(
        &mut self,
        now: Now,
        session: SessionId,
        is_connected: bool,
    ) -> Option<Option<Box<Session>>> {
        let stream = *self.lookups.streams.get(&session)?;
        if !is_connected {
            self.handle_lookup_over(now, session);
            return Some(None);
        }
        let entry = SessionEntry::new(now, SessionKind::Dialled, None);
        self.sessions.insert(session, entry);
        let machine = Machine::Raw(RawStream::default());
        let driven = Session::new(session, machine, None, false, now);
        self.lookups.resolver.handle_stream_connected(now, stream);
        self.drain_resolver(now);
        Some(Some(Box::new(driven)))
    }

    pub(super) fn handle_lookup_over(&mut self, now: Now, session: SessionId) {
        if let Some(stream) = self.lookups.streams.remove(&session) {
            self.lookups.resolver.handle_stream_failed(now, stream);
            self.drain_resolver(now);
        }
    }

    fn session_of_stream(&self, stream: StreamId) -> Option<SessionId> {
        let mut streams = self.lookups.streams.iter();
        streams.find_map(|(session, known)| (*known == stream).then_some(*session))
    }
}
