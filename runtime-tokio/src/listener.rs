//! Accepting connections.

use std::{sync::Arc, time::Duration};

use rmail_server::node::{Admission, ListenerSpec};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{jobs::Hub, session};

/// How long accepting pauses when the system gives no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long one that is refused has to take the reason.
const REFUSAL_TIME: Duration = Duration::from_secs(2);

/// Dropping it closes the listener.
pub(crate) type OpenListener = oneshot::Sender<()>;

/// Opens a listener; a failure is for the operator.
pub(crate) async fn open(spec: ListenerSpec) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(spec.address).await;
    listener.map_err(|error| spec.describe_failure(&error))
}

/// Opens a listener that the node wants, and tells it.
pub(crate) fn spawn_opening(hub: &Arc<Hub>, spec: ListenerSpec) {
    let hub = Arc::clone(hub);
    tokio::spawn(async move {
        match open(spec).await {
            Ok(listener) => {
                hub.accept(spec, listener);
                hub.with_node(|node, _| node.handle_listening(spec, Ok(())));
            }
            Err(reason) => hub.with_node(|node, _| node.handle_listening(spec, Err(reason))),
        }
    });
}

/// Accepts until the node wants no more.
pub(crate) fn spawn(hub: &Arc<Hub>, spec: ListenerSpec, listener: TcpListener) -> OpenListener {
    let hub = Arc::clone(hub);
    let (open, closed) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            () = accept(&hub, spec, &listener) => {}
            _ = closed => {}
        }
        drop(listener);
        hub.with_node(|node, _| node.handle_listener_closed(spec));
    });
    open
}

async fn accept(hub: &Arc<Hub>, spec: ListenerSpec, listener: &TcpListener) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without it the answer to a client that waits for it would be held back.
        let _ = stream.set_nodelay(true);
        let local = stream
            .local_addr()
            .map_or(spec.address.ip(), |local| local.ip());
        let (admission, events) = hub.handle_connection(spec.kind, peer, local);
        match admission {
            Admission::Admitted(session) => {
                tokio::spawn(session::drive(Arc::clone(hub), stream, session, events));
            }
            Admission::Refused(reason) => {
                tokio::spawn(async move { refuse(stream, &reason).await });
            }
        }
    }
}

async fn refuse(mut stream: TcpStream, reason: &[u8]) {
    let say = async {
        stream.write_all(reason).await?;
        stream.shutdown().await
    };
    // One that does not listen misses the reason.
    let _ = tokio::time::timeout(REFUSAL_TIME, say).await;
}
