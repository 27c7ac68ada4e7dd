//! The account that the diagnostics send and read with: theirs alone, and gone afterwards.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

use rmail_proto::{AccountId, Address, Secret};
use rmail_store::{DirectoryWrite, Operation, QueueFilter, SpoolWrite, Store, StoreError};

use crate::{
    cli::{
        directory::{Directory, while_busy},
        failure::Failure,
        user,
    },
    config::Config,
    limits,
    outside::{clock, random},
};

/// What no account of diagnostics has.
pub(super) const WRONG_PASSWORD: &str = "not the password";

/// What all accounts of diagnostics begin with.
const NAME: &str = "rmail-diagnostics-";

/// Entries of the queue that are looked at at once.
const QUEUE_PAGE: usize = 100;

/// The store, in which no other diagnostics are at work.
pub(super) struct Workplace {
    pub(super) store: Arc<dyn Store>,
    config: Config,
    /// Of the folder itself, so that there is no file to be left behind.
    _lock: File,
}

/// An account of its own; it goes, with all its mail, when this is dropped.
pub(super) struct TestAccount {
    pub(super) workplace: Workplace,
    pub(super) id: AccountId,
    pub(super) address: Address,
    pub(super) password: Secret<String>,
    is_removed: bool,
}

impl Workplace {
    /// Takes the place, unless other diagnostics have it.
    pub(super) fn take(store: Arc<dyn Store>, config: &Config) -> Result<Self, Failure> {
        let root = &config.mail_root;
        let lock = File::open(root).map_err(|error| Failure::file(root, "opened", &error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Failure(
                "other diagnostics are at work on this mail_root; wait for their end".to_owned(),
            ),
            TryLockError::Error(error) => Failure::file(root, "locked", &error),
        })?;
        Ok(Self {
            store,
            config: config.clone(),
            _lock: lock,
        })
    }

    /// Removes what diagnostics left that were killed; their accounts.
    pub(super) fn remove_leftovers(&self) -> Result<Vec<Address>, Failure> {
        let mut removed = Vec::new();
        for account in self.directory().accounts()? {
            if account.address.local_part().starts_with(NAME) {
                self.remove(account.id, &account.address)?;
                removed.push(account.address);
            }
        }
        Ok(removed)
    }

    /// Makes an account in the first domain; the server knows it at once.
    pub(super) fn make_account(self) -> Result<TestAccount, Failure> {
        let directory = self.directory();
        let domain = &self.config.domains[0];
        let text = format!("{NAME}{:016x}@{domain}", random::seed());
        let address = directory.parse_address(&text)?;
        let password = Secret::new(random::password());
        let id = directory.write(user::creation(&address, &password, false))?;
        Ok(TestAccount {
            workplace: self,
            id,
            address,
            password,
            is_removed: false,
        })
    }

    /// What waits for an address, and why, for people.
    pub(super) fn waiting(&self, address: &Address) -> Result<Vec<String>, Failure> {
        let mut waiting = Vec::new();
        for entry in self.queued(address)? {
            let message = self.store.queued(&entry.envelope_id)?;
            let lots = message.iter().flat_map(|message| &message.lots);
            let reasons: Vec<&str> = lots.map(|lot| lot.reason.as_str()).collect();
            let reason = match reasons.concat().is_empty() {
                true => "no reason is noted".to_owned(),
                false => reasons.join("; "),
            };
            waiting.push(format!("{} ({reason})", entry.envelope_id));
        }
        Ok(waiting)
    }

    fn queued(&self, address: &Address) -> Result<Vec<rmail_store::QueuedSummary>, Failure> {
        let address = Some(address.to_string());
        let to = QueueFilter {
            recipient: address.clone(),
            ..QueueFilter::default()
        };
        let from = QueueFilter {
            sender: address,
            ..QueueFilter::default()
        };
        let mut entries = self.store.queue(&to, None, QUEUE_PAGE)?;
        entries.extend(self.store.queue(&from, None, QUEUE_PAGE)?);
        // Most are from it and to it.
        entries.sort_by_key(|entry| entry.id);
        entries.dedup_by_key(|entry| entry.id);
        Ok(entries)
    }

    fn remove(&self, id: AccountId, address: &Address) -> Result<(), Failure> {
        self.empty_queue(address)?;
        self.directory().write(DirectoryWrite::DeleteAccount(id))?;
        // What came after the first look has nobody to go to now, and would go back.
        self.empty_queue(address)
    }

    /// Drops what waits for an address or comes from it; what is being delivered is waited for.
    fn empty_queue(&self, address: &Address) -> Result<(), Failure> {
        for _ in 0..patience() {
            let entries = self.queued(address)?;
            if entries.is_empty() {
                return Ok(());
            }
            let drops = entries.iter().map(|entry| SpoolWrite::Operate {
                spool: entry.id,
                recipient: None,
                operation: Operation::Drop,
            });
            let drops: Vec<SpoolWrite> = drops.collect();
            let results = while_busy(|| self.store.write_spool(clock::unix_now(), drops.clone()))?;
            for result in results {
                match result {
                    Ok(_) | Err(StoreError::NoSuchEntry | StoreError::InDelivery) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            pause();
        }
        Err(Failure(format!(
            "mail of {address} in the queue is being delivered all the time; \
             \"queue drop --recipient {address}\" removes it"
        )))
    }

    fn directory(&self) -> Directory<'_> {
        Directory::new(&*self.store, &self.config)
    }
}

impl TestAccount {
    /// Removes it, with what of its mail is in the queue; if that fails, what is left behind.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        self.is_removed = true;
        let removed = self.workplace.remove(self.id, &self.address);
        removed.map_err(|Failure(reason)| {
            let address = &self.address;
            Failure(format!(
                "{address} ({reason}); \"user delete {address}\" removes it, and so do the next \
                 diagnostics"
            ))
        })
    }
}

impl Drop for TestAccount {
    fn drop(&mut self) {
        if !self.is_removed {
            // The next diagnostics find it.
            let _ = self.workplace.remove(self.id, &self.address);
        }
    }
}

/// A file that goes when this is dropped.
pub(super) struct TestFile(PathBuf);

impl TestFile {
    /// The one of a folder; it need not be there.
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("rmail-diagnostics.tmp"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFile {
    fn drop(&mut self) {
        // It was not made, or the disk is broken, which is said elsewhere.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How many pauses there are in the time that something may take.
pub(super) fn patience() -> u128 {
    limits::DIAGNOSTICS_TIME.as_millis() / limits::DIAGNOSTICS_PAUSE.as_millis()
}

/// A little time for the server.
#[expect(
    clippy::disallowed_methods,
    reason = "a command has a thread of its own"
)]
pub(super) fn pause() {
    thread::sleep(limits::DIAGNOSTICS_PAUSE);
}
