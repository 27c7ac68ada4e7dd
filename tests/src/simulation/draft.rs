//! Messages that a server writes: what an HTTP client tells it stands in them, byte for byte no
//! more than that.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rmail_proto::Entropy;
use serde_json::{Value, json};

use super::message::{TOKEN_FIELD, Token, token_in};

/// Bytes of an attachment that are one line of base64 (RFC 2045 §6.8).
const LINE_BYTES: usize = 57;

/// What a draft must be by now. Nobody changes it but the one who wrote it, one thing after the
/// other, and nothing after a change that was not answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Draft {
    /// The last revision that was acknowledged.
    acknowledged: u32,
    /// The last one that was asked for.
    asked: u32,
    /// Whether the attachment was acknowledged.
    pub(super) has_attachment: bool,
}

impl Draft {
    /// Its subject is to be another one.
    pub(super) fn revise(&mut self) -> u32 {
        self.asked += 1;
        self.asked
    }

    /// It was acknowledged.
    pub(super) fn revised(&mut self) {
        self.acknowledged = self.asked;
    }

    /// Whether these bytes are the draft, or what was sent of it.
    pub(super) fn is_in(self, token: Token, bytes: &[u8]) -> bool {
        let text = String::from_utf8_lossy(bytes);
        let mut revisions = self.acknowledged..=self.asked;
        let is_revision = |revision| {
            let line = format!("\r\nSubject: {}\r\n", subject(token, revision));
            text.contains(&line)
        };
        token_in(bytes) == Some(token)
            && revisions.any(is_revision)
            && text.contains(&content(token))
            && (!self.has_attachment || has_all(&text, token))
    }
}

/// What is told of a new draft.
pub(super) fn new_draft(token: Token, recipients: &[String]) -> Value {
    let Token(number) = token;
    let recipients = recipients
        .iter()
        .map(|address| json!({ "emailAddress": { "address": address } }));
    json!({
        "subject": subject(token, 0),
        "body": { "contentType": "text", "content": content(token) },
        "toRecipients": recipients.collect::<Vec<_>>(),
        "internetMessageId": format!("<{number}@client.example.net>"),
        "internetMessageHeaders": [{ "name": TOKEN_FIELD, "value": number.to_string() }],
    })
}

pub(super) fn subject(token: Token, revision: u32) -> String {
    format!("draft {} in revision {revision}", token.0)
}

fn content(token: Token) -> String {
    format!("This is draft {}.", token.0)
}

/// The attachment of a draft: whole lines of base64.
pub(super) fn attachment(token: Token) -> Vec<u8> {
    let mut entropy = Entropy::new(token.0 ^ 0x6174_7461);
    let lines = 1 + entropy.next_below(600) as usize;
    (0..lines * LINE_BYTES)
        .map(|_| entropy.next_u64() as u8)
        .collect()
}

fn has_all(text: &str, token: Token) -> bool {
    let attachment = attachment(token);
    let lines = attachment
        .chunks(LINE_BYTES)
        .map(|line| STANDARD.encode(line));
    text.contains(&lines.collect::<Vec<_>>().join("\r\n"))
}
