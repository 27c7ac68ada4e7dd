//! `check-config`: what is wrong with a configuration, and what is odd.

use std::{fs, path::Path};

use serde::Serialize;

use super::{console::Console, failure::Failure, settings};
use crate::{
    config::{Config, Fault, Faults, HOSTNAME_DEFAULT, Warning},
    outside::{clock, privileges},
    tls,
};

/// What `user` should be.
const USER_EXPECTED: &str = "a user of this machine who owns mail_root";

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    ok: bool,
    faults: Vec<FaultLine>,
    warnings: Vec<WarningLine>,
}

#[derive(Serialize)]
struct FaultLine {
    path: String,
    found: String,
    expected: String,
}

#[derive(Serialize)]
struct WarningLine {
    path: String,
    text: String,
}

/// Lists faults and warnings; true when the server would start with this configuration.
pub(super) fn run(
    console: &mut Console<'_>,
    program: &str,
    path: &Path,
    json: bool,
) -> Result<bool, Failure> {
    if !path.exists() {
        // The sentence that every command has for it.
        settings::read(path, program)?;
    }
    let text = fs::read_to_string(path).map_err(|error| Failure::file(path, "read", &error))?;
    let (faults, warnings) = check(&text, &settings::folder_of(path)?);
    let ok = faults.is_empty();
    if json {
        console.json(&Report::new(faults, warnings))?;
        return Ok(ok);
    }
    for fault in &faults {
        console.line(&format!("fault    {fault}"))?;
    }
    for warning in &warnings {
        console.line(&format!("warning  {warning}"))?;
    }
    let verdict = match (ok, warnings.is_empty()) {
        (true, true) => "is good",
        (true, false) => "can be started with; see the warnings above",
        (false, _) => "can't be started with; see the faults above",
    };
    console.line(&format!("{} {verdict}", path.display()))?;
    Ok(ok)
}

/// Reads a configuration, and says what is odd in it; its certificate is not looked at.
pub(super) fn read(text: &str, folder: &Path) -> Result<(Config, Vec<Warning>), Vec<Fault>> {
    let (config, mut warnings) = Config::load(text, folder).map_err(|Faults(faults)| faults)?;
    if config.hostname.as_str() == HOSTNAME_DEFAULT {
        warnings.push(Warning {
            path: "hostname".to_owned(),
            text: format!("{HOSTNAME_DEFAULT} is an example; set it to this server's full name"),
        });
    }
    Ok((config, warnings))
}

fn check(text: &str, folder: &Path) -> (Vec<Fault>, Vec<Warning>) {
    let (config, mut warnings) = match read(text, folder) {
        Ok(read) => read,
        Err(faults) => return (faults, Vec::new()),
    };
    // As root, it would see what the server can't.
    if let Err(error) = privileges::become_owner(&config) {
        let fault = Fault {
            path: "user".to_owned(),
            found: error.to_string(),
            expected: USER_EXPECTED.to_owned(),
        };
        return (vec![fault], warnings);
    }
    match tls::check(&config, clock::unix_now()) {
        Ok(texts) => {
            let warning = |text| Warning {
                path: "tls".to_owned(),
                text,
            };
            warnings.extend(texts.into_iter().map(warning));
            (Vec::new(), warnings)
        }
        Err(error) => {
            let fault = Fault {
                path: "tls".to_owned(),
                found: error.to_string(),
                expected: "a certificate and its key, in PEM".to_owned(),
            };
            (vec![fault], warnings)
        }
    }
}

impl Report {
    fn new(faults: Vec<Fault>, warnings: Vec<Warning>) -> Self {
        let fault_line = |fault: Fault| FaultLine {
            path: fault.path,
            found: fault.found,
            expected: fault.expected,
        };
        let warning_line = |warning: Warning| WarningLine {
            path: warning.path,
            text: warning.text,
        };
        Self {
            ok: faults.is_empty(),
            faults: faults.into_iter().map(fault_line).collect(),
            warnings: warnings.into_iter().map(warning_line).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::Transcript, *};

    fn run_on(text: &str, json: bool) -> (Transcript, bool) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, text).unwrap();
        let mut ok = false;
        let transcript = Transcript::of("", |console| {
            ok = run(console, "rmail", &path, json)?;
            Ok(())
        });
        (transcript, ok)
    }

    #[test]
    fn good_configuration_is_good() {
        let (transcript, ok) = run_on(r#"{"hostname": "mx.example.org"}"#, false);
        assert!(ok && transcript.output.ends_with("is good\n"));
    }

    #[test]
    fn faults_and_warnings_are_listed() {
        let (transcript, ok) = run_on(r#"{"smtp": {"port": "x"}, "imap": 1}"#, false);
        assert!(!ok);
        assert_eq!(transcript.output.matches("fault    ").count(), 2);
        let (transcript, ok) = run_on(r#"{"hostnam": 1}"#, false);
        assert!(ok && transcript.output.contains("did you mean hostname?"));
        assert!(
            transcript
                .output
                .contains("set it to this server's full name")
        );
    }

    #[test]
    fn missing_certificate_files_are_a_fault() {
        let text = r#"{"tls": {"cert_file": "none.pem", "key_file": "none.key"}}"#;
        let (transcript, ok) = run_on(text, true);
        let report: serde_json::Value = serde_json::from_str(&transcript.output).unwrap();
        assert!(!ok && report["ok"] == false);
        assert!(
            report["faults"][0]["found"]
                .as_str()
                .unwrap()
                .contains("none.pem")
        );
    }

    #[test]
    fn absent_configuration_is_named_with_the_remedy() {
        let transcript = Transcript::of("", |console| {
            run(console, "rmail", Path::new("/nowhere/config.json"), false).map(drop)
        });
        assert!(transcript.failure().contains("\"rmail init\""));
    }
}
