//! A message as Graph's JSON.

use std::{cell::OnceCell, sync::Arc};

use mail_parser::MessageParser;
use rmail_proto::SystemFlags;
use rmail_store::StoredMessage;
use serde_json::{Value, json};

use super::{Cx, Failure, categories::Categories, context::facts, lists};
use crate::api::{
    odata::{Expand, Select},
    resources::{self, Attachment, CategoryNames, EmailAddress},
    sanitize,
    schema::Schema,
};

/// Properties that are known without reading the message.
const KNOWN: [&str; 14] = [
    "categories",
    "changeKey",
    "conversationId",
    "createdDateTime",
    "flag",
    "hasAttachments",
    "id",
    "inferenceClassification",
    "isDraft",
    "isRead",
    "lastModifiedDateTime",
    "parentFolderId",
    "receivedDateTime",
    "webLink",
];

/// What is told of messages.
#[derive(Debug)]
pub(super) struct Telling {
    select: Select,
    expand: Expand,
    /// The mailbox's, once a message has keywords.
    category_names: OnceCell<CategoryNames>,
    needs_content: bool,
}

static NO_NAMES: CategoryNames = CategoryNames::new();

impl Telling {
    pub(super) fn new(select: Select, expand: Expand) -> Self {
        let needs_content = select.names().any(|name| !KNOWN.contains(&name));
        Self {
            select,
            expand,
            category_names: OnceCell::new(),
            needs_content,
        }
    }

    /// What is told without being asked.
    pub(super) fn by_default() -> Self {
        Self::new(Select::by_default(Schema::Message), Expand::default())
    }

    /// The message, without its context.
    pub(super) fn tell(&self, cx: &Cx<'_>, message: &StoredMessage) -> Result<Value, Failure> {
        Ok(self.resource(cx, message)?.tell())
    }

    /// The same, before it is JSON.
    pub(super) fn resource<'m>(
        &'m self,
        cx: &Cx<'_>,
        message: &'m StoredMessage,
    ) -> Result<resources::Message<'m>, Failure> {
        let parsed = match self.needs_content {
            true => cx.parsed(message)?,
            false => Arc::default(),
        };
        let facts = facts(message, self.category_names(cx, message)?);
        let mut resource = resources::Message::new(facts, Arc::clone(&parsed), &self.select);
        let preferences = &cx.exchange.preferences;
        if self.select.has("body") {
            resource = resource.with_body(sanitize::body(&parsed, preferences));
        }
        if self.select.has("uniqueBody") {
            resource = resource.with_unique_body(sanitize::unique_body(&parsed, preferences));
        }
        let is_draft = message.state.flags.system.contains(SystemFlags::DRAFT);
        if is_draft && self.needs_content && parsed.from.is_empty() {
            resource = resource.from_account(own_address(cx));
        }
        match &self.expand.attachments {
            None => Ok(resource),
            Some(select) => Ok(resource.with_attachments(attachments(cx, message, select)?)),
        }
    }

    fn category_names(
        &self,
        cx: &Cx<'_>,
        message: &StoredMessage,
    ) -> Result<&CategoryNames, Failure> {
        if message.state.flags.keywords.is_empty() {
            return Ok(&NO_NAMES);
        }
        if let Some(names) = self.category_names.get() {
            return Ok(names);
        }
        let names = Categories::load(cx)?.names;
        Ok(self.category_names.get_or_init(|| names))
    }

    /// One that stands alone.
    pub(super) fn tell_single(
        &self,
        cx: &Cx<'_>,
        message: &StoredMessage,
    ) -> Result<Value, Failure> {
        let mut told = self.tell(cx, message)?;
        let of = format!("users('{}')/messages/$entity", lists::me(cx));
        told["@odata.context"] = json!(cx.metadata(&of));
        Ok(told)
    }
}

/// The account's own, with its name.
pub(super) fn own_address(cx: &Cx<'_>) -> EmailAddress {
    let account = cx.account();
    EmailAddress::new(Some(&account.display_name), &account.address.to_string())
}

/// A message's attachments.
pub(super) fn attachments(
    cx: &Cx<'_>,
    message: &StoredMessage,
    select: &Select,
) -> Result<Vec<Value>, Failure> {
    let parsed = cx.parsed(message)?;
    let modified_at = message.modified_at;
    if !select.has("contentBytes") || parsed.attachments.is_empty() {
        let told = parsed.attachments.iter();
        let told = told.map(|it| Attachment::new(it, modified_at, None).tell(select));
        return Ok(told.collect());
    }
    let content = cx.read(message)?;
    let Some(taken_apart) = MessageParser::default().parse(&content[..]) else {
        return Ok(Vec::new());
    };
    let told = parsed.attachments.iter().map(|attachment| {
        let part = taken_apart.part(attachment.part);
        let bytes = part.map(|part| resources::attachment_bytes(&taken_apart, part));
        Attachment::new(attachment, modified_at, bytes.as_deref()).tell(select)
    });
    Ok(told.collect())
}
