//! What became of recipients and sessions.

use alloc::string::String;
use core::fmt;

use crate::{
    mime::Unconvertible,
    smtp::{EnhancedCode, PeerReply},
};

/// What became of one recipient of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// The peer has taken the responsibility.
    Accepted(PeerReply),
    /// The peer refuses it for good (5yz).
    Refused(PeerReply),
    /// The peer refuses it for now (4yz).
    Deferred(PeerReply),
    /// It was not sent. Whether to try again says [`Trouble::is_permanent`].
    Failed(Trouble),
    /// All of it was sent and no reply came: it may have arrived, and is to be tried again, which
    /// may double it (RFC 5321 §4.5.3.2.6, RFC 1047).
    Uncertain(Trouble),
}

/// How a session ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// As it should: everything that was given was sent or reported.
    Finished,
    /// Before its time.
    Broken(Trouble),
}

/// What was waited for in vain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// The greeting.
    Greeting,
    /// The reply to EHLO, HELO or LHLO.
    Hello,
    /// The reply to STARTTLS.
    StartTls,
    /// The end of the TLS handshake.
    Handshake,
    /// A reply of the AUTH exchange.
    Auth,
    /// The reply to MAIL.
    Mail,
    /// The reply to RCPT.
    Rcpt,
    /// The reply to DATA.
    Data,
    /// The peer's taking bytes, or its reply to a chunk.
    Block,
    /// The reply to the end of the message.
    DataEnd,
    /// The reply to RSET.
    Reset,
}

/// Why something was not sent, other than by the peer's refusal of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Trouble {
    /// The address or the content needs SMTPUTF8 and the peer has it not (RFC 6531 §3.2).
    Smtputf8Unsupported,
    /// The content has 8-bit bytes, the peer lacks 8BITMIME, and it can't be converted (RFC 6152
    /// §3).
    NotConvertible(Unconvertible),
    /// The content is larger than the peer takes (RFC 1870 §6).
    TooLarge {
        /// What the peer takes.
        limit_bytes: u64,
    },
    /// The content can't be read.
    ContentUnavailable,
    /// The peer takes no more transactions in this connection; another may be opened at once.
    ConnectionSpent,
    /// The peer refused to serve at all, by its greeting, its answer to EHLO or RSET, or a 421.
    Refused(PeerReply),
    /// The peer bears our own name: the mail would go in circles.
    OwnName,
    /// TLS is required and not offered.
    TlsUnavailable,
    /// TLS is required and STARTTLS was refused.
    StartTlsRefused(PeerReply),
    /// The handshake failed.
    TlsFailed(String),
    /// The peer offers no mechanism that may be used with the TLS that there is.
    AuthUnavailable,
    /// The peer refused the credentials.
    AuthRefused(PeerReply),
    /// The peer did not prove that it knows the password (RFC 5802 §3), or asks for what is not
    /// safe to give.
    ServerNotAuthentic,
    /// Nothing came for too long.
    Timeout(Stage),
    /// The connection was lost.
    Lost,
    /// What came is no reply.
    Malformed,
    /// A reply to nothing, or one that does not fit what was asked.
    OutOfTurn(PeerReply),
    /// We are going down.
    ShuttingDown,
}

impl Trouble {
    /// Whether it would be the same next time with this peer.
    pub const fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Smtputf8Unsupported | Self::NotConvertible(_) | Self::TooLarge { .. }
        )
    }

    /// Whether it would not have come to this without TLS.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::TlsFailed(_) | Self::Timeout(Stage::Handshake))
    }

    /// What becomes of a recipient that nothing was said of.
    pub(super) fn into_fate(self) -> Fate {
        match self {
            Self::Refused(reply) if reply.is_transient() => Fate::Deferred(reply),
            trouble => Fate::Failed(trouble),
        }
    }

    /// The enhanced status code for a report (RFC 3463).
    pub fn enhanced(&self) -> EnhancedCode {
        match self {
            Self::Smtputf8Unsupported => EnhancedCode(5, 6, 7),
            Self::NotConvertible(_) => EnhancedCode(5, 6, 3),
            Self::TooLarge { .. } => EnhancedCode(5, 3, 4),
            Self::ContentUnavailable => EnhancedCode(4, 3, 0),
            Self::ConnectionSpent => EnhancedCode(4, 5, 3),
            Self::Refused(reply) => match reply.enhanced {
                Some(EnhancedCode(_, subject, detail)) => EnhancedCode(4, subject, detail),
                None => EnhancedCode(4, 3, 2),
            },
            Self::OwnName => EnhancedCode(5, 4, 6),
            Self::TlsUnavailable | Self::StartTlsRefused(_) => EnhancedCode(4, 7, 10),
            Self::TlsFailed(_) => EnhancedCode(4, 7, 5),
            Self::AuthUnavailable => EnhancedCode(4, 7, 4),
            Self::AuthRefused(_) | Self::ServerNotAuthentic => EnhancedCode(4, 7, 8),
            Self::Timeout(_) | Self::Lost => EnhancedCode(4, 4, 2),
            Self::Malformed | Self::OutOfTurn(_) => EnhancedCode(4, 5, 0),
            Self::ShuttingDown => EnhancedCode(4, 3, 2),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Smtputf8Unsupported => {
                f.write_str("it has non-ASCII addresses or headers and the server lacks SMTPUTF8")
            }
            Self::NotConvertible(why) => {
                write!(f, "the server takes 7-bit messages only, and {why}")
            }
            Self::TooLarge { limit_bytes } => {
                write!(
                    f,
                    "the server takes messages of {limit_bytes} bytes at most"
                )
            }
            Self::ContentUnavailable => f.write_str("the message can't be read"),
            Self::ConnectionSpent => {
                f.write_str("the server takes no more messages in this connection")
            }
            Self::Refused(reply) => write!(f, "the server refused the session: {reply}"),
            Self::OwnName => f.write_str("the server bears our own name: mail loops back to us"),
            Self::TlsUnavailable => f.write_str("the server does not offer TLS"),
            Self::StartTlsRefused(reply) => write!(f, "the server refused STARTTLS: {reply}"),
            Self::TlsFailed(reason) => write!(f, "the TLS handshake failed: {reason}"),
            Self::AuthUnavailable => {
                f.write_str("the server offers no login that may be used here")
            }
            Self::AuthRefused(reply) => write!(f, "the server refused the login: {reply}"),
            Self::ServerNotAuthentic => {
                f.write_str("the server did not prove that it knows the password")
            }
            Self::Timeout(stage) => write!(f, "timeout while waiting for {stage}"),
            Self::Lost => f.write_str("the connection was lost"),
            Self::Malformed => f.write_str("the server sent what is no SMTP reply"),
            Self::OutOfTurn(reply) => write!(f, "the server sent an unexpected reply: {reply}"),
            Self::ShuttingDown => f.write_str("this server is going down"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Greeting => "the greeting",
            Self::Hello => "the reply to EHLO",
            Self::StartTls => "the reply to STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::Auth => "the reply to AUTH",
            Self::Mail => "the reply to MAIL",
            Self::Rcpt => "the reply to RCPT",
            Self::Data => "the reply to DATA",
            Self::Block => "the server to take data",
            Self::DataEnd => "the reply to the end of the message",
            Self::Reset => "the reply to RSET",
        })
    }
}
