//! Finding out where mail for a domain goes (RFC 5321 §5.1).

mod plan;

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::{
    mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

pub use plan::{Exchanger, Plan, RouteFailure};

use crate::{
    Domain, Entropy,
    dns::{Failure, LookupResult, Mx, Name, NameError, Question, RecordType, Records},
    limits,
};

/// Finds the hosts that take one domain's mail, by asking the DNS.
///
/// A driver drains [`poll_action`](Self::poll_action) and hands in what comes of each question
/// with [`handle_answer`](Self::handle_answer), in any order; [`RouteAction::Done`] is the last
/// action. As each question has its answer, there is no timer. Nothing that comes in panics.
///
/// | What the DNS says | What follows |
/// |---|---|
/// | MX records | their hosts by preference, equal ones in random order |
/// | the one MX record `.` (RFC 7505) | 5.1.10 |
/// | no MX records | the domain is its own exchanger (RFC 5321 §5.1) |
/// | no such domain, or neither MX nor address | 5.1.2 |
/// | MX records, and no host of them has an address | 5.4.4 |
/// | we are a host in the list | those with our preference or a higher one are left out |
/// | …and none is left | 5.4.6 |
/// | nothing now, or aliases without an end | 4.4.3 |
///
/// Aliases (CNAME) are followed, in place of the host of an MX record, too: RFC 5321 §5.1 forbids
/// them there, and they are found there all the same.
#[derive(Debug)]
pub struct Route {
    config: Arc<RouteConfig>,
    domain: Domain,
    entropy: Entropy,
    state: State,
    actions: VecDeque<RouteAction>,
}

/// What a route must know of us.
#[derive(Clone, Debug, Default)]
pub struct RouteConfig {
    /// The names that mean this server.
    pub own_names: Vec<Name>,
    /// The addresses at which this server takes mail.
    pub own_addresses: Vec<IpAddr>,
    /// Whether loopback addresses mean this server, which they do unless in tests.
    pub loopback_is_own: bool,
    /// The families of addresses that can be reached.
    pub families: Families,
}

/// Families of addresses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Families {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

/// What a route wants done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RouteAction {
    /// Ask the DNS. No question is asked twice.
    Ask(Question),
    /// The end.
    Done(Result<Plan, RouteFailure>),
}

#[derive(Debug)]
enum State {
    /// Waits for the MX records.
    Exchangers {
        question: Question,
    },
    /// Waits for addresses of these hosts, best one first.
    Addresses {
        candidates: Vec<Candidate>,
        answers: BTreeMap<Question, Option<LookupResult>>,
        is_implicit: bool,
        authentic: bool,
    },
    Done,
}

#[derive(Debug)]
struct Candidate {
    name: Name,
    preference: u16,
}

impl Route {
    /// Begins to look. The seed decides the order of what is equally good.
    pub fn new(config: Arc<RouteConfig>, domain: Domain, seed: u64) -> Self {
        let mut route = Self {
            config,
            entropy: Entropy::new(seed),
            state: State::Done,
            actions: VecDeque::new(),
            domain,
        };
        match Name::from_domain(&route.domain) {
            Ok(name) => {
                let question = Question::new(name, RecordType::Mx);
                route.actions.push_back(RouteAction::Ask(question.clone()));
                route.state = State::Exchangers { question };
            }
            Err(NameError::AddressLiteral) => {
                let result = route.plan_for_literal();
                route.finish(result);
            }
            Err(error @ (NameError::Malformed | NameError::TooLong | NameError::NotIdna)) => {
                let failure = RouteFailure::bad_name(&route.domain, error);
                route.finish(Err(failure));
            }
        }
        route
    }

    /// Takes what comes of a question. One that is not waited for is ignored.
    pub fn handle_answer(&mut self, question: &Question, result: LookupResult) {
        match &mut self.state {
            State::Exchangers { question: asked } if asked == question => {
                let name = asked.name.clone();
                self.take_exchangers(name, result);
            }
            State::Addresses { answers, .. } => {
                if let Some(answer @ None) = answers.get_mut(question) {
                    *answer = Some(result);
                    if answers.values().all(Option::is_some) {
                        self.take_addresses();
                    }
                }
            }
            State::Exchangers { .. } | State::Done => {}
        }
    }

    /// The next thing to do, in order.
    pub fn poll_action(&mut self) -> Option<RouteAction> {
        self.actions.pop_front()
    }

    fn finish(&mut self, result: Result<Plan, RouteFailure>) {
        self.state = State::Done;
        self.actions.push_back(RouteAction::Done(result));
    }

    fn plan_for_literal(&self) -> Result<Plan, RouteFailure> {
        let address = parse_literal(self.domain.as_str());
        let address = address.filter(|&address| self.config.can_reach(address));
        let address = address.ok_or_else(|| RouteFailure::address_unusable(&self.domain))?;
        if self.config.is_own_address(address) {
            return Err(RouteFailure::leads_to_us(&self.domain));
        }
        Ok(Plan {
            exchangers: vec![Exchanger {
                name: None,
                preference: 0,
                addresses: vec![address],
                authentic: false,
            }],
        })
    }

    fn take_exchangers(&mut self, name: Name, result: LookupResult) {
        let implicit = || {
            vec![Candidate {
                name,
                preference: 0,
            }]
        };
        match result {
            Ok(answer) => match &answer.records {
                Records::Mx(records) => match self.candidates(records) {
                    Ok(candidates) => self.ask_addresses(candidates, false, answer.authentic),
                    Err(failure) => self.finish(Err(failure)),
                },
                Records::A(_)
                | Records::Aaaa(_)
                | Records::Ptr(_)
                | Records::Tlsa(_)
                | Records::Txt(_) => self.finish(Err(RouteFailure::unknown(&self.domain))),
            },
            Err(Failure::NoData(denial)) => self.ask_addresses(implicit(), true, denial.authentic),
            Err(Failure::NoSuchDomain(_)) => {
                self.finish(Err(RouteFailure::no_such_domain(&self.domain)));
            }
            Err(failure @ (Failure::AliasLoop | Failure::Temporary(_))) => {
                self.finish(Err(RouteFailure::temporary(&self.domain, &failure)));
            }
        }
    }

    /// The usable hosts of MX records, each once, best one first.
    fn candidates(&mut self, records: &[Mx]) -> Result<Vec<Candidate>, RouteFailure> {
        if let [only] = records
            && only.exchange.is_root()
        {
            return Err(RouteFailure::null_mx(&self.domain));
        }
        let mut preferences: BTreeMap<&Name, u16> = BTreeMap::new();
        for mx in records.iter().filter(|mx| mx.exchange.is_host_name()) {
            let preference = preferences.entry(&mx.exchange).or_insert(mx.preference);
            *preference = mx.preference.min(*preference);
        }
        let mut candidates: Vec<(u16, u64, &Name)> = preferences
            .into_iter()
            .map(|(name, preference)| (preference, self.entropy.next_u64(), name))
            .collect();
        candidates.sort_unstable();
        let candidates = candidates
            .into_iter()
            .map(|(preference, _, name)| Candidate {
                name: name.clone(),
                preference,
            });
        Ok(candidates.collect())
    }

    /// Asks for the addresses of hosts, once those are left out that would lead back to us.
    fn ask_addresses(
        &mut self,
        mut candidates: Vec<Candidate>,
        is_implicit: bool,
        authentic: bool,
    ) {
        if candidates.is_empty() {
            self.finish(Err(RouteFailure::no_usable_exchanger(&self.domain)));
            return;
        }
        let own = candidates
            .iter()
            .find(|candidate| self.config.own_names.contains(&candidate.name));
        if let Some(own) = own.map(|own| own.preference) {
            candidates.retain(|candidate| candidate.preference < own);
        }
        if candidates.is_empty() {
            self.finish(Err(RouteFailure::leads_to_us(&self.domain)));
            return;
        }
        candidates.truncate(limits::ROUTE_HOSTS_MAX);
        let mut answers = BTreeMap::new();
        for candidate in &candidates {
            for &record_type in self.config.families.record_types() {
                let question = Question::new(candidate.name.clone(), record_type);
                self.actions.push_back(RouteAction::Ask(question.clone()));
                answers.insert(question, None);
            }
        }
        self.state = State::Addresses {
            candidates,
            answers,
            is_implicit,
            authentic,
        };
    }

    /// All answers are there.
    fn take_addresses(&mut self) {
        let State::Addresses {
            candidates,
            mut answers,
            is_implicit,
            authentic,
        } = mem::replace(&mut self.state, State::Done)
        else {
            return;
        };
        let mut exchangers = Vec::new();
        let mut temporary = None;
        let mut leads_to_us = false;
        for candidate in candidates {
            let mut found = Found {
                authentic,
                ..Found::default()
            };
            for &record_type in self.config.families.record_types() {
                let question = Question::new(candidate.name.clone(), record_type);
                if let Some(Some(result)) = answers.remove(&question) {
                    found.note(&self.config, result);
                }
            }
            if found.is_own {
                // Those before it are better than we are, except where they are as good.
                exchangers.retain(|better: &Exchanger| better.preference < candidate.preference);
                leads_to_us = exchangers.is_empty();
                break;
            }
            temporary = temporary.or(found.temporary.take());
            let authentic = found.authentic;
            let addresses = found.in_order(&mut self.entropy);
            if !addresses.is_empty() {
                exchangers.push(Exchanger {
                    name: Some(candidate.name),
                    preference: candidate.preference,
                    addresses,
                    authentic,
                });
            }
        }
        let result = match (exchangers.is_empty(), temporary) {
            (false, _) => Ok(Plan { exchangers }),
            (true, Some(failure)) => Err(RouteFailure::temporary(&self.domain, &failure)),
            (true, None) if leads_to_us => Err(RouteFailure::leads_to_us(&self.domain)),
            (true, None) if is_implicit => Err(RouteFailure::no_hosts(&self.domain)),
            (true, None) => Err(RouteFailure::no_usable_exchanger(&self.domain)),
        };
        self.finish(result);
    }
}

/// What the answers say about one host.
#[derive(Debug, Default)]
struct Found {
    ipv4: BTreeSet<IpAddr>,
    ipv6: BTreeSet<IpAddr>,
    /// It is this server.
    is_own: bool,
    authentic: bool,
    temporary: Option<Failure>,
}

impl Found {
    fn note(&mut self, config: &RouteConfig, result: LookupResult) {
        let answer = match result {
            Ok(answer) => answer,
            Err(Failure::NoData(_) | Failure::NoSuchDomain(_)) => return,
            Err(failure @ (Failure::AliasLoop | Failure::Temporary(_))) => {
                self.temporary = Some(failure);
                return;
            }
        };
        self.authentic &= answer.authentic;
        self.is_own |= config.own_names.contains(&answer.owner);
        let (family, addresses): (_, Vec<IpAddr>) = match &answer.records {
            Records::A(records) => {
                let addresses = records.iter().map(|&address| IpAddr::V4(address));
                (&mut self.ipv4, addresses.collect())
            }
            Records::Aaaa(records) => {
                let addresses = records.iter().map(|&address| IpAddr::V6(address));
                (&mut self.ipv6, addresses.collect())
            }
            Records::Mx(_) | Records::Ptr(_) | Records::Tlsa(_) | Records::Txt(_) => return,
        };
        for address in addresses {
            self.is_own |= config.is_own_address(address);
            if config.can_reach(address) {
                family.insert(address);
            }
        }
    }

    /// The families in turn, IPv6 first; within a family in random order, so that the load
    /// spreads.
    fn in_order(self, entropy: &mut Entropy) -> Vec<IpAddr> {
        let mut ipv6 = shuffled(self.ipv6, entropy);
        let mut ipv4 = shuffled(self.ipv4, entropy);
        let mut addresses = Vec::new();
        while addresses.len() < limits::ROUTE_ADDRESSES_MAX {
            let before = addresses.len();
            addresses.extend(ipv6.next());
            addresses.extend(ipv4.next());
            if addresses.len() == before {
                break;
            }
        }
        addresses.truncate(limits::ROUTE_ADDRESSES_MAX);
        addresses
    }
}

impl RouteConfig {
    fn is_own_address(&self, address: IpAddr) -> bool {
        self.own_addresses.contains(&address) || (self.loopback_is_own && address.is_loopback())
    }

    /// Whether it can be a host's at all, and its family is ours.
    fn can_reach(&self, address: IpAddr) -> bool {
        let is_of_a_host = !address.is_unspecified() && !address.is_multicast();
        is_of_a_host
            && match address {
                IpAddr::V4(address) => !address.is_broadcast() && self.families != Families::Ipv6,
                IpAddr::V6(address) => {
                    address.to_ipv4_mapped().is_none() && self.families != Families::Ipv4
                }
            }
    }
}

impl Families {
    const fn record_types(self) -> &'static [RecordType] {
        match self {
            Self::Both => &[RecordType::Aaaa, RecordType::A],
            Self::Ipv4 => &[RecordType::A],
            Self::Ipv6 => &[RecordType::Aaaa],
        }
    }
}

/// `[192.0.2.1]` or `[ipv6:2001:db8::1]`, as a [`Domain`] has it (RFC 5321 §4.1.3).
fn parse_literal(domain: &str) -> Option<IpAddr> {
    let literal = domain.strip_prefix('[')?.strip_suffix(']')?;
    match literal.strip_prefix("ipv6:") {
        Some(address) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => literal.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// In an order that every other order is as likely as.
fn shuffled(
    addresses: BTreeSet<IpAddr>,
    entropy: &mut Entropy,
) -> impl Iterator<Item = IpAddr> + use<> {
    let mut addresses: Vec<_> = addresses.into_iter().collect();
    // Fisher and Yates, as Durstenfeld has it.
    for last in (1..addresses.len()).rev() {
        let other = entropy.next_below(last as u64 + 1) as usize;
        addresses.swap(last, other);
    }
    addresses.into_iter()
}
