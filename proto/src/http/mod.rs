//! HTTP/1.1 (RFC 9110, RFC 9112): the server side.

mod call;
mod chunked;
mod head;
mod host;
mod parse;
mod refusal;
mod request;
mod response;
mod server;
mod upload;
mod writer;

pub use call::{Accept, Bounds, Call, Config, Reply, SourceId, Tls};
pub use host::Host;
pub use request::{Content, Method, Request, RequestField, RequestId, Target};
pub use response::{Body, Field, FieldName, FieldValue, Response, Status};
pub use server::Server;
