//! Phase 3: the certificate and its key.

use std::io;

use rmail_proto::{DateTime, UnixTime};
use rustls::pki_types::CertificateDer;

use super::report::Findings;
use crate::{
    config::{Config, Tls},
    limits,
    outside::clock,
    tls::{Inspection, TlsError, inspect},
};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Looks at the files; the server's own certificate, when it can be read.
pub(super) fn check(config: &Config, findings: &mut Findings) -> Option<CertificateDer<'static>> {
    let inspection = match inspect(config) {
        Ok(inspection) => inspection,
        Err(TlsError::Unreadable { path, cause, .. })
            if config.tls == Tls::SelfSigned && cause.kind() == io::ErrorKind::NotFound =>
        {
            findings.fail(
                format!("there is no certificate yet in {}", path.display()),
                "start the server, which makes one",
            );
            return None;
        }
        Err(error) => {
            let (evidence, remedy) = split_remedy(&error.to_string());
            findings.fail(evidence, remedy);
            return None;
        }
    };
    let cert = inspection.cert_file.display();
    findings.ok(match inspection.chain.len() {
        1 => format!("the key fits the certificate in {cert}"),
        count => format!("the key fits the first of {count} certificates in {cert}"),
    });
    let now = clock::unix_now();
    let is_named = check_name(config, &inspection, findings);
    let is_timely = check_dates(config, &inspection, now, findings);
    if inspection.is_key_open {
        let key = inspection.key_file.display();
        findings.warn(
            format!("{key} can be read by every user"),
            format!("chmod 600 {key}"),
        );
    }
    if is_named && is_timely {
        check_trust(config, &inspection, now, findings);
    }
    Some(inspection.own().clone())
}

/// An error's cause, and what it says can be done about it.
fn split_remedy(error: &str) -> (String, String) {
    match error.split_once("; ") {
        Some((evidence, remedy)) => (evidence.to_owned(), remedy.to_owned()),
        None => (
            error.to_owned(),
            "set tls.cert_file and tls.key_file to a certificate and its key, in PEM".to_owned(),
        ),
    }
}

fn check_name(config: &Config, inspection: &Inspection, findings: &mut Findings) -> bool {
    let hostname = config.hostname.as_str();
    let names = match inspection.names.is_empty() {
        true => "no host name".to_owned(),
        false => inspection.names.join(", "),
    };
    if inspection.is_for_hostname {
        findings.ok(format!("it is for {names}; hostname is {hostname}"));
    } else {
        findings.fail(
            format!("it is for {names}, and hostname is {hostname}: clients will refuse it"),
            format!("get a certificate for {hostname}, or set hostname to a name that it is for"),
        );
    }
    inspection.is_for_hostname
}

fn check_dates(
    config: &Config,
    inspection: &Inspection,
    now: UnixTime,
    findings: &mut Findings,
) -> bool {
    let date = |time| DateTime::utc(time).rfc3339();
    let (begin, end) = (inspection.not_before, inspection.not_after);
    let days = (end.0 - now.0) / DAY_SECONDS;
    let remedy = match &config.tls {
        Tls::Files { .. } => "put a new one there, and run \"rmail reload\"",
        Tls::SelfSigned => "run \"rmail reload\", which makes a new one",
    };
    if now < begin {
        findings.fail(
            format!("it is good from {} on only", date(begin)),
            "set the clock of this machine, or wait",
        );
        return false;
    }
    if now > end {
        findings.fail(format!("it has expired at {}", date(end)), remedy);
        return false;
    }
    let evidence = format!("it is good until {}, for {days} days", date(end));
    match end.0 - now.0 < limits::CERTIFICATE_END_WARNING.as_secs() as i64 {
        true => findings.warn(evidence, remedy),
        false => findings.ok(evidence),
    }
    true
}

fn check_trust(config: &Config, inspection: &Inspection, now: UnixTime, findings: &mut Findings) {
    match &config.tls {
        Tls::SelfSigned => findings.ok(
            "it is self-signed by rmail, which is good for trying things out: clients ask before \
             they trust it",
        ),
        Tls::Files { .. } => match inspection.is_trusted(config.hostname.as_str(), now) {
            Ok(()) => findings.ok("this machine trusts its issuer"),
            Err(reason) => findings.warn(
                format!("this machine does not trust it: {reason}"),
                "put the issuer's certificates behind it in tls.cert_file (the \"full chain\"); \
                 where the issuer is your own, see that clients trust it",
            ),
        },
    }
}
