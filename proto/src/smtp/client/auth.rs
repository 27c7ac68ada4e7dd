//! The SASL exchanges as the client: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login) and
//! SCRAM-SHA-256 (RFC 5802, RFC 7677).

use alloc::{format, string::String, vec::Vec};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Credentials, Mechanisms, ScramInput};
use crate::{Secret, limits};

/// Longest AUTH command with an initial response, CRLF included (RFC 4954 §4: the limit of
/// command lines).
const COMMAND_LINE_BYTES: usize = 512;

/// An exchange that has begun.
#[derive(Debug)]
pub(super) enum Exchange {
    /// What is left to answer challenges with, whatever they say, the last first, in base64.
    Scripted(Vec<Secret<String>>),
    /// SCRAM-SHA-256.
    Scram(Scram),
}

/// Where SCRAM stands.
#[derive(Debug)]
pub(super) enum Scram {
    /// The server's first message is awaited.
    First {
        client_first_bare: String,
        nonce: String,
        password: Secret<String>,
    },
    /// The world computes.
    Computing { client_final_without_proof: String },
    /// The server's final message is awaited.
    Final { server_signature: [u8; 32] },
    /// The server has proved itself; its reply code is awaited.
    Verified,
}

/// What follows a challenge.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this line, in base64, and go on.
    Respond(Secret<String>, Exchange),
    /// Ask the world, then call [`Scram::handle_computed`].
    Compute(ScramInput, Scram),
    /// The server asks for what it must not be given, or has not proved itself.
    Distrust,
}

impl Exchange {
    /// Picks the best mechanism of those offered that may be used, and begins. Returns the AUTH
    /// command without CRLF; `None` when there is no such mechanism.
    pub(super) fn begin(
        credentials: &Credentials,
        offered: Mechanisms,
        has_tls: bool,
    ) -> Option<(Secret<String>, Self)> {
        let may_show = has_tls || credentials.cleartext_allowed;
        let Credentials {
            username, password, ..
        } = credentials;
        if offered.scram_sha_256 {
            let nonce = STANDARD.encode(credentials.nonce);
            let name = username.replace('=', "=3D").replace(',', "=2C");
            let client_first_bare = format!("n={name},r={nonce}");
            let first = encode(&format!("n,,{client_first_bare}"));
            let scram = Scram::First {
                client_first_bare,
                nonce,
                password: password.clone(),
            };
            let line = format!("AUTH SCRAM-SHA-256 {}", first.reveal());
            return Some((Secret::new(line), Self::Scram(scram)));
        }
        if offered.plain && may_show {
            let message = Secret::new(format!("\0{username}\0{}", password.reveal()));
            let response = encode(message.reveal());
            let line = Secret::new(format!("AUTH PLAIN {}", response.reveal()));
            if line.reveal().len() + 2 <= COMMAND_LINE_BYTES {
                return Some((line, Self::Scripted(Vec::new())));
            }
            let exchange = Self::Scripted([response].into());
            return Some((Secret::new("AUTH PLAIN".into()), exchange));
        }
        if offered.login && may_show {
            let responses = [encode(password.reveal()), encode(username)];
            let exchange = Self::Scripted(responses.into());
            return Some((Secret::new("AUTH LOGIN".into()), exchange));
        }
        None
    }

    /// Takes a challenge (the text of a 334), in base64.
    pub(super) fn handle_challenge(self, challenge: &str) -> Step {
        match self {
            Self::Scripted(mut responses) => match responses.pop() {
                Some(response) => Step::Respond(response, Self::Scripted(responses)),
                None => Step::Distrust,
            },
            Self::Scram(scram) => {
                let decoded = STANDARD.decode(challenge).ok();
                let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
                let bounded = text.filter(|text| text.len() <= limits::SCRAM_MESSAGE_BYTES);
                let step = bounded.and_then(|message| scram.handle_message(&message));
                step.unwrap_or(Step::Distrust)
            }
        }
    }

    /// Whether a positive reply may end the exchange here.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Scripted(responses) => responses.is_empty(),
            Self::Scram(scram) => matches!(scram, Scram::Verified),
        }
    }
}

impl Scram {
    fn handle_message(self, message: &str) -> Option<Step> {
        match self {
            Self::First {
                client_first_bare,
                nonce,
                password,
            } => {
                let first = ServerFirst::parse(message, &nonce)?;
                // `biws` is `n,,`: no channel binding.
                let client_final_without_proof = format!("c=biws,r={}", first.nonce);
                let input = ScramInput {
                    password,
                    salt: first.salt,
                    iterations: first.iterations,
                    auth_message: format!(
                        "{client_first_bare},{message},{client_final_without_proof}"
                    ),
                };
                let scram = Self::Computing {
                    client_final_without_proof,
                };
                Some(Step::Compute(input, scram))
            }
            Self::Final { server_signature } => {
                let signature = message.strip_prefix("v=")?.split(',').next()?;
                let signature = STANDARD.decode(signature).ok()?;
                let differing = signature
                    .iter()
                    .zip(server_signature)
                    .fold(0, |sum, (a, b)| sum | (a ^ b));
                let is_ours = signature.len() == server_signature.len() && differing == 0;
                let empty = Secret::new(String::new());
                is_ours.then_some(Step::Respond(empty, Exchange::Scram(Self::Verified)))
            }
            Self::Computing { .. } | Self::Verified => None,
        }
    }

    /// Takes what the world has computed; returns the line to send, in base64.
    pub(super) fn handle_computed(
        self,
        client_proof: [u8; 32],
        server_signature: [u8; 32],
    ) -> Option<(Secret<String>, Exchange)> {
        let Self::Computing {
            client_final_without_proof,
        } = self
        else {
            return None;
        };
        let proof = STANDARD.encode(client_proof);
        let line = encode(&format!("{client_final_without_proof},p={proof}"));
        Some((line, Exchange::Scram(Self::Final { server_signature })))
    }
}

/// `server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]`
/// (RFC 5802 §7). An extension that is mandatory fails it.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn parse(message: &'a str, client_nonce: &str) -> Option<Self> {
        let mut fields = message.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?;
        let salt = STANDARD.decode(fields.next()?.strip_prefix("s=")?).ok()?;
        let iterations = fields.next()?.strip_prefix("i=")?.parse().ok()?;
        let longer = nonce.len() > client_nonce.len() && nonce.starts_with(client_nonce);
        let printable = nonce.bytes().all(|byte| byte.is_ascii_graphic());
        let bounded = limits::SCRAM_ITERATIONS.contains(&iterations);
        (longer && printable && bounded && !salt.is_empty()).then_some(Self {
            nonce,
            salt,
            iterations,
        })
    }
}

fn encode(text: &str) -> Secret<String> {
    Secret::new(STANDARD.encode(text))
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned;

    use super::*;

    const ALL: Mechanisms = Mechanisms {
        plain: true,
        login: true,
        scram_sha_256: true,
    };

    /// The example of RFC 7677 §3, whose nonce is 18 octets in base64.
    fn credentials() -> Credentials {
        let nonce = STANDARD.decode("rOprNGfwEbeRWgbNEkqOabcd").unwrap();
        Credentials {
            username: "user".to_owned(),
            password: Secret::new("pencil".to_owned()),
            cleartext_allowed: false,
            nonce: nonce.try_into().unwrap(),
        }
    }

    fn scram_first() -> Exchange {
        let (line, exchange) = Exchange::begin(&credentials(), ALL, false).unwrap();
        let first = line.reveal().strip_prefix("AUTH SCRAM-SHA-256 ").unwrap();
        let first = STANDARD.decode(first).unwrap();
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqOabcd");
        exchange
    }

    fn challenge(exchange: Exchange, message: &str) -> Step {
        exchange.handle_challenge(&STANDARD.encode(message))
    }

    #[test]
    fn scram_puts_together_what_the_rfc_says() {
        let nonce = "rOprNGfwEbeRWgbNEkqOabcdSERVER";
        let first = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let Step::Compute(input, scram) = challenge(scram_first(), &first) else {
            panic!("nothing to compute");
        };
        let expected = format!("n=user,r=rOprNGfwEbeRWgbNEkqOabcd,{first},c=biws,r={nonce}");
        assert_eq!(input.auth_message, expected);
        assert_eq!(input.iterations, 4096);
        assert_eq!(input.salt.len(), 16);
        let (line, exchange) = scram.handle_computed([1; 32], [2; 32]).unwrap();
        let line = STANDARD.decode(line.reveal()).unwrap();
        let proof = STANDARD.encode([1; 32]);
        assert_eq!(line, format!("c=biws,r={nonce},p={proof}").as_bytes());
        assert!(!exchange.is_complete());
        let signature = STANDARD.encode([2; 32]);
        match challenge(exchange, &format!("v={signature}")) {
            Step::Respond(line, exchange) => {
                assert_eq!(line.reveal(), "");
                assert!(exchange.is_complete());
            }
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn server_that_does_not_know_the_password_is_not_trusted() {
        for signature in ["v=AAAA", "v=", "e=invalid-proof", "v=*"] {
            let scram = Scram::Final {
                server_signature: [0; 32],
            };
            let step = challenge(Exchange::Scram(scram), signature);
            assert!(matches!(step, Step::Distrust), "{signature}");
        }
    }

    #[test]
    fn faulty_first_messages_are_not_answered() {
        let nonce = "rOprNGfwEbeRWgbNEkqOabcd";
        let long = "x".repeat(limits::SCRAM_MESSAGE_BYTES);
        for message in [
            format!("r={nonce},s=QUFB,i=4096"),
            format!("r=other{nonce},s=QUFB,i=4096"),
            format!("r={nonce}x,s=,i=4096"),
            format!("r={nonce}x,s=*,i=4096"),
            format!("r={nonce}x,s=QUFB,i=4095"),
            format!("r={nonce}x,s=QUFB,i=1000001"),
            format!("m=x,r={nonce}x,s=QUFB,i=4096"),
            format!("r={nonce}{long},s=QUFB,i=4096"),
            String::new(),
        ] {
            let step = challenge(scram_first(), &message);
            assert!(matches!(step, Step::Distrust), "{message}");
        }
        let most = format!("r={nonce}x,s=QUFB,i=1000000");
        assert!(matches!(challenge(scram_first(), &most), Step::Compute(..)));
    }

    #[test]
    fn names_can_not_add_attributes() {
        let credentials = Credentials {
            username: "a,r=b".to_owned(),
            ..credentials()
        };
        let (line, _) = Exchange::begin(&credentials, ALL, true).unwrap();
        let first = line.reveal().strip_prefix("AUTH SCRAM-SHA-256 ").unwrap();
        let first = String::from_utf8(STANDARD.decode(first).unwrap()).unwrap();
        assert!(first.starts_with("n,,n=a=2Cr=3Db,r="), "{first}");
    }

    #[test]
    fn password_is_shown_only_where_it_may_be() {
        let shown = Mechanisms {
            scram_sha_256: false,
            ..ALL
        };
        assert!(Exchange::begin(&credentials(), shown, false).is_none());
        let (line, _) = Exchange::begin(&credentials(), shown, true).unwrap();
        assert_eq!(line.reveal(), "AUTH PLAIN AHVzZXIAcGVuY2ls");
        let allowed = Credentials {
            cleartext_allowed: true,
            ..credentials()
        };
        assert!(Exchange::begin(&allowed, shown, false).is_some());
        let login = Mechanisms {
            plain: false,
            ..shown
        };
        let (line, exchange) = Exchange::begin(&allowed, login, false).unwrap();
        assert_eq!(line.reveal(), "AUTH LOGIN");
        let Step::Respond(line, exchange) = exchange.handle_challenge("VXNlcm5hbWU6") else {
            panic!("no name");
        };
        assert_eq!(line.reveal(), "dXNlcg==");
        let Step::Respond(line, exchange) = exchange.handle_challenge("") else {
            panic!("no password");
        };
        assert_eq!(line.reveal(), "cGVuY2ls");
        assert!(exchange.is_complete());
        assert!(matches!(exchange.handle_challenge(""), Step::Distrust));
    }

    #[test]
    fn response_that_makes_the_command_too_long_waits_for_its_challenge() {
        let long = Credentials {
            password: Secret::new("x".repeat(400)),
            ..credentials()
        };
        let plain = Mechanisms {
            plain: true,
            ..Mechanisms::default()
        };
        let (line, exchange) = Exchange::begin(&long, plain, true).unwrap();
        assert_eq!(line.reveal(), "AUTH PLAIN");
        assert!(!exchange.is_complete());
    }
}
