//! The query of a request as named options.

use percent_encoding::percent_decode_str;

use crate::{api::error::ApiError, limits};

/// The options that OData knows here, in lower case and without `$`.
const KNOWN: [&str; 10] = [
    "select",
    "expand",
    "filter",
    "orderby",
    "search",
    "top",
    "skip",
    "count",
    "skiptoken",
    "deltatoken",
];

/// Options by name: OData's with or without `$`, in any case; each at most once. Others are kept
/// as they are; nobody need look at them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Options {
    odata: Vec<(&'static str, String)>,
    others: Vec<(String, String)>,
}

impl Options {
    /// Parses a query, in which `%20` and `+` are blanks.
    ///
    /// # Errors
    ///
    /// `bad_request` for an option given twice, an unknown one that begins with `$`, one that can
    /// not be decoded, and more than [`limits::QUERY_OPTIONS`].
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let mut options = Self::default();
        let texts = query.split('&').filter(|text| !text.is_empty());
        for (index, text) in texts.enumerate() {
            if index == limits::QUERY_OPTIONS {
                return Err(refuse("There are too many query options."));
            }
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            options.insert(&decode(name)?, decode(value)?)?;
        }
        Ok(options)
    }

    /// The same without this option of OData's.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let mut others = self.clone();
        others.odata.retain(|(known, _)| *known != name);
        others
    }

    fn insert(&mut self, name: &str, value: String) -> Result<(), ApiError> {
        let bare = name.strip_prefix('$');
        let known = KNOWN.into_iter().find(|known| {
            let name = bare.unwrap_or(name);
            name.eq_ignore_ascii_case(known)
        });
        match known {
            Some(known) if self.odata(known).is_some() => {
                let message = format!("Query option '${known}' was specified more than once.");
                Err(refuse(&message))
            }
            Some(known) => {
                self.odata.push((known, value));
                Ok(())
            }
            None if bare.is_some() => {
                let name = crate::api::error::shorten(name);
                Err(refuse(&format!(
                    "The query parameter '{name}' is not supported."
                )))
            }
            None => {
                self.others.push((name.to_owned(), value));
                Ok(())
            }
        }
    }

    /// The value of an option of OData: its name in lower case, without `$`.
    pub fn odata(&self, name: &str) -> Option<&str> {
        let found = self.odata.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The first value of another option, its name in any case.
    pub fn other(&self, name: &str) -> Option<&str> {
        let found = self
            .others
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let with_blanks = text.replace('+', " ");
    let decoded = percent_decode_str(&with_blanks).decode_utf8();
    let decoded = decoded.map_err(|_| refuse("The query is not UTF-8."))?;
    Ok(decoded.into_owned())
}

fn refuse(message: &str) -> ApiError {
    ApiError::bad_request().with_message(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_many_spellings() {
        for query in ["$top=5", "%24top=5", "top=5", "$TOP=5", "Top=5", "&$top=5&"] {
            assert_eq!(
                Options::parse(query).unwrap().odata("top"),
                Some("5"),
                "{query}"
            );
        }
    }

    #[test]
    fn plus_is_a_blank_and_encoded_plus_is_one() {
        let options = Options::parse("$filter=a+eq%20'b%2Bc'").unwrap();
        assert_eq!(options.odata("filter"), Some("a eq 'b+c'"));
    }

    #[test]
    fn doubled_and_unknown_options_are_refused() {
        for query in [
            "$top=1&$top=1",
            "$top=1&TOP=2",
            "$apply=x",
            "%24x=1",
            "a=%ff",
        ] {
            let error = Options::parse(query).unwrap_err();
            assert_eq!(error.code(), "BadRequest", "{query}");
        }
    }

    #[test]
    fn options_of_others_are_passed_over() {
        let options = Options::parse("x=1&x=2&includeHiddenFolders=true&y").unwrap();
        assert_eq!(options.other("includehiddenfolders"), Some("true"));
        assert_eq!(options.other("y"), Some(""));
        assert_eq!(options.other("x"), Some("1"));
    }

    #[test]
    fn number_of_options_is_bounded() {
        let many = |count: usize| vec!["a=b"; count].join("&");
        assert!(Options::parse(&many(limits::QUERY_OPTIONS)).is_ok());
        assert!(Options::parse(&many(limits::QUERY_OPTIONS + 1)).is_err());
    }
}
