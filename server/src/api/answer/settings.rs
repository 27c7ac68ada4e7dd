//! `{me}/mailboxSettings`

use rmail_proto::UnixTime;
use rmail_store::{AccountUpdate, AccountWrite};
use serde_json::{Map, Value, json};

use super::{Cx, Failure, Outcome, lists, reply::Reply};
use crate::api::{compose::read_date_time, error::ApiError, time::write_local_time};
use crate::outbound::automatic_reply::{SETTINGS, Settings};

/// Where the settings for automatic replies are among them.
const REPLIES: &str = "automaticRepliesSetting";

const DAY_SECONDS: i64 = 24 * 60 * 60;

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let settings = load(cx)?;
    Ok(told(cx, settings))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    cx.check_me()?;
    let changes = cx.json()?;
    let mut settings = load(cx)?;
    for (name, value) in changes {
        let Some(present) = settings.get_mut(&name) else {
            // What is not known here is passed over.
            continue;
        };
        match (name.as_str(), value) {
            (REPLIES, Value::Object(changes)) => {
                merge_replies(present, changes)?;
            }
            ("language", Value::Object(changes)) => merge_texts(present, &changes)?,
            ("timeZone" | "dateFormat" | "timeFormat", Value::String(text)) if is_short(&text) => {
                *present = Value::String(text);
            }
            // It is not changeable.
            ("userPurpose", _) => {}
            (name, _) => return Err(refuse(name)),
        }
    }
    let document = Value::Object(settings.clone()).to_string();
    cx.write(vec![AccountWrite::SetDocument {
        name: SETTINGS.to_owned(),
        value: Some(document),
    }])?;
    let replies = Settings::parse(&Value::Object(settings.clone()).to_string()).is_on();
    if replies != cx.account().replies_automatically {
        let update = AccountUpdate {
            replies_automatically: Some(replies),
            ..AccountUpdate::default()
        };
        cx.update_account(cx.account().id, update)?;
    }
    Ok(told(cx, settings))
}

fn told(cx: &Cx<'_>, settings: Map<String, Value>) -> Reply {
    let of = format!("users('{}')/mailboxSettings", lists::me(cx));
    let mut told = Value::Object(settings);
    told["@odata.context"] = json!(cx.metadata(&of));
    Reply::ok(told)
}

/// The defaults, and what was set over them.
fn load(cx: &Cx<'_>) -> Result<Map<String, Value>, Failure> {
    let mut settings = defaults(cx.now());
    if let Some(document) = cx.store().document(cx.account().id, SETTINGS)? {
        // It was written here; one that can't be read says nothing.
        let set: Map<String, Value> = serde_json::from_str(&document).unwrap_or_default();
        settings.extend(set);
    }
    Ok(settings)
}

fn defaults(now: UnixTime) -> Map<String, Value> {
    let defaults = json!({
        "timeZone": "UTC",
        "language": {"locale": "en-US", "displayName": "English (United States)"},
        "dateFormat": "yyyy-MM-dd",
        "timeFormat": "HH:mm",
        "userPurpose": "user",
        REPLIES: {
            "status": "disabled",
            "externalAudience": "all",
            "internalReplyMessage": "",
            "externalReplyMessage": "",
            "scheduledStartDateTime": date(now),
            "scheduledEndDateTime": date(UnixTime(now.0.saturating_add(DAY_SECONDS))),
        },
    });
    match defaults {
        Value::Object(defaults) => defaults,
        _ => unreachable!("it is an object"),
    }
}

fn date(time: UnixTime) -> Value {
    json!({"dateTime": write_local_time(time), "timeZone": "UTC"})
}

fn merge_replies(present: &mut Value, changes: Map<String, Value>) -> Result<(), Failure> {
    for (name, value) in changes {
        if present.get(&name).is_none() {
            continue;
        }
        let merged = match (name.as_str(), value) {
            ("status", Value::String(text)) => {
                one_of(&text, &["disabled", "alwaysEnabled", "scheduled"])
            }
            ("externalAudience", Value::String(text)) => {
                one_of(&text, &["none", "contactsOnly", "all"])
            }
            ("internalReplyMessage" | "externalReplyMessage", Value::String(text)) => {
                Some(json!(text))
            }
            ("internalReplyMessage" | "externalReplyMessage", Value::Null) => Some(json!("")),
            ("scheduledStartDateTime" | "scheduledEndDateTime", value) => {
                read_date_time(&value).ok().map(date)
            }
            (_, _) => None,
        };
        present[&name] = merged.ok_or_else(|| refuse(&name))?;
    }
    Ok(())
}

fn merge_texts(present: &mut Value, changes: &Map<String, Value>) -> Result<(), Failure> {
    for (name, value) in changes {
        let Some(text) = value.as_str().filter(|text| is_short(text)) else {
            return Err(refuse(name));
        };
        if present.get(name).is_some() {
            present[name] = json!(text);
        }
    }
    Ok(())
}

/// An enumeration's value, in any case.
fn one_of(text: &str, names: &[&str]) -> Option<Value> {
    let mut names = names.iter();
    let found = names.find(|name| name.eq_ignore_ascii_case(text));
    found.map(|name| json!(name))
}

fn is_short(text: &str) -> bool {
    const CHARS_MAX: usize = 100;
    !text.is_empty() && text.chars().count() <= CHARS_MAX && !text.chars().any(char::is_control)
}

fn refuse(name: &str) -> Failure {
    let name = crate::api::error::shorten(name);
    ApiError::invalid_request()
        .with_message(format!("The value of '{name}' is not valid."))
        .into()
}
