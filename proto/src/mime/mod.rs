//! MIME (RFC 2045 and following): what IMAP needs to know of a message, found while it arrives.

mod address;
mod content;
mod date;
mod downgrade;
mod encoder;
mod envelope;
mod header;
mod lexer;
mod parts;
mod scanner;
mod structure;
mod wire;

use alloc::{string::String, vec::Vec};

pub use date::parse_date;
pub use downgrade::{Converter, Findings, Plan, Survey, Unconvertible};
pub use header::{Field, FieldFilter, Fields, filter_fields, unfold};
pub use parts::{Located, Part, PartKind, Parts};
pub use scanner::Scanner;

use crate::DateTime;

/// All that is kept of a message besides its bytes, made once, when it is saved.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// The whole message.
    pub size_bytes: u64,
    /// The header with its final empty line.
    pub header_bytes: u64,
    /// The parenthesised list that follows `ENVELOPE ` (RFC 3501 §7.4.2).
    pub envelope: Vec<u8>,
    /// The parenthesised list that follows `BODY `.
    pub body: Vec<u8>,
    /// The parenthesised list that follows `BODYSTRUCTURE `.
    pub body_structure: Vec<u8>,
    /// The part tree, with offsets, in its stored form.
    pub parts: Vec<u8>,
    /// The Date field, when it can be read.
    pub sent_date: Option<DateTime>,
    /// The Message-ID, without angle brackets.
    pub message_id: Option<String>,
    /// The ids in References and In-Reply-To, without angle brackets, the nearest ones when there
    /// are more than [`limits::REFERENCES_MAX`](crate::limits::REFERENCES_MAX).
    pub references: Vec<String>,
    /// Whether a part is an attachment and not inline.
    pub has_attachments: bool,
}
