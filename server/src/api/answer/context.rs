//! What handlers have at hand.

use std::sync::Arc;

use bytes::Bytes;
use rmail_proto::{Entropy, InstanceId, UnixTime};
use rmail_store::{
    Account, AccountUpdate, AccountWrite, AccountWritten, DirectoryWrite, RecordKind, Store,
    StoredMessage,
};
use serde_json::{Map, Value};

use super::{Failure, StoredBody, Touched, folders::Folders};
use crate::{
    api::{
        compose::ReplyKind,
        error::ApiError,
        exchange::Exchange,
        resources::{CategoryNames, Importance, MessageFacts, Parsed},
        routes::Param,
        service::Service,
        token::{read_guid, write_guid},
    },
    limits,
    outside::webhooks::Post,
};

/// One request on its way through a handler.
pub struct Cx<'a> {
    store: &'a dyn Store,
    service: &'a Service,
    poster: &'a dyn Post,
    pub(super) exchange: &'a Exchange,
    /// The request's content.
    pub(super) content: &'a Bytes,
    pub(super) touched: Touched,
    account: Option<Account>,
    /// Whether something was written, or done that must not be repeated.
    has_written: bool,
    has_asked_target: bool,
    draws: u64,
}

/// What a request within another one has done.
#[derive(Debug)]
pub(super) struct Inner {
    touched: Touched,
    has_written: bool,
    has_asked_target: bool,
}

impl<'a> Cx<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        service: &'a Service,
        poster: &'a dyn Post,
        exchange: &'a Exchange,
        content: &'a Bytes,
    ) -> Self {
        Self {
            store,
            service,
            poster,
            exchange,
            content,
            touched: Touched::default(),
            account: None,
            has_written: false,
            has_asked_target: false,
            draws: 0,
        }
    }

    /// The same for a request within this one, of the same account.
    pub(super) fn within<'b>(&'b self, exchange: &'b Exchange, content: &'b Bytes) -> Cx<'b> {
        Cx {
            store: self.store,
            service: self.service,
            poster: self.poster,
            exchange,
            content,
            touched: Touched::default(),
            account: self.account.clone(),
            has_written: false,
            has_asked_target: self.has_asked_target,
            draws: 0,
        }
    }

    /// Takes over what a request within this one has done.
    pub(super) fn absorb(&mut self, inner: Inner) {
        let Inner {
            touched,
            has_written,
            has_asked_target,
        } = inner;
        self.touched.accounts.extend(touched.accounts);
        self.touched.directory |= touched.directory;
        self.touched.subscriptions |= touched.subscriptions;
        self.touched.spool |= touched.spool;
        self.touched.requests += touched.requests;
        self.has_written |= has_written;
        self.has_asked_target |= has_asked_target;
    }

    /// What there is to be taken over of a request within another.
    pub(super) fn into_inner(self) -> Inner {
        Inner {
            touched: self.touched,
            has_written: self.has_written,
            has_asked_target: self.has_asked_target,
        }
    }

    pub(super) fn store(&self) -> &'a dyn Store {
        self.store
    }

    pub(super) fn service(&self) -> &'a Service {
        self.service
    }

    /// Posts to targets of subscriptions.
    pub(super) fn poster(&self) -> &'a dyn Post {
        self.poster
    }

    /// Before a target is asked, which may take long and must not be repeated: once a request, and
    /// a batch is one.
    pub(super) fn begin_handshake(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.has_asked_target, true) {
            let wait = std::time::Duration::from_secs(1);
            return Err(ApiError::too_many_requests().retry_after(wait).into());
        }
        self.has_written = true;
        Ok(())
    }

    pub(super) fn now(&self) -> UnixTime {
        self.exchange.now.unix
    }

    pub(super) fn has_written(&self) -> bool {
        self.has_written
    }

    /// Whose token it is.
    pub(super) fn account(&self) -> &Account {
        let account = self.account.as_ref();
        account.expect("the endpoint needs a token, and its account was loaded")
    }

    /// Whether the token may administer the server.
    pub(super) fn is_admin(&self) -> bool {
        let claims = self.exchange.claims.as_ref();
        claims.is_some_and(|claims| claims.subject.is_admin)
    }

    /// Loads the token's account, if it is as the token says.
    pub(super) fn load_account(&mut self) -> Result<(), Failure> {
        let refuse = || Failure::from(ApiError::without_token(true));
        let claims = self.exchange.claims.as_ref().ok_or_else(refuse)?;
        let subject = &claims.subject;
        let account = self.store().account_by_address(&subject.address)?;
        let account = account.filter(|account| {
            account.is_enabled
                && account.guid == subject.guid
                && account.generation == subject.generation
                && (account.is_admin || !subject.is_admin)
        });
        let account = account.ok_or_else(refuse)?;
        let revoked = self
            .store()
            .record(self.now(), RecordKind::Revocation, claims.id)?;
        if revoked.is_some() {
            return Err(refuse());
        }
        self.account = Some(account);
        Ok(())
    }

    /// Bytes that nobody can guess, others each time.
    pub(super) fn draw(&mut self) -> [u8; 32] {
        self.draws += 1;
        self.service().draw(&[
            &self.exchange.id.0.to_be_bytes(),
            &self.exchange.seed.to_be_bytes(),
            &self.draws.to_be_bytes(),
        ])
    }

    /// 128 bits of [`draw`](Self::draw).
    pub(super) fn draw_id(&mut self) -> u128 {
        let drawn = self.draw();
        u128::from_be_bytes(drawn[..16].try_into().expect("there are 16"))
    }

    /// A random GUID (RFC 9562 §5.4).
    pub(super) fn draw_guid(&mut self) -> u128 {
        self.draw_id() & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62)
    }

    /// The content as an object; an empty one stands for `{}`.
    pub(super) fn json(&self) -> Result<Map<String, Value>, Failure> {
        parse_object(self.content)
    }

    /// That the path's `{me}` is the token's own mailbox.
    pub(super) fn check_me(&self) -> Result<(), Failure> {
        let user = self.exchange.param(Param::User);
        if user.is_empty() || self.names_me(user) {
            return Ok(());
        }
        Err(match self.is_admin() && !self.knows_user(user)? {
            true => ApiError::user_not_found(),
            false => ApiError::access_denied(),
        }
        .into())
    }

    /// Whether this GUID or address is the token's account.
    pub(super) fn names_me(&self, user: &str) -> bool {
        let account = self.account();
        user.eq_ignore_ascii_case(&write_guid(account.guid))
            || user.eq_ignore_ascii_case(&account.address.to_string())
    }

    fn knows_user(&self, user: &str) -> Result<bool, Failure> {
        Ok(self.find_user(user)?.is_some())
    }

    /// The account of a GUID or an address.
    pub(super) fn find_user(&self, user: &str) -> Result<Option<Account>, Failure> {
        if let Some(guid) = read_guid(user) {
            let accounts = self.store().accounts()?;
            return Ok(accounts.into_iter().find(|account| account.guid == guid));
        }
        match rmail_proto::Address::parse(user) {
            Ok(address) => Ok(self.store().account_by_address(&address)?),
            Err(_) => Ok(None),
        }
    }

    /// Acts for an account that no token names: what the path shows is authorization enough.
    pub(super) fn act_for(&mut self, account: Account) {
        self.account = Some(account);
    }

    /// Randomness for what must not collide, and what nobody can guess who has not seen any.
    pub(super) fn entropy(&mut self) -> Entropy {
        let drawn = self.draw_id();
        Entropy::new((drawn >> 64) as u64 ^ drawn as u64)
    }

    /// Writes to the account's mail; the first that fails is the error.
    pub(super) fn write(
        &mut self,
        batch: Vec<AccountWrite>,
    ) -> Result<Vec<AccountWritten>, Failure> {
        let account = self.account().id;
        let written = self
            .store()
            .write_account(self.now(), account, batch, &[])?;
        self.note_mail_written();
        let results: Result<_, _> = written.results.into_iter().collect();
        Ok(results?)
    }

    /// Marks the account's mail as written to.
    pub(super) fn note_mail_written(&mut self) {
        self.has_written = true;
        let account = self.account().id;
        if !self.touched.accounts.contains(&account) {
            self.touched.accounts.push(account);
        }
    }

    /// Writes to the directory.
    pub(super) fn write_directory(&mut self, write: DirectoryWrite) -> Result<(), Failure> {
        let results = self.store().write_directory(self.now(), vec![write])?;
        self.has_written = true;
        self.touched.directory = true;
        for result in results {
            result?;
        }
        Ok(())
    }

    /// Marks the directory as written to.
    pub(super) fn note_directory_written(&mut self) {
        self.has_written = true;
        self.touched.directory = true;
    }

    /// Writes to the directory what concerns subscriptions alone.
    pub(super) fn write_subscription(&mut self, write: DirectoryWrite) -> Result<(), Failure> {
        let results = self.store().write_directory(self.now(), vec![write])?;
        self.has_written = true;
        self.touched.subscriptions = true;
        for result in results {
            result?;
        }
        Ok(())
    }

    /// Changes an account.
    pub(super) fn update_account(
        &mut self,
        account: rmail_proto::AccountId,
        update: AccountUpdate,
    ) -> Result<(), Failure> {
        self.write_directory(DirectoryWrite::UpdateAccount { account, update })
    }

    /// Marks the spool as written to.
    pub(super) fn note_spooled(&mut self) {
        self.has_written = true;
        self.touched.spool = true;
    }

    /// The account's folders.
    pub(super) fn folders(&self) -> Result<Folders, Failure> {
        Folders::load(self.store(), self.account())
    }

    /// The message that the path names, if it is in the folder that the path names.
    pub(super) fn message(&mut self) -> Result<StoredMessage, Failure> {
        self.check_me()?;
        let message = self.message_by_id(self.exchange.param(Param::Message))?;
        let folder = self.exchange.param(Param::Folder);
        if !folder.is_empty() {
            let folders = self.folders()?;
            if folders.find(folder).map(|found| found.id) != Some(message.mailbox) {
                return Err(ApiError::item_not_found().into());
            }
        }
        Ok(message)
    }

    /// A message by its id.
    pub(super) fn message_by_id(&self, id: &str) -> Result<StoredMessage, Failure> {
        let refuse = || Failure::from(ApiError::item_not_found());
        let instance = InstanceId::parse(id).ok_or_else(refuse)?;
        let found = self.store().find_message(self.account().id, instance)?;
        found.ok_or_else(refuse)
    }

    /// The bytes of a message.
    pub(super) fn read(&self, message: &StoredMessage) -> Result<Bytes, Failure> {
        let size = usize::try_from(message.data.size_bytes).unwrap_or(usize::MAX);
        let account = self.account().id;
        let read = self
            .store()
            .read(account, message.mailbox, message.data.uid, 0, size)?;
        Ok(read.ok_or_else(ApiError::item_not_found)?)
    }

    /// What a message says, if it was read before.
    pub(super) fn parsed_before(&self, message: &StoredMessage) -> Option<Arc<Parsed>> {
        self.service.caches.find(message.data.email_id)
    }

    /// What a message says.
    pub(super) fn parsed(&self, message: &StoredMessage) -> Result<Arc<Parsed>, Failure> {
        let id = message.data.email_id;
        if let Some(parsed) = self.service.caches.find(id) {
            return Ok(parsed);
        }
        let parsed = Arc::new(Parsed::parse(&self.read(message)?));
        self.service.caches.remember(id, &parsed);
        Ok(parsed)
    }

    /// A message's own bytes as a body.
    pub(super) fn stored_body(&self, message: &StoredMessage) -> StoredBody {
        StoredBody {
            account: self.account().id,
            mailbox: message.mailbox,
            uid: message.data.uid,
            size_bytes: message.data.size_bytes,
        }
    }

    /// `$metadata#…` of an answer.
    pub(super) fn metadata(&self, of: &str) -> String {
        format!("{}/v1.0/$metadata#{of}", self.exchange.base)
    }
}

/// What the API keeps beside a message: [`StoredMessage::extras`].
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct Extras {
    /// What was set in the place of what its fields say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) importance: Option<String>,
    /// Of a draft: the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answers: Option<Answers>,
    /// Start, due and completion of its flag, in seconds.
    #[serde(skip_serializing_if = "is_empty")]
    pub(super) flag_dates: [Option<i64>; 3],
}

/// The message that another one answers.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Answers {
    pub(super) id: String,
    pub(super) is_forward: bool,
}

impl Answers {
    pub(super) fn new(original: &StoredMessage, kind: ReplyKind) -> Self {
        Self {
            id: original.data.instance_id.to_string(),
            is_forward: kind == ReplyKind::Forward,
        }
    }
}

fn is_empty(dates: &[Option<i64>; 3]) -> bool {
    dates.iter().all(Option::is_none)
}

impl Extras {
    /// What can't be read is none.
    pub(super) fn of(message: &StoredMessage) -> Self {
        match message.extras.as_str() {
            "" => Self::default(),
            extras => serde_json::from_str(extras).unwrap_or_default(),
        }
    }

    /// As they are kept.
    pub(super) fn write(&self) -> String {
        match self == &Self::default() {
            true => String::new(),
            false => serde_json::to_string(self).expect("texts and numbers are JSON"),
        }
    }
}

/// What is known of a message besides its content.
pub(super) fn facts<'m>(
    message: &'m StoredMessage,
    category_names: &'m CategoryNames,
) -> MessageFacts<'m> {
    let extras = Extras::of(message);
    MessageFacts {
        data: &message.data,
        state: &message.state,
        folder: message.mailbox,
        created_at: message.created_at,
        modified_at: message.modified_at,
        has_attachments: message.has_attachments,
        importance: extras.importance.as_deref().and_then(Importance::parse),
        flag_dates: extras.flag_dates.map(|date| date.map(UnixTime)),
        category_names,
    }
}

/// JSON that is an object, not nested too deep; nothing at all stands for an empty one.
pub(super) fn parse_object(content: &[u8]) -> Result<Map<String, Value>, Failure> {
    if content.iter().all(u8::is_ascii_whitespace) {
        return Ok(Map::new());
    }
    let refuse = |text: &str| ApiError::bad_request().with_message(text.to_owned());
    if depth(content) > limits::JSON_DEPTH {
        return Err(refuse("The JSON is nested too deep.").into());
    }
    match serde_json::from_slice(content) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(refuse("The content must be a JSON object.").into()),
        Err(_) => Err(refuse("The content is not valid JSON.").into()),
    }
}

/// How deep brackets outside of strings are nested.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest): (usize, usize) = (0, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'{' | b'[') => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
    }
    deepest
}
