//! What many runs came to.

use std::fmt;

use super::Outcome;

/// Sums over runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    runs: u64,
    sum: Outcome,
}

impl Figures {
    /// One more run. The order of runs changes nothing.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        let sum = &mut self.sum;
        // The traces of all runs, in no order.
        sum.trace_hash ^= outcome.trace_hash;
        sum.trace_lines += outcome.trace_lines;
        sum.virtual_time += outcome.virtual_time;
        sum.acknowledged += outcome.acknowledged;
        sum.attempts += outcome.attempts;
        sum.reports += outcome.reports;
        sum.commands += outcome.commands;
        sum.requests += outcome.requests;
        sum.views_compared += outcome.views_compared;
        sum.disk_operations += outcome.disk_operations;
        sum.disk_faults += outcome.disk_faults;
        sum.counts.jobs += outcome.counts.jobs;
        sum.counts.kills += outcome.counts.kills;
        sum.counts.power_losses += outcome.counts.power_losses;
        sum.counts.streams_lost += outcome.counts.streams_lost;
        sum.counts.stalls += outcome.counts.stalls;
        sum.counts.datagram_faults += outcome.counts.datagram_faults;
        sum.counts.dialled += outcome.counts.dialled;
        sum.counts.partitions += outcome.counts.partitions;
    }
}

impl fmt::Display for Figures {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { counts, .. } = self.sum;
        let hours = self.sum.virtual_time.as_secs() / 3600;
        let lines = [
            ("runs", self.runs),
            ("virtual hours", hours),
            ("messages accepted", self.sum.acknowledged),
            ("connections to others", counts.dialled),
            ("attempts seen by peers", self.sum.attempts),
            ("reports to senders", self.sum.reports),
            ("IMAP commands", self.sum.commands),
            ("HTTP requests", self.sum.requests),
            ("views compared", self.sum.views_compared),
            ("jobs", counts.jobs),
            ("disk operations", self.sum.disk_operations),
            ("disk faults", self.sum.disk_faults),
            ("power losses", counts.power_losses),
            ("processes killed", counts.kills),
            ("connections lost", counts.streams_lost),
            ("connections stalled", counts.stalls),
            ("partitions", counts.partitions),
            ("datagrams lost, doubled", counts.datagram_faults),
            ("trace lines", self.sum.trace_lines),
        ];
        for (name, number) in lines {
            writeln!(f, "{name:<24} {number:>12}")?;
        }
        writeln!(f, "{:<20} {:016x}", "trace hash", self.sum.trace_hash)
    }
}
