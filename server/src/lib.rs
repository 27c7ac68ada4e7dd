//! All that both daemons share and that is neither protocol nor storage nor input and output:
//! configuration, sessions, the node, policy, delivery, the command line.

pub mod aliases;
pub mod api;
pub mod cli;
pub mod config;
pub mod credentials;
pub mod guesses;
pub mod limits;
pub mod node;
pub mod outbound;
pub mod outside;
mod private_files;
pub mod rate_limit;
pub mod search;
pub mod session;
mod shell;
pub mod startup;
pub mod tls;

pub use bytes::Bytes;
pub use rmail_proto::{Instant, Now, UnixTime};
