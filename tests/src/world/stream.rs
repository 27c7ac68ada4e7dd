//! A stream: a session, or somebody who is driven from outside, at each of its ends.

use std::net::IpAddr;

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

/// Both directions, and who is at their ends. One of them is a session.
pub(super) struct Stream {
    id: StreamId,
    to_server: Pipe,
    to_client: Pipe,
    /// Who accepted it.
    server: Party,
    /// Who opened it.
    client: Party,
    /// The machines that it connects, where they are not one.
    machines: Option<(IpAddr, IpAddr)>,
}

/// Who is at an end.
enum Party {
    /// Somebody who is driven from outside.
    Person(Person),
    /// A session of a process.
    Session(End),
}

/// See [`Party::Person`].
#[derive(Default)]
struct Person {
    /// What is sent, and has no room yet.
    outbox: BytesMut,
    has_left: bool,
}

/// An end with a session.
struct End {
    process: ProcessId,
    session: Option<Box<Session>>,
    has_ended: bool,
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
    /// From a person to a process that listens.
    pub(super) fn new(id: StreamId, process: ProcessId, link: Link) -> Self {
        Self::between(
            id,
            Party::Person(Person::default()),
            Party::Session(End::new(process)),
            link,
        )
    }

    /// From a session that dialled to a process that listens, or to a person.
    pub(super) fn dialled(
        id: StreamId,
        (from, session): (ProcessId, Box<Session>),
        to: Option<ProcessId>,
        link: Link,
    ) -> Self {
        let mut end = End::new(from);
        end.session = Some(session);
        let server = match to {
            Some(process) => Party::Session(End::new(process)),
            None => Party::Person(Person::default()),
        };
        Self::between(id, Party::Session(end), server, link)
    }

    fn between(id: StreamId, client: Party, server: Party, link: Link) -> Self {
        Self {
            id,
            to_server: Pipe::new(link),
            to_client: Pipe::new(link),
            server,
            client,
            machines: None,
        }
    }

    /// Says which machines it connects.
    pub(super) fn set_machines(&mut self, client: IpAddr, server: IpAddr) {
        self.machines = Some((client, server));
    }

    /// Whether it connects these two, or one of them with any other.
    pub(super) fn connects(&self, one: IpAddr, other: Option<IpAddr>) -> bool {
        let Some((client, server)) = self.machines else {
            return false;
        };
        let is_one = client == one || server == one;
        is_one && other.is_none_or(|other| client == other || server == other)
    }

    pub(super) fn admit(&mut self, session: Box<Session>) {
        if let Party::Session(end) = &mut self.server {
            end.session = Some(session);
        }
    }

    pub(super) fn refuse(&mut self, now: Now, entropy: &mut Entropy, bytes: &[u8]) {
        let written = self.to_client.write(now.at, entropy, bytes);
        assert_eq!(written, bytes.len(), "a refusal fits into an empty window");
        if let Party::Session(end) = &mut self.server {
            end.end(now, entropy, &mut self.to_client);
        }
    }

    /// The sessions at its ends.
    pub(super) fn sessions(&self) -> impl Iterator<Item = &Session> {
        let parties = [&self.server, &self.client].into_iter();
        parties.filter_map(|party| match party {
            Party::Person(_) => None,
            Party::Session(end) => end.session.as_deref(),
        })
    }

    /// The session of this process with this name, if it is here.
    pub(super) fn session_mut(
        &mut self,
        process: ProcessId,
        session: SessionId,
    ) -> Option<&mut Session> {
        let parties = [&mut self.server, &mut self.client].into_iter();
        let mut ends = parties.filter_map(|party| match party {
            Party::Person(_) => None,
            Party::Session(end) => Some(end),
        });
        ends.find_map(|end| {
            let found = end.session.as_deref_mut();
            found.filter(|found| end.process == process && found.id() == session)
        })
    }

    pub(super) fn person_sends(&mut self, bytes: &[u8]) {
        for party in [&mut self.server, &mut self.client] {
            if let Party::Person(person) = party {
                person.outbox.extend_from_slice(bytes);
            }
        }
    }

    pub(super) fn person_reads(&mut self, now: Now) -> Read {
        match self.server {
            Party::Person(_) => self.to_server.read(now.at),
            Party::Session(_) => self.to_client.read(now.at),
        }
    }

    pub(super) fn person_leaves(&mut self, now: Now, entropy: &mut Entropy) {
        self.flush_outboxes(now, entropy);
        let parties = [
            (&mut self.server, &mut self.to_client),
            (&mut self.client, &mut self.to_server),
        ];
        for (party, output) in parties {
            if let Party::Person(person) = party
                && !person.has_left
            {
                person.has_left = true;
                person.outbox.clear();
                output.end(now.at, entropy);
            }
        }
    }

    /// Whether everything that the person sent is on its way.
    pub(super) fn has_sent_all(&self) -> bool {
        let mut parties = [&self.server, &self.client].into_iter();
        parties.all(|party| match party {
            Party::Person(person) => person.outbox.is_empty(),
            Party::Session(_) => true,
        })
    }

    /// The connection is lost, for both.
    pub(super) fn lose(&mut self) {
        self.to_server.lose();
        self.to_client.lose();
        for party in [&mut self.server, &mut self.client] {
            match party {
                Party::Person(person) => person.outbox.clear(),
                Party::Session(end) => end.failure_is_owed = end.session.is_some(),
            }
        }
    }

    /// A process is gone from one moment to the next.
    pub(super) fn lose_process(&mut self, process: ProcessId) {
        let mut is_here = false;
        for party in [&mut self.server, &mut self.client] {
            if let Party::Session(end) = party {
                is_here |= end.forget(process);
            }
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
        self.server.has_left() && self.client.has_left()
    }

    /// When something happens to it next.
    pub(super) fn next_event(&self, now: Instant) -> Option<Instant> {
        let server = self.server.next_event(&self.to_server, now);
        let client = self.client.next_event(&self.to_client, now);
        server.into_iter().chain(client).min()
    }

    /// Drives the sessions as their documentation says, for as long as something can be done.
    /// Returns whether anything was.
    pub(super) fn progress(&mut self, around: &mut Surroundings<'_>, hosts: &mut [Host]) -> bool {
        let mut has_changed = self.flush_outboxes(around.now, around.entropy);
        if let Party::Session(end) = &mut self.server {
            let mut way = Way {
                id: self.id,
                input: &mut self.to_server,
                output: &mut self.to_client,
                peer_has_left: self.client.has_left(),
            };
            let process = find_process(hosts, end.process);
            has_changed |= end.progress(around, &mut way, process);
        }
        if let Party::Session(end) = &mut self.client {
            let mut way = Way {
                id: self.id,
                input: &mut self.to_client,
                output: &mut self.to_server,
                peer_has_left: self.server.has_left(),
            };
            let process = find_process(hosts, end.process);
            has_changed |= end.progress(around, &mut way, process);
        }
        has_changed
    }

    fn flush_outboxes(&mut self, now: Now, entropy: &mut Entropy) -> bool {
        let (server_has_left, client_has_left) = (self.server.has_left(), self.client.has_left());
        let server = self
            .server
            .flush(&mut self.to_client, client_has_left, now, entropy);
        let client = self
            .client
            .flush(&mut self.to_server, server_has_left, now, entropy);
        server || client
    }
}

impl Party {
    fn has_left(&self) -> bool {
        match self {
            Self::Person(person) => person.has_left,
            Self::Session(end) => end.session.is_none(),
        }
    }

    fn next_event(&self, input: &Pipe, now: Instant) -> Option<Instant> {
        match self {
            Self::Person(Person { has_left: true, .. }) => None,
            // What has arrived waits for a person, who may be in no hurry.
            Self::Person(_) => input.next_arrival().filter(|at| *at > now),
            Self::Session(end) => end.next_event(input),
        }
    }

    /// Sends what a person has to say, as far as there is room.
    fn flush(
        &mut self,
        output: &mut Pipe,
        peer_has_left: bool,
        now: Now,
        entropy: &mut Entropy,
    ) -> bool {
        let Self::Person(person) = self else {
            return false;
        };
        if peer_has_left {
            // Nobody takes it any more.
            person.outbox.clear();
        }
        let written = output.write(now.at, entropy, &person.outbox);
        person.outbox.advance(written);
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
        has_changed |= pass_requests(now, session, process);
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
            pass_requests(now, session, process);
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

/// Passes on what a session asks. Returns whether there was anything.
fn pass_requests(now: Now, session: &mut Session, process: &mut Process) -> bool {
    let mut has_changed = false;
    while let Some(request) = session.poll_request() {
        process.node.handle_request(now, session.id(), request);
        has_changed = true;
    }
    has_changed
}
