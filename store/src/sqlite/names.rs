//! Operations on mailboxes as such: CREATE, DELETE, RENAME, SUBSCRIBE (RFC 3501 §6.3).

use rusqlite::params;

use rmail_proto::{MailboxId, imap::SpecialUse};

use super::{
    batch::Batch,
    database::to_sql,
    mailbox::{INBOX, MailboxRow, canonical_name, insert_mailbox, new_name, subscribe, superiors},
};
use crate::{AccountWritten, MailboxRef, StoreError, limits, store::Result};

impl Batch<'_> {
    pub(super) fn create_mailbox(
        &mut self,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<AccountWritten> {
        let name = new_name(name)?;
        self.create_free(&name, special_use)
            .map(AccountWritten::Made)
    }

    /// Makes a mailbox that must not be there, with those above it.
    fn create_free(&mut self, name: &str, special_use: Option<SpecialUse>) -> Result<MailboxId> {
        self.must_be_free(name)?;
        self.create_superiors(name)?;
        self.insert(name, special_use)
    }

    fn create_superiors(&mut self, name: &str) -> Result<()> {
        for superior in superiors(name) {
            if MailboxRow::by_name(self.connection, superior)?.is_none() {
                self.insert(superior, None)?;
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: &str, special_use: Option<SpecialUse>) -> Result<MailboxId> {
        // The first state of a mailbox that is made again must not look like one of its
        // predecessor's.
        self.modseq();
        let ids = &self.around.ids;
        insert_mailbox(
            self.connection,
            ids,
            &mut self.counters,
            self.now,
            name,
            special_use,
        )
    }

    fn must_be_free(&self, name: &str) -> Result<()> {
        match MailboxRow::by_name(self.connection, name)? {
            Some(_) => Err(StoreError::MailboxExists),
            None => Ok(()),
        }
    }

    pub(super) fn delete_mailbox(&mut self, mailbox: &MailboxRef) -> Result<AccountWritten> {
        let mailbox = MailboxRow::load(self.connection, mailbox)?;
        if mailbox.name == INBOX {
            return Err(StoreError::MailboxProtected);
        }
        self.release_all_contents(&mailbox)?;
        let modseq = to_sql(self.modseq());
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO vanished_mailboxes VALUES (?1, ?2)")?
            .execute(params![mailbox.id.0.to_be_bytes(), modseq])?;
        self.connection
            .prepare_cached(
                "DELETE FROM vanished_mailboxes WHERE modseq <= (SELECT modseq FROM \
                 vanished_mailboxes ORDER BY modseq DESC LIMIT 1 OFFSET ?1)",
            )?
            .execute([limits::MAILBOX_TOMBSTONES_MAX])?;
        self.keep_departures(&mailbox)?;
        for sql in [
            "DELETE FROM messages WHERE mailbox = ?1",
            "DELETE FROM mailboxes WHERE id = ?1",
        ] {
            self.connection
                .prepare_cached(sql)?
                .execute([mailbox.row])?;
        }
        Ok(AccountWritten::Done)
    }

    /// Remembers which messages go with a mailbox, and which left it before. Those of earlier
    /// operations are forgotten once later ones have brought as many as are to be kept.
    ///
    /// An operation takes messages out of one mailbox, so no two of them have one MODSEQ and UID;
    /// if they had, the mailbox would go all the same.
    fn keep_departures(&mut self, mailbox: &MailboxRow) -> Result<()> {
        let modseq = to_sql(self.modseq());
        let (gone, row) = (MailboxRow::GONE, mailbox.row);
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO vanished SELECT ?1, ?2, uid, instance_id FROM messages \
                 WHERE mailbox = ?3",
            )?
            .execute(params![gone, modseq, row])?;
        self.connection
            .prepare_cached("UPDATE OR REPLACE vanished SET mailbox = ?1 WHERE mailbox = ?2")?
            .execute([gone, row])?;
        self.connection
            .prepare_cached(
                "DELETE FROM vanished WHERE mailbox = ?1 AND modseq < (SELECT modseq FROM vanished \
                 WHERE mailbox = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2)",
            )?
            .execute(params![gone, limits::TOMBSTONES_MAX])?;
        Ok(())
    }

    pub(super) fn rename_mailbox(
        &mut self,
        mailbox: &MailboxRef,
        to: &str,
    ) -> Result<AccountWritten> {
        let to = new_name(to)?;
        let (from, exists) = match (MailboxRow::load(self.connection, mailbox), mailbox) {
            (Ok(row), _) => (row.name, true),
            // A name that only has children: they are renamed.
            (Err(StoreError::NoSuchMailbox), MailboxRef::Name(name)) => {
                (canonical_name(name), false)
            }
            (Err(error), _) => return Err(error),
        };
        let children = self.children(&from)?;
        if !exists && children.is_empty() {
            return Err(StoreError::NoSuchMailbox);
        }
        self.must_be_free(&to)?;
        if from == INBOX && exists {
            return self.empty_inbox_into(&to);
        }
        if superiors(&to).any(|superior| superior == from) {
            return Err(StoreError::MailboxProtected);
        }
        self.create_superiors(&to)?;
        let modseq = to_sql(self.modseq());
        let own = exists.then(|| from.clone());
        for old in own.into_iter().chain(children) {
            let new = new_name(&format!("{to}{}", &old[from.len()..]))?;
            self.must_be_free(&new)?;
            self.connection
                .prepare_cached(
                    "UPDATE mailboxes SET name = ?2, highest_modseq = ?3 WHERE name = ?1",
                )?
                .execute(params![old, new, modseq])?;
        }
        Ok(AccountWritten::Done)
    }

    /// RENAME of INBOX: its messages move to a new mailbox, and it stays, empty, with what is
    /// below it.
    fn empty_inbox_into(&mut self, to: &str) -> Result<AccountWritten> {
        let inbox =
            MailboxRow::by_name(self.connection, INBOX)?.ok_or(StoreError::NoSuchMailbox)?;
        let target = self.create_free(to, None)?;
        self.move_all(inbox, target)?;
        Ok(AccountWritten::Done)
    }

    /// The mailboxes below this name, by name. `0` follows `/`.
    fn children(&self, name: &str) -> Result<Vec<String>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name FROM mailboxes WHERE name > ?1 || '/' AND name < ?1 || '0' ORDER BY name",
        )?;
        let names = statement.query_map([name], |row| row.get(0))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn subscribe(&mut self, name: &str, subscribed: bool) -> Result<AccountWritten> {
        let name = match subscribed {
            true => new_name(name)?,
            false => canonical_name(name),
        };
        subscribe(self.connection, &name, subscribed)?;
        Ok(AccountWritten::Done)
    }
}
