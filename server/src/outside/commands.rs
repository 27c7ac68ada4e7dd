//! Commands to the servers that run on the same `mail_root`, and their answers.

use std::{
    fs, io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::limits;

/// Who was asked, and what was answered.
#[derive(Debug, Default)]
pub struct Asked {
    /// How many servers there are.
    pub servers: usize,
    /// What those have answered that did in time, without the command's name.
    pub answers: Vec<String>,
}

/// Sends a command to each of these sockets from one of our own, which is made, and removed
/// afterwards.
///
/// # Errors
///
/// When our own socket can't be made or read.
#[expect(clippy::disallowed_methods, reason = "somebody waits at a terminal")]
pub fn ask(
    own: &Path,
    servers: &[PathBuf],
    command: &str,
    patience: Duration,
) -> io::Result<Asked> {
    let socket = OwnSocket::open(own)?;
    let mut asked = Asked::default();
    for path in servers {
        // Where nobody listens there is another command, or a server that has just ended.
        if socket.socket.send_to(command.as_bytes(), path).is_ok() {
            asked.servers += 1;
        }
    }
    let until = Instant::now() + patience;
    while asked.answers.len() < asked.servers {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        if let Some(text) = socket.receive(left)?
            && let Some((answered, json)) = text.split_once(' ')
            && answered == command
        {
            asked.answers.push(json.to_owned());
        }
    }
    Ok(asked)
}

struct OwnSocket<'a> {
    socket: UnixDatagram,
    path: &'a Path,
}

impl<'a> OwnSocket<'a> {
    fn open(path: &'a Path) -> io::Result<Self> {
        let socket = UnixDatagram::bind(path)?;
        Ok(Self { socket, path })
    }

    /// The next datagram that is text; `None` when the time is over.
    fn receive(&self, patience: Duration) -> io::Result<Option<String>> {
        let mut buffer = vec![0; limits::COMMAND_ANSWER_BYTES];
        self.socket.set_read_timeout(Some(patience))?;
        match self.socket.recv(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(String::from_utf8(buffer).ok())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for OwnSocket<'_> {
    fn drop(&mut self) {
        // Whoever finds it after all sees that nobody lives there.
        let _ = fs::remove_file(self.path);
    }
}
