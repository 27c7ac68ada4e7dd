//! HTML of mail as the API tells it: what is safe in a page, as text, and without what is quoted.
//!
//! The HTML of a message is hostile. It is never repaired or copied: the tokenizer of the HTML
//! standard reads it, and what is written anew are elements, attributes and URLs of a list, every
//! value escaped. There is nothing of scripts, styles, comments or foreign content in what comes
//! out, so however a browser would have read the message, it reads what was meant here.
//!
//! Time and memory are linear: there is no tree, only a stack of the elements that are open,
//! bounded by [`limits::HTML_DEPTH`]. Of a longer text, [`limits::HTML_BYTES`] are looked at.

mod policy;
mod quote;
mod style;
mod text;
mod writer;

use html5gum::{DefaultEmitter, Token, Tokenizer};

pub use self::{
    quote::unique_text,
    text::{html_to_text, text_into_html, text_to_html},
};
use super::{
    prefer::{BodyType, Preferences},
    resources::{ItemBody, Parsed},
};
use crate::limits;

/// HTML without anything that acts or loads code.
pub fn sanitize(html: &str) -> String {
    writer::write(html, |_| false)
}

/// The same as a part of another document: without `html`, `head` and `body`.
pub fn fragment(html: &str) -> String {
    writer::write_fragment(html)
}

/// The same, up to where the quoted history begins.
pub fn unique_html(html: &str) -> String {
    writer::write(html, quote::begins_quote)
}

/// `body` as a client prefers it: sanitised unless it asks for the contrary.
pub fn body(parsed: &Parsed, preferences: &Preferences) -> ItemBody {
    match (parsed.html.as_deref(), preferences.body) {
        (Some(html), Some(BodyType::Text)) => as_text(html_to_text(html)),
        (Some(html), _) if preferences.allows_unsafe_html => as_html(html.to_owned()),
        (Some(html), _) => {
            let safe = parsed.safe_html.get_or_init(|| sanitize(html));
            as_html(safe.clone())
        }
        (None, kind) => of_text(parsed.text.clone().unwrap_or_default(), kind),
    }
}

/// `uniqueBody`: the same without quoted history; always sanitised.
pub fn unique_body(parsed: &Parsed, preferences: &Preferences) -> ItemBody {
    match (parsed.html.as_deref().map(unique_html), preferences.body) {
        (Some(html), Some(BodyType::Text)) => as_text(html_to_text(&html)),
        (Some(html), _) => as_html(html),
        (None, kind) => of_text(
            unique_text(parsed.text.as_deref().unwrap_or_default()),
            kind,
        ),
    }
}

fn of_text(text: String, kind: Option<BodyType>) -> ItemBody {
    match kind {
        Some(BodyType::Html) => as_html(text_to_html(&text)),
        Some(BodyType::Text) | None => as_text(text),
    }
}

fn as_text(content: String) -> ItemBody {
    ItemBody {
        content_type: "text",
        content,
    }
}

fn as_html(content: String) -> ItemBody {
    ItemBody {
        content_type: "html",
        content,
    }
}

/// The tokens of an HTML text; the content of `script` and its like is a text.
fn tokens(html: &str) -> impl Iterator<Item = Token> {
    let html = &html[..html.floor_char_boundary(limits::HTML_BYTES)];
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    Tokenizer::new_with_emitter(html, emitter).map(|token| match token {
        Ok(token) => token,
        Err(never) => match never {},
    })
}

/// Whether nothing within an element of this name is shown.
fn is_hidden(name: &[u8]) -> bool {
    const HIDDEN: [&[u8]; 10] = [
        b"script",
        b"style",
        b"title",
        b"textarea",
        b"iframe",
        b"noembed",
        b"noscript",
        b"svg",
        b"math",
        b"template",
    ];
    HIDDEN.contains(&name)
}

/// What is passed over because it stands within an element that [`is_hidden`].
#[derive(Debug, Default)]
struct Hidden {
    /// The outermost one, and how many of its name are open.
    within: Option<(Vec<u8>, usize)>,
}

impl Hidden {
    /// Whether a token is to be passed over.
    fn hides(&mut self, token: &Token) -> bool {
        match (&mut self.within, token) {
            (None, Token::StartTag(tag)) if is_hidden(&tag.name) => {
                // Only foreign elements can end where they begin (HTML standard §13.1.2.1).
                let is_foreign = [b"svg".as_slice(), b"math"].contains(&&tag.name[..]);
                if !(is_foreign && tag.self_closing) {
                    self.within = Some((tag.name.to_vec(), 1));
                }
                true
            }
            (None, _) => false,
            (Some((name, open)), Token::StartTag(tag)) => {
                *open += usize::from(*name == *tag.name && !tag.self_closing);
                true
            }
            (Some((name, open)), Token::EndTag(tag)) => {
                *open -= usize::from(*name == *tag.name);
                if *open == 0 {
                    self.within = None;
                }
                true
            }
            (Some(_), _) => true,
        }
    }
}

/// Whether a character stays: no control characters but those that are white space in HTML.
fn is_shown(c: char) -> bool {
    !c.is_control() || matches!(c, '\t' | '\n' | '\r')
}

/// Escapes what a text or the value of an attribute can't hold.
pub(super) fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            c if is_shown(c) => out.push(c),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
