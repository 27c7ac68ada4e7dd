//! IMAP4rev1 (RFC 3501): the server side.

mod call;
mod difference;
mod search;
mod server;
mod snapshot;
mod uid_set;
mod view;
pub mod wire;

pub use call::{
    Appended, Call, Columns, Config, Copied, Mailbox, MailboxStatus, MessageData, NewMessage, No,
    NoCode, Reply, Selected, SpecialUse, StoreMode, Tls,
};
pub use search::{DateTest, SearchKey, SearchText};
pub use server::Server;
pub use snapshot::{Changes, MessageState, Snapshot};
pub use uid_set::UidSet;
pub use view::{Telling, Update, Updates, View};
