//! `/v1.0/subscriptions`

#[cfg(test)]
mod tests;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rmail_proto::{
    UnixTime,
    http::{Method, Status},
};
use rmail_store::{DirectoryWrite, Record, RecordKind, StoreError};
use serde_json::{Map, Value, json};

use super::{Cx, Failure, Outcome, lists::Page, reply::Reply};
use crate::{
    api::{
        error::ApiError,
        json::ArrayWriter,
        odata::{self, ListQuery},
        routes::{Param, RouteName},
        subscriptions::{ChangeKind, Marks, Subscription},
        time::parse_time,
        token::read_guid,
    },
    limits,
    outside::{
        target::Target,
        webhooks::{PostAnswer, PostError, Posting, Purpose},
    },
};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    // Nothing of a folder is asked: the options of all lists are these.
    let query = ListQuery::<odata::MailFolder>::parse(
        &cx.exchange.options.without("select"),
        cx.service().filter_bounds(),
    )?;
    let page = Page::of_query(cx, &query)?;
    let records = own(cx)?;
    let total = records.len() as u64;
    let shown = records
        .iter()
        .skip(usize::try_from(page.skip).unwrap_or(usize::MAX))
        .take(page.items as usize)
        .filter_map(|record| Some(Subscription::read(record)?.tell(record, cx.account().guid)));
    page.reply(
        cx,
        "subscriptions",
        &ArrayWriter::of(shown),
        total,
        query.count,
    )
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    let (record, subscription) = named(cx)?;
    Ok(Reply::ok(tell(cx, &record, &subscription)))
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let resource = required(&body, "resource")?;
    let kinds = read_kinds(&required(&body, "changeType")?)?;
    let expires_at = read_expiry(cx, &required(&body, "expirationDateTime")?)?;
    let notification_url = required(&body, "notificationUrl")?;
    let lifecycle_url = text(&body, "lifecycleNotificationUrl")?;
    let client_state = text(&body, "clientState")?;
    let is_too_long = |state: &String| state.chars().count() > limits::CLIENT_STATE_CHARS;
    if client_state.as_ref().is_some_and(is_too_long) {
        return Err(refuse("clientState has 128 characters at most."));
    }
    if body.get("includeResourceData") == Some(&Value::Bool(true)) {
        return Err(refuse("Notifications don't include resource data here."));
    }
    let folder = read_resource(cx, &resource)?;
    let count_max = cx
        .service()
        .config
        .exchange_api
        .limits
        .subscriptions_per_mailbox;
    if own(cx)?.len() >= count_max.get() {
        let message = format!("A mailbox has {count_max} subscriptions at most.");
        return Err(ApiError::access_denied().with_message(message).into());
    }
    let mut targets = vec![notification_url.as_str()];
    targets.extend(
        lifecycle_url
            .as_deref()
            .filter(|url| *url != notification_url),
    );
    validate(cx, &targets)?;
    let account = cx.account().id;
    let marks = match Marks::now(cx.store(), account, folder) {
        Err(StoreError::NoSuchMailbox) => return Err(ApiError::item_not_found().into()),
        marks => marks?,
    };
    let subscription = Subscription {
        resource,
        folder: folder.map(|folder| folder.to_string()),
        kinds,
        notification_url,
        lifecycle_url,
        client_state,
        tls_version: text(&body, "latestSupportedTlsVersion")?,
        marks,
        untold: None,
    };
    let record = subscription.to_record(cx.draw_guid(), account, expires_at);
    cx.write_subscription(DirectoryWrite::PutRecord(record.clone()))?;
    Ok(Reply::created(tell(cx, &record, &subscription)))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let (record, subscription) = named(cx)?;
    let body = cx.json()?;
    let expires_at = match text(&body, "expirationDateTime")? {
        Some(time) => Some(read_expiry(cx, &time)?),
        None => None,
    };
    let notification_url = text(&body, "notificationUrl")?;
    if let Some(url) = &notification_url {
        validate(cx, &[url])?;
    }
    let (mut record, mut subscription) = (record, subscription);
    // It changes by itself whenever its target is told of something.
    for _ in 0..limits::NOTIFICATIONS_TRIES {
        let changed = Subscription {
            notification_url: match &notification_url {
                Some(url) => url.clone(),
                None => subscription.notification_url.clone(),
            },
            ..subscription
        };
        let expires_at = expires_at.unwrap_or(record.expires_at);
        let replacement = changed.to_record(record.key, cx.account().id, expires_at);
        let write = DirectoryWrite::ReplaceRecord {
            record: replacement.clone(),
            expected: record.value,
        };
        match cx.write_subscription(write) {
            Ok(()) => return Ok(Reply::ok(tell(cx, &replacement, &changed))),
            Err(Failure::Store(StoreError::ChangedSince)) => {}
            Err(failure) => return Err(failure),
        }
        (record, subscription) = named(cx)?;
    }
    Err(ApiError::changed_since().into())
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let (record, _subscription) = named(cx)?;
    cx.write_subscription(DirectoryWrite::DropRecord(record.kind, record.key))?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// All of the token's mailbox.
fn own(cx: &Cx<'_>) -> Result<Vec<Record>, Failure> {
    let account = Some(cx.account().id);
    let records = cx
        .store()
        .records(cx.now(), RecordKind::Subscription, account);
    let mut records = records?;
    records.retain(|record| Subscription::read(record).is_none_or(|it| !it.is_over()));
    Ok(records)
}

/// The one that the path names. Those of others are not there.
fn named(cx: &Cx<'_>) -> Result<(Record, Subscription), Failure> {
    let refuse = || Failure::from(ApiError::subscription_not_found());
    let key = read_guid(cx.exchange.param(Param::Subscription)).ok_or_else(refuse)?;
    let record = cx.store().record(cx.now(), RecordKind::Subscription, key)?;
    let record = record.filter(|record| record.account == Some(cx.account().id));
    let record = record.ok_or_else(refuse)?;
    let subscription = Subscription::read(&record).filter(|it| !it.is_over());
    Ok((record, subscription.ok_or_else(refuse)?))
}

fn tell(cx: &Cx<'_>, record: &Record, subscription: &Subscription) -> Value {
    let mut told = subscription.tell(record, cx.account().guid);
    told["@odata.context"] = json!(cx.metadata("subscriptions/$entity"));
    told
}

fn refuse(message: &str) -> Failure {
    ApiError::invalid_request()
        .with_message(message.to_owned())
        .into()
}

fn text(body: &Map<String, Value>, name: &str) -> Result<Option<String>, Failure> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(refuse(&format!("{name} must be a string."))),
    }
}

fn required(body: &Map<String, Value>, name: &str) -> Result<String, Failure> {
    let text = text(body, name)?.filter(|text| !text.is_empty());
    text.ok_or_else(|| {
        let message = format!("{name} is required.");
        ApiError::property_missing().with_message(message).into()
    })
}

/// `created,updated,deleted` or some of them.
fn read_kinds(text: &str) -> Result<Vec<ChangeKind>, Failure> {
    let mut kinds = Vec::new();
    for name in text.split(',').map(str::trim) {
        let mut known = ChangeKind::ALL.into_iter();
        let kind = known.find(|kind| kind.name().eq_ignore_ascii_case(name));
        let message = "changeType is a list of created, updated and deleted.";
        let kind = kind.ok_or_else(|| refuse(message))?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    Ok(kinds)
}

fn read_expiry(cx: &Cx<'_>, text: &str) -> Result<UnixTime, Failure> {
    let time = parse_time(text).ok_or_else(|| refuse("expirationDateTime is not a time."))?;
    let life_max = limits::SUBSCRIPTION_LIFE.as_secs().cast_signed();
    let is_good = (1..=life_max).contains(&time.unix.0.saturating_sub(cx.now().0));
    let message = "expirationDateTime must be in the future, by 10,080 minutes at most.";
    is_good.then_some(time.unix).ok_or_else(|| refuse(message))
}

/// `me/messages`, or that of a folder, or of `users/{id}`; the folder, if there is one.
fn read_resource(
    cx: &mut Cx<'_>,
    resource: &str,
) -> Result<Option<rmail_proto::MailboxId>, Failure> {
    let path = format!("/v1.0/{}", resource.strip_prefix('/').unwrap_or(resource));
    let matched = match resource.contains(['?', '#']) {
        true => None,
        false => cx.service().find(Method::Get, &path).ok(),
    };
    let matched = matched.filter(|matched| matched.route.name == RouteName::ListMessages);
    let matched = matched.ok_or_else(ApiError::invalid_subscription)?;
    let user = matched.param(Param::User).unwrap_or_default();
    if !user.is_empty() && !cx.names_me(user) {
        return Err(ApiError::access_denied().into());
    }
    match matched.param(Param::Folder).unwrap_or_default() {
        "" => Ok(None),
        folder => Ok(Some(cx.folder(folder)?.id)),
    }
}

/// Asks each target whether it wants to be told: it must repeat what it is sent.
fn validate(cx: &mut Cx<'_>, urls: &[&str]) -> Result<(), Failure> {
    let fail = |reason: &str| {
        let message = format!("Subscription validation request failed: {reason}.");
        Failure::from(ApiError::validation_failed().with_message(message))
    };
    let exempt = &cx.service().config.exchange_api.notification_targets;
    let mut targets = Vec::new();
    for url in urls {
        let target = Target::parse(url, exempt);
        targets.push(target.map_err(|error| fail(&format!("the URL is refused, as {error}")))?);
    }
    cx.begin_handshake()?;
    for target in targets {
        let token = BASE64_URL_SAFE_NO_PAD.encode(cx.draw());
        let posting = Posting {
            target: &target.with_parameter("validationToken", &token),
            content_type: "text/plain; charset=utf-8",
            content: b"",
            purpose: Purpose::Handshake,
        };
        match cx.poster().post(&posting) {
            Ok(answer) => check_answer(&answer, &token).map_err(fail)?,
            Err(PostError::Busy) => {
                let wait = limits::POST_TIME;
                return Err(ApiError::unavailable().retry_after(wait).into());
            }
            Err(PostError::NotPublic) => return Err(fail("the host is not public")),
            Err(PostError::Failed(reason)) => {
                // What exactly went wrong would tell a stranger what there is behind the host.
                tracing::debug!(reason, "a handshake failed");
                return Err(fail("there is no good answer"));
            }
        }
    }
    Ok(())
}

fn check_answer(answer: &PostAnswer, token: &str) -> Result<(), &'static str> {
    let kind = answer.content_type.as_deref().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if answer.status != 200 {
        return Err("the status of the answer is not 200");
    }
    if !kind.eq_ignore_ascii_case("text/plain") {
        return Err("the answer is not text/plain");
    }
    match answer.content == token.as_bytes() {
        true => Ok(()),
        false => Err("the answer is not the validation token"),
    }
}
