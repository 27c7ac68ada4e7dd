//! Sending: by the same way as authenticated SMTP.
//!
//! ```text
//! may it be sent? ─► spool and copy in Sent Items, in one step ─► 202
//! ```
//!
//! A draft becomes the copy itself, and keeps its id. That it is still the draft that was read is
//! part of the step: of two who send it at once, one does.

use std::sync::Arc;

use rmail_proto::{
    Address, DateTime, Flags, ForwardPath, InstanceId, Keyword, ReversePath, SystemFlags,
    http::Status,
    imap::StoreMode,
    smtp::{MailNotice, Recipient},
};
use rmail_store::{
    AccountWrite, MailboxRef, MessageVersion, NewRecipient, NewSpoolEntry, SpoolWrite, StoreError,
    StoredMessage,
};
use serde_json::Value;

use super::{
    Cx, Failure, Outcome,
    context::{Answers, Extras},
    drafts::{answer_to, with_origin},
    graph_messages::{is_draft, only},
    message_telling::own_address,
    reply::Reply,
};
use crate::{
    aliases,
    api::{
        compose::{self, Draft, ReplyKind, SendDate, Submission, Submitter},
        error::ApiError,
        exchange::ContentKind,
        resources::{EmailAddress, WellKnown},
    },
    node::is_own_address,
    outbound::route,
};

/// A message that was handed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Submitted {
    /// With angle brackets.
    pub(super) message_id: String,
    /// Its name in the queue.
    pub(super) queue_id: String,
    /// The copy in Sent Items.
    pub(super) sent_id: Option<String>,
}

/// What becomes of the sender's own copy.
#[derive(Clone, Copy, Debug)]
pub(super) enum SentCopy<'m> {
    /// There is none.
    None,
    /// It is a new message in Sent Items.
    New,
    /// It is this draft.
    Draft(&'m StoredMessage),
}

pub(super) fn send_mail(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let (mime, copy) = match cx.exchange.content_kind {
        ContentKind::Text => (compose::read_mime(cx.content)?, SentCopy::New),
        ContentKind::Json | ContentKind::Form | ContentKind::Other => {
            let body = Value::Object(cx.json()?);
            with_origin(cx, |origin| {
                let request = compose::SendMail::read(&body, origin)?;
                let mut draft = Draft::new(origin);
                draft.apply(request.message.content);
                let copy = match request.saves {
                    true => SentCopy::New,
                    false => SentCopy::None,
                };
                Ok((draft.write(origin.entropy), copy))
            })?
        }
    };
    submit(cx, &mime, None, SendDate::Kept, copy)?;
    Ok(Reply::nothing(Status::ACCEPTED))
}

pub(super) fn send_draft(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    if !is_draft(&message) {
        let text = "Only a draft can be sent.".to_owned();
        return Err(ApiError::invalid_request().with_message(text).into());
    }
    let mime = cx.read(&message)?;
    submit(
        cx,
        &mime,
        None,
        SendDate::Renewed,
        SentCopy::Draft(&message),
    )?;
    if let Some(answers) = Extras::of(&message).answers {
        mark_answered(cx, &answers);
    }
    Ok(Reply::nothing(Status::ACCEPTED))
}

pub(super) fn reply(cx: &mut Cx<'_>) -> Outcome {
    answer(cx, ReplyKind::Reply)
}

pub(super) fn reply_all(cx: &mut Cx<'_>) -> Outcome {
    answer(cx, ReplyKind::ReplyAll)
}

pub(super) fn forward(cx: &mut Cx<'_>) -> Outcome {
    answer(cx, ReplyKind::Forward)
}

fn answer(cx: &mut Cx<'_>, kind: ReplyKind) -> Outcome {
    let original = cx.message()?;
    let (draft, _) = answer_to(cx, &original, kind)?;
    let mime = draft.write(&mut cx.entropy());
    submit(cx, &mime, None, SendDate::Kept, SentCopy::New)?;
    mark_answered(cx, &Answers::new(&original, kind));
    Ok(Reply::nothing(Status::ACCEPTED))
}

/// Marks a message that was answered. It may have gone, and the answer is on its way anyhow.
fn mark_answered(cx: &mut Cx<'_>, answers: &Answers) {
    let Ok(original) = cx.message_by_id(&answers.id) else {
        return;
    };
    let flags = match answers.is_forward {
        true => Flags {
            keywords: Keyword::new("$Forwarded").into_iter().collect(),
            ..Flags::default()
        },
        false => Flags::system(SystemFlags::ANSWERED),
    };
    let marked = cx.write(vec![AccountWrite::StoreFlags {
        mailbox: original.mailbox,
        uids: only(&original),
        mode: StoreMode::Add,
        flags,
        unchanged_since: None,
    }]);
    if let Err(failure) = marked {
        tracing::warn!(?failure, "a message that was answered could not be marked");
    }
}

/// Addresses whose mail the account gets, but for those that patterns take; the first is its own.
pub(super) fn own_addresses(cx: &Cx<'_>) -> Result<Vec<Address>, Failure> {
    let aliases = aliases::aliases_of(cx.store(), &cx.service().config, cx.account())?;
    let aliases = aliases.into_iter();
    let aliases = aliases.filter(|alias| alias.is_enabled && !alias.is_pattern());
    let own = std::iter::once(cx.account().address.clone());
    Ok(own.chain(aliases.map(|alias| alias.address)).collect())
}

/// Whether the account may send from an address: one whose mail it gets.
fn may_send_from(cx: &Cx<'_>, address: &Address) -> Result<bool, Failure> {
    let (config, account) = (&cx.service().config, cx.account());
    if is_own_address(&account.address, address) {
        return Ok(true);
    }
    let is_hosted = config.hosts(address.domain());
    Ok(is_hosted && aliases::reaches(cx.store(), config, account.id, address)?)
}

/// Hands a message on to all its recipients: `recipients`, or else those of its header.
///
/// # Errors
///
/// Those of [`Submission::new`]; `send_as_denied`, `message_too_large`, `quota_exceeded`;
/// `invalid_recipients` for those in other domains where nothing is relayed. Nothing is sent or
/// kept then.
pub(super) fn submit(
    cx: &mut Cx<'_>,
    mime: &[u8],
    recipients: Option<&[EmailAddress]>,
    date: SendDate,
    copy: SentCopy<'_>,
) -> Result<Submitted, Failure> {
    let Submission {
        recipients,
        senders,
        message_id,
        id,
        sent,
        copy: kept,
    } = prepare(cx, mime, recipients, date)?;
    let smtputf8 = needs_smtputf8(&sent, recipients.iter().chain(&senders));
    let eight_bit_mime = !sent.is_ascii();
    let recipients = new_recipients(cx, recipients)?;
    let count = recipients.len();
    let staged = cx.stage(sent)?;
    let sender = senders.into_iter().next();
    let entry = NewSpoolEntry {
        envelope_id: id.clone(),
        reverse_path: sender.map_or(ReversePath::Null, ReversePath::Address),
        notice: MailNotice::default(),
        smtputf8,
        eight_bit_mime,
        recipients,
        summary: Arc::clone(&staged.summary),
        content: staged.content.clone(),
        is_claimed: false,
    };
    let sent_id = match copy {
        SentCopy::None => {
            accept(cx, entry)?;
            None
        }
        SentCopy::New => Some(send_and_keep(cx, entry, kept, None)?),
        SentCopy::Draft(draft) => Some(send_and_keep(cx, entry, kept, Some(draft))?),
    };
    tracing::info!(
        session = cx.exchange.session.0,
        mail = %id,
        from = %cx.account().address,
        recipients = count,
        bytes = staged.summary.size_bytes,
        "submitted"
    );
    Ok(Submitted {
        message_id,
        queue_id: id,
        sent_id: sent_id.map(|instance| instance.to_string()),
    })
}

fn prepare(
    cx: &mut Cx<'_>,
    mime: &[u8],
    recipients: Option<&[EmailAddress]>,
    date: SendDate,
) -> Result<Submission, Failure> {
    let config = Arc::clone(&cx.service().config);
    if mime.len() as u64 > config.smtp.max_message_size.get() {
        return Err(ApiError::message_too_large().into());
    }
    let sender = own_address(cx);
    let mut entropy = cx.entropy();
    let mut submitter = Submitter {
        sender: &sender,
        hostname: &config.hostname,
        now: cx.now(),
        entropy: &mut entropy,
        recipients_max: config.smtp.max_recipients.get() as usize,
    };
    let submission = Submission::new(mime, recipients, date, &mut submitter)?;
    for sender in &submission.senders {
        if !may_send_from(cx, sender)? {
            return Err(ApiError::send_as_denied().into());
        }
    }
    Ok(submission)
}

/// Whether a message can only be sent to who takes UTF-8 outside of its body (RFC 6531 §3.4).
fn needs_smtputf8<'m>(mime: &[u8], mut addresses: impl Iterator<Item = &'m Address>) -> bool {
    let end = mime.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let header = &mime[..end.unwrap_or(mime.len())];
    !header.is_ascii() || addresses.any(|address| !address.to_string().is_ascii())
}

fn new_recipients(cx: &Cx<'_>, addresses: Vec<Address>) -> Result<Vec<NewRecipient>, Failure> {
    let config = &cx.service().config;
    let recipients = addresses.into_iter().map(|address| {
        if !config.hosts(address.domain()) && !config.relay.enabled {
            let text = format!("Mail to {} is not relayed.", address.domain());
            return Err(ApiError::invalid_recipients().with_message(text).into());
        }
        let path = ForwardPath::Address(address);
        Ok(NewRecipient {
            destination: route::destination(config, &path),
            recipient: Recipient::new(path),
        })
    });
    recipients.collect()
}

fn accept(cx: &mut Cx<'_>, entry: NewSpoolEntry) -> Result<(), StoreError> {
    let writes = vec![SpoolWrite::Accept(entry)];
    let results = cx.store().write_spool(cx.now(), writes)?;
    for result in results {
        result?;
    }
    cx.note_spooled();
    Ok(())
}

/// Hands a message on and keeps the sender's copy of it, or neither.
fn send_and_keep(
    cx: &mut Cx<'_>,
    entry: NewSpoolEntry,
    copy: Vec<u8>,
    draft: Option<&StoredMessage>,
) -> Result<InstanceId, Failure> {
    let sent_items = cx.known_folder(WellKnown::SentItems)?;
    let staged = cx.stage(copy)?;
    let flags = draft.map_or_else(Flags::default, |draft| draft.state.flags.clone());
    let flags = flags
        .without(&Flags::system(SystemFlags::DRAFT))
        .with(&Flags::system(SystemFlags::SEEN));
    let submission = rmail_store::Submission {
        entry,
        mailbox: MailboxRef::Id(sent_items.id),
        copy: staged.message(flags, DateTime::utc(cx.now())),
        draft: draft.map(|draft| MessageVersion {
            mailbox: draft.mailbox,
            uid: draft.data.uid,
            unchanged_since: draft.state.modseq,
        }),
    };
    let account = cx.account().id;
    let sent = cx.store().submit(cx.now(), account, &submission);
    let instance = sent.map_err(|error| match (draft, error) {
        // Somebody else was first: all is looked at again.
        (Some(_), StoreError::ChangedSince | StoreError::NoSuchMessage) => StoreError::Busy,
        (_, error) => error,
    })?;
    cx.note_mail_written();
    cx.note_spooled();
    Ok(instance)
}
