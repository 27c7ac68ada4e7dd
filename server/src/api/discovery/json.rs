//! Outlook's Autodiscover in JSON: where a protocol's endpoint is.

use rmail_proto::http::{Response, Status};
use serde_json::{Value, json};

use super::{Site, address_option, respond};
use crate::api::{
    error::{ApiError, shorten},
    odata::Options,
};

/// Answers `GET /autodiscover/autodiscover.json`. `address`: the one in the path, decoded, if it
/// stands there.
///
/// # Errors
///
/// `bad_request` for a query that can't be read; all else is told in documents of the protocol.
pub fn autodiscover_json(
    site: &Site,
    query: &str,
    address: Option<&str>,
) -> Result<Response, ApiError> {
    let options = Options::parse(query)?;
    let (status, document) = answer(site, &options, address);
    let content = document.to_string();
    Ok(respond(status, "application/json; charset=utf-8", content))
}

fn answer(site: &Site, options: &Options, address: Option<&str>) -> (Status, Value) {
    let Some(protocol) = options.other("protocol").filter(|name| !name.is_empty()) else {
        return missing("Protocol");
    };
    let address = address.map(str::to_owned);
    let Some(address) = address.or_else(|| address_option(options, "email")) else {
        return missing("Email");
    };
    if let Err(refused) = site.asked(&address) {
        let is_foreign = refused.status() == Status::NOT_FOUND;
        return match is_foreign {
            true => fault(
                Status::NOT_FOUND,
                "UserNotFound",
                "The given user is not found.".to_owned(),
            ),
            false => fault(
                Status::BAD_REQUEST,
                "InvalidUserId",
                "The given value of the parameter 'Email' is no mail address.".to_owned(),
            ),
        };
    }
    match (protocol.to_ascii_lowercase().as_str(), &site.api_url) {
        ("autodiscoverv1", _) => {
            let url = format!("{}/autodiscover/autodiscover.xml", site.autodiscover_url);
            found("AutodiscoverV1", &url)
        }
        ("rest", Some(url)) => found("Rest", &format!("{url}/v1.0")),
        (_, api_url) => {
            let supported = match api_url {
                Some(_) => "AutodiscoverV1,Rest",
                None => "AutodiscoverV1",
            };
            let message = format!(
                "The given protocol value '{}' is invalid. Supported values are '{supported}'",
                shorten(protocol)
            );
            fault(Status::BAD_REQUEST, "InvalidProtocol", message)
        }
    }
}

fn found(protocol: &str, url: &str) -> (Status, Value) {
    (Status::OK, json!({"Protocol": protocol, "Url": url}))
}

fn missing(parameter: &str) -> (Status, Value) {
    let message = format!("A valid value must be provided for the query parameter '{parameter}'");
    fault(Status::BAD_REQUEST, "MandatoryParameterMissing", message)
}

fn fault(status: Status, code: &str, message: String) -> (Status, Value) {
    (status, json!({"ErrorCode": code, "ErrorMessage": message}))
}
