//! A command that is being carried out.

use super::{
    append::Save, completing::Completing, expunge::Expunge, fetch::Fetch, list::List, login::Login,
    mailboxes::Manage, search::Search, select::Select, session::Ending, session::Session,
    store::Store, transfer::Transfer,
};
use crate::imap::{
    Call, No, Reply,
    wire::{Tag, write_no},
};
use alloc::{boxed::Box, vec::Vec};

/// The command in progress: at most one at a time.
#[derive(Debug)]
pub(super) enum Task {
    Login(Login),
    Select(Select),
    Manage(Manage),
    List(Box<List>),
    Save(Save),
    Expunge(Expunge),
    Search(Box<Search>),
    Fetch(Box<Fetch>),
    Store(Store),
    Transfer(Transfer),
    Completing(Box<Completing>),
}

/// How a task goes on.
#[derive(Debug)]
pub(super) enum Step {
    /// When this is answered.
    Ask(Call),
    /// At once, or when there is credit again; a bounded amount was written.
    More,
    /// When the peer has taken what was sent: there is too little credit to be worth a call.
    Starved,
    /// The command is over but for its tagged response.
    Done(Ending),
    /// All is said.
    Complete(super::session::Then),
    /// Not at all: the connection ends with this BYE.
    Bye(&'static str),
    /// Not at all: the connection ends at once, because what was begun can't be finished.
    Abort,
}

impl Task {
    /// Takes the next step. `reply` is the answer to what the last step asked, if it asked.
    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        match self {
            Self::Login(task) => task.step(session, reply),
            Self::Select(task) => task.step(session, reply),
            Self::Manage(task) => task.step(session, reply),
            Self::List(task) => task.step(session, reply),
            Self::Save(task) => task.step(session, reply),
            Self::Expunge(task) => task.step(session, reply),
            Self::Search(task) => task.step(session, reply),
            Self::Fetch(task) => task.step(session, reply),
            Self::Store(task) => task.step(session, reply),
            Self::Transfer(task) => task.step(session, reply),
            Self::Completing(task) => task.step(session, reply),
        }
    }
}

/// The world said no.
pub(super) fn refused(tag: &Tag, no: &No) -> Ending {
    let mut line = Vec::new();
    write_no(&mut line, tag, no);
    Ending::with_line(line)
}

/// The world said no, or something that is no answer to the question.
pub(super) fn refused_or_wrong(tag: &Tag, reply: &Reply) -> Ending {
    match reply {
        Reply::No(no) => refused(tag, no),
        Reply::Authenticated { .. }
        | Reply::Mailboxes(_)
        | Reply::Selected(_)
        | Reply::Snapshot { .. }
        | Reply::Done
        | Reply::Created(_)
        | Reply::Status(_)
        | Reply::Appended(_)
        | Reply::Stored { .. }
        | Reply::Copied(_)
        | Reply::Fetched { .. }
        | Reply::Bytes(_)
        | Reply::Found(_) => Ending::no_code(tag, "SERVERBUG", "Internal error"),
    }
}
