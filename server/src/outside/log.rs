//! The log: a line for each event, on standard error.
//!
//! ```text
//! 2026-11-27T21:45:50.123456Z INFO accepted session=7 mail=1nsxm4 bytes=812
//! ```
//!
//! The same with `log_format` `json`, on one line:
//!
//! ```json
//! {"time": "2026-11-27T21:45:50.123456Z", "level": "INFO", "pid": 98, "message": "accepted",
//!  "session": 7, "mail": "1nsxm4", "bytes": 812}
//! ```
//!
//! `session` is one connection of one process, `mail` one message in all of them. What peers say
//! stands in fields, where it can neither end a line nor steer a terminal.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _, Write as _},
};

use jiff::Timestamp;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt as _},
    reload,
    util::SubscriberInitExt as _,
};

use super::clock;
use crate::config::{LogFormat, LogLevel};

/// The log of this process. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Log(reload::Handle<Lines, Registry>);

impl Log {
    /// Begins to write what is logged.
    ///
    /// # Panics
    ///
    /// When it has been called before.
    pub fn start(level: LogLevel, format: LogFormat) -> Self {
        let (lines, handle) = reload::Layer::new(Lines::new(level, format));
        tracing_subscriber::registry().with(lines).init();
        Self(handle)
    }

    /// From now on, this is logged, in this format.
    pub fn set(&self, level: LogLevel, format: LogFormat) {
        // The subscriber lives as long as the process.
        let _ = self.0.reload(Lines::new(level, format));
    }

    /// Says at every level what ends the process.
    pub fn critical(&self, message: &str) {
        let say = |lines: &Lines| {
            let mut line = Line::new(lines.format);
            line.message.push_str(message);
            lines.write(LogLevel::Critical, line);
        };
        // As above.
        let _ = self.0.with_current(say);
    }
}

/// Writes lines.
#[derive(Clone, Copy, Debug)]
struct Lines {
    level: LevelFilter,
    format: LogFormat,
    is_coloured: bool,
}

impl Lines {
    fn new(level: LogLevel, format: LogFormat) -> Self {
        Self {
            level: match level {
                LogLevel::Debug => LevelFilter::DEBUG,
                LogLevel::Info => LevelFilter::INFO,
                LogLevel::Warning => LevelFilter::WARN,
                LogLevel::Error => LevelFilter::ERROR,
                LogLevel::Critical => LevelFilter::OFF,
            },
            format,
            is_coloured: io::stderr().is_terminal(),
        }
    }

    fn write(&self, level: LogLevel, line: Line) {
        let line = line.finish(clock::timestamp(), level, self.is_coloured);
        // Where nobody reads the log, there is nobody to tell.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match *metadata.level() <= self.level {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warning,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => LogLevel::Debug,
        };
        let mut line = Line::new(self.format);
        event.record(&mut line);
        self.write(level, line);
    }
}

/// What an event says.
struct Line {
    format: LogFormat,
    message: String,
    /// As they stand in the line, each with what separates it from what comes before.
    fields: String,
}

impl Line {
    fn new(format: LogFormat) -> Self {
        Self {
            format,
            message: String::new(),
            fields: String::new(),
        }
    }

    fn finish(self, time: Timestamp, level: LogLevel, is_coloured: bool) -> String {
        let Self {
            message, fields, ..
        } = self;
        match self.format {
            LogFormat::Json => format!(
                "{{\"time\":\"{time:.6}\",\"level\":\"{level}\",\"pid\":{pid},\
                 \"message\":{message}{fields}}}\n",
                pid = std::process::id(),
                message = json(&message),
            ),
            LogFormat::Text => {
                let level = match is_coloured {
                    true => format!("\x1b[{}m{level}\x1b[0m", colour(level)),
                    false => level.to_string(),
                };
                format!("{time:.6} {level} {}{fields}\n", harmless(&message))
            }
        }
    }

    fn add_text(&mut self, field: &Field, value: &str) {
        match (field.name(), self.format) {
            ("message", _) => self.message.push_str(value),
            (_, LogFormat::Json) => self.add(field, &json(value)),
            (_, LogFormat::Text) => {
                let is_word = !value.is_empty() && !value.contains([' ', '"', '=']);
                match is_word && harmless(value) == value {
                    true => self.add(field, value),
                    false => self.add(field, &format!("{value:?}")),
                }
            }
        }
    }

    fn add(&mut self, field: &Field, value: &str) {
        let name = field.name();
        let written = match self.format {
            LogFormat::Json => write!(self.fields, ",{}:{value}", json(name)),
            LogFormat::Text => write!(self.fields, " {name}={value}"),
        };
        written.expect("a text takes anything");
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &value.to_string());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &value.to_string());
    }
}

fn json(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

/// Without anything that a terminal would obey or that would end the line.
fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => harmless.push(c),
            _ => harmless.extend(c.escape_debug()),
        }
    }
    harmless
}

/// Of a level, as terminals number them.
fn colour(level: LogLevel) -> u8 {
    match level {
        LogLevel::Debug => 34,
        LogLevel::Info => 32,
        LogLevel::Warning => 33,
        LogLevel::Error | LogLevel::Critical => 31,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What is logged meanwhile, in this format.
    fn logged(format: LogFormat, log: impl FnOnce()) -> String {
        struct Keep(LogFormat, Arc<Mutex<String>>);

        impl<S: Subscriber> Layer<S> for Keep {
            fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
                let mut line = Line::new(self.0);
                event.record(&mut line);
                let line = line.finish(Timestamp::UNIX_EPOCH, LogLevel::Info, false);
                let mut kept = self.1.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push_str(&line);
            }
        }

        let kept = Arc::default();
        let layer = Keep(format, Arc::clone(&kept));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    #[test]
    fn lines_are_for_people_or_json() {
        let log = || tracing::info!(session = 7, from = "a b", by = %"mx", "not \"taken\"");
        assert_eq!(
            logged(LogFormat::Text, log),
            "1970-01-01T00:00:00.000000Z INFO not \"taken\" session=7 from=\"a b\" by=mx\n"
        );
        let line = logged(LogFormat::Json, log);
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.000000Z", "level": "INFO", "pid": std::process::id(),
            "message": "not \"taken\"", "session": 7, "from": "a b", "by": "mx",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn no_field_or_message_ends_a_line_or_steers_a_terminal() {
        let hostile = "550 no\r\n1970 INFO fine\u{1b}[2J\u{202e}\u{0}";
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = logged(format, || {
                tracing::info!(answer = hostile, shown = %hostile, "heard: {hostile}");
            });
            let line = lines.strip_suffix('\n').unwrap();
            assert!(!line.contains(char::is_control), "{line}");
        }
    }
}
