//! A plain HTTP client for the suites: one connection, and answers as they came.

use std::io;

use serde_json::Value;

pub use crate::http_answer::HttpAnswer;
use crate::lines::{Door, Lines};

/// A client that keeps its connection as long as the server does.
pub struct HttpClient {
    door: Door,
    lines: Option<Lines>,
    token: Option<String>,
}

impl HttpClient {
    /// A client without a token.
    pub fn new(door: Door) -> Self {
        Self {
            door,
            lines: None,
            token: None,
        }
    }

    /// Sends this token from now on.
    pub fn set_token(&mut self, token: &str) {
        self.token = Some(token.to_owned());
    }

    /// Logs in by `/auth/login`, and sends the token from now on; the token.
    ///
    /// # Panics
    ///
    /// When the login is refused.
    pub fn log_in(&mut self, address: &str, password: &str) -> String {
        let body = serde_json::json!({"username": address, "password": password});
        let answer = self.post("/auth/login", &body).expect(200);
        let token = answer.json()["token"].as_str().expect("it is").to_owned();
        self.set_token(&token);
        token
    }

    /// GET.
    pub fn get(&mut self, target: &str) -> HttpAnswer {
        self.request("GET", target, &[], b"")
    }

    /// POST of JSON.
    pub fn post(&mut self, target: &str, body: &Value) -> HttpAnswer {
        self.send_json("POST", target, body)
    }

    /// PATCH of JSON.
    pub fn patch(&mut self, target: &str, body: &Value) -> HttpAnswer {
        self.send_json("PATCH", target, body)
    }

    /// DELETE.
    pub fn delete(&mut self, target: &str) -> HttpAnswer {
        self.request("DELETE", target, &[], b"")
    }

    fn send_json(&mut self, method: &str, target: &str, body: &Value) -> HttpAnswer {
        let fields = [("Content-Type", "application/json")];
        self.request(method, target, &fields, body.to_string().as_bytes())
    }

    /// Any request.
    ///
    /// # Panics
    ///
    /// When the connection fails, or what comes is no HTTP.
    pub fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> HttpAnswer {
        let answer = self.try_request(method, target, fields, body);
        answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
    }

    /// As [`request`](Self::request), for a connection that may break.
    ///
    /// # Errors
    ///
    /// Those of the connection; also an answer that is no HTTP.
    pub fn try_request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<HttpAnswer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        let has_host = fields.iter().any(|(name, _)| *name == "Host");
        if !has_host {
            head += &format!("Host: {}\r\n", self.door.address());
        }
        if let Some(token) = &self.token {
            head += &format!("Authorization: Bearer {token}\r\n");
        }
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut lines = match self.lines.take() {
            Some(lines) => lines,
            None => self.door.connect()?,
        };
        lines.send_bytes(&[format!("{head}\r\n").as_bytes(), body].concat())?;
        let answer = read_answer(&mut lines, method)?;
        if answer.field("connection") != Some("close") {
            self.lines = Some(lines);
        }
        Ok(answer)
    }
}

fn read_answer(lines: &mut Lines, method: &str) -> io::Result<HttpAnswer> {
    let mut head = Vec::new();
    loop {
        let line = lines.read_line()?;
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let parsed = HttpAnswer::parse_head(&head, method);
    let (mut answer, length) = parsed.map_err(io::Error::other)?;
    answer.body = lines.read_bytes(length)?;
    Ok(answer)
}
