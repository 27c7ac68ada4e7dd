//! The wall clock.

use std::time::SystemTime;

use jiff::Timestamp;
use rmail_proto::UnixTime;

/// The time of day, for the command line; everything else is told what time it is.
#[expect(clippy::disallowed_methods, reason = "somebody has to look")]
pub fn unix_now() -> UnixTime {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since_1970.map_or(0, |duration| duration.as_secs());
    UnixTime(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The time of day, for the log.
#[expect(clippy::disallowed_methods, reason = "somebody has to look")]
pub fn timestamp() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let micros = since_1970.map_or(0, |duration| duration.as_micros());
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}
