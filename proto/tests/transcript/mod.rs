//! Conversations written down: `C:` is what the client sends, `S:` what the server sends. What the
//! machine's peer sends is put in; what the machine sends must be what stands there.

use std::{collections::VecDeque, fmt::Debug, time::Duration};

use rmail_proto::{Action, CallId, Close, Connection, Event, Instant, Now, TlsInfo, UnixTime};

/// The other side of a machine's calls.
pub(crate) trait World<M: Connection> {
    /// The mark of what the machine's peer sends.
    const PEER: &str = "C:";
    /// The mark of what the machine sends.
    const MACHINE: &str = "S:";

    /// Answers a call, or holds the answer back.
    fn answer(&mut self, call: M::Call) -> Option<M::Reply>;
}

/// A machine that talks to a test.
pub(crate) struct Session<M: Connection, W> {
    /// Answers the calls.
    pub(crate) world: W,
    /// The clock, which stands still unless [`pass`](Self::pass) is called.
    pub(crate) now: Now,
    /// Calls that the world did not answer and that were not cancelled.
    pub(crate) held: VecDeque<CallId>,
    /// How the machine closed, if it did.
    pub(crate) closed: Option<Close>,
    machine: M,
    sent: Vec<u8>,
    starttls: bool,
}

impl<M: Connection<Call: Debug>, W: World<M>> Session<M, W> {
    /// Makes the machine at 2023-11-14 22:13:20 UTC.
    pub(crate) fn new(world: W, machine: impl FnOnce(Now) -> M) -> Self {
        let now = Now {
            at: Instant::from_start(Duration::from_secs(1000)),
            unix: UnixTime(1_700_000_000),
        };
        let mut session = Self {
            world,
            now,
            held: VecDeque::new(),
            closed: None,
            machine: machine(now),
            sent: Vec::new(),
            starttls: false,
        };
        session.drain();
        session
    }

    /// Plays a transcript. A line is the peer's mark and what it sends (CRLF is added), or the
    /// machine's mark and a line that must have been sent by then, in which each `*` stands for
    /// any text. What comes before these marks is indentation. At the end nothing else may have
    /// been sent.
    pub(crate) fn play(&mut self, transcript: &str) {
        for line in transcript
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.is_empty())
        {
            if let Some(text) = line.strip_prefix(W::PEER) {
                self.send(text.strip_prefix(' ').unwrap_or(text).as_bytes());
                self.send(b"\r\n");
            } else if let Some(expected) = line.strip_prefix(W::MACHINE) {
                let expected = expected.strip_prefix(' ').unwrap_or(expected);
                let sent = self
                    .take_line()
                    .unwrap_or_else(|| panic!("nothing sent, not: {line}"));
                assert!(
                    matches(expected, &sent),
                    "expected: {expected}\n    sent: {sent}"
                );
            } else {
                panic!("neither C: nor S: in {line}");
            }
        }
        self.expect_silence();
    }

    /// The peer sends bytes, and the machine takes them all, unless it closes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let taken = self.offer(bytes);
        assert!(
            taken == bytes.len() || self.closed.is_some(),
            "taken: {taken} of {bytes:?}"
        );
    }

    /// The peer sends bytes. Returns how many the machine took before it was blocked.
    pub(crate) fn offer(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let consumed = self.machine.handle_input(self.now, &bytes[taken..]);
            self.drain();
            if consumed == 0 {
                break;
            }
            taken += consumed;
        }
        taken
    }

    /// Something else happens.
    pub(crate) fn handle(&mut self, event: Event<M::Reply>) {
        self.machine.handle_event(self.now, event);
        self.drain();
    }

    /// The TLS handshake that was asked for is done.
    pub(crate) fn establish_tls(&mut self, tls: TlsInfo) {
        assert!(
            std::mem::take(&mut self.starttls),
            "no handshake was asked for"
        );
        self.handle(Event::TlsEstablished(tls));
    }

    /// Time passes, and the deadline is reported if it has come.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now.at = self.now.at + duration;
        let due = self
            .machine
            .poll_timeout()
            .is_some_and(|timeout| timeout.at <= self.now.at);
        if due {
            self.handle(Event::Timeout);
        }
    }

    /// The machine.
    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// All that was sent and not looked at.
    pub(crate) fn take_sent(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.sent)).expect("replies are UTF-8")
    }

    /// Nothing was sent that the test did not look at.
    pub(crate) fn expect_silence(&self) {
        assert_eq!(
            String::from_utf8_lossy(&self.sent),
            "",
            "sent and not expected"
        );
    }

    fn take_line(&mut self) -> Option<String> {
        let end = self.sent.windows(2).position(|pair| pair == b"\r\n")?;
        let line: Vec<u8> = self.sent.drain(..end + 2).collect();
        Some(String::from_utf8(line[..end].to_vec()).expect("replies are UTF-8"))
    }

    /// Carries out all actions, then reports what came of them, until nothing more happens.
    fn drain(&mut self) {
        let mut events = VecDeque::new();
        loop {
            while let Some(action) = self.machine.poll_action() {
                match action {
                    Action::Send(bytes) => {
                        self.sent.extend_from_slice(&bytes);
                        events.push_back(Event::Sent(bytes.len()));
                    }
                    Action::Call(id, call) => match self.world.answer(call) {
                        Some(reply) => events.push_back(Event::Reply(id, reply)),
                        None => self.held.push_back(id),
                    },
                    Action::Cancel(id) => self.held.retain(|held| *held != id),
                    Action::StartTls => self.starttls = true,
                    Action::Close(close) => self.closed = Some(close),
                }
            }
            match events.pop_front() {
                Some(event) => self.machine.handle_event(self.now, event),
                None => return,
            }
        }
    }
}

/// Whether `text` is `pattern` with any text in the place of each `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, pattern)) => text.strip_prefix(start).is_some_and(|text| {
            let mut rests = text
                .char_indices()
                .map(|(index, _)| index)
                .chain([text.len()]);
            rests.any(|index| matches(pattern, &text[index..]))
        }),
    }
}
