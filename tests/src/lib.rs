//! The simulator of rmail, the journeys that it shares with the daemons, and the daemons as
//! processes.
//!
//! - [`World`] is the third runtime: hosts, nodes, sessions and clients in one thread on virtual
//!   time. [`simulation`] fills it with clients and faults.
//! - A [`Journey`] is what people do with a mail server, told by clients that type and read.
//! - A [`Site`] is where a journey takes place: a [`World`], or real daemons behind sockets.
//!   Whatever carries its bytes is a [`Wire`].
//! - A [`Disk`] is what a simulated machine keeps its mail on: it loses power, fails and runs full.
//! - A [`Daemon`](daemon::Daemon) is a process, for the suites that need one.
//! - A [`Peer`](peers::Peer) is another mail server, other people's, as a process.
//! - A [`Sink`](sink::Sink) is a server that takes all mail, and tells what it took.
//! - A [`DnsWorld`] is all that there is in the DNS; a [`DnsServer`] has it behind sockets.

mod client;
mod client_tls;
pub mod daemon;
mod disk;
mod dns_server;
mod dns_world;
pub mod http;
mod http_answer;
pub mod journeys;
pub mod jwt;
pub mod lines;
mod pattern;
pub mod peers;
mod pipe;
pub mod programs;
mod setup;
pub mod simulation;
pub mod sink;
mod site;
mod world;

pub use client::Client;
pub use client_tls::ClientTls;
pub use disk::{Disk, DiskFaults, DiskStats, Mount, OperationFault};
pub use dns_server::DnsServer;
pub use dns_world::{Conduct, DnsFault, DnsReply, DnsWorld};
pub use journeys::Journey;
pub use pipe::Link;
pub use setup::{AccountSetup, Setup};
pub use site::{AccountChange, Received, ServerIndex, Site, StreamId, Wire};
pub use world::{
    CERTIFICATE, Conditions, Counts, HostId, OTHER_CERTIFICATE, TAKEN_PORT, Trace, World,
    certificate_config,
};
