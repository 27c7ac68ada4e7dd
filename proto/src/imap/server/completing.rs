//! The end of a command: what is new is said, then the tagged response.

use super::{
    session::{Ending, Session, Then},
    task::Step,
};
use crate::imap::{
    Call, NoCode, Reply, Update, Updates,
    wire::{FetchResponse, write_exists, write_expunge, write_flags, write_recent},
};
use crate::{SystemFlags, limits};

/// Refreshes the view when it may be stale, tells the client what it may be told, and ends.
#[derive(Debug)]
pub(super) struct Completing {
    ending: Ending,
    stage: Stage,
    /// Whether the refresh has failed.
    has_failed: bool,
}

#[derive(Debug)]
enum Stage {
    Start,
    Refreshing,
    Refreshed,
    Telling(Updates),
}

impl Completing {
    pub(super) fn new(ending: Ending) -> Self {
        Self {
            ending,
            stage: Stage::Start,
            has_failed: false,
        }
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        match &mut self.stage {
            Stage::Start => self.start(session),
            Stage::Refreshing => self.refreshed(session, reply),
            Stage::Refreshed => self.tell(session),
            Stage::Telling(updates) => {
                for _ in 0..limits::IMAP_UPDATES_AT_ONCE {
                    let Some(update) = updates.next() else {
                        return self.complete(session);
                    };
                    write_update(session, update, self.ending.by_uid);
                }
                Step::More
            }
        }
    }

    fn start(&mut self, session: &mut Session) -> Step {
        match session.selected() {
            Some(selection) if selection.is_stale => {
                selection.is_stale = false;
                self.stage = Stage::Refreshing;
                Step::Ask(Call::Refresh)
            }
            Some(_) => self.tell(session),
            None => self.complete(session),
        }
    }

    fn refreshed(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        self.stage = Stage::Refreshed;
        let selection = session.selection();
        match reply {
            Some(Reply::Snapshot { snapshot, recent }) => selection.view.learn(snapshot, &recent),
            // RFC 2180 §3: the mailbox went away under this session.
            Some(Reply::No(no)) if no.code == NoCode::NonExistent => {
                return Step::Bye("The selected mailbox was deleted");
            }
            // The next command tries again.
            Some(_) | None => {
                selection.is_stale = true;
                self.has_failed = true;
            }
        }
        Step::More
    }

    fn tell(&mut self, session: &mut Session) -> Step {
        self.ending.telling.modseqs = session.knows_modseqs;
        let updates = session.selection().view.sync(&self.ending.telling);
        self.stage = Stage::Telling(updates);
        Step::More
    }

    fn complete(&mut self, session: &mut Session) -> Step {
        // While it idles, nobody else looks at what came in the meantime.
        let is_stale = session
            .selected()
            .is_some_and(|selection| selection.is_stale);
        if matches!(self.ending.then, Then::Idle(_)) && is_stale && !self.has_failed {
            self.stage = Stage::Start;
            return Step::More;
        }
        session.output.buffer().extend_from_slice(&self.ending.line);
        let then = core::mem::replace(&mut self.ending.then, Then::Ready);
        Step::Complete(then)
    }
}

fn write_update(session: &mut Session, update: Update, by_uid: bool) {
    let knows_modseqs = session.knows_modseqs;
    let out = session.output.buffer();
    match update {
        Update::Keywords(keywords) => write_flags(out, SystemFlags::ALL, &keywords),
        Update::Expunge(number) => write_expunge(out, number.get()),
        Update::Exists(count) => write_exists(out, count),
        Update::Recent(count) => write_recent(out, count),
        Update::Fetch {
            number,
            uid,
            flags,
            is_recent,
            modseq,
        } => {
            let mut response = FetchResponse::start(out, number.get());
            if by_uid {
                response.uid(out, uid);
            }
            if knows_modseqs {
                response.modseq(out, modseq);
            }
            if let Some(flags) = flags {
                response.flags(out, &flags, is_recent);
            }
            response.end(out);
        }
    }
    session.output.flush_when_large();
}
