//! From the spool into mailboxes: a bounded active window over an unbounded spool.
//!
//! ```text
//!  accepted ──(window has room)──► active ──► recipients looked up ──► waiting per account
//!     │                              ▲                                        │ a worker is free
//!     └─(window full)─► unclaimed ───┘ claimed when there is room             ▼
//!                        ▲                                            written to the account
//!                        └──── held, looked at again later ◄── failed ────────┤
//!                                                             recipient done ◄┘ (synced)
//! ```
//!
//! A recipient is marked done in the spool only after its mailbox is synced; delivering the same
//! entry to the same account twice does nothing, so a crash at any point repeats no message.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use rmail_proto::{
    AccountId, Address, DateTime, Flags, ForwardPath, Now, UnixTime, mime::Summary, smtp::Recipient,
};
use rmail_store::{
    Account, AccountWrite, AccountWritten, Content, NewMessage, NewSpoolEntry, SpoolEntry, SpoolId,
    SpoolWrite, StoreError,
};

use super::{
    Job, Node, NodeTimer,
    directory::{Lookup, postmaster_domain},
    lifecycle::Stopping,
    writes::{AccountOrigin, SpoolOrigin, content_bytes},
};
use crate::limits;

/// An active entry. The same as its id in the spool.
pub(super) type DeliveryId = SpoolId;

/// The active window.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    active: BTreeMap<DeliveryId, Active>,
    /// Entries that are being accepted and will be active, and content in memory of all.
    reserved: usize,
    bytes: usize,
    /// Per account what is to be delivered, and the accounts that wait for a worker.
    waiting: BTreeMap<AccountId, VecDeque<(DeliveryId, Vec<u32>)>>,
    ready: VecDeque<AccountId>,
    /// Writes under way of the accounts that have a worker.
    working: BTreeMap<AccountId, usize>,
    is_claiming: bool,
    /// Whether the spool may hold entries that nobody has claimed.
    may_claim: bool,
}

/// A message that is being delivered.
#[derive(Debug)]
struct Active {
    envelope_id: String,
    accepted_at: UnixTime,
    summary: Arc<Summary>,
    content: Content,
    /// Those that are not done, by their positions in the envelope.
    recipients: BTreeMap<u32, Pending>,
}

#[derive(Debug)]
struct Pending {
    recipient: Recipient,
    /// Why it could not be delivered; `None` while it is under way.
    failure: Option<String>,
}

impl Active {
    fn recipients(
        recipients: impl IntoIterator<Item = (u32, Recipient)>,
    ) -> BTreeMap<u32, Pending> {
        let pending = |(position, recipient)| {
            let failure = None;
            (position, Pending { recipient, failure })
        };
        recipients.into_iter().map(pending).collect()
    }

    fn fail(&mut self, positions: &[u32], reason: &str) {
        for position in positions {
            if let Some(pending) = self.recipients.get_mut(position) {
                pending.failure = Some(reason.to_owned());
            }
        }
    }
}

impl Delivery {
    /// Whether the window has room for one more message; if so, it is taken.
    pub(super) fn reserve(&mut self, content: &Content) -> bool {
        let has_room = self.active.len() + self.reserved < limits::DELIVERY_ACTIVE
            && self.bytes + content_bytes(content) <= limits::DELIVERY_BYTES;
        if has_room {
            self.reserved += 1;
            self.bytes += content_bytes(content);
        } else {
            self.may_claim = true;
        }
        has_room
    }

    /// Gives back what [`reserve`](Self::reserve) took.
    pub(super) fn release(&mut self, content: &Content) {
        self.reserved -= 1;
        self.bytes -= content_bytes(content);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.working.is_empty() && self.reserved == 0 && !self.is_claiming
    }
}

impl Node {
    /// A message is in the spool: on to its mailboxes.
    pub(super) fn deliver_accepted(&mut self, now: Now, spool: SpoolId, entry: NewSpoolEntry) {
        if !entry.is_claimed {
            self.drop_content(&entry.content);
            return self.claim_spooled(now);
        }
        self.delivery.reserved -= 1;
        let content = match entry.content {
            Content::Staged(stage) => {
                self.drop_stage(stage);
                Content::Spooled(spool)
            }
            content @ (Content::Inline(_) | Content::Spooled(_)) => content,
        };
        let active = Active {
            envelope_id: entry.envelope_id,
            accepted_at: now.unix,
            summary: entry.summary,
            content,
            recipients: Active::recipients((0..).zip(entry.recipients)),
        };
        self.begin_delivery(now, spool, active);
    }

    /// Asks for entries that nobody has claimed, if there is room for them.
    pub(super) fn claim_spooled(&mut self, now: Now) {
        let delivery = &mut self.delivery;
        delivery.may_claim = true;
        let room =
            limits::DELIVERY_ACTIVE.saturating_sub(delivery.active.len() + delivery.reserved);
        let bytes_max = limits::DELIVERY_BYTES.saturating_sub(delivery.bytes);
        let is_wanted = room >= limits::DELIVERY_ACTIVE / 2 && bytes_max > 0;
        if delivery.is_claiming || !is_wanted || self.stopping.is_some() {
            return;
        }
        delivery.is_claiming = true;
        delivery.may_claim = false;
        let claim = SpoolWrite::Claim {
            count_max: room.min(limits::BATCH_WRITES),
            bytes_max,
        };
        self.write_spool(now, claim, SpoolOrigin::Claim);
    }

    pub(super) fn handle_claimed(&mut self, now: Now, entries: Vec<SpoolEntry>) {
        self.delivery.is_claiming = false;
        if entries.is_empty() {
            // Nothing is due: when will something be?
            return self.run(Job::SpoolDue);
        }
        for entry in entries {
            let content = match entry.content {
                Some(bytes) => Content::Inline(bytes),
                None => Content::Spooled(entry.id),
            };
            self.delivery.bytes += content_bytes(&content);
            let active = Active {
                envelope_id: entry.envelope_id,
                accepted_at: entry.accepted_at,
                summary: entry.summary,
                content,
                recipients: Active::recipients(entry.recipients),
            };
            self.begin_delivery(now, entry.id, active);
        }
        self.claim_spooled(now);
    }

    pub(super) fn handle_spool_due(
        &mut self,
        now: Now,
        outcome: Result<Option<UnixTime>, StoreError>,
    ) {
        let wait = match outcome {
            Ok(Some(due)) => {
                let seconds = due.0.saturating_sub(now.unix.0).max(1) as u64;
                std::time::Duration::from_secs(seconds).min(limits::CLAIM_INTERVAL)
            }
            Ok(None) => limits::CLAIM_INTERVAL,
            Err(error) => {
                super::log_failure(&error, "the spool can't be read");
                limits::CLAIM_INTERVAL
            }
        };
        let is_set = self.timers.values().any(|timer| *timer == NodeTimer::Claim);
        if !is_set {
            self.set_timer(now.at + wait, NodeTimer::Claim);
        }
    }

    /// The account of a recipient is known now.
    pub(super) fn handle_recipient_found(
        &mut self,
        now: Now,
        id: DeliveryId,
        position: u32,
        outcome: Result<Option<&Account>, StoreError>,
    ) {
        let Some(active) = self.delivery.active.get_mut(&id) else {
            return;
        };
        match outcome {
            Ok(Some(account)) => self.queue_recipient(id, position, account.id),
            Ok(None) => {
                let path = &active.recipients[&position].recipient.path;
                tracing::warn!(
                    mail = %active.envelope_id, recipient = %path,
                    "no mailbox for an accepted message: it waits in the spool"
                );
                active.fail(&[position], "no such mailbox");
            }
            Err(error) => active.fail(&[position], &error.to_string()),
        }
        self.start_workers(now);
        self.check_finished(now, id);
    }

    pub(super) fn handle_delivered(
        &mut self,
        now: Now,
        account: AccountId,
        id: DeliveryId,
        positions: Vec<u32>,
        result: Result<AccountWritten, StoreError>,
    ) {
        let left = self.delivery.working.get_mut(&account);
        let left = left.expect("the account has a worker");
        *left -= 1;
        if *left == 0 {
            self.delivery.working.remove(&account);
        }
        let active = self.delivery.active.get_mut(&id);
        let active = active.expect("an entry stays until its recipients are done");
        match result {
            Ok(_) => {
                for position in &positions {
                    active.recipients.remove(position);
                }
                tracing::info!(mail = %active.envelope_id, account = account.0, "delivered");
                let finish = SpoolWrite::Finish {
                    spool: id,
                    recipients: positions,
                };
                self.write_spool(now, finish, SpoolOrigin::Nobody);
            }
            Err(error) => {
                active.fail(&positions, &error.to_string());
                let mail = &active.envelope_id;
                tracing::warn!(%mail, account = account.0, %error, "delivery is put off");
                super::log_failure(&error, "mail can't be delivered");
                if let StoreError::NoSuchAccount = error {
                    self.directory.forget();
                }
            }
        }
        self.check_finished(now, id);
        self.start_workers(now);
    }

    fn begin_delivery(&mut self, now: Now, id: DeliveryId, active: Active) {
        let positions: Vec<u32> = active.recipients.keys().copied().collect();
        self.delivery.active.insert(id, active);
        for position in positions {
            self.look_up_recipient(id, position);
        }
        self.start_workers(now);
        self.check_finished(now, id);
    }

    fn look_up_recipient(&mut self, id: DeliveryId, position: u32) {
        let active = &self.delivery.active[&id];
        let path = &active.recipients[&position].recipient.path;
        let postmaster = postmaster_domain(path, &self.config.domains);
        let address = match (path, postmaster) {
            (_, Some(domain)) => Address::new("postmaster".to_owned(), domain.clone()),
            (ForwardPath::Address(address), None) => Ok(address.clone()),
            (ForwardPath::Postmaster, None) => {
                unreachable!("a configuration has at least one domain")
            }
        };
        let address = address.expect("postmaster is a local-part");
        if postmaster.is_none()
            && let Some(Some(account)) = self.directory.cached(&address)
        {
            return self.queue_recipient(id, position, account.id);
        }
        self.run(Job::FindAccount {
            lookup: Lookup::Delivery(id, position),
            address,
            or_first_admin: postmaster.is_some(),
            directory: self.directory.edition(),
        });
    }

    /// Puts a recipient in line for its account. An account in `waiting` is in `ready`, too.
    fn queue_recipient(&mut self, id: DeliveryId, position: u32, account: AccountId) {
        let line = self.delivery.waiting.entry(account).or_insert_with(|| {
            self.delivery.ready.push_back(account);
            VecDeque::new()
        });
        match line.back_mut() {
            // Two recipients of a message that reach the same account are one delivery.
            Some((last, positions)) if *last == id => positions.push(position),
            Some(_) | None => line.push_back((id, vec![position])),
        }
    }

    /// Gives free workers to waiting accounts: each takes all that waits for one account.
    fn start_workers(&mut self, now: Now) {
        if let Some(Stopping::Finishing | Stopping::Stopped) = self.stopping {
            return;
        }
        let mut passed_over = VecDeque::new();
        while self.delivery.working.len() < self.config.delivery.workers.get() {
            let Some(account) = self.delivery.ready.pop_front() else {
                break;
            };
            if self.delivery.working.contains_key(&account) {
                passed_over.push_back(account);
                continue;
            }
            let Some(line) = self.delivery.waiting.remove(&account) else {
                continue;
            };
            self.delivery.working.insert(account, line.len());
            for (id, positions) in line {
                self.deliver(now, account, id, positions);
            }
        }
        passed_over.append(&mut self.delivery.ready);
        self.delivery.ready = passed_over;
    }

    fn deliver(&mut self, now: Now, account: AccountId, id: DeliveryId, positions: Vec<u32>) {
        let active = &self.delivery.active[&id];
        let message = NewMessage {
            content: active.content.clone(),
            summary: Arc::clone(&active.summary),
            flags: Flags::default(),
            internal_date: DateTime::utc(active.accepted_at),
        };
        let write = AccountWrite::Deliver { spool: id, message };
        let origin = AccountOrigin::Delivery(id, positions);
        self.write_account(now, account, write, origin);
    }

    /// An entry leaves the window when nothing of it is under way; what failed is put off.
    fn check_finished(&mut self, now: Now, id: DeliveryId) {
        let Some(active) = self.delivery.active.get(&id) else {
            return;
        };
        let mut pending = active.recipients.values();
        if pending.any(|pending| pending.failure.is_none()) {
            return;
        }
        let active = self.delivery.active.remove(&id).expect("it was just there");
        self.delivery.bytes -= content_bytes(&active.content);
        let reason = active
            .recipients
            .into_values()
            .find_map(|pending| pending.failure);
        if let Some(reason) = reason {
            let hold = SpoolWrite::Hold {
                spool: id,
                until: UnixTime(now.unix.0 + limits::HOLD.as_secs() as i64),
                reason,
            };
            self.write_spool(now, hold, SpoolOrigin::Nobody);
        }
        self.claim_if_wanted(now);
    }

    /// The window has more room: is there something in the spool for it?
    pub(super) fn claim_if_wanted(&mut self, now: Now) {
        if self.delivery.may_claim {
            self.claim_spooled(now);
        }
    }
}
