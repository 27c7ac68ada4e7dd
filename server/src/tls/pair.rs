//! A certificate chain and its key, as they stand in two PEM files.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use rmail_proto::UnixTime;
use rustls::{
    InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};
use zeroize::Zeroizing;

use super::TlsError;
use crate::{limits, outside::privileges};

/// A pair that fits.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// What the first certificate says.
    pub(super) facts: Facts,
}

/// What matters of a certificate.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
    /// The common name of its subject.
    pub(super) common_name: Option<String>,
    /// The host names it is for, in lower case, as they stand there (`*.example.com`).
    pub(super) dns_names: Vec<String>,
}

impl Pair {
    /// Reads both files.
    pub(super) fn load(
        cert_file: &Path,
        key_file: &Path,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsError> {
        let path = || cert_file.to_owned();
        let pem = read_pem(cert_file)?;
        let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| TlsError::BadCertificate {
            path: path(),
            cause: error.to_string(),
        })?;
        let Some(first) = chain.first() else {
            return Err(TlsError::NoCertificate { path: path() });
        };
        let facts = Facts::parse(first).map_err(|cause| TlsError::BadCertificate {
            path: path(),
            cause,
        })?;
        let pem = read_pem(key_file)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| TlsError::NoKey {
            path: key_file.to_owned(),
            cause: error.to_string(),
        })?;
        let certified = CertifiedKey::from_der(chain, key, provider);
        let certified = certified.map_err(|error| key_error(&error, cert_file, key_file))?;
        Ok(Self {
            certified: Arc::new(certified),
            facts,
        })
    }
}

impl Facts {
    fn parse(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let parsed = X509Certificate::from_der(certificate);
        let (_, certificate) = parsed.map_err(|error| error.to_string())?;
        let names = certificate.subject_alternative_name();
        let names = names.map_err(|error| error.to_string())?;
        let names = names.map_or(&[][..], |extension| &extension.value.general_names);
        let dns_names = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let common_name = certificate.subject().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok());
        Ok(Self {
            not_before: UnixTime(certificate.validity().not_before.timestamp()),
            not_after: UnixTime(certificate.validity().not_after.timestamp()),
            common_name: common_name.map(str::to_owned),
            dns_names: dns_names.collect(),
        })
    }

    /// Whether the certificate is for this name (RFC 6125 §6.4.3: a `*` stands for one label).
    pub(super) fn covers(&self, hostname: &str) -> bool {
        self.dns_names
            .iter()
            .any(|name| match name.strip_prefix("*.") {
                Some(parent) => hostname
                    .split_once('.')
                    .is_some_and(|(_, rest)| rest == parent),
                None => name == hostname,
            })
    }
}

fn read_pem(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let unreadable = |cause: io::Error| TlsError::Unreadable {
        path: PathBuf::from(path),
        remedy: match cause.kind() {
            io::ErrorKind::PermissionDenied => privileges::reading_remedy(path),
            _ => "check tls.cert_file and tls.key_file".to_owned(),
        },
        cause,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut pem = Zeroizing::new(Vec::new());
    file.take(limits::PEM_BYTES + 1)
        .read_to_end(&mut pem)
        .map_err(unreadable)?;
    match pem.len() as u64 > limits::PEM_BYTES {
        true => Err(TlsError::TooLarge {
            path: path.to_owned(),
        }),
        false => Ok(pem),
    }
}

/// Whose fault an error of rustls is.
fn key_error(error: &rustls::Error, cert_file: &Path, key_file: &Path) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
        },
        rustls::Error::InvalidCertificate(_) => TlsError::BadCertificate {
            path: cert_file.to_owned(),
            cause: error.to_string(),
        },
        _ => TlsError::BadKey {
            path: key_file.to_owned(),
            cause: error.to_string(),
        },
    }
}
