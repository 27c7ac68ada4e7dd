//! The configuration: `config.json`, parsed once into values that need no further checks.
//!
//! Reading takes two steps. `raw` is the JSON as it stands; [`Config::load`] asks it for every key
//! by name, with its default and its bounds. All faults are found in one run, each with its path;
//! a file with any fault gives no configuration at all.

mod exchange_api;
mod fault;
mod log;
mod network;
mod rate_limit;
mod raw;
mod relay;
mod section;

use std::{
    net::IpAddr,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    path::{Component, Path, PathBuf},
    time::Duration,
};

use rmail_proto::Domain;

pub use self::{
    exchange_api::{CorsOrigins, ExchangeApi, HttpLimits},
    fault::{Fault, Faults, Warning},
    log::{LogFormat, LogLevel},
    network::Network,
    rate_limit::RateLimit,
    relay::{DomainRoute, PeerHost, Relay, RelayTls, Smarthost, Via},
};
use self::{
    raw::Raw,
    section::{Report, Section},
};

/// The name that stands in a new configuration, and that an operator must replace.
pub const HOSTNAME_DEFAULT: &str = "mail.example.com";

/// Everything an operator can set.
#[derive(Clone, Debug)]
pub struct Config {
    /// `hostname`: the server's name in banners, Received fields and the certificate.
    pub hostname: Domain,
    /// `mail_root`: the folder of all mail, accounts and certificates; absolute when the
    /// configuration's own folder is.
    pub mail_root: PathBuf,
    /// `domains`: what mail is accepted for. Never empty, no repetitions, in the order given.
    pub domains: Vec<Domain>,
    /// `user`: as whom the server works when root has started it; `None`: as root. Whether the
    /// machine knows the name is seen at the start.
    pub user: Option<String>,
    /// `log_level`: the least important messages that are logged.
    pub log_level: LogLevel,
    /// `log_format`: what a line of the log looks like.
    pub log_format: LogFormat,
    /// `smtp`
    pub smtp: Smtp,
    /// `imap`
    pub imap: Imap,
    /// `exchange_api`
    pub exchange_api: ExchangeApi,
    /// `tls`
    pub tls: Tls,
    /// `delivery`
    pub delivery: Delivery,
    /// `rate_limit`
    pub rate_limit: RateLimit,
    /// `relay`
    pub relay: Relay,
}

/// `smtp.*`
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Where all SMTP listeners bind.
    pub host: IpAddr,
    /// Mail from other servers; `None` (0 in the file): this listener is off.
    pub port: Option<NonZeroU16>,
    /// Submission with STARTTLS; `None`: off.
    pub submission_port: Option<NonZeroU16>,
    /// Submission with implicit TLS; `None`: off.
    pub smtps_port: Option<NonZeroU16>,
    /// Largest message in bytes, as the SIZE extension says it (RFC 1870).
    pub max_message_size: NonZeroU64,
    /// Recipients of one mail transaction; one more gets 452.
    pub max_recipients: NonZeroU32,
    /// Connections at a time, all SMTP listeners together.
    pub max_connections: NonZeroUsize,
    /// Messages of one connection; one more gets 421.
    pub max_messages_per_connection: NonZeroU32,
}

/// `imap.*`
#[derive(Clone, Debug)]
pub struct Imap {
    /// Where both IMAP listeners bind.
    pub host: IpAddr,
    /// Cleartext with STARTTLS; `None` (0 in the file): this listener is off.
    pub port: Option<NonZeroU16>,
    /// Implicit TLS; `None`: off.
    pub imaps_port: Option<NonZeroU16>,
    /// Connections at a time, both listeners together.
    pub max_connections: NonZeroUsize,
}

/// `tls.*`: both paths, or neither.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tls {
    /// A certificate is made in `{mail_root}/tls/`.
    SelfSigned,
    /// The operator's own.
    Files {
        /// `tls.cert_file`: the chain in PEM, the server's own certificate first.
        cert_file: PathBuf,
        /// `tls.key_file`: its private key in PEM.
        key_file: PathBuf,
    },
}

/// `delivery.*`
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Deliveries that may run at a time.
    pub workers: NonZeroUsize,
}

impl Config {
    /// Reads a configuration; `folder` is that of its file, against which relative paths resolve.
    ///
    /// A missing key takes its default; an unknown key is a warning.
    ///
    /// # Errors
    ///
    /// Every fault: syntax (with line and column), types, ranges, contradictions.
    pub fn load(text: &str, folder: &Path) -> Result<(Self, Vec<Warning>), Faults> {
        let (result, _known) = Self::load_with_known(text, folder);
        result
    }

    /// The configuration that an empty file stands for.
    pub fn default_in(folder: &Path) -> Self {
        let (config, _warnings) = Self::load("{}", folder).expect("the defaults have no fault");
        config
    }

    /// What a new `config.json` says: every key at its default.
    pub fn default_json() -> &'static str {
        include_str!("../../../config.example.json")
    }

    /// Whether mail for this domain is kept here.
    pub fn hosts(&self, domain: &Domain) -> bool {
        self.domains.contains(domain)
    }

    /// As [`load`](Self::load), with the paths of all keys that there are.
    #[expect(clippy::type_complexity)]
    fn load_with_known(
        text: &str,
        folder: &Path,
    ) -> (Result<(Self, Vec<Warning>), Faults>, Vec<String>) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let raw: Raw = match serde_json::from_str(text) {
            Ok(raw) => raw,
            Err(error) => return (Err(syntax_fault(&error)), Vec::new()),
        };
        let mut report = Report::default();
        let config = Self::read(&raw, folder, &mut report);
        let (warnings, known) = report.finish();
        (warnings.map(|warnings| (config, warnings)), known)
    }

    fn read(raw: &Raw, folder: &Path, report: &mut Report) -> Self {
        let mut top = Section::top(raw, report);
        let domain = |text: &str| Domain::parse(text).expect("a default domain is well formed");
        let hostname = domain(HOSTNAME_DEFAULT);
        let domains = vec![domain("example.com")];
        let config = Self {
            hostname: top.parsed("hostname", hostname, HOSTNAME_EXPECTED, parse_host_name),
            mail_root: top.parsed("mail_root", folder.join("mailstore"), "a path", |text| {
                parse_path(text, folder)
            }),
            domains: read_domains(&mut top, domains),
            user: top.optional("user", USER_EXPECTED, parse_user),
            log_level: top.parsed(
                "log_level",
                LogLevel::Info,
                "DEBUG, INFO, WARNING, ERROR or CRITICAL",
                LogLevel::parse,
            ),
            log_format: top.parsed(
                "log_format",
                LogFormat::Text,
                "text or json",
                LogFormat::parse,
            ),
            smtp: Smtp::read(top.section("smtp")),
            imap: Imap::read(top.section("imap")),
            exchange_api: ExchangeApi::read(top.section("exchange_api")),
            tls: Tls::read(top.section("tls"), folder),
            delivery: Delivery::read(top.section("delivery")),
            rate_limit: RateLimit::read(top.section("rate_limit")),
            relay: Relay::read(top.section("relay")),
        };
        config.check_ports(top.report());
        top.close();
        config
    }

    /// Notes listeners that want the same port of the same address.
    fn check_ports(&self, report: &mut Report) {
        let (smtp, imap, api) = (&self.smtp, &self.imap, &self.exchange_api);
        let listeners = [
            ("smtp.port", smtp.host, smtp.port),
            ("smtp.submission_port", smtp.host, smtp.submission_port),
            ("smtp.smtps_port", smtp.host, smtp.smtps_port),
            ("imap.port", imap.host, imap.port),
            ("imap.imaps_port", imap.host, imap.imaps_port),
            ("exchange_api.port", api.host, api.port),
            ("exchange_api.secure_port", api.host, api.secure_port),
        ];
        for (index, (path, host, port)) in listeners.into_iter().enumerate() {
            let Some(port) = port else { continue };
            let taken = listeners[..index]
                .iter()
                .find(|(_, other_host, other_port)| {
                    let overlaps =
                        *other_host == host || other_host.is_unspecified() || host.is_unspecified();
                    *other_port == Some(port) && overlaps
                });
            if let Some((taken_by, _, _)) = taken {
                let found = format!("{port}, which {taken_by} has too");
                report.fault(path.to_owned(), found, "a port of its own");
            }
        }
    }
}

impl Smtp {
    fn read(mut section: Section<'_>) -> Self {
        let smtp = Self {
            host: read_host(&mut section),
            port: read_port(&mut section, "port", 25),
            submission_port: read_port(&mut section, "submission_port", 587),
            smtps_port: read_port(&mut section, "smtps_port", 465),
            // RFC822.SIZE is a 32-bit number (RFC 3501 §9).
            max_message_size: read_non_zero(
                &mut section,
                "max_message_size",
                50 * 1024 * 1024,
                u64::from(u32::MAX),
            ),
            max_recipients: read_count(&mut section, "max_recipients", 50, 10_000),
            max_connections: read_size(&mut section, "max_connections", 100, 1_000_000),
            max_messages_per_connection: read_count(
                &mut section,
                "max_messages_per_connection",
                50,
                1_000_000,
            ),
        };
        section.close();
        smtp
    }
}

impl Imap {
    fn read(mut section: Section<'_>) -> Self {
        let imap = Self {
            host: read_host(&mut section),
            port: read_port(&mut section, "port", 143),
            imaps_port: read_port(&mut section, "imaps_port", 993),
            max_connections: read_size(&mut section, "max_connections", 100, 1_000_000),
        };
        section.close();
        imap
    }
}

impl Tls {
    fn read(mut section: Section<'_>, folder: &Path) -> Self {
        let parse = |text: &str| parse_path(text, folder);
        let cert_file = section.optional("cert_file", "a path", parse);
        let key_file = section.optional("key_file", "a path", parse);
        for (set, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if section.is_set(set) && !section.is_set(missing) {
                let path = section.path(missing);
                let expected = format!(
                    "a path, as {} is set (both, or neither for a self-signed certificate)",
                    section.path(set)
                );
                section.report().fault(path, "nothing", &expected);
            }
        }
        section.close();
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => Self::Files {
                cert_file,
                key_file,
            },
            (Some(_) | None, None) | (None, Some(_)) => Self::SelfSigned,
        }
    }
}

impl Delivery {
    fn read(mut section: Section<'_>) -> Self {
        let delivery = Self {
            workers: read_size(&mut section, "workers", 4, 1024),
        };
        section.close();
        delivery
    }
}

/// What `hostname` should be.
const HOSTNAME_EXPECTED: &str = "this server's full name, such as mail.example.com";

/// What `user` should be.
const USER_EXPECTED: &str = "the name of a user of this machine, such as rmail";

/// What an item of `domains` should be.
const DOMAIN_EXPECTED: &str = "a domain name, such as example.com";

fn syntax_fault(error: &serde_json::Error) -> Faults {
    let text = error.to_string();
    let found = match text.rsplit_once(" at line ") {
        Some((found, _place)) => found.to_owned(),
        None => text,
    };
    Faults(vec![Fault {
        path: format!("line {}, column {}", error.line(), error.column()),
        found,
        expected: "JSON".to_owned(),
    }])
}

fn read_domains(top: &mut Section<'_>, default: Vec<Domain>) -> Vec<Domain> {
    let given = top.list("domains", default, DOMAIN_EXPECTED, parse_host_name);
    if given.is_empty() {
        // Items that are no domains have been noted already; an empty list has not.
        if top.is_empty_list("domains") {
            let path = top.path("domains");
            top.report()
                .fault(path, "an empty list", "at least one domain");
        }
        return given;
    }
    let mut domains = Vec::with_capacity(given.len());
    for domain in given {
        if !domains.contains(&domain) {
            domains.push(domain);
        }
    }
    domains
}

fn read_host(section: &mut Section<'_>) -> IpAddr {
    let default = IpAddr::from([0, 0, 0, 0]);
    let expected = "an IP address to bind, such as 0.0.0.0, 127.0.0.1 or ::";
    section.parsed("host", default, expected, |text| text.parse().ok())
}

/// A port; 0 turns the listener off.
fn read_port(section: &mut Section<'_>, key: &'static str, default: u16) -> Option<NonZeroU16> {
    let port = section.integer(key, u64::from(default), 0..=u64::from(u16::MAX));
    NonZeroU16::new(u16::try_from(port).expect("the range was checked"))
}

fn read_count(section: &mut Section<'_>, key: &'static str, default: u64, most: u32) -> NonZeroU32 {
    let count = read_non_zero(section, key, default, u64::from(most));
    NonZeroU32::try_from(count).expect("the range was checked")
}

fn read_size(
    section: &mut Section<'_>,
    key: &'static str,
    default: u64,
    most: u32,
) -> NonZeroUsize {
    let size = read_non_zero(section, key, default, u64::from(most));
    NonZeroUsize::try_from(size).expect("the range was checked")
}

fn read_non_zero(
    section: &mut Section<'_>,
    key: &'static str,
    default: u64,
    most: u64,
) -> NonZeroU64 {
    let number = section.integer(key, default, 1..=most);
    NonZeroU64::new(number).expect("the range was checked")
}

/// A number of seconds.
fn read_seconds(section: &mut Section<'_>, key: &'static str, default: u64, most: u64) -> Duration {
    Duration::from_secs(section.integer(key, default, 1..=most))
}

/// A domain name; no address literal.
fn parse_host_name(text: &str) -> Option<Domain> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let domain = Domain::parse(name).ok()?;
    (!name.starts_with('[')).then_some(domain)
}

/// A name that can stand in a line of `/etc/passwd`.
fn parse_user(text: &str) -> Option<String> {
    let is_plain = |c: char| c != ':' && !c.is_control() && !c.is_whitespace();
    (!text.is_empty() && text.chars().all(is_plain)).then(|| text.to_owned())
}

fn parse_path(text: &str, folder: &Path) -> Option<PathBuf> {
    if text.is_empty() || text.contains('\0') {
        return None;
    }
    let joined = folder.join(text);
    let without_dots = joined
        .components()
        .filter(|part| *part != Component::CurDir);
    Some(without_dots.collect())
}

#[cfg(test)]
mod tests;
