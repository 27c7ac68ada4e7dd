//! Where a client may have its notifications posted to: URLs and addresses that are public.
//!
//! Whoever may name a URL that the server then fetches could make it talk to the machine itself,
//! or to others that trust it (server-side request forgery). So the URL is taken apart strictly,
//! and each address that its host has must be [public](is_public).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::limits;

/// What is encoded in a query: all but the unreserved characters (RFC 3986 §2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A URL that may be posted to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    url: String,
    is_exempt: bool,
}

/// Why a URL may not be posted to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TargetError {
    /// It is none.
    #[error("it is not an absolute URL of at most 2,048 characters")]
    NotAUrl,
    /// It is not https.
    #[error("it must begin with https://")]
    NotHttps,
    /// Its host is none, or an IPv4 address in another spelling than four numbers.
    #[error("its host is neither a name nor an IP address")]
    NoHost,
    /// It names a user.
    #[error("it must not name a user")]
    HasUser,
    /// Its port is one that other services have.
    #[error("its port must be 443, or 1024 and above")]
    PortRefused,
    /// Its path goes up.
    #[error("its path must not hold . or .. segments")]
    PathRefused,
    /// Its host is an address that is not public.
    #[error("its host is not public")]
    NotPublic,
}

/// The parts of a URL that are looked at.
struct Parts<'u> {
    /// In lower case.
    scheme: String,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: Option<u16>,
    /// Path and query.
    rest: &'u str,
}

impl Target {
    /// A client's URL. Those that begin with one of `exempt` need not be public; whatever is said
    /// of the rest of the URL holds for them, too.
    ///
    /// # Errors
    ///
    /// When it may not be posted to. What a host's name resolves to is not known here.
    pub fn parse(url: &str, exempt: &[String]) -> Result<Self, TargetError> {
        let parts = Parts::parse(url)?;
        let is_exempt = exempt.iter().any(|prefix| parts.has_prefix(prefix));
        let target = Self {
            url: parts.to_string(),
            is_exempt,
        };
        if is_exempt {
            return Ok(target);
        }
        if parts.scheme != "https" {
            return Err(TargetError::NotHttps);
        }
        if parts.port.is_some_and(|port| port != 443 && port < 1024) {
            return Err(TargetError::PortRefused);
        }
        match parts.address() {
            Some(address) if !is_public(address) => Err(TargetError::NotPublic),
            Some(_) | None => Ok(target),
        }
    }

    /// The URL, its scheme and host in lower case.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether its addresses need not be public.
    pub fn is_exempt(&self) -> bool {
        self.is_exempt
    }

    /// The same with one more parameter in its query.
    #[must_use]
    pub fn with_parameter(&self, name: &str, value: &str) -> Self {
        let encoded = utf8_percent_encode(value, RESERVED);
        let separator = if self.url.contains('?') { '&' } else { '?' };
        Self {
            url: format!("{}{separator}{name}={encoded}", self.url),
            is_exempt: self.is_exempt,
        }
    }
}

impl<'u> Parts<'u> {
    fn parse(url: &'u str) -> Result<Self, TargetError> {
        let is_text = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}#".contains(&byte);
        if url.len() > limits::TARGET_URL_BYTES || !url.bytes().all(is_text) {
            return Err(TargetError::NotAUrl);
        }
        let (scheme, rest) = url.split_once("://").ok_or(TargetError::NotAUrl)?;
        let scheme = scheme.to_ascii_lowercase();
        if !["http", "https"].contains(&scheme.as_str()) {
            return Err(TargetError::NotHttps);
        }
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(TargetError::HasUser);
        }
        let host_end = match authority.find(']') {
            Some(bracket) => bracket + 1,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(host_end);
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return Err(TargetError::NoHost),
            Some(digits) => Some(read_port(digits).ok_or(TargetError::PortRefused)?),
        };
        let host = host.to_ascii_lowercase();
        if !is_host(&host) {
            return Err(TargetError::NoHost);
        }
        let path = rest.split('?').next().unwrap_or_default();
        let goes_up = |segment: &str| {
            let segment = segment.to_ascii_lowercase().replace("%2e", ".");
            segment == "." || segment == ".."
        };
        if path.split('/').any(goes_up) {
            return Err(TargetError::PathRefused);
        }
        Ok(Self {
            scheme,
            host,
            port,
            rest,
        })
    }

    /// Whether the URL begins with this prefix, and what the prefix says of the host is all of it:
    /// `http://10.0.0.1` is no prefix of `http://10.0.0.10`.
    fn has_prefix(&self, prefix: &str) -> bool {
        let Some((scheme, rest)) = prefix.split_once("://") else {
            return false;
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let prefix = format!(
            "{}://{}{path}",
            scheme.to_ascii_lowercase(),
            authority.to_ascii_lowercase()
        );
        let url = self.to_string();
        let Some(after) = url.strip_prefix(&prefix) else {
            return false;
        };
        !path.is_empty()
            || prefix.ends_with(':')
            || after.is_empty()
            || after.starts_with([':', '/', '?'])
    }

    fn address(&self) -> Option<IpAddr> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().ok()
    }
}

impl std::fmt::Display for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.rest)
    }
}

/// A port as it is written without ornaments.
fn read_port(digits: &str) -> Option<u16> {
    let port: u16 = digits.parse().ok()?;
    (port != 0 && port.to_string() == digits).then_some(port)
}

/// An IPv6 address in brackets, an IPv4 address as four decimal numbers, or a name of letters,
/// digits, hyphens and underscores. Resolvers read other texts of digits as IPv4 addresses, too
/// (`0x7f.1`, `2130706433`): a name whose last label is a number is none.
fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']');
        return address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return true;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_letter);
    let is_number = |label: &str| {
        let digits = label.strip_prefix("0x");
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
            || label.bytes().all(|byte| byte.is_ascii_digit())
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !is_number(last)
}

/// Whether an address is anybody's on the Internet: of the IANA special-purpose address registries
/// (RFC 6890) none, no multicast, and no form of IPv6 that leads to an IPv4 address.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Networks of IPv4 that are not public, as address and length of the prefix.
const SPECIAL_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),       // this network (RFC 791)
    ([10, 0, 0, 0], 8),      // private (RFC 1918)
    ([100, 64, 0, 0], 10),   // carriers' NAT (RFC 6598)
    ([127, 0, 0, 0], 8),     // loopback (RFC 1122)
    ([169, 254, 0, 0], 16),  // link-local (RFC 3927), and the metadata of clouds
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments (RFC 6890)
    ([192, 0, 2, 0], 24),    // documentation (RFC 5737)
    ([192, 31, 196, 0], 24), // AS112 (RFC 7535)
    ([192, 52, 193, 0], 24), // multicast by tunnels (RFC 7450)
    ([192, 88, 99, 0], 24),  // 6to4 relays (RFC 7526)
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks (RFC 2544)
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 3),     // multicast (RFC 5771), reserved (RFC 1112), broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !SPECIAL_V4.iter().any(|&(network, length)| {
        let network = u32::from_be_bytes(network);
        (bits ^ network) >> (32 - length) == 0
    })
}

/// Networks within 2000::/3 that are not public.
const SPECIAL_V6: [([u16; 4], u32); 5] = [
    ([0x2001, 0, 0, 0], 23), // protocol assignments, Teredo among them (RFC 2928, 4380)
    ([0x2001, 0xdb8, 0, 0], 32), // documentation (RFC 3849)
    ([0x2002, 0, 0, 0], 16), // 6to4 (RFC 3056)
    ([0x2620, 0x4f, 0x8000, 0], 48), // AS112 (RFC 7534)
    ([0x3ffe, 0, 0, 0], 15), // 6bone (RFC 3701), documentation (RFC 9637)
];

/// Global unicast is 2000::/3 alone (RFC 4291 §2.4). Outside of it are loopback, IPv4-mapped and
/// IPv4-compatible addresses, NAT64 (RFC 6052, 8215), the discard prefix (RFC 6666), unique local
/// (RFC 4193) and link-local addresses, and multicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let high = (address.to_bits() >> 64) as u64;
    let is_special = SPECIAL_V6.iter().any(|(network, length)| {
        let network = network
            .iter()
            .fold(0, |bits, &part| bits << 16 | u64::from(part));
        (high ^ network) >> (64 - length) == 0
    });
    high >> 61 == 0b001 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, TargetError> {
        Target::parse(url, &[])
    }

    fn public(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    #[test]
    fn special_networks_of_ipv4_are_not_public_and_their_neighbours_are() {
        for (first, last, before, after) in [
            ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
            (
                "10.0.0.0",
                "10.255.255.255",
                Some("9.255.255.255"),
                Some("11.0.0.0"),
            ),
            (
                "100.64.0.0",
                "100.127.255.255",
                Some("100.63.255.255"),
                Some("100.128.0.0"),
            ),
            (
                "127.0.0.0",
                "127.255.255.255",
                Some("126.255.255.255"),
                Some("128.0.0.0"),
            ),
            (
                "169.254.0.0",
                "169.254.255.255",
                Some("169.253.255.255"),
                Some("169.255.0.0"),
            ),
            (
                "172.16.0.0",
                "172.31.255.255",
                Some("172.15.255.255"),
                Some("172.32.0.0"),
            ),
            (
                "192.0.0.0",
                "192.0.0.255",
                Some("191.255.255.255"),
                Some("192.0.1.0"),
            ),
            (
                "192.0.2.0",
                "192.0.2.255",
                Some("192.0.1.255"),
                Some("192.0.3.0"),
            ),
            (
                "192.88.99.0",
                "192.88.99.255",
                Some("192.88.98.255"),
                Some("192.88.100.0"),
            ),
            (
                "192.168.0.0",
                "192.168.255.255",
                Some("192.167.255.255"),
                Some("192.169.0.0"),
            ),
            (
                "198.18.0.0",
                "198.19.255.255",
                Some("198.17.255.255"),
                Some("198.20.0.0"),
            ),
            (
                "198.51.100.0",
                "198.51.100.255",
                Some("198.51.99.255"),
                Some("198.51.101.0"),
            ),
            (
                "203.0.113.0",
                "203.0.113.255",
                Some("203.0.112.255"),
                Some("203.0.114.0"),
            ),
            (
                "224.0.0.0",
                "255.255.255.255",
                Some("223.255.255.255"),
                None,
            ),
            (
                "192.31.196.0",
                "192.31.196.255",
                Some("192.31.195.255"),
                Some("192.31.197.0"),
            ),
            (
                "192.52.193.0",
                "192.52.193.255",
                Some("192.52.192.255"),
                Some("192.52.194.0"),
            ),
        ] {
            assert!(!public(first) && !public(last), "{first} to {last}");
            for neighbour in [before, after].into_iter().flatten() {
                assert!(public(neighbour), "{neighbour}");
            }
        }
        assert!(!public("169.254.169.254"));
        assert!(public("8.8.8.8"));
    }

    #[test]
    fn forms_of_ipv6_that_lead_to_ipv4_or_nowhere_are_not_public() {
        for address in [
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:10.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:8.8.8.8",
            "64:ff9b::10.0.0.1",
            "64:ff9b::8.8.8.8",
            "64:ff9b:1::1",
            "100::1",
            "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001::",
            "2001:0:a00:1::1",
            "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "2620:4f:8000::1",
            "3ffe::1",
            "3fff::1",
            "4000::1",
            "fc00::1",
            "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe80::1",
            "fec0::1",
            "fd00:ec2::254",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
        for address in [
            "2000::1",
            "2001:200::1",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::1",
            "2620:4f:7fff::1",
            "2620:4f:8001::1",
            "2a00:1450:4001:80b::200e",
            "3ffd:ffff::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn targets_are_https_on_443_or_above_1023() {
        for url in [
            "https://hooks.example.com",
            "https://hooks.example.com/a/b?c=d&e",
            "https://hooks.example.com?c=d",
            "https://hooks.example.com:443/",
            "https://hooks.example.com:1024/",
            "https://hooks.example.com:65535/",
            "https://8.8.8.8/",
            "https://[2a00:1450:4001:80b::200e]:8443/x",
            "HTTPS://Hooks.Example.COM./",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
        for (url, error) in [
            ("http://hooks.example.com/", TargetError::NotHttps),
            ("ftp://hooks.example.com/", TargetError::NotHttps),
            ("file:///etc/passwd", TargetError::NotHttps),
            ("https://hooks.example.com:0/", TargetError::PortRefused),
            ("https://hooks.example.com:22/", TargetError::PortRefused),
            ("https://hooks.example.com:442/", TargetError::PortRefused),
            ("https://hooks.example.com:444/", TargetError::PortRefused),
            ("https://hooks.example.com:1023/", TargetError::PortRefused),
            ("https://hooks.example.com:65536/", TargetError::PortRefused),
            ("https://hooks.example.com:0443/", TargetError::PortRefused),
            ("https://hooks.example.com:+443/", TargetError::PortRefused),
            ("https://hooks.example.com:/", TargetError::PortRefused),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn urls_that_others_could_read_differently_are_refused() {
        for (url, error) in [
            ("", TargetError::NotAUrl),
            ("hooks.example.com/", TargetError::NotAUrl),
            ("//hooks.example.com/", TargetError::NotAUrl),
            ("https://hooks.example.com/#part", TargetError::NotAUrl),
            (
                "https://hooks.example.com\\@10.0.0.1/",
                TargetError::NotAUrl,
            ),
            ("https://hooks.example.com/a b", TargetError::NotAUrl),
            ("https://hooks.example.com/\r\nX: y", TargetError::NotAUrl),
            ("https://b\u{fc}cher.example/", TargetError::NotAUrl),
            ("https://user@hooks.example.com/", TargetError::HasUser),
            ("https://8.8.8.8:443@10.0.0.1/", TargetError::HasUser),
            ("https://@hooks.example.com/", TargetError::HasUser),
            ("https:///path", TargetError::NoHost),
            ("https://", TargetError::NoHost),
            ("https://.example.com/", TargetError::NoHost),
            ("https://a..example.com/", TargetError::NoHost),
            ("https://a%2eexample.com/", TargetError::NoHost),
            ("https://[8.8.8.8]/", TargetError::NoHost),
            ("https://[fe80::1%25eth0]/", TargetError::NoHost),
            ("https://[::1/", TargetError::PortRefused),
            ("https://[2a00::1]x/", TargetError::NoHost),
            ("https://hooks.example.com/../x", TargetError::PathRefused),
            (
                "https://hooks.example.com/a/%2E%2e",
                TargetError::PathRefused,
            ),
            ("https://hooks.example.com/./x?a", TargetError::PathRefused),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
        let long = format!("https://a.example/{}", "x".repeat(limits::TARGET_URL_BYTES));
        assert_eq!(parse(&long), Err(TargetError::NotAUrl));
    }

    #[test]
    fn ipv4_addresses_in_odd_spellings_are_no_hosts() {
        for host in [
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "127.1",
            "127.0.1",
            "127.0.0.1.",
            "127.0.0.0x1",
            "0x",
            "1.2.3.4.5",
            "256.0.0.1",
            "017700000001",
            "a.1",
        ] {
            let url = format!("https://{host}/");
            assert_eq!(parse(&url), Err(TargetError::NoHost), "{host}");
        }
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_as_hosts() {
        for host in [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[fd00:ec2::254]",
        ] {
            let url = format!("https://{host}/");
            assert_eq!(parse(&url), Err(TargetError::NotPublic), "{host}");
        }
    }

    #[test]
    fn prefixes_exempt_what_they_say_and_nothing_else() {
        let exempt = |prefix: &str, url: &str| {
            let target = Target::parse(url, &[prefix.to_owned()]);
            target.is_ok_and(|target| target.is_exempt())
        };
        for (prefix, url) in [
            ("http://127.0.0.1:", "http://127.0.0.1:8080/hook"),
            ("http://127.0.0.1:", "HTTP://127.0.0.1:80"),
            ("http://127.0.0.1", "http://127.0.0.1/hook"),
            ("http://127.0.0.1", "http://127.0.0.1:22/hook"),
            ("HTTP://Intra.Example", "http://intra.example?x"),
            ("http://intra.example:8080", "http://intra.example:8080/x"),
            (
                "https://intra.example/hooks/",
                "https://intra.example/hooks/a",
            ),
        ] {
            assert!(exempt(prefix, url), "{prefix} {url}");
        }
        for (prefix, url) in [
            ("http://127.0.0.1:", "http://127.0.0.1/"),
            ("http://127.0.0.1:", "http://127.0.0.1:1@10.0.0.1/"),
            ("http://127.0.0.1", "http://127.0.0.1.evil.example/"),
            ("http://127.0.0.1", "http://127.0.0.10/"),
            ("http://intra.example", "http://intra.example.evil.example/"),
            ("http://intra.example:80", "http://intra.example:8080/"),
            ("http://intra.example", "https://intra.example/"),
            (
                "https://intra.example/hooks/",
                "https://intra.example/hooks/../x",
            ),
            (
                "https://intra.example/hooks/",
                "https://intra.example/other",
            ),
        ] {
            assert!(!exempt(prefix, url), "{prefix} {url}");
        }
    }

    #[test]
    fn a_parameter_goes_behind_those_that_are_there() {
        let with = |url: &str| {
            parse(url)
                .unwrap()
                .with_parameter("t", "a b&c-_")
                .url()
                .to_owned()
        };
        assert_eq!(with("https://a.example"), "https://a.example?t=a%20b%26c-_");
        assert_eq!(
            with("https://a.example/?x=y"),
            "https://a.example/?x=y&t=a%20b%26c-_"
        );
    }
}
