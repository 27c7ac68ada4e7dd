//! BODY and BODYSTRUCTURE of a part tree (RFC 3501 §7.4.2).

use alloc::vec::Vec;

use super::{
    Part, PartKind,
    content::{Content, Parameter},
    wire::{write_nstring, write_number, write_string},
};

/// A part with all that its structure says.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it stands.
    pub(super) part: Part,
    /// What its header says.
    pub(super) content: Content,
    /// Line feeds in its body.
    pub(super) line_feeds: u64,
    /// Its ENVELOPE as finished text, if it is a message.
    pub(super) envelope: Vec<u8>,
}

impl Node {
    /// A part that begins here.
    pub(super) fn at(position: u64) -> Self {
        Self {
            part: Part {
                kind: PartKind::Leaf,
                header: position..position,
                body: position..position,
                children: 0,
            },
            content: Content::default(),
            line_feeds: 0,
            envelope: Vec::new(),
        }
    }
}

/// Writes BODY of the message whose parts these are, in their order.
pub(super) fn write_body(nodes: &[Node], out: &mut Vec<u8>) {
    Writer {
        out,
        extended: false,
    }
    .part(nodes);
}

/// Writes BODYSTRUCTURE of the message whose parts these are, in their order.
pub(super) fn write_body_structure(nodes: &[Node], out: &mut Vec<u8>) {
    Writer {
        out,
        extended: true,
    }
    .part(nodes);
}

/// Its recursion is bounded by [`limits::MIME_DEPTH_MAX`](crate::limits::MIME_DEPTH_MAX).
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// With extension data.
    extended: bool,
}

impl Writer<'_> {
    /// Writes the first part and all below it; returns what follows them.
    fn part<'n>(&mut self, nodes: &'n [Node]) -> &'n [Node] {
        let (node, mut rest) = nodes.split_first().expect("the tree is complete");
        self.out.push(b'(');
        match node.part.kind {
            PartKind::Leaf => {
                self.basic(node);
                if node.content.is_text() {
                    self.out.push(b' ');
                    write_number(self.out, node.line_feeds);
                }
                self.md5(&node.content);
            }
            PartKind::Message => {
                self.basic(node);
                self.out.push(b' ');
                self.out.extend_from_slice(&rest[0].envelope);
                self.out.push(b' ');
                rest = self.part(rest);
                self.out.push(b' ');
                write_number(self.out, node.line_feeds);
                self.md5(&node.content);
            }
            PartKind::Multipart => {
                for _ in 0..node.part.children {
                    rest = self.part(rest);
                }
                if node.part.children == 0 {
                    self.part(&[Node::at(0)]);
                }
                self.out.push(b' ');
                write_string(self.out, &node.content.subtype);
                if self.extended {
                    self.out.push(b' ');
                    self.parameters(&node.content.parameters, false);
                }
            }
        }
        if self.extended {
            self.extension(&node.content);
        }
        self.out.push(b')');
        rest
    }

    fn basic(&mut self, node: &Node) {
        let content = &node.content;
        write_string(self.out, &content.media_type);
        self.out.push(b' ');
        write_string(self.out, &content.subtype);
        self.out.push(b' ');
        self.parameters(&content.parameters, content.is_text());
        self.out.push(b' ');
        write_nstring(self.out, content.id.as_deref());
        self.out.push(b' ');
        write_nstring(self.out, content.description.as_deref());
        self.out.push(b' ');
        write_string(
            self.out,
            content.transfer_encoding.as_deref().unwrap_or(b"7bit"),
        );
        self.out.push(b' ');
        write_number(self.out, node.part.body.end - node.part.body.start);
    }

    fn parameters(&mut self, parameters: &[Parameter], needs_charset: bool) {
        let is_charset = |it: &Parameter| it.name.eq_ignore_ascii_case(b"charset");
        let adds_charset = needs_charset && !parameters.iter().any(is_charset);
        if parameters.is_empty() && !adds_charset {
            self.out.extend_from_slice(b"NIL");
            return;
        }
        let mut separator = b'(';
        for Parameter { name, value } in parameters {
            self.out.push(separator);
            write_string(self.out, name);
            self.out.push(b' ');
            write_string(self.out, value);
            separator = b' ';
        }
        if adds_charset {
            self.out.push(separator);
            self.out.extend_from_slice(b"\"charset\" \"us-ascii\"");
        }
        self.out.push(b')');
    }

    fn md5(&mut self, content: &Content) {
        if self.extended {
            self.out.push(b' ');
            write_nstring(self.out, content.md5.as_deref());
        }
    }

    /// Disposition, language and location.
    fn extension(&mut self, content: &Content) {
        self.out.push(b' ');
        match &content.disposition {
            Some(disposition) => {
                self.out.push(b'(');
                write_string(self.out, &disposition.kind);
                self.out.push(b' ');
                self.parameters(&disposition.parameters, false);
                self.out.push(b')');
            }
            None => self.out.extend_from_slice(b"NIL"),
        }
        self.out.push(b' ');
        if content.languages.is_empty() {
            self.out.extend_from_slice(b"NIL");
        } else {
            for (index, language) in content.languages.iter().enumerate() {
                self.out.push(if index == 0 { b'(' } else { b' ' });
                write_string(self.out, language);
            }
            self.out.push(b')');
        }
        self.out.push(b' ');
        write_nstring(self.out, content.location.as_deref());
    }
}
