//! Mail addresses: RFC 5321's "Mailbox", with the paths that carry them.

use alloc::{borrow::ToOwned, string::String};
use core::fmt;

use crate::limits;

/// A domain name or an address literal, in lower case (ASCII letters only).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Domain(String);

/// A local-part and a domain.
///
/// The local-part is kept without its quotes and escapes, in the case in which it came; comparing
/// local-parts without case is the directory's business. It may hold any UTF-8 text (RFC 6531)
/// without control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Address {
    local_part: String,
    domain: Domain,
}

/// Where failure reports go: the argument of MAIL FROM.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ReversePath {
    /// `<>`: nowhere.
    Null,
    /// An address.
    Address(Address),
}

/// Where a message goes: the argument of RCPT TO.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ForwardPath {
    /// `<postmaster>`, in any case, without a domain (RFC 5321 §4.1.1.3).
    Postmaster,
    /// An address.
    Address(Address),
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressError {
    /// The local-part is missing or not well formed.
    LocalPart,
    /// The domain is missing or not well formed.
    Domain,
    /// The local-part is longer than [`limits::LOCAL_PART_BYTES`].
    LocalPartTooLong,
    /// The domain is longer than [`limits::DOMAIN_BYTES`], or one of its labels than 63.
    DomainTooLong,
}

impl Domain {
    /// Parses `sub-domain *("." sub-domain)` or an address literal in brackets (RFC 5321 §4.1.2,
    /// §4.1.3; RFC 6531 §3.3 for U-labels). A final dot is not accepted.
    ///
    /// # Errors
    ///
    /// `Domain` or `DomainTooLong`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > limits::DOMAIN_BYTES {
            return Err(AddressError::DomainTooLong);
        }
        if let Some(literal) = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let valid = match literal.get(..5) {
                Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => {
                    literal[5..].parse::<core::net::Ipv6Addr>().is_ok()
                }
                _ => literal.parse::<core::net::Ipv4Addr>().is_ok(),
            };
            return match valid {
                true => Ok(Self(text.to_ascii_lowercase())),
                false => Err(AddressError::Domain),
            };
        }
        for label in text.split('.') {
            if label.len() > 63 {
                return Err(AddressError::DomainTooLong);
            }
            let letters = label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_utf8_text(c));
            if label.is_empty() || !letters || label.starts_with('-') || label.ends_with('-') {
                return Err(AddressError::Domain);
            }
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// In lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Address {
    /// Parses `Local-part "@" Domain` (RFC 5321 §4.1.2), the local-part as dot-string or quoted
    /// string, UTF-8 allowed (RFC 6531 §3.3). Comments and white space are not.
    ///
    /// # Errors
    ///
    /// What is wrong with the first faulty half.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local_part, rest) = if text.starts_with('"') {
            parse_quoted_string(text)?
        } else {
            let end = text.rfind('@').ok_or(AddressError::Domain)?;
            let atoms = &text[..end];
            let valid = atoms
                .split('.')
                .all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
            if !valid {
                return Err(AddressError::LocalPart);
            }
            (atoms.to_owned(), &text[end..])
        };
        let domain = rest.strip_prefix('@').ok_or(AddressError::LocalPart)?;
        Self::new(local_part, Domain::parse(domain)?)
    }

    /// Joins an unquoted local-part and a domain.
    ///
    /// # Errors
    ///
    /// `LocalPart` when it is empty or holds control characters, `LocalPartTooLong`.
    pub fn new(local_part: String, domain: Domain) -> Result<Self, AddressError> {
        if local_part.len() > limits::LOCAL_PART_BYTES {
            return Err(AddressError::LocalPartTooLong);
        }
        if local_part.is_empty() || local_part.chars().any(char::is_control) {
            return Err(AddressError::LocalPart);
        }
        Ok(Self { local_part, domain })
    }

    /// Without quotes and escapes.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// In lower case.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether it can be sent to a peer without SMTPUTF8 only.
    pub fn is_ascii(&self) -> bool {
        self.local_part.is_ascii() && self.domain.0.is_ascii()
    }
}

impl fmt::Display for Address {
    /// The local-part is quoted where it must be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self
            .local_part
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atext));
        if plain {
            f.write_str(&self.local_part)?;
        } else {
            f.write_str("\"")?;
            for c in self.local_part.chars() {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\"")?;
        }
        write!(f, "@{}", self.domain)
    }
}

impl ReversePath {
    /// The address, if there is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl fmt::Display for ReversePath {
    /// With the angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

impl fmt::Display for ForwardPath {
    /// With the angle brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => f.write_str("<postmaster>"),
            Self::Address(address) => write!(f, "<{address}>"),
        }
    }
}

/// `"text with \"escapes\""` and what follows it.
fn parse_quoted_string(text: &str) -> Result<(String, &str), AddressError> {
    let mut unquoted = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok((unquoted, &text[index + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped)) if (' '..='~').contains(&escaped) => unquoted.push(escaped),
                _ => return Err(AddressError::LocalPart),
            },
            c if c.is_control() => return Err(AddressError::LocalPart),
            c => unquoted.push(c),
        }
    }
    Err(AddressError::LocalPart)
}

/// `atext` (RFC 5322 §3.2.3, RFC 6531 §3.3).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_text(c)
}

fn is_utf8_text(c: char) -> bool {
    !c.is_ascii() && !c.is_control()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_addresses_come_back_as_they_were() {
        for text in [
            "alice@example.com",
            "a.b+tag@mail.example.com",
            "\"two words\"@example.com",
            "\"a\\\"b\"@example.com",
            "jörg@exämple.com",
            "root@[127.0.0.1]",
            "root@[ipv6:::1]",
        ] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_addresses_are_refused() {
        for text in [
            "",
            "alice",
            "@example.com",
            "a..b@example.com",
            ".a@example.com",
            "a@",
            "a@-x.com",
            "a@b..c",
            "a b@c.d",
            "a@[300.1.1.1]",
            "\"open@c.d",
            "a@c.d.",
            "a\u{7}b@c.d",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn longest_parts_fit_and_one_byte_more_does_not() {
        let local_part = "x".repeat(limits::LOCAL_PART_BYTES);
        assert!(Address::parse(&alloc::format!("{local_part}@c.d")).is_ok());
        let error = Address::parse(&alloc::format!("{local_part}x@c.d"));
        assert_eq!(error, Err(AddressError::LocalPartTooLong));
        let label = "x".repeat(63);
        assert!(Domain::parse(&label).is_ok());
        assert_eq!(
            Domain::parse(&(label + "x")),
            Err(AddressError::DomainTooLong)
        );
    }

    proptest! {
        #[test]
        fn any_address_that_parses_prints_and_parses_again(text in "\\PC{0,20}@\\PC{0,10}") {
            if let Ok(address) = Address::parse(&text) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }

        #[test]
        fn any_local_part_survives_quoting(local_part in "[^\\pC]{1,20}") {
            let domain = Domain::parse("example.com").unwrap();
            if let Ok(address) = Address::new(local_part, domain) {
                prop_assert_eq!(Address::parse(&address.to_string()), Ok(address));
            }
        }
    }
}
