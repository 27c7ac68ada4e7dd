//! AUTH.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::auth::{Exchange, Step, initial_response};

/// Any response is taken or refused, and the credentials that come out of one come out of what
/// they are written as.
pub(crate) fn auth(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let (mechanism, responses) = text.split_once(' ').unwrap_or((text, ""));
    let Some(mut exchange) = Exchange::new(mechanism) else {
        return;
    };
    for (index, response) in responses.split('\n').enumerate() {
        let response = match index {
            0 => initial_response(response),
            _ => response,
        };
        assert!(STANDARD.decode(exchange.challenge()).is_ok());
        exchange = match exchange.handle_response(response) {
            Ok(Step::Continue(next)) => next,
            Ok(Step::Credentials { username, password }) => {
                assert!(!username.is_empty() && !password.reveal().is_empty());
                if !username.contains('\0') && !password.reveal().contains('\0') {
                    check_plain(&username, password.reveal());
                }
                return;
            }
            Err(refusal) => {
                assert!(matches!(refusal.code, 501 | 535), "{refusal:?}");
                return;
            }
        };
    }
}

fn check_plain(username: &str, password: &str) {
    let message = format!("\0{username}\0{password}");
    match Exchange::Plain.handle_response(&STANDARD.encode(message)) {
        Ok(Step::Credentials {
            username: again,
            password: secret,
        }) => {
            assert_eq!(
                (again.as_str(), secret.reveal().as_str()),
                (username, password)
            );
        }
        other => panic!("{other:?}"),
    }
}
