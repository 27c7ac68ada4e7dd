//! Commands on mailboxes that take one call: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE and
//! STATUS (RFC 3501 §6.3).

use alloc::{string::String, vec::Vec};

use super::{
    session::{Ending, Session},
    task::{Step, refused_or_wrong},
};
use crate::imap::{
    Call, Reply, SpecialUse,
    wire::{Condition, ResponseCode, StatusItem, Tag, write_mailbox_status},
};

/// Asks once, and tells the answer.
#[derive(Debug)]
pub(super) struct Manage {
    tag: Tag,
    command: Command,
    call: Option<Call>,
}

#[derive(Debug)]
enum Command {
    Create,
    Delete {
        name: String,
    },
    Rename,
    Subscribe,
    Unsubscribe,
    Status {
        name: String,
        items: Vec<StatusItem>,
    },
}

impl Manage {
    fn new(tag: Tag, command: Command, call: Call) -> Self {
        Self {
            tag,
            command,
            call: Some(call),
        }
    }

    /// A separator at the end of the name only says that there will be children.
    pub(super) fn create(tag: Tag, name: &str, special_use: Option<SpecialUse>) -> Self {
        let name = String::from(name.strip_suffix('/').unwrap_or(name));
        Self::new(tag, Command::Create, Call::Create { name, special_use })
    }

    pub(super) fn delete(tag: Tag, name: String) -> Self {
        let command = Command::Delete { name: name.clone() };
        Self::new(tag, command, Call::Delete { name })
    }

    pub(super) fn rename(tag: Tag, from: String, to: String) -> Self {
        Self::new(tag, Command::Rename, Call::Rename { from, to })
    }

    pub(super) fn subscribe(tag: Tag, name: String, subscribed: bool) -> Self {
        let command = match subscribed {
            true => Command::Subscribe,
            false => Command::Unsubscribe,
        };
        Self::new(tag, command, Call::Subscribe { name, subscribed })
    }

    pub(super) fn status(tag: Tag, name: String, items: Vec<StatusItem>) -> Self {
        let call = Call::Status { name: name.clone() };
        Self::new(tag, Command::Status { name, items }, call)
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if let Some(call) = self.call.take() {
            return Step::Ask(call);
        }
        let Some(reply) = reply else {
            return Step::More;
        };
        let tag = &self.tag;
        Step::Done(match (&self.command, reply) {
            (Command::Create, Reply::Created(mailbox)) => {
                let code = Some(ResponseCode::MailboxId(mailbox));
                Ending::new(tag, Condition::Ok, code, "Create completed")
            }
            (Command::Create, Reply::Done) => Ending::ok(tag, "Create completed"),
            (Command::Delete { name }, Reply::Done) => {
                // Nothing can be done any more in a mailbox that is gone.
                if session
                    .selected()
                    .is_some_and(|selection| selection.name == *name)
                {
                    session.deselect();
                }
                Ending::ok(tag, "Delete completed")
            }
            (Command::Rename, Reply::Done) => {
                // Renaming INBOX moves its messages away.
                session.mark_stale();
                Ending::ok(tag, "Rename completed")
            }
            (Command::Subscribe, Reply::Done) => Ending::ok(tag, "Subscribe completed"),
            (Command::Unsubscribe, Reply::Done) => Ending::ok(tag, "Unsubscribe completed"),
            (Command::Status { name, items }, Reply::Status(status)) => {
                session.knows_modseqs |= items.contains(&StatusItem::HighestModSeq);
                write_mailbox_status(session.output.buffer(), name, items, &status);
                Ending::ok(tag, "Status completed")
            }
            (_, reply) => refused_or_wrong(tag, &reply),
        })
    }
}
