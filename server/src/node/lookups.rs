//! Which hosts take the mail for a destination: MX records, addresses, and the resolver that knows
//! them.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use rmail_proto::{
    Domain, Now,
    dns::{
        Action, Config as ResolverConfig, Failure, LookupResult, Mx, Name, QueryId, Question,
        RecordType, Records, ResolvConf, Resolver, StreamId,
    },
    smtp::EnhancedCode,
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
    queries: BTreeMap<QueryId, (String, Asked)>,
    queries_asked: u64,
    searches: BTreeMap<String, Search>,
    /// The resolver's connections, by the sessions that drive them.
    streams: BTreeMap<SessionId, StreamId>,
}

/// What was asked for a destination.
#[derive(Clone, Debug)]
enum Asked {
    Exchangers,
    /// Addresses of the host with this place in the list.
    Addresses(usize),
}

/// Hosts that are looked for.
#[derive(Debug)]
struct Search {
    port: u16,
    /// In the order in which they are to be tried.
    hosts: Vec<(String, BTreeSet<IpAddr>)>,
    /// Answers that are still to come.
    pending: usize,
    /// Why addresses were not found that may be found later.
    failure: Option<Failure>,
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

impl Node {
    /// The configuration is another one.
    pub(super) fn reconfigure_lookups(&mut self) {
        let config = resolver_config(&self.config, &self.lookups.resolv_conf);
        self.lookups.resolver.handle_config(config);
    }

    /// Looks for the hosts of a destination; [`Node::handle_hosts`] follows, perhaps at once.
    pub(super) fn find_hosts(&mut self, now: Now, key: &str, next_hop: &NextHop) {
        let mx_port = self.config.relay.port.get();
        match next_hop {
            NextHop::Mx(domain) => match NextHop::literal(domain) {
                Some(address) => self.found_address(now, key, domain.as_str(), address, mx_port),
                None => self.find_exchangers(now, key, domain, mx_port),
            },
            NextHop::Host {
                host: PeerHost::Address(address),
                port,
                ..
            } => self.found_address(now, key, &address.to_string(), *address, *port),
            NextHop::Host {
                host: PeerHost::Name(name),
                port,
                ..
            } => self.find_addresses(now, key, vec![name.to_string()], *port),
        }
    }

    fn found_address(&mut self, now: Now, key: &str, name: &str, address: IpAddr, port: u16) {
        let host = FoundHost {
            name: name.to_owned(),
            address: SocketAddr::new(address, port),
        };
        self.handle_hosts(now, key, Ok(vec![host]));
    }

    fn find_exchangers(&mut self, now: Now, key: &str, domain: &Domain, port: u16) {
        match Name::from_domain(domain) {
            Ok(name) => {
                let search = Search {
                    port,
                    hosts: vec![(domain.to_string(), BTreeSet::new())],
                    pending: 1,
                    failure: None,
                };
                self.lookups.searches.insert(key.to_owned(), search);
                self.ask(now, key, Asked::Exchangers, name, RecordType::Mx);
            }
            Err(_) => {
                let why = format!("{domain} is no name of the DNS");
                let status = EnhancedCode(5, 1, 2);
                self.handle_hosts(now, key, Err(NoHosts { status, why }));
            }
        }
    }

    fn find_addresses(&mut self, now: Now, key: &str, names: Vec<String>, port: u16) {
        let hosts = names.into_iter().take(limits::HOSTS_TRIED);
        let hosts: Vec<(String, BTreeSet<IpAddr>)> = hosts
            .map(|name| match name.as_str() {
                "localhost" => {
                    let own = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                    (name, BTreeSet::from(own))
                }
                _ => (name, BTreeSet::new()),
            })
            .collect();
        let asked: Vec<(usize, Name)> = (hosts.iter().enumerate())
            .filter(|(_, (_, addresses))| addresses.is_empty())
            .filter_map(|(place, (name, _))| Some((place, Name::parse(name).ok()?)))
            .collect();
        let search = Search {
            port,
            hosts,
            pending: 2 * asked.len(),
            failure: None,
        };
        self.lookups.searches.insert(key.to_owned(), search);
        for (place, name) in asked {
            for record_type in [RecordType::Aaaa, RecordType::A] {
                self.ask(now, key, Asked::Addresses(place), name.clone(), record_type);
            }
        }
        self.check_search(now, key);
    }

    fn ask(&mut self, now: Now, key: &str, asked: Asked, name: Name, record_type: RecordType) {
        let lookups = &mut self.lookups;
        lookups.queries_asked += 1;
        let id = QueryId(lookups.queries_asked);
        lookups.queries.insert(id, (key.to_owned(), asked));
        let question = Question::new(name, record_type);
        lookups.resolver.handle_query(now, id, question);
        self.drain_resolver(now);
    }

    fn handle_answer(&mut self, now: Now, id: QueryId, result: LookupResult) {
        let Some((key, asked)) = self.lookups.queries.remove(&id) else {
            return;
        };
        match asked {
            Asked::Exchangers => self.handle_exchangers(now, &key, result),
            Asked::Addresses(place) => {
                if let Some(search) = self.lookups.searches.get_mut(&key) {
                    search.take_addresses(place, result);
                    self.check_search(now, &key);
                }
            }
        }
    }

    /// RFC 5321 §5.1.
    fn handle_exchangers(&mut self, now: Now, key: &str, result: LookupResult) {
        let Some(search) = self.lookups.searches.remove(key) else {
            return;
        };
        let domain = search.hosts[0].0.clone();
        let no_hosts = |status, why| Err(NoHosts { status, why });
        let outcome = match result {
            Ok(answer) => match answer.records {
                Records::Mx(exchangers) => self.order_exchangers(&domain, &exchangers),
                Records::A(_)
                | Records::Aaaa(_)
                | Records::Ptr(_)
                | Records::Tlsa(_)
                | Records::Txt(_) => unreachable!("an answer is of the type that was asked for"),
            },
            // Its own address takes its mail.
            Err(Failure::NoData(_)) => Ok(vec![domain]),
            Err(failure @ Failure::NoSuchDomain(_)) => {
                no_hosts(EnhancedCode(5, 1, 2), format!("{domain}: {failure}"))
            }
            Err(failure @ Failure::AliasLoop) => {
                no_hosts(EnhancedCode(4, 4, 4), format!("{domain}: {failure}"))
            }
            Err(failure @ Failure::Temporary(_)) => {
                no_hosts(EnhancedCode(4, 4, 3), format!("{domain}: {failure}"))
            }
        };
        match outcome {
            Ok(names) => self.find_addresses(now, key, names, search.port),
            Err(error) => self.handle_hosts(now, key, Err(error)),
        }
    }

    /// The hosts in the order in which they are to be tried: by preference, equal ones by chance;
    /// none that would lead back to this server.
    fn order_exchangers(
        &mut self,
        domain: &str,
        exchangers: &[Mx],
    ) -> Result<Vec<String>, NoHosts> {
        let is_null = |mx: &Mx| mx.exchange == Name::root();
        if !exchangers.is_empty() && exchangers.iter().all(is_null) {
            // RFC 7505.
            return Err(NoHosts {
                status: EnhancedCode(5, 1, 10),
                why: format!("{domain} takes no mail (null MX)"),
            });
        }
        let own = self.config.hostname.as_str();
        let own = exchangers.iter().filter(|mx| mx.exchange.as_str() == own);
        let own_preference = own.map(|mx| mx.preference).min();
        let usable = exchangers.iter().filter(|mx| !is_null(mx));
        let closer = usable.filter(|mx| own_preference.is_none_or(|own| mx.preference < own));
        let mut ordered: Vec<(u16, u64, String)> = closer
            .map(|mx| {
                (
                    mx.preference,
                    self.entropy.next_u64(),
                    mx.exchange.to_string(),
                )
            })
            .collect();
        ordered.sort();
        match (ordered.is_empty(), own_preference) {
            (false, _) => Ok(ordered.into_iter().map(|(_, _, name)| name).collect()),
            (true, Some(_)) => Err(NoHosts {
                status: EnhancedCode(5, 4, 6),
                why: format!("mail for {domain} leads back to this server, which does not host it"),
            }),
            (true, None) => Err(NoHosts {
                status: EnhancedCode(4, 4, 4),
                why: format!("{domain} has no mail exchanger that can be used"),
            }),
        }
    }

    fn check_search(&mut self, now: Now, key: &str) {
        let search = self.lookups.searches.get(key);
        if search.is_none_or(|search| search.pending > 0) {
            return;
        }
        let search = self
            .lookups
            .searches
            .remove(key)
            .expect("it was just there");
        let found = search.finish();
        self.handle_hosts(now, key, found);
    }
}

impl Search {
    fn take_addresses(&mut self, place: usize, result: LookupResult) {
        self.pending -= 1;
        match result {
            Ok(answer) => {
                let addresses = &mut self.hosts[place].1;
                match answer.records {
                    Records::A(found) => addresses.extend(found.iter().copied().map(IpAddr::from)),
                    Records::Aaaa(found) => {
                        addresses.extend(found.iter().copied().map(IpAddr::from));
                    }
                    Records::Mx(_) | Records::Ptr(_) | Records::Tlsa(_) | Records::Txt(_) => {}
                }
            }
            Err(failure @ Failure::Temporary(_)) => self.failure = Some(failure),
            Err(Failure::NoSuchDomain(_) | Failure::NoData(_) | Failure::AliasLoop) => {}
        }
    }

    /// All addresses, host by host, the families of each in turns.
    fn finish(self) -> Result<Vec<FoundHost>, NoHosts> {
        let mut found = Vec::new();
        for (name, addresses) in &self.hosts {
            let (mut v6, mut v4): (VecDeque<IpAddr>, VecDeque<IpAddr>) =
                addresses.iter().partition(|address| address.is_ipv6());
            while !v6.is_empty() || !v4.is_empty() {
                for address in [v6.pop_front(), v4.pop_front()].into_iter().flatten() {
                    found.push(FoundHost {
                        name: name.clone(),
                        address: SocketAddr::new(address, self.port),
                    });
                }
            }
        }
        found.truncate(limits::HOSTS_TRIED);
        if !found.is_empty() {
            return Ok(found);
        }
        let names: Vec<&str> = self.hosts.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(", ");
        Err(match self.failure {
            Some(failure) => NoHosts {
                status: EnhancedCode(4, 4, 3),
                why: format!("{names}: {failure}"),
            },
            None => NoHosts {
                status: EnhancedCode(5, 4, 4),
                why: format!("{names}: there is no such host, or it has no address"),
            },
        })
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
        let source = rmail_proto::dns::Source(socket.0);
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
        let entry = SessionEntry {
            kind: SessionKind::Dialled,
            login: None,
            selected: None,
        };
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
