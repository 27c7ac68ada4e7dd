//! Every point at which a store can be interrupted, one after the other.
//!
//! A script is run once, and the operations of the disk are counted. Then it is run again for each
//! of them: the power is lost right after it, or the process is killed, or the operation fails.
//! What is there afterwards is compared with what was there, in the undisturbed run, after each
//! step: each part of the store must be as it was after the last step that was acknowledged, or
//! after the one that was interrupted, and only what may be lost may be missing.

mod actor;
mod machine;
mod picture;
mod scripts;
mod upgrade;
