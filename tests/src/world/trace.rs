//! What happened in a world, in fixed columns, with a hash of all of it.
//!
//! ```text
//!   1000.012345  stream 3      C: EHLO client.example.net
//!   1000.031000  process 1     job WriteSpool
//! ```
//!
//! Two runs with the same seed give the same lines. What differs between such runs (the bytes of
//! TLS records) never gets in here; how many they are does.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use rmail_proto::Instant;

/// Bytes of one line's last column.
const TEXT_BYTES_MAX: usize = 200;

/// FNV-1a, 64 bits: <https://datatracker.ietf.org/doc/draft-eastlake-fnv/>.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// Lines, hashed, and written to a file where one is wanted.
pub struct Trace {
    hash: u64,
    lines: u64,
    line: String,
    file: Option<BufWriter<File>>,
}

impl Trace {
    /// A trace that is hashed only.
    pub(super) fn new() -> Self {
        Self {
            hash: FNV_OFFSET,
            lines: 0,
            line: String::new(),
            file: None,
        }
    }

    /// From now on, lines go to this file, too.
    ///
    /// # Panics
    ///
    /// When it can't be made.
    pub fn write_to(&mut self, path: &Path) {
        let file = File::create(path);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.file = Some(BufWriter::new(file));
    }

    /// Stands for all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many there are.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// One line.
    pub(crate) fn line(&mut self, at: Instant, place: impl fmt::Display, text: fmt::Arguments<'_>) {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let since = at.since_start();
        let (seconds, micros) = (since.as_secs(), since.subsec_micros());
        let mut columns = Bounded {
            line: &mut line,
            bytes_left: TEXT_BYTES_MAX,
        };
        // What is longer is cut.
        write!(columns, "{seconds:>8}.{micros:06}  {place:<13} {text}").ok();
        line.push('\n');
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
        self.lines += 1;
        if let Some(file) = &mut self.file {
            let written = file.write_all(line.as_bytes());
            written.expect("the trace's file takes what is written");
        }
        self.line = line;
    }
}

/// The first word of what something is, for people: its kind.
pub(super) struct Kind<T>(pub(super) T);

impl<T: fmt::Debug> fmt::Display for Kind<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut word = FirstWord(String::new());
        // It ends with an error where the word ends.
        write!(word, "{:?}", self.0).ok();
        f.write_str(&word.0)
    }
}

struct FirstWord(String);

impl fmt::Write for FirstWord {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.find(|c: char| !c.is_alphanumeric());
        self.0.push_str(&text[..end.unwrap_or(text.len())]);
        match end {
            Some(_) => Err(fmt::Error),
            None => Ok(()),
        }
    }
}

struct Bounded<'a> {
    line: &'a mut String,
    bytes_left: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = text.floor_char_boundary(self.bytes_left);
        self.line.push_str(&text[..end]);
        self.bytes_left -= end;
        match end < text.len() {
            true => Err(fmt::Error),
            false => Ok(()),
        }
    }
}
