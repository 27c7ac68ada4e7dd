//! The HTTP API, as far as it is pure: which endpoints there are, what they are asked and answer,
//! and what a request must bring along.

pub mod answer;
pub mod compose;
pub mod discovery;
pub mod error;
pub mod exchange;
pub mod json;
pub mod odata;
pub mod openapi;
pub mod prefer;
pub mod resources;
pub mod routes;
pub mod sanitize;
pub mod schema;
pub mod service;
pub mod subscriptions;
pub mod time;
pub mod token;
