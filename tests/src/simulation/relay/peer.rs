//! A server that somebody else wrote: it takes mail, puts it off, refuses it, and has its whims.
//!
//! What it says to a recipient follows from its name:
//!
//! | name     | reply                               |
//! |----------|-------------------------------------|
//! | `take`   | 250                                 |
//! | `later`  | 450 at the first attempts, then 250 |
//! | `defer`  | 450 at every attempt                |
//! | `refuse` | 550                                 |
//!
//! An LMTP server says it after the content, to each recipient on its own (RFC 2033 §4.2).

use std::{future::poll_fn, net::SocketAddr, pin::Pin, rc::Rc, task::Poll, time::Duration};

use rmail_proto::{Entropy, Instant};

use super::{
    super::{
        message::{Token, token_in},
        scene::Scene,
        socket::{Lost, PATIENCE, Socket},
    },
    fates::Answer,
};
use crate::{HostId, StreamId};

/// How long a stalled peer keeps a connection.
const STALL: Duration = Duration::from_secs(30 * 60);

/// How long a slow peer thinks.
const SLOW: Duration = Duration::from_secs(25);

/// A reply to which the other side says something so late may not be what it speaks of: it waits
/// for minutes for a reply, and then takes its leave.
const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// Where in a conversation something happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Greeting,
    Hello,
    Tls,
    Mail,
    Rcpt,
    Data,
    MidData,
    End,
}

/// What a peer does at a stage.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    /// 451.
    Defers,
    /// 554.
    Refuses,
    /// 421, and the end.
    IsBusy,
    /// Says nothing any more.
    Stalls,
    /// Hangs up.
    HangsUp,
    /// The connection breaks.
    Vanishes,
    /// Takes its time.
    IsSlow,
}

/// A whim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whim {
    pub(super) stage: Stage,
    pub(super) deed: Deed,
}

/// How a peer behaves.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) domain: String,
    pub(super) address: SocketAddr,
    pub(super) is_lmtp: bool,
    pub(super) is_pipelining: bool,
    pub(super) knows_dsn: bool,
    /// When it is there; `None`: never.
    pub(super) opens_after: Option<Duration>,
    /// One of them, on every other connection.
    pub(super) whims: Vec<Whim>,
    /// How long it has them.
    pub(super) whims_for: Duration,
}

/// A conversation.
struct Talk {
    peer: Rc<Peer>,
    scene: Scene,
    socket: Socket,
    from: HostId,
    /// How often the other side had been interrupted when it came.
    interruptions: u64,
    whim: Option<Whim>,
    mail: Option<Mail>,
    /// What was said to recipients and may not have been heard.
    untold: Vec<(String, Token, Answer)>,
    told_at: Instant,
}

/// A mail transaction.
struct Mail {
    reverse_path: String,
    recipients: Vec<(String, Token, Answer)>,
}

impl Peer {
    /// Whether it does what recipients' names say, and nothing else.
    pub(super) fn is_steady(&self) -> bool {
        self.whims.is_empty() && self.opens_after == Some(Duration::ZERO)
    }

    /// Takes connections, for ever.
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy) {
        let Some(opens_after) = self.opens_after else {
            return;
        };
        scene.sleep(opens_after).await;
        scene.world().listen(self.address);
        let whims_until = scene.at() + self.whims_for;
        let peer = Rc::new(self);
        let mut talks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
        let work = poll_fn::<(), _>(|context| {
            loop {
                let accepted = scene.world().accept(peer.address);
                let Some((stream, from)) = accepted else {
                    break;
                };
                let has_whim = scene.at() < whims_until && entropy.next_below(2) == 0;
                let whim = match peer.whims.len() {
                    0 => None,
                    count => Some(peer.whims[entropy.next_below(count as u64) as usize]),
                };
                let whim = whim.filter(|_| has_whim);
                let talk = Talk::run(Rc::clone(&peer), scene.clone(), stream, from, whim);
                talks.push(Box::pin(talk));
            }
            talks.retain_mut(|talk| talk.as_mut().poll(context).is_pending());
            Poll::Pending
        });
        work.await;
    }
}

impl Talk {
    async fn run(peer: Rc<Peer>, scene: Scene, stream: StreamId, from: HostId, whim: Option<Whim>) {
        let interruptions = scene.world().interruptions(from);
        let mut talk = Self {
            socket: Socket::accepted(&scene, stream),
            told_at: scene.at(),
            interruptions,
            peer,
            scene,
            from,
            whim,
            mail: None,
            untold: Vec::new(),
        };
        // However it ended: what counts was noted.
        let _ = talk.talk().await;
        if talk.whim.is_some_and(|whim| whim.deed == Deed::Vanishes) {
            talk.socket.vanish();
        }
    }

    async fn talk(&mut self) -> Result<(), Lost> {
        let domain = self.peer.domain.clone();
        match self.whim_at(Stage::Greeting).await? {
            Some(reply) => self.refuse_session(reply),
            None => self.socket.send_line(&format!("220 {domain} ESMTP")),
        }
        loop {
            let line = self.socket.line(PATIENCE).await?;
            let verb = line
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "LHLO" => self.hello().await?,
                "HELO" => self.socket.send_line(&format!("250 {domain}")),
                "STARTTLS" => return self.fail_tls().await,
                "MAIL" => self.mail(&line).await?,
                "RCPT" => self.rcpt(&line).await?,
                "DATA" => self.data().await?,
                "RSET" | "NOOP" => {
                    self.hear();
                    self.mail = None;
                    self.socket.send_line("250 2.0.0 Done");
                }
                "QUIT" => {
                    self.hear();
                    self.socket.send_line("221 2.0.0 Bye");
                    return Ok(());
                }
                _ => self.socket.send_line("500 5.5.1 What?"),
            }
        }
    }

    /// What a whim lets it say here in place of what it would say; nothing any more is an error.
    async fn whim_at(&mut self, stage: Stage) -> Result<Option<&'static str>, Lost> {
        let Some(whim) = self.whim.filter(|whim| whim.stage == stage) else {
            return Ok(None);
        };
        match whim.deed {
            Deed::Defers => Ok(Some("451 4.3.0 Not now")),
            Deed::Refuses => Ok(Some("554 5.7.0 Never")),
            Deed::IsBusy => {
                self.socket.send_line("421 4.3.2 No time");
                Err(Lost::Ended)
            }
            Deed::Stalls => Err(self.socket.drain(STALL).await),
            Deed::HangsUp | Deed::Vanishes => Err(Lost::Ended),
            Deed::IsSlow => {
                self.scene.sleep(SLOW).await;
                match self.scene.world().interruptions(self.from) == self.interruptions {
                    true => Ok(None),
                    // What is still to be read may be by somebody who is gone.
                    false => Err(Lost::Connection),
                }
            }
        }
    }

    fn refuse_session(&mut self, reply: &str) {
        if reply.starts_with('5') {
            let mut ledger = self.scene.ledger();
            ledger.fates.refused_all(None, &self.peer.domain);
        }
        self.socket.send_line(reply);
    }

    async fn hello(&mut self) -> Result<(), Lost> {
        if let Some(reply) = self.whim_at(Stage::Hello).await? {
            self.refuse_session(reply);
            return Ok(());
        }
        let mut extensions = vec![self.peer.domain.as_str(), "8BITMIME", "SIZE 50000000"];
        if self.peer.is_pipelining {
            extensions.push("PIPELINING");
        }
        if self.peer.knows_dsn {
            extensions.push("DSN");
        }
        if self.whim.is_some_and(|whim| whim.stage == Stage::Tls) {
            extensions.push("STARTTLS");
        }
        extensions.push("ENHANCEDSTATUSCODES");
        let last = extensions.len() - 1;
        let lines = extensions.iter().enumerate().map(|(number, extension)| {
            let separator = if number == last { ' ' } else { '-' };
            format!("250{separator}{extension}")
        });
        let lines: Vec<String> = lines.collect();
        self.socket.send_line(&lines.join("\r\n"));
        Ok(())
    }

    /// TLS comes to nothing.
    async fn fail_tls(&mut self) -> Result<(), Lost> {
        self.socket.send_line("220 2.0.0 Go on");
        self.socket.more(PATIENCE).await?;
        if let Some(Whim {
            deed: Deed::IsSlow, ..
        }) = self.whim
        {
            self.socket.send_line("What is this?");
        }
        self.whim_at(Stage::Tls).await?;
        Ok(())
    }

    async fn mail(&mut self, line: &str) -> Result<(), Lost> {
        self.hear();
        if let Some(reply) = self.whim_at(Stage::Mail).await? {
            if reply.starts_with('5') {
                let envid = line.split_once(" ENVID=T").map(|(_, rest)| rest);
                let token = envid.and_then(|rest| rest.split(' ').next()?.parse().ok());
                let mut ledger = self.scene.ledger();
                ledger
                    .fates
                    .refused_all(token.map(Token), &self.peer.domain);
            }
            self.socket.send_line(reply);
            return Ok(());
        }
        self.mail = Some(Mail {
            reverse_path: path_in(line),
            recipients: Vec::new(),
        });
        self.socket.send_line("250 2.1.0 Sender noted");
        Ok(())
    }

    async fn rcpt(&mut self, line: &str) -> Result<(), Lost> {
        let whim = match self.mail {
            Some(_) => self.whim_at(Stage::Rcpt).await?,
            None => Some("503 5.5.1 MAIL first"),
        };
        let Some(mail) = &mut self.mail else {
            self.socket.send_line("503 5.5.1 MAIL first");
            return Ok(());
        };
        let path = path_in(line);
        let token = token_of(&path);
        let interruptions = self.scene.world().interruptions(self.from);
        let is_double = mail.recipients.iter().any(|(known, _, _)| *known == path);
        assert!(!is_double, "{path} is named twice");
        let mut ledger = self.scene.ledger();
        let now = ledger.now;
        let earlier = ledger.attempted(&path, token, (now, interruptions));
        drop(ledger);
        let by_name = answer_of(&path, token, earlier);
        let (answer, reply) = match (whim, by_name) {
            (Some(reply), _) if reply.starts_with('5') => (Answer::Refused, reply.to_owned()),
            (Some(reply), _) => (Answer::Deferred, reply.to_owned()),
            (None, answer) if self.peer.is_lmtp || answer == Answer::Taken => {
                mail.recipients.push((path, token, answer));
                self.socket.send_line("250 2.1.5 Recipient noted");
                return Ok(());
            }
            (None, answer) => (answer, words(answer, &path)),
        };
        self.tell(vec![(path, token, answer)]);
        self.socket.send_line(&reply);
        Ok(())
    }

    async fn data(&mut self) -> Result<(), Lost> {
        let Some(mail) = self.mail.take().filter(|mail| !mail.recipients.is_empty()) else {
            self.socket.send_line("503 5.5.1 Nobody to send it to");
            return Ok(());
        };
        if let Some(reply) = self.whim_at(Stage::Data).await? {
            self.tell(mail.all(reply));
            self.socket.send_line(reply);
            return Ok(());
        }
        self.socket.send_line("354 Go on");
        if !self.socket.has_more() {
            self.socket.more(PATIENCE).await?;
        }
        self.hear();
        if let Some(reply) = self.whim_at(Stage::MidData).await? {
            // It can't be said here; it is what is said at the end.
            let data = self.socket.mail_data(PATIENCE).await?;
            self.check(&mail, &data);
            self.tell(mail.all(reply));
            self.socket.send_line(reply);
            return Ok(());
        }
        let data = self.socket.mail_data(PATIENCE).await?;
        self.check(&mail, &data);
        let whim = self.whim.filter(|whim| whim.stage == Stage::End);
        if whim
            .is_some_and(|whim| !matches!(whim.deed, Deed::Defers | Deed::Refuses | Deed::IsBusy))
            && !self.peer.is_lmtp
        {
            // It has it, whatever it says of that.
            self.answer(&mail.recipients);
        }
        match self.whim_at(Stage::End).await? {
            Some(reply) if self.peer.is_lmtp => {
                self.tell(mail.all(reply));
                for _ in &mail.recipients {
                    self.socket.send_line(reply);
                }
            }
            Some(reply) => {
                self.tell(mail.all(reply));
                self.socket.send_line(reply);
            }
            None if self.peer.is_lmtp => {
                for (path, _, answer) in &mail.recipients {
                    self.socket.send_line(&words(*answer, path));
                }
                self.tell(mail.recipients);
            }
            None => {
                match whim {
                    Some(_) => self.note(mail.recipients),
                    None => self.tell(mail.recipients),
                }
                self.socket.send_line("250 2.0.0 Taken");
            }
        }
        Ok(())
    }

    /// What comes is what was sent, to those that it was sent to.
    fn check(&self, mail: &Mail, data: &[u8]) {
        let token = token_in(data).expect("every message has a token");
        let ledger = self.scene.ledger();
        let is_sent = ledger.is_message(token, data);
        assert!(is_sent, "{token:?} is not what was sent");
        let is_own = mail.reverse_path.is_empty() || mail.reverse_path == ledger.author(token);
        assert!(is_own, "{token:?} comes from {:?}", mail.reverse_path);
        for (path, meant, _) in &mail.recipients {
            assert_eq!(token, *meant, "{path} gets somebody else's mail");
        }
    }

    /// Says something to recipients.
    fn tell(&mut self, told: Vec<(String, Token, Answer)>) {
        self.answer(&told);
        self.note(told);
    }

    fn answer(&self, told: &[(String, Token, Answer)]) {
        let mut ledger = self.scene.ledger();
        for (path, token, answer) in told {
            ledger.fates.answered(path, *token, *answer);
        }
    }

    /// What was said may be heard.
    fn note(&mut self, told: Vec<(String, Token, Answer)>) {
        self.told_at = self.scene.at();
        self.untold.extend(told);
    }

    /// What was said has been heard.
    fn hear(&mut self) {
        let interruptions = self.scene.world().interruptions(self.from);
        let mut ledger = self.scene.ledger();
        let is_in_time = ledger.now <= self.told_at + HEARD_WITHIN;
        for (path, token, answer) in self.untold.drain(..).filter(|_| is_in_time) {
            let when = (self.told_at, interruptions);
            ledger.fates.heard(&path, token, answer, when);
        }
    }
}

impl Mail {
    /// One reply to everybody.
    fn all(&self, reply: &str) -> Vec<(String, Token, Answer)> {
        let answer = match reply.starts_with('5') {
            true => Answer::Refused,
            false => Answer::Deferred,
        };
        let recipients = self.recipients.iter();
        recipients
            .map(|(path, token, _)| (path.clone(), *token, answer))
            .collect()
    }
}

/// What a recipient's name says at this attempt.
fn answer_of(path: &str, token: Token, earlier: u32) -> Answer {
    let (word, _) = path.split_once('-').expect("it is called by its fate");
    match word {
        "take" => Answer::Taken,
        "later" if u64::from(earlier) <= token.0 % 4 => Answer::Deferred,
        "later" => Answer::Taken,
        "defer" => Answer::Deferred,
        "refuse" => Answer::Refused,
        _ => panic!("a fate of which nobody has heard: {path}"),
    }
}

fn words(answer: Answer, path: &str) -> String {
    match answer {
        Answer::Taken => format!("250 2.1.5 {path} has it"),
        Answer::Deferred => format!("450 4.2.1 {path} is busy"),
        Answer::Refused => format!("550 5.1.1 {path} is unknown"),
    }
}

fn token_of(path: &str) -> Token {
    let (_, rest) = path.split_once('-').expect("it is called by its fate");
    let (number, _) = rest.split_once('@').expect("it is an address");
    Token(number.parse().expect("it has a token"))
}

fn path_in(line: &str) -> String {
    let (_, rest) = line.split_once('<').expect("a command has a path");
    let (path, _) = rest.split_once('>').expect("a path has an end");
    path.to_owned()
}
