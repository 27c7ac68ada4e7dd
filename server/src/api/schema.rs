//! The types of the API's JSON, as data: what `/openapi.json` says of them.

use serde_json::{Map, Value, json};

/// The type of a property.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PropertyType {
    /// A text.
    Text,
    /// A text, or null.
    TextOrNull,
    /// A text, or a whole number.
    TextOrInteger,
    /// A time as in RFC 3339.
    Time,
    /// The same, or null.
    TimeOrNull,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// Bytes in base64.
    Bytes,
    /// Anything.
    Any,
    /// Texts.
    Texts,
    /// An object.
    Object(Schema),
    /// An object, or null.
    ObjectOrNull(Schema),
    /// Objects.
    List(Schema),
}

/// A property of a type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Property {
    /// As it is written.
    pub name: &'static str,
    /// Whether it is always there.
    pub is_required: bool,
    /// Its type.
    pub kind: PropertyType,
}

macro_rules! schemas {
    ($($name:ident { $($mark:tt $property:literal => $kind:expr,)* })*) => {
        /// A type of JSON objects.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum Schema {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                $name,
            )*
        }

        impl Schema {
            /// All of them.
            pub const ALL: [Self; [$(Self::$name),*].len()] = [$(Self::$name),*];

            /// Its name among OpenAPI's components.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// Its properties, in order. A nameless one stands for all those of its type.
            pub const fn properties(self) -> &'static [Property] {
                use PropertyType::{
                    Any, Boolean, Bytes, Integer, List, Object, ObjectOrNull, Text, TextOrInteger,
                    TextOrNull, Texts, Time, TimeOrNull,
                };
                match self {
                    $(Self::$name => const { &[$(Property {
                        name: $property,
                        is_required: is_required(stringify!($mark)),
                        kind: $kind,
                    }),*] },)*
                }
            }
        }
    };
}

const fn is_required(mark: &str) -> bool {
    matches!(mark.as_bytes(), b"!")
}

// `!`: always there; `?`: perhaps, or null; `*`: all properties of another type.
schemas! {
    Health {
        ! "status" => Text,
        ? "version" => Text,
        ? "checks" => Any,
    }
    Login {
        ! "username" => Text,
        ! "password" => Text,
        ? "domain" => Text,
    }
    Token {
        ! "token" => Text,
        ! "username" => Text,
        ! "domain" => Text,
        ! "expires_in" => Integer,
    }
    TokenGrant {
        ! "grant_type" => Text,
        ! "username" => Text,
        ! "password" => Text,
    }
    AccessToken {
        ! "access_token" => Text,
        ! "token_type" => Text,
        ! "expires_in" => Integer,
        ! "scope" => Text,
    }
    Me {
        ! "username" => Text,
        ! "domain" => Text,
        ! "address" => Text,
        ! "id" => Text,
        ! "is_admin" => Boolean,
        ! "expires_at" => Time,
    }
    PasswordChange {
        ! "old_password" => Text,
        ! "new_password" => Text,
    }
    NativeFolder {
        ! "id" => Text,
        ! "name" => Text,
        ! "path" => Text,
        ! "parent_id" => TextOrNull,
        ! "special_use" => TextOrNull,
        ! "messages" => Integer,
        ! "unseen" => Integer,
        ! "size" => Integer,
        ! "subscribed" => Boolean,
    }
    NativeFolders {
        ! "folders" => List(Schema::NativeFolder),
    }
    NewNativeFolder {
        ! "name" => Text,
        ? "parent_id" => Text,
    }
    NativeFolderChange {
        ? "name" => Text,
        ? "parent_id" => Text,
        ? "subscribed" => Boolean,
    }
    NativeAddress {
        ! "name" => Text,
        ! "address" => Text,
    }
    MessageSummary {
        ! "id" => Text,
        ! "folder_id" => Text,
        ! "uid" => Integer,
        ! "modseq" => Integer,
        ! "thread_id" => Text,
        ! "message_id" => TextOrNull,
        ! "subject" => Text,
        ! "from" => List(Schema::NativeAddress),
        ! "to" => List(Schema::NativeAddress),
        ! "cc" => List(Schema::NativeAddress),
        ! "date" => Time,
        ! "received_at" => Time,
        ! "size" => Integer,
        ! "flags" => Texts,
        ! "seen" => Boolean,
        ! "flagged" => Boolean,
        ! "answered" => Boolean,
        ! "draft" => Boolean,
        ! "has_attachments" => Boolean,
        ! "preview" => Text,
    }
    NativeMessages {
        ! "messages" => List(Schema::MessageSummary),
        ! "total" => Integer,
        ! "limit" => Integer,
        ! "offset" => Integer,
    }
    NativeHeader {
        ! "name" => Text,
        ! "value" => Text,
    }
    NativeAttachment {
        ! "id" => Text,
        ! "name" => Text,
        ! "content_type" => Text,
        ! "size" => Integer,
        ! "inline" => Boolean,
        ! "content_id" => TextOrNull,
    }
    NativeMessage {
        * "" => Object(Schema::MessageSummary),
        ! "headers" => List(Schema::NativeHeader),
        ! "text" => TextOrNull,
        ! "html" => TextOrNull,
        ! "attachments" => List(Schema::NativeAttachment),
    }
    NewNativeMessage {
        ! "folder" => Text,
        ! "raw" => Bytes,
        ? "flags" => Texts,
        ? "date" => Time,
    }
    NativeMessageChange {
        ? "seen" => Boolean,
        ? "flagged" => Boolean,
        ? "answered" => Boolean,
        ? "draft" => Boolean,
        ? "add_keywords" => Texts,
        ? "remove_keywords" => Texts,
        ? "folder" => Text,
    }
    NativeDestination {
        ! "folder" => Text,
    }
    NewNativeAttachment {
        ! "name" => Text,
        ? "content_type" => Text,
        ! "content" => Bytes,
        ? "content_id" => Text,
    }
    NativeSubmission {
        ? "from" => Text,
        ? "to" => Texts,
        ? "cc" => Texts,
        ? "bcc" => Texts,
        ? "reply_to" => Texts,
        ? "subject" => Text,
        ? "text" => Text,
        ? "html" => Text,
        ? "headers" => Any,
        ? "attachments" => List(Schema::NewNativeAttachment),
        ? "in_reply_to" => Text,
        ? "save_to_sent" => Boolean,
        ? "raw" => Bytes,
    }
    NativeSubmitted {
        ! "message_id" => Text,
        ! "queue_id" => Text,
        ! "sent_id" => TextOrNull,
    }
    Quota {
        ! "used" => Integer,
        ! "limit" => Integer,
        ! "messages" => Integer,
        ! "message_limit" => Integer,
    }
    Alias {
        ! "address" => Text,
        ! "targets" => Texts,
        ! "enabled" => Boolean,
    }
    Aliases {
        ! "aliases" => List(Schema::Alias),
        ! "total" => Integer,
        ! "limit" => Integer,
        ! "offset" => Integer,
    }
    NewAlias {
        ! "address" => Text,
        ! "targets" => Texts,
    }
    AliasChange {
        ? "targets" => Texts,
        ? "enabled" => Boolean,
    }
    NativeUser {
        ! "id" => Text,
        ! "username" => Text,
        ! "domain" => Text,
        ! "address" => Text,
        ! "display_name" => Text,
        ! "enabled" => Boolean,
        ! "is_admin" => Boolean,
        ! "quota" => Integer,
        ! "created_at" => Time,
        ! "last_login_at" => TimeOrNull,
    }
    NativeUsers {
        ! "users" => List(Schema::NativeUser),
        ! "total" => Integer,
        ! "limit" => Integer,
        ! "offset" => Integer,
    }
    NewNativeUser {
        ! "username" => Text,
        ! "domain" => Text,
        ! "password" => Text,
        ? "display_name" => Text,
        ? "quota" => Integer,
        ? "is_admin" => Boolean,
    }
    NativeUserChange {
        ? "password" => Text,
        ? "display_name" => Text,
        ? "quota" => Integer,
        ? "enabled" => Boolean,
        ? "is_admin" => Boolean,
    }
    Domain {
        ! "domain" => Text,
        ! "users" => Integer,
        ! "aliases" => Integer,
    }
    Domains {
        ! "domains" => List(Schema::Domain),
    }
    User {
        ! "id" => Text,
        ! "userPrincipalName" => Text,
        ! "mail" => Text,
        ! "displayName" => Text,
        ! "givenName" => TextOrNull,
        ! "surname" => TextOrNull,
        ! "jobTitle" => TextOrNull,
        ! "mobilePhone" => TextOrNull,
        ! "officeLocation" => TextOrNull,
        ! "preferredLanguage" => TextOrNull,
        ! "businessPhones" => Texts,
        ? "accountEnabled" => Boolean,
        ? "proxyAddresses" => Texts,
        ? "createdDateTime" => Time,
    }
    MailFolder {
        ? "id" => Text,
        ? "displayName" => Text,
        ? "parentFolderId" => Text,
        ? "childFolderCount" => Integer,
        ? "unreadItemCount" => Integer,
        ? "totalItemCount" => Integer,
        ? "sizeInBytes" => Integer,
        ? "isHidden" => Boolean,
    }
    Destination {
        ! "destinationId" => Text,
    }
    EmailAddress {
        ? "name" => Text,
        ? "address" => Text,
    }
    Recipient {
        ! "emailAddress" => Object(Schema::EmailAddress),
    }
    ItemBody {
        ! "contentType" => Text,
        ! "content" => Text,
    }
    DateTimeTimeZone {
        ! "dateTime" => Text,
        ! "timeZone" => Text,
    }
    FollowupFlag {
        ! "flagStatus" => Text,
        ? "startDateTime" => Object(Schema::DateTimeTimeZone),
        ? "dueDateTime" => Object(Schema::DateTimeTimeZone),
        ? "completedDateTime" => Object(Schema::DateTimeTimeZone),
    }
    InternetMessageHeader {
        ! "name" => Text,
        ! "value" => Text,
    }
    Message {
        ? "id" => Text,
        ? "createdDateTime" => Time,
        ? "lastModifiedDateTime" => Time,
        ? "changeKey" => Text,
        ? "categories" => Texts,
        ? "receivedDateTime" => Time,
        ? "sentDateTime" => Time,
        ? "hasAttachments" => Boolean,
        ? "internetMessageId" => TextOrNull,
        ? "subject" => Text,
        ? "bodyPreview" => Text,
        ? "importance" => Text,
        ? "parentFolderId" => Text,
        ? "conversationId" => Text,
        ? "conversationIndex" => Bytes,
        ? "isDeliveryReceiptRequested" => Boolean,
        ? "isReadReceiptRequested" => Boolean,
        ? "isRead" => Boolean,
        ? "isDraft" => Boolean,
        ? "webLink" => Text,
        ? "inferenceClassification" => Text,
        ? "body" => Object(Schema::ItemBody),
        ? "sender" => ObjectOrNull(Schema::Recipient),
        ? "from" => ObjectOrNull(Schema::Recipient),
        ? "toRecipients" => List(Schema::Recipient),
        ? "ccRecipients" => List(Schema::Recipient),
        ? "bccRecipients" => List(Schema::Recipient),
        ? "replyTo" => List(Schema::Recipient),
        ? "flag" => Object(Schema::FollowupFlag),
        ? "internetMessageHeaders" => List(Schema::InternetMessageHeader),
        ? "uniqueBody" => Object(Schema::ItemBody),
        ? "attachments" => List(Schema::Attachment),
    }
    Reply {
        ? "message" => Object(Schema::Message),
        ? "comment" => Text,
    }
    Forward {
        ? "message" => Object(Schema::Message),
        ? "comment" => Text,
        ? "toRecipients" => List(Schema::Recipient),
    }
    SendMail {
        ! "message" => Object(Schema::Message),
        ? "saveToSentItems" => Boolean,
    }
    Attachment {
        ! "@odata.type" => Text,
        ? "id" => Text,
        ? "name" => Text,
        ? "contentType" => Text,
        ? "size" => Integer,
        ? "isInline" => Boolean,
        ? "lastModifiedDateTime" => Time,
        ? "contentId" => TextOrNull,
        ? "contentLocation" => TextOrNull,
        ? "contentBytes" => Bytes,
        ? "item" => Object(Schema::Message),
    }
    AttachmentItem {
        ! "attachmentType" => Text,
        ! "name" => Text,
        ! "size" => Integer,
        ? "contentType" => Text,
        ? "isInline" => Boolean,
        ? "contentId" => Text,
    }
    NewUpload {
        ! "AttachmentItem" => Object(Schema::AttachmentItem),
    }
    UploadSession {
        ? "uploadUrl" => Text,
        ? "expirationDateTime" => Time,
        ? "nextExpectedRanges" => Texts,
    }
    BatchRequest {
        ! "id" => TextOrInteger,
        ! "method" => Text,
        ! "url" => Text,
        ? "headers" => Any,
        ? "body" => Any,
        ? "dependsOn" => Texts,
    }
    Batch {
        ! "requests" => List(Schema::BatchRequest),
    }
    BatchResponse {
        ! "id" => Text,
        ! "status" => Integer,
        ! "headers" => Any,
        ? "body" => Any,
    }
    BatchAnswer {
        ! "responses" => List(Schema::BatchResponse),
    }
    Subscription {
        ? "id" => Text,
        ? "resource" => Text,
        ? "changeType" => Text,
        ? "notificationUrl" => Text,
        ? "lifecycleNotificationUrl" => TextOrNull,
        ? "expirationDateTime" => Time,
        ? "clientState" => TextOrNull,
        ? "latestSupportedTlsVersion" => TextOrNull,
        ? "applicationId" => TextOrNull,
        ? "creatorId" => Text,
    }
    Locale {
        ! "locale" => Text,
        ! "displayName" => Text,
    }
    AutomaticReplies {
        ! "status" => Text,
        ! "externalAudience" => Text,
        ! "internalReplyMessage" => Text,
        ! "externalReplyMessage" => Text,
        ! "scheduledStartDateTime" => Object(Schema::DateTimeTimeZone),
        ! "scheduledEndDateTime" => Object(Schema::DateTimeTimeZone),
    }
    MailboxSettings {
        ? "timeZone" => Text,
        ? "language" => Object(Schema::Locale),
        ? "dateFormat" => Text,
        ? "timeFormat" => Text,
        ? "userPurpose" => Text,
        ? "automaticRepliesSetting" => Object(Schema::AutomaticReplies),
    }
    Category {
        ? "id" => Text,
        ? "displayName" => Text,
        ? "color" => Text,
    }
    AutodiscoverJson {
        ! "Protocol" => Text,
        ! "Url" => Text,
    }
    AutodiscoverError {
        ! "ErrorCode" => Text,
        ! "ErrorMessage" => Text,
    }
    NativeError {
        ! "error" => Text,
    }
    InnerError {
        ! "date" => Text,
        ! "request-id" => Text,
        ! "client-request-id" => Text,
    }
    GraphErrorDetail {
        ! "code" => Text,
        ! "message" => Text,
        ! "innerError" => Object(Schema::InnerError),
    }
    GraphError {
        ! "error" => Object(Schema::GraphErrorDetail),
    }
}

const ON_DEMAND: [(Schema, &[&str]); 3] = [
    (
        Schema::Message,
        &["internetMessageHeaders", "uniqueBody", "attachments"],
    ),
    (
        Schema::User,
        &["accountEnabled", "proxyAddresses", "createdDateTime"],
    ),
    (Schema::Attachment, &["item"]),
];

impl Schema {
    /// Its name in the Graph family.
    pub fn graph_type(self) -> String {
        let name = self.name();
        let (first, rest) = name.split_at(1);
        format!("microsoft.graph.{}{rest}", first.to_ascii_lowercase())
    }

    /// Properties that are told only when they are selected.
    pub fn on_demand(self) -> &'static [&'static str] {
        let found = ON_DEMAND.iter().find(|(schema, _)| *schema == self);
        found.map_or(&[], |(_, names)| names)
    }

    /// Its definition (JSON Schema 2020-12, as OpenAPI 3.1 has it).
    pub fn definition(self) -> Value {
        let (mut properties, mut required, mut base) = (Map::new(), Vec::new(), None);
        for property in self.properties() {
            if property.name.is_empty() {
                base = Some(property.kind.definition());
                continue;
            }
            let definition = property.kind.definition();
            let definition = match property.is_required {
                true => definition,
                false => or_null(definition),
            };
            properties.insert(property.name.to_owned(), definition);
            if property.is_required {
                required.push(property.name);
            }
        }
        let mut definition = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            definition["required"] = json!(required);
        }
        match base {
            Some(base) => json!({"allOf": [base, definition]}),
            None => definition,
        }
    }

    /// A reference to its definition.
    pub fn reference(self) -> Value {
        json!({"$ref": format!("#/components/schemas/{}", self.name())})
    }
}

impl PropertyType {
    fn definition(self) -> Value {
        match self {
            Self::Text => json!({"type": "string"}),
            Self::TextOrNull => json!({"type": ["string", "null"]}),
            Self::TextOrInteger => json!({"type": ["string", "integer"]}),
            Self::Time => json!({"type": "string", "format": "date-time"}),
            Self::TimeOrNull => json!({"type": ["string", "null"], "format": "date-time"}),
            Self::Integer => json!({"type": "integer"}),
            Self::Boolean => json!({"type": "boolean"}),
            Self::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Self::Any => json!({}),
            Self::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Self::Object(schema) => schema.reference(),
            Self::ObjectOrNull(schema) => {
                json!({"anyOf": [schema.reference(), {"type": "null"}]})
            }
            Self::List(schema) => json!({"type": "array", "items": schema.reference()}),
        }
    }
}

/// What need not be there may be null, which means the same.
fn or_null(mut definition: Value) -> Value {
    if definition.get("$ref").is_some() {
        return json!({"anyOf": [definition, {"type": "null"}]});
    }
    if let Some(Value::String(name)) = definition.get("type") {
        definition["type"] = json!([name, "null"]);
    }
    definition
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn properties_of_a_type_have_different_names() {
        for schema in Schema::ALL {
            let names: BTreeSet<&str> = schema.properties().iter().map(|p| p.name).collect();
            assert_eq!(names.len(), schema.properties().len(), "{schema:?}");
        }
    }

    #[test]
    fn definitions_say_what_is_required_and_what_may_be_null() {
        assert_eq!(
            Schema::NativeSubmitted.definition(),
            json!({
                "type": "object",
                "properties": {
                    "message_id": {"type": "string"},
                    "queue_id": {"type": "string"},
                    "sent_id": {"type": ["string", "null"]},
                },
                "required": ["message_id", "queue_id", "sent_id"],
            })
        );
        let login = Schema::Login.definition();
        let properties = &login["properties"];
        assert_eq!(properties["username"], json!({"type": "string"}));
        assert_eq!(properties["domain"], json!({"type": ["string", "null"]}));
        let whole = Schema::NativeMessage.definition();
        assert_eq!(whole["allOf"][0], Schema::MessageSummary.reference());
    }
}
