//! A client that works by HTTP in mailboxes which others change at the same time, and sends.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmail_proto::Entropy;
use rmail_server::node::ListenerKind;
use serde_json::{Value, json};

use super::{
    http_delta::Followed,
    http_session::{AUTHORITY, HttpSession, LoggedIn, Request, is_no_word},
    ledger::Existence,
    message::Token,
    relay::{Expected, Wishes},
    scene::{HOST, Scene},
    socket::Lost,
};
use crate::{AccountSetup, http::HttpAnswer};

/// Folders in which all clients of an account work, and what Graph calls them.
const SHARED: [(&str, &str); 3] = [
    ("INBOX", "inbox"),
    ("Archive", "archive"),
    ("Trash", "deleteditems"),
];

/// Most seconds that a client waits before it comes again.
const PAUSE_SECONDS_MAX: u64 = 60;

/// Most requests that are sent before their answers are read.
const PIPELINED_MAX: u64 = 4;

/// Most pages of a list that are looked at.
const PAGES_MAX: u32 = 6;

/// How a client behaves.
#[derive(Clone, Debug)]
pub(super) struct HttpWorker {
    /// Tells the folders that it makes apart from those of others.
    pub(super) number: usize,
    pub(super) account: AccountSetup,
    pub(super) listener: ListenerKind,
    pub(super) servers: usize,
    pub(super) steps: u32,
    pub(super) pause_seconds_max: u64,
    /// Whom it writes to; a message's token stands in the place of `#`.
    pub(super) recipients: Vec<String>,
    /// Most of them that its server takes for one message.
    pub(super) recipients_max: u64,
    /// Contents come in chunks of so many bytes.
    pub(super) chunk_bytes: Option<usize>,
    /// Whether the disk never fails: nothing else may be answered with 500.
    pub(super) disk_is_sound: bool,
}

/// A folder of its own, and what it has put there.
#[derive(Debug)]
struct OwnFolder {
    name: String,
    tokens: Vec<Token>,
}

/// A message that some list named.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) id: String,
    pub(super) token: Token,
}

/// What it has from one connection to the next.
#[derive(Default)]
pub(super) struct Memory {
    logged_in: Option<LoggedIn>,
    listed: Vec<Listed>,
    own: Option<OwnFolder>,
    pub(super) followed: Option<Followed>,
    folders_made: u32,
}

/// What it has while it works.
pub(super) struct Desk<'a> {
    pub(super) worker: &'a HttpWorker,
    pub(super) scene: Scene,
    pub(super) entropy: &'a mut Entropy,
    pub(super) session: HttpSession,
    pub(super) memory: &'a mut Memory,
}

impl HttpWorker {
    /// Works until all steps are done.
    pub(super) async fn run(self, scene: Scene, mut entropy: Entropy) {
        let mut left = self.steps;
        let mut memory = Memory::default();
        while left > 0 {
            scene.status(format!("has {left} steps left"));
            let server = scene.server(entropy.next_below(self.servers as u64) as usize);
            let mut session = HttpSession::new(&scene, server, self.listener, self.disk_is_sound);
            // A token is good at all servers, and after a restart.
            session.logged_in = memory.logged_in.take();
            let mut desk = Desk {
                worker: &self,
                scene: scene.clone(),
                entropy: &mut entropy,
                session,
                memory: &mut memory,
            };
            // However it ended: what is left is done over another connection.
            let _ = desk.work(&mut left).await;
            let logged_in = desk.session.logged_in.take();
            memory.logged_in = logged_in;
            let pause = 1 + entropy.next_below(PAUSE_SECONDS_MAX);
            scene.sleep(Duration::from_secs(pause)).await;
        }
        scene.status("is done");
    }
}

impl Desk<'_> {
    async fn work(&mut self, left: &mut u32) -> Result<(), Lost> {
        while *left > 0 {
            if self.session.logged_in.is_none()
                && !self.session.log_in(&self.worker.account).await?
            {
                return Ok(());
            }
            *left -= 1;
            let seconds = self.entropy.next_below(self.worker.pause_seconds_max + 1);
            self.scene.sleep(Duration::from_secs(seconds)).await;
            self.step().await?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<(), Lost> {
        match self.entropy.next_below(30) {
            0..=2 => self.list().await,
            3 => self.walk().await,
            4 | 5 => self.read().await,
            6 | 7 => self.mark().await,
            8 | 9 => self.relocate().await,
            10 => self.copy().await,
            11 | 12 => self.remove().await,
            13..=15 => self.append().await,
            16..=18 => self.submit().await,
            19 => self.manage().await,
            20 | 21 => self.break_off().await,
            22 => self.watch().await,
            23..=26 => self.write_draft().await,
            27 | 28 => self.follow().await,
            _ => self.look_around().await,
        }
    }

    /// A list of the server's own, by any page.
    async fn list(&mut self) -> Result<(), Lost> {
        let folder = self.some_folder();
        let (limit, offset) = (1 + self.draw(20), self.draw(8));
        let sort = ["-date", "date", "size", "subject"][self.draw(4) as usize];
        let query = format!("limit={limit}&offset={offset}&sort={sort}");
        let target = format!("/folders/{folder}/messages?{query}");
        let answer = self.session.ask(&Request::new("GET", target)).await?;
        if !self.is_good(&answer, 200, &[404]) {
            return Ok(());
        }
        let list = answer.json();
        let messages = list["messages"].as_array().expect("a list has messages");
        assert!(messages.len() as u64 <= limit, "more than a page: {list}");
        self.learn(messages, "message_id");
        Ok(())
    }

    /// A list of Graph's, page after page as the links lead.
    async fn walk(&mut self) -> Result<(), Lost> {
        let (_, folder) = SHARED[self.draw(3) as usize];
        let select = "$select=internetMessageId,isRead";
        let skip = match self.draw(3) {
            0 => format!("&$skip={}", self.draw(5)),
            _ => String::new(),
        };
        let top = 1 + self.draw(9);
        let mut target =
            format!("/v1.0/me/mailFolders/{folder}/messages?$top={top}&{select}{skip}");
        for _ in 0..PAGES_MAX {
            let answer = self.session.ask(&Request::new("GET", target)).await?;
            if !self.is_good(&answer, 200, &[]) {
                return Ok(());
            }
            let page = answer.json();
            let messages = page["value"].as_array().expect("a page has a value");
            assert!(messages.len() as u64 <= top, "more than a page: {page}");
            self.learn(messages, "internetMessageId");
            let Some(next) = link(&page, "@odata.nextLink") else {
                return Ok(());
            };
            target = next;
        }
        Ok(())
    }

    /// Remembers what a list named.
    fn learn(&mut self, messages: &[Value], id_name: &str) {
        self.memory.listed.clear();
        for message in messages {
            let id = message["id"].as_str().expect("a message has an id");
            if let Some(token) = token_of(&message[id_name]) {
                self.remember(id, token);
            }
        }
    }

    fn remember(&mut self, id: &str, token: Token) {
        let account = &self.worker.account.address;
        self.scene.ledger().saw_id(account, id, token);
        let id = id.to_owned();
        self.memory.listed.push(Listed { id, token });
    }

    /// Reads messages, several in one go: each answer is to its own request.
    async fn read(&mut self) -> Result<(), Lost> {
        let mut wanted = Vec::new();
        for _ in 0..1 + self.draw(PIPELINED_MAX) {
            wanted.extend(self.some_message());
        }
        let request = |message: &Listed| Request::new("GET", raw_of(message));
        for message in &wanted {
            self.session.send(&request(message)).await?;
        }
        for Listed { token, .. } in wanted {
            let answer = self.session.answer("GET").await?;
            if self.is_good(&answer, 200, &[404]) {
                let is_sent = self.scene.ledger().is_message(token, &answer.body);
                assert!(is_sent, "message {token:?} is not what was sent");
            }
        }
        let Some(Listed { id, token }) = self.some_message() else {
            return Ok(());
        };
        let told = Request::new("GET", format!("/messages/{id}"));
        let answer = self.session.ask(&told).await?;
        if self.is_good(&answer, 200, &[404]) {
            assert_eq!(token_of(&answer.json()["message_id"]), Some(token));
        }
        Ok(())
    }

    async fn mark(&mut self) -> Result<(), Lost> {
        let Some(message) = self.some_message() else {
            return Ok(());
        };
        let answer = match self.draw(3) {
            0 => {
                let target = format!("/v1.0/me/messages/{}", message.id);
                let change = match self.draw(4) {
                    0 => json!({ "categories": ["Red category", "Work"] }),
                    1 => json!({ "categories": [] }),
                    2 => json!({ "flag": { "flagStatus": "flagged" } }),
                    _ => json!({ "isRead": self.draw(2) == 0 }),
                };
                self.session
                    .ask(&Request::json("PATCH", target, &change))
                    .await?
            }
            _ => self.mark_natively(&message).await?,
        };
        self.is_good(&answer, 200, &[404]);
        Ok(())
    }

    /// Changes the flags of a message, never `\Deleted`, by the server's own endpoint.
    pub(super) async fn mark_natively(&mut self, message: &Listed) -> Result<HttpAnswer, Lost> {
        let is_set = self.draw(2) == 0;
        let change = match self.draw(3) {
            0 => json!({ "seen": is_set, "flagged": !is_set }),
            1 => json!({ "add_keywords": ["$Work"] }),
            _ => json!({ "remove_keywords": ["$Work"], "seen": is_set }),
        };
        let target = format!("/messages/{}", message.id);
        self.session
            .ask(&Request::json("PATCH", target, &change))
            .await
    }

    /// Moves a message, never out of sight of others.
    async fn relocate(&mut self) -> Result<(), Lost> {
        let Some(Listed { id, .. }) = self.some_message() else {
            return Ok(());
        };
        let (folder, known) = SHARED[self.draw(3) as usize];
        let (request, status) = match self.draw(2) {
            0 => {
                let target = format!("/messages/{id}");
                (
                    Request::json("PATCH", target, &json!({ "folder": folder })),
                    200,
                )
            }
            _ => {
                let target = format!("/v1.0/me/messages/{id}/move");
                let content = json!({ "destinationId": known });
                (Request::json("POST", target, &content), 201)
            }
        };
        let answer = self.session.ask(&request).await?;
        if self.is_good(&answer, status, &[404]) {
            assert_eq!(answer.json()["id"], json!(id), "a move gave another id");
        }
        Ok(())
    }

    async fn copy(&mut self) -> Result<(), Lost> {
        let Some(Listed { id, token }) = self.some_message() else {
            return Ok(());
        };
        let folder = self.some_folder();
        let account = self.worker.account.address.clone();
        self.scene.ledger().may_come(&account, token);
        let target = format!("/messages/{id}/copy");
        let request = Request::json("POST", target, &json!({ "folder": folder }));
        let answer = self.session.ask(&request).await?;
        if !self.is_good(&answer, 201, &[404]) {
            self.scene.ledger().refused(&account, token);
            return Ok(());
        }
        self.scene.ledger().came(&account, token);
        self.remember_own(&folder, token);
        let copy = answer.json();
        let copy = copy["id"].as_str().expect("a copy has an id");
        assert_ne!(copy, id, "a copy is its original");
        self.remember(copy, token);
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), Lost> {
        let Some(message) = self.some_message() else {
            return Ok(());
        };
        if self.draw(2) == 0 {
            self.purge_one(&message).await?;
            return Ok(());
        }
        // Where it lies in Deleted Items already, it goes for good.
        let account = &self.worker.account.address;
        self.scene.ledger().doom(account, message.token);
        let target = ["/messages/", "/v1.0/me/messages/"][self.draw(2) as usize];
        let request = Request::new("DELETE", format!("{target}{}", message.id));
        let answer = self.session.ask(&request).await?;
        self.is_good(&answer, 204, &[404]);
        Ok(())
    }

    /// Deletes a message for good. Returns whether it is gone for sure.
    pub(super) async fn purge_one(&mut self, message: &Listed) -> Result<bool, Lost> {
        let (id, token) = (&message.id, message.token);
        let account = self.worker.account.address.clone();
        self.scene.ledger().doom(&account, token);
        let request = match self.draw(2) {
            0 => Request::new("DELETE", format!("/messages/{id}?purge=1")),
            _ => Request::new("POST", format!("/v1.0/me/messages/{id}/permanentDelete")),
        };
        let answer = self.session.ask(&request).await?;
        let is_gone = self.is_good(&answer, 204, &[404]);
        if is_gone {
            self.scene.ledger().purged(&account, token);
            let answer = self
                .session
                .ask(&Request::new("GET", raw_of(message)))
                .await?;
            assert!(!self.is_good(&answer, 200, &[404]), "{id} is still there");
        }
        Ok(is_gone)
    }

    /// Saves messages, several in one go.
    async fn append(&mut self) -> Result<(), Lost> {
        let folder = self.some_folder();
        let account = self.worker.account.address.clone();
        let count = match self.draw(3) {
            0 => 1 + self.draw(PIPELINED_MAX),
            _ => 1,
        };
        let mut tokens = Vec::new();
        for _ in 0..count {
            let (token, request) = self.saving(&folder);
            self.session.send(&request).await?;
            tokens.push(token);
        }
        for token in tokens {
            let answer = self.session.answer("POST").await?;
            match self.is_good(&answer, 201, &[]) {
                true => self.appended(&folder, token, &answer),
                false => self.scene.ledger().refused(&account, token),
            }
        }
        Ok(())
    }

    /// A new message on its way into a folder.
    pub(super) fn saving(&mut self, folder: &str) -> (Token, Request) {
        let account = &self.worker.account.address;
        let mut ledger = self.scene.ledger();
        let token = ledger.new_message(account);
        ledger.may_come(account, token);
        let raw = STANDARD.encode(ledger.message(token));
        let content = json!({ "folder": folder, "raw": raw, "flags": ["\\Seen"] });
        let request = Request::json("POST", "/messages", &content);
        (token, request.in_chunks(self.worker.chunk_bytes))
    }

    /// A message was saved.
    pub(super) fn appended(&mut self, folder: &str, token: Token, answer: &HttpAnswer) {
        let mut ledger = self.scene.ledger();
        ledger.came(&self.worker.account.address, token);
        ledger.acknowledged += 1;
        let size = ledger.message(token).len();
        drop(ledger);
        let saved = answer.json();
        assert_eq!(token_of(&saved["message_id"]), Some(token), "{saved}");
        assert_eq!(saved["size"], json!(size), "{saved}");
        self.remember_own(folder, token);
        self.remember(saved["id"].as_str().expect("it has an id"), token);
    }

    /// Sends a message, by the server's own endpoint or by Graph's.
    async fn submit(&mut self) -> Result<(), Lost> {
        let author = self.worker.account.address.clone();
        let token = self.scene.ledger().new_message(&author);
        let recipients = self.some_recipients(token);
        let message = self.scene.ledger().message(token);
        let (request, keeps_copy) = match self.draw(2) {
            0 => {
                let keeps_copy = self.draw(2) == 0;
                let content = json!({
                    "raw": STANDARD.encode(message),
                    "to": recipients,
                    "save_to_sent": keeps_copy,
                });
                (
                    Request::json("POST", "/messages/send", &content),
                    keeps_copy,
                )
            }
            _ => {
                let blind = format!("Bcc: {}\r\n", recipients.join(",\r\n\t")).into_bytes();
                let mime = STANDARD.encode([blind, message].concat());
                let request = Request::new("POST", "/v1.0/me/sendMail");
                (request.with_content("text/plain", mime.into_bytes()), true)
            }
        };
        let request = request.in_chunks(self.worker.chunk_bytes);
        let mut copies = recipients;
        {
            let mut ledger = self.scene.ledger();
            for recipient in &copies {
                ledger.may_come(recipient, token);
            }
            if keeps_copy {
                ledger.may_come(&author, token);
                copies.push(author);
                ledger.sends(token, copies.clone());
            }
        }
        let answer = self.session.ask(&request).await?;
        let is_sent = self.is_good(&answer, 202, &[]);
        self.scene.ledger().end_sending(token, &copies, is_sent);
        Ok(())
    }

    /// Some of those it writes to, of whom the ledger is told what to expect.
    pub(super) fn some_recipients(&mut self, token: Token) -> Vec<String> {
        let all = &self.worker.recipients;
        let most = self.worker.recipients_max.min(all.len() as u64);
        let count = 1 + self.entropy.next_below(most) as usize;
        let start = self.entropy.next_below(all.len() as u64) as usize;
        let chosen = all.iter().cycle().skip(start).take(count);
        let named = |recipient: &String| recipient.replace('#', &token.0.to_string());
        let recipients: Vec<String> = chosen.map(named).collect();
        for recipient in &recipients {
            let expected = Expected {
                author: self.worker.account.address.clone(),
                origin: HOST,
                wishes: Wishes {
                    failure: true,
                    delay: true,
                    success: false,
                },
            };
            self.scene.ledger().fates.expect(recipient, token, expected);
        }
        recipients
    }

    /// Makes, renames or deletes a folder of its own.
    async fn manage(&mut self) -> Result<(), Lost> {
        let Some(name) = self.memory.own.as_ref().map(|own| own.name.clone()) else {
            let name = self.new_name();
            let tokens = Vec::new();
            self.memory.own = Some(OwnFolder {
                name: name.clone(),
                tokens,
            });
            let request = Request::json("POST", "/folders", &json!({ "name": name }));
            return self
                .change(request, 201, &[(&name, Existence::There)])
                .await;
        };
        let own = self.memory.own.take().expect("it was just there");
        let folder = format!("/folders/{name}");
        match self.draw(3) {
            0 => {
                let to = self.new_name();
                let ends = [(&*name, Existence::Gone), (&*to, Existence::There)];
                let request = Request::json("PATCH", folder, &json!({ "name": to }));
                let renamed = self.change(request, 200, &ends).await;
                // Nobody knows under which name to look for it when there is no answer.
                if self.existence(&to) == Some(Existence::There) {
                    let tokens = own.tokens;
                    self.memory.own = Some(OwnFolder { name: to, tokens });
                }
                renamed
            }
            1 => {
                let to = format!("Trash/{name}");
                let ends = [(&*name, Existence::Gone), (&*to, Existence::There)];
                self.change(Request::new("DELETE", folder), 204, &ends)
                    .await
            }
            _ => {
                let account = &self.worker.account.address;
                for token in own.tokens {
                    self.scene.ledger().doom(account, token);
                }
                let request = Request::new("DELETE", format!("{folder}?purge=1"));
                self.change(request, 204, &[(&name, Existence::Gone)]).await
            }
        }
    }

    /// Changes which folders there are, and notes what that leads to.
    async fn change(
        &mut self,
        request: Request,
        status: u16,
        ends: &[(&str, Existence)],
    ) -> Result<(), Lost> {
        let account = self.worker.account.address.clone();
        let before = self.scene.ledger().begin_change(&account, ends);
        let answer = self.session.ask(&request).await?;
        // It may never have been made, where no answer was heard.
        let is_done = self.is_good(&answer, status, &[404]);
        self.scene
            .ledger()
            .end_change(&account, ends, before, is_done);
        Ok(())
    }

    /// Breaks the connection off, in the middle of a request, behind it, or in an answer.
    async fn break_off(&mut self) -> Result<(), Lost> {
        let account = self.worker.account.address.clone();
        match self.draw(3) {
            0 => {
                let (token, request) = self.saving("INBOX");
                let bytes = self.session.bytes_of(&request);
                let part = self.draw(bytes.len() as u64) as usize;
                self.scene.ledger().did_not_come(&account, token);
                self.session.send_part(&request, &bytes[..part]).await?;
                self.session.sent().await;
            }
            1 => {
                // Nobody will say what became of it.
                let (_, request) = self.saving("INBOX");
                self.session.send(&request).await?;
                self.session.sent().await;
            }
            _ => {
                if let Some(message) = self.some_message() {
                    let request = Request::new("GET", raw_of(&message));
                    self.session.send(&request).await?;
                    self.session.something().await?;
                }
            }
        }
        self.session.vanish();
        Ok(())
    }

    /// Asks for this and that.
    async fn look_around(&mut self) -> Result<(), Lost> {
        let targets = [
            "/health",
            "/folders",
            "/quota",
            "/auth/me",
            "/v1.0/me/mailFolders",
        ];
        for target in targets {
            self.session.send(&Request::new("GET", target)).await?;
        }
        for _ in targets {
            let answer = self.session.answer("GET").await?;
            self.is_good(&answer, 200, &[]);
        }
        Ok(())
    }

    /// Whether an answer is the one that was asked for, and not one of these, nor none.
    ///
    /// # Panics
    ///
    /// When it is none of them all.
    pub(super) fn is_good(&self, answer: &HttpAnswer, status: u16, others: &[u16]) -> bool {
        let text = String::from_utf8_lossy(&answer.body);
        let is_good = answer.status == status;
        let is_other = others.contains(&answer.status) || is_no_word(answer);
        assert!(
            is_good || is_other,
            "{} is not {status}: {text}",
            answer.status
        );
        is_good
    }

    fn existence(&self, name: &str) -> Option<Existence> {
        let key = (self.worker.account.address.clone(), name.to_owned());
        self.scene.ledger().mailboxes.get(&key).copied()
    }

    fn new_name(&mut self) -> String {
        self.memory.folders_made += 1;
        format!("Web-{}-{}", self.worker.number, self.memory.folders_made)
    }

    fn some_folder(&mut self) -> String {
        match (&self.memory.own, self.entropy.next_below(4)) {
            (Some(own), 0) if self.existence(&own.name) == Some(Existence::There) => {
                own.name.clone()
            }
            (_, choice) => SHARED[choice as usize % SHARED.len()].0.to_owned(),
        }
    }

    fn remember_own(&mut self, folder: &str, token: Token) {
        let own = self.memory.own.as_mut().filter(|own| own.name == folder);
        if let Some(own) = own {
            own.tokens.push(token);
        }
    }

    pub(super) fn some_message(&mut self) -> Option<Listed> {
        let count = self.memory.listed.len() as u64;
        if count == 0 {
            return None;
        }
        let index = self.entropy.next_below(count) as usize;
        Some(self.memory.listed[index].clone())
    }

    pub(super) fn draw(&mut self, bound: u64) -> u64 {
        self.entropy.next_below(bound)
    }
}

fn raw_of(message: &Listed) -> String {
    format!("/messages/{}/raw", message.id)
}

/// Where a link of an answer leads, at the server that gave it.
pub(super) fn link(answer: &Value, name: &str) -> Option<String> {
    let (_, path) = answer[name].as_str()?.split_once(AUTHORITY)?;
    Some(path.to_owned())
}

/// The token of a message by its Message-ID; reports have others.
pub(super) fn token_of(message_id: &Value) -> Option<Token> {
    let text = message_id.as_str()?.strip_prefix('<')?;
    let number = text.strip_suffix("@client.example.net>")?;
    number.parse().ok().map(Token)
}
