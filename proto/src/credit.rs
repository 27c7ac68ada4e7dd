//! Send credit: how much may be on its way to a peer.

use crate::limits;

/// Counts the bytes that were sent and have not yet reached the socket.
///
/// Without credit a machine reads no more of a message and starts no new command, so that a peer
/// that asks for everything and reads nothing costs [`limits::SEND_CREDIT_BYTES`], and no more.
#[derive(Debug, Default)]
pub struct SendCredit {
    outstanding_bytes: usize,
}

impl SendCredit {
    /// Books bytes that were queued with `Action::Send`.
    pub fn spend(&mut self, bytes: usize) {
        self.outstanding_bytes = self.outstanding_bytes.saturating_add(bytes);
    }

    /// Gives back what `Event::Sent` reports.
    pub fn give_back(&mut self, bytes: usize) {
        self.outstanding_bytes = self.outstanding_bytes.saturating_sub(bytes);
    }

    /// How many bytes may still be queued.
    pub fn available_bytes(&self) -> usize {
        limits::SEND_CREDIT_BYTES.saturating_sub(self.outstanding_bytes)
    }

    /// Whether nothing more may be queued.
    pub fn is_exhausted(&self) -> bool {
        self.available_bytes() == 0
    }
}
