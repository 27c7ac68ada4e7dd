//! The trace fields in front of every message (RFC 5321 §4.4), and the fields that a submitted
//! message may lack (RFC 6409 §8).

use alloc::{format, string::String};
use core::{fmt, net::IpAddr};

use crate::{DateTime, Domain, Entropy, ForwardPath, ReversePath, TlsInfo, UnixTime};

/// Digits of an id: what may stand in a local-part, a log line and a file name alike.
const ID_DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How the message came, in the words of RFC 3848 and RFC 6531 §4.3.
#[derive(Clone, Copy, Debug)]
pub(super) struct With {
    pub(super) extended: bool,
    pub(super) utf8: bool,
    pub(super) tls: bool,
    pub(super) authenticated: bool,
}

impl fmt::Display for With {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = match (self.extended, self.utf8) {
            (false, _) => return f.write_str("SMTP"),
            (true, false) => "ESMTP",
            (true, true) => "UTF8SMTP",
        };
        let tls = if self.tls { "S" } else { "" };
        let authenticated = if self.authenticated { "A" } else { "" };
        write!(f, "{base}{tls}{authenticated}")
    }
}

/// What the trace fields tell.
#[derive(Debug)]
pub(super) struct Trace<'a> {
    pub(super) reverse_path: &'a ReversePath,
    /// The name that EHLO or HELO gave.
    pub(super) name: &'a str,
    pub(super) peer: IpAddr,
    pub(super) tls: Option<&'a TlsInfo>,
    pub(super) hostname: &'a Domain,
    pub(super) with: With,
    pub(super) id: &'a str,
    /// When there is one recipient only: of several, none may learn of the others.
    pub(super) recipient: Option<&'a ForwardPath>,
    pub(super) date: UnixTime,
}

/// A new id for a message: 7 digits of time, 10 of entropy.
pub fn write_id(entropy: &mut Entropy, now: UnixTime) -> String {
    let digits = |number: u64, count: u32| {
        (0..count)
            .rev()
            .map(move |index| char::from(ID_DIGITS[(number >> (index * 5) & 31) as usize]))
    };
    digits(now.0 as u64, 7)
        .chain(digits(entropy.next_u64(), 10))
        .collect()
}

/// `Return-path-line` and `Time-stamp-line`, each with its CRLF.
pub(super) fn write_trace(trace: &Trace<'_>) -> String {
    let peer = match trace.peer {
        IpAddr::V4(address) => format!("[{address}]"),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => format!("[{address}]"),
            None => format!("[IPv6:{address}]"),
        },
    };
    let mut text = format!(
        "Return-Path: {}\r\nReceived: from {} ({peer})\r\n",
        trace.reverse_path, trace.name
    );
    if let Some(tls) = trace.tls {
        text += &format!("\t(using {} with cipher {})\r\n", tls.version, tls.cipher);
    }
    text += &format!(
        "\tby {} with {}\r\n\tid {}",
        trace.hostname, trace.with, trace.id
    );
    if let Some(recipient) = trace.recipient {
        text += &format!("\r\n\tfor {recipient}");
    }
    text += &format!(";\r\n\t{}\r\n", DateTime::utc(trace.date).rfc5322());
    text
}

/// The Date field that a submitted message lacks.
pub(super) fn write_date(now: UnixTime) -> String {
    format!("Date: {}\r\n", DateTime::utc(now).rfc5322())
}

/// The Message-ID field that a submitted message lacks.
pub(super) fn write_message_id(id: &str, hostname: &Domain) -> String {
    format!("Message-ID: <{id}@{hostname}>\r\n")
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn protocol_names_are_those_of_the_registry() {
        let with = |extended, utf8, tls, authenticated| {
            let with = With {
                extended,
                utf8,
                tls,
                authenticated,
            };
            with.to_string()
        };
        assert_eq!(with(false, false, true, false), "SMTP");
        assert_eq!(with(true, false, false, false), "ESMTP");
        assert_eq!(with(true, false, true, true), "ESMTPSA");
        assert_eq!(with(true, true, false, true), "UTF8SMTPA");
    }

    #[test]
    fn trace_fields_are_folded() {
        let trace = Trace {
            reverse_path: &ReversePath::Null,
            name: "client.example",
            peer: "::ffff:192.0.2.1".parse().unwrap(),
            tls: Some(&TlsInfo {
                version: "TLSv1.3".to_string(),
                cipher: "TLS13_AES_256_GCM_SHA384".to_string(),
                server_name: None,
            }),
            hostname: &Domain::parse("mx.example").unwrap(),
            with: With {
                extended: true,
                utf8: false,
                tls: true,
                authenticated: false,
            },
            id: "abc",
            recipient: Some(&ForwardPath::Postmaster),
            date: UnixTime(1_709_626_272),
        };
        let expected = "Return-Path: <>\r\n\
            Received: from client.example ([192.0.2.1])\r\n\
            \t(using TLSv1.3 with cipher TLS13_AES_256_GCM_SHA384)\r\n\
            \tby mx.example with ESMTPS\r\n\
            \tid abc\r\n\
            \tfor <postmaster>;\r\n\
            \tTue, 05 Mar 2024 08:11:12 +0000\r\n";
        assert_eq!(write_trace(&trace), expected);
    }

    #[test]
    fn ids_of_one_second_differ() {
        let mut entropy = Entropy::new(1);
        let first = write_id(&mut entropy, UnixTime(5));
        let second = write_id(&mut entropy, UnixTime(5));
        assert_eq!(first.len(), 17);
        assert_eq!(first[..7], second[..7]);
        assert_ne!(first, second);
    }
}
