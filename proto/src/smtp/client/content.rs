//! A message's content on its way from the world to the wire.

use alloc::format;

use bytes::{Bytes, BytesMut};

use super::lines::LineWriter;
use crate::{CallId, limits, mime::Converter};

/// Least send credit for which a piece is read.
const LEAST_BYTES: usize = limits::SEND_PIECE_BYTES;

/// Reads the content piece by piece, and writes it for DATA or BDAT.
#[derive(Debug)]
pub(super) struct Content {
    size_bytes: u64,
    position: u64,
    reading: Option<CallId>,
    lines: LineWriter,
    converter: Option<Converter>,
    chunking: bool,
}

/// What is to be sent for a piece.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// `BDAT` with the chunk's length; empty for DATA.
    pub(super) command: Bytes,
    /// The content. With neither, nothing is to be sent.
    pub(super) content: Bytes,
    /// Whether it is the last one.
    pub(super) is_last: bool,
}

impl Content {
    pub(super) fn new(size_bytes: u64, converter: Option<Converter>, chunking: bool) -> Self {
        Self {
            size_bytes,
            position: 0,
            reading: None,
            lines: LineWriter::new(!chunking),
            converter,
            chunking,
        }
    }

    /// The call that is waited for.
    pub(super) fn reading(&self) -> Option<CallId> {
        self.reading
    }

    /// The piece was asked for by this call.
    pub(super) fn set_reading(&mut self, call: CallId) {
        self.reading = Some(call);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size_bytes == 0
    }

    /// The piece to be asked for with this send credit, if one is.
    ///
    /// What goes out is at most twice what comes in, and about seven times where it is converted;
    /// so the credit is not overdrawn, but for a header, which is held back until it is whole.
    pub(super) fn wanted(&self, credit_bytes: usize) -> Option<(u64, usize)> {
        let left = usize::try_from(self.size_bytes - self.position).unwrap_or(usize::MAX);
        let wanted = left.min(limits::READ_BYTES);
        let reach = credit_bytes / if self.converter.is_some() { 8 } else { 2 };
        let affordable = reach >= wanted.min(LEAST_BYTES);
        let wants = self.reading.is_none() && left > 0 && affordable;
        wants.then(|| (self.position, wanted.min(reach)))
    }

    /// Takes the piece that was asked for.
    pub(super) fn take(&mut self, piece: &Bytes) -> Outgoing {
        self.reading = None;
        let left = usize::try_from(self.size_bytes - self.position).unwrap_or(usize::MAX);
        let piece = piece.slice(..piece.len().min(left).min(limits::READ_BYTES));
        self.position += piece.len() as u64;
        let content = match &mut self.converter {
            None => self.lines.write(piece),
            Some(converter) => {
                let converted = converter.handle_input(&piece);
                self.lines.write(converted.into())
            }
        };
        match self.position == self.size_bytes {
            true => self.end(content),
            false => self.frame(content, false),
        }
    }

    /// An empty content, or the last piece of one.
    pub(super) fn end(&mut self, content: Bytes) -> Outgoing {
        let converted = self.converter.take().map(Converter::finish);
        let converted = self.lines.write(converted.unwrap_or_default().into());
        let missing = self.lines.finish();
        if converted.is_empty() && missing.is_empty() {
            return self.frame(content, true);
        }
        let mut whole = BytesMut::from(content);
        whole.extend_from_slice(&converted);
        whole.extend_from_slice(missing);
        self.frame(whole.freeze(), true)
    }

    /// `bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ]` (RFC 3030 §2), or the dot that ends
    /// mail data (RFC 5321 §4.1.1.4).
    fn frame(&self, content: Bytes, is_last: bool) -> Outgoing {
        let length = content.len();
        let (command, content) = match (self.chunking, is_last) {
            (true, true) => (format!("BDAT {length} LAST\r\n").into(), content),
            (true, false) if length == 0 => (Bytes::new(), content),
            (true, false) => (format!("BDAT {length}\r\n").into(), content),
            (false, false) => (Bytes::new(), content),
            (false, true) => {
                let mut content = BytesMut::from(content);
                content.extend_from_slice(b".\r\n");
                (Bytes::new(), content.freeze())
            }
        };
        Outgoing {
            command,
            content,
            is_last,
        }
    }
}
