//! A response as the world gives it. What would break its framing can't be said in these types.

use alloc::{borrow::Cow, string::String, vec::Vec};

use bytes::Bytes;

use super::SourceId;
use crate::limits;

/// The status code of a final response (RFC 9110 §15): 200 to 599.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Status(u16);

macro_rules! statuses {
    ($($name:ident = $code:literal $reason:literal;)*) => {
        impl Status {
            $(
                #[doc = concat!(stringify!($code), " ", $reason)]
                pub const $name: Self = Self($code);
            )*

            /// The reason phrase; empty where there is none.
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    OK = 200 "OK";
    CREATED = 201 "Created";
    ACCEPTED = 202 "Accepted";
    NO_CONTENT = 204 "No Content";
    NOT_MODIFIED = 304 "Not Modified";
    BAD_REQUEST = 400 "Bad Request";
    UNAUTHORIZED = 401 "Unauthorized";
    FORBIDDEN = 403 "Forbidden";
    NOT_FOUND = 404 "Not Found";
    METHOD_NOT_ALLOWED = 405 "Method Not Allowed";
    NOT_ACCEPTABLE = 406 "Not Acceptable";
    REQUEST_TIMEOUT = 408 "Request Timeout";
    CONFLICT = 409 "Conflict";
    GONE = 410 "Gone";
    LENGTH_REQUIRED = 411 "Length Required";
    PRECONDITION_FAILED = 412 "Precondition Failed";
    CONTENT_TOO_LARGE = 413 "Content Too Large";
    URI_TOO_LONG = 414 "URI Too Long";
    UNSUPPORTED_MEDIA_TYPE = 415 "Unsupported Media Type";
    RANGE_NOT_SATISFIABLE = 416 "Range Not Satisfiable";
    EXPECTATION_FAILED = 417 "Expectation Failed";
    MISDIRECTED_REQUEST = 421 "Misdirected Request";
    FAILED_DEPENDENCY = 424 "Failed Dependency";
    TOO_MANY_REQUESTS = 429 "Too Many Requests";
    REQUEST_HEADER_FIELDS_TOO_LARGE = 431 "Request Header Fields Too Large";
    INTERNAL_SERVER_ERROR = 500 "Internal Server Error";
    NOT_IMPLEMENTED = 501 "Not Implemented";
    SERVICE_UNAVAILABLE = 503 "Service Unavailable";
    HTTP_VERSION_NOT_SUPPORTED = 505 "HTTP Version Not Supported";
    INSUFFICIENT_STORAGE = 507 "Insufficient Storage";
}

impl Status {
    /// `None` outside of 200 to 599.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            200..=599 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether a response with it never has content (RFC 9110 §6.4.1).
    pub const fn is_without_content(self) -> bool {
        matches!(self.0, 204 | 304)
    }
}

/// The name of a response field. The fields that frame a message, and those that the machine
/// writes itself, have none.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FieldName(&'static str);

/// What the machine writes itself.
const RESERVED: [&str; 11] = [
    "client-request-id",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "request-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "proxy-connection",
];

impl FieldName {
    /// A name, for constants.
    ///
    /// # Panics
    ///
    /// On a name that is no token (RFC 9110 §5.6.2), or that is the machine's.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty(), "a field has a name");
        let mut index = 0;
        while index < bytes.len() {
            let byte = bytes[index];
            assert!(byte.is_ascii_alphanumeric() || byte == b'-', "not a name");
            index += 1;
        }
        let mut index = 0;
        while index < RESERVED.len() {
            let reserved = RESERVED[index].as_bytes();
            assert!(!bytes.eq_ignore_ascii_case(reserved), "the machine's");
            index += 1;
        }
        Self(name)
    }

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// The value of a response field: printable ASCII with blanks inside, at most
/// [`limits::HTTP_FIELD_VALUE_BYTES`]. So it can hold no CR, LF or NUL, which would begin another
/// field.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldValue(Cow<'static, str>);

impl FieldValue {
    /// A value, for constants.
    ///
    /// # Panics
    ///
    /// On what is none.
    pub const fn from_static(value: &'static str) -> Self {
        assert!(is_value(value.as_bytes()), "not a value");
        Self(Cow::Borrowed(value))
    }

    /// `None` for what is none.
    pub fn parse(value: String) -> Option<Self> {
        is_value(value.as_bytes()).then_some(Self(Cow::Owned(value)))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_value(bytes: &[u8]) -> bool {
    if bytes.len() > limits::HTTP_FIELD_VALUE_BYTES {
        return false;
    }
    let mut index = 0;
    while index < bytes.len() {
        let is_edge = index == 0 || index + 1 == bytes.len();
        match bytes[index] {
            b'!'..=b'~' => {}
            b' ' if !is_edge => {}
            _ => return false,
        }
        index += 1;
    }
    true
}

/// A field of a response.
pub type Field = (FieldName, FieldValue);

/// The content of a response.
#[derive(Clone, Debug)]
pub enum Body {
    /// None. `Content-Length: 0` is sent, where the status allows a length.
    Empty,
    /// All of it.
    Bytes(Bytes),
    /// It is read piece by piece with `Call::Read`, as the peer takes it.
    Source {
        /// Its name.
        source: SourceId,
        /// Its length in bytes, if it is known: without one, the body is sent in chunks.
        length: Option<u64>,
    },
}

/// A final response.
#[derive(Clone, Debug)]
pub struct Response {
    status: Status,
    fields: Vec<Field>,
    body: Body,
}

impl Response {
    /// With neither fields nor body.
    pub fn new(status: Status) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: Body::Empty,
        }
    }

    /// Adds a field.
    ///
    /// # Panics
    ///
    /// When there are more than [`limits::HTTP_RESPONSE_FIELDS_MAX`]; how many there are is the
    /// caller's to know, and nothing that a peer decides.
    #[must_use]
    pub fn with(mut self, name: FieldName, value: FieldValue) -> Self {
        assert!(self.fields.len() < limits::HTTP_RESPONSE_FIELDS_MAX);
        self.fields.push((name, value));
        self
    }

    /// Sets the body. With a status that has none (204, 304) it is not sent.
    #[must_use]
    pub fn with_body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    pub(super) fn into_body(self) -> Body {
        self.body
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn no_value_begins_another_field() {
        for value in [
            "a\r\nb", "a\nb", "a\rb", "a\0b", "a\tb", " a", "a ", "\u{e9}", "\x7f",
        ] {
            assert_eq!(FieldValue::parse(value.to_string()), None, "{value:?}");
        }
        assert!(FieldValue::parse("a b; c=\"d\"".to_string()).is_some());
        assert!(FieldValue::parse(String::new()).is_some());
    }

    #[test]
    fn longest_value_fits_and_one_byte_more_does_not() {
        let longest = "a".repeat(limits::HTTP_FIELD_VALUE_BYTES);
        assert!(FieldValue::parse(longest.clone()).is_some());
        assert!(FieldValue::parse(longest + "a").is_none());
    }

    #[test]
    #[should_panic(expected = "the machine's")]
    fn framing_is_the_machines() {
        FieldName::new("Content-length");
    }

    #[test]
    #[should_panic(expected = "not a name")]
    fn names_are_tokens() {
        FieldName::new("a:b");
    }

    #[test]
    #[should_panic(expected = "HTTP_RESPONSE_FIELDS_MAX")]
    fn fields_are_bounded() {
        let name = FieldName::new("X");
        let value = FieldValue::from_static("x");
        (0..=limits::HTTP_RESPONSE_FIELDS_MAX).fold(Response::new(Status::OK), |response, _| {
            response.with(name, value.clone())
        });
    }

    #[test]
    fn only_final_statuses_can_be_said() {
        for code in [0, 100, 101, 199, 600] {
            assert_eq!(Status::new(code), None);
        }
        assert_eq!(Status::new(200), Some(Status::OK));
        assert_eq!(Status::new(599).unwrap().reason(), "");
    }
}
