//! `…/messages/{message}/attachments`

use std::sync::Arc;

use mail_parser::MessageParser;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rmail_proto::{
    Flags, SystemFlags,
    http::{FieldName, FieldValue, Status},
};
use rmail_store::StoredMessage;
use serde_json::{Value, json};

use super::{
    Cx, Failure, Outcome,
    context::facts,
    drafts::{Rewritten, rewrite, with_origin},
    graph_messages::{check_etag, is_draft},
    lists::{self, Page, preferring},
    message_telling::attachments,
    reply::{Content, Reply},
};
use crate::api::{
    compose,
    error::ApiError,
    json::ArrayWriter,
    odata::{self, ListQuery, Select},
    resources::{
        Attachment, CategoryNames, Message, Parsed, ParsedAttachment, attachment_bytes,
        attachment_content,
    },
    routes::Param,
    sanitize,
    schema::Schema,
};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let query = query(cx)?;
    let mut told = attachments(cx, &message, &query.select)?;
    if query.expand.item {
        expand_items(cx, &message, &mut told)?;
    }
    let total = told.len() as u64;
    // Without being asked for pages, all are told: clients do not look for more.
    let page = Page {
        items: query.top.unwrap_or(u32::MAX),
        ..Page::of_query(cx, &query)?
    };
    let skip = usize::try_from(page.skip).unwrap_or(usize::MAX);
    let told = told.into_iter().skip(skip).take(page.items as usize);
    let of = context(cx, &message, "");
    page.reply(cx, &of, &ArrayWriter::of(told), total, query.count)
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let query = query(cx)?;
    let (parsed, content) = find(cx, &message)?;
    let attachment = Attachment::new(&parsed, message.modified_at, Some(&content));
    let mut told = attachment.tell(&query.select);
    if query.expand.item && parsed.is_message {
        told["item"] = tell_item(cx, &message, &parsed.id, &content);
    }
    told["@odata.context"] = json!(cx.metadata(&context(cx, &message, "/$entity")));
    Ok(preferring(cx, Reply::ok(told)))
}

pub(super) fn content(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let (parsed, content) = find(cx, &message)?;
    Ok(content_reply(&parsed, content))
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let unchanged_since = check_etag(cx, &message)?;
    if !is_draft(&message) {
        return Err(ApiError::property_not_writable().into());
    }
    let body = Value::Object(cx.json()?);
    let attachment = with_origin(cx, |origin| compose::Attachment::read(&body, origin))?;
    let rewritten = rewrite(cx, message.data.instance_id, unchanged_since, |draft| {
        draft.attachments.push(attachment.clone());
        Ok(())
    })?;
    let message = cx.message()?;
    let parsed = added(cx, &message, &rewritten)?;
    let content = attachment_content(&rewritten.mime, &parsed.id);
    let attachment = Attachment::new(&parsed, message.modified_at, content.as_deref());
    let mut told = attachment.tell(&Select::by_default(Schema::Attachment));
    told["@odata.context"] = json!(cx.metadata(&context(cx, &message, "/$entity")));
    let location = location(cx, &message, &parsed.id);
    Ok(Reply::created(told).with(const { FieldName::new("Location") }, location))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let message = cx.message()?;
    let unchanged_since = check_etag(cx, &message)?;
    if !is_draft(&message) {
        return Err(ApiError::property_not_writable().into());
    }
    let id = cx.exchange.param(Param::Attachment);
    rewrite(
        cx,
        message.data.instance_id,
        unchanged_since,
        |draft| match draft.remove_attachment(id) {
            true => Ok(()),
            false => Err(ApiError::item_not_found().into()),
        },
    )?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// The attachment that was added last.
pub(super) fn added(
    cx: &Cx<'_>,
    message: &StoredMessage,
    rewritten: &Rewritten,
) -> Result<ParsedAttachment, Failure> {
    let id = rewritten.draft.id_of_last(&rewritten.mime);
    let parsed = cx.parsed(message)?;
    let mut attachments = parsed.attachments.iter();
    let found = attachments.find(|it| Some(&it.id) == id.as_ref());
    Ok(found.cloned().ok_or_else(ApiError::item_not_found)?)
}

/// Where an attachment is.
pub(super) fn location(cx: &Cx<'_>, message: &StoredMessage, id: &str) -> String {
    let (base, me) = (&cx.exchange.base, lists::me(cx));
    let message = message.data.instance_id;
    format!("{base}/v1.0/users/{me}/messages/{message}/attachments/{id}")
}

/// The bytes of an attachment, which no browser is to show as a page of ours.
pub(super) fn content_reply(parsed: &ParsedAttachment, content: Vec<u8>) -> Reply {
    let kind = FieldValue::parse(parsed.content_type.clone());
    let kind = kind.unwrap_or(FieldValue::from_static("application/octet-stream"));
    Reply::new(Status::OK, Content::Bytes(kind, content.into()))
        .with(
            const { FieldName::new("Content-Disposition") },
            disposition(&parsed.name),
        )
        .with(
            const { FieldName::new("Content-Security-Policy") },
            "sandbox".to_owned(),
        )
}

/// `Content-Disposition` (RFC 6266 §5): the name in ASCII, and as it is (RFC 8187 §3.2).
fn disposition(name: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
    let plain = |c: char| match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '.' | '_' | '(' | ')' => c,
        _ => '_',
    };
    let plain: String = name.chars().map(plain).collect();
    let escaped = utf8_percent_encode(name, ESCAPED);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{escaped}")
}

fn query(cx: &Cx<'_>) -> Result<ListQuery<odata::Element>, Failure> {
    let bounds = cx.service().filter_bounds();
    Ok(ListQuery::parse(&cx.exchange.options, bounds)?)
}

fn context(cx: &Cx<'_>, message: &StoredMessage, end: &str) -> String {
    let (me, id) = (lists::me(cx), message.data.instance_id);
    format!("users('{me}')/messages('{id}')/attachments{end}")
}

/// The attachment that the path names, with its bytes.
fn find(cx: &Cx<'_>, message: &StoredMessage) -> Result<(ParsedAttachment, Vec<u8>), Failure> {
    let id = cx.exchange.param(Param::Attachment);
    let parsed = cx.parsed(message)?;
    let found = parsed.attachments.iter().find(|it| it.id == id);
    let found = found.cloned().ok_or_else(ApiError::item_not_found)?;
    let content = attachment_content(&cx.read(message)?, id);
    Ok((found, content.ok_or_else(ApiError::item_not_found)?))
}

/// Tells the messages that are attached along with the attachments.
fn expand_items(cx: &Cx<'_>, message: &StoredMessage, told: &mut [Value]) -> Result<(), Failure> {
    let parsed = cx.parsed(message)?;
    if !parsed.attachments.iter().any(|it| it.is_message) {
        return Ok(());
    }
    let content = cx.read(message)?;
    let Some(taken_apart) = MessageParser::default().parse(&content[..]) else {
        return Ok(());
    };
    for (attachment, told) in parsed.attachments.iter().zip(told) {
        if let (true, Some(part)) = (attachment.is_message, taken_apart.part(attachment.part)) {
            let content = attachment_bytes(&taken_apart, part);
            told["item"] = tell_item(cx, message, &attachment.id, &content);
        }
    }
    Ok(())
}

/// A message that is attached, which is in no folder.
fn tell_item(cx: &Cx<'_>, outer: &StoredMessage, id: &str, content: &[u8]) -> Value {
    let parsed = Arc::new(Parsed::parse(content));
    let mut inner = outer.clone();
    inner.state.flags = Flags::system(SystemFlags::SEEN);
    inner.extras.clear();
    inner.has_attachments = parsed.has_attachments();
    if let Some(sent_at) = parsed.sent_at {
        inner.data.internal_date.unix = sent_at;
    }
    let names = CategoryNames::new();
    let body = sanitize::body(&parsed, &cx.exchange.preferences);
    let select = Select::by_default(Schema::Message);
    let item = Message::new(facts(&inner, &names), parsed, &select).with_body(body);
    let mut told = item.tell();
    if let Value::Object(told) = &mut told {
        for of_the_store in ["@odata.etag", "changeKey", "parentFolderId"] {
            told.remove(of_the_store);
        }
    }
    told["id"] = json!(id);
    told["@odata.type"] = json!("#microsoft.graph.message");
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_told_in_ascii_and_as_they_are() {
        let expected = "attachment; filename=\"a b.pdf\"; filename*=UTF-8''a%20b.pdf";
        assert_eq!(disposition("a b.pdf"), expected);
        let expected = "attachment; filename=\"_x__.txt\"; filename*=UTF-8''%22x%22%C3%A9.txt";
        assert_eq!(disposition("\"x\"\u{e9}.txt"), expected);
    }
}
