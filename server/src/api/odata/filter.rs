//! `$filter`: what must be true of an item.

use super::entity::{Element, Entity};
use crate::api::{resources::Importance, time::Timestamp};

/// A filter over the properties of `E`. Texts are compared without case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter<E: Entity> {
    /// Known in advance.
    Constant(bool),
    /// All of them. Not empty.
    And(Vec<Filter<E>>),
    /// One of them at least. Not empty.
    Or(Vec<Filter<E>>),
    /// The contrary.
    Not(Box<Filter<E>>),
    /// The property is true.
    Is(E::Boolean),
    /// Texts compared.
    Text(Comparison<TextOperand<E>>),
    /// Times compared.
    Time(Comparison<TimeOperand<E>>),
    /// Numbers compared.
    Number(Comparison<NumberOperand<E>>),
    /// An importance compared.
    Rank(E::Rank, Operator, Importance),
    /// A text within another.
    Match {
        /// How.
        test: TextTest,
        /// The text that is looked at.
        text: TextOperand<E>,
        /// What is looked for.
        pattern: TextOperand<E>,
    },
    /// The text is not there (`eq null`).
    TextAbsent(E::Text),
    /// The time is not there.
    TimeAbsent(E::Time),
    /// Of one element at least; without a filter: there is an element.
    Any(E::Collection, Option<Box<Filter<Element>>>),
    /// Of each element.
    All(E::Collection, Box<Filter<Element>>),
}

/// Two values, and how they must stand to each other. With a value that is absent, only `Ne` is
/// true.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Comparison<O> {
    /// On the left.
    pub left: O,
    /// How.
    pub operator: Operator,
    /// On the right.
    pub right: O,
}

/// How values are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Operator {
    /// `eq`
    Eq,
    /// `ne`
    Ne,
    /// `gt`
    Gt,
    /// `ge`
    Ge,
    /// `lt`
    Lt,
    /// `le`
    Le,
}

impl Operator {
    /// The operator of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            "lt" => Self::Lt,
            "le" => Self::Le,
            _ => return None,
        })
    }

    /// The operator with the sides exchanged.
    #[must_use]
    pub const fn flipped(self) -> Self {
        match self {
            Self::Eq => Self::Eq,
            Self::Ne => Self::Ne,
            Self::Gt => Self::Lt,
            Self::Ge => Self::Le,
            Self::Lt => Self::Gt,
            Self::Le => Self::Ge,
        }
    }

    /// Whether it holds between values that are ordered so.
    pub const fn holds(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Eq => ordering.is_eq(),
            Self::Ne => ordering.is_ne(),
            Self::Gt => ordering.is_gt(),
            Self::Ge => ordering.is_ge(),
            Self::Lt => ordering.is_lt(),
            Self::Le => ordering.is_le(),
        }
    }
}

/// How a text is looked for in another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextTest {
    /// `contains`
    Contains,
    /// `startswith`
    StartsWith,
    /// `endswith`
    EndsWith,
}

/// A text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TextOperand<E: Entity> {
    /// Given.
    Literal(String),
    /// A property.
    Property(E::Text),
    /// Without white space around it. (`tolower` and `toupper` change nothing where case is
    /// passed over, and are left out.)
    Trimmed(Box<TextOperand<E>>),
}

/// A time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TimeOperand<E: Entity> {
    /// Given.
    Literal(Timestamp),
    /// A property.
    Property(E::Time),
}

/// A number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NumberOperand<E: Entity> {
    /// Given.
    Literal(i64),
    /// A property.
    Property(E::Number),
    /// Of characters in a text.
    Length(TextOperand<E>),
}
