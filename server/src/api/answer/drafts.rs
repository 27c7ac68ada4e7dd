//! Drafts: messages, replies and forwards that are written, and changed, before they are sent.

use rmail_proto::{DateTime, Entropy, Flags, InstanceId, ModSeq, SystemFlags, http::FieldName};
use rmail_store::{AccountWrite, MailboxRef, StoreError, StoredMessage};
use serde_json::Value;

use super::{
    Cx, Failure, Outcome,
    context::{Answers, Extras},
    folders::Folder,
    graph_folders::{Parent, resolve},
    graph_messages::{change_state, is_draft, tell_changed},
    lists,
    message_telling::own_address,
    reply::Reply,
    sending::own_addresses,
};
use crate::{
    api::{
        compose::{
            self, Draft, MessageChange, Origin, ReplyKind, ReplyRequest, StateChange, Writing,
        },
        error::ApiError,
        exchange::ContentKind,
        resources::{Parsed, WellKnown},
        routes::Param,
    },
    limits,
};

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let folder = folder(cx)?;
    let (mime, state) = match cx.exchange.content_kind {
        ContentKind::Text => {
            let mime = compose::read_mime(cx.content)?;
            let complete = with_origin(cx, |origin| Ok(complete(&mime, origin)))?;
            (complete, StateChange::default())
        }
        ContentKind::Json | ContentKind::Form | ContentKind::Other => {
            let body = Value::Object(cx.json()?);
            with_origin(cx, |origin| {
                let change = MessageChange::read(&body, Writing::NewDraft, origin)?;
                let mut draft = Draft::new(origin);
                draft.apply(change.content);
                Ok((draft.write(origin.entropy), change.state))
            })?
        }
    };
    let message = save(cx, &folder, mime, &state, None)?;
    tell_created(cx, &message)
}

pub(super) fn create_reply(cx: &mut Cx<'_>) -> Outcome {
    create_answer(cx, ReplyKind::Reply)
}

pub(super) fn create_reply_all(cx: &mut Cx<'_>) -> Outcome {
    create_answer(cx, ReplyKind::ReplyAll)
}

pub(super) fn create_forward(cx: &mut Cx<'_>) -> Outcome {
    create_answer(cx, ReplyKind::Forward)
}

fn create_answer(cx: &mut Cx<'_>, kind: ReplyKind) -> Outcome {
    let original = cx.message()?;
    let (draft, state) = answer_to(cx, &original, kind)?;
    let mut entropy = cx.entropy();
    let mime = draft.write(&mut entropy);
    let drafts = cx.known_folder(WellKnown::Drafts)?;
    let answers = Answers::new(&original, kind);
    let message = save(cx, &drafts, mime, &state, Some(answers))?;
    tell_created(cx, &message)
}

/// The message that answers another, as the request has it.
pub(super) fn answer_to(
    cx: &mut Cx<'_>,
    original: &StoredMessage,
    kind: ReplyKind,
) -> Result<(Draft, StateChange), Failure> {
    let own = own_addresses(cx)?;
    let content = cx.read(original)?;
    let make = |request: ReplyRequest, origin: &mut Origin<'_>| {
        let state = request.message.state.clone();
        (compose::reply(kind, &content, &own, request, origin), state)
    };
    match cx.exchange.content_kind {
        ContentKind::Text => {
            let mime = compose::read_mime(cx.content)?;
            with_origin(cx, |origin| {
                // What was made says who gets it; all else is the client's.
                let (made, state) = make(ReplyRequest::default(), origin);
                let mut draft = Draft::read(&complete(&mime, origin));
                if kind != ReplyKind::Forward {
                    (draft.to, draft.cc) = (made.to, made.cc);
                }
                Ok((draft, state))
            })
        }
        ContentKind::Json | ContentKind::Form | ContentKind::Other => {
            let body = Value::Object(cx.json()?);
            with_origin(cx, |origin| {
                let request = ReplyRequest::read(&body, origin)?;
                Ok(make(request, origin))
            })
        }
    }
}

/// Has a message written in the account's name, now.
pub(super) fn with_origin<T>(
    cx: &mut Cx<'_>,
    write: impl FnOnce(&mut Origin<'_>) -> Result<T, ApiError>,
) -> Result<T, Failure> {
    let sender = own_address(cx);
    let mut entropy: Entropy = cx.entropy();
    Ok(write(&mut Origin {
        sender: &sender,
        now: cx.now(),
        entropy: &mut entropy,
    })?)
}

/// A client's MIME, with what a draft must have.
fn complete(mime: &[u8], origin: &mut Origin<'_>) -> Vec<u8> {
    let parsed = Parsed::parse(mime);
    let made = Draft::new(origin);
    let mut complete = Vec::with_capacity(mime.len() + 256);
    if let (None, Some(id)) = (parsed.message_id, made.message_id) {
        complete.extend_from_slice(format!("Message-ID: {id}\r\n").as_bytes());
    }
    if parsed.sent_at.is_none() {
        let date = DateTime::utc(origin.now).rfc5322();
        complete.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
    }
    complete.extend_from_slice(&compose::with_crlf(mime));
    complete
}

/// Where the draft is to be.
fn folder(cx: &mut Cx<'_>) -> Result<Folder, Failure> {
    match cx.exchange.param(Param::Folder) {
        "" => cx.known_folder(WellKnown::Drafts),
        key => match resolve(cx, key)? {
            Parent::Folder(folder) => Ok(folder),
            Parent::Root => Err(ApiError::invalid_request().into()),
        },
    }
}

fn save(
    cx: &mut Cx<'_>,
    folder: &Folder,
    mime: Vec<u8>,
    state: &StateChange,
    answers: Option<Answers>,
) -> Result<StoredMessage, Failure> {
    let staged = cx.stage(mime)?;
    let mut flags = SystemFlags::DRAFT;
    if state.is_read != Some(false) {
        flags = flags | SystemFlags::SEEN;
    }
    let message = staged.message(Flags::system(flags), DateTime::utc(cx.now()));
    let instance = cx.save(MailboxRef::Id(folder.id), message)?;
    let message = cx.message_by_id(&instance.to_string())?;
    change_state(cx, &message, state, None)?;
    if let Some(answers) = answers {
        let message = cx.message_by_id(&instance.to_string())?;
        let mut extras = Extras::of(&message);
        extras.answers = Some(answers);
        cx.write(vec![AccountWrite::SetExtras {
            mailbox: message.mailbox,
            uid: message.data.uid,
            extras: extras.write(),
        }])?;
    }
    cx.message_by_id(&instance.to_string())
}

fn tell_created(cx: &Cx<'_>, message: &StoredMessage) -> Outcome {
    let base = &cx.exchange.base;
    let id = message.data.instance_id;
    let location = format!("{base}/v1.0/users/{}/messages/{id}", lists::me(cx));
    let reply = tell_changed(cx, message, Reply::created)?;
    Ok(reply.with(const { FieldName::new("Location") }, location))
}

/// A draft as it was written anew.
#[derive(Debug)]
pub(super) struct Rewritten {
    pub(super) draft: Draft,
    pub(super) mime: Vec<u8>,
}

/// Changes a draft's content. Who changes it at the same time is not overwritten: it is read, and
/// changed, again.
///
/// # Errors
///
/// `property_not_writable` for what is no draft; `changed_since` when it is to have a version
/// that it has no more, or is never left alone.
pub(super) fn rewrite(
    cx: &mut Cx<'_>,
    instance: InstanceId,
    unchanged_since: Option<ModSeq>,
    change: impl Fn(&mut Draft) -> Result<(), Failure>,
) -> Result<Rewritten, Failure> {
    for _ in 0..limits::DRAFT_TRIES {
        let message = cx.message_by_id(&instance.to_string())?;
        if !is_draft(&message) {
            return Err(ApiError::property_not_writable().into());
        }
        let present = message.state.modseq;
        if unchanged_since.is_some_and(|since| since != present) {
            return Err(ApiError::changed_since().into());
        }
        let mut draft = Draft::read(&cx.read(&message)?);
        change(&mut draft)?;
        let mime = draft.write(&mut cx.entropy());
        let staged = cx.stage(mime.clone())?;
        let written = cx.write(vec![AccountWrite::Replace {
            mailbox: message.mailbox,
            uid: message.data.uid,
            unchanged_since: Some(present),
            message: staged.message(message.state.flags.clone(), message.data.internal_date),
        }]);
        match written {
            Ok(_) => return Ok(Rewritten { draft, mime }),
            Err(Failure::Store(StoreError::ChangedSince | StoreError::NoSuchMessage)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(ApiError::changed_since().into())
}
