//! The content of a message on its way from the wire to the world.

use alloc::{boxed::Box, string::String, vec::Vec};

use bytes::{Bytes, BytesMut};

use super::{
    Call, Envelope, Identity, MailNotice, Recipient, Refusal, header::HeaderFilter,
    received::ReceivedCounter,
};
use crate::{CallId, CallIds, ReversePath, UploadId, limits};

/// A mail transaction (RFC 5321 §3.3) once MAIL is accepted.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) reverse_path: ReversePath,
    pub(super) recipients: Vec<Recipient>,
    pub(super) size_bytes: u64,
    pub(super) smtputf8: bool,
    pub(super) eight_bit_mime: bool,
    pub(super) notice: MailNotice,
}

/// The content of one message: gathered, checked against the limits, and handed on in pieces of
/// [`limits::UPLOAD_CHUNK_BYTES`].
///
/// Where the pieces are cut depends on the content only, never on how it arrived. Once refused,
/// an upload takes and drops whatever comes, and costs no memory.
#[derive(Debug)]
pub(super) struct Upload {
    upload: UploadId,
    id: String,
    /// Octets of the client, dots unstuffed (RFC 1870 §3).
    received_bytes: u64,
    message_bytes_max: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Kept(Box<Kept>),
    Refused {
        refusal: Refusal,
        /// Whether the world has pieces that it is to throw away.
        discard_owed: bool,
    },
}

#[derive(Debug)]
struct Kept {
    /// At most one piece and [`limits::SMTP_HEADER_ADDED_BYTES`] with the trace fields.
    buffer: BytesMut,
    /// On submission listeners.
    filter: Option<HeaderFilter>,
    received: ReceivedCounter,
    /// At most [`limits::UPLOAD_CHUNKS_IN_FLIGHT`].
    in_flight: Vec<CallId>,
    begun: bool,
}

/// What is left when an upload is complete and every piece was taken.
#[derive(Debug)]
pub(super) struct LastPiece {
    pub(super) upload: UploadId,
    pub(super) id: String,
    data: Bytes,
    filter: Option<HeaderFilter>,
}

impl Upload {
    /// Starts with the trace fields.
    pub(super) fn new(
        upload: UploadId,
        id: String,
        trace: &str,
        filter: Option<HeaderFilter>,
        message_bytes_max: u64,
    ) -> Self {
        let kept = Kept {
            buffer: BytesMut::from(trace.as_bytes()),
            filter,
            received: ReceivedCounter::new(),
            in_flight: Vec::new(),
            begun: false,
        };
        Self {
            upload,
            id,
            received_bytes: 0,
            message_bytes_max,
            content: Content::Kept(Box::new(kept)),
        }
    }

    /// How much may be offered to [`write`](Self::write) at once; 0 while the window is full.
    pub(super) fn room_bytes(&self) -> usize {
        match &self.content {
            Content::Refused { .. } => limits::UPLOAD_CHUNK_BYTES,
            Content::Kept(kept) => {
                (limits::UPLOAD_CHUNK_BYTES + 1).saturating_sub(kept.buffer.len())
            }
        }
    }

    /// Takes content without bare CR or LF.
    pub(super) fn write(&mut self, content: &[u8]) {
        self.received_bytes = self.received_bytes.saturating_add(content.len() as u64);
        if self.received_bytes > self.message_bytes_max {
            self.refuse(Refusal::message_too_large());
        }
        let Content::Kept(kept) = &mut self.content else {
            return;
        };
        if kept.received.handle_content(content) > limits::SMTP_RECEIVED_FIELDS {
            return self.refuse(Refusal::routing_loop());
        }
        let Kept { buffer, filter, .. } = &mut **kept;
        match filter {
            None => buffer.extend_from_slice(content),
            Some(filter) => {
                filter.handle_content(content, &mut |run| buffer.extend_from_slice(run));
            }
        }
        self.check_filter();
    }

    /// The content is complete.
    pub(super) fn finish(&mut self) {
        if let Content::Kept(kept) = &mut self.content {
            let Kept { buffer, filter, .. } = &mut **kept;
            if let Some(filter) = filter {
                filter.finish(&mut |run| buffer.extend_from_slice(run));
            }
        }
        self.check_filter();
    }

    /// Drops what is there and what will come. The first refusal counts.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        if let Content::Kept(kept) = &self.content {
            let discard_owed = kept.begun;
            self.content = Content::Refused {
                refusal,
                discard_owed,
            };
        }
    }

    /// Why it is refused, if it is.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match &self.content {
            Content::Kept(_) => None,
            Content::Refused { refusal, .. } => Some(refusal),
        }
    }

    /// The next thing to ask of the world, if the window has room.
    pub(super) fn poll_call(&mut self, calls: &mut CallIds) -> Option<(CallId, Call)> {
        let upload = self.upload;
        match &mut self.content {
            Content::Refused { discard_owed, .. } => {
                core::mem::take(discard_owed).then(|| (calls.allocate(), Call::Discard { upload }))
            }
            Content::Kept(kept) => {
                let full = kept.in_flight.len() == limits::UPLOAD_CHUNKS_IN_FLIGHT;
                if full || kept.buffer.len() <= limits::UPLOAD_CHUNK_BYTES {
                    return None;
                }
                let data = kept.buffer.split_to(limits::UPLOAD_CHUNK_BYTES).freeze();
                let call = calls.allocate();
                kept.in_flight.push(call);
                kept.begun = true;
                Some((call, Call::Chunk { upload, data }))
            }
        }
    }

    /// Takes the answer to a piece: whether it was taken, or why not. Answers to other calls are
    /// ignored; returns whether it was one of ours.
    pub(super) fn handle_answer(&mut self, call: CallId, answer: Result<(), Refusal>) -> bool {
        let Content::Kept(kept) = &mut self.content else {
            return false;
        };
        let Some(index) = kept.in_flight.iter().position(|&known| known == call) else {
            return false;
        };
        kept.in_flight.remove(index);
        if let Err(refusal) = answer {
            self.refuse(refusal);
        }
        true
    }

    /// What is left after [`finish`](Self::finish); gives the upload back while pieces wait for
    /// their answers, or when it is refused.
    pub(super) fn into_last_piece(self) -> Result<LastPiece, Self> {
        match self.content {
            Content::Kept(kept)
                if kept.in_flight.is_empty() && kept.buffer.len() <= limits::UPLOAD_CHUNK_BYTES =>
            {
                Ok(LastPiece {
                    upload: self.upload,
                    id: self.id,
                    data: kept.buffer.freeze(),
                    filter: kept.filter,
                })
            }
            content => Err(Self { content, ..self }),
        }
    }

    fn check_filter(&mut self) {
        let malformed = match &self.content {
            Content::Refused { .. } => false,
            Content::Kept(kept) => kept.filter.as_ref().is_some_and(HeaderFilter::is_malformed),
        };
        if malformed {
            self.refuse(Refusal::from_malformed());
        }
    }
}

impl LastPiece {
    /// The call that ends the upload.
    pub(super) fn into_call(self, transaction: Transaction, identity: Option<Identity>) -> Call {
        let envelope = Envelope {
            id: self.id,
            reverse_path: transaction.reverse_path,
            recipients: transaction.recipients,
            identity,
            header_from: self
                .filter
                .map(HeaderFilter::into_addresses)
                .unwrap_or_default(),
            smtputf8: transaction.smtputf8,
            eight_bit_mime: transaction.eight_bit_mime,
            notice: transaction.notice,
        };
        Call::Message {
            upload: self.upload,
            data: self.data,
            envelope: Box::new(envelope),
        }
    }
}
