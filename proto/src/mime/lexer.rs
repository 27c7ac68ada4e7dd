//! The tokens of structured header fields (RFC 5322 §3.2, RFC 2045 §5.1), read leniently.

use alloc::vec::Vec;

/// A token was expected and is not there, or does not end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// Whether anything is left to read.
pub(super) type Step = Result<bool, Malformed>;

/// Reads tokens from the front of a field's value. Every token takes the comments and white space
/// behind it along.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
    comment: Option<&'a [u8]>,
}

pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// `atext`, with all bytes above ASCII (RFC 6532).
const fn is_atom_byte(byte: u8) -> bool {
    byte >= 0x80
        || byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'/'
                | b'='
                | b'?'
                | b'^'
                | b'_'
                | b'`'
                | b'{'
                | b'|'
                | b'}'
                | b'~'
        )
}

const fn is_token_byte(byte: u8) -> bool {
    byte == b'.' || (is_atom_byte(byte) && !matches!(byte, b'/' | b'=' | b'?'))
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            comment: None,
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn at(&self, byte: u8) -> bool {
        self.peek() == Some(byte)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Steps over one byte, if there is one.
    pub(super) fn bump(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    /// Steps over all up to this byte, and the byte itself.
    pub(super) fn skip_behind(&mut self, byte: u8) {
        self.take_while(|other| other != byte);
        self.bump();
    }

    /// The text of the comment that was skipped last, unescaped; it is forgotten with this.
    pub(super) fn take_comment(&mut self) -> Option<Vec<u8>> {
        let comment = self.comment.take()?;
        let mut text = Vec::with_capacity(comment.len());
        let mut bytes = comment.iter();
        while let Some(&byte) = bytes.next() {
            text.extend(if byte == b'\\' {
                bytes.next()
            } else {
                Some(&byte)
            });
        }
        (!text.is_empty()).then_some(text)
    }

    /// `[CFWS]`
    pub(super) fn skip_space(&mut self) -> Step {
        while let Some(byte) = self.peek() {
            if is_space(byte) {
                self.bump();
            } else if byte == b'(' {
                self.skip_comment()?;
            } else {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn skip_comment(&mut self) -> Result<(), Malformed> {
        let text = &self.rest[1..];
        let mut depth = 1u32;
        let mut escaped = false;
        for (index, &byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'(' => depth += 1,
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        self.comment = Some(&text[..index]);
                        self.rest = &text[index + 1..];
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        self.rest = &[];
        self.comment = None;
        Err(Malformed)
    }

    /// Takes bytes as long as they are wanted.
    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !wanted(byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    pub(super) fn atom(&mut self, out: &mut Vec<u8>) -> Step {
        let atom = self.take_while(is_atom_byte);
        out.extend_from_slice(atom);
        if atom.is_empty() {
            return Err(Malformed);
        }
        self.skip_space()
    }

    /// `dot-atom`, with white space around the dots (RFC 5322 §4.4).
    pub(super) fn dot_atom(&mut self, out: &mut Vec<u8>) -> Step {
        loop {
            if !self.atom(out)? {
                return Ok(false);
            }
            if !self.at(b'.') {
                return Ok(true);
            }
            self.bump();
            out.push(b'.');
            self.skip_space()?;
        }
    }

    /// Atoms and any number of dots before, between and behind them, as many write local-parts.
    pub(super) fn loose_dot_atom(&mut self, out: &mut Vec<u8>) -> Step {
        loop {
            let dots = self.take_while(|byte| byte == b'.');
            out.extend_from_slice(dots);
            if !dots.is_empty() && matches!(self.peek(), None | Some(b'@')) {
                return Ok(!self.is_empty());
            }
            if !self.atom(out)? {
                return Ok(false);
            }
            if !self.at(b'.') {
                return Ok(true);
            }
        }
    }

    /// `quoted-string`, unescaped and unfolded. The next byte must be the quote.
    pub(super) fn quoted_string(&mut self, out: &mut Vec<u8>) -> Step {
        self.bump();
        while let Some(byte) = self.peek() {
            self.bump();
            match byte {
                b'"' => return self.skip_space(),
                b'\r' if self.at(b'\n') => {}
                b'\n' => {}
                b'\\' => {
                    out.extend(self.peek());
                    self.bump();
                }
                _ => out.push(byte),
            }
        }
        Err(Malformed)
    }

    /// `phrase`: its words with one space between them. May be empty.
    pub(super) fn phrase(&mut self, out: &mut Vec<u8>) -> Step {
        if self.at(b'.') {
            return Err(Malformed);
        }
        if self.is_empty() {
            return Ok(false);
        }
        loop {
            let more = if self.at(b'"') {
                self.quoted_string(out)?
            } else {
                out.extend_from_slice(self.take_while(|byte| is_atom_byte(byte) || byte == b'.'));
                self.skip_space()?
            };
            if !more {
                return Ok(false);
            }
            let word = |byte| is_atom_byte(byte) || matches!(byte, b'"' | b'.');
            if !self.peek().is_some_and(word) {
                return Ok(true);
            }
            out.push(b' ');
        }
    }

    /// `"@" domain`. The next byte must be the at sign.
    pub(super) fn at_domain(&mut self, out: &mut Vec<u8>) -> Step {
        self.bump();
        if !self.skip_space()? {
            return Err(Malformed);
        }
        if self.at(b'[') {
            self.domain_literal(out)
        } else {
            self.dot_atom(out)
        }
    }

    fn domain_literal(&mut self, out: &mut Vec<u8>) -> Step {
        let mut escaped = false;
        let end = self.rest.iter().position(|&byte| {
            let found = byte == b']' && !escaped;
            escaped = byte == b'\\' && !escaped;
            found
        });
        let end = end.ok_or(Malformed)?;
        out.extend_from_slice(&self.rest[..=end]);
        self.rest = &self.rest[end + 1..];
        self.skip_space()
    }

    /// `token` (RFC 2045 §5.1). May be empty.
    pub(super) fn token(&mut self, out: &mut Vec<u8>) -> Step {
        out.extend_from_slice(self.take_while(is_token_byte));
        if self.is_empty() {
            return Ok(false);
        }
        self.skip_space()
    }

    /// A parameter's value: a quoted string or a token. A value that starts with `=` (an encoded
    /// word with one equals sign too many) runs to the next white space or semicolon.
    pub(super) fn parameter_value(&mut self, out: &mut Vec<u8>) -> Step {
        match self.peek() {
            Some(b'"') => self.quoted_string(out),
            Some(b'=') => {
                let value = self.take_while(|byte| byte != b';' && !is_space(byte));
                out.extend_from_slice(value);
                Ok(!self.is_empty())
            }
            _ => self.token(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrase_joins_words_and_unescapes() {
        let mut out = Vec::new();
        let mut lexer = Lexer::new(b"John \"Q. \\\"X\\\"\" Public (c) <");
        assert_eq!(lexer.phrase(&mut out), Ok(true));
        assert_eq!(out, b"John Q. \"X\" Public");
        assert!(lexer.at(b'<'));
    }

    #[test]
    fn comment_is_kept_unescaped_with_inner_comments() {
        let mut lexer = Lexer::new(b" (a \\) (b)) x");
        assert_eq!(lexer.skip_space(), Ok(true));
        assert_eq!(lexer.take_comment().as_deref(), Some(&b"a ) (b)"[..]));
        assert_eq!(lexer.take_comment(), None);
    }

    #[test]
    fn unfinished_tokens_are_malformed() {
        let mut out = Vec::new();
        assert_eq!(Lexer::new(b"(a").skip_space(), Err(Malformed));
        assert_eq!(Lexer::new(b"\"a").quoted_string(&mut out), Err(Malformed));
        assert_eq!(Lexer::new(b"@[1.2").at_domain(&mut out), Err(Malformed));
        assert_eq!(Lexer::new(b"").atom(&mut out), Err(Malformed));
    }
}
