//! The simulator: a world with clients of every kind in it, faults, and a ledger of what must be
//! true. One seed gives one run.
//!
//! A run has two phases. While faults are on, only safety is looked at: nothing happens that must
//! not. Then everything heals, and liveness is: within virtual hours each client is done and the
//! spool is empty (within the lifetime of the queue, where mail goes elsewhere). At last the power
//! goes once more, and an audit reads all mail by IMAP and compares it with the ledger.
//!
//! A client is an `async fn` over a [`Scene`]: what it waits for is virtual time, or bytes.

mod audit;
mod chaos;
mod draft;
mod figures;
mod hostile;
mod hostile_http;
mod http_delta;
mod http_drafts;
mod http_session;
mod http_watch;
mod http_worker;
mod imap_session;
mod imap_worker;
mod ledger;
mod mailbox_view;
mod message;
mod plan;
mod relay;
mod run;
mod scene;
mod sender;
mod siege;
mod socket;

pub use figures::Figures;
pub use plan::Plan;
pub use run::{Outcome, run, run_plan};
pub use siege::SiegeFigures;
