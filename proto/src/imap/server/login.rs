//! Logging in: LOGIN and AUTHENTICATE (RFC 3501 §6.2).

use alloc::{string::String, vec::Vec};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    session::{Ending, Session, State},
    task::{Step, refused_or_wrong},
};
use crate::{
    Line, LineBuffer, Secret,
    imap::{
        Call, Reply,
        wire::{Condition, ResponseCode, Tag, write_continuation},
    },
    limits,
};

/// Waits for the verdict over credentials.
#[derive(Debug)]
pub(super) struct Login {
    tag: Tag,
    credentials: Option<(String, Secret<String>)>,
}

impl Login {
    pub(super) fn new(tag: Tag, username: String, password: Secret<String>) -> Self {
        Self {
            tag,
            credentials: Some((username, password)),
        }
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if let Some((username, password)) = self.credentials.take() {
            return Step::Ask(Call::Authenticate { username, password });
        }
        match reply {
            Some(Reply::Authenticated { .. }) => {
                session.state = State::Authenticated;
                let capabilities = session.capabilities();
                let code = Some(ResponseCode::Capability(&capabilities));
                Step::Done(Ending::new(&self.tag, Condition::Ok, code, "Logged in"))
            }
            Some(reply) => {
                session.login_failures += 1;
                let ending = refused_or_wrong(&self.tag, &reply);
                if session.login_failures < limits::IMAP_LOGIN_FAILURES_MAX {
                    return Step::Done(ending);
                }
                session.output.buffer().extend_from_slice(&ending.line);
                Step::Bye("Too many failed logins")
            }
            None => Step::More,
        }
    }
}

/// The lines of an AUTHENTICATE (RFC 4954 has the same two mechanisms for SMTP).
#[derive(Debug)]
pub(super) struct Exchange {
    tag: Tag,
    mechanism: Mechanism,
    lines: LineBuffer,
}

#[derive(Debug)]
enum Mechanism {
    /// RFC 4616: one response.
    Plain,
    /// draft-murchison-sasl-login: the username, then the password.
    LoginUsername,
    LoginPassword {
        username: String,
    },
}

/// What a line of an AUTHENTICATE leads to.
#[derive(Debug)]
pub(super) enum Responded {
    /// More of the line, or another one, is needed.
    Waiting,
    /// The credentials are complete.
    Login(Login),
    /// The exchange is over.
    Fault(Ending),
}

impl Exchange {
    /// Begins with a mechanism, in capitals. `None` when it is not known.
    pub(super) fn new(tag: Tag, mechanism: &str) -> Option<Self> {
        let mechanism = match mechanism {
            "PLAIN" => Mechanism::Plain,
            "LOGIN" => Mechanism::LoginUsername,
            _ => return None,
        };
        Some(Self {
            tag,
            mechanism,
            lines: LineBuffer::default(),
        })
    }

    /// Asks for the next response.
    pub(super) fn challenge(&self, session: &mut Session) {
        let text = match self.mechanism {
            Mechanism::Plain => "",
            Mechanism::LoginUsername => "VXNlcm5hbWU6",
            Mechanism::LoginPassword { .. } => "UGFzc3dvcmQ6",
        };
        write_continuation(session.output.buffer(), text);
    }

    /// Takes bytes up to the end of a line.
    pub(super) fn handle_input(
        &mut self,
        session: &mut Session,
        input: &[u8],
    ) -> (usize, Responded) {
        let (consumed, line) = self.lines.handle_input(input, limits::IMAP_AUTH_LINE_BYTES);
        let responded = match line {
            Line::Incomplete => Responded::Waiting,
            Line::Complete(line) if line == b"*" => self.fault("Cancelled"),
            Line::Complete(line) => self.handle_response(session, Secret::new(line)),
            Line::TooLong => self.fault("Line is too long"),
            Line::BareNewline => self.fault("Lines end in CRLF"),
        };
        (consumed, responded)
    }

    /// Takes a response in base64: a line, or the initial response (RFC 4959).
    pub(super) fn handle_response(
        &mut self,
        session: &mut Session,
        response: Secret<Vec<u8>>,
    ) -> Responded {
        let Some(decoded) = decode(&response) else {
            return self.fault("This is no base64 of a text");
        };
        match &mut self.mechanism {
            Mechanism::Plain => match split_plain(decoded.reveal()) {
                Some((username, password)) => self.login(username, password),
                None => self.fault("This is no response of PLAIN"),
            },
            Mechanism::LoginUsername => {
                let username = decoded.reveal().clone();
                self.mechanism = Mechanism::LoginPassword { username };
                self.challenge(session);
                Responded::Waiting
            }
            Mechanism::LoginPassword { username } => {
                let username = core::mem::take(username);
                self.login(username, decoded)
            }
        }
    }

    fn login(&self, username: String, password: Secret<String>) -> Responded {
        Responded::Login(Login::new(self.tag.clone(), username, password))
    }

    fn fault(&self, text: &str) -> Responded {
        Responded::Fault(Ending::bad(&self.tag, text))
    }
}

fn decode(response: &Secret<Vec<u8>>) -> Option<Secret<String>> {
    let decoded = Secret::new(STANDARD.decode(response.reveal()).ok()?);
    let text = core::str::from_utf8(decoded.reveal()).ok()?;
    Some(Secret::new(String::from(text)))
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2). Acting for somebody else is not offered, so
/// an authorization identity must be the user's own.
fn split_plain(response: &str) -> Option<(String, Secret<String>)> {
    let mut fields = response.split('\0');
    let (authorization, username) = (fields.next()?, fields.next()?);
    let password = fields.next()?;
    let valid = fields.next().is_none()
        && !username.is_empty()
        && (authorization.is_empty() || authorization == username);
    valid.then(|| (String::from(username), Secret::new(String::from(password))))
}
