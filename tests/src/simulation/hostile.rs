//! Clients that mean no good, or do none. None of them gets what it wants, and none of them keeps
//! others from getting it.

use std::time::Duration;

use rmail_proto::Entropy;
use rmail_server::node::ListenerKind;

use super::{
    hostile_http::{HTTP_TRICKS, HttpTrick},
    imap_session::ImapSession,
    message::{TOKEN_FIELD, dot_stuffed},
    scene::{Place, Scene},
    socket::{Lost, PATIENCE, Socket},
};
use crate::AccountSetup;

/// Lines of a flood.
const FLOOD_LINES: usize = 20_000;

/// What a hostile client does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trick {
    /// Sends bytes that mean nothing.
    Noise,
    /// Sends one byte of a good session at a time.
    Drip,
    /// Sends thousands of commands at once, and reads late.
    Flood,
    /// Asks for everything and reads nothing.
    Deafness,
    /// Hides a second mail transaction behind a false end of data.
    Smuggling,
    /// Sends lines, literals and messages beyond every bound.
    Excess,
    /// Begins a message and says nothing more.
    Stall,
    /// Never sends the end of its message.
    Unfinished,
    /// Wants mail to be relayed.
    Relay,
    /// Guesses passwords, and sends them in cleartext.
    Guessing,
    /// Sends commands behind STARTTLS, to have them answered within TLS.
    Injection,
    /// Does what is bad in HTTP.
    Http(HttpTrick),
}

pub(super) const TRICKS: [Trick; 11] = [
    Trick::Noise,
    Trick::Drip,
    Trick::Flood,
    Trick::Deafness,
    Trick::Smuggling,
    Trick::Excess,
    Trick::Stall,
    Trick::Unfinished,
    Trick::Relay,
    Trick::Guessing,
    Trick::Injection,
];

impl Trick {
    /// One of HTTP's.
    pub(super) fn draw_http(entropy: &mut Entropy) -> Self {
        let index = entropy.next_below(HTTP_TRICKS.len() as u64) as usize;
        Self::Http(HTTP_TRICKS[index])
    }
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(super) struct Hostile {
    pub(super) trick: Trick,
    pub(super) victim: AccountSetup,
    pub(super) servers: usize,
    pub(super) rounds: u32,
}

/// One connection's means.
pub(super) struct Attack<'a> {
    pub(super) scene: &'a Scene,
    pub(super) entropy: &'a mut Entropy,
    pub(super) server: Place,
    pub(super) victim: &'a AccountSetup,
}

impl Hostile {
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy) {
        for round in 0..self.rounds {
            scene.status(format!("{:?}, round {round}", self.trick));
            let server = scene.server(entropy.next_below(self.servers as u64) as usize);
            let mut attack = Attack {
                scene: &scene,
                entropy: &mut entropy,
                server,
                victim: &self.victim,
            };
            // However it ended: nothing came of it.
            let _ = attack.make(self.trick).await;
            let pause = 1 + entropy.next_below(30);
            scene.sleep(Duration::from_secs(pause)).await;
        }
    }
}

impl Attack<'_> {
    async fn make(&mut self, trick: Trick) -> Result<(), Lost> {
        match trick {
            Trick::Noise => self.noise().await,
            Trick::Drip => self.drip().await,
            Trick::Flood => self.flood().await,
            Trick::Deafness => self.deafness().await,
            Trick::Smuggling => self.smuggling().await,
            Trick::Excess => self.excess().await,
            Trick::Stall => self.stall().await,
            Trick::Unfinished => self.unfinished().await,
            Trick::Relay => self.relay().await,
            Trick::Guessing => self.guessing().await,
            Trick::Injection => self.injection().await,
            Trick::Http(trick) => self.make_by_http(trick).await,
        }
    }

    pub(super) async fn connect(&self, listener: ListenerKind) -> Result<Socket, Lost> {
        Socket::connect(self.scene, self.server, listener).await
    }

    async fn noise(&mut self) -> Result<(), Lost> {
        let listeners = [
            ListenerKind::Smtp,
            ListenerKind::Imap,
            ListenerKind::Submission,
        ];
        let listener = listeners[self.entropy.next_below(3) as usize];
        let mut socket = self.connect(listener).await?;
        for _ in 0..self.entropy.next_below(40) {
            let length = 1 + self.entropy.next_below(600) as usize;
            let noise: Vec<u8> = (0..length)
                .map(|_| match self.entropy.next_below(12) {
                    0 => b'\r',
                    1 => b'\n',
                    2 => b'{',
                    _ => self.entropy.next_u64() as u8,
                })
                .collect();
            socket.send(&noise);
            self.scene.sleep(Duration::from_millis(200)).await;
        }
        Err(socket.drain(PATIENCE).await)
    }

    async fn drip(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Smtp).await?;
        let text = "EHLO slow.example.net\r\nNOOP\r\nVRFY alice\r\nRSET\r\nQUIT\r\n";
        for byte in text.bytes() {
            socket.send(&[byte]);
            self.scene.sleep(Duration::from_secs(2)).await;
        }
        Err(socket.drain(PATIENCE).await)
    }

    async fn flood(&mut self) -> Result<(), Lost> {
        let (listener, line) = match self.entropy.next_below(2) {
            0 => (ListenerKind::Smtp, "NOOP\r\n"),
            _ => (ListenerKind::Imap, "a NOOP\r\n"),
        };
        let mut socket = self.connect(listener).await?;
        socket.send(line.repeat(FLOOD_LINES).as_bytes());
        self.scene.sleep(Duration::from_secs(60)).await;
        Err(socket.drain(PATIENCE).await)
    }

    async fn deafness(&mut self) -> Result<(), Lost> {
        let session = ImapSession::log_in(self.scene, self.server, self.victim).await?;
        let Some(mut session) = session else {
            return Ok(());
        };
        session.select("INBOX").await?;
        let seconds = 30 + self.entropy.next_below(1200);
        session.ask_and_ignore("FETCH 1:* (BODY.PEEK[])", 50);
        self.scene.sleep(Duration::from_secs(seconds)).await;
        Ok(())
    }

    /// CVE-2023-51764 and its kin: whatever does not end in CRLF.CRLF does not end the data.
    async fn smuggling(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Smtp).await?;
        let ends = ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r.\r\n"];
        let end = ends[self.entropy.next_below(6) as usize];
        let outer = self.scene.ledger().new_message("mallory@example.net");
        let inner = self.scene.ledger().new_message("mallory@example.net");
        // Neither may come: the ledger's max stays 0.
        let victim = &self.victim.address;
        self.scene.ledger().may_come(victim, outer);
        self.scene.ledger().did_not_come(victim, outer);
        let text = format!(
            "EHLO mallory.example.net\r\n\
             MAIL FROM:<mallory@example.net>\r\n\
             RCPT TO:<{victim}>\r\n\
             DATA\r\n\
             {TOKEN_FIELD}: {}\r\n\r\nouter{end}\
             MAIL FROM:<admin@example.com>\r\n\
             RCPT TO:<{victim}>\r\n\
             DATA\r\n\
             {TOKEN_FIELD}: {}\r\n\r\ninner\r\n.\r\n\
             QUIT\r\n",
            outer.0, inner.0
        );
        socket.send(text.as_bytes());
        Err(socket.drain(PATIENCE).await)
    }

    async fn excess(&mut self) -> Result<(), Lost> {
        let mut socket = match self.entropy.next_below(4) {
            0 => {
                let mut socket = self.connect(ListenerKind::Smtp).await?;
                socket.send(&[b'x'; 300_000]);
                socket
            }
            1 => {
                let mut socket = self.connect(ListenerKind::Imap).await?;
                socket.send(b"a LOGIN {4294967295}\r\nb LOGIN {999999999999999999999}\r\n");
                socket.send(&[b'('; 200_000]);
                socket
            }
            2 => {
                let mut socket = self.connect(ListenerKind::Smtp).await?;
                let size = "EHLO x\r\nMAIL FROM:<a@example.net> SIZE=99999999999\r\n";
                socket.send(size.as_bytes());
                socket
            }
            _ => {
                let mut socket = self.connect(ListenerKind::Smtp).await?;
                let mut text = "EHLO x\r\nMAIL FROM:<a@example.net>\r\n".to_owned();
                for _ in 0..3_000 {
                    text.push_str(&format!("RCPT TO:<{}>\r\n", self.victim.address));
                }
                socket.send(text.as_bytes());
                socket
            }
        };
        Err(socket.drain(PATIENCE).await)
    }

    async fn stall(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Smtp).await?;
        let victim = &self.victim.address;
        let text = format!(
            "EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<{victim}>\r\nDATA\r\n\
             Subject: half"
        );
        let end = self.entropy.next_below(text.len() as u64) as usize;
        socket.send(&text.as_bytes()[..end]);
        // The server ends it.
        let lost = socket.drain(PATIENCE).await;
        assert_ne!(
            lost,
            Lost::Silence,
            "a silent client is waited for without end"
        );
        Err(lost)
    }

    async fn unfinished(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Smtp).await?;
        let token = self.scene.ledger().new_message("mallory@example.net");
        let victim = self.victim.address.clone();
        self.scene.ledger().may_come(&victim, token);
        self.scene.ledger().did_not_come(&victim, token);
        let message = self.scene.ledger().message(token);
        let start = format!("EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<{victim}>\r\n");
        socket.send(start.as_bytes());
        if self.entropy.next_below(2) == 0 {
            let data = dot_stuffed(&message);
            let missing = 1 + self.entropy.next_below(5) as usize;
            socket.send(b"DATA\r\n");
            socket.send(&data[..data.len() - missing]);
        } else {
            socket.send(format!("BDAT {} LAST\r\n", message.len() + 1).as_bytes());
            socket.send(&message);
        }
        socket.sent().await;
        self.scene.sleep(Duration::from_secs(5)).await;
        Ok(())
    }

    async fn relay(&mut self) -> Result<(), Lost> {
        let listeners = [
            ListenerKind::Smtp,
            ListenerKind::Submission,
            ListenerKind::Smtps,
        ];
        let listener = listeners[self.entropy.next_below(3) as usize];
        let mut socket = self.connect(listener).await?;
        let foreign = [
            "<dave@example.net>",
            "<dave%example.net@example.com>",
            "<@example.com:dave@example.net>",
            "<\"dave@example.net\"@example.com>",
            "<dave@[127.0.0.1]>",
        ];
        let to = foreign[self.entropy.next_below(5) as usize];
        for command in ["EHLO x", "MAIL FROM:<alice@example.com>"] {
            socket.send_line(command);
        }
        socket.send_line(&format!("RCPT TO:{to}"));
        socket.send_line("QUIT");
        // The greeting, EHLO's lines, and one reply each; the third of the last is RCPT's.
        let mut replies = Vec::new();
        while let Ok(line) = socket.line(PATIENCE).await {
            if line.as_bytes().get(3) != Some(&b'-') {
                replies.push(line);
            }
        }
        if let Some(reply) = replies.get(3) {
            assert!(reply.starts_with(['4', '5']), "{to} was taken: {reply}");
        }
        Ok(())
    }

    async fn guessing(&mut self) -> Result<(), Lost> {
        let address = &self.victim.address;
        // Even the right password counts for nothing in cleartext.
        let mut socket = self.connect(ListenerKind::Imap).await?;
        let password = &self.victim.password;
        socket.send_line(&format!("a LOGIN {address} \"{password}\""));
        while let Ok(line) = socket.line(PATIENCE).await {
            assert!(
                !line.starts_with("a OK"),
                "a password was taken in cleartext"
            );
            if line.starts_with("a ") {
                break;
            }
        }
        drop(socket);
        let mut wrong = self.victim.clone();
        wrong.password = "123456".to_owned();
        let session = ImapSession::log_in(self.scene, self.server, &wrong).await?;
        assert!(session.is_none(), "a wrong password was taken");
        Ok(())
    }

    /// CVE-2011-0411: what follows STARTTLS in the clear is not a part of the session in TLS.
    async fn injection(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Imap).await?;
        socket.line(PATIENCE).await?;
        socket.send(b"a STARTTLS\r\nz1 CAPABILITY\r\nz2 NOOP\r\n");
        let reply = socket.line(PATIENCE).await?;
        if !reply.starts_with("a OK") {
            return Ok(());
        }
        socket.start_tls().await?;
        socket.send_line("b NOOP");
        loop {
            let line = socket.line(PATIENCE).await?;
            assert!(
                !line.starts_with('z'),
                "an injected command was answered: {line}"
            );
            if line.starts_with("b ") {
                return Ok(());
            }
        }
    }
}
