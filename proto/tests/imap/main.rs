//! The IMAP server machine: its rules, its view, and transcripts of what it promises.

#[path = "../rules/mod.rs"]
mod rules;
#[path = "../transcript/mod.rs"]
mod transcript;
mod world;

mod append;
mod client_view;
mod credit;
mod fetch;
mod idle;
mod mailboxes;
mod rule_tests;
mod search;
mod session;
mod store;
mod view;
