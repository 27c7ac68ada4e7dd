//! Address lists of header fields (RFC 5322 §3.4, with the obsolete forms of §4.4), read as far as
//! they make sense.
//!
//! Nothing is refused: an address that cannot be read to its end is there with what was
//! understood, and marked. What is filled in for missing pieces, and where reading goes on after a
//! fault, follows what Dovecot has taught mail clients to expect.

use alloc::vec::Vec;

use super::lexer::{Lexer, Malformed, Step};

/// One element of an address list, in the order of the text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum AddressItem {
    /// A single mailbox, in a group or not.
    Mailbox(Mailbox),
    /// The mailboxes that follow, up to the group's end, are a group of this name.
    GroupStart(Vec<u8>),
    /// The group's end.
    GroupEnd,
}

/// A mailbox of an address list, unquoted, without comments.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Mailbox {
    /// The display name, or the last comment of an address without one. Encoded words (RFC 2047)
    /// are left as they are.
    pub(super) name: Option<Vec<u8>>,
    /// The source route (RFC 5322 §4.4, `obs-route`) without its colon.
    pub(super) route: Option<Vec<u8>>,
    /// The local-part.
    pub(super) local_part: Option<Vec<u8>>,
    /// The domain, a literal with its brackets.
    pub(super) domain: Option<Vec<u8>>,
    /// Whether the text was a proper address.
    pub(super) valid: bool,
}

/// Stands for the domain of an address in angle brackets that cannot be read.
pub(super) const SYNTAX_ERROR: &[u8] = b"SYNTAX_ERROR";

/// Stands for a route that cannot be read.
pub(super) const INVALID_ROUTE: &[u8] = b"INVALID_ROUTE";

/// Reads an address list. Needs time and space in proportion to its length.
pub(super) fn parse_addresses(value: &[u8]) -> Vec<AddressItem> {
    let mut parser = Parser {
        lexer: Lexer::new(value),
        items: Vec::new(),
    };
    if parser.lexer.skip_space() == Ok(true) {
        parser.list();
    }
    parser.items
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    items: Vec<AddressItem>,
}

impl Parser<'_> {
    /// `address-list`; ends at the first text that is neither an address nor a comma.
    fn list(&mut self) {
        loop {
            if self.address() == Ok(false) || !self.lexer.at(b',') {
                return;
            }
            self.lexer.bump();
            match self.lexer.skip_space() {
                Ok(true) => {}
                Ok(false) => return,
                Err(Malformed) => {
                    self.items.push(AddressItem::Mailbox(Mailbox::default()));
                    return;
                }
            }
        }
    }

    /// `address = mailbox / group`
    fn address(&mut self) -> Step {
        let start = self.lexer;
        let mut name = Vec::new();
        if self.lexer.phrase(&mut name) == Ok(true) && self.lexer.at(b':') {
            return Ok(self.group(name));
        }
        self.lexer = start;
        self.mailbox()
    }

    /// The rest of a group after its name. Tells whether anything is left.
    fn group(&mut self, name: Vec<u8>) -> bool {
        self.lexer.bump();
        self.items.push(AddressItem::GroupStart(name));
        let mut state = self.lexer.skip_space();
        if state == Ok(true) && !self.lexer.at(b';') {
            state = self.group_members();
        }
        if state.is_ok() {
            state = Err(Malformed);
            if self.lexer.at(b';') {
                self.lexer.bump();
                state = self.lexer.skip_space();
            }
        }
        self.items.push(AddressItem::GroupEnd);
        state != Ok(false)
    }

    fn group_members(&mut self) -> Step {
        loop {
            if self.mailbox() != Ok(true) {
                return Err(Malformed);
            }
            if !self.lexer.at(b',') {
                return Ok(true);
            }
            self.lexer.bump();
            if self.lexer.skip_space() != Ok(true) {
                return Err(Malformed);
            }
        }
    }

    /// `mailbox = name-addr / addr-spec`
    fn mailbox(&mut self) -> Step {
        let start = self.lexer;
        let mut mailbox = Mailbox {
            valid: true,
            ..Mailbox::default()
        };
        let mut name = Vec::new();
        let named = self.lexer.phrase(&mut name) == Ok(true) && self.lexer.at(b'<');
        let step = if named {
            mailbox.name = (!name.is_empty()).then_some(name);
            if self.angle_addr(&mut mailbox).is_err() {
                mailbox.domain = Some(SYNTAX_ERROR.to_vec());
                mailbox.valid = false;
            }
            Ok(!self.lexer.is_empty())
        } else {
            self.lexer = start;
            self.addr_spec(&mut mailbox)
        };
        let complete = mailbox.local_part.is_some() && mailbox.domain.is_some();
        mailbox.valid &= complete && step.is_ok();
        self.items.push(AddressItem::Mailbox(mailbox));
        step
    }

    /// `angle-addr = "<" [obs-route] addr-spec ">"`; may be empty.
    fn angle_addr(&mut self, mailbox: &mut Mailbox) -> Step {
        self.lexer.bump();
        if !self.lexer.skip_space()? {
            return Err(Malformed);
        }
        if self.lexer.at(b'@') {
            if self.route(mailbox) == Ok(true) && self.lexer.at(b':') {
                self.lexer.bump();
                self.lexer.skip_space()?;
            } else {
                mailbox.route = Some(INVALID_ROUTE.to_vec());
            }
        }
        if !self.lexer.at(b'>') {
            self.local_part(&mut mailbox.local_part)?;
            if self.lexer.at(b'@') {
                self.domain(mailbox)?;
            }
        }
        if !self.lexer.at(b'>') {
            return Err(Malformed);
        }
        self.lexer.bump();
        self.lexer.skip_space()
    }

    /// `obs-domain-list = "@" domain *(*(CFWS / ",") [CFWS] "@" domain)`
    fn route(&mut self, mailbox: &mut Mailbox) -> Step {
        let mut route = Vec::new();
        while self.lexer.at(b'@') {
            if !route.is_empty() {
                route.push(b',');
            }
            route.push(b'@');
            if !self.lexer.at_domain(&mut route)? {
                return Ok(false);
            }
            while self.lexer.skip_space() == Ok(true) && self.lexer.at(b',') {
                self.lexer.bump();
            }
        }
        mailbox.route = Some(route);
        Ok(!self.lexer.is_empty())
    }

    /// `addr-spec = local-part "@" domain`; a comment behind it is its name. What is not followed
    /// by an at sign is a name without an address, unless it is one word, or has a comment behind
    /// it: that is a local-part.
    fn addr_spec(&mut self, mailbox: &mut Mailbox) -> Step {
        self.lexer.take_comment();
        let quoted = self.lexer.at(b'"');
        let mut text = None;
        let mut step = self.local_part(&mut text);
        let has_domain = step != Ok(false) && self.lexer.at(b'@');
        if has_domain {
            match self.domain(mailbox) {
                Ok(true) => {}
                end => step = end,
            }
        }
        let comment = self.lexer.take_comment();
        if comment.is_none() && !has_domain {
            let mut name = text.take().unwrap_or_default();
            name.push(b' ');
            let length = name.len();
            let _ = self.lexer.phrase(&mut name);
            let is_name = quoted || name.len() != length;
            if name.len() == length {
                name.pop();
            }
            let place = if is_name {
                &mut mailbox.name
            } else {
                &mut text
            };
            *place = (is_name || step.is_ok()).then_some(name);
            step = Err(Malformed);
        } else {
            mailbox.name = comment;
        }
        mailbox.local_part = text;
        step
    }

    /// `local-part = dot-atom / quoted-string / obs-local-part`. Leaves what was read even if it
    /// is malformed.
    fn local_part(&mut self, text: &mut Option<Vec<u8>>) -> Step {
        let text = text.insert(Vec::new());
        if self.lexer.at(b'"') {
            self.lexer.quoted_string(text)
        } else {
            self.lexer.loose_dot_atom(text)
        }
    }

    fn domain(&mut self, mailbox: &mut Mailbox) -> Step {
        let mut text = Vec::new();
        let step = self.lexer.at_domain(&mut text)?;
        mailbox.domain = Some(text);
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String};

    use proptest::prelude::*;

    use super::*;

    fn show(text: &Option<Vec<u8>>) -> String {
        text.as_deref()
            .map_or("-".into(), |text| String::from_utf8_lossy(text).into())
    }

    fn parsed(text: &str) -> Vec<String> {
        let items = parse_addresses(text.as_bytes()).into_iter();
        items
            .map(|item| match item {
                AddressItem::GroupStart(name) => format!("{}:", String::from_utf8_lossy(&name)),
                AddressItem::GroupEnd => ";".into(),
                AddressItem::Mailbox(it) => format!(
                    "{}|{}|{}|{}{}",
                    show(&it.name),
                    show(&it.route),
                    show(&it.local_part),
                    show(&it.domain),
                    if it.valid { "" } else { "!" }
                ),
            })
            .collect()
    }

    #[test]
    fn both_forms_of_a_mailbox_are_read() {
        assert_eq!(
            parsed("a@b.c, \"Q, \\\"x\\\"\" Y <d.e@f> , <g@[1.2.3.4]>"),
            ["-|-|a|b.c", "Q, \"x\" Y|-|d.e|f", "-|-|g|[1.2.3.4]"]
        );
    }

    #[test]
    fn comment_behind_an_address_is_its_name() {
        assert_eq!(parsed("a@b (Name (x))"), ["Name (x)|-|a|b"]);
        assert_eq!(parsed("a (c) @ b (d) . c"), ["d|-|a|b.c"]);
    }

    #[test]
    fn groups_have_a_start_and_an_end() {
        assert_eq!(
            parsed("A Group: a@b, C <c@d>;, e@f"),
            ["A Group:", "-|-|a|b", "C|-|c|d", ";", "-|-|e|f"]
        );
        assert_eq!(
            parsed("undisclosed-recipients:;"),
            ["undisclosed-recipients:", ";"]
        );
    }

    #[test]
    fn obsolete_routes_and_dots_are_read() {
        assert_eq!(parsed("<@a,@b.c:d@e>"), ["-|@a,@b.c|d|e"]);
        assert_eq!(parsed("x . y @ z"), ["-|-|x.y|z"]);
    }

    #[test]
    fn pieces_that_miss_are_marked() {
        assert_eq!(parsed("Name <a>"), ["Name|-|a|-!"]);
        assert_eq!(parsed("Name <a@b"), ["Name|-|a|b"]);
        assert_eq!(parsed("just a name"), ["just a name|-|-|-!"]);
        assert_eq!(parsed("user"), ["-|-|user|-!"]);
        assert_eq!(parsed("A <@x>"), ["A|INVALID_ROUTE|-|SYNTAX_ERROR!"]);
        assert_eq!(parsed(""), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[a-c@<>,:;()\"\\\\. \\[\\]\r\n]{0,60}") {
            prop_assert!(parse_addresses(text.as_bytes()).len() <= text.len() + 2);
        }
    }
}
