//! A client's end of a stream.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rmail_server::node::ListenerKind;

use super::scene::{Place, Scene};
use crate::{ClientTls, StreamId, pipe::Read};

/// How long a client waits for an answer: longer than any server lets it wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Longest line that a client reads.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Why there is nothing more to be had.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lost {
    /// The server has ended the stream.
    Ended,
    /// The connection is lost.
    Connection,
    /// Nothing came for too long.
    Silence,
    /// Nobody listens.
    Refused,
}

/// See the module's documentation.
pub(super) struct Socket {
    scene: Scene,
    stream: StreamId,
    tls: Option<Box<ClientTls>>,
    received: Vec<u8>,
    /// Who speaks, and who is heard, in the trace.
    names: [char; 2],
}

impl Socket {
    /// Connects, with the handshake where TLS comes first.
    pub(super) async fn connect(
        scene: &Scene,
        place: Place,
        listener: ListenerKind,
    ) -> Result<Self, Lost> {
        Self::connect_from(Ipv4Addr::LOCALHOST.into(), scene, place, listener).await
    }

    /// The same, from this address.
    pub(super) async fn connect_from(
        peer: IpAddr,
        scene: &Scene,
        Place { host, server }: Place,
        listener: ListenerKind,
    ) -> Result<Self, Lost> {
        let peer = SocketAddr::new(peer, 40_000);
        let stream = scene.world().connect_from(peer, host, server, listener);
        let mut socket = Self {
            scene: scene.clone(),
            stream: stream.ok_or(Lost::Refused)?,
            tls: None,
            received: Vec::new(),
            names: ['C', 'S'],
        };
        match listener {
            ListenerKind::Smtps | ListenerKind::Imaps | ListenerKind::Https => {
                socket.start_tls().await?
            }
            ListenerKind::Smtp
            | ListenerKind::Submission
            | ListenerKind::Imap
            | ListenerKind::Http => {}
        }
        Ok(socket)
    }

    /// A stream that somebody opened.
    pub(super) fn accepted(scene: &Scene, stream: StreamId) -> Self {
        Self {
            scene: scene.clone(),
            stream,
            tls: None,
            received: Vec::new(),
            names: ['S', 'C'],
        }
    }

    /// The handshake. What was received in cleartext before it is forgotten.
    pub(super) async fn start_tls(&mut self) -> Result<(), Lost> {
        self.received.clear();
        self.tls = Some(Box::default());
        self.transmit();
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.more(PATIENCE).await?;
        }
        Ok(())
    }

    /// Sends all of it, when there is room.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => {
                tls.write(bytes);
                self.transmit();
            }
            None => self.scene.world().person_sends(self.stream, bytes),
        }
    }

    /// Sends a line; CRLF is added.
    pub(super) fn send_line(&mut self, line: &str) {
        self.note(format_args!("{}: {line}", self.names[0]));
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// Waits until all that was sent is on its way.
    pub(super) async fn sent(&self) {
        let stream = self.stream;
        let is_sent = |scene: &Scene| scene.world().has_sent_all(stream).then_some(());
        self.scene.wait_for(is_sent).await;
    }

    /// The next line, without its CRLF.
    pub(super) async fn line(&mut self, patience: Duration) -> Result<String, Lost> {
        let mut searched = 0;
        loop {
            let found = self.received[searched..]
                .windows(2)
                .position(|pair| pair == b"\r\n");
            if let Some(index) = found {
                let end = searched + index;
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                self.note(format_args!("{}: {line}", self.names[1]));
                return Ok(line);
            }
            searched = self.received.len().saturating_sub(1);
            assert!(searched < LINE_BYTES_MAX, "a line without an end");
            self.more(patience).await?;
        }
    }

    /// So many bytes.
    pub(super) async fn bytes(&mut self, count: usize) -> Result<Vec<u8>, Lost> {
        while self.received.len() < count {
            self.more(PATIENCE).await?;
        }
        self.note(format_args!("{}: ({count} bytes)", self.names[1]));
        Ok(self.received.drain(..count).collect())
    }

    /// Everything up to the end of mail data, dots unstuffed (RFC 5321 §4.5.2).
    pub(super) async fn mail_data(&mut self, patience: Duration) -> Result<Vec<u8>, Lost> {
        const END: &[u8] = b"\r\n.\r\n";
        let mut searched = 0;
        let end = loop {
            let mut places = self.received[searched..].windows(END.len());
            if let Some(index) = places.position(|window| window == END) {
                break searched + index + 2;
            }
            searched = (self.received.len() + 1).saturating_sub(END.len());
            self.more(patience).await?;
        };
        let stuffed: Vec<u8> = self.received.drain(..end + 3).collect();
        self.note(format_args!(
            "{}: ({end} bytes of mail data)",
            self.names[1]
        ));
        let mut data = Vec::with_capacity(end);
        for line in stuffed[..end].split_inclusive(|byte| *byte == b'\n') {
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        Ok(data)
    }

    /// Whether a stream on which no answer is owed is of no use any more.
    ///
    /// # Panics
    ///
    /// When the server has said something that nobody asked.
    pub(super) fn has_ended(&mut self) -> bool {
        assert!(!self.has_more(), "an answer that nobody waits for");
        let read = self.scene.world().person_reads(self.stream);
        match read {
            Read::Nothing => false,
            Read::End | Read::Lost => true,
            // TLS has something to say of itself: another connection is as good.
            Read::Bytes(_) => {
                assert!(self.tls.is_some(), "an answer that nobody waits for");
                true
            }
        }
    }

    /// Whether something was received and not read yet.
    pub(super) fn has_more(&self) -> bool {
        !self.received.is_empty()
    }

    /// Lets the connection break.
    pub(super) fn vanish(self) {
        self.scene.world().person_vanishes(self.stream);
    }

    /// Waits until something comes.
    pub(super) async fn more(&mut self, patience: Duration) -> Result<(), Lost> {
        let until = self.scene.at() + patience;
        self.scene.world().wake_at(until);
        let stream = self.stream;
        let look = |scene: &Scene| {
            let read = scene.world().person_reads(stream);
            match read {
                Read::Bytes(bytes) => Some(Ok(bytes)),
                Read::End => Some(Err(Lost::Ended)),
                Read::Lost => Some(Err(Lost::Connection)),
                Read::Nothing if scene.at() >= until => Some(Err(Lost::Silence)),
                Read::Nothing => None,
            }
        };
        let bytes = self.scene.wait_for(look).await?;
        match &mut self.tls {
            Some(tls) => {
                let plaintext = tls.try_read(&bytes);
                self.received
                    .extend(plaintext.map_err(|_| Lost::Connection)?);
                self.transmit();
            }
            None => self.received.extend(bytes),
        }
        Ok(())
    }

    /// Reads on until the server ends the stream, and forgets it all.
    pub(super) async fn drain(&mut self, patience: Duration) -> Lost {
        loop {
            match self.more(patience).await {
                Ok(()) => self.received.clear(),
                Err(lost) => return lost,
            }
        }
    }

    /// Waits until the server ends the stream.
    ///
    /// # Panics
    ///
    /// When it says anything more.
    pub(super) async fn end(&mut self) -> Lost {
        assert!(!self.has_more(), "there is more than one answer");
        match self.more(PATIENCE).await {
            Ok(()) => panic!("there is more than one answer"),
            Err(lost) => lost,
        }
    }

    fn transmit(&mut self) {
        let bytes = self.tls.as_mut().map(|tls| tls.transmit());
        let bytes = bytes.unwrap_or_default();
        if !bytes.is_empty() {
            self.scene.world().person_sends(self.stream, &bytes);
        }
    }

    /// Puts into the trace what was sent.
    pub(super) fn note_sent(&self, text: std::fmt::Arguments<'_>) {
        self.note(format_args!("{}: {text}", self.names[0]));
    }

    fn note(&self, text: std::fmt::Arguments<'_>) {
        let mut world = self.scene.world();
        let at = world.now().at;
        world.trace().line(at, self.stream, text);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.scene.world().person_leaves(self.stream);
        }
    }
}
