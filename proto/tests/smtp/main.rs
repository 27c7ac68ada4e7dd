//! The SMTP server machine: its rules, and transcripts of what it promises.

#[path = "../rules/mod.rs"]
mod rules;
#[path = "../transcript/mod.rs"]
mod transcript;
mod world;

mod authentication;
mod chunking;
mod content;
mod rule_tests;
mod session;
mod smuggling;
mod transaction;
