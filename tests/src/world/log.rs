//! What is logged: for the trace, and at ERROR, where there must be nothing in a run without
//! faults.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
    subscriber::DefaultGuard,
};

/// Collects what this thread logs at INFO and above.
pub(super) struct Log {
    lines: Lines,
    errors: Vec<String>,
    _guard: DefaultGuard,
}

type Lines = Arc<Mutex<Vec<(Level, String)>>>;

impl Log {
    /// From now on, until it is dropped.
    pub(super) fn listen() -> Self {
        let lines = Lines::default();
        let collector = Collector(Arc::clone(&lines));
        Self {
            lines,
            errors: Vec::new(),
            _guard: tracing::subscriber::set_default(collector),
        }
    }

    /// What was logged since the last call.
    pub(super) fn take_lines(&mut self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        let errors = lines.iter().filter(|(level, _)| *level == Level::ERROR);
        self.errors.extend(errors.map(|(_, line)| line.clone()));
        let lines = lines.into_iter();
        lines
            .map(|(level, line)| format!("{level} {line}"))
            .collect()
    }

    /// Nobody hears what was logged since the last call: it was said while the power went.
    pub(super) fn forget_lines(&mut self) {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// What was logged at ERROR since the last call.
    pub(super) fn take_errors(&mut self) -> Vec<String> {
        self.take_lines();
        std::mem::take(&mut self.errors)
    }
}

struct Collector(Lines);

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}

    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _span: &span::Id) {}

    fn exit(&self, _span: &span::Id) {}
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{field}={value:?} ").expect("a string takes everything");
    }
}
