//! The configuration file, read again.

use std::path::Path;

use crate::config::Config;

/// Reads the configuration at this absolute path; its warnings are logged.
///
/// # Errors
///
/// Everything that is wrong, for the operator.
pub fn read(path: &Path) -> Result<Box<Config>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{} can't be read: {error}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let (config, warnings) = Config::load(&text, folder).map_err(|faults| faults.to_string())?;
    for warning in warnings {
        tracing::warn!("configuration: {warning}");
    }
    Ok(Box::new(config))
}
