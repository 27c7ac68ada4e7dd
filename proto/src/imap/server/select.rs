//! SELECT and EXAMINE (RFC 3501 §6.3.1, §6.3.2).

use alloc::{boxed::Box, string::String};

use super::{
    session::{Ending, Selection, Session, State},
    task::{Step, refused_or_wrong},
};
use crate::{
    Keywords, SystemFlags,
    imap::{
        Call, Reply, Selected, View,
        wire::{Condition, ResponseCode, Tag, write_exists, write_flags, write_recent},
    },
};

/// Opens a mailbox, and tells the client all about it.
#[derive(Debug)]
pub(super) struct Select {
    tag: Tag,
    name: String,
    is_read_only: bool,
    /// Whether the client asked for CONDSTORE.
    condstore: bool,
    asked: bool,
}

impl Select {
    pub(super) fn new(tag: Tag, name: String, is_read_only: bool, condstore: bool) -> Self {
        Self {
            tag,
            name,
            is_read_only,
            condstore,
            asked: false,
        }
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        if !self.asked {
            self.asked = true;
            return self.ask(session);
        }
        match reply {
            Some(Reply::Selected(selected)) => Step::Done(self.open(session, *selected)),
            Some(reply) => Step::Done(refused_or_wrong(&self.tag, &reply)),
            None => Step::More,
        }
    }

    /// The mailbox that was selected is left even if the new one can't be opened.
    fn ask(&mut self, session: &mut Session) -> Step {
        session.knows_modseqs |= self.condstore;
        if session.selected().is_some() {
            session.deselect();
            let code = Some(ResponseCode::Closed);
            session
                .output
                .untagged(Condition::Ok, code, "Previous mailbox is closed");
        }
        session.was_noticed = false;
        Step::Ask(Call::Select {
            name: self.name.clone(),
            read_only: self.is_read_only,
        })
    }

    fn open(&mut self, session: &mut Session, selected: Selected) -> Ending {
        let view = View::new(selected.snapshot, selected.recent);
        let snapshot = view.told();
        let out = session.output.buffer();
        write_flags(out, SystemFlags::ALL, view.keywords());
        write_exists(out, snapshot.len());
        write_recent(out, view.recent_count());
        let none = Keywords::default();
        let permanent = match self.is_read_only {
            true => ResponseCode::PermanentFlags {
                system: SystemFlags::NONE,
                keywords: &none,
                new_keywords: false,
            },
            false => ResponseCode::PermanentFlags {
                system: SystemFlags::ALL,
                keywords: view.keywords(),
                new_keywords: true,
            },
        };
        let unseen = snapshot.first_unseen();
        let unseen = unseen.map(|number| (ResponseCode::Unseen(number.get()), "First unseen"));
        let untagged = [
            unseen,
            Some((permanent, "Flags that can be changed")),
            Some((
                ResponseCode::UidValidity(selected.uid_validity),
                "UIDs valid",
            )),
            Some((
                ResponseCode::UidNext(snapshot.uid_next()),
                "Predicted next UID",
            )),
            Some((ResponseCode::HighestModSeq(snapshot.modseq()), "Highest")),
            Some((ResponseCode::MailboxId(selected.mailbox), "Mailbox id")),
        ];
        for (code, text) in untagged.into_iter().flatten() {
            session.output.untagged(Condition::Ok, Some(code), text);
        }
        let (code, text) = match self.is_read_only {
            true => (ResponseCode::ReadOnly, "Examine completed"),
            false => (ResponseCode::ReadWrite, "Select completed"),
        };
        session.state = State::Selected(Box::new(Selection {
            name: core::mem::take(&mut self.name),
            view,
            is_read_only: self.is_read_only,
            is_stale: session.was_noticed,
        }));
        Ending::new(&self.tag, Condition::Ok, Some(code), text)
    }
}
