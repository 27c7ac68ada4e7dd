//! The authority of a request's target (RFC 9110 §7.2).

use alloc::string::String;
use core::{fmt, net::Ipv6Addr};

use crate::limits;

/// A host with a port, as the Host field and the absolute form of a target carry it.
///
/// ```text
/// Host = uri-host [ ":" port ]
/// ```
///
/// Of RFC 3986's names those are taken that can be a DNS name or an address: letters, digits, `-`,
/// `.`, `_`, or an IPv6 address in brackets. There is always a host: an `http` URI without one is
/// invalid (RFC 9110 §4.2.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// `None` for what is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text).ok()?;
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                address.parse::<Ipv6Addr>().ok()?;
                (&text[..address.len() + 2], port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_bracketed = name.starts_with('[');
        if name.is_empty() || name.len() > limits::DOMAIN_BYTES {
            return None;
        }
        if !is_bracketed && !name.bytes().all(is_name) {
            return None;
        }
        Some(Self {
            name: name.to_ascii_lowercase(),
            port: parse_port(port)?,
        })
    }

    /// The name or address, in lower case; an IPv6 address with its brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port, if it was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.name),
            Some(port) => write!(f, "{}:{port}", self.name),
        }
    }
}

/// What follows the name: nothing, or `:` and digits, or `:` alone (RFC 3986 §3.2.3).
fn parse_port(text: &str) -> Option<Option<u16>> {
    match text.strip_prefix(':') {
        None => text.is_empty().then_some(None),
        Some("") => Some(None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok().map(Some)
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        for (text, name, port) in [
            ("Example.Test", "example.test", None),
            ("example.test:9003", "example.test", Some(9003)),
            ("example.test:", "example.test", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[2001:DB8::1]", "[2001:db8::1]", None),
            ("[::1]:9002", "[::1]", Some(9002)),
        ] {
            let host = Host::parse(text.as_bytes()).unwrap();
            assert_eq!((host.name(), host.port()), (name, port));
        }
        assert_eq!(Host::parse(b"A:1").unwrap().to_string(), "a:1");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", ":80", "a b", "a/b", "user@a", "a:80:80", "a:x", "a:65536", "a:+1", "[::1", "::1",
            "[::1]x", "[a]", "[]", "a,b", "a%41", "a\\b", "a#", "a?", "\u{e9}",
        ] {
            assert_eq!(Host::parse(text.as_bytes()), None, "{text}");
        }
        let longest = "a".repeat(limits::DOMAIN_BYTES);
        assert!(Host::parse(longest.as_bytes()).is_some());
        assert!(Host::parse([longest.as_bytes(), b"a"].concat().as_slice()).is_none());
    }
}
