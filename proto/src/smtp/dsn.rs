//! Delivery status notifications (RFC 3461): what a sender asks for, and how it is spelled.

use alloc::string::String;
use core::fmt;

use super::Refusal;
use crate::limits;

/// Of what the sender wants to hear: `NOTIFY=` (RFC 3461 §4.1). `Default` is NEVER.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Notify {
    /// The message has reached the recipient, or went where no notice comes from.
    pub success: bool,
    /// It can't be delivered.
    pub failure: bool,
    /// It takes longer than usual.
    pub delay: bool,
}

/// How much of the message comes back with a failure: `RET=` (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Return {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// What MAIL says of notices.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MailNotice {
    /// `RET=`
    pub ret: Option<Return>,
    /// `ENVID=`, as it is spelled: xtext of at most
    /// [`limits::SMTP_ENVID_BYTES`](crate::limits::SMTP_ENVID_BYTES).
    pub envid: Option<String>,
}

/// What RCPT says of notices.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RcptNotice {
    /// `NOTIFY=`; without it, failures are told of.
    pub notify: Option<Notify>,
    /// `ORCPT=`, as it is spelled: `addr-type ";" xtext` of at most
    /// [`limits::SMTP_ORCPT_BYTES`](crate::limits::SMTP_ORCPT_BYTES).
    pub orcpt: Option<String>,
}

impl Notify {
    /// What holds when the sender says nothing (RFC 3461 §4.1).
    pub const UNSAID: Self = Self {
        success: false,
        failure: true,
        delay: true,
    };

    /// `notify-esmtp-value = "NEVER" / 1#notify-list-element`
    ///
    /// # Errors
    ///
    /// 501 for anything else.
    pub fn parse(value: &str) -> Result<Self, Refusal> {
        let mut notify = Self::default();
        if value.eq_ignore_ascii_case("NEVER") {
            return Ok(notify);
        }
        for element in value.split(',') {
            let is = |name: &str| element.eq_ignore_ascii_case(name);
            let wish = if is("SUCCESS") {
                &mut notify.success
            } else if is("FAILURE") {
                &mut notify.failure
            } else if is("DELAY") {
                &mut notify.delay
            } else {
                return Err(Refusal::argument_malformed());
            };
            *wish = true;
        }
        Ok(notify)
    }
}

impl fmt::Display for Notify {
    /// As the value of `NOTIFY=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wishes = [
            (self.success, "SUCCESS"),
            (self.failure, "FAILURE"),
            (self.delay, "DELAY"),
        ];
        let mut wishes = wishes.into_iter().filter(|(is_wanted, _)| *is_wanted);
        let Some((_, first)) = wishes.next() else {
            return f.write_str("NEVER");
        };
        f.write_str(first)?;
        wishes.try_for_each(|(_, wish)| write!(f, ",{wish}"))
    }
}

impl Return {
    /// `ret-value = "FULL" / "HDRS"`
    ///
    /// # Errors
    ///
    /// 501 for anything else.
    pub fn parse(value: &str) -> Result<Self, Refusal> {
        if value.eq_ignore_ascii_case("FULL") {
            Ok(Self::Full)
        } else if value.eq_ignore_ascii_case("HDRS") {
            Ok(Self::Headers)
        } else {
            Err(Refusal::argument_malformed())
        }
    }

    /// As the value of `RET=`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl RcptNotice {
    /// What the sender wants to hear, said or not.
    pub fn wanted(&self) -> Notify {
        self.notify.unwrap_or(Notify::UNSAID)
    }
}

/// `envid-parameter` (RFC 3461 §4.4).
pub(super) fn parse_envid(value: &str) -> Result<String, Refusal> {
    let is_good = value.len() <= limits::SMTP_ENVID_BYTES && decode_xtext(value).is_some();
    match is_good {
        true => Ok(value.into()),
        false => Err(Refusal::argument_malformed()),
    }
}

/// `original-recipient-address = atom ";" xtext` (RFC 3461 §4.2). Of `utf-8` addresses (RFC 6533
/// §3) UTF-8 passes as well.
pub(super) fn parse_orcpt(value: &str) -> Result<String, Refusal> {
    let is_atom = |text: &str| {
        let is_atext =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*-/?^_`{|}~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_atext)
    };
    let is_good = value.split_once(';').is_some_and(|(kind, address)| {
        let is_utf8 = kind.eq_ignore_ascii_case("utf-8");
        let ascii: String = address.chars().filter(char::is_ascii).collect();
        is_atom(kind)
            && !address.is_empty()
            && (is_utf8 || address.is_ascii())
            && decode_xtext(&ascii).is_some()
    });
    match is_good && value.len() <= limits::SMTP_ORCPT_BYTES {
        true => Ok(value.into()),
        false => Err(Refusal::argument_malformed()),
    }
}

/// Spells a text as `xtext` (RFC 3461 §4): what is no printable ASCII, `+` and `=` become hex.
pub fn encode_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'!'..=b'~') && !matches!(byte, b'+' | b'=') {
            encoded.push(char::from(byte));
        } else {
            encoded += &alloc::format!("+{byte:02X}");
        }
    }
    encoded
}

/// Reads `xtext`. `None` when it is none, or spells what is no printable text.
pub fn decode_xtext(text: &str) -> Option<String> {
    let mut decoded = alloc::vec::Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => {
                let digits = [bytes.next()?, bytes.next()?];
                let is_hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
                let digits = core::str::from_utf8(&digits).ok()?;
                let is_hex = digits.as_bytes().iter().all(is_hex);
                decoded.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)?);
            }
            b'!'..=b'~' if byte != b'=' => decoded.push(byte),
            _ => return None,
        }
    }
    let decoded = String::from_utf8(decoded).ok()?;
    (!decoded.chars().any(char::is_control)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn wishes_are_read_and_spelled() {
        for (value, spelled) in [
            ("never", "NEVER"),
            ("success,DELAY", "SUCCESS,DELAY"),
            ("FAILURE", "FAILURE"),
            ("DELAY,FAILURE,SUCCESS", "SUCCESS,FAILURE,DELAY"),
        ] {
            assert_eq!(Notify::parse(value).unwrap().to_string(), spelled);
        }
        for value in ["", "NEVER,FAILURE", "FAILURE,", "ALWAYS"] {
            assert!(Notify::parse(value).is_err(), "{value}");
        }
        assert_eq!(RcptNotice::default().wanted(), Notify::UNSAID);
    }

    #[test]
    fn original_recipients_have_a_type_and_are_xtext() {
        for value in [
            "rfc822;bob@example.com",
            "rfc822;a+2Bb@c.d",
            "utf-8;jörg@c.d",
        ] {
            assert_eq!(parse_orcpt(value).unwrap(), value);
        }
        for value in [
            "bob@example.com",
            ";b@c.d",
            "rfc822;",
            "rfc822;a+b@c.d",
            "rfc822;jörg@c.d",
        ] {
            assert!(parse_orcpt(value).is_err(), "{value}");
        }
    }

    #[test]
    fn longest_identifiers_fit_and_one_byte_more_does_not() {
        let envid = "x".repeat(limits::SMTP_ENVID_BYTES);
        assert!(parse_envid(&envid).is_ok());
        assert!(parse_envid(&(envid + "x")).is_err());
        let kind = "rfc822;";
        let orcpt = kind.to_string() + &"x".repeat(limits::SMTP_ORCPT_BYTES - kind.len());
        assert!(parse_orcpt(&orcpt).is_ok());
        assert!(parse_orcpt(&(orcpt + "x")).is_err());
    }

    proptest! {
        #[test]
        fn any_text_survives_xtext(text in "\\PC{0,40}") {
            let encoded = encode_xtext(&text);
            prop_assert!(encoded.is_ascii());
            prop_assert_eq!(decode_xtext(&encoded), Some(text));
        }

        #[test]
        fn any_value_is_read_or_refused(value in "[A-Za-z0-9+;=,@.]{0,30}") {
            let _ = (decode_xtext(&value), parse_orcpt(&value), Notify::parse(&value));
        }
    }
}
