//! A command as data (RFC 3501 §6, and the extensions named at each variant).

use alloc::{string::String, vec::Vec};
use core::fmt;

use super::{FetchItem, SearchCriteria, SequenceSet};
use crate::{
    DateTime, Flags, ModSeq, Secret,
    imap::{SpecialUse, StoreMode},
    limits,
};

/// What a client names its command with: 1 to [`limits::IMAP_TAG_BYTES`] bytes.
///
/// ```abnf
/// tag = 1*<any ASTRING-CHAR except "+">
/// ```
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tag(String);

impl Tag {
    /// `None` when the text is no tag or is too long.
    pub fn new(text: &[u8]) -> Option<Self> {
        let valid = (1..=limits::IMAP_TAG_BYTES).contains(&text.len())
            && text
                .iter()
                .all(|&byte| super::cursor::is_astring_char(byte) && byte != b'+');
        let text = valid.then(|| core::str::from_utf8(text).ok()).flatten()?;
        Some(Self(String::from(text)))
    }

    /// As the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A whole command. APPEND is none: it is reported as [`AppendMessage`]s.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its tag.
    pub tag: Tag,
    /// What it asks.
    pub body: CommandBody,
}

/// What a command asks. Mailbox names are in UTF-8, with `INBOX` (alone or as the first level of
/// a name) in capitals, and are otherwise as the client sent them: possibly empty, or with a
/// separator at their end.
#[derive(Clone, Debug)]
pub enum CommandBody {
    /// CAPABILITY (RFC 3501 §6.1.1)
    Capability,
    /// NOOP (RFC 3501 §6.1.2)
    Noop,
    /// LOGOUT (RFC 3501 §6.1.3)
    Logout,
    /// STARTTLS (RFC 3501 §6.2.1)
    StartTls,
    /// AUTHENTICATE (RFC 3501 §6.2.2)
    Authenticate {
        /// In capitals.
        mechanism: String,
        /// In base64; empty for `=` (RFC 4959 §3).
        initial_response: Option<Secret<String>>,
    },
    /// LOGIN (RFC 3501 §6.2.3)
    Login {
        /// As the client gave it.
        username: String,
        /// As the client gave it.
        password: Secret<String>,
    },
    /// SELECT (RFC 3501 §6.3.1)
    Select {
        /// Which one.
        mailbox: String,
        /// Whether `(CONDSTORE)` was there (RFC 7162 §3.1.8).
        condstore: bool,
    },
    /// EXAMINE (RFC 3501 §6.3.2)
    Examine {
        /// Which one.
        mailbox: String,
        /// Whether `(CONDSTORE)` was there (RFC 7162 §3.1.8).
        condstore: bool,
    },
    /// CREATE (RFC 3501 §6.3.3)
    Create {
        /// Its name. A separator at its end only says that it will have children.
        mailbox: String,
        /// `(USE (...))` (RFC 6154 §3)
        special_use: Option<SpecialUse>,
    },
    /// DELETE (RFC 3501 §6.3.4)
    Delete {
        /// Which one.
        mailbox: String,
    },
    /// RENAME (RFC 3501 §6.3.5)
    Rename {
        /// The present name.
        from: String,
        /// The new name.
        to: String,
    },
    /// SUBSCRIBE (RFC 3501 §6.3.6)
    Subscribe {
        /// Which one.
        mailbox: String,
    },
    /// UNSUBSCRIBE (RFC 3501 §6.3.7)
    Unsubscribe {
        /// Which one.
        mailbox: String,
    },
    /// LIST (RFC 3501 §6.3.8, RFC 5258)
    List(List),
    /// LSUB (RFC 3501 §6.3.9)
    Lsub {
        /// What the pattern is relative to.
        reference: String,
        /// With `*` and `%`.
        pattern: String,
    },
    /// STATUS (RFC 3501 §6.3.10)
    Status {
        /// Which one.
        mailbox: String,
        /// What is asked, without doubles, in the order asked.
        items: Vec<StatusItem>,
    },
    /// NAMESPACE (RFC 2342)
    Namespace,
    /// ID (RFC 2971)
    Id {
        /// What the client says of itself; `None` for NIL.
        parameters: Option<Vec<(String, Option<String>)>>,
    },
    /// ENABLE (RFC 5161)
    Enable {
        /// In capitals.
        capabilities: Vec<String>,
    },
    /// IDLE (RFC 2177). Lines that are no commands follow: see [`crate::LineBuffer`].
    Idle,
    /// CHECK (RFC 3501 §6.4.1)
    Check,
    /// CLOSE (RFC 3501 §6.4.2)
    Close,
    /// UNSELECT (RFC 3691)
    Unselect,
    /// EXPUNGE (RFC 3501 §6.4.3)
    Expunge,
    /// UID EXPUNGE (RFC 4315 §2.1)
    UidExpunge {
        /// Only these.
        uids: SequenceSet,
    },
    /// SEARCH and UID SEARCH (RFC 3501 §6.4.4)
    Search {
        /// Whether the answer names UIDs.
        by_uid: bool,
        /// `RETURN (...)` (RFC 4731); answered by ESEARCH when present.
        returns: Option<SearchReturn>,
        /// What is looked for.
        criteria: SearchCriteria,
    },
    /// FETCH and UID FETCH (RFC 3501 §6.4.5)
    Fetch {
        /// Of which messages.
        messages: MessageSet,
        /// What is asked, macros expanded, without doubles, in the order asked.
        items: Vec<FetchItem>,
        /// Only messages that changed after this (RFC 7162 §3.1.4.1).
        changed_since: Option<ModSeq>,
        /// Whether VANISHED is asked for too (RFC 7162 §3.2.6).
        vanished: bool,
    },
    /// STORE and UID STORE (RFC 3501 §6.4.6)
    Store {
        /// Of which messages.
        messages: MessageSet,
        /// How.
        mode: StoreMode,
        /// `.SILENT`: the client does not want to hear the new flags.
        silent: bool,
        /// Which flags.
        flags: Flags,
        /// Leave messages alone that changed after this (RFC 7162 §3.1.3).
        unchanged_since: Option<ModSeq>,
    },
    /// COPY and UID COPY (RFC 3501 §6.4.7)
    Copy {
        /// Which messages.
        messages: MessageSet,
        /// Where to.
        mailbox: String,
    },
    /// MOVE and UID MOVE (RFC 6851)
    Move {
        /// Which messages.
        messages: MessageSet,
        /// Where to.
        mailbox: String,
    },
}

/// Messages as a command names them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MessageSet {
    /// By message number.
    Numbers(SequenceSet),
    /// By UID: the command was prefixed with `UID`.
    Uids(SequenceSet),
}

/// LIST, basic and extended (RFC 5258 §3).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List {
    /// `(...)` before the reference.
    pub select: ListSelect,
    /// What the patterns are relative to.
    pub reference: String,
    /// With `*` and `%`; one, or several in parentheses. At most
    /// [`limits::IMAP_LIST_PATTERNS`].
    pub patterns: Vec<String>,
    /// `RETURN (...)`
    pub returns: ListReturn,
    /// Whether this is an extended LIST: it has selection or return options, or patterns in
    /// parentheses. `LIST "" ""` asks for the separator only when it is not.
    pub extended: bool,
}

/// Selection options of LIST (RFC 5258 §3.1, RFC 6154 §5.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ListSelect {
    /// `SUBSCRIBED`
    pub subscribed: bool,
    /// `REMOTE`
    pub remote: bool,
    /// `RECURSIVEMATCH`
    pub recursive_match: bool,
    /// `SPECIAL-USE`
    pub special_use: bool,
}

/// Return options of LIST (RFC 5258 §3.2, RFC 6154 §5.3, RFC 5819).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ListReturn {
    /// `SUBSCRIBED`
    pub subscribed: bool,
    /// `CHILDREN`
    pub children: bool,
    /// `SPECIAL-USE`
    pub special_use: bool,
    /// `STATUS (...)`; empty when it was not there.
    pub status: Vec<StatusItem>,
}

/// What STATUS can tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatusItem {
    /// `MESSAGES`
    Messages,
    /// `RECENT`
    Recent,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`
    Unseen,
    /// `HIGHESTMODSEQ` (RFC 7162 §3.1.7)
    HighestModSeq,
    /// `SIZE` (RFC 8438)
    Size,
    /// `MAILBOXID` (RFC 8474 §4.3)
    MailboxId,
}

impl StatusItem {
    /// Each with its name.
    pub const NAMED: [(Self, &'static str); 8] = [
        (Self::Messages, "MESSAGES"),
        (Self::Recent, "RECENT"),
        (Self::UidNext, "UIDNEXT"),
        (Self::UidValidity, "UIDVALIDITY"),
        (Self::Unseen, "UNSEEN"),
        (Self::HighestModSeq, "HIGHESTMODSEQ"),
        (Self::Size, "SIZE"),
        (Self::MailboxId, "MAILBOXID"),
    ];

    /// Its name in capitals.
    pub fn as_str(self) -> &'static str {
        let named = Self::NAMED.iter().find(|(item, _)| *item == self);
        named.expect("NAMED holds every item").1
    }
}

/// What ESEARCH is to tell (RFC 4731 §3.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SearchReturn {
    /// `MIN`
    pub min: bool,
    /// `MAX`
    pub max: bool,
    /// `ALL`; also meant by `RETURN ()`.
    pub all: bool,
    /// `COUNT`
    pub count: bool,
}

/// One message of an APPEND, as far as its literal (RFC 3501 §6.3.11, RFC 3502).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AppendMessage {
    /// The command's tag.
    pub tag: Tag,
    /// Where to; the same for all messages of a command.
    pub mailbox: String,
    /// Its flags.
    pub flags: Flags,
    /// Its INTERNALDATE, if the client gave one.
    pub internal_date: Option<DateTime>,
    /// Size of the literal.
    pub size_bytes: u64,
    /// Whether the client waits for `+ ` before it sends the literal.
    pub synchronising: bool,
}

/// A command that could not be understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The tag to answer with; `*` when it could not be read.
    pub tag: Option<Tag>,
    /// How to answer.
    pub kind: FaultKind,
    /// One line for people.
    pub text: &'static str,
}

/// How a [`Fault`] is answered; see [`write_fault`](super::write_fault).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// `BAD`
    Bad,
    /// `BAD [TOOBIG]`: the command is longer than [`limits::IMAP_COMMAND_BYTES`].
    TooBig,
    /// `NO [BADCHARSET (...)]` (RFC 3501 §7.1)
    BadCharset,
    /// `NO [USEATTR]` (RFC 6154 §6)
    UseAttr,
    /// `NO [CANNOT]`: no mailbox can have this name (RFC 5530 §3).
    MailboxName,
}
