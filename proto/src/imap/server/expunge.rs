//! EXPUNGE, UID EXPUNGE and CLOSE (RFC 3501 §6.4.2, §6.4.3; RFC 4315 §2.1).

use super::{
    session::{Ending, Session},
    task::{Step, refused_or_wrong},
};
use crate::imap::{
    Call, Reply, UidSet,
    wire::{SequenceSet, Tag},
};

/// Removes messages that have `\Deleted`.
#[derive(Debug)]
pub(super) struct Expunge {
    tag: Tag,
    uids: Option<UidSet>,
    /// CLOSE: the client hears of nothing, and the mailbox is left.
    closes: bool,
    asked: bool,
}

impl Expunge {
    /// EXPUNGE, or UID EXPUNGE with `uids`.
    ///
    /// # Errors
    ///
    /// The answer, when the mailbox is read-only.
    pub(super) fn new(
        session: &mut Session,
        tag: Tag,
        uids: Option<&SequenceSet>,
    ) -> Result<Self, Ending> {
        let selection = session.selection();
        if selection.is_read_only {
            return Err(Ending::no(&tag, "Mailbox is read-only"));
        }
        let uids = uids.map(|uids| selection.known(uids));
        if uids.as_ref().is_some_and(UidSet::is_empty) {
            return Err(Ending::ok(&tag, "Expunge completed: no such message"));
        }
        Ok(Self {
            tag,
            uids,
            closes: false,
            asked: false,
        })
    }

    pub(super) fn close(tag: Tag) -> Self {
        Self {
            tag,
            uids: None,
            closes: true,
            asked: false,
        }
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if !self.asked {
            self.asked = true;
            if self.closes && session.selection().is_read_only {
                return Step::Done(self.leave(session));
            }
            return Step::Ask(Call::Expunge {
                uids: self.uids.take(),
            });
        }
        match reply {
            Some(Reply::Snapshot { .. }) if self.closes => Step::Done(self.leave(session)),
            Some(Reply::Snapshot { snapshot, recent }) => {
                session.selection().view.learn(snapshot, &recent);
                Step::Done(Ending::ok(&self.tag, "Expunge completed"))
            }
            Some(reply) => Step::Done(refused_or_wrong(&self.tag, &reply)),
            None => Step::More,
        }
    }

    fn leave(&self, session: &mut Session) -> Ending {
        session.deselect();
        Ending::ok(&self.tag, "Close completed")
    }
}
