//! Answering by itself for those who are away: see [`automatic_reply`].

use std::sync::Arc;

use rmail_proto::{
    Address, Entropy, ForwardPath, MailboxId, Now, ReversePath, Uid, UnixTime,
    mime::Scanner,
    smtp::{MailNotice, Recipient, write_id},
};
use rmail_store::{
    Account, AccountWrite, AccountWritten, Content, NewRecipient, NewSpoolEntry, SpoolWrite, Store,
    StoreError,
};

use super::{Job, Node, writes::SpoolOrigin};
use crate::{
    aliases,
    api::resources::Parsed,
    config::Config,
    limits,
    outbound::automatic_reply::{self, Answered, Incoming, Settings},
};

/// A message that may want an answer.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Whose.
    account: Arc<Account>,
    mailbox: MailboxId,
    uid: Uid,
    /// Its reverse-path.
    sender: Address,
}

/// An answer that is due.
#[derive(Clone, Debug)]
pub struct DueReply {
    to: Address,
    mime: Vec<u8>,
}

impl Node {
    /// An account that answers by itself has got a message.
    pub(super) fn consider_reply(
        &mut self,
        now: Now,
        account: Arc<Account>,
        sender: &ReversePath,
        written: &AccountWritten,
    ) {
        let (Some(sender), AccountWritten::Saved { mailbox, uids, .. }) =
            (sender.address(), written)
        else {
            return;
        };
        let Some(&uid) = uids.first() else {
            return;
        };
        let delivered = Delivered {
            account,
            mailbox: *mailbox,
            uid,
            sender: sender.clone(),
        };
        let seed = self.entropy.next_u64();
        self.run(Job::ReplyAutomatically {
            delivered: Box::new(delivered),
            config: Arc::clone(&self.config),
            now: now.unix,
            seed,
        });
    }

    pub(super) fn handle_reply_decided(
        &mut self,
        now: Now,
        outcome: Result<Option<Box<DueReply>>, StoreError>,
    ) {
        let reply = match outcome {
            Ok(Some(reply)) => *reply,
            Ok(None) => return,
            Err(error) => return super::log_failure(&error, "an automatic reply is left out"),
        };
        let path = ForwardPath::Address(reply.to);
        let mut scanner = Scanner::new();
        scanner.handle_input(&reply.mime);
        let entry = NewSpoolEntry {
            envelope_id: write_id(&mut self.entropy, now.unix),
            reverse_path: ReversePath::Null,
            notice: MailNotice::default(),
            smtputf8: !path.to_string().is_ascii(),
            eight_bit_mime: true,
            recipients: vec![NewRecipient {
                destination: self.destination(&path),
                recipient: Recipient::new(path),
            }],
            summary: Arc::new(scanner.finish()),
            content: Content::Inline(reply.mime.into()),
            is_claimed: false,
        };
        self.write_spool(now, SpoolWrite::Accept(entry), SpoolOrigin::AutomaticReply);
    }
}

/// Decides about an answer, and notes that it is given.
///
/// # Errors
///
/// Those of the store.
pub(super) fn decide(
    store: &dyn Store,
    config: &Config,
    delivered: &Delivered,
    now: UnixTime,
    seed: u64,
) -> Result<Option<Box<DueReply>>, StoreError> {
    let Delivered {
        account,
        mailbox,
        uid,
        sender,
    } = delivered;
    let document = store.document(account.id, automatic_reply::SETTINGS)?;
    let settings = Settings::parse(&document.unwrap_or_default());
    if !settings.is_on() {
        return Ok(None);
    }
    let bytes = limits::AUTOMATIC_REPLY_HEADER_BYTES;
    let Some(header) = store.read(account.id, *mailbox, *uid, 0, bytes)? else {
        return Ok(None);
    };
    let header = Parsed::parse(&header);
    let aliases = aliases::aliases_of(store, config, account)?;
    let aliases: Vec<Address> = aliases.into_iter().map(|alias| alias.address).collect();
    let incoming = Incoming {
        header: &header,
        sender,
        is_internal: config.hosts(sender.domain()),
        account,
        aliases: &aliases,
    };
    let Some(message) = incoming.decide(&settings, now) else {
        return Ok(None);
    };
    let document = store.document(account.id, automatic_reply::ANSWERED)?;
    let mut answered = Answered::parse(&document.unwrap_or_default());
    if !answered.note(now, sender) {
        return Ok(None);
    }
    let noted = AccountWrite::SetDocument {
        name: automatic_reply::ANSWERED.to_owned(),
        value: Some(answered.write()),
    };
    let written = store.write_account(now, account.id, vec![noted], &[])?;
    for result in written.results {
        result?;
    }
    let mime = incoming.answer(message, now, &mut Entropy::new(seed));
    Ok(Some(Box::new(DueReply {
        to: sender.clone(),
        mime,
    })))
}
