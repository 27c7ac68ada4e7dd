//! A process that works with a store, and short words for what it does.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, DateTime, Flags, ForwardPath, ReversePath, SystemFlags, Uid, UnixTime,
    imap::{StoreMode, UidSet},
    mime::Summary,
    smtp::{MailNotice, Recipient},
};
use rmail_store::{
    AccountWrite, AccountWritten, Alias, AliasWrite, Claim, Concluded, Content, Destination,
    DirectoryWrite, Fate, Lots, MailboxRef, MessageVersion, NewAccount, NewMessage, NewRecipient,
    NewSpoolEntry, SpoolEntry, SpoolWrite, SpoolWritten, SqliteStore, StageId, Store, StoreError,
    Submission, Told, limits,
};
use rmail_tests::Mount;

pub(crate) type Done = Result<(), StoreError>;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

/// A mailbox that only [`Actor::probe`] makes.
pub(crate) const PROBE: &str = "Probe";

/// In which uploads come.
const CHUNK_BYTES: usize = 64 * 1024;

/// A running process.
pub(crate) struct Actor {
    pub(crate) store: SqliteStore,
    claimed: Vec<SpoolEntry>,
    /// Messages that were offered to the spool, and those whose acceptance was acknowledged.
    pub(crate) offered: BTreeSet<u32>,
    pub(crate) accepted: BTreeSet<u32>,
    /// Those among them of which ann was to keep a copy, each with the draft that it was.
    pub(crate) submitted: BTreeMap<u32, Option<u32>>,
}

/// A message's text by its number; a large one does not fit into a database.
pub(crate) fn text(number: u32, is_large: bool) -> Vec<u8> {
    let mut text = format!("Message-ID: <{number}@example.com>\r\nX-Number: {number}\r\n\r\n");
    let length = match is_large {
        true => limits::INLINE_BYTES + 1 + number as usize,
        false => 300,
    };
    // Prime to the sectors of a disk, so that none is in another's place unseen.
    let block: String = (0..251)
        .map(|index| char::from(b' ' + index % 89))
        .collect();
    text += &block.repeat(length / block.len() + 1);
    text.truncate(length);
    text.into_bytes()
}

fn summary(number: u32, bytes: &[u8]) -> Arc<Summary> {
    Arc::new(Summary {
        size_bytes: bytes.len() as u64,
        header_bytes: 60,
        envelope: b"(envelope)".to_vec(),
        message_id: Some(format!("{number}@example.com")),
        ..Summary::default()
    })
}

pub(crate) fn named(name: &str) -> MailboxRef {
    MailboxRef::Name(name.to_owned())
}

pub(crate) fn uids(numbers: &[u32]) -> UidSet {
    let uids = numbers
        .iter()
        .map(|&number| Uid::new(number).expect("not 0"));
    uids.collect()
}

impl Actor {
    /// Starts, and opens what there is.
    pub(crate) fn start(mount: &Mount, seed: u64) -> Result<Self, StoreError> {
        let root = mount.root().join("mail");
        let store = SqliteStore::open(&root, mount.files(), Some(mount.vfs()), seed)?;
        for account in store.accounts()? {
            store.mailboxes(account.id)?;
        }
        store.settle_submissions(NOW)?;
        Ok(Self {
            store,
            claimed: Vec::new(),
            offered: BTreeSet::new(),
            accepted: BTreeSet::new(),
            submitted: BTreeMap::new(),
        })
    }

    // Accounts.

    pub(crate) fn find(&self, local_part: &str) -> Result<AccountId, StoreError> {
        let found = self.store.account_by_address(&address(local_part))?;
        Ok(found.ok_or(StoreError::NoSuchAccount)?.id)
    }

    pub(crate) fn write_directory(&self, write: DirectoryWrite) -> Result<AccountId, StoreError> {
        let mut results = self.store.write_directory(NOW, vec![write])?;
        results.pop().expect("one result per operation")
    }

    /// Makes an account, if there is none yet, and opens it.
    pub(crate) fn make_account(&self, local_part: &str) -> Done {
        let account = match self.find(local_part) {
            Err(StoreError::NoSuchAccount) => {
                self.write_directory(DirectoryWrite::CreateAccount(NewAccount {
                    address: address(local_part),
                    guid: u128::from(self.store.directory_version()?),
                    credential: "secret".to_owned(),
                    is_admin: false,
                }))?
            }
            found => found?,
        };
        self.store.mailboxes(account)?;
        Ok(())
    }

    pub(crate) fn delete_account(&self, local_part: &str) -> Done {
        match self.find(local_part) {
            Err(StoreError::NoSuchAccount) => Ok(()),
            found => {
                self.write_directory(DirectoryWrite::DeleteAccount(found?))?;
                Ok(())
            }
        }
    }

    // Aliases.

    fn write_alias(&self, write: AliasWrite) -> Done {
        let mut results = self.store.write_aliases(vec![write])?;
        results.pop().expect("one result per operation")
    }

    /// Makes an alias, or changes its targets.
    pub(crate) fn set_alias(&self, local_part: &str, targets: &[&str]) -> Done {
        let targets = targets.iter().map(|target| address(target)).collect();
        let alias = Alias::new(&address(local_part), targets);
        match self.store.alias(&alias.address)? {
            None => self.write_alias(AliasWrite::Create(alias)),
            Some(_) => self.write_alias(AliasWrite::Update {
                address: alias.address,
                targets: Some(alias.targets),
                is_enabled: None,
            }),
        }
    }

    pub(crate) fn remove_alias(&self, local_part: &str) -> Done {
        match self.write_alias(AliasWrite::Delete(address(local_part))) {
            Err(StoreError::NoSuchAlias) => Ok(()),
            removed => removed,
        }
    }

    // Mail.

    pub(crate) fn write(
        &self,
        local_part: &str,
        write: AccountWrite,
    ) -> Result<AccountWritten, StoreError> {
        let account = self.find(local_part)?;
        let written = self.store.write_account(NOW, account, vec![write], &[])?;
        let mut results = written.results;
        results.pop().expect("one result per operation")
    }

    /// Stages a content, uses it, and drops the stage.
    fn staged<T>(
        &self,
        bytes: &[u8],
        work: impl FnOnce(StageId) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let stage = self.store.stage()?;
        let append = |chunk| self.store.stage_append(stage, chunk);
        let done = bytes
            .chunks(CHUNK_BYTES)
            .try_for_each(append)
            .and_then(|()| self.store.stage_finish(stage))
            .and_then(|()| work(stage));
        self.store.stage_drop(stage);
        done
    }

    fn with_content<T>(
        &self,
        bytes: &[u8],
        work: impl FnOnce(Content) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match bytes.len() <= limits::INLINE_BYTES {
            true => work(Content::Inline(Bytes::copy_from_slice(bytes))),
            false => self.staged(bytes, |stage| work(Content::Staged(stage))),
        }
    }

    /// An APPEND of messages with these numbers; the last is large or not.
    pub(crate) fn save(
        &self,
        local_part: &str,
        mailbox: &str,
        numbers: &[u32],
        is_large: bool,
    ) -> Done {
        let (last, others) = numbers.split_last().expect("there is a message");
        let inline = |&number: &u32| {
            let bytes = text(number, false);
            new_message(number, &bytes, Content::Inline(Bytes::from(bytes.clone())))
        };
        let mut messages: Vec<NewMessage> = others.iter().map(inline).collect();
        let bytes = text(*last, is_large);
        self.with_content(&bytes, |content| {
            messages.push(new_message(*last, &bytes, content));
            let save = AccountWrite::Save {
                mailbox: named(mailbox),
                messages,
            };
            self.write(local_part, save)
        })?;
        Ok(())
    }

    /// Saves a message in each of these mailboxes, and makes another one.
    pub(crate) fn probe<'a>(
        &self,
        local_part: &str,
        mailboxes: impl Iterator<Item = &'a str>,
    ) -> Done {
        let bytes = Bytes::from(text(900, false));
        let save = |mailbox: &str| AccountWrite::Save {
            mailbox: named(mailbox),
            messages: vec![new_message(900, &bytes, Content::Inline(bytes.clone()))],
        };
        let mut batch: Vec<AccountWrite> = mailboxes.map(save).collect();
        batch.push(AccountWrite::CreateMailbox {
            name: PROBE.to_owned(),
            special_use: None,
        });
        self.write_all(local_part, batch)
    }

    fn write_all(&self, local_part: &str, batch: Vec<AccountWrite>) -> Done {
        let account = self.find(local_part)?;
        let written = self.store.write_account(NOW, account, batch, &[])?;
        let mut results = written.results.into_iter();
        results.try_for_each(|result| result.map(|_| ()))
    }

    /// An APPEND of a message that just fits into the database.
    pub(crate) fn save_inline(&self, local_part: &str, mailbox: &str, number: u32) -> Done {
        let bytes = text(number, true);
        let bytes = Bytes::from(bytes).slice(..limits::INLINE_BYTES);
        let save = AccountWrite::Save {
            mailbox: named(mailbox),
            messages: vec![new_message(number, &bytes, Content::Inline(bytes.clone()))],
        };
        self.write(local_part, save)?;
        Ok(())
    }

    fn id_of(&self, local_part: &str, mailbox: &str) -> Result<rmail_proto::MailboxId, StoreError> {
        let account = self.find(local_part)?;
        Ok(self.store.status(account, &named(mailbox))?.mailbox)
    }

    pub(crate) fn flag(
        &self,
        local_part: &str,
        mailbox: &str,
        numbers: &[u32],
        mode: StoreMode,
        flags: SystemFlags,
    ) -> Done {
        let write = AccountWrite::StoreFlags {
            mailbox: self.id_of(local_part, mailbox)?,
            uids: uids(numbers),
            mode,
            flags: Flags::system(flags),
            unchanged_since: None,
        };
        self.write(local_part, write)?;
        Ok(())
    }

    pub(crate) fn copy(&self, local_part: &str, from: &str, numbers: &[u32], to: &str) -> Done {
        let copy = AccountWrite::Copy {
            source: self.id_of(local_part, from)?,
            uids: uids(numbers),
            target: named(to),
        };
        self.write(local_part, copy)?;
        Ok(())
    }

    pub(crate) fn move_(&self, local_part: &str, from: &str, numbers: &[u32], to: &str) -> Done {
        let move_ = AccountWrite::Move {
            source: self.id_of(local_part, from)?,
            uids: uids(numbers),
            target: named(to),
        };
        self.write(local_part, move_)?;
        Ok(())
    }

    pub(crate) fn expunge(&self, local_part: &str, mailbox: &str) -> Done {
        let expunge = AccountWrite::Expunge {
            mailbox: self.id_of(local_part, mailbox)?,
            uids: None,
        };
        self.write(local_part, expunge)?;
        Ok(())
    }

    // The spool.

    fn write_spool(&self, write: SpoolWrite) -> Result<SpoolWritten, StoreError> {
        let mut results = self.store.write_spool(NOW, vec![write])?;
        results.pop().expect("one result per operation")
    }

    /// Takes a message for both accounts. The spool's entry waits for a claim.
    pub(crate) fn accept(&mut self, number: u32, is_large: bool) -> Done {
        self.offered.insert(number);
        let bytes = text(number, is_large);
        self.with_content(&bytes, |content| {
            let entry = new_entry(number, &bytes, content);
            self.write_spool(SpoolWrite::Accept(entry))
        })?;
        self.accepted.insert(number);
        Ok(())
    }

    /// Sends a message of ann's to both accounts. She keeps a copy; where it was a draft, that
    /// becomes the copy.
    pub(crate) fn submit(&mut self, number: u32, is_large: bool, draft: Option<u32>) -> Done {
        self.offered.insert(number);
        self.submitted.insert(number, draft);
        let account = self.find("ann")?;
        let draft = match draft {
            None => None,
            Some(draft) => Some(self.find_draft(account, draft)?),
        };
        let bytes = text(number, is_large);
        let sent = self.with_content(&bytes, |content| {
            let submission = Submission {
                entry: new_entry(number, &bytes, content.clone()),
                mailbox: named("Sent"),
                copy: new_message(number, &bytes, content),
                draft,
            };
            self.store.submit(NOW, account, &submission)
        });
        // As a server does every second. What this leaves the next one finds.
        self.store.settle_submissions(NOW).ok();
        sent?;
        self.accepted.insert(number);
        Ok(())
    }

    fn find_draft(&self, account: AccountId, number: u32) -> Result<MessageVersion, StoreError> {
        let state = self.store.mailbox_state(account, &named("Drafts"))?;
        for message in state.changes.changed {
            let (mailbox, uid) = (state.mailbox, message.uid);
            let length = limits::INLINE_BYTES * 2;
            let bytes = self.store.read(account, mailbox, uid, 0, length)?;
            if bytes.is_some_and(|bytes| is_text(number, &bytes)) {
                let unchanged_since = message.modseq;
                return Ok(MessageVersion {
                    mailbox,
                    uid,
                    unchanged_since,
                });
            }
        }
        Err(StoreError::NoSuchMessage)
    }

    pub(crate) fn claim(&mut self) -> Done {
        let claim = Claim {
            lots: Lots::Local,
            count_max: 10,
            bytes_max: 1_000_000,
        };
        match self.write_spool(SpoolWrite::Claim(claim))? {
            SpoolWritten::Claimed { entries, .. } => self.claimed.extend(entries),
            other => panic!("{other:?}"),
        }
        Ok(())
    }

    /// Delivers all that is claimed to the recipient at this position, whose account is this.
    pub(crate) fn deliver(&self, position: u32, local_part: &str) -> Done {
        let mut batch = Vec::new();
        for entry in &self.claimed {
            if !entry.recipients.iter().any(|(at, _)| *at == position) {
                continue;
            }
            let number = entry.envelope_id.parse().expect("it is a number");
            let content = match &entry.content {
                Some(bytes) => Content::Inline(bytes.clone()),
                None => Content::Spooled(entry.id),
            };
            batch.push(AccountWrite::Deliver {
                spool: entry.id,
                message: NewMessage {
                    summary: entry.summary.clone(),
                    ..new_message(number, &[], content)
                },
            });
        }
        self.write_all(local_part, batch)
    }

    /// The recipient at this position of all that is claimed is done.
    pub(crate) fn finish(&self, position: u32) -> Done {
        let finish = |entry: &SpoolEntry| SpoolWrite::Conclude {
            spool: entry.id,
            destination: Destination::Local,
            concluded: vec![Concluded {
                recipients: vec![position],
                fate: Fate::Delivered,
                told: Told::default(),
            }],
            retry_at: None,
            tells_delay: false,
            reports: Vec::new(),
        };
        let batch = self.claimed.iter().map(finish).collect();
        let results = self.store.write_spool(NOW, batch)?;
        results
            .into_iter()
            .try_for_each(|result| result.map(|_| ()))
    }

    /// Puts off all that is claimed, until now.
    pub(crate) fn hold(&mut self) -> Done {
        let hold = |entry: &SpoolEntry| SpoolWrite::PutOff {
            spool: entry.id,
            destination: Destination::Local,
            until: NOW,
            reason: "not now".to_owned(),
        };
        let batch = self.claimed.iter().map(hold).collect();
        let results = self.store.write_spool(NOW, batch)?;
        results
            .into_iter()
            .try_for_each(|result| result.map(|_| ()))?;
        self.claimed.clear();
        Ok(())
    }

    /// Delivers until nothing waits.
    pub(crate) fn empty_the_spool(&mut self) -> Done {
        loop {
            self.claimed.clear();
            self.claim()?;
            if self.claimed.is_empty() {
                return Ok(());
            }
            for (position, local_part) in [(0, "ann"), (1, "bob")] {
                self.deliver(position, local_part)?;
                self.finish(position)?;
            }
        }
    }
}

/// Whether this is the message of this number, of either size.
pub(crate) fn is_text(number: u32, bytes: &[u8]) -> bool {
    [true, false]
        .iter()
        .any(|&is_large| text(number, is_large) == bytes)
}

fn new_entry(number: u32, bytes: &[u8], content: Content) -> NewSpoolEntry {
    let path = |local_part| NewRecipient {
        recipient: Recipient::new(ForwardPath::Address(address(local_part))),
        destination: Destination::Local,
    };
    NewSpoolEntry {
        envelope_id: number.to_string(),
        reverse_path: ReversePath::Null,
        notice: MailNotice::default(),
        smtputf8: false,
        eight_bit_mime: false,
        recipients: vec![path("ann"), path("bob")],
        summary: summary(number, bytes),
        content,
        is_claimed: false,
    }
}

pub(crate) fn address(local_part: &str) -> Address {
    Address::parse(&format!("{local_part}@example.com")).expect("it is an address")
}

fn new_message(number: u32, bytes: &[u8], content: Content) -> NewMessage {
    NewMessage {
        content,
        summary: summary(number, bytes),
        flags: Flags::default(),
        internal_date: DateTime::utc(NOW),
    }
}
