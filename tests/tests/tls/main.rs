//! TLS as it is on the wire: rustls at both ends of a session, in memory, byte by byte.

mod cleartext;
mod client;
mod handshake;
mod injection;
mod large;
mod renewal;
mod server;
mod splitting;
mod starttls;
mod truncation;
mod world;
