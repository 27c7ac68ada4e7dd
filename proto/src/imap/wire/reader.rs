//! Commands out of a stream of bytes.

use super::{AppendMessage, Command, Fault, Tag};

/// What [`CommandReader::handle_input`] found.
#[derive(Clone, Debug)]
pub enum Progress {
    /// All input was consumed, and more is needed; or nothing was, because the reader waits for
    /// a decision.
    Incomplete,
    /// A synchronising literal was announced, and it fits. Decide: send `+ ` and call
    /// [`CommandReader::accept_literal`], or call [`CommandReader::refuse`].
    NeedContinuation,
    /// The literal of an APPEND comes next. Decide: consume it and call
    /// [`CommandReader::append_literal_done`], or call [`CommandReader::refuse`].
    AppendLiteral(AppendMessage),
    /// The APPEND is complete: no more messages follow.
    AppendDone(Tag),
    /// A command.
    Command(Command),
    /// A command that could not be understood, and is over.
    Fault(Fault),
    /// The end of a command that was refused while more of it was on its way.
    Skipped,
}
