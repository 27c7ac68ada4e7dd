//! The content of a request on its way from the wire to the world.

use alloc::vec::Vec;

use bytes::BytesMut;

use super::Call;
use crate::{CallId, CallIds, UploadId, limits};

/// The content of one request: gathered, counted, and handed on in pieces of
/// [`limits::UPLOAD_CHUNK_BYTES`], of which [`limits::UPLOAD_CHUNKS_IN_FLIGHT`] may wait for their
/// answers. Where the pieces are cut depends on the content only, never on how it arrived.
#[derive(Debug)]
pub(super) struct Upload {
    id: UploadId,
    bytes_max: u64,
    received_bytes: u64,
    /// At most one piece and one byte, which shows that the piece is not the last.
    buffer: BytesMut,
    in_flight: Vec<CallId>,
    has_begun: bool,
}

impl Upload {
    pub(super) fn new(id: UploadId, bytes_max: u64) -> Self {
        Self {
            id,
            bytes_max,
            received_bytes: 0,
            buffer: BytesMut::new(),
            in_flight: Vec::new(),
            has_begun: false,
        }
    }

    /// How much may be offered to [`write`](Self::write) at once; 0 while the window is full.
    pub(super) fn room_bytes(&self) -> usize {
        (limits::UPLOAD_CHUNK_BYTES + 1).saturating_sub(self.buffer.len())
    }

    /// Takes content; what is too much is dropped.
    pub(super) fn write(&mut self, content: &[u8]) {
        self.received_bytes = self.received_bytes.saturating_add(content.len() as u64);
        if !self.is_too_large() {
            self.buffer.extend_from_slice(content);
        }
    }

    /// Whether more came than is wanted.
    pub(super) fn is_too_large(&self) -> bool {
        self.received_bytes > self.bytes_max
    }

    /// The next piece, if there is one that is not the last and the window has room.
    pub(super) fn poll_piece(&mut self, calls: &mut CallIds) -> Option<(CallId, Call)> {
        let is_full = self.in_flight.len() == limits::UPLOAD_CHUNKS_IN_FLIGHT;
        if is_full || self.buffer.len() <= limits::UPLOAD_CHUNK_BYTES {
            return None;
        }
        let data = self.buffer.split_to(limits::UPLOAD_CHUNK_BYTES).freeze();
        let id = calls.allocate();
        self.in_flight.push(id);
        self.has_begun = true;
        let piece = Call::Chunk {
            upload: self.id,
            data,
            last: false,
        };
        Some((id, piece))
    }

    /// Whether this call's answer is waited for.
    pub(super) fn is_asked(&self, id: CallId) -> bool {
        self.in_flight.contains(&id)
    }

    /// The answer to this piece has come.
    pub(super) fn handle_answer(&mut self, id: CallId) {
        self.in_flight.retain(|&asked| asked != id);
    }

    /// The last piece, once the content is complete; `None` while others wait for their answers.
    pub(super) fn take_last_piece(&mut self) -> Option<Call> {
        if !self.in_flight.is_empty() || self.buffer.len() > limits::UPLOAD_CHUNK_BYTES {
            return None;
        }
        Some(Call::Chunk {
            upload: self.id,
            data: core::mem::take(&mut self.buffer).freeze(),
            last: true,
        })
    }

    /// Gives up: the calls whose answers are not wanted, and the upload if the world has some of
    /// it.
    pub(super) fn drop_content(self) -> (Vec<CallId>, Option<Call>) {
        let discard = Call::Discard { upload: self.id };
        (self.in_flight, self.has_begun.then_some(discard))
    }
}
