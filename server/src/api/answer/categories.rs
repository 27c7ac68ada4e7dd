//! The account's categories: names, and the keywords that stand for them.
//!
//! A name that can be a keyword is its own. Any other gets `$cat` and a number that is made from
//! the name, so that two who need it at once come to the same; a table says which name it was.

use aws_lc_rs::digest;
use rmail_proto::{Flags, Keyword};
use rmail_store::{AccountWrite, StoreError};
use serde::{Deserialize, Serialize};

use super::{Cx, Failure};
use crate::{
    api::{
        error::ApiError,
        odata::fold,
        resources::{CategoryNames, is_system_keyword},
    },
    limits,
};

/// The document that holds them.
const DOCUMENT: &str = "categories";

/// What keywords that stand for names begin with.
const PREFIX: &str = "$cat";

/// All that is known of an account's categories.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Categories {
    /// Keywords that stand for names.
    pub(super) names: CategoryNames,
    /// Those that are offered to be chosen.
    pub(super) masters: Vec<Master>,
    /// As it was loaded.
    #[serde(skip)]
    loaded: Option<String>,
}

/// A category that is offered: `outlookCategory`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Master {
    /// A GUID.
    pub(super) id: String,
    pub(super) name: String,
    /// `none`, or `preset0` and so on.
    pub(super) color: String,
}

impl Categories {
    pub(super) fn load(cx: &Cx<'_>) -> Result<Self, Failure> {
        let document = cx.store().document(cx.account().id, DOCUMENT)?;
        let read = |text: &String| serde_json::from_str(text).unwrap_or_default();
        let categories: Self = document.as_ref().map(read).unwrap_or_default();
        Ok(Self {
            loaded: document,
            ..categories
        })
    }

    /// Saves them, unless nothing has changed.
    ///
    /// # Errors
    ///
    /// `Busy` when somebody else has changed them since: they are to be loaded again.
    pub(super) fn save(&mut self, cx: &mut Cx<'_>) -> Result<(), Failure> {
        let document = serde_json::to_string(self).expect("texts are JSON");
        let is_new = match &self.loaded {
            Some(loaded) => *loaded != document,
            None => !self.names.is_empty() || !self.masters.is_empty(),
        };
        if !is_new {
            return Ok(());
        }
        let saved = cx.write(vec![AccountWrite::SwapDocument {
            name: DOCUMENT.to_owned(),
            old: self.loaded.clone(),
            new: document.clone(),
        }]);
        match saved {
            Ok(_) => self.loaded = Some(document),
            Err(Failure::Store(StoreError::ChangedSince)) => return Err(StoreError::Busy.into()),
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// The keyword of a name; one that is new is to be saved.
    pub(super) fn keyword_for(&mut self, name: &str) -> Result<Keyword, Failure> {
        let folded = |name: &str| fold(name).collect::<String>();
        let wanted = folded(name);
        let known = self.names.iter().find(|(_, known)| folded(known) == wanted);
        if let Some(keyword) = known.and_then(|(keyword, _)| Keyword::new(keyword)) {
            return Ok(keyword);
        }
        if let Some(keyword) = own_keyword(name) {
            return Ok(keyword);
        }
        if self.names.len() >= limits::CATEGORY_NAMES {
            let message = "There are too many categories.".to_owned();
            return Err(ApiError::invalid_request().with_message(message).into());
        }
        let hash = digest::digest(&digest::SHA256, wanted.as_bytes());
        let number = hash.as_ref().first_chunk().copied();
        let number = u64::from_be_bytes(number.expect("a hash has 32 bytes"));
        let keyword = format!("{PREFIX}{number}");
        self.names.insert(keyword.clone(), name.to_owned());
        Ok(Keyword::new(&keyword).expect("letters and digits are an atom"))
    }

    /// The keywords of these names.
    pub(super) fn keywords(&mut self, names: &[String]) -> Result<Flags, Failure> {
        let keywords = names.iter().map(|name| self.keyword_for(name));
        let keywords: Result<_, Failure> = keywords.collect();
        Ok(Flags {
            keywords: keywords?,
            ..Flags::default()
        })
    }
}

/// The keyword that a name is, if it can be one that means nothing else.
fn own_keyword(name: &str) -> Option<Keyword> {
    let keyword = Keyword::new(name)?;
    let stands_for_another = name.to_ascii_lowercase().starts_with(PREFIX);
    (!is_system_keyword(&keyword) && !stands_for_another).then_some(keyword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_keywords_are_their_own() {
        let mut categories = Categories::default();
        let mut keyword = |name: &str| {
            let keyword = categories.keyword_for(name).unwrap();
            keyword.as_str().to_owned()
        };
        assert_eq!(keyword("Blue"), "Blue");
        let red = keyword("Red category");
        assert!(red.starts_with("$cat"));
        assert_eq!(keyword("RED Category"), red);
        for name in ["$Junk", "forwarded", "$cat5", "Gr\u{fc}n", ""] {
            assert!(keyword(name).starts_with("$cat"), "{name}");
            assert_ne!(keyword(name), name);
        }
        assert_eq!(categories.names[&red], "Red category");
        assert_eq!(categories.names.len(), 6);
    }

    #[test]
    fn number_of_names_is_bounded() {
        let mut categories = Categories::default();
        for number in 0..limits::CATEGORY_NAMES {
            categories.keyword_for(&format!("a {number}")).unwrap();
        }
        assert!(categories.keyword_for("one more").is_err());
        assert!(categories.keyword_for("A 0").is_ok() && categories.keyword_for("x").is_ok());
    }
}
