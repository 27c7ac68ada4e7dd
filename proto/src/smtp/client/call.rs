//! What the SMTP client is made with, what it asks of the world, and what it is answered.

use alloc::{boxed::Box, string::String, vec::Vec};

use bytes::Bytes;

use super::{End, Fate};
use crate::{
    Domain, ForwardPath, ReversePath, Secret,
    smtp::{Notify, Return},
};

/// Which protocol the server speaks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Protocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// RFC 2033: LHLO, and one reply for each recipient after the message.
    Lmtp,
}

/// Whether and how TLS comes up.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Security {
    /// Never.
    Cleartext,
    /// By STARTTLS where the server offers it. When the handshake fails, the session ends with a
    /// trouble of which [`Trouble::is_tls`](super::Trouble::is_tls) holds, and the world may
    /// connect again with [`Cleartext`](Self::Cleartext).
    #[default]
    Opportunistic,
    /// By STARTTLS, or not at all.
    Required,
    /// The connection starts with a handshake; `Event::TlsEstablished` comes before any input.
    Implicit,
}

/// Who logs in.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// As the server knows it. Sent as it is: a name or password with characters that SASLprep
    /// (RFC 4013) would change is to be given in its prepared form.
    pub username: String,
    /// The same.
    pub password: Secret<String>,
    /// Whether PLAIN and LOGIN, which show the password, may be used without TLS.
    pub cleartext_allowed: bool,
    /// Fresh random bytes: the client's nonce of SCRAM-SHA-256 (RFC 5802 §5.1).
    pub nonce: [u8; 18],
}

/// What a client connection is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Our name in EHLO.
    pub hostname: Domain,
    /// Whether a server that introduces itself by our name is ourselves, and gets no mail (RFC
    /// 5321 §6.3).
    pub shuns_own_name: bool,
    /// Whether and how TLS comes up.
    pub security: Security,
    /// Who logs in. With `None` nobody does; with `Some`, no mail is sent before it is done.
    pub credentials: Option<Credentials>,
}

/// One recipient of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// Where the message goes.
    pub path: ForwardPath,
    /// `NOTIFY`, when it was given.
    pub notify: Option<Notify>,
    /// `ORCPT` as it was given: `rfc822;` and xtext (RFC 3461 §4.2). What is longer than
    /// [`limits::SMTP_ORIGINAL_RECIPIENT_BYTES`](crate::limits::SMTP_ORIGINAL_RECIPIENT_BYTES), or
    /// no value of a parameter, is not passed on.
    pub original: Option<String>,
}

/// A message that is to be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The world's own name of it, which comes back in reports.
    pub key: u64,
    /// Where failure reports go.
    pub reverse_path: ReversePath,
    /// Named in reports by their place in this list.
    pub recipients: Vec<Recipient>,
    /// The content's length.
    pub size_bytes: u64,
    /// The part tree in its stored form ([`Summary::parts`](crate::mime::Summary)). Needed where
    /// the content must be converted; may be empty, and then it can't be.
    pub parts: Bytes,
    /// Whether the content may hold bytes above 127. True when it is not known.
    pub eight_bit: bool,
    /// Whether the content's headers may hold UTF-8 (RFC 6532), that is, whether it came with
    /// SMTPUTF8. The addresses are looked at in any case.
    pub smtputf8: bool,
    /// `RET`, when it was given.
    pub return_of_content: Option<Return>,
    /// `ENVID` as it was given, in xtext; not passed on when longer than
    /// [`limits::SMTP_ENVELOPE_ID_BYTES`](crate::limits::SMTP_ENVELOPE_ID_BYTES).
    pub envelope_id: Option<String>,
}

/// The fates of some recipients of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// The message's.
    pub key: u64,
    /// Whether the peer was given RET, ENVID, NOTIFY and ORCPT, so that a relayed report (RFC
    /// 3461 §5.2.2) is not ours to make.
    pub dsn_passed_on: bool,
    /// The recipient's place in the message's list, and its fate. Not empty.
    pub fates: Vec<(usize, Fate)>,
}

/// What the client asks.
#[derive(Debug)]
pub enum Call {
    /// The session is ready for a message. Answered by `Message` or `NoMore`, whenever there is
    /// one: until then the connection is kept. When the call is cancelled, a message that was
    /// answered to it was not taken.
    NextMessage,
    /// A piece of the content of the message that is being sent. Answered by `Bytes`, or by
    /// `Unavailable`. Pieces are asked for one by one, in order; where the content must be
    /// converted, it is read twice.
    Read {
        /// Where it begins.
        offset: u64,
        /// How much; at most [`limits::READ_BYTES`](crate::limits::READ_BYTES).
        length: usize,
    },
    /// Some recipients of a message have met their fate. Each recipient of each message that was
    /// taken is in one such report, before `Ended`. Answered by `Noted`, which nobody waits for.
    Report(Report),
    /// The session is over; the close follows. Answered by `Noted`, which nobody waits for.
    Ended(End),
    /// The cryptography of SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), as blocking work: with
    /// `SaltedPassword := PBKDF2-HMAC-SHA-256(password, salt, iterations)`, `ClientKey :=
    /// HMAC(SaltedPassword, "Client Key")` and `ServerKey := HMAC(SaltedPassword, "Server Key")`,
    /// answered by `Scram`.
    Scram(ScramInput),
}

/// What SCRAM's proof and signature are made of.
#[derive(Clone, Debug)]
pub struct ScramInput {
    /// The password.
    pub password: Secret<String>,
    /// The server's salt.
    pub salt: Vec<u8>,
    /// Within [`limits::SCRAM_ITERATIONS`](crate::limits::SCRAM_ITERATIONS).
    pub iterations: u32,
    /// What both are made over.
    pub auth_message: String,
}

/// What the client is answered.
#[derive(Debug)]
pub enum Reply {
    /// Send this.
    Message(Box<Message>),
    /// There is nothing more to send: quit.
    NoMore,
    /// The piece that was asked for, at most as long; empty when there is none.
    Bytes(Bytes),
    /// The content can't be read.
    Unavailable,
    /// It is noted.
    Noted,
    /// What [`Call::Scram`] asked for.
    Scram {
        /// `ClientKey XOR HMAC(SHA-256(ClientKey), AuthMessage)`
        client_proof: [u8; 32],
        /// `HMAC(ServerKey, AuthMessage)`
        server_signature: [u8; 32],
    },
}
