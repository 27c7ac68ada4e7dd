//! A certificate of our own making, in `{mail_root}/tls/`.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rmail_proto::UnixTime;
use rustls::crypto::CryptoProvider;
use zeroize::Zeroizing;

use super::{
    TlsError,
    pair::{Facts, Pair},
};
use crate::{
    config::Config,
    limits,
    private_files::{lock, make_folder, write_durably},
};

/// Clocks of clients may be this much behind.
const BACKDATING_SECONDS: i64 = 24 * 60 * 60;

/// The pair in `{mail_root}/tls/`: the one that is there, or, when there is none, when it is for
/// another host name, damaged, or near its end, a new one. The sentence says why it is new.
///
/// Several processes may do this at once: they take turns.
pub(super) fn load_or_make(
    config: &Config,
    now: UnixTime,
    provider: &CryptoProvider,
) -> Result<(Pair, Option<String>), TlsError> {
    let folder = config.mail_root.join("tls");
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    make_folder(&folder).map_err(|cause| unwritable(&folder, cause))?;
    let lock_file = folder.join("lock");
    let _lock = lock(&lock_file).map_err(|cause| unwritable(&lock_file, cause))?;
    let reason = match Pair::load(&cert_file, &key_file, provider) {
        Ok(pair) => match reason_to_renew(&pair.facts, config.hostname.as_str(), now) {
            None => return Ok((pair, None)),
            Some(reason) => reason,
        },
        Err(TlsError::Unreadable { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            "there was none".to_owned()
        }
        // What can't be read must not be overwritten: it may be readable for somebody else.
        Err(error @ TlsError::Unreadable { .. }) => return Err(error),
        Err(other) => other.to_string(),
    };
    let (certificate, key) = make(config, now)?;
    // The key first: a crash in between leaves a pair that doesn't fit, and is made anew.
    write_durably(&key_file, key.as_bytes(), 0o600)
        .map_err(|cause| unwritable(&key_file, cause))?;
    write_durably(&cert_file, certificate.as_bytes(), 0o644)
        .map_err(|cause| unwritable(&cert_file, cause))?;
    Ok((Pair::load(&cert_file, &key_file, provider)?, Some(reason)))
}

fn reason_to_renew(facts: &Facts, hostname: &str, now: UnixTime) -> Option<String> {
    let renewal_at = facts.not_after.0 - limits::SELF_SIGNED_RENEWAL.as_secs() as i64;
    if facts.common_name.as_deref() != Some(hostname) {
        Some(format!("hostname is now {hostname}"))
    } else if now.0 >= renewal_at {
        Some("the old one's end was near".to_owned())
    } else if now < facts.not_before {
        Some("the old one begins in the future".to_owned())
    } else {
        None
    }
}

/// Certificate and key, in PEM.
fn make(config: &Config, now: UnixTime) -> Result<(String, Zeroizing<String>), TlsError> {
    let hostname = config.hostname.as_str();
    let failed = |error: rcgen::Error| TlsError::Generation {
        hostname: hostname.to_owned(),
        cause: error.to_string(),
    };
    let mut params = CertificateParams::default();
    let since_1970 = |seconds: i64| {
        let seconds = u64::try_from(seconds).unwrap_or_default();
        date_time_ymd(1970, 1, 1) + core::time::Duration::from_secs(seconds)
    };
    let life = limits::SELF_SIGNED_LIFE.as_secs() as i64;
    params.not_before = since_1970(now.0 - BACKDATING_SECONDS);
    params.not_after = since_1970(now.0 + life);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, hostname);
    params.subject_alt_names = names(config).map_err(failed)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

/// What clients may call the server: its name, `mail.` and each domain, and this machine.
/// Names that are not ASCII can't stand in a certificate as they are, and are left out.
fn names(config: &Config) -> Result<Vec<SanType>, rcgen::Error> {
    let mut dns_names = vec![config.hostname.as_str().to_owned()];
    for domain in &config.domains {
        dns_names.push(format!("mail.{domain}"));
    }
    dns_names.push("localhost".to_owned());
    let mut names = Vec::new();
    for (index, name) in dns_names.iter().enumerate() {
        if name.is_ascii() && !dns_names[..index].contains(name) {
            names.push(SanType::DnsName(name.as_str().try_into()?));
        }
    }
    names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
    Ok(names)
}

fn unwritable(path: &Path, cause: io::Error) -> TlsError {
    TlsError::Unwritable {
        path: PathBuf::from(path),
        cause,
    }
}
