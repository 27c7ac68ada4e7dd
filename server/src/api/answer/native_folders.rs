//! `/folders`

use rmail_proto::http::Status;
use rmail_store::AccountWrite;
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome,
    folders::{Folder, Folders, check_name, is_root, join, name_error},
    reply::Reply,
};
use crate::api::{error::ApiError, resources::NativeFolder, routes::Param};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    let folders = cx.folders()?;
    let told: Result<Vec<Value>, Failure> = folders
        .all()
        .iter()
        .map(|folder| tell(cx, &folders, folder))
        .collect();
    Ok(Reply::ok(json!({"folders": told?})))
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let folders = cx.folders()?;
    let name = text(&body, "name")?.ok_or_else(|| refuse("name is required"))?;
    let parent = named_parent(&folders, &body)?;
    let name = match parent {
        Some(parent) => join(parent, &check_name(&name)?),
        None => check_path(&name)?,
    };
    if folders.by_name(&name).is_some() {
        return Err(exists());
    }
    let batch = vec![
        AccountWrite::CreateMailbox {
            name: name.clone(),
            special_use: None,
        },
        AccountWrite::Subscribe {
            name: name.clone(),
            subscribed: true,
        },
    ];
    cx.write(batch).map_err(name_error)?;
    let folders = cx.folders()?;
    let made = folders.by_name(&name).ok_or_else(ApiError::internal)?;
    Ok(Reply::created(tell(cx, &folders, made)?))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let folders = cx.folders()?;
    let folder = named(cx, &folders)?.clone();
    let new_name = text(&body, "name")?;
    let parent = named_parent(&folders, &body)?;
    if new_name.is_some() || parent.is_some() {
        if folder.well_known.is_some() {
            let message = "This folder can be neither renamed nor moved";
            return Err(ApiError::access_denied()
                .with_message(message.to_owned())
                .into());
        }
        let parent = parent.unwrap_or_else(|| folders.parent(&folder));
        let last = match &new_name {
            Some(name) => check_name(name)?,
            None => folder.last_part().to_owned(),
        };
        let to = join(parent, &last);
        let is_below = parent.is_some_and(|parent| {
            let below = folders.subtree(&folder);
            below.iter().any(|it| it.id == parent.id)
        });
        if is_below {
            return Err(refuse("a folder can't be moved below itself"));
        }
        if to != folder.name {
            if folders.by_name(&to).is_some() {
                return Err(exists());
            }
            cx.rename_folder(&folder, to).map_err(name_error)?;
        }
    }
    let folders = cx.folders()?;
    let folder = folders.by_id(folder.id).ok_or_else(ApiError::internal)?;
    let folder = folder.clone();
    match body.get("subscribed") {
        None => {}
        Some(Value::Bool(subscribed)) => {
            cx.write(vec![AccountWrite::Subscribe {
                name: folder.name.clone(),
                subscribed: *subscribed,
            }])?;
        }
        Some(_) => return Err(refuse("subscribed must be true or false")),
    }
    let folders = cx.folders()?;
    let folder = folders.by_id(folder.id).ok_or_else(ApiError::internal)?;
    Ok(Reply::ok(tell(cx, &folders, folder)?))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let folders = cx.folders()?;
    let folder = named(cx, &folders)?.clone();
    if folder.well_known.is_some() {
        let message = "This folder can't be deleted";
        return Err(ApiError::distinguished_folder_delete()
            .with_message(message.to_owned())
            .into());
    }
    match is_set(cx, "purge") {
        true => cx.delete_folders(&folders.subtree(&folder))?,
        false => cx.discard_folder(&folder)?,
    }
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// The folder that the path names, by id or by name.
pub(super) fn named<'f>(cx: &Cx<'_>, folders: &'f Folders) -> Result<&'f Folder, Failure> {
    find(folders, cx.exchange.param(Param::Folder))
}

/// A folder by id or by name.
pub(super) fn find<'f>(folders: &'f Folders, key: &str) -> Result<&'f Folder, Failure> {
    let by_id = rmail_proto::MailboxId::parse(key).and_then(|id| folders.by_id(id));
    let found = by_id.or_else(|| folders.by_name(key));
    Ok(found.ok_or_else(ApiError::item_not_found)?)
}

/// Whether a query's option is set.
pub(super) fn is_set(cx: &Cx<'_>, option: &str) -> bool {
    let value = cx.exchange.options.other(option);
    value.is_some_and(|value| matches!(value, "" | "1" | "true"))
}

/// A text of the content, if it is there.
pub(super) fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, Failure> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(refuse(&format!("{name} must be a string"))),
    }
}

/// 400 with a reason.
pub(super) fn refuse(message: &str) -> Failure {
    ApiError::invalid_request()
        .with_message(message.to_owned())
        .into()
}

fn exists() -> Failure {
    ApiError::folder_exists()
        .with_message("There is a folder of that name".to_owned())
        .into()
}

/// `parent_id`: absent, the root, or a folder.
fn named_parent<'f>(
    folders: &'f Folders,
    body: &Map<String, Value>,
) -> Result<Option<Option<&'f Folder>>, Failure> {
    match body.get("parent_id") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(id)) if is_root(folders.root(), id) => Ok(Some(None)),
        Some(Value::String(id)) => Ok(Some(Some(find(folders, id)?))),
        Some(_) => Err(refuse("parent_id must be a string")),
    }
}

/// A whole name, part by part.
fn check_path(name: &str) -> Result<String, Failure> {
    let parts: Result<Vec<String>, Failure> = name.split('/').map(check_name).collect();
    Ok(parts?.join("/"))
}

fn tell(cx: &Cx<'_>, folders: &Folders, folder: &Folder) -> Result<Value, Failure> {
    let parent = folders.parent(folder).map(|parent| parent.id.to_string());
    let status = cx.status(folder)?;
    let told = NativeFolder::new(&folder.mailbox, parent, Some(&status));
    Ok(serde_json::to_value(told).expect("texts and numbers are JSON"))
}
