//! APPEND, of one message or several (RFC 3501 §6.3.11, RFC 3502).
//!
//! | stage       | input                      | ends with                                       |
//! |-------------|----------------------------|-------------------------------------------------|
//! | `Checking`  | blocked                    | yes: `Receiving`; no: the tagged NO             |
//! | `Receiving` | the literal¹               | its end: `Between`; a refusal: `Dropping`       |
//! | `Dropping`  | literal, dropped           | its end: the tagged NO                          |
//! | `Between`   | the command reader         | another message: `Checking`; the end: `Finishing` |
//! | `Finishing` | blocked                    | the last chunk is taken: [`Save`]               |
//!
//! ¹ Blocked while [`limits::UPLOAD_CHUNKS_IN_FLIGHT`] chunks wait for their reply.

use alloc::{boxed::Box, string::String, vec::Vec};

use bytes::Bytes;

use super::{
    Activity, Server,
    session::{Ending, Session, State},
    task::{Step, Task, refused_or_wrong},
};
use crate::{
    CallId, Now, UploadId,
    imap::{
        Call, NewMessage, Reply,
        wire::{AppendMessage, CommandReader, Condition, Fault, Progress, ResponseCode, Tag},
    },
    limits,
    pace::Pace,
};

/// Takes the messages of one APPEND in, chunk by chunk.
#[derive(Debug)]
pub(super) struct Append {
    tag: Tag,
    mailbox: String,
    /// Those whose literal has begun.
    messages: Vec<NewMessage>,
    /// Chunks whose reply is owed; at most [`limits::UPLOAD_CHUNKS_IN_FLIGHT`].
    in_flight: Vec<CallId>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Checking {
        call: CallId,
        message: Box<AppendMessage>,
    },
    Receiving {
        left_bytes: u64,
        chunk: Vec<u8>,
        /// Whether a chunk was sent: else there is no upload yet.
        has_begun: bool,
    },
    Dropping {
        left_bytes: u64,
        ending: Box<Ending>,
    },
    Between,
    Finishing,
}

/// How an APPEND goes on.
#[derive(Debug)]
pub(super) enum Next {
    Stay,
    /// It has failed.
    End(Ending),
    /// It has failed, and the client heard of it.
    Fault(Fault),
    /// All is there.
    Save(Save),
}

impl Server {
    pub(super) fn start_append(&mut self, now: Now, message: AppendMessage) {
        let refusal = match self.session.state {
            State::NotAuthenticated => Some(Ending::bad(&message.tag, "Log in first")),
            State::Authenticated | State::Selected(_) => refusal(&self.session, &message, 0),
        };
        if let Some(ending) = refusal {
            self.reader.refuse();
            return self.end(now, ending);
        }
        let append = Append::new(&mut self.session, message);
        self.activity = Activity::Appending(Box::new(append));
        self.pace = Pace::start(now.at, limits::IMAP_DATA_TIMEOUT);
        self.keep_pace(now);
    }

    pub(super) fn after_append(&mut self, now: Now, next: Next) {
        match next {
            Next::Stay => {}
            Next::End(ending) => {
                // It is the peer's turn to send the rest.
                self.pace.resume(now.at);
                self.end(now, ending);
            }
            Next::Fault(fault) => {
                self.activity = Activity::Ready;
                self.handle_fault(&fault);
            }
            Next::Save(save) => self.run(now, Task::Save(save)),
        }
    }
}

/// Why a message is refused before anybody is asked.
fn refusal(session: &Session, message: &AppendMessage, messages_before: usize) -> Option<Ending> {
    let tag = &message.tag;
    if message.size_bytes > session.config.message_bytes_max {
        Some(Ending::no_code(tag, "TOOBIG", "Message is too large"))
    } else if message.size_bytes == 0 {
        Some(Ending::no(tag, "Message is empty"))
    } else if messages_before == limits::APPEND_MESSAGES {
        Some(Ending::no_code(tag, "LIMIT", "Too many messages at once"))
    } else {
        None
    }
}

impl Append {
    fn new(session: &mut Session, message: AppendMessage) -> Self {
        Self {
            tag: message.tag.clone(),
            mailbox: message.mailbox.clone(),
            messages: Vec::new(),
            in_flight: Vec::new(),
            stage: check(session, message),
        }
    }

    /// Whether it is the peer's turn.
    pub(super) fn waits_for_peer(&self) -> bool {
        match self.stage {
            Stage::Receiving { .. } => self.in_flight.len() < limits::UPLOAD_CHUNKS_IN_FLIGHT,
            Stage::Dropping { .. } | Stage::Between => true,
            Stage::Checking { .. } | Stage::Finishing => false,
        }
    }

    pub(super) fn handle_input(
        &mut self,
        session: &mut Session,
        reader: &mut CommandReader,
        input: &[u8],
    ) -> (usize, Next) {
        match &mut self.stage {
            Stage::Checking { .. } | Stage::Finishing => (0, Next::Stay),
            Stage::Receiving { .. } => (self.receive(session, reader, input), Next::Stay),
            Stage::Dropping { left_bytes, ending } => {
                let taken = taken(input, *left_bytes);
                *left_bytes -= taken as u64;
                if *left_bytes > 0 {
                    return (taken, Next::Stay);
                }
                let ending = core::mem::replace(&mut **ending, Ending::with_line(Vec::new()));
                reader.append_literal_done();
                reader.skip_append();
                (taken, Next::End(ending))
            }
            Stage::Between => self.handle_line(session, reader, input),
        }
    }

    pub(super) fn handle_reply(
        &mut self,
        session: &mut Session,
        reader: &mut CommandReader,
        id: CallId,
        reply: Reply,
    ) -> Next {
        if let Stage::Checking { call, message } = &self.stage
            && *call == id
        {
            if let Reply::Done = reply {
                if message.synchronising {
                    session.output.continuation();
                }
                let message = AppendMessage::clone(message);
                self.start_receiving(session, &message);
                return Next::Stay;
            }
            return self.fail(session, reader, &reply);
        }
        let Some(index) = self.in_flight.iter().position(|&waiting| waiting == id) else {
            return Next::Stay;
        };
        self.in_flight.remove(index);
        if let Reply::Done = reply {
            return self.finish_if_complete();
        }
        if let Stage::Checking { call, .. } = self.stage {
            session.output.cancel(call);
        }
        self.fail(session, reader, &reply)
    }

    /// Gives up: nothing is stored.
    pub(super) fn cancel(mut self, session: &mut Session) {
        if let Stage::Checking { call, .. } = self.stage {
            session.output.cancel(call);
        }
        self.discard(session);
    }

    fn start_receiving(&mut self, session: &mut Session, message: &AppendMessage) {
        self.messages.push(NewMessage {
            upload: session.allocate_upload(),
            flags: message.flags.clone(),
            internal_date: message.internal_date,
        });
        self.stage = Stage::Receiving {
            left_bytes: message.size_bytes,
            chunk: Vec::new(),
            has_begun: false,
        };
    }

    fn receive(
        &mut self,
        session: &mut Session,
        reader: &mut CommandReader,
        input: &[u8],
    ) -> usize {
        let (
            Stage::Receiving {
                left_bytes,
                chunk,
                has_begun,
            },
            Some(message),
        ) = (&mut self.stage, self.messages.last())
        else {
            return 0;
        };
        if self.in_flight.len() >= limits::UPLOAD_CHUNKS_IN_FLIGHT {
            return 0;
        }
        let room = limits::UPLOAD_CHUNK_BYTES - chunk.len();
        let taken = taken(input, *left_bytes).min(room);
        chunk.extend_from_slice(&input[..taken]);
        *left_bytes -= taken as u64;
        let last = *left_bytes == 0;
        if last || chunk.len() == limits::UPLOAD_CHUNK_BYTES {
            *has_begun = true;
            self.in_flight.push(session.output.call(Call::Chunk {
                upload: message.upload,
                data: Bytes::from(core::mem::take(chunk)),
                last,
            }));
        }
        if last {
            reader.append_literal_done();
            self.stage = Stage::Between;
        }
        taken
    }

    fn handle_line(
        &mut self,
        session: &mut Session,
        reader: &mut CommandReader,
        input: &[u8],
    ) -> (usize, Next) {
        let (consumed, progress) = reader.handle_input(input);
        let next = match progress {
            Progress::AppendLiteral(message) => {
                match refusal(session, &message, self.messages.len()) {
                    Some(ending) => {
                        reader.refuse();
                        self.discard(session);
                        Next::End(ending)
                    }
                    None => {
                        self.stage = check(session, message);
                        Next::Stay
                    }
                }
            }
            Progress::AppendDone(_) => {
                self.stage = Stage::Finishing;
                self.finish_if_complete()
            }
            Progress::Fault(fault) => {
                self.discard(session);
                Next::Fault(fault)
            }
            Progress::NeedContinuation => {
                session.output.continuation();
                reader.accept_literal();
                Next::Stay
            }
            Progress::Incomplete | Progress::Skipped | Progress::Command(_) => Next::Stay,
        };
        (consumed, next)
    }

    fn finish_if_complete(&mut self) -> Next {
        if !matches!(self.stage, Stage::Finishing) || !self.in_flight.is_empty() {
            return Next::Stay;
        }
        let messages = core::mem::take(&mut self.messages);
        Next::Save(Save {
            tag: self.tag.clone(),
            mailbox: core::mem::take(&mut self.mailbox),
            uploads: messages.iter().map(|message| message.upload).collect(),
            messages,
        })
    }

    /// A call was refused: what is on its way of the command is dropped.
    fn fail(&mut self, session: &mut Session, reader: &mut CommandReader, reply: &Reply) -> Next {
        self.discard(session);
        let ending = refused_or_wrong(&self.tag, reply);
        match self.stage {
            Stage::Receiving { left_bytes, .. } => {
                let ending = Box::new(ending);
                self.stage = Stage::Dropping { left_bytes, ending };
                return Next::Stay;
            }
            Stage::Checking { .. } => {
                reader.refuse();
            }
            Stage::Between => reader.skip_append(),
            Stage::Dropping { .. } | Stage::Finishing => {}
        }
        Next::End(ending)
    }

    fn discard(&mut self, session: &mut Session) {
        for id in self.in_flight.drain(..) {
            session.output.cancel(id);
        }
        if let Stage::Receiving {
            has_begun: false, ..
        } = self.stage
        {
            self.messages.pop();
        }
        for message in self.messages.drain(..) {
            // Nobody waits for the answer.
            let upload = message.upload;
            session.output.call(Call::Discard { upload });
        }
    }
}

/// How much of the input belongs to a literal.
fn taken(input: &[u8], left_bytes: u64) -> usize {
    usize::try_from(left_bytes).map_or(input.len(), |left| left.min(input.len()))
}

fn check(session: &mut Session, message: AppendMessage) -> Stage {
    let call = session.output.call(Call::AppendCheck {
        name: message.mailbox.clone(),
        size_bytes: message.size_bytes,
    });
    Stage::Checking {
        call,
        message: Box::new(message),
    }
}

/// Stores the complete uploads of an APPEND, all or none.
#[derive(Debug)]
pub(super) struct Save {
    tag: Tag,
    mailbox: String,
    /// Taken by the first step.
    messages: Vec<NewMessage>,
    uploads: Vec<UploadId>,
}

impl Save {
    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if !self.messages.is_empty() {
            return Step::Ask(Call::Append {
                name: self.mailbox.clone(),
                messages: core::mem::take(&mut self.messages),
            });
        }
        Step::Done(match reply {
            Some(Reply::Appended(appended)) => {
                session.mark_stale_if_named(&self.mailbox);
                let code = Some(ResponseCode::AppendUid(&appended));
                Ending::new(&self.tag, Condition::Ok, code, "Append completed")
            }
            Some(reply) => {
                for &upload in &self.uploads {
                    session.output.call(Call::Discard { upload });
                }
                refused_or_wrong(&self.tag, &reply)
            }
            None => return Step::More,
        })
    }
}
