//! A stream between a client and a session.

use bytes::{Buf as _, BytesMut};
use rmail_proto::{Entropy, Instant, Now};
use rmail_server::session::Session;

use super::{
    process::{Process, ProcessId},
    trace::Trace,
};
use crate::{
    Link, StreamId,
    pipe::{Pipe, Read},
};

/// What a session does at one moment has an end well below this: all that arrives after a stall
/// may be single bytes, a window full of them.
const ROUNDS_MAX: u32 = 1_000_000;

/// Both directions, and the session at one end; the client at the other is driven from outside.
pub(super) struct Stream {
    id: StreamId,
    /// Who accepted it.
    pub(super) process: ProcessId,
    session: Option<Box<Session>>,
    to_server: Pipe,
    to_client: Pipe,
    /// What the client sends, and has no room yet.
    outbox: BytesMut,
    server_has_ended: bool,
    client_has_left: bool,
    /// The connection was lost: the session is to hear of it.
    failure_is_owed: bool,
}

/// What the surroundings of a stream's progress are.
pub(super) struct Surroundings<'a> {
    pub(super) now: Now,
    pub(super) entropy: &'a mut Entropy,
    pub(super) trace: &'a mut Trace,
}

impl Stream {
    pub(super) fn new(id: StreamId, process: ProcessId, link: Link) -> Self {
        Self {
            id,
            process,
            session: None,
            to_server: Pipe::new(link),
            to_client: Pipe::new(link),
            outbox: BytesMut::new(),
            server_has_ended: false,
            client_has_left: false,
            failure_is_owed: false,
        }
    }

    pub(super) fn admit(&mut self, session: Box<Session>) {
        self.session = Some(session);
    }

    pub(super) fn refuse(&mut self, now: Now, entropy: &mut Entropy, bytes: &[u8]) {
        let written = self.to_client.write(now.at, entropy, bytes);
        assert_eq!(written, bytes.len(), "a refusal fits into an empty window");
        self.end_server(now, entropy);
    }

    pub(super) fn session(&self) -> Option<&Session> {
        self.session.as_deref()
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut()
    }

    pub(super) fn client_sends(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    pub(super) fn client_reads(&mut self, now: Now) -> Read {
        self.to_client.read(now.at)
    }

    pub(super) fn client_leaves(&mut self, now: Now, entropy: &mut Entropy) {
        if !self.client_has_left {
            self.client_has_left = true;
            self.flush_outbox(now, entropy);
            self.outbox.clear();
            self.to_server.end(now.at, entropy);
        }
    }

    /// Whether everything that the client sent is on its way.
    pub(super) fn has_sent_all(&self) -> bool {
        self.outbox.is_empty()
    }

    /// The connection is lost, for both.
    pub(super) fn lose(&mut self) {
        self.outbox.clear();
        self.to_server.lose();
        self.to_client.lose();
        self.failure_is_owed = self.session.is_some();
    }

    /// The process is gone from one moment to the next.
    pub(super) fn lose_server(&mut self) {
        self.session = None;
        self.lose();
    }

    /// Nothing arrives before that time.
    pub(super) fn stall(&mut self, until: Instant) {
        self.to_server.stall(until);
        self.to_client.stall(until);
    }

    /// Whether the client has something to read.
    pub(super) fn has_arrived(&self, at: Instant) -> bool {
        self.to_client
            .next_arrival()
            .is_some_and(|arrival| arrival <= at)
    }

    /// Whether both ends have let go of it.
    pub(super) fn is_over(&self) -> bool {
        self.session.is_none() && self.client_has_left
    }

    /// When something happens to it next.
    pub(super) fn next_event(&self, now: Instant) -> Option<Instant> {
        let session = self.session.as_deref();
        let timer = session.and_then(Session::poll_timeout);
        let input = session.filter(|session| session.wants_read());
        let input = input.and_then(|_| self.to_server.next_arrival());
        let output = match self.client_has_left {
            true => None,
            // What has arrived waits for the client, who may be in no hurry.
            false => self.to_client.next_arrival().filter(|at| *at > now),
        };
        timer.into_iter().chain(input).chain(output).min()
    }

    /// Drives the session as its documentation says, for as long as something can be done.
    /// Returns whether anything was.
    pub(super) fn progress(
        &mut self,
        around: &mut Surroundings<'_>,
        process: Option<&mut Process>,
    ) -> bool {
        let Some(process) = process else {
            // The process is gone, and all its streams with it.
            let had_session = self.session.take().is_some();
            self.end_server(around.now, around.entropy);
            return had_session;
        };
        let mut has_changed = self.flush_outbox(around.now, around.entropy);
        let mut rounds = 0;
        while self.progress_once(around, process) {
            has_changed = true;
            rounds += 1;
            if rounds > ROUNDS_MAX {
                let stuck = self.session.as_deref().map(Session::describe);
                panic!("a session is busy for ever at one moment: {stuck:?}");
            }
        }
        has_changed
    }

    fn progress_once(&mut self, around: &mut Surroundings<'_>, process: &mut Process) -> bool {
        let now = around.now;
        let Some(session) = self.session.as_deref_mut() else {
            return false;
        };
        let mut has_changed = false;
        if std::mem::take(&mut self.failure_is_owed) {
            session.handle_stream_failure(now);
            has_changed = true;
        }
        while let Some(request) = session.poll_request() {
            process.node.handle_request(now, session.id(), request);
            has_changed = true;
        }
        let bytes = session.transmit();
        if !bytes.is_empty() {
            let written = match self.client_has_left {
                true => bytes.len(),
                false => self.to_client.write(now.at, around.entropy, bytes),
            };
            if written > 0 {
                let text = format_args!("{written} bytes written");
                around.trace.line(now.at, self.id, text);
                session.handle_sent(now, written);
                has_changed = true;
            }
        } else if session.wants_write_end() {
            session.handle_write_ended(now);
            has_changed = true;
            self.server_has_ended = true;
            self.to_client.end(now.at, around.entropy);
        }
        if session.wants_read() {
            has_changed |= match self.to_server.read(now.at) {
                Read::Bytes(bytes) => {
                    let text = format_args!("{} bytes read", bytes.len());
                    around.trace.line(now.at, self.id, text);
                    session.handle_received(now, &bytes);
                    true
                }
                Read::End => {
                    session.handle_end_of_stream(now);
                    true
                }
                Read::Lost => {
                    session.handle_stream_failure(now);
                    true
                }
                Read::Nothing => false,
            };
        }
        if session.poll_timeout().is_some_and(|at| at <= now.at) {
            session.handle_timeout(now);
            has_changed = true;
        }
        if session.is_over() {
            let id = session.id();
            self.session = None;
            process.node.handle_session_over(now, id);
            around
                .trace
                .line(now.at, self.id, format_args!("session over"));
            self.end_server(now, around.entropy);
            has_changed = true;
        }
        has_changed
    }

    fn flush_outbox(&mut self, now: Now, entropy: &mut Entropy) -> bool {
        if self.session.is_none() {
            // Nobody takes it any more.
            self.outbox.clear();
        }
        let written = self.to_server.write(now.at, entropy, &self.outbox);
        self.outbox.advance(written);
        written > 0
    }

    fn end_server(&mut self, now: Now, entropy: &mut Entropy) {
        if !self.server_has_ended {
            self.server_has_ended = true;
            self.to_client.end(now.at, entropy);
        }
    }
}
