//! Time as an argument: a monotonic instant, a wall clock, dates with a zone, and deadlines.

use core::{fmt, ops, time::Duration};

use crate::AsciiText;

/// A point of a monotonic clock whose start means nothing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Instant {
    nanoseconds: u64,
}

impl Instant {
    /// The instant that lies this long after the clock's start.
    pub const fn from_start(since_start: Duration) -> Self {
        Self {
            nanoseconds: since_start.as_nanos() as u64,
        }
    }

    /// How long after the clock's start this instant lies.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanoseconds)
    }

    /// The time from `earlier` to this instant; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanoseconds.saturating_sub(earlier.nanoseconds))
    }
}

impl ops::Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of the clock (584 years).
    fn add(self, duration: Duration) -> Self {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self {
            nanoseconds: self.nanoseconds.saturating_add(nanoseconds),
        }
    }
}

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub i64);

/// Both clocks, read together by the driver.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// The monotonic clock: deadlines.
    pub at: Instant,
    /// The wall clock: dates.
    pub unix: UnixTime,
}

/// When a machine wants to be woken, and why.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timeout {
    /// The deadline.
    pub at: Instant,
    /// What is waited for until then.
    pub timer: Timer,
}

/// The timers of all machines.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Timer {
    /// When to give up waiting for the next command or the rest of one; as a client, for the reply
    /// to one.
    Command,
    /// When to give up waiting for more of a message.
    Data,
    /// When to end a session that has not logged in.
    Login,
    /// When to give up on a TLS handshake.
    Handshake,
    /// When to send the answer to a failed login, so that guessing is slow.
    Penalty,
    /// When to tell an idling client that the connection lives.
    KeepAlive,
    /// When to give up on a peer that takes no bytes.
    Send,
    /// When to end a session that outlives a shutdown.
    Shutdown,
}

/// A moment with the zone it was written in, as INTERNALDATE and Date fields carry it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DateTime {
    /// The moment.
    pub unix: UnixTime,
    /// Minutes east of UTC, within ±1,439.
    pub zone_minutes: i16,
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const DAY_SECONDS: i64 = 86_400;

/// A date and time of day as a person reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Civil {
    year: i64,
    month: u8,
    day: u8,
    second_of_day: u32,
}

impl DateTime {
    /// This moment in UTC.
    pub const fn utc(unix: UnixTime) -> Self {
        Self {
            unix,
            zone_minutes: 0,
        }
    }

    /// The moment that this local time in this zone is, or `None` when there is no such date or
    /// time of day (a 60th second is read as the 59th), or the year is not within 1 to 9999.
    pub fn from_civil(
        (year, month, day): (u32, u32, u32),
        (hour, minute, second): (u32, u32, u32),
        zone_minutes: i16,
    ) -> Option<Self> {
        let valid = (1..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60
            && zone_minutes.unsigned_abs() < 24 * 60;
        if !valid {
            return None;
        }
        let local = days_from_civil(i64::from(year), month as u8, day as u8) * DAY_SECONDS
            + i64::from(hour * 3600 + minute * 60 + second.min(59));
        Some(Self {
            unix: UnixTime(local - i64::from(zone_minutes) * 60),
            zone_minutes,
        })
    }

    /// The date in its own zone as days since 1970-01-01, which is what SEARCH compares (RFC 3501
    /// §6.4.4: "disregarding time and timezone").
    pub fn day_number(self) -> i64 {
        self.local_seconds().div_euclid(DAY_SECONDS)
    }

    /// Year, month (1 to 12) and day (1 to 31) in its own zone.
    pub fn date(self) -> (i64, u8, u8) {
        let civil = self.civil();
        (civil.year, civil.month, civil.day)
    }

    /// Number of a month by its English name's first three letters, in any case.
    pub fn month_from_name(name: &[u8]) -> Option<u32> {
        MONTHS
            .iter()
            .position(|month| month.as_bytes().eq_ignore_ascii_case(name))
            .map(|index| index as u32 + 1)
    }

    /// Displays as `Tue, 05 Mar 2024 10:11:12 +0200` (RFC 5322 §3.3).
    pub fn rfc5322(self) -> impl fmt::Display {
        Rfc5322(self)
    }

    /// Displays as `05-Mar-2024 10:11:12 +0200` (RFC 3501 §9, `date-time`, without the quotes;
    /// the day is padded with a space there: ` 5-Mar-2024`).
    pub fn imap(self) -> impl fmt::Display {
        Imap(self)
    }

    /// Displays as `Tue, 05 Mar 2024 08:11:12 GMT` (RFC 9110 §5.6.7), always in UTC.
    pub fn http(self) -> impl fmt::Display {
        Http(self)
    }

    /// `2024-03-05T08:11:12Z` (RFC 3339), always in UTC. Years have four digits there: what lies
    /// outside of 0 to 9999 is told as the nearest second within.
    pub fn rfc3339(self) -> AsciiText<20> {
        const YEARS: [i64; 2] = [-62_167_219_200, 253_402_300_799];
        let civil = Self::utc(UnixTime(self.unix.0.clamp(YEARS[0], YEARS[1]))).civil();
        let (year, second) = (civil.year as u32, civil.second_of_day);
        let mut text = *b"0000-00-00T00:00:00Z";
        for (at, number) in [
            (0, year / 100),
            (2, year % 100),
            (5, civil.month.into()),
            (8, civil.day.into()),
            (11, second / 3600),
            (14, second / 60 % 60),
            (17, second % 60),
        ] {
            text[at] += (number / 10) as u8;
            text[at + 1] += (number % 10) as u8;
        }
        AsciiText::new(text)
    }

    fn local_seconds(self) -> i64 {
        self.unix
            .0
            .saturating_add(i64::from(self.zone_minutes) * 60)
    }

    fn civil(self) -> Civil {
        let seconds = self.local_seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
        Civil {
            year,
            month,
            day,
            second_of_day: seconds.rem_euclid(DAY_SECONDS) as u32,
        }
    }

    fn write_day(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.civil();
        let weekday = (self.day_number() + 4).rem_euclid(7) as usize;
        let month = MONTHS[usize::from(civil.month) - 1];
        let weekday = DAYS[weekday];
        write!(f, "{weekday}, {:02} {month} {:04} ", civil.day, civil.year)
    }

    fn write_zone(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.zone_minutes < 0 { '-' } else { '+' };
        let minutes = self.zone_minutes.unsigned_abs();
        write!(f, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }
}

impl Civil {
    fn write_clock(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.second_of_day;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{hour:02}:{minute:02}:{second:02}")
    }
}

struct Rfc5322(DateTime);

impl fmt::Display for Rfc5322 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_day(f)?;
        self.0.civil().write_clock(f)?;
        f.write_str(" ")?;
        self.0.write_zone(f)
    }
}

struct Http(DateTime);

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = DateTime::utc(self.0.unix);
        utc.write_day(f)?;
        utc.civil().write_clock(f)?;
        f.write_str(" GMT")
    }
}

struct Imap(DateTime);

impl fmt::Display for Imap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = self.0.civil();
        let month = MONTHS[usize::from(civil.month) - 1];
        write!(f, "{:2}-{month}-{:04} ", civil.day, civil.year)?;
        civil.write_clock(f)?;
        f.write_str(" ")?;
        self.0.write_zone(f)
    }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    } as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_moment_displays_in_all_forms() {
        let moment = DateTime::from_civil((2024, 3, 5), (10, 11, 12), 120).unwrap();
        assert_eq!(moment.unix, UnixTime(1_709_626_272));
        let shown = moment.rfc5322().to_string();
        assert_eq!(shown, "Tue, 05 Mar 2024 10:11:12 +0200");
        assert_eq!(moment.imap().to_string(), " 5-Mar-2024 10:11:12 +0200");
        assert_eq!(moment.rfc3339().to_string(), "2024-03-05T08:11:12Z");
        assert_eq!(moment.http().to_string(), "Tue, 05 Mar 2024 08:11:12 GMT");
    }

    #[test]
    fn years_of_rfc_3339_have_four_digits() {
        for (seconds, told) in [
            (i64::MIN, "0000-01-01T00:00:00Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
            (-62_167_219_199, "0000-01-01T00:00:01Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            let moment = DateTime::utc(UnixTime(seconds));
            assert_eq!(moment.rfc3339().as_str(), told);
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for (year, month, day) in [(2023, 2, 29), (2024, 13, 1), (2024, 4, 31), (0, 1, 1)] {
            assert_eq!(DateTime::from_civil((year, month, day), (0, 0, 0), 0), None);
        }
        assert_eq!(DateTime::from_civil((2024, 1, 1), (24, 0, 0), 0), None);
    }

    proptest! {
        #[test]
        fn civil_dates_come_back(days in -700_000i64..2_900_000) {
            let (year, month, day) = civil_from_days(days);
            prop_assert_eq!(days_from_civil(year, month, day), days);
        }

        #[test]
        fn any_moment_displays(unix: i64, zone_minutes in -1439i16..1440) {
            let unix = UnixTime(unix);
            let _ = DateTime { unix, zone_minutes }.rfc5322().to_string();
        }
    }
}
