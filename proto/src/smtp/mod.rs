//! SMTP (RFC 5321): the server side.

mod auth;
mod call;
mod command;
mod dot;
mod dsn;
mod from;
mod header;
mod received;
mod refusal;
mod reply;
mod server;
mod trace;
mod upload;

pub use call::{Call, Config, Envelope, Identity, Listener, Recipient, Reply, Tls};
pub use dsn::{MailNotice, Notify, RcptNotice, Return, decode_xtext, encode_xtext};
pub use refusal::{EnhancedCode, Refusal};
pub use server::Server;
