//! One connection: a machine, its transport, and the buffers between them.
//!
//! [`Session`] is the only owner of a machine and keeps its contract (see
//! [`Connection`](rmail_proto::Connection)). It is sans-IO itself; a driver does this:
//!
//! 1. After each `handle_*`, pass every [`Session::poll_request`] to the node.
//! 2. Write what [`Session::transmit`] holds, report it with [`Session::handle_sent`].
//! 3. While [`Session::wants_read`], read and report with [`Session::handle_received`] or
//!    [`Session::handle_end_of_stream`].
//! 4. Send [`Session::handle_timeout`] once [`Session::poll_timeout`] has come.
//! 5. While [`Session::wants_write_end`] and nothing is left to transmit: end the sending half of
//!    the stream, then call [`Session::handle_write_ended`].
//! 6. Drop the stream when [`Session::is_over`], and tell the node.

mod machine;
mod raw;
#[cfg(test)]
mod tests;
mod transport;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::{Buf, Bytes, BytesMut};
use rmail_proto::{
    Action, CallId, Close, Event, Instant, Now, TlsInfo, UploadId,
    mime::{Scanner, Summary},
};

pub use machine::{Call, Machine, Reply};
pub use raw::RawStream;
pub use transport::TlsSide;
use transport::Transport;

use crate::limits;

/// Names a session of this process. Never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId(pub u64);

/// What a session asks of the node.
#[derive(Debug)]
pub enum Request {
    /// A call of the machine. [`SessionEvent::Reply`] is owed.
    Call(CallId, Call),
    /// The reply is no longer wanted.
    Cancel(CallId),
}

/// What the node tells a session.
#[derive(Debug)]
pub enum SessionEvent {
    /// The answer to [`Request::Call`].
    Reply(CallId, Reply),
    /// Something may have changed.
    Notice(rmail_proto::Notice),
    /// End at the next boundary, at this time at the latest.
    Shutdown {
        /// When the session is ended from outside.
        grace_until: Instant,
    },
    /// End at once.
    Abort,
}

/// One connection. See the module's documentation for who calls what.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    machine: Machine,
    transport: Transport,
    /// Plaintext that the machine has not consumed.
    input: BytesMut,
    requests: VecDeque<Request>,
    uploads: BTreeMap<UploadId, Scanner>,
    /// Whether the machine knows that its peer will send no more.
    end_is_told: bool,
    phase: Phase,
}

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The machine runs.
    Open,
    /// The machine is done; what is left goes out.
    Flushing { until: Instant },
    /// Everything is out; the peer's bytes are read and dropped until it closes as well, so that
    /// a reset does not overtake the last reply.
    Lingering { until: Instant },
    /// The stream can be dropped.
    Over,
}

impl Session {
    /// A session over a stream that was just accepted, or made. With `implicit_tls` a handshake
    /// comes first.
    pub fn new(
        id: SessionId,
        machine: Machine,
        tls: Option<TlsSide>,
        implicit_tls: bool,
        now: Now,
    ) -> Self {
        let mut session = Self {
            id,
            machine,
            transport: Transport::new(tls),
            input: BytesMut::new(),
            requests: VecDeque::new(),
            uploads: BTreeMap::new(),
            end_is_told: false,
            phase: Phase::Open,
        };
        if implicit_tls {
            session.start_tls(now);
        }
        session.pump(now);
        session
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Takes bytes from the socket.
    pub fn handle_received(&mut self, now: Now, bytes: &[u8]) {
        match self.phase {
            Phase::Open => {}
            Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Over => return,
        }
        if self.transport.is_tls() {
            match self.transport.handle_received(bytes, &mut self.input) {
                Ok(established) => self.after_tls_input(now, established),
                Err(error) => {
                    tracing::debug!(session = self.id.0, %error, "TLS failed");
                    self.fail_tls(now, &error);
                }
            }
            return;
        }
        let mut rest = bytes;
        if self.input.is_empty() {
            // The usual case: no copy of what the machine takes at once.
            while !rest.is_empty() && self.phase == Phase::Open && !self.transport.is_tls() {
                let consumed = self.machine.handle_input(now, rest);
                rest = &rest[consumed..];
                // Before the actions: STARTTLS throws away what was not consumed.
                let tls_before = self.transport.is_tls();
                self.carry_out(now);
                if self.transport.is_tls() != tls_before {
                    return;
                }
                if consumed == 0 {
                    break;
                }
            }
        }
        if self.phase == Phase::Open {
            self.input.extend_from_slice(rest);
            self.pump(now);
        }
    }

    /// The peer will send no more. The machine hears of it once it has consumed all that came
    /// before.
    pub fn handle_end_of_stream(&mut self, now: Now) {
        match self.phase {
            Phase::Open => {
                self.transport.handle_end_of_stream();
                self.pump(now);
            }
            Phase::Flushing { .. } => {
                self.transport.handle_end_of_stream();
            }
            Phase::Lingering { .. } | Phase::Over => self.phase = Phase::Over,
        }
    }

    /// The stream failed: nothing more can be sent or received.
    pub fn handle_stream_failure(&mut self, now: Now) {
        if self.phase == Phase::Open {
            self.machine.handle_event(now, Event::PeerClosed);
            self.carry_out(now);
        }
        self.phase = Phase::Over;
    }

    /// Takes what the node says.
    pub fn handle_event(&mut self, now: Now, event: SessionEvent) {
        match (event, self.phase) {
            (SessionEvent::Abort, _) => self.phase = Phase::Over,
            (_, Phase::Flushing { .. } | Phase::Lingering { .. } | Phase::Over) => {}
            (SessionEvent::Reply(id, reply), Phase::Open) => {
                self.machine.handle_reply(now, id, reply);
            }
            (SessionEvent::Notice(notice), Phase::Open) => {
                self.machine.handle_event(now, Event::Notice(notice));
            }
            (SessionEvent::Shutdown { grace_until }, Phase::Open) => {
                self.machine
                    .handle_event(now, Event::Shutdown { grace_until });
            }
        }
        if self.phase == Phase::Open {
            self.pump(now);
        }
    }

    /// The time of [`poll_timeout`](Self::poll_timeout) has come.
    pub fn handle_timeout(&mut self, now: Now) {
        match self.phase {
            Phase::Open => {
                self.machine.handle_event(now, Event::Timeout);
                self.pump(now);
            }
            Phase::Flushing { until } | Phase::Lingering { until } => {
                if now.at >= until {
                    self.phase = Phase::Over;
                }
            }
            Phase::Over => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => self.machine.poll_timeout().map(|timeout| timeout.at),
            Phase::Flushing { until } | Phase::Lingering { until } => Some(until),
            Phase::Over => None,
        }
    }

    /// What the session asks of the node next.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Bytes for the socket; empty when there is nothing to send.
    pub fn transmit(&mut self) -> &[u8] {
        self.transport.transmit()
    }

    /// So many bytes of [`transmit`](Self::transmit) were written.
    pub fn handle_sent(&mut self, now: Now, bytes: usize) {
        let credit = self.transport.handle_sent(bytes);
        if credit > 0 && self.phase == Phase::Open {
            self.machine.handle_event(now, Event::Sent(credit));
            self.pump(now);
        }
    }

    /// Whether bytes from the socket are wanted: not while the machine is blocked.
    pub fn wants_read(&self) -> bool {
        match self.phase {
            Phase::Open => self.input.is_empty() && !self.transport.has_ended(),
            Phase::Flushing { .. } => false,
            Phase::Lingering { .. } => true,
            Phase::Over => false,
        }
    }

    /// Whether the sending half of the stream is to be ended once nothing is left to transmit.
    pub fn wants_write_end(&self) -> bool {
        matches!(self.phase, Phase::Flushing { .. })
    }

    /// The sending half is ended.
    pub fn handle_write_ended(&mut self, now: Now) {
        if self.transport.has_ended() {
            self.phase = Phase::Over;
        } else if let Phase::Flushing { .. } = self.phase {
            let until = now.at + limits::LINGER;
            self.phase = Phase::Lingering { until };
        }
    }

    /// Whether the stream can be dropped.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Bytes in its buffers, received and to be sent.
    pub fn held_bytes(&self) -> usize {
        self.input.len() + self.transport.held_bytes()
    }

    /// What the session waits for, for people.
    pub fn describe(&self) -> String {
        format!(
            "session {}: {:?}, timer {:?}, {} bytes of input not consumed",
            self.id.0,
            self.phase,
            self.machine.poll_timeout(),
            self.input.len(),
        )
    }

    fn after_tls_input(&mut self, now: Now, established: Option<TlsInfo>) {
        if let Some(info) = established {
            self.machine.handle_event(now, Event::TlsEstablished(info));
        }
        self.pump(now);
    }

    /// Lets the machine consume what it will.
    fn pump(&mut self, now: Now) {
        loop {
            self.carry_out(now);
            if self.input.is_empty() || self.phase != Phase::Open {
                break;
            }
            let consumed = self.machine.handle_input(now, &self.input);
            if consumed == 0 {
                self.carry_out(now);
                break;
            }
            self.input.advance(consumed);
        }
        if self.input.is_empty() {
            // An idle session holds no buffer.
            self.input = BytesMut::new();
            self.tell_end(now);
        }
    }

    /// What came before the end is consumed: now the machine hears of the end.
    fn tell_end(&mut self, now: Now) {
        if self.transport.has_ended() && !self.end_is_told && self.phase == Phase::Open {
            self.end_is_told = true;
            self.machine.handle_event(now, Event::PeerClosed);
            self.carry_out(now);
        }
    }

    /// Drains the machine's actions.
    fn carry_out(&mut self, now: Now) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Send(bytes) => self.transport.send(&bytes),
                Action::Call(id, call) => self.request(id, call),
                Action::Cancel(id) => self.requests.push_back(Request::Cancel(id)),
                Action::StartTls => self.start_tls(now),
                Action::Close(Close::Flush) => self.flush(now),
                Action::Close(Close::Abort) => self.phase = Phase::Over,
            }
        }
    }

    fn start_tls(&mut self, now: Now) {
        self.input.clear();
        if let Err(error) = self.transport.start_tls() {
            tracing::error!(session = self.id.0, %error, "TLS can't be started");
            self.fail_tls(now, &error);
        }
    }

    /// There is no TLS: a machine that is the client is told, and the session ends.
    fn fail_tls(&mut self, now: Now, error: &rustls::Error) {
        self.machine
            .handle_event(now, Event::TlsFailed(error.to_string()));
        self.carry_out(now);
        self.flush(now);
    }

    fn flush(&mut self, now: Now) {
        if self.phase == Phase::Open {
            self.transport.send_end();
            let until = now.at + limits::FLUSH;
            self.phase = Phase::Flushing { until };
        }
    }

    /// Passes a call on, with the summary of the upload that it completes.
    fn request(&mut self, id: CallId, mut call: Call) {
        let summary = match call.upload() {
            Some(piece) => self.scan(piece.upload, piece.data, piece.is_last),
            None => None,
        };
        if let Some(upload) = call.discarded_upload() {
            self.uploads.remove(&upload);
        }
        call.set_summary(summary);
        self.requests.push_back(Request::Call(id, call));
    }

    fn scan(&mut self, upload: UploadId, data: &Bytes, is_last: bool) -> Option<Arc<Summary>> {
        let scanner = self.uploads.entry(upload).or_default();
        scanner.handle_input(data);
        if !is_last {
            return None;
        }
        let scanner = self.uploads.remove(&upload).expect("it was just used");
        Some(Arc::new(scanner.finish()))
    }
}
