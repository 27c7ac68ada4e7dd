//! Logging in, the same for all protocols.

use std::sync::Arc;

use rmail_proto::{Address, Now, Secret, imap, smtp};
use rmail_store::{Account, StoreError};

use super::{Asker, Job, Node};
use crate::{limits, session::Reply};

/// In which protocol a reply is to be given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// SMTP.
    Smtp,
    /// IMAP.
    Imap,
}

/// How a login ended.
enum Outcome {
    Right(Arc<Account>),
    Wrong,
    Unavailable,
}

impl Node {
    pub(super) fn authenticate(
        &mut self,
        now: Now,
        asker: Asker,
        protocol: Protocol,
        username: &str,
        password: Secret<String>,
    ) {
        let address = self.login_address(username);
        let cached = address.as_ref();
        let cached = cached.and_then(|address| self.directory.cached_login(address));
        if let Some(account) = cached
            && self.passwords.knows(now, &account, &password)
        {
            return self.finish_login(asker, protocol, Outcome::Right(account));
        }
        if self.jobs.hashes_waiting.len() >= limits::HASHES_WAITING {
            return self.finish_login(asker, protocol, Outcome::Unavailable);
        }
        self.run(Job::Authenticate {
            asker,
            protocol,
            address,
            password,
        });
    }

    pub(super) fn handle_authenticated(
        &mut self,
        now: Now,
        asker: Asker,
        protocol: Protocol,
        outcome: Result<Option<Account>, StoreError>,
        password: &Secret<String>,
    ) {
        let outcome = match outcome {
            Ok(Some(account)) => {
                let account = Arc::new(account);
                self.passwords.remember(now, &account, password);
                let address = account.address.clone();
                self.directory.remember(address, Some(Arc::clone(&account)));
                Outcome::Right(account)
            }
            Ok(None) => Outcome::Wrong,
            Err(error) => {
                tracing::error!(%error, "the directory can't be read");
                Outcome::Unavailable
            }
        };
        self.finish_login(asker, protocol, outcome);
    }

    /// A name without a domain is one of the first hosted domain.
    fn login_address(&self, username: &str) -> Option<Address> {
        if username.contains('@') {
            return Address::parse(username).ok();
        }
        let domain = self.config.domains.first()?;
        Address::new(username.to_owned(), domain.clone()).ok()
    }

    fn finish_login(&mut self, asker: Asker, protocol: Protocol, outcome: Outcome) {
        let session = asker.session.0;
        match &outcome {
            Outcome::Right(account) => {
                tracing::info!(session, account = %account.address, "logged in");
                if let Some(entry) = self.sessions.get_mut(&asker.session) {
                    entry.account = Some(account.id);
                }
            }
            Outcome::Wrong => tracing::info!(session, "login refused"),
            Outcome::Unavailable => tracing::warn!(session, "login could not be checked"),
        }
        let reply = match (protocol, outcome) {
            (Protocol::Smtp, outcome) => Reply::Smtp(smtp_reply(outcome)),
            (Protocol::Imap, outcome) => Reply::Imap(imap_reply(outcome)),
        };
        self.reply(asker, reply);
    }
}

fn smtp_reply(outcome: Outcome) -> smtp::Reply {
    match outcome {
        Outcome::Right(account) => smtp::Reply::Authenticated(smtp::Identity {
            account: account.id,
            address: account.address.clone(),
        }),
        Outcome::Wrong => smtp::Reply::Refused(smtp::Refusal::credentials_invalid()),
        Outcome::Unavailable => smtp::Reply::Refused(smtp::Refusal::authentication_unavailable()),
    }
}

fn imap_reply(outcome: Outcome) -> imap::Reply {
    match outcome {
        Outcome::Right(account) => imap::Reply::Authenticated {
            account: account.id,
        },
        Outcome::Wrong => imap::Reply::No(imap::No {
            code: imap::NoCode::AuthenticationFailed,
            text: "Wrong user name or password".into(),
        }),
        Outcome::Unavailable => imap::Reply::No(imap::No {
            code: imap::NoCode::Unavailable,
            text: "Temporary failure, try again later".into(),
        }),
    }
}
