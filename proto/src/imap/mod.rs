//! IMAP4rev1 (RFC 3501): the server side.

mod call;
mod search;
mod snapshot;
pub mod wire;

pub use call::{
    Appended, Call, Columns, Config, Copied, Mailbox, MailboxStatus, MessageData, NewMessage,
    No, NoCode, Reply, Selected, SpecialUse, StoreMode, Tls,
};
pub use search::{DateTest, SearchKey, SearchText};
pub use snapshot::{Changes, MessageState, Snapshot, UidSet};
