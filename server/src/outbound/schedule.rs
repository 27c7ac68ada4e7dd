//! When a message is tried again, when its sender is told, and when it is given up.

use std::time::Duration;

use rmail_proto::UnixTime;

use crate::config::Relay;

/// The waiting times of the configuration.
#[derive(Clone, Debug)]
pub struct Schedule {
    delays: Vec<Duration>,
    expiry: Duration,
    delay_notice: Duration,
}

/// What follows an attempt that did not succeed and may succeed later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Another attempt.
    At(UnixTime),
    /// Nothing: its time is over.
    Expired,
}

impl Schedule {
    /// That of a configuration.
    pub fn new(relay: &Relay) -> Self {
        Self {
            delays: relay.retry_delays.clone(),
            expiry: relay.expiry,
            delay_notice: relay.delay_notice,
        }
    }

    /// What follows the attempt that ends now, when there were `attempts` before it.
    ///
    /// The last attempt is when the time is over, not before; and one is made when the sender is
    /// to be told of the delay, so that the notice is in time and says what holds.
    pub fn next(&self, accepted_at: UnixTime, attempts: u32, now: UnixTime) -> Next {
        let end = after(accepted_at, self.expiry);
        if now >= end {
            return Next::Expired;
        }
        let index = (attempts as usize).min(self.delays.len() - 1);
        let next = after(now, self.delays[index]).min(end);
        let notice = after(accepted_at, self.delay_notice);
        match now < notice {
            true => Next::At(next.min(notice)),
            false => Next::At(next),
        }
    }

    /// Whether the sender is to be told that it takes longer.
    pub fn is_delayed(&self, accepted_at: UnixTime, now: UnixTime) -> bool {
        now >= after(accepted_at, self.delay_notice)
    }

    /// When a message is given up.
    pub fn expires_at(&self, accepted_at: UnixTime) -> UnixTime {
        after(accepted_at, self.expiry)
    }
}

fn after(time: UnixTime, duration: Duration) -> UnixTime {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    UnixTime(time.0.saturating_add(seconds))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::Config;

    const ACCEPTED: UnixTime = UnixTime(1_800_000_000);

    fn schedule(text: &str) -> Schedule {
        let (config, _) = Config::load(text, Path::new("/etc/rmail")).unwrap();
        Schedule::new(&config.relay)
    }

    /// The times of all attempts, in seconds after the message was accepted.
    fn attempts(schedule: &Schedule) -> Vec<i64> {
        let mut times = vec![0];
        let mut now = ACCEPTED;
        while let Next::At(next) = schedule.next(ACCEPTED, times.len() as u32 - 1, now) {
            now = next;
            times.push(now.0 - ACCEPTED.0);
        }
        times
    }

    #[test]
    fn attempts_are_made_when_the_documentation_says() {
        let (minute, hour, day) = (60, 3600, 86_400);
        let mut plain = schedule(r#"{"relay": {"delay_notice": 31536000}}"#);
        plain.delay_notice = Duration::from_secs(400 * 86_400);
        let mut expected = vec![0];
        for delay in [
            minute,
            5 * minute,
            15 * minute,
            30 * minute,
            hour,
            4 * hour,
            8 * hour,
        ] {
            expected.push(expected[expected.len() - 1] + delay);
        }
        while expected[expected.len() - 1] + day < 5 * day {
            expected.push(expected[expected.len() - 1] + day);
        }
        expected.push(5 * day);
        assert_eq!(attempts(&plain), expected);
    }

    #[test]
    fn an_attempt_is_made_when_the_sender_is_to_be_told() {
        let times = attempts(&schedule("{}"));
        assert!(times.contains(&14_400), "{times:?}");
        assert_eq!(times.last(), Some(&432_000));
        let schedule = schedule("{}");
        assert!(!schedule.is_delayed(ACCEPTED, UnixTime(ACCEPTED.0 + 14_399)));
        assert!(schedule.is_delayed(ACCEPTED, UnixTime(ACCEPTED.0 + 14_400)));
    }

    proptest! {
        #[test]
        fn time_goes_on_and_ends(attempts in 0_u32..100, passed in 0_i64..500_000) {
            let now = UnixTime(ACCEPTED.0 + passed);
            match schedule("{}").next(ACCEPTED, attempts, now) {
                Next::At(next) => {
                    prop_assert!(next > now);
                    prop_assert!(next.0 <= ACCEPTED.0 + 432_000);
                }
                Next::Expired => prop_assert!(passed >= 432_000),
            }
        }
    }
}
