//! A stream without a protocol of its own: the node knows what is spoken.

use std::collections::VecDeque;

use bytes::Bytes;
use rmail_proto::{Action, CallId, CallIds, Close, Connection, Event, Now, Timeout};

/// Largest piece in which what came goes to the node.
const PIECE_BYTES: usize = 4 * 1024;

/// Hands what comes to the node, and sends what the node gives it. It ends with its peer, and has
/// no timer: the node knows how long it waits.
#[derive(Debug, Default)]
pub struct RawStream {
    actions: VecDeque<Action<Bytes>>,
    calls: CallIds,
    is_closed: bool,
}

impl RawStream {
    /// The name of what the node sends unasked.
    pub const UNASKED: CallId = CallId(0);

    fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.actions.push_back(Action::Close(Close::Flush));
        }
    }
}

impl Connection for RawStream {
    type Call = Bytes;
    type Reply = Bytes;

    fn handle_input(&mut self, _now: Now, input: &[u8]) -> usize {
        if self.is_closed {
            return 0;
        }
        let piece = &input[..input.len().min(PIECE_BYTES)];
        if !piece.is_empty() {
            let id = self.calls.allocate();
            let bytes = Bytes::copy_from_slice(piece);
            self.actions.push_back(Action::Call(id, bytes));
        }
        piece.len()
    }

    fn handle_event(&mut self, _now: Now, event: Event<Bytes>) {
        match event {
            Event::Reply(_, bytes) if !self.is_closed => {
                self.actions.push_back(Action::Send(bytes));
            }
            Event::PeerClosed | Event::Shutdown { .. } | Event::TlsFailed(_) => self.close(),
            Event::Reply(..)
            | Event::TlsEstablished(_)
            | Event::Notice(_)
            | Event::Sent(_)
            | Event::Timeout => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action<Bytes>> {
        self.actions.pop_front()
    }

    fn poll_timeout(&self) -> Option<Timeout> {
        None
    }
}
