//! The file that says which servers to ask.

use alloc::{vec, vec::Vec};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::Name;
use crate::limits;

/// What `/etc/resolv.conf` says (resolv.conf(5)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResolvConf {
    /// The servers, [`limits::DNS_SERVERS_MAX`] at most; the local host when none is named.
    pub servers: Vec<IpAddr>,
    /// Domains in which short names are looked up. Mail asks for full names alone.
    pub search: Vec<Name>,
    /// Dots from which on a name is tried as it is first. Likewise.
    pub ndots: u32,
    /// How long one server is waited for.
    pub timeout: Duration,
    /// How often each server is asked.
    pub attempts: u32,
    /// Whether the servers take turns.
    pub rotate: bool,
    /// Whether the servers, and the way to them, can be trusted with the AD bit.
    pub trust_ad: bool,
}

/// A line that can't be followed. It is skipped; the others hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ResolvConfError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: ResolvConfFault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResolvConfFault {
    /// `nameserver` without an IP address.
    AddressMalformed,
    /// The address has a zone (`%eth0`), which is not supported.
    ZoneUnsupported,
    /// One server more than [`limits::DNS_SERVERS_MAX`].
    TooManyServers,
    /// `search` or `domain` with something that is no domain name.
    DomainMalformed,
    /// One domain more than [`limits::DNS_SEARCH_MAX`].
    TooManyDomains,
    /// `ndots`, `timeout` or `attempts` without a number.
    NumberMalformed,
    /// The file goes on after [`limits::RESOLV_CONF_BYTES`]. The rest is not read.
    TooLong,
}

impl Default for ResolvConf {
    /// What an empty file means.
    fn default() -> Self {
        Self {
            servers: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            search: Vec::new(),
            ndots: 1,
            timeout: limits::DNS_TIMEOUT,
            attempts: limits::DNS_ATTEMPTS,
            rotate: false,
            trust_ad: false,
        }
    }
}

impl ResolvConf {
    /// Reads the file's text, and says which lines can't be followed. Keywords and options that
    /// mean nothing to us are passed over. Numbers are cut to what the limits allow, as other
    /// resolvers do it.
    pub fn parse(text: &str) -> (Self, Vec<ResolvConfError>) {
        let mut errors = Vec::new();
        let mut conf = Self {
            servers: Vec::new(),
            ..Self::default()
        };
        let mut length = 0;
        for (index, line) in text.lines().enumerate() {
            let mut fault = |fault| {
                errors.push(ResolvConfError {
                    line: index + 1,
                    fault,
                });
            };
            length += line.len() + 1;
            if length > limits::RESOLV_CONF_BYTES {
                fault(ResolvConfFault::TooLong);
                break;
            }
            if let Err(found) = conf.parse_line(line) {
                fault(found);
            }
        }
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        (conf, errors)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), ResolvConfFault> {
        if line.starts_with(['#', ';']) {
            return Ok(());
        }
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("nameserver") => self.add_server(words.next()),
            Some("search" | "domain") => self.set_search(words),
            Some("options") => {
                // One bad option does not void those behind it.
                let results: Vec<_> = words.map(|option| self.set_option(option)).collect();
                results.into_iter().collect()
            }
            Some(_) | None => Ok(()),
        }
    }

    fn add_server(&mut self, address: Option<&str>) -> Result<(), ResolvConfFault> {
        let address = address.ok_or(ResolvConfFault::AddressMalformed)?;
        if address.contains('%') {
            return Err(ResolvConfFault::ZoneUnsupported);
        }
        let address = address.parse();
        let address = address.map_err(|_| ResolvConfFault::AddressMalformed)?;
        if self.servers.len() == limits::DNS_SERVERS_MAX {
            return Err(ResolvConfFault::TooManyServers);
        }
        self.servers.push(address);
        Ok(())
    }

    /// The last such line holds.
    fn set_search<'a>(
        &mut self,
        words: impl Iterator<Item = &'a str>,
    ) -> Result<(), ResolvConfFault> {
        self.search.clear();
        for word in words {
            if self.search.len() == limits::DNS_SEARCH_MAX {
                return Err(ResolvConfFault::TooManyDomains);
            }
            let name = Name::parse(word).map_err(|_| ResolvConfFault::DomainMalformed)?;
            self.search.push(name);
        }
        Ok(())
    }

    fn set_option(&mut self, option: &str) -> Result<(), ResolvConfFault> {
        let number = |value: &str, max: u32| {
            let value: u32 = value
                .parse()
                .map_err(|_| ResolvConfFault::NumberMalformed)?;
            Ok(value.min(max))
        };
        match option.split_once(':') {
            None if option == "rotate" => self.rotate = true,
            None if option == "trust-ad" => self.trust_ad = true,
            Some(("ndots", value)) => self.ndots = number(value, limits::DNS_NDOTS_MAX)?,
            Some(("timeout", value)) => {
                let seconds_max = limits::DNS_TIMEOUT_MAX.as_secs() as u32;
                let seconds = number(value, seconds_max)?.max(1);
                self.timeout = Duration::from_secs(u64::from(seconds));
            }
            Some(("attempts", value)) => {
                self.attempts = number(value, limits::DNS_ATTEMPTS_MAX)?.max(1);
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

impl fmt::Display for ResolvConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            ResolvConfFault::AddressMalformed => "\"nameserver\" needs an IP address",
            ResolvConfFault::ZoneUnsupported => "addresses with a zone are not supported",
            ResolvConfFault::TooManyServers => "that is one server too many",
            ResolvConfFault::DomainMalformed => "that is no domain name",
            ResolvConfFault::TooManyDomains => "that is one domain too many",
            ResolvConfFault::NumberMalformed => "the option needs a number",
            ResolvConfFault::TooLong => "the file is too long; the rest is not read",
        };
        write!(f, "line {}: {fault}", self.line)
    }
}

impl core::error::Error for ResolvConfError {}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn faults(text: &str) -> Vec<(usize, ResolvConfFault)> {
        let (_, errors) = ResolvConf::parse(text);
        errors
            .into_iter()
            .map(|error| (error.line, error.fault))
            .collect()
    }

    #[test]
    fn everything_that_matters_is_read() {
        let (conf, errors) = ResolvConf::parse(
            "# made by hand\n\
             ; really\n\
             nameserver 192.0.2.1\n\
             nameserver\t2001:db8::53   # ours\n\
             domain example.net\n\
             search example.com corp.example.com.\n\
             sortlist 130.155.160.0/255.255.240.0\n\
             options rotate timeout:3 attempts:4 ndots:2 edns0 trust-ad single-request\n",
        );
        assert_eq!(errors, []);
        let name = |text| Name::parse(text).unwrap();
        let expected = ResolvConf {
            servers: vec![
                "192.0.2.1".parse().unwrap(),
                "2001:db8::53".parse().unwrap(),
            ],
            search: vec![name("example.com"), name("corp.example.com")],
            ndots: 2,
            timeout: Duration::from_secs(3),
            attempts: 4,
            rotate: true,
            trust_ad: true,
        };
        assert_eq!(conf, expected);
    }

    #[test]
    fn empty_file_means_the_local_host() {
        let (conf, errors) = ResolvConf::parse("");
        assert_eq!((conf, errors), (ResolvConf::default(), vec![]));
    }

    #[test]
    fn faulty_lines_are_named_and_the_others_hold() {
        let text = "nameserver\nnameserver x\nnameserver fe80::1%eth0\nnameserver 192.0.2.1\n\
                    search a..b\noptions timeout:x attempts:3\n";
        assert_eq!(
            faults(text),
            [
                (1, ResolvConfFault::AddressMalformed),
                (2, ResolvConfFault::AddressMalformed),
                (3, ResolvConfFault::ZoneUnsupported),
                (5, ResolvConfFault::DomainMalformed),
                (6, ResolvConfFault::NumberMalformed),
            ]
        );
        let (conf, errors) = ResolvConf::parse(text);
        assert_eq!(conf.servers.len(), 1);
        assert_eq!(conf.attempts, 3);
        let shown = alloc::format!("{}", errors[0]);
        assert_eq!(shown, "line 1: \"nameserver\" needs an IP address");
    }

    #[test]
    fn bounds_of_servers_domains_and_length_are_kept() {
        let servers = "nameserver ::1\n".repeat(limits::DNS_SERVERS_MAX);
        assert_eq!(faults(&servers), []);
        let too_many = [(limits::DNS_SERVERS_MAX + 1, ResolvConfFault::TooManyServers)];
        assert_eq!(faults(&(servers + "nameserver ::1")), too_many);
        let domains = String::from("search") + &" a".repeat(limits::DNS_SEARCH_MAX);
        assert_eq!(faults(&domains), []);
        assert_eq!(
            faults(&(domains + " a")),
            [(1, ResolvConfFault::TooManyDomains)]
        );
        let text = "#".repeat(limits::RESOLV_CONF_BYTES - 1);
        assert_eq!(faults(&text), []);
        assert_eq!(faults(&(text + "#")), [(1, ResolvConfFault::TooLong)]);
    }

    #[test]
    fn numbers_are_cut_to_the_limits() {
        let (conf, _) = ResolvConf::parse("options timeout:999 attempts:999 ndots:999");
        assert_eq!(conf.timeout, limits::DNS_TIMEOUT_MAX);
        assert_eq!(conf.attempts, limits::DNS_ATTEMPTS_MAX);
        assert_eq!(conf.ndots, limits::DNS_NDOTS_MAX);
        let (conf, _) = ResolvConf::parse("options timeout:0 attempts:0");
        assert_eq!((conf.timeout, conf.attempts), (Duration::from_secs(1), 1));
    }

    proptest! {
        #[test]
        fn any_text_gives_servers_to_ask(
            text in "((nameserver|search|options)?\\PC{0,30}\n){0,8}",
        ) {
            let (conf, _) = ResolvConf::parse(&text);
            prop_assert!((1..=limits::DNS_SERVERS_MAX).contains(&conf.servers.len()));
        }
    }
}
