//! The configuration file, read again.

use std::path::Path;

use rmail_proto::UnixTime;

use crate::{
    config::{Config, Faults},
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
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![format!("{} can't be read: {error}", path.display())])?;
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
