//! What has become of recipients, written down with the reports that it owes.
//!
//! A report goes into the spool in the transaction that notes the fate it tells of: no failure
//! goes untold, and none is told twice. Nothing is reported on a report, whose reverse-path is
//! null.

use std::{collections::BTreeMap, sync::Arc};

use rmail_proto::{
    Address, ForwardPath, Now, ReversePath, UnixTime,
    mime::Summary,
    smtp::{self, EnhancedCode, MailNotice, Recipient},
};
use rmail_store::{
    Concluded, Content, Destination, Fate, NewRecipient, NewSpoolEntry, SpoolEntry, SpoolWrite,
    StoreError, Told,
};

use super::{Job, Node, NodeTimer, delivery::DeliveryId, writes::SpoolOrigin};
use crate::{
    limits,
    outbound::{
        report::{Kind, Original, Report, Reported},
        route::{Route, destination_key, route_path},
        schedule::{Next, Schedule},
    },
};

/// What has become of a recipient.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    pub(super) position: u32,
    pub(super) recipient: Recipient,
    pub(super) fate: Fate,
    pub(super) status: EnhancedCode,
    pub(super) told: Told,
    /// Whether these are the words of an SMTP server.
    pub(super) is_reply: bool,
    /// Whether another server makes the reports from now on.
    pub(super) is_passed_on: bool,
}

/// The end of an attempt.
#[derive(Debug)]
pub(super) struct Conclusion {
    pub(super) original: Original,
    pub(super) reverse_path: ReversePath,
    pub(super) destination: Destination,
    pub(super) attempts: u32,
    pub(super) is_delay_told: bool,
    /// Where the delivery goes on that this is a part of.
    pub(super) delivery: Option<DeliveryId>,
    pub(super) verdicts: Vec<Verdict>,
}

/// A conclusion, or an alias, that waits for its reports.
#[derive(Debug)]
pub struct Pending {
    pub(super) write: SpoolWrite,
    pub(super) origin: SpoolOrigin,
}

impl Original {
    /// That of a claimed lot.
    pub(super) fn of(entry: &SpoolEntry) -> Self {
        Self {
            spool: entry.id,
            envelope_id: entry.envelope_id.clone(),
            accepted_at: entry.accepted_at,
            notice: entry.notice.clone(),
            header_bytes: entry.summary.header_bytes,
            size_bytes: entry.summary.size_bytes,
            smtputf8: entry.smtputf8,
        }
    }
}

impl Node {
    /// Ends an attempt.
    pub(super) fn conclude(&mut self, now: Now, mut conclusion: Conclusion) {
        let schedule = Schedule::new(&self.config.relay);
        let accepted_at = conclusion.original.accepted_at;
        let is_waiting = |verdict: &Verdict| verdict.fate == Fate::Waiting;
        let mut retry_at = None;
        if conclusion.verdicts.iter().any(is_waiting) {
            match schedule.next(accepted_at, conclusion.attempts, now.unix) {
                Next::At(at) => retry_at = Some(at),
                Next::Expired => conclusion.verdicts.iter_mut().for_each(Verdict::expire),
            }
        }
        for verdict in &conclusion.verdicts {
            verdict.log(&conclusion.original.envelope_id, retry_at);
        }
        let is_delayed = schedule.is_delayed(accepted_at, now.unix) && retry_at.is_some();
        let tells_delay = is_delayed && !conclusion.is_delay_told;
        let until = schedule.expires_at(accepted_at);
        let reports = self.reports(now, &conclusion, tells_delay.then_some(until));
        if let (Some(at), Destination::Remote(_)) = (retry_at, &conclusion.destination) {
            self.claim_remote_at(now, at);
        }
        let positions = conclusion.verdicts.iter().map(|verdict| verdict.position);
        let origin = match conclusion.delivery {
            Some(id) => SpoolOrigin::Concluded(id, positions.collect()),
            None => SpoolOrigin::Nobody,
        };
        let write = SpoolWrite::Conclude {
            spool: conclusion.original.spool,
            destination: conclusion.destination,
            concluded: grouped(conclusion.verdicts),
            retry_at,
            tells_delay,
            reports: Vec::new(),
        };
        match reports.is_empty() {
            true => self.write_spool(now, write, origin),
            false => self.run(Job::Report {
                reports,
                pending: Box::new(Pending { write, origin }),
            }),
        }
    }

    /// The reports are written; now they go into the spool with what they tell of.
    pub(super) fn handle_reported(
        &mut self,
        now: Now,
        reports: Vec<Report>,
        mut pending: Pending,
        outcome: Result<Vec<(Content, Summary)>, StoreError>,
    ) {
        let (SpoolWrite::Conclude {
            reports: spooled, ..
        }
        | SpoolWrite::Expand {
            reports: spooled, ..
        }) = &mut pending.write
        else {
            unreachable!("reports belong to a conclusion or an alias");
        };
        match outcome {
            Ok(composed) => {
                for (report, (content, summary)) in reports.into_iter().zip(composed) {
                    spooled.push(self.report_entry(report, content, summary));
                }
            }
            Err(error) => {
                super::log_failure(&error, "a report can't be written");
                self.keep_untold(now, &mut pending.write);
            }
        }
        self.write_spool(now, pending.write, pending.origin);
    }

    /// Nobody is given up of whom nobody would be told.
    fn keep_untold(&mut self, now: Now, write: &mut SpoolWrite) {
        if let SpoolWrite::Conclude {
            concluded,
            retry_at,
            ..
        } = write
        {
            for concluded in concluded.iter_mut() {
                if concluded.fate == Fate::Failed {
                    concluded.fate = Fate::Waiting;
                }
            }
            let later = UnixTime(now.unix.0 + limits::HOLD.as_secs() as i64);
            *retry_at = Some(retry_at.unwrap_or(later));
            self.claim_remote_at(now, later);
        }
    }

    fn report_entry(&self, report: Report, content: Content, summary: Summary) -> NewSpoolEntry {
        let is_utf8 = report.is_utf8();
        let path = ForwardPath::Address(report.to);
        NewSpoolEntry {
            envelope_id: report.id,
            reverse_path: ReversePath::Null,
            notice: MailNotice::default(),
            smtputf8: is_utf8,
            eight_bit_mime: true,
            recipients: vec![NewRecipient {
                destination: self.destination(&path),
                recipient: Recipient::new(path),
            }],
            summary: Arc::new(summary),
            content,
            is_claimed: false,
        }
    }

    /// Where a recipient goes, as the spool names it.
    pub(super) fn destination(&self, path: &ForwardPath) -> Destination {
        match (route_path(&self.config, path), path) {
            (Route::Local, _) | (_, ForwardPath::Postmaster) => Destination::Local,
            (route, ForwardPath::Address(address)) => {
                Destination::Remote(destination_key(&route, address.domain()))
            }
        }
    }

    /// What the sender is to be told: of failures, of successes, of a delay (which is tried until
    /// then).
    pub(super) fn reports(
        &mut self,
        now: Now,
        conclusion: &Conclusion,
        delayed_until: Option<UnixTime>,
    ) -> Vec<Report> {
        let ReversePath::Address(sender) = &conclusion.reverse_path else {
            return Vec::new();
        };
        let mut reports = Vec::new();
        let mut kinds = vec![Kind::Failure, Kind::Success];
        kinds.extend(delayed_until.map(|until| Kind::Delay { until }));
        for kind in kinds {
            let owed = conclusion.verdicts.iter().filter(|it| it.owes(kind));
            let recipients: Vec<Reported> = owed.map(Verdict::reported).collect();
            if !recipients.is_empty() {
                reports.push(self.report(now, sender, kind, &conclusion.original, recipients));
            }
        }
        reports
    }

    fn report(
        &mut self,
        now: Now,
        sender: &Address,
        kind: Kind,
        original: &Original,
        recipients: Vec<Reported>,
    ) -> Report {
        Report {
            id: smtp::write_id(&mut self.entropy, now.unix),
            hostname: self.config.hostname.clone(),
            now: now.unix,
            to: sender.clone(),
            kind,
            original: original.clone(),
            recipients,
        }
    }

    /// Mail to other servers is looked for at this time at the latest.
    pub(super) fn claim_remote_at(&mut self, now: Now, at: UnixTime) {
        let seconds = u64::try_from(at.0.saturating_sub(now.unix.0)).unwrap_or(0);
        let wait = std::time::Duration::from_secs(seconds.max(1));
        self.wake_at(NodeTimer::ClaimRemote, now.at + wait);
    }
}

impl Verdict {
    /// The time for it is over.
    fn expire(&mut self) {
        if self.fate == Fate::Waiting {
            self.fate = Fate::Failed;
            self.status = EnhancedCode(4, 4, 7);
            self.told.answer = format!("{} (given up: it took too long)", self.told.answer);
        }
    }

    /// Whether its sender is to be told so.
    fn owes(&self, kind: Kind) -> bool {
        let wanted = self.recipient.notice.wanted();
        match (kind, self.fate) {
            (Kind::Failure, Fate::Failed) => wanted.failure,
            (Kind::Success, Fate::Delivered | Fate::Expanded) => wanted.success,
            (Kind::Success, Fate::Relayed) => wanted.success && !self.is_passed_on,
            (Kind::Delay { .. }, Fate::Waiting) => wanted.delay,
            (Kind::Failure | Kind::Success | Kind::Delay { .. }, _) => false,
        }
    }

    fn reported(&self) -> Reported {
        Reported {
            recipient: self.recipient.clone(),
            action: match self.fate {
                Fate::Waiting => "delayed",
                Fate::Delivered => "delivered",
                Fate::Relayed => "relayed",
                Fate::Failed | Fate::Dropped => "failed",
                Fate::Expanded => "expanded",
            },
            status: self.status,
            told: self.told.clone(),
            is_reply: self.is_reply,
        }
    }

    fn log(&self, mail: &str, retry_at: Option<UnixTime>) {
        let (recipient, by, answer) = (&self.recipient.path, &self.told.by, &self.told.answer);
        match self.fate {
            Fate::Relayed => tracing::info!(%mail, %recipient, %by, %answer, "relayed"),
            Fate::Delivered | Fate::Expanded => {}
            Fate::Waiting => {
                let again = retry_at.map_or(0, |at| at.0);
                tracing::info!(%mail, %recipient, %by, %answer, again, "put off");
            }
            Fate::Failed | Fate::Dropped => {
                tracing::warn!(%mail, %recipient, %by, %answer, "failed");
            }
        }
    }
}

/// Recipients with one fate by one answer are told of as one.
fn grouped(verdicts: Vec<Verdict>) -> Vec<Concluded> {
    let mut groups: BTreeMap<(Fate, String, String), Vec<u32>> = BTreeMap::new();
    for verdict in verdicts {
        let key = (verdict.fate, verdict.told.by, verdict.told.answer);
        groups.entry(key).or_default().push(verdict.position);
    }
    let concluded = groups.into_iter();
    concluded
        .map(|((fate, by, answer), recipients)| Concluded {
            recipients,
            fate,
            told: Told { by, answer },
        })
        .collect()
}
