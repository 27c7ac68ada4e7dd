//! Accounts, mailboxes, messages and the spool.
//!
//! Durable and blocking; knows no protocol and no runtime. [`Store`] is the whole interface;
//! [`SqliteStore`] is the store that the daemons use.

pub mod alias;
mod error;
mod files;
mod kept;
pub mod limits;
mod real_files;
mod spool;
mod sqlite;
mod store;
mod uid_ranges;

pub use alias::{Addressee, Alias, AliasFilter, AliasWrite};
pub use error::StoreError;
pub use files::{FileHandle, Files};
pub use kept::*;
pub use real_files::RealFiles;
pub use spool::*;
pub use sqlite::SqliteStore;
pub use store::*;
