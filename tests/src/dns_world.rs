//! The DNS of the suites: a plain table that answers on the wire.

use std::{collections::BTreeMap, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, Metadata, OpCode, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata},
};
use rmail_proto::Entropy;

/// TTL of records that have none of their own, in seconds.
const TTL: u32 = 300;

/// How long what is not there may be remembered, in seconds.
const NEGATIVE_TTL: u32 = 60;

/// Aliases that are followed in one response.
const ALIASES_MAX: usize = 16;

/// What a message may have where the query does not say more (RFC 1035 §4.2.1).
const PAYLOAD_BYTES: usize = 512;

/// All that there is in the DNS, and how its servers behave.
///
/// It answers as a recursive server does that knows everything. It does no I/O: the simulator
/// carries its datagrams on virtual time, [`DnsServer`](crate::DnsServer) on loopback sockets.
/// What is left to chance comes from the seed.
#[derive(Debug)]
pub struct DnsWorld {
    /// Names in lower case, without the final dot.
    names: BTreeMap<String, Vec<Record>>,
    conduct: Conduct,
    conducts: BTreeMap<String, Conduct>,
    entropy: Entropy,
    asked: Vec<String>,
}

/// How the servers behave when they are asked for a name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conduct {
    /// How long an answer takes.
    pub delay: Duration,
    /// How many datagrams of a hundred are lost.
    pub lost_percent: u64,
    /// How many datagrams of a hundred come twice.
    pub doubled_percent: u64,
    /// Whether answers are cut in datagrams, so that they must be asked for by TCP.
    pub is_truncated: bool,
    /// What they say instead of the answer.
    pub fault: Option<DnsFault>,
    /// Whether they vouch for the answer (the AD bit).
    pub is_authentic: bool,
}

/// What a server says instead of an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DnsFault {
    /// SERVFAIL.
    ServerFailure,
    /// REFUSED.
    Refused,
    /// FORMERR to queries with EDNS; others are answered.
    NoEdns,
    /// A message that ends too early.
    Malformed,
}

/// An answer on its way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DnsReply {
    /// How long it takes.
    pub after: Duration,
    /// The message, without the length that goes before it on a stream.
    pub bytes: Vec<u8>,
}

impl DnsWorld {
    /// A world with these records, a line for each, as in [`add`](Self::add).
    ///
    /// # Panics
    ///
    /// When a line can't be read.
    pub fn new(seed: u64, records: &str) -> Self {
        let mut world = Self {
            names: BTreeMap::new(),
            conduct: Conduct::default(),
            conducts: BTreeMap::new(),
            entropy: Entropy::new(seed),
            asked: Vec::new(),
        };
        for line in records.lines().filter(|line| !line.trim().is_empty()) {
            world.add(line);
        }
        world
    }

    /// Adds a record as in `example.com MX 10 mx.example.com`, `example.com 60 TXT v=spf1 -all`
    /// (with its TTL; a text is the rest of the line) or `alias.example CNAME example.com`. The
    /// types are A, AAAA, CNAME, MX, PTR, TLSA (its data in hexadecimal) and TXT; names are full
    /// ones.
    ///
    /// # Panics
    ///
    /// When it can't be read.
    pub fn add(&mut self, line: &str) {
        let (owner, record) = parse_record(line).unwrap_or_else(|| panic!("no record: {line}"));
        self.names.entry(owner).or_default().push(record);
    }

    /// Makes a name that has no records.
    pub fn add_empty(&mut self, name: &str) {
        self.names.entry(key(name)).or_default();
    }

    /// Takes a name and its records away.
    pub fn remove(&mut self, name: &str) {
        self.names.remove(&key(name));
    }

    /// How servers behave when asked for a name that has no conduct of its own.
    pub fn set_conduct(&mut self, conduct: Conduct) {
        self.conduct = conduct;
    }

    /// How servers behave when asked for this name.
    pub fn set_conduct_of(&mut self, name: &str, conduct: Conduct) {
        self.conducts.insert(key(name), conduct);
    }

    /// What was asked so far, as in `MX example.com`.
    pub fn asked(&self) -> &[String] {
        &self.asked
    }

    /// What comes back for a datagram: nothing, a reply, or the same one twice.
    pub fn answer_datagram(&mut self, query: &[u8]) -> Vec<DnsReply> {
        let Some((query, conduct)) = self.take_query(query) else {
            return Vec::new();
        };
        if self.chance(conduct.lost_percent) {
            return Vec::new();
        }
        let mut response = self.respond(&query, &conduct);
        let payload = query.edns.as_ref().map_or(0, |edns| edns.max_payload());
        let payload = usize::from(payload).max(PAYLOAD_BYTES);
        if conduct.is_truncated || to_bytes(&response).len() > payload {
            response = response.truncate();
        }
        let copies = if self.chance(conduct.doubled_percent) {
            2
        } else {
            1
        };
        vec![reply(&response, &conduct); copies]
    }

    /// What comes back for a message on a stream; nothing ends the stream.
    pub fn answer_stream(&mut self, query: &[u8]) -> Option<DnsReply> {
        let (query, conduct) = self.take_query(query)?;
        let response = self.respond(&query, &conduct);
        Some(reply(&response, &conduct))
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.entropy.next_below(100) < percent
    }

    /// A message that is a query with one question.
    fn take_query(&mut self, bytes: &[u8]) -> Option<(Message, Conduct)> {
        let query = Message::from_vec(bytes).ok()?;
        let [question] = &query.queries[..] else {
            return None;
        };
        let is_query = query.metadata.message_type == MessageType::Query
            && query.metadata.op_code == OpCode::Query;
        if !is_query {
            return None;
        }
        let name = key(&question.name.to_ascii());
        self.asked.push(format!("{} {name}", question.query_type));
        let conduct = self.conducts.get(&name).unwrap_or(&self.conduct).clone();
        Some((query, conduct))
    }

    fn respond(&self, query: &Message, conduct: &Conduct) -> Message {
        let mut response = Message::response(query.metadata.id, OpCode::Query);
        response.metadata = Metadata::response_from_request(&query.metadata);
        response.metadata.recursion_available = true;
        response.metadata.authentic_data = conduct.is_authentic;
        response.queries = query.queries.clone();
        let code = match conduct.fault {
            Some(DnsFault::ServerFailure) => Some(ResponseCode::ServFail),
            Some(DnsFault::Refused) => Some(ResponseCode::Refused),
            Some(DnsFault::NoEdns) if query.edns.is_some() => Some(ResponseCode::FormErr),
            Some(DnsFault::NoEdns | DnsFault::Malformed) | None => None,
        };
        if let Some(code) = code {
            response.metadata.response_code = code;
            return response;
        }
        response.edns = query.edns.clone();
        if query.queries[0].query_class == DNSClass::IN {
            self.resolve(&mut response);
        } else {
            response.metadata.response_code = ResponseCode::Refused;
        }
        response
    }

    /// Fills in what there is at the question's name, or where its aliases lead.
    fn resolve(&self, response: &mut Message) {
        let wanted = response.queries[0].query_type;
        let mut owner = response.queries[0].name.clone();
        let mut is_found = false;
        for _ in 0..=ALIASES_MAX {
            let Some(records) = self.names.get(&key(&owner.to_ascii())) else {
                if !self.has_below(&key(&owner.to_ascii())) {
                    response.metadata.response_code = ResponseCode::NXDomain;
                }
                break;
            };
            let mut alias = None;
            for record in records {
                let mut record = record.clone();
                record.name = owner.clone();
                if record.record_type() == wanted {
                    is_found = true;
                } else if let RData::CNAME(target) = &record.data {
                    alias = Some(target.0.clone());
                } else {
                    continue;
                }
                response.answers.push(record);
            }
            match alias {
                Some(target) if !is_found => owner = target,
                Some(_) | None => break,
            }
        }
        if !is_found {
            let (mname, rname) = (full_name("ns.invalid"), full_name("root.invalid"));
            let soa = rdata::SOA::new(mname, rname, 1, 3600, 600, 86_400, NEGATIVE_TTL);
            let soa = Record::from_rdata(Name::root(), NEGATIVE_TTL, RData::SOA(soa));
            response.authorities.push(soa);
        }
    }

    /// Whether there are names below this one, so that it exists (RFC 8020 §2).
    fn has_below(&self, name: &str) -> bool {
        let suffix = format!(".{name}");
        self.names.keys().any(|known| known.ends_with(&suffix))
    }
}

fn reply(response: &Message, conduct: &Conduct) -> DnsReply {
    let mut bytes = to_bytes(response);
    if conduct.fault == Some(DnsFault::Malformed) {
        // One answer more than there is.
        let answers = u16::from_be_bytes([bytes[6], bytes[7]]) + 1;
        bytes[6..8].copy_from_slice(&answers.to_be_bytes());
    }
    DnsReply {
        after: conduct.delay,
        bytes,
    }
}

fn to_bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("the table fits into messages")
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn full_name(text: &str) -> Name {
    let labels = text.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `owner [ttl] type data`.
fn parse_record(line: &str) -> Option<(String, Record)> {
    let (owner, rest) = line.trim().split_once(' ')?;
    let (word, after) = rest.split_once(' ')?;
    let (ttl, record_type, data) = match word.parse() {
        Ok(ttl) => {
            let (record_type, data) = after.split_once(' ')?;
            (ttl, record_type, data)
        }
        Err(_) => (TTL, word, after),
    };
    let words: Vec<&str> = data.split(' ').collect();
    let data = match record_type.parse().ok()? {
        RecordType::A => RData::A(rdata::A(data.parse().ok()?)),
        RecordType::AAAA => RData::AAAA(rdata::AAAA(data.parse().ok()?)),
        RecordType::CNAME => RData::CNAME(rdata::CNAME(full_name(data))),
        RecordType::PTR => RData::PTR(rdata::PTR(full_name(data))),
        RecordType::MX => {
            let [preference, exchange] = words[..] else {
                return None;
            };
            let exchange = full_name(exchange);
            RData::MX(rdata::MX::new(preference.parse().ok()?, exchange))
        }
        RecordType::TLSA => {
            let [usage, selector, matching, data] = words[..] else {
                return None;
            };
            let number = |text: &str| text.parse::<u8>().ok();
            RData::TLSA(rdata::TLSA::new(
                number(usage)?.into(),
                number(selector)?.into(),
                number(matching)?.into(),
                parse_hexadecimal(data)?,
            ))
        }
        // A string of it has 255 bytes at most (RFC 1035 §3.3).
        RecordType::TXT => {
            let strings = data.as_bytes().chunks(255).collect();
            RData::TXT(rdata::TXT::from_bytes(strings))
        }
        _ => return None,
    };
    let record = Record::from_rdata(full_name(owner), ttl, data);
    Some((key(owner), record))
}

fn parse_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let pairs = (0..text.len()).step_by(2);
    let pairs = pairs.map(|start| text.get(start..start + 2));
    pairs
        .map(|pair| u8::from_str_radix(pair?, 16).ok())
        .collect()
}
