//! SMTP (RFC 5321): the server side, and where mail goes.

mod auth;
mod call;
mod command;
mod dot;
mod from;
mod header;
mod refusal;
mod reply;
mod route;
mod server;
mod trace;
mod upload;

pub use call::{Call, Config, Envelope, Identity, Listener, Recipient, Reply, Tls};
pub use refusal::{EnhancedCode, Refusal};
pub use route::{Exchanger, Families, Plan, Route, RouteAction, RouteConfig, RouteFailure};
pub use server::Server;
