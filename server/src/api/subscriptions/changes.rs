//! What changed for a subscription since somebody last looked.
//!
//! The store knows of each change when it was (its MODSEQ), and not whether a message was new then.
//! UIDs tell: one that is not below the mailbox's next UID of that time is of a message that came
//! since. A message that left one mailbox and came to another was moved; one that left and came
//! back to the same was written anew (a draft).

use std::collections::BTreeMap;

use rmail_proto::{AccountId, InstanceId, MailboxId, ModSeq};
use rmail_store::{Departure, MailboxRef, MessageChanges, Store, StoreError};
use serde::{Deserialize, Serialize};

use super::Subscription;

/// What became of a message.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It came: into the mailbox, or into the folder.
    Created,
    /// It changed; or, for a whole mailbox, it was moved.
    Updated,
    /// It went: out of the mailbox, or out of the folder.
    Deleted,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Deleted];

    /// As `changeType` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }
}

/// A change of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// What.
    pub kind: ChangeKind,
    /// Which message.
    pub instance: InstanceId,
    /// When, as the account counts.
    pub modseq: ModSeq,
}

/// A state of an account's mail: changes after it are news.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// Changes up to this MODSEQ were found.
    modseq: u64,
    /// The next UID of each mailbox then, by the mailbox's id; of those that are not named, 1.
    uids_next: BTreeMap<String, u32>,
}

/// Times that a state is read in the hope that nothing is written meanwhile.
const TRIES: u32 = 3;

impl Marks {
    /// The present state, of a folder or of all of them.
    ///
    /// # Errors
    ///
    /// `NoSuchMailbox` for a folder that is gone, and what else the store says.
    pub fn now(
        store: &dyn Store,
        account: AccountId,
        folder: Option<MailboxId>,
    ) -> Result<Self, StoreError> {
        if let Some(folder) = folder {
            let status = store.status(account, &MailboxRef::Id(folder))?;
            return Ok(Self {
                modseq: status.modseq.0,
                uids_next: BTreeMap::from([(folder.to_string(), status.uid_next.get())]),
            });
        }
        let mut marks = Self::default();
        for _ in 0..TRIES {
            let modseq = latest(store, account)?;
            marks = Self {
                modseq,
                uids_next: BTreeMap::new(),
            };
            for mailbox in store.mailboxes(account)? {
                let Some(id) = mailbox.id else { continue };
                match store.status(account, &MailboxRef::Id(id)) {
                    Ok(status) => {
                        let next = status.uid_next.get();
                        marks.uids_next.insert(id.to_string(), next);
                    }
                    Err(StoreError::NoSuchMailbox) => {}
                    Err(error) => return Err(error),
                }
            }
            if latest(store, account)? == modseq {
                break;
            }
        }
        Ok(marks)
    }

    fn uid_next(&self, mailbox: MailboxId) -> u32 {
        let next = self.uids_next.get(&mailbox.to_string());
        next.copied().unwrap_or(1)
    }
}

fn latest(store: &dyn Store, account: AccountId) -> Result<u64, StoreError> {
    Ok(store.mailbox_changes(account, ModSeq(u64::MAX))?.modseq.0)
}

/// What a look at the changes has shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Seen {
    /// There are none.
    Nothing,
    /// These, by their time, and the state that they lead to. They may cancel each other out.
    Changes(Vec<Change>, Marks),
    /// The last look is too long ago: nobody knows them all. The present state.
    TooLongAgo(Marks),
    /// The folder is gone.
    FolderGone,
}

/// Looks what has changed since the subscription's marks.
///
/// # Errors
///
/// What the store says.
pub fn changes_since(
    store: &dyn Store,
    account: AccountId,
    subscription: &Subscription,
) -> Result<Seen, StoreError> {
    let since = ModSeq(subscription.marks.modseq);
    let folder = subscription.mailbox();
    let mailboxes = store.mailbox_changes(account, since)?;
    if folder.is_some_and(|folder| mailboxes.vanished.contains(&folder)) {
        return Ok(Seen::FolderGone);
    }
    // What happens while we look is for the next time.
    let mut look = Look {
        until: mailboxes.modseq,
        marks: subscription.marks.clone(),
        messages: BTreeMap::new(),
    };
    for mailbox in &mailboxes.vanished {
        look.marks.uids_next.remove(&mailbox.to_string());
    }
    if folder.is_none() {
        let Some(departures) = mailboxes.departures else {
            return Marks::now(store, account, folder).map(Seen::TooLongAgo);
        };
        look.add_departures(&departures);
    }
    let changed = mailboxes.changed.into_iter();
    for mailbox in changed.filter(|mailbox| folder.is_none_or(|folder| folder == *mailbox)) {
        match store.message_changes(account, mailbox, since) {
            Ok(Some(changes)) => look.add(mailbox, &changes),
            Ok(None) => return Marks::now(store, account, folder).map(Seen::TooLongAgo),
            Err(StoreError::NoSuchMailbox) if folder.is_some() => return Ok(Seen::FolderGone),
            Err(StoreError::NoSuchMailbox) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(look.finish())
}

/// What was seen so far.
struct Look {
    until: ModSeq,
    marks: Marks,
    messages: BTreeMap<InstanceId, History>,
}

/// What is known of a message that changed.
#[derive(Default)]
struct History {
    was_there: bool,
    is_there: bool,
    /// Its last change that counts now.
    changed_at: Option<ModSeq>,
}

impl Look {
    fn add(&mut self, mailbox: MailboxId, changes: &MessageChanges) {
        let (until, uid_next) = (self.until, self.marks.uid_next(mailbox));
        let mut uid_next_now = uid_next;
        for message in &changes.changed {
            let uid = message.state.uid.get();
            let history = self.messages.entry(message.data.instance_id).or_default();
            history.is_there = true;
            history.was_there |= uid < uid_next;
            if history.note(message.state.modseq, until) {
                uid_next_now = uid_next_now.max(uid.saturating_add(1));
            }
        }
        for departure in &changes.departures {
            let history = self.messages.entry(departure.instance).or_default();
            history.was_there |= departure.uid.get() < uid_next;
            history.note(departure.modseq, until);
        }
        let uids_next = &mut self.marks.uids_next;
        uids_next.insert(mailbox.to_string(), uid_next_now);
    }

    /// Adds those from mailboxes that are gone. What came to such a one since the last look is told
    /// of as if it had been there: nobody knows its next UID of that time.
    fn add_departures(&mut self, departures: &[Departure]) {
        for departure in departures {
            let history = self.messages.entry(departure.instance).or_default();
            history.was_there = true;
            history.note(departure.modseq, self.until);
        }
    }

    fn finish(mut self) -> Seen {
        let changes = self.messages.into_iter().filter_map(|(instance, history)| {
            let kind = match (history.was_there, history.is_there) {
                (false, true) => Some(ChangeKind::Created),
                (true, true) => Some(ChangeKind::Updated),
                (true, false) => Some(ChangeKind::Deleted),
                // It came and went.
                (false, false) => None,
            };
            Some((history.changed_at?, kind, instance))
        });
        let mut changes: Vec<_> = changes.collect();
        if changes.is_empty() {
            return Seen::Nothing;
        }
        changes.sort_unstable();
        self.marks.modseq = self.until.0;
        let changes = changes.into_iter().filter_map(|(modseq, kind, instance)| {
            Some(Change {
                kind: kind?,
                instance,
                modseq,
            })
        });
        Seen::Changes(changes.collect(), self.marks)
    }
}

impl History {
    /// Notes a change, unless it is for the next time.
    fn note(&mut self, modseq: ModSeq, until: ModSeq) -> bool {
        let counts = modseq <= until;
        if counts {
            self.changed_at = self.changed_at.max(Some(modseq));
        }
        counts
    }
}
