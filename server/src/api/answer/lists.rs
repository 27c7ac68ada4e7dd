//! Pages of lists.

use rmail_proto::http::FieldName;
use serde_json::{Map, Value};

use super::{Cx, Failure, Outcome, reply::Reply};
use crate::api::{
    error::ApiError,
    json::{ArrayWriter, ObjectWriter},
    odata::{Comparison, Criteria, Entity, Filter, ListQuery, Place, TextOperand, Values},
    resources::WellKnown,
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
        value: &ArrayWriter,
        total: u64,
        with_count: bool,
    ) -> Outcome {
        let end = self.skip + value.items() as u64;
        let mut json = Vec::new();
        let mut object = ObjectWriter::begin(&mut json);
        object.text("@odata.context", &cx.metadata(of));
        if with_count {
            object.value("@odata.count", &total);
        }
        // The iterators of some clients stop at an empty page, and others do not.
        if end < total && value.items() > 0 {
            let next_link = next_link(cx, &format!("$skip={end}"));
            object.text("@odata.nextLink", &next_link);
        }
        object.array("value", value);
        object.end();
        Ok(preferring(cx, Reply::text(json)))
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

/// Those items that are asked for, in the order that is asked for; without one, in theirs.
pub(super) fn choose<E: Entity, T: Values<E>>(
    items: Vec<T>,
    criteria: &Criteria<E>,
    id: impl Fn(&T) -> String,
) -> Result<Vec<T>, Failure> {
    let (filter, order) = match criteria {
        Criteria::Filter { filter, order } => (filter, order),
        Criteria::Search(_) => {
            let message = "This collection can't be searched.".to_owned();
            return Err(ApiError::bad_request().with_message(message).into());
        }
    };
    let mut items = items;
    items.retain(|item| filter.as_ref().is_none_or(|filter| filter.matches(item)));
    if !order.is_empty() {
        items.sort_by_cached_key(|item| Place::new(order, item, id(item)));
    }
    Ok(items)
}

/// Puts ids in the place of folders' well-known names, where a filter compares them.
pub(super) fn name_folders<E: Entity>(
    cx: &Cx<'_>,
    criteria: &mut Criteria<E>,
    is_folder: fn(E::Text) -> bool,
) -> Result<(), Failure> {
    match criteria {
        Criteria::Filter {
            filter: Some(filter),
            ..
        } => {
            let mut folders = None;
            name_folders_in(filter, is_folder, &mut |name| {
                let known = WellKnown::parse(name)?;
                let folders = folders.get_or_insert_with(|| cx.folders());
                let folders = folders.as_ref().ok()?;
                let id = match known {
                    WellKnown::Root => folders.root(),
                    known => folders.known(known)?.id,
                };
                Some(id.to_string())
            });
            folders.transpose().map(|_| ())
        }
        Criteria::Filter { filter: None, .. } | Criteria::Search(_) => Ok(()),
    }
}

fn name_folders_in<E: Entity>(
    filter: &mut Filter<E>,
    is_folder: fn(E::Text) -> bool,
    id: &mut dyn FnMut(&str) -> Option<String>,
) {
    match filter {
        Filter::And(filters) | Filter::Or(filters) => {
            for filter in filters {
                name_folders_in(filter, is_folder, id);
            }
        }
        Filter::Not(filter) => name_folders_in(filter, is_folder, id),
        Filter::Text(Comparison {
            left: TextOperand::Property(name),
            right: TextOperand::Literal(text),
            ..
        })
        | Filter::Text(Comparison {
            left: TextOperand::Literal(text),
            right: TextOperand::Property(name),
            ..
        }) if is_folder(*name) => {
            if let Some(id) = id(text) {
                *text = id;
            }
        }
        Filter::Constant(_)
        | Filter::Is(_)
        | Filter::Text(_)
        | Filter::Time(_)
        | Filter::Number(_)
        | Filter::Rank(..)
        | Filter::Match { .. }
        | Filter::TextAbsent(_)
        | Filter::TimeAbsent(_)
        | Filter::Any(..)
        | Filter::All(..) => {}
    }
}
