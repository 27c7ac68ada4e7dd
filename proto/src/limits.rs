//! Every bound of the protocols, by name.
//!
//! Each has a test that reaches it. What an operator sets (`smtp.max_recipients` and the like)
//! comes in through a machine's configuration instead.

use core::time::Duration;

/// Bytes that a machine may have queued and unsent; see [`SendCredit`](crate::SendCredit).
pub const SEND_CREDIT_BYTES: usize = 256 * 1024;

/// Largest piece in which an upload (DATA, BDAT, APPEND) leaves a machine.
pub const UPLOAD_CHUNK_BYTES: usize = 64 * 1024;

/// Pieces of one upload that may wait for their reply. When the window is full, the machine
/// consumes nothing.
pub const UPLOAD_CHUNKS_IN_FLIGHT: usize = 2;

/// Longest SMTP command line, CRLF included (RFC 5321 §4.5.3.1.4 asks for 512 at least; RFC 4954
/// §4 for 12,288 where a base64 response is awaited).
pub const SMTP_COMMAND_LINE_BYTES: usize = 2 * 1024;

/// Longest line of an SMTP AUTH exchange, CRLF included (RFC 4954 §4).
pub const SMTP_AUTH_LINE_BYTES: usize = 12 * 1024;

/// Longest local-part in bytes (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES: usize = 64;

/// Longest domain in bytes (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES: usize = 255;

/// Longest path in bytes, angle brackets included (RFC 5321 §4.5.3.1.3).
pub const PATH_BYTES: usize = 256;

/// Rejected commands after which an SMTP session is ended with 421.
pub const SMTP_ERRORS_MAX: u32 = 20;

/// Failed AUTH commands after which an SMTP session is ended with 421.
pub const SMTP_AUTH_FAILURES_MAX: u32 = 3;

/// Waiting for a command (RFC 5321 §4.5.3.2.7).
pub const SMTP_COMMAND_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for a block of data (RFC 5321 §4.5.3.2.5 gives the client 3 minutes a block; the
/// server waits a little longer).
pub const SMTP_DATA_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Waiting for a TLS handshake to end.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// Waiting for a peer to take bytes.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Addresses in the From field of a submitted message.
pub const SMTP_FROM_ADDRESSES_MAX: usize = 32;

/// Ids of References and In-Reply-To that are kept.
pub const REFERENCES_MAX: usize = 32;

/// UIDs of one `Call::Fetch`.
pub const FETCH_MESSAGES: usize = 256;

/// Longest header that comes along with a FETCH's data; longer ones are read in pieces.
pub const FETCH_HEADER_BYTES: usize = 64 * 1024;

/// Largest piece of a message that is read at once.
pub const READ_BYTES: usize = 64 * 1024;

/// Messages in one shared piece of a mailbox's snapshot.
pub const SNAPSHOT_CHUNK_MESSAGES: usize = 512;

/// Keywords of one mailbox that FLAGS and PERMANENTFLAGS name. There may be more.
pub const MAILBOX_KEYWORDS_SHOWN: usize = 256;
