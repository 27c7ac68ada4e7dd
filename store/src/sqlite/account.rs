//! One account's `mail.db`: how it comes up, and how its counters stay ahead of any crash.
//!
//! MODSEQs are handed out below a ceiling that is synced, here first and then in the directory,
//! before any above the old one is used. So flag changes need no sync: whatever a power loss took,
//! no MODSEQ above the ceiling was ever shown, and counting goes on there. A `mail.db` that is
//! behind what the directory recorded is an old copy: the UIDs it would hand out may be in use by
//! clients, so every mailbox gets a new UIDVALIDITY.

use std::{path::PathBuf, sync::Arc};

use rusqlite::{Connection, Transaction, params};

use rmail_proto::{AccountId, UnixTime};

use super::{
    database::{Database, Durability, Write, from_sql, to_sql},
    directory::{Directory, FolderRecord, Marks},
    ids::IdSource,
    layout::{content_file, messages_folder},
    mailbox::make_first_mailboxes,
    presence::{list, remove_if_there, stem},
};
use crate::{AccountVersion, Files, StoreError, limits, store::Result};

const MIGRATIONS: &[&str] = &[
    include_str!("schema/mail_1.sql"),
    include_str!("schema/mail_2.sql"),
    include_str!("schema/mail_3.sql"),
];

/// What all accounts of a store need of the world.
pub(super) struct Surroundings {
    pub(super) files: Arc<dyn Files>,
    pub(super) vfs: Option<String>,
    pub(super) ids: IdSource,
    pub(super) boot_id: String,
}

/// An open account database.
pub(super) struct AccountDatabase {
    pub(super) database: Database,
    pub(super) account: AccountId,
    pub(super) folder: PathBuf,
    /// Which opening this is.
    opening: u64,
    /// The ceiling that the directory knows of, at least.
    recorded_ceiling: u64,
    /// What was synced here and is not yet recorded in the directory.
    pub(super) unrecorded_modseq: Option<u64>,
}

/// The counters of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Counters {
    /// The last MODSEQ handed out.
    pub(super) modseq: u64,
    /// The last MODSEQ that may be handed out.
    pub(super) modseq_ceiling: u64,
    /// The last UIDVALIDITY handed out.
    pub(super) uid_validity: u32,
}

impl Counters {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        let mut statement =
            connection.prepare_cached("SELECT modseq, modseq_ceiling, uid_validity FROM meta")?;
        let counters = statement.query_row([], |row| {
            Ok(Self {
                modseq: from_sql(row.get(0)?),
                modseq_ceiling: from_sql(row.get(1)?),
                uid_validity: row.get(2)?,
            })
        })?;
        Ok(counters)
    }

    pub(super) fn save(&self, connection: &Connection) -> Result<()> {
        connection
            .prepare_cached("UPDATE meta SET modseq = ?1, modseq_ceiling = ?2, uid_validity = ?3")?
            .execute(params![
                to_sql(self.modseq),
                to_sql(self.modseq_ceiling),
                self.uid_validity
            ])?;
        Ok(())
    }

    /// A UIDVALIDITY that no mailbox of this address ever had: the time in seconds, or the next
    /// number when that was handed out already.
    pub(super) fn next_uid_validity(&mut self, now: UnixTime) -> Result<u32> {
        let next = u32::try_from(now.0).unwrap_or(0);
        let last = self.uid_validity;
        let after_last = last
            .checked_add(1)
            .ok_or(StoreError::TooMany("mailboxes"))?;
        self.uid_validity = next.max(after_last);
        Ok(self.uid_validity)
    }

    fn marks(&self) -> Marks {
        Marks {
            modseq_ceiling: self.modseq_ceiling,
            modseq_synced: 0,
            uid_validity: self.uid_validity,
        }
    }
}

impl AccountDatabase {
    /// Opens an account's database; makes it, with its first mailboxes, when it is not there.
    pub(super) fn open(
        around: &Surroundings,
        directory: &Directory,
        record: FolderRecord,
    ) -> Result<Self> {
        let files = around.files.as_ref();
        let path = record.folder.join("mail.db");
        if !Database::has_log(&path, files) {
            // From the top, one by one: each is durable before there is anything in it, whoever
            // made it, and however that ended.
            let domain_folder = record.folder.parent();
            files.create_folder(domain_folder.expect("an account's folder lies in a domain's"))?;
            files.create_folder(&record.folder)?;
            files.create_folder(&messages_folder(&record.folder))?;
        }
        let mut database = Database::open(&path, around.files.clone(), around.vfs.as_deref())?;
        let mut marks = record.marks;
        database.migrate(MIGRATIONS, |transaction| {
            marks = make_account(transaction, around, directory, &record)?;
            Ok(())
        })?;
        let mut account = Self {
            database,
            account: record.account,
            folder: record.folder,
            opening: around.ids.next_number(),
            recorded_ceiling: marks.modseq_ceiling,
            unrecorded_modseq: None,
        };
        account.catch_up(around, directory, &marks, record.created_at)?;
        Ok(account)
    }

    /// Compares the counters with what the directory knows, and with the last run of the machine.
    fn catch_up(
        &mut self,
        around: &Surroundings,
        directory: &Directory,
        marks: &Marks,
        created_at: UnixTime,
    ) -> Result<()> {
        let (mut counters, boot_id) = load_with_boot_id(self.database.connection())?;
        // Where the system does not tell, each time may be after an unclean stop.
        let is_same_run = boot_id == around.boot_id && !boot_id.is_empty();
        if !is_same_run || is_behind(&counters, marks) {
            let transaction = self.database.write(Durability::Synced)?;
            (counters, _) = load_with_boot_id(&transaction)?;
            let is_old_copy = is_behind(&counters, marks);
            counters.modseq = counters.modseq_ceiling;
            if is_old_copy {
                counters.modseq = counters.modseq.max(marks.modseq_ceiling);
                counters.modseq_ceiling = counters.modseq + limits::MODSEQ_BLOCK;
                counters.uid_validity = counters.uid_validity.max(marks.uid_validity);
                renew_uid_validities(&transaction, &mut counters, created_at)?;
                let renewed = Marks {
                    uid_validity: counters.uid_validity,
                    ..Marks::default()
                };
                directory.raise_marks(self.account, renewed, Durability::Synced)?;
            }
            counters.save(&transaction)?;
            transaction.execute("UPDATE meta SET boot_id = ?1", [&around.boot_id])?;
            transaction.commit()?;
        }
        if counters.uid_validity > marks.uid_validity {
            directory.raise_marks(self.account, counters.marks(), Durability::Synced)?;
            self.recorded_ceiling = counters.modseq_ceiling;
        }
        self.sweep(around, is_same_run)
    }

    /// Begins a transaction that may hand out `modseqs_max` MODSEQs. `Busy`, too, when another
    /// process used up those below the ceiling that was just raised.
    pub(super) fn write(
        &mut self,
        directory: &Directory,
        durability: Durability,
        modseqs_max: u64,
    ) -> Result<(Write<'_>, Counters)> {
        let has_room =
            |counters: &Counters| counters.modseq + modseqs_max <= counters.modseq_ceiling;
        let mut present = Counters::load(self.database.connection())?;
        if !has_room(&present) {
            present = self.raise_ceiling(modseqs_max)?;
        }
        if present.modseq_ceiling > self.recorded_ceiling {
            directory.raise_marks(self.account, present.marks(), Durability::Synced)?;
            self.recorded_ceiling = present.modseq_ceiling;
        }
        let transaction = self.database.write(durability)?;
        let counters = Counters::load(&transaction)?;
        match has_room(&counters) {
            true => Ok((transaction, counters)),
            false => Err(StoreError::Busy),
        }
    }

    fn raise_ceiling(&mut self, modseqs_max: u64) -> Result<Counters> {
        let transaction = self.database.write(Durability::Synced)?;
        let mut counters = Counters::load(&transaction)?;
        if counters.modseq + modseqs_max > counters.modseq_ceiling {
            counters.modseq_ceiling = counters.modseq + modseqs_max + limits::MODSEQ_BLOCK;
            counters.save(&transaction)?;
        }
        transaction.commit()?;
        Ok(counters)
    }

    /// Another one when anything may have changed since.
    pub(super) fn version(&self) -> Result<AccountVersion> {
        let connection = self.database.connection();
        let mut statement = connection.prepare_cached("PRAGMA data_version")?;
        Ok(AccountVersion {
            opening: self.opening,
            written_rows: connection.total_changes(),
            others: statement.query_row([], |row| row.get(0))?,
        })
    }

    /// Records how far this account has come, so that an older copy is known as one. Best effort:
    /// the ceiling is recorded in any case.
    pub(super) fn close(self, directory: &Directory) {
        if let Some(modseq) = self.unrecorded_modseq {
            let marks = Marks {
                modseq_synced: modseq,
                ..Marks::default()
            };
            directory
                .raise_marks(self.account, marks, Durability::Unsynced)
                .ok();
        }
    }

    /// Removes files that no content names: all after the machine went down, else those of one
    /// subfolder.
    fn sweep(&mut self, around: &Surroundings, is_same_run: bool) -> Result<()> {
        let files = around.files.as_ref();
        let folders = list(files, &messages_folder(&self.folder))?;
        if folders.is_empty() {
            return Ok(());
        }
        let chosen = around.ids.next_number() as usize % folders.len();
        let mut orphans = Vec::new();
        for (index, folder) in folders.iter().enumerate() {
            if is_same_run && index != chosen {
                continue;
            }
            for path in list(files, folder)? {
                let email_id = stem(&path, "eml").map(|name| u128::from_str_radix(name, 16));
                if let Some(Ok(email_id)) = email_id
                    && !has_content(self.database.connection(), email_id)?
                {
                    orphans.push(email_id);
                }
            }
        }
        if orphans.is_empty() {
            return Ok(());
        }
        // That their contents are gone may not be durable yet.
        match self.database.sync() {
            Err(StoreError::Busy) => return Ok(()),
            synced => synced?,
        }
        // The write lock: nobody is just placing a file.
        let transaction = match self.database.write(Durability::Unsynced) {
            Err(StoreError::Busy) => return Ok(()),
            begun => begun?,
        };
        for email_id in orphans {
            if !has_content(&transaction, email_id)? {
                remove_if_there(files, &content_file(&self.folder, email_id))?;
            }
        }
        Ok(())
    }
}

/// Whether the counters are behind what was recorded: an old copy.
fn is_behind(counters: &Counters, marks: &Marks) -> bool {
    counters.modseq_ceiling < marks.modseq_ceiling || counters.modseq < marks.modseq_synced
}

fn load_with_boot_id(connection: &Connection) -> Result<(Counters, String)> {
    let mut statement = connection.prepare_cached("SELECT boot_id FROM meta")?;
    let boot_id = statement.query_row([], |row| row.get(0))?;
    Ok((Counters::load(connection)?, boot_id))
}

/// Fills an empty database. What it will hold is recorded in the directory before it is committed.
fn make_account(
    transaction: &Transaction<'_>,
    around: &Surroundings,
    directory: &Directory,
    record: &FolderRecord,
) -> Result<Marks> {
    let marks = &record.marks;
    let modseq = marks.modseq_ceiling.max(marks.modseq_synced) + 1;
    let mut counters = Counters {
        modseq,
        modseq_ceiling: modseq + limits::MODSEQ_BLOCK,
        uid_validity: marks.uid_validity,
    };
    transaction.execute(
        "INSERT INTO meta VALUES (1, 0, 0, 0, ?1)",
        [&around.boot_id],
    )?;
    make_first_mailboxes(transaction, &around.ids, &mut counters, record.created_at)?;
    counters.save(transaction)?;
    directory.raise_marks(record.account, counters.marks(), Durability::Synced)?;
    Ok(counters.marks())
}

fn renew_uid_validities(
    transaction: &Transaction<'_>,
    counters: &mut Counters,
    now: UnixTime,
) -> Result<()> {
    let mut statement = transaction.prepare("SELECT id FROM mailboxes ORDER BY id")?;
    let mailboxes: Vec<i64> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for mailbox in mailboxes {
        transaction.execute(
            "UPDATE mailboxes SET uid_validity = ?2 WHERE id = ?1",
            params![mailbox, counters.next_uid_validity(now)?],
        )?;
    }
    Ok(())
}

fn has_content(connection: &Connection, email_id: u128) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM contents WHERE email_id = ?1 AND in_file = 1")?;
    Ok(statement.exists([email_id.to_be_bytes()])?)
}
