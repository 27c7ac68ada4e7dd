//! The Unix datagram socket on which other processes say that something has changed.

use std::{path::Path, sync::Arc};

use tokio::net::UnixDatagram;

use crate::jobs::Hub;

/// Longest datagram that is looked at.
const DATAGRAM_BYTES: usize = 256;

/// Makes the socket; without it, changes are noticed a little later.
pub(crate) fn open(path: &Path) -> Option<UnixDatagram> {
    match UnixDatagram::bind(path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            let path = path.display();
            tracing::warn!(%error, %path, "no socket for hints of other processes");
            None
        }
    }
}

/// Hands what arrives to the node.
pub(crate) fn spawn(hub: &Arc<Hub>) {
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        let Some(socket) = hub.datagrams() else {
            return;
        };
        let mut buffer = [0; DATAGRAM_BYTES];
        while let Ok(length) = socket.recv(&mut buffer).await {
            hub.with_node(|node, now| node.handle_datagram(now, &buffer[..length]));
        }
    });
}
