//! `init`: a new configuration.

use std::path::Path;

use super::{console::Console, failure::Failure, settings};
use crate::config::Config;

/// Writes every key at its default. A file that is there stays, unless `force`.
pub(super) fn run(
    console: &mut Console<'_>,
    program: &str,
    path: &Path,
    force: bool,
) -> Result<(), Failure> {
    let shown = path.display();
    if force {
        settings::replace(path, Config::default_json())?;
    } else if path.exists() {
        return Err(Failure(format!(
            "{shown} is there already and was not changed; \"{program} init --force\" replaces \
             it with defaults"
        )));
    } else {
        settings::write_new(path, Config::default_json())?;
    }
    console.line(&format!("{shown} is written. Next:"))?;
    console.line("  1. In it, set \"hostname\" and \"domains\" to your own.")?;
    console.line(&format!("  2. {program} check-config"))?;
    console.line(&format!("  3. {program} user add you@your.domain --admin"))?;
    console.line(&format!("  4. {program} serve"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::tests::Transcript, *};

    #[test]
    fn init_writes_the_example_and_never_overwrites_without_force() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("config.json");
        let init = |force| Transcript::of("", |console| run(console, "rmail", &path, force));
        assert!(init(false).succeeded());
        assert_eq!(fs::read_to_string(&path).unwrap(), Config::default_json());
        fs::write(&path, "{}").unwrap();
        assert!(init(false).failure().contains("init --force"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        assert!(init(true).succeeded());
        assert_eq!(fs::read_to_string(&path).unwrap(), Config::default_json());
    }
}
