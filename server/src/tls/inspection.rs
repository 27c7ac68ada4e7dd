//! The certificate as it lies on disk, looked at without making or changing anything.

use std::{path::PathBuf, sync::Arc};

use rmail_proto::UnixTime;
use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{self, CertificateDer, ServerName},
};

use super::{TlsError, is_open_to_others, pair::Pair};
use crate::config::{Config, Tls};

/// A certificate chain with the key that fits.
#[derive(Debug)]
pub struct Inspection {
    /// Where the chain is.
    pub cert_file: PathBuf,
    /// Where the key is.
    pub key_file: PathBuf,
    /// The chain, the server's own certificate first; never empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// The host names that the server's own is for.
    pub names: Vec<String>,
    /// Whether `hostname` is among them.
    pub is_for_hostname: bool,
    /// From when on it is good.
    pub not_before: UnixTime,
    /// Until when it is good.
    pub not_after: UnixTime,
    /// Whether every user of this machine may read the key.
    pub is_key_open: bool,
}

/// Looks at what the server would serve with, made by itself or not.
///
/// # Errors
///
/// Each says which file, why, and what to do.
pub fn inspect(config: &Config) -> Result<Inspection, TlsError> {
    let (cert_file, key_file) = match &config.tls {
        Tls::Files {
            cert_file,
            key_file,
        } => (cert_file.clone(), key_file.clone()),
        Tls::SelfSigned => {
            let folder = config.mail_root.join("tls");
            (folder.join("cert.pem"), folder.join("key.pem"))
        }
    };
    let pair = Pair::load(&cert_file, &key_file, &aws_lc_rs::default_provider())?;
    Ok(Inspection {
        is_for_hostname: pair.facts.covers(config.hostname.as_str()),
        is_key_open: is_open_to_others(&key_file),
        cert_file,
        key_file,
        chain: pair.certified.cert.clone(),
        names: pair.facts.dns_names,
        not_before: pair.facts.not_before,
        not_after: pair.facts.not_after,
    })
}

impl Inspection {
    /// The server's own certificate.
    pub fn own(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("a pair has a certificate")
    }

    /// Whether the roots that this machine trusts vouch for it under this name; if not, why.
    pub fn is_trusted(&self, hostname: &str, now: UnixTime) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("this machine has no roots to trust".to_owned());
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = verifier.build().map_err(|error| error.to_string())?;
        let name = ServerName::try_from(hostname).map_err(|error| error.to_string())?;
        let seconds = u64::try_from(now.0).unwrap_or_default();
        let now = pki_types::UnixTime::since_unix_epoch(core::time::Duration::from_secs(seconds));
        let verified = verifier.verify_server_cert(self.own(), &self.chain[1..], &name, &[], now);
        match verified {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                Err("its issuer is not known here, or the chain lacks a certificate".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    }
}
