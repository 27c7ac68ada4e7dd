//! Commands: out of a stream, and out of what they are spelled as.

use rmail_proto::{
    imap::wire::{Command, CommandReader, Progress, Refused},
    limits,
};

use super::spelling::spell;
use crate::plan::Plan;

/// What a reader made of a stream.
#[derive(Debug, Default)]
struct Read {
    /// What it reported, in order.
    events: Vec<String>,
    /// The commands among that.
    commands: Vec<Command>,
    /// Whether the next byte starts a command.
    at_start: bool,
}

/// Plays a stream whose client sends literals without waiting. Of literals it may wait for, every
/// `refused`-th is refused.
fn read(input: &[u8], piece_bytes: usize, refused: usize) -> Read {
    let mut reader = CommandReader::default();
    let mut read = Read::default();
    let mut decisions = 0;
    let mut message_bytes = 0u64;
    for mut rest in input.chunks(piece_bytes) {
        while !rest.is_empty() {
            if message_bytes > 0 {
                let taken = message_bytes.min(rest.len() as u64);
                message_bytes -= taken;
                rest = &rest[taken as usize..];
                if message_bytes == 0 {
                    reader.append_literal_done();
                }
                continue;
            }
            let (consumed, progress) = reader.handle_input(rest);
            assert!(consumed > 0, "only a decision blocks the reader");
            rest = &rest[consumed..];
            read.at_start = false;
            let mut refuses = || {
                decisions += 1;
                refused > 0 && decisions % refused == 0
            };
            match progress {
                Progress::Incomplete => {}
                Progress::NeedContinuation if refuses() => {
                    assert_eq!(reader.refuse(), Refused::Over);
                    read.events.push("refused".to_owned());
                    read.at_start = true;
                }
                Progress::NeedContinuation => {
                    assert_eq!(reader.handle_input(b"x").0, 0, "a decision is awaited");
                    read.events.push("+".to_owned());
                    reader.accept_literal();
                }
                Progress::AppendLiteral(append) => {
                    read.events.push(format!("{append:?}"));
                    if refuses() {
                        let left = reader.refuse();
                        read.events.push(format!("{left:?}"));
                        read.at_start = left == Refused::Over;
                    } else if append.size_bytes == 0 {
                        reader.append_literal_done();
                    } else {
                        message_bytes = append.size_bytes;
                    }
                }
                Progress::AppendDone(tag) => {
                    read.events.push(format!("{tag} done"));
                    read.at_start = true;
                }
                Progress::Command(command) => {
                    read.events.push(format!("{command:?}"));
                    read.commands.push(command);
                    read.at_start = true;
                }
                Progress::Fault(fault) => {
                    read.events.push(format!("{fault:?}"));
                    read.at_start = true;
                }
                Progress::Skipped => {
                    read.events.push("skipped".to_owned());
                    read.at_start = true;
                }
            }
            assert!(!read.at_start || reader.is_between_commands());
        }
    }
    read
}

/// Splitting changes nothing, and after whatever ended the next command is understood.
pub(crate) fn reader(input: &[u8]) {
    let mut plan = Plan(input);
    let kind = plan.byte();
    let (piece_bytes, refused) = (usize::from(kind & 31) + 1, usize::from(kind >> 5));
    let input = plan.0;
    let whole = read(input, input.len().max(1), refused);
    assert_eq!(read(input, piece_bytes, refused).events, whole.events);
    if whole.at_start {
        let more = [input, b"next NOOP\r\n"].concat();
        let read = read(&more, more.len(), refused);
        let last = read.commands.last().expect("NOOP was understood");
        assert_eq!(last.tag.as_str(), "next");
        assert_eq!(read.events.len(), whole.events.len() + 1);
    }
}

/// What a command says is what it says when it is spelled anew.
pub(crate) fn command(input: &[u8]) {
    let wire = [input, b"\r\n"].concat();
    let read_first = read(&wire, wire.len(), 0);
    let Some(command) = read_first.commands.first() else {
        return;
    };
    let Some(spelled) = spell(command) else {
        return;
    };
    // Escapes and encoded names take room, of which there is just so much.
    if spelled.len() > limits::IMAP_COMMAND_BYTES / 2 {
        return;
    }
    let again = read(&spelled, spelled.len(), 0);
    let shown = String::from_utf8_lossy(&spelled);
    assert_eq!(again.commands.len(), 1, "{shown:?}: {:?}", again.events);
    assert_eq!(
        format!("{:?}", again.commands[0]),
        format!("{command:?}"),
        "{shown:?}"
    );
}
