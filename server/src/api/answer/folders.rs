//! An account's folders as a tree.

use icu_normalizer::ComposingNormalizerBorrowed;
use rmail_proto::{
    MailboxId,
    imap::{Mailbox, MailboxStatus, SpecialUse},
};
use rmail_store::{Account, AccountWrite, MailboxRef, Store, StoreError};

use super::{Cx, Failure};
use crate::{
    api::{
        error::ApiError,
        resources::{FolderFacts, MailFolder, WellKnown},
    },
    limits,
};

/// What separates the parts of a mailbox's name.
const SEPARATOR: char = '/';

/// All folders of an account, by name.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// The folder that all are below; no mailbox.
    root: MailboxId,
    /// Those that there are.
    mailboxes: Vec<Folder>,
}

/// A folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    pub(super) id: MailboxId,
    /// Its whole IMAP name.
    pub(super) name: String,
    pub(super) well_known: Option<WellKnown>,
    pub(super) mailbox: Mailbox,
}

impl Folder {
    /// The last part of its name.
    pub(super) fn last_part(&self) -> &str {
        self.name.rsplit(SEPARATOR).next().unwrap_or_default()
    }

    /// As the API shows it.
    pub(super) fn display_name(&self) -> &str {
        match self.well_known {
            Some(known) => known.display_name(),
            None => self.last_part(),
        }
    }
}

/// Whether this names the folder of that id, which all are below.
pub(super) fn is_root(root: MailboxId, key: &str) -> bool {
    WellKnown::parse(key) == Some(WellKnown::Root) || MailboxId::parse(key) == Some(root)
}

/// The id of the folder that all of an account's are below: a GUID that no mailbox has.
pub(super) fn root_of(account: &Account) -> MailboxId {
    MailboxId(account.guid)
}

impl Folders {
    pub(super) fn load(store: &dyn Store, account: &Account) -> Result<Self, Failure> {
        let mailboxes = store.mailboxes(account.id)?.into_iter();
        let mailboxes = mailboxes.filter_map(|mailbox| {
            Some(Folder {
                id: mailbox.id?,
                name: mailbox.name.clone(),
                well_known: well_known(&mailbox),
                mailbox,
            })
        });
        Ok(Self {
            root: root_of(account),
            mailboxes: mailboxes.collect(),
        })
    }

    pub(super) fn all(&self) -> &[Folder] {
        &self.mailboxes
    }

    /// The id of the folder that all are below.
    pub(super) fn root(&self) -> MailboxId {
        self.root
    }

    /// By id, or by the name that everybody knows it by.
    pub(super) fn find(&self, key: &str) -> Option<&Folder> {
        match WellKnown::parse(key) {
            Some(known) => self.known(known),
            None => self.by_id(MailboxId::parse(key)?),
        }
    }

    pub(super) fn known(&self, known: WellKnown) -> Option<&Folder> {
        let mut all = self.mailboxes.iter();
        all.find(|folder| folder.well_known == Some(known))
    }

    pub(super) fn by_id(&self, id: MailboxId) -> Option<&Folder> {
        self.mailboxes.iter().find(|folder| folder.id == id)
    }

    /// By its whole IMAP name, INBOX in any case.
    pub(super) fn by_name(&self, name: &str) -> Option<&Folder> {
        let mut all = self.mailboxes.iter();
        all.find(|folder| folder.name == name || is_inbox(&folder.name) && is_inbox(name))
    }

    /// The folder that this one is in; `None` for the root.
    pub(super) fn parent(&self, folder: &Folder) -> Option<&Folder> {
        let mut name = folder.name.as_str();
        while let Some((superior, _)) = name.rsplit_once(SEPARATOR) {
            if let Some(parent) = self.by_name(superior) {
                return Some(parent);
            }
            name = superior;
        }
        None
    }

    /// The same, by id.
    pub(super) fn parent_id(&self, folder: &Folder) -> MailboxId {
        self.parent(folder).map_or(self.root, |parent| parent.id)
    }

    /// Those directly below a folder, or below the root: special ones first, then by name.
    pub(super) fn children(&self, parent: Option<&Folder>) -> Vec<&Folder> {
        let parent = parent.map_or(self.root, |parent| parent.id);
        let mut children: Vec<&Folder> = self
            .mailboxes
            .iter()
            .filter(|folder| self.parent_id(folder) == parent)
            .collect();
        children.sort_by_cached_key(|folder| {
            let name = folder.display_name().to_lowercase();
            (folder.well_known.is_none(), name, folder.id)
        });
        children
    }

    /// A folder and all below it.
    pub(super) fn subtree(&self, folder: &Folder) -> Vec<&Folder> {
        let prefix = format!("{}{SEPARATOR}", folder.name);
        let all = self.mailboxes.iter();
        all.filter(|other| other.id == folder.id || other.name.starts_with(&prefix))
            .collect()
    }

    /// Whether there is one of this name, in any case, below the same folder.
    pub(super) fn is_taken(&self, parent: Option<&Folder>, name: &str) -> bool {
        let name = name.to_lowercase();
        self.children(parent).into_iter().any(|child| {
            child.last_part().to_lowercase() == name || child.display_name().to_lowercase() == name
        })
    }
}

fn is_inbox(name: &str) -> bool {
    name.eq_ignore_ascii_case("INBOX")
}

fn well_known(mailbox: &Mailbox) -> Option<WellKnown> {
    match mailbox.name.as_str() {
        OUTBOX => Some(WellKnown::Outbox),
        name => WellKnown::of(name, mailbox.special_use),
    }
}

/// The name of the mailbox that is the outbox: nothing waits in it.
const OUTBOX: &str = "Outbox";

impl Cx<'_> {
    /// The folder of this id or well-known name; a well-known one is made if it is missing.
    pub(super) fn folder(&mut self, key: &str) -> Result<Folder, Failure> {
        let folders = self.folders()?;
        if let Some(folder) = folders.find(key) {
            return Ok(folder.clone());
        }
        match WellKnown::parse(key) {
            None | Some(WellKnown::Root) => Err(ApiError::item_not_found().into()),
            Some(known) => self.make_known(known),
        }
    }

    /// The folder that everybody knows by this name.
    pub(super) fn known_folder(&mut self, known: WellKnown) -> Result<Folder, Failure> {
        self.folder(known.name())
    }

    fn make_known(&mut self, known: WellKnown) -> Result<Folder, Failure> {
        let (name, special_use) = match known {
            WellKnown::Root | WellKnown::Inbox => return Err(ApiError::item_not_found().into()),
            WellKnown::Outbox => (OUTBOX, None),
            WellKnown::Drafts => ("Drafts", Some(SpecialUse::Drafts)),
            WellKnown::SentItems => ("Sent", Some(SpecialUse::Sent)),
            WellKnown::DeletedItems => ("Trash", Some(SpecialUse::Trash)),
            WellKnown::JunkEmail => ("Junk", Some(SpecialUse::Junk)),
            WellKnown::Archive => ("Archive", Some(SpecialUse::Archive)),
        };
        let folders = self.folders()?;
        let mut free = name.to_owned();
        let mut number = 2;
        while folders.is_taken(None, &free) {
            free = format!("{name} {number}");
            number += 1;
        }
        self.write(vec![AccountWrite::CreateMailbox {
            name: free.clone(),
            special_use,
        }])?;
        let folders = self.folders()?;
        let made = folders.by_name(&free).cloned();
        Ok(made.ok_or_else(ApiError::internal)?)
    }

    /// Counts of a folder.
    pub(super) fn status(&self, folder: &Folder) -> Result<MailboxStatus, Failure> {
        let id = MailboxRef::Id(folder.id);
        Ok(self.store().status(self.account().id, &id)?)
    }

    /// As Graph shows it.
    pub(super) fn mail_folder(
        &self,
        folders: &Folders,
        folder: &Folder,
    ) -> Result<MailFolder, Failure> {
        Ok(MailFolder::new(&FolderFacts {
            id: folder.id,
            name: &folder.name,
            well_known: folder.well_known,
            parent: folders.parent_id(folder),
            children: count(folders.children(Some(folder)).len()),
            status: &self.status(folder)?,
        }))
    }

    /// Deletes folders for good, with all in them.
    pub(super) fn delete_folders(&mut self, folders: &[&Folder]) -> Result<(), Failure> {
        // The deepest first: what is above a mailbox stays as long as it is there.
        let mut names: Vec<&Folder> = folders.to_vec();
        names.sort_by(|a, b| b.name.cmp(&a.name));
        let batch = names.into_iter().flat_map(|folder| {
            [
                AccountWrite::DeleteMailbox {
                    mailbox: MailboxRef::Id(folder.id),
                },
                AccountWrite::Subscribe {
                    name: folder.name.clone(),
                    subscribed: false,
                },
            ]
        });
        self.write(batch.collect())?;
        Ok(())
    }

    /// Moves a folder with all below it below another, or renames it.
    pub(super) fn rename_folder(&mut self, folder: &Folder, to: String) -> Result<(), Failure> {
        self.write(vec![AccountWrite::RenameMailbox {
            mailbox: MailboxRef::Id(folder.id),
            to,
        }])?;
        Ok(())
    }

    /// Moves a folder below Deleted Items; one that is there already is deleted for good.
    pub(super) fn discard_folder(&mut self, folder: &Folder) -> Result<(), Failure> {
        let trash = self.known_folder(WellKnown::DeletedItems)?;
        let folders = self.folders()?;
        let is_in_trash = folders.subtree(&trash).iter().any(|it| it.id == folder.id);
        if is_in_trash {
            return self.delete_folders(&folders.subtree(folder));
        }
        let mut name = folder.last_part().to_owned();
        let mut number = 1;
        while folders.is_taken(Some(&trash), &name) {
            name = format!("{}{number}", folder.last_part());
            number += 1;
        }
        self.rename_folder(folder, join(Some(&trash), &name))
    }
}

/// A name below a folder, or at the top.
pub(super) fn join(parent: Option<&Folder>, name: &str) -> String {
    match parent {
        Some(parent) => format!("{}{SEPARATOR}{name}", parent.name),
        None => name.to_owned(),
    }
}

/// A name that a folder can have, in NFC.
pub(super) fn check_name(name: &str) -> Result<String, Failure> {
    let name = ComposingNormalizerBorrowed::new_nfc()
        .normalize(name.trim())
        .into_owned();
    let is_good = (1..=limits::FOLDER_NAME_CHARS).contains(&name.chars().count())
        && !name.contains(SEPARATOR)
        && !name.chars().any(char::is_control);
    match is_good {
        true => Ok(name),
        false => {
            let message = "A folder's name has 1 to 255 characters, and neither '/' nor control \
                           characters.";
            Err(ApiError::invalid_request()
                .with_message(message.to_owned())
                .into())
        }
    }
}

/// What the store refuses about a folder, where its name was the client's.
pub(super) fn name_error(failure: Failure) -> Failure {
    match failure {
        Failure::Store(StoreError::TooMany(what)) => {
            let message = format!("There are too many {what}.");
            ApiError::invalid_request().with_message(message).into()
        }
        other => other,
    }
}

pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
