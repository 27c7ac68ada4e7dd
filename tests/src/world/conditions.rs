//! How fast things go, and what gets lost on the way.

use std::time::Duration;

use crate::Link;

/// What holds in a world besides its faults.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// How streams that are opened from now on carry bytes.
    pub link: Link,
    /// Longest time that a job waits for a thread, and that its end goes unnoticed.
    pub job_wait_max: Duration,
    /// Longest time that a datagram takes; they overtake each other.
    pub datagram_latency_max: Duration,
    /// Of a thousand datagrams, how many never arrive.
    pub datagrams_lost_per_mille: u32,
    /// Of a thousand datagrams, how many arrive twice.
    pub datagrams_doubled_per_mille: u32,
}

impl Default for Conditions {
    /// A quiet machine, and clients on good connections.
    fn default() -> Self {
        Self {
            link: Link::default(),
            job_wait_max: Duration::from_millis(3),
            datagram_latency_max: Duration::from_millis(2),
            datagrams_lost_per_mille: 0,
            datagrams_doubled_per_mille: 0,
        }
    }
}
