//! A request as the world sees it.

use alloc::{string::String, vec::Vec};
use core::{fmt, str};

use super::Host;
use crate::Secret;

/// Names a request in logs, answers and error bodies: a GUID. It must not collide, and may be
/// guessed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RequestId(pub u128);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0;
        let (a, b, c) = ((id >> 96) as u32, (id >> 80) as u16, (id >> 64) as u16);
        let (d, e) = ((id >> 48) as u16, id as u64 & 0xffff_ffff_ffff);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
    }
}

/// The methods that are known here (RFC 9110 §9.3, RFC 5789). Others are answered with 501.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: as GET; the machine leaves the body out.
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
    /// TRACE, which no endpoint has: known so that it is not allowed rather than not implemented.
    Trace,
    /// QUERY (draft-ietf-httpbis-safe-method-w-body), known for the same reason.
    Query,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
        Self::Trace,
        Self::Query,
    ];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Query => "QUERY",
        }
    }

    /// Methods are case-sensitive (RFC 9110 §9.1).
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == name)
    }
}

/// What is asked for (RFC 9112 §3.2). Percent-encodings are whole, and not decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Begins with `/`; `*` alone when the server as a whole is meant (OPTIONS).
    pub path: String,
    /// What follows the first `?`, if there is one.
    pub query: Option<String>,
}

/// How much content follows a request's head (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// None.
    Absent,
    /// So many bytes, which may be 0.
    Length(u64),
    /// Until the last chunk.
    Chunked,
}

/// A field of a request's header.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestField {
    /// In lower case.
    pub name: String,
    /// Without white space around it; without control characters but tabs.
    pub value: Vec<u8>,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name. The response carries it.
    pub id: RequestId,
    /// What the client calls it, when that is well-formed; the response carries it then.
    pub client_request_id: Option<String>,
    /// The method.
    pub method: Method,
    /// The target.
    pub target: Target,
    /// Whose target it is: from the target itself, else from Host. Absent from HTTP/1.0 only.
    pub host: Option<Host>,
    /// The Authorization field, if there is exactly one.
    pub authorization: Option<Secret<String>>,
    /// All other fields, in order. As many as [`Bounds::fields`](super::Bounds::fields) at most.
    pub fields: Vec<RequestField>,
    /// What content follows.
    pub content: Content,
}

impl Request {
    /// The value of the first field of this name (in lower case), if it is UTF-8.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut named = self.fields.iter().filter(|field| field.name == name);
        named.find_map(|field| str::from_utf8(&field.value).ok())
    }

    /// The values of all fields of this name (in lower case), as far as they are UTF-8.
    pub fn fields_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |field| field.name == name);
        named.filter_map(|field| str::from_utf8(&field.value).ok())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn request_ids_display_as_guids() {
        let id = RequestId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        assert_eq!(id.to_string(), "01020304-0506-0708-090a-0b0c0d0e0f10");
    }

    #[test]
    fn methods_are_case_sensitive() {
        assert_eq!(Method::parse("GET"), Some(Method::Get));
        assert_eq!(Method::parse("get"), None);
        assert_eq!(Method::parse(""), None);
    }
}
