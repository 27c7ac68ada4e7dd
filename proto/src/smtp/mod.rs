//! SMTP (RFC 5321): the server side.

mod call;
mod refusal;

pub use call::{Call, Config, Envelope, Identity, Listener, Recipient, Reply, Tls};
pub use refusal::{EnhancedCode, Refusal};
