//! Messages whose every byte follows from a number.

use rmail_proto::Entropy;

/// Names a message that a client made. Never reused in a run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Token(pub(super) u64);

/// The field that holds the token.
pub(super) const TOKEN_FIELD: &str = "X-Token";

/// One message in so many is too large for a database.
const LARGE_EVERY: u64 = 16;

/// The message of this token and author: CRLF at each line's end, no line over 998 bytes
/// (RFC 5322 §2.1.1), no bare CR or LF.
pub(super) fn message(token: Token, from: &str) -> Vec<u8> {
    let Token(number) = token;
    let mut entropy = Entropy::new(number);
    let mut text = format!(
        "From: <{from}>\r\n\
         Subject: message {number}\r\n\
         {TOKEN_FIELD}: {number}\r\n\
         Message-ID: <{number}@client.example.net>\r\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
    );
    let is_multipart = entropy.next_below(4) == 0;
    if is_multipart {
        text.push_str(
            "MIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"b\"\r\n\
             \r\n\
             --b\r\n\
             Content-Type: text/plain\r\n",
        );
    }
    text.push_str("\r\n");
    let lines = match entropy.next_below(LARGE_EVERY) {
        0 => 2_000 + entropy.next_below(4_000),
        _ => entropy.next_below(60),
    };
    for _ in 0..lines {
        push_line(&mut text, &mut entropy);
    }
    if is_multipart {
        text.push_str(
            "--b\r\n\
             Content-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: base64\r\n\
             \r\n\
             AAECAwQFBgcICQoL\r\n\
             --b--\r\n",
        );
    }
    text.into_bytes()
}

fn push_line(text: &mut String, entropy: &mut Entropy) {
    match entropy.next_below(12) {
        0 => {}
        1 => text.push('.'),
        2 => text.push_str("..stuffed"),
        3 => text.extend(std::iter::repeat_n('x', 990)),
        _ => {
            let word = entropy.next_u64();
            text.push_str(&format!("{word:016x} lorem ipsum dolor sit amet {word}"));
        }
    }
    text.push_str("\r\n");
}

/// The token in a message or header.
pub(super) fn token_in(bytes: &[u8]) -> Option<Token> {
    let text = String::from_utf8_lossy(bytes);
    let (_, rest) = text.split_once(&format!("{TOKEN_FIELD}: "))?;
    let (number, _) = rest.split_once("\r\n")?;
    number.parse().ok().map(Token)
}

/// What DATA sends of it: dots stuffed, and the end (RFC 5321 §4.5.2).
pub(super) fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut stuffed = Vec::with_capacity(message.len() + 8);
    let mut is_at_line_start = true;
    for &byte in message {
        if is_at_line_start && byte == b'.' {
            stuffed.push(b'.');
        }
        stuffed.push(byte);
        is_at_line_start = byte == b'\n';
    }
    stuffed.extend_from_slice(b".\r\n");
    stuffed
}
