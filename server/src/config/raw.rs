//! The configuration as read: a JSON tree that keeps the order of keys, and those that came twice.

use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A whole number that is not negative.
    Integer(u64),
    /// Any other number, as it prints.
    OtherNumber(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Raw>),
    /// An object, its members in the order in which they came.
    Object(Vec<(String, Raw)>),
}

impl fmt::Display for Raw {
    /// What was found, for a message to people; long texts are cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS: usize = 60;
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::OtherNumber(value) => f.write_str(value),
            Self::Text(text) if text.chars().nth(SHOWN_CHARS).is_some() => {
                let shown: String = text.chars().take(SHOWN_CHARS).collect();
                write!(f, "the text {shown:?}...")
            }
            Self::Text(text) => write!(f, "the text {text:?}"),
            Self::List(_) => f.write_str("a list"),
            Self::Object(_) => f.write_str("an object"),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Boolean(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Integer(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::OtherNumber(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::OtherNumber(value.to_string()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Raw::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_repeated_keys_are_kept() {
        let raw: Raw = serde_json::from_str(r#"{"b": 1, "a": [null, -2, 0.5], "b": "x"}"#).unwrap();
        let Raw::Object(members) = raw else {
            panic!("not an object")
        };
        let keys: Vec<&str> = members.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "b"]);
        let numbers = ["-2", "0.5"].map(|number| Raw::OtherNumber(number.to_owned()));
        let [two, half] = numbers;
        assert_eq!(members[1].1, Raw::List(vec![Raw::Null, two, half]));
    }
}
