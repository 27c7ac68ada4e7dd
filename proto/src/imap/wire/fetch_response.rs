//! A FETCH response as bytes, item by item (RFC 3501 §7.4.2).

use alloc::vec::Vec;

use super::{
    Section,
    response::{write_flag_list, write_literal_start, write_text},
};
use crate::{DateTime, EmailId, Flags, ModSeq, ThreadId, Uid};

/// A FETCH response that is being written: keeps track of the spaces between its items, so that
/// the buffer may be sent in between.
///
/// ```
/// use rmail_proto::{Uid, imap::wire::{FetchResponse, Section}};
///
/// let mut out = Vec::new();
/// let mut response = FetchResponse::start(&mut out, 5);
/// response.uid(&mut out, Uid::MIN);
/// response.section(&mut out, &Section::default(), Some(0), 2);
/// out.extend_from_slice(b"Hi");
/// response.end(&mut out);
/// assert_eq!(out, b"* 5 FETCH (UID 1 BODY[]<0> {2}\r\nHi)\r\n");
/// ```
#[derive(Debug)]
#[must_use]
pub struct FetchResponse {
    empty: bool,
}

impl FetchResponse {
    /// `* n FETCH (`
    pub fn start(out: &mut Vec<u8>, number: u32) -> Self {
        write_text(out, format_args!("* {number} FETCH ("));
        Self { empty: true }
    }

    /// `)` CRLF
    pub fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b")\r\n");
    }

    /// `FLAGS (...)`
    pub fn flags(&mut self, out: &mut Vec<u8>, flags: &Flags, recent: bool) {
        self.name(out, "FLAGS ");
        write_flag_list(out, flags.system, &flags.keywords, recent);
    }

    /// `UID n`
    pub fn uid(&mut self, out: &mut Vec<u8>, uid: Uid) {
        self.name(out, "UID ");
        write_text(out, format_args!("{}", uid.get()));
    }

    /// `INTERNALDATE "..."`
    pub fn internal_date(&mut self, out: &mut Vec<u8>, date: DateTime) {
        self.name(out, "INTERNALDATE ");
        write_text(out, format_args!("\"{}\"", date.imap()));
    }

    /// `RFC822.SIZE n`
    pub fn size(&mut self, out: &mut Vec<u8>, size_bytes: u64) {
        self.name(out, "RFC822.SIZE ");
        write_text(out, format_args!("{size_bytes}"));
    }

    /// `MODSEQ (n)` (RFC 7162 §3.1.4.2)
    pub fn modseq(&mut self, out: &mut Vec<u8>, modseq: ModSeq) {
        self.name(out, "MODSEQ ");
        write_text(out, format_args!("({})", modseq.0));
    }

    /// `EMAILID (...)` (RFC 8474 §5.1)
    pub fn email_id(&mut self, out: &mut Vec<u8>, id: EmailId) {
        self.name(out, "EMAILID ");
        write_text(out, format_args!("({id})"));
    }

    /// `THREADID (...)` (RFC 8474 §5.2)
    pub fn thread_id(&mut self, out: &mut Vec<u8>, id: ThreadId) {
        self.name(out, "THREADID ");
        write_text(out, format_args!("({id})"));
    }

    /// `ENVELOPE (...)`: the list as it was made when the message was saved.
    pub fn envelope(&mut self, out: &mut Vec<u8>, list: &[u8]) {
        self.name(out, "ENVELOPE ");
        out.extend_from_slice(list);
    }

    /// `BODY (...)`: the list as it was made when the message was saved.
    pub fn body(&mut self, out: &mut Vec<u8>, list: &[u8]) {
        self.name(out, "BODY ");
        out.extend_from_slice(list);
    }

    /// `BODYSTRUCTURE (...)`: the list as it was made when the message was saved.
    pub fn body_structure(&mut self, out: &mut Vec<u8>, list: &[u8]) {
        self.name(out, "BODYSTRUCTURE ");
        out.extend_from_slice(list);
    }

    /// `RFC822 {n}` CRLF; the literal's bytes come next.
    pub fn rfc822(&mut self, out: &mut Vec<u8>, size_bytes: u64) {
        self.name(out, "RFC822 ");
        write_literal_start(out, size_bytes);
    }

    /// `RFC822.HEADER {n}` CRLF; the literal's bytes come next.
    pub fn rfc822_header(&mut self, out: &mut Vec<u8>, size_bytes: u64) {
        self.name(out, "RFC822.HEADER ");
        write_literal_start(out, size_bytes);
    }

    /// `RFC822.TEXT {n}` CRLF; the literal's bytes come next.
    pub fn rfc822_text(&mut self, out: &mut Vec<u8>, size_bytes: u64) {
        self.name(out, "RFC822.TEXT ");
        write_literal_start(out, size_bytes);
    }

    /// `BODY[...]<offset> {n}` CRLF; the literal's bytes come next. `offset` is that of the
    /// partial which was asked for.
    pub fn section(
        &mut self,
        out: &mut Vec<u8>,
        section: &Section,
        offset: Option<u64>,
        size_bytes: u64,
    ) {
        self.section_name(out, section, offset);
        write_literal_start(out, size_bytes);
    }

    /// `BODY[...]<offset> NIL`: there is no such part.
    pub fn absent_section(&mut self, out: &mut Vec<u8>, section: &Section, offset: Option<u64>) {
        self.section_name(out, section, offset);
        out.extend_from_slice(b"NIL");
    }

    fn section_name(&mut self, out: &mut Vec<u8>, section: &Section, offset: Option<u64>) {
        self.name(out, "BODY");
        write_text(out, format_args!("{section}"));
        if let Some(offset) = offset {
            write_text(out, format_args!("<{offset}>"));
        }
        out.push(b' ');
    }

    fn name(&mut self, out: &mut Vec<u8>, name: &str) {
        if !self.empty {
            out.push(b' ');
        }
        self.empty = false;
        out.extend_from_slice(name.as_bytes());
    }
}
