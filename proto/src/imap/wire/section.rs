//! What FETCH can ask for (RFC 3501 §6.4.5).

use alloc::{string::String, vec::Vec};
use core::{fmt, num::NonZeroU32};

/// A part of a message, or of a part of it: what stands in the brackets of `BODY[...]`.
///
/// ```abnf
/// section         = "[" [section-spec] "]"
/// section-spec    = section-msgtext / (section-part ["." section-text])
/// section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"
/// section-part    = nz-number *("." nz-number)
/// section-text    = section-msgtext / "MIME"
/// header-list     = "(" header-fld-name *(SP header-fld-name) ")"
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Section {
    /// The way to a part through nested multiparts and messages; empty for the message itself. At
    /// most [`limits::IMAP_SECTION_DEPTH`](crate::limits::IMAP_SECTION_DEPTH) numbers.
    pub part: Vec<NonZeroU32>,
    /// What of the part.
    pub text: SectionText,
}

/// What of a part or message is meant.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum SectionText {
    /// All of the message, or the part's content.
    #[default]
    Whole,
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (...)`: at least one name, as the client spelled it.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (...)`: at least one name, as the client spelled it.
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: the part's own header. Only with a part.
    Mime,
}

/// A range of bytes: `<offset.length>`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partial {
    /// The first byte, from 0.
    pub offset: u64,
    /// At most so many bytes; never 0.
    pub length: u64,
}

/// One thing that FETCH can ask for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FetchItem {
    /// `FLAGS`
    Flags,
    /// `UID`
    Uid,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `ENVELOPE`
    Envelope,
    /// `BODY`
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    ModSeq,
    /// `EMAILID` (RFC 8474 §5.1)
    EmailId,
    /// `THREADID` (RFC 8474 §5.2)
    ThreadId,
    /// `RFC822`: like `BODY[]`, answered under its own name.
    Rfc822,
    /// `RFC822.HEADER`: like `BODY.PEEK[HEADER]`, answered under its own name.
    Rfc822Header,
    /// `RFC822.TEXT`: like `BODY[TEXT]`, answered under its own name.
    Rfc822Text,
    /// `BODY[...]` or `BODY.PEEK[...]`
    BodySection {
        /// What of the message.
        section: Section,
        /// Which bytes of that.
        partial: Option<Partial>,
        /// Whether `\Seen` is left as it is.
        peek: bool,
    },
}

impl FetchItem {
    /// Whether asking for this sets `\Seen`.
    pub fn sets_seen(&self) -> bool {
        match self {
            Self::Rfc822 | Self::Rfc822Text => true,
            Self::BodySection { peek, .. } => !peek,
            Self::Flags
            | Self::Uid
            | Self::InternalDate
            | Self::Rfc822Size
            | Self::Envelope
            | Self::Body
            | Self::BodyStructure
            | Self::ModSeq
            | Self::EmailId
            | Self::ThreadId
            | Self::Rfc822Header => false,
        }
    }
}

impl fmt::Display for Section {
    /// As in an answer, brackets included: `[1.2.HEADER.FIELDS (Date "a b")]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, number) in self.part.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(f, "{dot}{number}")?;
        }
        let (name, fields) = match &self.text {
            SectionText::Whole => return f.write_str("]"),
            SectionText::Header => ("HEADER", None),
            SectionText::HeaderFields(fields) => ("HEADER.FIELDS", Some(fields)),
            SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT", Some(fields)),
            SectionText::Text => ("TEXT", None),
            SectionText::Mime => ("MIME", None),
        };
        let dot = if self.part.is_empty() { "" } else { "." };
        write!(f, "{dot}{name}")?;
        for (index, field) in fields.into_iter().flatten().enumerate() {
            f.write_str(if index == 0 { " (" } else { " " })?;
            write_field_name(f, field)?;
        }
        f.write_str(if fields.is_some() { ")]" } else { "]" })
    }
}

/// A field's name is printable ASCII without a colon, so quotes and escapes are all it can need.
fn write_field_name(f: &mut fmt::Formatter<'_>, field: &str) -> fmt::Result {
    if field.bytes().all(super::cursor::is_astring_char) {
        return f.write_str(field);
    }
    f.write_str("\"")?;
    for c in field.chars() {
        if matches!(c, '"' | '\\') {
            f.write_str("\\")?;
        }
        write!(f, "{c}")?;
    }
    f.write_str("\"")
}
