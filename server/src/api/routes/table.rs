//! The table of endpoints.

use rmail_proto::http::{Method, Status};

use super::{Gives, Route, Scope, Takes};
use crate::api::{error::Family, schema::Schema};

macro_rules! routes {
    ($(
        $name:ident = $method:ident $template:literal $family:ident $scope:ident
            $takes:expr => $gives:expr;
    )*) => {
        /// The endpoints by name.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum RouteName {
            $(
                #[doc = concat!("`", $template, "`")]
                $name,
            )*
        }

        /// All endpoints.
        pub const ROUTES: [Route; [$(RouteName::$name),*].len()] = {
            use Gives::{Collection, Content, Json};
            use Takes::{Batch, Login, Message, MessageOrMime, Range, Raw, Xml};
            use Schema as S;
            [$(Route {
                name: RouteName::$name,
                method: Method::$method,
                template: $template,
                scope: Scope::$scope,
                family: Family::$family,
                takes: $takes,
                gives: $gives,
            }),*]
        };
    };
}

const NONE: Takes = Takes::Nothing;
const NO_CONTENT: Gives = Gives::Nothing(Status::NO_CONTENT);
const ACCEPTED: Gives = Gives::Nothing(Status::ACCEPTED);
const XML: Gives = Gives::Content("text/xml");

const fn takes(schema: Schema) -> Takes {
    Takes::Json(schema)
}

const fn ok(schema: Schema) -> Gives {
    Gives::Json(Status::OK, schema)
}

const fn created(schema: Schema) -> Gives {
    Gives::Json(Status::CREATED, schema)
}

routes! {
    // The server's own.
    Health = Get "/health" Native Open NONE => ok(S::Health);
    OpenApi = Get "/openapi.json" Native Open NONE => Content("application/json");
    Login = Post "/auth/login" Native Open Login(S::Login) => ok(S::Token);
    TokenGrant = Post "/oauth2/v2.0/token" Native Open Login(S::TokenGrant) => ok(S::AccessToken);
    GetMe = Get "/auth/me" Native Mail NONE => ok(S::Me);
    Refresh = Post "/auth/refresh" Native Mail NONE => ok(S::Token);
    Logout = Post "/auth/logout" Native Mail NONE => NO_CONTENT;
    LogoutAll = Post "/auth/logout-all" Native Mail NONE => NO_CONTENT;
    ChangePassword = Post "/auth/password" Native Mail Login(S::PasswordChange) => NO_CONTENT;
    ListNativeFolders = Get "/folders" Native Mail NONE => ok(S::NativeFolders);
    CreateNativeFolder = Post "/folders" Native Mail takes(S::NewNativeFolder)
        => created(S::NativeFolder);
    UpdateNativeFolder = Patch "/folders/{folder}" Native Mail takes(S::NativeFolderChange)
        => ok(S::NativeFolder);
    DeleteNativeFolder = Delete "/folders/{folder}" Native Mail NONE => NO_CONTENT;
    ListNativeMessages = Get "/folders/{folder}/messages" Native Mail NONE
        => ok(S::NativeMessages);
    AppendNative = Post "/messages" Native Mail Raw(S::NewNativeMessage)
        => created(S::MessageSummary);
    SendNative = Post "/messages/send" Native Mail Message(S::NativeSubmission)
        => Json(Status::ACCEPTED, S::NativeSubmitted);
    GetNativeMessage = Get "/messages/{message}" Native Mail NONE => ok(S::NativeMessage);
    UpdateNativeMessage = Patch "/messages/{message}" Native Mail takes(S::NativeMessageChange)
        => ok(S::MessageSummary);
    DeleteNativeMessage = Delete "/messages/{message}" Native Mail NONE => NO_CONTENT;
    GetNativeRaw = Get "/messages/{message}/raw" Native Mail NONE => Content("message/rfc822");
    GetNativeAttachment = Get "/messages/{message}/attachments/{attachment}" Native Mail NONE
        => Content("application/octet-stream");
    CopyNativeMessage = Post "/messages/{message}/copy" Native Mail takes(S::NativeDestination)
        => created(S::MessageSummary);
    GetQuota = Get "/quota" Native Mail NONE => ok(S::Quota);
    ListAliases = Get "/aliases" Native Mail NONE => ok(S::Aliases);
    CreateAlias = Post "/aliases" Native Admin takes(S::NewAlias) => created(S::Alias);
    UpdateAlias = Patch "/aliases/{address}" Native Admin takes(S::AliasChange) => ok(S::Alias);
    DeleteAlias = Delete "/aliases/{address}" Native Admin NONE => NO_CONTENT;
    ListNativeUsers = Get "/users" Native Admin NONE => ok(S::NativeUsers);
    CreateNativeUser = Post "/users" Native Admin takes(S::NewNativeUser)
        => created(S::NativeUser);
    GetNativeUser = Get "/users/{address}" Native Admin NONE => ok(S::NativeUser);
    UpdateNativeUser = Patch "/users/{address}" Native Admin takes(S::NativeUserChange)
        => ok(S::NativeUser);
    DeleteNativeUser = Delete "/users/{address}" Native Admin NONE => NO_CONTENT;
    ListDomains = Get "/domains" Native Admin NONE => ok(S::Domains);

    // Users.
    GetUser = Get "/v1.0/{me}" Graph Mail NONE => ok(S::User);
    ListUsers = Get "/v1.0/users" Graph Admin NONE => Collection(S::User);

    // Folders.
    ListFolders = Get "/v1.0/{me}/mailFolders" Graph Mail NONE => Collection(S::MailFolder);
    CreateFolder = Post "/v1.0/{me}/mailFolders" Graph Mail takes(S::MailFolder)
        => created(S::MailFolder);
    GetFolderDelta = Get "/v1.0/{me}/mailFolders/delta" Graph Mail NONE
        => Collection(S::MailFolder);
    CountFolders = Get "/v1.0/{me}/mailFolders/$count" Graph Mail NONE => Content("text/plain");
    GetFolder = Get "/v1.0/{me}/mailFolders/{folder}" Graph Mail NONE => ok(S::MailFolder);
    UpdateFolder = Patch "/v1.0/{me}/mailFolders/{folder}" Graph Mail takes(S::MailFolder)
        => ok(S::MailFolder);
    DeleteFolder = Delete "/v1.0/{me}/mailFolders/{folder}" Graph Mail NONE => NO_CONTENT;
    ListChildFolders = Get "/v1.0/{me}/mailFolders/{folder}/childFolders" Graph Mail NONE
        => Collection(S::MailFolder);
    CreateChildFolder = Post "/v1.0/{me}/mailFolders/{folder}/childFolders" Graph Mail
        takes(S::MailFolder) => created(S::MailFolder);
    CountChildFolders = Get "/v1.0/{me}/mailFolders/{folder}/childFolders/$count" Graph Mail NONE
        => Content("text/plain");
    GetChildFolder = Get "/v1.0/{me}/mailFolders/{folder}/childFolders/{childFolder}" Graph Mail
        NONE => ok(S::MailFolder);
    UpdateChildFolder = Patch "/v1.0/{me}/mailFolders/{folder}/childFolders/{childFolder}" Graph
        Mail takes(S::MailFolder) => ok(S::MailFolder);
    DeleteChildFolder = Delete "/v1.0/{me}/mailFolders/{folder}/childFolders/{childFolder}" Graph
        Mail NONE => NO_CONTENT;
    MoveFolder = Post "/v1.0/{me}/mailFolders/{folder}/move" Graph Mail takes(S::Destination)
        => created(S::MailFolder);
    CopyFolder = Post "/v1.0/{me}/mailFolders/{folder}/copy" Graph Mail takes(S::Destination)
        => created(S::MailFolder);
    PurgeFolder = Post "/v1.0/{me}/mailFolders/{folder}/permanentDelete" Graph Mail NONE
        => NO_CONTENT;

    // Messages.
    ListMessages = Get "/v1.0/{me}/[mailFolders/{folder}/]messages" Graph Mail NONE
        => Collection(S::Message);
    CreateMessage = Post "/v1.0/{me}/[mailFolders/{folder}/]messages" Graph Mail
        MessageOrMime(S::Message) => created(S::Message);
    CountMessages = Get "/v1.0/{me}/[mailFolders/{folder}/]messages/$count" Graph Mail NONE
        => Content("text/plain");
    GetMessageDelta = Get "/v1.0/{me}/mailFolders/{folder}/messages/delta" Graph Mail NONE
        => Collection(S::Message);
    GetMessage = Get "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}" Graph Mail NONE
        => ok(S::Message);
    UpdateMessage = Patch "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}" Graph Mail
        Message(S::Message) => ok(S::Message);
    DeleteMessage = Delete "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}" Graph Mail NONE
        => NO_CONTENT;
    GetMessageMime = Get "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/$value" Graph Mail
        NONE => Content("text/plain");
    PurgeMessage = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/permanentDelete"
        Graph Mail NONE => NO_CONTENT;
    MoveMessage = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/move" Graph Mail
        takes(S::Destination) => created(S::Message);
    CopyMessage = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/copy" Graph Mail
        takes(S::Destination) => created(S::Message);
    SendMessage = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/send" Graph Mail NONE
        => ACCEPTED;
    CreateReply = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/createReply" Graph
        Mail MessageOrMime(S::Reply) => created(S::Message);
    CreateReplyAll = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/createReplyAll"
        Graph Mail MessageOrMime(S::Reply) => created(S::Message);
    CreateForward = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/createForward"
        Graph Mail MessageOrMime(S::Forward) => created(S::Message);
    Reply = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/reply" Graph Mail
        MessageOrMime(S::Reply) => ACCEPTED;
    ReplyAll = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/replyAll" Graph Mail
        MessageOrMime(S::Reply) => ACCEPTED;
    Forward = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/forward" Graph Mail
        MessageOrMime(S::Forward) => ACCEPTED;
    SendMail = Post "/v1.0/{me}/sendMail" Graph Mail MessageOrMime(S::SendMail) => ACCEPTED;

    // Attachments.
    ListAttachments = Get "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/attachments" Graph
        Mail NONE => Collection(S::Attachment);
    CreateAttachment = Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/attachments"
        Graph Mail Message(S::Attachment) => created(S::Attachment);
    CreateUploadSession =
        Post "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/attachments/createUploadSession"
        Graph Mail takes(S::NewUpload) => created(S::UploadSession);
    GetAttachment =
        Get "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/attachments/{attachment}"
        Graph Mail NONE => ok(S::Attachment);
    DeleteAttachment =
        Delete "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/attachments/{attachment}"
        Graph Mail NONE => NO_CONTENT;
    GetAttachmentContent =
        Get "/v1.0/{me}/[mailFolders/{folder}/]messages/{message}/attachments/{attachment}/$value"
        Graph Mail NONE => Content("application/octet-stream");

    // Upload sessions: the path is the authorization.
    PutRange = Put "/v1.0/uploads/{upload}" Graph Open Range => ok(S::UploadSession);
    GetUpload = Get "/v1.0/uploads/{upload}" Graph Open NONE => ok(S::UploadSession);
    DeleteUpload = Delete "/v1.0/uploads/{upload}" Graph Open NONE => NO_CONTENT;

    // The rest of Graph.
    RunBatch = Post "/v1.0/$batch" Graph Mail Batch(S::Batch) => ok(S::BatchAnswer);
    ListSubscriptions = Get "/v1.0/subscriptions" Graph Mail NONE => Collection(S::Subscription);
    CreateSubscription = Post "/v1.0/subscriptions" Graph Mail takes(S::Subscription)
        => created(S::Subscription);
    GetSubscription = Get "/v1.0/subscriptions/{subscription}" Graph Mail NONE
        => ok(S::Subscription);
    UpdateSubscription = Patch "/v1.0/subscriptions/{subscription}" Graph Mail
        takes(S::Subscription) => ok(S::Subscription);
    DeleteSubscription = Delete "/v1.0/subscriptions/{subscription}" Graph Mail NONE
        => NO_CONTENT;
    GetMailboxSettings = Get "/v1.0/{me}/mailboxSettings" Graph Mail NONE
        => ok(S::MailboxSettings);
    UpdateMailboxSettings = Patch "/v1.0/{me}/mailboxSettings" Graph Mail
        takes(S::MailboxSettings) => ok(S::MailboxSettings);
    ListCategories = Get "/v1.0/{me}/outlook/masterCategories" Graph Mail NONE
        => Collection(S::Category);
    CreateCategory = Post "/v1.0/{me}/outlook/masterCategories" Graph Mail takes(S::Category)
        => created(S::Category);
    GetCategory = Get "/v1.0/{me}/outlook/masterCategories/{category}" Graph Mail NONE
        => ok(S::Category);
    UpdateCategory = Patch "/v1.0/{me}/outlook/masterCategories/{category}" Graph Mail
        takes(S::Category) => ok(S::Category);
    DeleteCategory = Delete "/v1.0/{me}/outlook/masterCategories/{category}" Graph Mail NONE
        => NO_CONTENT;

    // Set-up of mail clients.
    WellKnownAutoconfig = Get "/.well-known/autoconfig/mail/config-v1.1.xml" Discovery Open NONE
        => XML;
    Autoconfig = Get "/mail/config-v1.1.xml" Discovery Open NONE => XML;
    Autodiscover = Post "/autodiscover/autodiscover.xml" Discovery Open Xml => XML;
    AutodiscoverByGet = Get "/autodiscover/autodiscover.xml" Discovery Open NONE => XML;
    AutodiscoverJson = Get "/autodiscover/autodiscover.json" Discovery Open NONE
        => ok(S::AutodiscoverJson);
    AutodiscoverJsonOf = Get "/autodiscover/autodiscover.json/v1.0/{address}" Discovery Open NONE
        => ok(S::AutodiscoverJson);
    AppleProfile = Get "/email.mobileconfig" Discovery Open NONE
        => Content("application/x-apple-aspen-config");
}
