//! The head of a request, parsed: httparse for the grammar, and RFC 9112 where it is lenient.

use alloc::{string::String, vec, vec::Vec};

use super::{Content, Host, Method, Request, RequestField, RequestId, Target, refusal::Refusal};
use crate::{Secret, limits};

/// What a head says, besides the request, of the connection.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request,
    /// Whether the client speaks HTTP/1.0.
    pub(super) is_http_1_0: bool,
    /// Whether the connection may carry another request.
    pub(super) keep_alive: bool,
    /// Whether the client waits for 100 before it sends content.
    pub(super) expects_continue: bool,
}

/// Parses a head as `HeadReader` gives it: whole lines, no bare CR or LF, no controls.
///
/// # Errors
///
/// How the request is refused.
pub(super) fn parse_head(bytes: &[u8], fields_max: usize, id: RequestId) -> Result<Head, Refusal> {
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count();
    let mut fields = vec![httparse::EMPTY_HEADER; lines.min(fields_max)];
    let mut parsed = httparse::Request::new(&mut fields);
    match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(consumed)) if consumed == bytes.len() => {}
        Ok(_) => return Err(Refusal::request_line_malformed()),
        Err(error) => return Err(refusal_of(error)),
    }
    let (Some(method), Some(target), Some(version)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refusal::request_line_malformed());
    };
    let is_http_1_0 = version == 0;
    let method = Method::parse(method).ok_or_else(Refusal::method_unknown)?;
    let (target, target_host) = parse_target(method, target)?;
    let fields = parsed.headers;
    let host = parse_host(fields, is_http_1_0)?;
    let keep_alive = !is_http_1_0 && !has_token(fields, "connection", "close");
    // HTTP/1.0 knows no expectations (RFC 9110 §10.1.1).
    let expects_continue = expects_continue(fields)? && !is_http_1_0;
    let request = Request {
        id,
        client_request_id: client_request_id(fields),
        method,
        target,
        host: target_host.or(host),
        authorization: authorization(fields),
        content: parse_content(fields, is_http_1_0)?,
        fields: other_fields(fields),
    };
    Ok(Head {
        request,
        is_http_1_0,
        keep_alive,
        expects_continue,
    })
}

fn refusal_of(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::HeaderName | httparse::Error::HeaderValue => Refusal::field_malformed(),
        httparse::Error::TooManyHeaders => Refusal::header_too_large(),
        httparse::Error::Version => Refusal::version_unknown(),
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => {
            Refusal::request_line_malformed()
        }
    }
}

fn values<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let named = fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value)
}

/// The members of all lists of this name (RFC 9110 §5.6.1), without the empty ones.
fn members<'a>(
    fields: &'a [httparse::Header<'a>],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    let lists = values(fields, name);
    let members = lists.flat_map(|list| list.split(|&byte| byte == b','));
    members
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

fn has_token(fields: &[httparse::Header<'_>], name: &str, token: &str) -> bool {
    members(fields, name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
}

/// Origin-form, absolute-form, or asterisk-form with OPTIONS (RFC 9112 §3.2). Authority-form is
/// CONNECT's, which is not known here.
fn parse_target(method: Method, text: &str) -> Result<(Target, Option<Host>), Refusal> {
    if text == "*" && method == Method::Options {
        let path = String::from(text);
        return Ok((Target { path, query: None }, None));
    }
    if text.starts_with('/') {
        return Ok((parse_origin_form(text)?, None));
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(Refusal::target_malformed)?;
    let is_ours = ["http", "https"]
        .iter()
        .any(|ours| scheme.eq_ignore_ascii_case(ours));
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let host = Host::parse(authority.as_bytes()).filter(|_| is_ours);
    let host = host.ok_or_else(Refusal::target_malformed)?;
    let target = match rest.starts_with('/') {
        true => parse_origin_form(rest)?,
        false => parse_origin_form(&alloc::format!("/{rest}"))?,
    };
    Ok((target, Some(host)))
}

/// ```text
/// origin-form = absolute-path [ "?" query ]
/// ```
fn parse_origin_form(text: &str) -> Result<Target, Refusal> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let is_path = is_encoded(path, |byte| is_path_byte(byte) || byte == b'/');
    let is_query = query.is_none_or(|query| is_encoded(query, is_query_byte));
    if !is_path || !is_query {
        return Err(Refusal::target_malformed());
    }
    Ok(Target {
        path: path.into(),
        query: query.map(String::from),
    })
}

/// pchar without percent-encodings (RFC 3986 §3.3)
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

/// What clients send raw in a query though RFC 3986 §3.4 has it encoded: what browsers leave as it
/// is, and the quotes of `$search`. It can't be taken for anything else.
fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte) || b"/?\"<>[\\]^`{|}".contains(&byte)
}

/// Whether all is such bytes, or `%` with two hexadecimal digits.
fn is_encoded(text: &str, is_plain: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let mut is_digit = || bytes.next().is_some_and(|byte| byte.is_ascii_hexdigit());
        let is_fine = match byte {
            b'%' => is_digit() && is_digit(),
            byte => is_plain(byte),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

/// Exactly one, valid, also where the target names a host (RFC 9112 §3.2); HTTP/1.0 may have none.
fn parse_host(fields: &[httparse::Header<'_>], is_http_1_0: bool) -> Result<Option<Host>, Refusal> {
    let mut hosts = values(fields, "host");
    match (hosts.next(), hosts.next()) {
        (None, _) if is_http_1_0 => Ok(None),
        (Some(host), None) => match Host::parse(host) {
            Some(host) => Ok(Some(host)),
            None => Err(Refusal::host_malformed()),
        },
        (_, _) => Err(Refusal::host_malformed()),
    }
}

/// RFC 9112 §6.3, without any of its room for guessing.
fn parse_content(fields: &[httparse::Header<'_>], is_http_1_0: bool) -> Result<Content, Refusal> {
    let mut lengths = values(fields, "content-length");
    let length = lengths.next();
    let has_codings = values(fields, "transfer-encoding").next().is_some();
    match (length, lengths.next(), has_codings) {
        (None, _, false) => Ok(Content::Absent),
        (Some(_), _, true) => Err(Refusal::framing_ambiguous()),
        (Some(_), Some(_), false) => Err(Refusal::content_length_malformed()),
        (Some(length), None, false) => parse_length(length).map(Content::Length),
        // HTTP/1.0 has no transfer codings (RFC 9112 §6.1).
        (None, _, true) if is_http_1_0 => Err(Refusal::transfer_coding_malformed()),
        (None, _, true) => parse_codings(fields),
    }
}

/// ```text
/// Content-Length = 1*DIGIT
/// ```
fn parse_length(text: &[u8]) -> Result<u64, Refusal> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(text).ok().filter(|_| is_number);
    let length = text.and_then(|digits| digits.parse().ok());
    length.ok_or_else(Refusal::content_length_malformed)
}

/// `chunked` alone, in one field. Other codings below a last `chunked` are not implemented; when
/// it is not the last, or not alone in its place, where the content ends can't be known.
fn parse_codings(fields: &[httparse::Header<'_>]) -> Result<Content, Refusal> {
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let mut whole = values(fields, "transfer-encoding");
    if let (Some(only), None) = (whole.next(), whole.next())
        && is_chunked(only)
    {
        return Ok(Content::Chunked);
    }
    let codings: Vec<&[u8]> = members(fields, "transfer-encoding").collect();
    match codings.as_slice() {
        [others @ .., last]
            if is_chunked(last)
                && !others.is_empty()
                && !others.iter().any(|coding| is_chunked(coding)) =>
        {
            Err(Refusal::transfer_coding_unknown())
        }
        _ => Err(Refusal::transfer_coding_malformed()),
    }
}

fn expects_continue(fields: &[httparse::Header<'_>]) -> Result<bool, Refusal> {
    let mut expectations = members(fields, "expect").peekable();
    let expects = expectations.peek().is_some();
    match expectations.all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(expects),
        false => Err(Refusal::expectation_unknown()),
    }
}

fn client_request_id(fields: &[httparse::Header<'_>]) -> Option<String> {
    let mut ids = values(fields, "client-request-id");
    let id = ids.next().filter(|_| ids.next().is_none())?;
    let is_formed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = 1..=limits::HTTP_CLIENT_REQUEST_ID_BYTES;
    let is_well_formed = length.contains(&id.len()) && id.iter().all(is_formed);
    let id = core::str::from_utf8(id).ok().filter(|_| is_well_formed)?;
    Some(String::from(id))
}

/// Two of them are no authorization: which one counts, nobody could say.
fn authorization(fields: &[httparse::Header<'_>]) -> Option<Secret<String>> {
    let mut all = values(fields, "authorization");
    let only = all.next().filter(|_| all.next().is_none())?;
    core::str::from_utf8(only)
        .ok()
        .map(|text| Secret::new(text.into()))
}

fn other_fields(fields: &[httparse::Header<'_>]) -> Vec<RequestField> {
    let others = fields
        .iter()
        .filter(|field| !field.name.eq_ignore_ascii_case("authorization"));
    let copy = |field: &httparse::Header<'_>| RequestField {
        name: field.name.to_ascii_lowercase(),
        value: field.value.into(),
    };
    others.map(copy).collect()
}
