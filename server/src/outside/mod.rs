//! What reaches beyond the process on its own: sockets outside the runtimes, the clock, chance,
//! the log, the user of the machine as whom it works.
//!
//! Used by the command line and by jobs; nothing that a session or the node decides depends on it.

pub mod client;
pub mod clock;
pub mod commands;
pub mod configuration;
pub mod hints;
pub mod http_client;
pub mod interrupt;
pub mod listeners;
pub mod log;
pub mod name_servers;
pub mod open_files;
pub mod privileges;
pub mod random;
pub mod target;
pub mod token_secret;
pub mod webhooks;
