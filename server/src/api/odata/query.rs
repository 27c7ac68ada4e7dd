//! All options of a request for a list.

use super::{
    entity::Entity,
    filter::Filter,
    options::Options,
    order::OrderBy,
    parse_filter::{Bounds, parse_filter},
    search::Search,
    select::{Expand, Select},
};
use crate::{api::error::ApiError, limits};

/// What a list is to hold, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery<E: Entity> {
    /// What is told of each item.
    pub select: Select,
    /// What is told along with it.
    pub expand: Expand,
    /// Which items, in which order.
    pub criteria: Criteria<E>,
    /// Items of a page, if it was said: 1 to [`limits::PAGE_ITEMS_MAX`].
    pub top: Option<u32>,
    /// Items before the first.
    pub skip: u32,
    /// Whether the number of all items is told.
    pub count: bool,
    /// Where a list that was begun goes on; see [`Cursors`](super::Cursors).
    pub skip_token: Option<String>,
    /// Since when changes are wanted; see [`Cursors`](super::Cursors).
    pub delta_token: Option<String>,
}

/// Which items. A search comes with neither a filter nor an order: it has its own.
#[derive(Clone, Debug, PartialEq)]
pub enum Criteria<E: Entity> {
    /// All for which the filter is true.
    Filter {
        /// All, without one.
        filter: Option<Filter<E>>,
        /// The type's own, when it is empty.
        order: Vec<OrderBy<E>>,
    },
    /// What is found, newest first.
    Search(Search),
}

impl<E: Entity> ListQuery<E> {
    /// Parses the options of a query.
    ///
    /// # Errors
    ///
    /// Those of the options, `search_with_filter`, `search_with_order_by`.
    pub fn parse(options: &Options, bounds: Bounds) -> Result<Self, ApiError> {
        let select = match options.odata("select") {
            Some(text) => Select::parse(E::SCHEMA, text)?,
            None => Select::by_default(E::SCHEMA),
        };
        let expand = match options.odata("expand") {
            Some(text) => Expand::parse(E::SCHEMA, text)?,
            None => Expand::default(),
        };
        Ok(Self {
            select,
            expand,
            criteria: Criteria::parse(options, bounds)?,
            top: parse_number(options, "top", 1, limits::PAGE_ITEMS_MAX)?,
            skip: parse_number(options, "skip", 0, u32::MAX)?.unwrap_or_default(),
            count: parse_boolean(options, "count")?,
            skip_token: parse_token(options, "skiptoken")?,
            delta_token: parse_token(options, "deltatoken")?,
        })
    }

    /// Items of a page. `preferred`: what the client prefers, which `$top` overrides.
    pub fn page_items(&self, preferred: Option<u32>) -> u32 {
        let preferred = preferred.map(|items| items.clamp(1, limits::PAGE_ITEMS_MAX));
        self.top.or(preferred).unwrap_or(limits::PAGE_ITEMS)
    }
}

impl<E: Entity> Criteria<E> {
    fn parse(options: &Options, bounds: Bounds) -> Result<Self, ApiError> {
        let (filter, order) = (options.odata("filter"), options.odata("orderby"));
        match (options.odata("search"), filter, order) {
            (Some(_), Some(_), _) => Err(ApiError::search_with_filter()),
            (Some(_), None, Some(_)) => Err(ApiError::search_with_order_by()),
            (Some(text), None, None) => Search::parse(text, bounds).map(Self::Search),
            (None, filter, order) => Ok(Self::Filter {
                filter: filter.map(|text| parse_filter(text, bounds)).transpose()?,
                order: order.map(OrderBy::parse).transpose()?.unwrap_or_default(),
            }),
        }
    }
}

fn parse_number(
    options: &Options,
    name: &str,
    min: u32,
    max: u32,
) -> Result<Option<u32>, ApiError> {
    let Some(text) = options.odata(name) else {
        return Ok(None);
    };
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_number);
    let number = number.filter(|number| (min..=max).contains(number));
    number.map(Some).ok_or_else(|| refuse(name))
}

fn parse_boolean(options: &Options, name: &str) -> Result<bool, ApiError> {
    match options.odata(name) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => Err(refuse(name)),
    }
}

fn parse_token(options: &Options, name: &str) -> Result<Option<String>, ApiError> {
    match options.odata(name) {
        Some(text) if text.is_empty() || text.len() > limits::CURSOR_BYTES => Err(refuse(name)),
        token => Ok(token.map(str::to_owned)),
    }
}

fn refuse(name: &str) -> ApiError {
    ApiError::bad_request().with_message(format!("Invalid value of the query option '${name}'."))
}

#[cfg(test)]
mod tests {
    use super::{
        super::entity::{MailFolder, Message},
        *,
    };

    pub(super) const BOUNDS: Bounds = Bounds {
        bytes: 8192,
        depth: 32,
        operands: 200,
    };

    fn parse(query: &str) -> Result<ListQuery<Message>, ApiError> {
        ListQuery::parse(&Options::parse(query).unwrap(), BOUNDS)
    }

    #[test]
    fn without_options_there_is_a_page_of_everything() {
        let query = parse("").unwrap();
        assert_eq!(query.page_items(None), limits::PAGE_ITEMS);
        assert_eq!((query.skip, query.count), (0, false));
        assert!(query.select.has("body"));
        let everything = Criteria::Filter {
            filter: None,
            order: Vec::new(),
        };
        assert_eq!(query.criteria, everything);
    }

    #[test]
    fn top_is_stronger_than_the_preferred_size_and_both_are_bounded() {
        let query = parse("$top=5&$skip=10&$count=TRUE").unwrap();
        assert_eq!(query.page_items(Some(50)), 5);
        assert_eq!((query.skip, query.count), (10, true));
        assert_eq!(parse("").unwrap().page_items(Some(50)), 50);
        assert_eq!(
            parse("").unwrap().page_items(Some(5000)),
            limits::PAGE_ITEMS_MAX
        );
        assert_eq!(parse("").unwrap().page_items(Some(0)), 1);
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for query in [
            "$top=0",
            "$top=1001",
            "$top=-1",
            "$top=+1",
            "$top=x",
            "$top=",
            "$skip=-1",
            "$skip=4294967296",
            "$count=1",
            "$count=",
            "$skiptoken=",
            "$select=x",
            "$expand=x",
            "$orderby=x",
            "$filter=x",
            "$filter=",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
        let token = |bytes: usize| format!("$skiptoken={}", "a".repeat(bytes));
        assert!(parse(&token(limits::CURSOR_BYTES)).is_ok());
        assert!(parse(&token(limits::CURSOR_BYTES + 1)).is_err());
    }

    #[test]
    fn search_comes_alone() {
        let code = |query: &str| parse(query).unwrap_err().code();
        assert_eq!(code("$search=\"a\"&$filter=isRead"), "SearchWithFilter");
        assert_eq!(code("$search=\"a\"&$orderby=subject"), "SearchWithOrderBy");
        assert!(matches!(
            parse("$search=\"a\"&$top=5").unwrap().criteria,
            Criteria::Search(_)
        ));
    }

    #[test]
    fn folders_have_properties_of_their_own() {
        let parse =
            |query: &str| ListQuery::<MailFolder>::parse(&Options::parse(query).unwrap(), BOUNDS);
        assert!(parse("$filter=displayName eq 'x'&$top=1&$select=displayName").is_ok());
        assert!(parse("$filter=subject eq 'x'").is_err());
        assert!(parse("$select=subject").is_err());
    }
}
