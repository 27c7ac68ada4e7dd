//! `/messages`, `/folders/{folder}/messages`

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rmail_proto::{
    DateTime, Flags, Keyword, SystemFlags,
    http::{FieldName, FieldValue, Status},
    imap::StoreMode,
};
use rmail_store::{AccountWrite, ListOrder, Listing, MailboxRef, StoredMessage};
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome,
    context::facts,
    drafts::with_origin,
    graph_messages::{copy_one, discard_one, only, purge_one},
    native_folders::{find, is_set, named, refuse, text},
    reply::{Content, Reply},
    sending::{SentCopy, submit},
};
use crate::{
    api::{
        compose::{NativeSubmission, SendDate},
        error::ApiError,
        resources::{CategoryNames, NativeMessage, Summary, attachment_content},
        routes::Param,
        time::{parse_date, parse_time},
    },
    limits,
};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    let folders = cx.folders()?;
    let folder = named(cx, &folders)?;
    let mut listing = Listing {
        mailbox: Some(folder.id),
        ..Listing::default()
    };
    if is_set(cx, "unseen") {
        listing.without = listing.without | SystemFlags::SEEN;
    }
    if is_set(cx, "flagged") {
        listing.with = listing.with | SystemFlags::FLAGGED;
    }
    if let Some(since) = cx.exchange.options.other("since") {
        let time = parse_time(since).or_else(|| parse_date(since));
        let time = time.ok_or_else(|| refuse("since must be a time: 2026-01-02T03:04:05Z"))?;
        listing.received_from = Some(time.unix);
    }
    let order = Order::parse(cx.exchange.options.other("sort").unwrap_or("-date"))?;
    let search = cx.exchange.options.odata("search").map(str::to_lowercase);
    let page = NativePage::parse(cx)?;
    let (messages, total) = match (order.key, &search) {
        (Key::Date, None) => {
            listing.order = match order.descends {
                true => ListOrder::NewestFirst,
                false => ListOrder::OldestFirst,
            };
            listing.offset = page.offset;
            listing.count_max = page.limit;
            let (messages, total) = cx.store().list(cx.account().id, &listing, true)?;
            (messages, total.unwrap_or_default())
        }
        (_, _) => {
            let (all, _) = cx.store().list(cx.account().id, &listing, false)?;
            let chosen = sorted(cx, all, order, search.as_deref())?;
            let total = chosen.len() as u64;
            (page.cut(chosen), total)
        }
    };
    let messages: Result<Vec<Value>, Failure> = messages
        .iter()
        .map(|message| summary(cx, message))
        .collect();
    Ok(Reply::ok(page.tell("messages", messages?, total)))
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let parsed = cx.parsed(&message)?;
    let names = CategoryNames::new();
    let told = NativeMessage::new(&facts(&message, &names), &parsed);
    Ok(Reply::ok(
        serde_json::to_value(told).expect("texts and numbers are JSON"),
    ))
}

pub(super) fn raw(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let content_type = const { FieldValue::from_static("message/rfc822") };
    let stored = cx.stored_body(&message);
    Ok(Reply::new(
        Status::OK,
        Content::Stored(stored, content_type),
    ))
}

pub(super) fn attachment(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let id = cx.exchange.param(Param::Attachment);
    let parsed = cx.parsed(&message)?;
    let mut attachments = parsed.attachments.iter();
    let found = attachments.find(|attachment| attachment.id == id);
    let found = found.ok_or_else(ApiError::item_not_found)?;
    let content = attachment_content(&cx.read(&message)?, id);
    let content = content.ok_or_else(ApiError::item_not_found)?;
    Ok(download(&found.content_type, &found.name, content.into()))
}

/// A file, to be saved and never to be shown.
pub(super) fn download(content_type: &str, name: &str, content: Bytes) -> Reply {
    let kind = FieldValue::parse(content_type.to_owned());
    let kind = kind.unwrap_or(const { FieldValue::from_static("application/octet-stream") });
    Reply::new(Status::OK, Content::Bytes(kind, content))
        .with(
            const { FieldName::new("Content-Disposition") },
            disposition(name),
        )
        .with(
            const { FieldName::new("Content-Security-Policy") },
            "sandbox".to_owned(),
        )
}

/// `attachment` with a file name (RFC 6266 §4.3, RFC 8187).
fn disposition(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._ ()".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    match plain == name {
        true => format!("attachment; filename=\"{plain}\""),
        false => format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"),
    }
}

pub(super) fn append(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let folder = text(&body, "folder")?.unwrap_or_else(|| "INBOX".to_owned());
    let folder = find(&cx.folders()?, &folder)?.clone();
    let raw = text(&body, "raw")?.ok_or_else(|| refuse("raw is required"))?;
    let raw: String = raw.split_ascii_whitespace().collect();
    let raw = BASE64_STANDARD.decode(raw);
    let raw = raw.map_err(|_| ApiError::invalid_base64())?;
    if raw.is_empty() {
        return Err(refuse("raw is empty"));
    }
    let flags = match body.get("flags") {
        None | Some(Value::Null) => Flags::default(),
        Some(Value::Array(names)) => parse_flags(names)?,
        Some(_) => return Err(refuse("flags must be a list of strings")),
    };
    let date = match text(&body, "date")? {
        None => cx.now(),
        Some(date) => {
            let time = parse_time(&date);
            time.ok_or_else(|| refuse("date must be a time"))?.unix
        }
    };
    let staged = cx.stage(raw)?;
    let message = staged.message(flags, DateTime::utc(date));
    let id = cx.save(MailboxRef::Id(folder.id), message)?;
    let message = cx.message_by_id(&id.to_string())?;
    Ok(Reply::created(summary(cx, &message)?))
}

pub(super) fn send(cx: &mut Cx<'_>) -> Outcome {
    let body = Value::Object(cx.json()?);
    let submission = with_origin(cx, |origin| NativeSubmission::read(&body, origin))?;
    let copy = match submission.saves {
        true => SentCopy::New,
        false => SentCopy::None,
    };
    let recipients = submission.to.as_deref();
    let sent = submit(cx, &submission.mime, recipients, SendDate::Kept, copy)?;
    Ok(Reply::new(
        Status::ACCEPTED,
        Content::Json(json!({
            "message_id": sent.message_id,
            "queue_id": sent.queue_id,
            "sent_id": sent.sent_id,
        })),
    ))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let body = cx.json()?;
    let (mut set, mut unset) = (Flags::default(), Flags::default());
    for (name, flag) in [
        ("seen", SystemFlags::SEEN),
        ("flagged", SystemFlags::FLAGGED),
        ("answered", SystemFlags::ANSWERED),
        ("draft", SystemFlags::DRAFT),
    ] {
        match body.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(true)) => set.system = set.system | flag,
            Some(Value::Bool(false)) => unset.system = unset.system | flag,
            Some(_) => return Err(refuse(&format!("{name} must be true or false"))),
        }
    }
    set = set.with(&keywords(&body, "add_keywords")?);
    unset = unset.with(&keywords(&body, "remove_keywords")?);
    let uids = only(&message);
    let store_flags = |mode, flags: Flags| AccountWrite::StoreFlags {
        mailbox: message.mailbox,
        uids: uids.clone(),
        mode,
        flags,
        unchanged_since: None,
    };
    let mut batch = Vec::new();
    if set != Flags::default() {
        batch.push(store_flags(StoreMode::Add, set));
    }
    if unset != Flags::default() {
        batch.push(store_flags(StoreMode::Remove, unset));
    }
    if let Some(folder) = text(&body, "folder")? {
        let target = find(&cx.folders()?, &folder)?.id;
        if target != message.mailbox {
            batch.push(AccountWrite::Move {
                source: message.mailbox,
                uids: uids.clone(),
                target: MailboxRef::Id(target),
            });
        }
    }
    if !batch.is_empty() {
        cx.write(batch)?;
    }
    let message = cx.message_by_id(&message.data.instance_id.to_string())?;
    Ok(Reply::ok(summary(cx, &message)?))
}

pub(super) fn copy(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let body = cx.json()?;
    let folder = text(&body, "folder")?.ok_or_else(|| refuse("folder is required"))?;
    let target = find(&cx.folders()?, &folder)?.clone();
    let copied = copy_one(cx, &message, target.id)?;
    Ok(Reply::created(summary(cx, &copied)?))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    match is_set(cx, "purge") {
        true => purge_one(cx, &message)?,
        false => discard_one(cx, &message)?,
    }
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// A message in a list.
pub(super) fn summary(cx: &Cx<'_>, message: &StoredMessage) -> Result<Value, Failure> {
    let parsed = cx.parsed(message)?;
    let names = CategoryNames::new();
    let told = Summary::new(&facts(message, &names), &parsed);
    Ok(serde_json::to_value(told).expect("texts and numbers are JSON"))
}

/// `limit` and `offset`.
#[derive(Clone, Copy, Debug)]
pub(super) struct NativePage {
    pub(super) limit: u64,
    pub(super) offset: u64,
}

impl NativePage {
    pub(super) fn parse(cx: &Cx<'_>) -> Result<Self, Failure> {
        let number = |name: &str| match cx.exchange.options.other(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(refuse(&format!("{name} must be a number"))),
            },
        };
        let limit = number("limit")?.unwrap_or(limits::NATIVE_PAGE_ITEMS);
        if !(1..=limits::NATIVE_PAGE_ITEMS_MAX).contains(&limit) {
            return Err(refuse("limit must be 1 to 500"));
        }
        Ok(Self {
            limit,
            offset: number("offset")?.unwrap_or_default(),
        })
    }

    /// The page's share.
    pub(super) fn cut<T>(&self, items: Vec<T>) -> Vec<T> {
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        items.into_iter().skip(offset).take(limit).collect()
    }

    pub(super) fn tell(&self, name: &str, items: Vec<Value>, total: u64) -> Value {
        json!({
            name: items,
            "total": total,
            "limit": self.limit,
            "offset": self.offset,
        })
    }
}

/// `sort`
#[derive(Clone, Copy, Debug)]
struct Order {
    key: Key,
    descends: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Key {
    Date,
    Size,
    Subject,
    From,
}

impl Order {
    fn parse(text: &str) -> Result<Self, Failure> {
        let bare = text.strip_prefix('-');
        let key = match bare.unwrap_or(text) {
            "date" => Key::Date,
            "size" => Key::Size,
            "subject" => Key::Subject,
            "from" => Key::From,
            _ => {
                return Err(refuse(
                    "sort must be date, size, subject or from, perhaps with -",
                ));
            }
        };
        Ok(Self {
            key,
            descends: bare.is_some(),
        })
    }
}

/// Those that are found, in order.
fn sorted(
    cx: &Cx<'_>,
    messages: Vec<StoredMessage>,
    order: Order,
    search: Option<&str>,
) -> Result<Vec<StoredMessage>, Failure> {
    let mut keyed = Vec::with_capacity(messages.len());
    for message in messages {
        let date = message.data.internal_date.unix;
        let (found, text) = match (order.key, search) {
            (Key::Date | Key::Size, None) => (true, String::new()),
            (_, _) => {
                let parsed = cx.parsed(&message)?;
                let from = parsed.from.first();
                let from = from.map(|from| format!("{} {}", from.name, from.address));
                let from = from.unwrap_or_default().to_lowercase();
                let found = search.is_none_or(|search| {
                    let body = parsed.text.as_deref().unwrap_or_default().to_lowercase();
                    [&from, &parsed.subject.to_lowercase(), &body]
                        .iter()
                        .any(|text| text.contains(search))
                });
                let text = match order.key {
                    Key::From => from,
                    Key::Subject => parsed.subject.to_lowercase(),
                    Key::Date | Key::Size => String::new(),
                };
                (found, text)
            }
        };
        let size = match order.key {
            Key::Size => message.data.size_bytes,
            Key::Date | Key::Subject | Key::From => 0,
        };
        if found {
            keyed.push(((text, size, date, message.data.instance_id), message));
        }
    }
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    if order.descends {
        keyed.reverse();
    }
    Ok(keyed.into_iter().map(|(_, message)| message).collect())
}

fn parse_flags(names: &[Value]) -> Result<Flags, Failure> {
    let mut flags = Flags::default();
    for name in names {
        let name = name
            .as_str()
            .ok_or_else(|| refuse("a flag must be a string"))?;
        match (SystemFlags::from_name(name.as_bytes()), Keyword::new(name)) {
            (Some(flag), _) => flags.system = flags.system | flag,
            (None, Some(keyword)) => {
                let one = Flags {
                    keywords: std::iter::once(keyword).collect(),
                    ..Flags::default()
                };
                flags = flags.with(&one);
            }
            (None, None) => return Err(refuse("there is no such flag")),
        }
    }
    Ok(flags)
}

fn keywords(body: &Map<String, Value>, name: &str) -> Result<Flags, Failure> {
    let names = match body.get(name) {
        None | Some(Value::Null) => return Ok(Flags::default()),
        Some(Value::Array(names)) => names,
        Some(_) => return Err(refuse(&format!("{name} must be a list of strings"))),
    };
    let keywords: Option<_> = names
        .iter()
        .map(|name| Keyword::new(name.as_str()?))
        .collect();
    let keywords = keywords.ok_or_else(|| refuse(&format!("{name} holds what is no keyword")))?;
    Ok(Flags {
        keywords,
        ..Flags::default()
    })
}
