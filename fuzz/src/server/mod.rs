//! What the server reads: its configuration, records of passwords, messages that are searched, and
//! datagrams of other processes.

mod node;
mod search;
mod store;

use std::path::Path;

use rmail_server::{config::Config, credentials::Credential};

pub(crate) use node::node;
pub(crate) use search::search;

/// Any text is a configuration or has faults that say where and why; reading it twice gives the
/// same.
pub(crate) fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let folder = Path::new("folder");
    let read = Config::load(text, folder);
    let again = Config::load(text, folder);
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    match read {
        Ok((config, _warnings)) => assert!(!config.hostname.as_str().is_empty()),
        Err(faults) => {
            assert!(!faults.0.is_empty());
            let shown = faults.to_string();
            assert!(
                !shown.contains(|c: char| c != '\n' && c.is_control()),
                "{shown:?}"
            );
        }
    }
}

/// A record that can be read is read as it is written.
pub(crate) fn credential(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let Ok(credential) = Credential::parse(text) else {
        return;
    };
    let written = credential.to_string();
    assert!(Credential::parse(&written) == Ok(credential), "{written}");
}
