//! Where the content that a FETCH item asks for stands in its message.

use core::ops::Range;

use bytes::Bytes;

use crate::{
    imap::{
        MessageData,
        wire::{FetchItem, Partial, Section, SectionText},
    },
    limits,
    mime::{FieldFilter, Located, Parts},
};

/// Where a content comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// There is no such part.
    Absent,
    /// These bytes of the message.
    Range(Range<u64>),
    /// Some fields of the header that stands here.
    Fields {
        header: Range<u64>,
        filter: FieldFilter,
    },
}

/// Where the content of this item stands; `None` when the item has no content, but a value.
pub(super) fn find(item: &FetchItem, data: &MessageData) -> Option<Source> {
    let of_message = |text| {
        let section = Section {
            text,
            ..Section::default()
        };
        find_section(&section, None, data)
    };
    match item {
        FetchItem::Rfc822 => Some(of_message(SectionText::Whole)),
        FetchItem::Rfc822Header => Some(of_message(SectionText::Header)),
        FetchItem::Rfc822Text => Some(of_message(SectionText::Text)),
        FetchItem::BodySection {
            section, partial, ..
        } => Some(find_section(section, *partial, data)),
        FetchItem::Flags
        | FetchItem::Uid
        | FetchItem::InternalDate
        | FetchItem::Rfc822Size
        | FetchItem::Envelope
        | FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::ModSeq
        | FetchItem::EmailId
        | FetchItem::ThreadId => None,
    }
}

fn find_section(section: &Section, partial: Option<Partial>, data: &MessageData) -> Source {
    let Some(range) = section_range(section, data) else {
        return Source::Absent;
    };
    let range = range.start.min(data.size_bytes)..range.end.min(data.size_bytes);
    let (names, keep) = match &section.text {
        SectionText::HeaderFields(names) => (names, true),
        SectionText::HeaderFieldsNot(names) => (names, false),
        SectionText::Whole | SectionText::Header | SectionText::Text | SectionText::Mime => {
            return Source::Range(cut(range, partial));
        }
    };
    let looked_at = range
        .end
        .min(range.start + limits::FETCH_HEADER_FIELDS_BYTES);
    Source::Fields {
        header: range.start..looked_at,
        filter: FieldFilter::new(names, keep),
    }
}

/// Where the section stands; `None` when there is no such part, or when it has no such text: only
/// messages have HEADER and TEXT (RFC 3501 §6.4.5).
fn section_range(section: &Section, data: &MessageData) -> Option<Range<u64>> {
    if section.part.is_empty() && section.text == SectionText::Whole {
        return Some(0..data.size_bytes);
    }
    let parts = Parts::decode(&data.parts)?;
    let Located { part, message } = parts.find(&section.part)?;
    match section.text {
        SectionText::Whole => Some(part.body.clone()),
        SectionText::Mime => Some(part.header.clone()),
        SectionText::Header | SectionText::HeaderFields(_) | SectionText::HeaderFieldsNot(_) => {
            message.map(|message| message.header.clone())
        }
        SectionText::Text => message.map(|message| message.body.clone()),
    }
}

/// The bytes of a filtered header that the item asks for.
pub(super) fn partial_of(item: Option<&FetchItem>, length: u64) -> Range<u64> {
    match item {
        Some(FetchItem::BodySection { partial, .. }) => cut(0..length, *partial),
        Some(_) | None => 0..length,
    }
}

/// The bytes of a range that a partial means; nothing when it begins behind the end (RFC 3501
/// §6.4.5).
fn cut(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(Partial { offset, length }) = partial else {
        return range;
    };
    let start = range.start.saturating_add(offset).min(range.end);
    start..start.saturating_add(length).min(range.end)
}

/// These bytes of the message, when they came along with its data.
pub(super) fn at_hand(data: &MessageData, range: Range<u64>) -> Option<Bytes> {
    let content = data.content.as_ref();
    let content = content.filter(|content| content.len() as u64 == data.size_bytes);
    let of_content = content.and_then(|content| slice(content, range.clone()));
    of_content.or_else(|| slice(&data.header, range))
}

pub(super) fn slice(bytes: &Bytes, range: Range<u64>) -> Option<Bytes> {
    let (start, end) = (
        usize::try_from(range.start).ok()?,
        usize::try_from(range.end).ok()?,
    );
    (start <= end && end <= bytes.len()).then(|| bytes.slice(start..end))
}
