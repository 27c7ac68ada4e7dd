//! The mail server rmail on async-std.

mod clock;
mod datagram;
mod dial;
mod jobs;
mod listener;
mod session;
mod signals;

use std::{io::IsTerminal as _, process::ExitCode};

use rmail_server::{
    cli::{self, Prepared},
    config::LogLevel,
    startup,
};
use tracing_subscriber::{
    Registry, filter::LevelFilter, layer::SubscriberExt as _, reload, util::SubscriberInitExt as _,
};

use crate::{clock::Clock, jobs::Hub};

/// Changes the level of what is logged.
pub(crate) type LogFilter = reload::Handle<LevelFilter, Registry>;

fn main() -> ExitCode {
    cli::run("rmail-async-std", serve)
}

fn serve(prepared: Prepared) -> ExitCode {
    let log = start_log(prepared.config.log_level);
    match async_std::task::block_on(run(prepared, log)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

/// Runs until everything has stopped.
async fn run(prepared: Prepared, log: LogFilter) -> Result<(), String> {
    // Before anything is said, so that whoever has heard of this process may send it a signal.
    let signals = signals::open()?;
    let clock = Clock::start();
    let started = startup::start(prepared, clock.now()).map_err(|error| error.to_string())?;
    let specs = started.node.listeners();
    let datagrams = datagram::open(&started.hint_socket);
    let mut listeners = Vec::with_capacity(specs.len());
    for spec in &specs {
        listeners.push(listener::open(*spec).await?);
        tracing::info!(address = %spec.address, "listening for {}", spec.kind.name());
    }
    let hub = Hub::new(started.node, started.world, clock, datagrams, log);
    datagram::spawn(&hub);
    hub.spawn_timer();
    for (spec, listener) in specs.into_iter().zip(listeners) {
        hub.accept(spec, listener);
    }
    hub.with_node(|node, now| node.handle_start(now));
    signals::spawn(&hub, signals);
    hub.stopped().await;
    Ok(())
}

fn start_log(level: LogLevel) -> LogFilter {
    let (filter, handle) = reload::Layer::new(level_filter(level));
    let text = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    tracing_subscriber::registry()
        .with(filter)
        .with(text)
        .init();
    handle
}

/// At CRITICAL only what ends the process is said, and that is no event of the log.
pub(crate) fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Critical => LevelFilter::OFF,
    }
}

/// What ends the process is said at every log level.
fn fail(message: &str) -> ExitCode {
    eprintln!("CRITICAL {message}");
    ExitCode::FAILURE
}
