//! A client that asks for everything and reads nothing costs the send credit, and no more.

use std::time::Duration;

use rmail_proto::{
    Action, Close, Connection, Event, Instant, Now, UnixTime,
    http::{Reply, Server, Tls},
    limits,
};

use crate::{
    transcript::World,
    world::{Memory, config},
};

/// A machine whose output goes nowhere.
struct Stalled {
    machine: Server,
    world: Memory,
    now: Now,
    unsent_bytes: usize,
    closed: Option<Close>,
}

impl Stalled {
    fn new() -> Self {
        let now = Now {
            at: Instant::from_start(Duration::from_secs(1000)),
            unix: UnixTime(1_700_000_000),
        };
        Self {
            machine: Server::new(config(Tls::Absent), now),
            world: Memory::default(),
            now,
            unsent_bytes: 0,
            closed: None,
        }
    }

    /// Returns how many bytes were taken.
    fn send(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        while taken < input.len() {
            let consumed = self.machine.handle_input(self.now, &input[taken..]);
            self.drain();
            if consumed == 0 {
                break;
            }
            taken += consumed;
        }
        taken
    }

    fn handle(&mut self, event: Event<Reply>) {
        self.machine.handle_event(self.now, event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Send(bytes) => self.unsent_bytes += bytes.len(),
                Action::Call(id, call) => {
                    let reply = self.world.answer(call).unwrap();
                    self.machine.handle_event(self.now, Event::Reply(id, reply));
                }
                Action::Close(close) => self.closed = Some(close),
                Action::Cancel(_) | Action::StartTls => {}
            }
        }
    }
}

const MOST: usize = limits::SEND_CREDIT_BYTES + limits::READ_BYTES;

#[test]
fn client_that_reads_nothing_costs_the_send_credit() {
    for target in [
        "/bytes?2000000",
        "/file?2000000",
        "/stream?2000000",
        "/hello",
        "/bytes?9000",
        "/fields?16384",
    ] {
        let mut stalled = Stalled::new();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").repeat(5_000);
        let mut taken = stalled.send(request.as_bytes());
        assert!(taken < request.len(), "{target}");
        assert!(
            stalled.unsent_bytes <= MOST,
            "{target}: {}",
            stalled.unsent_bytes
        );
        assert!(
            stalled.unsent_bytes >= limits::SEND_CREDIT_BYTES / 2,
            "{target}"
        );
        let calls = stalled.world.calls.len();
        assert_eq!(stalled.send(b"x"), 0, "{target}");
        assert_eq!(stalled.world.calls.len(), calls, "{target}");
        // A peer that reads again gets the rest.
        let mut total = 0;
        for _ in 0..16 {
            let bytes = std::mem::take(&mut stalled.unsent_bytes);
            total += bytes;
            stalled.handle(Event::Sent(bytes));
            taken += stalled.send(&request.as_bytes()[taken..]);
            assert!(
                stalled.unsent_bytes <= MOST,
                "{target}: {}",
                stalled.unsent_bytes
            );
        }
        assert!(total > 1_000_000, "{target}: {total}");
    }
}

#[test]
fn peer_that_takes_no_bytes_is_given_up() {
    let mut stalled = Stalled::new();
    stalled.send(b"GET /file?2000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    stalled.now.at = stalled.now.at + limits::HTTP_SEND_TIMEOUT;
    stalled.handle(Event::Timeout);
    assert_eq!(stalled.closed, Some(Close::Abort));
    assert_eq!(stalled.world.open_sources(), 0);
}
