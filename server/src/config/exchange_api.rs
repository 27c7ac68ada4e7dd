//! `exchange_api.*`: the HTTP API.

use std::{
    net::IpAddr,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    time::Duration,
};

use rmail_proto::Secret;

use super::{
    Network, rate_limit::NETWORK_EXPECTED, read_count, read_host, read_non_zero, read_port,
    read_seconds, read_size, section::Section,
};

/// The HTTP API's settings.
#[derive(Clone, Debug)]
pub struct ExchangeApi {
    /// Where both HTTP listeners bind.
    pub host: IpAddr,
    /// HTTP; `None` (0 in the file): this listener is off.
    pub port: Option<NonZeroU16>,
    /// HTTPS; `None`: off.
    pub secure_port: Option<NonZeroU16>,
    /// The key that tokens are signed with; `None`: made at the first start and kept in
    /// `{mail_root}/secrets/`.
    pub token_secret: Option<Secret<String>>,
    /// Keys that still verify tokens, and sign none.
    pub token_secret_previous: Vec<Secret<String>>,
    /// The `iss` claim.
    pub token_issuer: String,
    /// How long a token is good for.
    pub token_ttl: Duration,
    /// How long a token may be refreshed after its login; never less than `token_ttl`.
    pub token_max_age: Duration,
    /// What absolute URLs start with, without a final slash; `None`: what the request named.
    pub public_url: Option<String>,
    /// Hosts that requests may name, in lower case; `None`: the server's own names.
    pub allowed_hosts: Option<Vec<String>>,
    /// Whose `X-Forwarded-*` fields count.
    pub trusted_proxies: Vec<Network>,
    /// Whether a login may come over plain HTTP from anywhere.
    pub allow_plain_login: bool,
    /// Whose pages may call.
    pub cors_origins: CorsOrigins,
    /// URL prefixes that change notifications may go to although they are not public.
    pub notification_targets: Vec<String>,
    /// `exchange_api.limits`
    pub limits: HttpLimits,
}

/// Which origins (RFC 6454) a browser's page may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CorsOrigins {
    /// `*` is in the list.
    Any,
    /// These, exactly; none when empty.
    Only(Vec<String>),
}

/// Bounds of the HTTP API: `exchange_api.limits.*`. What the SMTP settings bound (message size,
/// recipients) is bounded there.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Request line and header fields.
    pub header_bytes: NonZeroUsize,
    /// Header fields.
    pub header_count: NonZeroUsize,
    /// The request target.
    pub url_bytes: NonZeroUsize,
    /// A JSON body.
    pub json_body_bytes: NonZeroUsize,
    /// A body of a login or discovery request.
    pub login_body_bytes: NonZeroUsize,
    /// One range of an upload.
    pub upload_range_bytes: NonZeroUsize,
    /// The text of `$filter`.
    pub filter_bytes: NonZeroUsize,
    /// Parentheses within each other in `$filter`.
    pub filter_depth: NonZeroUsize,
    /// Operands of `$filter`.
    pub filter_operands: NonZeroUsize,
    /// Requests of one batch.
    pub batch_requests: NonZeroUsize,
    /// The body of one batch.
    pub batch_bytes: NonZeroUsize,
    /// Waiting for a request's head.
    pub header_timeout: Duration,
    /// Waiting for more of a body.
    pub body_timeout: Duration,
    /// Requests of one token in a minute.
    pub requests_per_minute: NonZeroU32,
    /// Requests of one token at a time.
    pub requests_at_once: NonZeroU32,
    /// Connections of one IP address at a time.
    pub connections_per_ip: NonZeroUsize,
    /// Subscriptions to change notifications of one mailbox.
    pub subscriptions_per_mailbox: NonZeroUsize,
    /// Open upload sessions of one mailbox.
    pub uploads_per_mailbox: NonZeroUsize,
    /// Bytes of all open upload sessions of one mailbox.
    pub upload_bytes_per_mailbox: NonZeroU64,
}

/// Shorter secrets can be guessed, or found by trial.
const SECRET_BYTES_MIN: usize = 32;
/// Texts that stand in examples, and are no secrets.
const PLACEHOLDERS: [&str; 9] = [
    "secret",
    "changeme",
    "change-me",
    "change_me",
    "password",
    "token_secret",
    "your-secret-key",
    "auto-generated",
    "xxx",
];
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const DAY_SECONDS: u64 = 24 * 60 * 60;

impl ExchangeApi {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let api = Self {
            host: read_host(s),
            port: read_port(s, "port", 9002),
            secure_port: read_port(s, "secure_port", 9003),
            token_secret: read_token_secret(s),
            token_secret_previous: read_previous_secrets(s),
            token_issuer: s.parsed("token_issuer", "rmail".to_owned(), "a text", parse_issuer),
            token_ttl: read_seconds(s, "token_ttl", 3600, 365 * DAY_SECONDS),
            token_max_age: read_seconds(s, "token_max_age", 30 * DAY_SECONDS, 3650 * DAY_SECONDS),
            public_url: s.optional("public_url", "a URL: https://mail.example.com", |text| {
                parse_url(text.strip_suffix('/').unwrap_or(text))
            }),
            allowed_hosts: s.optional_list("allowed_hosts", "a host name", parse_host),
            trusted_proxies: s.list(
                "trusted_proxies",
                Vec::new(),
                NETWORK_EXPECTED,
                Network::parse,
            ),
            allow_plain_login: s.boolean("allow_plain_login", false),
            cors_origins: read_cors_origins(s),
            notification_targets: s.list(
                "notification_targets",
                Vec::new(),
                "a URL: http://127.0.0.1:8080/",
                parse_url,
            ),
            limits: HttpLimits::read(s.section("limits")),
        };
        if api.token_max_age < api.token_ttl {
            let (path, found) = (s.path("token_max_age"), api.token_max_age.as_secs());
            let expected = format!("token_ttl ({}) or more", api.token_ttl.as_secs());
            s.report().fault(path, found.to_string(), &expected);
        }
        section.close();
        api
    }
}

impl HttpLimits {
    fn read(mut section: Section<'_>) -> Self {
        let s = &mut section;
        let bytes = |s: &mut Section<'_>, key, default: u64| {
            read_size(
                s,
                key,
                default,
                u32::try_from(256 * MIB).expect("it is less than 4 GiB"),
            )
        };
        let limits = Self {
            header_bytes: bytes(s, "header_bytes", 32 * KIB),
            header_count: read_size(s, "header_count", 100, 10_000),
            url_bytes: bytes(s, "url_bytes", 16 * KIB),
            json_body_bytes: bytes(s, "json_body_bytes", 4 * MIB),
            login_body_bytes: bytes(s, "login_body_bytes", 64 * KIB),
            upload_range_bytes: bytes(s, "upload_range_bytes", 8 * MIB),
            filter_bytes: bytes(s, "filter_bytes", 8 * KIB),
            filter_depth: read_size(s, "filter_depth", 32, 256),
            filter_operands: read_size(s, "filter_operands", 200, 10_000),
            batch_requests: read_size(s, "batch_requests", 20, 1000),
            batch_bytes: bytes(s, "batch_bytes", 4 * MIB),
            header_timeout: read_seconds(s, "header_timeout", 10, 3600),
            body_timeout: read_seconds(s, "body_timeout", 30, 3600),
            requests_per_minute: read_count(s, "requests_per_minute", 1200, 1_000_000),
            requests_at_once: read_count(s, "requests_at_once", 8, 10_000),
            connections_per_ip: read_size(s, "connections_per_ip", 100, 1_000_000),
            subscriptions_per_mailbox: read_size(s, "subscriptions_per_mailbox", 100, 10_000),
            uploads_per_mailbox: read_size(s, "uploads_per_mailbox", 16, 10_000),
            upload_bytes_per_mailbox: read_non_zero(
                s,
                "upload_bytes_per_mailbox",
                512 * MIB,
                MIB * MIB,
            ),
        };
        section.close();
        limits
    }
}

fn read_token_secret(section: &mut Section<'_>) -> Option<Secret<String>> {
    let secret = section.secret("token_secret", check_secret)?;
    if secret.len() < SECRET_BYTES_MIN {
        let text = format!(
            "{} bytes can be found by trial: write {SECRET_BYTES_MIN} random ones or more \
             (openssl rand -base64 32), or null to have one made",
            secret.len()
        );
        let path = section.path("token_secret");
        section.report().warning(path, text);
    }
    Some(Secret::new(secret))
}

fn read_previous_secrets(section: &mut Section<'_>) -> Vec<Secret<String>> {
    let expected = "a secret that token_secret was before: no empty text, no placeholder";
    section.list("token_secret_previous", Vec::new(), expected, |text| {
        check_secret(text)
            .is_ok()
            .then(|| Secret::new(text.to_owned()))
    })
}

/// What is wrong with a secret, if anything. The secret itself is not shown.
fn check_secret(secret: &str) -> Result<(), String> {
    let known = secret.trim().to_ascii_lowercase();
    match known.as_str() {
        "" => Err("an empty text".to_owned()),
        text if PLACEHOLDERS.contains(&text) => {
            Err("a placeholder that anyone can guess".to_owned())
        }
        _ => Ok(()),
    }
}

fn read_cors_origins(section: &mut Section<'_>) -> CorsOrigins {
    let expected = "\"*\" or an origin such as https://webmail.example.com";
    let origins = section.list(
        "cors_origins",
        vec!["*".to_owned()],
        expected,
        |text| match text {
            "*" => Some(text.to_owned()),
            text => parse_origin(text),
        },
    );
    match origins.iter().any(|origin| origin == "*") {
        true => CorsOrigins::Any,
        false => CorsOrigins::Only(origins),
    }
}

fn parse_issuer(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn parse_host(text: &str) -> Option<String> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '/';
    (!text.is_empty() && !text.contains(wrong)).then(|| text.to_ascii_lowercase())
}

/// An absolute http or https URL without query and fragment.
fn parse_url(text: &str) -> Option<String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))?;
    let host = rest.split('/').next().unwrap_or_default();
    let wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@');
    (!host.is_empty() && !rest.contains(wrong)).then(|| text.to_owned())
}

/// A scheme, a host and perhaps a port, without a final slash.
fn parse_origin(text: &str) -> Option<String> {
    let (scheme, host) = text.split_once("://")?;
    let valid = !scheme.is_empty() && parse_host(host).is_some();
    valid.then(|| text.to_ascii_lowercase())
}
