//! Accounts, mailboxes, messages and the spool.
//!
//! Durable and blocking; knows no protocol and no runtime. [`Store`] is the whole interface;
//! [`SqliteStore`] is the store that the daemons use.

mod error;
mod files;
mod store;

pub use error::StoreError;
pub use files::{FileHandle, Files, RealFiles};
pub use store::*;
