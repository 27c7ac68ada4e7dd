//! The configuration file, read again.

use std::{io, path::Path};

use rmail_proto::UnixTime;

use crate::{
    config::{Config, Faults},
    outside::privileges,
    tls::ServerTls,
};

/// What a running server goes on with.
#[derive(Debug)]
pub struct Reread {
    /// The configuration, over the `mail_root` that is in use.
    pub config: Box<Config>,
    /// Its certificate, read again as well.
    pub tls: ServerTls,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Reads the configuration at this absolute path, and the certificate that it names.
///
/// # Errors
///
/// Everything that is wrong, for the operator.
pub fn reread(path: &Path, running: &Config, now: UnixTime) -> Result<Box<Reread>, Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| vec![unreadable(path, &error)])?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (mut config, warnings) = Config::load(&text, folder)
        .map_err(|Faults(faults)| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    if config.mail_root != running.mail_root {
        warnings.push(format!(
            "mail_root changes with a restart only: it is still {}",
            running.mail_root.display()
        ));
        config.mail_root.clone_from(&running.mail_root);
    }
    if config.user != running.user {
        warnings.push("user changes with a restart only".to_owned());
        config.user.clone_from(&running.user);
    }
    let tls = ServerTls::load_or_create(&config, now);
    let tls = tls.map_err(|error| vec![format!("tls: {error}")])?;
    warnings.extend(tls.warnings.iter().cloned());
    let renewed = tls.renewed.iter();
    warnings.extend(renewed.map(|why| format!("a new self-signed certificate was made: {why}")));
    Ok(Box::new(Reread {
        config: Box::new(config),
        tls,
        warnings,
    }))
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => format!("; {}", privileges::reading_remedy(path)),
        _ => String::new(),
    };
    format!("{} can't be read: {error}{remedy}", path.display())
}
