//! The stub resolver, from outside: what it sends, what it makes of what comes back, and what
//! holds whatever comes back.

mod harness;
mod zone;

mod caching;
mod forgery;
mod network;
mod questions;
mod rule_tests;
mod servers;
mod streams;
