//! A client that asks for everything and reads nothing costs the send credit, and no more.

use std::time::Duration;

use rmail_proto::{
    Action, Close, Connection, Event, Instant, Now, UnixTime,
    imap::{Call, Server, Tls},
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
    fn new(world: Memory) -> Self {
        let now = Now {
            at: Instant::from_start(Duration::from_secs(1000)),
            unix: UnixTime(1_700_000_000),
        };
        Self {
            machine: Server::new(config(Tls::Unavailable), now),
            world,
            now,
            unsent_bytes: 0,
            closed: None,
        }
    }

    fn send(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let consumed = self.machine.handle_input(self.now, input);
            self.drain();
            if consumed == 0 {
                return;
            }
            input = &input[consumed..];
        }
    }

    fn handle(&mut self, event: Event<rmail_proto::imap::Reply>) {
        self.machine.handle_event(self.now, event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.machine.poll_action() {
            match action {
                Action::Send(bytes) => self.unsent_bytes += bytes.len(),
                Action::Call(id, call) => {
                    if !matches!(call, Call::Unselect | Call::Discard { .. }) {
                        let reply = self.world.answer(call).unwrap();
                        self.machine.handle_event(self.now, Event::Reply(id, reply));
                    }
                }
                Action::Close(close) => self.closed = Some(close),
                Action::Cancel(_) | Action::StartTls => {}
            }
        }
    }
}

fn stalled_by(command: &str) -> Stalled {
    let mut world = Memory::new();
    for _ in 0..25_000 {
        world.deliver("Subject: x\r\n\r\ntext\r\n");
    }
    for number in 0..10_000 {
        world.make(&format!("mailbox number {number}"), None);
    }
    world.deliver(&"0123456789abcde\r\n".repeat(100_000));
    let mut stalled = Stalled::new(world);
    stalled.send(b"a LOGIN alice@example.com secret\r\nb SELECT INBOX\r\n");
    stalled.send(format!("c {command}\r\n").as_bytes());
    stalled
}

#[test]
fn client_that_reads_nothing_costs_the_send_credit() {
    for command in [
        "FETCH 1:* FLAGS",
        "FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)",
        "FETCH 1:* BODY.PEEK[HEADER]",
        "FETCH 25001 BODY.PEEK[]",
        "STORE 1:* +FLAGS (\\Deleted)",
        "UID SEARCH 1:*",
        "LIST \"\" *",
        "LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))",
    ] {
        let mut stalled = stalled_by(command);
        let most = limits::SEND_CREDIT_BYTES + limits::READ_BYTES;
        assert!(
            stalled.unsent_bytes <= most,
            "{command}: {}",
            stalled.unsent_bytes
        );
        let calls = stalled.world.calls.len();
        stalled.send(b"d NOOP\r\n");
        assert_eq!(stalled.world.calls.len(), calls, "{command}");
        // A peer that reads again gets the rest.
        let mut total = 0;
        while stalled.unsent_bytes > 0 {
            let bytes = std::mem::take(&mut stalled.unsent_bytes);
            assert!(bytes <= most, "{command}: {bytes}");
            total += bytes;
            stalled.handle(Event::Sent(bytes));
        }
        assert!(
            total > limits::SEND_CREDIT_BYTES / 4,
            "{command}: {total} is no test"
        );
        stalled.send(b"d NOOP\r\n");
        assert_eq!(
            stalled.unsent_bytes,
            "d OK NOOP completed\r\n".len(),
            "{command}"
        );
    }
}

#[test]
fn expunge_of_everything_is_told_within_the_credit() {
    let mut stalled = stalled_by("STORE 1:* +FLAGS.SILENT (\\Deleted)");
    stalled.handle(Event::Sent(stalled.unsent_bytes));
    stalled.unsent_bytes = 0;
    stalled.send(b"d EXPUNGE\r\n");
    assert!(stalled.unsent_bytes <= limits::SEND_CREDIT_BYTES + limits::READ_BYTES);
    assert!(stalled.unsent_bytes >= limits::SEND_CREDIT_BYTES);
}

#[test]
fn peer_that_takes_no_bytes_is_given_up() {
    let mut stalled = stalled_by("FETCH 1:* FLAGS");
    stalled.now.at = stalled.now.at + limits::SEND_TIMEOUT;
    stalled.handle(Event::Timeout);
    assert_eq!(stalled.closed, Some(Close::Abort));
}
