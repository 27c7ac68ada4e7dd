//! What all commands of a connection share: the session's state, the selected mailbox, output.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::ops::RangeInclusive;

use super::{idle::Idle, output::Output};
use crate::{
    MessageNumber, Uid, UploadId,
    imap::{
        Config, Telling, UidSet, View,
        wire::{Condition, MessageSet, ResponseCode, SequenceSet, Tag, write_status},
    },
};

/// Shared by the machine and its tasks.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) config: Config,
    pub(super) output: Output,
    pub(super) state: State,
    /// Whether TLS is up.
    pub(super) is_encrypted: bool,
    /// Whether the client has shown that it knows CONDSTORE (RFC 7162 §3.1).
    pub(super) knows_modseqs: bool,
    /// Whether a notice came while no mailbox was selected: it may be of the one that is being
    /// selected.
    pub(super) was_noticed: bool,
    /// Logins that failed on this connection.
    pub(super) login_failures: u32,
    /// Uploads that were begun on this connection.
    pub(super) uploads: u64,
}

/// RFC 3501 §3, without the logout state, which is the machine's.
#[derive(Debug)]
pub(super) enum State {
    NotAuthenticated,
    Authenticated,
    Selected(Box<Selection>),
}

/// The selected mailbox.
#[derive(Debug)]
pub(super) struct Selection {
    /// As it was selected, in UTF-8.
    pub(super) name: String,
    pub(super) view: View,
    /// EXAMINE.
    pub(super) is_read_only: bool,
    /// Whether the world may know of changes that the view does not.
    pub(super) is_stale: bool,
}

/// The end of a command: what may be said before the tagged response, and that response.
#[derive(Debug)]
pub(super) struct Ending {
    /// The response with its CRLF; empty when IDLE goes on.
    pub(super) line: Vec<u8>,
    pub(super) telling: Telling,
    /// Whether FETCH responses hold the UID, as they must in answers to UID commands.
    pub(super) by_uid: bool,
    pub(super) then: Then,
}

/// What comes after a command.
#[derive(Debug)]
pub(super) enum Then {
    /// The next command.
    Ready,
    /// More of IDLE.
    Idle(Box<Idle>),
    /// The connection ends.
    Close,
}

impl Session {
    /// The selected mailbox, for commands that are begun with one only.
    pub(super) fn selection(&mut self) -> &mut Selection {
        match &mut self.state {
            State::Selected(selection) => selection,
            State::NotAuthenticated | State::Authenticated => {
                unreachable!("the command was begun with a mailbox selected")
            }
        }
    }

    pub(super) fn selected(&mut self) -> Option<&mut Selection> {
        match &mut self.state {
            State::Selected(selection) => Some(selection),
            State::NotAuthenticated | State::Authenticated => None,
        }
    }

    pub(super) fn allocate_upload(&mut self) -> UploadId {
        self.uploads += 1;
        UploadId(self.uploads)
    }

    /// Notes that the selected mailbox may have changed, if it has this name.
    pub(super) fn mark_stale_if_named(&mut self, name: &str) {
        if let Some(selection) = self.selected()
            && selection.name == name
        {
            selection.is_stale = true;
        }
    }

    /// Notes that the selected mailbox, if there is one, may have changed.
    pub(super) fn mark_stale(&mut self) {
        match &mut self.state {
            State::Selected(selection) => selection.is_stale = true,
            State::NotAuthenticated | State::Authenticated => self.was_noticed = true,
        }
    }
}

impl Selection {
    /// The messages that a command means, as UIDs. With message numbers `None` when there is no
    /// such message (RFC 3501 §9, `seq-number`); UIDs that no message has mean nothing.
    pub(super) fn resolve(&self, messages: &MessageSet) -> Option<UidSet> {
        match messages {
            MessageSet::Numbers(numbers) => self.numbered(numbers),
            MessageSet::Uids(uids) => Some(self.known(uids)),
        }
    }

    pub(super) fn numbered(&self, numbers: &SequenceSet) -> Option<UidSet> {
        let count = self.view.told().len();
        let ranges = numbers.resolve(count);
        if ranges.is_empty() {
            return None;
        }
        let mut uids = UidSet::EMPTY;
        for range in ranges {
            let first = MessageNumber::new(*range.start())?;
            let last = MessageNumber::new(*range.end())?;
            uids.insert_range(self.view.uids_numbered(first, last)?);
        }
        Some(uids)
    }

    /// Those of these UIDs that the client can know of.
    pub(super) fn known(&self, uids: &SequenceSet) -> UidSet {
        let last = self.view.told().last_uid();
        let mut known = UidSet::EMPTY;
        for range in uids.resolve(last.map_or(0, Uid::get)) {
            if let (Some(first), Some(last)) = (Uid::new(*range.start()), Uid::new(*range.end())) {
                known.insert_range(first..=last);
            }
        }
        self.view.known(&known)
    }

    /// The message numbers of these UIDs, as ranges.
    pub(super) fn numbers_of(&self, uids: &UidSet) -> Vec<RangeInclusive<u32>> {
        let mut numbers: Vec<RangeInclusive<u32>> = Vec::new();
        for range in uids.ranges() {
            for (number, _) in self.view.told().range(range.clone()) {
                let number = number.get();
                match numbers.last_mut() {
                    Some(last) if last.end() + 1 == number => *last = *last.start()..=number,
                    Some(_) | None => numbers.push(number..=number),
                }
            }
        }
        numbers
    }
}

/// UIDs as ranges of plain numbers.
pub(super) fn plain_ranges(uids: &UidSet) -> Vec<RangeInclusive<u32>> {
    let ranges = uids.ranges().iter();
    ranges
        .map(|range| range.start().get()..=range.end().get())
        .collect()
}

impl Ending {
    /// A tagged response before which everything may be said.
    pub(super) fn new(
        tag: &Tag,
        condition: Condition,
        code: Option<ResponseCode<'_>>,
        text: &str,
    ) -> Self {
        let mut line = Vec::new();
        write_status(&mut line, Some(tag), condition, code, text);
        Self::with_line(line)
    }

    pub(super) fn ok(tag: &Tag, text: &str) -> Self {
        Self::new(tag, Condition::Ok, None, text)
    }

    pub(super) fn bad(tag: &Tag, text: &str) -> Self {
        Self::new(tag, Condition::Bad, None, text)
    }

    pub(super) fn no(tag: &Tag, text: &str) -> Self {
        Self::new(tag, Condition::No, None, text)
    }

    /// NO with a response code that is spelled out.
    pub(super) fn no_code(tag: &Tag, code: &str, text: &str) -> Self {
        Self::new(tag, Condition::No, Some(ResponseCode::Other(code)), text)
    }

    /// Messages that the command named by number have gone (RFC 2180 §4, RFC 5530 §3).
    pub(super) fn expunge_issued(tag: &Tag) -> Self {
        Self::no_code(tag, "EXPUNGEISSUED", "Some of the messages no longer exist")
    }

    pub(super) fn with_line(line: Vec<u8>) -> Self {
        Self {
            line,
            telling: Telling {
                expunges: true,
                ..Telling::default()
            },
            by_uid: false,
            then: Then::Ready,
        }
    }

    /// No response: what is new is said, and IDLE goes on.
    pub(super) fn idle(idle: Idle) -> Self {
        Self {
            then: Then::Idle(Box::new(idle)),
            ..Self::with_line(Vec::new())
        }
    }

    /// For FETCH, STORE and SEARCH, during which EXPUNGE may not be sent unless the command is a
    /// UID command (RFC 3501 §7.4.1).
    #[must_use]
    pub(super) fn of_message_command(mut self, by_uid: bool) -> Self {
        self.telling.expunges = by_uid;
        self.by_uid = by_uid;
        self
    }

    /// With the flags of these messages, known or not: the answer to STORE.
    #[must_use]
    pub(super) fn with_flags_of(mut self, uids: UidSet) -> Self {
        self.telling.flags_of = uids;
        self
    }

    #[must_use]
    pub(super) fn then_close(mut self) -> Self {
        self.then = Then::Close;
        self
    }
}
