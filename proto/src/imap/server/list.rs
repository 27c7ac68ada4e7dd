//! LIST and LSUB (RFC 3501 §6.3.8, §6.3.9; RFC 5258, RFC 5819, RFC 6154).

use alloc::{collections::BTreeSet, string::String, sync::Arc, vec, vec::Vec};

use super::{
    session::{Ending, Session},
    task::{Step, refused_or_wrong},
};
use crate::{
    imap::{
        Call, Mailbox, Reply,
        wire::{
            self, ListAttributes, ListReturn, ListSelect, Pattern, StatusItem, Tag,
            write_list_child_info, write_list_separator, write_lsub, write_mailbox_status,
        },
    },
    limits,
};

/// Tells which mailboxes there are, line by line.
#[derive(Debug)]
pub(super) struct List {
    tag: Tag,
    kind: Kind,
    patterns: Vec<Pattern>,
    stage: Stage,
}

#[derive(Debug)]
enum Kind {
    List {
        select: ListSelect,
        returns: ListReturn,
        /// Whether `\NonExistent` and the like may be said (RFC 5258).
        extended: bool,
    },
    Lsub,
    /// `LIST "" ""`: the separator alone.
    Separator,
}

#[derive(Debug)]
enum Stage {
    Start,
    Asking,
    /// The next mailbox to look at.
    Writing(Arc<[Mailbox]>, usize),
    /// The status of the mailbox before the next one is asked.
    AskingStatus(Arc<[Mailbox]>, usize),
}

/// How a line is to look.
struct ListLine {
    attributes: ListAttributes,
    /// Whether it is here only because a subscribed mailbox is below it.
    child_info: bool,
}

impl List {
    pub(super) fn new(tag: Tag, list: wire::List) -> Self {
        let is_separator = !list.extended && list.patterns.iter().all(String::is_empty);
        let reference = &list.reference;
        let patterns = list.patterns.iter();
        let patterns = patterns
            .map(|pattern| Pattern::new(reference, pattern))
            .collect();
        let kind = match is_separator {
            true => Kind::Separator,
            false => Kind::List {
                select: list.select,
                returns: list.returns,
                extended: list.extended,
            },
        };
        Self {
            tag,
            kind,
            patterns,
            stage: Stage::Start,
        }
    }

    pub(super) fn lsub(tag: Tag, reference: &str, pattern: &str) -> Self {
        Self {
            tag,
            kind: Kind::Lsub,
            patterns: vec![Pattern::new(reference, pattern)],
            stage: Stage::Start,
        }
    }

    pub(super) fn step(&mut self, session: &mut Session, reply: Option<Reply>) -> Step {
        match (core::mem::replace(&mut self.stage, Stage::Start), reply) {
            (Stage::Start, _) if matches!(self.kind, Kind::Separator) => {
                write_list_separator(session.output.buffer());
                Step::Done(self.ending())
            }
            (Stage::Start, _) => {
                self.stage = Stage::Asking;
                Step::Ask(Call::Mailboxes)
            }
            (Stage::Asking, Some(Reply::Mailboxes(mut mailboxes))) => {
                if self.tells_of_parents() {
                    mailboxes = with_parents(mailboxes);
                }
                self.stage = Stage::Writing(mailboxes, 0);
                Step::More
            }
            (Stage::Asking, Some(reply)) => Step::Done(refused_or_wrong(&self.tag, &reply)),
            (Stage::Writing(mailboxes, next), _) => self.write(session, mailboxes, next),
            (Stage::AskingStatus(mailboxes, next), reply) => {
                // A mailbox that is gone by now has no status (RFC 5819 §2).
                if let (Some(Reply::Status(status)), Some(items)) = (reply, self.status_items()) {
                    let name = &mailboxes[next - 1].name;
                    write_mailbox_status(session.output.buffer(), name, items, &status);
                }
                self.stage = Stage::Writing(mailboxes, next);
                Step::More
            }
            (Stage::Asking, None) => {
                self.stage = Stage::Asking;
                Step::More
            }
        }
    }

    fn write(&mut self, session: &mut Session, mailboxes: Arc<[Mailbox]>, from: usize) -> Step {
        let to = mailboxes.len().min(from + limits::LIST_MAILBOXES_AT_ONCE);
        for index in from..to {
            let mailbox = &mailboxes[index];
            let Some(line) = self.line(&mailboxes, mailbox) else {
                continue;
            };
            let out = session.output.buffer();
            match (&self.kind, line.child_info) {
                (Kind::Lsub, _) => write_lsub(out, &line.attributes, &mailbox.name),
                (_, true) => write_list_child_info(out, &line.attributes, &mailbox.name),
                (_, false) => wire::write_list(out, &line.attributes, &mailbox.name),
            }
            if mailbox.id.is_some() && self.status_items().is_some() {
                self.stage = Stage::AskingStatus(Arc::clone(&mailboxes), index + 1);
                let name = mailbox.name.clone();
                return Step::Ask(Call::Status { name });
            }
        }
        if to == mailboxes.len() {
            return Step::Done(self.ending());
        }
        self.stage = Stage::Writing(mailboxes, to);
        Step::More
    }

    fn ending(&self) -> Ending {
        match self.kind {
            Kind::List { .. } | Kind::Separator => Ending::ok(&self.tag, "List completed"),
            Kind::Lsub => Ending::ok(&self.tag, "Lsub completed"),
        }
    }

    /// Whether a name can be told of because a subscribed one is below it.
    fn tells_of_parents(&self) -> bool {
        match &self.kind {
            Kind::List { select, .. } => select.recursive_match,
            Kind::Lsub => true,
            Kind::Separator => false,
        }
    }

    fn status_items(&self) -> Option<&[StatusItem]> {
        match &self.kind {
            Kind::List { returns, .. } if !returns.status.is_empty() => Some(&returns.status),
            Kind::List { .. } | Kind::Lsub | Kind::Separator => None,
        }
    }

    fn matches(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(name))
    }

    fn line(&self, mailboxes: &[Mailbox], mailbox: &Mailbox) -> Option<ListLine> {
        if !self.matches(&mailbox.name) {
            return None;
        }
        match &self.kind {
            Kind::List {
                select,
                returns,
                extended,
            } => list_line(mailboxes, mailbox, *select, returns, *extended),
            Kind::Lsub => self.lsub_line(mailboxes, mailbox),
            Kind::Separator => None,
        }
    }

    /// A subscribed name; or one above a subscribed name that `%` keeps from matching, which is
    /// then `\Noselect` (RFC 3501 §6.3.9).
    fn lsub_line(&self, mailboxes: &[Mailbox], mailbox: &Mailbox) -> Option<ListLine> {
        let hides = |child: &Mailbox| child.subscribed && !self.matches(&child.name);
        let no_select = match mailbox.subscribed {
            true => mailbox.id.is_none(),
            false if below(mailboxes, &mailbox.name).any(hides) => true,
            false => return None,
        };
        Some(ListLine {
            attributes: ListAttributes {
                no_select,
                ..ListAttributes::default()
            },
            child_info: false,
        })
    }
}

fn list_line(
    mailboxes: &[Mailbox],
    mailbox: &Mailbox,
    select: ListSelect,
    returns: &ListReturn,
    extended: bool,
) -> Option<ListLine> {
    let has_children = below(mailboxes, &mailbox.name).any(|child| child.id.is_some());
    let exists = mailbox.id.is_some();
    let child_info =
        select.recursive_match && below(mailboxes, &mailbox.name).any(|child| child.subscribed);
    let is_selected = if select.subscribed {
        mailbox.subscribed || child_info
    } else {
        exists || has_children
    };
    if !is_selected || (select.special_use && mailbox.special_use.is_none()) {
        return None;
    }
    Some(ListLine {
        attributes: ListAttributes {
            // \NonExistent implies \Noselect (RFC 5258 §3).
            non_existent: extended && !exists,
            no_select: !exists,
            has_children: Some(has_children),
            subscribed: mailbox.subscribed && (select.subscribed || returns.subscribed),
            special_use: mailbox.special_use,
            ..ListAttributes::default()
        },
        child_info,
    })
}

/// With the names above subscribed ones, which need not be mailboxes.
fn with_parents(mailboxes: Arc<[Mailbox]>) -> Arc<[Mailbox]> {
    let is_known = |name: &str| {
        let found = mailboxes.binary_search_by(|mailbox| mailbox.name.as_str().cmp(name));
        found.is_ok()
    };
    let subscribed = mailboxes.iter().filter(|mailbox| mailbox.subscribed);
    let parents = subscribed.flat_map(|mailbox| {
        let separators = mailbox.name.match_indices('/');
        separators.map(|(end, _)| &mailbox.name[..end])
    });
    let missing: BTreeSet<&str> = parents.filter(|name| !is_known(name)).collect();
    if missing.is_empty() {
        return mailboxes;
    }
    let missing = missing.into_iter().map(|name| Mailbox {
        name: String::from(name),
        id: None,
        subscribed: false,
        special_use: None,
    });
    let mut all: Vec<Mailbox> = mailboxes.iter().cloned().chain(missing).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Arc::from(all)
}

/// The mailboxes below this name.
fn below<'a>(mailboxes: &'a [Mailbox], name: &'a str) -> impl Iterator<Item = &'a Mailbox> {
    let is_below = move |mailbox: &&Mailbox| {
        let rest = mailbox.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    // Names sort by their bytes, so those below stand together, but not right after it.
    let is_before = |mailbox: &Mailbox| {
        let start = name.bytes().chain([b'/']);
        mailbox.name.bytes().cmp(start).is_lt()
    };
    let from = mailboxes.partition_point(is_before);
    mailboxes[from..].iter().take_while(is_below)
}
