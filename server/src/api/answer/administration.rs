//! `/users`, `/domains`, `/quota`, `/v1.0/me`, `/v1.0/users`

use rmail_proto::{Address, Domain, http::Status};
use rmail_store::{Account, AccountUpdate, DirectoryWrite, NewAccount, StoreError};
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome, auth,
    lists::Page,
    native_folders::{refuse, text},
    native_messages::NativePage,
    reply::Reply,
};
use crate::aliases;
use crate::api::{
    error::ApiError,
    json::ArrayWriter,
    odata::{self, ListQuery, Select},
    resources::User,
    routes::Param,
    schema::Schema,
    time::write_time,
    token::write_guid,
};

pub(super) fn quota(cx: &mut Cx<'_>) -> Outcome {
    let account = cx.account();
    let used = cx.store().usage_bytes(account.id)?;
    let mut messages: u64 = 0;
    for folder in cx.folders()?.all() {
        messages += u64::from(cx.status(folder)?.messages);
    }
    Ok(Reply::ok(json!({
        "used": used,
        "limit": account.quota_bytes,
        "messages": messages,
        // There is no bound on the number of messages.
        "message_limit": 0,
    })))
}

pub(super) fn domains(cx: &mut Cx<'_>) -> Outcome {
    let accounts = cx.store().accounts()?;
    let aliases = cx.store().aliases(&Default::default())?;
    let domains = cx.service().config.domains.iter().map(|domain| {
        let users = accounts
            .iter()
            .filter(|account| account.address.domain() == domain);
        json!({
            "domain": domain.as_str(),
            "users": users.count(),
            "aliases": aliases.iter().filter(|alias| alias.address.domain() == domain).count(),
        })
    });
    Ok(Reply::ok(json!({"domains": domains.collect::<Vec<_>>()})))
}

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    let page = NativePage::parse(cx)?;
    let options = &cx.exchange.options;
    let domain = options.other("domain").map(str::to_lowercase);
    // It is one of OData's, too, and so among those.
    let search = options.odata("search").map(str::to_lowercase);
    let mut accounts = cx.store().accounts()?;
    accounts.retain(|account| {
        let address = account.address.to_string().to_lowercase();
        let is_of = |domain: &String| account.address.domain().as_str() == domain;
        let has = |search: &String| {
            address.contains(search) || account.display_name.to_lowercase().contains(search)
        };
        domain.as_ref().is_none_or(is_of) && search.as_ref().is_none_or(has)
    });
    let total = accounts.len() as u64;
    let shown = page.cut(accounts).iter().map(tell).collect();
    Ok(Reply::ok(page.tell("users", shown, total)))
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let required = |name: &str| {
        let text = text(&body, name)?;
        text.ok_or_else(|| {
            let message = "username, domain and password are required".to_owned();
            Failure::from(ApiError::property_missing().with_message(message))
        })
    };
    let (username, domain) = (required("username")?, required("domain")?);
    let password = required("password")?;
    let changes = Changes::parse(&body)?;
    let address = hosted_address(cx, &username, &domain)?;
    if cx.store().account_by_address(&address)?.is_some() {
        return Err(taken(&address));
    }
    let account = NewAccount {
        address: address.clone(),
        guid: cx.draw_guid(),
        credential: auth::new_credential(cx, password)?,
        is_admin: changes.is_admin.unwrap_or_default(),
    };
    match cx.write_directory(DirectoryWrite::CreateAccount(account)) {
        Err(Failure::Store(StoreError::AddressTaken)) => return Err(taken(&address)),
        made => made?,
    }
    let made = cx.store().account_by_address(&address)?;
    let made = made.ok_or_else(ApiError::internal)?;
    let update = AccountUpdate {
        display_name: changes.display_name,
        quota_bytes: changes.quota_bytes,
        ..AccountUpdate::default()
    };
    cx.update_account(made.id, update)?;
    Ok(Reply::created(tell(&found(cx, &address)?)))
}

pub(super) fn show(cx: &mut Cx<'_>) -> Outcome {
    Ok(Reply::ok(tell(&named(cx)?)))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let account = named(cx)?;
    let body = cx.json()?;
    let changes = Changes::parse(&body)?;
    let is_enabled = match body.get("enabled") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(is_enabled)) => Some(*is_enabled),
        Some(_) => return Err(refuse("enabled must be true or false")),
    };
    let loses_admin = is_enabled == Some(false) || changes.is_admin == Some(false);
    if loses_admin {
        check_not_last_admin(cx, &account)?;
    }
    let credential = match text(&body, "password")? {
        None => None,
        Some(password) => Some(auth::new_credential(cx, password)?),
    };
    let is_changed = is_enabled.is_some_and(|is_enabled| is_enabled != account.is_enabled);
    let update = AccountUpdate {
        raise_generation: credential.is_some() || is_changed,
        credential,
        is_admin: changes.is_admin,
        is_enabled,
        display_name: changes.display_name,
        quota_bytes: changes.quota_bytes,
        ..AccountUpdate::default()
    };
    cx.update_account(account.id, update)?;
    Ok(Reply::ok(tell(&found(cx, &account.address)?)))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let account = named(cx)?;
    check_not_last_admin(cx, &account)?;
    cx.write_directory(DirectoryWrite::DeleteAccount(account.id))?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// `/v1.0/me` and `/v1.0/users/{id}`
pub(super) fn show_graph(cx: &mut Cx<'_>) -> Outcome {
    let select = select(cx)?;
    let user = cx.exchange.param(Param::User);
    let account = match user.is_empty() || cx.names_me(user) {
        true => cx.account().clone(),
        false if !cx.is_admin() => return Err(ApiError::authorization_denied().into()),
        false => {
            let found = cx.find_user(user)?;
            found.ok_or_else(ApiError::user_not_found)?
        }
    };
    let others: Vec<String> = match select.has("proxyAddresses") {
        true => aliases::aliases_of(cx.store(), &cx.service().config, &account)?
            .iter()
            .filter(|alias| alias.is_enabled && !alias.is_pattern())
            .map(|alias| alias.address.to_string())
            .collect(),
        false => Vec::new(),
    };
    let mut told = User::new(&account, &others).tell(&select);
    told["@odata.context"] = json!(cx.metadata("users/$entity"));
    Ok(Reply::ok(told))
}

/// `/v1.0/users`
pub(super) fn list_graph(cx: &mut Cx<'_>) -> Outcome {
    let options = &cx.exchange.options;
    let select = select(cx)?;
    // Nothing of a folder is asked: the options of all lists are these.
    let query = ListQuery::<odata::MailFolder>::parse(
        &options.without("select"),
        cx.service().filter_bounds(),
    )?;
    let page = Page::of_query(cx, &query)?;
    let accounts = cx.store().accounts()?;
    let total = accounts.len() as u64;
    let shown = accounts
        .iter()
        .skip(usize::try_from(page.skip).unwrap_or(usize::MAX))
        .take(page.items as usize)
        .map(|account| User::new(account, &[]).tell(&select));
    page.reply(cx, "users", &ArrayWriter::of(shown), total, query.count)
}

fn select(cx: &Cx<'_>) -> Result<Select, Failure> {
    Ok(match cx.exchange.options.odata("select") {
        Some(text) => Select::parse(Schema::User, text)?,
        None => Select::by_default(Schema::User),
    })
}

/// What can be said of a new account as well as changed of one.
struct Changes {
    display_name: Option<String>,
    quota_bytes: Option<u64>,
    is_admin: Option<bool>,
}

impl Changes {
    fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let display_name = text(body, "display_name")?;
        let has_control = |name: &String| name.chars().any(char::is_control);
        if display_name.as_ref().is_some_and(has_control) {
            return Err(refuse("display_name must not hold control characters"));
        }
        Ok(Self {
            display_name,
            quota_bytes: match body.get("quota") {
                None | Some(Value::Null) => None,
                Some(quota) => Some(
                    quota
                        .as_u64()
                        .ok_or_else(|| refuse("quota must be a number of bytes, 0 for none"))?,
                ),
            },
            is_admin: match body.get("is_admin") {
                None | Some(Value::Null) => None,
                Some(Value::Bool(is_admin)) => Some(*is_admin),
                Some(_) => return Err(refuse("is_admin must be true or false")),
            },
        })
    }
}

/// An address of a domain that is hosted here.
fn hosted_address(cx: &Cx<'_>, username: &str, domain: &str) -> Result<Address, Failure> {
    let domain = Domain::parse(domain).map_err(|_| refuse("domain is not a domain name"))?;
    if !cx.service().config.domains.contains(&domain) {
        return Err(refuse("the domain is not hosted here: add it to domains"));
    }
    let address = Address::new(username.to_owned(), domain);
    address.map_err(|_| refuse("username can't be a local-part"))
}

fn taken(address: &Address) -> Failure {
    ApiError::conflict()
        .with_message(format!("There is an account {address} already"))
        .into()
}

/// The account that the path names.
fn named(cx: &Cx<'_>) -> Result<Account, Failure> {
    let found = cx.find_user(cx.exchange.param(Param::Address))?;
    let message = "There is no such user".to_owned();
    Ok(found.ok_or_else(|| ApiError::user_not_found().with_message(message))?)
}

fn found(cx: &Cx<'_>, address: &Address) -> Result<Account, Failure> {
    let found = cx.store().account_by_address(address)?;
    Ok(found.ok_or_else(ApiError::user_not_found)?)
}

fn check_not_last_admin(cx: &Cx<'_>, account: &Account) -> Result<(), Failure> {
    let is_other = |other: &Account| other.is_admin && other.is_enabled && other.id != account.id;
    let is_counted = account.is_admin && account.is_enabled;
    match !is_counted || cx.store().accounts()?.iter().any(is_other) {
        true => Ok(()),
        false => {
            let message = "The last administrator can be neither disabled nor deleted".to_owned();
            Err(ApiError::conflict().with_message(message).into())
        }
    }
}

fn tell(account: &Account) -> Value {
    json!({
        "id": write_guid(account.guid),
        "username": account.address.local_part(),
        "domain": account.address.domain().as_str(),
        "address": account.address.to_string(),
        "display_name": account.display_name,
        "enabled": account.is_enabled,
        "is_admin": account.is_admin,
        "quota": account.quota_bytes,
        "created_at": write_time(account.created_at),
        "last_login_at": account.last_login_at.map(write_time),
    })
}
