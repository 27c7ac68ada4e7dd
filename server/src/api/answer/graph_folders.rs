//! `{me}/mailFolders`

use std::borrow::Cow;

use rmail_proto::{http::Status, imap::MailboxStatus};
use rmail_store::{AccountWrite, Listing, MailboxRef};
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome,
    folders::{Folder, Folders, check_name, count as counted, is_root, join, name_error, root_of},
    lists::{self, Page},
    reply::Reply,
};
use crate::api::{
    error::ApiError,
    json::ArrayWriter,
    odata::{
        self, ElementValues, Expand, FolderBoolean, FolderNumber, FolderText, ListQuery, Never,
        Select, Values,
    },
    resources::{Importance, MailFolder},
    routes::Param,
    schema::Schema,
    time::Timestamp,
};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    list_below(cx, None)
}

pub(super) fn list_children(cx: &mut Cx<'_>) -> Outcome {
    match parent(cx)? {
        Parent::Root => list_below(cx, None),
        Parent::Folder(folder) => list_below(cx, Some(&folder)),
    }
}

pub(super) fn count(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    count_below(cx, None)
}

pub(super) fn count_children(cx: &mut Cx<'_>) -> Outcome {
    match parent(cx)? {
        Parent::Root => count_below(cx, None),
        Parent::Folder(folder) => count_below(cx, Some(&folder)),
    }
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    let query = query(cx)?;
    let target = target(cx)?;
    let folders = cx.folders()?;
    let mut told = match target {
        Parent::Root => {
            let children = folders.children(None).len();
            MailFolder::root(folders.root(), counted(children)).tell(&query.select)
        }
        Parent::Folder(folder) => tell(cx, &folders, &folder, &query)?,
    };
    add_context(cx, &mut told);
    Ok(Reply::ok(told))
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    create_below(cx, None)
}

pub(super) fn create_child(cx: &mut Cx<'_>) -> Outcome {
    match parent(cx)? {
        Parent::Root => create_below(cx, None),
        Parent::Folder(folder) => create_below(cx, Some(&folder)),
    }
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let folder = mailbox_target(cx, ApiError::access_denied)?;
    check_etag(cx)?;
    let body = cx.json()?;
    if let Some(name) = display_name(&body)? {
        if folder.well_known.is_some() {
            return Err(ApiError::access_denied().into());
        }
        let name = check_name(name)?;
        let folders = cx.folders()?;
        let parent = folders.parent(&folder).cloned();
        let is_same = name.to_lowercase() == folder.last_part().to_lowercase();
        if !is_same && folders.is_taken(parent.as_ref(), &name) {
            return Err(ApiError::folder_exists().into());
        }
        if name != folder.last_part() {
            cx.rename_folder(&folder, join(parent.as_ref(), &name))
                .map_err(name_error)?;
        }
    }
    told_again(cx, &folder, Reply::ok)
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let folder = mailbox_target(cx, ApiError::distinguished_folder_delete)?;
    check_etag(cx)?;
    if folder.well_known.is_some() {
        return Err(ApiError::distinguished_folder_delete().into());
    }
    cx.discard_folder(&folder)?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn purge(cx: &mut Cx<'_>) -> Outcome {
    let folder = mailbox_target(cx, ApiError::distinguished_folder_delete)?;
    if folder.well_known.is_some() {
        return Err(ApiError::distinguished_folder_delete().into());
    }
    let folders = cx.folders()?;
    cx.delete_folders(&folders.subtree(&folder))?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn relocate(cx: &mut Cx<'_>) -> Outcome {
    let folder = mailbox_target(cx, ApiError::distinguished_folder_move)?;
    if folder.well_known.is_some() {
        return Err(ApiError::distinguished_folder_move().into());
    }
    let target = destination(cx)?;
    let folders = cx.folders()?;
    check_not_below(&folders, &folder, &target)?;
    if folders.parent_id(&folder) != target.id(&folders) {
        let name = folder.last_part().to_owned();
        if folders.is_taken(target.folder(), &name) {
            return Err(ApiError::folder_exists().into());
        }
        cx.rename_folder(&folder, join(target.folder(), &name))
            .map_err(name_error)?;
    }
    told_again(cx, &folder, Reply::created)
}

pub(super) fn copy(cx: &mut Cx<'_>) -> Outcome {
    let folder = mailbox_target(cx, ApiError::access_denied)?;
    let target = destination(cx)?;
    let folders = cx.folders()?;
    check_not_below(&folders, &folder, &target)?;
    let mut name = folder.last_part().to_owned();
    if folder.well_known.is_some() {
        folder.display_name().clone_into(&mut name);
    }
    if folders.is_taken(target.folder(), &name) {
        return Err(ApiError::folder_exists().into());
    }
    let top = join(target.folder(), &name);
    for source in folders.subtree(&folder) {
        let below = &source.name[folder.name.len()..];
        copy_one(cx, source, &format!("{top}{below}"))?;
    }
    let folders = cx.folders()?;
    let made = folders.by_name(&top).ok_or_else(ApiError::internal)?;
    told_again(cx, &made.clone(), Reply::created)
}

fn copy_one(cx: &mut Cx<'_>, source: &Folder, name: &str) -> Result<(), Failure> {
    let listing = Listing {
        mailbox: Some(source.id),
        ..Listing::default()
    };
    let (messages, _) = cx.store().list(cx.account().id, &listing, false)?;
    let uids = messages.iter().map(|message| message.data.uid).collect();
    cx.write(vec![
        AccountWrite::CreateMailbox {
            name: name.to_owned(),
            special_use: None,
        },
        AccountWrite::Copy {
            source: source.id,
            uids,
            target: MailboxRef::Name(name.to_owned()),
        },
    ])
    .map_err(name_error)?;
    Ok(())
}

/// A place in the tree: the root is no mailbox.
#[derive(Clone, Debug)]
pub(super) enum Parent {
    Root,
    Folder(Folder),
}

impl Parent {
    pub(super) fn folder(&self) -> Option<&Folder> {
        match self {
            Self::Root => None,
            Self::Folder(folder) => Some(folder),
        }
    }

    fn id(&self, folders: &Folders) -> rmail_proto::MailboxId {
        self.folder().map_or(folders.root(), |folder| folder.id)
    }
}

/// `destinationId` of the content.
pub(super) fn destination(cx: &mut Cx<'_>) -> Result<Parent, Failure> {
    let body = cx.json()?;
    let id = lists::parameter(&body, "destinationId").and_then(Value::as_str);
    let Some(id) = id else {
        let message = "destinationId is required.".to_owned();
        return Err(ApiError::property_missing().with_message(message).into());
    };
    resolve(cx, id)
}

/// What a key of a path or a content names.
pub(super) fn resolve(cx: &mut Cx<'_>, key: &str) -> Result<Parent, Failure> {
    match is_root(root_of(cx.account()), key) {
        true => Ok(Parent::Root),
        false => Ok(Parent::Folder(cx.folder(key)?)),
    }
}

/// The folder of the path's first key.
fn parent(cx: &mut Cx<'_>) -> Result<Parent, Failure> {
    cx.check_me()?;
    let key = cx.exchange.param(Param::Folder);
    resolve(cx, key)
}

/// The folder that the path ends in.
fn target(cx: &mut Cx<'_>) -> Result<Parent, Failure> {
    let parent = parent(cx)?;
    let child = cx.exchange.param(Param::ChildFolder);
    if child.is_empty() {
        return Ok(parent);
    }
    let folder = cx.folder(child)?;
    let folders = cx.folders()?;
    match folders.parent_id(&folder) == parent.id(&folders) {
        true => Ok(Parent::Folder(folder)),
        false => Err(ApiError::item_not_found().into()),
    }
}

/// The same, where the root can't be meant.
fn mailbox_target(cx: &mut Cx<'_>, of_root: fn() -> ApiError) -> Result<Folder, Failure> {
    match target(cx)? {
        Parent::Root => Err(of_root().into()),
        Parent::Folder(folder) => Ok(folder),
    }
}

/// Folders have no version that a client is told: only `*` is the present one.
fn check_etag(cx: &Cx<'_>) -> Result<(), Failure> {
    match cx.exchange.if_match.as_deref() {
        None | Some("*") => Ok(()),
        Some(_) => Err(ApiError::changed_since().into()),
    }
}

fn check_not_below(folders: &Folders, folder: &Folder, target: &Parent) -> Result<(), Failure> {
    let is_below = target.folder().is_some_and(|target| {
        let below = folders.subtree(folder);
        below.iter().any(|it| it.id == target.id)
    });
    match is_below {
        true => Err(ApiError::move_refused().into()),
        false => Ok(()),
    }
}

fn query(cx: &Cx<'_>) -> Result<ListQuery<odata::MailFolder>, Failure> {
    let bounds = cx.service().filter_bounds();
    let mut query = ListQuery::parse(&cx.exchange.options, bounds)?;
    let is_folder = |name| matches!(name, FolderText::Id | FolderText::ParentFolderId);
    lists::name_folders(cx, &mut query.criteria, is_folder)?;
    Ok(query)
}

fn display_name(body: &Map<String, Value>) -> Result<Option<&str>, Failure> {
    match body.get("displayName") {
        None => Ok(None),
        Some(Value::String(name)) => Ok(Some(name)),
        Some(_) => {
            let message = "displayName must be a string.".to_owned();
            Err(ApiError::invalid_request().with_message(message).into())
        }
    }
}

fn create_below(cx: &mut Cx<'_>, parent: Option<&Folder>) -> Outcome {
    let body = cx.json()?;
    let Some(name) = display_name(&body)? else {
        let message = "displayName is required.".to_owned();
        return Err(ApiError::property_missing().with_message(message).into());
    };
    let name = check_name(name)?;
    if cx.folders()?.is_taken(parent, &name) {
        return Err(ApiError::folder_exists().into());
    }
    let name = join(parent, &name);
    cx.write(vec![
        AccountWrite::CreateMailbox {
            name: name.clone(),
            special_use: None,
        },
        AccountWrite::Subscribe {
            name: name.clone(),
            subscribed: true,
        },
    ])
    .map_err(name_error)?;
    let folders = cx.folders()?;
    let made = folders.by_name(&name).ok_or_else(ApiError::internal)?;
    told_again(cx, &made.clone(), Reply::created)
}

/// A folder as it is now, with the context of a single one.
fn told_again(cx: &mut Cx<'_>, folder: &Folder, reply: fn(Value) -> Reply) -> Outcome {
    let folders = cx.folders()?;
    let folder = folders
        .by_id(folder.id)
        .ok_or_else(ApiError::item_not_found)?;
    let select = Select::by_default(Schema::MailFolder);
    let mut told = cx.mail_folder(&folders, folder)?.tell(&select);
    add_context(cx, &mut told);
    Ok(reply(told))
}

fn add_context(cx: &Cx<'_>, told: &mut Value) {
    let of = format!("users('{}')/mailFolders/$entity", lists::me(cx));
    told["@odata.context"] = json!(cx.metadata(&of));
}

fn tell(
    cx: &Cx<'_>,
    folders: &Folders,
    folder: &Folder,
    query: &ListQuery<odata::MailFolder>,
) -> Result<Value, Failure> {
    let mut told = cx.mail_folder(folders, folder)?.tell(&query.select);
    if let Expand {
        child_folders: Some(select),
        ..
    } = &query.expand
    {
        let children = folders.children(Some(folder)).into_iter();
        let children = children.map(|child| Ok(cx.mail_folder(folders, child)?.tell(select)));
        let children: Result<Vec<Value>, Failure> = children.collect();
        told["childFolders"] = Value::Array(children?);
    }
    Ok(told)
}

fn count_below(cx: &mut Cx<'_>, parent: Option<&Folder>) -> Outcome {
    let listed = chosen(cx, parent, &query(cx)?)?;
    Ok(Reply::bytes("text/plain", listed.len().to_string()))
}

fn list_below(cx: &mut Cx<'_>, parent: Option<&Folder>) -> Outcome {
    let query = query(cx)?;
    let chosen = chosen(cx, parent, &query)?;
    let folders = cx.folders()?;
    let page = Page::of_query(cx, &query)?;
    let total = chosen.len() as u64;
    let shown = chosen
        .into_iter()
        .skip(usize::try_from(page.skip).unwrap_or(usize::MAX))
        .take(page.items as usize);
    let shown: Result<Vec<Value>, Failure> = shown
        .map(|folder| tell(cx, &folders, &folder, &query))
        .collect();
    let of = format!("users('{}')/mailFolders", lists::me(cx));
    page.reply(cx, &of, &ArrayWriter::of(shown?), total, query.count)
}

/// Those below a folder that the query asks for, in its order.
fn chosen(
    cx: &Cx<'_>,
    parent: Option<&Folder>,
    query: &ListQuery<odata::MailFolder>,
) -> Result<Vec<Folder>, Failure> {
    let folders = cx.folders()?;
    let children = folders.children(parent).into_iter();
    let children = children.map(|folder| {
        let status = cx.status(folder)?;
        Ok(FolderItem {
            folder: folder.clone(),
            parent: folders.parent_id(folder),
            children: counted(folders.children(Some(folder)).len()),
            status,
        })
    });
    let children: Result<Vec<FolderItem>, Failure> = children.collect();
    let chosen = lists::choose(children?, &query.criteria, |item| {
        item.folder.id.to_string()
    })?;
    Ok(chosen.into_iter().map(|item| item.folder).collect())
}

/// A folder with what a filter or an order may ask of it.
#[derive(Clone, Debug)]
pub(super) struct FolderItem {
    pub(super) folder: Folder,
    pub(super) parent: rmail_proto::MailboxId,
    pub(super) children: u32,
    pub(super) status: MailboxStatus,
}

impl Values<odata::MailFolder> for FolderItem {
    fn text(&self, name: FolderText) -> Option<Cow<'_, str>> {
        Some(match name {
            FolderText::Id => Cow::Owned(self.folder.id.to_string()),
            FolderText::DisplayName => Cow::Borrowed(self.folder.display_name()),
            FolderText::ParentFolderId => Cow::Owned(self.parent.to_string()),
        })
    }

    fn number(&self, name: FolderNumber) -> Option<i64> {
        Some(i64::from(match name {
            FolderNumber::TotalItems => self.status.messages,
            FolderNumber::UnreadItems => self.status.unseen,
            FolderNumber::ChildFolders => self.children,
        }))
    }

    fn boolean(&self, name: FolderBoolean) -> bool {
        match name {
            FolderBoolean::IsHidden => false,
        }
    }

    fn time(&self, name: Never) -> Option<Timestamp> {
        match name {}
    }

    fn rank(&self, name: Never) -> Importance {
        match name {}
    }

    fn elements(&self, name: Never) -> Vec<ElementValues<'_>> {
        match name {}
    }
}
