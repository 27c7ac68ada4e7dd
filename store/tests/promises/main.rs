//! What the store promises, one test each.

mod accounts;
mod aliases;
mod kept;
mod large;
mod listing;
mod mailboxes;
mod messages;
mod model;
mod processes;
mod queue;
mod spool;
mod submissions;
mod world;
