//! What is asked.

use core::fmt;

use super::Name;

/// A name and a type of records; the class is always IN.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Question {
    /// Whose records are asked for. Aliases (CNAME) are followed.
    pub name: Name,
    /// Which records.
    pub record_type: RecordType,
}

/// The types of records that mail needs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum RecordType {
    /// IPv4 addresses of a host (RFC 1035 §3.4.1).
    A,
    /// IPv6 addresses of a host (RFC 3596).
    Aaaa,
    /// Mail exchangers of a domain (RFC 1035 §3.3.9).
    Mx,
    /// Names of an address (RFC 1035 §3.3.12).
    Ptr,
    /// Certificates of a service (RFC 6698).
    Tlsa,
    /// Texts (RFC 1035 §3.3.14).
    Txt,
}

impl Question {
    /// A question.
    pub const fn new(name: Name, record_type: RecordType) -> Self {
        Self { name, record_type }
    }
}

impl fmt::Display for Question {
    /// As in `MX example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record_type = match self.record_type {
            RecordType::A => "A",
            RecordType::Aaaa => "AAAA",
            RecordType::Mx => "MX",
            RecordType::Ptr => "PTR",
            RecordType::Tlsa => "TLSA",
            RecordType::Txt => "TXT",
        };
        write!(f, "{record_type} {}", self.name)
    }
}
