//! `$search`: the query language of mail clients (KQL).

use super::parse_filter::Bounds;
use crate::api::{
    error::ApiError,
    resources::Importance,
    time::{Timestamp, parse_date},
};

/// What is looked for in messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Search {
    /// All of them. Not empty.
    And(Vec<Search>),
    /// One of them at least. Not empty.
    Or(Vec<Search>),
    /// The contrary.
    Not(Box<Search>),
    /// Words in a place.
    Text(SearchText, Words),
    /// `hasAttachment`
    HasAttachment(bool),
    /// `isread`
    IsRead(bool),
    /// `importance`
    Importance(Importance),
    /// `size`, in bytes.
    Size(Sizes),
    /// `received`
    Received(Days),
    /// `sent`
    Sent(Days),
    /// `kind:email`: every message; another kind: none.
    Everything(bool),
}

/// Where words are looked for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum SearchText {
    /// From, subject and body.
    Default,
    /// `from`
    From,
    /// `to`
    To,
    /// `cc`
    Cc,
    /// `bcc`
    Bcc,
    /// `recipients`: to, cc and bcc.
    Recipients,
    /// `participants`: from and recipients.
    Participants,
    /// `subject`
    Subject,
    /// `body`
    Body,
    /// `attachment`: their names.
    Attachment,
    /// `category`
    Category,
}

/// Words that follow each other. Not empty; without the marks around them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Words {
    /// As they were written.
    pub text: String,
    /// Whether the last one is only a beginning (`word*`).
    pub is_prefix: bool,
}

/// Sizes from one to another, both included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sizes {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

/// Moments from one on, before another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Days {
    /// The first; from the beginning, without one.
    pub from: Option<Timestamp>,
    /// The first that is too late; for ever, without one.
    pub before: Option<Timestamp>,
}

impl Search {
    /// Parses an expression, in one pair of quotes around it or none.
    ///
    /// # Errors
    ///
    /// `bad_request` for a broken or empty expression, and for one that is too large.
    pub fn parse(text: &str, bounds: Bounds) -> Result<Self, ApiError> {
        let trimmed = text.trim();
        let unquoted = trimmed
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        let expression = match unquoted {
            Some(inner) if !has_bare_quote(inner) => unescape(inner),
            Some(_) | None => trimmed.to_owned(),
        };
        if expression.len() > bounds.bytes {
            return Err(refuse());
        }
        let tokens = tokens(&expression).ok_or_else(refuse)?;
        let mut parser = Parser {
            tokens: &tokens,
            depth: 0,
            terms: 0,
            bounds,
        };
        let search = parser.parse_or().filter(|_| parser.tokens.is_empty());
        search.ok_or_else(refuse)
    }
}

fn refuse() -> ApiError {
    let message = "Syntax error in '$search'.".to_owned();
    ApiError::bad_request().with_message(message)
}

/// Whether a quote stands there that no backslash escapes.
fn has_bare_quote(text: &str) -> bool {
    let mut is_escaped = false;
    text.chars().any(|character| {
        let is_bare = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_bare
    })
}

fn unescape(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    /// A property's name (in lower case; empty without one) and a value.
    Term(String, String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, behind) = match first {
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            _ => term(rest)?,
        };
        tokens.push(token);
        rest = behind.trim_start();
    }
    Some(tokens)
}

/// A word, a phrase, or `name:` with either.
fn term(text: &str) -> Option<(Token, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || "():\"".contains(c));
    let end = end.unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    if let Some(behind) = rest.strip_prefix(':').filter(|_| !word.is_empty()) {
        let (value, rest) = value(behind.trim_start())?;
        return Some((Token::Term(word.to_lowercase(), value), rest));
    }
    let token = match word {
        "AND" => Token::And,
        "OR" => Token::Or,
        "NOT" => Token::Not,
        _ => {
            let (value, rest) = value(text)?;
            return Some((Token::Term(String::new(), value), rest));
        }
    };
    Some((token, rest))
}

fn value(text: &str) -> Option<(String, &str)> {
    if let Some(phrase) = text.strip_prefix('"') {
        let (phrase, rest) = phrase.split_once('"')?;
        let (star, rest) = match rest.strip_prefix('*') {
            Some(rest) => ("*", rest),
            None => ("", rest),
        };
        return Some((format!("{phrase}{star}"), rest));
    }
    let end = text.find(|c: char| c.is_whitespace() || "()\"".contains(c));
    let (word, rest) = text.split_at(end.unwrap_or(text.len()));
    (!word.is_empty()).then(|| (word.to_owned(), rest))
}

struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
    terms: usize,
    bounds: Bounds,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn take(&mut self, token: &Token) -> bool {
        let is_next = self.tokens.first() == Some(token);
        if is_next {
            self.next();
        }
        is_next
    }

    fn parse_or(&mut self) -> Option<Search> {
        let mut terms = vec![self.parse_and()?];
        while self.take(&Token::Or) {
            terms.push(self.parse_and()?);
        }
        Some(one_or(terms, Search::Or))
    }

    /// Terms beside each other must all be found.
    fn parse_and(&mut self) -> Option<Search> {
        let mut terms = vec![self.parse_unary()?];
        loop {
            let is_said = self.take(&Token::And);
            let is_over = matches!(self.tokens.first(), None | Some(Token::Or | Token::Close));
            match (is_said, is_over) {
                (true, true) => return None,
                (false, true) => return Some(one_or(terms, Search::And)),
                (_, false) => terms.push(self.parse_unary()?),
            }
        }
    }

    fn parse_unary(&mut self) -> Option<Search> {
        if self.depth == self.bounds.depth || self.terms == self.bounds.operands {
            return None;
        }
        self.depth += 1;
        let search = match self.next()? {
            Token::Not => Some(Search::Not(Box::new(self.parse_unary()?))),
            Token::Open => {
                let inner = self.parse_or()?;
                self.take(&Token::Close).then_some(inner)
            }
            Token::Term(name, value) => {
                self.terms += 1;
                parse_term(name, value)
            }
            Token::Close | Token::And | Token::Or => None,
        };
        self.depth -= 1;
        search
    }
}

fn one_or(mut terms: Vec<Search>, several: fn(Vec<Search>) -> Search) -> Search {
    match terms.len() {
        1 => terms.remove(0),
        _ => several(terms),
    }
}

/// `None` when the value is none of this property's. What is no property is looked for as text.
fn parse_term(name: &str, value: &str) -> Option<Search> {
    let place = match name {
        "" => SearchText::Default,
        "from" => SearchText::From,
        "to" => SearchText::To,
        "cc" => SearchText::Cc,
        "bcc" => SearchText::Bcc,
        "recipients" => SearchText::Recipients,
        "participants" => SearchText::Participants,
        "subject" => SearchText::Subject,
        "body" => SearchText::Body,
        "attachment" => SearchText::Attachment,
        "category" => SearchText::Category,
        "hasattachment" | "hasattachments" => {
            return parse_boolean(value).map(Search::HasAttachment);
        }
        "isread" => return parse_boolean(value).map(Search::IsRead),
        "importance" => return Importance::parse(bare(value)).map(Search::Importance),
        "kind" => {
            return Some(Search::Everything(
                bare(value).eq_ignore_ascii_case("email"),
            ));
        }
        "size" => return parse_sizes(value).map(Search::Size),
        "received" => return parse_days(value).map(Search::Received),
        "sent" => return parse_days(value).map(Search::Sent),
        name => {
            let text = format!("{name}:{value}");
            return parse_words(&text).map(|words| Search::Text(SearchText::Default, words));
        }
    };
    parse_words(value).map(|words| Search::Text(place, words))
}

/// Without the marks around it, single quotes included.
fn bare(value: &str) -> &str {
    value.trim_matches(|c: char| !c.is_alphanumeric())
}

fn parse_words(value: &str) -> Option<Words> {
    let is_prefix = value.trim_end_matches(['\'', '"', ' ']).ends_with('*');
    let text = bare(value);
    (!text.is_empty()).then(|| Words {
        text: text.to_owned(),
        is_prefix,
    })
}

fn parse_boolean(value: &str) -> Option<bool> {
    match bare(value).to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Some(true),
        "false" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// `n`, `>n`, `>=n`, `<n`, `<=n`, `a..b`
fn parse_sizes(value: &str) -> Option<Sizes> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let from = |min| Some(Sizes { min, max: u64::MAX });
    let to = |max| Some(Sizes { min: 0, max });
    if let Some((min, max)) = value.split_once("..") {
        let (min, max) = (number(min)?, number(max)?);
        return Some(Sizes { min, max });
    }
    if let Some(text) = value.strip_prefix(">=") {
        return from(number(text)?);
    }
    if let Some(text) = value.strip_prefix("<=") {
        return to(number(text)?);
    }
    if let Some(text) = value.strip_prefix('>') {
        return from(number(text)?.checked_add(1)?);
    }
    if let Some(text) = value.strip_prefix('<') {
        return to(number(text)?.checked_sub(1)?);
    }
    let exact = number(value)?;
    Some(Sizes {
        min: exact,
        max: exact,
    })
}

/// A day, `>=day`, `>day`, `<day`, `<=day`, `day..day`
fn parse_days(value: &str) -> Option<Days> {
    let from = |day: Timestamp| Days {
        from: Some(day),
        before: None,
    };
    let before = |day: Timestamp| Days {
        from: None,
        before: Some(day),
    };
    if let Some((first, last)) = value.split_once("..") {
        return Some(Days {
            from: Some(parse_day(first)?),
            before: Some(next_day(parse_day(last)?)),
        });
    }
    if let Some(text) = value.strip_prefix(">=") {
        return parse_day(text).map(from);
    }
    if let Some(text) = value.strip_prefix("<=") {
        return parse_day(text).map(next_day).map(before);
    }
    if let Some(text) = value.strip_prefix('>') {
        return parse_day(text).map(next_day).map(from);
    }
    if let Some(text) = value.strip_prefix('<') {
        return parse_day(text).map(before);
    }
    let day = parse_day(value)?;
    Some(Days {
        from: Some(day),
        before: Some(next_day(day)),
    })
}

/// `YYYY-MM-DD` or `MM/DD/YYYY`
fn parse_day(text: &str) -> Option<Timestamp> {
    let text = bare(text);
    if let Some(day) = parse_date(text) {
        return Some(day);
    }
    let mut parts = text.splitn(3, '/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next()?);
    parse_date(&format!("{year}-{month:0>2}-{day:0>2}"))
}

fn next_day(mut day: Timestamp) -> Timestamp {
    day.unix.0 += 24 * 60 * 60;
    day
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        bytes: 1000,
        depth: 8,
        operands: 20,
    };

    fn parse(text: &str) -> Search {
        Search::parse(text, BOUNDS).unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    fn words(place: SearchText, text: &str) -> Search {
        Search::Text(
            place,
            Words {
                text: text.to_owned(),
                is_prefix: false,
            },
        )
    }

    fn any(text: &str) -> Search {
        words(SearchText::Default, text)
    }

    #[test]
    fn one_pair_of_quotes_stands_around_it_all() {
        assert_eq!(parse("\"pizza\""), any("pizza"));
        assert_eq!(parse("pizza"), any("pizza"));
        assert_eq!(
            parse("\"subject:pizza\""),
            words(SearchText::Subject, "pizza")
        );
        let phrase = parse("\"subject:\\\"ham pizza\\\"\"");
        assert_eq!(phrase, words(SearchText::Subject, "ham pizza"));
        assert_eq!(
            parse("\"a\" \"b c\""),
            Search::And(vec![any("a"), any("b c")])
        );
    }

    #[test]
    fn single_quotes_around_a_value_are_passed_over() {
        assert_eq!(
            parse("\"subject:'word'\""),
            words(SearchText::Subject, "word")
        );
        assert_eq!(
            parse("\"from:<a@b.example>,\""),
            words(SearchText::From, "a@b.example")
        );
    }

    #[test]
    fn terms_beside_each_other_must_all_be_found() {
        let expected = Search::Or(vec![
            Search::And(vec![any("a"), any("b")]),
            Search::And(vec![any("c"), Search::Not(Box::new(any("d")))]),
        ]);
        assert_eq!(parse("a b OR c AND NOT d"), expected);
        assert_eq!(parse("(a AND b) OR (c NOT d)"), expected);
        assert_eq!(
            parse("and or not"),
            Search::And(vec![any("and"), any("or"), any("not")])
        );
    }

    #[test]
    fn properties_have_types() {
        assert_eq!(parse("hasAttachments:true"), Search::HasAttachment(true));
        assert_eq!(parse("hasattachment:False"), Search::HasAttachment(false));
        assert_eq!(parse("isread:false"), Search::IsRead(false));
        assert_eq!(
            parse("importance:HIGH"),
            Search::Importance(Importance::High)
        );
        assert_eq!(parse("kind:email"), Search::Everything(true));
        assert_eq!(parse("kind:meetings"), Search::Everything(false));
        assert_eq!(parse("colour:red"), any("colour:red"));
        let prefix = Search::Text(
            SearchText::Subject,
            Words {
                text: "piz".to_owned(),
                is_prefix: true,
            },
        );
        assert_eq!(parse("\"subject:piz*\""), prefix);
    }

    #[test]
    fn sizes_and_days_are_ranges() {
        for (text, min, max) in [
            ("size:5", 5, 5),
            ("size:>5", 6, u64::MAX),
            ("size:>=5", 5, u64::MAX),
            ("size:<5", 0, 4),
            ("size:5..9", 5, 9),
        ] {
            assert_eq!(parse(text), Search::Size(Sizes { min, max }), "{text}");
        }
        let day = |text: &str| parse_date(text);
        for (text, from, before) in [
            ("received:2024-01-31", day("2024-01-31"), day("2024-02-01")),
            ("received:1/31/2024", day("2024-01-31"), day("2024-02-01")),
            ("received:>=2024-01-31", day("2024-01-31"), None),
            ("received:>01/31/2024", day("2024-02-01"), None),
            ("received:<2024-01-31", None, day("2024-01-31")),
            (
                "received:2024-01-01..2024-01-31",
                day("2024-01-01"),
                day("2024-02-01"),
            ),
        ] {
            assert_eq!(
                parse(text),
                Search::Received(Days { from, before }),
                "{text}"
            );
        }
    }

    #[test]
    fn broken_expressions_are_refused() {
        for text in [
            "",
            "\"\"",
            "  ",
            "(",
            ")",
            "(a",
            "a)",
            "a AND",
            "OR a",
            "a OR",
            "NOT",
            "a AND OR b",
            "()",
            "subject:",
            "\"unclosed",
            "subject:\"x",
            "***",
            "'",
            "size:x",
            "size:<0",
            "size:>18446744073709551615",
            "received:x",
            "received:2024-13-01",
            "hasAttachment:maybe",
            "importance:urgent",
        ] {
            assert!(Search::parse(text, BOUNDS).is_err(), "{text}");
        }
    }

    #[test]
    fn expressions_are_bounded() {
        let deep = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Search::parse(&deep(BOUNDS.depth - 1), BOUNDS).is_ok());
        assert!(Search::parse(&deep(BOUNDS.depth), BOUNDS).is_err());
        let wide = |terms: usize| vec!["a"; terms].join(" ");
        assert!(Search::parse(&wide(BOUNDS.operands), BOUNDS).is_ok());
        assert!(Search::parse(&wide(BOUNDS.operands + 1), BOUNDS).is_err());
        assert!(Search::parse(&"a".repeat(BOUNDS.bytes), BOUNDS).is_ok());
        assert!(Search::parse(&"a".repeat(BOUNDS.bytes + 1), BOUNDS).is_err());
    }
}
