//! The gate of the API: which requests are let in, and what each answer carries.
//!
//! [`Service::admit`] looks at the head of a request, and at nothing beyond memory: CORS
//! preflights, hosts, the endpoint, the content's type and the token's signature are settled here.
//! What needs the store is asked by [`answer`](super::answer) afterwards.

use std::{net::IpAddr, sync::Arc};

use aws_lc_rs::hmac;
use rmail_proto::{
    Now, Secret,
    http::{self, Body, Content, Field, FieldName, FieldValue, Method, Request, Response, Status},
};

use super::{
    answer::{Caches, Pages},
    discovery::Site,
    error::{ApiError, Family, Occasion},
    exchange::{ContentKind, Exchange, Origin},
    odata::{self, Cursors, Options},
    prefer::Preferences,
    routes::{self, Matched, Router, Scope, Takes},
    token::{Claims, Tokens},
};
use crate::config::{Config, CorsOrigins};

/// What the machine puts into each response.
const NO_SNIFF: Field = (
    FieldName::new("X-Content-Type-Options"),
    FieldValue::from_static("nosniff"),
);
const STRICT_TRANSPORT: Field = (
    FieldName::new("Strict-Transport-Security"),
    FieldValue::from_static("max-age=31536000"),
);

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const REQUEST_FIELDS: &str = "Authorization, Content-Type, Accept, Prefer, ConsistencyLevel, \
    If-Match, If-None-Match, client-request-id, return-client-request-id, SdkVersion, \
    Content-Range";
const RESPONSE_FIELDS: &str = "request-id, client-request-id, Location, ETag, Retry-After, \
    Preference-Applied, WWW-Authenticate";

/// What the API is made with.
pub struct Service {
    /// The configuration.
    pub config: Arc<Config>,
    /// Makes and checks tokens.
    pub tokens: Tokens,
    /// Seals places in lists.
    pub cursors: Cursors,
    /// What mail clients are told of the server.
    pub site: Site,
    /// What was read before.
    pub caches: Arc<Caches>,
    /// What was told before.
    pub pages: Pages,
    keys: ApiKeys,
    router: Router,
}

/// The secrets of the API that are not in the configuration.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    /// Signs tokens where the configuration names no secret. The same for all processes on a
    /// `mail_root`.
    pub token_secret: Secret<String>,
    /// What must not be guessed is drawn with it. This process's own.
    pub process: Secret<[u8; 32]>,
}

/// What becomes of a request's head.
#[derive(Debug)]
pub enum Admitted {
    /// This is the answer.
    Refused(Box<Response>),
    /// It is to be carried out once its content is here.
    Wanted {
        /// The request.
        exchange: Box<Exchange>,
        /// Most bytes of content.
        bytes_max: u64,
        /// The answer when there are more.
        too_large: Box<Response>,
    },
}

impl std::fmt::Debug for Service {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Service")
    }
}

impl Service {
    /// An API with these settings.
    pub fn new(config: Arc<Config>, keys: ApiKeys) -> Self {
        let api = &config.exchange_api;
        let secret = api.token_secret.as_ref().unwrap_or(&keys.token_secret);
        Self {
            caches: Arc::default(),
            pages: Pages::default(),
            site: Site::new(&config),
            tokens: Tokens::new(
                secret,
                &api.token_secret_previous,
                &api.token_issuer,
                api.token_ttl,
                api.token_max_age,
            ),
            cursors: Cursors::new(secret.reveal().as_bytes()),
            router: Router::new(),
            config,
            keys,
        }
    }

    /// The same with other settings.
    pub fn with_config(&self, config: Arc<Config>) -> Self {
        Self {
            caches: Arc::clone(&self.caches),
            ..Self::new(config, self.keys.clone())
        }
    }

    /// Draws what nobody can guess: it depends on a key of this process and on all of `context`.
    pub fn draw(&self, context: &[&[u8]]) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.keys.process.reveal());
        let mut mac = hmac::Context::with_key(&key);
        for part in context {
            mac.update(part);
        }
        let tag = mac.sign();
        tag.as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }

    /// What a connection's machine is made with.
    pub fn machine_config(&self, is_tls: bool, seed: u64) -> http::Config {
        let limits = &self.config.exchange_api.limits;
        http::Config {
            tls: match is_tls {
                true => http::Tls::Implicit,
                false => http::Tls::Absent,
            },
            bounds: http::Bounds {
                target_bytes: limits.url_bytes.get(),
                head_bytes: limits.header_bytes.get(),
                fields: limits.header_count.get(),
                head_timeout: limits.header_timeout,
                content_timeout: limits.body_timeout,
            },
            fields: match is_tls {
                true => vec![NO_SNIFF, STRICT_TRANSPORT],
                false => vec![NO_SNIFF],
            },
            object_error_segments: &["v1.0"],
            seed,
        }
    }

    /// Bounds of a `$filter` and a `$search`.
    pub fn filter_bounds(&self) -> odata::Bounds {
        let limits = &self.config.exchange_api.limits;
        odata::Bounds {
            bytes: limits.filter_bytes.get(),
            depth: limits.filter_depth.get(),
            operands: limits.filter_operands.get(),
        }
    }

    /// Looks at the head of a request.
    pub fn admit(&self, now: Now, origin: Origin, request: &Request, seed: u64) -> Admitted {
        let allow_origin = self.allow_origin(request);
        if is_preflight(request) {
            return Admitted::Refused(Box::new(preflight(allow_origin)));
        }
        let family = routes::family(&request.target.path);
        let occasion = Occasion {
            now,
            id: request.id,
            client_id: request.client_request_id.as_deref(),
        };
        let respond = |error: ApiError| {
            let response = error.into_response(family, &occasion);
            Box::new(with_origin(response, allow_origin.clone()))
        };
        match self.examine(now, origin, request, seed) {
            Err(error) => Admitted::Refused(respond(error)),
            Ok(mut exchange) => {
                let bytes_max = self.content_max(&exchange.matched.route.takes);
                exchange.allow_origin.clone_from(&allow_origin);
                Admitted::Wanted {
                    exchange,
                    bytes_max,
                    too_large: respond(ApiError::body_too_large()),
                }
            }
        }
    }

    fn examine(
        &self,
        now: Now,
        origin: Origin,
        request: &Request,
        seed: u64,
    ) -> Result<Box<Exchange>, ApiError> {
        let (base, client, is_https) = self.place(origin, request)?;
        let method = request.method;
        let matched = self.router.find(method, &request.target.path)?;
        let query = request.target.query.clone().unwrap_or_default();
        let options = match matched.route.family {
            Family::Graph => Options::parse(&query)?,
            // Elsewhere `$` means nothing.
            Family::Native | Family::Discovery => Options::parse(&query).unwrap_or_default(),
        };
        let claims = self.authenticate(now, request, &matched)?;
        let content_kind = content_kind(request, &matched)?;
        let trusts_plain = self.config.exchange_api.allow_plain_login;
        let field = |name| request.field(name).map(str::to_owned);
        Ok(Box::new(Exchange {
            session: origin.session,
            id: request.id,
            client_id: request.client_request_id.clone(),
            method,
            matched,
            path: request.target.path.clone(),
            query,
            options,
            host: request.host.as_ref().map(|host| host.name().to_owned()),
            base,
            claims,
            preferences: Preferences::parse(request.fields_named("prefer")),
            if_match: field("if-match"),
            if_none_match: field("if-none-match"),
            content_range: field("content-range"),
            content_kind,
            client,
            takes_passwords: is_https
                || trusts_plain
                || origin.peer.is_loopback()
                || self.is_trusted(origin.peer),
            allow_origin: None,
            now,
            seed,
        }))
    }

    /// An endpoint by method and path, as a batch names it.
    ///
    /// # Errors
    ///
    /// Those of [`Router::find`].
    pub fn find(&self, method: Method, path: &str) -> Result<Matched, ApiError> {
        self.router.find(method, path)
    }

    /// Whether this host (in lower case, without port) is ours.
    pub fn is_our_host(&self, name: &str, local: Option<IpAddr>) -> bool {
        if let Some(allowed) = &self.config.exchange_api.allowed_hosts {
            return allowed.iter().any(|host| host == name);
        }
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse::<IpAddr>() {
            return local.is_none_or(|local| local.to_canonical() == address.to_canonical());
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_of_domain = |domain: &str| {
            let label = name.strip_suffix(domain).unwrap_or("?");
            ["", "mail.", "autodiscover.", "autoconfig."].contains(&label)
        };
        name == "localhost"
            || name == self.config.hostname.as_str()
            || self
                .config
                .domains
                .iter()
                .any(|domain| is_of_domain(domain.as_str()))
    }

    /// Where the request came to: what absolute URLs begin with, who asks, and whether all of it
    /// was over HTTPS.
    fn place(&self, origin: Origin, request: &Request) -> Result<(String, IpAddr, bool), ApiError> {
        let is_proxied = self.is_trusted(origin.peer);
        let forwarded = |name| request.field(name).filter(|_| is_proxied);
        let is_https = match forwarded("x-forwarded-proto") {
            Some(scheme) => scheme.eq_ignore_ascii_case("https"),
            None => origin.is_tls,
        };
        let host = match forwarded("x-forwarded-host") {
            Some(host) => http::Host::parse(host.as_bytes()),
            None => request.host.clone(),
        };
        let client = forwarded("x-forwarded-for")
            .and_then(|list| list.rsplit(',').next())
            .and_then(|last| last.trim().parse().ok())
            .unwrap_or(origin.peer);
        let discovery = routes::family(&request.target.path) == Family::Discovery;
        let is_ours = host
            .as_ref()
            .is_none_or(|host| self.is_our_host(host.name(), Some(origin.local)));
        if !is_ours && !discovery {
            return Err(ApiError::misdirected());
        }
        let scheme = if is_https { "https" } else { "http" };
        let base = match (&self.config.exchange_api.public_url, host) {
            (Some(url), _) => url.clone(),
            (None, Some(host)) => format!("{scheme}://{host}"),
            (None, None) => format!("{scheme}://{}", self.config.hostname.as_str()),
        };
        Ok((base, client, is_https))
    }

    fn is_trusted(&self, peer: IpAddr) -> bool {
        let mut proxies = self.config.exchange_api.trusted_proxies.iter();
        proxies.any(|network| network.contains(peer))
    }

    fn authenticate(
        &self,
        now: Now,
        request: &Request,
        matched: &Matched,
    ) -> Result<Option<Claims>, ApiError> {
        let token = request.authorization.as_ref().and_then(|field| {
            let (scheme, token) = field.reveal().split_once(' ')?;
            let is_bearer = scheme.eq_ignore_ascii_case("bearer");
            is_bearer.then(|| token.trim())
        });
        let is_admin_wanted = match matched.route.scope {
            Scope::Open => {
                // Who shows a good one may see more.
                return Ok(token.and_then(|token| self.tokens.verify(now.unix, token).ok()));
            }
            Scope::Mail => false,
            Scope::Admin => true,
        };
        let Some(token) = token else {
            return Err(ApiError::without_token(request.authorization.is_some()));
        };
        let claims = self.tokens.verify(now.unix, token);
        let claims = claims.map_err(|_| ApiError::without_token(true))?;
        match is_admin_wanted && !claims.subject.is_admin {
            true => Err(ApiError::authorization_denied()),
            false => Ok(Some(claims)),
        }
    }

    fn content_max(&self, takes: &Takes) -> u64 {
        let limits = &self.config.exchange_api.limits;
        let message = self.config.smtp.max_message_size.get();
        let bytes = |size: std::num::NonZeroUsize| size.get() as u64;
        match takes {
            Takes::Nothing | Takes::Json(_) => bytes(limits.json_body_bytes),
            Takes::Login(_) | Takes::Xml => bytes(limits.login_body_bytes),
            Takes::Message(_) | Takes::MessageOrMime(_) | Takes::Raw(_) => {
                // Base64, and what is around it.
                message.saturating_mul(4) / 3 + 64 * 1024
            }
            Takes::Batch(_) => bytes(limits.batch_bytes),
            Takes::Range => bytes(limits.upload_range_bytes),
        }
    }

    fn allow_origin(&self, request: &Request) -> Option<FieldValue> {
        let origin = request.field("origin")?;
        match &self.config.exchange_api.cors_origins {
            CorsOrigins::Any => Some(FieldValue::from_static("*")),
            CorsOrigins::Only(origins) => {
                let known = origins.iter().find(|known| *known == origin)?;
                FieldValue::parse(known.clone())
            }
        }
    }
}

fn is_preflight(request: &Request) -> bool {
    request.method == Method::Options
        && request.field("origin").is_some()
        && request.field("access-control-request-method").is_some()
}

fn preflight(allow_origin: Option<FieldValue>) -> Response {
    let response = Response::new(Status::NO_CONTENT);
    let Some(origin) = allow_origin else {
        return response;
    };
    let response = response
        .with(
            const { FieldName::new("Access-Control-Allow-Methods") },
            const { FieldValue::from_static(METHODS) },
        )
        .with(
            const { FieldName::new("Access-Control-Allow-Headers") },
            const { FieldValue::from_static(REQUEST_FIELDS) },
        )
        .with(
            const { FieldName::new("Access-Control-Max-Age") },
            const { FieldValue::from_static("600") },
        );
    allowing(response, origin)
}

fn allowing(response: Response, origin: FieldValue) -> Response {
    let is_one = origin.as_str() != "*";
    let response = response.with(
        const { FieldName::new("Access-Control-Allow-Origin") },
        origin,
    );
    match is_one {
        true => response.with(
            const { FieldName::new("Vary") },
            const { FieldValue::from_static("Origin") },
        ),
        false => response,
    }
}

/// Adds what a page of another origin needs to read the answer.
pub fn with_origin(response: Response, allow_origin: Option<FieldValue>) -> Response {
    let Some(origin) = allow_origin else {
        return response;
    };
    let response = allowing(response, origin);
    response.with(
        const { FieldName::new("Access-Control-Expose-Headers") },
        const { FieldValue::from_static(RESPONSE_FIELDS) },
    )
}

/// What the content is, if it may be that.
fn content_kind(request: &Request, matched: &Matched) -> Result<ContentKind, ApiError> {
    if request
        .field("content-encoding")
        .is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity"))
    {
        return Err(ApiError::unsupported_media_type());
    }
    let named = request.field("content-type").unwrap_or_default();
    let named = named.split(';').next().unwrap_or_default().trim();
    let kind = match named.to_ascii_lowercase().as_str() {
        "" | "application/json" => ContentKind::Json,
        "text/plain" => ContentKind::Text,
        "application/x-www-form-urlencoded" => ContentKind::Form,
        _ => ContentKind::Other,
    };
    let is_empty = matches!(request.content, Content::Absent | Content::Length(0));
    let fits = match matched.route.takes {
        Takes::Nothing | Takes::Range | Takes::Xml => true,
        Takes::Login(_) => matches!(kind, ContentKind::Json | ContentKind::Form),
        Takes::MessageOrMime(_) => matches!(kind, ContentKind::Json | ContentKind::Text),
        Takes::Json(_) | Takes::Message(_) | Takes::Raw(_) | Takes::Batch(_) => {
            kind == ContentKind::Json
        }
    };
    match fits || is_empty {
        true => Ok(kind),
        false => Err(ApiError::unsupported_media_type()),
    }
}

/// A response without content.
pub fn empty(status: Status) -> Response {
    Response::new(status).with_body(Body::Empty)
}
