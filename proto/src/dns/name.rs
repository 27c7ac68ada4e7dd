//! Names of the DNS.

use alloc::{format, string::String, sync::Arc};
use core::{
    fmt::{self, Write},
    net::IpAddr,
};

use idna::uts46::{DnsLength, Hyphens, Uts46};

use crate::{Domain, limits};

/// A fully qualified domain name in lower case (RFC 4343), without its final dot; empty is the
/// root.
///
/// Labels hold printable ASCII without dot and backslash: all that names of mail, reverse zones
/// (RFC 2317 has `/` in them) and services use. Others that come in answers are left out.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NameError {
    /// A label is empty, or holds what a name may not.
    Malformed,
    /// A label is longer than [`limits::DNS_LABEL_BYTES`], or the name than
    /// [`limits::DNS_NAME_BYTES`].
    TooLong,
    /// An address literal has no name.
    AddressLiteral,
    /// A label can't be written in ASCII (RFC 5891 §4).
    NotIdna,
}

impl Name {
    /// The root of the DNS, which a null MX names (RFC 7505 §3).
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// Parses a name in ASCII, with or without its final dot.
    ///
    /// # Errors
    ///
    /// `Malformed` or `TooLong`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.len() > limits::DNS_NAME_BYTES {
            return Err(NameError::TooLong);
        }
        for label in text.split('.') {
            if label.len() > limits::DNS_LABEL_BYTES {
                return Err(NameError::TooLong);
            }
            let valid = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'\\';
            if label.is_empty() || !label.bytes().all(valid) {
                return Err(NameError::Malformed);
            }
        }
        Ok(Self(Arc::from(text.to_ascii_lowercase())))
    }

    /// The name of a mail domain. Labels that are not ASCII (U-labels) become A-labels as UTS 46
    /// has it, without its transitional exceptions; ASCII is taken as it is.
    ///
    /// # Errors
    ///
    /// `AddressLiteral`, `NotIdna`, or what [`parse`](Self::parse) says.
    pub fn from_domain(domain: &Domain) -> Result<Self, NameError> {
        let text = domain.as_str();
        if text.starts_with('[') {
            return Err(NameError::AddressLiteral);
        }
        if text.is_ascii() {
            return Self::parse(text);
        }
        let ascii = Uts46::new().to_ascii(
            text.as_bytes(),
            idna::AsciiDenyList::EMPTY,
            Hyphens::Check,
            DnsLength::Ignore,
        );
        let name = Self::parse(&ascii.map_err(|_| NameError::NotIdna)?)?;
        // Fullwidth letters and the like were mapped to ASCII that no one has looked at yet.
        match name.is_host_name() {
            true => Ok(name),
            false => Err(NameError::Malformed),
        }
    }

    /// The name whose PTR records name the host of this address (RFC 1035 §3.5, RFC 3596 §2.5).
    pub fn reverse(address: IpAddr) -> Self {
        let mut text = String::new();
        match address {
            IpAddr::V4(address) => {
                for octet in address.octets().iter().rev() {
                    write!(text, "{octet}.").expect("a String takes everything");
                }
                text.push_str("in-addr.arpa");
            }
            IpAddr::V6(address) => {
                for octet in address.octets().iter().rev() {
                    write!(text, "{:x}.{:x}.", octet & 0xf, octet >> 4)
                        .expect("a String takes everything");
                }
                text.push_str("ip6.arpa");
            }
        }
        Self(Arc::from(text))
    }

    /// The name `prefix.self`, as in `_25._tcp.mx.example.com` (RFC 7672 §2.2.3).
    ///
    /// # Errors
    ///
    /// What [`parse`](Self::parse) says.
    pub fn prefixed(&self, prefix: &str) -> Result<Self, NameError> {
        match self.is_root() {
            true => Self::parse(prefix),
            false => Self::parse(&format!("{prefix}.{self}")),
        }
    }

    /// In lower case, without the final dot; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can be the name of a host: letters, digits, hyphens that neither begin nor end
    /// a label (RFC 1123 §2.1), and underscores, which some hosts have.
    pub fn is_host_name(&self) -> bool {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        self.labels().all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(letters)
        })
    }

    /// The labels from left to right; a single empty one for the root.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }
}

impl fmt::Display for Name {
    /// Without the final dot; `.` for the root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not a well-formed domain name",
            Self::TooLong => "it is too long for a domain name",
            Self::AddressLiteral => "an address literal is no domain name",
            Self::NotIdna => "it is not a valid internationalized domain name",
        })
    }
}

impl core::error::Error for NameError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    fn from_domain(text: &str) -> Result<Name, NameError> {
        Name::from_domain(&Domain::parse(text).unwrap())
    }

    #[test]
    fn names_are_compared_without_case_and_final_dot() {
        assert_eq!(
            Name::parse("MX.Example.COM."),
            Name::parse("mx.example.com")
        );
        assert_eq!(Name::parse("."), Ok(Name::root()));
        assert_eq!(Name::root().to_string(), ".");
    }

    #[test]
    fn what_no_name_holds_is_refused() {
        for text in [
            "",
            "..",
            "a..b",
            ".a",
            "a b",
            "a\\b",
            "ü.example",
            "a\u{7f}",
        ] {
            assert_eq!(Name::parse(text), Err(NameError::Malformed), "{text}");
        }
        assert!(Name::parse("0/25.2.0.192.in-addr.arpa").is_ok());
    }

    #[test]
    fn longest_label_and_name_fit_and_one_byte_more_does_not() {
        let label = "x".repeat(limits::DNS_LABEL_BYTES);
        assert!(Name::parse(&label).is_ok());
        assert_eq!(Name::parse(&format!("{label}x")), Err(NameError::TooLong));
        let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
        assert_eq!(longest.len(), limits::DNS_NAME_BYTES);
        assert!(Name::parse(&longest).is_ok());
        assert_eq!(Name::parse(&format!("{longest}x")), Err(NameError::TooLong));
    }

    #[test]
    fn u_labels_become_a_labels_and_ascii_stays() {
        let name = |text| from_domain(text).unwrap().to_string();
        assert_eq!(name("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(name("BÜCHER.example"), "xn--bcher-kva.example");
        assert_eq!(name("straße.de"), "xn--strae-oqa.de");
        assert_eq!(name("_dmarc.example.com"), "_dmarc.example.com");
        assert_eq!(name("xn--a.example"), "xn--a.example");
        assert_eq!(from_domain("[127.0.0.1]"), Err(NameError::AddressLiteral));
        assert_eq!(from_domain("a\u{ff0f}b.example"), Err(NameError::Malformed));
        assert_eq!(from_domain("\u{378}.example"), Err(NameError::NotIdna));
    }

    #[test]
    fn addresses_have_reverse_names() {
        let reverse = |text: &str| Name::reverse(text.parse().unwrap()).to_string();
        assert_eq!(reverse("192.0.2.7"), "7.2.0.192.in-addr.arpa");
        assert_eq!(
            reverse("2001:db8::567:89ab"),
            "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
        );
    }

    #[test]
    fn host_names_are_letters_digits_and_hyphens() {
        let is_host = |text: &str| Name::parse(text).unwrap().is_host_name();
        assert!(is_host("mx-1.example.com") && is_host("my_host.example.com"));
        assert!(!is_host(".") && !is_host("-a.b") && !is_host("a-.b") && !is_host("a@b.c"));
    }

    #[test]
    fn prefixes_make_names_of_services() {
        let host = Name::parse("mx.example.com").unwrap();
        let service = host.prefixed("_25._tcp").unwrap();
        assert_eq!(service.as_str(), "_25._tcp.mx.example.com");
        assert_eq!(Name::root().prefixed("com"), Name::parse("com"));
    }

    proptest! {
        #[test]
        fn any_name_prints_and_parses_again(text in "[!-~]{0,20}(\\.[!-~]{0,20}){0,3}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(&name.to_string()), Ok(name));
            }
        }

        #[test]
        fn any_domain_becomes_a_name_or_an_error(text in "\\PC{0,20}(\\.\\PC{0,10}){0,2}") {
            if let Ok(domain) = Domain::parse(&text)
                && let Ok(name) = Name::from_domain(&domain)
            {
                prop_assert!(name.as_str().is_ascii());
            }
        }
    }
}
