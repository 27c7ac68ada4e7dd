//! `/v1.0/$batch`: several requests in one.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rmail_proto::http::{Method, Status};
use serde_json::{Map, Value, json};

use super::{
    Cx, Failure, Outcome, api_error, dispatch,
    reply::{Content, Reply},
};
use crate::api::{
    error::{ApiError, Family, Occasion, content_type},
    exchange::{ContentKind, Exchange},
    odata::Options,
    prefer::Preferences,
    routes::{RouteName, Scope, Takes},
};

/// A request of a batch.
struct Inner {
    id: String,
    method: String,
    url: String,
    headers: Map<String, Value>,
    body: Option<Value>,
    depends_on: Vec<String>,
}

/// An answer within a batch.
struct Answered {
    status: Status,
    headers: Map<String, Value>,
    body: Option<Value>,
}

pub(super) fn run(cx: &mut Cx<'_>) -> Outcome {
    let body = cx.json()?;
    let requests = parse(cx, &body)?;
    let order = order(&requests)?;
    let mut statuses: BTreeMap<&str, Status> = BTreeMap::new();
    let mut responses = Vec::with_capacity(requests.len());
    for index in order {
        let inner = &requests[index];
        let has_failed = |id: &String| {
            let status = statuses.get(id.as_str());
            status.is_some_and(|status| status.code() >= 400)
        };
        let answered = match inner.depends_on.iter().any(has_failed) {
            true => refused(cx, ApiError::failed_dependency()),
            false => run_one(cx, inner),
        };
        statuses.insert(&inner.id, answered.status);
        let mut response = json!({
            "id": inner.id,
            "status": answered.status.code(),
            "headers": answered.headers,
        });
        if let Some(body) = answered.body {
            response["body"] = body;
        }
        responses.push(response);
    }
    Ok(Reply::ok(json!({"responses": responses})))
}

fn bad(message: &str) -> Failure {
    ApiError::bad_request()
        .with_message(message.to_owned())
        .into()
}

fn parse(cx: &Cx<'_>, body: &Map<String, Value>) -> Result<Vec<Inner>, Failure> {
    let requests = body.get("requests").and_then(Value::as_array);
    let requests = requests.filter(|requests| !requests.is_empty());
    let requests = requests.ok_or_else(|| bad("A batch needs requests."))?;
    let count_max = cx.service().config.exchange_api.limits.batch_requests.get();
    if requests.len() > count_max {
        return Err(bad(&format!("A batch has {count_max} requests at most.")));
    }
    let mut parsed: Vec<Inner> = Vec::with_capacity(requests.len());
    for request in requests {
        let inner = parse_one(request)?;
        if parsed.iter().any(|known| known.id == inner.id) {
            return Err(bad("The ids of a batch's requests must differ."));
        }
        parsed.push(inner);
    }
    Ok(parsed)
}

fn parse_one(request: &Value) -> Result<Inner, Failure> {
    let text = |name: &str| request.get(name).and_then(Value::as_str);
    let id = match request.get("id") {
        Some(Value::String(id)) if !id.is_empty() => id.clone(),
        Some(Value::Number(id)) if !id.is_f64() => id.to_string(),
        _ => return Err(bad("Each request of a batch needs an id.")),
    };
    let depends_on = request
        .get("dependsOn")
        .or_else(|| request.get("depends_on"));
    let depends_on = match depends_on {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(ids)) => ids
            .iter()
            .map(|id| id.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| bad("dependsOn must be a list of ids."))?,
        Some(_) => return Err(bad("dependsOn must be a list of ids.")),
    };
    Ok(Inner {
        id,
        method: text("method").unwrap_or_default().to_ascii_uppercase(),
        url: text("url").unwrap_or_default().to_owned(),
        headers: match request.get("headers") {
            Some(Value::Object(headers)) => headers.clone(),
            _ => Map::new(),
        },
        body: request.get("body").filter(|body| !body.is_null()).cloned(),
        depends_on,
    })
}

/// The requests as they can be carried out, those that others depend on first.
fn order(requests: &[Inner]) -> Result<Vec<usize>, Failure> {
    let known = |id: &String| requests.iter().any(|request| request.id == *id);
    if !requests
        .iter()
        .all(|request| request.depends_on.iter().all(known))
    {
        return Err(bad("A request depends on one that is not in the batch."));
    }
    let mut order: Vec<usize> = Vec::with_capacity(requests.len());
    while order.len() < requests.len() {
        let is_done = |id: &String| order.iter().any(|&index| requests[index].id == *id);
        let next = (0..requests.len()).find(|index| {
            !order.contains(index) && requests[*index].depends_on.iter().all(is_done)
        });
        match next {
            Some(index) => order.push(index),
            None => return Err(bad("The requests depend on one another in a circle.")),
        }
    }
    Ok(order)
}

fn run_one(cx: &mut Cx<'_>, inner: &Inner) -> Answered {
    cx.touched.requests += 1;
    let (exchange, content) = match admit(cx, inner) {
        Ok(admitted) => admitted,
        Err(error) => return refused(cx, error),
    };
    let mut within = cx.within(&exchange, &content);
    let outcome = dispatch(&mut within);
    let told = match outcome {
        Ok(reply) => tell(&within, reply),
        Err(failure) => refused(&within, api_error(failure)),
    };
    let inner = within.into_inner();
    cx.absorb(inner);
    told
}

/// The request as one by itself would be let in.
fn admit(cx: &Cx<'_>, inner: &Inner) -> Result<(Exchange, Bytes), ApiError> {
    let outer = cx.exchange;
    let method = Method::parse(&inner.method).ok_or_else(ApiError::bad_request)?;
    let (path, query) = target(cx, &inner.url)?;
    let matched = cx.service().find(method, &path)?;
    match matched.route.name {
        RouteName::RunBatch => return Err(ApiError::bad_request()),
        // They are open, and want their own content.
        RouteName::PutRange => return Err(ApiError::bad_request()),
        _ => {}
    }
    if matched.route.scope == Scope::Admin && !cx.is_admin() {
        return Err(ApiError::authorization_denied());
    }
    let header = |name: &str| {
        let mut headers = inner.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found
            .and_then(|(_, value)| value.as_str())
            .map(str::to_owned)
    };
    let named = header("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_json = matches!(inner.body, None | Some(Value::Object(_)));
    let content_kind = match named.split(';').next().unwrap_or_default().trim() {
        _ if is_json => ContentKind::Json,
        "text/plain" => ContentKind::Text,
        _ => ContentKind::Other,
    };
    let takes_text = matches!(matched.route.takes, Takes::MessageOrMime(_));
    let fits = is_json || takes_text && content_kind == ContentKind::Text;
    if !fits {
        return Err(ApiError::unsupported_media_type());
    }
    let content = match &inner.body {
        None => Bytes::new(),
        Some(Value::String(text)) => text.clone().into(),
        Some(body) => body.to_string().into(),
    };
    let prefer = header("prefer");
    let exchange = Exchange {
        method,
        matched,
        options: Options::parse(&query)?,
        path,
        query,
        preferences: Preferences::parse(prefer.as_deref().into_iter()),
        if_match: header("if-match"),
        if_none_match: header("if-none-match"),
        content_range: None,
        content_kind,
        // Each draws its own.
        seed: outer.seed ^ u64::from(cx.touched.requests).rotate_left(32),
        ..outer.clone()
    };
    Ok((exchange, content))
}

/// Path and query of a URL: `/me`, `me`, `/v1.0/me`, or an absolute one of this host.
fn target(cx: &Cx<'_>, url: &str) -> Result<(String, String), ApiError> {
    let scheme_end = url.find("://");
    let rest = match scheme_end {
        None => url,
        Some(end) => {
            let rest = &url[end + 3..];
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let is_ours = rmail_proto::http::Host::parse(host.as_bytes())
                .is_some_and(|host| cx.service().is_our_host(host.name(), None));
            let is_base = cx.exchange.base.ends_with(host);
            if !is_ours && !is_base {
                return Err(ApiError::bad_request());
            }
            path
        }
    };
    // Blanks may come as they are.
    let rest = rest.replace(' ', "%20");
    let (path, query) = rest.split_once('?').unwrap_or((&rest, ""));
    let path = path.trim_start_matches('/');
    let is_versioned = path
        .get(..5)
        .is_some_and(|start| start.eq_ignore_ascii_case("v1.0/"));
    let path = match is_versioned {
        true => format!("/{path}"),
        false => format!("/v1.0/{path}"),
    };
    Ok((path, query.to_owned()))
}

fn refused(cx: &Cx<'_>, error: ApiError) -> Answered {
    let status = error.status();
    let occasion = Occasion {
        now: cx.exchange.now,
        id: cx.exchange.id,
        client_id: cx.exchange.client_id.as_deref(),
    };
    let body = serde_json::from_slice(&error.body(Family::Graph, &occasion)).ok();
    let response = error.into_response(Family::Graph, &occasion);
    let fields = response.fields().iter();
    let headers = fields.map(|(name, value)| (name.as_str().to_owned(), json!(value.as_str())));
    Answered {
        status,
        headers: headers.collect(),
        body,
    }
}

fn tell(cx: &Cx<'_>, reply: Reply) -> Answered {
    let (status, content, fields) = reply.into_parts();
    let fields = fields.into_iter();
    let fields = fields.map(|(name, value)| (name.as_str().to_owned(), json!(value.as_str())));
    let mut headers: Map<String, Value> = fields.collect();
    let mut say_type = |kind: &str| headers.insert("Content-Type".to_owned(), json!(kind));
    let body = match content {
        Content::None => None,
        Content::Json(value) => {
            say_type(content_type(Family::Graph).as_str());
            Some(value)
        }
        Content::Text(text) => {
            say_type(content_type(Family::Graph).as_str());
            Some(serde_json::from_slice(&text).expect("it was written as JSON"))
        }
        Content::Bytes(kind, bytes) => {
            say_type(kind.as_str());
            Some(json!(BASE64_STANDARD.encode(bytes)))
        }
        Content::Stored(stored, kind) => {
            let length = usize::try_from(stored.size_bytes).unwrap_or(usize::MAX);
            let read = cx
                .store()
                .read(stored.account, stored.mailbox, stored.uid, 0, length);
            let Ok(Some(bytes)) = read else {
                return refused(cx, ApiError::item_not_found());
            };
            say_type(kind.as_str());
            Some(json!(BASE64_STANDARD.encode(bytes)))
        }
    };
    Answered {
        status,
        headers,
        body,
    }
}
