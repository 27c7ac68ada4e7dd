//! Identifiers, each of its own type.

use core::{fmt, num::NonZeroU32};

use crate::AsciiText;

/// A message's unique identifier in its mailbox (RFC 3501 §2.3.1.1): never 0, only grows.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Uid(pub NonZeroU32);

impl Uid {
    /// The smallest UID.
    pub const MIN: Self = Self(NonZeroU32::MIN);
    /// The largest UID.
    pub const MAX: Self = Self(NonZeroU32::MAX);

    /// `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// As a number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// A message's position in its mailbox as one session sees it, from 1 (RFC 3501 §2.3.1.2).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MessageNumber(pub NonZeroU32);

impl MessageNumber {
    /// `None` for 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// As a number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// Names a generation of a mailbox's UIDs (RFC 3501 §2.3.1.1): never 0, never repeats for a name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UidValidity(pub NonZeroU32);

/// A modification sequence (RFC 7162 §3.1): grows with each change of an account. Below 2⁶³.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModSeq(pub u64);

/// An account, for as long as it lives. An address that is deleted and made again gets another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId(pub u64);

fn object_id(prefix: u8, number: u128) -> AsciiText<33> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [prefix; 33];
    for (pair, byte) in text[1..].chunks_exact_mut(2).zip(number.to_be_bytes()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    AsciiText::new(text)
}

macro_rules! lasting_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(pub u128);

        impl $name {
            /// The id that displays so, its letters in any case; `None` for any other text.
            pub fn parse(text: &str) -> Option<Self> {
                let (prefix, digits) = text.split_at_checked(1)?;
                let valid = prefix.as_bytes()[0].eq_ignore_ascii_case(&$prefix)
                    && digits.len() == 32
                    && digits.bytes().all(|b| b.is_ascii_hexdigit());
                valid.then(|| u128::from_str_radix(digits, 16).ok().map(Self))?
            }

            /// An `objectid` (RFC 8474 §7): a letter and 32 hexadecimal digits.
            pub fn text(self) -> AsciiText<33> {
                object_id($prefix, self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.text().fmt(f)
            }
        }
    };
}

lasting_id! {
    /// A mailbox: kept by RENAME, never reused (MAILBOXID, RFC 8474 §4).
    MailboxId, b'F'
}
lasting_id! {
    /// The content of a message: shared by its copies (EMAILID, RFC 8474 §5.1).
    EmailId, b'M'
}
lasting_id! {
    /// A conversation (THREADID, RFC 8474 §5.2).
    ThreadId, b'T'
}
lasting_id! {
    /// One message in one account: kept by moves and flag changes; a copy gets its own.
    InstanceId, b'I'
}
