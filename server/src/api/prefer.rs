//! `Prefer` (RFC 7240): what a client would like.

/// What is known of a client's preferences; all others are passed over.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Preferences {
    /// `outlook.body-content-type`
    pub body: Option<BodyType>,
    /// `outlook.allow-unsafe-html`
    pub allows_unsafe_html: bool,
    /// `odata.maxpagesize`
    pub page_items: Option<u32>,
    /// `return=minimal`
    pub wants_minimal: bool,
    /// `IdType="ImmutableId"`: always in force, and told that it is.
    pub names_immutable_ids: bool,
}

/// How a body is told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum BodyType {
    /// As text.
    Text,
    /// As HTML.
    Html,
}

impl Preferences {
    /// From all `Prefer` fields of a request.
    pub fn parse<'a>(fields: impl Iterator<Item = &'a str>) -> Self {
        let mut preferences = Self::default();
        for preference in fields.flat_map(|field| field.split([',', ';'])) {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            preferences.take(&name.trim().to_ascii_lowercase(), value);
        }
        preferences
    }

    /// The first of its kind counts (RFC 7240 §2).
    fn take(&mut self, name: &str, value: &str) {
        match name {
            "outlook.body-content-type" => {
                let body = match value.to_ascii_lowercase().as_str() {
                    "text" => Some(BodyType::Text),
                    "html" => Some(BodyType::Html),
                    _ => None,
                };
                self.body = self.body.or(body);
            }
            "outlook.allow-unsafe-html" => self.allows_unsafe_html = true,
            "odata.maxpagesize" | "maxpagesize" => {
                self.page_items = self.page_items.or(value.parse().ok());
            }
            "return" => self.wants_minimal |= value.eq_ignore_ascii_case("minimal"),
            "idtype" => self.names_immutable_ids |= value.eq_ignore_ascii_case("immutableid"),
            _ => {}
        }
    }

    /// `Preference-Applied`, if there is something to be told.
    pub fn applied(&self) -> Option<String> {
        let body = self.body.map(|body| match body {
            BodyType::Text => "outlook.body-content-type=\"text\"",
            BodyType::Html => "outlook.body-content-type=\"html\"",
        });
        let ids = self.names_immutable_ids.then_some("IdType=\"ImmutableId\"");
        let applied: Vec<&str> = ids.into_iter().chain(body).collect();
        (!applied.is_empty()).then(|| applied.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &[&str]) -> Preferences {
        Preferences::parse(fields.iter().copied())
    }

    #[test]
    fn preferences_come_in_any_order_and_several_fields() {
        let expected = Preferences {
            body: Some(BodyType::Text),
            page_items: Some(50),
            names_immutable_ids: true,
            ..Preferences::default()
        };
        let together =
            "IdType=\"ImmutableId\", outlook.body-content-type=\"text\", odata.maxpagesize=50";
        assert_eq!(parse(&[together]), expected);
        let apart = [
            "odata.maxpagesize=50, unknown; x=y",
            "OUTLOOK.Body-Content-Type = Text",
            "idtype=immutableid",
        ];
        assert_eq!(parse(&apart), expected);
        let applied = "IdType=\"ImmutableId\", outlook.body-content-type=\"text\"";
        assert_eq!(expected.applied().as_deref(), Some(applied));
    }

    #[test]
    fn what_is_unknown_is_passed_over() {
        let none = [
            "",
            "=",
            ",,;",
            "outlook.timezone=\"UTC\"",
            "odata.maxpagesize=x",
            "return=all",
        ];
        assert_eq!(parse(&none), Preferences::default());
        assert_eq!(Preferences::default().applied(), None);
        assert!(parse(&["return=minimal"]).wants_minimal);
        assert!(parse(&["outlook.allow-unsafe-html"]).allows_unsafe_html);
    }

    #[test]
    fn first_of_a_kind_counts() {
        assert_eq!(
            parse(&["odata.maxpagesize=5", "odata.maxpagesize=9"]).page_items,
            Some(5)
        );
    }
}
