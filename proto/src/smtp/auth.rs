//! The SASL exchanges of AUTH: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login).

use alloc::{string::String, vec::Vec};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroize;

use super::Refusal;
use crate::Secret;

/// What the next response of the client is.
#[derive(Debug)]
pub(super) enum Exchange {
    /// `[authzid] NUL authcid NUL passwd`.
    Plain,
    /// The username of LOGIN.
    LoginUsername,
    /// The password of LOGIN.
    LoginPassword {
        /// As the client gave it.
        username: String,
    },
}

/// What follows a response.
#[derive(Debug)]
pub(super) enum Step {
    /// Another response is to come.
    Continue(Exchange),
    /// The exchange is over, and the credentials are to be looked at.
    Credentials {
        /// As the client gave it.
        username: String,
        /// As the client gave it.
        password: Secret<String>,
    },
}

impl Exchange {
    /// The exchange of the mechanism with this name, in any case.
    pub(super) fn new(mechanism: &str) -> Option<Self> {
        if mechanism.eq_ignore_ascii_case("PLAIN") {
            Some(Self::Plain)
        } else if mechanism.eq_ignore_ascii_case("LOGIN") {
            Some(Self::LoginUsername)
        } else {
            None
        }
    }

    /// The challenge that asks for the next response, in base64.
    pub(super) fn challenge(&self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::LoginUsername => "VXNlcm5hbWU6",
            Self::LoginPassword { .. } => "UGFzc3dvcmQ6",
        }
    }

    /// Takes a response in base64.
    pub(super) fn handle_response(self, response: &str) -> Result<Step, Refusal> {
        let text = decode_text(response)?;
        match self {
            Self::Plain => parse_plain(text.reveal()),
            Self::LoginUsername => Ok(Step::Continue(Self::LoginPassword {
                username: text.reveal().clone(),
            })),
            Self::LoginPassword { username } => credentials(username, text),
        }
    }
}

/// An initial response on the command line: `=` stands for an empty one (RFC 4954 §4).
pub(super) fn initial_response(argument: &str) -> &str {
    if argument == "=" { "" } else { argument }
}

fn decode_text(response: &str) -> Result<Secret<String>, Refusal> {
    let decoded: Vec<u8> = STANDARD
        .decode(response)
        .map_err(|_| Refusal::auth_response_malformed())?;
    String::from_utf8(decoded)
        .map(Secret::new)
        .map_err(|error| {
            error.into_bytes().zeroize();
            Refusal::auth_response_malformed()
        })
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2). Acting for somebody else
/// is not offered: an authorization identity is empty or the user's own.
fn parse_plain(message: &str) -> Result<Step, Refusal> {
    let mut fields = message.split('\0');
    let (Some(authorization), Some(username), Some(password), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Refusal::auth_response_malformed());
    };
    if !authorization.is_empty() && !authorization.eq_ignore_ascii_case(username) {
        return Err(Refusal::credentials_invalid());
    }
    credentials(username.into(), Secret::new(password.into()))
}

fn credentials(username: String, password: Secret<String>) -> Result<Step, Refusal> {
    if username.is_empty() || password.reveal().is_empty() {
        return Err(Refusal::credentials_invalid());
    }
    Ok(Step::Credentials { username, password })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn plain(message: &str) -> Result<(String, String), u16> {
        match Exchange::Plain.handle_response(&STANDARD.encode(message)) {
            Ok(Step::Credentials { username, password }) => {
                Ok((username, password.reveal().clone()))
            }
            Ok(Step::Continue(_)) => panic!("PLAIN has one response"),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn plain_gives_username_and_password() {
        let good = Ok(("alice".to_string(), "pass word".to_string()));
        assert_eq!(plain("\0alice\0pass word"), good);
        assert_eq!(plain("ALICE\0alice\0pass word"), good);
    }

    #[test]
    fn acting_for_somebody_else_is_refused() {
        assert_eq!(plain("bob\0alice\0secret"), Err(535));
    }

    #[test]
    fn malformed_responses_are_syntax_errors() {
        assert_eq!(plain(""), Err(501));
        assert_eq!(plain("\0alice"), Err(501));
        assert_eq!(plain("\0a\0b\0c"), Err(501));
        for response in ["!", "YQ", "/w=="] {
            let refusal = Exchange::Plain.handle_response(response).unwrap_err();
            assert_eq!(refusal.code, 501, "{response}");
        }
    }

    #[test]
    fn empty_credentials_never_reach_the_directory() {
        assert_eq!(plain("\0\0secret"), Err(535));
        assert_eq!(plain("\0alice\0"), Err(535));
    }
}
