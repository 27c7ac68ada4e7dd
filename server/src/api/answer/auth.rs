//! `/auth`, `/oauth2`, `/health`, `/openapi.json`

use percent_encoding::percent_decode_str;
use rmail_proto::{Address, Domain, Secret, http::Status};
use rmail_store::{Account, AccountUpdate, DirectoryWrite, Record, RecordKind};
use serde_json::{Map, Value, json};

use super::{Cx, Failure, Outcome, TriedLogin, reply::Reply};
use crate::{
    api::{
        error::ApiError,
        exchange::ContentKind,
        openapi,
        resources::User,
        token::{Claims, Subject},
    },
    credentials::{self, Credential, Verdict},
    limits,
};

pub(super) fn health(cx: &mut Cx<'_>) -> Outcome {
    let store = cx.store().directory_version();
    let queue = cx.store().queue(&Default::default(), None, 1);
    let is_well = store.is_ok() && queue.is_ok();
    let shows_checks = cx.exchange.client.is_loopback() || cx.is_admin();
    let mut told = json!({
        "status": if is_well { "ok" } else { "degraded" },
        "version": env!("CARGO_PKG_VERSION"),
    });
    if shows_checks {
        let word = |is_ok: bool| if is_ok { "ok" } else { "failed" };
        told["checks"] = json!({"store": word(store.is_ok()), "queue": word(queue.is_ok())});
    }
    Ok(match is_well {
        true => Reply::ok(told),
        false => Reply::new(
            Status::SERVICE_UNAVAILABLE,
            super::reply::Content::Json(told),
        ),
    })
}

pub(super) fn openapi() -> Reply {
    let document = openapi::document(env!("CARGO_PKG_VERSION"));
    Reply::bytes("application/json", document.to_string())
}

pub(super) fn login(cx: &mut Cx<'_>) -> Outcome {
    check_channel(cx)?;
    let body = cx.json().map_err(|_| incomplete())?;
    let username = login_value(&body, "username")?.ok_or_else(incomplete)?;
    let password = login_value(&body, "password")?.ok_or_else(incomplete)?;
    let domain = login_value(&body, "domain")?;
    if !username.contains('@') && domain.is_none() {
        return Err(incomplete());
    }
    let address = login_address(&username, domain.as_deref());
    let account = check_password(cx, address.as_ref(), &Secret::new(password))?;
    let account = account.ok_or_else(ApiError::invalid_credentials)?;
    let token = issue(cx, &account)?;
    Ok(Reply::ok(tell(cx, &account, &token)))
}

pub(super) fn grant_token(cx: &mut Cx<'_>) -> Outcome {
    let invalid = |code: &str, description: &str| {
        let body = json!({"error": code, "error_description": description});
        Ok(Reply::new(
            Status::BAD_REQUEST,
            super::reply::Content::Json(body),
        ))
    };
    check_channel(cx)?;
    let body = match cx.exchange.content_kind {
        ContentKind::Form => form(cx.content),
        ContentKind::Json | ContentKind::Text | ContentKind::Other => cx.json()?,
    };
    match login_value(&body, "grant_type") {
        Ok(Some(grant)) if grant == "password" => {}
        _ => return invalid("unsupported_grant_type", "grant_type must be password"),
    }
    let (Ok(Some(username)), Ok(Some(password))) = (
        login_value(&body, "username"),
        login_value(&body, "password"),
    ) else {
        return invalid("invalid_request", "username and password are required");
    };
    let address = login_address(&username, None);
    match check_password(cx, address.as_ref(), &Secret::new(password))? {
        None => invalid("invalid_grant", "Invalid credentials"),
        Some(account) => {
            let token = issue(cx, &account)?;
            Ok(Reply::ok(json!({
                "access_token": token.reveal(),
                "token_type": "Bearer",
                "expires_in": cx.service().tokens.ttl().as_secs(),
                "scope": "mail",
            })))
        }
    }
}

pub(super) fn me(cx: &mut Cx<'_>) -> Outcome {
    let expires_at = claims(cx).expires_at;
    Ok(Reply::ok(User::tell_native(cx.account(), expires_at)))
}

pub(super) fn refresh(cx: &mut Cx<'_>) -> Outcome {
    let id = cx.draw_id();
    let account = cx.account();
    let tokens = &cx.service().tokens;
    let token = tokens.refresh(cx.now(), claims(cx), &subject(account), id);
    let token = token.ok_or_else(|| ApiError::without_token(true))?;
    Ok(Reply::ok(tell(cx, account, &token)))
}

pub(super) fn logout(cx: &mut Cx<'_>) -> Outcome {
    let claims = claims(cx).clone();
    let record = Record {
        kind: RecordKind::Revocation,
        key: claims.id,
        account: Some(cx.account().id),
        value: String::new(),
        expires_at: claims.expires_at,
    };
    cx.write_directory(DirectoryWrite::PutRecord(record))?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn logout_all(cx: &mut Cx<'_>) -> Outcome {
    let update = AccountUpdate {
        raise_generation: true,
        ..AccountUpdate::default()
    };
    cx.update_account(cx.account().id, update)?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

pub(super) fn change_password(cx: &mut Cx<'_>) -> Outcome {
    check_channel(cx)?;
    let missing = || {
        let message = "old_password and new_password are required".to_owned();
        Failure::from(ApiError::property_missing().with_message(message))
    };
    let body = cx.json()?;
    let old = login_value(&body, "old_password").map_err(|_| missing())?;
    let new = login_value(&body, "new_password").map_err(|_| missing())?;
    let (Some(old), Some(new)) = (old, new) else {
        return Err(missing());
    };
    let address = cx.account().address.clone();
    if check_password(cx, Some(&address), &Secret::new(old))?.is_none() {
        return Err(ApiError::invalid_credentials().into());
    }
    let credential = new_credential(cx, new)?;
    let update = AccountUpdate {
        credential: Some(credential),
        raise_generation: true,
        ..AccountUpdate::default()
    };
    cx.update_account(cx.account().id, update)?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// The record of a new password, if it is one that can be taken.
pub(super) fn new_credential(cx: &mut Cx<'_>, password: String) -> Result<String, Failure> {
    if password.chars().count() < limits::PASSWORD_CHARS_MIN {
        let min = limits::PASSWORD_CHARS_MIN;
        let message = format!("The password is too short: {min} characters at least");
        return Err(ApiError::invalid_request().with_message(message).into());
    }
    let salt = cx.draw_id().to_be_bytes();
    Ok(Credential::new(&Secret::new(password), salt).to_string())
}

fn claims<'a>(cx: &Cx<'a>) -> &'a Claims {
    let claims = cx.exchange.claims.as_ref();
    claims.expect("the endpoint needs a token")
}

/// Passwords come over TLS, or from this machine.
fn check_channel(cx: &Cx<'_>) -> Result<(), Failure> {
    match cx.exchange.takes_passwords {
        true => Ok(()),
        false => Err(ApiError::tls_required().into()),
    }
}

/// The account, if it is there and enabled and this is its password.
fn check_password(
    cx: &mut Cx<'_>,
    address: Option<&Address>,
    password: &Secret<String>,
) -> Result<Option<Account>, Failure> {
    let verdict = credentials::check(cx.store(), address, password, cx.now())?;
    cx.touched.logins.push(TriedLogin {
        address: address.cloned(),
        verdict: verdict.clone(),
    });
    Ok(match verdict {
        Verdict::Right(account) => Some(*account),
        Verdict::Outdated | Verdict::Wrong => None,
    })
}

fn issue(cx: &mut Cx<'_>, account: &Account) -> Result<Secret<String>, Failure> {
    let id = cx.draw_id();
    let login = DirectoryWrite::RecordLogin(account.id);
    // That it can't be noted is no reason to refuse.
    let noted = cx.store().write_directory(cx.now(), vec![login]);
    if let Err(error) = noted {
        tracing::debug!(%error, "the login could not be noted");
    }
    tracing::info!(
        session = cx.exchange.session.0,
        account = %account.address,
        token = format!("{id:032x}"),
        "logged in"
    );
    Ok(cx.service().tokens.issue(cx.now(), &subject(account), id))
}

fn subject(account: &Account) -> Subject {
    Subject {
        address: account.address.clone(),
        guid: account.guid,
        generation: account.generation,
        is_admin: account.is_admin,
    }
}

fn tell(cx: &Cx<'_>, account: &Account, token: &Secret<String>) -> Value {
    json!({
        "token": token.reveal(),
        "username": account.address.local_part(),
        "domain": account.address.domain().as_str(),
        "expires_in": cx.service().tokens.ttl().as_secs(),
    })
}

fn incomplete() -> Failure {
    let message = "username, password and domain are required".to_owned();
    ApiError::property_missing().with_message(message).into()
}

/// A text that is not too long, if it is there.
fn login_value(body: &Map<String, Value>, name: &str) -> Result<Option<String>, Failure> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::String(text))
            if !text.is_empty()
                && text.len() <= limits::LOGIN_VALUE_BYTES
                && !text.contains('\0') =>
        {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(incomplete()),
    }
}

/// The address of a login; `None` when there can be no such account.
fn login_address(username: &str, domain: Option<&str>) -> Option<Address> {
    let Some((_, own)) = username.rsplit_once('@') else {
        let domain = Domain::parse(domain?).ok()?;
        return Address::new(username.to_owned(), domain).ok();
    };
    match domain {
        Some(domain) if !domain.eq_ignore_ascii_case(own) => None,
        Some(_) | None => Address::parse(username).ok(),
    }
}

/// The fields of `application/x-www-form-urlencoded`.
fn form(content: &[u8]) -> Map<String, Value> {
    let text = String::from_utf8_lossy(content);
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_decode_str(&text).decode_utf8_lossy();
        decoded.into_owned()
    };
    let fields = text.split('&').filter_map(|field| field.split_once('='));
    fields
        .map(|(name, value)| (decode(name), Value::String(decode(value))))
        .collect()
}
