//! Between bytes and typed commands, and between typed responses and bytes.
//!
//! [`CommandReader`] makes [`Command`]s of what a client sends, literals included, and stays in
//! step with the client whatever it sends. The `write_` functions append responses to a buffer.

mod command;
mod criteria;
mod cursor;
mod reader;
mod section;
mod sequence_set;

pub use command::{
    AppendMessage, Command, CommandBody, Fault, FaultKind, List, ListReturn, ListSelect,
    MessageSet, SearchReturn, StatusItem, Tag,
};
pub use criteria::{SearchContext, SearchCriteria};
pub use reader::Progress;
pub use section::{FetchItem, Partial, Section, SectionText};
pub use sequence_set::{SequenceNumber, SequenceSet};
