//! What HTTP sessions ask.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rmail_proto::{
    AccountId, Instant, MailboxId, Now,
    http::{self, Accept, Body, Call, Reply, Request, Response, SourceId, Status},
};
use rmail_store::{Content, StoreError};

use super::{Asker, Job, Node, authentication::SlowedAnswer, lifecycle::Hint, uploads::Piece};
use crate::{
    api::{
        answer::{self, Answer, StoredBody, Touched},
        error::{ApiError, Occasion},
        exchange::{Exchange, Origin},
        service::{Admitted, with_origin},
    },
    credentials::Verdict,
    limits,
    session::{self, SessionId},
};

/// What the node knows of its HTTP sessions.
#[derive(Debug, Default)]
pub(super) struct HttpSessions {
    sessions: BTreeMap<SessionId, HttpSession>,
    tokens: BTreeMap<u128, TokenUse>,
    /// Answers that wait until the account's IMAP sessions can know of what was written.
    answers: Vec<HeldAnswer>,
}

/// See [`HttpSessions::answers`].
#[derive(Debug)]
pub(super) struct HeldAnswer {
    asker: Asker,
    response: Box<Response>,
    /// Mailboxes, each with the number of answers of the store that it takes.
    until: Vec<(AccountId, MailboxId, u64)>,
}

/// One of them. There is one request at a time.
#[derive(Debug)]
struct HttpSession {
    origin: Origin,
    /// The request whose content is on its way.
    pending: Option<Box<Exchange>>,
    /// Who stands behind the request at work.
    client: Option<IpAddr>,
    /// The token whose request is at work.
    token: Option<u128>,
    /// The body that is being read, under the name of the last source.
    body: Option<StoredBody>,
    sources: u64,
}

/// What was asked with one token.
#[derive(Clone, Copy, Debug)]
struct TokenUse {
    /// When the minute began that is counted.
    since: Instant,
    requests: u32,
    running: u32,
}

/// What requests of one token are counted over.
const TOKEN_PERIOD: Duration = Duration::from_secs(60);

/// When to come back where others have taken all that there is.
const OVERLOAD_PAUSE: Duration = Duration::from_secs(5);

impl Node {
    pub(super) fn begin_http(&mut self, session: SessionId, origin: Origin) {
        let state = HttpSession {
            origin,
            pending: None,
            client: None,
            token: None,
            body: None,
            sources: 0,
        };
        self.http.sessions.insert(session, state);
    }

    pub(super) fn end_http(&mut self, session: SessionId) {
        let state = self.http.sessions.remove(&session);
        if let Some(token) = state.and_then(|state| state.token) {
            self.http.finish(token);
        }
    }

    /// Who asks, as far as proxies are trusted.
    pub(super) fn http_client(&self, session: SessionId) -> Option<IpAddr> {
        self.http.sessions.get(&session)?.client
    }

    /// HTTP connections of one address.
    pub(super) fn http_connections_of(&self, peer: IpAddr) -> usize {
        let sessions = self.http.sessions.values();
        sessions.filter(|state| state.origin.peer == peer).count()
    }

    pub(super) fn is_http(&self, session: SessionId) -> bool {
        self.http.sessions.contains_key(&session)
    }

    pub(super) fn handle_http(&mut self, now: Now, asker: Asker, call: Call) {
        match call {
            Call::Request(request) => self.handle_http_request(now, asker, &request),
            Call::Chunk { upload, data, last } => {
                let piece = match last {
                    true => Piece::last_of_request(data),
                    false => Piece::more(data),
                };
                // Of what was refused in the middle the machine passes over the rest.
                if self.is_pending(asker.session) {
                    self.handle_piece(now, asker, upload, piece);
                }
            }
            Call::Discard { upload } => {
                self.discard_upload(asker.session, upload);
                if self.take_pending(asker.session).is_some() {
                    self.finish_http(asker.session);
                }
            }
            Call::Read { offset, length, .. } => self.read_http_body(asker, offset, length),
            Call::Release { .. } => {
                if let Some(state) = self.http.sessions.get_mut(&asker.session) {
                    state.body = None;
                }
            }
        }
    }

    fn handle_http_request(&mut self, now: Now, asker: Asker, request: &Request) {
        let Some(state) = self.http.sessions.get(&asker.session) else {
            return;
        };
        let seed = self.entropy.next_u64();
        let (exchange, bytes_max, too_large) =
            match self.api.admit(now, state.origin, request, seed) {
                Admitted::Refused(response) => {
                    return self.reply_http(asker, Reply::Respond(response));
                }
                Admitted::Wanted {
                    exchange,
                    bytes_max,
                    too_large,
                } => (exchange, bytes_max, too_large),
            };
        if let Some(claims) = &exchange.claims
            && let Err(wait) = self.count_token(now, claims.id, &exchange)
        {
            let error = ApiError::too_many_requests().retry_after(wait);
            return self.refuse_http(asker, &exchange, error);
        }
        let state = self.http.sessions.get_mut(&asker.session);
        let state = state.expect("it was just found");
        state.client = Some(exchange.client);
        state.token = exchange.claims.as_ref().map(|claims| claims.id);
        match request.content {
            http::Content::Absent | http::Content::Length(0) => {
                self.start_http(now, asker, exchange, Content::Inline(Bytes::new()));
            }
            http::Content::Length(_) | http::Content::Chunked => {
                state.pending = Some(exchange);
                let accept = Accept {
                    bytes_max,
                    too_large,
                };
                self.reply_http(asker, Reply::Accept(accept));
            }
        }
    }

    fn is_pending(&self, session: SessionId) -> bool {
        let state = self.http.sessions.get(&session);
        state.is_some_and(|state| state.pending.is_some())
    }

    fn take_pending(&mut self, session: SessionId) -> Option<Box<Exchange>> {
        self.http.sessions.get_mut(&session)?.pending.take()
    }

    /// The request's content is complete.
    pub(super) fn start_http_upload(&mut self, now: Now, asker: Asker, content: Content) {
        match self.take_pending(asker.session) {
            Some(exchange) => self.start_http(now, asker, exchange, content),
            None => self.drop_content(&content),
        }
    }

    /// The request's content can't be kept.
    pub(super) fn refuse_http_content(&mut self, asker: Asker, error: &StoreError) {
        if let Some(exchange) = self.take_pending(asker.session) {
            self.finish_http(asker.session);
            let error = match error {
                StoreError::TooMany(_) => ApiError::unavailable().retry_after(OVERLOAD_PAUSE),
                error => answer::api_error(error.clone().into()),
            };
            self.refuse_http(asker, &exchange, error);
        }
    }

    fn start_http(&mut self, now: Now, asker: Asker, exchange: Box<Exchange>, content: Content) {
        if exchange.is_login()
            && let Err(wait) = self.check_lockout(now, asker.session)
        {
            self.drop_content(&content);
            self.finish_http(asker.session);
            let error = ApiError::too_many_logins().retry_after(wait);
            return self.refuse_http(asker, &exchange, error);
        }
        if exchange.checks_password() && !self.jobs.has_room_for_hash() {
            self.drop_content(&content);
            self.finish_http(asker.session);
            let error = ApiError::unavailable().retry_after(OVERLOAD_PAUSE);
            return self.refuse_http(asker, &exchange, error);
        }
        self.run(Job::Answer {
            asker,
            service: Arc::clone(&self.api),
            exchange,
            content,
        });
    }

    /// A request was carried out.
    pub(super) fn handle_answered(&mut self, now: Now, asker: Asker, answer: Answer) {
        let Answer {
            response,
            stored,
            touched,
        } = answer;
        for login in &touched.logins {
            if !matches!(login.verdict, Verdict::Right(_)) {
                tracing::info!(session = asker.session.0, "login refused");
            }
            self.note_login(now, asker.session, login.address.as_ref(), &login.verdict);
        }
        let mut tried = touched.logins.iter().filter_map(|it| it.address.as_ref());
        let is_slowed = tried.any(|address| self.is_slowed(now, asker.session, address));
        self.count_inner(asker.session, touched.requests);
        self.finish_http(asker.session);
        let accounts = touched.accounts.clone();
        self.handle_touched(now, touched);
        let Some(state) = self.http.sessions.get_mut(&asker.session) else {
            return;
        };
        let response = match stored {
            None => response,
            Some(body) => {
                state.sources += 1;
                state.body = Some(body);
                response.with_body(Body::Source {
                    source: SourceId(state.sources),
                    length: Some(body.size_bytes),
                })
            }
        };
        let stale = accounts.into_iter();
        let until: Vec<_> = stale
            .flat_map(|account| self.stale_mailboxes(account))
            .collect();
        let answer = HeldAnswer {
            asker,
            response: Box::new(response),
            until,
        };
        match is_slowed {
            true => self.slow(now, SlowedAnswer::Http(answer)),
            false => self.hold_answer(answer),
        }
    }

    pub(super) fn hold_answer(&mut self, answer: HeldAnswer) {
        self.http.answers.push(answer);
        self.release_answers();
    }

    /// Sends the answers that nothing keeps back any more.
    pub(super) fn release_answers(&mut self) {
        let mut kept = Vec::new();
        for answer in std::mem::take(&mut self.http.answers) {
            let mut until = answer.until.iter();
            let is_known =
                until.all(|&(account, mailbox, count)| self.is_refreshed(account, mailbox, count));
            match is_known {
                true => self.reply_http(answer.asker, Reply::Respond(answer.response)),
                false => kept.push(answer),
            }
        }
        self.http.answers = kept;
    }

    /// Tells those who wait for changes.
    fn handle_touched(&mut self, now: Now, touched: Touched) {
        for account in touched.accounts {
            self.tell_of_mail(now, account);
        }
        if touched.directory {
            self.send_hint(&Hint::Directory);
            self.handle_hint(now, &Hint::Directory.to_bytes());
        }
        if touched.subscriptions {
            self.send_hint(&Hint::Subscriptions);
            self.load_subscriptions(now);
        }
        if touched.spool {
            self.claim_spooled(now);
            self.claim_remote(now);
        }
    }

    fn tell_of_mail(&mut self, now: Now, account: AccountId) {
        self.refresh_all(Some(account));
        self.send_hint(&Hint::Account(account));
        self.mark_changed(now, account);
    }

    fn read_http_body(&mut self, asker: Asker, offset: u64, length: usize) {
        let state = self.http.sessions.get(&asker.session);
        match state.and_then(|state| state.body) {
            Some(body) => self.run(Job::ReadStored {
                asker,
                body,
                offset,
                length,
            }),
            None => self.reply_http(asker, Reply::Piece(Bytes::new())),
        }
    }

    /// A piece of a body was read. None at all breaks the response off: the message is gone.
    pub(super) fn handle_stored_read(
        &mut self,
        asker: Asker,
        outcome: Result<Option<Bytes>, StoreError>,
    ) {
        let piece = match outcome {
            Ok(piece) => piece.unwrap_or_default(),
            Err(error) => {
                super::log_failure(&error, "a message can't be read");
                Bytes::new()
            }
        };
        self.reply_http(asker, Reply::Piece(piece));
    }

    fn refuse_http(&mut self, asker: Asker, exchange: &Exchange, error: ApiError) {
        let occasion = Occasion {
            now: exchange.now,
            id: exchange.id,
            client_id: exchange.client_id.as_deref(),
        };
        let response = error.into_response(exchange.matched.route.family, &occasion);
        let response = with_origin(response, exchange.allow_origin.clone());
        self.reply_http(asker, Reply::Respond(Box::new(response)));
    }

    pub(super) fn reply_http(&mut self, asker: Asker, reply: Reply) {
        if let Reply::Respond(response) = &reply {
            log_response(asker.session, response);
        }
        self.reply(asker, session::Reply::Http(reply));
    }

    /// The session's request is at work no more.
    fn finish_http(&mut self, session: SessionId) {
        let state = self.http.sessions.get_mut(&session);
        if let Some(token) = state.and_then(|state| state.token.take()) {
            self.http.finish(token);
        }
    }

    /// Requests within a batch count as others do.
    fn count_inner(&mut self, session: SessionId, requests: u32) {
        let state = self.http.sessions.get(&session);
        let token = state.and_then(|state| state.token);
        if let Some(entry) = token.and_then(|token| self.http.tokens.get_mut(&token)) {
            entry.requests = entry.requests.saturating_add(requests);
        }
    }

    /// Counts a request of a token; how long to wait when there are too many.
    fn count_token(&mut self, now: Now, token: u128, exchange: &Exchange) -> Result<(), Duration> {
        let bounds = &self.config.exchange_api.limits;
        let mut whitelist = self.config.rate_limit.whitelist.iter();
        let is_free = whitelist.any(|network| network.contains(exchange.client));
        let http = &mut self.http;
        http.forget_tokens(now);
        let entry = http.tokens.entry(token).or_insert(TokenUse {
            since: now.at,
            requests: 0,
            running: 0,
        });
        if now.at >= entry.since + TOKEN_PERIOD {
            entry.since = now.at;
            entry.requests = 0;
        }
        if !is_free && entry.requests >= bounds.requests_per_minute.get() {
            return Err((entry.since + TOKEN_PERIOD).since(now.at));
        }
        if !is_free && entry.running >= bounds.requests_at_once.get() {
            return Err(Duration::from_secs(1));
        }
        entry.requests += 1;
        entry.running += 1;
        Ok(())
    }
}

impl HttpSessions {
    fn finish(&mut self, token: u128) {
        if let Some(entry) = self.tokens.get_mut(&token) {
            entry.running = entry.running.saturating_sub(1);
        }
    }

    /// Makes room where there are many: those whose minute is over count from zero in any case.
    fn forget_tokens(&mut self, now: Now) {
        if self.tokens.len() < limits::TOKENS_COUNTED {
            return;
        }
        self.tokens
            .retain(|_, entry| entry.running > 0 || now.at < entry.since + TOKEN_PERIOD);
    }
}

fn log_response(session: SessionId, response: &Response) {
    let status = response.status();
    match status {
        Status::INTERNAL_SERVER_ERROR => {
            tracing::error!(
                session = session.0,
                "a request failed; see the lines before"
            );
        }
        _ => tracing::debug!(session = session.0, status = status.code(), "answered"),
    }
}
