//! Mail to other servers, as far as it is decided without one: where a recipient goes, when it is
//! tried again, and what the sender is told.

pub mod automatic_reply;
pub mod report;
pub mod route;
pub mod schedule;
