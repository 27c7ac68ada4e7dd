//! `mailFolder`, and the folders that everybody has.

use rmail_proto::{
    MailboxId,
    imap::{MailboxStatus, SpecialUse},
};
use serde::Serialize;
use serde_json::Value;

use super::tell;
use crate::api::odata::Select;

/// A folder with a name that means the same everywhere.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum WellKnown {
    /// `inbox`
    Inbox,
    /// `drafts`
    Drafts,
    /// `sentitems`
    SentItems,
    /// `deleteditems`
    DeletedItems,
    /// `junkemail`
    JunkEmail,
    /// `archive`
    Archive,
    /// `outbox`
    Outbox,
    /// `msgfolderroot`: what all folders are below.
    Root,
}

impl WellKnown {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 8] = [
        Self::Inbox,
        Self::Drafts,
        Self::SentItems,
        Self::DeletedItems,
        Self::JunkEmail,
        Self::Archive,
        Self::Outbox,
        Self::Root,
    ];

    /// Its name in paths.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Drafts => "drafts",
            Self::SentItems => "sentitems",
            Self::DeletedItems => "deleteditems",
            Self::JunkEmail => "junkemail",
            Self::Archive => "archive",
            Self::Outbox => "outbox",
            Self::Root => "msgfolderroot",
        }
    }

    /// Its name for people, whatever IMAP calls it.
    pub const fn display_name(self) -> &'static str {
        match self {
            Self::Inbox => "Inbox",
            Self::Drafts => "Drafts",
            Self::SentItems => "Sent Items",
            Self::DeletedItems => "Deleted Items",
            Self::JunkEmail => "Junk Email",
            Self::Archive => "Archive",
            Self::Outbox => "Outbox",
            Self::Root => "Top of Information Store",
        }
    }

    /// From its name in paths, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// The mailbox with this use.
    pub const fn from_special_use(special_use: SpecialUse) -> Self {
        match special_use {
            SpecialUse::Archive => Self::Archive,
            SpecialUse::Drafts => Self::Drafts,
            SpecialUse::Junk => Self::JunkEmail,
            SpecialUse::Sent => Self::SentItems,
            SpecialUse::Trash => Self::DeletedItems,
        }
    }

    /// Of a mailbox with this name and use, if it is one.
    pub fn of(name: &str, special_use: Option<SpecialUse>) -> Option<Self> {
        match special_use {
            Some(special_use) => Some(Self::from_special_use(special_use)),
            None => name.eq_ignore_ascii_case("INBOX").then_some(Self::Inbox),
        }
    }
}

/// What is known of a folder.
#[derive(Clone, Debug)]
pub struct FolderFacts<'a> {
    /// Its id.
    pub id: MailboxId,
    /// Its whole IMAP name, in UTF-8, parts separated by `/`.
    pub name: &'a str,
    /// What it is to everybody.
    pub well_known: Option<WellKnown>,
    /// The folder above it.
    pub parent: MailboxId,
    /// Folders directly below it.
    pub children: u32,
    /// Its counts.
    pub status: &'a MailboxStatus,
}

/// `microsoft.graph.mailFolder`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MailFolder {
    id: String,
    display_name: String,
    parent_folder_id: String,
    child_folder_count: u32,
    unread_item_count: u32,
    total_item_count: u32,
    size_in_bytes: u64,
    is_hidden: bool,
}

impl MailFolder {
    /// From what is stored.
    pub fn new(facts: &FolderFacts<'_>) -> Self {
        let last = facts.name.rsplit('/').next().unwrap_or_default();
        let display_name = facts.well_known.map_or(last, |known| known.display_name());
        Self {
            id: facts.id.to_string(),
            display_name: display_name.to_owned(),
            parent_folder_id: facts.parent.to_string(),
            child_folder_count: facts.children,
            unread_item_count: facts.status.unseen,
            total_item_count: facts.status.messages,
            size_in_bytes: facts.status.size_bytes,
            is_hidden: false,
        }
    }

    /// The folder that all are below, its own parent.
    pub fn root(id: MailboxId, children: u32) -> Self {
        Self {
            id: id.to_string(),
            display_name: WellKnown::Root.display_name().to_owned(),
            parent_folder_id: id.to_string(),
            child_folder_count: children,
            unread_item_count: 0,
            total_item_count: 0,
            size_in_bytes: 0,
            is_hidden: false,
        }
    }

    /// As JSON.
    pub fn tell(&self, select: &Select) -> Value {
        Value::Object(tell(self, select))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use rmail_proto::{ModSeq, Uid, UidValidity};
    use serde_json::json;

    use super::*;
    use crate::api::schema::Schema;

    pub(super) fn status() -> MailboxStatus {
        MailboxStatus {
            mailbox: MailboxId(1),
            messages: 5,
            recent: 0,
            unseen: 2,
            uid_next: Uid::MIN,
            uid_validity: UidValidity(NonZeroU32::MIN),
            modseq: ModSeq(1),
            size_bytes: 100,
        }
    }

    fn told(name: &str, well_known: Option<WellKnown>) -> Value {
        let folder = MailFolder::new(&FolderFacts {
            id: MailboxId(1),
            name,
            well_known,
            parent: MailboxId(2),
            children: 3,
            status: &status(),
        });
        folder.tell(&Select::by_default(Schema::MailFolder))
    }

    #[test]
    fn counts_and_names_are_told() {
        let expected = json!({
            "id": MailboxId(1).to_string(), "displayName": "2026",
            "parentFolderId": MailboxId(2).to_string(), "childFolderCount": 3,
            "unreadItemCount": 2, "totalItemCount": 5, "sizeInBytes": 100, "isHidden": false,
        });
        assert_eq!(told("Work/2026", None), expected);
    }

    #[test]
    fn well_known_folders_have_names_of_their_own() {
        let name = |name, known| told(name, known)["displayName"].clone();
        assert_eq!(name("INBOX", WellKnown::of("INBOX", None)), "Inbox");
        let sent = WellKnown::of("Gesendet", Some(SpecialUse::Sent));
        assert_eq!(name("Gesendet", sent), "Sent Items");
        assert_eq!(WellKnown::of("Other", None), None);
        for known in WellKnown::ALL {
            assert_eq!(WellKnown::parse(&known.name().to_uppercase()), Some(known));
        }
        assert_eq!(WellKnown::parse("clutter"), None);
    }

    #[test]
    fn root_is_its_own_parent() {
        let root = MailFolder::root(MailboxId(9), 4).tell(&Select::by_default(Schema::MailFolder));
        assert_eq!(root["id"], root["parentFolderId"]);
        assert_eq!(root["displayName"], "Top of Information Store");
    }
}
