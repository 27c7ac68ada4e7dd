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
    ($($(#[$doc:meta])* $name:ident = $code:literal $class:literal.$subject:literal.$detail:literal $text:literal;)*) => {
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
    };
}

refusals! {
    /// The reverse-path or From is not one of the authenticated user's own addresses.
    sender_not_owned = 550 5 . 7 . 1 "That sender address is not yours";
    /// The recipient's domain is not hosted here.
    relay_denied = 550 5 . 7 . 1 "We do not relay to that domain";
    /// There is no such recipient in a hosted domain.
    no_such_mailbox = 550 5 . 1 . 1 "No such mailbox here";
    /// The account exists and takes no mail.
    mailbox_disabled = 550 5 . 2 . 1 "That mailbox is disabled";
    /// The store can't answer now.
    temporary_failure = 451 4 . 3 . 0 "Temporary failure, try again later";
    /// The disk is full.
    storage_full = 452 4 . 3 . 1 "Not enough storage, try again later";
    /// The recipient's quota is used up.
    mailbox_full = 452 4 . 2 . 2 "That mailbox is full, try again later";
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
}
