//! What the simulated disk promises, and what it does not.

mod databases;
mod files;
mod processes;
