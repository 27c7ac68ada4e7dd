//! XML as it is written: whatever the values are, they stay values.

/// A document in the making. Elements are closed in the order in which they were opened.
#[derive(Debug)]
pub(super) struct Xml {
    text: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// With its declaration.
    pub(super) fn new() -> Self {
        Self {
            text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
            open: Vec::new(),
        }
    }

    /// With a document type as well; it is ours, and names no entities.
    pub(super) fn with_document_type(document_type: &'static str) -> Self {
        let mut xml = Self::new();
        xml.text.push_str(document_type);
        xml.text.push('\n');
        xml
    }

    /// Opens an element.
    pub(super) fn open(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.begin(name, attributes);
        self.text.push_str(">\n");
        self.open.push(name);
    }

    /// Closes the element that was opened last.
    pub(super) fn close(&mut self) {
        let name = self.open.pop().expect("an element is open");
        self.indent();
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push_str(">\n");
    }

    /// An element with a text and nothing else.
    pub(super) fn leaf(&mut self, name: &'static str, value: &str) {
        self.begin(name, &[]);
        self.text.push('>');
        self.escape(value);
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push_str(">\n");
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &'static str) {
        self.begin(name, &[]);
        self.text.push_str("/>\n");
    }

    /// The document.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn begin(&mut self, name: &'static str, attributes: &[(&'static str, &str)]) {
        self.indent();
        self.text.push('<');
        self.text.push_str(name);
        for (name, value) in attributes {
            self.text.push(' ');
            self.text.push_str(name);
            self.text.push_str("=\"");
            self.escape(value);
            self.text.push('"');
        }
    }

    fn indent(&mut self) {
        let blanks = 2 * self.open.len();
        self.text.extend(std::iter::repeat_n(' ', blanks));
    }

    /// Characters that XML 1.0 can't carry are left out (§2.2).
    fn escape(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '&' => self.text.push_str("&amp;"),
                '"' => self.text.push_str("&quot;"),
                '\'' => self.text.push_str("&apos;"),
                '\u{fffe}' | '\u{ffff}' => {}
                c if c.is_control() => {}
                c => self.text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::{Reader, events::Event};

    use super::*;

    #[test]
    fn elements_are_closed_in_order() {
        let mut xml = Xml::new();
        xml.open("a", &[("x", "1 < 2")]);
        xml.leaf("b", "R&D");
        xml.empty("c");
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <a x=\"1 &lt; 2\">\n  <b>R&amp;D</b>\n  <c/>\n</a>\n";
        assert_eq!(xml.finish(), expected);
    }

    proptest! {
        #[test]
        fn value_is_never_markup(
            value in "[<>&\"' a-c/!\\[\\]\u{0}-\u{1f}\u{fffe}-]{0,30}|.{0,20}",
        ) {
            let mut xml = Xml::new();
            xml.open("a", &[("x", &value)]);
            xml.leaf("b", &value);
            let text = xml.finish();
            let mut reader = Reader::from_str(&text);
            let mut names = Vec::new();
            loop {
                match reader.read_event().unwrap() {
                    Event::Start(start) => names.push(start.local_name().as_ref().to_owned()),
                    Event::Eof => break,
                    Event::End(_) | Event::Text(_) | Event::GeneralRef(_) | Event::Decl(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            prop_assert_eq!(names, ["a", "b"]);
        }
    }
}
