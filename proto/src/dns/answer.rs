//! What comes of a question.

use alloc::sync::Arc;
use core::{
    fmt, mem,
    net::{Ipv4Addr, Ipv6Addr},
};

use bytes::Bytes;

use super::Name;
use crate::Instant;

/// What comes of a question: records, or why there are none.
pub type LookupResult = Result<Answer, Failure>;

/// Records that were found. Cheap to clone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The records, in the order in which the server gave them.
    pub records: Records,
    /// The name that has them: the question's own, or where its aliases (CNAME) lead.
    pub owner: Name,
    /// Whether a server that is trusted with it vouches for all of it (the AD bit, RFC 4035
    /// §3.2.3).
    pub authentic: bool,
    /// When they are to be asked for again. In the past for a TTL of 0.
    pub valid_until: Instant,
}

/// The records of an answer, of the type that was asked for.
///
/// Empty where there are records and none that can be used: names that are no [`Name`]s are left
/// out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Records {
    /// IPv4 addresses.
    A(Arc<[Ipv4Addr]>),
    /// IPv6 addresses.
    Aaaa(Arc<[Ipv6Addr]>),
    /// Mail exchangers.
    Mx(Arc<[Mx]>),
    /// Names of an address.
    Ptr(Arc<[Name]>),
    /// Certificates of a service.
    Tlsa(Arc<[Tlsa]>),
    /// Texts, the strings of each joined without anything between them (RFC 7208 §3.3).
    Txt(Arc<[Bytes]>),
}

/// A mail exchanger.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mx {
    /// Lower ones are tried first.
    pub preference: u16,
    /// Its host; the root says that the domain takes no mail (RFC 7505).
    pub exchange: Name,
}

/// What a TLS certificate must match (RFC 6698 §2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 is DANE-EE.
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 as it is, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// The certificate association data.
    pub data: Bytes,
}

/// Why there are no records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// There is no such name (NXDOMAIN). It stays so for a while.
    NoSuchDomain(Denial),
    /// The name has no records of that type. It stays so for a while.
    NoData(Denial),
    /// Aliases (CNAME) lead in a circle, or on for more than
    /// [`DNS_ALIASES_MAX`](crate::limits::DNS_ALIASES_MAX).
    AliasLoop,
    /// Nobody could say; it is worth trying again later.
    Temporary(Reason),
}

/// That something is not there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Denial {
    /// As in [`Answer`].
    pub authentic: bool,
    /// When to ask again (RFC 2308 §5).
    pub valid_until: Instant,
}

/// Why nobody could say. Of several, that of the server which was asked last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// There is no server to ask.
    NoServers,
    /// Too many questions are waiting already.
    Overloaded,
    /// No answer came in time.
    Timeout,
    /// A connection to the server failed.
    Unreachable,
    /// The server has failed itself (SERVFAIL and what is like it), or a signature is wrong.
    ServerFailure,
    /// The server does not serve us.
    Refused,
    /// The server answers only for its own zones.
    NotRecursive,
    /// The answer can't be read.
    Malformed,
}

impl Records {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::A(records) => records.len(),
            Self::Aaaa(records) => records.len(),
            Self::Mx(records) => records.len(),
            Self::Ptr(records) => records.len(),
            Self::Tlsa(records) => records.len(),
            Self::Txt(records) => records.len(),
        }
    }

    /// Whether there are none that can be used.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About what they take in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::A(records) => mem::size_of_val(&**records),
            Self::Aaaa(records) => mem::size_of_val(&**records),
            Self::Mx(records) => {
                let names = records.iter().map(|mx| mx.exchange.as_str().len());
                mem::size_of_val(&**records) + names.sum::<usize>()
            }
            Self::Ptr(records) => {
                let names = records.iter().map(|name| name.as_str().len());
                mem::size_of_val(&**records) + names.sum::<usize>()
            }
            Self::Tlsa(records) => {
                let data = records.iter().map(|tlsa| tlsa.data.len());
                mem::size_of_val(&**records) + data.sum::<usize>()
            }
            Self::Txt(records) => {
                let texts = records.iter().map(Bytes::len);
                mem::size_of_val(&**records) + texts.sum::<usize>()
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchDomain(_) => f.write_str("there is no such domain name"),
            Self::NoData(_) => f.write_str("the domain name has no such records"),
            Self::AliasLoop => f.write_str("its aliases (CNAME) lead to no end"),
            Self::Temporary(reason) => reason.fmt(f),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoServers => "no name server is configured",
            Self::Overloaded => "too many DNS queries are waiting",
            Self::Timeout => "the name servers do not answer in time",
            Self::Unreachable => "the name server can't be reached by TCP",
            Self::ServerFailure => "the name servers can't find out",
            Self::Refused => "the name server refuses to answer",
            Self::NotRecursive => "the name server is not recursive",
            Self::Malformed => "the name server's answer can't be read",
        })
    }
}

impl core::error::Error for Failure {}
