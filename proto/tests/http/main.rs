//! The HTTP server machine: its rules, and transcripts of what it promises.

#[path = "../rules/mod.rs"]
mod rules;
#[path = "../transcript/mod.rs"]
mod transcript;
mod world;

mod content;
mod credit;
mod lifecycle;
mod pipeline;
mod requests;
mod responses;
mod rule_tests;
mod smuggling;
mod strict;
mod timeouts;
