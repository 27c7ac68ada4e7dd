//! The IMAP server as a state machine.
//!
//! | activity      | input goes to             | ends with                                  |
//! |---------------|---------------------------|--------------------------------------------|
//! | `Handshaking` | nobody: blocked           | `TlsEstablished`: `Ready`                  |
//! | `Ready`       | the command reader        | a command: one of the next four            |
//! | `Running`     | nobody: blocked           | the tagged response: `Ready`, or `Idling`  |
//! | `Responding`  | AUTHENTICATE's exchange   | credentials: `Running`                     |
//! | `Appending`   | APPEND's literals         | the last one: `Running`                    |
//! | `Idling`      | a line that must be DONE  | DONE, or a notice: `Running`               |
//! | `Closing`     | nobody: blocked           | a peer that takes no bytes: `Closed`       |
//! | `Closed`      | nobody: blocked           | nothing                                    |
//!
//! Commands run one at a time: what a client pipelines waits in the driver's buffer. A command is
//! a task that takes steps: it writes a bounded piece, or asks the world something, and goes on
//! when there is an answer and send credit. At its end the view is brought up to date
//! (`completing`), and only then comes the tagged response.

mod append;
mod capability;
mod command;
mod completing;
mod expunge;
mod fetch;
mod idle;
mod list;
mod login;
mod mailboxes;
mod message_writer;
mod output;
mod search;
mod section_source;
mod select;
mod session;
mod store;
mod task;
mod transfer;

use alloc::boxed::Box;

use self::{
    append::Append,
    completing::Completing,
    idle::Idle,
    login::{Exchange, Responded},
    output::Output,
    session::{Ending, Session, State, Then},
    task::{Step, Task},
};
use super::{
    Call, Config, Reply, Tls,
    wire::{CommandReader, Condition, Fault, Progress, ResponseCode, write_fault},
};
use crate::{
    Action, CallId, Close, Connection, Event, Instant, Notice, Now, Timeout, Timer, limits,
    pace::Pace,
};

/// The server side of one IMAP connection. See [`Connection`] for its contract.
#[derive(Debug)]
pub struct Server {
    session: Session,
    reader: CommandReader,
    activity: Activity,
    /// Faulty commands since the last good one.
    faults: u32,
    /// When the connection, or TLS on it, began.
    began_at: Instant,
    /// When the last input was taken or the last command ended.
    active_at: Instant,
    /// When the command began that is still coming.
    command_since: Option<Instant>,
    /// Of the messages that are appended, and of what is dropped.
    pace: Pace,
    /// When the peer last took bytes, or had none to take.
    sent_at: Instant,
    /// When the session is to be over.
    shutdown_at: Option<Instant>,
}

#[derive(Debug)]
enum Activity {
    /// TLS comes up. `greets`: then the greeting is sent, because it was not sent before.
    Handshaking { greets: bool },
    /// The next command is waited for.
    Ready,
    /// The client's next line of AUTHENTICATE is waited for.
    Responding(Exchange),
    /// The messages of an APPEND come in.
    Appending(Box<Append>),
    /// IDLE.
    Idling(Idle),
    /// A command is carried out. `awaiting`: the call whose reply is waited for.
    Running {
        task: Task,
        awaiting: Option<CallId>,
    },
    /// The connection ends, once everything has gone out.
    Closing,
    /// The connection has ended.
    Closed,
}

impl Server {
    /// A connection that was just accepted. The greeting is the first action, unless TLS comes
    /// first.
    pub fn new(config: Config, now: Now) -> Self {
        let tls = config.tls;
        let mut server = Self {
            session: Session {
                config,
                output: Output::default(),
                state: State::NotAuthenticated,
                is_encrypted: false,
                knows_modseqs: false,
                was_noticed: false,
                login_failures: 0,
                uploads: 0,
            },
            reader: CommandReader::default(),
            activity: Activity::Ready,
            faults: 0,
            began_at: now.at,
            active_at: now.at,
            command_since: None,
            pace: Pace::start(now.at, limits::IMAP_DATA_TIMEOUT),
            sent_at: now.at,
            shutdown_at: None,
        };
        match tls {
            Tls::Implicit => server.activity = Activity::Handshaking { greets: true },
            Tls::Offered | Tls::Unavailable => server.greet(),
        }
        server
    }

    fn greet(&mut self) {
        let capabilities = self.session.capabilities();
        let text = alloc::format!("{} rmail ready", self.session.config.hostname);
        let code = Some(ResponseCode::Capability(&capabilities));
        self.session.output.untagged(Condition::Ok, code, &text);
    }

    fn handle_line_input(&mut self, now: Now, input: &[u8]) -> usize {
        let was_skipping = self.reader.is_skipping();
        let (consumed, progress) = self.reader.handle_input(input);
        match progress {
            Progress::Incomplete | Progress::Skipped => {}
            Progress::NeedContinuation => {
                self.session.output.continuation();
                self.reader.accept_literal();
            }
            Progress::AppendLiteral(message) => self.start_append(now, message),
            // An APPEND whose messages were refused is over already.
            Progress::AppendDone(_) => {}
            Progress::Command(command) => self.start_command(now, command),
            Progress::Fault(fault) => self.handle_fault(&fault),
        }
        // What is dropped may be as long as any message.
        match (was_skipping, self.reader.is_skipping()) {
            (false, true) => self.pace = Pace::start(now.at, limits::IMAP_DATA_TIMEOUT),
            (true, true) => self.pace.advance(now.at, consumed),
            (_, false) => {}
        }
        consumed
    }

    fn handle_fault(&mut self, fault: &Fault) {
        write_fault(self.session.output.buffer(), fault);
        self.count_fault();
    }

    fn count_fault(&mut self) {
        self.faults += 1;
        if self.faults >= limits::IMAP_FAULTS_MAX {
            self.say_bye(None, "Too many errors");
        }
    }

    /// Lets a task take its first step.
    fn run(&mut self, now: Now, task: Task) {
        self.activity = Activity::Running {
            task,
            awaiting: None,
        };
        self.advance(now, None);
    }

    fn end(&mut self, now: Now, ending: Ending) {
        self.run(now, Task::Completing(Box::new(Completing::new(ending))));
    }

    /// Lets the running task take steps until it waits for something, or is over.
    fn advance(&mut self, now: Now, mut reply: Option<Reply>) {
        while let Activity::Running { task, awaiting } = &mut self.activity {
            let has_credit = self.session.output.available_bytes() > 0;
            if awaiting.is_some() || (!has_credit && reply.is_none()) {
                return;
            }
            match task.step(&mut self.session, reply.take()) {
                Step::Ask(call) => *awaiting = Some(self.session.output.call(call)),
                Step::More => self.session.output.flush_when_large(),
                Step::Starved => return,
                Step::Done(ending) => *task = Task::Completing(Box::new(Completing::new(ending))),
                Step::Complete(then) => self.complete(now, then),
                Step::Bye(text) => self.say_bye(None, text),
                Step::Abort => self.close(Close::Abort),
            }
        }
    }

    fn complete(&mut self, now: Now, then: Then) {
        self.active_at = now.at;
        let shuts_down = self.shutdown_at.is_some();
        match then {
            Then::Ready | Then::Idle(_) if shuts_down => self.say_shutdown(),
            Then::Ready => self.activity = Activity::Ready,
            Then::Idle(idle) => self.activity = Activity::Idling(*idle),
            Then::Close => self.close(Close::Flush),
        }
    }

    fn say_shutdown(&mut self) {
        self.say_bye(Some("UNAVAILABLE"), "The server is shutting down");
    }

    fn say_bye(&mut self, code: Option<&str>, text: &str) {
        if let Activity::Closing | Activity::Closed = self.activity {
            return;
        }
        let code = code.map(ResponseCode::Other);
        self.session.output.untagged(Condition::Bye, code, text);
        self.close(Close::Flush);
    }

    /// Gives up what is in progress, and ends.
    fn close(&mut self, close: Close) {
        let next = match (close, &self.activity) {
            (Close::Flush, Activity::Closing) | (_, Activity::Closed) => return,
            (Close::Flush, _) => Activity::Closing,
            (Close::Abort, _) => Activity::Closed,
        };
        match core::mem::replace(&mut self.activity, next) {
            Activity::Running {
                awaiting: Some(id), ..
            } => self.session.output.cancel(id),
            Activity::Appending(append) => append.cancel(&mut self.session),
            Activity::Handshaking { .. }
            | Activity::Ready
            | Activity::Responding(_)
            | Activity::Idling(_)
            | Activity::Running { awaiting: None, .. }
            | Activity::Closing
            | Activity::Closed => {}
        }
        self.session.output.close(close);
    }

    /// The peer's time to take bytes begins when there are some.
    fn note_sent(&mut self, now: Now) {
        if !self.session.output.is_outstanding() {
            self.sent_at = now.at;
        }
    }

    fn handle_tls(&mut self, now: Now) {
        let Activity::Handshaking { greets } = self.activity else {
            return;
        };
        self.session.is_encrypted = true;
        self.began_at = now.at;
        self.active_at = now.at;
        self.activity = Activity::Ready;
        if greets {
            self.greet();
        }
        if self.shutdown_at.is_some() {
            self.say_shutdown();
        }
    }

    fn handle_reply(&mut self, now: Now, id: CallId, reply: Reply) {
        match &mut self.activity {
            Activity::Running { awaiting, .. } if *awaiting == Some(id) => {
                *awaiting = None;
                self.advance(now, Some(reply));
            }
            Activity::Appending(append) => {
                let next = append.handle_reply(&mut self.session, &mut self.reader, id, reply);
                self.keep_pace(now);
                self.after_append(now, next);
            }
            Activity::Handshaking { .. }
            | Activity::Ready
            | Activity::Responding(_)
            | Activity::Idling(_)
            | Activity::Running { .. }
            | Activity::Closing
            | Activity::Closed => {}
        }
    }

    /// While the world has no room for more, the peer is not late.
    fn keep_pace(&mut self, now: Now) {
        if let Activity::Appending(append) = &self.activity {
            match append.waits_for_peer() {
                true => self.pace.resume(now.at),
                false => self.pace.pause(now.at),
            }
        }
    }

    fn handle_notice(&mut self, now: Now, notice: Notice) {
        match notice {
            Notice::MailboxChanged => self.session.mark_stale(),
            // Who ends the session then is not the protocol.
            Notice::AccountChanged => return,
        }
        self.tell_idling(now);
    }

    /// Tells a client that idles what there is to tell.
    fn tell_idling(&mut self, now: Now) {
        if let Activity::Idling(_) = self.activity
            && let Activity::Idling(idle) = core::mem::replace(&mut self.activity, Activity::Ready)
        {
            self.end(now, Ending::idle(idle));
        }
    }

    fn handle_shutdown(&mut self, grace_until: Instant) {
        let known = self.shutdown_at.unwrap_or(grace_until);
        self.shutdown_at = Some(known.min(grace_until));
        match self.activity {
            Activity::Ready | Activity::Responding(_) | Activity::Idling(_) => self.say_shutdown(),
            Activity::Handshaking { .. }
            | Activity::Appending(_)
            | Activity::Running { .. }
            | Activity::Closing
            | Activity::Closed => {}
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        let due = self.poll_timeout().filter(|timeout| timeout.at <= now.at);
        let Some(Timeout { timer, .. }) = due else {
            return;
        };
        match timer {
            Timer::Command => self.say_bye(None, "Autologout: idle for too long"),
            Timer::Login => self.say_bye(None, "Autologout: no login"),
            Timer::Data => self.say_bye(None, "Autologout: the message did not come"),
            Timer::KeepAlive => {
                if let Activity::Idling(idle) = &mut self.activity {
                    idle.keep_alive(now);
                    self.session
                        .output
                        .untagged(Condition::Ok, None, "Still here");
                }
                self.tell_idling(now);
            }
            Timer::Handshake | Timer::Send | Timer::Shutdown | Timer::Penalty => {
                self.close(Close::Abort);
            }
        }
    }

    /// What the activity waits for, and until when.
    fn activity_timeout(&self) -> Option<Timeout> {
        let command = || match self.session.state {
            State::NotAuthenticated => Timeout {
                at: self.began_at + limits::IMAP_LOGIN_TIMEOUT,
                timer: Timer::Login,
            },
            State::Authenticated | State::Selected(_) => {
                let dropped = self.pace.deadline().filter(|_| self.reader.is_skipping());
                let (at, timer) = match (dropped, self.command_since) {
                    (Some(at), _) => (at, Timer::Data),
                    (None, Some(since)) => (since + limits::IMAP_COMMAND_TIME, Timer::Command),
                    (None, None) => {
                        let at = self.active_at + limits::IMAP_COMMAND_TIMEOUT;
                        (at, Timer::Command)
                    }
                };
                Timeout { at, timer }
            }
        };
        match &self.activity {
            Activity::Handshaking { .. } => Some(Timeout {
                at: self.began_at + limits::TLS_HANDSHAKE_TIMEOUT,
                timer: Timer::Handshake,
            }),
            Activity::Ready | Activity::Responding(_) => Some(command()),
            Activity::Appending(append) if append.waits_for_peer() => {
                self.pace.deadline().map(|at| Timeout {
                    at,
                    timer: Timer::Data,
                })
            }
            Activity::Idling(idle) => Some(Timeout {
                at: idle.keep_alive_at(),
                timer: Timer::KeepAlive,
            }),
            Activity::Appending(_)
            | Activity::Running { .. }
            | Activity::Closing
            | Activity::Closed => None,
        }
    }
}

impl Connection for Server {
    type Call = Call;
    type Reply = Reply;

    fn handle_input(&mut self, now: Now, input: &[u8]) -> usize {
        self.note_sent(now);
        if input.is_empty() || self.session.output.available_bytes() == 0 {
            return 0;
        }
        let input = &input[..input.len().min(limits::UPLOAD_CHUNK_BYTES)];
        let consumed = match &mut self.activity {
            Activity::Ready => self.handle_line_input(now, input),
            Activity::Responding(exchange) => {
                let (consumed, responded) = exchange.handle_input(&mut self.session, input);
                match responded {
                    Responded::Waiting => {}
                    Responded::Login(login) => self.run(now, Task::Login(login)),
                    Responded::Fault(ending) => {
                        self.end(now, ending);
                        self.count_fault();
                    }
                }
                consumed
            }
            Activity::Appending(append) => {
                let (session, reader) = (&mut self.session, &mut self.reader);
                let (consumed, next) = append.handle_input(session, reader, input);
                self.pace.advance(now.at, consumed);
                self.keep_pace(now);
                self.after_append(now, next);
                consumed
            }
            Activity::Idling(idle) => {
                let (consumed, ending) = idle.handle_input(input);
                if let Some(ending) = ending {
                    self.end(now, ending);
                }
                consumed
            }
            Activity::Handshaking { .. }
            | Activity::Running { .. }
            | Activity::Closing
            | Activity::Closed => 0,
        };
        if consumed > 0 {
            self.active_at = now.at;
        }
        self.command_since = match self.reader.is_between_commands() {
            true => None,
            false => self.command_since.or(Some(now.at)),
        };
        consumed
    }

    fn handle_event(&mut self, now: Now, event: Event<Reply>) {
        self.note_sent(now);
        match event {
            Event::TlsEstablished(_) => self.handle_tls(now),
            Event::Reply(id, reply) => self.handle_reply(now, id, reply),
            Event::Notice(notice) => self.handle_notice(now, notice),
            // Only clients are told of a failed handshake.
            Event::TlsFailed(_) => {}
            Event::Sent(bytes) => {
                self.session.output.handle_sent(bytes);
                self.sent_at = now.at;
                self.advance(now, None);
            }
            Event::Timeout => self.handle_timeout(now),
            Event::PeerClosed => self.close(Close::Flush),
            Event::Shutdown { grace_until } => self.handle_shutdown(grace_until),
        }
    }

    fn poll_action(&mut self) -> Option<Action<Call>> {
        self.session.output.poll_action()
    }

    fn poll_timeout(&self) -> Option<Timeout> {
        if let Activity::Closed = self.activity {
            return None;
        }
        let send = self.session.output.is_outstanding().then(|| Timeout {
            at: self.sent_at + limits::SEND_TIMEOUT,
            timer: Timer::Send,
        });
        let shutdown = self.shutdown_at.map(|at| Timeout {
            at,
            timer: Timer::Shutdown,
        });
        let timeouts = [self.activity_timeout(), send, shutdown];
        timeouts
            .into_iter()
            .flatten()
            .min_by_key(|timeout| timeout.at)
    }
}
