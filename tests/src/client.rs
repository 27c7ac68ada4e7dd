//! A client that types and reads: conversations written down.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{ClientTls, Received, Site, StreamId, pattern::matches};

/// How long a client waits for what must come. Generous: on virtual time it costs nothing, and on
/// a busy machine it is not what decides.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection of a client.
pub struct Client {
    site: Site,
    stream: StreamId,
    tls: Option<ClientTls>,
    /// Received, decrypted and not looked at.
    received: Vec<u8>,
    has_ended: bool,
    /// How many messages the selected mailbox has, as the server said so far.
    messages: u32,
    /// The last lines of the conversation, for whoever has to find out what went wrong.
    said: Vec<String>,
}

impl Client {
    pub(crate) fn new(site: Site, stream: StreamId) -> Self {
        Self {
            site,
            stream,
            tls: None,
            received: Vec::new(),
            has_ended: false,
            messages: 0,
            said: Vec::new(),
        }
    }

    /// Plays a transcript. Indentation and empty lines do not count; otherwise a line is one of
    ///
    /// - `C: ` and what the client sends (CRLF is added),
    /// - `S: ` and the next line that the server sends, each `*` standing for any text,
    /// - `S…: ` and a line that the server sends after any number of others,
    /// - `END` when the server sends no more,
    /// - `TLS` when the handshake takes place.
    ///
    /// # Panics
    ///
    /// When the server does not keep to it.
    #[track_caller]
    pub fn play(&mut self, transcript: &str) {
        let lines = transcript.lines().map(str::trim_start);
        for line in lines.filter(|line| !line.is_empty()) {
            if line == "C:" || line.starts_with("C: ") {
                self.send_line(line.get(3..).unwrap_or_default());
            } else if line == "S:" || line.starts_with("S: ") {
                self.expect(line.get(3..).unwrap_or_default());
            } else if let Some(expected) = line.strip_prefix("S…: ") {
                self.expect_after_others(expected);
            } else if line == "END" {
                self.expect_end();
            } else if line == "TLS" {
                self.start_tls();
            } else {
                panic!("not a line of a transcript: {line}");
            }
        }
    }

    /// Sends a line; CRLF is added.
    pub fn send_line(&mut self, line: &str) {
        self.said.push(format!("C: {line}"));
        self.send(format!("{line}\r\n").as_bytes());
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            Some(tls) => {
                tls.write(bytes);
                self.transmit_tls();
            }
            None => self.site.wire(|wire| wire.send(self.stream, bytes)),
        }
    }

    /// The next line is this, each `*` standing for any text. Returns it.
    #[track_caller]
    pub fn expect(&mut self, pattern: &str) -> String {
        let Some(line) = self.next_line(PATIENCE) else {
            panic!(
                "nothing came, not:\n   {pattern}\nafter:\n{}",
                self.history()
            );
        };
        assert!(
            matches(pattern, &line),
            "expected: {pattern}\n    came: {line}\nafter:\n{}",
            self.history()
        );
        self.said.push(format!("S: {line}"));
        line
    }

    /// A line like this comes, after any number of others. Returns it.
    #[track_caller]
    pub fn expect_after_others(&mut self, pattern: &str) -> String {
        loop {
            let Some(line) = self.next_line(PATIENCE) else {
                panic!("it never came:\n   {pattern}\nafter:\n{}", self.history());
            };
            self.said.push(format!("S: {line}"));
            if matches(pattern, &line) {
                return line;
            }
        }
    }

    /// So many bytes come next. Returns them.
    #[track_caller]
    pub fn expect_bytes(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(
                self.receive_more(PATIENCE),
                "{} of {count} bytes came after:\n{}",
                self.received.len(),
                self.history()
            );
        }
        self.said.push(format!("S: ({count} bytes)"));
        self.received.drain(..count).collect()
    }

    /// The server sends no more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        while self.receive_more(PATIENCE) {}
        let rest = String::from_utf8_lossy(&self.received);
        assert!(
            self.has_ended,
            "the server still waits after:\n{}",
            self.history()
        );
        assert_eq!(rest, "", "sent before the end, after:\n{}", self.history());
        self.site.wire(|wire| wire.disconnect(self.stream));
    }

    /// Nothing comes, and time for it was given.
    #[track_caller]
    pub fn expect_silence(&mut self, duration: Duration) {
        while self.receive_more(duration) {}
        let rest = String::from_utf8_lossy(&self.received);
        assert_eq!(
            rest,
            "",
            "nothing was to be sent after:\n{}",
            self.history()
        );
    }

    /// The TLS handshake.
    ///
    /// # Panics
    ///
    /// When the server ends it.
    #[track_caller]
    pub fn start_tls(&mut self) {
        assert!(self.received.is_empty(), "sent before the handshake");
        self.said.push("TLS".to_owned());
        self.tls = Some(ClientTls::new());
        self.transmit_tls();
        while self.tls.as_ref().is_some_and(ClientTls::is_handshaking) {
            assert!(self.receive_more(PATIENCE), "the handshake does not end");
        }
    }

    /// SMTP: says EHLO, whatever the answer offers.
    #[track_caller]
    pub fn hello(&mut self) {
        self.play(
            "C: EHLO client.example.net
             S…: 250 *",
        );
    }

    /// SMTP: STARTTLS, then EHLO again.
    #[track_caller]
    pub fn starttls_smtp(&mut self) {
        self.play(
            "C: STARTTLS
             S: 220 2.0.0 *
             TLS",
        );
        self.hello();
    }

    /// SMTP: logs in.
    #[track_caller]
    pub fn authenticate(&mut self, address: &str, password: &str) {
        let plain = STANDARD.encode(format!("\0{address}\0{password}"));
        self.send_line(&format!("AUTH PLAIN {plain}"));
        self.expect("235 2.7.0 *");
    }

    /// SMTP: sends a message and has it accepted.
    #[track_caller]
    pub fn send_message(&mut self, from: &str, to: &[&str], message: &str) {
        self.send_line(&format!("MAIL FROM:<{from}>"));
        self.expect("250 2.1.0 *");
        for recipient in to {
            self.send_line(&format!("RCPT TO:<{recipient}>"));
            self.expect("250 2.1.5 *");
        }
        self.send_line("DATA");
        self.expect("354 *");
        let text = message.replace('\n', "\r\n");
        self.send(text.as_bytes());
        self.send_line(".");
        self.expect("250 2.0.0 *");
    }

    /// IMAP: reads the greeting and logs in.
    #[track_caller]
    pub fn login(&mut self, address: &str, password: &str) {
        self.expect("* OK *");
        self.send_line(&format!("login LOGIN {address} \"{password}\""));
        self.expect_after_others("login OK *");
    }

    /// IMAP: opens a mailbox, and waits until it has so many messages.
    #[track_caller]
    pub fn select(&mut self, mailbox: &str, messages: u32) {
        self.send_line(&format!("select SELECT {mailbox}"));
        self.expect_after_others("select OK [READ-WRITE] *");
        self.wait_for_messages(messages);
    }

    /// IMAP: waits until the selected mailbox has so many messages, by NOOP; for what is owed
    /// soon but not at once.
    #[track_caller]
    pub fn wait_for_messages(&mut self, messages: u32) {
        for _ in 0..600 {
            if self.messages == messages {
                return;
            }
            self.site.pass(Duration::from_millis(50));
            self.send_line("wait NOOP");
            self.expect_after_others("wait OK *");
        }
        panic!("{messages} messages were never there:\n{}", self.history());
    }

    fn next_line(&mut self, patience: Duration) -> Option<String> {
        let mut searched = 0;
        loop {
            let found = self.received[searched..]
                .windows(2)
                .position(|pair| pair == b"\r\n");
            if let Some(index) = found {
                let line: Vec<u8> = self.received.drain(..searched + index + 2).collect();
                let text = &line[..line.len() - 2];
                let text = String::from_utf8_lossy(text).into_owned();
                self.count_messages(&text);
                return Some(text);
            }
            searched = self.received.len().saturating_sub(1);
            if !self.receive_more(patience) {
                return None;
            }
        }
    }

    /// Learns from a line how many messages the selected mailbox has.
    fn count_messages(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["*", number, event] = words[..] {
            match (number.parse(), event) {
                (Ok(count), "EXISTS") => self.messages = count,
                (Ok(_), "EXPUNGE") => self.messages -= 1,
                (Ok(_) | Err(_), _) => {}
            }
        }
    }

    /// Waits for bytes; false when none come.
    fn receive_more(&mut self, patience: Duration) -> bool {
        if self.has_ended {
            return false;
        }
        match self.site.wire(|wire| wire.receive(self.stream, patience)) {
            Received::Bytes(bytes) => {
                match &mut self.tls {
                    Some(tls) => {
                        let plaintext = tls.read(&bytes);
                        self.received.extend(plaintext);
                        self.transmit_tls();
                    }
                    None => self.received.extend(bytes),
                }
                true
            }
            Received::End => {
                self.has_ended = true;
                false
            }
            Received::Silence => false,
        }
    }

    fn transmit_tls(&mut self) {
        let bytes = self
            .tls
            .as_mut()
            .map(ClientTls::transmit)
            .unwrap_or_default();
        if !bytes.is_empty() {
            self.site.wire(|wire| wire.send(self.stream, &bytes));
        }
    }

    fn history(&self) -> String {
        let start = self.said.len().saturating_sub(30);
        self.said[start..].join("\n")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.site.wire(|wire| wire.disconnect(self.stream));
        }
    }
}
