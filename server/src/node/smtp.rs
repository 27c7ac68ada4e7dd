//! What SMTP sessions ask: who may send what to whom, and the acceptance of messages.

use std::sync::Arc;

use rmail_proto::{
    Address, ForwardPath, Now, UploadId,
    mime::Summary,
    smtp::{Call, Envelope, Identity, Refusal, Reply},
};
use rmail_store::{
    Content, Destination, NewRecipient, NewSpoolEntry, SpoolId, SpoolWrite, StoreError,
};

use super::{
    Asker, Job, Node,
    authentication::Protocol,
    directory::{Found, Lookup, is_own_address, postmaster_domain},
    uploads::Piece,
    writes::SpoolOrigin,
};
use crate::session;

/// The end of a message whose From field has to be looked at.
#[derive(Debug)]
pub struct Submission {
    upload: UploadId,
    piece: Piece,
}

impl Node {
    pub(super) fn handle_smtp(
        &mut self,
        now: Now,
        asker: Asker,
        call: Call,
        summary: Option<Arc<Summary>>,
    ) {
        match call {
            Call::Authenticate { username, password } => {
                self.authenticate(now, asker, Protocol::Smtp, &username, password);
            }
            Call::Mail {
                reverse_path,
                identity,
                ..
            } => {
                // The null reverse-path is everybody's.
                let sender = reverse_path.address().map(std::slice::from_ref);
                let sender = sender.unwrap_or_default();
                self.decide_sender(now, asker, identity.as_ref(), sender, None);
            }
            Call::Rcpt {
                forward_path,
                identity,
                ..
            } => self.decide_recipient(asker, &forward_path, identity.as_ref()),
            Call::Chunk { upload, data } => {
                self.handle_piece(now, asker, upload, Piece::more(data));
            }
            Call::Message {
                upload,
                data,
                envelope,
            } => {
                let summary = summary.expect("a session adds it to the last piece");
                let (identity, from) = (envelope.identity.clone(), envelope.header_from.clone());
                let piece = Piece::last(data, summary, Some(envelope));
                let message = Some(Box::new(Submission { upload, piece }));
                self.decide_sender(now, asker, identity.as_ref(), &from, message);
            }
            Call::Discard { upload } => {
                self.discard_upload(asker.session, upload);
                self.reply_smtp(asker, Reply::Permitted);
            }
        }
    }

    pub(super) fn reply_smtp(&mut self, asker: Asker, reply: Reply) {
        self.reply(asker, session::Reply::Smtp(reply));
    }

    /// Decides whether one may send from these addresses: an authenticated one from its own and
    /// from those of aliases that lead to it, anybody else from all.
    fn decide_sender(
        &mut self,
        now: Now,
        asker: Asker,
        identity: Option<&Identity>,
        from: &[Address],
        message: Option<Box<Submission>>,
    ) {
        let others = identity.map(|identity| {
            let others = from
                .iter()
                .filter(|from| !is_own_address(&identity.address, from));
            (identity.account, others.cloned().collect::<Vec<Address>>())
        });
        match others {
            Some((account, addresses)) if !addresses.is_empty() => {
                let is_hosted = |address: &Address| self.config.hosts(address.domain());
                match addresses.iter().all(is_hosted) {
                    true => self.run(Job::CheckSender {
                        asker,
                        account,
                        addresses,
                        config: Arc::clone(&self.config),
                        message,
                    }),
                    false => self.handle_sender_checked(now, asker, Ok(false), message),
                }
            }
            Some(_) | None => self.handle_sender_checked(now, asker, Ok(true), message),
        }
    }

    pub(super) fn handle_sender_checked(
        &mut self,
        now: Now,
        asker: Asker,
        outcome: Result<bool, StoreError>,
        message: Option<Box<Submission>>,
    ) {
        if !self.sessions.contains_key(&asker.session) {
            return;
        }
        let refusal = match outcome {
            Ok(true) => {
                return match message {
                    Some(message) => self.handle_piece(now, asker, message.upload, message.piece),
                    None => self.reply_smtp(asker, Reply::Permitted),
                };
            }
            Ok(false) => Refusal::sender_not_owned(),
            Err(error) => refusal_from(&error),
        };
        if let Some(message) = message {
            self.discard_upload(asker.session, message.upload);
        }
        self.reply_smtp(asker, Reply::Refused(refusal));
    }

    fn decide_recipient(&mut self, asker: Asker, path: &ForwardPath, sender: Option<&Identity>) {
        if postmaster_domain(path, &self.config.domains).is_some() {
            return self.reply_smtp(asker, Reply::Permitted);
        }
        let ForwardPath::Address(address) = path else {
            return self.reply_smtp(asker, Reply::Refused(Refusal::no_such_mailbox()));
        };
        if !self.config.hosts(address.domain()) {
            // On port 25 nobody has authenticated: nothing is relayed there.
            let reply = match sender.is_some() && self.config.relay.enabled {
                true => Reply::Permitted,
                false => Reply::Refused(Refusal::relay_denied()),
            };
            return self.reply_smtp(asker, reply);
        }
        match self.directory.cached(address) {
            Some(account) => {
                let found = account.map_or(Found::Nobody, Found::Account);
                self.reply_found(asker, &Ok(found));
            }
            None => self.run(Job::FindRecipient {
                lookup: Lookup::Recipient(asker),
                address: address.clone(),
                config: Arc::clone(&self.config),
                directory: self.directory.edition(),
            }),
        }
    }

    pub(super) fn reply_found(&mut self, asker: Asker, outcome: &Result<Found, StoreError>) {
        let reply = match outcome {
            Ok(Found::Nobody) => Reply::Refused(Refusal::no_such_mailbox()),
            // As if it were not there.
            Ok(Found::Account(account)) if !account.is_enabled => {
                Reply::Refused(Refusal::no_such_mailbox())
            }
            // A part of its mail would be lost.
            Ok(Found::Alias { foreign, .. })
                if !foreign.is_empty() && !self.config.relay.enabled =>
            {
                Reply::Refused(Refusal::relay_denied())
            }
            Ok(Found::TooMany) => Reply::Refused(Refusal::alias_too_large()),
            Ok(Found::Account(_) | Found::Alias { .. }) => Reply::Permitted,
            Err(error) => Reply::Refused(refusal_from(error)),
        };
        self.reply_smtp(asker, reply);
    }

    /// All pieces of a message are here: it is accepted once it is in the spool.
    pub(super) fn accept(
        &mut self,
        now: Now,
        asker: Asker,
        envelope: Envelope,
        summary: Arc<Summary>,
        content: Content,
    ) {
        let recipients: Vec<NewRecipient> = (envelope.recipients.into_iter())
            .map(|recipient| NewRecipient {
                destination: self.destination(&recipient.path),
                recipient,
            })
            .collect();
        let is_local = |new: &NewRecipient| new.destination == Destination::Local;
        let is_claimed = recipients.iter().any(is_local) && self.delivery.reserve(&content);
        let entry = NewSpoolEntry {
            envelope_id: envelope.id,
            reverse_path: envelope.reverse_path,
            notice: envelope.notice,
            smtputf8: envelope.smtputf8,
            eight_bit_mime: envelope.eight_bit_mime,
            recipients,
            summary,
            content,
            is_claimed,
        };
        self.write_spool(now, SpoolWrite::Accept(entry), SpoolOrigin::Accept(asker));
    }

    pub(super) fn handle_accepted(
        &mut self,
        now: Now,
        asker: Asker,
        entry: NewSpoolEntry,
        outcome: Result<SpoolId, StoreError>,
    ) {
        let reply = match outcome {
            Ok(spool) => {
                tracing::info!(
                    session = asker.session.0,
                    mail = %entry.envelope_id,
                    from = %entry.reverse_path,
                    recipients = entry.recipients.len(),
                    bytes = entry.summary.size_bytes,
                    "accepted"
                );
                self.deliver_accepted(now, spool, entry);
                Reply::Accepted
            }
            Err(error) => {
                self.drop_content(&entry.content);
                if entry.is_claimed {
                    self.delivery.release(&entry.content);
                    self.claim_if_wanted(now);
                }
                Reply::Refused(refusal_from(&error))
            }
        };
        self.reply_smtp(asker, reply);
    }
}

/// What a peer hears of the store's troubles.
pub(super) fn refusal_from(error: &StoreError) -> Refusal {
    match error {
        StoreError::Full => {
            tracing::error!("the disk is full");
            Refusal::storage_full()
        }
        StoreError::Busy => Refusal::temporary_failure(),
        StoreError::NoSuchAccount
        | StoreError::AddressTaken
        | StoreError::NoSuchAlias
        | StoreError::AliasLoop(_)
        | StoreError::NoSuchMailbox
        | StoreError::NoSuchMessage
        | StoreError::ChangedSince
        | StoreError::OverQuota
        | StoreError::MailboxExists
        | StoreError::MailboxProtected
        | StoreError::TooMany(_)
        | StoreError::NoSuchUpload
        | StoreError::NoSuchEntry
        | StoreError::InDelivery
        | StoreError::Failed(_) => {
            tracing::error!(%error, "the store failed");
            Refusal::temporary_failure()
        }
    }
}
