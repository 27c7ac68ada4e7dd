//! The HTTP API, as far as it is pure: which endpoints there are, what they are asked and answer,
//! and what a request must bring along. The node does not know it yet.

pub mod compose;
pub mod discovery;
pub mod error;
pub mod odata;
pub mod openapi;
pub mod prefer;
pub mod resources;
pub mod routes;
pub mod sanitize;
pub mod schema;
pub mod time;
pub mod token;
