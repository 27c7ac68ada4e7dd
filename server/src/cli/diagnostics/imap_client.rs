//! IMAP as a client, command by command.

use super::{
    doors::{Door, Tools},
    trouble::{Trouble, is_limiters},
};
use crate::{limits, outside::client::Client};

/// A connection, after the greeting.
pub(super) struct ImapClient {
    client: Client,
    tags_used: u32,
}

/// What a command was answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The untagged responses, literals included.
    pub(super) untagged: Vec<String>,
    /// The last one, without its tag: `OK`, `NO` or `BAD`, and more.
    pub(super) completion: String,
}

impl Answer {
    pub(super) fn is_ok(&self) -> bool {
        self.completion.starts_with("OK")
    }

    /// Whether one of the untagged responses has this in it.
    pub(super) fn has(&self, text: &str) -> bool {
        self.untagged.iter().any(|response| response.contains(text))
    }
}

impl ImapClient {
    /// Connects; also what the greeting was.
    pub(super) fn connect(tools: &Tools, door: &Door) -> Result<(Self, String), Trouble> {
        let mut client = Self {
            client: tools.connect(door)?,
            tags_used: 0,
        };
        let greeting = client.read_response()?;
        match greeting.starts_with("* OK") {
            true => Ok((client, greeting)),
            false => Err(Trouble::Answer(format!("{greeting} (for a greeting)"))),
        }
    }

    /// Encrypts.
    pub(super) fn start_tls(mut self) -> Result<Self, Trouble> {
        self.order("STARTTLS")?;
        Ok(Self {
            client: self.client.start_tls()?,
            tags_used: self.tags_used,
        })
    }

    /// Sends a command; whatever is answered, but for the limiter.
    pub(super) fn ask(&mut self, command: &str) -> Result<Answer, Trouble> {
        let tag = self.send(command)?;
        self.read_answer(&tag)
    }

    /// Sends a command that must be done.
    pub(super) fn order(&mut self, command: &str) -> Result<Answer, Trouble> {
        let answer = self.ask(command)?;
        done(answer, command)
    }

    /// LOGIN; whatever is answered, but for the limiter.
    pub(super) fn log_in(&mut self, address: &str, password: &str) -> Result<Answer, Trouble> {
        self.ask(&format!("LOGIN \"{address}\" \"{password}\""))
    }

    /// APPEND, which must be done.
    pub(super) fn append(&mut self, mailbox: &str, content: &str) -> Result<(), Trouble> {
        // A literal for which nobody waits (RFC 7888).
        let command = format!("APPEND {mailbox} {{{}+}}\r\n{content}", content.len());
        let answer = self.ask(&command)?;
        done(answer, "APPEND").map(drop)
    }

    /// Begins IDLE (RFC 2177); what it takes to end it.
    pub(super) fn idle(&mut self) -> Result<String, Trouble> {
        let tag = self.send("IDLE")?;
        let response = self.read_response()?;
        match response.starts_with('+') {
            true => Ok(tag),
            false => Err(Trouble::Answer(format!("{response} (to IDLE)"))),
        }
    }

    /// Waits in IDLE for an untagged response with this at its end, and ends it.
    pub(super) fn wait_and_end_idle(&mut self, tag: &str, text: &str) -> Result<String, Trouble> {
        let mut found = None;
        for _ in 0..limits::DIAGNOSTICS_ANSWER_LINES {
            let response = self.read_response()?;
            if response.ends_with(text) {
                found = Some(response);
                break;
            }
        }
        self.client.send(b"DONE\r\n")?;
        done(self.read_answer(tag)?, "DONE")?;
        found.ok_or_else(|| Trouble::Answer(format!("much, and no {text}")))
    }

    fn send(&mut self, command: &str) -> Result<String, Trouble> {
        self.tags_used += 1;
        let tag = format!("d{}", self.tags_used);
        self.client
            .send(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    fn read_answer(&mut self, tag: &str) -> Result<Answer, Trouble> {
        let mut untagged = Vec::new();
        for _ in 0..limits::DIAGNOSTICS_ANSWER_LINES {
            let response = self.read_response()?;
            if is_limiters(&response) {
                return Err(Trouble::Limited(self.client.local(), response));
            }
            match response.strip_prefix(tag) {
                Some(completion) => {
                    return Ok(Answer {
                        untagged,
                        completion: completion.trim_start().to_owned(),
                    });
                }
                None => untagged.push(response),
            }
        }
        Err(Trouble::Answer("much, and no end".to_owned()))
    }

    /// A response with its literals, without the CRLF at its end.
    fn read_response(&mut self) -> Result<String, Trouble> {
        let mut response = Vec::new();
        for _ in 0..limits::DIAGNOSTICS_ANSWER_LINES {
            let line = self.client.read_line()?;
            let literal = literal_bytes(&line);
            response.extend_from_slice(&line);
            match literal {
                Some(count) => response.extend(self.client.read_bytes(count)?),
                None => break,
            }
        }
        Ok(String::from_utf8_lossy(&response).trim_end().to_owned())
    }
}

/// The size of the literal that a line announces at its end.
fn literal_bytes(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let start = line.iter().rposition(|byte| *byte == b'{')? + 1;
    std::str::from_utf8(&line[start..]).ok()?.parse().ok()
}

fn done(answer: Answer, command: &str) -> Result<Answer, Trouble> {
    match answer.is_ok() {
        true => Ok(answer),
        false => Err(Trouble::Answer(format!(
            "{} (to {command})",
            answer.completion
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::literal_bytes;

    #[test]
    fn literal_is_announced_at_the_end_of_a_line_alone() {
        assert_eq!(literal_bytes(b"* 1 FETCH (BODY[] {12}\r\n"), Some(12));
        assert_eq!(literal_bytes(b"* OK {12} is no literal\r\n"), None);
        assert_eq!(literal_bytes(b"* OK {x}\r\n"), None);
    }
}
