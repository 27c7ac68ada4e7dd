//! A world as the place of a journey: the first host's servers, and clients that wait.

use std::time::Duration;

use rmail_proto::Instant;
use rmail_server::node::ListenerKind;

use super::{HostId, Stream, World};
use crate::{AccountChange, Received, ServerIndex, StreamId, Wire, pipe::Read};

/// The host on which journeys take place.
const HOST: HostId = HostId(0);

/// Longest time that a stop may take: the grace of sessions, and what they began.
const STOP_MAX: Duration = Duration::from_secs(120);

impl World {
    /// Lets things happen until `is_done`, or until the time is `deadline`. Returns whether it is
    /// done.
    fn run_until(&mut self, deadline: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        loop {
            self.settle();
            if is_done(self) {
                return true;
            }
            match self.next_event() {
                Some(at) if at <= deadline => self.set_time(at),
                Some(_) | None => {
                    self.set_time(deadline);
                    return false;
                }
            }
        }
    }
}

impl Wire for World {
    fn connect(&mut self, server: ServerIndex, listener: ListenerKind) -> StreamId {
        self.connect_to(HOST, server, listener)
            .expect("a client connects to a server that runs")
    }

    fn send(&mut self, stream: StreamId, bytes: &[u8]) {
        self.person_sends(stream, bytes);
    }

    fn receive(&mut self, id: StreamId, patience: Duration) -> Received {
        let deadline = self.now.at + patience;
        let has_come = |world: &Self| {
            let stream = world.streams.get(&id);
            stream.is_none_or(|stream: &Stream| stream.has_arrived(world.now.at))
        };
        if !self.run_until(deadline, has_come) {
            return Received::Silence;
        }
        match self.person_reads(id) {
            Read::Bytes(bytes) => Received::Bytes(bytes),
            Read::End | Read::Lost => Received::End,
            Read::Nothing => Received::Silence,
        }
    }

    fn disconnect(&mut self, stream: StreamId) {
        self.person_leaves(stream);
    }

    fn stop(&mut self, server: ServerIndex) {
        assert!(self.is_up(HOST, server), "a server that runs is stopped");
        self.stop_server(HOST, server);
        self.settle();
    }

    fn restart(&mut self, server: ServerIndex) {
        let deadline = self.now.at + STOP_MAX;
        let has_stopped = self.run_until(deadline, |world| !world.is_up(HOST, server));
        assert!(
            has_stopped,
            "the server does not stop:\n{}",
            self.describe()
        );
        self.start(HOST, server);
    }

    fn change_account(&mut self, change: AccountChange) {
        Self::change_account(self, HOST, change).expect("the change can be made");
    }

    fn pass(&mut self, duration: Duration) {
        self.run_until(self.now.at + duration, |_| false);
    }
}
