//! Everything that the API refuses with, built in one place.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use rmail_proto::{
    DateTime, Now,
    http::{Body, FieldName, FieldValue, Method, RequestId, Response, Status},
};
use serde_json::json;

/// Which of the API's families a route belongs to: they tell errors in their own shapes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// `{"error": "text"}`
    Native,
    /// `{"error": {"code", "message", "innerError"}}`; upload sessions, too.
    Graph,
    /// Set-up of mail clients: what is no answer of their own protocol is told as `Native`.
    Discovery,
}

/// An error that a client is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiError {
    status: Status,
    /// `error.code` of Graph.
    code: &'static str,
    /// For people; names nothing internal.
    message: Cow<'static, str>,
    /// What the header says besides.
    advice: Advice,
}

/// What a client can do.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Advice {
    None,
    /// `WWW-Authenticate`; whether a token came.
    Authenticate {
        had_token: bool,
    },
    /// `Retry-After`, in seconds.
    RetryAfter(u64),
    /// `Allow`
    Allow(Vec<Method>),
}

/// What an answer repeats of its request.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// When.
    pub now: Now,
    /// The request.
    pub id: RequestId,
    /// What the client calls it.
    pub client_id: Option<&'a str>,
}

macro_rules! errors {
    ($(
        $(#[$doc:meta])*
        $name:ident = $status:ident $code:literal $message:literal;
    )*) => {
        impl ApiError {
            $(
                $(#[$doc])*
                pub const fn $name() -> Self {
                    Self {
                        status: Status::$status,
                        code: $code,
                        message: Cow::Borrowed($message),
                        advice: Advice::None,
                    }
                }
            )*
        }

        #[cfg(test)]
        const ALL: &[fn() -> ApiError] = &[$(ApiError::$name),*];
    };
}

errors! {
    // The request does not fit.
    /// A segment, a query option or a filter that means nothing here.
    bad_request = BAD_REQUEST "BadRequest" "The request is malformed.";
    /// A property in `$select`, `$expand` or `$orderby` that there is not.
    unknown_property = BAD_REQUEST "RequestBroker--ParseUri" "There is no such property.";
    /// `$search` beside `$filter`.
    search_with_filter = BAD_REQUEST "SearchWithFilter"
        "The query parameter '$filter' is not supported with '$search'.";
    /// `$search` beside `$orderby`.
    search_with_order_by = BAD_REQUEST "SearchWithOrderBy"
        "The query parameter '$orderby' is not supported with '$search'.";
    /// The body does not fit.
    invalid_request = BAD_REQUEST "ErrorInvalidRequest" "The request is invalid.";
    /// Something is missing in the body.
    property_missing = BAD_REQUEST "ErrorRequiredPropertyMissing"
        "A required property is missing.";
    /// A property that can't be written here.
    property_not_writable = BAD_REQUEST "ErrorInvalidPropertySet"
        "A property can't be set on this item.";
    /// No recipients, too many, or malformed ones.
    invalid_recipients = BAD_REQUEST "ErrorInvalidRecipients"
        "At least one recipient is not valid.";
    /// A header in `internetMessageHeaders` whose name does not begin with `x-`.
    invalid_header = BAD_REQUEST "InvalidInternetMessageHeader"
        "The internet message header name should start with 'x-' or 'X-'.";
    /// Too many of them.
    too_many_headers = BAD_REQUEST "InvalidInternetMessageHeaderCollection"
        "Maximum number of headers in one message should be less than or equal to '5'.";
    /// MIME that is no base64.
    invalid_base64 = BAD_REQUEST "ErrorMimeContentInvalidBase64String"
        "Invalid base64 string for MIME content.";
    /// A folder below itself.
    move_refused = BAD_REQUEST "ErrorMoveCopyFailed" "The move or copy operation failed.";
    /// The other side of a subscription did not answer as it must.
    validation_failed = BAD_REQUEST "ValidationError"
        "Subscription validation request failed.";
    /// A subscription to something that can't be subscribed to.
    invalid_subscription = BAD_REQUEST "InvalidRequest" "The resource can't be subscribed to.";

    // Who asks?
    /// No token, or none that is good.
    unauthenticated = UNAUTHORIZED "InvalidAuthenticationToken"
        "Access token is empty or invalid.";
    /// A login failed: one text, whatever was wrong.
    invalid_credentials = UNAUTHORIZED "InvalidAuthenticationToken" "Invalid credentials";
    /// Another's mail.
    access_denied = FORBIDDEN "ErrorAccessDenied"
        "Access is denied. Check credentials and try again.";
    /// The token lacks a scope.
    authorization_denied = FORBIDDEN "Authorization_RequestDenied"
        "Insufficient privileges to complete the operation.";
    /// A sender that is not the account's own.
    send_as_denied = FORBIDDEN "ErrorSendAsDenied"
        "The user account doesn't have the right to send mail as that sender.";
    /// A well-known folder stays.
    distinguished_folder_delete = FORBIDDEN "ErrorDeleteDistinguishedFolder"
        "Distinguished folders cannot be deleted.";
    /// A well-known folder stays where it is.
    distinguished_folder_move = FORBIDDEN "ErrorMoveDistinguishedFolder"
        "Distinguished folders cannot be moved.";
    /// A password over plain HTTP.
    tls_required = FORBIDDEN "TlsRequired" "TLS required: log in over HTTPS";

    // What is asked for?
    /// No such message, folder, attachment or upload in this mailbox.
    item_not_found = NOT_FOUND "ErrorItemNotFound"
        "The specified object was not found in the store.";
    /// No such user.
    user_not_found = NOT_FOUND "Request_ResourceNotFound" "The resource does not exist.";
    /// No such subscription.
    subscription_not_found = NOT_FOUND "ResourceNotFound" "The object was not found.";
    /// No such path.
    path_not_found = NOT_FOUND "ResourceNotFound" "Not found";
    /// The path is known, and has no such method.
    method_not_allowed = METHOD_NOT_ALLOWED "MethodNotAllowed"
        "The method is not allowed for this resource.";
    /// The client takes none of what there is.
    not_acceptable = NOT_ACCEPTABLE "NotAcceptable" "No acceptable media type is available.";
    /// A length is needed.
    length_required = LENGTH_REQUIRED "LengthRequired" "A Content-Length is required.";
    /// The content has another type, or an encoding.
    unsupported_media_type = UNSUPPORTED_MEDIA_TYPE "UnsupportedMediaType"
        "The media type of the content is not supported.";
    /// The request's host is none of ours.
    misdirected = MISDIRECTED_REQUEST "MisdirectedRequest" "The host is not served here.";

    // The state of things.
    /// There is a folder of that name.
    folder_exists = CONFLICT "ErrorFolderExists"
        "A folder with the specified name already exists.";
    /// There is a category of that name.
    category_exists = CONFLICT "ErrorDuplicateCategory" "The category already exists.";
    /// There is one already, or it can't be now.
    conflict = CONFLICT "Conflict" "The request conflicts with what is there.";
    /// A delta token that is unknown or too old.
    sync_state_not_found = GONE "SyncStateNotFound"
        "The sync state generation is not found; start anew.";
    /// `If-Match` names another version.
    changed_since = PRECONDITION_FAILED "ErrorIrresolvableConflict"
        "The send or update operation could not be performed because the change key passed in \
         the request does not match the current change key for the item.";
    /// A request of a batch that another one before it has let down.
    failed_dependency = FAILED_DEPENDENCY "FailedDependency"
        "The request failed because a request that it depends on failed.";

    // Bounds.
    /// A message that is too large.
    message_too_large = CONTENT_TOO_LARGE "ErrorMessageSizeExceeded"
        "The message exceeds the maximum supported size.";
    /// A body that is too large.
    body_too_large = CONTENT_TOO_LARGE "RequestBodyTooLarge" "The content is too large.";
    /// A range that does not follow.
    invalid_range = RANGE_NOT_SATISFIABLE "invalidRange"
        "The range does not begin where the upload stands, or has another length.";
    /// Too many requests.
    too_many_requests = TOO_MANY_REQUESTS "TooManyRequests" "Too many requests.";
    /// Too many failed logins.
    too_many_logins = TOO_MANY_REQUESTS "TooManyRequests" "Too many failed logins";
    /// Too much was sent.
    send_limit_exceeded = TOO_MANY_REQUESTS "ErrorSendLimitExceeded"
        "The sending limit is exceeded.";
    /// The mailbox is full.
    quota_exceeded = INSUFFICIENT_STORAGE "ErrorQuotaExceeded"
        "The mailbox has exceeded its quota.";

    // Our fault.
    /// Something broke.
    internal = INTERNAL_SERVER_ERROR "InternalServerError" "An internal error occurred.";
    /// Something is busy.
    unavailable = SERVICE_UNAVAILABLE "ServiceUnavailable"
        "The service is temporarily unavailable.";
}

impl ApiError {
    /// The same with another message.
    #[must_use]
    pub fn with_message(mut self, message: String) -> Self {
        self.message = Cow::Owned(message);
        self
    }

    /// 401 for a request, with or without a token.
    pub fn without_token(had_token: bool) -> Self {
        let mut error = Self::unauthenticated();
        error.advice = Advice::Authenticate { had_token };
        error
    }

    /// The same, with when to try again; whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.advice = Advice::RetryAfter(seconds.max(1));
        self
    }

    /// 405 with the methods that there are.
    pub fn allow(methods: Vec<Method>) -> Self {
        let mut error = Self::method_not_allowed();
        error.advice = Advice::Allow(methods);
        error
    }

    /// 400 for a path that Graph does not know.
    pub fn unknown_segment(segment: &str) -> Self {
        let message = format!("Resource not found for the segment '{}'.", shorten(segment));
        Self::bad_request().with_message(message)
    }

    /// 400 for a property that a type does not have.
    pub fn no_such_property(name: &str, of: &str) -> Self {
        let name = shorten(name);
        let message = format!("Could not find a property named '{name}' on type '{of}'.");
        Self::unknown_property().with_message(message)
    }

    /// The status code.
    pub fn status(&self) -> Status {
        self.status
    }

    /// Graph's code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// For people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The response, but for CORS.
    pub fn into_response(self, family: Family, occasion: &Occasion<'_>) -> Response {
        let body = self.body(family, occasion);
        let response = Response::new(self.status)
            .with(FieldName::new("Content-Type"), content_type(family))
            .with(
                FieldName::new("Cache-Control"),
                FieldValue::from_static("no-store"),
            )
            .with_body(Body::Bytes(body));
        match self.advice {
            Advice::None => response,
            Advice::Authenticate { had_token } => {
                let challenge = match had_token {
                    true => "Bearer realm=\"rmail\", error=\"invalid_token\"",
                    false => "Bearer realm=\"rmail\"",
                };
                let challenge = FieldValue::from_static(challenge);
                response.with(FieldName::new("WWW-Authenticate"), challenge)
            }
            Advice::RetryAfter(seconds) => {
                let seconds = FieldValue::parse(seconds.to_string());
                let seconds = seconds.expect("digits are a value");
                response.with(FieldName::new("Retry-After"), seconds)
            }
            Advice::Allow(methods) => {
                let methods: Vec<&str> = methods.into_iter().map(Method::as_str).collect();
                let methods = FieldValue::parse(methods.join(", "));
                let methods = methods.expect("methods and commas are a value");
                response.with(FieldName::new("Allow"), methods)
            }
        }
    }

    /// The JSON that tells the error.
    pub fn body(&self, family: Family, occasion: &Occasion<'_>) -> Bytes {
        let body = match family {
            Family::Graph => {
                let date = DateTime::utc(occasion.now.unix).rfc3339().to_string();
                let id = occasion.id.to_string();
                json!({"error": {
                    "code": self.code,
                    "message": self.message,
                    "innerError": {
                        "date": date.trim_end_matches('Z'),
                        "client-request-id": occasion.client_id.unwrap_or(&id),
                        "request-id": id,
                    },
                }})
            }
            Family::Native | Family::Discovery => {
                let is_unauthenticated = self.code == Self::unauthenticated().code
                    && self.message == Self::unauthenticated().message;
                let message = match is_unauthenticated {
                    true => "Unauthorized",
                    false => self.message(),
                };
                json!({"error": message})
            }
        };
        Bytes::from(body.to_string())
    }
}

/// Of JSON in this family.
pub fn content_type(family: Family) -> FieldValue {
    FieldValue::from_static(match family {
        Family::Graph => {
            "application/json;odata.metadata=minimal;odata.streaming=true;\
             IEEE754Compatible=false;charset=utf-8"
        }
        Family::Native | Family::Discovery => "application/json; charset=utf-8",
    })
}

/// What of a client's text is repeated in an answer.
pub fn shorten(text: &str) -> &str {
    &text[..text.floor_char_boundary(crate::limits::ERROR_ECHO_BYTES)]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn occasion() -> Occasion<'static> {
        Occasion {
            now: Now::default(),
            id: RequestId(1),
            client_id: None,
        }
    }

    fn field(response: &Response, name: &str) -> Option<String> {
        let mut fields = response.fields().iter();
        let found = fields.find(|field| field.0.as_str() == name);
        found.map(|field| field.1.as_str().to_owned())
    }

    #[test]
    fn every_error_is_a_clients_or_ours_and_has_code_and_message() {
        for make in ALL {
            let error = make();
            assert!((400..=599).contains(&error.status().code()));
            assert!(!error.code().is_empty() && !error.message().is_empty());
            for family in [Family::Native, Family::Graph, Family::Discovery] {
                let response = make().into_response(family, &occasion());
                assert!(matches!(response.body(), Body::Bytes(bytes) if !bytes.is_empty()));
            }
        }
    }

    #[test]
    fn graph_is_told_an_object() {
        let body = ApiError::item_not_found().body(
            Family::Graph,
            &Occasion {
                client_id: Some("mine"),
                ..occasion()
            },
        );
        let id = "00000000-0000-0000-0000-000000000001";
        let expected = json!({"error": {
            "code": "ErrorItemNotFound",
            "message": "The specified object was not found in the store.",
            "innerError": {
                "date": "1970-01-01T00:00:00", "request-id": id, "client-request-id": "mine",
            },
        }});
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    }

    #[test]
    fn native_is_told_a_text() {
        let body = |error: ApiError| error.body(Family::Native, &occasion());
        assert_eq!(
            body(ApiError::without_token(true)),
            r#"{"error":"Unauthorized"}"#
        );
        let credentials = r#"{"error":"Invalid credentials"}"#;
        assert_eq!(body(ApiError::invalid_credentials()), credentials);
        let quoted = ApiError::bad_request().with_message("a \"b\"".to_owned());
        assert_eq!(body(quoted), r#"{"error":"a \"b\""}"#);
    }

    #[test]
    fn unauthenticated_is_told_how_to_authenticate() {
        for (had_token, expected) in [
            (false, "Bearer realm=\"rmail\""),
            (true, "Bearer realm=\"rmail\", error=\"invalid_token\""),
        ] {
            let error = ApiError::without_token(had_token);
            let response = error.into_response(Family::Graph, &occasion());
            assert_eq!(
                field(&response, "WWW-Authenticate").as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_none() {
        for (wait, expected) in [
            (0, "1"),
            (1, "1"),
            (1000, "1"),
            (1001, "2"),
            (600_000, "600"),
        ] {
            let error = ApiError::too_many_logins().retry_after(Duration::from_millis(wait));
            let response = error.into_response(Family::Native, &occasion());
            assert_eq!(field(&response, "Retry-After").as_deref(), Some(expected));
        }
    }

    #[test]
    fn wrong_method_is_told_the_right_ones() {
        let error = ApiError::allow(vec![Method::Get, Method::Head]);
        let response = error.into_response(Family::Graph, &occasion());
        assert_eq!(response.status(), Status::METHOD_NOT_ALLOWED);
        assert_eq!(field(&response, "Allow").as_deref(), Some("GET, HEAD"));
    }

    #[test]
    fn clients_texts_are_repeated_in_part_only() {
        let long = "\u{e9}".repeat(10_000);
        let error = ApiError::unknown_segment(&long);
        assert!(error.message().len() < crate::limits::ERROR_ECHO_BYTES + 100);
        assert_eq!(
            ApiError::unknown_segment("x").message(),
            "Resource not found for the segment 'x'."
        );
        assert_eq!(
            ApiError::no_such_property("x", "microsoft.graph.message").message(),
            "Could not find a property named 'x' on type 'microsoft.graph.message'."
        );
    }
}
