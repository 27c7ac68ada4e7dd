//! The server's side of an SMTP session.

mod commands;
mod timeouts;
mod transaction;

use alloc::{boxed::Box, collections::VecDeque, format, string::String};
use core::fmt;

use bytes::Bytes;

use super::{
    Call, Config, EnhancedCode, Identity, Recipient, Refusal, Reply, Tls,
    auth::Exchange,
    dot::{DotDecoder, NewlineCheck},
    reply,
    upload::{Transaction, Upload},
};
use crate::{
    Action, CallId, CallIds, Close, Connection, Entropy, Event, Instant, LineBuffer, Now,
    SendCredit, Timeout, TlsInfo, limits, pace::Pace,
};

/// An SMTP server connection (RFC 5321) as a state machine: port 25, 587 or 465.
///
/// | state | waits for | then |
/// |---|---|---|
/// | handshake | `TlsEstablished` | command, with everything forgotten (RFC 3207 §4.2) |
/// | command | a command line | any state |
/// | exchange | a line of a SASL exchange | exchange, asking, command |
/// | asking | the answer to AUTH, MAIL or RCPT | command |
/// | data | mail data up to CRLF.CRLF | finishing, committing, command, closed |
/// | chunk | the octets of a BDAT | finishing, committing, command |
/// | dropping | the octets of a BDAT that was refused | command |
/// | finishing | answers to the pieces of a complete message | committing, command |
/// | committing | the answer to the last piece | command |
/// | closed | nothing | |
///
/// A client that talks before the greeting is served like any other. `PeerClosed` is to come
/// after the last input was consumed: a message that is complete by then is still committed and
/// answered, everything else ends. On `Shutdown`, what is being received or asked is finished,
/// and 421 takes the place of the next command.
///
/// Permanent refusals are counted, those of one message's chunks as one; too many without an
/// accepted message between them end the session, after the last one was told.
pub struct Server {
    config: Config,
    entropy: Entropy,
    state: State,
    /// When the state was entered.
    state_since: Instant,
    /// Of the message that comes.
    pace: Pace,
    actions: VecDeque<Action<Call>>,
    calls: CallIds,
    uploads: u64,
    line: LineBuffer,
    credit: SendCredit,
    /// When bytes last went out, or were first queued after all had.
    sent_at: Instant,
    tls: Option<TlsInfo>,
    hello: Option<Hello>,
    identity: Option<Identity>,
    open: Option<Open>,
    /// Whether a message by BDAT was refused whose last chunk is yet to come: a client that
    /// pipelines can't know, and has made one error only.
    refused_chunks: bool,
    started_at: Instant,
    errors: u32,
    auth_failures: u32,
    messages: u32,
    peer_closed: bool,
    shutdown_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Handshake,
    Command,
    Exchange(Exchange),
    Asking { call: CallId, question: Question },
    Data(Box<Data>),
    Chunk(Box<Chunk>),
    Dropping(Dropped),
    Finishing(Box<(Transaction, Upload)>),
    Committing { call: CallId, id: String },
    Closed(Close),
}

#[derive(Debug)]
enum Question {
    Authenticate,
    Mail(Transaction),
    Rcpt(Recipient),
}

/// Mail data after 354.
#[derive(Debug)]
struct Data {
    transaction: Transaction,
    upload: Upload,
    decoder: DotDecoder,
}

/// The octets of one BDAT.
#[derive(Debug)]
struct Chunk {
    transaction: Transaction,
    received: Chunks,
    size_bytes: u64,
    left_bytes: u64,
    last: bool,
}

/// The octets of a BDAT that is refused.
#[derive(Debug)]
struct Dropped {
    left_bytes: u64,
    refusal: Refusal,
    /// As an error; not so the rest of a message whose refusal was counted.
    counts: bool,
}

/// What came by BDAT so far.
#[derive(Debug)]
struct Chunks {
    upload: Upload,
    newlines: NewlineCheck,
}

/// The mail transaction between two commands.
#[derive(Debug)]
struct Open {
    transaction: Transaction,
    /// Since the first BDAT.
    chunks: Option<Chunks>,
}

/// How the client introduced itself.
#[derive(Debug)]
struct Hello {
    name: String,
    extended: bool,
}

impl Server {
    /// Queues the greeting, unless TLS is to come first.
    pub fn new(config: Config, now: Now) -> Self {
        let state = match config.tls {
            Tls::Implicit => State::Handshake,
            Tls::Unavailable | Tls::Offered => State::Command,
        };
        let mut server = Self {
            entropy: Entropy::new(config.seed),
            config,
            state,
            state_since: now.at,
            pace: Pace::start(now.at, limits::SMTP_DATA_TIMEOUT),
            actions: VecDeque::new(),
            calls: CallIds::default(),
            uploads: 0,
            line: LineBuffer::default(),
            credit: SendCredit::default(),
            sent_at: now.at,
            tls: None,
            hello: None,
            identity: None,
            open: None,
            refused_chunks: false,
            started_at: now.at,
            errors: 0,
            auth_failures: 0,
            messages: 0,
            peer_closed: false,
            shutdown_at: None,
        };
        if matches!(server.state, State::Command) {
            server.send_greeting(now);
        }
        server
    }

    /// Who has authenticated.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    fn enter(&mut self, now: Now, state: State) {
        self.state = state;
        self.state_since = now.at;
        if !matches!(self.state, State::Command) {
            return;
        }
        if self.peer_closed {
            self.close(now, Close::Flush);
        } else if self.shutdown_at.is_some() {
            self.close_with(now, Refusal::shutting_down());
        }
    }

    fn send(&mut self, now: Now, bytes: Bytes) {
        if self.credit.available_bytes() == limits::SEND_CREDIT_BYTES {
            self.sent_at = now.at;
        }
        self.credit.spend(bytes.len());
        self.actions.push_back(Action::Send(bytes));
    }

    fn send_greeting(&mut self, now: Now) {
        let greeting = format!("220 {} ESMTP rmail\r\n", self.config.hostname);
        self.send(now, greeting.into());
    }

    /// A positive reply, after which the next command is awaited.
    fn reply(&mut self, now: Now, code: u16, enhanced: EnhancedCode, text: &str) {
        self.send(now, reply::write_reply(code, enhanced, text));
        self.enter(now, State::Command);
    }

    /// A negative reply to a command or a message.
    fn refuse(&mut self, now: Now, refusal: Refusal) {
        if refusal.is_final() {
            return self.close_with(now, refusal);
        }
        self.send(now, reply::write_refusal(&refusal));
        if !refusal.is_transient() {
            self.errors += 1;
        }
        if self.errors >= limits::SMTP_ERRORS_MAX {
            return self.close_with(now, Refusal::too_many_errors());
        }
        self.enter(now, State::Command);
    }

    /// A negative reply to AUTH or a line of its exchange.
    fn refuse_auth(&mut self, now: Now, refusal: Refusal) {
        if refusal.code != Refusal::credentials_invalid().code {
            return self.refuse(now, refusal);
        }
        self.auth_failures += 1;
        self.send(now, reply::write_refusal(&refusal));
        if self.auth_failures >= limits::SMTP_AUTH_FAILURES_MAX {
            return self.close_with(now, Refusal::too_many_auth_failures());
        }
        self.enter(now, State::Command);
    }

    fn close_with(&mut self, now: Now, refusal: Refusal) {
        self.send(now, reply::write_refusal(&refusal));
        self.close(now, Close::Flush);
    }

    /// Drops what was begun, and ends the connection.
    fn close(&mut self, now: Now, close: Close) {
        let state = core::mem::replace(&mut self.state, State::Closed(close));
        match state {
            State::Asking { call, .. } => self.actions.push_back(Action::Cancel(call)),
            State::Data(data) => self.drop_upload(data.upload),
            State::Chunk(chunk) => self.drop_upload(chunk.received.upload),
            State::Finishing(message) => self.drop_upload(message.1),
            // A message whose last piece is with the world is the world's.
            State::Committing { .. } => {}
            State::Handshake
            | State::Command
            | State::Exchange(_)
            | State::Dropping(_)
            | State::Closed(_) => {}
        }
        self.reset_transaction();
        self.line.clear();
        self.state_since = now.at;
        self.actions.push_back(Action::Close(close));
    }

    fn reset_transaction(&mut self) {
        if let Some(Open {
            chunks: Some(chunks),
            ..
        }) = self.open.take()
        {
            self.drop_upload(chunks.upload);
        }
    }

    fn drop_upload(&mut self, mut upload: Upload) {
        upload.refuse(Refusal::temporary_failure());
        queue_calls(&mut upload, &mut self.calls, &mut self.actions);
    }

    fn ask(&mut self, now: Now, call: Call, question: Question) {
        let id = self.calls.allocate();
        self.actions.push_back(Action::Call(id, call));
        self.enter(now, State::Asking { call: id, question });
    }
}

// Answers of the world.
impl Server {
    fn handle_reply(&mut self, now: Now, id: CallId, reply: Reply) {
        match core::mem::replace(&mut self.state, State::Command) {
            State::Asking { call, question } if call == id => {
                self.handle_answer(now, question, reply);
            }
            State::Committing { call, id: message } if call == id => match reply {
                Reply::Accepted => {
                    self.messages += 1;
                    self.errors = 0;
                    let text = format!("Ok: queued as {message}");
                    self.reply(now, 250, EnhancedCode(2, 0, 0), &text);
                }
                reply => self.refuse(now, refusal_in(reply)),
            },
            State::Finishing(message) => {
                let (transaction, mut upload) = *message;
                match upload.handle_answer(id, chunk_answer(reply)) {
                    true => self.continue_message(now, transaction, upload),
                    false => self.state = State::Finishing(Box::new((transaction, upload))),
                }
            }
            state => {
                self.state = state;
                self.handle_chunk_answer(now, id, chunk_answer(reply));
            }
        }
    }

    fn handle_chunk_answer(&mut self, now: Now, id: CallId, answer: Result<(), Refusal>) {
        let upload = match &mut self.state {
            State::Data(data) => &mut data.upload,
            State::Chunk(chunk) => &mut chunk.received.upload,
            State::Handshake
            | State::Command
            | State::Exchange(_)
            | State::Asking { .. }
            | State::Dropping(_)
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => match &mut self.open {
                Some(Open {
                    chunks: Some(chunks),
                    ..
                }) => &mut chunks.upload,
                Some(Open { chunks: None, .. }) | None => return,
            },
        };
        if upload.handle_answer(id, answer) {
            queue_calls(upload, &mut self.calls, &mut self.actions);
            self.pace.resume(now.at);
        }
    }

    fn handle_answer(&mut self, now: Now, question: Question, reply: Reply) {
        match (question, reply) {
            (Question::Authenticate, Reply::Authenticated(identity)) => {
                self.identity = Some(identity);
                let text = "Authentication successful";
                self.reply(now, 235, EnhancedCode(2, 7, 0), text);
            }
            (Question::Authenticate, reply) => self.refuse_auth(now, refusal_in(reply)),
            (Question::Mail(transaction), Reply::Permitted) => {
                self.open = Some(Open {
                    transaction,
                    chunks: None,
                });
                self.reply(now, 250, EnhancedCode(2, 1, 0), "Sender ok");
            }
            (Question::Rcpt(recipient), Reply::Permitted) => {
                if let Some(open) = &mut self.open {
                    open.transaction.recipients.push(recipient);
                }
                self.reply(now, 250, EnhancedCode(2, 1, 5), "Recipient ok");
            }
            (Question::Mail(_) | Question::Rcpt(_), reply) => {
                self.refuse(now, refusal_in(reply));
            }
        }
    }

    fn handle_peer_closed(&mut self, now: Now) {
        match &self.state {
            State::Closed(_) => {}
            State::Finishing(_) | State::Committing { .. } => self.peer_closed = true,
            State::Handshake
            | State::Command
            | State::Exchange(_)
            | State::Asking { .. }
            | State::Data(_)
            | State::Chunk(_)
            | State::Dropping(_) => self.close(now, Close::Flush),
        }
    }

    fn handle_shutdown(&mut self, now: Now, grace_until: Instant) {
        match &self.state {
            State::Closed(_) => {}
            State::Handshake => self.close(now, Close::Abort),
            State::Command | State::Exchange(_) => {
                self.close_with(now, Refusal::shutting_down());
            }
            State::Asking { .. }
            | State::Data(_)
            | State::Chunk(_)
            | State::Dropping(_)
            | State::Finishing(_)
            | State::Committing { .. } => self.shutdown_at = Some(grace_until),
        }
    }
}

impl Connection for Server {
    type Call = Call;
    type Reply = Reply;

    fn handle_input(&mut self, now: Now, input: &[u8]) -> usize {
        if input.is_empty() {
            return 0;
        }
        match &self.state {
            State::Command | State::Exchange(_) if self.credit.is_exhausted() => 0,
            State::Command | State::Exchange(_) => self.handle_line(now, input),
            State::Data(_) => self.handle_data(now, input),
            State::Chunk(_) => self.handle_chunk(now, input),
            State::Dropping(dropped) => {
                let left = usize::try_from(dropped.left_bytes).unwrap_or(usize::MAX);
                let take = input.len().min(limits::UPLOAD_CHUNK_BYTES).min(left);
                self.handle_dropped(now, take);
                take
            }
            State::Handshake
            | State::Asking { .. }
            | State::Finishing(_)
            | State::Committing { .. }
            | State::Closed(_) => 0,
        }
    }

    fn handle_event(&mut self, now: Now, event: Event<Reply>) {
        match event {
            Event::TlsEstablished(tls) => self.handle_tls_established(now, tls),
            Event::Reply(id, reply) => self.handle_reply(now, id, reply),
            // The world looks at the account again with each MAIL; only clients hear of a failed
            // handshake.
            Event::Notice(_) | Event::TlsFailed(_) => {}
            Event::Sent(bytes) => {
                self.credit.give_back(bytes);
                self.sent_at = now.at;
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
            self.state_timeout(),
            self.content_timeout(),
            self.login_timeout(),
            self.send_timeout(),
            self.shutdown_timeout(),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|timeout| timeout.at)
    }
}

impl fmt::Debug for Server {
    /// Without buffers: they may hold passwords and mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("identity", &self.identity)
            .field("messages", &self.messages)
            .finish_non_exhaustive()
    }
}

fn queue_calls(upload: &mut Upload, calls: &mut CallIds, actions: &mut VecDeque<Action<Call>>) {
    while let Some((id, call)) = upload.poll_call(calls) {
        actions.push_back(Action::Call(id, call));
    }
}

/// The refusal in an answer that is not the hoped-for one.
fn refusal_in(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        Reply::Authenticated(_) | Reply::Permitted | Reply::ChunkTaken | Reply::Accepted => {
            Refusal::temporary_failure()
        }
    }
}

fn chunk_answer(reply: Reply) -> Result<(), Refusal> {
    match reply {
        Reply::ChunkTaken => Ok(()),
        reply => Err(refusal_in(reply)),
    }
}
