//! Where mail for a domain goes, or why nowhere.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, net::IpAddr};

use crate::{
    Domain,
    dns::{Failure, Name, NameError, Reason},
    smtp::EnhancedCode,
};

/// The hosts that take a domain's mail, in the order in which they are to be tried. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// At most [`ROUTE_HOSTS_MAX`](crate::limits::ROUTE_HOSTS_MAX).
    pub exchangers: Vec<Exchanger>,
}

/// A host that takes mail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exchanger {
    /// Its name as the MX record has it, or the domain itself where there is none; `None` for an
    /// address literal.
    pub name: Option<Name>,
    /// The preference of its MX record; 0 where there is none.
    pub preference: u16,
    /// Its addresses in the order in which they are to be tried: the families take turns, IPv6
    /// first (RFC 8305 §4). Never empty, at most
    /// [`ROUTE_ADDRESSES_MAX`](crate::limits::ROUTE_ADDRESSES_MAX).
    pub addresses: Vec<IpAddr>,
    /// Whether all answers that led here are vouched for, as DANE asks (RFC 7672 §2.2).
    pub authentic: bool,
}

/// Why a domain's mail goes nowhere, for now or for ever.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouteFailure {
    /// Its class says whether trying again is worth it.
    pub enhanced: EnhancedCode,
    /// One line for people, without CR or LF.
    pub text: String,
}

impl Plan {
    /// All addresses with their hosts, in the order in which they are to be tried.
    pub fn targets(&self) -> impl Iterator<Item = (&Exchanger, IpAddr)> {
        self.exchangers.iter().flat_map(|exchanger| {
            let addresses = exchanger.addresses.iter();
            addresses.map(move |&address| (exchanger, address))
        })
    }
}

impl RouteFailure {
    /// Whether trying again is pointless.
    pub const fn is_permanent(&self) -> bool {
        self.enhanced.0 == 5
    }

    /// Bad destination system address (RFC 3463 §3.2).
    pub(super) fn no_such_domain(domain: &Domain) -> Self {
        Self {
            enhanced: EnhancedCode(5, 1, 2),
            text: format!("There is no domain {domain}"),
        }
    }

    pub(super) fn bad_name(domain: &Domain, error: NameError) -> Self {
        Self {
            enhanced: EnhancedCode(5, 1, 2),
            text: format!("{domain} is no mail domain: {error}"),
        }
    }

    pub(super) fn no_hosts(domain: &Domain) -> Self {
        Self {
            enhanced: EnhancedCode(5, 1, 2),
            text: format!("{domain} has neither mail exchangers (MX) nor addresses that we reach"),
        }
    }

    /// Domain has null MX (RFC 7505 §5).
    pub(super) fn null_mx(domain: &Domain) -> Self {
        Self {
            enhanced: EnhancedCode(5, 1, 10),
            text: format!("{domain} accepts no mail (null MX)"),
        }
    }

    /// Unable to route (RFC 3463 §3.5).
    pub(super) fn no_usable_exchanger(domain: &Domain) -> Self {
        Self {
            enhanced: EnhancedCode(5, 4, 4),
            text: format!("No mail exchanger (MX) of {domain} has an address that we reach"),
        }
    }

    pub(super) fn address_unusable(domain: &Domain) -> Self {
        Self {
            enhanced: EnhancedCode(5, 4, 4),
            text: format!("{domain} is no address that we reach"),
        }
    }

    /// Routing loop detected (RFC 3463 §3.5).
    pub(super) fn leads_to_us(domain: &Domain) -> Self {
        Self {
            enhanced: EnhancedCode(5, 4, 6),
            text: format!(
                "The best mail exchanger for {domain} is this server, which does not host it"
            ),
        }
    }

    /// Directory server failure (RFC 3463 §3.5).
    pub(super) fn temporary(domain: &Domain, failure: &Failure) -> Self {
        Self {
            enhanced: EnhancedCode(4, 4, 3),
            text: format!("Looking up the mail exchangers of {domain} failed: {failure}"),
        }
    }

    pub(super) fn unknown(domain: &Domain) -> Self {
        Self::temporary(domain, &Failure::Temporary(Reason::Malformed))
    }
}

impl fmt::Display for RouteFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.enhanced, self.text)
    }
}

impl core::error::Error for RouteFailure {}
