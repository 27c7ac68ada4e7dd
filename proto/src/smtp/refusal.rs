//! Every negative reply, built in one place.

use alloc::{borrow::Cow, string::String};
use core::fmt;

/// An enhanced status code (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A negative reply: 4yz or 5yz.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// Reply code (RFC 5321 §4.2).
    pub code: u16,
    /// Enhanced status code (RFC 3463), whose class is the code's first digit.
    pub enhanced: EnhancedCode,
    /// One line for people, without CR or LF.
    pub text: Cow<'static, str>,
}

macro_rules! refusals {
    ($(
        $(#[$doc:meta])*
        $name:ident = $code:literal $class:literal.$subject:literal.$detail:literal $text:literal;
    )*) => {
        impl Refusal {
            $(
                $(#[$doc])*
                pub const fn $name() -> Self {
                    Self {
                        code: $code,
                        enhanced: EnhancedCode($class, $subject, $detail),
                        text: Cow::Borrowed($text),
                    }
                }
            )*
        }

        #[cfg(test)]
        const ALL: &[fn() -> Refusal] = &[$(Refusal::$name),*];
    };
}

// What the world answers.
refusals! {
    /// The reverse-path or From is not one of the authenticated user's own addresses.
    sender_not_owned = 550 5 . 7 . 1 "That sender address is not yours";
    /// The recipient's domain is not hosted here.
    relay_denied = 550 5 . 7 . 1 "We do not relay to that domain";
    /// There is no such recipient in a hosted domain.
    no_such_mailbox = 550 5 . 1 . 1 "No such mailbox here";
    /// An alias leads to more addresses than are followed: an operator must see to it.
    alias_too_large = 451 4 . 3 . 5 "That alias leads to too many addresses, try again later";
    /// The store can't answer now.
    temporary_failure = 451 4 . 3 . 0 "Temporary failure, try again later";
    /// The disk is full.
    storage_full = 452 4 . 3 . 1 "Not enough storage, try again later";
    /// The recipient's quota is used up.
    mailbox_full = 452 4 . 2 . 2 "That mailbox is full, try again later";
    /// The username or the password is wrong (RFC 4954 §6).
    credentials_invalid = 535 5 . 7 . 8 "Authentication credentials invalid";
    /// The credentials can't be looked at now (RFC 4954 §6).
    authentication_unavailable = 454 4 . 7 . 0 "Temporary authentication failure";
    /// Too many failed logins came from this peer lately.
    too_many_failed_logins = 454 4 . 7 . 0 "Too many failed logins, try again later";
    /// The peer sends more messages or recipients than its rate allows.
    rate_exceeded = 450 4 . 7 . 1 "Too much mail from you, try again later";
    /// The server has, or the peer has, as many connections as it may.
    too_many_connections = 421 4 . 7 . 0 "Too many connections, try again later";

    // Syntax and order of commands.
    /// There is no such command.
    command_unknown = 500 5 . 5 . 1 "Command not recognized";
    /// The command is known and not offered.
    command_not_implemented = 502 5 . 5 . 1 "Command not implemented";
    /// The line is longer than [`SMTP_COMMAND_LINE_BYTES`](crate::limits::SMTP_COMMAND_LINE_BYTES).
    line_too_long = 500 5 . 5 . 2 "Line too long";
    /// The line is not UTF-8.
    line_not_utf8 = 500 5 . 5 . 2 "Command line is not UTF-8";
    /// A CR without LF or an LF without CR (RFC 5321 §2.3.8).
    bare_newline = 550 5 . 5 . 2 "Bare CR or LF received; lines end in CRLF, RFC 5321 2.3.8";
    /// The same in a command line.
    bare_newline_in_command = 500 5 . 5 . 2 "Bare CR or LF received, RFC 5321 2.3.8";
    /// An argument is missing, malformed, or one too many.
    argument_malformed = 501 5 . 5 . 4 "Syntax error in arguments";
    /// The reverse-path is malformed.
    reverse_path_malformed = 501 5 . 1 . 7 "Bad sender address syntax";
    /// The forward-path is malformed.
    forward_path_malformed = 501 5 . 1 . 3 "Bad recipient address syntax";
    /// A parameter of MAIL or RCPT is not known (RFC 5321 §4.1.1.11).
    parameter_unknown = 555 5 . 5 . 4 "Parameter not recognized or not implemented";
    /// A non-ASCII address without SMTPUTF8 (RFC 6531 §3.5).
    smtputf8_required = 553 5 . 6 . 7 "Non-ASCII address without SMTPUTF8";
    /// EHLO or HELO must come first.
    hello_required = 503 5 . 5 . 1 "Send EHLO first";
    /// MAIL must come first.
    mail_required = 503 5 . 5 . 1 "Send MAIL first";
    /// MAIL within a mail transaction.
    nested_mail = 503 5 . 5 . 1 "Nested MAIL command";
    /// DATA without an accepted recipient.
    no_recipients = 554 5 . 5 . 1 "No valid recipients";
    /// MAIL, RCPT or DATA after BDAT in one transaction (RFC 3030 §2).
    chunks_begun = 503 5 . 5 . 1 "Only BDAT or RSET after BDAT";
    /// The command may not be used here or now.
    not_allowed_here = 503 5 . 5 . 1 "Command not allowed here";

    // Authentication and TLS.
    /// MAIL on a submission listener before AUTH (RFC 4954 §6).
    authentication_required = 530 5 . 7 . 0 "Authentication required";
    /// AUTH before TLS (RFC 4954 §6).
    encryption_required = 538 5 . 7 . 11 "Encryption required, use STARTTLS first";
    /// The mechanism is not known (RFC 4954 §4).
    mechanism_unknown = 504 5 . 5 . 4 "Authentication mechanism not supported";
    /// The client cancelled with `*` (RFC 4954 §4).
    auth_cancelled = 501 5 . 7 . 0 "Authentication cancelled";
    /// The response is not base64, or not what the mechanism asks for (RFC 4954 §4).
    auth_response_malformed = 501 5 . 5 . 2 "Cannot decode response";
    /// The line is longer than [`SMTP_AUTH_LINE_BYTES`](crate::limits::SMTP_AUTH_LINE_BYTES).
    auth_line_too_long = 500 5 . 5 . 6 "Authentication exchange line is too long";

    // Limits of a message.
    /// The message is, or is announced to be, larger than the limit (RFC 1870 §6).
    message_too_large = 552 5 . 3 . 4 "Message is larger than our limit";
    /// The message went through more servers than any way is long (RFC 5321 §6.3).
    routing_loop = 554 5 . 4 . 6 "Too many Received fields: the message goes in circles";
    /// One recipient too many (RFC 5321 §4.5.3.1.10).
    too_many_recipients = 452 4 . 5 . 3 "Too many recipients";
    /// The From field of a submitted message can't be read, or names too many.
    from_malformed = 550 5 . 7 . 1 "The From field is malformed or too long";

    // Ends of a session.
    /// As many messages came as one connection may send.
    too_many_messages = 421 4 . 7 . 0 "Too many messages in one connection, open another";
    /// As many commands were rejected as one connection may have.
    too_many_errors = 421 4 . 7 . 0 "Too many errors, closing connection";
    /// As many AUTH commands failed as one connection may have.
    too_many_auth_failures = 421 4 . 7 . 0 "Too many failed logins, closing connection";
    /// Nothing came for too long.
    timeout = 421 4 . 4 . 2 "Timeout, closing connection";
    /// The server is going down.
    shutting_down = 421 4 . 3 . 2 "Server is going down, try again later";
}

impl Refusal {
    /// The same code with another text.
    #[must_use]
    pub fn with_text(mut self, text: String) -> Self {
        self.text = Cow::Owned(text);
        self
    }

    /// Whether the peer may try again (4yz).
    pub const fn is_transient(&self) -> bool {
        self.code < 500
    }

    /// Whether the connection ends with it (RFC 5321 §3.8).
    pub const fn is_final(&self) -> bool {
        self.code == 421
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_of_the_enhanced_code_is_the_first_digit() {
        for make in ALL {
            let refusal = make();
            assert_eq!(
                u16::from(refusal.enhanced.0),
                refusal.code / 100,
                "{refusal:?}"
            );
            assert!(matches!(refusal.code, 400..=599));
        }
    }

    #[test]
    fn texts_are_one_printable_line() {
        for make in ALL {
            assert!(make().text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
