//! A client that sends mail by SMTP, and tries again until all of it is taken.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmail_proto::Entropy;
use rmail_server::node::ListenerKind;

use super::{
    message::{Token, dot_stuffed},
    relay::{Expected, Wishes},
    scene::{Place, Scene},
    socket::{Lost, PATIENCE, Socket},
};
use crate::{AccountSetup, HostId};

/// Most seconds that a sender waits before it tries again.
const PAUSE_SECONDS_MAX: u64 = 90;

/// Where a sender connects, and as whom.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// Port 25.
    Relay,
    /// Submission with STARTTLS.
    Submission(AccountSetup),
    /// Submission over implicit TLS.
    Smtps(AccountSetup),
}

/// How a sender behaves.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) door: Door,
    /// Whose servers it sends to.
    pub(super) host: HostId,
    /// Whether its server is to bring mail to other machines.
    pub(super) writes_elsewhere: bool,
    pub(super) messages: u32,
    /// Whom it writes to; a message's token stands in the place of `#`.
    pub(super) recipients: Vec<String>,
    pub(super) servers: usize,
    pub(super) is_pipelining: bool,
    /// BDAT instead of DATA, in chunks of at most so many bytes.
    pub(super) chunk_bytes_max: Option<u64>,
    /// Sends pieces of at most so many bytes, with pauses.
    pub(super) piece_bytes_max: Option<usize>,
    /// Seconds between messages, at most.
    pub(super) pause_seconds_max: u64,
}

/// A message that is on its way.
struct Letter {
    token: Token,
    /// Those that have not got it.
    recipients: Vec<String>,
    reverse_path: String,
    /// Of MAIL (RFC 3461 §4.3, §4.4).
    parameters: String,
    /// `NOTIFY`, of each RCPT.
    notify: &'static str,
}

/// What may be wished by `NOTIFY` (RFC 3461 §4.1), and what that is: failure, delay, success.
const NOTIFY: [(&str, [bool; 3]); 6] = [
    ("", [true, true, false]),
    (" NOTIFY=NEVER", [false, false, false]),
    (" NOTIFY=FAILURE", [true, false, false]),
    (" NOTIFY=SUCCESS,FAILURE", [true, false, true]),
    (" NOTIFY=SUCCESS,FAILURE,DELAY", [true, true, true]),
    (" NOTIFY=DELAY", [false, true, false]),
];

/// A reply: its code and last line.
struct Reply {
    code: u16,
    text: String,
}

/// Why an attempt ended.
enum End {
    Lost,
    /// Another attempt has to be made later.
    Deferred,
}

impl From<Lost> for End {
    fn from(_: Lost) -> Self {
        Self::Lost
    }
}

impl Sender {
    /// Sends everything.
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy) {
        let mut left: Vec<Letter> = Vec::new();
        for _ in 0..self.messages {
            left.push(self.letter(&scene, &mut entropy));
        }
        while !left.is_empty() {
            scene.status(format!("sends {} messages", left.len()));
            let pause = entropy.next_below(self.pause_seconds_max + 1);
            scene.sleep(Duration::from_secs(pause)).await;
            let end = self.session(&scene, &mut entropy, &mut left).await;
            if let Err(End::Lost | End::Deferred) = end {
                let pause = 1 + entropy.next_below(PAUSE_SECONDS_MAX);
                scene.sleep(Duration::from_secs(pause)).await;
            }
        }
        scene.status("is done");
    }

    fn author(&self) -> &str {
        match &self.door {
            Door::Relay => "carol@example.net",
            Door::Submission(account) | Door::Smtps(account) => &account.address,
        }
    }

    fn letter(&self, scene: &Scene, entropy: &mut Entropy) -> Letter {
        let token = scene.ledger().new_message(self.author());
        let count = 1 + entropy.next_below(self.recipients.len() as u64) as usize;
        let start = entropy.next_below(self.recipients.len() as u64) as usize;
        let from_start = self.recipients.iter().cycle().skip(start);
        let named = |recipient: &String| recipient.replace('#', &token.0.to_string());
        let mut letter = Letter {
            token,
            recipients: from_start.take(count).map(named).collect(),
            reverse_path: self.author().to_owned(),
            parameters: String::new(),
            notify: "",
        };
        if self.writes_elsewhere {
            self.stamp(scene, entropy, &mut letter);
        }
        letter
    }

    /// Says what is to be told of a letter.
    fn stamp(&self, scene: &Scene, entropy: &mut Entropy, letter: &mut Letter) {
        let (notify, [failure, delay, success]) = match entropy.next_below(2) {
            0 => NOTIFY[0],
            _ => NOTIFY[entropy.next_below(NOTIFY.len() as u64) as usize],
        };
        letter.notify = notify;
        if entropy.next_below(2) == 0 {
            let ret = ["HDRS", "FULL"][entropy.next_below(2) as usize];
            letter.parameters = format!(" RET={ret} ENVID=T{}", letter.token.0);
        }
        let has_sender = entropy.next_below(8) > 0;
        if !has_sender {
            letter.reverse_path.clear();
        }
        let wishes = Wishes {
            failure: failure && has_sender,
            delay: delay && has_sender,
            success: success && has_sender,
        };
        for recipient in &letter.recipients {
            let expected = Expected {
                author: self.author().to_owned(),
                origin: self.host,
                wishes,
            };
            let mut ledger = scene.ledger();
            ledger.fates.expect(recipient, letter.token, expected);
        }
    }

    /// One connection: sends what it can.
    async fn session(
        &self,
        scene: &Scene,
        entropy: &mut Entropy,
        left: &mut Vec<Letter>,
    ) -> Result<(), End> {
        let server = entropy.next_below(self.servers as u64) as usize;
        let server = Place::new(self.host, server);
        let mut socket = self.open(scene, server).await?;
        while let Some(letter) = left.first_mut() {
            self.send(scene, &mut socket, entropy, letter).await?;
            if letter.recipients.is_empty() {
                left.remove(0);
            }
            let pause = entropy.next_below(self.pause_seconds_max + 1);
            scene.sleep(Duration::from_secs(pause)).await;
        }
        socket.send_line("QUIT");
        expect(&mut socket, 221).await?;
        Ok(())
    }

    async fn open(&self, scene: &Scene, server: Place) -> Result<Socket, End> {
        let listener = match self.door {
            Door::Relay => ListenerKind::Smtp,
            Door::Submission(_) => ListenerKind::Submission,
            Door::Smtps(_) => ListenerKind::Smtps,
        };
        let mut socket = Socket::connect(scene, server, listener).await?;
        expect(&mut socket, 220).await?;
        hello(&mut socket).await?;
        let account = match &self.door {
            Door::Relay => return Ok(socket),
            Door::Submission(account) => {
                socket.send_line("STARTTLS");
                expect(&mut socket, 220).await?;
                socket.start_tls().await?;
                hello(&mut socket).await?;
                account
            }
            Door::Smtps(account) => account,
        };
        let (address, password) = (&account.address, &account.password);
        let plain = STANDARD.encode(format!("\0{address}\0{password}"));
        socket.send_line(&format!("AUTH PLAIN {plain}"));
        expect(&mut socket, 235).await?;
        Ok(socket)
    }

    /// One mail transaction. Whoever has got the message leaves the letter.
    async fn send(
        &self,
        scene: &Scene,
        socket: &mut Socket,
        entropy: &mut Entropy,
        letter: &mut Letter,
    ) -> Result<(), End> {
        let (path, parameters) = (&letter.reverse_path, &letter.parameters);
        let mut commands = vec![format!("MAIL FROM:<{path}>{parameters}")];
        for recipient in &letter.recipients {
            commands.push(format!("RCPT TO:<{recipient}>{}", letter.notify));
        }
        let mut replies = Vec::new();
        if self.is_pipelining {
            socket.send_line(&commands.join("\r\n"));
            for _ in &commands {
                replies.push(reply(socket).await?);
            }
        } else {
            for command in &commands {
                socket.send_line(command);
                replies.push(reply(socket).await?);
            }
        }
        let mail = replies.remove(0);
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for (recipient, reply) in letter.recipients.iter().zip(replies) {
            match (mail.code, reply.code) {
                (250, 250) => accepted.push(recipient.clone()),
                (250, 500..) => refused.push(recipient.clone()),
                (_, _) => {}
            }
        }
        for recipient in &refused {
            let is_taken = self.is_taken(recipient);
            assert!(!is_taken, "a recipient was refused for good: {recipient}");
        }
        letter
            .recipients
            .retain(|recipient| !refused.contains(recipient));
        if accepted.is_empty() {
            return match letter.recipients.is_empty() {
                true => reset(socket).await,
                false => Err(End::Deferred),
            };
        }
        for recipient in &accepted {
            assert!(self.is_taken(recipient), "relayed: {recipient}");
            scene.ledger().may_come(recipient, letter.token);
        }
        let message = scene.ledger().message(letter.token);
        let (answer, was_complete) = match self.chunk_bytes_max {
            Some(bytes_max) => send_chunks(socket, entropy, &message, bytes_max).await,
            None => self.send_data(scene, socket, &message).await,
        };
        let is_accepted = matches!(&answer, Ok(reply) if reply.code == 250 && was_complete);
        let mut ledger = scene.ledger();
        for recipient in &accepted {
            match &answer {
                Ok(_) if is_accepted => ledger.came(recipient, letter.token),
                Ok(_) if was_complete => ledger.refused(recipient, letter.token),
                Err(_) if was_complete => {}
                Ok(_) | Err(_) => ledger.did_not_come(recipient, letter.token),
            }
        }
        if is_accepted {
            ledger.acknowledged += 1;
            letter
                .recipients
                .retain(|recipient| !accepted.contains(recipient));
        }
        drop(ledger);
        let reply = answer?;
        let is_final = reply.code >= 500;
        assert!(!is_final, "a message was refused for good: {}", reply.text);
        match reply.code {
            250 => Ok(()),
            _ => Err(End::Deferred),
        }
    }

    /// Sends DATA; also says whether the end was sent.
    async fn send_data(
        &self,
        scene: &Scene,
        socket: &mut Socket,
        message: &[u8],
    ) -> (Result<Reply, End>, bool) {
        socket.send_line("DATA");
        match reply(socket).await {
            Ok(reply) if reply.code == 354 => {}
            other => return (other, false),
        }
        let data = dot_stuffed(message);
        let Some(piece_bytes_max) = self.piece_bytes_max else {
            socket.send(&data);
            return (reply(socket).await, true);
        };
        // The last piece holds the whole end, or nobody could say whether it was sent.
        let (start, end) = data.split_at(data.len() - 8.min(data.len()));
        for piece in start.chunks(piece_bytes_max) {
            socket.send(piece);
            scene.sleep(Duration::from_secs(1)).await;
        }
        socket.send(end);
        (reply(socket).await, true)
    }

    /// Whether the server takes mail for this recipient.
    fn is_taken(&self, recipient: &str) -> bool {
        let is_hosted = recipient.ends_with("@example.com") && !recipient.starts_with("nobody");
        self.writes_elsewhere || is_hosted
    }
}

async fn send_chunks(
    socket: &mut Socket,
    entropy: &mut Entropy,
    message: &[u8],
    bytes_max: u64,
) -> (Result<Reply, End>, bool) {
    let mut rest = message;
    loop {
        let count = (1 + entropy.next_below(bytes_max)) as usize;
        let (chunk, after) = rest.split_at(count.min(rest.len()));
        rest = after;
        let last = match rest.is_empty() {
            true => " LAST",
            false => "",
        };
        socket.send_line(&format!("BDAT {}{last}", chunk.len()));
        socket.send(chunk);
        let reply = reply(socket).await;
        match reply {
            Ok(reply) if reply.code == 250 && !rest.is_empty() => {}
            reply => return (reply, rest.is_empty()),
        }
    }
}

async fn hello(socket: &mut Socket) -> Result<(), End> {
    socket.send_line("EHLO client.example.net");
    expect(socket, 250).await
}

async fn reset(socket: &mut Socket) -> Result<(), End> {
    socket.send_line("RSET");
    expect(socket, 250).await
}

async fn expect(socket: &mut Socket, code: u16) -> Result<(), End> {
    match reply(socket).await? {
        reply if reply.code == code => Ok(()),
        _ => Err(End::Deferred),
    }
}

async fn reply(socket: &mut Socket) -> Result<Reply, End> {
    loop {
        let line = socket.line(PATIENCE).await?;
        let code = line.get(..3).and_then(|code| code.parse().ok());
        let code = code.unwrap_or_else(|| panic!("not a reply: {line}"));
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(Reply { code, text: line });
        }
    }
}
