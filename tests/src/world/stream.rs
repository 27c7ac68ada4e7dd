//! A stream: a session at the end that accepted it, and a client, or the session that dialled, at
//! the other.

use bytes::{Buf as _, BytesMut};
use rmail_proto::{Entropy, Instant, Now};
use rmail_server::session::{Session, SessionId};

use super::{
    host::{Host, find_process},
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

/// Both directions, and who is at their ends.
pub(super) struct Stream {
    id: StreamId,
    to_server: Pipe,
    to_client: Pipe,
    server: End,
    client: Client,
}

/// An end with a session.
struct End {
    process: ProcessId,
    session: Option<Box<Session>>,
    has_ended: bool,
    /// The connection was lost: the session is to hear of it.
    failure_is_owed: bool,
}

/// Who opened the stream.
enum Client {
    /// Somebody who is driven from outside.
    Person {
        /// What is sent, and has no room yet.
        outbox: BytesMut,
        has_left: bool,
    },
    /// The session that dialled.
    Session(End),
}

/// What the surroundings of a stream's progress are.
pub(super) struct Surroundings<'a> {
    pub(super) now: Now,
    pub(super) entropy: &'a mut Entropy,
    pub(super) trace: &'a mut Trace,
}

impl Stream {
    /// To a process that listens.
    pub(super) fn new(id: StreamId, process: ProcessId, link: Link) -> Self {
        Self {
            id,
            to_server: Pipe::new(link),
            to_client: Pipe::new(link),
            server: End::new(process),
            client: Client::Person {
                outbox: BytesMut::new(),
                has_left: false,
            },
        }
    }

    /// The session that dialled is at the other end.
    pub(super) fn dialled_by(&mut self, process: ProcessId, session: Box<Session>) {
        let mut end = End::new(process);
        end.session = Some(session);
        self.client = Client::Session(end);
    }

    pub(super) fn admit(&mut self, session: Box<Session>) {
        self.server.session = Some(session);
    }

    pub(super) fn refuse(&mut self, now: Now, entropy: &mut Entropy, bytes: &[u8]) {
        let written = self.to_client.write(now.at, entropy, bytes);
        assert_eq!(written, bytes.len(), "a refusal fits into an empty window");
        self.server.end(now, entropy, &mut self.to_client);
    }

    /// The sessions at its ends.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        let client = match &self.client {
            Client::Person { .. } => None,
            Client::Session(end) => end.session.as_deref(),
        };
        self.server.session.as_deref().into_iter().chain(client)
    }

    /// The session of this process with this name, if it is here.
    pub(super) fn session_mut(
        &mut self,
        process: ProcessId,
        session: SessionId,
    ) -> Option<&mut Session> {
        let client = match &mut self.client {
            Client::Person { .. } => None,
            Client::Session(end) => Some(end),
        };
        let mut ends = [Some(&mut self.server), client].into_iter().flatten();
        ends.find_map(|end| {
            let found = end.session.as_deref_mut();
            found.filter(|found| end.process == process && found.id() == session)
        })
    }

    pub(super) fn client_sends(&mut self, bytes: &[u8]) {
        if let Client::Person { outbox, .. } = &mut self.client {
            outbox.extend_from_slice(bytes);
        }
    }

    pub(super) fn client_reads(&mut self, now: Now) -> Read {
        self.to_client.read(now.at)
    }

    pub(super) fn client_leaves(&mut self, now: Now, entropy: &mut Entropy) {
        self.flush_outbox(now, entropy);
        if let Client::Person { outbox, has_left } = &mut self.client
            && !*has_left
        {
            *has_left = true;
            outbox.clear();
            self.to_server.end(now.at, entropy);
        }
    }

    /// Whether everything that the client sent is on its way.
    pub(super) fn has_sent_all(&self) -> bool {
        match &self.client {
            Client::Person { outbox, .. } => outbox.is_empty(),
            Client::Session(_) => true,
        }
    }

    /// The connection is lost, for both.
    pub(super) fn lose(&mut self) {
        self.to_server.lose();
        self.to_client.lose();
        self.server.failure_is_owed = self.server.session.is_some();
        match &mut self.client {
            Client::Person { outbox, .. } => outbox.clear(),
            Client::Session(end) => end.failure_is_owed = end.session.is_some(),
        }
    }

    /// A process is gone from one moment to the next.
    pub(super) fn lose_process(&mut self, process: ProcessId) {
        let mut is_here = self.server.forget(process);
        if let Client::Session(end) = &mut self.client {
            is_here |= end.forget(process);
        }
        if is_here {
            self.lose();
        }
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
        let client_is_gone = match &self.client {
            Client::Person { has_left, .. } => *has_left,
            Client::Session(end) => end.session.is_none(),
        };
        self.server.session.is_none() && client_is_gone
    }

    /// When something happens to it next.
    pub(super) fn next_event(&self, now: Instant) -> Option<Instant> {
        let server = self.server.next_event(&self.to_server);
        let client = match &self.client {
            Client::Person { has_left: true, .. } => None,
            // What has arrived waits for the client, who may be in no hurry.
            Client::Person { .. } => self.to_client.next_arrival().filter(|at| *at > now),
            Client::Session(end) => end.next_event(&self.to_client),
        };
        server.into_iter().chain(client).min()
    }

    /// Drives the sessions as their documentation says, for as long as something can be done.
    /// Returns whether anything was.
    pub(super) fn progress(&mut self, around: &mut Surroundings<'_>, hosts: &mut [Host]) -> bool {
        let mut has_changed = self.flush_outbox(around.now, around.entropy);
        let client_has_left = match &self.client {
            Client::Person { has_left, .. } => *has_left,
            Client::Session(end) => end.session.is_none(),
        };
        let mut server_way = Way {
            id: self.id,
            input: &mut self.to_server,
            output: &mut self.to_client,
            peer_has_left: client_has_left,
        };
        let server_process = find_process(hosts, self.server.process);
        has_changed |= self
            .server
            .progress(around, &mut server_way, server_process);
        if let Client::Session(end) = &mut self.client {
            let mut client_way = Way {
                id: self.id,
                input: &mut self.to_client,
                output: &mut self.to_server,
                peer_has_left: self.server.session.is_none(),
            };
            let client_process = find_process(hosts, end.process);
            has_changed |= end.progress(around, &mut client_way, client_process);
        }
        has_changed
    }

    fn flush_outbox(&mut self, now: Now, entropy: &mut Entropy) -> bool {
        let Client::Person { outbox, .. } = &mut self.client else {
            return false;
        };
        if self.server.session.is_none() {
            // Nobody takes it any more.
            outbox.clear();
        }
        let written = self.to_server.write(now.at, entropy, outbox);
        outbox.advance(written);
        written > 0
    }
}

/// The two directions as one end sees them.
struct Way<'a> {
    id: StreamId,
    input: &'a mut Pipe,
    output: &'a mut Pipe,
    peer_has_left: bool,
}

impl End {
    fn new(process: ProcessId) -> Self {
        Self {
            process,
            session: None,
            has_ended: false,
            failure_is_owed: false,
        }
    }

    /// The session goes with its process.
    fn forget(&mut self, process: ProcessId) -> bool {
        self.process == process && self.session.take().is_some()
    }

    fn next_event(&self, input: &Pipe) -> Option<Instant> {
        let session = self.session.as_deref()?;
        let arrival = match session.wants_read() {
            true => input.next_arrival(),
            false => None,
        };
        session.poll_timeout().into_iter().chain(arrival).min()
    }

    fn progress(
        &mut self,
        around: &mut Surroundings<'_>,
        way: &mut Way<'_>,
        process: Option<&mut Process>,
    ) -> bool {
        let Some(process) = process else {
            // The process is gone, and all its streams with it.
            let had_session = self.session.take().is_some();
            self.end(around.now, around.entropy, way.output);
            return had_session;
        };
        let mut has_changed = false;
        let mut rounds = 0;
        while self.progress_once(around, way, process) {
            has_changed = true;
            rounds += 1;
            if rounds > ROUNDS_MAX {
                let stuck = self.session.as_deref().map(Session::describe);
                panic!("a session is busy for ever at one moment: {stuck:?}");
            }
        }
        has_changed
    }

    fn progress_once(
        &mut self,
        around: &mut Surroundings<'_>,
        way: &mut Way<'_>,
        process: &mut Process,
    ) -> bool {
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
            let written = match way.peer_has_left {
                true => bytes.len(),
                false => way.output.write(now.at, around.entropy, bytes),
            };
            if written > 0 {
                let text = format_args!("{written} bytes written by {}", self.process);
                around.trace.line(now.at, way.id, text);
                session.handle_sent(now, written);
                has_changed = true;
            }
        } else if session.wants_write_end() {
            session.handle_write_ended(now);
            has_changed = true;
            self.has_ended = true;
            way.output.end(now.at, around.entropy);
        }
        if session.wants_read() {
            has_changed |= match way.input.read(now.at) {
                Read::Bytes(bytes) => {
                    let text = format_args!("{} bytes read by {}", bytes.len(), self.process);
                    around.trace.line(now.at, way.id, text);
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
            let text = format_args!("session over at {}", self.process);
            around.trace.line(now.at, way.id, text);
            self.end(now, around.entropy, way.output);
            has_changed = true;
        }
        has_changed
    }

    fn end(&mut self, now: Now, entropy: &mut Entropy, output: &mut Pipe) {
        if !self.has_ended {
            self.has_ended = true;
            output.end(now.at, entropy);
        }
    }
}
