//! What a filter, an order or a search may ask of a message, looked up when it is asked.

use std::{
    borrow::Cow,
    cell::{OnceCell, RefCell},
    sync::Arc,
};

use rmail_proto::{SystemFlags, UnixTime, imap::Columns};
use rmail_store::{StoreError, StoredMessage};

use super::{Cx, Failure, context::Extras};
use crate::api::{
    error::ApiError,
    odata::{
        self, ElementValues, MessageBoolean, MessageCollection, MessageRank, MessageText,
        MessageTime, Never, Searched, Values,
    },
    resources::{
        CategoryNames, EmailAddress, Importance, Parsed, categories, change_key, flag_status,
    },
    time::Timestamp,
};

/// A message that is looked at.
pub(super) struct Candidate<'c> {
    cx: &'c Cx<'c>,
    message: &'c StoredMessage,
    category_names: &'c CategoryNames,
    header: OnceCell<Arc<Parsed>>,
    content: OnceCell<Arc<Parsed>>,
    failure: RefCell<Option<Failure>>,
}

impl<'c> Candidate<'c> {
    /// `header`: what its header says, if that was read before.
    pub(super) fn new(
        cx: &'c Cx<'c>,
        message: &'c StoredMessage,
        category_names: &'c CategoryNames,
        header: Option<Arc<Parsed>>,
    ) -> Self {
        Self {
            cx,
            message,
            category_names,
            header: header.map(OnceCell::from).unwrap_or_default(),
            content: OnceCell::new(),
            failure: RefCell::new(None),
        }
    }

    /// What is found of it. `None` when it has just gone.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Self) -> T) -> Result<Option<T>, Failure> {
        let answer = question(self);
        match self.failure.take() {
            None => Ok(Some(answer)),
            Some(failure) if is_gone(&failure) => Ok(None),
            Some(failure) => Err(failure),
        }
    }

    fn header(&self) -> &Parsed {
        if let Some(content) = self.content.get() {
            return content;
        }
        self.header
            .get_or_init(|| self.looked_up(read_header(self.cx, self.message)))
    }

    fn content(&self) -> &Parsed {
        self.content
            .get_or_init(|| self.looked_up(self.cx.parsed(self.message)))
    }

    fn looked_up(&self, read: Result<Arc<Parsed>, Failure>) -> Arc<Parsed> {
        read.unwrap_or_else(|failure| {
            self.failure.replace(Some(failure));
            Arc::default()
        })
    }

    fn from(&self) -> Option<&EmailAddress> {
        self.header().from.first()
    }

    fn sender(&self) -> Option<&EmailAddress> {
        self.header().sender.as_ref().or_else(|| self.from())
    }
}

/// Whether this only means that a message is there no more.
pub(super) fn is_gone(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(error) => *error == ApiError::item_not_found(),
        Failure::Store(error) => {
            matches!(error, StoreError::NoSuchMailbox | StoreError::NoSuchMessage)
        }
    }
}

/// What a message's header says. One that is not kept apart is read with all the rest.
fn read_header(cx: &Cx<'_>, message: &StoredMessage) -> Result<Arc<Parsed>, Failure> {
    if let Some(parsed) = cx.parsed_before(message) {
        return Ok(parsed);
    }
    let columns = Columns {
        header: true,
        ..Columns::default()
    };
    let account = cx.account().id;
    let (mailbox, uid) = (message.mailbox, message.data.uid);
    let (found, _) = cx
        .store()
        .messages(account, mailbox, &[uid], columns, usize::MAX)?;
    match found.first() {
        Some(data) if !data.header.is_empty() => Ok(Arc::new(Parsed::parse(&data.header))),
        Some(_) | None => cx.parsed(message),
    }
}

fn at(unix: UnixTime) -> Timestamp {
    Timestamp {
        unix,
        nanoseconds: 0,
    }
}

impl Values<odata::Message> for Candidate<'_> {
    fn text(&self, name: MessageText) -> Option<Cow<'_, str>> {
        let data = &self.message.data;
        let borrowed = |text: &'_ str| Some(Cow::Owned(text.to_owned()));
        match name {
            MessageText::Id => Some(Cow::Owned(data.instance_id.to_string())),
            MessageText::ConversationId => Some(Cow::Owned(data.thread_id.to_string())),
            MessageText::ParentFolderId => Some(Cow::Owned(self.message.mailbox.to_string())),
            MessageText::ChangeKey => {
                let modseq = self.message.state.modseq;
                Some(Cow::Owned(change_key(data.instance_id, modseq)))
            }
            MessageText::InferenceClassification => borrowed("focused"),
            MessageText::FlagStatus => borrowed(flag_status(&self.message.state.flags).name()),
            MessageText::Subject => Some(Cow::Borrowed(&self.header().subject)),
            MessageText::InternetMessageId => {
                self.header().message_id.as_deref().map(Cow::Borrowed)
            }
            MessageText::FromAddress => self.from().map(|it| Cow::Borrowed(&*it.address)),
            MessageText::FromName => self.from().map(|it| Cow::Borrowed(&*it.name)),
            MessageText::SenderAddress => self.sender().map(|it| Cow::Borrowed(&*it.address)),
            MessageText::SenderName => self.sender().map(|it| Cow::Borrowed(&*it.name)),
            MessageText::BodyPreview => Some(Cow::Borrowed(&self.content().preview)),
            MessageText::BodyContent => {
                let content = self.content();
                let body = content.html.as_deref().or(content.text.as_deref());
                Some(Cow::Borrowed(body.unwrap_or_default()))
            }
        }
    }

    fn time(&self, name: MessageTime) -> Option<Timestamp> {
        let received_at = self.message.data.internal_date.unix;
        Some(at(match name {
            MessageTime::Received => received_at,
            MessageTime::Sent => self.header().sent_at.unwrap_or(received_at),
            MessageTime::Created => self.message.created_at,
            MessageTime::LastModified => self.message.modified_at,
        }))
    }

    fn boolean(&self, name: MessageBoolean) -> bool {
        let flags = self.message.state.flags.system;
        match name {
            MessageBoolean::IsRead => flags.contains(SystemFlags::SEEN),
            MessageBoolean::IsDraft => flags.contains(SystemFlags::DRAFT),
            MessageBoolean::HasAttachments => self.message.has_attachments,
        }
    }

    fn number(&self, name: Never) -> Option<i64> {
        match name {}
    }

    fn rank(&self, name: MessageRank) -> Importance {
        match name {
            MessageRank::Importance => {
                let set = Extras::of(self.message).importance;
                let set = set.as_deref().and_then(Importance::parse);
                set.unwrap_or_else(|| self.header().importance)
            }
        }
    }

    fn elements(&self, name: MessageCollection) -> Vec<ElementValues<'_>> {
        match name {
            MessageCollection::Categories => {
                let flags = &self.message.state.flags;
                let names = categories(flags, self.category_names).into_iter();
                let element = |name| ElementValues {
                    itself: Some(Cow::Owned(name)),
                    ..ElementValues::default()
                };
                names.map(element).collect()
            }
            MessageCollection::ToRecipients => addresses(&self.header().to),
            MessageCollection::CcRecipients => addresses(&self.header().cc),
            MessageCollection::BccRecipients => addresses(&self.header().bcc),
            MessageCollection::ReplyTo => addresses(&self.header().reply_to),
            MessageCollection::Attachments => {
                let attachments = self.content().attachments.iter();
                let element = attachments.map(|it| ElementValues {
                    name: Some(Cow::Borrowed(&*it.name)),
                    content_type: Some(Cow::Borrowed(&*it.content_type)),
                    size_bytes: Some(it.size_bytes),
                    ..ElementValues::default()
                });
                element.collect()
            }
        }
    }
}

impl Searched for Candidate<'_> {
    fn size_bytes(&self) -> u64 {
        self.message.data.size_bytes
    }

    fn body_text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.content().text.as_deref().unwrap_or_default())
    }
}

fn addresses(list: &[EmailAddress]) -> Vec<ElementValues<'_>> {
    let element = list.iter().map(|email| ElementValues {
        name: Some(Cow::Borrowed(&*email.name)),
        address: Some(Cow::Borrowed(&*email.address)),
        ..ElementValues::default()
    });
    element.collect()
}
