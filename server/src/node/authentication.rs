//! Logging in, the same for all protocols.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use rmail_proto::{Address, Instant, Now, Secret, imap, smtp};
use rmail_store::{Account, StoreError};

use super::{
    Asker, Job, Login, Node, NodeTimer, SessionEntry, directory::Edition, http::HeldAnswer,
};
use crate::{
    credentials::Verdict,
    limits, rate_limit,
    session::{Reply, SessionEvent, SessionId},
};

/// In which protocol a reply is to be given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// SMTP.
    Smtp,
    /// IMAP.
    Imap,
}

/// An answer to a login that is kept back, as somebody guesses: see [`crate::guesses`].
#[derive(Debug)]
pub(super) enum SlowedAnswer {
    Login(Asker, Protocol, Outcome),
    Http(HeldAnswer),
}

/// How a login ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Right(Arc<Account>),
    Wrong,
    /// It was right until lately.
    Outdated,
    /// Too many failed before; for how long.
    LockedOut(Duration),
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
        if let Err(wait) = self.check_lockout(now, asker.session) {
            return self.finish_login(asker, protocol, Outcome::LockedOut(wait));
        }
        let address = self.login_address(username);
        let cached = address.as_ref();
        let cached = cached.and_then(|address| self.directory.cached_login(address));
        if let Some(account) = cached
            && self.passwords.knows(now, &account, &password)
        {
            self.note_success(asker.session, &account.address);
            return self.finish_login(asker, protocol, Outcome::Right(account));
        }
        if !self.jobs.has_room_for_hash() {
            return self.finish_login(asker, protocol, Outcome::Unavailable);
        }
        self.run(Job::Authenticate {
            asker,
            protocol,
            address,
            password,
            directory: self.directory.edition(),
            now: now.unix,
        });
    }

    pub(super) fn handle_authenticated(
        &mut self,
        now: Now,
        (asker, protocol): (Asker, Protocol),
        address: Option<&Address>,
        outcome: Result<Verdict, StoreError>,
        password: &Secret<String>,
        edition: Edition,
    ) {
        let is_current = self.directory.edition() == edition;
        let outcome = match outcome {
            Ok(verdict) => {
                self.note_login(now, asker.session, address, &verdict);
                match verdict {
                    Verdict::Right(account) => {
                        let account = Arc::from(account);
                        self.passwords.remember(now, &account, password);
                        let address = account.address.clone();
                        let known = Some(Arc::clone(&account));
                        self.directory.remember(edition, address, known);
                        Outcome::Right(account)
                    }
                    Verdict::Outdated => Outcome::Outdated,
                    Verdict::Wrong => Outcome::Wrong,
                }
            }
            Err(error) => {
                super::log_failure(&error, "the directory can't be read");
                Outcome::Unavailable
            }
        };
        match address.is_some_and(|address| self.is_slowed(now, asker.session, address)) {
            true => self.slow(now, SlowedAnswer::Login(asker, protocol, outcome)),
            false => self.finish_login(asker, protocol, outcome),
        }
        if !is_current {
            self.check_logins();
        }
    }

    /// How long a client is locked out, if it is.
    pub(super) fn check_lockout(&self, now: Now, session: SessionId) -> Result<(), Duration> {
        match self.peer_of(session) {
            Some(peer) => {
                let limits = &self.config.rate_limit;
                self.rate_limiter.check_login(now.at, limits, peer)
            }
            None => Ok(()),
        }
    }

    /// Counts a login, in whatever protocol.
    pub(super) fn note_login(
        &mut self,
        now: Now,
        session: SessionId,
        address: Option<&Address>,
        verdict: &Verdict,
    ) {
        match verdict {
            Verdict::Right(account) => self.note_success(session, &account.address),
            Verdict::Outdated => {}
            Verdict::Wrong => {
                let Some(peer) = self.peer_of(session) else {
                    return;
                };
                let limits = &self.config.rate_limit;
                self.rate_limiter
                    .note_failure(now.at, limits, peer, address);
                if let Some(address) = address
                    && !rate_limit::is_exempt(limits, peer)
                {
                    self.guesses.note(now.at, address);
                }
            }
        }
    }

    fn note_success(&mut self, session: SessionId, address: &Address) {
        if let Some(peer) = self.peer_of(session) {
            self.rate_limiter.note_success(peer, address);
        }
    }

    /// Whether the answer to a login is kept back.
    pub(super) fn is_slowed(&self, now: Now, session: SessionId, address: &Address) -> bool {
        let limits = &self.config.rate_limit;
        let peer = self.peer_of(session);
        peer.is_some_and(|peer| !rate_limit::is_exempt(limits, peer))
            && self.guesses.are_many(now.at, address)
    }

    /// Keeps an answer back for [`limits::GUESS_DELAY`].
    pub(super) fn slow(&mut self, now: Now, answer: SlowedAnswer) {
        let at = now.at + limits::GUESS_DELAY;
        self.slowed.push_back((at, answer));
        self.set_timer(at, NodeTimer::SlowedAnswer);
    }

    /// The first answer that was kept back has waited long enough.
    pub(super) fn handle_slowed(&mut self, now: Now) {
        let is_due = |(at, _): &mut (Instant, SlowedAnswer)| *at <= now.at;
        while let Some((_, answer)) = self.slowed.pop_front_if(is_due) {
            match answer {
                SlowedAnswer::Login(asker, protocol, outcome) => {
                    self.finish_login(asker, protocol, outcome);
                    // The account may have changed meanwhile.
                    self.check_logins();
                }
                SlowedAnswer::Http(answer) => self.hold_answer(answer),
            }
        }
    }

    /// Who has connected; for HTTP, whoever stands behind a trusted proxy.
    fn peer_of(&self, session: SessionId) -> Option<IpAddr> {
        let behind = self.http_client(session);
        behind.or_else(|| self.sessions.get(&session)?.peer)
    }

    /// The directory has changed: is everybody who has logged in still welcome?
    pub(super) fn check_logins(&mut self) {
        let logins: BTreeSet<Login> = self.sessions.values().filter_map(|e| e.login).collect();
        if !logins.is_empty() {
            let logins = logins.into_iter().collect();
            self.run(Job::CheckLogins(logins));
        }
    }

    /// Ends the sessions of accounts that are gone or disabled, or have another password.
    pub(super) fn handle_logins_checked(
        &mut self,
        now: Now,
        outcome: Result<Vec<Login>, StoreError>,
    ) {
        let ended = match outcome {
            Ok(ended) => ended,
            Err(error) => {
                super::log_failure(&error, "the directory can't be read");
                return self.directory.distrust();
            }
        };
        let is_ended = |entry: &SessionEntry| {
            let login = entry.login.as_ref();
            login.is_some_and(|login| ended.contains(login))
        };
        let sessions = self.sessions.iter().filter(|(_, entry)| is_ended(entry));
        let sessions: Vec<SessionId> = sessions.map(|(&session, _)| session).collect();
        for session in sessions {
            tracing::info!(session = session.0, "ended: the account has changed");
            let grace_until = now.at + limits::STOP_GRACE;
            self.notify(session, SessionEvent::Shutdown { grace_until });
        }
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
                    entry.login = Some(Login {
                        account: account.id,
                        generation: account.generation,
                    });
                }
            }
            Outcome::Wrong => tracing::info!(session, "login refused"),
            Outcome::Outdated => {
                tracing::info!(
                    session,
                    "login refused: the password before the last change"
                );
            }
            Outcome::LockedOut(wait) => {
                tracing::info!(
                    session,
                    seconds = wait.as_secs(),
                    "login refused: locked out"
                );
            }
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
        Outcome::Wrong | Outcome::Outdated => {
            smtp::Reply::Refused(smtp::Refusal::credentials_invalid())
        }
        Outcome::LockedOut(_) => smtp::Reply::Refused(smtp::Refusal::too_many_failed_logins()),
        Outcome::Unavailable => smtp::Reply::Refused(smtp::Refusal::authentication_unavailable()),
    }
}

fn imap_reply(outcome: Outcome) -> imap::Reply {
    match outcome {
        Outcome::Right(account) => imap::Reply::Authenticated {
            account: account.id,
        },
        Outcome::Wrong | Outcome::Outdated => imap::Reply::No(imap::No {
            code: imap::NoCode::AuthenticationFailed,
            text: "Wrong user name or password".into(),
        }),
        Outcome::LockedOut(wait) => imap::Reply::No(imap::No {
            code: imap::NoCode::Unavailable,
            text: format!(
                "Too many failed logins, try again in {} seconds",
                wait.as_secs().max(1)
            )
            .into(),
        }),
        Outcome::Unavailable => imap::Reply::No(imap::No {
            code: imap::NoCode::Unavailable,
            text: "Temporary failure, try again later".into(),
        }),
    }
}
