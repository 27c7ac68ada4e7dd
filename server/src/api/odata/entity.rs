//! What can be asked of a message or a folder: its properties by type.

use std::fmt::Debug;

use crate::api::schema::Schema;

/// What a property of some kind is named by.
pub trait Name: Copy + Clone + Debug + Eq + 'static {}

impl<T: Copy + Debug + Eq + 'static> Name for T {}

/// A kind of property that an entity has none of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Never {}

/// A type whose properties can be compared. Each kind of property has names of its own, so that a
/// filter can't compare a text with a time.
pub trait Entity: Name {
    /// Properties that are texts.
    type Text: Name;
    /// Properties that are times.
    type Time: Name;
    /// Properties that are true or false.
    type Boolean: Name;
    /// Properties that are numbers.
    type Number: Name;
    /// Properties that have an importance.
    type Rank: Name;
    /// Properties that hold several things.
    type Collection: Name;

    /// All its properties.
    const SCHEMA: Schema;

    /// The property that a path means, by names as they are written.
    fn property(path: &[&str]) -> Option<PropertyPath<Self>>;

    /// The property of a collection's elements that a path means.
    fn element(collection: Self::Collection, path: &[&str]) -> Option<PropertyPath<Element>>;

    /// What must be known of an item to know a property.
    fn needs(property: PropertyPath<Self>) -> Needs;
}

/// What must be known of an item, the cheapest first; each includes those before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Needs {
    /// What is kept beside it: ids, flags, times of arrival and change, its folder.
    Facts,
    /// What is kept of its header, and whether it has attachments.
    Header,
    /// The whole message.
    Content,
}

impl Needs {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Facts, Self::Header, Self::Content];
}

/// A property by kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PropertyPath<E: Entity> {
    /// A text.
    Text(E::Text),
    /// A time.
    Time(E::Time),
    /// True or false.
    Boolean(E::Boolean),
    /// A number.
    Number(E::Number),
    /// An importance.
    Rank(E::Rank),
    /// Several things.
    Collection(E::Collection),
}

/// Messages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message {}

/// Texts of a message.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MessageText {
    /// `id`
    Id,
    /// `subject`
    Subject,
    /// `bodyPreview`
    BodyPreview,
    /// `body/content`; can't be sorted by.
    BodyContent,
    /// `conversationId`
    ConversationId,
    /// `internetMessageId`
    InternetMessageId,
    /// `parentFolderId`
    ParentFolderId,
    /// `changeKey`
    ChangeKey,
    /// `inferenceClassification`
    InferenceClassification,
    /// `flag/flagStatus`
    FlagStatus,
    /// `from/emailAddress/address`
    FromAddress,
    /// `from/emailAddress/name`
    FromName,
    /// `sender/emailAddress/address`
    SenderAddress,
    /// `sender/emailAddress/name`
    SenderName,
}

/// Times of a message.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MessageTime {
    /// `receivedDateTime`
    Received,
    /// `sentDateTime`
    Sent,
    /// `createdDateTime`
    Created,
    /// `lastModifiedDateTime`
    LastModified,
}

/// What of a message is true or false.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MessageBoolean {
    /// `isRead`
    IsRead,
    /// `isDraft`
    IsDraft,
    /// `hasAttachments`
    HasAttachments,
}

/// What of a message is low, normal or high.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MessageRank {
    /// `importance`
    Importance,
}

/// What a message has several of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum MessageCollection {
    /// `categories`
    Categories,
    /// `toRecipients`
    ToRecipients,
    /// `ccRecipients`
    CcRecipients,
    /// `bccRecipients`
    BccRecipients,
    /// `replyTo`
    ReplyTo,
    /// `attachments`
    Attachments,
}

impl Entity for Message {
    type Text = MessageText;
    type Time = MessageTime;
    type Boolean = MessageBoolean;
    type Number = Never;
    type Rank = MessageRank;
    type Collection = MessageCollection;

    const SCHEMA: Schema = Schema::Message;

    fn property(path: &[&str]) -> Option<PropertyPath<Self>> {
        use PropertyPath::{Boolean, Collection, Rank, Text, Time};
        Some(match path {
            ["id"] => Text(MessageText::Id),
            ["subject"] => Text(MessageText::Subject),
            ["bodyPreview"] => Text(MessageText::BodyPreview),
            ["body", "content"] => Text(MessageText::BodyContent),
            ["conversationId"] => Text(MessageText::ConversationId),
            ["internetMessageId"] => Text(MessageText::InternetMessageId),
            ["parentFolderId"] => Text(MessageText::ParentFolderId),
            ["changeKey"] => Text(MessageText::ChangeKey),
            ["inferenceClassification"] => Text(MessageText::InferenceClassification),
            ["flag", "flagStatus"] => Text(MessageText::FlagStatus),
            ["from", "emailAddress", "address"] => Text(MessageText::FromAddress),
            ["from", "emailAddress", "name"] => Text(MessageText::FromName),
            ["sender", "emailAddress", "address"] => Text(MessageText::SenderAddress),
            ["sender", "emailAddress", "name"] => Text(MessageText::SenderName),
            ["receivedDateTime"] => Time(MessageTime::Received),
            ["sentDateTime"] => Time(MessageTime::Sent),
            ["createdDateTime"] => Time(MessageTime::Created),
            ["lastModifiedDateTime"] => Time(MessageTime::LastModified),
            ["isRead"] => Boolean(MessageBoolean::IsRead),
            ["isDraft"] => Boolean(MessageBoolean::IsDraft),
            ["hasAttachments"] => Boolean(MessageBoolean::HasAttachments),
            ["importance"] => Rank(MessageRank::Importance),
            ["categories"] => Collection(MessageCollection::Categories),
            ["toRecipients"] => Collection(MessageCollection::ToRecipients),
            ["ccRecipients"] => Collection(MessageCollection::CcRecipients),
            ["bccRecipients"] => Collection(MessageCollection::BccRecipients),
            ["replyTo"] => Collection(MessageCollection::ReplyTo),
            ["attachments"] => Collection(MessageCollection::Attachments),
            _ => return None,
        })
    }

    fn element(collection: MessageCollection, path: &[&str]) -> Option<PropertyPath<Element>> {
        use PropertyPath::{Number, Text};
        Some(match (collection, path) {
            (MessageCollection::Categories, []) => Text(ElementText::Itself),
            (
                MessageCollection::ToRecipients
                | MessageCollection::CcRecipients
                | MessageCollection::BccRecipients
                | MessageCollection::ReplyTo,
                ["emailAddress", field],
            ) => match *field {
                "address" => Text(ElementText::Address),
                "name" => Text(ElementText::Name),
                _ => return None,
            },
            (MessageCollection::Attachments, ["name"]) => Text(ElementText::Name),
            (MessageCollection::Attachments, ["contentType"]) => Text(ElementText::ContentType),
            (MessageCollection::Attachments, ["size"]) => Number(ElementNumber::Size),
            (_, _) => return None,
        })
    }

    fn needs(property: PropertyPath<Self>) -> Needs {
        match property {
            PropertyPath::Text(name) => match name {
                MessageText::Id
                | MessageText::ConversationId
                | MessageText::ParentFolderId
                | MessageText::ChangeKey
                | MessageText::InferenceClassification
                | MessageText::FlagStatus => Needs::Facts,
                MessageText::Subject
                | MessageText::InternetMessageId
                | MessageText::FromAddress
                | MessageText::FromName
                | MessageText::SenderAddress
                | MessageText::SenderName => Needs::Header,
                MessageText::BodyPreview | MessageText::BodyContent => Needs::Content,
            },
            PropertyPath::Time(name) => match name {
                MessageTime::Received | MessageTime::Created | MessageTime::LastModified => {
                    Needs::Facts
                }
                MessageTime::Sent => Needs::Header,
            },
            PropertyPath::Boolean(name) => match name {
                MessageBoolean::IsRead | MessageBoolean::IsDraft => Needs::Facts,
                MessageBoolean::HasAttachments => Needs::Header,
            },
            PropertyPath::Number(never) => match never {},
            PropertyPath::Rank(MessageRank::Importance) => Needs::Header,
            PropertyPath::Collection(name) => match name {
                MessageCollection::Categories => Needs::Facts,
                MessageCollection::ToRecipients
                | MessageCollection::CcRecipients
                | MessageCollection::BccRecipients
                | MessageCollection::ReplyTo => Needs::Header,
                MessageCollection::Attachments => Needs::Content,
            },
        }
    }
}

/// Folders.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MailFolder {}

/// Texts of a folder.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum FolderText {
    /// `id`
    Id,
    /// `displayName`
    DisplayName,
    /// `parentFolderId`
    ParentFolderId,
}

/// Numbers of a folder.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum FolderNumber {
    /// `totalItemCount`
    TotalItems,
    /// `unreadItemCount`
    UnreadItems,
    /// `childFolderCount`
    ChildFolders,
}

/// What of a folder is true or false.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum FolderBoolean {
    /// `isHidden`
    IsHidden,
}

impl Entity for MailFolder {
    type Text = FolderText;
    type Time = Never;
    type Boolean = FolderBoolean;
    type Number = FolderNumber;
    type Rank = Never;
    type Collection = Never;

    const SCHEMA: Schema = Schema::MailFolder;

    fn property(path: &[&str]) -> Option<PropertyPath<Self>> {
        use PropertyPath::{Boolean, Number, Text};
        Some(match path {
            ["id"] => Text(FolderText::Id),
            ["displayName"] => Text(FolderText::DisplayName),
            ["parentFolderId"] => Text(FolderText::ParentFolderId),
            ["totalItemCount"] => Number(FolderNumber::TotalItems),
            ["unreadItemCount"] => Number(FolderNumber::UnreadItems),
            ["childFolderCount"] => Number(FolderNumber::ChildFolders),
            ["isHidden"] => Boolean(FolderBoolean::IsHidden),
            _ => return None,
        })
    }

    fn element(collection: Never, _: &[&str]) -> Option<PropertyPath<Element>> {
        match collection {}
    }

    fn needs(_: PropertyPath<Self>) -> Needs {
        Needs::Facts
    }
}

/// Elements of a collection, within `any` and `all`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Element {}

/// Texts of an element.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ElementText {
    /// The element, which is a text.
    Itself,
    /// A recipient's address.
    Address,
    /// A recipient's or an attachment's name.
    Name,
    /// An attachment's content type.
    ContentType,
}

/// Numbers of an element.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ElementNumber {
    /// An attachment's size in bytes.
    Size,
}

impl Entity for Element {
    type Text = ElementText;
    type Time = Never;
    type Boolean = Never;
    type Number = ElementNumber;
    type Rank = Never;
    type Collection = Never;

    const SCHEMA: Schema = Schema::Attachment;

    /// What a path means depends on the collection; see [`Entity::element`].
    fn property(_: &[&str]) -> Option<PropertyPath<Self>> {
        None
    }

    fn element(collection: Never, _: &[&str]) -> Option<PropertyPath<Element>> {
        match collection {}
    }

    fn needs(_: PropertyPath<Self>) -> Needs {
        Needs::Facts
    }
}
