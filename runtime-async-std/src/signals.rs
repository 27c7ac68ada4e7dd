//! SIGHUP, SIGINT and SIGTERM.

use std::{process::exit, sync::Arc};

use async_std::{stream::StreamExt as _, task};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_async_std::Signals;

use crate::jobs::Hub;

/// Exit code of a process that was told twice to stop.
const STOPPED_AT_ONCE: i32 = 130;

/// From now on signals wait to be handed to the node.
pub(crate) fn open() -> Result<Signals, String> {
    Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(|error| format!("no signals: {error}"))
}

/// Hands signals to the node: SIGHUP reloads, SIGINT and SIGTERM stop; the second of these ends
/// the process at once.
pub(crate) fn spawn(hub: &Arc<Hub>, mut signals: Signals) {
    let hub = Arc::clone(hub);
    task::spawn(async move {
        let mut is_stopping = false;
        while let Some(signal) = signals.next().await {
            if signal == SIGHUP {
                hub.with_node(|node, now| node.handle_reload(now));
                continue;
            }
            if is_stopping {
                exit(STOPPED_AT_ONCE);
            }
            is_stopping = true;
            hub.with_node(|node, now| node.handle_stop(now));
        }
    });
}
