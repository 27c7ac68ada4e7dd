//! A message seen chunk by chunk.

use alloc::vec::Vec;

use super::{Part, PartKind, Parts, Summary};

/// Finds what is kept of a message while it arrives, without holding it.
#[derive(Debug, Default)]
pub struct Scanner {
    size_bytes: u64,
}

impl Scanner {
    /// At the start of a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn handle_input(&mut self, input: &[u8]) {
        self.size_bytes += input.len() as u64;
    }

    /// The message has ended.
    pub fn finish(self) -> Summary {
        let whole = Part {
            kind: PartKind::Leaf,
            header: 0..0,
            body: 0..self.size_bytes,
            children: 0,
        };
        let parts = Parts::new(Vec::from([whole])).expect("one leaf is a tree");
        Summary {
            size_bytes: self.size_bytes,
            envelope: b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)".to_vec(),
            parts: parts.encode(),
            ..Summary::default()
        }
    }
}
