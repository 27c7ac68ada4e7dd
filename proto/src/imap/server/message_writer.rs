//! One FETCH response, item by item, against the send credit.

use alloc::{sync::Arc, vec::Vec};
use core::ops::Range;

use bytes::Bytes;

use super::{
    section_source::{self, Source},
    session::Session,
};
use crate::{
    MessageNumber,
    imap::{
        Call, MessageData, MessageState, Reply, UidSet,
        wire::{FetchItem, FetchResponse},
    },
    limits,
    mime::FieldFilter,
};

/// Writes what was asked of one message. Large contents are read and written in pieces.
#[derive(Debug)]
pub(super) struct MessageWriter {
    number: MessageNumber,
    state: MessageState,
    is_recent: bool,
    data: MessageData,
    items: Arc<[FetchItem]>,
    /// The next item to be written, or the one whose content is.
    next: usize,
    /// Begun with the first item, so that a message that goes before leaves no trace.
    response: Option<FetchResponse>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// FLAGS come first, because the message just got `\Seen`.
    NewFlags,
    /// The next item.
    Item,
    /// These bytes of the message, or of `filtered`. `opened`: their number was written.
    Content {
        range: Range<u64>,
        opened: bool,
        filtered: Option<Bytes>,
    },
    /// A header that is filtered.
    Filtering {
        range: Range<u64>,
        filter: FieldFilter,
        filtered: Vec<u8>,
    },
}

/// How a response goes on.
#[derive(Debug)]
pub(super) enum Progress {
    More,
    Starved,
    Ask(Call),
    Finished,
    /// The message has gone; what was written is whole.
    Gone,
    /// The message has gone within a literal.
    Broken,
}

impl MessageWriter {
    /// `None` when the client was not told of such a message.
    pub(super) fn new(
        session: &mut Session,
        data: MessageData,
        items: Arc<[FetchItem]>,
        newly_seen: &UidSet,
    ) -> Option<Self> {
        let view = &session.selection().view;
        let (number, state) = view.told().find(data.uid)?;
        let tells_flags = newly_seen.contains(data.uid) && !items.contains(&FetchItem::Flags);
        Some(Self {
            number,
            state: state.clone(),
            is_recent: view.recent().contains(data.uid),
            data,
            items,
            next: 0,
            response: None,
            stage: if tells_flags {
                Stage::NewFlags
            } else {
                Stage::Item
            },
        })
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Progress {
        if let Some(reply) = reply {
            return match reply {
                Reply::Bytes(Some(piece)) if !piece.is_empty() => self.take_piece(session, &piece),
                _ => self.lose(session),
            };
        }
        match &self.stage {
            Stage::NewFlags => self.write_new_flags(session),
            Stage::Item => self.write_item(session),
            Stage::Content {
                range, filtered, ..
            } => {
                let (range, filtered) = (range.clone(), filtered.clone());
                self.write_range(session, range, filtered)
            }
            Stage::Filtering { range, .. } => {
                let range = range.clone();
                self.write_range(session, range, None)
            }
        }
    }

    fn begin(&mut self, session: &mut Session) -> FetchResponse {
        let response = self.response.take();
        response.unwrap_or_else(|| FetchResponse::start(session.output.buffer(), self.number.get()))
    }

    fn write_new_flags(&mut self, session: &mut Session) -> Progress {
        let mut response = self.begin(session);
        let out = session.output.buffer();
        response.flags(out, &self.state.flags, self.is_recent);
        if session.knows_modseqs && !self.items.contains(&FetchItem::ModSeq) {
            response.modseq(session.output.buffer(), self.state.modseq);
        }
        self.response = Some(response);
        self.stage = Stage::Item;
        Progress::More
    }

    fn write_item(&mut self, session: &mut Session) -> Progress {
        let items = Arc::clone(&self.items);
        let Some(item) = items.get(self.next) else {
            if let Some(response) = self.response.take() {
                response.end(session.output.buffer());
            }
            return Progress::Finished;
        };
        if let Some(source) = section_source::find(item, &self.data) {
            return self.begin_content(session, item, source);
        }
        let mut response = self.begin(session);
        let (out, data) = (session.output.buffer(), &self.data);
        match item {
            FetchItem::Flags => response.flags(out, &self.state.flags, self.is_recent),
            FetchItem::Uid => response.uid(out, data.uid),
            FetchItem::ModSeq => response.modseq(out, self.state.modseq),
            FetchItem::InternalDate => response.internal_date(out, data.internal_date),
            FetchItem::Rfc822Size => response.size(out, data.size_bytes),
            FetchItem::Envelope => {
                response.envelope(out, b"");
                session.output.send(data.envelope.clone());
            }
            FetchItem::Body => {
                response.body(out, b"");
                session.output.send(data.body.clone());
            }
            FetchItem::BodyStructure => {
                response.body_structure(out, b"");
                session.output.send(data.body_structure.clone());
            }
            FetchItem::EmailId => response.email_id(out, data.email_id),
            FetchItem::ThreadId => response.thread_id(out, data.thread_id),
            FetchItem::Rfc822
            | FetchItem::Rfc822Header
            | FetchItem::Rfc822Text
            | FetchItem::BodySection { .. } => unreachable!("these have a source"),
        }
        self.response = Some(response);
        self.next += 1;
        Progress::More
    }

    fn begin_content(
        &mut self,
        session: &mut Session,
        item: &FetchItem,
        source: Source,
    ) -> Progress {
        match source {
            Source::Absent => self.write_absent(session, item),
            Source::Range(range) => self.start_content(session, range, None),
            Source::Fields { header, filter } => {
                self.stage = Stage::Filtering {
                    range: header,
                    filter,
                    filtered: Vec::new(),
                };
            }
        }
        Progress::More
    }

    /// There is no such part. The message's own header and text are always there, if empty.
    fn write_absent(&mut self, session: &mut Session, item: &FetchItem) {
        if let FetchItem::BodySection {
            section, partial, ..
        } = item
        {
            let offset = partial.map(|partial| partial.offset);
            let mut response = self.begin(session);
            response.absent_section(session.output.buffer(), section, offset);
            self.response = Some(response);
        } else {
            self.open_literal(session, 0);
        }
        self.end_content();
    }

    fn start_content(&mut self, session: &mut Session, range: Range<u64>, filtered: Option<Bytes>) {
        if range.is_empty() {
            self.open_literal(session, 0);
            self.end_content();
        } else {
            self.stage = Stage::Content {
                range,
                opened: false,
                filtered,
            };
        }
    }

    /// Writes the item's name and its literal's length.
    fn open_literal(&mut self, session: &mut Session, size_bytes: u64) {
        let mut response = self.begin(session);
        let out = session.output.buffer();
        match self.items.get(self.next) {
            Some(FetchItem::Rfc822) => response.rfc822(out, size_bytes),
            Some(FetchItem::Rfc822Header) => response.rfc822_header(out, size_bytes),
            Some(FetchItem::Rfc822Text) => response.rfc822_text(out, size_bytes),
            Some(FetchItem::BodySection {
                section, partial, ..
            }) => {
                let offset = partial.map(|partial| partial.offset);
                response.section(out, section, offset, size_bytes);
            }
            Some(_) | None => unreachable!("only these have contents"),
        }
        self.response = Some(response);
    }

    fn end_content(&mut self) {
        self.next += 1;
        self.stage = Stage::Item;
    }

    /// Goes on with the next piece of a content: from what came along, or by asking for it.
    fn write_range(
        &mut self,
        session: &mut Session,
        range: Range<u64>,
        filtered: Option<Bytes>,
    ) -> Progress {
        if range.is_empty() {
            return self.end_range(session);
        }
        let credit = session.output.available_bytes();
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        if credit < length.min(limits::SEND_PIECE_BYTES) {
            return Progress::Starved;
        }
        let length = length.min(limits::READ_BYTES).min(credit);
        let end = range.start + length as u64;
        let at_hand = match filtered {
            Some(filtered) => section_source::slice(&filtered, range.start..end),
            None => section_source::at_hand(&self.data, range.start..end),
        };
        match at_hand {
            Some(piece) => self.take_piece(session, &piece),
            None => Progress::Ask(Call::Read {
                uid: self.data.uid,
                offset: range.start,
                length,
            }),
        }
    }

    /// Takes the next piece of a content.
    fn take_piece(&mut self, session: &mut Session, piece: &Bytes) -> Progress {
        match &mut self.stage {
            Stage::Content { range, opened, .. } => {
                let left = range.end - range.start;
                let piece = take_from(range, piece);
                if !core::mem::replace(opened, true) {
                    self.open_literal(session, left);
                }
                session.output.send(piece);
            }
            Stage::Filtering {
                range,
                filter,
                filtered,
            } => filtered.extend(filter.handle_input(&take_from(range, piece))),
            // Nothing was asked for.
            Stage::NewFlags | Stage::Item => {}
        }
        Progress::More
    }

    /// The whole range was taken.
    fn end_range(&mut self, session: &mut Session) -> Progress {
        match core::mem::replace(&mut self.stage, Stage::Item) {
            Stage::Filtering {
                filter,
                mut filtered,
                ..
            } => {
                filtered.extend(filter.finish());
                let length = filtered.len() as u64;
                let range = section_source::partial_of(self.items.get(self.next), length);
                self.start_content(session, range, Some(Bytes::from(filtered)));
            }
            Stage::Content { .. } => self.end_content(),
            Stage::NewFlags | Stage::Item => {}
        }
        Progress::More
    }

    /// A piece that was asked for is not there.
    fn lose(&mut self, session: &mut Session) -> Progress {
        if let Stage::Content { opened: true, .. } = self.stage {
            return Progress::Broken;
        }
        if let Some(response) = self.response.take() {
            response.end(session.output.buffer());
        }
        Progress::Gone
    }
}

/// Takes as much of a piece as the range holds, from the range too.
fn take_from(range: &mut Range<u64>, piece: &Bytes) -> Bytes {
    let left = range.end - range.start;
    let length = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
    range.start += length as u64;
    piece.slice(..length)
}
