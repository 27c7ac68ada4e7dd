//! `queue`: mail that is not finished, whether the server runs or not.

use clap::{Args, Subcommand};
use rmail_proto::{DateTime, ForwardPath, UnixTime};
use rmail_store::{
    Destination, Fate, LotState, Operation, QueueFilter, QueuedLot, QueuedMessage, QueuedRecipient,
    QueuedSummary, SpoolId, SpoolWrite, Store,
};
use serde::Serialize;

use super::{console::Console, directory::while_busy, failure::Failure};
use crate::{
    config::Config,
    limits,
    outbound::schedule::Schedule,
    outside::{clock, hints},
};

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// List messages that are not finished, the oldest first
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a message: who it is for, and what has become of each
    Show {
        /// Its id, as "queue list" or the log shows it
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why a message is still there: what was tried, where, what was answered, what is next
    Why {
        /// Its id, as "queue list" or the log shows it
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try messages at once; the retries after that come as if nothing had been
    Retry(Chosen),
    /// Try messages no more until they are released
    Hold(Chosen),
    /// Go on with messages that are held, at once
    Release(Chosen),
    /// Give messages up, and tell nobody
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Don't ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which messages are meant: by id, or by what they have in common.
#[derive(Args, Debug)]
pub(super) struct Chosen {
    /// Ids, as "queue list" or the log shows them
    #[arg(required_unless_present_any = ["sender", "recipient", "domain", "older_than", "held"])]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
}

/// What messages have in common; all of it must hold.
#[derive(Args, Clone, Debug)]
pub(super) struct FilterArgs {
    /// Whose sender has this in it; "<>" are reports
    #[arg(long, value_name = "TEXT")]
    sender: Option<String>,
    /// That wait for a recipient with this in it
    #[arg(long, value_name = "TEXT")]
    recipient: Option<String>,
    /// That wait for a recipient in this domain
    #[arg(long)]
    domain: Option<String>,
    /// That are older than this: 90s, 15m, 4h or 2d
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<i64>,
    /// That are held
    #[arg(long)]
    held: bool,
}

/// A message as `--json` prints it.
#[derive(Serialize)]
struct MessageLine {
    id: String,
    queue_id: u64,
    accepted: String,
    sender: String,
    bytes: u64,
    recipients_waiting: u32,
    state: &'static str,
    next_attempt: Option<String>,
}

/// All of a message as `--json` prints it.
#[derive(Serialize)]
struct MessageWhole {
    #[serde(flatten)]
    line: MessageLine,
    expires: String,
    recipients: Vec<RecipientLine>,
    attempts: Vec<AttemptLine>,
}

#[derive(Serialize)]
struct RecipientLine {
    recipient: String,
    destination: String,
    fate: &'static str,
    attempts: u32,
    next_attempt: Option<String>,
    reason: Option<String>,
    answered_at: Option<String>,
    answered_by: Option<String>,
    answer: Option<String>,
}

#[derive(Serialize)]
struct AttemptLine {
    at: String,
    destination: String,
    recipients: u32,
    outcome: &'static str,
    answered_by: String,
    answer: String,
}

/// Does what is asked.
pub(super) fn run(
    console: &mut Console<'_>,
    store: &dyn Store,
    config: &Config,
    command: &QueueCommand,
) -> Result<(), Failure> {
    let queue = Queue { store, config };
    match command {
        QueueCommand::List { filter, json } => queue.list(console, filter, *json),
        QueueCommand::Show { id, json } => queue.show(console, id, *json, false),
        QueueCommand::Why { id, json } => queue.show(console, id, *json, true),
        QueueCommand::Retry(chosen) => queue.operate(console, chosen, Operation::Retry),
        QueueCommand::Hold(chosen) => queue.operate(console, chosen, Operation::Hold),
        QueueCommand::Release(chosen) => queue.operate(console, chosen, Operation::Release),
        QueueCommand::Drop { chosen, yes } => {
            let question = "This gives messages up, and can't be undone. Type \"drop\" to go on:";
            if !yes && !console.confirm(question, "drop")? {
                return Err(Failure("nothing was dropped".to_owned()));
            }
            queue.operate(console, chosen, Operation::Drop)
        }
    }
}

struct Queue<'a> {
    store: &'a dyn Store,
    config: &'a Config,
}

impl Queue<'_> {
    fn list(
        &self,
        console: &mut Console<'_>,
        filter: &FilterArgs,
        json: bool,
    ) -> Result<(), Failure> {
        if json {
            let mut lines = Vec::new();
            self.each(filter, &mut |entry| {
                lines.push(MessageLine::new(entry));
                Ok(())
            })?;
            return console.json(&lines);
        }
        let mut count = 0_u64;
        self.each(filter, &mut |entry| {
            count += 1;
            let first = entry.first_recipient.as_ref();
            let first = first.map_or_else(String::new, |it| it.path.to_string());
            let others = match entry.waiting {
                0 | 1 => String::new(),
                waiting => format!(" and {} more", waiting - 1),
            };
            let (id, sender) = (&entry.envelope_id, &entry.reverse_path);
            let accepted = time(entry.accepted_at);
            let state = described(state_of(entry), entry.next_due);
            console.line(&format!(
                "{id}  {accepted}  {sender} -> {first}{others}  {state}"
            ))
        })?;
        match count {
            0 => console.line("no message is waiting"),
            1 => console.line("1 message"),
            count => console.line(&format!("{count} messages")),
        }
    }

    fn show(
        &self,
        console: &mut Console<'_>,
        id: &str,
        json: bool,
        with_attempts: bool,
    ) -> Result<(), Failure> {
        let message = self.find(id)?;
        let expires = Schedule::new(&self.config.relay).expires_at(message.summary.accepted_at);
        if json {
            return console.json(&MessageWhole::new(&message, expires));
        }
        let MessageLine {
            id, sender, bytes, ..
        } = MessageLine::new(&message.summary);
        let accepted = time(message.summary.accepted_at);
        console.line(&format!(
            "{id}: {bytes} bytes from {sender}, accepted {accepted}"
        ))?;
        for recipient in &message.recipients {
            let lot = message.lot_of(recipient);
            let line = RecipientLine::new(recipient, lot);
            console.line(&format!("  {}: {}", line.recipient, line.fate))?;
            if let (Some(at), Some(by), Some(answer)) =
                (&line.answered_at, &line.answered_by, &line.answer)
            {
                console.line(&format!("    {at}  {by}: {answer}"))?;
            }
            if recipient.fate == Fate::Waiting {
                console.line(&format!("    {}", next(lot, &line, expires)))?;
            }
        }
        if with_attempts && !message.attempts.is_empty() {
            console.line("what was tried:")?;
            for attempt in &message.attempts {
                let line = AttemptLine::new(attempt);
                console.line(&format!(
                    "  {}  {} recipient(s) at {}, {}: {}: {}",
                    line.at,
                    line.recipients,
                    line.destination,
                    line.outcome,
                    line.answered_by,
                    line.answer
                ))?;
            }
        }
        Ok(())
    }

    fn operate(
        &self,
        console: &mut Console<'_>,
        chosen: &Chosen,
        operation: Operation,
    ) -> Result<(), Failure> {
        let mut entries: Vec<(SpoolId, String)> = Vec::new();
        match chosen.ids.as_slice() {
            [] => self.each(&chosen.filter, &mut |entry| {
                entries.push((entry.id, entry.envelope_id.clone()));
                Ok(())
            })?,
            ids => {
                for id in ids {
                    let message = self.find(id)?;
                    entries.push((message.summary.id, message.summary.envelope_id));
                }
            }
        }
        let mut done = 0;
        for batch in entries.chunks(limits::BATCH_WRITES) {
            let writes: Vec<SpoolWrite> = batch
                .iter()
                .map(|(spool, _)| SpoolWrite::Operate {
                    spool: *spool,
                    recipient: None,
                    operation,
                })
                .collect();
            let results = while_busy(|| self.store.write_spool(clock::unix_now(), writes.clone()))?;
            for ((_, id), result) in batch.iter().zip(results) {
                match result {
                    Ok(_) => done += 1,
                    Err(error) => console.note(&format!("{id}: {error}")),
                }
            }
        }
        // Without the list of the others they find out by themselves, within a minute.
        if let Ok(news) = self.store.look_at_peers() {
            hints::send(&news.sockets, hints::QUEUE);
        }
        let noun = if done == 1 { "message" } else { "messages" };
        let verb = match operation {
            Operation::Retry => "will be tried at once",
            Operation::Hold => "held",
            Operation::Release => "released",
            Operation::Drop => "dropped",
        };
        console.line(&format!("{done} {noun} {verb}"))?;
        match done == entries.len() {
            true => Ok(()),
            false => Err(Failure(format!(
                "{} of {} could not be changed",
                entries.len() - done,
                entries.len()
            ))),
        }
    }

    fn find(&self, id: &str) -> Result<QueuedMessage, Failure> {
        self.store.queued(id)?.ok_or_else(|| {
            Failure(format!(
                "there is no message {id} in the queue: it is delivered or given up, or the id is \
                 another one; \"queue list\" shows those that there are"
            ))
        })
    }

    /// Calls for each message that matches, a piece of the queue at a time.
    fn each(
        &self,
        filter: &FilterArgs,
        act: &mut dyn FnMut(&QueuedSummary) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let now = clock::unix_now();
        let filter = QueueFilter {
            sender: filter.sender.clone(),
            recipient: filter.recipient.clone(),
            domain: filter.domain.as_ref().map(|domain| domain.to_lowercase()),
            accepted_until: filter.older_than.map(|age| UnixTime(now.0 - age)),
            is_held: filter.held,
        };
        let mut after = None;
        loop {
            let entries = self.store.queue(&filter, after, limits::BATCH_WRITES)?;
            let Some(last) = entries.last() else {
                return Ok(());
            };
            after = Some(last.id);
            entries.iter().try_for_each(&mut *act)?;
        }
    }
}

impl MessageLine {
    fn new(entry: &QueuedSummary) -> Self {
        Self {
            id: entry.envelope_id.clone(),
            queue_id: entry.id.0,
            accepted: time(entry.accepted_at),
            sender: entry.reverse_path.to_string(),
            bytes: entry.size_bytes,
            recipients_waiting: entry.waiting,
            state: state_of(entry),
            next_attempt: entry.next_due.map(time),
        }
    }
}

impl MessageWhole {
    fn new(message: &QueuedMessage, expires: UnixTime) -> Self {
        let recipients = message.recipients.iter();
        Self {
            line: MessageLine::new(&message.summary),
            expires: time(expires),
            recipients: recipients
                .map(|recipient| RecipientLine::new(recipient, message.lot_of(recipient)))
                .collect(),
            attempts: message.attempts.iter().map(AttemptLine::new).collect(),
        }
    }
}

impl RecipientLine {
    fn new(recipient: &QueuedRecipient, lot: Option<&QueuedLot>) -> Self {
        let told = recipient.told.as_ref();
        let lot = lot.filter(|_| recipient.fate == Fate::Waiting);
        Self {
            recipient: match &recipient.recipient.path {
                ForwardPath::Postmaster => "postmaster".to_owned(),
                ForwardPath::Address(address) => address.to_string(),
            },
            destination: destination(&recipient.destination),
            fate: fate(recipient.fate),
            attempts: lot.map_or(0, |lot| lot.attempts),
            next_attempt: lot.and_then(|lot| match lot.state {
                LotState::Due(at) => Some(time(at)),
                LotState::Active | LotState::Held => None,
            }),
            reason: lot
                .map(|lot| lot.reason.clone())
                .filter(|reason| !reason.is_empty()),
            answered_at: told.map(|(at, _)| time(*at)),
            answered_by: told.map(|(_, told)| told.by.clone()),
            answer: told.map(|(_, told)| told.answer.clone()),
        }
    }
}

impl AttemptLine {
    fn new(attempt: &rmail_store::QueuedAttempt) -> Self {
        Self {
            at: time(attempt.at),
            destination: destination(&attempt.destination),
            recipients: attempt.recipients,
            outcome: match attempt.fate {
                Fate::Waiting => "put off",
                other => fate(other),
            },
            answered_by: attempt.told.by.clone(),
            answer: attempt.told.answer.clone(),
        }
    }
}

/// What happens next with a recipient that waits, and when.
fn next(lot: Option<&QueuedLot>, line: &RecipientLine, expires: UnixTime) -> String {
    let Some(lot) = lot else {
        return "it is about to go".to_owned();
    };
    let reason = match &line.reason {
        Some(reason) => format!(" ({reason})"),
        None => String::new(),
    };
    let place = &line.destination;
    match lot.state {
        LotState::Active => format!("next: it is being sent to {place} just now"),
        LotState::Held => {
            format!("next: nothing{reason}, until \"queue release\" lets it go on")
        }
        LotState::Due(at) if lot.destination == Destination::Local => {
            format!("next: the mailbox is tried again {}{reason}", time(at))
        }
        LotState::Due(at) => format!(
            "next: attempt {} at {place}, {}{reason}; given up {}",
            lot.attempts + 1,
            time(at),
            time(expires)
        ),
    }
}

fn destination(destination: &Destination) -> String {
    match destination {
        Destination::Local => "a mailbox here".to_owned(),
        Destination::Remote(key) => key.clone(),
    }
}

const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Waiting => "waiting",
        Fate::Delivered => "delivered",
        Fate::Relayed => "relayed",
        Fate::Failed => "failed",
        Fate::Expanded => "expanded",
        Fate::Dropped => "dropped",
    }
}

fn state_of(entry: &QueuedSummary) -> &'static str {
    match (entry.is_active, entry.next_due, entry.is_held) {
        (true, _, _) => "active",
        (false, Some(_), _) => "waiting",
        (false, None, _) => "held",
    }
}

fn described(state: &str, next_due: Option<UnixTime>) -> String {
    match next_due {
        Some(at) => format!("{state}, next attempt {}", time(at)),
        None => state.to_owned(),
    }
}

fn time(time: UnixTime) -> String {
    DateTime::utc(time).rfc3339().to_string()
}

/// Seconds in an age such as `4h`.
fn parse_age(text: &str) -> Result<i64, String> {
    let units = [('s', 1), ('m', 60), ('h', 60 * 60), ('d', 24 * 60 * 60)];
    let found = units
        .iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let age = found.and_then(|(number, seconds)| number.parse::<u32>().ok().zip(Some(seconds)));
    match age {
        Some((number, seconds)) => Ok(i64::from(number) * seconds),
        None => Err("an age is a number and s, m, h or d, as in 4h".to_owned()),
    }
}
