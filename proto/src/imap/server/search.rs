//! SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 4731, RFC 7162 §3.1.5).

use alloc::{format, sync::Arc};

use super::{
    session::{Ending, Selection, Session, plain_ranges},
    task::{Step, refused_or_wrong},
};
use crate::{
    ModSeq, Uid,
    imap::{
        Call, MessageState, Reply, SearchKey, UidSet,
        wire::{SearchContext, SearchCriteria, SearchReturn, SequenceSet, Tag, write_esearch},
    },
    limits,
};

/// Looks at the messages that the client knows of, slice by slice: what flags and UIDs decide is
/// decided here, the rest is asked. A message that has gone matches nothing.
#[derive(Debug)]
pub(super) struct Search {
    tag: Tag,
    by_uid: bool,
    returns: Option<SearchReturn>,
    program: Arc<SearchKey>,
    has_modseq: bool,
    found: UidSet,
    modseq: ModSeq,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Messages from this UID on are to be looked at.
    Looking { from: Uid },
    /// The world looks at these; those after `next` are to be looked at then.
    Asking { uids: UidSet, next: Option<Uid> },
    /// `* SEARCH` is written up to this UID.
    Writing { from: Uid },
    /// The line is to be ended.
    Written,
}

impl Search {
    /// # Errors
    ///
    /// The answer, when a message number is too large.
    pub(super) fn new(
        session: &mut Session,
        tag: Tag,
        by_uid: bool,
        returns: Option<SearchReturn>,
        criteria: &SearchCriteria,
    ) -> Result<Self, Ending> {
        let has_modseq = criteria.has_modseq();
        session.knows_modseqs |= has_modseq;
        let selection = session.selection();
        let sets = criteria.number_sets();
        if sets
            .iter()
            .any(|numbers| selection.numbered(numbers).is_none())
        {
            let ending = Ending::bad(&tag, "There is no such message");
            return Err(ending.of_message_command(by_uid));
        }
        Ok(Self {
            tag,
            by_uid,
            returns,
            program: Arc::new(criteria.resolve(&*selection)),
            has_modseq,
            found: UidSet::EMPTY,
            modseq: ModSeq::default(),
            stage: Stage::Looking { from: Uid::MIN },
        })
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        match &mut self.stage {
            &mut Stage::Looking { from } => self.look(session, from),
            Stage::Asking { uids, next } => {
                let (uids, next) = (core::mem::take(uids), *next);
                match reply {
                    Some(Reply::Found(found)) => {
                        self.found = self.found.union(&found.intersection(&uids));
                        self.go_on(session, next)
                    }
                    Some(reply) => {
                        let ending = refused_or_wrong(&self.tag, &reply);
                        Step::Done(ending.of_message_command(self.by_uid))
                    }
                    None => Step::More,
                }
            }
            &mut Stage::Writing { from } => self.write(session, from),
            Stage::Written => self.end(session),
        }
    }

    fn look(&mut self, session: &mut Session, from: Uid) -> Step {
        let view = &session.selection().view;
        let mut unsure = UidSet::EMPTY;
        let mut next = None;
        for (index, (_, state)) in view.told().range(from..=Uid::MAX).enumerate() {
            if index == limits::SEARCH_MESSAGES {
                next = Some(state.uid);
                break;
            }
            if !view.is_current() && view.latest().find(state.uid).is_none() {
                continue;
            }
            match decide(&self.program, state) {
                Some(true) => self.found.insert(state.uid),
                Some(false) => {}
                None => unsure.insert(state.uid),
            }
        }
        if unsure.is_empty() {
            return self.go_on(session, next);
        }
        self.stage = Stage::Asking {
            uids: unsure.clone(),
            next,
        };
        Step::Ask(Call::Search {
            uids: unsure,
            program: Arc::clone(&self.program),
        })
    }

    fn go_on(&mut self, session: &mut Session, next: Option<Uid>) -> Step {
        if let Some(from) = next {
            self.stage = Stage::Looking { from };
            return Step::More;
        }
        if self.has_modseq {
            let told = session.selection().view.told();
            let ranges = self.found.ranges().iter();
            let states = ranges.flat_map(|range| told.range(range.clone()));
            self.modseq = states
                .map(|(_, state)| state.modseq)
                .max()
                .unwrap_or_default();
        }
        if let Some(returns) = self.returns {
            self.write_esearch(session, returns);
            return Step::Done(self.ending());
        }
        session.output.buffer().extend_from_slice(b"* SEARCH");
        self.stage = Stage::Writing { from: Uid::MIN };
        Step::More
    }

    /// What is told of MODSEQs: nothing when nothing was found.
    fn modseq(&self) -> Option<ModSeq> {
        (self.has_modseq && !self.found.is_empty()).then_some(self.modseq)
    }

    fn write_esearch(&self, session: &mut Session, returns: SearchReturn) {
        let found = match self.by_uid {
            true => plain_ranges(&self.found),
            false => session.selection().numbers_of(&self.found),
        };
        let (tag, modseq) = (&self.tag, self.modseq());
        let out = session.output.buffer();
        write_esearch(out, tag, self.by_uid, returns, &found, modseq);
    }

    fn write(&mut self, session: &mut Session, from: Uid) -> Step {
        let mut piece = alloc::string::String::new();
        let mut next = None;
        let told = session.selection().view.told().range(from..=Uid::MAX);
        let found = told.filter(|(_, state)| self.found.contains(state.uid));
        for (index, (number, state)) in found.enumerate() {
            if index == limits::SEARCH_MESSAGES {
                next = Some(state.uid);
                break;
            }
            let shown = if self.by_uid {
                state.uid.get()
            } else {
                number.get()
            };
            piece.push_str(&format!(" {shown}"));
        }
        session.output.buffer().extend_from_slice(piece.as_bytes());
        self.stage = match next {
            Some(from) => Stage::Writing { from },
            None => Stage::Written,
        };
        Step::More
    }

    fn end(&mut self, session: &mut Session) -> Step {
        let modseq = self.modseq();
        let modseq = modseq.map(|ModSeq(modseq)| format!(" (MODSEQ {modseq})"));
        let out = session.output.buffer();
        out.extend_from_slice(modseq.unwrap_or_default().as_bytes());
        out.extend_from_slice(b"\r\n");
        Step::Done(self.ending())
    }

    fn ending(&self) -> Ending {
        Ending::ok(&self.tag, "Search completed").of_message_command(self.by_uid)
    }
}

/// Whether a message matches, as far as its state tells.
fn decide(key: &SearchKey, state: &MessageState) -> Option<bool> {
    match key {
        SearchKey::All => Some(true),
        SearchKey::And(keys) => {
            let mut all = Some(true);
            for key in keys {
                match decide(key, state) {
                    Some(true) => {}
                    Some(false) => return Some(false),
                    None => all = None,
                }
            }
            all
        }
        SearchKey::Or(one, other) => match (decide(one, state), decide(other, state)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            (None, _) | (_, None) => None,
        },
        SearchKey::Not(key) => decide(key, state).map(|matches| !matches),
        SearchKey::Uids(uids) => Some(uids.contains(state.uid)),
        SearchKey::Flags(flags) => Some(state.flags.system.contains(*flags)),
        SearchKey::Keyword(keyword) => Some(state.flags.keywords.contains(keyword)),
        SearchKey::ModSeq(modseq) => Some(state.modseq >= *modseq),
        SearchKey::Larger(_)
        | SearchKey::Smaller(_)
        | SearchKey::InternalDate(..)
        | SearchKey::SentDate(..)
        | SearchKey::Header(..)
        | SearchKey::Body(_)
        | SearchKey::Text(_)
        | SearchKey::EmailId(_)
        | SearchKey::ThreadId(_) => None,
    }
}

impl SearchContext for Selection {
    fn numbers(&self, numbers: &SequenceSet) -> UidSet {
        self.numbered(numbers).unwrap_or_default()
    }

    fn uids(&self, uids: &SequenceSet) -> UidSet {
        self.known(uids)
    }

    fn recent(&self) -> UidSet {
        self.view.recent().clone()
    }
}
