//! How much is logged, and how.

use core::fmt;

/// The levels of the configuration, the most talkative first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// What happened.
    Info,
    /// What is odd.
    Warning,
    /// What an operator must act on.
    Error,
    /// What ends the process.
    Critical,
}

impl LogLevel {
    /// Parses a name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Debug,
            Self::Info,
            Self::Warning,
            Self::Error,
            Self::Critical,
        ];
        all.into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
    }

    /// As it stands in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: a JSON object a line.
    Json,
}

impl LogFormat {
    /// Parses a name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}
