//! SIGHUP, SIGINT and SIGTERM.

use std::{process::exit, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};

use crate::jobs::Hub;

/// Exit code of a process that was told twice to stop.
const STOPPED_AT_ONCE: i32 = 130;

/// Hands signals to the node: SIGHUP reloads, SIGINT and SIGTERM stop; the second of these ends
/// the process at once.
pub(crate) fn spawn(hub: &Arc<Hub>) -> Result<(), String> {
    let listen = |kind| signal(kind).map_err(|error| format!("no signals: {error}"));
    let mut hangup = listen(SignalKind::hangup())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let mut is_stopping = false;
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    hub.with_node(|node, _| node.handle_reload());
                    continue;
                }
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if is_stopping {
                exit(STOPPED_AT_ONCE);
            }
            is_stopping = true;
            hub.with_node(|node, now| node.handle_stop(now));
        }
    });
    Ok(())
}
