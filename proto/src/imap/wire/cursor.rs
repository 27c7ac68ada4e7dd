//! The lexical level of the grammar (RFC 3501 §9): atoms, strings and numbers.

use alloc::{
    borrow::{Cow, ToOwned},
    string::String,
    vec::Vec,
};
use core::num::NonZeroU32;

use super::{FaultKind, decode_mailbox_name};
use crate::{ModSeq, limits};

/// Why a text is no command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ParseError {
    /// The text ends where a literal is announced.
    LiteralPending,
    /// The client's fault, and what to tell it.
    Fault(FaultKind, &'static str),
}

pub(super) type Parsed<T> = Result<T, ParseError>;

pub(super) const fn bad<T>(text: &'static str) -> Parsed<T> {
    Err(ParseError::Fault(FaultKind::Bad, text))
}

/// A place in a command.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// `ASTRING-CHAR`: what an astring may hold without quotes.
///
/// ```abnf
/// ASTRING-CHAR   = ATOM-CHAR / resp-specials
/// ATOM-CHAR      = <any CHAR except atom-specials>
/// atom-specials  = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials
/// list-wildcards = "%" / "*"    ; quoted-specials = DQUOTE / "\"    ; resp-specials = "]"
/// ```
pub(super) fn is_astring_char(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\')
}

fn is_atom_char(byte: u8) -> bool {
    is_astring_char(byte) && byte != b']'
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether this byte came, which is then consumed.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        if taken {
            self.rest = &self.rest[1..];
        }
        taken
    }

    pub(super) fn expect(&mut self, byte: u8, otherwise: &'static str) -> Parsed<()> {
        match self.take(byte) {
            true => Ok(()),
            false => bad(otherwise),
        }
    }

    pub(super) fn space(&mut self) -> Parsed<()> {
        self.expect(b' ', "Expected a space")
    }

    pub(super) fn end(&self) -> Parsed<()> {
        match self.is_at_end() {
            true => Ok(()),
            false => bad("Expected the end of the command"),
        }
    }

    /// Bytes as long as they are of this kind; possibly none.
    pub(super) fn take_while(&mut self, kind: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !kind(byte));
        let (taken, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Whether this word (in capitals) comes next, in any case; it is then consumed. What follows
    /// is not looked at.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let found = self
            .rest
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()));
        if found {
            self.rest = &self.rest[word.len()..];
        }
        found
    }

    /// `atom = 1*ATOM-CHAR`
    pub(super) fn atom(&mut self) -> Parsed<&'a str> {
        let atom = self.take_while(is_atom_char);
        match core::str::from_utf8(atom) {
            Ok(atom) if !atom.is_empty() => Ok(atom),
            Ok(_) | Err(_) => bad("Expected an atom"),
        }
    }

    /// An atom in capitals.
    pub(super) fn keyword(&mut self) -> Parsed<String> {
        Ok(self.atom()?.to_ascii_uppercase())
    }

    /// `number`, up to 64 bits.
    pub(super) fn number(&mut self) -> Parsed<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let number = core::str::from_utf8(digits)
            .ok()
            .and_then(|digits| digits.parse().ok());
        match number {
            Some(number) => Ok(number),
            None if digits.is_empty() => bad("Expected a number"),
            None => bad("Number is too large"),
        }
    }

    /// `nz-number = digit-nz *DIGIT`, below 2³².
    pub(super) fn nonzero(&mut self) -> Parsed<NonZeroU32> {
        let number = u32::try_from(self.number()?).ok().and_then(NonZeroU32::new);
        match number {
            Some(number) => Ok(number),
            None => bad("Number must be within 1 and 4294967295"),
        }
    }

    /// `mod-sequence-valzer = "0" / mod-sequence-value` (RFC 7162 §7): below 2⁶³.
    pub(super) fn modseq(&mut self) -> Parsed<ModSeq> {
        match self.number()? {
            modseq if modseq < 1 << 63 => Ok(ModSeq(modseq)),
            _ => bad("Mod-sequence is too large"),
        }
    }

    /// `astring = 1*ASTRING-CHAR / string`. Bytes that are not ASCII are tolerated.
    pub(super) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(|byte| is_astring_char(byte) || !byte.is_ascii())
    }

    /// `list-mailbox = 1*(ATOM-CHAR / list-wildcards / resp-specials) / string`. Bytes that are
    /// not ASCII are tolerated.
    pub(super) fn list_mailbox(&mut self) -> Parsed<String> {
        let name = self.string_or(|byte| {
            is_astring_char(byte) || matches!(byte, b'%' | b'*') || !byte.is_ascii()
        })?;
        mailbox_name(&name)
    }

    /// ```abnf
    /// mailbox = "INBOX" / astring
    /// ```
    pub(super) fn mailbox(&mut self) -> Parsed<String> {
        let name = self.astring()?;
        mailbox_name(&name).map(fold_inbox)
    }

    /// An astring in UTF-8.
    pub(super) fn text(&mut self) -> Parsed<String> {
        utf8(&self.astring()?)
    }

    /// `string` in UTF-8.
    pub(super) fn string_text(&mut self) -> Parsed<String> {
        utf8(&self.string_or(|_| false)?)
    }

    /// `header-fld-name = astring`, of what a field name can hold (RFC 5322 §2.2).
    pub(super) fn field_name(&mut self) -> Parsed<String> {
        let name = self.text()?;
        let valid = name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':');
        match valid && !name.is_empty() {
            true => Ok(name),
            false => bad("No such field name"),
        }
    }

    /// `nstring = string / nil`, in UTF-8.
    pub(super) fn nstring_text(&mut self) -> Parsed<Option<String>> {
        if self.take_word("NIL") {
            return Ok(None);
        }
        self.string_text().map(Some)
    }

    /// A string, or at least one byte of a kind.
    fn string_or(&mut self, kind: impl Fn(u8) -> bool) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted().map(Cow::Owned),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            Some(_) | None => match self.take_while(kind) {
                [] => bad("Expected a string"),
                bare => Ok(Cow::Borrowed(bare)),
            },
        }
    }

    /// ```abnf
    /// quoted      = DQUOTE *QUOTED-CHAR DQUOTE
    /// QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials
    /// ```
    ///
    /// Bytes that are not ASCII are tolerated.
    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.expect(b'"', "Expected a quoted string")?;
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r')));
            if self.take(b'"') {
                return Ok(text);
            }
            if !self.take(b'\\') {
                return bad("Quoted string has no end");
            }
            match self.peek() {
                Some(escaped @ (b'"' | b'\\')) if self.take(escaped) => text.push(escaped),
                _ => return bad("Only quotes and backslashes can be escaped"),
            }
        }
    }

    /// `literal = "{" number ["+"] "}" CRLF *CHAR8`
    fn literal(&mut self) -> Parsed<&'a [u8]> {
        let size_bytes = self.literal_announcement()?;
        let size_bytes = usize::try_from(size_bytes).unwrap_or(usize::MAX);
        let Some((literal, rest)) = self.rest.split_at_checked(size_bytes) else {
            return Err(ParseError::LiteralPending);
        };
        self.rest = rest;
        match literal.contains(&0) {
            true => bad("NUL is not allowed"),
            false => Ok(literal),
        }
    }

    /// `"{" number ["+"] "}" CRLF`. What follows is not looked at.
    pub(super) fn literal_announcement(&mut self) -> Parsed<u64> {
        self.expect(b'{', "Expected a literal")?;
        let size_bytes = self.number()?;
        let _non_synchronising = self.take(b'+');
        match self.take_word("}\r\n") {
            true => Ok(size_bytes),
            false => bad("Literal is not well formed"),
        }
    }

    /// `"(" [item *(SP item)] ")"`
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.expect(b'(', "Expected an opening parenthesis")?;
        let mut items = Vec::new();
        while !self.take(b')') {
            if !items.is_empty() {
                self.space()?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }
}

fn utf8(text: &[u8]) -> Parsed<String> {
    match core::str::from_utf8(text) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => bad("Text is not UTF-8"),
    }
}

/// A name in modified UTF-7, or in UTF-8 as some clients send it.
fn mailbox_name(name: &[u8]) -> Parsed<String> {
    const FAULT: ParseError = ParseError::Fault(
        FaultKind::MailboxName,
        "Mailbox name is not valid modified UTF-7",
    );
    if name.len() > limits::IMAP_MAILBOX_NAME_BYTES {
        const TOO_LONG: &str = "Mailbox name is too long";
        return Err(ParseError::Fault(FaultKind::MailboxName, TOO_LONG));
    }
    let name = core::str::from_utf8(name).map_err(|_| FAULT)?;
    match name.is_ascii() {
        true => decode_mailbox_name(name).ok_or(FAULT),
        false => Ok(name.to_owned()),
    }
}

/// INBOX, alone or as the first level of a name, is the same in any case (RFC 3501 §5.1).
fn fold_inbox(name: String) -> String {
    let (first, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    match first.eq_ignore_ascii_case("INBOX") {
        true => String::from("INBOX") + rest,
        false => name,
    }
}
