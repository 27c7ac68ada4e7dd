//! Connecting to other machines.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_std::{future::timeout, net::TcpStream, task};
use rmail_server::session::SessionId;

use crate::{jobs::Hub, session};

/// Connects, and drives the session that the node makes of it; or tells it why there is none.
pub(crate) fn spawn(hub: &Arc<Hub>, id: SessionId, to: SocketAddr, patience: Duration) {
    let hub = Arc::clone(hub);
    task::spawn(async move {
        match timeout(patience, TcpStream::connect(to)).await {
            Ok(Ok(stream)) => {
                // Without it what a peer waits for would be held back.
                let _ = stream.set_nodelay(true);
                if let Some((begun, events)) = hub.handle_dialled(id, Ok(())) {
                    session::drive(hub, stream, begun, events).await;
                }
            }
            Ok(Err(error)) => drop(hub.handle_dialled(id, Err(error.to_string()))),
            Err(_) => {
                let error = format!("no connection within {} s", patience.as_secs());
                drop(hub.handle_dialled(id, Err(error)));
            }
        }
    });
}
