//! How long a peer may take with a content.

use core::time::Duration;

use crate::{Instant, limits};

/// A deadline that moves on with the bytes that come.
///
/// A peer that sends nothing has the timeout that it starts with; each byte earns it the time that
/// the byte would take at [`limits::CONTENT_BYTES_PER_SECOND`], and no more than the
/// timeout can be saved up. So a peer that trickles is cut off, and one that keeps the rate never.
/// The time that the world takes is not the peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    timeout: Duration,
    turn: Turn,
}

#[derive(Clone, Copy, Debug)]
enum Turn {
    Running { deadline: Instant },
    Paused { left: Duration },
}

impl Pace {
    pub(crate) fn start(now: Instant, timeout: Duration) -> Self {
        let deadline = now + timeout;
        let turn = Turn::Running { deadline };
        Self { timeout, turn }
    }

    /// So many bytes came.
    pub(crate) fn advance(&mut self, now: Instant, bytes: usize) {
        if let Turn::Running { deadline } = &mut self.turn {
            let nanoseconds = bytes as u64 * 1_000_000_000 / limits::CONTENT_BYTES_PER_SECOND;
            let earned = *deadline + Duration::from_nanos(nanoseconds);
            *deadline = earned.min(now + self.timeout);
        }
    }

    /// It is the world's turn.
    pub(crate) fn pause(&mut self, now: Instant) {
        if let Turn::Running { deadline } = self.turn {
            let left = deadline.since(now);
            self.turn = Turn::Paused { left };
        }
    }

    /// It is the peer's turn again.
    pub(crate) fn resume(&mut self, now: Instant) {
        if let Turn::Paused { left } = self.turn {
            let deadline = now + left;
            self.turn = Turn::Running { deadline };
        }
    }

    /// When the peer is too late, while it is its turn.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self.turn {
            Turn::Running { deadline } => Some(deadline),
            Turn::Paused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    /// Seconds until a peer is cut off that sends so many bytes each second.
    fn lasts(bytes: usize) -> Option<u64> {
        let mut pace = Pace::start(after(0), limits::HTTP_CONTENT_TIMEOUT);
        (1..10_000).find(|&second| {
            let is_late = pace.deadline().unwrap() <= after(second);
            pace.advance(after(second), bytes);
            is_late
        })
    }

    #[test]
    fn peer_that_keeps_the_rate_is_never_late_and_one_that_trickles_is() {
        let rate = usize::try_from(limits::CONTENT_BYTES_PER_SECOND).unwrap();
        assert_eq!(lasts(rate), None);
        assert_eq!(lasts(0), Some(limits::HTTP_CONTENT_TIMEOUT.as_secs()));
        assert!(lasts(1).unwrap() <= limits::HTTP_CONTENT_TIMEOUT.as_secs() + 1);
        assert!(lasts(rate / 2).unwrap() <= 2 * limits::HTTP_CONTENT_TIMEOUT.as_secs());
    }

    #[test]
    fn no_more_than_the_timeout_can_be_saved_up() {
        let mut pace = Pace::start(after(0), limits::HTTP_CONTENT_TIMEOUT);
        pace.advance(after(1), usize::MAX >> 32);
        assert_eq!(
            pace.deadline(),
            Some(after(1) + limits::HTTP_CONTENT_TIMEOUT)
        );
    }

    #[test]
    fn the_worlds_time_is_not_the_peers() {
        let mut pace = Pace::start(after(0), limits::HTTP_CONTENT_TIMEOUT);
        pace.pause(after(10));
        assert_eq!(pace.deadline(), None);
        pace.resume(after(1000));
        assert_eq!(
            pace.deadline(),
            Some(after(990) + limits::HTTP_CONTENT_TIMEOUT)
        );
    }
}
