//! Phase 1: the configuration file.

use std::{collections::BTreeSet, fs, net::IpAddr, path::Path};

use super::{
    doors::{Door, Protocol},
    report::Findings,
    trouble::whitelist_remedy,
};
use crate::{
    cli::{check, failure::Failure, settings},
    config::Config,
    rate_limit::is_exempt,
};

/// Reads it; a configuration, if there is no fault in it.
pub(super) fn check(path: &Path, findings: &mut Findings) -> Option<Config> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, "read", &error));
    let read = text.and_then(|text| Ok((text, settings::folder_of(path)?)));
    let (text, folder) = match read {
        Ok(read) => read,
        Err(Failure(reason)) => {
            findings.fail(
                reason,
                "name the configuration by --config, or write one by \"rmail init\"",
            );
            return None;
        }
    };
    let (config, warnings) = match check::read(&text, &folder) {
        Ok(read) => read,
        Err(faults) => {
            for fault in faults {
                let remedy = format!("correct {} in {shown}", fault.path);
                findings.fail(fault.to_string(), remedy);
            }
            return None;
        }
    };
    let (hostname, domains) = (&config.hostname, config.domains.len());
    findings.ok(format!(
        "{shown} has no fault: {hostname}, with {domains} hosted {}",
        if domains == 1 { "domain" } else { "domains" }
    ));
    for warning in warnings {
        let remedy = format!("correct {} in {shown}", warning.path);
        findings.warn(warning.text, remedy);
    }
    check_whitelist(&config, findings);
    Some(config)
}

/// Whether the limiter will let the diagnostics do all that follows.
fn check_whitelist(config: &Config, findings: &mut Findings) {
    let all = Door::all(config);
    let smtp = all
        .iter()
        .filter(|door| Protocol::Smtp.kinds().contains(&door.kind));
    // Who connects to an address of this machine comes from it.
    let sources: BTreeSet<IpAddr> = smtp.map(|door| door.address.ip()).collect();
    for source in sources {
        if !is_exempt(&config.rate_limit, source) {
            findings.warn(
                format!(
                    "{source}, from where the diagnostics come, is not in rate_limit.whitelist: \
                     they are rate-limited like anybody else, and fail when they run often"
                ),
                whitelist_remedy(source),
            );
        }
    }
}
