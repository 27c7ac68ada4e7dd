//! The protocols of rmail as pure state machines.
//!
//! Bytes and events go in, one ordered stream of actions comes out; see [`Connection`] for the
//! contract. Nothing here opens a socket or a file, reads a clock, or draws a random number: time
//! comes in as [`Now`], randomness as the seed that a machine is made with.

#![no_std]

extern crate alloc;

mod address;
mod ascii;
mod buffer;
mod connection;
mod credit;
mod entropy;
mod flags;
mod ids;
pub mod limits;
mod pace;
mod secret;
mod time;

pub mod dns;
pub mod http;
pub mod imap;
pub mod mime;
pub mod smtp;

pub use address::{Address, AddressError, Domain, ForwardPath, ReversePath};
pub use ascii::AsciiText;
pub use buffer::{Line, LineBuffer};
pub use connection::{
    Action, CallId, CallIds, Close, Connection, Event, Notice, TlsInfo, UploadId,
};
pub use credit::SendCredit;
pub use entropy::Entropy;
pub use flags::{Flags, Keyword, Keywords, SystemFlags};
pub use ids::{
    AccountId, EmailId, InstanceId, MailboxId, MessageNumber, ModSeq, ThreadId, Uid, UidValidity,
};
pub use secret::Secret;
pub use time::{DateTime, Instant, Now, Timeout, Timer, UnixTime};
