//! Command lines, and the commands that stand outside of a mail transaction.

use alloc::{format, string::String, vec::Vec};

use zeroize::Zeroizing;

use super::{Hello, Question, Server, State};
use crate::{
    Action, Close, Line, Now, TlsInfo, limits,
    smtp::{
        Call, EnhancedCode, Listener, Recipient, Refusal, Tls,
        auth::{self, Exchange, Step},
        command::{self, Command},
        reply,
    },
};

impl Server {
    pub(super) fn handle_line(&mut self, now: Now, input: &[u8]) -> usize {
        let in_exchange = matches!(self.state, State::Exchange(_));
        let bytes_max = match in_exchange || self.decide_auth().is_ok() {
            true => limits::SMTP_AUTH_LINE_BYTES,
            false => limits::SMTP_COMMAND_LINE_BYTES,
        };
        let (consumed, line) = self.line.handle_input(input, bytes_max);
        match line {
            Line::Incomplete => {}
            Line::TooLong if in_exchange => self.refuse(now, Refusal::auth_line_too_long()),
            Line::TooLong => self.refuse(now, Refusal::line_too_long()),
            Line::BareNewline => self.close_with(now, Refusal::bare_newline_in_command()),
            Line::Complete(line) => {
                let line = Zeroizing::new(line);
                match core::str::from_utf8(&line) {
                    Err(_) => self.refuse(now, Refusal::line_not_utf8()),
                    Ok(line) if in_exchange => self.handle_response(now, line),
                    Ok(line) => self.handle_command(now, line),
                }
            }
        }
        consumed
    }

    fn handle_command(&mut self, now: Now, line: &str) {
        let too_long = line.len() + 2 > limits::SMTP_COMMAND_LINE_BYTES;
        if too_long && !command::is_auth(line.as_bytes()) {
            return self.refuse(now, Refusal::line_too_long());
        }
        let command = match command::parse_command(line) {
            Ok(command) => command,
            // Where the octets of a faulty BDAT end, nobody knows: they are not to be taken for
            // commands.
            Err(refusal) if command::is_bdat(line.as_bytes()) => {
                self.send(now, reply::write_refusal(&refusal));
                return self.close(now, Close::Flush);
            }
            Err(refusal) => return self.refuse(now, refusal),
        };
        match command {
            Command::Ehlo { name } => self.handle_hello(now, name, true),
            Command::Helo { name } => self.handle_hello(now, name, false),
            Command::Mail(mail) => self.handle_mail(now, mail),
            Command::Rcpt {
                forward_path,
                notice,
            } => self.handle_rcpt(
                now,
                Recipient {
                    path: forward_path,
                    notice,
                },
            ),
            Command::Data => self.handle_data_command(now),
            Command::Bdat { size_bytes, last } => self.handle_bdat(now, size_bytes, last),
            Command::Rset => {
                self.reset_transaction();
                self.reply(now, 250, EnhancedCode(2, 0, 0), "Ok");
            }
            Command::Noop => self.reply(now, 250, EnhancedCode(2, 0, 0), "Ok"),
            Command::Vrfy => {
                let text = "Cannot verify, but will take mail and try to deliver it";
                self.reply(now, 252, EnhancedCode(2, 0, 0), text);
            }
            Command::Help => {
                let text = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; see RFC 5321";
                self.reply(now, 214, EnhancedCode(2, 0, 0), text);
            }
            Command::Quit => {
                let bye = reply::write_reply(221, EnhancedCode(2, 0, 0), "Bye");
                self.send(now, bye);
                self.close(now, Close::Flush);
            }
            Command::StartTls => self.handle_starttls(now),
            Command::Auth { mechanism, initial } => self.handle_auth(now, mechanism, initial),
            Command::NotOffered => self.refuse(now, Refusal::command_not_implemented()),
        }
    }

    fn handle_hello(&mut self, now: Now, name: &str, extended: bool) {
        self.reset_transaction();
        self.hello = Some(Hello {
            name: name.into(),
            extended,
        });
        let keywords = if extended {
            self.keywords()
        } else {
            Vec::new()
        };
        self.send(
            now,
            reply::write_ehlo(self.config.hostname.as_str(), &keywords),
        );
        self.enter(now, State::Command);
    }

    /// What is honoured here and now, and nothing else.
    fn keywords(&self) -> Vec<String> {
        let config = &self.config;
        let mut keywords = Vec::new();
        for keyword in [
            "PIPELINING",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
            "DSN",
        ] {
            keywords.push(keyword.into());
        }
        keywords.push(format!("SIZE {}", config.message_bytes_max));
        // Values of 1 to 6 digits (RFC 9422 §3).
        let (recipients, messages) = (config.recipients_max, config.messages_max);
        let limit = |limit: u32| limit.clamp(1, 999_999);
        keywords.push(format!(
            "LIMITS RCPTMAX={} MAILMAX={}",
            limit(recipients),
            limit(messages)
        ));
        if self.is_starttls_offered() {
            keywords.push("STARTTLS".into());
        }
        if self.decide_auth().is_ok() {
            keywords.push("AUTH PLAIN LOGIN".into());
        }
        keywords.push("HELP".into());
        keywords
    }

    pub(super) fn is_submission(&self) -> bool {
        match self.config.listener {
            Listener::Inbound => false,
            Listener::Submission | Listener::ImplicitTlsSubmission => true,
        }
    }

    fn is_starttls_offered(&self) -> bool {
        self.config.tls == Tls::Offered && self.tls.is_none()
    }

    fn handle_starttls(&mut self, now: Now) {
        match self.config.tls {
            Tls::Unavailable => self.refuse(now, Refusal::command_not_implemented()),
            Tls::Offered | Tls::Implicit if self.tls.is_some() => {
                self.refuse(now, Refusal::not_allowed_here());
            }
            Tls::Offered | Tls::Implicit => {
                self.reset_transaction();
                let ready = reply::write_reply(220, EnhancedCode(2, 0, 0), "Ready to start TLS");
                self.send(now, ready);
                self.actions.push_back(Action::StartTls);
                self.enter(now, State::Handshake);
            }
        }
    }

    pub(super) fn handle_tls_established(&mut self, now: Now, tls: TlsInfo) {
        if !matches!(self.state, State::Handshake) {
            return;
        }
        self.tls = Some(tls);
        self.hello = None;
        self.identity = None;
        self.line.clear();
        if self.config.tls == Tls::Implicit {
            self.send_greeting(now);
        }
        self.enter(now, State::Command);
    }

    /// Whether AUTH may be used (RFC 4954 §4).
    fn decide_auth(&self) -> Result<(), Refusal> {
        if !self.is_submission() {
            return Err(Refusal::not_allowed_here());
        }
        if self.hello.is_none() {
            return Err(Refusal::hello_required());
        }
        if self.identity.is_some() || self.open.is_some() {
            return Err(Refusal::not_allowed_here());
        }
        if self.is_starttls_offered() {
            return Err(Refusal::encryption_required());
        }
        Ok(())
    }

    fn handle_auth(&mut self, now: Now, mechanism: &str, initial: Option<&str>) {
        if let Err(refusal) = self.decide_auth() {
            return self.refuse(now, refusal);
        }
        let Some(exchange) = Exchange::new(mechanism) else {
            return self.refuse(now, Refusal::mechanism_unknown());
        };
        match initial {
            None => self.challenge(now, exchange),
            Some(initial) => {
                let step = exchange.handle_response(auth::initial_response(initial));
                self.handle_step(now, step);
            }
        }
    }

    fn challenge(&mut self, now: Now, exchange: Exchange) {
        // A 334 has no enhanced status code: its text is the challenge (RFC 4954 §4).
        let challenge = format!("334 {}\r\n", exchange.challenge());
        self.send(now, challenge.into());
        self.enter(now, State::Exchange(exchange));
    }

    fn handle_response(&mut self, now: Now, line: &str) {
        let State::Exchange(exchange) = core::mem::replace(&mut self.state, State::Command) else {
            return;
        };
        match line {
            "*" => self.refuse(now, Refusal::auth_cancelled()),
            response => self.handle_step(now, exchange.handle_response(response)),
        }
    }

    fn handle_step(&mut self, now: Now, step: Result<Step, Refusal>) {
        match step {
            Ok(Step::Continue(exchange)) => self.challenge(now, exchange),
            Ok(Step::Credentials { username, password }) => {
                let call = Call::Authenticate { username, password };
                self.ask(now, call, Question::Authenticate);
            }
            Err(refusal) => self.refuse_auth(now, refusal),
        }
    }
}
