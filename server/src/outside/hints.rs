//! Hints to the other processes on the same `mail_root`: "look what has changed".

use std::{os::unix::net::UnixDatagram, path::PathBuf};

/// The hint that accounts have changed.
pub const DIRECTORY: &[u8] = b"directory";

/// The hint that something in the queue is due.
pub const QUEUE: &[u8] = b"queue";

/// Sends a hint to each socket, without waiting. One that gets lost does no harm: every process
/// looks for changes once a second by itself.
pub fn send(sockets: &[PathBuf], hint: &[u8]) {
    let Ok(socket) = UnixDatagram::unbound() else {
        return;
    };
    if socket.set_nonblocking(true).is_err() {
        return;
    }
    for path in sockets {
        // See above: a socket that is gone or full misses nothing for longer than a second.
        let _ = socket.send_to(hint, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_reaches_the_sockets_that_are_there() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("peer");
        let peer = UnixDatagram::bind(&path).unwrap();
        send(&[folder.path().join("gone"), path], DIRECTORY);
        let mut buffer = [0; 64];
        let length = peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], DIRECTORY);
    }
}
