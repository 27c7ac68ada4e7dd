//! Operations on messages: saving, delivering, flags, copies, moves, expunging.

use rusqlite::{OptionalExtension, Row, params};

use rmail_proto::{
    EmailId, Flags, InstanceId, MailboxId, ModSeq, SystemFlags, Uid, UidValidity,
    imap::{StoreMode, UidSet},
};

use super::{
    batch::Batch,
    content::{Source, place_file},
    database::{from_sql, to_sql},
    layout::content_file,
    mailbox::{INBOX, MailboxRow},
    summary::{SUMMARY_COLUMNS, SummaryValues},
    threads::join_thread,
};
use crate::{
    AccountWritten, Content, MailboxRef, NewMessage, SpoolId, StoreError, limits, store::Result,
    uid_ranges::ranges,
};

const COLUMNS: &str = "uid, modseq, flags, keywords, content, instance_id, internal_date, zone, \
                       size, created_at, extras";

/// A message as its mailbox has it.
struct MessageRow {
    uid: u32,
    modseq: u64,
    flags: Flags,
    content: i64,
    instance: InstanceId,
    internal_date: i64,
    zone: i16,
    size_bytes: u64,
    created_at: i64,
    extras: String,
}

impl MessageRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            uid: row.get(0)?,
            modseq: from_sql(row.get(1)?),
            flags: Flags {
                system: SystemFlags::from_bits(row.get(2)?),
                keywords: Flags::keywords_from_line(row.get_ref(3)?.as_str()?),
            },
            content: row.get(4)?,
            instance: InstanceId(u128::from_be_bytes(row.get(5)?)),
            internal_date: row.get(6)?,
            zone: row.get(7)?,
            size_bytes: from_sql(row.get(8)?),
            created_at: row.get(9)?,
            extras: row.get(10)?,
        })
    }

    fn is_unseen(&self) -> bool {
        is_unseen(&self.flags)
    }
}

fn is_unseen(flags: &Flags) -> bool {
    !flags.system.contains(SystemFlags::SEEN)
}

impl Batch<'_> {
    pub(super) fn save(
        &mut self,
        mailbox: &MailboxRef,
        messages: &[NewMessage],
    ) -> Result<AccountWritten> {
        let mut mailbox = MailboxRow::load(self.connection, mailbox)?;
        let mut uids = Vec::with_capacity(messages.len());
        let mut instances = Vec::with_capacity(messages.len());
        for message in messages {
            let (uid, instance) = self.add_new(&mut mailbox, message)?;
            uids.push(known_uid(uid));
            instances.push(instance);
        }
        mailbox.save(self.connection)?;
        self.check_quota()?;
        Ok(AccountWritten::Saved {
            mailbox: mailbox.id,
            uid_validity: known_uid_validity(mailbox.uid_validity),
            uids,
            instances,
        })
    }

    pub(super) fn deliver(
        &mut self,
        spool: SpoolId,
        message: &NewMessage,
    ) -> Result<AccountWritten> {
        if let Some(delivered) = self.delivered_before(spool)? {
            return Ok(delivered);
        }
        let mut inbox = MailboxRow::load(self.connection, &MailboxRef::Name(INBOX.to_owned()))?;
        let (uid, instance) = self.add_new(&mut inbox, message)?;
        inbox.save(self.connection)?;
        self.connection
            .prepare_cached("INSERT INTO delivered VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                self.spool.origin(),
                to_sql(spool.0),
                self.now.0,
                inbox.id.0.to_be_bytes(),
                inbox.uid_validity,
                uid,
                instance.0.to_be_bytes(),
            ])?;
        self.forget_old_deliveries(spool)?;
        Ok(AccountWritten::Saved {
            mailbox: inbox.id,
            uid_validity: known_uid_validity(inbox.uid_validity),
            uids: vec![known_uid(uid)],
            instances: vec![instance],
        })
    }

    fn delivered_before(&self, spool: SpoolId) -> Result<Option<AccountWritten>> {
        let mut statement = self.connection.prepare_cached(
            "SELECT mailbox_id, uid_validity, uid, instance_id FROM delivered \
             WHERE origin = ?1 AND spool = ?2",
        )?;
        let found = statement.query_row([self.spool.origin(), to_sql(spool.0)], |row| {
            Ok(AccountWritten::Saved {
                mailbox: MailboxId(u128::from_be_bytes(row.get(0)?)),
                uid_validity: known_uid_validity(row.get(1)?),
                uids: vec![known_uid(row.get(2)?)],
                instances: vec![InstanceId(u128::from_be_bytes(row.get(3)?))],
            })
        });
        Ok(found.optional()?)
    }

    /// Each delivery makes room for later ones, a few at a time.
    fn forget_old_deliveries(&self, spool: SpoolId) -> Result<()> {
        if !spool.0.is_multiple_of(u64::from(limits::DELIVERED_PRUNED)) {
            return Ok(());
        }
        let origin = self.spool.origin();
        let oldest = self
            .now
            .0
            .saturating_sub(to_sql(limits::DELIVERED_KEPT.as_secs()));
        self.connection
            .prepare_cached(
                "DELETE FROM delivered WHERE origin = ?1 AND at < ?2 AND spool IN \
                 (SELECT spool FROM delivered WHERE origin = ?1 ORDER BY spool LIMIT ?3)",
            )?
            .execute(params![origin, oldest, 2 * limits::DELIVERED_PRUNED])?;
        Ok(())
    }

    fn add_new(
        &mut self,
        mailbox: &mut MailboxRow,
        message: &NewMessage,
    ) -> Result<(u32, InstanceId)> {
        let (content, size_bytes) = self.insert_content(message)?;
        let row = MessageRow {
            uid: 0,
            modseq: 0,
            flags: message.flags.clone(),
            content,
            instance: InstanceId(self.around.ids.next_id()),
            internal_date: message.internal_date.unix.0,
            zone: message.internal_date.zone_minutes,
            size_bytes,
            created_at: self.now.0,
            extras: String::new(),
        };
        let instance = row.instance;
        Ok((self.insert_message(mailbox, row)?, instance))
    }

    /// Keeps a message's bytes and what is known of them. Returns the row and the size.
    fn insert_content(&mut self, message: &NewMessage) -> Result<(i64, u64)> {
        let files = self.around.files.as_ref();
        let source = match &message.content {
            Content::Inline(bytes) => Source::Memory(bytes.clone()),
            Content::Staged(stage) => Source::staged(self.stages, *stage)?,
            Content::Spooled(spool) => self.spool.content(*spool)?,
        };
        let source = source.load_small(files)?;
        let email_id = EmailId(self.around.ids.next_id());
        if let Source::File { path, .. } = &source {
            let target = content_file(self.folder, email_id.0);
            files.create_folder(target.parent().expect("it lies in a folder"))?;
            place_file(files, path, &target)?;
        }
        let modseq = self.modseq();
        let summary = message.summary.as_ref();
        let thread = join_thread(self.connection, &self.around.ids, summary, modseq)?;
        let values = SummaryValues::new(summary);
        let size_bytes = source.size_bytes();
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO contents (email_id, thread_id, references_count, in_file, bytes, \
                 size, {SUMMARY_COLUMNS}) VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
                 ?11, ?12, ?13, ?14)"
            ))?
            .execute(params![
                email_id.0.to_be_bytes(),
                thread.0.to_be_bytes(),
                source.bytes().is_none(),
                source.bytes(),
                to_sql(size_bytes),
                values.header_bytes,
                values.sent_date,
                values.sent_zone,
                summary.has_attachments,
                summary.message_id,
                summary.envelope,
                summary.body,
                summary.body_structure,
                summary.parts,
            ])?;
        Ok((self.connection.last_insert_rowid(), size_bytes))
    }

    /// Gives a message the mailbox's next UID and this operation's MODSEQ.
    fn insert_message(&mut self, mailbox: &mut MailboxRow, message: MessageRow) -> Result<u32> {
        let uid = mailbox.take_uid()?;
        let modseq = self.modseq();
        self.connection
            .prepare_cached(&format!(
                "INSERT INTO messages (mailbox, {COLUMNS}, modified_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
            ))?
            .execute(params![
                mailbox.row,
                uid,
                to_sql(modseq),
                message.flags.system.bits(),
                message.flags.keywords_line(),
                message.content,
                message.instance.0.to_be_bytes(),
                message.internal_date,
                message.zone,
                to_sql(message.size_bytes),
                message.created_at,
                message.extras,
                self.now.0,
            ])?;
        mailbox.messages += 1;
        mailbox.unseen += u32::from(message.is_unseen());
        mailbox.bytes += message.size_bytes;
        mailbox.highest_modseq = modseq;
        Ok(uid)
    }

    /// Takes a message out of its mailbox and remembers that it went. Its content stays.
    fn remove_message(&mut self, mailbox: &mut MailboxRow, message: &MessageRow) -> Result<()> {
        let modseq = self.modseq();
        self.connection
            .prepare_cached("DELETE FROM messages WHERE mailbox = ?1 AND uid = ?2")?
            .execute(params![mailbox.row, message.uid])?;
        self.connection
            .prepare_cached("INSERT INTO vanished VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![
                mailbox.row,
                to_sql(modseq),
                message.uid,
                message.instance.0.to_be_bytes()
            ])?;
        mailbox.messages -= 1;
        mailbox.unseen -= u32::from(message.is_unseen());
        mailbox.bytes -= message.size_bytes;
        mailbox.tombstones += 1;
        mailbox.highest_modseq = modseq;
        Ok(())
    }

    /// Forgets the oldest removed UIDs when there are twice as many as are to be kept.
    fn prune_tombstones(&self, mailbox: &mut MailboxRow) -> Result<()> {
        if mailbox.tombstones < 2 * limits::TOMBSTONES_MAX {
            return Ok(());
        }
        let floor: i64 = self
            .connection
            .prepare_cached(
                "SELECT modseq FROM vanished WHERE mailbox = ?1 ORDER BY modseq DESC \
                 LIMIT 1 OFFSET ?2",
            )?
            .query_row(params![mailbox.row, limits::TOMBSTONES_MAX], |row| {
                row.get(0)
            })?;
        let forgotten = self
            .connection
            .prepare_cached("DELETE FROM vanished WHERE mailbox = ?1 AND modseq <= ?2")?
            .execute(params![mailbox.row, floor])?;
        mailbox.tombstones -= u32::try_from(forgotten).unwrap_or(mailbox.tombstones);
        mailbox.vanished_floor = from_sql(floor);
        Ok(())
    }

    fn messages_in(&self, mailbox: &MailboxRow, uids: &UidSet) -> Result<Vec<MessageRow>> {
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM messages WHERE mailbox = ?1 AND uid BETWEEN ?2 AND ?3 \
             ORDER BY uid"
        ))?;
        let mut messages = Vec::new();
        for (first, last) in ranges(uids) {
            let rows =
                statement.query_map(params![mailbox.row, first, last], MessageRow::from_row)?;
            for message in rows {
                messages.push(message?);
            }
        }
        Ok(messages)
    }

    pub(super) fn store_flags(
        &mut self,
        mailbox: MailboxId,
        uids: &UidSet,
        mode: StoreMode,
        flags: &Flags,
        unchanged_since: Option<ModSeq>,
    ) -> Result<AccountWritten> {
        let mut mailbox = MailboxRow::load(self.connection, &MailboxRef::Id(mailbox))?;
        let mut modified = Vec::new();
        let mut changed = false;
        for message in self.messages_in(&mailbox, uids)? {
            if unchanged_since.is_some_and(|since| message.modseq > since.0) {
                modified.push(known_uid(message.uid));
                continue;
            }
            let new = match mode {
                StoreMode::Replace => flags.clone(),
                StoreMode::Add => message.flags.with(flags),
                StoreMode::Remove => message.flags.without(flags),
            };
            if new == message.flags {
                continue;
            }
            if new.keywords.len() > rmail_proto::Keywords::COUNT_MAX {
                return Err(StoreError::TooMany("keywords"));
            }
            mailbox.unseen -= u32::from(message.is_unseen());
            mailbox.unseen += u32::from(is_unseen(&new));
            mailbox.highest_modseq = self.modseq();
            changed = true;
            self.connection
                .prepare_cached(
                    "UPDATE messages SET modseq = ?3, flags = ?4, keywords = ?5, \
                     modified_at = ?6 WHERE mailbox = ?1 AND uid = ?2",
                )?
                .execute(params![
                    mailbox.row,
                    message.uid,
                    to_sql(mailbox.highest_modseq),
                    new.system.bits(),
                    new.keywords_line(),
                    self.now.0
                ])?;
        }
        if changed {
            mailbox.save(self.connection)?;
        }
        Ok(AccountWritten::Stored {
            modified: modified.into_iter().collect(),
        })
    }

    pub(super) fn copy_messages(
        &mut self,
        source: MailboxId,
        uids: &UidSet,
        target: &MailboxRef,
    ) -> Result<AccountWritten> {
        let source = MailboxRow::load(self.connection, &MailboxRef::Id(source))?;
        let mut target = MailboxRow::load(self.connection, target)?;
        let mut copied = Copied::default();
        for mut message in self.messages_in(&source, uids)? {
            let old = message.uid;
            message.instance = InstanceId(self.around.ids.next_id());
            message.created_at = self.now.0;
            self.connection
                .prepare_cached(
                    "UPDATE contents SET references_count = references_count + 1 WHERE id = ?1",
                )?
                .execute([message.content])?;
            copied.push(old, self.insert_message(&mut target, message)?);
        }
        target.save(self.connection)?;
        self.check_quota()?;
        Ok(copied.into_written(&target))
    }

    pub(super) fn move_messages(
        &mut self,
        source: MailboxId,
        uids: &UidSet,
        target: &MailboxRef,
    ) -> Result<AccountWritten> {
        let source = MailboxRow::load(self.connection, &MailboxRef::Id(source))?;
        let target = MailboxRow::load(self.connection, target)?;
        let messages = self.messages_in(&source, uids)?;
        self.relocate(source, target.id, messages)
    }

    /// Moves every message.
    pub(super) fn move_all(&mut self, source: MailboxRow, target: MailboxId) -> Result<()> {
        let all = UidSet::from(Uid::MIN..=Uid::MAX);
        let messages = self.messages_in(&source, &all)?;
        self.relocate(source, target, messages)?;
        Ok(())
    }

    fn relocate(
        &mut self,
        mut source: MailboxRow,
        target: MailboxId,
        messages: Vec<MessageRow>,
    ) -> Result<AccountWritten> {
        for message in &messages {
            self.remove_message(&mut source, message)?;
        }
        self.prune_tombstones(&mut source)?;
        source.save(self.connection)?;
        // Loaded only now: it may be the source.
        let mut target = MailboxRow::load(self.connection, &MailboxRef::Id(target))?;
        let mut copied = Copied::default();
        for message in messages {
            let old = message.uid;
            copied.push(old, self.insert_message(&mut target, message)?);
        }
        target.save(self.connection)?;
        Ok(copied.into_written(&target))
    }

    pub(super) fn expunge(
        &mut self,
        mailbox: MailboxId,
        uids: Option<&UidSet>,
    ) -> Result<AccountWritten> {
        let mut mailbox = MailboxRow::load(self.connection, &MailboxRef::Id(mailbox))?;
        let all = UidSet::from(Uid::MIN..=Uid::MAX);
        let mut gone = Vec::new();
        for message in self.messages_in(&mailbox, uids.unwrap_or(&all))? {
            if message.flags.system.contains(SystemFlags::DELETED) {
                self.remove_message(&mut mailbox, &message)?;
                self.release_content(message.content, 1)?;
                gone.push(known_uid(message.uid));
            }
        }
        self.prune_tombstones(&mut mailbox)?;
        mailbox.save(self.connection)?;
        Ok(AccountWritten::Expunged {
            uids: gone.into_iter().collect(),
        })
    }

    /// Fewer messages have this content; without any, it goes.
    fn release_content(&mut self, content: i64, count: u32) -> Result<()> {
        let left: i64 = self
            .connection
            .prepare_cached(
                "UPDATE contents SET references_count = references_count - ?2 WHERE id = ?1 \
                 RETURNING references_count",
            )?
            .query_row(params![content, count], |row| row.get(0))?;
        if left > 0 {
            return Ok(());
        }
        let (email_id, in_file) = self
            .connection
            .prepare_cached("DELETE FROM contents WHERE id = ?1 RETURNING email_id, in_file")?
            .query_row([content], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if in_file {
            let email_id = u128::from_be_bytes(email_id);
            self.unneeded.push(content_file(self.folder, email_id));
        }
        Ok(())
    }

    /// Releases the contents of a mailbox that is about to go.
    pub(super) fn release_all_contents(&mut self, mailbox: &MailboxRow) -> Result<()> {
        let counts: Vec<(i64, u32)> = {
            let mut statement = self.connection.prepare_cached(
                "SELECT content, count(*) FROM messages WHERE mailbox = ?1 GROUP BY content",
            )?;
            let rows = statement.query_map([mailbox.row], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (content, count) in counts {
            self.release_content(content, count)?;
        }
        Ok(())
    }

    pub(super) fn replace(
        &mut self,
        (mailbox, uid): (MailboxId, Uid),
        unchanged_since: Option<ModSeq>,
        target: &MailboxRef,
        message: &NewMessage,
    ) -> Result<AccountWritten> {
        let mut source = MailboxRow::load(self.connection, &MailboxRef::Id(mailbox))?;
        let old = self.message_in(&source, uid)?;
        if unchanged_since.is_some_and(|since| old.modseq > since.0) {
            return Err(StoreError::ChangedSince);
        }
        self.remove_message(&mut source, &old)?;
        self.release_content(old.content, 1)?;
        self.prune_tombstones(&mut source)?;
        source.save(self.connection)?;
        // Loaded only now: it may be the source.
        let mut target = MailboxRow::load(self.connection, target)?;
        let (content, size_bytes) = self.insert_content(message)?;
        let grows = size_bytes > old.size_bytes;
        let instance = old.instance;
        let new = MessageRow {
            flags: message.flags.clone(),
            content,
            internal_date: message.internal_date.unix.0,
            zone: message.internal_date.zone_minutes,
            size_bytes,
            ..old
        };
        let uid = self.insert_message(&mut target, new)?;
        target.save(self.connection)?;
        if grows {
            self.check_quota()?;
        }
        Ok(AccountWritten::Saved {
            mailbox: target.id,
            uid_validity: known_uid_validity(target.uid_validity),
            uids: vec![known_uid(uid)],
            instances: vec![instance],
        })
    }

    pub(super) fn set_extras(
        &mut self,
        mailbox: MailboxId,
        uid: Uid,
        extras: &str,
    ) -> Result<AccountWritten> {
        if extras.len() > limits::EXTRAS_BYTES {
            return Err(StoreError::TooMany("bytes kept beside a message"));
        }
        let mut mailbox = MailboxRow::load(self.connection, &MailboxRef::Id(mailbox))?;
        let message = self.message_in(&mailbox, uid)?;
        mailbox.highest_modseq = self.modseq();
        self.connection
            .prepare_cached(
                "UPDATE messages SET modseq = ?3, extras = ?4, modified_at = ?5 \
                 WHERE mailbox = ?1 AND uid = ?2",
            )?
            .execute(params![
                mailbox.row,
                message.uid,
                to_sql(mailbox.highest_modseq),
                extras,
                self.now.0
            ])?;
        mailbox.save(self.connection)?;
        Ok(AccountWritten::Done)
    }

    fn message_in(&self, mailbox: &MailboxRow, uid: Uid) -> Result<MessageRow> {
        let found = self.messages_in(mailbox, &UidSet::from(uid..=uid))?;
        found.into_iter().next().ok_or(StoreError::NoSuchMessage)
    }

    pub(super) fn take_recent(
        &mut self,
        mailbox: MailboxId,
        first_recent: Uid,
    ) -> Result<AccountWritten> {
        let mut mailbox = MailboxRow::load(self.connection, &MailboxRef::Id(mailbox))?;
        if mailbox.first_recent < first_recent.get() {
            mailbox.first_recent = first_recent.get();
            mailbox.save(self.connection)?;
        }
        Ok(AccountWritten::Done)
    }
}

/// Pairs of old and new UIDs.
#[derive(Default)]
struct Copied {
    source: Vec<Uid>,
    target: Vec<Uid>,
}

impl Copied {
    fn push(&mut self, source: u32, target: u32) {
        self.source.push(known_uid(source));
        self.target.push(known_uid(target));
    }

    fn into_written(self, target: &MailboxRow) -> AccountWritten {
        AccountWritten::Copied {
            mailbox: target.id,
            uid_validity: known_uid_validity(target.uid_validity),
            source: self.source,
            target: self.target,
        }
    }
}

/// A UID from the database.
pub(super) fn known_uid(uid: u32) -> Uid {
    Uid::new(uid).unwrap_or(Uid::MIN)
}

/// A UIDVALIDITY from the database.
pub(super) fn known_uid_validity(number: u32) -> UidValidity {
    UidValidity(number.try_into().unwrap_or(std::num::NonZeroU32::MIN))
}
