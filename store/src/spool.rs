//! The spool's vocabulary: what was accepted and is not finished, recipient by recipient.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use rmail_proto::{
    MailboxId, ModSeq, ReversePath, Uid, UnixTime,
    mime::Summary,
    smtp::{MailNotice, Recipient},
};

use crate::{Content, MailboxRef, NewMessage};

/// Names a spool entry; never reused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SpoolId(pub u64);

/// Where recipients go. Those of one entry with one destination are its lot: they are claimed,
/// tried and put off together.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Destination {
    /// Mailboxes of this store.
    Local,
    /// Another server, by a key that the server makes; not empty.
    Remote(String),
}

/// What has become of a recipient.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Fate {
    /// Nothing yet: its lot says when it is tried.
    Waiting,
    /// It is in a mailbox.
    Delivered,
    /// Another server has taken it.
    Relayed,
    /// It was refused for good, or could not be delivered in time.
    Failed,
    /// Others have taken its place: an alias.
    Expanded,
    /// An operator gave it up.
    Dropped,
}

/// What was answered, and by whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Told {
    /// The host, or the place within this server.
    pub by: String,
    /// Its words, or what went wrong; cut at
    /// [`limits::ANSWER_BYTES`](crate::limits::ANSWER_BYTES).
    pub answer: String,
}

/// A lot that was claimed: a message with those of its recipients that have one destination.
#[derive(Clone, Debug)]
pub struct SpoolEntry {
    /// The entry's id.
    pub id: SpoolId,
    /// Where these recipients go.
    pub destination: Destination,
    /// How often they have been tried.
    pub attempts: u32,
    /// Whether the sender has been told that it takes longer.
    pub is_delay_told: bool,
    /// The id in the Received field and the log.
    pub envelope_id: String,
    /// When it was accepted.
    pub accepted_at: UnixTime,
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// What the sender wants of them.
    pub notice: MailNotice,
    /// Whether SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// Whether BODY=8BITMIME was given.
    pub eight_bit_mime: bool,
    /// Recipients that are not done, with their positions in the envelope.
    pub recipients: Vec<(u32, Recipient)>,
    /// What the scanner found.
    pub summary: Arc<Summary>,
    /// The content when it is small and the claim had room for it.
    pub content: Option<Bytes>,
}

/// A recipient to be spooled.
#[derive(Clone, Debug)]
pub struct NewRecipient {
    /// Who, and what the sender wants to hear.
    pub recipient: Recipient,
    /// Where it goes.
    pub destination: Destination,
}

/// A message to be spooled.
#[derive(Clone, Debug)]
pub struct NewSpoolEntry {
    /// The id in the Received field and the log.
    pub envelope_id: String,
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// What the sender wants of them.
    pub notice: MailNotice,
    /// Whether SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// Whether BODY=8BITMIME was given.
    pub eight_bit_mime: bool,
    /// In the order given.
    pub recipients: Vec<NewRecipient>,
    /// What the scanner found.
    pub summary: Arc<Summary>,
    /// The bytes: `Inline` or `Staged`.
    pub content: Content,
    /// Whether this process delivers the local recipients at once; else they wait for a
    /// [`SpoolWrite::Claim`], as the others do.
    pub is_claimed: bool,
}

/// A message that an account sends and keeps a copy of.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What is sent, not claimed.
    pub entry: NewSpoolEntry,
    /// Where the copy is kept.
    pub mailbox: MailboxRef,
    /// The copy; other bytes than those that are sent, for it names blind recipients.
    pub copy: NewMessage,
    /// The message whose place it takes, with its instance and what is kept beside it: a draft.
    pub draft: Option<MessageVersion>,
}

/// A message as somebody has read it.
#[derive(Clone, Copy, Debug)]
pub struct MessageVersion {
    /// Where it is.
    pub mailbox: MailboxId,
    /// Which.
    pub uid: Uid,
    /// It counts for nothing when it has changed since.
    pub unchanged_since: ModSeq,
}

/// What has become of recipients of a lot, in one attempt.
#[derive(Clone, Debug)]
pub struct Concluded {
    /// Positions in the envelope.
    pub recipients: Vec<u32>,
    /// `Waiting` when they are to be tried again.
    pub fate: Fate,
    /// By whose words.
    pub told: Told,
}

/// A change of the spool.
#[derive(Clone, Debug)]
pub enum SpoolWrite {
    /// Accepts a message. Synced. Answered by `Accepted`.
    Accept(NewSpoolEntry),
    /// Ends an attempt at a lot, all in one: what has become of its recipients, when those that
    /// still wait are tried again, and the reports to the sender. When none waits, the lot goes;
    /// with the last lot, the entry and its content. Recipients that have met their fate before
    /// keep it, and where none of them was waiting the reports have been spooled before. Synced,
    /// unless everything was delivered locally, which done twice is harmless.
    /// Answered by `Done`.
    Conclude {
        /// Which entry.
        spool: SpoolId,
        /// Which lot.
        destination: Destination,
        /// What has become of whom.
        concluded: Vec<Concluded>,
        /// When to try those again that wait; the claim is given up. `None`: others of this lot
        /// are still being worked on, and the claim stays.
        retry_at: Option<UnixTime>,
        /// Whether the sender is told by this that it takes longer.
        tells_delay: bool,
        /// Reports to the sender.
        reports: Vec<NewSpoolEntry>,
    },
    /// An alias: others take the place of a recipient, all in one with the report that this is
    /// so. Where it has met its fate before nothing happens. Synced. Answered by `Expanded`;
    /// `TooMany`.
    Expand {
        /// Which entry; its local lot is this process's.
        spool: SpoolId,
        /// Which recipient.
        position: u32,
        /// Who takes its place. Nobody is added twice.
        targets: Vec<NewRecipient>,
        /// Reports to the sender.
        reports: Vec<NewSpoolEntry>,
    },
    /// Recipients of a lot go elsewhere than was thought: the lot is given up and those of the
    /// new destinations are due. Synced. Answered by `Done`.
    Reroute {
        /// Which entry.
        spool: SpoolId,
        /// Which lot.
        destination: Destination,
        /// Where its recipients go.
        to: Vec<(u32, Destination)>,
    },
    /// Puts a lot off until then without an attempt, and gives up the claim. Answered by `Done`.
    PutOff {
        /// Which entry.
        spool: SpoolId,
        /// Which lot.
        destination: Destination,
        /// When to look at it again.
        until: UnixTime,
        /// Why, for people.
        reason: String,
    },
    /// Puts a lot off until somebody releases it, and gives up the claim. Synced. Answered by
    /// `Done`.
    Park {
        /// Which entry.
        spool: SpoolId,
        /// Which lot.
        destination: Destination,
        /// Why, for people.
        reason: String,
    },
    /// Claims lots that are due and that nobody (who lives) has claimed, the oldest first.
    /// Answered by `Claimed`.
    Claim(Claim),
    /// What an operator wants. Synced. Answered by `Done`; `NoSuchEntry`, `InDelivery`.
    Operate {
        /// Which entry.
        spool: SpoolId,
        /// Only the lot of this recipient, or for `Drop` this recipient.
        recipient: Option<u32>,
        /// What.
        operation: Operation,
    },
}

/// Which lots are wanted.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Those with these destinations.
    pub lots: Lots,
    /// At most so many.
    pub count_max: usize,
    /// At most so many bytes of content in memory; what is beyond comes without.
    pub bytes_max: usize,
}

/// Which lots a [`Claim`] is about.
#[derive(Clone, Debug)]
pub enum Lots {
    /// Those for mailboxes.
    Local,
    /// Those for other servers.
    Remote {
        /// At most so many of one destination.
        each_max: usize,
        /// Of these none.
        except: BTreeSet<String>,
    },
}

/// What an operator does with messages in the queue.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operation {
    /// Try at once.
    Retry,
    /// Try no more until it is released.
    Hold,
    /// Go on, and at once.
    Release,
    /// Give it up, and tell nobody.
    Drop,
}

/// What a [`SpoolWrite`] did.
#[derive(Clone, Debug)]
pub enum SpoolWritten {
    /// The message is durable.
    Accepted(SpoolId),
    /// Lots that are now this process's.
    Claimed {
        /// In the order in which they became due.
        entries: Vec<SpoolEntry>,
        /// When the next lot is due that was asked for and not claimed.
        next_due: Option<UnixTime>,
    },
    /// The local ones of those that took an alias's place, with their positions.
    Expanded(Vec<(u32, Recipient)>),
    /// Done.
    Done,
}

/// What a list of the queue shows; all that is `Some` must hold. Texts match in part and without
/// case.
#[derive(Clone, Debug, Default)]
pub struct QueueFilter {
    /// The reverse-path.
    pub sender: Option<String>,
    /// The path of a recipient that waits.
    pub recipient: Option<String>,
    /// The domain of a recipient that waits, whole.
    pub domain: Option<String>,
    /// Accepted at this time or before.
    pub accepted_until: Option<UnixTime>,
    /// Only those with a lot that is held.
    pub is_held: bool,
}

/// An entry, in a line.
#[derive(Clone, Debug)]
pub struct QueuedSummary {
    /// Its id.
    pub id: SpoolId,
    /// The id in the Received field and the log.
    pub envelope_id: String,
    /// When it was accepted.
    pub accepted_at: UnixTime,
    /// Its sender.
    pub reverse_path: ReversePath,
    /// Bytes of content.
    pub size_bytes: u64,
    /// Recipients that wait.
    pub waiting: u32,
    /// When one of its lots is due next; `None` when all are held or at work.
    pub next_due: Option<UnixTime>,
    /// Whether a lot is held.
    pub is_held: bool,
    /// Whether a lot is at work.
    pub is_active: bool,
    /// The first recipient that waits.
    pub first_recipient: Option<Recipient>,
}

/// All that is known of an entry.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    /// In a line.
    pub summary: QueuedSummary,
    /// What the sender wants of notices.
    pub notice: MailNotice,
    /// Its lots.
    pub lots: Vec<QueuedLot>,
    /// All its recipients, also those that have met their fate.
    pub recipients: Vec<QueuedRecipient>,
    /// What was tried, the oldest first; at most
    /// [`limits::ATTEMPTS_KEPT`](crate::limits::ATTEMPTS_KEPT).
    pub attempts: Vec<QueuedAttempt>,
}

impl QueuedMessage {
    /// The lot in which a recipient waits.
    pub fn lot_of(&self, recipient: &QueuedRecipient) -> Option<&QueuedLot> {
        let mut lots = self.lots.iter();
        lots.find(|lot| lot.destination == recipient.destination)
    }
}

/// A lot.
#[derive(Clone, Debug)]
pub struct QueuedLot {
    /// Where it goes.
    pub destination: Destination,
    /// How often it was tried.
    pub attempts: u32,
    /// What it waits for.
    pub state: LotState,
    /// Why, for people; may be empty.
    pub reason: String,
}

/// What a lot waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LotState {
    /// This time.
    Due(UnixTime),
    /// The end of an attempt.
    Active,
    /// An operator.
    Held,
}

/// A recipient.
#[derive(Clone, Debug)]
pub struct QueuedRecipient {
    /// Its position in the envelope.
    pub position: u32,
    /// Who, and what the sender wants to hear.
    pub recipient: Recipient,
    /// Where it goes.
    pub destination: Destination,
    /// What has become of it.
    pub fate: Fate,
    /// What it was told last, and when.
    pub told: Option<(UnixTime, Told)>,
}

/// What came of an attempt.
#[derive(Clone, Debug)]
pub struct QueuedAttempt {
    /// When it ended.
    pub at: UnixTime,
    /// At which lot.
    pub destination: Destination,
    /// For how many recipients.
    pub recipients: u32,
    /// What has become of them.
    pub fate: Fate,
    /// What was answered.
    pub told: Told,
}
