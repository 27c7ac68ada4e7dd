//! The command line, the same for both daemons.

mod alias;
mod check;
mod console;
mod control;
mod diagnostics;
mod directory;
mod failure;
mod import;
mod init;
mod queue;
mod quickstart;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod user;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use rmail_store::{RealFiles, SqliteStore, Store};

use self::{
    alias::AliasCommand, console::Console, directory::Directory, failure::Failure,
    queue::QueueCommand, service::Systemd, token::TokenCommand, user::UserCommand,
};
use crate::{
    config::Config,
    outside::{privileges, random},
};

/// What the server starts with.
#[derive(Debug)]
pub struct Prepared {
    /// Read and without faults.
    pub config: Config,
    /// What is odd about it, for the log.
    pub warnings: Vec<String>,
    /// Where it was read from, absolute; SIGHUP reads it again.
    pub config_path: PathBuf,
}

/// A mail server: SMTP and IMAP, one binary, one configuration file.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file; relative paths in it are relative to its folder
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "./config.json"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server; also what happens without a command
    Serve,
    /// Write a configuration with every key at its default
    Init {
        /// Replace the file that is there
        #[arg(long)]
        force: bool,
    },
    /// Make, list, change, delete and import accounts, whether the server runs or not
    #[command(subcommand)]
    User(UserCommand),
    /// Make and void tokens of the HTTP API, whether the server runs or not
    #[command(subcommand)]
    Token(TokenCommand),
    /// Make, list, change, test and remove aliases, whether the server runs or not
    ///
    /// An alias hands the mail for its address to others, here and at other servers. In front of
    /// the @ it may have wildcards: * for any run of characters, ? for any one. *@example.com is
    /// the catch-all. An exact address goes first, then the pattern with the most literal text;
    /// the catch-all comes last.
    #[command(subcommand)]
    Alias(AliasCommand),
    /// See and steer mail that is not finished, whether the server runs or not
    ///
    /// A message stays in the queue until each of its recipients has it, or its sender was told
    /// why not. "why" says what was tried and what comes next.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Say what is wrong with the configuration and its certificate, and what is odd
    ///
    /// The exit code is 0 when the server would start with it, else 1.
    CheckConfig {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have the running server read its configuration and certificate again, as SIGHUP does
    ///
    /// Listeners whose address stays and sessions go on. A faulty configuration changes nothing,
    /// and each fault is listed; the exit code is 1 then.
    Reload {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what the running server does: listeners, sessions, queue, limits in force
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Have systemd run the server as a service, with the rights that it needs and no others
    ///
    /// Needs root. The unit names this program and the configuration, and runs as the configured
    /// "user"; mail_root is made for that user where it is missing.
    Install {
        /// Show the unit, and change nothing; anybody may
        #[arg(long)]
        print: bool,
    },
    /// Stop the service and remove its unit; configuration and mail stay
    Uninstall,
    /// Try the running server as its clients do: eight phases, each with a verdict and a remedy
    ///
    /// Configuration, storage, TLS, ports, SMTP, IMAP, the HTTP API, delivery and limits. It makes
    /// an account of its own, rmail-diagnostics-…, and removes it with all its mail, also on
    /// Ctrl-C. Nothing is sent to other servers. The exit code is 0 when no phase failed or could
    /// not be run, else 1.
    Diagnostics {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try it out: make a server with one account on free ports of this machine, and run it
    Quickstart {
        /// The folder, which is made when it is missing; remove it to be rid of everything
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        dir: PathBuf,
    },
}

/// What is left to do after a command.
enum Outcome {
    Done,
    /// The answer was no.
    Faulty,
    Serve(Box<Prepared>),
}

/// Examples, by the command below whose help they stand; `rmail` becomes the program's name.
const EXAMPLES: [(&[&str], &str); 17] = [
    (
        &[],
        "Examples:
  rmail quickstart --dir /tmp/try        try it out, as any user
  rmail init                             write config.json, to be edited
  rmail user add alice@example.com       make an account; the password is asked for
  rmail --config /etc/rmail/config.json  run the server

Signals: SIGTERM and SIGINT finish what runs, and end; SIGHUP reads the configuration again.",
    ),
    (
        &["user"],
        "Examples:
  rmail user add alice@example.com --admin
  echo \"$PASSWORD\" | rmail user add bob@example.com --password-stdin
  rmail user list --json
  rmail user passwd alice@example.com
  rmail user set bob@example.com --quota 10G
  rmail user delete bob@example.com",
    ),
    (
        &["user", "add"],
        "Examples:
  rmail user add alice@example.com --admin
  echo \"$PASSWORD\" | rmail user add bob@example.com --password-stdin",
    ),
    (
        &["user", "set"],
        "Examples:
  rmail user set bob@example.com --quota 10G --name 'Bob B.'
  rmail user set bob@example.com --enabled no",
    ),
    (
        &["token"],
        "Examples:
  TOKEN=$(rmail token issue alice@example.com)
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:9002/folders
  echo \"$TOKEN\" | rmail token revoke
  rmail token revoke-all alice@example.com",
    ),
    (
        &["user", "import"],
        "Example of a file:
  # address          password
  alice@example.com  correct horse battery staple
  bob@example.com    tr0ub4dor&3",
    ),
    (
        &["alias"],
        "Examples:
  rmail alias add info@example.com alice@example.com bob@example.net
  rmail alias add 'sales-*@example.com' alice@example.com    quoted, for the shell
  rmail alias add '*@example.com' alice@example.com          all that nobody else takes
  rmail alias test sales-7@example.com                       who would get it, and why
  rmail alias list --target alice@example.com
  rmail alias remove info@example.com 'sales-*@example.com'",
    ),
    (
        &["alias", "add"],
        "Examples:
  rmail alias add info@example.com alice@example.com bob@example.net
  rmail alias add 'sales-*@example.com' alice@example.com
  rmail alias add --replace info@example.com bob@example.com

Targets may be accounts, other aliases, and addresses at other servers. What goes to another
server keeps its sender, which some of them take only from the sender's own server (SPF).",
    ),
    (
        &["alias", "test"],
        "Example:
  rmail alias test sales-7@example.com && echo somebody gets it

The exit code is 0 when somebody would get the mail, else 1.",
    ),
    (
        &["queue"],
        "Examples:
  rmail queue list                          what is waiting
  rmail queue why 1nsxm4pkdj3qzj7v6         what was tried, and what is next
  rmail queue retry --domain example.net    example.net is up again: try at once
  rmail queue hold --sender shop@           stop a flood while you look into it
  rmail queue release --held                let everything go on that is held
  rmail queue drop --older-than 3d --recipient typo@example.net",
    ),
    (
        &["queue", "list"],
        "Examples:
  rmail queue list --domain example.net --older-than 4h
  rmail queue list --held --json",
    ),
    (
        &["queue", "why"],
        "Example:
  rmail queue why 1nsxm4pkdj3qzj7v6

For each recipient it says what was answered last, by whom, and what happens next and when;
then every attempt that is remembered.",
    ),
    (
        &["check-config"],
        "Example:
  rmail --config /etc/rmail/config.json check-config && systemctl reload rmail",
    ),
    (
        &["reload"],
        "Example:
  rmail --config /etc/rmail/config.json reload

mail_root changes with a restart only. An address that can't be listened on is told, and the
one before it stays.",
    ),
    (
        &["install"],
        "Examples:
  rmail --config /etc/rmail/config.json install --print
  useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin rmail
  rmail --config /etc/rmail/config.json install",
    ),
    (
        &["diagnostics"],
        "Examples:
  rmail diagnostics
  sudo -u rmail rmail --config /etc/rmail/config.json diagnostics
  rmail diagnostics --json | jq '.phases[] | {phase, verdict}'

Run it on the server's machine, as the user that the server runs as. Keep 127.0.0.1 in
rate_limit.whitelist: else the diagnostics are rate-limited themselves, and say so.",
    ),
    (
        &["status"],
        "Examples:
  rmail status
  rmail status --json | jq '.servers[].sessions'",
    ),
];

/// Runs the command line of the process; `serve` is called when it asks for the server, and
/// returns when that has ended.
pub fn run(program: &'static str, serve: impl FnOnce(Prepared) -> ExitCode) -> ExitCode {
    let matches = command_line(program).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let result = Console::of_process(|console| execute(console, program, arguments));
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Faulty) => ExitCode::FAILURE,
        Ok(Outcome::Serve(prepared)) => serve(*prepared),
        Err(failure) => {
            Console::of_process(|console| console.note(&format!("{program}: {failure}")));
            ExitCode::FAILURE
        }
    }
}

/// The definition of the command line, under the program's own name.
fn command_line(program: &'static str) -> clap::Command {
    let mut top = Arguments::command().name(program).bin_name(program);
    for (path, examples) in EXAMPLES {
        let examples = examples.replace("rmail ", &format!("{program} "));
        top = with_examples(top, path, examples);
    }
    top
}

fn with_examples(command: clap::Command, path: &[&str], examples: String) -> clap::Command {
    match path {
        [] => command.after_help(examples),
        [first, rest @ ..] => {
            command.mut_subcommand(first, |below| with_examples(below, rest, examples))
        }
    }
}

fn execute(
    console: &mut Console<'_>,
    program: &str,
    arguments: Arguments,
) -> Result<Outcome, Failure> {
    let path = arguments.config;
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => prepare(console, program, &path).map(serving),
        Command::Init { force } => {
            init::run(console, program, &path, force).map(|()| Outcome::Done)
        }
        Command::User(command) => {
            let (config, _warnings) = settings::read(&path, program)?;
            let store = open_store(&config)?;
            let directory = Directory::new(&*store, &config);
            user::run(console, &directory, &command).map(|()| Outcome::Done)
        }
        Command::Token(command) => {
            let (config, _warnings) = settings::read(&path, program)?;
            let store = open_store(&config)?;
            let known = config.clone();
            let directory = Directory::new(&*store, &known);
            token::run(console, &directory, config, &command).map(|()| Outcome::Done)
        }
        Command::Alias(command) => {
            let (config, _warnings) = settings::read(&path, program)?;
            let store = open_store(&config)?;
            let directory = Directory::new(&*store, &config);
            match alias::run(console, &directory, &command)? {
                true => Ok(Outcome::Done),
                false => Ok(Outcome::Faulty),
            }
        }
        Command::Queue(command) => {
            let (config, _warnings) = settings::read(&path, program)?;
            let store = open_store(&config)?;
            queue::run(console, &*store, &config, &command).map(|()| Outcome::Done)
        }
        Command::CheckConfig { json } => match check::run(console, program, &path, json)? {
            true => Ok(Outcome::Done),
            false => Ok(Outcome::Faulty),
        },
        Command::Reload { json } => {
            let store = open_configured(&path, program)?;
            match control::reload(console, &*store, json)? {
                true => Ok(Outcome::Done),
                false => Ok(Outcome::Faulty),
            }
        }
        Command::Status { json } => {
            let store = open_configured(&path, program)?;
            control::status(console, &*store, json).map(|()| Outcome::Done)
        }
        Command::Install { print } => {
            service::install(console, &Systemd::of_machine(), program, &path, print)
                .map(|()| Outcome::Done)
        }
        Command::Uninstall => {
            service::uninstall(console, &Systemd::of_machine(), program).map(|()| Outcome::Done)
        }
        Command::Diagnostics { json } => match diagnostics::run(console, &path, json)? {
            true => Ok(Outcome::Done),
            false => Ok(Outcome::Faulty),
        },
        Command::Quickstart { dir } => {
            // Its lines are pasted into a shell, where the program may not be in the path.
            let typed = std::env::args().next();
            let program = typed.as_deref().unwrap_or(program);
            quickstart::run(console, program, &dir).map(serving)
        }
    }
}

fn serving(prepared: Prepared) -> Outcome {
    Outcome::Serve(Box::new(prepared))
}

/// Reads the configuration, or writes the first, for the server.
fn prepare(console: &mut Console<'_>, program: &str, path: &Path) -> Result<Prepared, Failure> {
    let (config, warnings, is_new) = settings::read_or_write(path)?;
    let shown = path.display();
    if is_new {
        console.note(&format!(
            "{program}: {shown} was missing and is written with defaults"
        ));
    }
    let warnings = warnings.iter().map(|warning| format!("{shown}: {warning}"));
    let config_path = std::path::absolute(path);
    let config_path = config_path.map_err(|error| Failure::file(path, "found", &error))?;
    Ok(Prepared {
        config,
        warnings: warnings.collect(),
        config_path,
    })
}

/// Opens the store of the configuration in this file.
fn open_configured(path: &Path, program: &str) -> Result<Arc<dyn Store>, Failure> {
    let (config, _warnings) = settings::read(path, program)?;
    open_store(&config)
}

/// Opens the store of a configuration, as one more process beside those that run, and as the user
/// that they are.
fn open_store(config: &Config) -> Result<Arc<dyn Store>, Failure> {
    privileges::become_owner(config).map_err(|error| Failure(error.to_string()))?;
    let root = &config.mail_root;
    let open = || SqliteStore::open(root, Arc::new(RealFiles), None, random::seed());
    match directory::while_busy(open) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => {
            let Failure(text) = Failure::from(error);
            Err(Failure(format!(
                "{} can't be opened: {text}",
                root.display()
            )))
        }
    }
}
