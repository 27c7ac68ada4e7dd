//! From HTML to text, and back.

use html5gum::{StartTag, Token};

use super::{Hidden, escape_into, is_shown, policy, tokens};
use crate::limits;

/// What is to be read of an HTML text, with its paragraphs and lists; links are followed by their
/// URL in angle brackets.
pub fn html_to_text(html: &str) -> String {
    let mut text = Text::default();
    let mut hidden = Hidden::default();
    for token in tokens(html) {
        if hidden.hides(&token) {
            continue;
        }
        match token {
            Token::StartTag(tag) => text.open(&tag),
            Token::EndTag(tag) => text.close(&tag.name),
            Token::String(piece) => text.write(&String::from_utf8_lossy(&piece)),
            Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
        }
    }
    text.out.truncate(text.out.trim_end().len());
    text.out
}

/// An HTML document that shows a text with its lines and blanks.
pub fn text_to_html(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(limits::HTML_BYTES)];
    let mut out = "<html><head></head><body>".to_owned();
    text_into_html(&mut out, text);
    out.push_str("</body></html>");
    out
}

/// The same without the document around it, behind what `out` has.
pub fn text_into_html(out: &mut String, text: &str) {
    let mut lines = text.lines();
    if let Some(first) = lines.next() {
        write_line(out, first);
    }
    for line in lines {
        out.push_str("<br>\r\n");
        write_line(out, line);
    }
}

/// A blank that begins a line or follows another would not be shown.
fn write_line(out: &mut String, line: &str) {
    let mut was_blank = true;
    let mut start = 0;
    for (index, _) in line.match_indices(' ') {
        escape_into(out, &line[start..index]);
        was_blank &= index == start;
        out.push_str(if was_blank { "&nbsp;" } else { " " });
        (was_blank, start) = (true, index + 1);
    }
    escape_into(out, &line[start..]);
}

#[derive(Debug, Default)]
struct Text {
    out: String,
    /// Newlines that come before the next word.
    newlines: usize,
    /// Whether a blank comes before it.
    blank: bool,
    /// Elements `pre` that are open.
    preformatted: usize,
    /// The URL of the link that is open, and where its text begins.
    link: Option<(String, usize)>,
}

impl Text {
    fn open(&mut self, tag: &StartTag<()>) {
        match &tag.name[..] {
            b"br" => self.newlines += 1,
            b"p" | b"blockquote" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => self.lines(2),
            b"pre" => {
                self.lines(1);
                self.preformatted += 1;
            }
            b"li" => {
                self.lines(1);
                self.word("*");
                self.blank = true;
            }
            b"tr" => self.lines(1),
            b"td" | b"th" => self.blank = true,
            b"hr" => {
                self.lines(1);
                self.word("________________________________");
                self.lines(1);
            }
            b"a" => {
                let url = tag.attributes.get(&b"href"[..]);
                let url = url.map(|url| String::from_utf8_lossy(url).into_owned());
                self.link = url.and_then(|url| policy::link_url(&url)).map(|url| {
                    let start = self.out.len();
                    (url, start)
                });
            }
            name if self.is_block(name) => self.lines(1),
            _ => {}
        }
    }

    fn close(&mut self, name: &[u8]) {
        match name {
            b"p" | b"blockquote" | b"ul" | b"ol" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5"
            | b"h6" => self.lines(2),
            b"pre" => {
                self.preformatted = self.preformatted.saturating_sub(1);
                self.lines(1);
            }
            b"a" => {
                if let Some((url, start)) = self.link.take() {
                    let bare = url.strip_prefix("mailto:").unwrap_or(&url);
                    let shown = self.out.get(start..).unwrap_or_default().trim();
                    if shown.trim_end_matches('/') != bare.trim_end_matches('/') {
                        self.blank = true;
                        self.word(&format!("<{url}>"));
                    }
                }
            }
            name if self.is_block(name) => self.lines(1),
            _ => {}
        }
    }

    fn is_block(&self, name: &[u8]) -> bool {
        policy::element(name).is_some_and(policy::is_block)
    }

    /// At least so many newlines before the next word, but at the beginning.
    fn lines(&mut self, count: usize) {
        self.newlines = self.newlines.max(count);
        self.blank = false;
    }

    fn write(&mut self, text: &str) {
        if self.preformatted > 0 {
            self.flush();
            self.out.extend(text.chars().filter(|c| is_shown(*c)));
            return;
        }
        let is_white = |c: char| c.is_ascii_whitespace();
        let mut is_first = true;
        for word in text.split(is_white) {
            self.blank |= !is_first;
            is_first = false;
            if !word.is_empty() {
                self.word(word);
            }
        }
    }

    /// White space that HTML does not fold is a blank in text.
    fn word(&mut self, word: &str) {
        self.flush();
        let shown = word.chars().filter(|c| !c.is_control());
        self.out
            .extend(shown.map(|c| if c == '\u{a0}' { ' ' } else { c }));
    }

    fn flush(&mut self) {
        let newlines = std::mem::take(&mut self.newlines);
        let blank = std::mem::take(&mut self.blank);
        if self.out.is_empty() {
            return;
        }
        match newlines {
            0 if blank && !self.out.ends_with(['\n', ' ']) => self.out.push(' '),
            0 => {}
            // Empty lines one after the other are one at most.
            newlines => {
                self.out.truncate(self.out.trim_end_matches(' ').len());
                self.out.extend(std::iter::repeat_n(
                    '\n',
                    newlines.min(limits::EMPTY_LINES + 1),
                ));
            }
        }
    }
}
