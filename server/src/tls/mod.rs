//! TLS set-up: which certificate, and what rustls is told.
//!
//! TLS 1.2 and 1.3, by rustls with aws-lc-rs, which is always named: with a second provider
//! linked, rustls' default would panic.

mod client;
mod error;
mod inspection;
mod pair;
mod pinned;
mod self_signed;

use std::{os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use rmail_proto::{DateTime, UnixTime};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};

use self::pair::{Facts, Pair};
pub use self::{
    client::{AnyCertificate, ClientTls},
    error::TlsError,
    inspection::{Inspection, inspect},
    pinned::{OTHER_CERTIFICATE, pinned},
};
use crate::{
    config::{Config, Tls},
    limits,
};

/// What all listeners serve with.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For rustls; sessions share it.
    pub config: Arc<ServerConfig>,
    /// When the certificate ends.
    pub not_after: UnixTime,
    /// What an operator should know: the certificate has ended, is for another name, and so on.
    pub warnings: Vec<String>,
    /// Why a new self-signed certificate was made, if one was.
    pub renewed: Option<String>,
}

impl ServerTls {
    /// Loads the operator's certificate, or the self-signed one in `{mail_root}/tls/`, which is
    /// made when it is missing, damaged, near its end, or for another host name.
    ///
    /// # Errors
    ///
    /// Each says which file, why, and what to do.
    pub fn load_or_create(config: &Config, now: UnixTime) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (pair, warnings, renewed) = match &config.tls {
            Tls::Files {
                cert_file,
                key_file,
            } => {
                let (pair, warnings) = load_files(
                    cert_file,
                    key_file,
                    config.hostname.as_str(),
                    now,
                    &provider,
                )?;
                (pair, warnings, None)
            }
            Tls::SelfSigned => {
                let (pair, renewed) = self_signed::load_or_make(config, now, &provider)?;
                (pair, Vec::new(), renewed)
            }
        };
        let not_after = pair.facts.not_after;
        let resolver = Arc::new(SingleCertAndKey::from(pair.certified));
        let server_config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("aws-lc-rs has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Ok(Self {
            config: Arc::new(server_config),
            not_after,
            warnings,
            renewed,
        })
    }
}

impl ServerTls {
    /// For port 25: the same, but no session is resumed and no ticket given out. Other servers
    /// connect rarely, and a ticket would only link what they send.
    pub fn without_tickets(&self) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.config);
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Arc::new(config)
    }
}

/// Looks at the operator's certificate without making anything; the warnings are for people.
///
/// # Errors
///
/// Each says which file, why, and what to do.
pub fn check(config: &Config, now: UnixTime) -> Result<Vec<String>, TlsError> {
    match &config.tls {
        Tls::SelfSigned => Ok(Vec::new()),
        Tls::Files {
            cert_file,
            key_file,
        } => {
            let provider = aws_lc_rs::default_provider();
            let hostname = config.hostname.as_str();
            let (_pair, warnings) = load_files(cert_file, key_file, hostname, now, &provider)?;
            Ok(warnings)
        }
    }
}

fn load_files(
    cert_file: &Path,
    key_file: &Path,
    hostname: &str,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(Pair, Vec<String>), TlsError> {
    let pair = Pair::load(cert_file, key_file, provider)?;
    let mut warnings = date_warnings(&pair.facts, cert_file, now);
    let cert = cert_file.display();
    if !pair.facts.covers(hostname) {
        let names = match pair.facts.dns_names.is_empty() {
            true => "no host name".to_owned(),
            false => pair.facts.dns_names.join(", "),
        };
        warnings.push(format!(
            "the certificate in {cert} is for {names}, not for hostname ({hostname}): clients \
             that connect to {hostname} will refuse it"
        ));
    }
    if is_open_to_others(key_file) {
        let key = key_file.display();
        warnings.push(format!(
            "{key} can be read by every user: run \"chmod 600 {key}\""
        ));
    }
    Ok((pair, warnings))
}

fn date_warnings(facts: &Facts, cert_file: &Path, now: UnixTime) -> Vec<String> {
    let cert = cert_file.display();
    let date = |time| DateTime::utc(time).rfc3339().to_string();
    let warning_at = facts.not_after.0 - limits::CERTIFICATE_END_WARNING.as_secs() as i64;
    let mut warnings = Vec::new();
    if now < facts.not_before {
        let begin = date(facts.not_before);
        warnings.push(format!(
            "the certificate in {cert} is good from {begin} on only"
        ));
    }
    let end = date(facts.not_after);
    if now > facts.not_after {
        warnings.push(format!(
            "the certificate in {cert} has expired at {end}: put a new one there"
        ));
    } else if now.0 >= warning_at {
        warnings.push(format!("the certificate in {cert} ends soon, at {end}"));
    }
    warnings
}

/// Whether users beyond owner and group may read a file.
fn is_open_to_others(path: &Path) -> bool {
    let metadata = std::fs::metadata(path);
    metadata.is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests;
