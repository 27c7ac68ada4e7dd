//! Messages on their way into the store.

use std::sync::Arc;

use rmail_proto::{
    DateTime, Flags, InstanceId,
    mime::{Scanner, Summary},
};
use rmail_store::{AccountWrite, AccountWritten, Content, MailboxRef, NewMessage, Store};

use super::{Cx, Failure};
use crate::api::error::ApiError;

/// A content that is to be saved, once or in several places. Where it is large it waits in a
/// file, which goes with this.
pub(super) struct Staged<'s> {
    store: &'s dyn Store,
    pub(super) content: Content,
    pub(super) summary: Arc<Summary>,
}

impl Staged<'_> {
    /// A message with this content.
    pub(super) fn message(&self, flags: Flags, internal_date: DateTime) -> NewMessage {
        NewMessage {
            content: self.content.clone(),
            summary: Arc::clone(&self.summary),
            flags,
            internal_date,
        }
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        if let Content::Staged(stage) = self.content {
            self.store.stage_drop(stage);
        }
    }
}

impl<'a> Cx<'a> {
    /// Makes a content ready to be saved.
    ///
    /// # Errors
    ///
    /// `message_too_large`, and the store's.
    pub(super) fn stage(&self, mime: Vec<u8>) -> Result<Staged<'a>, Failure> {
        if mime.len() as u64 > self.service().config.smtp.max_message_size.get() {
            return Err(ApiError::message_too_large().into());
        }
        let mut scanner = Scanner::new();
        scanner.handle_input(&mime);
        let mut staged = Staged {
            store: self.store(),
            content: Content::Inline(Default::default()),
            summary: Arc::new(scanner.finish()),
        };
        if mime.len() <= rmail_store::limits::INLINE_BYTES {
            staged.content = Content::Inline(mime.into());
            return Ok(staged);
        }
        let stage = self.store().stage()?;
        staged.content = Content::Staged(stage);
        self.store().stage_append(stage, &mime)?;
        self.store().stage_finish(stage)?;
        Ok(staged)
    }

    /// That the account may keep so many more bytes, before a client uploads them for nothing.
    ///
    /// # Errors
    ///
    /// `quota_exceeded`, and the store's.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), Failure> {
        let account = self.account();
        if account.quota_bytes == 0 {
            return Ok(());
        }
        let used = self.store().usage_bytes(account.id)?;
        match used.saturating_add(bytes) > account.quota_bytes {
            true => Err(ApiError::quota_exceeded().into()),
            false => Ok(()),
        }
    }

    /// Saves a message in a folder.
    pub(super) fn save(
        &mut self,
        mailbox: MailboxRef,
        message: NewMessage,
    ) -> Result<InstanceId, Failure> {
        let messages = vec![message];
        let written = self.write(vec![AccountWrite::Save { mailbox, messages }])?;
        match written.as_slice() {
            [AccountWritten::Saved { instances, .. }] => {
                let saved = instances.first().copied();
                Ok(saved.ok_or_else(ApiError::internal)?)
            }
            _ => Err(ApiError::internal().into()),
        }
    }
}
