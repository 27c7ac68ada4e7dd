//! Messages on the wire (RFC 1035 §4): a question becomes bytes, and bytes become what they say
//! about it.

use alloc::{sync::Arc, vec::Vec};
use core::time::Duration;

use bytes::Bytes;
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query as WireQuery, ResponseCode},
    rr::{self, DNSClass, RData, Record},
    serialize::binary::{BinDecodable, BinDecoder},
};

use super::{Mx, Name, Question, Reason, RecordType, Records, Tlsa};
use crate::{Entropy, limits};

/// Bytes of a message's header (RFC 1035 §4.1.1).
pub(super) const HEADER_BYTES: usize = 12;

/// One question as it went to one server.
#[derive(Clone, Debug)]
pub(super) struct Query {
    id: u16,
    /// In the case in which it was sent.
    name: rr::Name,
    record_type: RecordType,
    has_edns: bool,
    mixes_case: bool,
}

/// What bytes are to a query.
#[derive(Debug)]
pub(super) enum Reading {
    /// Not the response to it.
    Stray,
    /// The response to it, were it not for the case of its name.
    CaseChanged,
    /// There is more than a datagram holds.
    Truncated,
    /// The server does not understand EDNS.
    EdnsNotUnderstood,
    /// The server can't or won't answer.
    Failed(Reason),
    /// The server's word on the question.
    Told(Told),
}

/// What a response says.
#[derive(Debug)]
pub(super) struct Told {
    /// Where the aliases lead; the question's own name if there are none.
    pub(super) owner: Name,
    /// Aliases that led there.
    pub(super) aliases: u32,
    /// How long all of this holds.
    pub(super) ttl: Duration,
    /// The AD bit.
    pub(super) authentic: bool,
    /// What there is at the owner.
    pub(super) end: End,
}

/// What there is at the end of the aliases.
#[derive(Debug)]
pub(super) enum End {
    Records(Records),
    NoSuchDomain,
    NoData,
    /// The response ends with an alias: the owner is to be asked for.
    Unfinished,
    /// There are more aliases than are followed.
    AliasLoop,
}

impl Query {
    pub(super) fn new(question: &Question, edns: bool, mixed: bool, seed: &mut Entropy) -> Self {
        let mut text = question.name.as_str().as_bytes().to_vec();
        if mixed {
            let mut coins = 0;
            for (index, byte) in text.iter_mut().enumerate() {
                if index.is_multiple_of(64) {
                    coins = seed.next_u64();
                }
                if coins & 1 == 1 {
                    byte.make_ascii_uppercase();
                }
                coins >>= 1;
            }
        }
        let labels = text.split(|&byte| byte == b'.');
        let labels = labels.filter(|label| !label.is_empty());
        let name = rr::Name::from_labels(labels).expect("the limits of a Name are the DNS's own");
        Self {
            id: (seed.next_u64() >> 48) as u16,
            name,
            record_type: question.record_type,
            has_edns: edns,
            mixes_case: mixed,
        }
    }

    /// The message, without the length that goes before it on a stream.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        // Asks for the same bit in the response (RFC 6840 §5.7).
        message.metadata.authentic_data = true;
        let record_type = wire_type(self.record_type);
        message.add_query(WireQuery::query(self.name.clone(), record_type));
        if self.has_edns {
            let mut edns = Edns::new();
            edns.set_max_payload(limits::DNS_PAYLOAD_BYTES);
            message.set_edns(edns);
        }
        let written = message.to_vec();
        written.expect("a header, one question and OPT are shorter than any bound")
    }

    /// What these bytes are to this query, of whose aliases so many were followed before.
    pub(super) fn read(&self, bytes: &[u8], by_datagram: bool, aliases: u32) -> Reading {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Reading::Stray;
        };
        let id = u16::from_be_bytes([header[0], header[1]]);
        let is_response = header[2] & 0x80 != 0;
        let is_query_op = header[2] & 0x78 == 0;
        let is_truncated = header[2] & 0x02 != 0;
        let code = ResponseCode::from_low(header[3] & 0x0f);
        if id != self.id || !is_response || !is_query_op {
            return Reading::Stray;
        }
        let questions = u16::from_be_bytes([header[4], header[5]]);
        let denies_edns = matches!(code, ResponseCode::FormErr | ResponseCode::NotImp);
        if questions == 0 && denies_edns && self.has_edns {
            // An old server may send back nothing but the header.
            return Reading::EdnsNotUnderstood;
        }
        let mut decoder = BinDecoder::new(bytes);
        let is_past_header = decoder.read_slice(HEADER_BYTES).is_ok();
        let asked = match WireQuery::read(&mut decoder) {
            Ok(asked) if is_past_header && questions == 1 => asked,
            Ok(_) | Err(_) => return Reading::Stray,
        };
        let same_question = asked.query_type == wire_type(self.record_type)
            && asked.query_class == DNSClass::IN
            && asked.name == self.name;
        if !same_question {
            return Reading::Stray;
        }
        // By TCP nobody guesses, and a server that changes the case must be heard somewhere.
        if by_datagram && self.mixes_case && !asked.name.eq_case(&self.name) {
            return Reading::CaseChanged;
        }
        match (is_truncated, by_datagram) {
            (true, true) => return Reading::Truncated,
            (true, false) => return Reading::Failed(Reason::Malformed),
            (false, _) => {}
        }
        match Message::from_vec(bytes) {
            Ok(message) => self.read_message(&message, aliases),
            Err(_) => Reading::Failed(Reason::Malformed),
        }
    }

    fn read_message(&self, message: &Message, aliases: u32) -> Reading {
        match message.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            ResponseCode::FormErr | ResponseCode::NotImp | ResponseCode::BADSIG
                if self.has_edns =>
            {
                return Reading::EdnsNotUnderstood;
            }
            ResponseCode::Refused => return Reading::Failed(Reason::Refused),
            _ => return Reading::Failed(Reason::ServerFailure),
        }
        let mut walk = Walk {
            message,
            record_type: wire_type(self.record_type),
            current: &self.name,
            aliases: 0,
            ttl: limits::DNS_TTL_MAX,
        };
        let end = walk.run(self.record_type, limits::DNS_ALIASES_MAX - aliases);
        let end = match end {
            Ok(end) => end,
            Err(reason) => return Reading::Failed(reason),
        };
        let Some(owner) = name_of(walk.current) else {
            return Reading::Failed(Reason::Malformed);
        };
        Reading::Told(Told {
            owner,
            aliases: walk.aliases,
            ttl: walk.ttl,
            authentic: message.metadata.authentic_data,
            end,
        })
    }
}

/// From the name that was asked for along the aliases of one response. Only records of the names
/// on this way count, so that a server can't slip in others.
struct Walk<'a> {
    message: &'a Message,
    record_type: rr::RecordType,
    current: &'a rr::Name,
    aliases: u32,
    ttl: Duration,
}

impl<'a> Walk<'a> {
    fn run(&mut self, record_type: RecordType, aliases_max: u32) -> Result<End, Reason> {
        let denies = self.message.metadata.response_code == ResponseCode::NXDomain;
        loop {
            let found: Vec<&Record> = self.answers(self.record_type).collect();
            if !found.is_empty() && !denies {
                for record in &found {
                    self.note_ttl(record.ttl);
                }
                return Ok(End::Records(records(record_type, &found)));
            }
            let Some((ttl, target)) = self.alias() else {
                break;
            };
            if self.aliases == aliases_max {
                return Ok(End::AliasLoop);
            }
            self.note_ttl(ttl);
            self.aliases += 1;
            self.current = target;
        }
        let metadata = &self.message.metadata;
        match self.negative_ttl() {
            Some(ttl) => self.ttl = self.ttl.min(ttl),
            None if denies => self.ttl = Duration::ZERO,
            None if self.aliases > 0 => return Ok(End::Unfinished),
            None if !metadata.authoritative && !metadata.recursion_available => {
                return Err(Reason::NotRecursive);
            }
            None => self.ttl = Duration::ZERO,
        }
        match denies {
            true => Ok(End::NoSuchDomain),
            false => Ok(End::NoData),
        }
    }

    fn answers(&self, record_type: rr::RecordType) -> impl Iterator<Item = &'a Record> + use<'a> {
        let current = self.current;
        self.message.answers.iter().filter(move |record| {
            record.dns_class == DNSClass::IN
                && record.record_type() == record_type
                && record.name == *current
        })
    }

    fn alias(&self) -> Option<(u32, &'a rr::Name)> {
        self.answers(rr::RecordType::CNAME)
            .find_map(|record| match &record.data {
                RData::CNAME(target) => Some((record.ttl, &target.0)),
                _ => None,
            })
    }

    /// How long it holds that there is nothing (RFC 2308 §5); `None` without the zone's SOA.
    fn negative_ttl(&self) -> Option<Duration> {
        let mut authorities = self.message.authorities.iter();
        authorities.find_map(|record| match &record.data {
            RData::SOA(soa)
                if record.dns_class == DNSClass::IN && record.name.zone_of(self.current) =>
            {
                let ttl = ttl(record.ttl).min(ttl(soa.minimum));
                Some(ttl.min(limits::DNS_NEGATIVE_TTL_MAX))
            }
            _ => None,
        })
    }

    fn note_ttl(&mut self, seconds: u32) {
        self.ttl = self.ttl.min(ttl(seconds));
    }
}

/// A TTL whose highest bit is set counts as 0 (RFC 2181 §8).
fn ttl(seconds: u32) -> Duration {
    let seconds = i32::try_from(seconds).map_or(0, i32::unsigned_abs);
    Duration::from_secs(u64::from(seconds))
}

/// The usable ones of these records, all of which are of this type.
fn records(record_type: RecordType, found: &[&Record]) -> Records {
    fn pick<T>(found: &[&Record], usable: impl Fn(&RData) -> Option<T>) -> Arc<[T]> {
        found
            .iter()
            .filter_map(|record| usable(&record.data))
            .collect()
    }
    match record_type {
        RecordType::A => Records::A(pick(found, |data| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        })),
        RecordType::Aaaa => Records::Aaaa(pick(found, |data| match data {
            RData::AAAA(address) => Some(address.0),
            _ => None,
        })),
        RecordType::Mx => Records::Mx(pick(found, |data| match data {
            RData::MX(mx) => Some(Mx {
                preference: mx.preference,
                exchange: name_of(&mx.exchange)?,
            }),
            _ => None,
        })),
        RecordType::Ptr => Records::Ptr(pick(found, |data| match data {
            RData::PTR(name) => name_of(&name.0),
            _ => None,
        })),
        RecordType::Tlsa => Records::Tlsa(pick(found, |data| match data {
            RData::TLSA(tlsa) => Some(Tlsa {
                usage: tlsa.cert_usage.into(),
                selector: tlsa.selector.into(),
                matching: tlsa.matching.into(),
                data: Bytes::copy_from_slice(&tlsa.cert_data),
            }),
            _ => None,
        })),
        RecordType::Txt => Records::Txt(pick(found, |data| match data {
            RData::TXT(txt) => Some(Bytes::from(txt.txt_data.concat())),
            _ => None,
        })),
    }
}

/// `None` where the name holds what a [`Name`] does not.
fn name_of(name: &rr::Name) -> Option<Name> {
    let mut text = alloc::string::String::new();
    for label in name.iter() {
        if label.contains(&b'.') {
            return None;
        }
        text.push_str(core::str::from_utf8(label).ok()?);
        text.push('.');
    }
    match text.is_empty() {
        true => Some(Name::root()),
        false => Name::parse(&text).ok(),
    }
}

fn wire_type(record_type: RecordType) -> rr::RecordType {
    match record_type {
        RecordType::A => rr::RecordType::A,
        RecordType::Aaaa => rr::RecordType::AAAA,
        RecordType::Mx => rr::RecordType::MX,
        RecordType::Ptr => rr::RecordType::PTR,
        RecordType::Tlsa => rr::RecordType::TLSA,
        RecordType::Txt => rr::RecordType::TXT,
    }
}
