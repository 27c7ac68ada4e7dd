//! Where the mail of a domain goes.

use core::fmt;
use std::net::IpAddr;

use rmail_proto::{Domain, ForwardPath};
use rmail_store::Destination;

use crate::config::{Config, DomainRoute, PeerHost, RelayTls, Via};

/// Where a recipient's mail goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// Into a mailbox here.
    Local,
    /// To another server.
    Remote(NextHop),
    /// Nowhere for now, for this reason.
    Hold(&'static str),
}

/// The server that takes it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NextHop {
    /// The mail exchangers of a domain, or the host of an address literal.
    Mx(Domain),
    /// A server that the configuration names.
    Host {
        /// What it speaks.
        kind: HostKind,
        /// Where it is.
        host: PeerHost,
        /// Its port.
        port: u16,
    },
}

/// What a server of the configuration is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostKind {
    /// The smarthost.
    Smarthost,
    /// A route's SMTP server.
    Smtp,
    /// A route's LMTP server.
    Lmtp,
}

/// Where the mail of this domain goes.
///
/// Domains that are hosted here come first; then `relay.routes`, of which an exact one goes before
/// the longest that means all below a domain; then the smarthost; then the domain's own servers.
pub fn route(config: &Config, domain: &Domain) -> Route {
    if config.hosts(domain) {
        return Route::Local;
    }
    let relay = &config.relay;
    if !relay.enabled {
        return Route::Hold("relay.enabled is false");
    }
    let host = |kind, host: &PeerHost, port: u16| {
        Route::Remote(NextHop::Host {
            kind,
            host: host.clone(),
            port,
        })
    };
    match find(&relay.routes, domain).map(|route| &route.via) {
        Some(Via::Mx) => Route::Remote(NextHop::Mx(domain.clone())),
        Some(Via::Hold) => Route::Hold("relay.routes says hold"),
        Some(Via::Smtp(place, port)) => host(HostKind::Smtp, place, port.get()),
        Some(Via::Lmtp(place, port)) => host(HostKind::Lmtp, place, port.get()),
        None => match &relay.smarthost {
            Some(smarthost) => host(HostKind::Smarthost, &smarthost.host, smarthost.port.get()),
            None => Route::Remote(NextHop::Mx(domain.clone())),
        },
    }
}

/// Where a recipient's mail goes.
pub fn route_path(config: &Config, path: &ForwardPath) -> Route {
    match path {
        ForwardPath::Postmaster => Route::Local,
        ForwardPath::Address(address) => route(config, address.domain()),
    }
}

/// Where a recipient goes, as the spool names it.
pub fn destination(config: &Config, path: &ForwardPath) -> Destination {
    match (route_path(config, path), path) {
        (Route::Local, _) | (_, ForwardPath::Postmaster) => Destination::Local,
        (route, ForwardPath::Address(address)) => {
            Destination::Remote(destination_key(&route, address.domain()))
        }
    }
}

/// The key of a recipient's lot: those with one key can share a connection. Mail that is held has
/// its domain's.
pub fn destination_key(route: &Route, domain: &Domain) -> String {
    match route {
        Route::Remote(next_hop) => next_hop.to_string(),
        Route::Local | Route::Hold(_) => domain.to_string(),
    }
}

fn find<'a>(routes: &'a [DomainRoute], domain: &Domain) -> Option<&'a DomainRoute> {
    let exact = routes
        .iter()
        .find(|route| !route.is_below && route.domain == *domain);
    let is_above = |route: &&DomainRoute| {
        let below = domain.as_str().strip_suffix(route.domain.as_str());
        route.is_below && below.is_some_and(|below| below.ends_with('.'))
    };
    let above = routes.iter().filter(is_above);
    exact.or_else(|| above.max_by_key(|route| route.domain.as_str().len()))
}

impl NextHop {
    /// The address of a literal such as `[192.0.2.1]`.
    pub fn literal(domain: &Domain) -> Option<IpAddr> {
        let inner = domain.as_str().strip_prefix('[')?.strip_suffix(']')?;
        inner.strip_prefix("ipv6:").unwrap_or(inner).parse().ok()
    }

    /// The TLS that the configuration asks of it.
    pub fn tls(&self, config: &Config) -> RelayTls {
        match self {
            Self::Host {
                kind: HostKind::Smarthost,
                ..
            } => match &config.relay.smarthost {
                Some(smarthost) => smarthost.tls,
                None => config.relay.tls,
            },
            Self::Mx(_)
            | Self::Host {
                kind: HostKind::Smtp | HostKind::Lmtp,
                ..
            } => config.relay.tls,
        }
    }
}

impl fmt::Display for NextHop {
    /// The key of its lots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mx(domain) => domain.fmt(f),
            Self::Host { kind, host, port } => {
                let kind = match kind {
                    HostKind::Smarthost => "smarthost",
                    HostKind::Smtp => "smtp",
                    HostKind::Lmtp => "lmtp",
                };
                write!(f, "{kind}:{host}:{port}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn routed(config: &str, domain: &str) -> String {
        let (config, _) = Config::load(config, Path::new("/etc/rmail")).unwrap();
        match route(&config, &Domain::parse(domain).unwrap()) {
            Route::Local => "local".to_owned(),
            Route::Remote(next_hop) => next_hop.to_string(),
            Route::Hold(reason) => reason.to_owned(),
        }
    }

    #[test]
    fn hosted_domains_are_local_and_others_go_to_their_own_servers() {
        assert_eq!(routed("{}", "example.com"), "local");
        assert_eq!(routed("{}", "example.net"), "example.net");
    }

    #[test]
    fn the_smarthost_takes_what_no_route_leads_elsewhere() {
        let config = r#"{"relay": {"smarthost": "relay.example.net", "routes": [
            "*.org hold", "*.b.org mx", "a.b.org smtp:192.0.2.1:26", "b.org lmtp:[::1]:24"]}}"#;
        for (domain, key) in [
            ("example.com", "local"),
            ("example.net", "smarthost:relay.example.net:587"),
            ("x.org", "relay.routes says hold"),
            ("org", "smarthost:relay.example.net:587"),
            ("b.org", "lmtp:[::1]:24"),
            ("c.b.org", "c.b.org"),
            ("a.b.org", "smtp:192.0.2.1:26"),
        ] {
            assert_eq!(routed(config, domain), key, "{domain}");
        }
    }

    #[test]
    fn nothing_leaves_where_relaying_is_off() {
        let config = r#"{"relay": {"enabled": false, "smarthost": "relay.example.net"}}"#;
        assert_eq!(routed(config, "example.net"), "relay.enabled is false");
        assert_eq!(routed(config, "example.com"), "local");
    }

    #[test]
    fn address_literals_are_addresses() {
        let literal = |text| NextHop::literal(&Domain::parse(text).unwrap());
        assert_eq!(literal("[192.0.2.1]").unwrap().to_string(), "192.0.2.1");
        assert_eq!(literal("[IPv6:::1]").unwrap().to_string(), "::1");
        assert_eq!(literal("example.com"), None);
    }
}
