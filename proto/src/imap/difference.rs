//! What differs between two snapshots of one mailbox.

use alloc::sync::Arc;

use super::{MessageState, Snapshot, UidSet};
use crate::Uid;

/// One message that is not the same in both.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Difference {
    /// Only the older one has it.
    Vanished(Uid),
    /// Both have it. The states may be equal when it was to be looked at in any case.
    Stayed {
        /// Its state in the older one.
        older: MessageState,
        /// Its state in the newer one.
        newer: MessageState,
    },
    /// Only the newer one has it.
    Appeared(MessageState),
}

/// Walks two snapshots in the order of UIDs, and passes over chunks that they share.
#[derive(Debug)]
pub(super) struct Differences {
    older: Cursor,
    newer: Cursor,
    /// Messages that are yielded even when nothing of them differs.
    always: UidSet,
}

#[derive(Debug)]
struct Cursor {
    snapshot: Arc<Snapshot>,
    chunk: usize,
    offset: usize,
}

impl Differences {
    pub(super) fn new(older: Arc<Snapshot>, newer: Arc<Snapshot>, always: UidSet) -> Self {
        Self {
            older: Cursor::new(older),
            newer: Cursor::new(newer),
            always,
        }
    }

    /// How many messages of the newer snapshot lie before what comes next.
    pub(super) fn passed_in_newer(&self) -> u32 {
        self.newer.passed()
    }

    /// Passes over chunks that are in both, as long as both cursors stand at their start.
    fn skip_shared(&mut self) {
        if Arc::ptr_eq(&self.older.snapshot, &self.newer.snapshot) && self.always.is_empty() {
            self.older.to_end();
            self.newer.to_end();
        }
        while self.older.offset == 0
            && self.newer.offset == 0
            && let Some((_, older)) = self.older.snapshot.chunk(self.older.chunk)
            && let Some((_, newer)) = self.newer.snapshot.chunk(self.newer.chunk)
            && Arc::ptr_eq(older, newer)
            && !self
                .always
                .intersects(&(older.first_uid()..=older.last_uid()))
        {
            self.older.chunk += 1;
            self.newer.chunk += 1;
        }
    }
}

impl Iterator for Differences {
    type Item = Difference;

    fn next(&mut self) -> Option<Difference> {
        loop {
            self.skip_shared();
            match (self.older.peek(), self.newer.peek()) {
                (None, None) => return None,
                (Some(older), Some(newer)) if older.uid == newer.uid => {
                    let same = older == newer && !self.always.contains(newer.uid);
                    let stayed = (!same).then(|| Difference::Stayed {
                        older: older.clone(),
                        newer: newer.clone(),
                    });
                    self.older.advance();
                    self.newer.advance();
                    if stayed.is_some() {
                        return stayed;
                    }
                }
                (Some(older), newer) if newer.is_none_or(|newer| older.uid < newer.uid) => {
                    let vanished = Difference::Vanished(older.uid);
                    self.older.advance();
                    return Some(vanished);
                }
                (_, newer) => {
                    let appeared = newer.cloned().map(Difference::Appeared);
                    self.newer.advance();
                    return appeared;
                }
            }
        }
    }
}

impl Cursor {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            chunk: 0,
            offset: 0,
        }
    }

    fn peek(&self) -> Option<&MessageState> {
        let (_, chunk) = self.snapshot.chunk(self.chunk)?;
        chunk.messages().get(self.offset)
    }

    fn advance(&mut self) {
        self.offset += 1;
        let chunk = self.snapshot.chunk(self.chunk);
        if chunk.is_some_and(|(_, chunk)| self.offset == chunk.messages().len()) {
            self.to_chunk(self.chunk + 1);
        }
    }

    fn to_chunk(&mut self, chunk: usize) {
        self.chunk = chunk;
        self.offset = 0;
    }

    fn to_end(&mut self) {
        self.to_chunk(usize::MAX);
    }

    fn passed(&self) -> u32 {
        match self.snapshot.chunk(self.chunk) {
            Some((before, _)) => before + self.offset as u32,
            None => self.snapshot.len(),
        }
    }
}
