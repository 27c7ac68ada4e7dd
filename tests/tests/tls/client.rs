//! A client that speaks TLS with a session, and looks at the bytes.

use rmail_server::node::ListenerKind;
use rmail_tests::ClientTls;
use rustls::{ClientConfig, pki_types::ServerName, version::TLS13};

use crate::server::Server;

/// How the bytes of a client are cut into segments.
#[derive(Clone, Debug)]
pub(crate) enum Segments {
    /// What is sent at once arrives at once.
    Whole,
    /// As it is, but for one cut after so many bytes of the connection.
    CutAfter(usize),
    /// In pieces of these sizes, over and over.
    Sizes(Vec<usize>),
}

/// One connection.
pub(crate) struct Client {
    pub(crate) server: Server,
    pub(crate) tls: Option<ClientTls>,
    segments: Segments,
    /// Bytes that were sent.
    pub(crate) sent_bytes: usize,
    /// Segments that were sent, where their sizes are given.
    sent_segments: usize,
    /// All that the server sent in the clear.
    pub(crate) cleartext: String,
    /// What went wrong with TLS.
    pub(crate) tls_error: Option<rustls::Error>,
}

/// What SMTP's and IMAP's STARTTLS look like.
pub(crate) fn starttls(listener: ListenerKind) -> &'static str {
    match listener {
        ListenerKind::Smtp | ListenerKind::Submission => "EHLO client.example\r\nSTARTTLS\r\n",
        ListenerKind::Imap => "a STARTTLS\r\n",
        ListenerKind::Smtps | ListenerKind::Imaps | ListenerKind::Http | ListenerKind::Https => "",
    }
}

/// A command that does nothing, and the beginning of the answer.
pub(crate) fn noop(listener: ListenerKind) -> (&'static str, &'static str) {
    match listener {
        ListenerKind::Smtp | ListenerKind::Submission | ListenerKind::Smtps => {
            ("NOOP\r\n", "250 2.0.0 Ok\r\n")
        }
        ListenerKind::Imap | ListenerKind::Imaps => ("n NOOP\r\n", "n OK "),
        ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
    }
}

impl Client {
    /// Connects and does nothing yet. A greeting in the clear was read.
    pub(crate) fn connect(listener: ListenerKind) -> Self {
        Self::connect_in(listener, Segments::Whole)
    }

    pub(crate) fn connect_in(listener: ListenerKind, segments: Segments) -> Self {
        let mut client = Self {
            server: Server::new(listener),
            tls: None,
            segments,
            sent_bytes: 0,
            sent_segments: 0,
            cleartext: String::new(),
            tls_error: None,
        };
        client.receive();
        client
    }

    /// Connects and does what leads to TLS.
    pub(crate) fn secure(listener: ListenerKind) -> Self {
        let mut client = Self::connect(listener);
        client.send(starttls(listener).as_bytes());
        client.start_tls();
        client
    }

    /// As [`secure`](Self::secure), and logs in or says EHLO. With IMAP, INBOX is selected.
    pub(crate) fn ready(listener: ListenerKind) -> Self {
        let mut client = Self::secure(listener);
        client.introduce(listener);
        client
    }

    pub(crate) fn introduce(&mut self, listener: ListenerKind) {
        let commands = match listener {
            ListenerKind::Smtp => "EHLO client.example\r\n",
            ListenerKind::Submission | ListenerKind::Smtps => {
                "EHLO client.example\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"
            }
            ListenerKind::Imap | ListenerKind::Imaps => {
                "l LOGIN alice secret\r\ns SELECT INBOX\r\n"
            }
            ListenerKind::Http | ListenerKind::Https => unreachable!("mail listeners alone"),
        };
        let said = self.say(commands);
        let is_good = said.contains("250 ") || said.contains("s OK ");
        assert!(is_good, "{said}");
    }

    /// The handshake. It must not fail. Returns what the server says when it is done.
    pub(crate) fn start_tls(&mut self) -> String {
        self.start_tls_with(ClientTls::new())
    }

    pub(crate) fn start_tls_with(&mut self, tls: ClientTls) -> String {
        let said = self.try_tls(tls);
        assert_eq!(self.tls_error, None);
        let tls = self.tls.as_ref().expect("it was just started");
        assert!(!tls.is_handshaking(), "the handshake does not end");
        said
    }

    /// The handshake, which may fail.
    pub(crate) fn try_tls(&mut self, tls: ClientTls) -> String {
        self.tls = Some(tls);
        self.send(b"")
    }

    /// Sends a text and returns what the server says.
    pub(crate) fn say(&mut self, text: &str) -> String {
        self.send(text.as_bytes())
    }

    /// Sends bytes, encrypted where TLS is up, and returns what the server says.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> String {
        match &mut self.tls {
            Some(tls) => {
                tls.write(bytes);
                let wire = tls.transmit();
                self.send_raw(&wire)
            }
            None => self.send_raw(bytes),
        }
    }

    /// Sends bytes as they are, and returns what the server says.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> String {
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = match &self.segments {
                Segments::CutAfter(bytes) if *bytes > self.sent_bytes => bytes - self.sent_bytes,
                Segments::Whole | Segments::CutAfter(_) => rest.len(),
                Segments::Sizes(sizes) => sizes[self.sent_segments % sizes.len()],
            };
            let (segment, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            self.sent_bytes += segment.len();
            self.sent_segments += 1;
            self.server.receive(segment);
        }
        self.receive()
    }

    /// What the server says on its own.
    pub(crate) fn receive(&mut self) -> String {
        let mut said = Vec::new();
        loop {
            let sent = self.server.take_sent();
            if sent.is_empty() {
                return String::from_utf8(said).expect("servers talk UTF-8 here");
            }
            let Some(tls) = &mut self.tls else {
                self.cleartext.push_str(&String::from_utf8_lossy(&sent));
                said.extend(sent);
                continue;
            };
            match tls.try_read(&sent) {
                Ok(plaintext) => said.extend(plaintext),
                Err(error) => self.tls_error = Some(error),
            }
            let wire = tls.transmit();
            if !wire.is_empty() {
                let more = self.send_raw(&wire);
                said.extend(more.into_bytes());
            }
        }
    }

    /// Says that nothing follows, as TLS does.
    pub(crate) fn close_notify(&mut self) {
        let tls = self.tls.as_mut().expect("TLS is up");
        tls.connection().send_close_notify();
        let wire = tls.transmit();
        self.send_raw(&wire);
    }
}

/// A client of TLS 1.3 whose records are short.
pub(crate) fn small_records(bytes: usize) -> ClientTls {
    let mut config = ClientTls::config(&[&TLS13]);
    config.max_fragment_size = Some(bytes);
    named(config)
}

/// A client that asks for the right name.
pub(crate) fn named(config: ClientConfig) -> ClientTls {
    let name = ServerName::try_from("mail.example.com").expect("it is a name");
    ClientTls::with_config(config, name)
}

/// Whether bytes are TLS alerts in the clear, and nothing else; at least one.
pub(crate) fn are_alerts(bytes: &[u8]) -> bool {
    const ALERT: u8 = 21;
    let mut chunks = bytes.chunks(7);
    !bytes.is_empty()
        && chunks.all(|chunk| matches!(chunk, [ALERT, 3, _, 0, 2, level, _] if *level <= 2))
}

/// A ClientHello as a client without TLS 1.3 sends it (RFC 5246 §7.4.1.2).
pub(crate) fn client_hello(minor_version: u8) -> Vec<u8> {
    let mut body = vec![3, minor_version];
    body.extend([7; 32]); // random
    body.push(0); // no session id
    // ECDHE_ECDSA with AES_128_GCM_SHA256 and AES_128_CBC_SHA, RSA with the latter.
    body.extend([0, 6, 0xc0, 0x2b, 0xc0, 0x09, 0x00, 0x2f]);
    body.extend([1, 0]); // no compression
    let groups = [0, 10, 0, 4, 0, 2, 0, 23]; // secp256r1
    let points = [0, 11, 0, 2, 1, 0]; // uncompressed
    let signatures = [0, 13, 0, 4, 0, 2, 4, 3]; // ecdsa_secp256r1_sha256
    let extensions_bytes = groups.len() + points.len() + signatures.len();
    body.extend([0, extensions_bytes as u8]);
    body.extend(groups);
    body.extend(points);
    body.extend(signatures);
    let mut message = vec![1, 0, 0, body.len() as u8];
    message.extend(body);
    message
}
