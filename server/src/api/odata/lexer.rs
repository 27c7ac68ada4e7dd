//! The words of a filter.

use crate::api::time::{Timestamp, parse_date, parse_time};

/// A word, a literal or a mark, with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    /// In characters, from 0.
    pub(super) position: usize,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// A name or an operator.
    Word(String),
    /// A text in quotes, or a GUID.
    Text(String),
    Integer(i64),
    Time(Timestamp),
    Open,
    Close,
    Comma,
    Slash,
    Colon,
}

/// Takes a text apart. The error is the position of what is no token.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, usize> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut position = 0;
    while let Some(&first) = characters.get(position) {
        let rest = &characters[position..];
        let (kind, length) = match first {
            ' ' | '\t' => {
                position += 1;
                continue;
            }
            '(' => (TokenKind::Open, 1),
            ')' => (TokenKind::Close, 1),
            ',' => (TokenKind::Comma, 1),
            '/' => (TokenKind::Slash, 1),
            ':' => (TokenKind::Colon, 1),
            '\'' => quoted(rest).ok_or(position)?,
            _ => plain(rest).ok_or(position)?,
        };
        tokens.push(Token { kind, position });
        position += length;
    }
    Ok(tokens)
}

/// A text in quotes; a quote within is doubled.
fn quoted(rest: &[char]) -> Option<(TokenKind, usize)> {
    let mut text = String::new();
    let mut index = 1;
    loop {
        match (rest.get(index)?, rest.get(index + 1)) {
            ('\'', Some('\'')) => {
                text.push('\'');
                index += 2;
            }
            ('\'', _) => return Some((TokenKind::Text(text), index + 1)),
            (&other, _) => {
                text.push(other);
                index += 1;
            }
        }
    }
}

/// A GUID, a number, a date, or a word.
fn plain(rest: &[char]) -> Option<(TokenKind, usize)> {
    const GUID_CHARACTERS: usize = 36;
    let is_word = |c: &&char| c.is_ascii_alphanumeric() || **c == '_';
    let is_value = |c: &&char| c.is_ascii_alphanumeric() || matches!(**c, '-' | ':' | '.' | '+');
    let guid: String = rest.iter().take(GUID_CHARACTERS).collect();
    let ends = rest.get(GUID_CHARACTERS).is_none_or(|next| !is_word(&next));
    if ends && crate::api::token::read_guid(&guid).is_some() {
        return Some((TokenKind::Text(guid), GUID_CHARACTERS));
    }
    let first = *rest.first()?;
    if first.is_ascii_digit() || first == '-' {
        let value: String = rest.iter().take_while(is_value).collect();
        let kind = match value.parse() {
            Ok(number) => TokenKind::Integer(number),
            Err(_) => TokenKind::Time(parse_time(&value).or_else(|| parse_date(&value))?),
        };
        return Some((kind, value.len()));
    }
    let word: String = rest.iter().take_while(is_word).collect();
    (!word.is_empty()).then(|| (TokenKind::Word(word.clone()), word.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<TokenKind> {
        tokens(text)
            .unwrap()
            .into_iter()
            .map(|token| token.kind)
            .collect()
    }

    #[test]
    fn literals_are_told_apart() {
        let guid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(kinds(guid), [TokenKind::Text(guid.to_owned())]);
        assert_eq!(kinds("-12"), [TokenKind::Integer(-12)]);
        assert_eq!(
            kinds("'it''s \u{e9}'"),
            [TokenKind::Text("it's \u{e9}".to_owned())]
        );
        assert_eq!(kinds("''"), [TokenKind::Text(String::new())]);
        for time in [
            "2024-01-02",
            "2024-01-02T00:00Z",
            "2024-01-02T02:00:00.000+02:00",
        ] {
            let expected = parse_time("2024-01-02T00:00:00Z").unwrap();
            assert_eq!(kinds(time), [TokenKind::Time(expected)], "{time}");
        }
        assert_eq!(
            kinds("a:a/b"),
            [
                TokenKind::Word("a".to_owned()),
                TokenKind::Colon,
                TokenKind::Word("a".to_owned()),
                TokenKind::Slash,
                TokenKind::Word("b".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_no_token_is_found_where_it_stands() {
        for (text, position) in [
            ("a eq 'b", 5),
            ("a % b", 2),
            ("1x", 0),
            ("\u{e9}\u{e9} eq", 0),
            ("'\u{e9}' \"", 4),
            ("99999999999999999999", 0),
            ("2024-13-01", 0),
        ] {
            assert_eq!(tokens(text), Err(position), "{text}");
        }
    }
}
