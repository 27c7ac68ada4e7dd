//! Between bytes and typed commands, and between typed responses and bytes.
//!
//! [`CommandReader`] makes [`Command`]s of what a client sends, literals included, and stays in
//! step with the client whatever it sends. The `write_` functions append responses to a buffer.

mod charset;
mod command;
mod criteria;
mod cursor;
mod fetch_response;
mod parse;
mod pattern;
mod reader;
mod response;
mod section;
mod sequence_set;
mod utf7;
mod values;

pub use command::{
    AppendMessage, Command, CommandBody, Fault, FaultKind, List, ListReturn, ListSelect,
    MessageSet, SearchReturn, StatusItem, Tag,
};
pub use criteria::{SearchContext, SearchCriteria};
pub use fetch_response::FetchResponse;
pub use pattern::Pattern;
pub use reader::{CommandReader, Progress, Refused};
pub use response::{
    Condition, ListAttributes, ResponseCode, special_use_name, write_astring, write_capability,
    write_continuation, write_enabled, write_esearch, write_exists, write_expunge, write_fault,
    write_flag_list, write_flags, write_id, write_list, write_list_child_info,
    write_list_separator, write_literal_start, write_lsub, write_mailbox_status, write_namespace,
    write_no, write_nstring, write_ranges, write_recent, write_search, write_status, write_string,
    write_uids, write_vanished,
};
pub use section::{FetchItem, Partial, Section, SectionText};
pub use sequence_set::{SequenceNumber, SequenceSet};
pub use utf7::{decode_mailbox_name, encode_mailbox_name};
