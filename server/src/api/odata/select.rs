//! `$select` and `$expand`: what of an item is told.

use std::collections::BTreeSet;

use crate::api::{error::ApiError, schema::Schema};

/// Properties of a type that are told, besides `id` and `@odata.etag`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Select {
    of: Schema,
    names: BTreeSet<&'static str>,
    /// Whether these are the names of [`by_default`](Self::by_default).
    is_default: bool,
}

impl Select {
    /// Parses a list of names; `*` stands for what is told without being asked.
    ///
    /// # Errors
    ///
    /// `no_such_property`
    pub fn parse(of: Schema, text: &str) -> Result<Self, ApiError> {
        let mut select = Self {
            of,
            names: BTreeSet::new(),
            is_default: false,
        };
        for name in text.split(',').map(str::trim) {
            if name == "*" {
                select.names.extend(Self::by_default(of).names);
                continue;
            }
            let mut known = of.properties().iter().map(|property| property.name);
            let name = known.find(|known| *known == name).ok_or_else(|| {
                let of = of.graph_type();
                ApiError::no_such_property(name, &of)
            })?;
            select.names.insert(name);
        }
        Ok(select)
    }

    /// What is told without being asked.
    pub fn by_default(of: Schema) -> Self {
        let names = of.properties().iter().map(|property| property.name);
        let on_demand = of.on_demand();
        Self {
            of,
            names: names.filter(|name| !on_demand.contains(name)).collect(),
            is_default: true,
        }
    }

    /// Whether all is told that is told without being asked, and nothing else.
    pub fn is_default(&self) -> bool {
        self.is_default
    }

    /// Whether this property is told.
    pub fn has(&self, name: &str) -> bool {
        name == "id" || name.starts_with("@odata.") || self.names.contains(name)
    }

    /// What is told, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.names.iter().copied()
    }
}

/// What is told along with an item.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expand {
    /// A message's attachments.
    pub attachments: Option<Select>,
    /// A folder's children.
    pub child_folders: Option<Select>,
    /// The message that is attached.
    pub item: bool,
    /// Extensions and extended properties: always empty here.
    pub extensions: bool,
}

impl Expand {
    /// Parses a list of navigation properties, each with options in parentheses.
    ///
    /// # Errors
    ///
    /// `no_such_property`; `bad_request` for options other than `$select`.
    pub fn parse(of: Schema, text: &str) -> Result<Self, ApiError> {
        let mut expand = Self::default();
        for part in split_outside(text, ',').ok_or_else(refuse)? {
            let part = part.trim();
            let (name, options) = match part.split_once('(') {
                Some((name, options)) => (name, options.strip_suffix(')').ok_or_else(refuse)?),
                None => (part, ""),
            };
            match (of, name) {
                (Schema::Message, "attachments") => {
                    expand.attachments = Some(nested(Schema::Attachment, options)?);
                }
                (Schema::MailFolder, "childFolders") => {
                    expand.child_folders = Some(nested(Schema::MailFolder, options)?);
                }
                (Schema::Attachment, name)
                    if name.eq_ignore_ascii_case("microsoft.graph.itemattachment/item") =>
                {
                    expand.item = true;
                }
                (Schema::Message, "singleValueExtendedProperties" | "extensions") => {
                    expand.extensions = true;
                }
                (_, name) => return Err(ApiError::no_such_property(name, &of.graph_type())),
            }
        }
        Ok(expand)
    }
}

/// The `$select` among the options of a navigation property.
fn nested(of: Schema, options: &str) -> Result<Select, ApiError> {
    if options.is_empty() {
        return Ok(Select::by_default(of));
    }
    let (name, value) = options.split_once('=').ok_or_else(refuse)?;
    let name = name.trim().trim_start_matches('$');
    match name.eq_ignore_ascii_case("select") && !value.contains(';') {
        true => Select::parse(of, value),
        false => Err(refuse()),
    }
}

/// Parts between separators that stand in no parentheses; `None` when those do not match.
fn split_outside(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            _ if character == separator && depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0).then_some(parts)
}

fn refuse() -> ApiError {
    ApiError::bad_request().with_message("Syntax error in '$expand'.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(of: Schema, text: &str) -> Result<Expand, ApiError> {
        Expand::parse(of, text)
    }

    #[test]
    fn id_and_etag_always_come_along() {
        let select = Select::parse(Schema::Message, "subject, from").unwrap();
        assert!(select.has("subject") && select.has("from") && !select.has("body"));
        assert!(select.has("id") && select.has("@odata.etag"));
    }

    #[test]
    fn some_properties_come_only_when_they_are_asked_for() {
        let told = Select::by_default(Schema::Message);
        assert!(told.has("body") && !told.has("uniqueBody") && !told.has("attachments"));
        let all = Select::parse(Schema::Message, "*,uniqueBody").unwrap();
        assert!(all.has("body") && all.has("uniqueBody") && !all.has("internetMessageHeaders"));
    }

    #[test]
    fn unknown_properties_are_named() {
        let error = Select::parse(Schema::Message, "subject,x").unwrap_err();
        assert_eq!(error.code(), "RequestBroker--ParseUri");
        assert!(
            error
                .message()
                .contains("'x' on type 'microsoft.graph.message'")
        );
        assert!(Select::parse(Schema::Message, "").is_err());
        assert!(Select::parse(Schema::Message, "Subject").is_err());
    }

    #[test]
    fn expansions_have_selections_of_their_own() {
        let found = expand(Schema::Message, "attachments($select=id,name), extensions").unwrap();
        let select = found.attachments.unwrap();
        assert!(select.has("name") && !select.has("contentBytes") && found.extensions);
        let properties = "singleValueExtendedProperties($filter=id eq 'String (x) Name y')";
        assert!(expand(Schema::Message, properties).unwrap().extensions);
        assert!(
            expand(Schema::MailFolder, "childFolders")
                .unwrap()
                .child_folders
                .is_some()
        );
        let item = "microsoft.graph.itemattachment/item";
        assert!(expand(Schema::Attachment, item).unwrap().item);
    }

    #[test]
    fn other_expansions_are_refused() {
        for text in [
            "",
            "x",
            "childFolders",
            "attachments(",
            "attachments)",
            "attachments($top=1)",
            "attachments($select=x)",
            "attachments($select=id;$top=1)",
            "attachments,",
        ] {
            assert!(expand(Schema::Message, text).is_err(), "{text}");
        }
    }
}
