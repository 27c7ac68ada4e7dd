//! Aliases in the envelope: those that they lead to take their place.
//!
//! RCPT only asks whether an alias leads to anybody. Whom it leads to is found out by delivery, at
//! one moment and to the end, and written into the spool before anything is delivered or sent: so
//! the recipients of a message are the same after a crash, whatever becomes of the alias, and
//! whoever is among them already gets the message once. Those that took its place are delivered
//! and sent as any other recipient, with the reverse-path of the message: reports go to its
//! sender.
//!
//! | the alias leads to | NOTIFY                   | ORCPT                        | RFC 3461    |
//! |--------------------|--------------------------|------------------------------|-------------|
//! | one                | as it was given          | as it was given, or the alias | §5.2.7.1    |
//! | several            | without SUCCESS, of      | the same                     | §5.2.7.2    |
//! |                    | which "expanded" is told |                              |             |

use rmail_proto::{
    Address, ForwardPath, Now, ReversePath,
    limits::SMTP_ORCPT_BYTES,
    smtp::{EnhancedCode, Notify, RcptNotice, Recipient, encode_xtext},
};
use rmail_store::{Destination, Fate, NewRecipient, SpoolWrite, StoreError};

use super::{
    Job, Node,
    conclusions::Pending,
    delivery::{DeliveryId, Words},
    writes::SpoolOrigin,
};

const EXPANDED: Words = (EnhancedCode(2, 1, 5), "");

const TOO_MANY: Words = (
    EnhancedCode(5, 5, 3),
    "with its aliases the message has too many recipients",
);

impl Node {
    /// Lets these addresses take the place of a recipient.
    pub(super) fn expand(
        &mut self,
        now: Now,
        id: DeliveryId,
        position: u32,
        targets: Vec<Address>,
    ) {
        let active = self.delivery.entry(id);
        let is_reported = active.reverse_path != ReversePath::Null;
        let mail = &active.original.envelope_id;
        let alias = active.recipient(position);
        let (recipient, count) = (&alias.path, targets.len());
        tracing::info!(%mail, %recipient, targets = count, "an alias");
        let is_told = count > 1 && is_reported && alias.notice.wanted().success;
        let notice = notice_behind(alias, count);
        let targets = targets.into_iter().map(|target| {
            let path = ForwardPath::Address(target);
            NewRecipient {
                destination: self.destination(&path),
                recipient: Recipient {
                    path,
                    notice: notice.clone(),
                },
            }
        });
        let write = SpoolWrite::Expand {
            spool: id,
            position,
            targets: targets.collect(),
            reports: Vec::new(),
        };
        let origin = SpoolOrigin::Expanded(id, position);
        if !is_told {
            return self.write_spool(now, write, origin);
        }
        let conclusion = self.conclusion_of(id, &[position], Fate::Expanded, EXPANDED);
        let reports = self.reports(now, &conclusion, None);
        self.run(Job::Report {
            reports,
            pending: Box::new(Pending { write, origin }),
        });
    }

    /// Others have taken the place of a recipient; `local` are those of them to be delivered.
    pub(super) fn handle_expanded(
        &mut self,
        now: Now,
        id: DeliveryId,
        position: u32,
        local: Vec<(u32, Recipient)>,
        write: &SpoolWrite,
    ) {
        if let SpoolWrite::Expand { targets, .. } = write
            && targets
                .iter()
                .any(|it| it.destination != Destination::Local)
        {
            self.claim_remote(now);
        }
        self.replace_recipient(now, id, position, local);
    }

    pub(super) fn handle_not_expanded(
        &mut self,
        now: Now,
        id: DeliveryId,
        position: u32,
        error: &StoreError,
    ) {
        match error {
            StoreError::TooMany(_) => self.fail_for_good(now, id, position, &TOO_MANY),
            StoreError::Busy
            | StoreError::Full
            | StoreError::NoSuchAccount
            | StoreError::AddressTaken
            | StoreError::NoSuchAlias
            | StoreError::AliasLoop(_)
            | StoreError::NoSuchMailbox
            | StoreError::NoSuchMessage
            | StoreError::ChangedSince
            | StoreError::OverQuota
            | StoreError::MailboxExists
            | StoreError::MailboxProtected
            | StoreError::NoSuchUpload
            | StoreError::NoSuchEntry
            | StoreError::InDelivery
            | StoreError::Failed(_) => {
                super::log_failure(error, "the spool can't be written");
                self.fail_for_now(now, id, position, &error.to_string());
            }
        }
    }
}

/// What the sender wants to hear of those behind an alias.
fn notice_behind(alias: &Recipient, targets: usize) -> RcptNotice {
    let RcptNotice { notify, orcpt } = alias.notice.clone();
    let notify = match targets {
        1 => notify,
        _ => notify.map(|notify| Notify {
            success: false,
            ..notify
        }),
    };
    let original = match &alias.path {
        ForwardPath::Postmaster => None,
        ForwardPath::Address(address) => original_recipient(address),
    };
    RcptNotice {
        notify,
        orcpt: orcpt.or(original),
    }
}

/// ORCPT of an address (RFC 3461 §4.2). One in UTF-8 has no spelling that all servers take (RFC
/// 6533 §3); one that becomes too long by its spelling is left out.
fn original_recipient(address: &Address) -> Option<String> {
    let original = format!("rfc822;{}", encode_xtext(&address.to_string()));
    let is_good = address.is_ascii() && original.len() <= SMTP_ORCPT_BYTES;
    is_good.then_some(original)
}
