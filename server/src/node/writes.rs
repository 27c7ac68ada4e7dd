//! Group commit: while a write job runs for a database, further writes to it wait, and the next
//! job takes them all.

use std::collections::VecDeque;

use rmail_proto::{AccountId, MailboxId, ModSeq, Now};
use rmail_store::{
    AccountWrite, AccountWritten, Content, NewSpoolEntry, SpoolWrite, SpoolWritten, StoreError,
    UploadWrite, Written,
};

use super::{Asker, Job, Node, NodeTimer, delivery::DeliveryId, imap::ImapWrite};
use crate::limits;

/// For whom an account is written to.
#[derive(Clone, Debug)]
pub enum AccountOrigin {
    /// An IMAP command.
    Imap(Asker, ImapWrite),
    /// The delivery of these recipients of a spooled message.
    Delivery(DeliveryId, Vec<u32>),
    /// Nobody waits for it.
    Nobody,
}

/// For whom the spool is written to.
#[derive(Clone, Debug)]
pub enum SpoolOrigin {
    /// The session that sent a message.
    Accept(Asker),
    /// Delivery, which asked for more to do.
    Claim,
    /// The same for mail to other servers.
    ClaimRemote,
    /// The delivery of these recipients, whose fate is written by it.
    Concluded(DeliveryId, Vec<u32>),
    /// The delivery of this recipient, an alias whose place others take.
    Expanded(DeliveryId, u32),
    /// Nobody waits for it.
    Nobody,
}

/// Writes that wait for an account's database.
#[derive(Debug, Default)]
pub(super) struct AccountQueue {
    waiting: VecDeque<(AccountWrite, AccountOrigin)>,
    is_running: bool,
    busy_tries: u32,
}

/// Writes that wait for the spool's database.
#[derive(Debug, Default)]
pub(super) struct SpoolQueue {
    waiting: VecDeque<(SpoolWrite, SpoolOrigin)>,
    /// Ends of deliveries that could not be written, to be tried again later: until then their
    /// entries are claimed. At most [`limits::DELIVERY_ACTIVE`]; a restart sees to the rest.
    put_off: Vec<SpoolWrite>,
    is_running: bool,
    busy_tries: u32,
}

impl SpoolQueue {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_running
    }
}

impl Node {
    pub(super) fn write_account(
        &mut self,
        now: Now,
        account: AccountId,
        write: AccountWrite,
        origin: AccountOrigin,
    ) {
        let queue = self.account_writes.entry(account).or_default();
        queue.waiting.push_back((write, origin));
        self.start_account_write(now, account);
    }

    pub(super) fn write_spool(&mut self, now: Now, write: SpoolWrite, origin: SpoolOrigin) {
        self.spool_writes.waiting.push_back((write, origin));
        self.start_spool_write(now);
    }

    pub(super) fn retry_account(&mut self, now: Now, account: AccountId) {
        if let Some(queue) = self.account_writes.get_mut(&account) {
            queue.is_running = false;
        }
        self.start_account_write(now, account);
    }

    /// Tries again what could not be written to the spool.
    pub(super) fn retry_put_off(&mut self, now: Now) {
        let put_off = std::mem::take(&mut self.spool_writes.put_off);
        let writes = put_off.into_iter();
        let writes = writes.map(|write| (write, SpoolOrigin::Nobody));
        self.spool_writes.waiting.extend(writes);
        self.start_spool_write(now);
    }

    pub(super) fn retry_spool(&mut self, now: Now) {
        self.spool_writes.is_running = false;
        self.start_spool_write(now);
    }

    pub(super) fn handle_account_written(
        &mut self,
        now: Now,
        account: AccountId,
        batch: Vec<AccountWrite>,
        origins: Vec<AccountOrigin>,
        watched: &[(MailboxId, ModSeq)],
        outcome: Result<Written, StoreError>,
    ) {
        let queue = self.account_writes.entry(account).or_default();
        let results = match outcome {
            Ok(written) => {
                queue.is_running = false;
                queue.busy_tries = 0;
                self.apply_written(account, watched, written.changes);
                self.send_hint(&super::lifecycle::Hint::Account(account));
                written.results
            }
            Err(StoreError::Busy) if queue.busy_tries < limits::BUSY_TRIES => {
                // Still marked as running: the timer goes on with it.
                queue.busy_tries += 1;
                for pair in batch.into_iter().zip(origins).rev() {
                    queue.waiting.push_front(pair);
                }
                let at = now.at + limits::BUSY_RETRY;
                return self.set_timer(at, NodeTimer::RetryAccount(account));
            }
            Err(error) => {
                queue.is_running = false;
                queue.busy_tries = 0;
                vec![Err(error); origins.len()]
            }
        };
        for ((write, origin), result) in batch.into_iter().zip(origins).zip(results) {
            self.finish_account_write(now, account, &write, origin, result);
        }
        self.start_account_write(now, account);
    }

    pub(super) fn handle_spool_written(
        &mut self,
        now: Now,
        batch: Vec<SpoolWrite>,
        origins: Vec<SpoolOrigin>,
        outcome: Result<Vec<Result<SpoolWritten, StoreError>>, StoreError>,
    ) {
        let queue = &mut self.spool_writes;
        let results = match outcome {
            Ok(results) => {
                queue.is_running = false;
                queue.busy_tries = 0;
                results
            }
            Err(StoreError::Busy) if queue.busy_tries < limits::BUSY_TRIES => {
                queue.busy_tries += 1;
                for pair in batch.into_iter().zip(origins).rev() {
                    queue.waiting.push_front(pair);
                }
                return self.set_timer(now.at + limits::BUSY_RETRY, NodeTimer::RetrySpool);
            }
            Err(error) => {
                queue.is_running = false;
                queue.busy_tries = 0;
                vec![Err(error); origins.len()]
            }
        };
        for ((write, origin), result) in batch.into_iter().zip(origins).zip(results) {
            self.finish_spool_write(now, write, origin, result);
        }
        self.start_spool_write(now);
    }

    fn finish_account_write(
        &mut self,
        now: Now,
        account: AccountId,
        write: &AccountWrite,
        origin: AccountOrigin,
        result: Result<AccountWritten, StoreError>,
    ) {
        if let AccountWrite::Save { messages, .. } = write {
            for message in messages {
                self.drop_content(&message.content);
            }
        }
        match origin {
            AccountOrigin::Imap(asker, write) => {
                self.handle_imap_written(asker, account, write, result);
            }
            AccountOrigin::Delivery(delivery, positions) => {
                self.handle_delivered(now, account, delivery, positions, result);
            }
            AccountOrigin::Nobody => {
                if let Err(error) = result {
                    tracing::debug!(account = account.0, %error, "a write was dropped");
                }
            }
        }
    }

    fn finish_spool_write(
        &mut self,
        now: Now,
        write: SpoolWrite,
        origin: SpoolOrigin,
        result: Result<SpoolWritten, StoreError>,
    ) {
        match (origin, write, result) {
            (SpoolOrigin::Accept(asker), SpoolWrite::Accept(entry), result) => {
                let outcome = result.map(accepted_id);
                self.handle_accepted(now, asker, entry, outcome);
            }
            (SpoolOrigin::Claim, _, Ok(SpoolWritten::Claimed { entries, next_due })) => {
                self.handle_claimed(now, entries, next_due);
            }
            (SpoolOrigin::ClaimRemote, _, Ok(SpoolWritten::Claimed { entries, next_due })) => {
                self.handle_claimed_remote(now, entries, next_due);
            }
            (SpoolOrigin::Claim, _, Err(error)) => {
                super::log_failure(&error, "the spool can't be read");
                self.handle_claimed(now, Vec::new(), None);
            }
            (SpoolOrigin::ClaimRemote, _, Err(error)) => {
                super::log_failure(&error, "the spool can't be read");
                self.handle_claimed_remote(now, Vec::new(), None);
            }
            (SpoolOrigin::Concluded(id, positions), write, Ok(_)) => {
                self.handle_concluded(now, id, &positions);
                self.finish_reports(now, &write);
            }
            (SpoolOrigin::Expanded(id, position), write, Ok(SpoolWritten::Expanded(local))) => {
                self.handle_expanded(now, id, position, local, &write);
                self.finish_reports(now, &write);
            }
            (SpoolOrigin::Expanded(id, position), write, Err(error)) => {
                self.drop_reports(&write);
                self.handle_not_expanded(now, id, position, &error);
            }
            (SpoolOrigin::Nobody, write, Ok(_)) => self.finish_reports(now, &write),
            (SpoolOrigin::Concluded(id, positions), write, Err(error)) => {
                self.put_off_write(now, write, &error);
                self.handle_concluded(now, id, &positions);
            }
            (SpoolOrigin::Nobody, write, Err(error)) => self.put_off_write(now, write, &error),
            (
                SpoolOrigin::Claim | SpoolOrigin::ClaimRemote | SpoolOrigin::Expanded(..),
                _,
                Ok(_),
            )
            | (SpoolOrigin::Accept(_), _, _) => {
                unreachable!("the store answers what it is asked")
            }
        }
    }

    /// What can't be written now is written later: until then its lot is claimed.
    fn put_off_write(&mut self, now: Now, write: SpoolWrite, error: &StoreError) {
        // A delivered message that stays in the spool is known by its id: no harm.
        super::log_failure(error, "the spool can't be written");
        let put_off = &mut self.spool_writes.put_off;
        if put_off.len() < limits::DELIVERY_ACTIVE {
            put_off.push(write);
        }
        if put_off.len() == 1 {
            self.set_timer(now.at + limits::HOLD, NodeTimer::RetryPutOff);
        }
    }

    /// Reports are in the spool, and go on their way.
    fn finish_reports(&mut self, now: Now, write: &SpoolWrite) {
        if self.drop_reports(write) {
            self.claim_spooled(now);
            self.claim_remote(now);
        }
    }

    /// The contents of reports have found their places, or none. Returns whether there are any.
    fn drop_reports(&mut self, write: &SpoolWrite) -> bool {
        let (SpoolWrite::Conclude { reports, .. } | SpoolWrite::Expand { reports, .. }) = write
        else {
            return false;
        };
        for report in reports {
            self.drop_content(&report.content);
        }
        !reports.is_empty()
    }

    fn start_account_write(&mut self, now: Now, account: AccountId) {
        let Some(queue) = self.account_writes.get_mut(&account) else {
            return;
        };
        if queue.is_running {
            return;
        }
        if queue.waiting.is_empty() {
            self.account_writes.remove(&account);
            return;
        }
        queue.is_running = true;
        let count = batch_length(queue.waiting.iter().map(|(write, _)| account_bytes(write)));
        let (batch, origins) = queue.waiting.drain(..count).unzip();
        let watched = self.mailboxes.watched(account);
        self.run(Job::WriteAccount {
            account,
            batch,
            origins,
            watched,
            now: now.unix,
        });
    }

    fn start_spool_write(&mut self, now: Now) {
        let queue = &mut self.spool_writes;
        if queue.is_running || queue.waiting.is_empty() {
            return;
        }
        queue.is_running = true;
        let count = batch_length(queue.waiting.iter().map(|(write, _)| spool_bytes(write)));
        let (batch, origins) = queue.waiting.drain(..count).unzip();
        self.run(Job::WriteSpool {
            batch,
            origins,
            now: now.unix,
        });
    }
}

fn accepted_id(written: SpoolWritten) -> rmail_store::SpoolId {
    match written {
        SpoolWritten::Accepted(id) => id,
        SpoolWritten::Claimed { .. } | SpoolWritten::Expanded(_) | SpoolWritten::Done => {
            unreachable!("the store answers Accept by Accepted")
        }
    }
}

/// How many writes one job takes: at least one, and no more than the bounds on count and bytes.
fn batch_length(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fits = sizes.take(limits::BATCH_WRITES).take_while(|size| {
        let is_first = bytes == 0;
        bytes += size.max(&1);
        is_first || bytes <= limits::BATCH_BYTES
    });
    fits.count()
}

/// How much memory a message's content takes.
pub(super) fn content_bytes(content: &Content) -> usize {
    match content {
        Content::Inline(bytes) => bytes.len(),
        Content::Staged(_) | Content::Spooled(_) => 0,
    }
}

fn account_bytes(write: &AccountWrite) -> usize {
    match write {
        AccountWrite::Save { messages, .. } => {
            let sizes = messages.iter();
            sizes.map(|message| content_bytes(&message.content)).sum()
        }
        AccountWrite::Deliver { message, .. } | AccountWrite::Replace { message, .. } => {
            content_bytes(&message.content)
        }
        AccountWrite::Upload(UploadWrite::Append { bytes, .. }) => bytes.len(),
        AccountWrite::StoreFlags { .. }
        | AccountWrite::Copy { .. }
        | AccountWrite::Move { .. }
        | AccountWrite::Expunge { .. }
        | AccountWrite::CreateMailbox { .. }
        | AccountWrite::DeleteMailbox { .. }
        | AccountWrite::RenameMailbox { .. }
        | AccountWrite::Subscribe { .. }
        | AccountWrite::SetExtras { .. }
        | AccountWrite::SetDocument { .. }
        | AccountWrite::Upload(_)
        | AccountWrite::TakeRecent { .. } => 0,
    }
}

fn spool_bytes(write: &SpoolWrite) -> usize {
    match write {
        SpoolWrite::Accept(NewSpoolEntry { content, .. }) => content_bytes(content),
        SpoolWrite::Conclude { reports, .. } | SpoolWrite::Expand { reports, .. } => {
            let sizes = reports.iter().map(|report| content_bytes(&report.content));
            sizes.sum()
        }
        SpoolWrite::Reroute { .. }
        | SpoolWrite::PutOff { .. }
        | SpoolWrite::Park { .. }
        | SpoolWrite::Claim(_)
        | SpoolWrite::Operate { .. } => 0,
    }
}
