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
mod evaluate;
mod filter;
mod lexer;
mod options;
mod order;
mod parse_filter;
mod query;
mod search;
mod select;
mod text;

pub use cursor::{Cursor, CursorKind, Cursors, Position};
pub use entity::{
    Element, ElementNumber, ElementText, Entity, FolderBoolean, FolderNumber, FolderText,
    MailFolder, Message, MessageBoolean, MessageCollection, MessageRank, MessageText, MessageTime,
    Needs, Never, PropertyPath,
};
pub use evaluate::{ElementValues, Place, Searched, Values};
pub use filter::{Comparison, Filter, NumberOperand, Operator, TextOperand, TextTest, TimeOperand};
pub use options::Options;
pub use order::{OrderBy, SortKey};
pub use parse_filter::{Bounds, parse_filter};
pub use query::{Criteria, ListQuery};
pub use search::{Days, Search, SearchText, Sizes, Words};
pub use select::{Expand, Select};
pub use text::fold;
