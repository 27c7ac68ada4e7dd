//! Reads the addresses of a From field (RFC 5322 §3.4, groups by RFC 6854).

use alloc::{string::String, vec::Vec};
use core::{iter::Peekable, str::CharIndices};

use crate::{Address, Domain, limits};

/// The value can't be read, or names more than [`limits::SMTP_FROM_ADDRESSES_MAX`] addresses.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct FromMalformed;

#[derive(Debug, Eq, PartialEq)]
enum Token {
    /// An atom (an encoded word, too) or a quoted string without its quotes.
    Word(String),
    /// `[...]` with its brackets.
    Literal(String),
    /// One of `. @ < > , : ;`.
    Special(char),
}

/// `address-list` in the value of a field, folding included. Obsolete forms are read (RFC 5322
/// §4.4): empty elements, routes, white space and comments around dots.
pub(super) fn parse_from(value: &[u8]) -> Result<Vec<Address>, FromMalformed> {
    let text = core::str::from_utf8(value).map_err(|_| FromMalformed)?;
    let tokens = tokenize(text)?;
    let mut list = List {
        tokens: &tokens,
        in_group: false,
        had_group: false,
        addresses: Vec::new(),
    };
    while !list.tokens.is_empty() {
        list.parse_element()?;
    }
    match list.addresses.is_empty() && !list.had_group {
        true => Err(FromMalformed),
        false => Ok(list.addresses),
    }
}

struct List<'a> {
    tokens: &'a [Token],
    in_group: bool,
    had_group: bool,
    addresses: Vec<Address>,
}

impl List<'_> {
    /// One mailbox, the start or end of a group, or nothing, with the comma behind it.
    fn parse_element(&mut self) -> Result<(), FromMalformed> {
        let is_inner = |token: &Token| {
            matches!(
                token,
                Token::Word(_) | Token::Literal(_) | Token::Special('.')
            )
        };
        let end = self.tokens.iter().position(|token| !is_inner(token));
        let (words, rest) = self.tokens.split_at(end.unwrap_or(self.tokens.len()));
        match rest.first() {
            Some(Token::Special('<')) => {
                self.tokens = &rest[1..];
                self.parse_angle_address()
            }
            Some(Token::Special('@')) => {
                self.tokens = rest;
                self.parse_address(words)?;
                self.parse_end()
            }
            Some(Token::Special(':')) if !self.in_group && !words.is_empty() => {
                self.tokens = &rest[1..];
                self.in_group = true;
                self.had_group = true;
                Ok(())
            }
            _ if words.is_empty() => {
                self.tokens = rest;
                self.parse_end()
            }
            _ => Err(FromMalformed),
        }
    }

    /// `[obs-route] addr-spec ">"`, after the `<`.
    fn parse_angle_address(&mut self) -> Result<(), FromMalformed> {
        if matches!(self.tokens.first(), Some(Token::Special('@' | ','))) {
            let colon = self
                .tokens
                .iter()
                .position(|token| *token == Token::Special(':'));
            self.tokens = &self.tokens[colon.ok_or(FromMalformed)? + 1..];
        }
        let at = self
            .tokens
            .iter()
            .position(|token| *token == Token::Special('@'));
        let (words, rest) = self.tokens.split_at(at.ok_or(FromMalformed)?);
        self.tokens = rest;
        self.parse_address(words)?;
        self.expect('>')?;
        self.parse_end()
    }

    /// `"@" domain` after the words of the local-part.
    fn parse_address(&mut self, words: &[Token]) -> Result<(), FromMalformed> {
        self.expect('@')?;
        let local_part = join_dotted(words)?;
        let is_inner = |token: &Token| {
            matches!(
                token,
                Token::Word(_) | Token::Literal(_) | Token::Special('.')
            )
        };
        let end = self.tokens.iter().position(|token| !is_inner(token));
        let (words, rest) = self.tokens.split_at(end.unwrap_or(self.tokens.len()));
        self.tokens = rest;
        let domain = match words {
            [Token::Literal(literal)] => literal.clone(),
            words => join_dotted(words)?,
        };
        let domain = Domain::parse(&domain).map_err(|_| FromMalformed)?;
        let address = Address::new(local_part, domain).map_err(|_| FromMalformed)?;
        if self.addresses.len() == limits::SMTP_FROM_ADDRESSES_MAX {
            return Err(FromMalformed);
        }
        self.addresses.push(address);
        Ok(())
    }

    /// What may follow a mailbox: a comma, the end of the group, the end of the list.
    fn parse_end(&mut self) -> Result<(), FromMalformed> {
        match self.tokens.split_first() {
            None if self.in_group => Err(FromMalformed),
            None => Ok(()),
            Some((Token::Special(','), rest)) => {
                self.tokens = rest;
                Ok(())
            }
            Some((Token::Special(';'), rest)) if self.in_group => {
                self.in_group = false;
                self.tokens = rest;
                match rest.first() {
                    None | Some(Token::Special(',')) => Ok(()),
                    Some(_) => Err(FromMalformed),
                }
            }
            Some(_) => Err(FromMalformed),
        }
    }

    fn expect(&mut self, special: char) -> Result<(), FromMalformed> {
        match self.tokens.split_first() {
            Some((Token::Special(found), rest)) if *found == special => {
                self.tokens = rest;
                Ok(())
            }
            _ => Err(FromMalformed),
        }
    }
}

/// `word *("." word)`
fn join_dotted(tokens: &[Token]) -> Result<String, FromMalformed> {
    let mut joined = String::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Word(word) if index % 2 == 0 => joined += word,
            Token::Special('.') if index % 2 == 1 => joined.push('.'),
            _ => return Err(FromMalformed),
        }
    }
    if tokens.len() % 2 == 1 {
        Ok(joined)
    } else {
        Err(FromMalformed)
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, FromMalformed> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {}
            '(' => skip_comment(&mut chars)?,
            '"' => tokens.push(Token::Word(quoted_string(&mut chars)?)),
            '[' => {
                let close = text[start..].find(']').ok_or(FromMalformed)?;
                let literal = &text[start..=start + close];
                tokens.push(Token::Literal(literal.into()));
                while chars
                    .next_if(|&(index, _)| index <= start + close)
                    .is_some()
                {}
            }
            '.' | '@' | '<' | '>' | ',' | ':' | ';' => tokens.push(Token::Special(c)),
            c if is_atom(c) => {
                let mut word = String::from(c);
                while let Some((_, c)) = chars.next_if(|&(_, c)| is_atom(c)) {
                    word.push(c);
                }
                tokens.push(Token::Word(word));
            }
            _ => return Err(FromMalformed),
        }
    }
    Ok(tokens)
}

fn is_atom(c: char) -> bool {
    !c.is_control() && !" ()<>[]:;@\\,.\"".contains(c)
}

/// The rest of `"(" *([FWS] ccontent) [FWS] ")"`.
fn skip_comment(chars: &mut Peekable<CharIndices<'_>>) -> Result<(), FromMalformed> {
    let mut depth = 1;
    while let Some((_, c)) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => drop(chars.next()),
            _ => {}
        }
        if depth == 0 {
            return Ok(());
        }
        if depth > limits::SMTP_COMMENT_DEPTH_MAX {
            return Err(FromMalformed);
        }
    }
    Err(FromMalformed)
}

/// The rest of `DQUOTE *([FWS] qcontent) [FWS] DQUOTE`, without folds and escapes.
fn quoted_string(chars: &mut Peekable<CharIndices<'_>>) -> Result<String, FromMalformed> {
    let mut text = String::new();
    while let Some((_, c)) = chars.next() {
        match c {
            '"' => return Ok(text),
            '\\' => text.push(chars.next().ok_or(FromMalformed)?.1),
            '\r' | '\n' => {}
            c => text.push(c),
        }
    }
    Err(FromMalformed)
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString, vec};

    use proptest::prelude::*;

    use super::*;

    fn addresses(value: &str) -> Result<Vec<String>, FromMalformed> {
        let list = parse_from(value.as_bytes())?;
        Ok(list.iter().map(Address::to_string).collect())
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        for value in [
            " a@b.c\r\n",
            " <a@b.c>",
            " Alice B. C. <a@b.c>",
            " \"<x@y.z>, \\\" :\" <a@b.c>",
            " =?utf-8?Q?J=C3=B6rg?= =?utf-8?B?QA==?=\r\n <a@b.c>",
            " (x@y.z (nested \\) <q@r.s>)) a (c) @ (d) b . c (e)",
            " Jörg\r\n\t<a@b.c>",
            " <@x.y,@z.w:a@b.c>",
            " Friends: Alice <a@b.c>;",
            " ,, a@b.c ,",
        ] {
            assert_eq!(addresses(value), Ok(vec!["a@b.c".to_string()]), "{value}");
        }
    }

    #[test]
    fn all_addresses_of_a_list_count() {
        let list = addresses("a@b.c, \"D, E\" <d@[127.0.0.1]>, G: h@i.j, <k@l.m>; , \"x y\"@z.w");
        let expected = ["a@b.c", "d@[127.0.0.1]", "h@i.j", "k@l.m", "\"x y\"@z.w"];
        assert_eq!(list.unwrap(), expected);
    }

    #[test]
    fn group_may_be_empty_and_a_field_may_not() {
        assert_eq!(addresses("undisclosed:;"), Ok(vec![]));
        assert_eq!(addresses(" \r\n"), Err(FromMalformed));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for value in [
            "Alice",
            "a@b.c d@e.f",
            "a@b.c <d@e.f>",
            "<a@b.c> <d@e.f>",
            "<a@b.c",
            "a@b.c>",
            "<a@b@c>",
            "a@",
            "@b",
            "\"a@b.c",
            "(a@b.c",
            "G: a@b.c",
            "a b@c.d",
            "a..b@c.d",
            "a\\b@c.d",
            "<>",
            "G: H: a@b.c;;",
            "a@b.c\0",
        ] {
            assert_eq!(addresses(value), Err(FromMalformed), "{value}");
        }
        assert_eq!(parse_from(b"a\xff <a@b.c>"), Err(FromMalformed));
    }

    #[test]
    fn most_addresses_fit_and_one_more_does_not() {
        let list = vec!["a@b.c"; limits::SMTP_FROM_ADDRESSES_MAX].join(",");
        assert_eq!(
            addresses(&list).unwrap().len(),
            limits::SMTP_FROM_ADDRESSES_MAX
        );
        assert_eq!(addresses(&format!("{list},a@b.c")), Err(FromMalformed));
    }

    #[test]
    fn comments_nest_to_a_bound() {
        let nested = |depth: u32| {
            let depth = depth as usize;
            format!("{}{}a@b.c", "(".repeat(depth), ")".repeat(depth))
        };
        assert!(addresses(&nested(limits::SMTP_COMMENT_DEPTH_MAX)).is_ok());
        assert_eq!(
            addresses(&nested(limits::SMTP_COMMENT_DEPTH_MAX + 1)),
            Err(FromMalformed)
        );
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_refused(value in "[a@<>,:;.()\\[\\]\"\\\\ \\r\\n]{0,40}") {
            let _ = parse_from(value.as_bytes());
        }

        #[test]
        fn any_address_is_read_as_it_prints(local in "[a-z .\"\\\\<>@,]{1,12}") {
            let domain = Domain::parse("b.c").unwrap();
            let address = Address::new(local, domain).unwrap();
            prop_assert_eq!(parse_from(address.to_string().as_bytes()), Ok(vec![address.clone()]));
            let named = format!("\"x\" <{address}>");
            prop_assert_eq!(parse_from(named.as_bytes()), Ok(vec![address]));
        }
    }
}
