//! The server's side of an HTTP connection.

mod content;
mod responding;
mod timeouts;

use alloc::{boxed::Box, collections::VecDeque, string::String};
use core::fmt;

use bytes::Bytes;

use self::{content::Receiving, responding::Responding};
use super::{
    Call, Config, Content, Reply, RequestId, Tls,
    head::{HeadProgress, HeadReader},
    parse::{self, Head},
    refusal::{ErrorShape, Refusal},
    upload::Upload,
};
use crate::{
    Action, CallId, CallIds, Close, Connection, Entropy, Event, Instant, Now, SendCredit, Timeout,
    limits, pace::Pace,
};

/// An HTTP/1.1 server connection (RFC 9112) as a state machine.
///
/// | state | waits for | then |
/// |---|---|---|
/// | handshake | `TlsEstablished` | head |
/// | head | the head of a request | asking, responding (an error) |
/// | asking | the answer to the head | receiving, answering, responding |
/// | receiving | content | finishing, answering, responding (refused) |
/// | finishing | answers to the pieces of a complete content | answering, responding |
/// | answering | the answer to the last piece | responding |
/// | responding | pieces of the body, send credit | head, dropping, closed |
/// | dropping | content that was not wanted | head |
/// | closed | nothing | |
///
/// One request is in flight at a time: what a client pipelines waits in the driver's buffer until
/// the response before it is out.
///
/// An error before the world is asked, and one that keeps it from answering, is answered here, and
/// ends the connection. So does a content that was not wanted, if it is large, of unknown length,
/// or held back by a client that expects 100.
///
/// `PeerClosed` is to come after the last input was consumed. A request that is complete by then is
/// still answered, since half of a connection can be closed; one that is not is given up. On
/// `Shutdown` a connection that waits for a request is closed, and the response in progress is the
/// last.
pub struct Server {
    config: Config,
    entropy: Entropy,
    state: State,
    /// When the state was entered; in the state head, when a request began.
    state_since: Instant,
    actions: VecDeque<Action<Call>>,
    calls: CallIds,
    uploads: u64,
    credit: SendCredit,
    /// When bytes last went out, or were first queued after all had.
    sent_at: Instant,
    requests: u64,
    peer_closed: bool,
    shutdown_at: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Handshake,
    Head(HeadReader),
    Asking {
        call: CallId,
        exchange: Exchange,
        content: Content,
    },
    Receiving(Box<Receiving>),
    Finishing {
        exchange: Exchange,
        upload: Box<Upload>,
    },
    Answering {
        call: CallId,
        exchange: Exchange,
    },
    Responding(Box<Responding>),
    Dropping {
        left_bytes: u64,
        pace: Pace,
    },
    Closed(Close),
}

/// What of a request its response depends on.
#[derive(Debug)]
struct Exchange {
    id: RequestId,
    client_id: Option<String>,
    /// HEAD: all but the body.
    is_head: bool,
    is_http_1_0: bool,
    keep_alive: bool,
    expects_continue: bool,
    error_shape: ErrorShape,
}

/// Content of the request that was not read when it was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unread {
    /// So many bytes, which the client sends in any case.
    Bytes(u64),
    /// Nobody knows how many.
    Unknown,
}

impl Server {
    /// A connection that was just accepted.
    ///
    /// # Panics
    ///
    /// When the configuration has more fields than a response may have.
    pub fn new(config: Config, now: Now) -> Self {
        assert!(config.fields.len() <= limits::HTTP_RESPONSE_FIELDS_MAX);
        Self {
            entropy: Entropy::new(config.seed),
            state: match config.tls {
                Tls::Implicit => State::Handshake,
                Tls::Absent => State::Head(HeadReader::new(config.bounds)),
            },
            config,
            state_since: now.at,
            actions: VecDeque::new(),
            calls: CallIds::default(),
            uploads: 0,
            credit: SendCredit::default(),
            sent_at: now.at,
            requests: 0,
            peer_closed: false,
            shutdown_at: None,
        }
    }

    /// Whether no further request is to be begun.
    fn is_ending(&self) -> bool {
        self.peer_closed || self.shutdown_at.is_some()
    }

    fn enter(&mut self, now: Now, state: State) {
        self.state = state;
        self.state_since = now.at;
    }

    /// Waits for the next request.
    fn enter_head(&mut self, now: Now) {
        match self.is_ending() {
            true => self.close(now, Close::Flush),
            false => self.enter(now, State::Head(HeadReader::new(self.config.bounds))),
        }
    }

    fn send(&mut self, now: Now, bytes: Bytes) {
        if self.credit.available_bytes() == limits::SEND_CREDIT_BYTES {
            self.sent_at = now.at;
        }
        self.credit.spend(bytes.len());
        self.actions.push_back(Action::Send(bytes));
    }

    fn call(&mut self, call: Call) -> CallId {
        let id = self.calls.allocate();
        self.actions.push_back(Action::Call(id, call));
        id
    }

    /// Drops what was begun, and ends the connection.
    fn close(&mut self, now: Now, close: Close) {
        let state = core::mem::replace(&mut self.state, State::Closed(close));
        match state {
            State::Asking { call, .. } | State::Answering { call, .. } => {
                self.actions.push_back(Action::Cancel(call));
            }
            State::Receiving(receiving) => self.drop_upload(receiving.upload),
            State::Finishing { upload, .. } => self.drop_upload(*upload),
            State::Responding(responding) => self.drop_rest(responding.rest),
            State::Handshake | State::Head(_) | State::Dropping { .. } | State::Closed(_) => {}
        }
        self.state_since = now.at;
        self.actions.push_back(Action::Close(close));
    }

    fn drop_upload(&mut self, upload: Upload) {
        let (in_flight, discard) = upload.drop_content();
        let cancels = in_flight.into_iter().map(Action::Cancel);
        self.actions.extend(cancels);
        if let Some(discard) = discard {
            self.call(discard);
        }
    }
}

// Heads, and errors.
impl Server {
    fn handle_head_input(&mut self, now: Now, input: &[u8]) -> usize {
        let State::Head(reader) = &mut self.state else {
            return 0;
        };
        let was_empty = reader.is_empty();
        let (consumed, progress) = reader.handle_input(input);
        if was_empty && !reader.is_empty() {
            self.state_since = now.at;
        }
        match progress {
            HeadProgress::Incomplete => {}
            HeadProgress::Complete(head) => self.handle_head(now, &head),
            HeadProgress::Fault(refusal) => self.refuse_head(now, refusal),
        }
        consumed
    }

    fn handle_head(&mut self, now: Now, bytes: &[u8]) {
        let id = self.next_request_id();
        let head = match parse::parse_head(bytes, self.config.bounds.fields, id) {
            Ok(head) => head,
            Err(refusal) => {
                let exchange = self.unread_exchange(id, bytes);
                return self.refuse(now, exchange, refusal);
            }
        };
        let Head {
            request,
            is_http_1_0,
            keep_alive,
            expects_continue,
        } = head;
        let exchange = Exchange {
            id,
            client_id: request.client_request_id.clone(),
            is_head: request.method == super::Method::Head,
            is_http_1_0,
            keep_alive,
            expects_continue,
            error_shape: self.error_shape(request.target.path.as_bytes()),
        };
        let content = request.content;
        let call = self.call(Call::Request(Box::new(request)));
        self.enter(
            now,
            State::Asking {
                call,
                exchange,
                content,
            },
        );
    }

    /// Refuses a head that is not complete.
    fn refuse_head(&mut self, now: Now, refusal: Refusal) {
        let id = self.next_request_id();
        let exchange = match &self.state {
            State::Head(reader) => self.unread_exchange(id, reader.bytes()),
            State::Handshake
            | State::Asking { .. }
            | State::Receiving(_)
            | State::Finishing { .. }
            | State::Answering { .. }
            | State::Responding(_)
            | State::Dropping { .. }
            | State::Closed(_) => return,
        };
        self.refuse(now, exchange, refusal);
    }

    /// Answers with an error, and closes.
    fn refuse(&mut self, now: Now, exchange: Exchange, refusal: Refusal) {
        let client_id = exchange.client_id.as_deref();
        let response = refusal.into_response(exchange.error_shape, now, exchange.id, client_id);
        self.respond(now, exchange, response, Unread::Unknown);
    }

    /// What is known of a request whose head can't be read.
    fn unread_exchange(&self, id: RequestId, head: &[u8]) -> Exchange {
        let target = head.split(|&byte| byte == b' ').nth(1);
        Exchange {
            id,
            client_id: None,
            is_head: head.starts_with(b"HEAD "),
            is_http_1_0: false,
            keep_alive: false,
            expects_continue: false,
            error_shape: self.error_shape(target.unwrap_or_default()),
        }
    }

    fn error_shape(&self, path: &[u8]) -> ErrorShape {
        let mut segments = path.split(|byte| b"/?\r".contains(byte));
        let first = segments.nth(1).unwrap_or_default();
        let mut objects = self.config.object_error_segments.iter();
        match objects.any(|segment| first.eq_ignore_ascii_case(segment.as_bytes())) {
            true => ErrorShape::Object,
            false => ErrorShape::Text,
        }
    }

    /// A GUID of version 4 (RFC 9562 §5.4).
    fn next_request_id(&mut self) -> RequestId {
        self.requests += 1;
        let [high, low] = [self.entropy.next_u64(), self.entropy.next_u64()];
        let random = u128::from(high) << 64 | u128::from(low);
        let (version, variant) = (0x4_u128 << 76, 0x2_u128 << 62);
        RequestId(random & !(0xf << 76) & !(0x3 << 62) | version | variant)
    }
}

// Answers of the world.
impl Server {
    fn handle_reply(&mut self, now: Now, id: CallId, reply: Reply) {
        match core::mem::replace(&mut self.state, State::Handshake) {
            State::Asking {
                call,
                exchange,
                content,
            } if call == id => self.handle_answer(now, exchange, content, reply),
            State::Receiving(mut receiving) if receiving.upload.is_asked(id) => {
                receiving.upload.handle_answer(id);
                self.handle_piece_answer(now, receiving, reply);
            }
            State::Finishing {
                exchange,
                mut upload,
            } if upload.is_asked(id) => match reply {
                Reply::ChunkTaken => {
                    upload.handle_answer(id);
                    self.finish_upload(now, exchange, *upload);
                }
                reply => {
                    self.drop_upload(*upload);
                    self.answer(now, exchange, reply, Unread::Bytes(0));
                }
            },
            State::Answering { call, exchange } if call == id => {
                self.answer(now, exchange, reply, Unread::Bytes(0));
            }
            State::Responding(responding) if responding.is_asked(id) => {
                self.handle_body_answer(now, *responding, reply);
            }
            // Late, doubled or cancelled.
            state => self.state = state,
        }
    }

    /// The answer to a request's head.
    fn handle_answer(&mut self, now: Now, exchange: Exchange, content: Content, reply: Reply) {
        match reply {
            Reply::Accept(accept) => self.start_content(now, exchange, content, accept),
            reply => {
                let unread = match content {
                    Content::Absent | Content::Length(0) => Unread::Bytes(0),
                    // Whether it will be sent, only the client knows (RFC 9110 §10.1.1).
                    Content::Length(_) | Content::Chunked if exchange.expects_continue => {
                        Unread::Unknown
                    }
                    Content::Length(length) => Unread::Bytes(length),
                    Content::Chunked => Unread::Unknown,
                };
                self.answer(now, exchange, reply, unread);
            }
        }
    }

    /// What must be a response is sent.
    fn answer(&mut self, now: Now, exchange: Exchange, reply: Reply, unread: Unread) {
        match reply {
            Reply::Respond(response) => self.respond(now, exchange, *response, unread),
            Reply::Accept(_) | Reply::ChunkTaken | Reply::Piece(_) => {
                self.refuse(now, exchange, Refusal::internal_error());
            }
        }
    }

    fn handle_peer_closed(&mut self, now: Now) {
        self.peer_closed = true;
        match &self.state {
            State::Closed(_)
            | State::Finishing { .. }
            | State::Answering { .. }
            | State::Responding(_)
            | State::Asking {
                content: Content::Absent | Content::Length(0),
                ..
            } => {}
            State::Handshake
            | State::Head(_)
            | State::Asking { .. }
            | State::Receiving(_)
            | State::Dropping { .. } => self.close(now, Close::Flush),
        }
    }

    fn handle_shutdown(&mut self, now: Now, grace_until: Instant) {
        match &self.state {
            State::Closed(_) => {}
            State::Handshake => self.close(now, Close::Abort),
            State::Head(_) | State::Dropping { .. } => self.close(now, Close::Flush),
            State::Asking { .. }
            | State::Receiving(_)
            | State::Finishing { .. }
            | State::Answering { .. }
            | State::Responding(_) => self.shutdown_at = Some(grace_until),
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
        match &mut self.state {
            State::Head(_) if self.credit.is_exhausted() => 0,
            State::Head(_) => {
                let unit_bytes = input.len().min(limits::UPLOAD_CHUNK_BYTES);
                self.handle_head_input(now, &input[..unit_bytes])
            }
            State::Receiving(_) => self.handle_content(now, input),
            State::Dropping { left_bytes, pace } => {
                let left = usize::try_from(*left_bytes).unwrap_or(usize::MAX);
                let taken = input.len().min(limits::UPLOAD_CHUNK_BYTES).min(left);
                *left_bytes -= taken as u64;
                pace.advance(now.at, taken);
                if *left_bytes == 0 {
                    self.enter_head(now);
                }
                taken
            }
            State::Handshake
            | State::Asking { .. }
            | State::Finishing { .. }
            | State::Answering { .. }
            | State::Responding(_)
            | State::Closed(_) => 0,
        }
    }

    fn handle_event(&mut self, now: Now, event: Event<Reply>) {
        match event {
            Event::TlsEstablished(_) => {
                if let State::Handshake = self.state {
                    self.enter_head(now);
                }
            }
            Event::Reply(id, reply) => self.handle_reply(now, id, reply),
            // The world looks at the account with each request.
            Event::Notice(_) | Event::TlsFailed(_) => {}
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
        let timeouts = [
            self.state_timeout(),
            self.send_timeout(),
            self.shutdown_timeout(),
        ];
        timeouts
            .into_iter()
            .flatten()
            .min_by_key(|timeout| timeout.at)
    }
}

impl fmt::Debug for Server {
    /// Without buffers: they may hold tokens and mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}
