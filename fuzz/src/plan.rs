//! Bytes as a plan: what a peer sends, and what else happens in between.
//!
//! Most bytes are sent as they are, so that a corpus can be read and a dictionary's words fit
//! anywhere. Bytes that UTF-8 never has stand for events:
//!
//! | byte | with | what happens |
//! |---|---|---|
//! | C0 | a byte | this byte is sent, whatever it is |
//! | C1 | | input is split here |
//! | F5 | | everything owed is given |
//! | F6 | which, choice | a call is answered |
//! | F7 | which, choice | a call is answered that was settled before |
//! | F8 | n | 16 n bytes reach the socket; all of them, when n is 255 |
//! | F9 | n | 8 n seconds pass |
//! | FA | | a timeout is reported |
//! | FB | n | n KiB of short lines are sent |
//! | FC | n | a hint: of the mailbox when n is even, else of the account |
//! | FD | n | the server goes down, with n seconds of grace |
//! | FE | | the peer closes |
//! | FF | | a TLS handshake is done |

use std::time::Duration;

use rmail_proto::Notice;

use crate::rules::Step;

/// Bytes of lines (FB) in one plan, which are cheap to ask for and dear to run.
const LINES_BYTES_MAX: usize = 320 * 1024;
/// Steps of one plan. What is beyond is not looked at.
const STEPS_MAX: usize = 400;

/// Takes an input apart.
pub(crate) struct Plan<'a>(pub(crate) &'a [u8]);

impl Plan<'_> {
    /// The next byte; 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// The next four bytes as a number.
    pub(crate) fn number(&mut self) -> u32 {
        u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    /// Everything that is left, as the steps of a conversation.
    pub(crate) fn steps(mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut input = Vec::new();
        let mut lines_bytes = 0;
        while !self.0.is_empty() && steps.len() < STEPS_MAX {
            let step = match self.byte() {
                0xC0 => {
                    input.push(self.byte());
                    continue;
                }
                0xC1 => None,
                0xF5 => Some(Step::Settle),
                0xF6 => Some(Step::Reply {
                    which: self.byte().into(),
                    choice: self.byte(),
                }),
                0xF7 => Some(Step::Late {
                    which: self.byte().into(),
                    choice: self.byte(),
                }),
                0xF8 => Some(Step::Sent(match self.byte() {
                    u8::MAX => usize::MAX,
                    bytes => usize::from(bytes) * 16,
                })),
                0xF9 => Some(Step::Pass(Duration::from_secs(u64::from(self.byte()) * 8))),
                0xFA => Some(Step::Timeout),
                0xFB => {
                    let bytes = usize::from(self.byte()) * 1024;
                    let bytes = bytes.min(LINES_BYTES_MAX - lines_bytes);
                    lines_bytes += bytes;
                    input.extend_from_slice(&b"0123456789: ab\r\n".repeat(bytes / 16));
                    continue;
                }
                0xFC => Some(Step::Notice(match self.byte() % 2 {
                    0 => Notice::MailboxChanged,
                    _ => Notice::AccountChanged,
                })),
                0xFD => Some(Step::Shutdown(Duration::from_secs(self.byte().into()))),
                0xFE => Some(Step::PeerClosed),
                0xFF => Some(Step::Tls),
                byte => {
                    input.push(byte);
                    continue;
                }
            };
            if !input.is_empty() {
                steps.push(Step::Input(std::mem::take(&mut input)));
            }
            steps.extend(step);
        }
        if !input.is_empty() {
            steps.push(Step::Input(input));
        }
        steps
    }
}

/// What the steps of a conversation come to when every call is answered at once: all input, the
/// lengths in which it comes, and the choices of the answers.
pub(crate) fn talk(steps: &[Step]) -> (Vec<u8>, Vec<usize>, Vec<u8>) {
    let (mut input, mut pieces, mut choices) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        if let Step::Input(bytes) = step {
            input.extend_from_slice(bytes);
            pieces.push(bytes.len());
        }
        if let Step::Reply { choice, .. } = step {
            choices.push(*choice);
        }
    }
    (input, pieces, choices)
}
