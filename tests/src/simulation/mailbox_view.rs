//! A mailbox as a client knows it that hears untagged responses alone.

use std::collections::BTreeSet;

/// One message; flags without `\Recent`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Known {
    pub(super) uid: Option<u32>,
    pub(super) flags: Option<BTreeSet<String>>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct MailboxView {
    pub(super) messages: Vec<Known>,
}

/// What an untagged response said.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// The message with this UID is gone; `None`: nobody knew its UID.
    Expunged(Option<u32>),
    /// Data of a message, by its UID where that is known.
    Fetched(Option<u32>),
    /// Something else.
    Other,
}

impl MailboxView {
    /// Takes an untagged response.
    ///
    /// # Panics
    ///
    /// When it can't be true, or stands where it must not (RFC 3501 §7.3.1, §7.4.1).
    pub(super) fn hear(&mut self, line: &str, may_expunge: bool) -> Heard {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let number = words.get(1).and_then(|word| word.parse::<usize>().ok());
        match (number, words.get(2).copied()) {
            (Some(number), Some("EXPUNGE")) => {
                assert!(may_expunge, "EXPUNGE where it may not be sent: {line}");
                assert!(self.is_there(number), "EXPUNGE of nothing: {line}");
                Heard::Expunged(self.messages.remove(number - 1).uid)
            }
            (Some(count), Some("EXISTS")) => {
                let known = self.messages.len();
                assert!(count >= known, "EXISTS shrinks from {known}: {line}");
                self.messages.resize(count, Known::default());
                Heard::Other
            }
            (Some(number), Some("FETCH")) => {
                assert!(self.is_there(number), "FETCH of nothing: {line}");
                Heard::Fetched(self.messages[number - 1].hear(line))
            }
            (Some(_) | None, _) => Heard::Other,
        }
    }

    /// Numbers of the messages of which something is not known.
    pub(super) fn unknown(&self) -> Vec<usize> {
        let is_unknown = |known: &Known| known.uid.is_none() || known.flags.is_none();
        let numbers = 1..=self.messages.len();
        numbers
            .filter(|number| is_unknown(&self.messages[number - 1]))
            .collect()
    }

    fn is_there(&self, number: usize) -> bool {
        (1..=self.messages.len()).contains(&number)
    }
}

impl Known {
    fn hear(&mut self, line: &str) -> Option<u32> {
        if let Some((_, rest)) = line.split_once("UID ") {
            let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
            let uid = digits.and_then(|digits| digits.parse().ok());
            let uid = uid.unwrap_or_else(|| panic!("no UID: {line}"));
            assert!(
                self.uid.is_none_or(|known| known == uid),
                "a message has another UID: {line}"
            );
            self.uid = Some(uid);
        }
        if let Some((_, rest)) = line.split_once("FLAGS (") {
            let (list, _) = rest.split_once(')').unwrap_or_else(|| panic!("{line}"));
            let kept = list.split_whitespace().filter(|name| *name != "\\Recent");
            self.flags = Some(kept.map(str::to_owned).collect());
        }
        self.uid
    }
}
