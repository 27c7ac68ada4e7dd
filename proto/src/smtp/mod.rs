//! SMTP (RFC 5321) and LMTP (RFC 2033): the server side, the client side in [`client`], and where
//! mail goes.

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
mod route;
mod server;
mod trace;
mod upload;

pub use call::{Call, Config, Envelope, Identity, Listener, Recipient, Reply, Tls};
pub use dsn::{MailNotice, Notify, RcptNotice, Return, decode_xtext, encode_xtext};
pub use peer_reply::{PeerReply, Read as ReplyRead, ReplyReader};
pub use refusal::{EnhancedCode, Refusal};
pub use route::{Exchanger, Families, Plan, Route, RouteAction, RouteConfig, RouteFailure};
pub use server::Server;
pub use trace::write_id;
