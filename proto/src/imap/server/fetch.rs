//! FETCH and UID FETCH (RFC 3501 §6.4.5, RFC 7162 §3.1.4).
//!
//! | stage         | what happens                          | ends with                    |
//! |---------------|---------------------------------------|------------------------------|
//! | `Choosing`    | the next messages are chosen¹         | all are answered: the end    |
//! | `MarkingSeen` | `\Seen` is set where it is to be      | the reply: `ToAsk`           |
//! | `ToAsk`       | send credit is waited for             | enough of it: `Asking`       |
//! | `Asking`      | the messages' data is waited for      | the reply: `Writing`         |
//! | `Writing`     | message by message, against the credit | the last one: `Choosing`    |
//!
//! ¹ And answered at once, when the view alone can answer.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};

use super::{
    message_writer::{MessageWriter, Progress},
    session::{Ending, Session},
    task::{Step, refused_or_wrong},
};
use crate::{
    Flags, ModSeq, SystemFlags, Uid,
    imap::{
        Call, Columns, MessageData, Reply, StoreMode, UidSet,
        wire::{FetchItem, FetchResponse, MessageSet, SectionText, Tag},
    },
    limits,
};

/// Tells what was asked of messages, in slices of at most [`limits::FETCH_MESSAGES`].
#[derive(Debug)]
pub(super) struct Fetch {
    tag: Tag,
    by_uid: bool,
    plan: Plan,
    /// What is to be chosen from.
    uids: UidSet,
    /// Those below this one were chosen; all were, when there is none.
    next: Option<Uid>,
    changed_since: Option<ModSeq>,
    /// Messages of this slice that just got `\Seen`: their FLAGS are told with the rest.
    newly_seen: UidSet,
    /// Whether a message had gone.
    some_gone: bool,
    stage: Stage,
}

/// What is asked of each message.
#[derive(Debug)]
struct Plan {
    items: Arc<[FetchItem]>,
    columns: Columns,
    /// Whether the view alone can't answer.
    needs_data: bool,
    sets_seen: bool,
}

#[derive(Debug)]
enum Stage {
    Choosing,
    MarkingSeen {
        uids: Vec<Uid>,
        unseen: UidSet,
    },
    /// The question is to be put.
    ToAsk {
        uids: Vec<Uid>,
    },
    Asking {
        uids: Vec<Uid>,
    },
    Writing {
        writer: Option<Box<MessageWriter>>,
        waiting: VecDeque<MessageData>,
        /// Messages of this slice that were not answered yet.
        unanswered: Vec<Uid>,
    },
}

impl Plan {
    fn new(
        mut items: Vec<FetchItem>,
        by_uid: bool,
        changed_since: bool,
        is_read_only: bool,
    ) -> Self {
        if by_uid && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        if changed_since && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        let mut plan = Self {
            columns: Columns::default(),
            needs_data: false,
            sets_seen: !is_read_only && items.iter().any(FetchItem::sets_seen),
            items: Arc::from(Vec::new()),
        };
        for item in &items {
            plan.add_columns(item);
        }
        plan.items = Arc::from(items);
        plan
    }

    fn add_columns(&mut self, item: &FetchItem) {
        let columns = &mut self.columns;
        match item {
            FetchItem::Flags | FetchItem::Uid | FetchItem::ModSeq => return,
            FetchItem::InternalDate
            | FetchItem::Rfc822Size
            | FetchItem::EmailId
            | FetchItem::ThreadId => {}
            FetchItem::Envelope => columns.envelope = true,
            FetchItem::Body | FetchItem::BodyStructure => columns.body_structure = true,
            FetchItem::Rfc822 => columns.content = true,
            FetchItem::Rfc822Header => (columns.parts, columns.header) = (true, true),
            FetchItem::Rfc822Text => (columns.parts, columns.content) = (true, true),
            FetchItem::BodySection { section, .. } => match &section.text {
                SectionText::Whole if section.part.is_empty() => columns.content = true,
                SectionText::Header
                | SectionText::HeaderFields(_)
                | SectionText::HeaderFieldsNot(_)
                    if section.part.is_empty() =>
                {
                    (columns.parts, columns.header) = (true, true);
                }
                SectionText::Whole
                | SectionText::Header
                | SectionText::HeaderFields(_)
                | SectionText::HeaderFieldsNot(_)
                | SectionText::Text
                | SectionText::Mime => (columns.parts, columns.content) = (true, true),
            },
        }
        self.needs_data = true;
    }
}

impl Fetch {
    /// # Errors
    ///
    /// The answer, when there is no such message.
    pub(super) fn new(
        session: &mut Session,
        tag: Tag,
        messages: &MessageSet,
        items: Vec<FetchItem>,
        changed_since: Option<ModSeq>,
        vanished: bool,
    ) -> Result<Self, Ending> {
        let by_uid = matches!(messages, MessageSet::Uids(_));
        let wrong = |text| Err(Ending::bad(&tag, text).of_message_command(by_uid));
        if vanished {
            return wrong("VANISHED needs QRESYNC, which is not to be had");
        }
        let Some(uids) = session.selection().resolve(messages) else {
            return wrong("There is no such message");
        };
        session.knows_modseqs |= changed_since.is_some() || items.contains(&FetchItem::ModSeq);
        let is_read_only = session.selection().is_read_only;
        Ok(Self {
            tag,
            by_uid,
            plan: Plan::new(items, by_uid, changed_since.is_some(), is_read_only),
            uids,
            next: Some(Uid::MIN),
            changed_since,
            newly_seen: UidSet::EMPTY,
            some_gone: false,
            stage: Stage::Choosing,
        })
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        match core::mem::replace(&mut self.stage, Stage::Choosing) {
            Stage::Choosing => self.choose(session),
            Stage::MarkingSeen { uids, unseen } => {
                self.mark_seen(session, &unseen, reply);
                self.stage = Stage::ToAsk { uids };
                Step::More
            }
            Stage::ToAsk { uids } => self.ask(session, uids),
            Stage::Asking { uids } => self.take_data(uids, reply),
            Stage::Writing {
                writer: Some(writer),
                waiting,
                unanswered,
            } => self.write(session, writer, reply, waiting, unanswered),
            Stage::Writing {
                writer: None,
                waiting,
                unanswered,
            } => self.next_message(session, waiting, unanswered),
        }
    }

    /// The next messages, at most so many, in order.
    fn take_messages(&mut self, session: &mut Session, count_max: usize) -> Vec<Uid> {
        let Some(from) = self.next else {
            return Vec::new();
        };
        let told = session.selection().view.told();
        let since = self.changed_since;
        let messages = self
            .uids
            .ranges_from(from)
            .flat_map(|range| told.range(range))
            .filter(|(_, state)| since.is_none_or(|since| state.modseq > since));
        let chosen = messages.take(count_max).map(|(_, state)| state.uid);
        let chosen: Vec<Uid> = chosen.collect();
        let last = chosen.last().map(|last| last.get());
        self.next = last.and_then(|last| last.checked_add(1)).and_then(Uid::new);
        chosen
    }

    fn choose(&mut self, session: &mut Session) -> Step {
        self.newly_seen = UidSet::EMPTY;
        let count_max = match self.plan.needs_data {
            true => limits::FETCH_MESSAGES,
            false => limits::IMAP_UPDATES_AT_ONCE,
        };
        let uids = self.take_messages(session, count_max);
        if uids.is_empty() {
            return Step::Done(self.ending());
        }
        if !self.plan.needs_data {
            for uid in uids {
                self.write_known(session, uid);
            }
            return Step::More;
        }
        let unseen = match self.plan.sets_seen {
            true => unseen_of(session, &uids),
            false => UidSet::EMPTY,
        };
        if unseen.is_empty() {
            self.stage = Stage::ToAsk { uids };
            return Step::More;
        }
        self.stage = Stage::MarkingSeen {
            uids,
            unseen: unseen.clone(),
        };
        Step::Ask(Call::Store {
            uids: unseen,
            mode: StoreMode::Add,
            flags: Flags::system(SystemFlags::SEEN),
            unchanged_since: None,
        })
    }

    /// `\Seen` is a courtesy: when it can't be set, the message is told all the same.
    fn mark_seen(&mut self, session: &mut Session, unseen: &UidSet, reply: Option<Reply>) {
        if let Some(Reply::Stored { snapshot, .. }) = reply {
            let selection = session.selection();
            selection.view.learn(snapshot, &UidSet::EMPTY);
            selection.is_stale |= selection.view.has_untold_messages();
            selection.view.adopt(unseen);
            self.newly_seen = unseen.clone();
        }
    }

    fn ask(&mut self, session: &mut Session, uids: Vec<Uid>) -> Step {
        let bytes_max = session.output.available_bytes();
        let columns = self.plan.columns;
        if columns.content && bytes_max < limits::FETCH_CREDIT_BYTES {
            self.stage = Stage::ToAsk { uids };
            return Step::Starved;
        }
        self.stage = Stage::Asking { uids: uids.clone() };
        Step::Ask(Call::Fetch {
            uids,
            columns,
            bytes_max,
        })
    }

    fn take_data(&mut self, mut uids: Vec<Uid>, reply: Option<Reply>) -> Step {
        let (messages, answered) = match reply {
            Some(Reply::Fetched { messages, answered }) if answered > 0 => (messages, answered),
            Some(reply) => {
                // What the view counts as told must be told in any case.
                let flags_of = core::mem::take(&mut self.newly_seen);
                let ending = refused_or_wrong(&self.tag, &reply).with_flags_of(flags_of);
                return Step::Done(ending.of_message_command(self.by_uid));
            }
            None => return Step::More,
        };
        let unanswered = uids.split_off(answered.min(uids.len()));
        let asked = |message: &MessageData| uids.binary_search(&message.uid).is_ok();
        let waiting: VecDeque<MessageData> = messages.into_iter().filter(asked).collect();
        self.some_gone |= waiting.len() < uids.len();
        self.stage = Stage::Writing {
            writer: None,
            waiting,
            unanswered,
        };
        Step::More
    }

    fn next_message(
        &mut self,
        session: &mut Session,
        mut waiting: VecDeque<MessageData>,
        unanswered: Vec<Uid>,
    ) -> Step {
        let Some(data) = waiting.pop_front() else {
            if !unanswered.is_empty() {
                self.stage = Stage::ToAsk { uids: unanswered };
            }
            return Step::More;
        };
        let writer = MessageWriter::new(
            session,
            data,
            Arc::clone(&self.plan.items),
            &self.newly_seen,
        );
        self.stage = Stage::Writing {
            writer: writer.map(Box::new),
            waiting,
            unanswered,
        };
        Step::More
    }

    fn write(
        &mut self,
        session: &mut Session,
        mut writer: Box<MessageWriter>,
        reply: Option<Reply>,
        waiting: VecDeque<MessageData>,
        unanswered: Vec<Uid>,
    ) -> Step {
        let (step, writer) = match writer.step(session, reply) {
            Progress::More => (Step::More, Some(writer)),
            Progress::Starved => (Step::Starved, Some(writer)),
            Progress::Ask(call) => (Step::Ask(call), Some(writer)),
            Progress::Finished => (Step::More, None),
            Progress::Gone => {
                self.some_gone = true;
                (Step::More, None)
            }
            Progress::Broken => (Step::Abort, None),
        };
        self.stage = Stage::Writing {
            writer,
            waiting,
            unanswered,
        };
        step
    }

    /// What the view alone can answer.
    fn write_known(&self, session: &mut Session, uid: Uid) {
        let view = &session.selection().view;
        let Some((number, state)) = view.told().find(uid) else {
            return;
        };
        let (state, is_recent) = (state.clone(), view.recent().contains(uid));
        let out = session.output.buffer();
        let mut response = FetchResponse::start(out, number.get());
        for item in &*self.plan.items {
            match item {
                FetchItem::Flags => response.flags(out, &state.flags, is_recent),
                FetchItem::Uid => response.uid(out, uid),
                FetchItem::ModSeq => response.modseq(out, state.modseq),
                FetchItem::InternalDate
                | FetchItem::Rfc822Size
                | FetchItem::Envelope
                | FetchItem::Body
                | FetchItem::BodyStructure
                | FetchItem::EmailId
                | FetchItem::ThreadId
                | FetchItem::Rfc822
                | FetchItem::Rfc822Header
                | FetchItem::Rfc822Text
                | FetchItem::BodySection { .. } => {
                    unreachable!("these need data, and the plan says so")
                }
            }
        }
        response.end(out);
    }

    fn ending(&self) -> Ending {
        let ending = match self.some_gone && !self.by_uid {
            true => Ending::expunge_issued(&self.tag),
            false => Ending::ok(&self.tag, "Fetch completed"),
        };
        ending.of_message_command(self.by_uid)
    }
}

/// Those that have no `\Seen`.
fn unseen_of(session: &mut Session, uids: &[Uid]) -> UidSet {
    let latest = session.selection().view.latest();
    let is_unseen = |uid: &Uid| {
        let found = latest.find(*uid);
        found.is_some_and(|(_, state)| !state.flags.system.contains(SystemFlags::SEEN))
    };
    uids.iter().copied().filter(is_unseen).collect()
}
