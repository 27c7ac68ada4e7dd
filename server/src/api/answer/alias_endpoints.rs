//! `/aliases`

use rmail_proto::{Address, http::Status};
use rmail_store::{Alias, AliasFilter, AliasWrite, StoreError};
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome, native_folders::refuse, native_messages::NativePage, reply::Reply,
};
use crate::{
    aliases,
    api::{error::ApiError, routes::Param},
};

pub(super) fn list(cx: &mut Cx<'_>) -> Outcome {
    let page = NativePage::parse(cx)?;
    let found = match cx.is_admin() {
        true => {
            let domain = cx.exchange.options.other("domain");
            let domain = domain.map(rmail_proto::Domain::parse).transpose();
            let domain = domain.map_err(|_| refuse("domain is not a domain name"))?;
            let filter = AliasFilter {
                domain,
                target: None,
            };
            cx.store().aliases(&filter)?
        }
        false => aliases::aliases_of(cx.store(), &cx.service().config, cx.account())?,
    };
    let total = found.len() as u64;
    let shown = page.cut(found).iter().map(tell).collect();
    Ok(Reply::ok(page.tell("aliases", shown, total)))
}

pub(super) fn create(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let address = body.get("address").and_then(Value::as_str);
    let address = address.ok_or_else(|| {
        let message = "address and targets are required".to_owned();
        Failure::from(ApiError::property_missing().with_message(message))
    })?;
    let config = &cx.service().config;
    let address = aliases::parse_address(config, address).map_err(fault)?;
    let targets = targets(cx, &body)?;
    let targets = targets.ok_or_else(|| {
        let message = "address and targets are required".to_owned();
        Failure::from(ApiError::property_missing().with_message(message))
    })?;
    let alias = Alias::new(&address, targets);
    write(cx, AliasWrite::Create(alias.clone()))?;
    Ok(Reply::created(tell(&found(cx, &alias.address)?)))
}

pub(super) fn update(cx: &mut Cx<'_>) -> Outcome {
    let address = named(cx)?;
    let body = cx.json()?;
    let is_enabled = match body.get("enabled") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(is_enabled)) => Some(*is_enabled),
        Some(_) => return Err(refuse("enabled must be true or false")),
    };
    let targets = targets(cx, &body)?;
    write(
        cx,
        AliasWrite::Update {
            address: address.clone(),
            targets,
            is_enabled,
        },
    )?;
    Ok(Reply::ok(tell(&found(cx, &address)?)))
}

pub(super) fn delete(cx: &mut Cx<'_>) -> Outcome {
    let address = named(cx)?;
    write(cx, AliasWrite::Delete(address))?;
    Ok(Reply::nothing(Status::NO_CONTENT))
}

/// The alias that the path names, as it is kept.
fn named(cx: &Cx<'_>) -> Result<Address, Failure> {
    let address = Address::parse(cx.exchange.param(Param::Address));
    let alias = match address {
        Ok(address) => cx.store().alias(&address)?,
        Err(_) => None,
    };
    Ok(alias.ok_or_else(missing)?.address)
}

fn found(cx: &Cx<'_>, address: &Address) -> Result<Alias, Failure> {
    Ok(cx.store().alias(address)?.ok_or_else(missing)?)
}

fn missing() -> ApiError {
    ApiError::path_not_found().with_message("There is no such alias".to_owned())
}

fn targets(cx: &Cx<'_>, body: &Map<String, Value>) -> Result<Option<Vec<Address>>, Failure> {
    let targets = match body.get("targets") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(targets)) => targets,
        Some(_) => return Err(refuse("targets must be a list of addresses")),
    };
    let texts: Option<Vec<&str>> = targets.iter().map(Value::as_str).collect();
    let texts = texts.ok_or_else(|| refuse("targets must be a list of addresses"))?;
    let parsed = aliases::parse_targets(&cx.service().config, texts);
    Ok(Some(parsed.map_err(fault)?))
}

fn write(cx: &mut Cx<'_>, write: AliasWrite) -> Result<(), Failure> {
    let results = cx.store().write_aliases(vec![write])?;
    cx.note_directory_written();
    for result in results {
        match result {
            Err(StoreError::AddressTaken) => {
                let message = "There is an account or an alias of this address".to_owned();
                return Err(ApiError::conflict().with_message(message).into());
            }
            Err(StoreError::NoSuchAlias) => return Err(missing().into()),
            result => result?,
        }
    }
    Ok(())
}

fn fault(fault: aliases::Fault) -> Failure {
    refuse(&fault.to_string())
}

fn tell(alias: &Alias) -> Value {
    let targets: Vec<String> = alias.targets.iter().map(Address::to_string).collect();
    json!({
        "address": alias.address.to_string(),
        "targets": targets,
        "enabled": alias.is_enabled,
    })
}
