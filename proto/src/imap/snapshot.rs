//! A mailbox's UIDs, flags and MODSEQs at one moment, shared by everybody who has it open.

use alloc::vec::Vec;
use core::ops::RangeInclusive;

use crate::{Flags, ModSeq, Uid};

/// What a snapshot knows of one message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageState {
    /// Its UID.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// When it last changed.
    pub modseq: ModSeq,
}

/// What has happened in a mailbox since some MODSEQ.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// The mailbox's highest MODSEQ.
    pub modseq: ModSeq,
    /// Messages that came or whose flags changed, by UID, in their present state.
    pub changed: Vec<MessageState>,
    /// Messages that went, by UID.
    pub vanished: Vec<Uid>,
    /// The UID that the next message will get, or a smaller one that is larger than any shown.
    pub uid_next: Option<Uid>,
}

/// Sorted, disjoint, non-adjacent ranges of UIDs.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UidSet(Vec<RangeInclusive<Uid>>);

/// An immutable picture of a mailbox. Cheap to derive the next one from: messages live in shared
/// chunks, and only those that changed are copied.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    messages: Vec<MessageState>,
    modseq: ModSeq,
}
