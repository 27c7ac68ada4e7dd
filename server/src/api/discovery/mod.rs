//! Set-up of mail clients: what they are told of the server by the address of a user alone.
//!
//! | client | asks | is answered by |
//! |---|---|---|
//! | Thunderbird and relatives | `/mail/config-v1.1.xml` and its well-known twin | [`autoconfig`] |
//! | Outlook | `/autodiscover/autodiscover.xml` | [`autodiscover`] |
//! | Outlook | `/autodiscover/autodiscover.json` | [`autodiscover_json`] |
//! | Apple Mail | `/email.mobileconfig` | [`mobileconfig`] |
//!
//! Nobody logs in for this, and nothing is looked up: an address that there is gets the same
//! answer as one that there is not. What is announced is under TLS, and never port 25.

mod apple;
mod json;
mod outlook;
mod request;
mod thunderbird;
mod xml;

use rmail_proto::{
    Domain,
    http::{Body, FieldName, FieldValue, Response, Status},
};

pub use self::{
    apple::mobileconfig, json::autodiscover_json, outlook::autodiscover, thunderbird::autoconfig,
};
use super::{error::ApiError, odata::Options};
use crate::{config::Config, limits};

/// What is announced of the server.
#[derive(Clone, Debug)]
pub struct Site {
    hostname: Domain,
    /// In the order of the configuration; not empty.
    domains: Vec<Domain>,
    /// Best first.
    incoming: Vec<Server>,
    /// Best first.
    outgoing: Vec<Server>,
    /// What URLs of the API start with; `None` without one under TLS.
    api_url: Option<String>,
    /// What URLs of Autodiscover start with.
    autodiscover_url: String,
}

/// A listener that programs may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Server {
    port: u16,
    tls: ServerTls,
}

/// When TLS begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ServerTls {
    /// With the connection.
    Implicit,
    /// With STARTTLS.
    StartTls,
}

/// An address of a hosted domain; whether there is an account does not matter.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Asked {
    /// As it was written.
    address: String,
    domain: Domain,
}

impl Site {
    /// What a configuration lets be announced: listeners that are on.
    pub fn new(config: &Config) -> Self {
        let servers = |implicit: Option<std::num::NonZeroU16>, starttls| {
            let server = |tls| {
                move |port: std::num::NonZeroU16| Server {
                    port: port.get(),
                    tls,
                }
            };
            let implicit = implicit.map(server(ServerTls::Implicit));
            let starttls = Option::map(starttls, server(ServerTls::StartTls));
            implicit.into_iter().chain(starttls).collect()
        };
        let (api, host) = (&config.exchange_api, &config.hostname);
        let own_url = api.secure_port.map(|port| match port.get() {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        });
        Self {
            hostname: config.hostname.clone(),
            domains: config.domains.clone(),
            incoming: servers(config.imap.imaps_port, config.imap.port),
            outgoing: servers(config.smtp.smtps_port, config.smtp.submission_port),
            api_url: api.public_url.clone().or(own_url),
            autodiscover_url: (api.public_url.clone()).unwrap_or(format!("https://{host}")),
        }
    }

    /// `None` for a domain that is not hosted.
    fn hosted(&self, domain: &str) -> Option<&Domain> {
        let is_it = |hosted: &&Domain| hosted.as_str().eq_ignore_ascii_case(domain);
        self.domains.iter().find(is_it)
    }

    /// The address of an option.
    ///
    /// # Errors
    ///
    /// `bad_request` for what is no address, `path_not_found` for one of a foreign domain.
    fn asked(&self, address: &str) -> Result<Asked, ApiError> {
        let (address, domain) = parse_address(address)
            .ok_or_else(|| ApiError::bad_request().with_message("No mail address.".to_owned()))?;
        let domain = self.hosted(&domain).ok_or_else(ApiError::path_not_found)?;
        Ok(Asked {
            address,
            domain: domain.clone(),
        })
    }
}

/// An address, and its domain: one `@`, neither control characters nor any of `<>&"` nor blanks,
/// at most [`limits::DISCOVERY_ADDRESS_CHARS`].
fn parse_address(text: &str) -> Option<(String, String)> {
    let text = text.trim();
    let (local_part, domain) = text.split_once('@')?;
    let wrong = |c: char| c.is_control() || c.is_whitespace() || "<>&\"".contains(c);
    let is_one = !domain.contains('@') && !local_part.is_empty() && !domain.is_empty();
    let fits = text.chars().count() <= limits::DISCOVERY_ADDRESS_CHARS;
    (is_one && fits && !text.contains(wrong)).then(|| (text.to_owned(), domain.to_owned()))
}

/// The value of an option that holds an address. No address has a blank: one was a plus that was
/// not encoded.
fn address_option(options: &Options, name: &str) -> Option<String> {
    let value = options.other(name)?.trim();
    (!value.is_empty()).then(|| value.replace(' ', "+"))
}

fn respond(status: Status, content_type: &'static str, content: String) -> Response {
    Response::new(status)
        .with(
            FieldName::new("Content-Type"),
            FieldValue::from_static(content_type),
        )
        .with_body(Body::Bytes(content.into()))
}

#[cfg(test)]
mod tests;
