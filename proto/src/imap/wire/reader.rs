//! Commands out of a stream of bytes.

use alloc::{string::String, vec::Vec};

use super::{
    AppendMessage, Command, Fault, FaultKind, Tag,
    parse::{self, AppendStart},
};
use crate::limits;

/// Longest literal announcement in bytes: `~{18446744073709551615+}`, and room for leading zeros.
const ANNOUNCEMENT_BYTES_MAX: usize = 64;

/// Gathers a command's lines and literals, and parses it once it is whole.
///
/// | while               | `handle_input`             | ends with                       |
/// |---------------------|----------------------------|---------------------------------|
/// | in a line           | takes bytes up to CRLF     | what the line calls for         |
/// | in a literal        | takes the literal's bytes  | the line that follows           |
/// | skipping a literal  | drops the literal's bytes  | the line that follows           |
/// | awaiting a decision | takes nothing              | `accept_literal`, `refuse`      |
/// | before a message    | takes nothing: the literal | `append_literal_done`, `refuse` |
/// |                     | is the caller's            |                                 |
///
/// Lines end in CRLF. A line with a bare CR or LF, or with NUL, is a fault and is consumed up to
/// its LF. Where a faulty or refused command announces a literal, the reader stays in step: a
/// non-synchronising literal (RFC 7888) is on its way and is dropped, a synchronising one will not
/// be sent and the command is over.
///
/// What follows AUTHENTICATE and IDLE is no command: read it with a
/// [`LineBuffer`](crate::LineBuffer) instead.
///
/// The literals of APPEND are not gathered. The reader reports each one that comes, and its caller
/// takes the literal's bytes out of the stream:
///
/// ```
/// use rmail_proto::imap::wire::{CommandReader, Progress};
///
/// let mut reader = CommandReader::default();
/// let input = b"a APPEND Sent (\\Seen) {5+}\r\nHello\r\nb NOOP\r\n";
///
/// let (start, progress) = reader.handle_input(input);
/// let Progress::AppendLiteral(message) = progress else { panic!() };
/// assert_eq!((message.mailbox.as_str(), message.size_bytes), ("Sent", 5));
/// assert!(!message.synchronising); // else `+ ` would be sent now, or refuse() called
///
/// let end = start + 5;
/// assert_eq!(&input[start..end], b"Hello"); // stored by the caller
/// reader.append_literal_done();
///
/// let (consumed, progress) = reader.handle_input(&input[end..]);
/// assert!(matches!(progress, Progress::AppendDone(_))); // no second message: answer it
///
/// let (_, progress) = reader.handle_input(&input[end + consumed..]);
/// assert!(matches!(progress, Progress::Command(_)));
/// ```
#[derive(Debug, Default)]
pub struct CommandReader {
    state: State,
    /// The command up to here, with CRLFs and literals; its tail only while it is discarded.
    bytes: Vec<u8>,
    line_start: usize,
    after_cr: bool,
    /// The APPEND whose next message or end is awaited.
    append: Option<(Tag, String)>,
    /// Why the rest of the command is thrown away.
    discard: Option<Discard>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Line,
    Literal {
        remaining: usize,
    },
    Skipping {
        remaining: u64,
    },
    AwaitingDecision {
        literal_bytes: usize,
    },
    Message {
        size_bytes: u64,
        synchronising: bool,
    },
}

#[derive(Clone, Debug)]
enum Discard {
    Fault(Fault),
    Refused,
}

/// What [`CommandReader::handle_input`] found.
#[derive(Clone, Debug)]
pub enum Progress {
    /// All input was consumed, and more is needed; or the reader waits for a decision, and
    /// nothing was.
    Incomplete,
    /// A synchronising literal was announced, and it fits. Decide: send `+ ` and call
    /// [`CommandReader::accept_literal`], or call [`CommandReader::refuse`].
    NeedContinuation,
    /// The literal of an APPEND comes next. Decide: consume it (after `+ `, when it is
    /// synchronising) and call [`CommandReader::append_literal_done`], or call
    /// [`CommandReader::refuse`] before any of it is consumed.
    AppendLiteral(AppendMessage),
    /// The APPEND is complete: no more messages follow.
    AppendDone(Tag),
    /// A command.
    Command(Command),
    /// A command that could not be understood, and is over. Messages of an APPEND that came
    /// before it are not to be stored.
    Fault(Fault),
    /// The end of a command that was refused while more of it was on its way.
    Skipped,
}

/// What is left of a command after [`CommandReader::refuse`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refused {
    /// Nothing: the next byte starts a command.
    Over,
    /// Its rest is on its way, is dropped, and ends with [`Progress::Skipped`].
    Skipping,
}

impl CommandReader {
    /// Takes bytes up to the end of a line or literal at most. Returns how many, and what they
    /// complete. Takes nothing while it waits for a decision or for a message to be consumed.
    pub fn handle_input(&mut self, input: &[u8]) -> (usize, Progress) {
        match self.state {
            State::Line => self.take_line(input),
            State::Literal { remaining } => {
                let taken = remaining.min(input.len());
                self.bytes.extend_from_slice(&input[..taken]);
                self.enter_literal(remaining - taken);
                (taken, Progress::Incomplete)
            }
            State::Skipping { remaining } => {
                let taken = usize::try_from(remaining)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                self.enter_skipping(remaining - taken as u64);
                (taken, Progress::Incomplete)
            }
            State::AwaitingDecision { .. } | State::Message { .. } => (0, Progress::Incomplete),
        }
    }

    /// After [`Progress::NeedContinuation`]: `+ ` was sent, so the literal comes. At any other
    /// time it does nothing.
    pub fn accept_literal(&mut self) {
        if let State::AwaitingDecision { literal_bytes } = self.state {
            self.enter_literal(literal_bytes);
        }
    }

    /// After [`Progress::AppendLiteral`]: the literal was consumed, so the next message or the
    /// end of the command comes. At any other time it does nothing.
    pub fn append_literal_done(&mut self) {
        if let State::Message { .. } = self.state {
            self.state = State::Line;
        }
    }

    /// After [`Progress::NeedContinuation`] or [`Progress::AppendLiteral`]: the command is
    /// refused, with an answer that is the caller's to send. At any other time it does nothing.
    pub fn refuse(&mut self) -> Refused {
        match self.state {
            State::Message {
                size_bytes,
                synchronising: false,
            } => {
                self.start_discarding(Discard::Refused);
                self.enter_skipping(size_bytes);
                Refused::Skipping
            }
            State::Message {
                synchronising: true,
                ..
            }
            | State::AwaitingDecision { .. } => {
                *self = Self::default();
                Refused::Over
            }
            State::Line | State::Literal { .. } | State::Skipping { .. } => Refused::Over,
        }
    }

    /// After [`append_literal_done`](Self::append_literal_done): the rest of the APPEND is
    /// refused, with an answer that is the caller's to send. It ends with [`Progress::Skipped`].
    /// At any other time it does nothing.
    pub fn skip_append(&mut self) {
        if self.append.is_some() && matches!(self.state, State::Line) {
            self.start_discarding(Discard::Refused);
        }
    }

    /// Whether the rest of a command that was refused, or could not be understood, is dropped.
    pub fn is_skipping(&self) -> bool {
        self.discard.is_some()
    }

    /// Whether the next byte starts a command.
    pub fn is_between_commands(&self) -> bool {
        matches!(self.state, State::Line)
            && self.bytes.is_empty()
            && !self.after_cr
            && self.append.is_none()
            && self.discard.is_none()
    }

    fn enter_literal(&mut self, remaining: usize) {
        self.state = match remaining {
            0 => State::Line,
            remaining => State::Literal { remaining },
        };
        self.line_start = self.bytes.len();
    }

    fn enter_skipping(&mut self, remaining: u64) {
        self.state = match remaining {
            0 => State::Line,
            remaining => State::Skipping { remaining },
        };
    }

    fn take_line(&mut self, input: &[u8]) -> (usize, Progress) {
        let end = input.iter().position(|&byte| byte == b'\n');
        let text = &input[..end.unwrap_or(input.len())];
        for &byte in text {
            self.take_byte(byte);
        }
        let Some(end) = end else {
            return (input.len(), Progress::Incomplete);
        };
        if !self.after_cr {
            self.fault(FaultKind::Bad, "Lines end in CRLF, not in LF alone");
        }
        self.after_cr = false;
        (end + 1, self.finish_line())
    }

    fn take_byte(&mut self, byte: u8) {
        if self.after_cr {
            self.fault(FaultKind::Bad, "CR without LF");
        }
        self.after_cr = byte == b'\r';
        if self.after_cr {
            return;
        }
        if byte == 0 {
            self.fault(FaultKind::Bad, "NUL is not allowed");
        }
        if self.bytes.len() + 3 > limits::IMAP_COMMAND_BYTES {
            self.fault(FaultKind::TooBig, "Command is too long");
        }
        if self.discard.is_some() && self.bytes.len() >= 2 * ANNOUNCEMENT_BYTES_MAX {
            self.bytes.drain(..ANNOUNCEMENT_BYTES_MAX);
        }
        self.bytes.push(byte);
    }

    /// What a line that has ended calls for.
    fn finish_line(&mut self) -> Progress {
        let announcement = Announcement::at_end_of(&self.bytes[self.line_start..]);
        let Some(announcement) = announcement else {
            return self.finish_command();
        };
        if self.discard.is_some() {
            return self.discard_literal(announcement);
        }
        self.bytes.extend_from_slice(b"\r\n");
        let start = match &self.append {
            Some((tag, _)) => parse::parse_append_next(tag, &self.bytes[self.line_start..]),
            None => parse::parse_append_start(&self.bytes),
        };
        match start {
            Ok(Some(start)) => self.start_message(start, announcement),
            Ok(None) => self.start_literal(announcement),
            Err(fault) => {
                self.start_discarding(Discard::Fault(fault));
                self.discard_literal(announcement)
            }
        }
    }

    fn start_message(&mut self, start: AppendStart, announcement: Announcement) -> Progress {
        let (tag, mailbox) = match (self.append.take(), start.target) {
            (Some(target), _) | (None, Some(target)) => target,
            (None, None) => unreachable!("the first message of an APPEND names its target"),
        };
        self.append = Some((tag.clone(), mailbox.clone()));
        self.bytes = Vec::new();
        self.line_start = 0;
        self.state = State::Message {
            size_bytes: announcement.size_bytes,
            synchronising: announcement.synchronising,
        };
        Progress::AppendLiteral(AppendMessage {
            tag,
            mailbox,
            flags: start.flags,
            internal_date: start.internal_date,
            size_bytes: announcement.size_bytes,
            synchronising: announcement.synchronising,
        })
    }

    fn start_literal(&mut self, announcement: Announcement) -> Progress {
        // The line that follows the literal has a CRLF at least.
        let room = limits::IMAP_COMMAND_BYTES.saturating_sub(self.bytes.len() + 2);
        let literal_bytes = usize::try_from(announcement.size_bytes)
            .ok()
            .filter(|&literal_bytes| literal_bytes <= room);
        let Some(literal_bytes) = literal_bytes else {
            self.fault(FaultKind::TooBig, "Literal is too long");
            return self.discard_literal(announcement);
        };
        if announcement.synchronising {
            self.state = State::AwaitingDecision { literal_bytes };
            return Progress::NeedContinuation;
        }
        self.enter_literal(literal_bytes);
        Progress::Incomplete
    }

    /// A literal was announced in a command that is thrown away.
    fn discard_literal(&mut self, announcement: Announcement) -> Progress {
        if announcement.synchronising {
            return self.finish_discarding();
        }
        self.bytes = Vec::new();
        self.line_start = 0;
        self.enter_skipping(announcement.size_bytes);
        Progress::Incomplete
    }

    fn finish_command(&mut self) -> Progress {
        if self.discard.is_some() {
            return self.finish_discarding();
        }
        let command = core::mem::take(self);
        match command.append {
            Some((tag, _)) if command.bytes.is_empty() => Progress::AppendDone(tag),
            Some((tag, _)) => Progress::Fault(Fault {
                tag: Some(tag),
                kind: FaultKind::Bad,
                text: "Expected another message or the end of the command",
            }),
            None => match parse::parse_command(&command.bytes) {
                Ok(command) => Progress::Command(command),
                Err(fault) => Progress::Fault(fault),
            },
        }
    }

    fn finish_discarding(&mut self) -> Progress {
        match core::mem::take(self).discard {
            Some(Discard::Fault(fault)) => Progress::Fault(fault),
            Some(Discard::Refused) => Progress::Skipped,
            None => unreachable!("only called while something is discarded"),
        }
    }

    /// Notes the first fault of a command.
    fn fault(&mut self, kind: FaultKind, text: &'static str) {
        if self.discard.is_some() {
            return;
        }
        let tag = match &self.append {
            Some((tag, _)) => Some(tag.clone()),
            None => parse::parse_tag(&self.bytes),
        };
        self.start_discarding(Discard::Fault(Fault { tag, kind, text }));
    }

    /// From here on only the line's tail is kept, where a literal may be announced.
    fn start_discarding(&mut self, discard: Discard) {
        self.discard = Some(discard);
        self.append = None;
        let start = self.bytes.len().saturating_sub(ANNOUNCEMENT_BYTES_MAX);
        self.bytes = self.bytes[start.max(self.line_start)..].to_vec();
        self.line_start = 0;
    }
}

/// What ends a line after which a literal comes.
///
/// ```abnf
/// announcement = "{" 1*DIGIT ["+"] "}"   ; RFC 3501 §4.3, RFC 7888 §3
/// ```
#[derive(Clone, Copy, Debug)]
struct Announcement {
    /// Saturates.
    size_bytes: u64,
    synchronising: bool,
}

impl Announcement {
    fn at_end_of(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b"}")?;
        let (line, synchronising) = match line.strip_suffix(b"+") {
            Some(line) => (line, false),
            None => (line, true),
        };
        let tail = &line[line.len().saturating_sub(ANNOUNCEMENT_BYTES_MAX - 4)..];
        let brace = tail.iter().rposition(|&byte| byte == b'{')?;
        let digits = &tail[brace + 1..];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size_bytes = digits.iter().fold(0u64, |size, digit| {
            size.saturating_mul(10)
                .saturating_add(u64::from(digit - b'0'))
        });
        Some(Self {
            size_bytes,
            synchronising,
        })
    }
}
