//! The client's side of an SMTP or LMTP session.

mod auth;
mod call;
mod commands;
mod content;
mod delivery;
mod extensions;
mod fate;
mod lines;
mod opening;
mod timeouts;
mod transaction;

use alloc::{boxed::Box, collections::VecDeque, string::String};
use core::fmt;

use bytes::Bytes;

pub use call::{
    Call, Config, Credentials, Message, Protocol, Recipient, Reply, Report, ScramInput, Security,
};
pub use extensions::{Extensions, Mechanisms};
pub use fate::{End, Fate, Stage, Trouble};

use super::{
    PeerReply,
    peer_reply::{Read, ReplyReader},
};
use crate::{
    Action, CallId, CallIds, Close, Connection, Event, Instant, Now, SendCredit, Timeout, TlsInfo,
    limits,
};
use delivery::{Delivery, Surveying};
use transaction::Transaction;

/// An SMTP client connection (RFC 5321) as a state machine, which sends one message after another.
///
/// | state | waits for | then |
/// |---|---|---|
/// | handshake | `TlsEstablished` | greeting (implicit TLS), hello (STARTTLS) |
/// | greeting | 220 | hello |
/// | hello | the reply to EHLO, HELO or LHLO | hello (HELO after EHLO), STARTTLS, exchange, ready |
/// | STARTTLS | 220 | handshake; where TLS is not required and refused, exchange or ready |
/// | exchange | a reply to AUTH or a line of it | exchange, computing, ready |
/// | computing | the world's SCRAM proof | exchange |
/// | ready | send credit | asking, sending |
/// | asking | the next message | surveying, sending, ready, quitting |
/// | surveying | the content, piece by piece, to find out how it is converted | sending, ready |
/// | sending | replies of a mail transaction; the content, piece by piece | resetting, ready |
/// | resetting | the reply to RSET | ready |
/// | quitting | the reply to QUIT | closed |
/// | closed | nothing | |
///
/// Input is always consumed, but for the time of a handshake and after the close. A reply to
/// nothing, one that does not fit, and what is no reply at all end the session: no peer is
/// followed that may be out of step. A 421 ends it wherever it comes.
///
/// Whatever happens, each recipient of each message that was taken is in exactly one
/// [`Call::Report`]; then [`Call::Ended`] comes once, and the close.
///
/// `PeerClosed` is to come after the last input was consumed. On `Shutdown`, the mail transaction
/// under way is finished, and QUIT follows.
///
/// A message goes to a peer that lacks PIPELINING command by command. To one that has it, MAIL and
/// all RCPT go at once, with DATA (RFC 2920 §3.1) unless the content goes by BDAT (RFC 3030), or
/// the peer speaks LMTP. More recipients than fit one transaction go in the next ones, with those
/// for which the peer said that they are too many (RFC 5321 §4.5.3.1.10).
pub struct Client {
    config: Config,
    state: State,
    /// When the state was entered, a reply came, or a piece of the content went out.
    waiting_since: Instant,
    actions: VecDeque<Action<Call>>,
    calls: CallIds,
    replies: ReplyReader,
    credit: SendCredit,
    /// When bytes last went out, or were first queued after all had.
    sent_at: Instant,
    tls: Option<TlsInfo>,
    peer: Extensions,
    transactions: u32,
    shutdown_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Handshake,
    Greeting,
    Hello { extended: bool },
    StartTls,
    Exchange(auth::Exchange),
    Computing { call: CallId, scram: auth::Scram },
    Ready(Option<Box<Delivery>>),
    Asking(CallId),
    Surveying(Box<Surveying>),
    Sending(Box<Transaction>),
    Resetting(Option<Box<Delivery>>),
    Quitting,
    Closed(Close),
}

impl Client {
    /// Waits for the greeting, or for TLS where that comes first.
    pub fn new(config: Config, now: Now) -> Self {
        let state = match config.security {
            Security::Implicit => State::Handshake,
            Security::Cleartext | Security::Opportunistic | Security::Required => State::Greeting,
        };
        Self {
            config,
            state,
            waiting_since: now.at,
            actions: VecDeque::new(),
            calls: CallIds::default(),
            replies: ReplyReader::default(),
            credit: SendCredit::default(),
            sent_at: now.at,
            tls: None,
            peer: Extensions::default(),
            transactions: 0,
            shutdown_at: None,
        }
    }

    /// What was agreed in the handshake, once TLS is up.
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// What the peer offered in its last answer to EHLO.
    pub fn extensions(&self) -> &Extensions {
        &self.peer
    }

    fn enter(&mut self, now: Now, state: State) {
        self.state = state;
        self.waiting_since = now.at;
        self.advance(now);
    }

    /// Goes on where nothing but send credit or a piece of content is needed for it.
    fn advance(&mut self, now: Now) {
        match &self.state {
            State::Ready(_) => self.advance_ready(now),
            State::Sending(_) => self.advance_transaction(now),
            State::Handshake
            | State::Greeting
            | State::Hello { .. }
            | State::StartTls
            | State::Exchange(_)
            | State::Computing { .. }
            | State::Asking(_)
            | State::Surveying(_)
            | State::Resetting(_)
            | State::Quitting
            | State::Closed(_) => {}
        }
    }

    fn advance_ready(&mut self, now: Now) {
        if self.credit.available_bytes() < limits::SMTP_CLIENT_CREDIT_BYTES {
            return;
        }
        let State::Ready(delivery) = core::mem::replace(&mut self.state, State::Ready(None)) else {
            return;
        };
        let spent = self
            .peer
            .mails_max
            .is_some_and(|max| self.transactions >= max);
        match delivery {
            Some(delivery) if self.shutdown_at.is_some() => {
                self.report_rest(*delivery, &Trouble::ShuttingDown);
                self.quit(now);
            }
            Some(delivery) if spent => {
                self.report_rest(*delivery, &Trouble::ConnectionSpent);
                self.quit(now);
            }
            Some(delivery) => self.begin_transaction(now, delivery),
            None if spent || self.shutdown_at.is_some() => self.quit(now),
            None => {
                let call = self.call(Call::NextMessage);
                self.enter(now, State::Asking(call));
            }
        }
    }

    fn send(&mut self, now: Now, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.credit.available_bytes() == limits::SEND_CREDIT_BYTES {
            self.sent_at = now.at;
        }
        self.credit.spend(bytes.len());
        self.actions.push_back(Action::Send(bytes));
    }

    /// Sends a line without its CRLF.
    fn send_line(&mut self, now: Now, line: &str) {
        self.send(now, [line, "\r\n"].concat().into());
    }

    fn call(&mut self, call: Call) -> CallId {
        let id = self.calls.allocate();
        self.actions.push_back(Action::Call(id, call));
        id
    }

    fn report(&mut self, report: Report) {
        if !report.fates.is_empty() {
            self.call(Call::Report(report));
        }
    }

    /// The recipients that have met no fate meet this one.
    fn report_rest(&mut self, delivery: Delivery, trouble: &Trouble) {
        let report = delivery.into_report(&trouble.clone().into_fate());
        self.report(report);
    }

    fn quit(&mut self, now: Now) {
        self.send_line(now, "QUIT");
        self.enter(now, State::Quitting);
    }

    /// Ends the session before its time, and tells the fates of all that was under way.
    fn break_off(&mut self, now: Now, trouble: Trouble) {
        if let State::Closed(_) = self.state {
            return;
        }
        let close = if self.may_say_farewell(&trouble) {
            self.send_line(now, "QUIT");
            Close::Flush
        } else {
            Close::Abort
        };
        let state = core::mem::replace(&mut self.state, State::Closed(close));
        match state {
            State::Computing { call, .. } | State::Asking(call) => {
                self.actions.push_back(Action::Cancel(call));
            }
            State::Surveying(surveying) => {
                self.actions.push_back(Action::Cancel(surveying.reading));
                self.report_rest(surveying.delivery, &trouble);
            }
            State::Sending(transaction) => {
                if let Some(call) = transaction.reading() {
                    self.actions.push_back(Action::Cancel(call));
                }
                let report = transaction.into_report(&trouble);
                self.report(report);
            }
            State::Ready(Some(delivery)) | State::Resetting(Some(delivery)) => {
                self.report_rest(*delivery, &trouble);
            }
            State::Handshake
            | State::Greeting
            | State::Hello { .. }
            | State::StartTls
            | State::Exchange(_)
            | State::Ready(None)
            | State::Resetting(None)
            | State::Quitting
            | State::Closed(_) => {}
        }
        self.close(now, End::Broken(trouble), close);
    }

    /// Whether QUIT is said at a session's early end, without waiting for the answer (RFC 5321
    /// §4.1.1.10): between commands, to a peer that is there, in step, and has not ended it by 421.
    fn may_say_farewell(&self, trouble: &Trouble) -> bool {
        let is_within = matches!(
            self.state,
            State::Handshake | State::Sending(_) | State::Computing { .. }
        );
        let is_pointless = match trouble {
            Trouble::Refused(reply) => reply.is_final(),
            Trouble::Lost
            | Trouble::Malformed
            | Trouble::OutOfTurn(_)
            | Trouble::Timeout(_)
            | Trouble::TlsFailed(_)
            | Trouble::ServerNotAuthentic => true,
            Trouble::Smtputf8Unsupported
            | Trouble::NotConvertible(_)
            | Trouble::TooLarge { .. }
            | Trouble::ContentUnavailable
            | Trouble::ConnectionSpent
            | Trouble::OwnName
            | Trouble::TlsUnavailable
            | Trouble::StartTlsRefused(_)
            | Trouble::AuthUnavailable
            | Trouble::AuthRefused(_)
            | Trouble::ShuttingDown => false,
        };
        !is_within && !is_pointless
    }

    fn close(&mut self, now: Now, end: End, close: Close) {
        self.replies.clear();
        self.state = State::Closed(close);
        self.waiting_since = now.at;
        self.call(Call::Ended(end));
        self.actions.push_back(Action::Close(close));
    }

    /// Everything is done, and the peer has answered QUIT or not.
    fn finish(&mut self, now: Now, close: Close) {
        self.close(now, End::Finished, close);
    }

    fn handle_peer_reply(&mut self, now: Now, reply: PeerReply) {
        self.waiting_since = now.at;
        if let State::Quitting = self.state {
            return self.finish(now, Close::Flush);
        }
        if reply.is_final() {
            return self.break_off(now, Trouble::Refused(reply));
        }
        match core::mem::replace(&mut self.state, State::Ready(None)) {
            State::Greeting => self.handle_greeting(now, reply),
            State::Hello { extended } => self.handle_hello_reply(now, extended, reply),
            State::StartTls => self.handle_starttls_reply(now, reply),
            State::Exchange(exchange) => self.handle_auth_reply(now, exchange, reply),
            State::Resetting(delivery) if reply.is_positive() => {
                self.enter(now, State::Ready(delivery));
            }
            State::Resetting(delivery) => {
                self.state = State::Resetting(delivery);
                self.break_off(now, Trouble::Refused(reply));
            }
            State::Sending(mut transaction) => {
                let reading = transaction.reading();
                let handled = transaction.handle_reply(reply);
                // The refusal of a chunk ends the content.
                if let Some(call) = reading.filter(|_| transaction.reading().is_none()) {
                    self.actions.push_back(Action::Cancel(call));
                }
                self.state = State::Sending(transaction);
                match handled {
                    Ok(()) => self.advance(now),
                    Err(trouble) => self.break_off(now, trouble),
                }
            }
            state @ (State::Handshake
            | State::Computing { .. }
            | State::Ready(_)
            | State::Asking(_)
            | State::Surveying(_)
            | State::Quitting
            | State::Closed(_)) => {
                self.state = state;
                self.break_off(now, Trouble::OutOfTurn(reply));
            }
        }
    }

    /// A reply to a call that nobody waits for is ignored.
    fn handle_reply(&mut self, now: Now, id: CallId, reply: Reply) {
        match core::mem::replace(&mut self.state, State::Ready(None)) {
            State::Asking(call) if call == id => match reply {
                Reply::Message(message) => self.begin_delivery(now, *message),
                Reply::NoMore
                | Reply::Bytes(_)
                | Reply::Unavailable
                | Reply::Noted
                | Reply::Scram { .. } => self.quit(now),
            },
            State::Computing { call, scram } if call == id => {
                self.handle_computed(now, scram, reply);
            }
            State::Surveying(surveying) if surveying.reading == id => {
                self.survey(now, *surveying, content_in(reply));
            }
            State::Sending(transaction) if transaction.reading() == Some(id) => {
                self.state = State::Sending(transaction);
                match content_in(reply) {
                    Some(piece) => self.handle_piece(now, piece),
                    None => self.break_off(now, Trouble::ContentUnavailable),
                }
            }
            state => self.state = state,
        }
    }

    fn handle_peer_closed(&mut self, now: Now) {
        match &self.state {
            State::Closed(_) => {}
            State::Quitting => self.finish(now, Close::Abort),
            State::Handshake => {
                let reason = String::from("the connection was closed");
                self.break_off(now, Trouble::TlsFailed(reason));
            }
            State::Greeting
            | State::Hello { .. }
            | State::StartTls
            | State::Exchange(_)
            | State::Computing { .. }
            | State::Ready(_)
            | State::Asking(_)
            | State::Surveying(_)
            | State::Sending(_)
            | State::Resetting(_) => self.break_off(now, Trouble::Lost),
        }
    }

    fn handle_shutdown(&mut self, now: Now, grace_until: Instant) {
        match &self.state {
            State::Closed(_) => {}
            State::Handshake
            | State::Greeting
            | State::Hello { .. }
            | State::StartTls
            | State::Exchange(_)
            | State::Computing { .. }
            | State::Surveying(_) => self.break_off(now, Trouble::ShuttingDown),
            State::Asking(call) => {
                self.actions.push_back(Action::Cancel(*call));
                self.shutdown_at = Some(grace_until);
                self.quit(now);
            }
            State::Ready(_) | State::Sending(_) | State::Resetting(_) | State::Quitting => {
                self.shutdown_at = Some(grace_until);
            }
        }
    }
}

impl Connection for Client {
    type Call = Call;
    type Reply = Reply;

    fn handle_input(&mut self, now: Now, input: &[u8]) -> usize {
        if input.is_empty() || matches!(self.state, State::Handshake | State::Closed(_)) {
            return 0;
        }
        let (consumed, read) = self.replies.handle_input(input);
        match read {
            Read::Incomplete => {}
            Read::Complete(reply) => self.handle_peer_reply(now, reply),
            Read::Malformed if matches!(self.state, State::Quitting) => {
                self.finish(now, Close::Abort);
            }
            Read::Malformed => self.break_off(now, Trouble::Malformed),
        }
        consumed
    }

    fn handle_event(&mut self, now: Now, event: Event<Reply>) {
        match event {
            Event::TlsEstablished(tls) => self.handle_tls_established(now, tls),
            Event::TlsFailed(reason) => {
                if let State::Handshake = self.state {
                    self.break_off(now, Trouble::TlsFailed(reason));
                }
            }
            Event::Reply(id, reply) => self.handle_reply(now, id, reply),
            Event::Notice(_) => {}
            Event::Sent(bytes) => {
                self.credit.give_back(bytes);
                self.sent_at = now.at;
                self.advance(now);
            }
            Event::Timeout => self.handle_timeout(now),
            Event::PeerClosed => self.handle_peer_closed(now),
            Event::Shutdown { grace_until } => self.handle_shutdown(now, grace_until),
        }
    }

    fn poll_action(&mut self) -> Option<Action<Call>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timeout> {
        [
            self.reply_timeout(),
            self.send_timeout(),
            self.shutdown_timeout(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|timeout| timeout.at)
    }
}

impl fmt::Debug for Client {
    /// Without buffers: they may hold passwords and mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .field("peer", &self.peer)
            .field("transactions", &self.transactions)
            .finish_non_exhaustive()
    }
}

/// The piece in the answer to [`Call::Read`]; none when the content is not what it was said to be.
fn content_in(reply: Reply) -> Option<Bytes> {
    match reply {
        Reply::Bytes(piece) if !piece.is_empty() => Some(piece),
        Reply::Bytes(_)
        | Reply::Unavailable
        | Reply::Message(_)
        | Reply::NoMore
        | Reply::Noted
        | Reply::Scram { .. } => None,
    }
}
