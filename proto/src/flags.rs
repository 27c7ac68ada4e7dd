//! The flags of a message: system flags and keywords (RFC 3501 §2.3.2).

use alloc::{string::String, sync::Arc, vec::Vec};
use core::{fmt, ops};

/// A set of the five system flags that are kept. `\Recent` is a session's, and not among them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SystemFlags(u8);

impl SystemFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(2);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(4);
    /// `\Deleted`
    pub const DELETED: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// Each flag with its spelling, in the order in which they are sent.
    pub const NAMED: [(Self, &'static str); 5] = [
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::SEEN, "\\Seen"),
        (Self::DRAFT, "\\Draft"),
    ];

    /// As it is stored; unknown bits are dropped.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 31)
    }

    /// As it is stored.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flag with this spelling (backslash included), in any case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::NAMED
            .iter()
            .find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name))
            .map(|&(flag, _)| flag)
    }
}

impl ops::BitOr for SystemFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A keyword: an atom of 1 to [`Keyword::BYTES_MAX`] bytes. Compared without case; the spelling
/// that came first is kept.
#[derive(Clone)]
pub struct Keyword(Arc<str>);

impl Keyword {
    /// Longest keyword in bytes.
    pub const BYTES_MAX: usize = 128;

    /// `None` when the text is no atom (RFC 3501 §9, `flag-keyword`) or is too long.
    pub fn new(text: &str) -> Option<Self> {
        let valid = (1..=Self::BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| {
                byte.is_ascii_graphic()
                    && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
            });
        valid.then(|| Self(Arc::from(text)))
    }

    /// As it was spelled.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Keyword {}

impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}

/// A sorted set of keywords; cheap to clone, free when empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Keywords(Option<Arc<[Keyword]>>);

impl Keywords {
    /// Most keywords that one message can have.
    pub const COUNT_MAX: usize = 64;

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Keyword> {
        self.0.iter().flat_map(|keywords| keywords.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |keywords| keywords.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this keyword is among them.
    pub fn contains(&self, keyword: &Keyword) -> bool {
        self.0
            .as_ref()
            .is_some_and(|keywords| keywords.binary_search(keyword).is_ok())
    }
}

impl FromIterator<Keyword> for Keywords {
    /// Sorts and drops doubles; keeps the spelling that came first.
    fn from_iter<I: IntoIterator<Item = Keyword>>(keywords: I) -> Self {
        let mut keywords: Vec<Keyword> = keywords.into_iter().collect();
        keywords.sort();
        keywords.dedup();
        Self((!keywords.is_empty()).then(|| Arc::from(keywords)))
    }
}

/// All flags of a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// The system flags.
    pub system: SystemFlags,
    /// The keywords.
    pub keywords: Keywords,
}

impl Flags {
    /// These system flags and no keyword.
    pub const fn system(system: SystemFlags) -> Self {
        Self {
            system,
            keywords: Keywords(None),
        }
    }

    /// With the flags of `other` as well.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let keywords = self.keywords.iter().chain(other.keywords.iter());
        Self {
            system: self.system | other.system,
            keywords: keywords.cloned().collect(),
        }
    }

    /// Without the flags of `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let kept = self.keywords.iter();
        let kept = kept.filter(|keyword| !other.keywords.contains(keyword));
        Self {
            system: self.system.without(other.system),
            keywords: kept.cloned().collect(),
        }
    }

    /// The keywords as one line, parted by spaces: the stored form.
    pub fn keywords_line(&self) -> String {
        let names: Vec<&str> = self.keywords.iter().map(Keyword::as_str).collect();
        names.join(" ")
    }

    /// Reads [`keywords_line`](Self::keywords_line); what is no keyword is dropped.
    pub fn keywords_from_line(line: &str) -> Keywords {
        line.split(' ').filter_map(Keyword::new).collect()
    }
}
