//! Conversion of an 8-bit message for a peer that lacks 8BITMIME (RFC 6152 §3).
//!
//! The message is read twice: a [`Survey`] finds out what there is to be changed and whether it
//! can be, a [`Converter`] carries it out. Both take the message in pieces, and hold no more than
//! one header and what the part tree says.
//!
//! | part | has 8-bit bytes, or says `binary` | else |
//! |---|---|---|
//! | leaf, `7bit`, `8bit` or nothing said | quoted-printable or base64 | says `7bit` for `8bit` |
//! | leaf, `binary` | base64 | base64 |
//! | leaf in another encoding | not convertible | unchanged |
//! | multipart, message | not convertible but by its parts; says `7bit` | says `7bit` |
//! | in `multipart/signed` or `multipart/encrypted` | not convertible | unchanged |
//! | header, preamble, epilogue | not convertible | unchanged |
//!
//! Text that is ASCII for the most part becomes quoted-printable, everything else base64.
//!
//! A message that is no MIME becomes one, of the charset `unknown-8bit` (RFC 1428 §3). What a
//! signature in a header field (DKIM) covers is changed by the conversion as by any other.

use alloc::vec::Vec;
use core::{fmt, mem};

use super::{
    Part, PartKind, Parts,
    content::{Content, DefaultType},
    encoder::{Base64, Encoder, QuotedPrintable},
    header::Fields,
};
use crate::limits;

/// Why a message can't be converted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unconvertible {
    /// There is no part tree.
    NoParts,
    /// A header has 8-bit text.
    Header,
    /// Text around the parts of a multipart has 8-bit text.
    Surroundings,
    /// The part is signed or encrypted, and must not be changed.
    Signed,
    /// The part says that it is encoded, and has 8-bit bytes, or is a multipart or message that is
    /// not looked into.
    Opaque,
    /// The header that would have to be changed is longer than
    /// [`limits::MIME_HEADER_BYTES`](crate::limits::MIME_HEADER_BYTES).
    HeaderTooLong,
}

impl fmt::Display for Unconvertible {
    /// As in "and `it has 8-bit headers`".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoParts => "the structure of this 8-bit message is not known",
            Self::Header => "it has 8-bit headers",
            Self::Surroundings => "it has 8-bit text around its parts",
            Self::Signed => "it has a signed or encrypted part with 8-bit text",
            Self::Opaque => "it has a part with 8-bit text that can't be encoded",
            Self::HeaderTooLong => "it has an 8-bit part whose header is too long",
        })
    }
}

/// What a [`Survey`] found.
#[derive(Debug)]
pub struct Findings {
    /// Whether a header has bytes above 127.
    pub eight_bit_headers: bool,
    /// How to convert the message.
    pub plan: Result<Plan, Unconvertible>,
}

/// How a message is converted.
#[derive(Clone, Debug)]
pub struct Plan {
    steps: Vec<Step>,
    size_bytes: u64,
}

impl Plan {
    /// The length of what comes out, or a little more.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether nothing is to be changed.
    pub fn is_unchanged(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Bytes of the message up to here, and what is done with them.
#[derive(Clone, Copy, Debug)]
struct Step {
    end: u64,
    action: Action,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Copy,
    /// A header gets this Content-Transfer-Encoding.
    Header {
        encoding: Encoding,
        makes_mime: MakesMime,
    },
    /// A body is encoded.
    Body(Encoding),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Encoding {
    SevenBit,
    QuotedPrintable,
    Base64,
}

/// The fields that a message's header gets to be MIME.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct MakesMime {
    version: bool,
    content_type: bool,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::SevenBit => "7bit",
            Self::QuotedPrintable => "quoted-printable",
            Self::Base64 => "base64",
        }
    }

    fn encoder(self) -> Option<Encoder> {
        match self {
            Self::SevenBit => None,
            Self::QuotedPrintable => Some(Encoder::QuotedPrintable(QuotedPrintable::default())),
            Self::Base64 => Some(Encoder::Base64(Base64::default())),
        }
    }
}

/// What stands in a stretch of the message.
#[derive(Clone, Copy, Debug)]
enum Stretch {
    /// Delimiters, a preamble, an epilogue.
    Between,
    Header(usize),
    /// The body of a leaf.
    Body(usize),
}

/// A part, and what was found of it.
#[derive(Debug)]
struct Node {
    part: Part,
    parent: Option<usize>,
    content: Content,
    makes_mime: MakesMime,
    /// Whether it is in a multipart whose parts must not be changed.
    is_sealed: bool,
    header_too_long: bool,
    body: Tally,
}

/// Bytes of a stretch.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    bytes: u64,
    eight_bit: u64,
    /// By how much quoted-printable makes it longer at most, soft line breaks not counted.
    quoting_bytes: u64,
}

/// Reads a message to find out how it is converted.
#[derive(Debug)]
pub struct Survey {
    nodes: Vec<Node>,
    /// In order; each ends where the next one begins, the last one never.
    stretches: Vec<(u64, Stretch)>,
    next: usize,
    position: u64,
    header: Vec<u8>,
    tally: Tally,
    eight_bit_headers: bool,
    eight_bit_between: bool,
}

impl Survey {
    /// Of the message with these parts.
    pub fn new(parts: &Parts) -> Self {
        let mut survey = Self {
            nodes: Vec::new(),
            stretches: Vec::new(),
            next: 0,
            position: 0,
            header: Vec::new(),
            tally: Tally::default(),
            eight_bit_headers: false,
            eight_bit_between: false,
        };
        // Parts that have children to come, with how many.
        let mut open: Vec<(usize, u32)> = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            while open.last().is_some_and(|(_, left)| *left == 0) {
                open.pop();
            }
            let parent = open.last_mut().map(|(parent, left)| {
                *left -= 1;
                *parent
            });
            open.push((index, part.children));
            survey.add_stretch(part.header.start, Stretch::Between);
            survey.add_stretch(part.header.end, Stretch::Header(index));
            if part.kind == PartKind::Leaf {
                survey.add_stretch(part.body.start, Stretch::Between);
                survey.add_stretch(part.body.end, Stretch::Body(index));
            }
            survey.nodes.push(Node::new(part.clone(), parent));
        }
        survey.stretches.push((u64::MAX, Stretch::Between));
        survey
    }

    /// Takes the next bytes.
    pub fn handle_input(&mut self, mut input: &[u8]) {
        while let Some(&(end, stretch)) = self.stretches.get(self.next) {
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let (piece, rest) = input.split_at(input.len().min(left));
            self.position += piece.len() as u64;
            input = rest;
            self.tally.add(piece);
            if let Stretch::Header(_) = stretch {
                // One byte more than is looked at shows that it is too long.
                let room = limits::MIME_HEADER_BYTES + 1 - self.header.len();
                self.header
                    .extend_from_slice(&piece[..piece.len().min(room)]);
            }
            if self.position < end {
                return;
            }
            self.end_stretch(stretch);
        }
    }

    /// The message has ended.
    pub fn finish(mut self) -> Findings {
        while let Some(&(_, stretch)) = self.stretches.get(self.next) {
            self.end_stretch(stretch);
        }
        Findings {
            eight_bit_headers: self.eight_bit_headers,
            plan: self.plan(),
        }
    }

    fn add_stretch(&mut self, end: u64, stretch: Stretch) {
        // What is stored may be no tree of stretches: each begins where the one before ended.
        let start = self.stretches.last().map_or(0, |&(end, _)| end);
        self.stretches.push((end.max(start), stretch));
    }

    fn end_stretch(&mut self, stretch: Stretch) {
        let tally = mem::take(&mut self.tally);
        self.next += 1;
        match stretch {
            Stretch::Between => self.eight_bit_between |= tally.eight_bit > 0,
            Stretch::Body(index) => self.nodes[index].body = tally,
            Stretch::Header(index) => {
                self.eight_bit_headers |= tally.eight_bit > 0;
                let header = mem::take(&mut self.header);
                let parent = self.nodes[index].parent.map(|parent| &self.nodes[parent]);
                let is_message = parent.is_none_or(|it| it.part.kind == PartKind::Message);
                let is_in_digest = parent.is_some_and(|parent| parent.content.is_digest());
                let is_sealed = parent.is_some_and(|it| it.is_sealed || it.seals());
                let node = &mut self.nodes[index];
                node.is_sealed = is_sealed;
                node.header_too_long = header.len() > limits::MIME_HEADER_BYTES;
                if is_message {
                    node.content = Content::of_message(&header);
                    node.makes_mime = MakesMime::missing_in(&header);
                } else {
                    let default = if is_in_digest {
                        DefaultType::Message
                    } else {
                        DefaultType::Text
                    };
                    node.content = Content::of_body_part(&header, default);
                }
            }
        }
    }

    fn plan(&self) -> Result<Plan, Unconvertible> {
        if self.eight_bit_headers {
            return Err(Unconvertible::Header);
        }
        if self.eight_bit_between {
            return Err(Unconvertible::Surroundings);
        }
        let mut encodings = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            encodings.push(node.decide()?);
        }
        let mut steps = Vec::new();
        let mut size_bytes = self.position;
        for &(end, stretch) in &self.stretches {
            let action = match stretch {
                Stretch::Between => Action::Copy,
                Stretch::Header(index) => match encodings[index] {
                    None => Action::Copy,
                    Some(encoding) => {
                        let makes_mime = self.nodes[index].makes_mime;
                        size_bytes += 128;
                        Action::Header {
                            encoding,
                            makes_mime,
                        }
                    }
                },
                Stretch::Body(index) => match encodings[index] {
                    None | Some(Encoding::SevenBit) => Action::Copy,
                    Some(encoding) => {
                        size_bytes += self.nodes[index].body.growth_bytes(encoding);
                        Action::Body(encoding)
                    }
                },
            };
            steps.push(Step { end, action });
        }
        if encodings.iter().all(Option::is_none) {
            steps.clear();
        }
        Ok(Plan { steps, size_bytes })
    }
}

impl Node {
    fn new(part: Part, parent: Option<usize>) -> Self {
        Self {
            part,
            parent,
            content: Content::default(),
            makes_mime: MakesMime::default(),
            is_sealed: false,
            header_too_long: false,
            body: Tally::default(),
        }
    }

    /// Whether what is in it must not be changed (RFC 1847).
    fn seals(&self) -> bool {
        let is = |name: &[u8]| self.content.subtype.eq_ignore_ascii_case(name);
        self.part.kind == PartKind::Multipart && (is(b"signed") || is(b"encrypted"))
    }

    /// The encoding that the part gets, if it gets another one.
    fn decide(&self) -> Result<Option<Encoding>, Unconvertible> {
        let said = self.content.transfer_encoding.as_deref().unwrap_or(b"7bit");
        let says = |name: &[u8]| said.eq_ignore_ascii_case(name);
        let is_opaque = self.content.kind() != PartKind::Leaf
            || self.content.media_type.eq_ignore_ascii_case(b"message");
        let has_eight_bit = self.body.eight_bit > 0;
        let is_plain = says(b"7bit") || says(b"8bit") || says(b"binary");
        let encoding = if self.part.kind != PartKind::Leaf || (is_opaque && !has_eight_bit) {
            // Only these three may stand there (RFC 2045 §6.4).
            (says(b"8bit") || says(b"binary")).then_some(Encoding::SevenBit)
        } else if has_eight_bit && (is_opaque || !is_plain) {
            return Err(Unconvertible::Opaque);
        } else if says(b"binary") {
            Some(Encoding::Base64)
        } else if has_eight_bit {
            let mostly_ascii = self.body.eight_bit.saturating_mul(6) <= self.body.bytes;
            let is_quoted = self.content.is_text() && mostly_ascii;
            Some(if is_quoted {
                Encoding::QuotedPrintable
            } else {
                Encoding::Base64
            })
        } else {
            says(b"8bit").then_some(Encoding::SevenBit)
        };
        match encoding {
            None => Ok(None),
            Some(Encoding::SevenBit) if self.is_sealed || self.header_too_long => Ok(None),
            Some(_) if self.is_sealed => Err(Unconvertible::Signed),
            Some(_) if self.header_too_long => Err(Unconvertible::HeaderTooLong),
            Some(encoding) => Ok(Some(encoding)),
        }
    }
}

impl Tally {
    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        for &byte in piece {
            self.eight_bit += u64::from(!byte.is_ascii());
            self.quoting_bytes += match byte {
                // A bare one is quoted, and so is white space before it.
                b'\r' => 4,
                b'\t' | b' '..=b'<' | b'>'..=b'~' => 0,
                _ => 2,
            };
        }
    }

    /// By how much it grows at most.
    fn growth_bytes(self, encoding: Encoding) -> u64 {
        match encoding {
            Encoding::SevenBit => 0,
            Encoding::QuotedPrintable => {
                self.quoting_bytes + (self.bytes + self.quoting_bytes) / 16 + 8
            }
            Encoding::Base64 => self.bytes / 3 + self.bytes / 24 + 8,
        }
    }
}

impl MakesMime {
    fn missing_in(header: &[u8]) -> Self {
        let has = |name: &[u8]| Fields::new(header).any(|it| it.name.eq_ignore_ascii_case(name));
        Self {
            version: !has(b"mime-version"),
            content_type: !has(b"content-type"),
        }
    }
}

/// Carries out a [`Plan`] on the same message.
#[derive(Debug)]
pub struct Converter {
    steps: Vec<Step>,
    next: usize,
    position: u64,
    /// Of the header that is being read.
    header: Vec<u8>,
    encoder: Option<Encoder>,
}

impl Converter {
    /// At the start of the message.
    pub fn new(plan: Plan) -> Self {
        let mut converter = Self {
            steps: plan.steps,
            next: 0,
            position: 0,
            header: Vec::new(),
            encoder: None,
        };
        converter.begin_step();
        converter
    }

    /// Takes the next bytes; returns the next bytes of the converted message, less than five
    /// times as many and one header.
    pub fn handle_input(&mut self, mut input: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(input.len());
        while let Some(&Step { end, action }) = self.steps.get(self.next) {
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let (piece, rest) = input.split_at(input.len().min(left));
            self.position += piece.len() as u64;
            input = rest;
            match (action, &mut self.encoder) {
                (Action::Header { .. }, _) => self.header.extend_from_slice(piece),
                (Action::Body(_), Some(encoder)) => encoder.handle_input(piece, &mut out),
                (Action::Copy | Action::Body(_), _) => out.extend_from_slice(piece),
            }
            if self.position < end {
                return out;
            }
            self.end_step(action, &mut out);
        }
        out.extend_from_slice(input);
        out
    }

    /// The message has ended; returns the end of the converted one.
    pub fn finish(mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(&Step { action, .. }) = self.steps.get(self.next) {
            self.end_step(action, &mut out);
        }
        out
    }

    fn begin_step(&mut self) {
        self.encoder = match self.steps.get(self.next).map(|step| step.action) {
            Some(Action::Body(encoding)) => encoding.encoder(),
            Some(Action::Copy | Action::Header { .. }) | None => None,
        };
    }

    fn end_step(&mut self, action: Action, out: &mut Vec<u8>) {
        if let Some(encoder) = self.encoder.take() {
            encoder.finish(out);
        }
        if let Action::Header {
            encoding,
            makes_mime,
        } = action
        {
            let header = mem::take(&mut self.header);
            write_header(&header, encoding, makes_mime, out);
        }
        self.next += 1;
        self.begin_step();
    }
}

/// The header with another Content-Transfer-Encoding, which stands last.
fn write_header(header: &[u8], encoding: Encoding, makes_mime: MakesMime, out: &mut Vec<u8>) {
    let mut end = 0;
    let mut last = b'\n';
    for field in Fields::new(header) {
        end = field.range.end;
        if !field
            .name
            .eq_ignore_ascii_case(b"content-transfer-encoding")
        {
            out.extend_from_slice(&header[field.range.clone()]);
            last = header[field.range.end - 1];
        }
    }
    if last != b'\n' {
        out.extend_from_slice(b"\r\n");
    }
    if makes_mime.version {
        out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    if makes_mime.content_type && encoding != Encoding::SevenBit {
        out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: ");
    out.extend_from_slice(encoding.name().as_bytes());
    out.extend_from_slice(b"\r\n");
    let rest = &header[end..];
    out.extend_from_slice(if rest.is_empty() { b"\r\n" } else { rest });
}
