//! From the spool into mailboxes: a bounded active window over an unbounded spool.
//!
//! ```text
//!  accepted ──(window has room)──► active ──► recipients looked up ──► waiting per account
//!     │                              ▲                                        │ a worker is free
//!     └─(window full)─► unclaimed ───┘ claimed when there is room             ▼
//!                        ▲                                            written to the account
//!                        └──── put off, looked at again ◄── failed ───────────┤
//!           refused, with a report ◄── no such mailbox       recipient done ◄──┘ (synced)
//!                 looked up again ◄── an alias: see `expansion`
//! ```
//!
//! A recipient is marked done in the spool only after its mailbox is synced; delivering the same
//! entry to the same account twice does nothing, so a crash at any point repeats no message.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use rmail_proto::{
    AccountId, Address, DateTime, Flags, ForwardPath, Now, ReversePath, UnixTime,
    mime::Summary,
    smtp::{EnhancedCode, Recipient},
};
use rmail_store::{
    Account, AccountWrite, AccountWritten, Claim, Concluded, Content, Destination, Fate, Lots,
    NewMessage, NewSpoolEntry, SpoolEntry, SpoolId, SpoolWrite, StoreError, Told,
};

use super::{
    Job, Node, NodeTimer,
    conclusions::{Conclusion, Verdict},
    directory::{Found, Lookup, postmaster_domain},
    lifecycle::Stopping,
    writes::{AccountOrigin, SpoolOrigin, content_bytes},
};
use crate::{limits, outbound::report::Original};

/// What is said of a recipient: the status code, and for people.
pub(super) type Words = (EnhancedCode, &'static str);

const IN_MAILBOX: Words = (EnhancedCode(2, 1, 5), "");

const NO_MAILBOX: Words = (EnhancedCode(5, 1, 1), "there is no such mailbox any more");

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
pub(super) struct Active {
    pub(super) original: Original,
    pub(super) reverse_path: ReversePath,
    summary: Arc<Summary>,
    content: Content,
    /// Those that are not done, by their positions in the envelope.
    recipients: BTreeMap<u32, Pending>,
    /// Those among its accounts that answer by themselves.
    replying: Vec<Arc<Account>>,
}

#[derive(Debug)]
struct Pending {
    recipient: Recipient,
    /// Why it could not be delivered; `None` while it is under way.
    failure: Option<String>,
}

impl Active {
    /// One that is not done.
    pub(super) fn recipient(&self, position: u32) -> &Recipient {
        &self.recipients[&position].recipient
    }

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

    /// A message of the window.
    pub(super) fn entry(&self, id: DeliveryId) -> &Active {
        &self.active[&id]
    }

    pub(super) fn is_idle(&self) -> bool {
        self.working.is_empty() && self.reserved == 0 && !self.is_claiming
    }
}

impl Node {
    /// A message is in the spool: on to its mailboxes.
    pub(super) fn deliver_accepted(&mut self, now: Now, spool: SpoolId, entry: NewSpoolEntry) {
        let is_local = |destination: &Destination| *destination == Destination::Local;
        let mut destinations = entry.recipients.iter().map(|it| &it.destination);
        if !destinations.clone().all(is_local) {
            self.claim_remote(now);
        }
        if !entry.is_claimed {
            let has_local = destinations.any(is_local);
            self.drop_content(&entry.content);
            if has_local {
                self.claim_spooled(now);
            }
            return;
        }
        self.delivery.reserved -= 1;
        let content = match entry.content {
            Content::Staged(stage) => {
                self.drop_stage(stage);
                Content::Spooled(spool)
            }
            content @ (Content::Inline(_) | Content::Spooled(_)) => content,
        };
        let recipients = (0..).zip(entry.recipients);
        let local = recipients.filter(|(_, recipient)| is_local(&recipient.destination));
        let local = local.map(|(position, recipient)| (position, recipient.recipient));
        let active = Active {
            replying: Vec::new(),
            original: Original {
                spool,
                envelope_id: entry.envelope_id,
                accepted_at: now.unix,
                notice: entry.notice,
                header_bytes: entry.summary.header_bytes,
                size_bytes: entry.summary.size_bytes,
                smtputf8: entry.smtputf8,
            },
            reverse_path: entry.reverse_path,
            summary: entry.summary,
            content,
            recipients: Active::recipients(local),
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
        let claim = Claim {
            lots: Lots::Local,
            count_max: room.min(limits::BATCH_WRITES),
            bytes_max,
        };
        self.write_spool(now, SpoolWrite::Claim(claim), SpoolOrigin::Claim);
    }

    pub(super) fn handle_claimed(
        &mut self,
        now: Now,
        entries: Vec<SpoolEntry>,
        next_due: Option<UnixTime>,
    ) {
        self.delivery.is_claiming = false;
        if entries.is_empty() {
            self.wait_for_due(now, next_due);
            // What came meanwhile, this claim may not have seen.
            return self.claim_if_wanted(now);
        }
        for entry in entries {
            let original = Original::of(&entry);
            let content = match entry.content {
                Some(bytes) => Content::Inline(bytes),
                None => Content::Spooled(entry.id),
            };
            self.delivery.bytes += content_bytes(&content);
            let active = Active {
                replying: Vec::new(),
                original,
                reverse_path: entry.reverse_path,
                summary: entry.summary,
                content,
                recipients: Active::recipients(entry.recipients),
            };
            self.begin_delivery(now, entry.id, active);
        }
        self.claim_spooled(now);
    }

    fn wait_for_due(&mut self, now: Now, due: Option<UnixTime>) {
        let seconds = due.map(|due| due.0.saturating_sub(now.unix.0).max(1) as u64);
        let wait = seconds.map(std::time::Duration::from_secs);
        let wait = wait.unwrap_or(limits::CLAIM_INTERVAL);
        let at = now.at + wait.min(limits::CLAIM_INTERVAL);
        self.wake_at(NodeTimer::Claim, at);
    }

    /// Who a recipient is is known now.
    pub(super) fn handle_recipient_found(
        &mut self,
        now: Now,
        id: DeliveryId,
        position: u32,
        outcome: Result<Found, StoreError>,
    ) {
        let Some(active) = self.delivery.active.get_mut(&id) else {
            return;
        };
        match outcome {
            Ok(Found::Account(account)) => {
                if account.replies_automatically {
                    active.replying.push(Arc::clone(&account));
                }
                self.queue_recipient(id, position, account.id);
            }
            Ok(Found::Alias { accounts, foreign }) => {
                let accounts = accounts.iter().map(|account| account.address.clone());
                self.expand(now, id, position, accounts.chain(foreign).collect());
            }
            // The account or alias was deleted since.
            Ok(Found::Nobody) => self.fail_for_good(now, id, position, &NO_MAILBOX),
            Ok(Found::TooMany) => {
                let recipient = &active.recipients[&position].recipient.path;
                tracing::warn!(%recipient, "an alias leads to too many addresses");
                active.fail(&[position], "the alias leads to too many addresses");
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
            Ok(written) => {
                let mail = &active.original.envelope_id;
                tracing::info!(%mail, account = account.0, "delivered");
                let mut replying = active.replying.iter();
                let replying = replying.position(|replying| replying.id == account);
                if let Some(index) = replying {
                    let account = active.replying.swap_remove(index);
                    let sender = active.reverse_path.clone();
                    self.consider_reply(now, account, &sender, &written);
                }
                self.finish_delivered(now, id, positions);
            }
            Err(error) => {
                active.fail(&positions, &error.to_string());
                let mail = &active.original.envelope_id;
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

    /// Recipients have their message.
    fn finish_delivered(&mut self, now: Now, id: DeliveryId, mut positions: Vec<u32>) {
        let active = self.delivery.active.get_mut(&id);
        let active = active.expect("an entry stays until its recipients are done");
        let is_told = |position: &u32| {
            let notice = &active.recipients[position].recipient.notice;
            notice.wanted().success && active.reverse_path != ReversePath::Null
        };
        let told: Vec<u32> = positions.iter().copied().filter(is_told).collect();
        positions.retain(|position| !told.contains(position));
        for position in &positions {
            active.recipients.remove(position);
        }
        if !positions.is_empty() {
            let finish = SpoolWrite::Conclude {
                spool: id,
                destination: Destination::Local,
                concluded: vec![Concluded {
                    recipients: positions,
                    fate: Fate::Delivered,
                    told: Told::default(),
                }],
                retry_at: None,
                tells_delay: false,
                reports: Vec::new(),
            };
            self.write_spool(now, finish, SpoolOrigin::Nobody);
        }
        if !told.is_empty() {
            self.conclude_local(now, id, &told, Fate::Delivered, &IN_MAILBOX);
        }
    }

    /// Recipients have met a fate of which the sender may have to be told; they leave the window
    /// once it is written.
    fn conclude_local(
        &mut self,
        now: Now,
        id: DeliveryId,
        positions: &[u32],
        fate: Fate,
        (status, answer): &Words,
    ) {
        let conclusion = self.conclusion_of(id, positions, fate, (*status, answer));
        self.conclude(now, conclusion);
    }

    /// A recipient never gets the message, and its sender is told why.
    pub(super) fn fail_for_good(&mut self, now: Now, id: DeliveryId, position: u32, words: &Words) {
        self.conclude_local(now, id, &[position], Fate::Failed, words);
    }

    /// What has become of recipients, for the report on them.
    pub(super) fn conclusion_of(
        &self,
        id: DeliveryId,
        positions: &[u32],
        fate: Fate,
        (status, answer): Words,
    ) -> Conclusion {
        let active = &self.delivery.active[&id];
        let verdicts = positions.iter().map(|position| Verdict {
            position: *position,
            recipient: active.recipients[position].recipient.clone(),
            fate,
            status,
            told: Told {
                by: self.config.hostname.to_string(),
                answer: answer.to_owned(),
            },
            is_reply: false,
            is_passed_on: false,
        });
        Conclusion {
            original: active.original.clone(),
            reverse_path: active.reverse_path.clone(),
            destination: Destination::Local,
            attempts: 0,
            is_delay_told: true,
            delivery: Some(id),
            verdicts: verdicts.collect(),
        }
    }

    /// The fate of these recipients is written.
    pub(super) fn handle_concluded(&mut self, now: Now, id: DeliveryId, positions: &[u32]) {
        if let Some(active) = self.delivery.active.get_mut(&id) {
            for position in positions {
                active.recipients.remove(position);
            }
            self.check_finished(now, id);
        }
    }

    /// Others have taken the place of a recipient.
    pub(super) fn replace_recipient(
        &mut self,
        now: Now,
        id: DeliveryId,
        position: u32,
        others: Vec<(u32, Recipient)>,
    ) {
        if let Some(active) = self.delivery.active.get_mut(&id) {
            active.recipients.remove(&position);
            let added: Vec<u32> = others.iter().map(|(position, _)| *position).collect();
            active.recipients.extend(Active::recipients(others));
            for position in added {
                self.look_up_recipient(id, position);
            }
            self.start_workers(now);
            self.check_finished(now, id);
        }
    }

    /// A recipient is put off with the others of its message.
    pub(super) fn fail_for_now(&mut self, now: Now, id: DeliveryId, position: u32, reason: &str) {
        if let Some(active) = self.delivery.active.get_mut(&id) {
            active.fail(&[position], reason);
            self.check_finished(now, id);
        }
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
        self.run(Job::FindRecipient {
            lookup: Lookup::Delivery(id, position),
            address,
            config: Arc::clone(&self.config),
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
            internal_date: DateTime::utc(active.original.accepted_at),
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
            let until = UnixTime(now.unix.0 + limits::HOLD.as_secs() as i64);
            let put_off = SpoolWrite::PutOff {
                spool: id,
                destination: Destination::Local,
                until,
                reason,
            };
            self.write_spool(now, put_off, SpoolOrigin::Nobody);
            self.wait_for_due(now, Some(until));
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
