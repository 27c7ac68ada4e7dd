//! What leaves the machine: one ordered stream of actions, against a send credit.

use alloc::{collections::VecDeque, vec::Vec};

use bytes::Bytes;

use crate::{
    Action, CallId, CallIds, Close, SendCredit,
    imap::{
        Call,
        wire::{Condition, ResponseCode, Tag, write_continuation, write_status},
    },
    limits,
};

/// Gathers small pieces of output into larger ones, and keeps them in order with calls.
#[derive(Debug, Default)]
pub(super) struct Output {
    actions: VecDeque<Action<Call>>,
    gathered: Vec<u8>,
    credit: SendCredit,
    call_ids: CallIds,
}

impl Output {
    /// Where responses are written. Call [`flush_when_large`](Self::flush_when_large) after each
    /// bounded piece.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.gathered
    }

    /// Queues what was gathered once it is worth it.
    pub(super) fn flush_when_large(&mut self) {
        if self.gathered.len() >= limits::SEND_PIECE_BYTES {
            self.flush();
        }
    }

    /// Queues bytes without copying them, unless they are few.
    pub(super) fn send(&mut self, bytes: Bytes) {
        if bytes.len() <= limits::SEND_PIECE_BYTES / 4 {
            self.gathered.extend_from_slice(&bytes);
            self.flush_when_large();
            return;
        }
        self.flush();
        self.credit.spend(bytes.len());
        self.actions.push_back(Action::Send(bytes));
    }

    /// `+ OK`: the client is to go on with a literal.
    pub(super) fn continuation(&mut self) {
        write_continuation(&mut self.gathered, "OK");
    }

    /// An untagged status response.
    pub(super) fn untagged(
        &mut self,
        condition: Condition,
        code: Option<ResponseCode>,
        text: &str,
    ) {
        write_status(&mut self.gathered, None, condition, code, text);
    }

    /// A tagged status response.
    pub(super) fn tagged(
        &mut self,
        tag: &Tag,
        condition: Condition,
        code: Option<ResponseCode>,
        text: &str,
    ) {
        write_status(&mut self.gathered, Some(tag), condition, code, text);
    }

    pub(super) fn call(&mut self, call: Call) -> CallId {
        self.flush();
        let id = self.call_ids.allocate();
        self.actions.push_back(Action::Call(id, call));
        id
    }

    pub(super) fn cancel(&mut self, id: CallId) {
        self.actions.push_back(Action::Cancel(id));
    }

    pub(super) fn start_tls(&mut self) {
        self.flush();
        self.actions.push_back(Action::StartTls);
    }

    pub(super) fn close(&mut self, close: Close) {
        self.flush();
        self.actions.push_back(Action::Close(close));
    }

    pub(super) fn handle_sent(&mut self, bytes: usize) {
        self.credit.give_back(bytes);
    }

    /// How many bytes may still be written.
    pub(super) fn available_bytes(&self) -> usize {
        let available = self.credit.available_bytes();
        available.saturating_sub(self.gathered.len())
    }

    /// Whether bytes were sent that have not reached the socket.
    pub(super) fn is_outstanding(&self) -> bool {
        self.credit.available_bytes() < limits::SEND_CREDIT_BYTES || !self.gathered.is_empty()
    }

    pub(super) fn poll_action(&mut self) -> Option<Action<Call>> {
        if self.actions.is_empty() {
            self.flush();
        }
        self.actions.pop_front()
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            let bytes = core::mem::take(&mut self.gathered);
            self.credit.spend(bytes.len());
            self.actions.push_back(Action::Send(Bytes::from(bytes)));
        }
    }
}
