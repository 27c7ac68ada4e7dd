//! `{me}/outlook/masterCategories`

use rmail_proto::http::Status;
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome,
    categories::{Categories, Master},
    lists::{self, Page},
    reply::Reply,
};
use crate::{
    api::{
        error::ApiError,
        json::ArrayWriter,
        odata::{self, ListQuery},
        routes::Param,
        token::{read_guid, write_guid},
    },
    limits,
};

/// `preset0` to this one.
const PRESETS: u32 = 25;

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    // Nothing of a folder is asked: the options of all lists are these.
    let options = cx.exchange.options.without("select");
    let query = ListQuery::<odata::MailFolder>::parse(&options, cx.service().filter_bounds())?;
    let page = Page::of_query(cx, &query)?;
    let masters = Categories::load(cx)?.masters;
    let total = masters.len() as u64;
    let shown = masters
        .iter()
        .skip(usize::try_from(page.skip).unwrap_or(usize::MAX))
        .take(page.items as usize)
        .map(tell);
    let of = format!("users('{}')/outlook/masterCategories", lists::me(cx));
    page.reply(cx, &of, &ArrayWriter::of(shown), total, query.count)
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let body = cx.json()?;
    let name = body
        .get("displayName")
        .and_then(Value::as_str)
        .map(str::trim);
    let name = name.ok_or_else(|| {
        let message = "displayName is required.".to_owned();
        ApiError::property_missing().with_message(message)
    })?;
    let is_good = !name.is_empty()
        && name.chars().count() <= limits::CATEGORY_NAME_CHARS
        && !name.chars().any(char::is_control);
    if !is_good {
        return Err(invalid("displayName"));
    }
    let color = color(&body)?.unwrap_or_else(|| "none".to_owned());
    let mut categories = Categories::load(cx)?;
    let lower = name.to_lowercase();
    if categories
        .masters
        .iter()
        .any(|known| known.name.to_lowercase() == lower)
    {
        return Err(ApiError::category_exists().into());
    }
    if categories.masters.len() >= limits::CATEGORY_NAMES {
        let message = "There are too many categories.".to_owned();
        return Err(ApiError::invalid_request().with_message(message).into());
    }
    let master = Master {
        id: write_guid(cx.draw_id()),
        name: name.to_owned(),
        color,
    };
    let told = tell(&master);
    categories.masters.push(master);
    categories.save(cx)?;
    Ok(Reply::created(with_context(cx, told)))
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let categories = Categories::load(cx)?;
    let index = position(cx, &categories)?;
    let told = tell(&categories.masters[index]);
    Ok(Reply::ok(with_context(cx, told)))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let body = cx.json()?;
    let mut categories = Categories::load(cx)?;
    let index = position(cx, &categories)?;
    let master = &mut categories.masters[index];
    let name = body.get("displayName").and_then(Value::as_str);
    if name.is_some_and(|name| name != master.name) {
        let message = "The name of a category can't be changed.".to_owned();
        return Err(ApiError::property_not_writable()
            .with_message(message)
            .into());
    }
    if let Some(color) = color(&body)? {
        master.color = color;
    }
    let told = tell(master);
    categories.save(cx)?;
    Ok(Reply::ok(with_context(cx, told)))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let mut categories = Categories::load(cx)?;
    let index = position(cx, &categories)?;
    categories.masters.remove(index);
    categories.save(cx)?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

fn position(cx: &Cx<'_>, categories: &Categories) -> Result<usize, Failure> {
    let wanted = read_guid(cx.exchange.param(Param::Category));
    let wanted = wanted.ok_or_else(ApiError::item_not_found)?;
    let mut masters = categories.masters.iter();
    let found = masters.position(|master| read_guid(&master.id) == Some(wanted));
    Ok(found.ok_or_else(ApiError::item_not_found)?)
}

/// `none`, or `preset0` and so on, in any case.
fn color(body: &Map<String, Value>) -> Result<Option<String>, Failure> {
    let Some(value) = body.get("color").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let text = value.as_str().unwrap_or_default().to_ascii_lowercase();
    let preset = text
        .strip_prefix("preset")
        .and_then(|it| it.parse::<u32>().ok());
    match text == "none" || preset.is_some_and(|preset| preset < PRESETS) {
        true => Ok(Some(text)),
        false => Err(invalid("color")),
    }
}

fn invalid(name: &str) -> Failure {
    ApiError::invalid_request()
        .with_message(format!("The value of '{name}' is not valid."))
        .into()
}

fn tell(master: &Master) -> Value {
    json!({"id": master.id, "displayName": master.name, "color": master.color})
}

fn with_context(cx: &Cx<'_>, mut told: Value) -> Value {
    let of = format!(
        "users('{}')/outlook/masterCategories/$entity",
        lists::me(cx)
    );
    told["@odata.context"] = json!(cx.metadata(&of));
    told
}
