//! What the HTTP server is made with, what it asks of the world, and what it is answered.

use alloc::{boxed::Box, vec::Vec};
use core::time::Duration;

use bytes::Bytes;

use super::{Field, Request, Response};
use crate::{UploadId, limits};

/// What TLS a connection has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// None: `http`.
    Absent,
    /// The connection starts with a handshake; `Event::TlsEstablished` comes before any input:
    /// `https`.
    Implicit,
}

/// What an operator bounds. The defaults are those of [`limits`](crate::limits).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// Longest request target, in bytes; longer ones get 414.
    pub target_bytes: usize,
    /// Largest head, in bytes: request line, header and empty line; larger ones get 431.
    pub head_bytes: usize,
    /// Fields of a header; more get 431.
    pub fields: usize,
    /// From the first byte of a head to its last.
    pub head_timeout: Duration,
    /// Waiting for more of a content.
    pub content_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            target_bytes: limits::HTTP_TARGET_BYTES,
            head_bytes: limits::HTTP_HEAD_BYTES,
            fields: limits::HTTP_FIELDS_MAX,
            head_timeout: limits::HTTP_HEAD_TIMEOUT,
            content_timeout: limits::HTTP_CONTENT_TIMEOUT,
        }
    }
}

/// What a server connection is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether TLS comes up.
    pub tls: Tls,
    /// What a request may be.
    pub bounds: Bounds,
    /// Fields of each response, the machine's own included. At most
    /// [`limits::HTTP_RESPONSE_FIELDS_MAX`](crate::limits::HTTP_RESPONSE_FIELDS_MAX).
    pub fields: Vec<Field>,
    /// The segments, in lower case, that a path begins with when `error` is an object in its
    /// error bodies. Elsewhere it is a text.
    pub object_error_segments: &'static [&'static str],
    /// For the identifiers of requests.
    pub seed: u64,
}

/// Names a body that the world gives piece by piece. The world picks it, and does not use it
/// again within a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(pub u64);

/// What the server asks. Each is owed one [`Reply`], but for `Discard` and `Release`.
///
/// A request takes one call when it has no content, or none that is wanted; two when its content
/// fits one piece. There is one request at a time.
#[derive(Debug)]
pub enum Call {
    /// The head of a request. Answered by `Respond`, or by `Accept` when the content is wanted.
    /// `Accept` where there is no content is followed by one empty piece, the last.
    Request(Box<Request>),
    /// A piece of the content. Answered by `ChunkTaken`, the last one by `Respond`. `Respond` to
    /// an earlier one ends the upload: the rest of the content is not wanted.
    Chunk {
        /// Which upload; the first piece begins it.
        upload: UploadId,
        /// At most [`limits::UPLOAD_CHUNK_BYTES`](crate::limits::UPLOAD_CHUNK_BYTES).
        data: Bytes,
        /// Whether the content is complete. It is the only one that waits for all before it.
        last: bool,
    },
    /// The upload will not be finished. Nobody waits for an answer.
    Discard {
        /// Which upload.
        upload: UploadId,
    },
    /// A piece of a response's body. Answered by `Piece`; by `Respond` when it can't be read.
    Read {
        /// Which body.
        source: SourceId,
        /// From here on.
        offset: u64,
        /// At most so many bytes; at most [`limits::READ_BYTES`](crate::limits::READ_BYTES).
        length: usize,
    },
    /// The body is not read any further. Comes once for each source, whether it was read to its
    /// end or not at all. Nobody waits for an answer.
    Release {
        /// Which body.
        source: SourceId,
    },
}

/// What the server is answered.
#[derive(Debug)]
pub enum Reply {
    /// The content of the request is wanted.
    Accept(Accept),
    /// There is room for another piece.
    ChunkTaken,
    /// The answer to the request. In answer to `Read` it takes the place of the response that was
    /// begun, if nothing of that has been sent; else the connection is aborted.
    Respond(Box<Response>),
    /// The next bytes of a source, fewer than asked for if need be. None at all end a source whose
    /// length was not told, and break one whose length was.
    Piece(Bytes),
}

/// How much content is wanted.
#[derive(Clone, Debug)]
pub struct Accept {
    /// Most bytes of content, without their framing.
    pub bytes_max: u64,
    /// The answer when there are more.
    pub too_large: Box<Response>,
}
