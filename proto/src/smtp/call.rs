//! What the SMTP server is made with, what it asks of the world, and what it is answered.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::net::IpAddr;

use bytes::Bytes;

use super::{MailNotice, RcptNotice, Refusal};
use crate::{AccountId, Address, Domain, ForwardPath, ReversePath, Secret, UploadId};

/// The three kinds of listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Listener {
    /// Port 25: mail from other servers. STARTTLS is offered, AUTH never.
    Inbound,
    /// Port 587: submission (RFC 6409). Authentication is required, and TLS before it.
    Submission,
    /// Port 465: submission with implicit TLS (RFC 8314 §3.3).
    ImplicitTlsSubmission,
}

/// What TLS a connection has or can have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tls {
    /// None: there is no certificate. AUTH is offered in cleartext.
    Unavailable,
    /// STARTTLS is offered.
    Offered,
    /// The connection starts with a handshake; `Event::TlsEstablished` comes before any input.
    Implicit,
}

/// What a server connection is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the banner, in EHLO's answer and in Received fields.
    pub hostname: Domain,
    /// Which rules hold.
    pub listener: Listener,
    /// The peer's address.
    pub peer: IpAddr,
    /// Whether and how TLS comes up.
    pub tls: Tls,
    /// Largest message in bytes as the client counts them (RFC 1870).
    pub message_bytes_max: u64,
    /// Recipients of one message; more get 452 4.5.3.
    pub recipients_max: u32,
    /// Messages of one connection; the next MAIL gets 421.
    pub messages_max: u32,
    /// For the identifiers in Received and Message-ID fields.
    pub seed: u64,
}

/// Who has authenticated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// Its address as the directory spells it.
    pub address: Address,
}

/// One accepted recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// As it was given.
    pub path: ForwardPath,
    /// Of what the sender wants to hear.
    pub notice: RcptNotice,
}

impl Recipient {
    /// A recipient of whom the sender said no more.
    pub fn new(path: ForwardPath) -> Self {
        Self {
            path,
            notice: RcptNotice::default(),
        }
    }
}

/// All that is known of a message besides its content.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Envelope {
    /// The id in the Received field, the answer and the log.
    pub id: String,
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// In the order given; not empty.
    pub recipients: Vec<Recipient>,
    /// Who sent it, when somebody authenticated.
    pub identity: Option<Identity>,
    /// The addresses in the From field, when somebody authenticated. At most
    /// [`limits::SMTP_FROM_ADDRESSES_MAX`](crate::limits::SMTP_FROM_ADDRESSES_MAX).
    pub header_from: Vec<Address>,
    /// Whether SMTPUTF8 was asked for (RFC 6531).
    pub smtputf8: bool,
    /// Whether BODY=8BITMIME was given (RFC 6152).
    pub eight_bit_mime: bool,
    /// What the sender wants of notices.
    pub notice: MailNotice,
}

/// What the server asks. Each is owed one [`Reply`].
#[derive(Debug)]
pub enum Call {
    /// Are these credentials good? Answered by `Authenticated` or `Refused`.
    Authenticate {
        /// As the client gave it.
        username: String,
        /// As the client gave it.
        password: Secret<String>,
    },
    /// May this sender send? Answered by `Permitted` or `Refused`.
    Mail {
        /// The reverse-path.
        reverse_path: ReversePath,
        /// Who asks, when somebody authenticated.
        identity: Option<Identity>,
        /// The announced size, 0 when there was none.
        size_bytes: u64,
    },
    /// Is there such a recipient, and is there room for the message? Answered by `Permitted` or
    /// `Refused`.
    Rcpt {
        /// The forward-path.
        forward_path: ForwardPath,
        /// The announced size, 0 when there was none.
        size_bytes: u64,
        /// Who asks, when somebody authenticated.
        identity: Option<Identity>,
    },
    /// A piece of a message, more to follow; the first one begins the upload. Answered by
    /// `ChunkTaken`, or by `Refused`, after which the rest of the message is read and dropped.
    Chunk {
        /// Which upload.
        upload: UploadId,
        /// At most [`limits::UPLOAD_CHUNK_BYTES`](crate::limits::UPLOAD_CHUNK_BYTES).
        data: Bytes,
    },
    /// The last piece (perhaps the only one) with the envelope. Answered by `Accepted`, once
    /// message and envelope are durable, or by `Refused`.
    Message {
        /// Which upload.
        upload: UploadId,
        /// At most [`limits::UPLOAD_CHUNK_BYTES`](crate::limits::UPLOAD_CHUNK_BYTES).
        data: Bytes,
        /// The envelope.
        envelope: Box<Envelope>,
    },
    /// The upload will not be finished. Answered by `Permitted`, which nobody waits for.
    Discard {
        /// Which upload.
        upload: UploadId,
    },
}

/// What the server is answered.
#[derive(Debug)]
pub enum Reply {
    /// The credentials are good.
    Authenticated(Identity),
    /// Yes.
    Permitted,
    /// There is room for another piece.
    ChunkTaken,
    /// The message is on disk.
    Accepted,
    /// No.
    Refused(Refusal),
}
