//! IMAP: the reader and writers of its wire, and its server machine.

mod machine;
mod names;
mod reader;
mod responses;
mod spelling;

pub(crate) use machine::{dialogue, machine};
pub(crate) use names::{name, set};
pub(crate) use reader::{command, reader};
pub(crate) use responses::response;
