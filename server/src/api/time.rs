//! Times as the API writes and reads them.

use rmail_proto::{DateTime, UnixTime};

/// A moment to the nanosecond, as filters compare it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp {
    /// The second.
    pub unix: UnixTime,
    /// Below a billion.
    pub nanoseconds: u32,
}

/// `YYYY-MM-DDTHH:MM:SSZ`
pub fn write_time(time: UnixTime) -> String {
    DateTime::utc(time).rfc3339().to_string()
}

/// `{dateTime, timeZone}` without its zone: `YYYY-MM-DDTHH:MM:SS.0000000`
pub fn write_local_time(time: UnixTime) -> String {
    write_time(time).replace('Z', ".0000000")
}

/// RFC 3339 with `Z` or an offset, without seconds if need be, with up to nine digits behind the
/// point. `None` for what is none, and for dates that there are not.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let zone_at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone_at);
    let (clock, fraction) = match clock.split_once('.') {
        Some((clock, fraction)) => (clock, parse_fraction(fraction)?),
        None => (clock, 0),
    };
    let mut numbers = clock.split(':');
    let (hour, minute) = (two_digits(numbers.next()?)?, two_digits(numbers.next()?)?);
    let second = match numbers.next() {
        Some(second) => two_digits(second)?,
        None if fraction == 0 && !rest[..zone_at].contains('.') => 0,
        None => return None,
    };
    if numbers.next().is_some() {
        return None;
    }
    let clock = (hour, minute, second);
    let time = DateTime::from_civil(parse_civil(date)?, clock, parse_zone(zone)?)?;
    Some(Timestamp {
        unix: time.unix,
        nanoseconds: fraction,
    })
}

/// `YYYY-MM-DD`: the day's beginning in UTC.
pub fn parse_date(text: &str) -> Option<Timestamp> {
    let time = DateTime::from_civil(parse_civil(text)?, (0, 0, 0), 0)?;
    Some(Timestamp {
        unix: time.unix,
        nanoseconds: 0,
    })
}

fn parse_civil(text: &str) -> Option<(u32, u32, u32)> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    let year = year.parse().ok().filter(|_| is_year)?;
    Some((year, two_digits(month)?, two_digits(day)?))
}

fn two_digits(text: &str) -> Option<u32> {
    let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Nanoseconds.
fn parse_fraction(digits: &str) -> Option<u32> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=9).contains(&digits.len());
    format!("{digits:0<9}")
        .parse()
        .ok()
        .filter(|_| is_number && fits)
}

/// Minutes east of UTC.
fn parse_zone(text: &str) -> Option<i16> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let minutes = i16::try_from(hours * 60 + minutes).ok()?;
    match sign {
        "+" => Some(minutes),
        "-" => Some(-minutes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_zone_and_fraction() {
        for (text, seconds, nanoseconds) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01T00:00Z", 0, 0),
            ("1970-01-01t00:00:01z", 1, 0),
            ("1970-01-01T02:00:00+02:00", 0, 0),
            ("1969-12-31T23:30:00-00:30", 0, 0),
            ("1970-01-01T00:00:00.5Z", 0, 500_000_000),
            ("1970-01-01T00:00:00.123456789Z", 0, 123_456_789),
        ] {
            let time = parse_time(text).unwrap();
            assert_eq!(
                (time.unix.0, time.nanoseconds),
                (seconds, nanoseconds),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "T",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-02-30T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567890Z",
            "70-01-01T00:00:00Z",
            "1970-1-01T00:00:00Z",
            "1970-01-01T0:00:00Z",
            "1970-01-01T00:00:00+2:00",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+0200",
            "1970-01-01T00:00:00Zx",
            "1970-01-01T00:00:00:00Z",
            "1970-01-01T00Z",
            "1970-01-01T00:00.5Z",
            "+970-01-01T00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(write_time(UnixTime(1_700_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(write_local_time(UnixTime(0)), "1970-01-01T00:00:00.0000000");
        let dates = [
            ("2024-02-29", Some(1_709_164_800)),
            ("2023-02-29", None),
            ("2024-1-1", None),
        ];
        for (text, seconds) in dates {
            assert_eq!(parse_date(text).map(|time| time.unix.0), seconds, "{text}");
        }
    }
}
