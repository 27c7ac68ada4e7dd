//! A plain map of names to records, what a recursive server says about it, and what is true.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{self, RData, Record, rdata},
};
use rmail_proto::{
    dns::{Failure, LookupResult, Mx, Name, RecordType, Records},
    limits,
};

pub(crate) const TTL: u32 = 300;

/// A record of a zone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Mx(u16, &'static str),
    Ptr(&'static str),
    Txt(&'static [&'static str]),
    Cname(&'static str),
}

/// Names and their records. A name with none exists all the same.
pub(crate) type Zone = BTreeMap<&'static str, Vec<Entry>>;

/// What is true of a question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Truth {
    Records(Records),
    NoSuchDomain,
    NoData,
    AliasLoop,
}

pub(crate) fn wire_name(name: &str) -> rr::Name {
    let name = rr::Name::from_labels(name.split('.').filter(|label| !label.is_empty()));
    name.unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn record(owner: &str, ttl: u32, entry: &Entry) -> Record {
    let data = match entry {
        Entry::A(address) => RData::A(rdata::A(*address)),
        Entry::Aaaa(address) => RData::AAAA(rdata::AAAA(*address)),
        Entry::Mx(preference, host) => RData::MX(rdata::MX::new(*preference, wire_name(host))),
        Entry::Ptr(name) => RData::PTR(rdata::PTR(wire_name(name))),
        Entry::Txt(strings) => {
            let strings = strings.iter().map(|string| (*string).to_owned());
            RData::TXT(rdata::TXT::new(strings.collect()))
        }
        Entry::Cname(target) => RData::CNAME(rdata::CNAME(wire_name(target))),
    };
    Record::from_rdata(wire_name(owner), ttl, data)
}

pub(crate) fn soa(owner: &str, ttl: u32, minimum: u32) -> Record {
    let data = rdata::SOA::new(wire_name("ns"), wire_name("root"), 1, 2, 3, 4, minimum);
    Record::from_rdata(wire_name(owner), ttl, RData::SOA(data))
}

/// A response to this query that says nothing yet.
pub(crate) fn response(query: &Message) -> Message {
    let mut message = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.queries = query.queries.clone();
    message
}

/// What a recursive server says.
pub(crate) fn resolve(zone: &Zone, query: &Message) -> Message {
    let mut message = response(query);
    let question = &query.queries[0];
    let mut current = question.name.to_ascii().to_lowercase();
    for _ in 0..32 {
        let key = current.trim_end_matches('.');
        let Some(entries) = zone.get(key) else {
            message.metadata.response_code = ResponseCode::NXDomain;
            break;
        };
        let records = entries.iter().map(|entry| record(key, TTL, entry));
        let matching = records.filter(|record| record.record_type() == question.query_type);
        message.answers.extend(matching);
        let alias = entries.iter().find_map(|entry| match entry {
            Entry::Cname(target) => Some(*target),
            _ => None,
        });
        let Some(target) = alias else { break };
        message
            .answers
            .push(record(key, TTL, &Entry::Cname(target)));
        current = target.to_owned();
    }
    if message
        .answers
        .iter()
        .all(|record| record.record_type() == rr::RecordType::CNAME)
    {
        message.authorities.push(soa("", TTL, 60));
    }
    message
}

pub(crate) fn truth(zone: &Zone, name: &str, record_type: RecordType) -> Truth {
    let mut current = name;
    for _ in 0..=limits::DNS_ALIASES_MAX {
        let Some(entries) = zone.get(current) else {
            return Truth::NoSuchDomain;
        };
        if let [Entry::Cname(target)] = entries[..] {
            current = target;
            continue;
        }
        let records = records(entries, record_type);
        return match records.is_empty() {
            true => Truth::NoData,
            false => Truth::Records(records),
        };
    }
    Truth::AliasLoop
}

fn records(entries: &[Entry], record_type: RecordType) -> Records {
    fn pick<T>(entries: &[Entry], pick: impl Fn(&Entry) -> Option<T>) -> std::sync::Arc<[T]> {
        entries.iter().filter_map(pick).collect()
    }
    match record_type {
        RecordType::A => Records::A(pick(entries, |entry| match entry {
            Entry::A(address) => Some(*address),
            _ => None,
        })),
        RecordType::Aaaa => Records::Aaaa(pick(entries, |entry| match entry {
            Entry::Aaaa(address) => Some(*address),
            _ => None,
        })),
        RecordType::Mx => Records::Mx(pick(entries, |entry| match entry {
            Entry::Mx(preference, host) => Some(Mx {
                preference: *preference,
                exchange: name(host),
            }),
            _ => None,
        })),
        RecordType::Ptr => Records::Ptr(pick(entries, |entry| match entry {
            Entry::Ptr(host) => Some(name(host)),
            _ => None,
        })),
        RecordType::Txt => Records::Txt(pick(entries, |entry| match entry {
            Entry::Txt(strings) => Some(strings.concat().into()),
            _ => None,
        })),
        RecordType::Tlsa => Records::Tlsa([].into()),
    }
}

/// What a result says, without how long it holds; `None` for a temporary failure.
pub(crate) fn said(result: &LookupResult) -> Option<Truth> {
    match result {
        Ok(answer) => Some(Truth::Records(answer.records.clone())),
        Err(Failure::NoSuchDomain(_)) => Some(Truth::NoSuchDomain),
        Err(Failure::NoData(_)) => Some(Truth::NoData),
        Err(Failure::AliasLoop) => Some(Truth::AliasLoop),
        Err(Failure::Temporary(_)) => None,
    }
}
