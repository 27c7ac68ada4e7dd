//! Values of JSON that become parts of a header, checked.

use rmail_proto::{Address, Domain};
use serde_json::Value;

use crate::api::{error::ApiError, resources::EmailAddress};

pub(super) fn refuse(message: &str) -> ApiError {
    ApiError::invalid_request().with_message(message.to_owned())
}

/// A text; absent and null are none.
///
/// # Errors
///
/// `invalid_request` for anything else.
pub(super) fn read_text<'a>(value: &'a Value, name: &str) -> Result<Option<&'a str>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(refuse(&format!("The property '{name}' must be a text.")))
        }
    }
}

/// True or false; absent and null are neither.
pub(super) fn read_boolean(value: &Value, name: &str) -> Result<Option<bool>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(value) => Ok(Some(*value)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(refuse(
            &format!("The property '{name}' must be true or false."),
        )),
    }
}

/// A list; null is an empty one.
pub(super) fn read_list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], ApiError> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(values) => Ok(values),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(refuse(&format!("The property '{name}' must be a list.")))
        }
    }
}

/// What may stand in a header: neither CR nor LF nor NUL, which would begin another field, or end
/// it for some readers. White space around it means nothing there.
pub(super) fn header_text(text: &str) -> Result<String, ApiError> {
    match text.contains(['\r', '\n', '\0']) {
        true => Err(refuse(
            "A value that becomes part of a header holds a line break or NUL.",
        )),
        false => Ok(text.trim().to_owned()),
    }
}

/// `{"emailAddress": {"name", "address"}}`
pub(super) fn read_recipient(value: &Value) -> Result<EmailAddress, ApiError> {
    let email = &value["emailAddress"];
    let name = read_text(&email["name"], "name")?;
    let address = read_text(&email["address"], "address")?;
    email_address(name, address.unwrap_or_default())
}

pub(super) fn read_recipients(value: &Value, name: &str) -> Result<Vec<EmailAddress>, ApiError> {
    read_list(value, name)?.iter().map(read_recipient).collect()
}

/// # Errors
///
/// `invalid_request` for CR, LF or NUL; `invalid_recipients` for what is no address.
pub(super) fn email_address(name: Option<&str>, address: &str) -> Result<EmailAddress, ApiError> {
    let name = name.map(header_text).transpose()?;
    let address = header_text(address)?;
    match Address::parse(&address) {
        Ok(_) => Ok(EmailAddress::new(name.as_deref(), &address)),
        Err(_) => Err(ApiError::invalid_recipients()),
    }
}

/// An address as a reader of messages gives it: without the quotes that its local-part may need.
pub(super) fn parse_address(text: &str) -> Option<Address> {
    Address::parse(text).ok().or_else(|| {
        let (local_part, domain) = text.rsplit_once('@')?;
        Address::new(local_part.to_owned(), Domain::parse(domain).ok()?).ok()
    })
}

/// A message identifier with its angle brackets, or without (RFC 5322 §3.6.4); given back with
/// them.
pub(super) fn parse_message_id(text: &str) -> Option<String> {
    let text = text.trim();
    let id = text
        .strip_prefix('<')
        .map_or(Some(text), |rest| rest.strip_suffix('>'))?;
    let is_id = id
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte));
    (is_id && !id.is_empty() && id.len() <= crate::limits::MESSAGE_ID_BYTES)
        .then(|| format!("<{id}>"))
}

/// The name of a field that a client may make up: `x-` and what RFC 5322 §2.2 lets follow.
pub(super) fn own_field_name(name: &str) -> Result<String, ApiError> {
    let is_own = name
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("x-"));
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b':');
    let fits = (3..=crate::limits::OWN_FIELD_NAME_BYTES).contains(&name.len());
    match is_own && is_name && fits {
        true => Ok(name.to_owned()),
        false => Err(ApiError::invalid_header()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn line_breaks_are_refused_in_names_and_addresses() {
        for text in ["a\r\nBcc: x@y.test", "a\nb", "a\0"] {
            assert_eq!(header_text(text).unwrap_err().code(), "ErrorInvalidRequest");
            for recipient in [
                json!({"emailAddress": {"name": text, "address": "a@b.test"}}),
                json!({"emailAddress": {"name": "A", "address": text}}),
            ] {
                let error = read_recipient(&recipient).unwrap_err();
                assert_eq!(error.code(), "ErrorInvalidRequest");
            }
        }
    }

    #[test]
    fn what_is_no_address_is_an_invalid_recipient() {
        for value in [
            json!({}),
            json!("a@b.test"),
            json!({"emailAddress": null}),
            json!({"emailAddress": {"address": null}}),
            json!({"emailAddress": {"address": ""}}),
            json!({"emailAddress": {"address": "a"}}),
            json!({"emailAddress": {"address": "a@b.test, c@d.test"}}),
            json!({"emailAddress": {"address": "a@b.test> <c@d.test"}}),
        ] {
            let error = read_recipient(&value).unwrap_err();
            assert_eq!(error.code(), "ErrorInvalidRecipients", "{value}");
        }
        let number = json!({"emailAddress": {"address": 5}});
        assert_eq!(
            read_recipient(&number).unwrap_err().code(),
            "ErrorInvalidRequest"
        );
    }

    #[test]
    fn identifiers_come_with_and_without_brackets() {
        assert_eq!(parse_message_id(" <a@b> ").as_deref(), Some("<a@b>"));
        assert_eq!(parse_message_id("a@b").as_deref(), Some("<a@b>"));
        for text in [
            "",
            "<>",
            "<a@b",
            "<a b@c>",
            "<a@b>\r\nX: y",
            "<a@b><c@d>",
            "é@x",
        ] {
            assert_eq!(parse_message_id(text), None, "{text}");
        }
    }

    #[test]
    fn own_fields_begin_with_x() {
        assert!(own_field_name("X-Custom_1").is_ok() && own_field_name("x-a").is_ok());
        for name in [
            "",
            "x-",
            "Bcc",
            "x-a:b",
            "x-a b",
            "x-é",
            "x-a\r\nb",
            "xa",
            &"x-".repeat(99),
        ] {
            let error = own_field_name(name).unwrap_err();
            assert_eq!(error.code(), "InvalidInternetMessageHeader", "{name}");
        }
    }
}
