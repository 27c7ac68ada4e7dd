//! IDLE (RFC 2177).

use super::session::Ending;
use crate::{Instant, Line, LineBuffer, Now, imap::wire::Tag, limits};

/// The client waits for news, until it says DONE.
#[derive(Debug)]
pub(super) struct Idle {
    tag: Tag,
    lines: LineBuffer,
    keep_alive_at: Instant,
}

impl Idle {
    pub(super) fn new(tag: Tag, now: Now) -> Self {
        Self {
            tag,
            lines: LineBuffer::default(),
            keep_alive_at: now.at + limits::IMAP_KEEP_ALIVE_INTERVAL,
        }
    }

    /// When to tell the client (and the boxes between) that the connection lives.
    pub(super) fn keep_alive_at(&self) -> Instant {
        self.keep_alive_at
    }

    pub(super) fn keep_alive(&mut self, now: Now) {
        self.keep_alive_at = now.at + limits::IMAP_KEEP_ALIVE_INTERVAL;
    }

    /// Takes bytes up to the end of a line; says how IDLE ends once the line is there.
    pub(super) fn handle_input(&mut self, input: &[u8]) -> (usize, Option<Ending>) {
        let (consumed, line) = self.lines.handle_input(input, limits::IMAP_IDLE_LINE_BYTES);
        let ending = match line {
            Line::Incomplete => None,
            Line::Complete(line) if line.eq_ignore_ascii_case(b"DONE") => {
                Some(Ending::ok(&self.tag, "Idle completed"))
            }
            Line::Complete(_) | Line::TooLong | Line::BareNewline => {
                Some(Ending::bad(&self.tag, "Expected DONE"))
            }
        };
        (consumed, ending)
    }
}
