//! A plain HTTP client for the suites: one connection, and answers as they came.

use std::io;

use serde_json::Value;

use crate::lines::{Door, Lines};

/// A client that keeps its connection as long as the server does.
pub struct HttpClient {
    door: Door,
    lines: Option<Lines>,
    token: Option<String>,
}

/// What the server answered.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The fields, their names in lower case.
    pub fields: Vec<(String, String)>,
    /// The content.
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// The value of a field, its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The content, which must be text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the content is UTF-8")
    }

    /// The content, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts the status.
    pub fn expect(self, status: u16) -> Self {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        self
    }
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
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let line = lines.read_line()?;
    let status = line.strip_prefix("HTTP/1.1 ").ok_or_else(invalid)?;
    let status = status.get(..3).and_then(|status| status.parse().ok());
    let mut answer = HttpAnswer {
        status: status.ok_or_else(invalid)?,
        fields: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let line = lines.read_line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(invalid)?;
        let field = (name.to_ascii_lowercase(), value.trim().to_owned());
        answer.fields.push(field);
    }
    let length = answer.field("content-length").unwrap_or("0");
    let length = length.parse().map_err(io::Error::other)?;
    if method != "HEAD" {
        answer.body = lines.read_bytes(length)?;
    }
    Ok(answer)
}
