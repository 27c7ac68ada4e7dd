//! `relay.*`: mail to other servers.

use core::fmt;
use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

use rmail_proto::{Domain, Secret};

use super::{parse_host_name, read_seconds, read_size, section::Section};

/// How mail reaches other servers.
#[derive(Clone, Debug)]
pub struct Relay {
    /// Whether any mail leaves this server.
    pub enabled: bool,
    /// Who takes all mail that no route leads elsewhere; `None`: the recipient's domain says.
    pub smarthost: Option<Smarthost>,
    /// Where the mail of single domains goes, in the order given.
    pub routes: Vec<DomainRoute>,
    /// TLS with all servers but the smarthost.
    pub tls: RelayTls,
    /// The port of servers that MX records name.
    pub port: NonZeroU16,
    /// Whom to ask for MX records; empty: the name servers of this machine.
    pub dns_servers: Vec<SocketAddr>,
    /// Waiting times after the first attempt, the second, and so on; the last is repeated. Not
    /// empty.
    pub retry_delays: Vec<Duration>,
    /// How long delivery is tried in all.
    pub expiry: Duration,
    /// After how long the sender is told that it takes longer.
    pub delay_notice: Duration,
    /// Connections to one destination at a time.
    pub connections_per_destination: NonZeroUsize,
    /// Connections to other servers at a time.
    pub max_connections: NonZeroUsize,
}

/// A server that takes our mail for anybody.
#[derive(Clone, Debug)]
pub struct Smarthost {
    /// Where it is.
    pub host: PeerHost,
    /// Its port.
    pub port: NonZeroU16,
    /// Its TLS.
    pub tls: RelayTls,
    /// User name and password, if we log in.
    pub credentials: Option<(String, Secret<String>)>,
}

/// A host by name or by address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PeerHost {
    /// A name, to be looked up.
    Name(Domain),
    /// An address.
    Address(IpAddr),
}

/// What TLS is asked of another server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RelayTls {
    /// `none`
    Off,
    /// `opportunistic`: where it is offered, with any certificate.
    Opportunistic,
    /// `required`: by STARTTLS, with a certificate that can be verified, or not at all.
    Required,
    /// `implicit`: from the first byte, with a certificate that can be verified.
    Implicit,
}

/// Where the mail of a domain goes.
#[derive(Clone, Debug)]
pub struct DomainRoute {
    /// The domain, or the domain below which all are meant.
    pub domain: Domain,
    /// Whether those below are meant, and not the domain itself.
    pub is_below: bool,
    /// Where to.
    pub via: Via,
}

/// Where mail goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Via {
    /// `mx`: to the domain's own servers, whatever the smarthost is.
    Mx,
    /// `hold`: nowhere, until somebody releases it.
    Hold,
    /// `smtp:host:port`
    Smtp(PeerHost, NonZeroU16),
    /// `lmtp:host:port`
    Lmtp(PeerHost, NonZeroU16),
}

const RETRY_DELAYS: [u64; 8] = [60, 300, 900, 1800, 3600, 14_400, 28_800, 86_400];
const DAY_SECONDS: u64 = 24 * 60 * 60;
const HOST_EXPECTED: &str = "a host name or an IP address";
const TLS_EXPECTED: &str = "none, opportunistic, required or implicit";
const ROUTE_EXPECTED: &str = "a domain and where its mail goes, such as \"example.net \
                              smtp:mail.example.net:25\", \"*.example.org lmtp:127.0.0.1:24\", \
                              \"example.edu mx\" or \"example.com hold\"";

impl Relay {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let delays = s.integers("retry_delays", &RETRY_DELAYS, 1..=30 * DAY_SECONDS);
        let relay = Self {
            enabled: s.boolean("enabled", true),
            smarthost: read_smarthost(s),
            routes: s.list("routes", Vec::new(), ROUTE_EXPECTED, parse_route),
            tls: s.parsed("tls", RelayTls::Opportunistic, TLS_EXPECTED, parse_tls),
            port: read_peer_port(s, "port", 25),
            dns_servers: s.list("dns_servers", Vec::new(), SERVER_EXPECTED, parse_server),
            retry_delays: delays.into_iter().map(Duration::from_secs).collect(),
            expiry: read_seconds(s, "expiry", 5 * DAY_SECONDS, 365 * DAY_SECONDS),
            delay_notice: read_seconds(s, "delay_notice", 4 * 60 * 60, 365 * DAY_SECONDS),
            connections_per_destination: read_size(s, "connections_per_destination", 8, 1000),
            max_connections: read_size(s, "max_connections", 100, 100_000),
        };
        section.close();
        relay
    }
}

/// What an item of `dns_servers` should be.
const SERVER_EXPECTED: &str = "an IP address, with a port or without";

fn read_smarthost(section: &mut Section<'_>) -> Option<Smarthost> {
    let host = section.optional("smarthost", HOST_EXPECTED, parse_host);
    let port = read_peer_port(section, "smarthost_port", 587);
    let tls = section.parsed(
        "smarthost_tls",
        RelayTls::Opportunistic,
        TLS_EXPECTED,
        parse_tls,
    );
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let username = section.optional("smarthost_username", "a user name", text);
    let password = section.optional("smarthost_password", "a password", text);
    for (set, missing) in [
        ("smarthost_username", "smarthost_password"),
        ("smarthost_password", "smarthost_username"),
    ] {
        if section.is_set(set) && !section.is_set(missing) {
            let path = section.path(missing);
            let expected = format!("a text, as {} is set", section.path(set));
            section.report().fault(path, "nothing", &expected);
        }
    }
    Some(Smarthost {
        host: host?,
        port,
        tls,
        credentials: username.zip(password.map(Secret::new)),
    })
}

fn read_peer_port(section: &mut Section<'_>, key: &'static str, default: u16) -> NonZeroU16 {
    let port = section.integer(key, u64::from(default), 1..=u64::from(u16::MAX));
    let port = u16::try_from(port).ok().and_then(NonZeroU16::new);
    port.expect("the range was checked")
}

fn parse_tls(text: &str) -> Option<RelayTls> {
    match text {
        "none" => Some(RelayTls::Off),
        "opportunistic" => Some(RelayTls::Opportunistic),
        "required" => Some(RelayTls::Required),
        "implicit" => Some(RelayTls::Implicit),
        _ => None,
    }
}

fn parse_host(text: &str) -> Option<PeerHost> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match unbracketed.unwrap_or(text).parse() {
        Ok(address) => Some(PeerHost::Address(address)),
        Err(_) => parse_host_name(text).map(PeerHost::Name),
    }
}

fn parse_host_and_port(text: &str) -> Option<(PeerHost, NonZeroU16)> {
    let (host, port) = text.rsplit_once(':')?;
    Some((parse_host(host)?, port.parse().ok()?))
}

fn parse_server(text: &str) -> Option<SocketAddr> {
    let with_port = text.parse();
    with_port
        .or_else(|_| {
            text.parse()
                .map(|address: IpAddr| SocketAddr::new(address, 53))
        })
        .ok()
}

fn parse_route(text: &str) -> Option<DomainRoute> {
    let (domain, via) = text.trim().split_once(char::is_whitespace)?;
    let below = domain.strip_prefix("*.");
    let via = match via.trim() {
        "mx" => Via::Mx,
        "hold" => Via::Hold,
        via => {
            let (protocol, place) = via.split_once(':')?;
            let (host, port) = parse_host_and_port(place)?;
            match protocol {
                "smtp" => Via::Smtp(host, port),
                "lmtp" => Via::Lmtp(host, port),
                _ => return None,
            }
        }
    };
    Some(DomainRoute {
        domain: parse_host_name(below.unwrap_or(domain))?,
        is_below: below.is_some(),
        via,
    })
}

impl fmt::Display for PeerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_name_a_domain_and_where_it_goes() {
        let route = parse_route("Example.net smtp:mail.example.net:2525").unwrap();
        assert_eq!(route.domain.as_str(), "example.net");
        assert!(!route.is_below);
        let Via::Smtp(host, port) = route.via else {
            panic!("{route:?}");
        };
        assert_eq!(
            (host.to_string().as_str(), port.get()),
            ("mail.example.net", 2525)
        );
        let route = parse_route("*.example.org lmtp:[::1]:24").unwrap();
        assert!(route.is_below);
        assert!(matches!(route.via, Via::Lmtp(PeerHost::Address(_), _)));
        assert_eq!(parse_route("a.b hold").unwrap().via, Via::Hold);
        assert_eq!(parse_route("a.b  mx").unwrap().via, Via::Mx);
        for text in [
            "a.b",
            "a.b nowhere",
            "a.b smtp:c",
            "a.b smtp:c:0",
            "-a hold",
            "a.b c d",
        ] {
            assert!(parse_route(text).is_none(), "{text}");
        }
    }

    #[test]
    fn name_servers_are_on_port_53_where_none_is_named() {
        assert_eq!(parse_server("192.0.2.1").unwrap().port(), 53);
        assert_eq!(parse_server("192.0.2.1:5353").unwrap().port(), 5353);
        assert_eq!(parse_server("[::1]:5353").unwrap().port(), 5353);
        assert!(parse_server("ns.example.com").is_none());
    }
}
