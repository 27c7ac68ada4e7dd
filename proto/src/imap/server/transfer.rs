//! COPY, MOVE and their UID forms (RFC 3501 §6.4.7, RFC 6851, RFC 4315 §3).

use alloc::string::String;

use super::{
    session::{Ending, Session},
    task::{Step, refused_or_wrong},
};
use crate::imap::{
    Call, Reply, UidSet,
    wire::{Condition, MessageSet, ResponseCode, Tag},
};

/// Whether the messages stay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Copy,
    Move,
}

/// Copies or moves messages to another mailbox, all or none.
#[derive(Debug)]
pub(super) struct Transfer {
    tag: Tag,
    kind: Kind,
    uids: UidSet,
    target: String,
    asked: bool,
}

impl Transfer {
    /// # Errors
    ///
    /// The answer, when there is nothing to do.
    pub(super) fn new(
        session: &mut Session,
        tag: Tag,
        messages: &MessageSet,
        target: String,
        kind: Kind,
    ) -> Result<Self, Ending> {
        let selection = session.selection();
        if kind == Kind::Move && selection.is_read_only {
            return Err(Ending::no(&tag, "Mailbox is read-only"));
        }
        let Some(uids) = selection.resolve(messages) else {
            return Err(Ending::bad(&tag, "There is no such message"));
        };
        if uids.is_empty() {
            return Err(Ending::ok(&tag, "Completed: no such message"));
        }
        if matches!(messages, MessageSet::Numbers(_)) && selection.view.has_gone(&uids) {
            return Err(Ending::expunge_issued(&tag));
        }
        Ok(Self {
            tag,
            kind,
            uids,
            target,
            asked: false,
        })
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if !self.asked {
            self.asked = true;
            let (uids, target) = (core::mem::take(&mut self.uids), self.target.clone());
            return Step::Ask(match self.kind {
                Kind::Copy => Call::Copy { uids, target },
                Kind::Move => Call::Move { uids, target },
            });
        }
        let copied = match reply {
            Some(Reply::Copied(copied)) => copied,
            Some(reply) => return Step::Done(refused_or_wrong(&self.tag, &reply)),
            None => return Step::More,
        };
        let code = Some(ResponseCode::CopyUid(&copied));
        Step::Done(match self.kind {
            Kind::Copy => {
                session.mark_stale_if_named(&self.target);
                Ending::new(&self.tag, Condition::Ok, code, "Copy completed")
            }
            // COPYUID comes before the EXPUNGEs (RFC 6851 §4.3).
            Kind::Move => {
                session.output.untagged(Condition::Ok, code, "Moved");
                session.mark_stale();
                Ending::ok(&self.tag, "Move completed")
            }
        })
    }
}
