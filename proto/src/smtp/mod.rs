//! SMTP (RFC 5321) and LMTP (RFC 2033): the server side, and the client side in [`client`].

mod auth;
mod call;
pub mod client;
mod command;
mod dot;
mod dsn;
mod from;
mod header;
mod peer_reply;
mod received;
mod refusal;
mod reply;
mod server;
mod trace;
mod upload;

pub use call::{Call, Config, Envelope, Identity, Listener, Recipient, Reply, Tls};
pub use dsn::{MailNotice, Notify, RcptNotice, Return, decode_xtext, encode_xtext};
pub use peer_reply::PeerReply;
pub use refusal::{EnhancedCode, Refusal};
pub use server::Server;
pub use trace::write_id;
