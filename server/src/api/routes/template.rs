//! The language of path templates.
//!
//! `/v1.0/{me}/[mailFolders/{folder}/]messages/{message}`: segments are spelled out (and matched
//! without case) or name a [`Param`]; `[…]` may be left out; `{me}` is `me` or `users/{user}`.

use super::Path;

/// What a path can name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Param {
    /// An account, by GUID or address.
    User,
    /// A folder, by id or well-known name; of the native family by id or IMAP name.
    Folder,
    /// A folder below another.
    ChildFolder,
    /// A message, by id.
    Message,
    /// An attachment, by id.
    Attachment,
    /// A subscription, by id.
    Subscription,
    /// A category, by id.
    Category,
    /// An upload session, by key.
    Upload,
    /// An address.
    Address,
}

impl Param {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::User,
        Self::Folder,
        Self::ChildFolder,
        Self::Message,
        Self::Attachment,
        Self::Subscription,
        Self::Category,
        Self::Upload,
        Self::Address,
    ];

    /// As it stands in braces.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Folder => "folder",
            Self::ChildFolder => "childFolder",
            Self::Message => "message",
            Self::Attachment => "attachment",
            Self::Subscription => "subscription",
            Self::Category => "category",
            Self::Upload => "upload",
            Self::Address => "address",
        }
    }
}

/// A segment of a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// Spelled out.
    Literal(&'static str),
    /// Anything but nothing.
    Param(Param),
}

/// A path with neither choices nor omissions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Its segments.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(super) fn fits(&self, path: &Path) -> bool {
        self.parts.len() == path.segments().len() && self.fitting_segments(path) == self.parts.len()
    }

    /// How many segments of the path fit, from the front.
    pub(super) fn fitting_segments(&self, path: &Path) -> usize {
        let pairs = self.parts.iter().zip(path.segments());
        let fitting = pairs.take_while(|(part, segment)| match part {
            Part::Literal(literal) => literal.eq_ignore_ascii_case(segment),
            Part::Param(_) => !segment.is_empty(),
        });
        fitting.count()
    }

    /// What is spelled out, from the front: the greater, the more.
    pub(super) fn rank(&self) -> Vec<bool> {
        let is_literal = |part: &Part| matches!(part, Part::Literal(_));
        self.parts.iter().map(is_literal).collect()
    }

    pub(super) fn params(&self, path: &Path) -> Vec<(Param, String)> {
        let pairs = self.parts.iter().zip(path.segments());
        let params = pairs.filter_map(|(part, segment)| match part {
            Part::Literal(_) => None,
            Part::Param(param) => Some((*param, segment.clone())),
        });
        params.collect()
    }

    /// The path with something in the place of each parameter.
    pub fn write(&self, value: impl Fn(Param) -> String) -> String {
        let segments = self.parts.iter().map(|part| match part {
            Part::Literal(literal) => format!("/{literal}"),
            Part::Param(param) => format!("/{}", value(*param)),
        });
        segments.collect()
    }
}

/// All patterns that a template stands for, what is left out first.
///
/// # Panics
///
/// On a template that is none. Templates are constants; a test expands each.
pub fn expand(template: &'static str) -> Vec<Pattern> {
    let mut texts = vec![String::new()];
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('[') {
        let (optional, behind) = behind.split_once(']').expect("it is closed");
        texts = texts
            .iter()
            .flat_map(|text| {
                [
                    format!("{text}{before}"),
                    format!("{text}{before}{optional}"),
                ]
            })
            .collect();
        rest = behind;
    }
    let texts = texts.iter().map(|text| format!("{text}{rest}"));
    let texts = texts.flat_map(|text| match text.contains("{me}") {
        true => vec![
            text.replace("{me}", "me"),
            text.replace("{me}", "users/{user}"),
        ],
        false => vec![text],
    });
    texts.map(|text| parse(&text, template)).collect()
}

fn parse(text: &str, template: &'static str) -> Pattern {
    let path = text
        .strip_prefix('/')
        .expect("a template begins with a slash");
    let parts = path.split('/').map(|segment| {
        let name = segment
            .strip_prefix('{')
            .and_then(|name| name.strip_suffix('}'));
        match name {
            Some(name) => Part::Param(param(name)),
            None => Part::Literal(literal(segment, template)),
        }
    });
    Pattern {
        parts: parts.collect(),
    }
}

fn param(name: &str) -> Param {
    let found = Param::ALL.into_iter().find(|param| param.as_str() == name);
    found.expect("a template names a parameter that there is")
}

/// The same segment, as it lives in the template or in what `{me}` stands for.
fn literal(segment: &str, template: &'static str) -> &'static str {
    let within = |text: &'static str| {
        let mut segments = text.split(['/', '[', ']']);
        segments.find(|known| *known == segment)
    };
    let found = within(template).or_else(|| within("me/users"));
    found.expect("segments come from the template")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(template: &'static str) -> Vec<String> {
        let patterns = expand(template).into_iter();
        patterns
            .map(|pattern| pattern.write(|param| format!("{{{}}}", param.as_str())))
            .collect()
    }

    #[test]
    fn templates_stand_for_all_their_paths() {
        assert_eq!(paths("/health"), ["/health"]);
        assert_eq!(
            paths("/v1.0/{me}/[mailFolders/{folder}/]messages"),
            [
                "/v1.0/me/messages",
                "/v1.0/users/{user}/messages",
                "/v1.0/me/mailFolders/{folder}/messages",
                "/v1.0/users/{user}/mailFolders/{folder}/messages",
            ]
        );
    }
}
