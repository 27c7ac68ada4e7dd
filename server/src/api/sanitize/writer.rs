//! What is written of a hostile HTML text.

use html5gum::{StartTag, Token};

use super::{Hidden, escape_into, policy, style, tokens};
use crate::limits;

/// Writes what may stay, up to a tag at which `ends`. Each element that is opened is closed.
pub(super) fn write(html: &str, ends: impl Fn(&StartTag<()>) -> bool) -> String {
    Writer::default().write(html, ends)
}

/// Writes what may stay within another document.
pub(super) fn write_fragment(html: &str) -> String {
    let writer = Writer {
        is_fragment: true,
        ..Writer::default()
    };
    writer.write(html, |_| false)
}

#[derive(Debug, Default)]
struct Writer {
    out: String,
    /// Elements that are open, the innermost last.
    open: Vec<&'static str>,
    /// Whether there is a document around it.
    is_fragment: bool,
}

impl Writer {
    fn write(mut self, html: &str, ends: impl Fn(&StartTag<()>) -> bool) -> String {
        let mut hidden = Hidden::default();
        for token in tokens(html) {
            if hidden.hides(&token) {
                continue;
            }
            match token {
                Token::StartTag(tag) if ends(&tag) => break,
                Token::StartTag(tag) => self.open(&tag),
                Token::EndTag(tag) => self.close(&tag.name),
                Token::String(text) => escape_into(&mut self.out, &String::from_utf8_lossy(&text)),
                Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
            }
        }
        while let Some(name) = self.open.pop() {
            self.write_end(name);
        }
        self.out
    }

    fn open(&mut self, tag: &StartTag<()>) {
        let Some(name) = policy::element(&tag.name) else {
            return;
        };
        if self.is_fragment && matches!(name, "html" | "head" | "body") {
            return;
        }
        if policy::is_block(name) && self.open.last() == Some(&"p") {
            self.close(b"p");
        }
        if self.open.len() == limits::HTML_DEPTH {
            return;
        }
        self.out.push('<');
        self.out.push_str(name);
        for (attribute, value) in &tag.attributes {
            let value = String::from_utf8_lossy(value);
            self.write_attribute(name, attribute, &value);
        }
        self.out.push('>');
        if !policy::is_void(name) {
            self.open.push(name);
        }
    }

    fn write_attribute(&mut self, element: &str, name: &[u8], value: &str) {
        let url = match (element, name) {
            ("a", b"href") => policy::link_url(value).map(|url| ("href", url)),
            ("img", b"src") => policy::image_url(value).map(|url| ("src", url)),
            ("body" | "table" | "td" | "th" | "tr", b"background") => {
                policy::image_url(value).map(|url| ("background", url))
            }
            (_, b"style") => style::filter(value).map(|style| ("style", style)),
            (_, name) => policy::attribute(name).map(|name| (name, value.to_owned())),
        };
        if let Some((name, value)) = url {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("=\"");
            escape_into(&mut self.out, &value);
            self.out.push('"');
            if name == "href" {
                self.out.push_str(" rel=\"noopener noreferrer\"");
            }
        }
    }

    /// Closes the innermost element of a name, and those within it.
    fn close(&mut self, name: &[u8]) {
        let Some(at) = self.open.iter().rposition(|open| open.as_bytes() == name) else {
            return;
        };
        for name in self.open.split_off(at).into_iter().rev() {
            self.write_end(name);
        }
    }

    fn write_end(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }
}
