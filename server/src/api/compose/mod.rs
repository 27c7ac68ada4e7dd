//! Messages that clients write: from JSON to MIME, and back for those that are written in steps.
//!
//! ```text
//! JSON -> MessageChange -> ContentChange -+
//!                       |                 v
//!                       |     MIME ->   Draft   -> MIME -> Submission
//!                       |                 ^
//!                       +-> StateChange   +- reply, forward
//! ```
//!
//! A [`Draft`] holds values only, each checked where it came in; what it writes has the fields
//! that were meant and no other, whatever the values are. What a draft does not know of a
//! message that it was read from, it keeps as it stands.

mod action;
mod attachment;
mod change;
mod draft;
mod native;
mod reply;
mod submission;
mod value;
mod write;
mod zone;

pub use self::{
    action::{ReplyKind, ReplyRequest, SendMail, UploadItem, parameter, read_mime},
    attachment::Attachment,
    change::{ContentChange, FlagChange, MessageChange, StateChange, Writing},
    draft::{Draft, DraftBody, Origin},
    native::NativeSubmission,
    reply::{reply, reply_targets},
    submission::{SendDate, Submission, Submitter},
};
