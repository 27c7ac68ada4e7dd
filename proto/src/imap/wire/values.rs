//! The values of the grammar (RFC 3501 §9): sets, flags and dates.

use alloc::vec::Vec;

use super::{
    SequenceNumber, SequenceSet,
    cursor::{Cursor, Parsed, bad},
};
use crate::{DateTime, Flags, Keyword, Keywords, SystemFlags, imap::SpecialUse, limits};

impl Cursor<'_> {
    /// ```abnf
    /// sequence-set = (seq-number / seq-range) *("," sequence-set)
    /// seq-range    = seq-number ":" seq-number
    /// seq-number   = nz-number / "*"
    /// ```
    pub(super) fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        let mut ranges = Vec::new();
        loop {
            if ranges.len() == limits::IMAP_SET_RANGES {
                return bad("Too many ranges in a set");
            }
            let first = self.sequence_number()?;
            let last = if self.take(b':') {
                self.sequence_number()?
            } else {
                first
            };
            ranges.push((first, last));
            if !self.take(b',') {
                return Ok(SequenceSet(ranges));
            }
        }
    }

    fn sequence_number(&mut self) -> Parsed<SequenceNumber> {
        if self.take(b'*') {
            return Ok(SequenceNumber::Star);
        }
        self.nonzero().map(SequenceNumber::Number)
    }

    /// `flag-list = "(" [flag *(SP flag)] ")"`
    pub(super) fn flag_list(&mut self) -> Parsed<Flags> {
        let flags = self.list(Self::flag)?;
        collect_flags(flags)
    }

    /// `flag-list / (flag *(SP flag))`
    pub(super) fn flag_list_or_flags(&mut self) -> Parsed<Flags> {
        if self.peek() == Some(b'(') {
            return self.flag_list();
        }
        let mut flags = Vec::from([self.flag()?]);
        while self.take(b' ') {
            flags.push(self.flag()?);
        }
        collect_flags(flags)
    }

    /// ```abnf
    /// flag         = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword
    /// flag-keyword = atom
    /// ```
    ///
    /// `\Recent` can't be set by a client (RFC 3501 §2.3.2), and no other flag has a backslash.
    fn flag(&mut self) -> Parsed<Flag> {
        if !self.take(b'\\') {
            return self.flag_keyword().map(Flag::Keyword);
        }
        let name = self.atom()?;
        let known = SystemFlags::NAMED
            .iter()
            .find(|(_, known)| known[1..].eq_ignore_ascii_case(name));
        match known {
            Some(&(flag, _)) => Ok(Flag::System(flag)),
            None if name.eq_ignore_ascii_case("Recent") => bad("\\Recent can't be changed"),
            None => bad("No such system flag"),
        }
    }

    /// `flag-keyword = atom`
    pub(super) fn flag_keyword(&mut self) -> Parsed<Keyword> {
        match Keyword::new(self.atom()?) {
            Some(keyword) => Ok(keyword),
            None => bad("Keyword is too long"),
        }
    }

    /// `use-attr = "\Archive" / "\Drafts" / "\Junk" / "\Sent" / "\Trash" / ...` (RFC 6154 §6);
    /// `None` for uses that are not kept here.
    pub(super) fn special_use(&mut self) -> Parsed<Option<SpecialUse>> {
        self.expect(b'\\', "Expected a special use")?;
        Ok(match self.keyword()?.as_str() {
            "ARCHIVE" => Some(SpecialUse::Archive),
            "DRAFTS" => Some(SpecialUse::Drafts),
            "JUNK" => Some(SpecialUse::Junk),
            "SENT" => Some(SpecialUse::Sent),
            "TRASH" => Some(SpecialUse::Trash),
            _ => None,
        })
    }

    /// ```abnf
    /// date      = date-text / DQUOTE date-text DQUOTE
    /// date-text = date-day "-" date-month "-" date-year
    /// ```
    ///
    /// As days since 1970-01-01.
    pub(super) fn date(&mut self) -> Parsed<i64> {
        let quoted = self.take(b'"');
        let date = self.date_text()?;
        if quoted {
            self.expect(b'"', "Expected a closing quote")?;
        }
        match DateTime::from_civil(date, (0, 0, 0), 0) {
            Some(date) => Ok(date.day_number()),
            None => bad("No such date"),
        }
    }

    /// ```abnf
    /// date-time      = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE
    /// date-day-fixed = (SP DIGIT) / 2DIGIT
    /// time           = 2DIGIT ":" 2DIGIT ":" 2DIGIT
    /// zone           = ("+" / "-") 4DIGIT
    /// ```
    ///
    /// A day of one digit without the space is tolerated.
    pub(super) fn date_time(&mut self) -> Parsed<DateTime> {
        const COLON: &str = "Expected a colon";
        self.expect(b'"', "Expected a date and time")?;
        let _padded = self.take(b' ');
        let date = self.date_text()?;
        self.space()?;
        let hour = self.digits(2, 2)?;
        self.expect(b':', COLON)?;
        let minute = self.digits(2, 2)?;
        self.expect(b':', COLON)?;
        let second = self.digits(2, 2)?;
        self.space()?;
        let west = self.take(b'-');
        if !west {
            self.expect(b'+', "Expected a zone")?;
        }
        let (zone_hours, zone_minutes) = (self.digits(2, 2)?, self.digits(2, 2)?);
        self.expect(b'"', "Expected a closing quote")?;
        let zone = zone_hours as i16 * 60 + zone_minutes as i16;
        let zone = if west { -zone } else { zone };
        match DateTime::from_civil(date, (hour, minute, second), zone) {
            Some(date_time) if zone_minutes < 60 => Ok(date_time),
            Some(_) | None => bad("No such date or time"),
        }
    }

    /// Year, month and day.
    fn date_text(&mut self) -> Parsed<(u32, u32, u32)> {
        const DASH: &str = "Expected a dash";
        let day = self.digits(1, 2)?;
        self.expect(b'-', DASH)?;
        let month = self.take_while(|byte| byte.is_ascii_alphabetic());
        let Some(month) = DateTime::month_from_name(month) else {
            return bad("Expected a month");
        };
        self.expect(b'-', DASH)?;
        Ok((self.digits(4, 4)?, month, day))
    }

    /// A number of so many digits (at most nine); the digits after them are left.
    fn digits(&mut self, digits_min: usize, digits_max: usize) -> Parsed<u32> {
        let (mut number, mut count) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = self.peek().filter(|_| count < digits_max) {
            self.take(digit);
            number = number * 10 + u32::from(digit - b'0');
            count += 1;
        }
        match count >= digits_min {
            true => Ok(number),
            false => bad("Too few digits"),
        }
    }
}

enum Flag {
    System(SystemFlags),
    Keyword(Keyword),
}

fn collect_flags(flags: Vec<Flag>) -> Parsed<Flags> {
    let mut system = SystemFlags::NONE;
    let mut keywords = Vec::new();
    for flag in flags {
        match flag {
            Flag::System(flag) => system = system | flag,
            Flag::Keyword(keyword) => keywords.push(keyword),
        }
    }
    let keywords: Keywords = keywords.into_iter().collect();
    match keywords.len() <= Keywords::COUNT_MAX {
        true => Ok(Flags { system, keywords }),
        false => bad("Too many keywords"),
    }
}
