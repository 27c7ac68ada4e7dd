//! A message seen chunk by chunk: lines, delimiters (RFC 2046 §5.1.1) and headers.
//!
//! Each line is one of these:
//!
//! | line | where | effect |
//! |---|---|---|
//! | empty | in a header | the header ends; a `message/rfc822` opens the message in it |
//! | `--` and the boundary of an open multipart | anywhere | all parts in that multipart end; its next part begins |
//! | the same and `--` | anywhere | all parts in that multipart end, and its boundary is forgotten |
//! | any other | in a header | goes to the header |
//! | any other | in a body | only counts |

use alloc::{boxed::Box, vec::Vec};
use core::{fmt, mem};

use super::{
    Part, PartKind, Parts, Summary,
    content::{Content, DefaultType},
    envelope::Envelope,
    header::FieldFilter,
    structure::{self, Node},
};
use crate::limits;

/// Bytes of a line that can matter: hyphens, boundary, hyphens.
const LINE_HEAD_BYTES: usize = limits::MIME_BOUNDARY_BYTES + 4;

/// Finds what is kept of a message while it arrives, without holding it.
///
/// Needs time in proportion to the message's length; what it holds is bounded by
/// [`limits::MIME_HEADERS_BYTES`] and [`limits::MIME_PARTS_MAX`].
pub struct Scanner {
    /// Bytes taken.
    position: u64,
    /// Where the line began that is being read.
    line_start: u64,
    /// Of the line before: 2 for CRLF, 1 for a bare LF, 0 before the first one.
    line_break_bytes: u8,
    /// Line feeds taken.
    line_feeds: u64,
    last_byte: u8,
    line: Line,
    section: Section,
    /// All parts that have begun, in order.
    nodes: Vec<Node>,
    /// The parts that have not ended, outermost first.
    open: Vec<OpenPart>,
    /// What may still be kept of headers.
    header_room_bytes: usize,
    /// Of the message itself; there when its header has ended.
    envelope: Option<Envelope>,
}

/// The line that is being read.
enum Line {
    /// None of it is there.
    Start,
    /// It may be a delimiter or the end of a header: its bytes so far.
    Head(Vec<u8>),
    /// It is none of these.
    Text,
    /// It is the empty line behind a header.
    HeaderEnd,
    /// It is a delimiter; behind it a part of the innermost open multipart begins.
    Delimiter,
    /// It is a close delimiter.
    CloseDelimiter,
}

/// What of the innermost open part is being read.
enum Section {
    Header(Box<HeaderReader>),
    Body,
}

struct HeaderReader {
    role: Role,
    filter: FieldFilter,
    kept: Vec<u8>,
}

/// Whose header it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// A message's.
    Message,
    /// A part's in a multipart.
    BodyPart(DefaultType),
}

struct OpenPart {
    node: usize,
    /// What delimits its parts; `None` in all but multiparts, and behind the close delimiter.
    boundary: Option<Vec<u8>>,
    /// Line feeds before its body.
    line_feeds: u64,
}

impl Scanner {
    /// At the start of a message.
    pub fn new() -> Self {
        let mut scanner = Self {
            position: 0,
            line_start: 0,
            line_break_bytes: 0,
            line_feeds: 0,
            last_byte: 0,
            line: Line::Start,
            section: Section::Body,
            nodes: Vec::new(),
            open: Vec::new(),
            header_room_bytes: limits::MIME_HEADERS_BYTES,
            envelope: None,
        };
        scanner.begin_part(Role::Message);
        scanner
    }

    /// Takes the next bytes.
    pub fn handle_input(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let newline = input.iter().position(|&byte| byte == b'\n');
            let (piece, rest) = input.split_at(newline.map_or(input.len(), |index| index + 1));
            self.handle_piece(piece);
            input = rest;
        }
    }

    /// The message has ended.
    pub fn finish(mut self) -> Summary {
        match mem::replace(&mut self.line, Line::Start) {
            Line::Head(head) => self.decide(&head, &[]),
            line => self.line = line,
        }
        if let Line::Delimiter = self.line {
            self.begin_part_of_multipart();
        }
        while let Section::Header(_) = self.section {
            self.end_header(self.position);
        }
        self.end_parts(0, self.position, self.line_feeds);
        self.summary()
    }

    /// Takes a line or a part of one.
    fn handle_piece(&mut self, piece: &[u8]) {
        if let Line::Start = self.line {
            self.line_start = self.position;
            self.line = if self.may_matter(piece[0]) {
                Line::Head(Vec::new())
            } else {
                Line::Text
            };
        }
        match &mut self.line {
            Line::Head(head) => {
                let (more, rest) = piece.split_at(piece.len().min(LINE_HEAD_BYTES - head.len()));
                head.extend_from_slice(more);
                if head.len() == LINE_HEAD_BYTES || head.ends_with(b"\n") {
                    let head = mem::take(head);
                    self.decide(&head, rest);
                }
            }
            Line::Text => self.handle_text(piece),
            Line::Start | Line::HeaderEnd | Line::Delimiter | Line::CloseDelimiter => {}
        }
        self.position += piece.len() as u64;
        if piece.ends_with(b"\n") {
            let before = piece.len().checked_sub(2).map(|index| piece[index]);
            let has_cr = before.unwrap_or(self.last_byte) == b'\r';
            self.end_line(if has_cr { 2 } else { 1 });
        }
        self.last_byte = piece[piece.len() - 1];
    }

    /// Whether a line that starts with this byte may be more than text.
    fn may_matter(&self, first: u8) -> bool {
        match first {
            b'-' => self.delimiters_count(),
            b'\r' | b'\n' => matches!(self.section, Section::Header(_)),
            _ => false,
        }
    }

    /// Whether a further part may begin.
    fn delimiters_count(&self) -> bool {
        self.nodes.len() < limits::MIME_PARTS_MAX
            && self.open.iter().any(|part| part.boundary.is_some())
    }

    /// Finds out what the line is that starts so, and reads on when it is text.
    fn decide(&mut self, head: &[u8], rest: &[u8]) {
        let in_header = matches!(self.section, Section::Header(_));
        if in_header && matches!(head, b"\n" | b"\r\n") {
            self.line = Line::HeaderEnd;
        } else if let Some((depth, is_close)) = self.match_delimiter(head) {
            self.end_parts_in(depth);
            self.line = if is_close {
                self.open[depth].boundary = None;
                Line::CloseDelimiter
            } else {
                Line::Delimiter
            };
        } else {
            self.line = Line::Text;
            self.handle_text(head);
            self.handle_text(rest);
        }
    }

    fn handle_text(&mut self, text: &[u8]) {
        if let Section::Header(reader) = &mut self.section {
            reader.handle_input(text, self.header_room_bytes);
        }
    }

    /// The open multipart whose boundary this line carries, and whether it closes it. A line
    /// matches when it begins with the boundary (RFC 2046 §5.1.1); of several that match, the
    /// longest counts, and of equal ones the innermost.
    fn match_delimiter(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line.strip_prefix(b"--")?;
        let mut best: Option<(usize, &[u8])> = None;
        for (depth, part) in self.open.iter().enumerate() {
            let Some(boundary) = part.boundary.as_deref() else {
                continue;
            };
            let is_longest = best.is_none_or(|(_, other)| boundary.len() >= other.len());
            if is_longest && line.starts_with(boundary) {
                best = Some((depth, boundary));
            }
        }
        best.map(|(depth, boundary)| (depth, line[boundary.len()..].starts_with(b"--")))
    }

    fn end_line(&mut self, line_break_bytes: u8) {
        self.line_break_bytes = line_break_bytes;
        self.line_feeds += 1;
        match mem::replace(&mut self.line, Line::Start) {
            Line::HeaderEnd => self.end_header(self.position),
            Line::Delimiter => self.begin_part_of_multipart(),
            Line::Start | Line::Head(_) | Line::Text | Line::CloseDelimiter => {}
        }
    }

    fn begin_part_of_multipart(&mut self) {
        let parent = self.open.last().expect("a delimiter's multipart is open");
        let is_digest = self.nodes[parent.node].content.is_digest();
        self.begin_part(Role::BodyPart(if is_digest {
            DefaultType::Message
        } else {
            DefaultType::Text
        }));
    }

    fn begin_part(&mut self, role: Role) {
        if let Some(parent) = self.open.last() {
            self.nodes[parent.node].part.children += 1;
        }
        self.open.push(OpenPart {
            node: self.nodes.len(),
            boundary: None,
            line_feeds: self.line_feeds,
        });
        self.nodes.push(Node::at(self.position));
        self.section = Section::Header(Box::new(HeaderReader::new(role)));
    }

    /// The header of the innermost open part ends here, and its body begins.
    fn end_header(&mut self, position: u64) {
        let depth = self.open.len() - 1;
        let section = mem::replace(&mut self.section, Section::Body);
        let (Section::Header(reader), Some(open)) = (section, self.open.last_mut()) else {
            unreachable!("called within a header");
        };
        let (role, header) = reader.finish(self.header_room_bytes);
        self.header_room_bytes -= header.len();
        open.line_feeds = self.line_feeds;

        let node = &mut self.nodes[open.node];
        node.part.header.end = position;
        node.part.body = position..position;
        node.content = match role {
            Role::Message => Content::of_message(&header),
            Role::BodyPart(default) => Content::of_body_part(&header, default),
        };
        if role == Role::Message {
            let envelope = Envelope::parse(&header);
            envelope.write(&mut node.envelope);
            self.envelope.get_or_insert(envelope);
        }
        let may_nest = depth < limits::MIME_DEPTH_MAX;
        let may_nest = may_nest && self.nodes.len() < limits::MIME_PARTS_MAX;
        let node = &mut self.nodes[open.node];
        match node.content.kind() {
            PartKind::Leaf => {}
            _ if !may_nest => node.content.make_opaque(),
            PartKind::Multipart => {
                node.part.kind = PartKind::Multipart;
                open.boundary = node.content.boundary();
            }
            PartKind::Message => {
                node.part.kind = PartKind::Message;
                self.begin_part(Role::Message);
                // The header of the message in it begins behind this one.
                self.nodes.last_mut().expect("it has begun").part.header = position..position;
            }
        }
    }

    /// The line is a delimiter of the open multipart at this depth: what is open in it ends
    /// before the line break that leads to the line (RFC 2046 §5.1.1).
    fn end_parts_in(&mut self, depth: usize) {
        while let Section::Header(_) = self.section {
            self.end_header(self.line_start);
        }
        let break_bytes = u64::from(self.line_break_bytes);
        let end = self.line_start - break_bytes;
        let line_feeds = self.line_feeds - u64::from(break_bytes > 0);
        self.end_parts(depth + 1, end, line_feeds);
    }

    /// All open parts but so many end here, behind so many line feeds of the message. A line
    /// break that ends a part's header is not taken from it.
    fn end_parts(&mut self, remaining: usize, mut end: u64, mut line_feeds: u64) {
        for open in self.open.drain(remaining..).rev() {
            let node = &mut self.nodes[open.node];
            end = end.max(node.part.body.start);
            line_feeds = line_feeds.max(open.line_feeds);
            node.part.body.end = end;
            node.line_feeds = line_feeds - open.line_feeds;
        }
    }

    fn summary(self) -> Summary {
        let envelope = self.envelope.expect("the message's header has ended");
        let root = &self.nodes[0];
        let mut summary = Summary {
            size_bytes: self.position,
            header_bytes: root.part.header.end,
            envelope: root.envelope.clone(),
            sent_date: envelope.sent_date(),
            message_id: envelope.message_id(),
            references: envelope.references(),
            has_attachments: self.nodes.iter().any(|node| node.content.is_attachment()),
            ..Summary::default()
        };
        structure::write_body(&self.nodes, &mut summary.body);
        structure::write_body_structure(&self.nodes, &mut summary.body_structure);
        let parts: Vec<Part> = self.nodes.into_iter().map(|node| node.part).collect();
        let parts = Parts::new(parts).expect("parts begin and end as in a tree, within the bounds");
        summary.parts = parts.encode();
        summary
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("position", &self.position)
            .field("parts", &self.nodes.len())
            .field("depth", &self.open.len())
            .finish_non_exhaustive()
    }
}

impl HeaderReader {
    fn new(role: Role) -> Self {
        let filter = match role {
            Role::Message => FieldFilter::new(&[Envelope::FIELDS, Content::FIELDS].concat(), true),
            Role::BodyPart(_) => FieldFilter::new(Content::FIELDS, true),
        };
        Self {
            role,
            filter,
            kept: Vec::new(),
        }
    }

    fn handle_input(&mut self, input: &[u8], room_bytes: usize) {
        let kept = self.filter.handle_input(input);
        self.keep(&kept, room_bytes);
    }

    fn finish(mut self, room_bytes: usize) -> (Role, Vec<u8>) {
        let kept = mem::replace(&mut self.filter, FieldFilter::new::<&[u8]>(&[], true)).finish();
        self.keep(&kept, room_bytes);
        (self.role, self.kept)
    }

    fn keep(&mut self, kept: &[u8], room_bytes: usize) {
        let room = room_bytes.min(limits::MIME_HEADER_BYTES) - self.kept.len();
        self.kept.extend_from_slice(&kept[..kept.len().min(room)]);
    }
}
