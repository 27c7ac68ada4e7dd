//! The Unix datagram socket on which other processes say that something has changed, and UDP
//! sockets that ask one question each.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use async_std::{
    channel::{Sender, bounded},
    net::UdpSocket,
    os::unix::net::UnixDatagram,
};
use futures_lite::FutureExt as _;
use rmail_server::{Bytes, node::SocketId};

use crate::jobs::Hub;

/// Longest datagram of another process that is looked at.
const DATAGRAM_BYTES: usize = 256;

/// Longest UDP datagram that is looked at.
const UDP_BYTES: usize = 4096;

/// Dropping it closes the socket.
pub(crate) type OpenSocket = Sender<()>;

/// Makes the socket; without it, changes are noticed a little later.
pub(crate) fn open(path: &Path) -> Option<UnixDatagram> {
    match std::os::unix::net::UnixDatagram::bind(path) {
        Ok(socket) => Some(UnixDatagram::from(socket)),
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
    async_std::task::spawn(async move {
        let Some(socket) = hub.datagrams() else {
            return;
        };
        let mut buffer = [0; DATAGRAM_BYTES];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let from = from.as_pathname();
            hub.with_node(|node, now| node.handle_datagram(now, from, &buffer[..length]));
        }
    });
}

/// Sends a datagram from a socket of its own, and hands what comes back to the node.
pub(crate) fn spawn_udp(hub: &Arc<Hub>, id: SocketId, to: SocketAddr, bytes: Bytes) -> OpenSocket {
    let hub = Arc::clone(hub);
    let (open, closed) = bounded(1);
    async_std::task::spawn(async move {
        // Whoever asked waits for its time and asks somebody else.
        let asked = async {
            let _ = ask(&hub, id, to, &bytes).await;
        };
        let closed = async {
            let _ = closed.recv().await;
        };
        asked.or(closed).await;
    });
    open
}

async fn ask(hub: &Arc<Hub>, id: SocketId, to: SocketAddr, bytes: &[u8]) -> std::io::Result<()> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.send_to(bytes, to).await?;
    let mut buffer = [0; UDP_BYTES];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        hub.with_node(|node, now| node.handle_udp(now, id, from, &buffer[..length]));
    }
}
