//! Hostile clients of the HTTP API.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmail_server::node::ListenerKind;
use serde_json::json;

use super::{
    hostile::Attack,
    http_session::{HttpSession, Request, read_answer},
    socket::{Lost, Socket},
};
/// What such a client does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HttpTrick {
    /// Sends bytes that mean nothing.
    Rubbish,
    /// Sends a head, one byte at a time.
    SlowHead,
    /// Sends a content, one byte at a time.
    SlowContent,
    /// Sends heads and contents beyond every bound.
    Excess,
    /// Hides a second request in one that can be read in two ways.
    Smuggling,
    /// Sends thousands of requests at once, and reads late.
    Flood,
    /// Asks for much and reads nothing.
    Deafness,
    /// Comes with tokens that nobody gave it.
    Forgery,
    /// Guesses passwords.
    Guessing,
}

pub(super) const HTTP_TRICKS: [HttpTrick; 9] = [
    HttpTrick::Rubbish,
    HttpTrick::SlowHead,
    HttpTrick::SlowContent,
    HttpTrick::Excess,
    HttpTrick::Smuggling,
    HttpTrick::Flood,
    HttpTrick::Deafness,
    HttpTrick::Forgery,
    HttpTrick::Guessing,
];

/// Requests of a flood.
const FLOOD_REQUESTS: usize = 2_000;

/// How long a client may be slow: longer than the server lets it.
const SLOW_FOR: Duration = Duration::from_secs(600);

/// Fields by which two could read the same request differently (RFC 9112 §6.1, §6.3, §11.2).
const AMBIGUOUS: [&str; 8] = [
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5\r\n Content-Length: 6\r\n",
    "Content-Length: 5\nX: y\r\n",
];

impl Attack<'_> {
    pub(super) async fn make_by_http(&mut self, trick: HttpTrick) -> Result<(), Lost> {
        match trick {
            HttpTrick::Rubbish => self.rubbish().await,
            HttpTrick::SlowHead => {
                let head = "GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
                self.drip_http(head, "x").await
            }
            HttpTrick::SlowContent => {
                let head = "POST /auth/login HTTP/1.1\r\nHost: localhost\r\n\
                            Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n";
                self.drip_http(head, " ").await
            }
            HttpTrick::Excess => self.excess_by_http().await,
            HttpTrick::Smuggling => self.smuggling_by_http().await,
            HttpTrick::Flood => self.flood_by_http().await,
            HttpTrick::Deafness => self.deafness_by_http().await,
            HttpTrick::Forgery => self.forgery().await,
            HttpTrick::Guessing => self.guessing_by_http().await,
        }
    }

    fn http_session(&mut self) -> HttpSession {
        // What fails is no business of this client.
        HttpSession::new(self.scene, self.server, ListenerKind::Http, false)
    }

    async fn rubbish(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Http).await?;
        let length = 1 + self.entropy.next_below(4000) as usize;
        let rubbish: Vec<u8> = (0..length)
            .map(|_| match self.entropy.next_below(12) {
                0 => b'\r',
                1 => b'\n',
                2 => b' ',
                _ => self.entropy.next_u64() as u8,
            })
            .collect();
        socket.send(&rubbish);
        refused(&mut socket).await
    }

    /// Begins like this, and goes on slowly. The server does not wait without end.
    async fn drip_http(&mut self, begin: &str, more: &str) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Http).await?;
        socket.send(begin.as_bytes());
        let pause = Duration::from_secs(1 + self.entropy.next_below(8));
        let until = self.scene.at() + SLOW_FOR;
        while self.scene.at() < until {
            socket.send(more.as_bytes());
            match socket.more(pause).await {
                Err(Lost::Silence) => {}
                Ok(()) => return refused(&mut socket).await,
                Err(lost) => return Err(lost),
            }
        }
        panic!("a slow client is waited for without end");
    }

    async fn excess_by_http(&mut self) -> Result<(), Lost> {
        let mut socket = self.connect(ListenerKind::Http).await?;
        let get = "GET /health HTTP/1.1\r\nHost: localhost\r\n";
        let login = "POST /auth/login HTTP/1.1\r\nHost: localhost\r\n\
                     Content-Type: application/json\r\n";
        let text = match self.entropy.next_below(6) {
            0 => format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000)),
            1 => format!("{get}X: {}\r\n\r\n", "y".repeat(40_000)),
            2 => format!("{get}{}\r\n", "X: y\r\n".repeat(200)),
            3 => format!("{login}Content-Length: 99999999999999999999999\r\n\r\n"),
            4 => format!("{login}Content-Length: 70000\r\n\r\n{}", " ".repeat(70_000)),
            _ => format!(
                "{login}Transfer-Encoding: chunked\r\n\r\n{}\r\n",
                "F".repeat(17)
            ),
        };
        socket.send(text.as_bytes());
        refused(&mut socket).await
    }

    /// CL.TE, TE.CL and their kin: what is ambiguous is refused, and nothing behind it is a
    /// request.
    async fn smuggling_by_http(&mut self) -> Result<(), Lost> {
        let mut session = self.http_session();
        if !session.log_in(self.victim).await? {
            return Ok(());
        }
        let token = session.token().expect("it has logged in").to_owned();
        let victim = self.victim.address.clone();
        let hidden = self.scene.ledger().new_message(&victim);
        // It may not come: the ledger's max stays 0.
        self.scene.ledger().may_come(&victim, hidden);
        self.scene.ledger().did_not_come(&victim, hidden);
        let raw = STANDARD.encode(self.scene.ledger().message(hidden));
        let content = json!({ "folder": "INBOX", "raw": raw });
        let inner = Request::json("POST", "/messages", &content).to_bytes(Some(&token));
        let fields = AMBIGUOUS[self.entropy.next_below(AMBIGUOUS.len() as u64) as usize];
        let outer = format!(
            "POST /auth/login HTTP/1.1\r\nHost: localhost\r\n\
             Content-Type: application/json\r\n{fields}\r\n0\r\n\r\n"
        );
        let mut socket = self.connect(ListenerKind::Http).await?;
        socket.send(&[outer.as_bytes(), &inner].concat());
        refused(&mut socket).await
    }

    async fn flood_by_http(&mut self) -> Result<(), Lost> {
        let mut session = self.http_session();
        let request = Request::new("GET", "/auth/me");
        for _ in 0..FLOOD_REQUESTS {
            session.send(&request).await?;
        }
        self.scene.sleep(Duration::from_secs(20)).await;
        // In their order, and nobody is let in.
        for _ in 0..FLOOD_REQUESTS {
            let answer = session.answer_to_stranger("GET").await?;
            assert_ne!(answer.status, 200, "nobody has logged in: {answer:?}");
        }
        Ok(())
    }

    async fn deafness_by_http(&mut self) -> Result<(), Lost> {
        let mut session = self.http_session();
        for _ in 0..100 {
            session.send(&Request::new("GET", "/openapi.json")).await?;
        }
        let seconds = 30 + self.entropy.next_below(600);
        self.scene.sleep(Duration::from_secs(seconds)).await;
        Ok(())
    }

    /// A token without a signature, one of somebody else's, one that was changed.
    async fn forgery(&mut self) -> Result<(), Lost> {
        let mut session = self.http_session();
        if !session.log_in(self.victim).await? {
            return Ok(());
        }
        let token = session.token().expect("it has logged in");
        let (claims, signature) = token.rsplit_once('.').expect("it is a JWT");
        let forged = match self.entropy.next_below(4) {
            0 => format!("{claims}."),
            1 => format!(
                "eyJhbGciOiJub25lIn0.{}.",
                &claims[claims.find('.').unwrap_or(0) + 1..]
            ),
            2 => format!("{claims}.{}", signature.to_ascii_uppercase()),
            _ => format!("{}.{signature}", &claims[..claims.len() - 1]),
        };
        session.logged_in = None;
        let request =
            Request::new("GET", "/folders").with_field("Authorization", format!("Bearer {forged}"));
        session.send(&request).await?;
        let answer = session.answer_to_stranger("GET").await?;
        assert!(
            matches!(answer.status, 401 | 503),
            "a forged token was taken: {answer:?}"
        );
        Ok(())
    }

    async fn guessing_by_http(&mut self) -> Result<(), Lost> {
        let mut session = self.http_session();
        let content = json!({ "username": self.victim.address, "password": "123456" });
        let request = Request::json("POST", "/auth/login", &content);
        session.send(&request).await?;
        let answer = session.answer_to_stranger("POST").await?;
        let is_refused = matches!(answer.status, 401 | 429 | 500 | 503 | 507);
        assert!(is_refused, "a wrong password was taken: {answer:?}");
        Ok(())
    }
}

/// The one answer that there may be is an error, and the server ends the connection.
async fn refused(socket: &mut Socket) -> Result<(), Lost> {
    let answer = read_answer(socket, "GET").await?;
    assert!(
        answer.status >= 400 && answer.closes(),
        "it was taken: {answer:?}"
    );
    let lost = socket.end().await;
    assert_ne!(lost, Lost::Silence, "the connection is not ended");
    Err(lost)
}
