//! `{me}/messages`

use rmail_proto::{
    Flags, Keyword, MailboxId, ModSeq, SystemFlags, UnixTime,
    http::{FieldName, FieldValue, Status},
    imap::{Columns, StoreMode, UidSet},
};
use rmail_store::{AccountWrite, AccountWritten, MailboxRef, StoredMessage};
use serde_json::Value;

use super::{
    Cx, Failure, Outcome,
    categories::Categories,
    context::Extras,
    drafts,
    find_messages::{Found, find},
    graph_folders::{Parent, destination, resolve},
    lists::{self, Page, preferring},
    message_telling::Telling,
    message_values::is_gone,
    reply::{Content, Reply},
};
use crate::api::{
    compose::{FlagChange, MessageChange, StateChange, Writing},
    error::ApiError,
    json::ArrayWriter,
    odata::{self, ListQuery, MessageText},
    resources::{COMPLETED, FlagStatus, Message, WellKnown, is_system_keyword},
    routes::Param,
};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    let query = query(cx)?;
    let page = Page::of_query(cx, &query)?;
    let scope = scope(cx)?;
    let found = scope.find(cx, &query, page, query.count)?;
    let telling = Telling::new(query.select, query.expand);
    let mut told = ArrayWriter::default();
    for message in &found.messages {
        match telling.resource(cx, message) {
            Ok(resource) => told.item(|json| resource.write(json)),
            Err(failure) if is_gone(&failure) => {}
            Err(failure) => return Err(failure),
        }
    }
    let of = match scope {
        Scope::Folder(folder) => {
            format!(
                "users('{}')/mailFolders('{folder}')/messages",
                lists::me(cx)
            )
        }
        Scope::Everything | Scope::Nothing => format!("users('{}')/messages", lists::me(cx)),
    };
    page.reply(cx, &of, &told, found.total, query.count)
}

pub(super) fn count(cx: &mut Cx<'_>) -> Outcome {
    let query = query(cx)?;
    let page = Page { skip: 0, items: 0 };
    let found = scope(cx)?.find(cx, &query, page, true)?;
    Ok(Reply::bytes("text/plain", found.total.to_string()))
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    let query = query(cx)?;
    let message = cx.message()?;
    let etag = etag(&message);
    let known = cx.exchange.if_none_match.as_deref().unwrap_or_default();
    if names_etag(known, &etag) {
        return Ok(with_etag(Reply::nothing(Status::NOT_MODIFIED), etag));
    }
    let telling = Telling::new(query.select, query.expand);
    let told = telling.tell_single(cx, &message)?;
    Ok(preferring(cx, with_etag(Reply::ok(told), etag)))
}

pub(super) fn mime(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let kind = FieldValue::from_static("text/plain");
    let content = Content::Stored(cx.stored_body(&message), kind);
    Ok(Reply::new(Status::OK, content))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let unchanged_since = check_etag(cx, &message)?;
    let body = Value::Object(cx.json()?);
    let writing = match is_draft(&message) {
        true => Writing::Draft,
        false => Writing::Received,
    };
    let change = drafts::with_origin(cx, |origin| MessageChange::read(&body, writing, origin))?;
    if change.content.is_empty() {
        change_state(cx, &message, &change.state, unchanged_since)?;
    } else {
        let id = message.data.instance_id;
        drafts::rewrite(cx, id, unchanged_since, |draft| {
            draft.apply(change.content.clone());
            Ok(())
        })?;
        let message = cx.message()?;
        change_state(cx, &message, &change.state, None)?;
    }
    let message = cx.message()?;
    tell_changed(cx, &message, Reply::ok)
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    check_etag(cx, &message)?;
    discard_one(cx, &message)?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn purge(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    check_etag(cx, &message)?;
    purge_one(cx, &message)?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn relocate(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let target = target(cx)?;
    if target != message.mailbox {
        move_one(cx, &message, target)?;
    }
    let id = message.data.instance_id.to_string();
    let message = cx.message_by_id(&id)?;
    tell_changed(cx, &message, Reply::created)
}

pub(super) fn copy(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let target = target(cx)?;
    let copy = copy_one(cx, &message, target)?;
    tell_changed(cx, &copy, Reply::created)
}

/// Which messages a path means.
#[derive(Clone, Copy, Debug)]
enum Scope {
    Everything,
    Folder(MailboxId),
    /// The folder that all are below has no messages.
    Nothing,
}

impl Scope {
    fn find(
        self,
        cx: &Cx<'_>,
        query: &ListQuery<odata::Message>,
        page: Page,
        counts: bool,
    ) -> Result<Found, Failure> {
        let folder = match self {
            Self::Everything => None,
            Self::Folder(folder) => Some(folder),
            Self::Nothing => return Ok(Found::default()),
        };
        find(cx, folder, &query.criteria, page, counts)
    }
}

fn scope(cx: &mut Cx<'_>) -> Result<Scope, Failure> {
    cx.check_me()?;
    match cx.exchange.param(Param::Folder) {
        "" => Ok(Scope::Everything),
        folder => Ok(match resolve(cx, folder)? {
            Parent::Root => Scope::Nothing,
            Parent::Folder(folder) => Scope::Folder(folder.id),
        }),
    }
}

/// The query, folders in it named by their ids.
fn query(cx: &Cx<'_>) -> Result<ListQuery<odata::Message>, Failure> {
    let bounds = cx.service().filter_bounds();
    let mut query = ListQuery::parse(&cx.exchange.options, bounds)?;
    let is_folder = |name| name == MessageText::ParentFolderId;
    lists::name_folders(cx, &mut query.criteria, is_folder)?;
    Ok(query)
}

/// Where a message is to go.
fn target(cx: &mut Cx<'_>) -> Result<MailboxId, Failure> {
    match destination(cx)? {
        Parent::Root => Err(ApiError::move_refused().into()),
        Parent::Folder(folder) => Ok(folder.id),
    }
}

pub(super) fn is_draft(message: &StoredMessage) -> bool {
    message.state.flags.system.contains(SystemFlags::DRAFT)
}

fn etag(message: &StoredMessage) -> String {
    Message::etag_of(&message.data, message.state.modseq)
}

fn with_etag(reply: Reply, etag: String) -> Reply {
    reply.with(const { FieldName::new("ETag") }, etag)
}

/// Whether a list of etags has this one; they are compared weakly (RFC 9110 §8.8.3.2).
fn names_etag(list: &str, etag: &str) -> bool {
    fn opaque(etag: &str) -> &str {
        etag.trim().trim_start_matches("W/")
    }
    let mut etags = list.split(',');
    etags.any(|known| known.trim() == "*" || opaque(known) == opaque(etag))
}

/// `If-Match`: the MODSEQ that the message must still have when it is written.
pub(super) fn check_etag(cx: &Cx<'_>, message: &StoredMessage) -> Result<Option<ModSeq>, Failure> {
    match cx.exchange.if_match.as_deref() {
        None | Some("*") => Ok(None),
        Some(known) if names_etag(known, &etag(message)) => Ok(Some(message.state.modseq)),
        Some(_) => Err(ApiError::changed_since().into()),
    }
}

/// A message that was changed, as it is now.
pub(super) fn tell_changed(
    cx: &Cx<'_>,
    message: &StoredMessage,
    reply: fn(Value) -> Reply,
) -> Outcome {
    let told = Telling::by_default().tell_single(cx, message)?;
    Ok(preferring(cx, with_etag(reply(told), etag(message))))
}

pub(super) fn only(message: &StoredMessage) -> UidSet {
    UidSet::from(message.data.uid..=message.data.uid)
}

pub(super) fn move_one(
    cx: &mut Cx<'_>,
    message: &StoredMessage,
    target: MailboxId,
) -> Result<(), Failure> {
    let written = cx.write(vec![AccountWrite::Move {
        source: message.mailbox,
        uids: only(message),
        target: MailboxRef::Id(target),
    }])?;
    match written.as_slice() {
        [AccountWritten::Copied { target, .. }] if !target.is_empty() => Ok(()),
        _ => Err(ApiError::item_not_found().into()),
    }
}

pub(super) fn copy_one(
    cx: &mut Cx<'_>,
    message: &StoredMessage,
    target: MailboxId,
) -> Result<StoredMessage, Failure> {
    let written = cx.write(vec![AccountWrite::Copy {
        source: message.mailbox,
        uids: only(message),
        target: MailboxRef::Id(target),
    }])?;
    let uids = match written.as_slice() {
        [AccountWritten::Copied { target, .. }] => target.as_slice(),
        _ => &[],
    };
    let account = cx.account().id;
    let (copies, _) = cx
        .store()
        .messages(account, target, uids, Columns::default(), 0)?;
    let copy = copies.first().ok_or_else(ApiError::item_not_found)?;
    cx.message_by_id(&copy.instance_id.to_string())
}

/// Moves a message to Deleted Items; from there it goes for good.
pub(super) fn discard_one(cx: &mut Cx<'_>, message: &StoredMessage) -> Result<(), Failure> {
    let trash = cx.known_folder(WellKnown::DeletedItems)?;
    let folders = cx.folders()?;
    let mut within = folders.subtree(&trash).into_iter();
    match within.any(|folder| folder.id == message.mailbox) {
        true => purge_one(cx, message),
        false => move_one(cx, message, trash.id),
    }
}

pub(super) fn purge_one(cx: &mut Cx<'_>, message: &StoredMessage) -> Result<(), Failure> {
    cx.write(vec![
        AccountWrite::StoreFlags {
            mailbox: message.mailbox,
            uids: only(message),
            mode: StoreMode::Add,
            flags: Flags::system(SystemFlags::DELETED),
            unchanged_since: None,
        },
        AccountWrite::Expunge {
            mailbox: message.mailbox,
            uids: Some(only(message)),
        },
    ])?;
    Ok(())
}

/// Changes what is kept beside the content, if it has not changed since.
pub(super) fn change_state(
    cx: &mut Cx<'_>,
    message: &StoredMessage,
    change: &StateChange,
    unchanged_since: Option<ModSeq>,
) -> Result<(), Failure> {
    let (removed, added) = flag_changes(cx, message, change)?;
    let old = &message.state.flags;
    let new = old.without(&removed).with(&added);
    let mut batch = Vec::new();
    let store = |mode, flags, unchanged_since| AccountWrite::StoreFlags {
        mailbox: message.mailbox,
        uids: only(message),
        mode,
        flags,
        unchanged_since,
    };
    match unchanged_since {
        Some(_) if new != *old => {
            // Written first, and alone: what follows must not happen when it is refused.
            let written = cx.write(vec![store(StoreMode::Replace, new, unchanged_since)])?;
            if let [AccountWritten::Stored { modified }] = written.as_slice()
                && !modified.is_empty()
            {
                return Err(ApiError::changed_since().into());
            }
        }
        Some(_) => {}
        None => {
            // What others set meanwhile stays.
            if old.without(&removed) != *old {
                batch.push(store(StoreMode::Remove, removed, None));
            }
            if old.with(&added) != *old {
                batch.push(store(StoreMode::Add, added, None));
            }
        }
    }
    let extras = changed_extras(message, change);
    if extras != message.extras {
        batch.push(AccountWrite::SetExtras {
            mailbox: message.mailbox,
            uid: message.data.uid,
            extras,
        });
    }
    if !batch.is_empty() {
        cx.write(batch)?;
    }
    Ok(())
}

/// Flags that go and flags that come.
pub(super) fn flag_changes(
    cx: &mut Cx<'_>,
    message: &StoredMessage,
    change: &StateChange,
) -> Result<(Flags, Flags), Failure> {
    let (mut removed, mut added) = (Flags::default(), Flags::default());
    if let Some(is_read) = change.is_read {
        let side = if is_read { &mut added } else { &mut removed };
        side.system = side.system | SystemFlags::SEEN;
    }
    let status = change.flag.and_then(|flag| flag.status);
    if let Some(status) = status {
        let flagged = Flags::system(SystemFlags::FLAGGED);
        let completed = Flags {
            keywords: Keyword::new(COMPLETED).into_iter().collect(),
            ..Flags::default()
        };
        let (gone, come) = match status {
            FlagStatus::NotFlagged => (flagged.with(&completed), Flags::default()),
            FlagStatus::Flagged => (completed, flagged),
            FlagStatus::Complete => (flagged, completed),
        };
        (removed, added) = (removed.with(&gone), added.with(&come));
    }
    if let Some(names) = &change.categories {
        let mut known = Categories::load(cx)?;
        let wanted = known.keywords(names)?;
        known.save(cx)?;
        let present = message.state.flags.keywords.iter();
        let present = Flags {
            keywords: present
                .filter(|it| !is_system_keyword(it))
                .cloned()
                .collect(),
            ..Flags::default()
        };
        removed = removed.with(&present.without(&wanted));
        added = added.with(&wanted);
    }
    Ok((removed, added))
}

fn changed_extras(message: &StoredMessage, change: &StateChange) -> String {
    let mut extras = Extras::of(message);
    if let Some(importance) = change.importance {
        extras.importance = Some(importance.name().to_owned());
    }
    if let Some(flag) = &change.flag {
        extras.flag_dates = changed_dates(flag, extras.flag_dates);
    }
    match extras == Extras::of(message) {
        true => message.extras.clone(),
        false => extras.write(),
    }
}

fn changed_dates(flag: &FlagChange, dates: [Option<i64>; 3]) -> [Option<i64>; 3] {
    let dates = dates.map(|date| date.map(UnixTime));
    flag.apply(dates).map(|date| date.map(|date| date.0))
}
