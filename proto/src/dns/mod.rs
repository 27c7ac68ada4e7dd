//! The DNS (RFC 1034, 1035) as a stub resolver sees it: questions to a few recursive servers, and
//! what they answer.
//!
//! [`Resolver`] is the machine; see its documentation for the contract with a driver.

mod answer;
mod cache;
mod lookup;
mod name;
mod question;
mod resolv_conf;
mod resolver;
mod servers;
mod wire;

pub use answer::{Answer, Denial, Failure, LookupResult, Mx, Reason, Records, Tlsa};
pub use name::{Name, NameError};
pub use question::{Question, RecordType};
pub use resolv_conf::{ResolvConf, ResolvConfError, ResolvConfFault};
pub use resolver::{Action, Config, Load, QueryId, Resolver, Source, StreamId};
