//! The mail server rmail on tokio.

mod clock;
mod datagram;
mod dial;
mod jobs;
mod listener;
mod session;
mod signals;

use std::process::ExitCode;

use rmail_server::{
    cli::{self, Prepared},
    outside::log::Log,
    startup::{self, Opened},
};

use crate::{clock::Clock, jobs::Hub};

fn main() -> ExitCode {
    cli::run("rmail", serve)
}

fn serve(prepared: Prepared) -> ExitCode {
    let log = Log::start(prepared.config.log_level, prepared.config.log_format);
    match open_and_run(prepared, log.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log.critical(&message);
            ExitCode::FAILURE
        }
    }
}

fn open_and_run(prepared: Prepared, log: Log) -> Result<(), String> {
    // Before there is a second thread: rights are a thread's own.
    let opened = startup::open(prepared).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime can't be started: {error}"))?;
    let outcome = runtime.block_on(run(opened, log));
    // The node has stopped: what still runs is what it does not wait for.
    runtime.shutdown_background();
    outcome
}

/// Runs until everything has stopped.
async fn run(opened: Opened, log: Log) -> Result<(), String> {
    // Before anything is said, so that whoever has heard of this process may send it a signal.
    let signals = signals::open()?;
    let clock = Clock::start();
    let started = startup::start(opened, clock.now()).map_err(|error| error.to_string())?;
    let datagrams = datagram::open(&started.hint_socket);
    let hub = Hub::new(started.node, started.world, clock, datagrams, log);
    datagram::spawn(&hub);
    hub.spawn_timer();
    for opened in started.listeners {
        hub.accept(opened.spec, listener::take(opened)?);
    }
    hub.with_node(|node, now| node.handle_start(now));
    signals::spawn(&hub, signals);
    hub.stopped().await;
    Ok(())
}
