//! Mailboxes in memory: one snapshot each, however many sessions have it open.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rmail_proto::{
    AccountId, MailboxId, ModSeq, Notice, Now, Uid, UidValidity,
    imap::{Changes, Snapshot, UidSet},
};
use rmail_store::{AccountWrite, MailboxState, StoreError};

use super::{Job, Node, NodeTimer, SelectedMailbox, SessionEntry, writes::AccountOrigin};
use crate::{
    limits,
    session::{SessionEvent, SessionId},
};

/// All mailboxes in memory: those that are selected, and some that were.
#[derive(Debug, Default)]
pub(super) struct OpenMailboxes {
    open: BTreeMap<(AccountId, MailboxId), OpenMailbox>,
    /// Account writes that are done or heard of, to notice those that a loading mailbox may have
    /// missed.
    commits: u64,
    /// Grows with each use, to find what was used least.
    uses: u64,
}

#[derive(Debug)]
pub(super) struct OpenMailbox {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) uid_validity: UidValidity,
    /// The first UID that no session has shown as `\Recent`.
    first_recent: Uid,
    sessions: BTreeSet<SessionId>,
    is_deleted: bool,
    refresh: Refresh,
    /// How often an answer to that has come.
    refreshed: u64,
    used: u64,
}

/// Whether the store is being asked what has changed in a mailbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refresh {
    Idle,
    Asked,
    /// Something happened since it was asked: it is asked again after the answer.
    AskedAndStale,
}

impl OpenMailboxes {
    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    /// The open mailboxes of an account, each with its MODSEQ.
    pub(super) fn watched(&self, account: AccountId) -> Vec<(MailboxId, ModSeq)> {
        self.of_account(account)
            .filter(|(_, open)| !open.is_deleted)
            .map(|(mailbox, open)| (mailbox, open.snapshot.modseq()))
            .collect()
    }

    pub(super) fn find(&self, account: AccountId, mailbox: MailboxId) -> Option<&OpenMailbox> {
        let open = self.open.get(&(account, mailbox))?;
        (!open.is_deleted).then_some(open)
    }

    fn of_account(&self, account: AccountId) -> impl Iterator<Item = (MailboxId, &OpenMailbox)> {
        let first = (account, MailboxId(0));
        let last = (account, MailboxId(u128::MAX));
        let open = self.open.range(first..=last);
        open.map(|(&(_, mailbox), open)| (mailbox, open))
    }

    /// Forgets mailboxes that nobody has selected, the least used first, down to the bounds.
    fn shrink(&mut self) {
        let unused = self
            .open
            .iter()
            .filter(|(_, open)| open.sessions.is_empty());
        let mut unused: Vec<_> = unused
            .map(|(&key, open)| (open.used, open.snapshot.len(), key))
            .collect();
        unused.sort_unstable_by(|a, b| b.cmp(a));
        let mut messages = 0;
        for (index, (_, length, key)) in unused.into_iter().enumerate() {
            messages += length;
            if index >= limits::UNUSED_MAILBOXES || messages > limits::UNUSED_MESSAGES {
                self.open.remove(&key);
            }
        }
    }
}

impl OpenMailbox {
    /// Messages that this session is the first to show as `\Recent`; with `take`, nobody else
    /// does.
    fn recent(&mut self, take: bool) -> UidSet {
        let next = self.snapshot.uid_next();
        let mut recent = UidSet::default();
        for (_, message) in self.snapshot.iter_from(self.first_recent) {
            recent.insert(message.uid);
        }
        if take {
            self.first_recent = self.first_recent.max(next);
        }
        recent
    }
}

impl Node {
    /// A mailbox was loaded whole.
    pub(super) fn open_mailbox(&mut self, account: AccountId, state: MailboxState) -> MailboxId {
        let key = (account, state.mailbox);
        match self.mailboxes.open.get_mut(&key) {
            Some(open) if open.uid_validity == state.uid_validity && !open.is_deleted => {
                self.apply_changes(account, state.mailbox, ModSeq::default(), &state.changes);
            }
            found @ (Some(_) | None) => {
                let sessions = found.map(|open| std::mem::take(&mut open.sessions));
                let open = OpenMailbox {
                    snapshot: Arc::new(Snapshot::default().apply(&state.changes)),
                    uid_validity: state.uid_validity,
                    first_recent: state.first_recent,
                    sessions: sessions.unwrap_or_default(),
                    is_deleted: false,
                    refresh: Refresh::Idle,
                    refreshed: 0,
                    used: 0,
                };
                self.mailboxes.open.insert(key, open);
            }
        }
        state.mailbox
    }

    /// A session selects an open mailbox. Returns the messages that are `\Recent` in it.
    pub(super) fn select_open(
        &mut self,
        now: Now,
        session: SessionId,
        account: AccountId,
        selected: SelectedMailbox,
        commits: u64,
    ) -> Option<(Arc<Snapshot>, UidValidity, UidSet)> {
        let entry = self.sessions.get_mut(&session)?;
        entry.selected = Some(selected);
        let missed_commits = self.mailboxes.commits != commits;
        self.mailboxes.uses += 1;
        let used = self.mailboxes.uses;
        let key = (account, selected.mailbox);
        let open = self.mailboxes.open.get_mut(&key)?;
        open.sessions.insert(session);
        open.used = used;
        let recent = open.recent(!selected.read_only);
        let answer = (Arc::clone(&open.snapshot), open.uid_validity, recent);
        self.save_recent(now, account, selected, &answer.2);
        if missed_commits {
            self.refresh(account, selected.mailbox);
        }
        Some(answer)
    }

    /// What a session that has a mailbox selected is to know of it now.
    pub(super) fn refresh_selected(
        &mut self,
        now: Now,
        account: AccountId,
        selected: SelectedMailbox,
    ) -> Option<(Arc<Snapshot>, UidSet)> {
        let open = self.mailboxes.open.get_mut(&(account, selected.mailbox))?;
        if open.is_deleted {
            return None;
        }
        let recent = open.recent(!selected.read_only);
        let answer = (Arc::clone(&open.snapshot), recent);
        self.save_recent(now, account, selected, &answer.1);
        Some(answer)
    }

    /// A session has nothing selected any more.
    pub(super) fn close_selected(&mut self, session: SessionId, entry: &SessionEntry) {
        let (Some(login), Some(selected)) = (entry.login, entry.selected) else {
            return;
        };
        let key = (login.account, selected.mailbox);
        if let Some(open) = self.mailboxes.open.get_mut(&key) {
            open.sessions.remove(&session);
            if open.is_deleted && open.sessions.is_empty() {
                self.mailboxes.open.remove(&key);
            }
        }
        self.mailboxes.shrink();
    }

    /// A batch was written to an account: brings what is in memory up to date.
    pub(super) fn apply_written(
        &mut self,
        account: AccountId,
        watched: &[(MailboxId, ModSeq)],
        changes: Vec<(MailboxId, Changes)>,
    ) {
        self.mailboxes.commits += 1;
        for (mailbox, changes) in changes {
            let since = watched.iter().find(|(watched, _)| *watched == mailbox);
            let (_, since) = since.expect("the store tells of watched mailboxes only");
            self.apply_changes(account, mailbox, *since, &changes);
        }
        // Those that were opened while the batch was being written.
        let is_watched = |mailbox| watched.iter().any(|(watched, _)| *watched == mailbox);
        let open = self.mailboxes.of_account(account);
        let missed = open.map(|(mailbox, _)| mailbox);
        let missed: Vec<MailboxId> = missed.filter(|mailbox| !is_watched(*mailbox)).collect();
        for mailbox in missed {
            self.refresh(account, mailbox);
        }
    }

    /// Asks the store what changed in an open mailbox.
    pub(super) fn refresh(&mut self, account: AccountId, mailbox: MailboxId) {
        let Some(open) = self.mailboxes.open.get_mut(&(account, mailbox)) else {
            return;
        };
        if open.is_deleted {
            return;
        }
        if open.refresh != Refresh::Idle {
            open.refresh = Refresh::AskedAndStale;
            return;
        }
        open.refresh = Refresh::Asked;
        let since = open.snapshot.modseq();
        self.run(Job::Changes {
            account,
            mailbox,
            since,
        });
    }

    /// Asks again after the store was busy.
    pub(super) fn retry_refresh(&mut self, account: AccountId, mailbox: MailboxId) {
        self.end_refresh(account, mailbox);
        self.refresh(account, mailbox);
    }

    /// The store has answered. Returns whether it is to be asked again.
    fn end_refresh(&mut self, account: AccountId, mailbox: MailboxId) -> bool {
        let Some(open) = self.mailboxes.open.get_mut(&(account, mailbox)) else {
            return false;
        };
        open.refreshed += 1;
        std::mem::replace(&mut open.refresh, Refresh::Idle) == Refresh::AskedAndStale
    }

    /// Asks the store what changed in the open mailboxes, of one account or of all.
    pub(super) fn refresh_all(&mut self, account: Option<AccountId>) {
        self.mailboxes.commits += 1;
        let open = self.mailboxes.open.keys();
        let open = open.filter(|(owner, _)| account.is_none_or(|account| account == *owner));
        let open: Vec<(AccountId, MailboxId)> = open.copied().collect();
        for (account, mailbox) in open {
            let entry = &self.mailboxes.open[&(account, mailbox)];
            if entry.sessions.is_empty() {
                // Nobody looks at it: cheaper to load it again than to follow it.
                self.mailboxes.open.remove(&(account, mailbox));
            } else {
                self.refresh(account, mailbox);
            }
        }
    }

    pub(super) fn handle_changes(
        &mut self,
        now: Now,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
        outcome: Result<Changes, StoreError>,
    ) {
        if let Err(StoreError::Busy) = outcome {
            // Still marked as asked: the timer goes on with it.
            let at = now.at + limits::BUSY_RETRY;
            return self.set_timer(at, NodeTimer::RetryRefresh(account, mailbox));
        }
        let is_stale = self.end_refresh(account, mailbox);
        match outcome {
            Ok(changes) => self.apply_changes(account, mailbox, since, &changes),
            Err(StoreError::NoSuchMailbox | StoreError::NoSuchAccount) => {
                self.mark_deleted(account, mailbox);
            }
            Err(error) => super::log_failure(&error, "changes can't be read"),
        }
        if is_stale {
            self.refresh(account, mailbox);
        }
        self.release_answers();
    }

    /// The mailboxes of an account whose sessions do not know yet what has just changed, each with
    /// the number of answers after which they do.
    pub(super) fn stale_mailboxes(&self, account: AccountId) -> Vec<(AccountId, MailboxId, u64)> {
        let of_account = self.mailboxes.of_account(account);
        let stale = of_account.filter_map(|(mailbox, open)| {
            let answers = match open.refresh {
                Refresh::Idle => return None,
                Refresh::Asked => 1,
                Refresh::AskedAndStale => 2,
            };
            Some((account, mailbox, open.refreshed + answers))
        });
        stale.collect()
    }

    /// Whether so many answers have come for a mailbox, or nobody looks at it any more.
    pub(super) fn is_refreshed(&self, account: AccountId, mailbox: MailboxId, count: u64) -> bool {
        let open = self.mailboxes.open.get(&(account, mailbox));
        open.is_none_or(|open| open.refreshed >= count)
    }

    pub(super) fn mark_deleted(&mut self, account: AccountId, mailbox: MailboxId) {
        let key = (account, mailbox);
        let Some(open) = self.mailboxes.open.get_mut(&key) else {
            return;
        };
        open.is_deleted = true;
        if open.sessions.is_empty() {
            self.mailboxes.open.remove(&key);
        } else {
            self.notify_selected(key);
        }
    }

    /// Brings a mailbox up to date with what changed after `since`. What is older than what is
    /// known changes nothing: it is part of it.
    pub(super) fn apply_changes(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        since: ModSeq,
        changes: &Changes,
    ) {
        let key = (account, mailbox);
        let Some(open) = self.mailboxes.open.get_mut(&key) else {
            return;
        };
        if changes.modseq <= open.snapshot.modseq() {
            return;
        }
        if since > open.snapshot.modseq() {
            // It was forgotten and loaded meanwhile, by who saw an older state: between the two
            // something is missing.
            return self.refresh(account, mailbox);
        }
        open.snapshot = Arc::new(open.snapshot.apply(changes));
        self.notify_selected(key);
    }

    fn notify_selected(&mut self, key: (AccountId, MailboxId)) {
        let sessions = self.mailboxes.open[&key].sessions.iter().copied();
        let sessions: Vec<SessionId> = sessions.collect();
        for session in sessions {
            self.notify(session, SessionEvent::Notice(Notice::MailboxChanged));
        }
    }

    /// `\Recent` was shown: no later session shows it.
    fn save_recent(
        &mut self,
        now: Now,
        account: AccountId,
        selected: SelectedMailbox,
        recent: &UidSet,
    ) {
        if selected.read_only || recent.is_empty() {
            return;
        }
        let open = &self.mailboxes.open[&(account, selected.mailbox)];
        let write = AccountWrite::TakeRecent {
            mailbox: selected.mailbox,
            first_recent: open.first_recent,
        };
        self.write_account(now, account, write, AccountOrigin::Nobody);
    }
}
