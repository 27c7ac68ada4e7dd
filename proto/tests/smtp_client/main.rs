//! The SMTP client machine: its rules, and transcripts of what it promises.

#[path = "../rules/mod.rs"]
mod rules;
#[path = "../transcript/mod.rs"]
mod transcript;
mod world;

mod content;
mod model;
mod opening;
mod rule_tests;
mod transaction;
mod troubles;
