//! Whether a filter or a search is true of an item, and where an order puts it.

use std::{
    borrow::Cow,
    cmp::{Ordering, Reverse},
};

use super::{
    entity::{
        Element, ElementNumber, ElementText, Entity, Message, MessageBoolean, MessageCollection,
        MessageRank, MessageText, MessageTime, Needs, Never, PropertyPath,
    },
    filter::{Comparison, Filter, NumberOperand, Operator, TextOperand, TextTest, TimeOperand},
    order::{OrderBy, SortKey},
    query::Criteria,
    search::{Days, Search, SearchText, Words},
    text::{fold, words},
};
use crate::api::{resources::Importance, time::Timestamp};

/// An item's values, each looked up when it is asked for.
pub trait Values<E: Entity> {
    /// A text; `None` when it is absent.
    fn text(&self, name: E::Text) -> Option<Cow<'_, str>>;
    /// A time; `None` when it is absent.
    fn time(&self, name: E::Time) -> Option<Timestamp>;
    /// True or false.
    fn boolean(&self, name: E::Boolean) -> bool;
    /// A number; `None` when it is absent.
    fn number(&self, name: E::Number) -> Option<i64>;
    /// An importance.
    fn rank(&self, name: E::Rank) -> Importance;
    /// All elements.
    fn elements(&self, name: E::Collection) -> Vec<ElementValues<'_>>;
}

/// What `$search` looks at besides.
pub trait Searched: Values<Message> {
    /// Of the whole message.
    fn size_bytes(&self) -> u64;
    /// Its body as text.
    fn body_text(&self) -> Cow<'_, str>;
}

/// An element of a collection: what it is, or has.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ElementValues<'a> {
    /// A category.
    pub itself: Option<Cow<'a, str>>,
    /// A recipient's.
    pub address: Option<Cow<'a, str>>,
    /// A recipient's or an attachment's.
    pub name: Option<Cow<'a, str>>,
    /// An attachment's.
    pub content_type: Option<Cow<'a, str>>,
    /// An attachment's.
    pub size_bytes: Option<u64>,
}

impl Values<Element> for ElementValues<'_> {
    fn text(&self, name: ElementText) -> Option<Cow<'_, str>> {
        let text = match name {
            ElementText::Itself => &self.itself,
            ElementText::Address => &self.address,
            ElementText::Name => &self.name,
            ElementText::ContentType => &self.content_type,
        };
        text.as_deref().map(Cow::Borrowed)
    }

    fn number(&self, name: ElementNumber) -> Option<i64> {
        match name {
            ElementNumber::Size => self
                .size_bytes
                .map(|size| i64::try_from(size).unwrap_or(i64::MAX)),
        }
    }

    fn time(&self, name: Never) -> Option<Timestamp> {
        match name {}
    }

    fn boolean(&self, name: Never) -> bool {
        match name {}
    }

    fn rank(&self, name: Never) -> Importance {
        match name {}
    }

    fn elements(&self, name: Never) -> Vec<ElementValues<'_>> {
        match name {}
    }
}

impl<E: Entity> Filter<E> {
    /// Whether it is true of an item. What needs less is looked at first.
    pub fn matches(&self, item: &impl Values<E>) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::And(filters) => cheap_first(filters, Self::needs).all(|it| it.matches(item)),
            Self::Or(filters) => cheap_first(filters, Self::needs).any(|it| it.matches(item)),
            Self::Not(filter) => !filter.matches(item),
            Self::Is(name) => item.boolean(*name),
            Self::Text(Comparison {
                left,
                operator,
                right,
            }) => {
                let (left, right) = (text(left, item), text(right, item));
                compare(left, *operator, right, |a, b| fold(a).cmp(fold(b)))
            }
            Self::Time(Comparison {
                left,
                operator,
                right,
            }) => compare(time(left, item), *operator, time(right, item), Ord::cmp),
            Self::Number(Comparison {
                left,
                operator,
                right,
            }) => compare(number(left, item), *operator, number(right, item), Ord::cmp),
            Self::Rank(name, operator, value) => operator.holds(item.rank(*name).cmp(value)),
            Self::Match {
                test,
                text: operand,
                pattern,
            } => {
                let found = text(operand, item).zip(text(pattern, item));
                found.is_some_and(|(text, pattern)| is_match(*test, &text, &pattern))
            }
            Self::TextAbsent(name) => item.text(*name).is_none(),
            Self::TimeAbsent(name) => item.time(*name).is_none(),
            Self::Any(name, None) => !item.elements(*name).is_empty(),
            Self::Any(name, Some(filter)) => item
                .elements(*name)
                .iter()
                .any(|element| filter.matches(element)),
            Self::All(name, filter) => item
                .elements(*name)
                .iter()
                .all(|element| filter.matches(element)),
        }
    }

    /// What must be known of an item to say whether it is true.
    pub fn needs(&self) -> Needs {
        use PropertyPath as Path;
        match self {
            Self::Constant(_) => Needs::Facts,
            Self::And(filters) | Self::Or(filters) => most(filters.iter().map(Self::needs)),
            Self::Not(filter) => filter.needs(),
            Self::Is(name) => E::needs(Path::Boolean(*name)),
            Self::Text(Comparison { left, right, .. }) => text_needs(left).max(text_needs(right)),
            Self::Time(Comparison { left, right, .. }) => {
                most([left, right].map(|side| match side {
                    TimeOperand::Literal(_) => Needs::Facts,
                    TimeOperand::Property(name) => E::needs(Path::Time(*name)),
                }))
            }
            Self::Number(Comparison { left, right, .. }) => {
                most([left, right].map(|side| match side {
                    NumberOperand::Literal(_) => Needs::Facts,
                    NumberOperand::Property(name) => E::needs(Path::Number(*name)),
                    NumberOperand::Length(text) => text_needs(text),
                }))
            }
            Self::Rank(name, _, _) => E::needs(Path::Rank(*name)),
            Self::Match { text, pattern, .. } => text_needs(text).max(text_needs(pattern)),
            Self::TextAbsent(name) => E::needs(Path::Text(*name)),
            Self::TimeAbsent(name) => E::needs(Path::Time(*name)),
            Self::Any(name, _) | Self::All(name, _) => E::needs(Path::Collection(*name)),
        }
    }
}

fn most(needs: impl IntoIterator<Item = Needs>) -> Needs {
    needs.into_iter().max().unwrap_or(Needs::Facts)
}

fn text_needs<E: Entity>(operand: &TextOperand<E>) -> Needs {
    match operand {
        TextOperand::Literal(_) => Needs::Facts,
        TextOperand::Property(name) => E::needs(PropertyPath::Text(*name)),
        TextOperand::Trimmed(inner) => text_needs(inner),
    }
}

/// In the order of what they need.
fn cheap_first<T>(terms: &[T], needs: fn(&T) -> Needs) -> impl Iterator<Item = &T> {
    let of = move |wanted| terms.iter().filter(move |term| needs(term) == wanted);
    Needs::ALL.into_iter().flat_map(of)
}

fn text<'a, E: Entity>(
    operand: &'a TextOperand<E>,
    item: &'a impl Values<E>,
) -> Option<Cow<'a, str>> {
    match operand {
        TextOperand::Literal(text) => Some(Cow::Borrowed(text)),
        TextOperand::Property(name) => item.text(*name),
        TextOperand::Trimmed(inner) => text(inner, item).map(|text| match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
            Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
        }),
    }
}

fn time<E: Entity>(operand: &TimeOperand<E>, item: &impl Values<E>) -> Option<Timestamp> {
    match operand {
        TimeOperand::Literal(time) => Some(*time),
        TimeOperand::Property(name) => item.time(*name),
    }
}

fn number<E: Entity>(operand: &NumberOperand<E>, item: &impl Values<E>) -> Option<i64> {
    match operand {
        NumberOperand::Literal(number) => Some(*number),
        NumberOperand::Property(name) => item.number(*name),
        NumberOperand::Length(operand) => {
            let length = text(operand, item)?.chars().count();
            Some(i64::try_from(length).unwrap_or(i64::MAX))
        }
    }
}

/// With a value that is absent, only `ne` holds.
fn compare<T>(
    left: Option<T>,
    operator: Operator,
    right: Option<T>,
    order: impl Fn(&T, &T) -> Ordering,
) -> bool {
    match left.zip(right) {
        Some((left, right)) => operator.holds(order(&left, &right)),
        None => operator == Operator::Ne,
    }
}

fn is_match(test: TextTest, text: &str, pattern: &str) -> bool {
    let text: String = fold(text).collect();
    let pattern: String = fold(pattern).collect();
    match test {
        TextTest::Contains => text.contains(&pattern),
        TextTest::StartsWith => text.starts_with(&pattern),
        TextTest::EndsWith => text.ends_with(&pattern),
    }
}

/// An item's place in an order: what is less comes first. No two items have the same.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    keys: Vec<PlaceKey>,
    id: String,
}

/// Two places of one order have the same variants in each position.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum PlaceKey {
    Ascending(PlaceValue),
    Descending(Reverse<PlaceValue>),
}

/// What is absent comes before what is there.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum PlaceValue {
    Text(Option<String>),
    Time(Option<Timestamp>),
    Boolean(bool),
    Number(Option<i64>),
    Rank(Importance),
}

impl Place {
    /// The place of an item. Where all keys are equal, the ids decide.
    pub fn new<E: Entity>(order: &[OrderBy<E>], item: &impl Values<E>, id: String) -> Self {
        let keys = order.iter().map(|by| {
            let value = match by.key {
                SortKey::Text(name) => {
                    PlaceValue::Text(item.text(name).map(|text| fold(&text).collect()))
                }
                SortKey::Time(name) => PlaceValue::Time(item.time(name)),
                SortKey::Boolean(name) => PlaceValue::Boolean(item.boolean(name)),
                SortKey::Number(name) => PlaceValue::Number(item.number(name)),
                SortKey::Rank(name) => PlaceValue::Rank(item.rank(name)),
            };
            match by.is_descending {
                false => PlaceKey::Ascending(value),
                true => PlaceKey::Descending(Reverse(value)),
            }
        });
        Self {
            keys: keys.collect(),
            id,
        }
    }
}

impl<E: Entity> OrderBy<E> {
    /// What must be known of an item to give it its place.
    pub fn needs(order: &[Self]) -> Needs {
        most(order.iter().map(|by| {
            E::needs(match by.key {
                SortKey::Text(name) => PropertyPath::Text(name),
                SortKey::Time(name) => PropertyPath::Time(name),
                SortKey::Boolean(name) => PropertyPath::Boolean(name),
                SortKey::Number(name) => PropertyPath::Number(name),
                SortKey::Rank(name) => PropertyPath::Rank(name),
            })
        }))
    }
}

impl OrderBy<Message> {
    /// The order of messages when none is asked for: newest first.
    pub const DEFAULT: [Self; 1] = [Self {
        key: SortKey::Time(MessageTime::Received),
        is_descending: true,
    }];
}

impl<E: Entity> Criteria<E> {
    /// What must be known of an item to say whether it is in the list, and where.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Filter { filter, order } => {
                let filter = filter.as_ref().map_or(Needs::Facts, Filter::needs);
                filter.max(OrderBy::needs(order))
            }
            Self::Search(search) => search.needs(),
        }
    }

    /// Whether messages must be read for it.
    pub fn needs_content(&self) -> bool {
        self.needs() == Needs::Content
    }
}

impl Search {
    /// Whether it finds a message. What needs less is looked at first.
    pub fn matches(&self, item: &impl Searched) -> bool {
        match self {
            Self::And(terms) => cheap_first(terms, Self::needs).all(|term| term.matches(item)),
            Self::Or(terms) => cheap_first(terms, Self::needs).any(|term| term.matches(item)),
            Self::Not(term) => !term.matches(item),
            Self::Text(place, words) => is_found(*place, words, item),
            Self::HasAttachment(value) => item.boolean(MessageBoolean::HasAttachments) == *value,
            Self::IsRead(value) => item.boolean(MessageBoolean::IsRead) == *value,
            Self::Importance(value) => item.rank(MessageRank::Importance) == *value,
            Self::Size(sizes) => (sizes.min..=sizes.max).contains(&item.size_bytes()),
            Self::Received(days) => is_within(days, item.time(MessageTime::Received)),
            Self::Sent(days) => is_within(days, item.time(MessageTime::Sent)),
            Self::Everything(value) => *value,
        }
    }

    /// What must be known of a message to say whether it is found.
    pub fn needs(&self) -> Needs {
        use PropertyPath as Path;
        match self {
            Self::And(terms) | Self::Or(terms) => most(terms.iter().map(Self::needs)),
            Self::Not(term) => term.needs(),
            Self::Text(SearchText::Default | SearchText::Body | SearchText::Attachment, _) => {
                Needs::Content
            }
            Self::Text(SearchText::Category, _) => Needs::Facts,
            Self::Text(
                SearchText::From
                | SearchText::To
                | SearchText::Cc
                | SearchText::Bcc
                | SearchText::Recipients
                | SearchText::Participants
                | SearchText::Subject,
                _,
            ) => Needs::Header,
            Self::HasAttachment(_) => Message::needs(Path::Boolean(MessageBoolean::HasAttachments)),
            Self::Importance(_) => Message::needs(Path::Rank(MessageRank::Importance)),
            Self::Sent(_) => Message::needs(Path::Time(MessageTime::Sent)),
            Self::IsRead(_) | Self::Size(_) | Self::Received(_) | Self::Everything(_) => {
                Needs::Facts
            }
        }
    }
}

fn is_within(days: &Days, time: Option<Timestamp>) -> bool {
    time.is_some_and(|time| {
        days.from.is_none_or(|from| from <= time) && days.before.is_none_or(|end| time < end)
    })
}

/// Whether the words follow each other in one of the texts of a place.
fn is_found(place: SearchText, looked_for: &Words, item: &impl Searched) -> bool {
    let needle = words(&looked_for.text);
    let needle = match looked_for.is_prefix {
        true => needle.trim_end(),
        false => &needle,
    };
    let is_in = |text: &str| words(text).contains(needle);
    let text = |name| item.text(name).is_some_and(|text| is_in(&text));
    let elements = |name: &MessageCollection| {
        item.elements(*name).iter().any(|element| {
            let texts = [&element.itself, &element.address, &element.name];
            texts.into_iter().flatten().any(|text| is_in(text))
        })
    };
    let from = || {
        [MessageText::FromName, MessageText::FromAddress]
            .into_iter()
            .any(text)
    };
    let recipients = [
        MessageCollection::ToRecipients,
        MessageCollection::CcRecipients,
        MessageCollection::BccRecipients,
    ];
    match place {
        SearchText::Default => from() || text(MessageText::Subject) || is_in(&item.body_text()),
        SearchText::From => from(),
        SearchText::To => elements(&MessageCollection::ToRecipients),
        SearchText::Cc => elements(&MessageCollection::CcRecipients),
        SearchText::Bcc => elements(&MessageCollection::BccRecipients),
        SearchText::Recipients => recipients.iter().any(elements),
        SearchText::Participants => from() || recipients.iter().any(elements),
        SearchText::Subject => text(MessageText::Subject),
        SearchText::Body => is_in(&item.body_text()),
        SearchText::Attachment => elements(&MessageCollection::Attachments),
        SearchText::Category => elements(&MessageCollection::Categories),
    }
}

#[cfg(test)]
mod tests;
