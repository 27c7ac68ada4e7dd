//! The clocks of the machine.

use std::time::{Duration, Instant, SystemTime};

use rmail_server::{Now, UnixTime};

/// A monotonic clock that starts when it is made, and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub(crate) fn now(&self) -> Now {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let unix_seconds = since_1970.map_or(0, |duration| duration.as_secs());
        Now {
            at: rmail_server::Instant::from_start(self.start.elapsed()),
            unix: UnixTime(i64::try_from(unix_seconds).unwrap_or(i64::MAX)),
        }
    }

    /// How long it is until this moment.
    pub(crate) fn until(&self, at: rmail_server::Instant) -> Duration {
        at.since(self.now().at)
    }
}
