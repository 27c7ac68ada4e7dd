//! The Date field (RFC 5322 §3.3 and §4.3).

use alloc::vec::Vec;

use super::lexer::Lexer;
use crate::DateTime;

/// Reads `[day-of-week ","] day month year hour ":" minute [":" second] [zone]`.
///
/// Two-digit years are 1970 to 2069, and three-digit ones count from 1900 (RFC 5322 §4.3, but for
/// the years 50 to 69, which no mail is from). The named zones of RFC 822 are known, others are
/// taken as UTC, as is a missing one. `None` when there is no such date.
pub fn parse_date(value: &[u8]) -> Option<DateTime> {
    let mut tokens = Tokens(Lexer::new(value));
    let _ = tokens.0.skip_space();
    let mut day = tokens.next()?;
    if !day[0].is_ascii_digit() {
        if tokens.0.at(b',') {
            tokens.0.bump();
            let _ = tokens.0.skip_space();
        }
        day = tokens.next()?;
    }
    let day = number(&day, 1..=2)?;
    let month = DateTime::month_from_name(tokens.next()?.get(..3)?)?;
    let year = year(&tokens.next()?)?;
    let hour = number(&tokens.next()?, 1..=2)?;
    tokens.time_separator()?;
    let minute = number(&tokens.next()?, 1..=2)?;
    let second = match tokens.time_separator() {
        Some(()) => number(&tokens.next()?, 1..=2)?,
        None => 0,
    };
    let zone_minutes = tokens.next().map_or(0, |name| zone(&name));
    DateTime::from_civil((year, month, day), (hour, minute, second), zone_minutes)
}

struct Tokens<'a>(Lexer<'a>);

impl Tokens<'_> {
    /// The next atom, which is not empty.
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut token = Vec::new();
        // What is behind the atom may be faulty without harm.
        let _ = self.0.atom(&mut token);
        (!token.is_empty()).then_some(token)
    }

    /// A colon, or the dot that some write for it.
    fn time_separator(&mut self) -> Option<()> {
        matches!(self.0.peek(), Some(b':' | b'.')).then(|| {
            self.0.bump();
            let _ = self.0.skip_space();
        })
    }
}

fn number(digits: &[u8], length: core::ops::RangeInclusive<usize>) -> Option<u32> {
    if !length.contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = |sum, digit: &u8| sum * 10 + u32::from(digit - b'0');
    Some(digits.iter().fold(0, value))
}

fn year(digits: &[u8]) -> Option<u32> {
    let year = number(digits, 2..=4)?;
    Some(match digits.len() {
        2 if year < 70 => year + 2000,
        2 | 3 => year + 1900,
        _ => year,
    })
}

/// Minutes east of UTC (RFC 5322 §4.3: military zones say nothing).
fn zone(name: &[u8]) -> i16 {
    if let [sign @ (b'+' | b'-'), digits @ ..] = name {
        let Some(value) = number(digits, 4..=4) else {
            return 0;
        };
        let minutes = (value / 100 * 60 + value % 100) as i16;
        let valid = value % 100 < 60 && minutes < 24 * 60;
        return match (valid, sign) {
            (false, _) => 0,
            (true, b'-') => -minutes,
            (true, _) => minutes,
        };
    }
    let hours = match name.to_ascii_uppercase().as_slice() {
        b"EDT" => -4,
        b"EST" | b"CDT" => -5,
        b"CST" | b"MDT" => -6,
        b"MST" | b"PDT" => -7,
        b"PST" => -8,
        _ => 0,
    };
    hours * 60
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;
    use crate::UnixTime;

    fn read(text: &str) -> String {
        parse_date(text.as_bytes()).map_or("-".into(), |date| date.imap().to_string())
    }

    #[test]
    fn usual_dates_are_read() {
        assert_eq!(
            read("Fri, 21 Nov 1997 09:55:06 -0600"),
            "21-Nov-1997 09:55:06 -0600"
        );
        assert_eq!(
            read(" 1 Jul 2003 10:52 +0200 (CEST)\r\n"),
            " 1-Jul-2003 10:52:00 +0200"
        );
        assert_eq!(
            read("Thu,\r\n 13\r\n Feb\r\n 1969 23:32:54 -0330"),
            "13-Feb-1969 23:32:54 -0330"
        );
    }

    #[test]
    fn obsolete_dates_are_read() {
        assert_eq!(read("21 Nov 97 09:55:06 GMT"), "21-Nov-1997 09:55:06 +0000");
        assert_eq!(
            read("Mon (a) , 1 January 05 9 : 5:6 PDT"),
            " 1-Jan-2005 09:05:06 -0700"
        );
        assert_eq!(read("1 Jan 103 09:05 K"), " 1-Jan-2003 09:05:00 +0000");
        assert_eq!(
            read("Tue 2 Mar 2004 01.02.03 nowhere"),
            " 2-Mar-2004 01:02:03 +0000"
        );
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "Mon,",
            "32 Jan 2004 01:02:03",
            "1 Foo 2004 01:02",
            "2004-01-02T03:04:05Z",
        ] {
            assert_eq!(read(text), "-", "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_dates_come_back(unix in -2_000_000_000i64..4_000_000_000, zone in -1439i16..1440) {
            let date = DateTime { unix: UnixTime(unix), zone_minutes: zone };
            prop_assert_eq!(parse_date(date.rfc5322().to_string().as_bytes()), Some(date));
        }

        #[test]
        fn agrees_with_mail_parser(unix in 0i64..4_000_000_000, zone in -1439i16..1440) {
            let date = DateTime { unix: UnixTime(unix), zone_minutes: zone };
            let text = date.rfc5322().to_string();
            let oracle = mail_parser::DateTime::parse_rfc822(&text).unwrap();
            prop_assert_eq!(oracle.to_timestamp(), unix);
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse_date(&bytes);
        }
    }
}
