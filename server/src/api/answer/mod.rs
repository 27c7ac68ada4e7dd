//! Carrying requests out: from an [`Exchange`], its content and the store to an answer.
//!
//! A handler is a function of these alone: the time and all randomness come with the exchange. It
//! may block, so it runs as a job; what it wrote is told by [`Answer::touched`], for those who wait
//! for changes. When a database is busy nothing was written, and the whole is done again. One thing
//! reaches beyond the store: a target of a subscription is asked whether it wants to be one.

mod administration;
mod alias_endpoints;
mod attachments;
mod auth;
mod batch;
mod cache;
mod categories;
mod context;
mod delta;
mod drafts;
mod find_messages;
mod folders;
mod graph_folders;
mod graph_messages;
mod lists;
mod master_categories;
mod message_telling;
mod message_values;
mod native_folders;
mod native_messages;
mod pages;
mod reply;
mod saving;
mod sending;
mod settings;
mod subscriptions;
#[cfg(test)]
mod tests;
mod uploads;

use bytes::Bytes;
use rmail_proto::{
    AccountId, Address, MailboxId, Uid,
    http::{FieldName, FieldValue, Response},
};
use rmail_store::{Store, StoreError};

use self::reply::{Content, Reply};
pub use self::{cache::Caches, context::Cx, pages::Pages};
use super::{
    discovery,
    error::{ApiError, Occasion},
    exchange::Exchange,
    routes::{Param, RouteName, Scope},
    service::{Service, with_origin},
};
use crate::{credentials::Verdict, outside::webhooks::Post};

/// An answer, and what was done for it.
#[derive(Debug)]
pub struct Answer {
    /// The response, but for a body that is to be read from the store.
    pub response: Response,
    /// That body.
    pub stored: Option<StoredBody>,
    /// What was written.
    pub touched: Touched,
}

/// A body that is a message as it is stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StoredBody {
    /// Whose.
    pub account: AccountId,
    /// Where.
    pub mailbox: MailboxId,
    /// Which.
    pub uid: Uid,
    /// Its length.
    pub size_bytes: u64,
}

/// What was written, for those who wait for changes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Touched {
    /// Accounts whose mail has changed.
    pub accounts: Vec<AccountId>,
    /// Whether the directory has changed.
    pub directory: bool,
    /// Whether something was spooled.
    pub spool: bool,
    /// Passwords that were tried.
    pub logins: Vec<TriedLogin>,
    /// Whether a subscription was made, changed or dropped.
    pub subscriptions: bool,
    /// Requests that were within this one.
    pub requests: u32,
}

/// A password that was tried.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TriedLogin {
    /// For which account; none where there can be no such.
    pub address: Option<Address>,
    /// Whether it was right.
    pub verdict: Verdict,
}

/// Why there is no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The client is told this.
    Refused(ApiError),
    /// The store failed.
    Store(StoreError),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What a handler returns.
type Outcome = Result<Reply, Failure>;

/// Carries a request out.
///
/// # Errors
///
/// `Busy` alone: nothing has happened, and it is to be tried again.
pub fn answer(
    store: &dyn Store,
    service: &Service,
    poster: &dyn Post,
    exchange: &Exchange,
    content: &Bytes,
) -> Result<Answer, StoreError> {
    if let Some(response) = discover(service, exchange, content) {
        return Ok(Answer {
            response: with_origin(response, exchange.allow_origin.clone()),
            stored: None,
            touched: Touched::default(),
        });
    }
    let mut cx = Cx::new(store, service, poster, exchange, content);
    let outcome = authorize(&mut cx).and_then(|()| dispatch(&mut cx));
    let reply = match outcome {
        Ok(reply) => reply,
        Err(Failure::Store(StoreError::Busy)) if !cx.has_written() => {
            return Err(StoreError::Busy);
        }
        Err(failure) => {
            return Ok(Answer {
                touched: cx.touched,
                ..Answer::refused(exchange, failure)
            });
        }
    };
    let stored = match &reply.content {
        Content::Stored(stored, _) => Some(*stored),
        Content::None | Content::Json(_) | Content::Text(_) | Content::Bytes(..) => None,
    };
    let mut response = reply.into_response(exchange.matched.route.family);
    if exchange.claims.is_some() {
        response = response.with(
            const { FieldName::new("Cache-Control") },
            const { FieldValue::from_static("no-store") },
        );
    }
    Ok(Answer {
        response: with_origin(response, exchange.allow_origin.clone()),
        stored,
        touched: cx.touched,
    })
}

impl Answer {
    /// The answer when the store failed, or a handler did.
    pub fn failed(exchange: &Exchange, error: StoreError) -> Self {
        Self::refused(exchange, Failure::Store(error))
    }

    fn refused(exchange: &Exchange, failure: Failure) -> Self {
        let occasion = Occasion {
            now: exchange.now,
            id: exchange.id,
            client_id: exchange.client_id.as_deref(),
        };
        let response = api_error(failure).into_response(exchange.matched.route.family, &occasion);
        Self {
            response: with_origin(response, exchange.allow_origin.clone()),
            stored: None,
            touched: Touched::default(),
        }
    }
}

/// What mail clients ask before they have an account; `None` when something else is asked.
fn discover(service: &Service, exchange: &Exchange, content: &Bytes) -> Option<Response> {
    let occasion = Occasion {
        now: exchange.now,
        id: exchange.id,
        client_id: exchange.client_id.as_deref(),
    };
    let (site, query) = (&service.site, exchange.query.as_str());
    let response = match exchange.matched.route.name {
        RouteName::WellKnownAutoconfig | RouteName::Autoconfig => {
            discovery::autoconfig(site, query, exchange.host.as_deref())
        }
        RouteName::Autodiscover => Ok(discovery::autodiscover(site, Some(content), &occasion)),
        RouteName::AutodiscoverByGet => Ok(discovery::autodiscover(site, None, &occasion)),
        RouteName::AutodiscoverJson | RouteName::AutodiscoverJsonOf => {
            let address = exchange.matched.param(Param::Address);
            discovery::autodiscover_json(site, query, address)
        }
        RouteName::AppleProfile => discovery::mobileconfig(site, query),
        _ => return None,
    };
    let family = exchange.matched.route.family;
    Some(response.unwrap_or_else(|error| error.into_response(family, &occasion)))
}

/// Whether the token's account is there, and as the token says.
fn authorize(cx: &mut Cx<'_>) -> Result<(), Failure> {
    if cx.exchange.matched.route.scope == Scope::Open {
        return Ok(());
    }
    cx.load_account()
}

/// What a client hears of the store's troubles.
pub(crate) fn api_error(failure: Failure) -> ApiError {
    let error = match failure {
        Failure::Refused(error) => return error,
        Failure::Store(error) => error,
    };
    match error {
        StoreError::Busy => ApiError::unavailable().retry_after(std::time::Duration::from_secs(1)),
        StoreError::Full => {
            tracing::error!("the disk is full");
            ApiError::unavailable().retry_after(std::time::Duration::from_secs(60))
        }
        StoreError::NoSuchAccount => ApiError::without_token(true),
        StoreError::NoSuchMailbox
        | StoreError::NoSuchMessage
        | StoreError::NoSuchUpload
        | StoreError::NoSuchEntry => ApiError::item_not_found(),
        StoreError::AddressTaken => ApiError::conflict(),
        StoreError::NoSuchAlias => ApiError::path_not_found(),
        error @ StoreError::AliasLoop(_) => {
            ApiError::invalid_request().with_message(error.to_string())
        }
        StoreError::MailboxExists => ApiError::folder_exists(),
        StoreError::MailboxProtected => ApiError::invalid_request(),
        StoreError::ChangedSince => ApiError::changed_since(),
        StoreError::OverQuota => ApiError::quota_exceeded(),
        StoreError::TooMany(what) => {
            ApiError::invalid_request().with_message(format!("There are too many {what}."))
        }
        StoreError::InDelivery => ApiError::conflict(),
        StoreError::Failed(error) => {
            tracing::error!(error, "the store failed");
            ApiError::internal()
        }
    }
}

fn dispatch(cx: &mut Cx<'_>) -> Outcome {
    use RouteName as R;
    match cx.exchange.matched.route.name {
        R::Health => auth::health(cx),
        R::OpenApi => Ok(auth::openapi()),
        R::Login => auth::login(cx),
        R::TokenGrant => auth::grant_token(cx),
        R::GetMe => auth::me(cx),
        R::Refresh => auth::refresh(cx),
        R::Logout => auth::logout(cx),
        R::LogoutAll => auth::logout_all(cx),
        R::ChangePassword => auth::change_password(cx),
        R::ListNativeFolders => native_folders::list(cx),
        R::CreateNativeFolder => native_folders::create(cx),
        R::UpdateNativeFolder => native_folders::update(cx),
        R::DeleteNativeFolder => native_folders::delete(cx),
        R::ListNativeMessages => native_messages::list(cx),
        R::AppendNative => native_messages::append(cx),
        R::GetNativeMessage => native_messages::show(cx),
        R::UpdateNativeMessage => native_messages::update(cx),
        R::DeleteNativeMessage => native_messages::delete(cx),
        R::GetNativeRaw => native_messages::raw(cx),
        R::GetNativeAttachment => native_messages::attachment(cx),
        R::CopyNativeMessage => native_messages::copy(cx),
        R::GetQuota => administration::quota(cx),
        R::ListAliases => alias_endpoints::list(cx),
        R::CreateAlias => alias_endpoints::create(cx),
        R::UpdateAlias => alias_endpoints::update(cx),
        R::DeleteAlias => alias_endpoints::delete(cx),
        R::GetMailboxSettings => settings::show(cx),
        R::UpdateMailboxSettings => settings::update(cx),
        R::ListNativeUsers => administration::list(cx),
        R::CreateNativeUser => administration::create(cx),
        R::GetNativeUser => administration::show(cx),
        R::UpdateNativeUser => administration::update(cx),
        R::DeleteNativeUser => administration::delete(cx),
        R::ListDomains => administration::domains(cx),
        R::GetUser => administration::show_graph(cx),
        R::ListUsers => administration::list_graph(cx),
        R::RunBatch => batch::run(cx),
        R::ListFolders => graph_folders::list(cx),
        R::CreateFolder => graph_folders::create(cx),
        R::CountFolders => graph_folders::count(cx),
        R::GetFolder | R::GetChildFolder => graph_folders::show(cx),
        R::UpdateFolder | R::UpdateChildFolder => graph_folders::update(cx),
        R::DeleteFolder | R::DeleteChildFolder => graph_folders::delete(cx),
        R::ListChildFolders => graph_folders::list_children(cx),
        R::CreateChildFolder => graph_folders::create_child(cx),
        R::CountChildFolders => graph_folders::count_children(cx),
        R::MoveFolder => graph_folders::relocate(cx),
        R::CopyFolder => graph_folders::copy(cx),
        R::ListSubscriptions => subscriptions::list(cx),
        R::CreateSubscription => subscriptions::create(cx),
        R::GetSubscription => subscriptions::show(cx),
        R::UpdateSubscription => subscriptions::update(cx),
        R::DeleteSubscription => subscriptions::delete(cx),
        R::PurgeFolder => graph_folders::purge(cx),
        R::ListMessages => pages::remembering(cx, graph_messages::list),
        R::CountMessages => graph_messages::count(cx),
        R::GetMessage => graph_messages::show(cx),
        R::GetMessageMime => graph_messages::mime(cx),
        R::UpdateMessage => graph_messages::update(cx),
        R::DeleteMessage => graph_messages::delete(cx),
        R::PurgeMessage => graph_messages::purge(cx),
        R::MoveMessage => graph_messages::relocate(cx),
        R::CopyMessage => graph_messages::copy(cx),
        R::CreateMessage => drafts::create(cx),
        R::CreateReply => drafts::create_reply(cx),
        R::CreateReplyAll => drafts::create_reply_all(cx),
        R::CreateForward => drafts::create_forward(cx),
        R::SendMessage => sending::send_draft(cx),
        R::Reply => sending::reply(cx),
        R::ReplyAll => sending::reply_all(cx),
        R::Forward => sending::forward(cx),
        R::SendMail => sending::send_mail(cx),
        R::ListAttachments => attachments::list(cx),
        R::CreateAttachment => attachments::create(cx),
        R::GetAttachment => attachments::show(cx),
        R::DeleteAttachment => attachments::delete(cx),
        R::GetAttachmentContent => attachments::content(cx),
        R::CreateUploadSession => uploads::create(cx),
        R::PutRange => uploads::put(cx),
        R::GetUpload => uploads::show(cx),
        R::DeleteUpload => uploads::delete(cx),
        R::SendNative => native_messages::send(cx),
        R::GetMessageDelta => delta::messages(cx),
        R::GetFolderDelta => delta::folders(cx),
        R::ListCategories => master_categories::list(cx),
        R::CreateCategory => master_categories::create(cx),
        R::GetCategory => master_categories::show(cx),
        R::UpdateCategory => master_categories::update(cx),
        R::DeleteCategory => master_categories::delete(cx),
        R::WellKnownAutoconfig
        | R::Autoconfig
        | R::Autodiscover
        | R::AutodiscoverByGet
        | R::AutodiscoverJson
        | R::AutodiscoverJsonOf
        | R::AppleProfile => unreachable!("set-up is answered before"),
    }
}
