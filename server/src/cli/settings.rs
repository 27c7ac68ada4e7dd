//! The configuration file: found, read, written.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::failure::Failure;
use crate::config::{Config, Warning};

/// The folder against which the relative paths in a configuration file resolve; absolute.
pub(super) fn folder_of(config_path: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(config_path);
    let absolute = absolute.map_err(|error| Failure::file(config_path, "found", &error))?;
    Ok(absolute
        .parent()
        .map_or_else(|| PathBuf::from("/"), Path::to_owned))
}

/// Reads the configuration for a command that needs one to be there.
pub(super) fn read(path: &Path, program: &str) -> Result<(Config, Vec<Warning>), Failure> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure(format!(
            "there is no {}; \"{program} init\" writes one with defaults, --config names another",
            path.display()
        ))),
        Err(error) => Err(Failure::file(path, "read", &error)),
    }
}

/// Reads the configuration for the start of the server: an absent file is written with defaults.
/// Tells whether it was.
pub(super) fn read_or_write(path: &Path) -> Result<(Config, Vec<Warning>, bool), Failure> {
    match fs::read_to_string(path) {
        Ok(text) => parse(&text, path).map(|(config, warnings)| (config, warnings, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_new(path, Config::default_json())?;
            let (config, warnings) = parse(Config::default_json(), path)?;
            Ok((config, warnings, true))
        }
        Err(error) => Err(Failure::file(path, "read", &error)),
    }
}

fn parse(text: &str, path: &Path) -> Result<(Config, Vec<Warning>), Failure> {
    Config::load(text, &folder_of(path)?).map_err(|faults| {
        let count = faults.0.len();
        let faults = faults.to_string().replace('\n', "\n  ");
        let noun = if count == 1 { "fault" } else { "faults" };
        Failure(format!(
            "{} has {count} {noun}:\n  {faults}",
            path.display()
        ))
    })
}

/// Writes a configuration where there is none yet. It may hold secrets, so only its owner can
/// read it.
pub(super) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(path);
    write_all(file, text).map_err(|error| Failure::file(path, "written", &error))
}

/// Replaces a configuration, or writes the first.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&temporary);
    let replaced = write_all(file, text).and_then(|()| fs::rename(&temporary, path));
    replaced.map_err(|error| Failure::file(path, "written", &error))
}

fn write_all(file: io::Result<fs::File>, text: &str) -> io::Result<()> {
    let mut file = file?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
