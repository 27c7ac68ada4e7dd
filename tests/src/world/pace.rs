//! How time passes while nobody does anything.
//!
//! A node looks at its peers each second and at its queue each minute, for days when mail waits for
//! days. Such looks find nothing: a world at rest passes over them, to what happens next.

use rmail_proto::Instant;
use rmail_store::QueueFilter;

use super::{START, START_INSTANT, World, host::Host};

/// Messages of a queue that are looked through for when the next is due.
const QUEUED_MAX: usize = 1_000;

impl World {
    /// When somebody wakes or something that waits in a queue is due, whichever is first, in a
    /// world at rest: nobody is connected, no job runs, no message is at work. `None` when it is
    /// not at rest.
    pub fn rests_until(&self) -> Option<Instant> {
        if !self.streams.is_empty() || !self.happenings.is_empty() {
            return None;
        }
        let mut until = self.wakes.first().copied();
        for host in &self.hosts {
            let due = next_due(host)?;
            until = until.into_iter().chain(due).min();
        }
        until.filter(|at| *at > self.now.at)
    }
}

/// When the first message in the queue of a host is due; `None` when one is at work, or it can't
/// be known.
fn next_due(host: &Host) -> Option<Option<Instant>> {
    // Another process may come up only by something that is planned.
    let process = host.servers.iter().flatten().next()?;
    let queue = process
        .world
        .store
        .queue(&QueueFilter::default(), None, QUEUED_MAX);
    let queue = queue.ok().filter(|queue| queue.len() < QUEUED_MAX)?;
    if queue.iter().any(|queued| queued.is_active) {
        return None;
    }
    let due = queue.iter().filter_map(|queued| queued.next_due).min();
    Some(due.map(|due| {
        let seconds = u64::try_from(due.0 - START.0).unwrap_or(0);
        START_INSTANT + std::time::Duration::from_secs(seconds)
    }))
}
