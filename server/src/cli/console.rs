//! Where a command reads and writes: the terminal, a pipe, or a test's memory.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rmail_proto::Secret;
use serde::Serialize;
use zeroize::{Zeroize, Zeroizing};

use super::failure::Failure;
use crate::limits;

/// Input, output, and messages beside the output.
pub(super) struct Console<'a> {
    pub(super) input: &'a mut dyn BufRead,
    /// What was asked for.
    pub(super) output: &'a mut dyn Write,
    /// Notes for people.
    pub(super) notes: &'a mut dyn Write,
    /// Whether a person sits at the input.
    pub(super) interactive: bool,
}

impl Console<'_> {
    /// Runs a command at the process's own input and output.
    pub(super) fn of_process<T>(run: impl FnOnce(&mut Console<'_>) -> T) -> T {
        let stdin = io::stdin();
        let interactive = stdin.is_terminal();
        let mut console = Console {
            input: &mut stdin.lock(),
            output: &mut io::stdout(),
            notes: &mut io::stderr(),
            interactive,
        };
        run(&mut console)
    }

    /// Writes a line of output. A reader that has gone (`| head`) is no fault.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        match writeln!(self.output, "{text}").and_then(|()| self.output.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure(format!("the output can't be written: {error}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Writes a value as JSON.
    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value);
        self.line(&text.expect("output has no maps with keys that are not texts"))
    }

    /// Writes a note beside the output; nobody has to read it.
    pub(super) fn note(&mut self, text: &str) {
        let _ = writeln!(self.notes, "{text}");
    }

    /// Asks for a new password: twice at the terminal, or one line of the input.
    pub(super) fn new_password(&mut self, from_input: bool) -> Result<Secret<String>, Failure> {
        let password = match from_input {
            true => self.read_secret("password", limits::PASSWORD_BYTES)?,
            false => self.ask_password()?,
        };
        check_password(password.reveal()).map_err(Failure)?;
        if is_short(password.reveal()) {
            let advised = limits::PASSWORD_CHARS_ADVISED;
            self.note(&format!(
                "warning: the password is shorter than {advised} characters"
            ));
        }
        Ok(password)
    }

    /// Asks a person to type a word before something is lost.
    pub(super) fn confirm(&mut self, question: &str, word: &str) -> Result<bool, Failure> {
        if !self.interactive {
            return Err(Failure(
                "there is no terminal to ask at; add --yes".to_owned(),
            ));
        }
        let _ = write!(self.notes, "{question} ").and_then(|()| self.notes.flush());
        let mut answer = String::new();
        let read = self.input.read_line(&mut answer);
        read.map_err(|error| Failure(format!("the answer can't be read: {error}")))?;
        Ok(answer.trim().eq_ignore_ascii_case(word))
    }

    /// Reads one line of the input that nobody else is to see.
    pub(super) fn read_secret(
        &mut self,
        what: &str,
        bytes_max: usize,
    ) -> Result<Secret<String>, Failure> {
        let mut line = Zeroizing::new(String::new());
        let bound = bytes_max as u64 + 2;
        let read = self.input.take(bound).read_line(&mut line);
        read.map_err(|error| Failure(format!("the {what} can't be read: {error}")))?;
        let secret = line.strip_suffix('\n').unwrap_or(&line);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        Ok(Secret::new(secret.to_owned()))
    }

    fn ask_password(&mut self) -> Result<Secret<String>, Failure> {
        let ask = |prompt| {
            let answer = rpassword::prompt_password(prompt);
            answer.map_err(|error| {
                let remedy = "use --password-stdin to read it from a pipe";
                Failure(format!(
                    "no password can be asked for here ({error}); {remedy}"
                ))
            })
        };
        for _ in 0..limits::CLI_PROMPT_TRIES {
            let password = Secret::new(ask("Password: ")?);
            let mut again = ask("The same again: ")?;
            let equal = *password.reveal() == again;
            again.zeroize();
            if equal {
                return Ok(password);
            }
            self.note("The two differ. Once more:");
        }
        Err(Failure(
            "the two passwords differ; nothing was changed".to_owned(),
        ))
    }
}

/// What is wrong with a password, if anything. Any is taken that isn't empty.
pub(super) fn check_password(password: &str) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty; nothing was changed".to_owned());
    }
    if password.len() > limits::PASSWORD_BYTES {
        let most = limits::PASSWORD_BYTES;
        return Err(format!(
            "the password is longer than {most} bytes; nothing was changed"
        ));
    }
    Ok(())
}

/// Whether a password deserves a warning.
pub(super) fn is_short(password: &str) -> bool {
    password.chars().count() < limits::PASSWORD_CHARS_ADVISED
}
