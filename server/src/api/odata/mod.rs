//! OData query options (contract of the Graph family), as types that hold legal queries only.
//!
//! | option | type |
//! |---|---|
//! | `$select` | [`Select`] |
//! | `$expand` | [`Expand`] |
//! | `$filter` | [`Filter`], over the properties of an [`Entity`] |
//! | `$orderby` | [`OrderBy`] |
//! | `$search` | [`Search`] |
//! | `$top`, `$skip`, `$count` | [`ListQuery`] |
//! | `$skiptoken`, `$deltatoken` | [`Cursor`], signed by [`Cursors`] |

mod cursor;
mod entity;
mod filter;
mod lexer;
mod options;
mod order;
mod parse_filter;
mod query;
mod search;
mod select;

pub use cursor::{Cursor, CursorKind, Cursors, Position};
pub use entity::{
    Element, ElementNumber, ElementText, Entity, MailFolder, Message, MessageCollection,
    MessageText, MessageTime, Never, PropertyPath,
};
pub use filter::{Comparison, Filter, NumberOperand, Operator, TextOperand, TextTest, TimeOperand};
pub use options::Options;
pub use order::{OrderBy, SortKey};
pub use parse_filter::{Bounds, parse_filter};
pub use query::{Criteria, ListQuery};
pub use search::{Days, Search, SearchText, Sizes, Words};
pub use select::{Expand, Select};
