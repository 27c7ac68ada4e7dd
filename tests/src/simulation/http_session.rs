//! A client's side of HTTP: requests, and their answers in the same order.

use std::{fmt::Write as _, time::Duration};

use rmail_proto::Instant;
use rmail_server::node::ListenerKind;
use serde_json::{Value, json};

use super::{
    scene::{Place, Scene},
    socket::{Lost, PATIENCE, Socket},
};
use crate::{AccountSetup, http::HttpAnswer};

/// How long a token is good (`exchange_api.token_ttl`), but for what an answer takes to come.
const TOKEN_GOOD_FOR: Duration = Duration::from_secs(50 * 60);

/// Who is asked: a name that every host has.
pub(super) const AUTHORITY: &str = "localhost";

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) target: String,
    fields: Vec<(&'static str, String)>,
    content: Option<(&'static str, Vec<u8>)>,
    /// The content comes in chunks of so many bytes (RFC 9112 §7.1).
    chunk_bytes: Option<usize>,
}

impl Request {
    /// One without content.
    pub(super) fn new(method: &'static str, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            fields: Vec::new(),
            content: None,
            chunk_bytes: None,
        }
    }

    /// One with JSON.
    pub(super) fn json(method: &'static str, target: impl Into<String>, content: &Value) -> Self {
        let content = content.to_string().into_bytes();
        Self::new(method, target).with_content("application/json", content)
    }

    pub(super) fn with_content(mut self, kind: &'static str, content: Vec<u8>) -> Self {
        self.content = Some((kind, content));
        self
    }

    pub(super) fn with_field(mut self, name: &'static str, value: String) -> Self {
        self.fields.push((name, value));
        self
    }

    /// In chunks, where that is wanted.
    pub(super) fn in_chunks(mut self, chunk_bytes: Option<usize>) -> Self {
        self.chunk_bytes = chunk_bytes;
        self
    }

    /// All of it.
    pub(super) fn to_bytes(&self, token: Option<&str>) -> Vec<u8> {
        let (method, target) = (self.method, &self.target);
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {AUTHORITY}\r\n");
        for (name, value) in &self.fields {
            write!(head, "{name}: {value}\r\n").expect("a string takes all");
        }
        if let Some(token) = token {
            write!(head, "Authorization: Bearer {token}\r\n").expect("a string takes all");
        }
        let Some((kind, content)) = &self.content else {
            return format!("{head}\r\n").into_bytes();
        };
        let framing = match self.chunk_bytes {
            Some(_) => "Transfer-Encoding: chunked".to_owned(),
            None => format!("Content-Length: {}", content.len()),
        };
        let mut bytes = format!("{head}Content-Type: {kind}\r\n{framing}\r\n\r\n").into_bytes();
        match self.chunk_bytes {
            None => bytes.extend_from_slice(content),
            Some(chunk_bytes) => {
                for chunk in content.chunks(chunk_bytes) {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// A token, and since when there is one.
#[derive(Clone, Debug)]
pub(super) struct LoggedIn {
    token: String,
    since: Instant,
}

/// What a client keeps of its server: a connection, for as long as the server does.
pub(super) struct HttpSession {
    scene: Scene,
    server: Place,
    listener: ListenerKind,
    socket: Option<Socket>,
    /// Answers that are still to come on it.
    owed: u32,
    pub(super) logged_in: Option<LoggedIn>,
    /// Whether the server's disk never fails: no answer says that something went wrong, then.
    disk_is_sound: bool,
}

impl HttpSession {
    /// One that is not connected yet.
    pub(super) fn new(
        scene: &Scene,
        server: Place,
        listener: ListenerKind,
        disk_is_sound: bool,
    ) -> Self {
        Self {
            scene: scene.clone(),
            server,
            listener,
            socket: None,
            owed: 0,
            logged_in: None,
            disk_is_sound,
        }
    }

    pub(super) fn server(&self) -> Place {
        self.server
    }

    /// Gets a token. `false` when the server gives none now.
    pub(super) async fn log_in(&mut self, account: &AccountSetup) -> Result<bool, Lost> {
        self.logged_in = None;
        let (address, password) = (&account.address, &account.password);
        let content = json!({"username": address, "password": password});
        let since = self.scene.at();
        let request = Request::json("POST", "/auth/login", &content);
        let answer = self.ask(&request).await?;
        if answer.status != 200 {
            assert!(is_no_word(&answer), "a login was refused: {answer:?}");
            return Ok(false);
        }
        let token = answer.json()["token"].as_str().map(str::to_owned);
        let token = token.expect("a login gives a token");
        self.logged_in = Some(LoggedIn { token, since });
        Ok(true)
    }

    /// Sends a request and reads its answer.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<HttpAnswer, Lost> {
        self.send(request).await?;
        self.answer(request.method).await
    }

    /// Sends a request, over a new connection where there is none.
    pub(super) async fn send(&mut self, request: &Request) -> Result<(), Lost> {
        let bytes = self.bytes_of(request);
        self.send_part(request, &bytes).await
    }

    /// The token that it has.
    pub(super) fn token(&self) -> Option<&str> {
        self.logged_in.as_ref().map(|it| it.token.as_str())
    }

    /// What a request is in this session.
    pub(super) fn bytes_of(&self, request: &Request) -> Vec<u8> {
        request.to_bytes(self.token())
    }

    /// Sends so much of a request.
    pub(super) async fn send_part(&mut self, request: &Request, part: &[u8]) -> Result<(), Lost> {
        if self.owed == 0 && self.socket.as_mut().is_some_and(Socket::has_ended) {
            self.socket = None;
        }
        let socket = match &mut self.socket {
            Some(socket) => socket,
            None => {
                self.owed = 0;
                let socket = Socket::connect(&self.scene, self.server, self.listener).await?;
                self.socket.insert(socket)
            }
        };
        let (method, target) = (request.method, &request.target);
        socket.note_sent(format_args!("{method} {target} ({} bytes)", part.len()));
        socket.send(part);
        self.owed += 1;
        Ok(())
    }

    /// The next answer, to a request with this method.
    ///
    /// # Panics
    ///
    /// When it is no HTTP, or tells of a failure where nothing has failed.
    pub(super) async fn answer(&mut self, method: &str) -> Result<HttpAnswer, Lost> {
        let answer = self.answer_to_stranger(method).await?;
        self.check_status(&answer);
        Ok(answer)
    }

    /// The same, whatever it tells.
    ///
    /// # Panics
    ///
    /// When it is no HTTP.
    pub(super) async fn answer_to_stranger(&mut self, method: &str) -> Result<HttpAnswer, Lost> {
        let Some(mut socket) = self.socket.take() else {
            return Err(Lost::Ended);
        };
        let answer = read_answer(&mut socket, method).await?;
        if !answer.closes() {
            self.owed -= 1;
            self.socket = Some(socket);
        }
        self.scene.ledger().requests += 1;
        Ok(answer)
    }

    /// Waits for something of an answer.
    pub(super) async fn something(&mut self) -> Result<(), Lost> {
        match &mut self.socket {
            Some(socket) => socket.more(PATIENCE).await,
            None => Err(Lost::Ended),
        }
    }

    /// Waits until what was sent is on its way.
    pub(super) async fn sent(&self) {
        if let Some(socket) = &self.socket {
            socket.sent().await;
        }
    }

    /// Lets the connection break.
    pub(super) fn vanish(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket.vanish();
        }
    }

    fn check_status(&mut self, answer: &HttpAnswer) {
        match answer.status {
            500 | 507 => assert!(!self.disk_is_sound, "nothing had failed: {answer:?}"),
            503 => {}
            501..=599 => panic!("what is this? {answer:?}"),
            401 => {
                let now = self.scene.at();
                let logged_in = self.logged_in.take();
                let is_over = logged_in.is_some_and(|it| now >= it.since + TOKEN_GOOD_FOR);
                assert!(is_over, "a token was refused: {answer:?}");
            }
            _ => {}
        }
    }
}

/// Reads the answer to a request with this method.
///
/// # Panics
///
/// When it is no HTTP.
pub(super) async fn read_answer(socket: &mut Socket, method: &str) -> Result<HttpAnswer, Lost> {
    let mut head = Vec::new();
    loop {
        let line = socket.line(PATIENCE).await?;
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let (mut answer, length) = HttpAnswer::parse_head(&head, method)
        .unwrap_or_else(|error| panic!("not HTTP: {error} in {head:#?}"));
    answer.body = socket.bytes(length).await?;
    Ok(answer)
}

/// Whether an answer says neither yes nor no: the server was busy, or what it works with failed, or
/// the token's time is over, or the request took too long to come.
pub(super) fn is_no_word(answer: &HttpAnswer) -> bool {
    matches!(answer.status, 401 | 408 | 500 | 503 | 507)
}
