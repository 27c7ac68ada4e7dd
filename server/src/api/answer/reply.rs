//! What a handler answers, before it is a response.

use bytes::Bytes;
use rmail_proto::http::{Body, FieldName, FieldValue, Response, Status};
use serde_json::Value;

use super::{Failure, StoredBody};
use crate::api::{error, error::Family};

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: Status,
    pub(super) content: Content,
    fields: Vec<(FieldName, FieldValue)>,
}

/// Its content.
#[derive(Clone, Debug)]
pub(super) enum Content {
    None,
    Json(Value),
    /// JSON as it is sent.
    Text(Bytes),
    /// With its type.
    Bytes(FieldValue, Bytes),
    /// A message as it is stored, with its type.
    Stored(StoredBody, FieldValue),
}

impl Reply {
    pub(super) fn new(status: Status, content: Content) -> Self {
        Self {
            status,
            content,
            fields: Vec::new(),
        }
    }

    /// 200 with JSON.
    pub(super) fn ok(value: Value) -> Self {
        Self::new(Status::OK, Content::Json(value))
    }

    /// 200 with JSON that nobody changes any more.
    pub(super) fn text(text: Vec<u8>) -> Self {
        Self::new(Status::OK, Content::Text(text.into()))
    }

    /// 201 with JSON.
    pub(super) fn created(value: Value) -> Self {
        Self::new(Status::CREATED, Content::Json(value))
    }

    /// A status alone.
    pub(super) fn nothing(status: Status) -> Self {
        Self::new(status, Content::None)
    }

    /// 200 with something of this type.
    pub(super) fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let content_type = FieldValue::from_static(content_type);
        Self::new(Status::OK, Content::Bytes(content_type, bytes.into()))
    }

    /// Adds a field, unless its value can't be one.
    #[must_use]
    pub(super) fn with(mut self, name: FieldName, value: String) -> Self {
        if let Some(value) = FieldValue::parse(value) {
            self.fields.push((name, value));
        }
        self
    }

    /// The JSON, or what else it is, as it goes into a batch.
    pub(super) fn into_parts(self) -> (Status, Content, Vec<(FieldName, FieldValue)>) {
        (self.status, self.content, self.fields)
    }

    /// As a response; a body that is stored is left out.
    pub(super) fn into_response(self, family: Family) -> Response {
        let mut response = Response::new(self.status);
        let content_type = const { FieldName::new("Content-Type") };
        for (name, value) in self.fields {
            response = response.with(name, value);
        }
        match self.content {
            Content::None => response,
            Content::Json(value) => response
                .with(content_type, error::content_type(family))
                .with_body(Body::Bytes(value.to_string().into())),
            Content::Text(text) => response
                .with(content_type, error::content_type(family))
                .with_body(Body::Bytes(text)),
            Content::Bytes(kind, bytes) => response
                .with(content_type, kind)
                .with_body(Body::Bytes(bytes)),
            Content::Stored(_, kind) => response.with(content_type, kind),
        }
    }
}

impl From<Reply> for Result<Reply, Failure> {
    fn from(reply: Reply) -> Self {
        Ok(reply)
    }
}
