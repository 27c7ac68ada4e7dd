//! Every answer that the machine gives without asking, built in one place.

use alloc::{format, string::String};

use super::{
    RequestId,
    response::{Body, FieldName, FieldValue, Response, Status},
};
use crate::{DateTime, Now};

/// An error that is found before the world is asked, or that keeps it from answering.
///
/// Each ends the connection: where the next request would begin, nobody knows for sure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Refusal {
    status: Status,
    /// `error.code` of an error object.
    code: &'static str,
    /// One line for people that needs no escaping in JSON.
    text: &'static str,
}

/// How an error is told: `{"error": "text"}` or `{"error": {"code", "message", "innerError"}}`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ErrorShape {
    Text,
    Object,
}

macro_rules! refusals {
    ($(
        $(#[$doc:meta])*
        $name:ident = $status:ident $code:literal $text:literal;
    )*) => {
        impl Refusal {
            $(
                $(#[$doc])*
                pub(super) const fn $name() -> Self {
                    Self { status: Status::$status, code: $code, text: $text }
                }
            )*
        }

        #[cfg(test)]
        const ALL: &[fn() -> Refusal] = &[$(Refusal::$name),*];
    };
}

refusals! {
    // The request line.
    /// It is none.
    request_line_malformed = BAD_REQUEST "BadRequest" "Malformed request line";
    /// The target is none that the method may have.
    target_malformed = BAD_REQUEST "BadRequest" "Malformed request target";
    /// It is longer than it may be.
    request_line_too_long = URI_TOO_LONG "UriTooLong" "The request line is too long";
    /// A method that is not known here.
    method_unknown = NOT_IMPLEMENTED "NotImplemented" "Method not implemented";
    /// Neither 1.0 nor 1.1.
    version_unknown = HTTP_VERSION_NOT_SUPPORTED "HttpVersionNotSupported" "Use HTTP/1.1";

    // The header.
    /// A CR without LF, or an LF without CR.
    bare_newline = BAD_REQUEST "BadRequest" "Bare CR or LF";
    /// A control character.
    control_character = BAD_REQUEST "BadRequest" "Control character in the header";
    /// A line that is no field.
    field_malformed = BAD_REQUEST "BadRequest" "Malformed header field";
    /// It has more bytes or fields than it may have.
    header_too_large = REQUEST_HEADER_FIELDS_TOO_LARGE "RequestHeaderFieldsTooLarge"
        "The header is too large";
    /// HTTP/1.1 without Host, or Host twice, or Host that is none (RFC 9112 §3.2).
    host_malformed = BAD_REQUEST "BadRequest" "Exactly one valid Host field is required";
    /// Content-Length twice, or no number.
    content_length_malformed = BAD_REQUEST "BadRequest" "Malformed Content-Length";
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    framing_ambiguous = BAD_REQUEST "BadRequest"
        "Content-Length and Transfer-Encoding exclude each other";
    /// The last transfer coding is not chunked (RFC 9112 §6.3).
    transfer_coding_malformed = BAD_REQUEST "BadRequest" "Malformed Transfer-Encoding";
    /// Another transfer coding below chunked (RFC 9112 §6.1).
    transfer_coding_unknown = NOT_IMPLEMENTED "NotImplemented" "Only chunked is implemented";
    /// Expect that is not 100-continue (RFC 9110 §10.1.1).
    expectation_unknown = EXPECTATION_FAILED "ExpectationFailed" "Only 100-continue can be met";

    // What follows the head.
    /// Framing of chunks that is none (RFC 9112 §7.1).
    chunk_malformed = BAD_REQUEST "BadRequest" "Malformed chunk";
    /// Nothing came for too long, or too slowly.
    timeout = REQUEST_TIMEOUT "RequestTimeout" "The request did not come in time";
    /// The world's answer was none.
    internal_error = INTERNAL_SERVER_ERROR "InternalServerError" "Internal error";
    /// The server goes down before there is an answer.
    shutting_down = SERVICE_UNAVAILABLE "ServiceUnavailable" "The server is going down";
}

impl Refusal {
    pub(super) fn into_response(
        self,
        shape: ErrorShape,
        now: Now,
        id: RequestId,
        client_id: Option<&str>,
    ) -> Response {
        let body = self.body(shape, now, id, client_id);
        Response::new(self.status)
            .with(
                const { FieldName::new("Content-Type") },
                const { FieldValue::from_static("application/json; charset=utf-8") },
            )
            .with(
                const { FieldName::new("Cache-Control") },
                const { FieldValue::from_static("no-store") },
            )
            .with_body(Body::Bytes(body.into()))
    }

    fn body(self, shape: ErrorShape, now: Now, id: RequestId, client_id: Option<&str>) -> String {
        let Self { code, text, .. } = self;
        match shape {
            ErrorShape::Text => format!("{{\"error\":\"{text}\"}}"),
            ErrorShape::Object => {
                let date = format!("{}", DateTime::utc(now.unix).rfc3339());
                let date = date.trim_end_matches('Z');
                let client_id = client_id.map_or_else(|| format!("{id}"), String::from);
                format!(
                    "{{\"error\":{{\"code\":\"{code}\",\"message\":\"{text}\",\"innerError\":\
                     {{\"date\":\"{date}\",\"request-id\":\"{id}\",\
                     \"client-request-id\":\"{client_id}\"}}}}}}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_need_no_escaping() {
        for make in ALL {
            let Refusal { code, text, status } = make();
            let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
            assert!(!text.is_empty() && text.bytes().all(is_plain));
            assert!(!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert!(status.code() >= 400);
        }
    }

    #[test]
    fn bodies_are_what_the_contract_says() {
        let now = Now::default();
        let text = Refusal::timeout().body(ErrorShape::Text, now, RequestId(1), None);
        assert_eq!(text, r#"{"error":"The request did not come in time"}"#);
        let object = Refusal::timeout().body(ErrorShape::Object, now, RequestId(1), Some("me"));
        assert_eq!(
            object,
            "{\"error\":{\"code\":\"RequestTimeout\",\
             \"message\":\"The request did not come in time\",\
             \"innerError\":{\"date\":\"1970-01-01T00:00:00\",\
             \"request-id\":\"00000000-0000-0000-0000-000000000001\",\
             \"client-request-id\":\"me\"}}}"
        );
    }
}
