//! What SMTP sessions ask: who may send what to whom, and the acceptance of messages.

use std::sync::Arc;

use rmail_proto::{
    Address, ForwardPath, Now, ReversePath,
    mime::Summary,
    smtp::{Call, Envelope, Identity, Refusal, Reply},
};
use rmail_store::{
    Account, Content, Destination, NewRecipient, NewSpoolEntry, SpoolId, SpoolWrite, StoreError,
};

use super::{
    Asker, Job, Node,
    authentication::Protocol,
    directory::{Lookup, is_own_address, postmaster_domain},
    uploads::Piece,
    writes::SpoolOrigin,
};
use crate::session;

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
                let reply = match decide_sender(&reverse_path, identity.as_ref()) {
                    Ok(()) => Reply::Permitted,
                    Err(refusal) => Reply::Refused(refusal),
                };
                self.reply_smtp(asker, reply);
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
                match decide_from(&envelope) {
                    Ok(()) => {
                        let piece = Piece::last(data, summary, Some(envelope));
                        self.handle_piece(now, asker, upload, piece);
                    }
                    Err(refusal) => {
                        self.discard_upload(asker.session, upload);
                        self.reply_smtp(asker, Reply::Refused(refusal));
                    }
                }
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
            Some(account) => self.reply_recipient(asker, account.as_deref()),
            None => self.run(Job::FindAccount {
                lookup: Lookup::Recipient(asker),
                address: address.clone(),
                or_first_admin: false,
                directory: self.directory.edition(),
            }),
        }
    }

    pub(super) fn reply_found(
        &mut self,
        asker: Asker,
        account: Result<Option<&Account>, &StoreError>,
    ) {
        match account {
            Ok(account) => self.reply_recipient(asker, account),
            Err(error) => self.reply_smtp(asker, Reply::Refused(refusal_from(error))),
        }
    }

    fn reply_recipient(&mut self, asker: Asker, account: Option<&Account>) {
        let reply = match account {
            None => Reply::Refused(Refusal::no_such_mailbox()),
            Some(account) if !account.is_enabled => Reply::Refused(Refusal::mailbox_disabled()),
            Some(_) => Reply::Permitted,
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

/// Whether this sender may send: an authenticated one from its own addresses and the null
/// reverse-path only.
fn decide_sender(reverse_path: &ReversePath, identity: Option<&Identity>) -> Result<(), Refusal> {
    match (identity, reverse_path.address()) {
        (Some(identity), Some(address)) => decide_owned(identity, address),
        (Some(_), None) | (None, _) => Ok(()),
    }
}

/// Whether the From field names only addresses of the one who authenticated.
fn decide_from(envelope: &Envelope) -> Result<(), Refusal> {
    match &envelope.identity {
        Some(identity) => envelope
            .header_from
            .iter()
            .try_for_each(|address| decide_owned(identity, address)),
        None => Ok(()),
    }
}

fn decide_owned(identity: &Identity, address: &Address) -> Result<(), Refusal> {
    match is_own_address(&identity.address, address) {
        true => Ok(()),
        false => Err(Refusal::sender_not_owned()),
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
