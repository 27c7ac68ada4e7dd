//! The five rules of a `Connection` as property tests that any machine can be put through.
//!
//! A test crate implements [`Subject`] for its machine, makes steps with [`steps`], and calls
//! [`check_rules`] and [`check_splitting`].

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use proptest::prelude::*;
use rmail_proto::{
    Action, CallId, Close, Connection, Event, Instant, Notice, Now, TlsInfo, UnixTime, limits,
};

/// The calls of a subject's machine.
pub(crate) type CallOf<S> = <<S as Subject>::Machine as Connection>::Call;
/// The replies of a subject's machine.
pub(crate) type ReplyOf<S> = <<S as Subject>::Machine as Connection>::Reply;

/// A machine, and the world it lives in.
pub(crate) trait Subject {
    /// The machine.
    type Machine: Connection<Call: Debug, Reply: Debug>;

    /// Most actions that one `handle_*` may queue.
    const ACTIONS_MAX: usize;

    /// Unsent bytes from which on the machine may wait for the peer to take some.
    const BLOCKING_BYTES: usize = limits::SEND_CREDIT_BYTES;

    /// A new machine. The same each time.
    fn machine(&self, now: Now) -> Self::Machine;

    /// Whether the machine waits for a TLS handshake from the start.
    fn starts_with_tls(&self) -> bool;

    /// Whether the answer to this call is waited for, so that its absence may block the machine.
    fn is_awaited(&self, call: &CallOf<Self>) -> bool;

    /// An answer to this call: with choice 0 the best one, with others any, fitting or not.
    fn reply(&self, call: &CallOf<Self>, choice: u8) -> ReplyOf<Self>;

    /// Whether these bytes, which one `handle_input` consumed, are at most one protocol unit: a
    /// piece of data, or a line or part of one.
    fn is_one_unit(&self, consumed: &[u8]) -> bool {
        let (_, before_last) = consumed.split_last().expect("something was consumed");
        consumed.len() <= limits::UPLOAD_CHUNK_BYTES + 1 || !before_last.contains(&b'\n')
    }
}

/// One thing that happens to a machine.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The peer sends bytes.
    Input(Vec<u8>),
    /// An outstanding call is answered.
    Reply { which: usize, choice: u8 },
    /// The machine is given all that it is owed, again and again, until it is owed nothing.
    Settle,
    /// A call that was answered or cancelled before is answered again.
    Late { which: usize, choice: u8 },
    /// A hint.
    Notice(Notice),
    /// Some of the unsent bytes reach the socket; of a number that is too large, all do.
    Sent(usize),
    /// The handshake is done, whether one was asked for or not.
    Tls,
    /// Time passes, and a deadline that has come is reported.
    Pass(Duration),
    /// A timeout is reported, whether its time has come or not.
    Timeout,
    /// The peer closes.
    PeerClosed,
    /// The server goes down.
    Shutdown(Duration),
}

/// Steps with the input of `input`, which should often make sense to the machine.
pub(crate) fn steps(input: impl Strategy<Value = Vec<u8>> + 'static) -> BoxedStrategy<Vec<Step>> {
    let notice = prop_oneof![Just(Notice::MailboxChanged), Just(Notice::AccountChanged)];
    // Most answers are good ones, so that the conversation gets somewhere.
    let choice = prop_oneof![3 => Just(0u8), 1 => any::<u8>()];
    let step = prop_oneof![
        12 => input.prop_map(Step::Input),
        10 => (any::<usize>(), choice).prop_map(|(which, choice)| Step::Reply { which, choice }),
        8 => Just(Step::Settle),
        2 => any::<(usize, u8)>().prop_map(|(which, choice)| Step::Late { which, choice }),
        1 => notice.prop_map(Step::Notice),
        3 => prop_oneof![0usize..2000, Just(usize::MAX)].prop_map(Step::Sent),
        1 => Just(Step::Tls),
        1 => (0u64..2000).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        1 => Just(Step::Timeout),
    ];
    let ending = prop_oneof![
        4 => Just(None),
        1 => Just(Some(Step::PeerClosed)),
        1 => (0u64..60).prop_map(|grace| Some(Step::Shutdown(Duration::from_secs(grace)))),
    ];
    (
        proptest::collection::vec(step, 0..40),
        ending,
        any::<usize>(),
    )
        .prop_map(|(mut steps, ending, at)| {
            if let Some(ending) = ending {
                steps.insert(at % (steps.len() + 1), ending);
            }
            steps
        })
        .boxed()
}

/// Puts a machine through the steps and checks the rules after each; then gives it all that it is
/// owed, and checks that it goes on.
pub(crate) fn check_rules<S: Subject>(subject: &S, steps: &[Step]) {
    let first = run(subject, steps);
    // Pure: nothing but the inputs decides.
    assert_eq!(first, run(subject, steps));
}

/// Checks that what is sent and called does not depend on where input is split, when every call
/// is answered at once: the answer to the n-th awaited call is picked by `choices`.
pub(crate) fn check_splitting<S: Subject>(
    subject: &S,
    input: &[u8],
    pieces: &[usize],
    choices: &[u8],
) {
    let whole = converse(subject, input, &[input.len()], choices);
    assert_eq!(converse(subject, input, pieces, choices), whole);
}

fn run<S: Subject>(subject: &S, steps: &[Step]) -> Vec<String> {
    let mut run = Run::new(subject);
    run.drain();
    for step in steps {
        run.take_step(step);
        run.feed();
    }
    run.heal();
    run.trace
}

/// A machine with what it is owed, learned from nothing but its actions.
struct Run<'a, S: Subject> {
    subject: &'a S,
    machine: S::Machine,
    now: Now,
    pending: Vec<u8>,
    owed: BTreeMap<CallId, CallOf<S>>,
    settled: Vec<(CallId, CallOf<S>)>,
    unsent_bytes: usize,
    tls_owed: bool,
    closed: Option<Close>,
    trace: Vec<String>,
}

impl<'a, S: Subject> Run<'a, S> {
    fn new(subject: &'a S) -> Self {
        let now = Now {
            at: Instant::from_start(Duration::from_secs(1000)),
            unix: UnixTime(1_700_000_000),
        };
        Self {
            subject,
            machine: subject.machine(now),
            now,
            pending: Vec::new(),
            owed: BTreeMap::new(),
            settled: Vec::new(),
            unsent_bytes: 0,
            tls_owed: subject.starts_with_tls(),
            closed: None,
            trace: Vec::new(),
        }
    }

    fn take_step(&mut self, step: &Step) {
        match step {
            Step::Input(bytes) => self.pending.extend_from_slice(bytes),
            Step::Reply { which, choice } => {
                let index = which % self.owed.len().max(1);
                if let Some(&id) = self.owed.keys().nth(index) {
                    self.answer(id, *choice);
                }
            }
            Step::Settle => self.settle(),
            Step::Late { which, choice } => {
                let index = which % self.settled.len().max(1);
                if let Some((id, call)) = self.settled.get(index) {
                    let event = Event::Reply(*id, self.subject.reply(call, *choice));
                    self.machine.handle_event(self.now, event);
                    assert_eq!(self.drain(), 0, "a late reply is ignored");
                }
            }
            Step::Notice(notice) => self.handle(Event::Notice(*notice)),
            Step::Sent(bytes) => {
                let bytes = (*bytes).min(self.unsent_bytes);
                self.unsent_bytes -= bytes;
                self.handle(Event::Sent(bytes));
            }
            Step::Tls => {
                self.tls_owed = false;
                self.handle(Event::TlsEstablished(TlsInfo::default()));
            }
            Step::Pass(duration) => {
                self.now.at = self.now.at + *duration;
                self.now.unix.0 += duration.as_secs() as i64;
                self.handle_deadlines();
            }
            Step::Timeout => self.handle(Event::Timeout),
            Step::PeerClosed => self.handle(Event::PeerClosed),
            Step::Shutdown(grace) => {
                let grace_until = self.now.at + *grace;
                self.handle(Event::Shutdown { grace_until });
            }
        }
    }

    /// A deadline that has come is reported until it has moved on, which takes a few times only.
    fn handle_deadlines(&mut self) {
        for _ in 0..8 {
            match self.machine.poll_timeout() {
                Some(timeout) if timeout.at <= self.now.at => self.handle(Event::Timeout),
                _ => return,
            }
        }
        panic!(
            "the machine asks to be woken again and again: {:?}",
            self.machine.poll_timeout()
        );
    }

    fn answer(&mut self, id: CallId, choice: u8) {
        let call = self.owed.remove(&id).expect("the caller found it there");
        let reply = self.subject.reply(&call, choice);
        self.settled.push((id, call));
        self.handle(Event::Reply(id, reply));
    }

    fn handle(&mut self, event: Event<ReplyOf<S>>) {
        self.machine.handle_event(self.now, event);
        self.drain();
    }

    /// Offers what is pending until the machine is blocked, which it may be only while it is owed
    /// something.
    fn feed(&mut self) {
        while !self.pending.is_empty() {
            let consumed = self.machine.handle_input(self.now, &self.pending);
            assert!(consumed <= self.pending.len());
            self.trace.push(format!("consumed {consumed}"));
            if consumed == 0 {
                self.drain();
                assert!(
                    self.is_owed(),
                    "blocked and owed nothing\n{:#?}",
                    self.trace
                );
                return;
            }
            let unit: Vec<u8> = self.pending.drain(..consumed).collect();
            assert!(self.subject.is_one_unit(&unit), "{consumed} bytes at once");
            self.drain();
        }
    }

    fn is_owed(&self) -> bool {
        !self.owed.is_empty()
            || self.unsent_bytes >= S::BLOCKING_BYTES
            || self.tls_owed
            || self.closed.is_some()
    }

    /// Returns how many actions there were.
    fn drain(&mut self) -> usize {
        let mut count = 0;
        while let Some(action) = self.machine.poll_action() {
            count += 1;
            assert!(count <= S::ACTIONS_MAX, "too many at once: {action:?}");
            self.trace.push(format!("{action:?}"));
            self.note(action);
        }
        assert!(self.machine.poll_action().is_none(), "drained is drained");
        let timeout = self.machine.poll_timeout();
        self.trace.push(format!("{timeout:?}"));
        count
    }

    fn note(&mut self, action: Action<CallOf<S>>) {
        match (self.closed, &action) {
            (None, _) | (Some(Close::Flush), Action::Close(Close::Abort)) => {}
            (Some(_), action) => panic!("{action:?} after the close"),
        }
        match action {
            Action::Send(bytes) => {
                assert!(!bytes.is_empty());
                assert!(!self.tls_owed, "cleartext after StartTls");
                self.unsent_bytes += bytes.len();
                // The credit, and what one unit may overdraw it by.
                let bound = limits::SEND_CREDIT_BYTES + limits::READ_BYTES;
                assert!(self.unsent_bytes <= bound, "sent beyond the credit");
            }
            Action::Call(id, call) => {
                let known = self.settled.iter().any(|(known, _)| *known == id);
                assert!(
                    !known && !self.owed.contains_key(&id),
                    "a call id was used again"
                );
                match self.subject.is_awaited(&call) {
                    true => drop(self.owed.insert(id, call)),
                    false => self.settled.push((id, call)),
                }
            }
            Action::Cancel(id) => {
                if let Some(call) = self.owed.remove(&id) {
                    self.settled.push((id, call));
                }
            }
            Action::StartTls => {
                self.tls_owed = true;
                self.pending.clear();
            }
            Action::Close(close) => self.closed = Some(close),
        }
    }

    /// Everything owed is given; then everything pending is consumed, or the machine has closed.
    fn heal(&mut self) {
        self.settle();
        assert!(self.pending.is_empty() || self.closed.is_some());
    }

    fn settle(&mut self) {
        let rounds = 16 + self.pending.len() * 2;
        for _ in 0..rounds {
            if self.tls_owed && self.closed.is_none() {
                self.tls_owed = false;
                self.handle(Event::TlsEstablished(TlsInfo::default()));
            }
            while let Some(&id) = self.owed.keys().next() {
                self.answer(id, 0);
            }
            let bytes = std::mem::take(&mut self.unsent_bytes);
            self.handle(Event::Sent(bytes));
            self.feed();
            if self.closed.is_some() || (self.pending.is_empty() && !self.is_owed()) {
                return;
            }
        }
        panic!(
            "given all that it was owed, it does not go on\n{:#?}",
            self.trace
        );
    }
}

/// What was sent, and the calls and closes, of a conversation with a quick and reliable world.
fn converse<S: Subject>(
    subject: &S,
    input: &[u8],
    pieces: &[usize],
    choices: &[u8],
) -> (String, Vec<String>) {
    let mut talk = Talk {
        run: Run::new(subject),
        choices,
        answered: 0,
        sent: Vec::new(),
        others: Vec::new(),
    };
    let mut rest = input;
    let mut pieces = pieces.iter().copied().cycle();
    while talk.settle() && !rest.is_empty() {
        let length = pieces.next().unwrap_or(1).clamp(1, rest.len());
        let (mut piece, behind) = rest.split_at(length);
        rest = behind;
        while !piece.is_empty() {
            let consumed = talk.run.machine.handle_input(talk.run.now, piece);
            piece = &piece[consumed..];
            if !talk.settle() {
                break;
            }
            assert!(consumed > 0, "blocked, with all answers given");
        }
    }
    (
        String::from_utf8_lossy(&talk.sent).into_owned(),
        talk.others,
    )
}

struct Talk<'a, S: Subject> {
    run: Run<'a, S>,
    choices: &'a [u8],
    answered: usize,
    sent: Vec<u8>,
    others: Vec<String>,
}

impl<S: Subject> Talk<'_, S> {
    /// Gives the machine all that it is owed, one event at a time. Returns whether it is still
    /// open.
    fn settle(&mut self) -> bool {
        loop {
            while let Some(action) = self.run.machine.poll_action() {
                if let Action::Send(bytes) = &action {
                    self.sent.extend_from_slice(bytes);
                } else {
                    self.others.push(format!("{action:?}"));
                }
                self.run.note(action);
            }
            if self.run.closed.is_some() {
                return false;
            }
            let Some(event) = self.next_event() else {
                return true;
            };
            self.run.machine.handle_event(self.run.now, event);
        }
    }

    fn next_event(&mut self) -> Option<Event<ReplyOf<S>>> {
        if std::mem::take(&mut self.run.tls_owed) {
            return Some(Event::TlsEstablished(TlsInfo::default()));
        }
        let bytes = std::mem::take(&mut self.run.unsent_bytes);
        if bytes > 0 {
            return Some(Event::Sent(bytes));
        }
        let (id, call) = self.run.owed.pop_first()?;
        let choice = match self.choices {
            [] => 0,
            choices => choices[self.answered % choices.len()],
        };
        self.answered += 1;
        Some(Event::Reply(id, self.run.subject.reply(&call, choice)))
    }
}
