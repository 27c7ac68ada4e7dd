//! What the suites of rmail share.

pub mod daemon;
pub mod lines;
