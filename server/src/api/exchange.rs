//! One request, as those see it who carry it out.

use std::net::IpAddr;

use rmail_proto::{
    Now,
    http::{FieldValue, Method, RequestId},
};

use super::{
    odata::Options,
    prefer::Preferences,
    routes::{Matched, Param, RouteName},
    token::Claims,
};
use crate::session::SessionId;

/// How a request came.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The connection, for the log.
    pub session: SessionId,
    /// Whose connection it is.
    pub peer: IpAddr,
    /// Which of our addresses it came to.
    pub local: IpAddr,
    /// Whether it came over TLS.
    pub is_tls: bool,
}

/// What the content of a request is, by its `Content-Type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ContentKind {
    /// JSON, or nothing said.
    Json,
    /// `text/plain`: MIME in base64.
    Text,
    /// `application/x-www-form-urlencoded`
    Form,
    /// Anything else.
    Other,
}

/// A request that was let in: where it goes, who asks, and how the answer is to be.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The connection, for the log.
    pub session: SessionId,
    /// The request's name.
    pub id: RequestId,
    /// What the client calls it.
    pub client_id: Option<String>,
    /// Its method.
    pub method: Method,
    /// The endpoint.
    pub matched: Matched,
    /// The path as it came.
    pub path: String,
    /// The query as it came.
    pub query: String,
    /// The query's options.
    pub options: Options,
    /// The host that was asked, in lower case, without port.
    pub host: Option<String>,
    /// What absolute URLs begin with, without a final slash.
    pub base: String,
    /// What the token says; none where none is needed.
    pub claims: Option<Claims>,
    /// `Prefer`
    pub preferences: Preferences,
    /// `If-Match`
    pub if_match: Option<String>,
    /// `If-None-Match`
    pub if_none_match: Option<String>,
    /// `Content-Range`
    pub content_range: Option<String>,
    /// Of its content.
    pub content_kind: ContentKind,
    /// The client's address, as far as proxies are trusted.
    pub client: IpAddr,
    /// Whether a password may be sent this way.
    pub takes_passwords: bool,
    /// `Access-Control-Allow-Origin` of the answer.
    pub allow_origin: Option<FieldValue>,
    /// When it came.
    pub now: Now,
    /// Fresh randomness.
    pub seed: u64,
}

impl Exchange {
    /// Whether it proves who somebody is by a password.
    pub fn is_login(&self) -> bool {
        matches!(
            self.matched.route.name,
            RouteName::Login | RouteName::TokenGrant | RouteName::ChangePassword
        )
    }

    /// Whether carrying it out burns the processor: a password is hashed.
    pub fn checks_password(&self) -> bool {
        matches!(
            self.matched.route.name,
            RouteName::Login
                | RouteName::TokenGrant
                | RouteName::ChangePassword
                | RouteName::CreateNativeUser
                | RouteName::UpdateNativeUser
        )
    }

    /// What the path says in this place; empty where it says nothing.
    pub fn param(&self, param: Param) -> &str {
        self.matched.param(param).unwrap_or_default()
    }
}
