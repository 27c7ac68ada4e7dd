//! Patterns of LIST and LSUB (RFC 3501 §6.3.8).

use alloc::{vec, vec::Vec};

/// The separator of levels in a mailbox name.
const SEPARATOR: u8 = b'/';

/// A mailbox name with wildcards: `*` stands for anything, `%` for anything without a separator.
/// INBOX as the first level of a name is compared without case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(Vec<Token>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Token {
    Byte(u8),
    Anything,
    WithinLevel,
}

impl Pattern {
    /// The pattern relative to the reference: their concatenation.
    pub fn new(reference: &str, pattern: &str) -> Self {
        let mut tokens: Vec<Token> = Vec::new();
        for byte in reference.bytes().chain(pattern.bytes()) {
            let token = match byte {
                b'*' => Token::Anything,
                b'%' => Token::WithinLevel,
                byte => Token::Byte(byte),
            };
            match (tokens.last_mut(), token) {
                // A run of wildcards means no more than the widest of them.
                (Some(Token::Anything), Token::Anything | Token::WithinLevel)
                | (Some(Token::WithinLevel), Token::WithinLevel) => {}
                (Some(last @ Token::WithinLevel), Token::Anything) => *last = token,
                _ => tokens.push(token),
            }
        }
        Self(tokens)
    }

    /// Whether the whole name matches. Takes time proportional to the product of both lengths.
    pub fn matches(&self, name: &str) -> bool {
        let folded = match name.as_bytes() {
            [
                b'I' | b'i',
                b'N' | b'n',
                b'B' | b'b',
                b'O' | b'o',
                b'X' | b'x',
                rest @ ..,
            ] if matches!(rest.first(), None | Some(&SEPARATOR)) => "INBOX".len(),
            _ => 0,
        };
        // reached[i]: the first i tokens can match what was read of the name.
        let mut reached = vec![false; self.0.len() + 1];
        reached[0] = true;
        self.skip_wildcards(&mut reached);
        for (index, byte) in name.bytes().enumerate() {
            let mut next = vec![false; reached.len()];
            for (position, token) in self.0.iter().enumerate() {
                if !reached[position] {
                    continue;
                }
                match *token {
                    Token::Anything => next[position] = true,
                    Token::WithinLevel => next[position] |= byte != SEPARATOR,
                    Token::Byte(wanted) => {
                        let same =
                            wanted == byte || index < folded && wanted.eq_ignore_ascii_case(&byte);
                        next[position + 1] |= same;
                    }
                }
            }
            self.skip_wildcards(&mut next);
            reached = next;
        }
        reached[self.0.len()]
    }

    /// A wildcard may stand for nothing.
    fn skip_wildcards(&self, reached: &mut [bool]) {
        for (position, token) in self.0.iter().enumerate() {
            match token {
                Token::Anything | Token::WithinLevel => reached[position + 1] |= reached[position],
                Token::Byte(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::new("", pattern).matches(name)
    }

    #[test]
    fn percent_stays_within_a_level_and_star_does_not() {
        for (pattern, name, expected) in [
            ("*", "a/b/c", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("%/%", "a/b", true),
            ("%/%", "a/b/c", false),
            ("a/*", "a", false),
            ("a/*", "a/b/c", true),
            ("a*", "a/b", true),
            ("*c", "a/b/c", true),
            ("%c", "a/b/c", false),
            ("a%d/*x", "abcd/e/x", true),
            ("", "", true),
            ("", "a", false),
            ("%%**%", "a/b", true),
            ("%*", "/", true),
            ("Entwürfe", "Entwürfe", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        assert!(Pattern::new("a/", "%").matches("a/b"));
        assert!(!Pattern::new("a/", "%").matches("a/b/c"));
    }

    #[test]
    fn inbox_alone_is_compared_without_case() {
        assert!(matches("inbox", "INBOX"));
        assert!(matches("iNb%", "INBOX"));
        assert!(matches("inbox/Work", "INBOX/Work"));
        assert!(!matches("inbox/work", "INBOX/Work"));
        assert!(!matches("inboxes", "INBOXES"));
        assert!(!matches("a/inbox", "a/INBOX"));
    }

    #[test]
    fn hostile_pattern_costs_no_more_than_the_product_of_the_lengths() {
        let pattern = "*a".repeat(500);
        assert!(!matches(&pattern, &("a".repeat(499) + "b")));
        assert!(matches(&pattern, &"a".repeat(500)));
    }

    /// The definition, in exponential time.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|length| naive(rest, &name[length..])),
            Some((b'%', rest)) => (0..=name.len())
                .take_while(|&length| !name[..length].contains(&b'/'))
                .any(|length| naive(rest, &name[length..])),
            Some((byte, rest)) => name.first() == Some(byte) && naive(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab/*%]{0,8}", name in "[ab/]{0,8}") {
            let expected = naive(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(&pattern, &name), expected);
        }
    }
}
