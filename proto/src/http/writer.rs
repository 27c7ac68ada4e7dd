//! Writes the head of a response (RFC 9112 §4). How the body is framed is decided here alone.

use alloc::{string::String, vec::Vec};
use core::fmt::{self, Write};

use super::{
    RequestId,
    response::{Body, Field, Response},
};
use crate::{DateTime, Now};

/// Interim response to a client that waits before it sends content (RFC 9110 §15.2.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What ends a body in chunks, after the CRLF of its last chunk.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What of a request decides how its response looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    pub(super) now: Now,
    pub(super) id: RequestId,
    pub(super) client_id: Option<&'a str>,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
    /// Fields of each response.
    pub(super) fields: &'a [Field],
}

/// How a body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// 204 and 304: no body, no length.
    Absent,
    Length(u64),
    Chunked,
    /// By the end of the connection.
    Close,
}

/// How the body of this response is delimited: HTTP/1.0 has no chunks.
pub(super) fn decide_framing(response: &Response, is_http_1_0: bool) -> Framing {
    if response.status().is_without_content() {
        return Framing::Absent;
    }
    match response.body() {
        Body::Empty => Framing::Length(0),
        Body::Bytes(bytes) => Framing::Length(bytes.len() as u64),
        Body::Source {
            length: Some(length),
            ..
        } => Framing::Length(*length),
        Body::Source { length: None, .. } if is_http_1_0 => Framing::Close,
        Body::Source { length: None, .. } => Framing::Chunked,
    }
}

/// The status line and the header, with the empty line. A response to HTTP/1.0 says 1.1, too
/// (RFC 9110 §2.5).
pub(super) fn write_head(frame: &Frame<'_>, response: &Response, framing: Framing) -> Vec<u8> {
    let (status, mut head) = (response.status(), String::with_capacity(512));
    let mut line = |text: fmt::Arguments<'_>| {
        write!(head, "{text}\r\n").expect("a string takes all");
    };
    line(format_args!(
        "HTTP/1.1 {} {}",
        status.code(),
        status.reason()
    ));
    line(format_args!(
        "Date: {}",
        DateTime::utc(frame.now.unix).http()
    ));
    match framing {
        Framing::Length(length) => line(format_args!("Content-Length: {length}")),
        Framing::Chunked => line(format_args!("Transfer-Encoding: chunked")),
        Framing::Absent | Framing::Close => {}
    }
    if !frame.keep_alive {
        line(format_args!("Connection: close"));
    }
    line(format_args!("request-id: {}", frame.id));
    match frame.client_id {
        Some(client_id) => line(format_args!("client-request-id: {client_id}")),
        None => line(format_args!("client-request-id: {}", frame.id)),
    }
    for (name, value) in frame.fields.iter().chain(response.fields()) {
        line(format_args!("{}: {}", name.as_str(), value.as_str()));
    }
    line(format_args!(""));
    head.into_bytes()
}
