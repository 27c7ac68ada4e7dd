//! SMTP: its private parsers, which are compiled in as they stand, and its server machine.

mod commands;
mod content;
mod exchange;
mod machine;

use dsn::{MailNotice, Notify, RcptNotice, Return};
use rmail_proto::smtp::Refusal;

pub(crate) use commands::{address, command};
pub(crate) use content::{dot, header, trace};
pub(crate) use exchange::auth;
pub(crate) use machine::{dialogue, machine};

#[path = "../../../proto/src/smtp/auth.rs"]
mod auth;
#[path = "../../../proto/src/smtp/command.rs"]
mod command;
#[path = "../../../proto/src/smtp/dot.rs"]
mod dot;
#[path = "../../../proto/src/smtp/dsn.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    reason = "its other users are in its own crate"
)]
mod dsn;
#[path = "../../../proto/src/smtp/from.rs"]
mod from;
#[path = "../../../proto/src/smtp/header.rs"]
mod header;
#[path = "../../../proto/src/smtp/trace.rs"]
#[expect(unreachable_pub, reason = "it is public in its own crate")]
mod trace;
