//! STORE and UID STORE (RFC 3501 §6.4.6, RFC 7162 §3.1.3).

use super::{
    session::{Ending, Session, plain_ranges},
    task::{Step, refused_or_wrong},
};
use crate::{
    Flags, ModSeq,
    imap::{
        Call, Reply, StoreMode, UidSet,
        wire::{Condition, MessageSet, ResponseCode, Tag},
    },
};

/// Changes flags, and tells the client what became of them.
#[derive(Debug)]
pub(super) struct Store {
    tag: Tag,
    uids: UidSet,
    by_uid: bool,
    mode: StoreMode,
    flags: Flags,
    silent: bool,
    unchanged_since: Option<ModSeq>,
    asked: bool,
}

impl Store {
    /// # Errors
    ///
    /// The answer, when there is nothing to do.
    pub(super) fn new(
        session: &mut Session,
        tag: Tag,
        messages: &MessageSet,
        (mode, flags): (StoreMode, Flags),
        silent: bool,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Self, Ending> {
        session.knows_modseqs |= unchanged_since.is_some();
        let selection = session.selection();
        let by_uid = matches!(messages, MessageSet::Uids(_));
        let fails = |ending: Ending| ending.of_message_command(by_uid);
        if selection.is_read_only {
            return Err(fails(Ending::no(&tag, "Mailbox is read-only")));
        }
        let Some(uids) = selection.resolve(messages) else {
            return Err(fails(Ending::bad(&tag, "There is no such message")));
        };
        if uids.is_empty() {
            return Err(fails(Ending::ok(&tag, "Store completed: no such message")));
        }
        Ok(Self {
            tag,
            uids,
            by_uid,
            mode,
            flags,
            silent,
            unchanged_since,
            asked: false,
        })
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if !self.asked {
            self.asked = true;
            return Step::Ask(Call::Store {
                uids: self.uids.clone(),
                mode: self.mode,
                flags: self.flags.clone(),
                unchanged_since: self.unchanged_since,
            });
        }
        let ending = match reply {
            Some(Reply::Stored { snapshot, modified }) => {
                session.selection().view.learn(snapshot, &UidSet::EMPTY);
                self.stored(session, &modified)
            }
            Some(reply) => refused_or_wrong(&self.tag, &reply),
            None => return Step::More,
        };
        Step::Done(ending.of_message_command(self.by_uid))
    }

    fn stored(&self, session: &mut Session, modified: &UidSet) -> Ending {
        let selection = session.selection();
        let view = &mut selection.view;
        // The snapshot does not say which messages are \Recent: a refresh does.
        selection.is_stale |= view.has_untold_messages();
        let changed = self.uids.difference(modified);
        let gone = !self.by_uid && view.has_gone(&self.uids);
        if self.silent {
            view.expect_stored(&changed, self.mode, &self.flags);
        }
        let ending = if gone {
            Ending::expunge_issued(&self.tag)
        } else if modified.is_empty() {
            Ending::ok(&self.tag, "Store completed")
        } else {
            let modified = match self.by_uid {
                true => plain_ranges(modified),
                false => selection.numbers_of(modified),
            };
            let code = Some(ResponseCode::Modified(&modified));
            Ending::new(&self.tag, Condition::Ok, code, "Conditional STORE failed")
        };
        let flags_of = if self.silent { UidSet::EMPTY } else { changed };
        ending.with_flags_of(flags_of)
    }
}
