//! SMTP (RFC 5321): the server side.

mod auth;
mod call;
mod command;
mod dot;
mod from;
mod header;
mod refusal;
mod reply;
mod server;
mod trace;
mod upload;

pub use call::{Call, Config, Envelope, Identity, Listener, Recipient, Reply, Tls};
pub use refusal::{EnhancedCode, Refusal};
pub use server::Server;
