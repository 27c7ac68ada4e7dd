//! `$orderby`: what items are sorted by.

use super::entity::{Entity, Message, MessageText, PropertyPath};
use crate::{api::error::ApiError, limits};

/// One key of an order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OrderBy<E: Entity> {
    /// The property.
    pub key: SortKey<E>,
    /// Whether the greatest comes first.
    pub is_descending: bool,
}

/// A property that items can be sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SortKey<E: Entity> {
    /// A text.
    Text(E::Text),
    /// A time.
    Time(E::Time),
    /// False before true.
    Boolean(E::Boolean),
    /// A number.
    Number(E::Number),
    /// Low before high.
    Rank(E::Rank),
}

impl<E: Entity> OrderBy<E> {
    /// Parses a list of `path [asc|desc]`.
    ///
    /// # Errors
    ///
    /// `no_such_property` for a path that can't be sorted by, `bad_request` for everything else
    /// that is no such list, and for more than [`limits::ORDER_KEYS`].
    pub fn parse(text: &str) -> Result<Vec<Self>, ApiError> {
        let keys: Vec<&str> = text.split(',').collect();
        if keys.len() > limits::ORDER_KEYS {
            return Err(refuse());
        }
        keys.into_iter().map(Self::parse_one).collect()
    }

    fn parse_one(text: &str) -> Result<Self, ApiError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (path, is_descending) = match words.as_slice() {
            [path] | [path, "asc"] => (*path, false),
            [path, "desc"] => (*path, true),
            _ => return Err(refuse()),
        };
        let names: Vec<&str> = path.split('/').collect();
        let key = match E::property(&names) {
            Some(PropertyPath::Text(name)) => Some(SortKey::Text(name)),
            Some(PropertyPath::Time(name)) => Some(SortKey::Time(name)),
            Some(PropertyPath::Boolean(name)) => Some(SortKey::Boolean(name)),
            Some(PropertyPath::Number(name)) => Some(SortKey::Number(name)),
            Some(PropertyPath::Rank(name)) => Some(SortKey::Rank(name)),
            Some(PropertyPath::Collection(_)) | None => None,
        };
        let key = key.filter(|_| path != "body/content");
        let key = key.ok_or_else(|| ApiError::no_such_property(path, &E::SCHEMA.graph_type()))?;
        Ok(Self { key, is_descending })
    }
}

impl OrderBy<Message> {
    /// Whether it is by the id, after which nothing else counts.
    pub fn is_total(&self) -> bool {
        self.key == SortKey::Text(MessageText::Id)
    }
}

fn refuse() -> ApiError {
    ApiError::bad_request().with_message("Syntax error in '$orderby'.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{
        super::entity::{MailFolder, MessageTime},
        *,
    };

    #[test]
    fn keys_have_directions() {
        let order = OrderBy::<Message>::parse("receivedDateTime desc, subject,id asc").unwrap();
        let [time, subject, id] = order[..] else {
            panic!("three keys");
        };
        assert_eq!(time.key, SortKey::Time(MessageTime::Received));
        assert!(time.is_descending && !subject.is_descending && id.is_total());
    }

    #[test]
    fn what_can_not_be_sorted_by_is_refused() {
        for text in [
            "",
            "x",
            "body/content",
            "toRecipients",
            "categories desc",
            "subject up",
            "subject asc desc",
            "subject,",
            "Subject",
            "subject DESC",
        ] {
            assert!(OrderBy::<Message>::parse(text).is_err(), "{text}");
        }
        assert!(OrderBy::<MailFolder>::parse("displayName desc").is_ok());
        assert!(OrderBy::<MailFolder>::parse("subject").is_err());
        let many = ["subject"; limits::ORDER_KEYS + 1];
        assert!(OrderBy::<Message>::parse(&many[1..].join(",")).is_ok());
        assert!(OrderBy::<Message>::parse(&many.join(",")).is_err());
    }
}
