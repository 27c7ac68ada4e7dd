//! What the command line promises.

use std::io::Cursor;

use super::*;

mod alias;
mod queue;
mod token;
mod user;

/// What a command read and wrote, in memory.
pub(super) struct Transcript {
    pub(super) output: String,
    pub(super) notes: String,
    result: Result<(), Failure>,
}

impl Transcript {
    /// Runs a command with this input.
    pub(super) fn of(
        input: &str,
        run: impl FnOnce(&mut Console<'_>) -> Result<(), Failure>,
    ) -> Self {
        let (mut output, mut notes) = (Vec::new(), Vec::new());
        let result = run(&mut Console {
            input: &mut Cursor::new(input.as_bytes()),
            output: &mut output,
            notes: &mut notes,
            interactive: true,
        });
        Self {
            output: String::from_utf8(output).unwrap(),
            notes: String::from_utf8(notes).unwrap(),
            result,
        }
    }

    pub(super) fn succeeded(&self) -> bool {
        self.result.is_ok()
    }

    /// The sentence of a command that failed.
    pub(super) fn failure(&self) -> &str {
        &self.result.as_ref().unwrap_err().0
    }
}

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    let matches = command_line("rmail").try_get_matches_from(line.split_whitespace())?;
    Arguments::from_arg_matches(&matches)
}

#[test]
fn command_line_is_well_formed() {
    command_line("rmail").debug_assert();
}

#[test]
fn no_command_means_serve_and_config_has_a_default() {
    let arguments = parse("rmail").unwrap();
    assert!(arguments.command.is_none());
    assert_eq!(arguments.config, Path::new("./config.json"));
    let arguments = parse("rmail serve --config /etc/r.json").unwrap();
    assert!(matches!(arguments.command, Some(Command::Serve)));
    assert_eq!(arguments.config, Path::new("/etc/r.json"));
}

#[test]
fn password_is_never_an_argument() {
    assert!(parse("rmail user add alice@example.com").is_ok());
    assert!(parse("rmail user add alice@example.com secret").is_err());
    assert!(parse("rmail user passwd alice@example.com --password secret").is_err());
}

#[test]
fn help_has_examples_under_the_name_of_the_program() {
    let mut command = command_line("rmail-async-std");
    let help = command.render_long_help().to_string();
    assert!(help.contains("rmail-async-std quickstart --dir"));
    assert!(help.contains("SIGHUP"));
    let user = command
        .find_subcommand_mut("user")
        .unwrap()
        .render_help()
        .to_string();
    assert!(user.contains("| rmail-async-std user add bob@example.com --password-stdin"));
}

#[test]
fn absent_configuration_is_written_for_serve_and_named_for_other_commands() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    let list = format!("rmail --config {} user list", path.display());
    let transcript = Transcript::of("", |console| {
        execute(console, "rmail", parse(&list).unwrap()).map(drop)
    });
    assert!(transcript.failure().contains("\"rmail init\" writes one"));
    let mut prepared = None;
    let transcript = Transcript::of("", |console| {
        prepared = Some(prepare(console, "rmail", &path)?);
        Ok(())
    });
    assert!(transcript.notes.contains("is written with defaults"));
    let prepared = prepared.unwrap();
    assert_eq!(prepared.config_path, path);
    assert_eq!(prepared.config.mail_root, folder.path().join("mailstore"));
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        Config::default_json()
    );
}

#[test]
fn faulty_configuration_does_not_start_and_lists_every_fault() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, r#"{"hostname": 1, "smtp": {"port": "x"}}"#).unwrap();
    let transcript = Transcript::of("", |console| prepare(console, "rmail", &path).map(drop));
    let failure = transcript.failure();
    assert!(
        failure.contains("has 2 faults:\n  hostname: found 1;"),
        "{failure}"
    );
    assert!(
        failure.contains("\n  smtp.port: found the text \"x\";"),
        "{failure}"
    );
}
