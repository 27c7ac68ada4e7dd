//! Mail between machines: hosts that run rmail, peers that speak by a script, and the DNS between
//! them.
//!
//! A recipient elsewhere is called by what is to become of it, as in `refuse-17@peer1.example`: the
//! message has the token 17, and the peer says 550. So each conversation can be judged while it
//! goes on, and what the sender is told can be compared with what the peer said.

mod fates;
mod peer;
mod report;
mod town;

pub(super) use fates::{Expected, Fates, Wishes};
pub(super) use report::{ReadReport, is_report};
pub(super) use town::{Town, author};
