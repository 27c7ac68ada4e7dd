//! SIGHUP, SIGINT and SIGTERM.

use std::{process::exit, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::jobs::Hub;

/// Exit code of a process that was told twice to stop.
const STOPPED_AT_ONCE: i32 = 130;

/// Those that mean something.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// From now on signals wait to be handed to the node.
pub(crate) fn open() -> Result<Signals, String> {
    let listen = |kind| signal(kind).map_err(|error| format!("no signals: {error}"));
    Ok(Signals {
        hangup: listen(SignalKind::hangup())?,
        interrupt: listen(SignalKind::interrupt())?,
        terminate: listen(SignalKind::terminate())?,
    })
}

/// Hands signals to the node: SIGHUP reloads, SIGINT and SIGTERM stop; the second of these ends
/// the process at once.
pub(crate) fn spawn(hub: &Arc<Hub>, mut signals: Signals) {
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => {
                    hub.with_node(|node, now| node.handle_reload(now));
                    continue;
                }
                _ = signals.interrupt.recv() => {}
                _ = signals.terminate.recv() => {}
            }
            if is_stopping {
                exit(STOPPED_AT_ONCE);
            }
            is_stopping = true;
            hub.with_node(|node, now| node.handle_stop(now));
        }
    });
}
