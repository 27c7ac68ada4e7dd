//! A section of the configuration while it is read: every key asked for by name, with its default.
//!
//! A fault is noted and the default handed out in its place, so that reading goes on and one run
//! finds all of them.

use std::ops::RangeInclusive;

use super::{Fault, Faults, Warning, raw::Raw};

/// Everything noted while a configuration is read.
#[derive(Debug, Default)]
pub(super) struct Report {
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
    /// Paths of all keys that were asked for: those that exist.
    known: Vec<String>,
    /// Paths of keys that nobody asked for.
    unknown: Vec<String>,
}

/// An object of the configuration; absent and empty are the same.
pub(super) struct Section<'r> {
    /// With a final dot; empty at the top.
    prefix: String,
    members: &'r [(String, Raw)],
    known: Vec<&'static str>,
    report: &'r mut Report,
}

impl Report {
    /// Notes a value that the server can't start with.
    pub(super) fn fault(&mut self, path: String, found: impl Into<String>, expected: &str) {
        self.faults.push(Fault {
            path,
            found: found.into(),
            expected: expected.to_owned(),
        });
    }

    /// Notes something odd.
    pub(super) fn warning(&mut self, path: String, text: String) {
        self.warnings.push(Warning { path, text });
    }

    /// What was found: warnings, or faults if there is any; with the paths of all known keys.
    pub(super) fn finish(mut self) -> (Result<Vec<Warning>, Faults>, Vec<String>) {
        for path in core::mem::take(&mut self.unknown) {
            let text = match nearest(&path, &self.known) {
                Some(known) => format!("unknown key, ignored; did you mean {known}?"),
                None => "unknown key, ignored".to_owned(),
            };
            self.warnings.push(Warning { path, text });
        }
        let result = match self.faults.is_empty() {
            true => Ok(self.warnings),
            false => Err(Faults(self.faults)),
        };
        (result, self.known)
    }
}

impl<'r> Section<'r> {
    /// The whole file.
    pub(super) fn top(raw: &'r Raw, report: &'r mut Report) -> Self {
        Self::open(String::new(), Some(raw), report)
    }

    /// An object below this one.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'_> {
        self.known.push(key);
        let raw = self.members.iter().rev().find(|(name, _)| name == key);
        let prefix = format!("{}{key}.", self.prefix);
        Section::open(prefix, raw.map(|(_, raw)| raw), self.report)
    }

    fn open<'s>(prefix: String, raw: Option<&'s Raw>, report: &'s mut Report) -> Section<'s> {
        let members: &[(String, Raw)] = match raw {
            None => &[],
            Some(Raw::Object(members)) => members,
            Some(other) => {
                let path = match prefix.strip_suffix('.') {
                    Some(path) => path.to_owned(),
                    None => "the whole file".to_owned(),
                };
                report.fault(path, other.to_string(), "an object: { ... }");
                &[]
            }
        };
        Section {
            prefix,
            members,
            known: Vec::new(),
            report,
        }
    }

    /// Ends the section: keys that nobody asked for, and those that came twice, are noted.
    pub(super) fn close(self) {
        for (index, (key, _)) in self.members.iter().enumerate() {
            let path = format!("{}{key}", self.prefix);
            if self.members[..index]
                .iter()
                .any(|(earlier, _)| earlier == key)
            {
                let text = "this key is there more than once; the last one counts".to_owned();
                self.report.warning(path, text);
            } else if !self.known.contains(&key.as_str()) {
                self.report.unknown.push(path);
            }
        }
    }

    /// The path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Where faults and warnings go.
    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        match self.value(key) {
            None => default,
            Some(Raw::Boolean(value)) => *value,
            Some(other) => self.wrong(key, other, "true or false", default),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> u64 {
        match self.value(key) {
            None => default,
            Some(Raw::Integer(value)) if range.contains(value) => *value,
            Some(other) => {
                let (least, most) = (range.start(), range.end());
                let expected = format!("a whole number from {least} to {most}");
                self.wrong(key, other, &expected, default)
            }
        }
    }

    /// A text that `parse` understands. `default` is used when the key is missing.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        default: T,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        match self.value(key) {
            None => default,
            Some(raw) => match text(raw).and_then(parse) {
                Some(value) => value,
                None => self.wrong(key, raw, expected, default),
            },
        }
    }

    /// A text that `parse` understands, or null.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match self.value(key) {
            None | Some(Raw::Null) => None,
            Some(raw) => match text(raw).and_then(parse) {
                Some(value) => Some(value),
                None => self.wrong(key, raw, &format!("{expected}, or null"), None),
            },
        }
    }

    /// A text that must not be shown, or null: `check` says what is wrong with it.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Option<String> {
        match self.value(key) {
            None | Some(Raw::Null) => None,
            Some(Raw::Text(secret)) => match check(secret) {
                Ok(()) => Some(secret.clone()),
                Err(found) => {
                    let path = self.path(key);
                    self.report.fault(path, found, SECRET_EXPECTED);
                    None
                }
            },
            Some(other) => self.wrong(key, other, &format!("{SECRET_EXPECTED}, or null"), None),
        }
    }

    /// A list of texts that `parse` understands, each fault with its position.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        default: Vec<T>,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let items = match self.value(key) {
            None => return default,
            Some(Raw::List(items)) => items,
            Some(other) => {
                return self.wrong(key, other, &format!("a list, each {expected}"), default);
            }
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, raw) in items.iter().enumerate() {
            match text(raw).and_then(&parse) {
                Some(value) => values.push(value),
                None => {
                    let path = format!("{}[{index}]", self.path(key));
                    self.report.fault(path, raw.to_string(), expected);
                }
            }
        }
        values
    }

    /// A list of whole numbers within bounds; at least one.
    pub(super) fn integers(
        &mut self,
        key: &'static str,
        default: &[u64],
        range: RangeInclusive<u64>,
    ) -> Vec<u64> {
        let (least, most) = (range.start(), range.end());
        let expected = format!("a list of whole numbers from {least} to {most}");
        let items = match self.value(key) {
            None => return default.to_vec(),
            Some(Raw::List(items)) if !items.is_empty() => items,
            Some(other) => return self.wrong(key, other, &expected, default.to_vec()),
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, raw) in items.iter().enumerate() {
            match raw {
                Raw::Integer(value) if range.contains(value) => values.push(*value),
                other => {
                    let path = format!("{}[{index}]", self.path(key));
                    self.report.fault(path, other.to_string(), &expected);
                }
            }
        }
        values
    }

    /// As [`list`](Self::list), or null.
    pub(super) fn optional_list<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<Vec<T>> {
        if self.is_set(key) {
            return Some(self.list(key, Vec::new(), expected, parse));
        }
        self.value(key);
        None
    }

    /// Whether the key is there and not null.
    pub(super) fn is_set(&self, key: &str) -> bool {
        let is_key = |(name, _): &&(String, Raw)| name == key;
        let value = self.members.iter().rev().find(is_key);
        value.is_some_and(|(_, raw)| *raw != Raw::Null)
    }

    /// Whether the key holds a list without items.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let is_key = |(name, _): &&(String, Raw)| name == key;
        let value = self.members.iter().rev().find(is_key);
        value.is_some_and(|(_, raw)| *raw == Raw::List(Vec::new()))
    }

    fn value(&mut self, key: &'static str) -> Option<&'r Raw> {
        let path = self.path(key);
        self.known.push(key);
        self.report.known.push(path);
        let members = self.members;
        let member = members.iter().rev().find(|(name, _)| name == key);
        member.map(|(_, raw)| raw)
    }

    fn wrong<T>(&mut self, key: &str, found: &Raw, expected: &str, instead: T) -> T {
        let path = self.path(key);
        self.report.fault(path, found.to_string(), expected);
        instead
    }
}

/// What a secret should be.
const SECRET_EXPECTED: &str = "a random text of 32 bytes or more (openssl rand -base64 32)";

fn text(raw: &Raw) -> Option<&str> {
    match raw {
        Raw::Text(text) => Some(text),
        Raw::Null
        | Raw::Boolean(_)
        | Raw::Integer(_)
        | Raw::OtherNumber(_)
        | Raw::List(_)
        | Raw::Object(_) => None,
    }
}

/// The known path that looks most like `path`: by its last name, in the same section at best.
fn nearest<'k>(path: &str, known: &'k [String]) -> Option<&'k str> {
    const SIMILAR_ENOUGH: f64 = 0.6;
    const SAME_SECTION_BONUS: f64 = 0.1;
    let split = |path: &str| match path.rsplit_once('.') {
        Some((section, name)) => (section.to_owned(), name.to_lowercase()),
        None => (String::new(), path.to_lowercase()),
    };
    let (section, name) = split(path);
    let score = |candidate: &str| {
        let (candidate_section, candidate_name) = split(candidate);
        let bonus = match candidate_section == section {
            true => SAME_SECTION_BONUS,
            false => 0.0,
        };
        strsim::normalized_damerau_levenshtein(&name, &candidate_name) + bonus
    };
    let sections = known
        .iter()
        .filter_map(|path| Some(path.rsplit_once('.')?.0));
    let mut best = None;
    for candidate in known.iter().map(String::as_str).chain(sections) {
        let score = score(candidate);
        if score >= SIMILAR_ENOUGH && best.is_none_or(|(_, most)| score > most) {
            best = Some((candidate, score));
        }
    }
    best.map(|(candidate, _)| candidate)
}
