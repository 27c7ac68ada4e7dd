//! JSON of which there is much: a page has up to a thousand messages of thirty properties each.
//!
//! What is put together as a value first, or written by way of `Serialize`, has each byte of each
//! name looked at on its own. Here names are those of properties, which need no escape, and of a
//! text it is seen many bytes at a time whether it does. What does is left to serde_json.

use serde::Serialize;

/// Writes an object, property by property.
#[derive(Debug)]
pub struct ObjectWriter<'o> {
    json: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> ObjectWriter<'o> {
    /// Begins an object at the end of this.
    pub fn begin(json: &'o mut Vec<u8>) -> Self {
        json.push(b'{');
        let is_empty = true;
        Self { json, is_empty }
    }

    // Where it is inline, a name's length is known, and its bytes are stores instead of a copy.
    #[inline]
    fn name(&mut self, name: &'static str) {
        if !self.is_empty {
            self.json.push(b',');
        }
        self.is_empty = false;
        self.json.push(b'"');
        self.json.extend_from_slice(name.as_bytes());
        self.json.extend_from_slice(b"\":");
    }

    /// A property that is a text.
    #[inline]
    pub fn text(&mut self, name: &'static str, text: &str) {
        self.name(name);
        write_text(self.json, text);
    }

    /// A property that is a text of letters, digits, and marks that need no escape.
    #[inline]
    pub fn plain(&mut self, name: &'static str, text: &str) {
        self.name(name);
        write_plain(self.json, text);
    }

    /// A property that is a text, or null.
    pub fn optional_text(&mut self, name: &'static str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.value(name, &()),
        }
    }

    /// Any other property.
    pub fn value(&mut self, name: &'static str, value: &impl Serialize) {
        self.name(name);
        serde_json::to_writer(&mut *self.json, value).expect("texts and numbers are JSON");
    }

    /// A property that is an object.
    pub fn object(&mut self, name: &'static str, write: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.name(name);
        write_object(self.json, write);
    }

    /// A property that is a list of objects.
    pub fn objects<T>(
        &mut self,
        name: &'static str,
        items: &[T],
        write: impl Fn(&mut ObjectWriter<'_>, &T),
    ) {
        self.name(name);
        self.json.push(b'[');
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.json.push(b',');
            }
            write_object(self.json, |object| write(object, item));
        }
        self.json.push(b']');
    }

    /// A property that is a list.
    pub fn array(&mut self, name: &'static str, array: &ArrayWriter) {
        self.name(name);
        self.json.reserve(array.json.len() + 3);
        self.json.push(b'[');
        self.json.extend_from_slice(&array.json);
        self.json.push(b']');
    }

    /// Ends the object.
    pub fn end(self) {
        self.json.push(b'}');
    }
}

/// Writes a list, item by item.
#[derive(Debug, Default)]
pub struct ArrayWriter {
    json: Vec<u8>,
    items: usize,
}

impl ArrayWriter {
    /// A list of these.
    pub fn of(values: impl IntoIterator<Item: Serialize>) -> Self {
        let mut array = Self::default();
        for value in values {
            array.item(|json| {
                serde_json::to_writer(json, &value).expect("texts and numbers are JSON");
            });
        }
        array
    }

    /// Adds an item, which is written to the end of what is given.
    pub fn item(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.items > 0 {
            self.json.push(b',');
        }
        self.items += 1;
        write(&mut self.json);
    }

    /// How many there are.
    pub fn items(&self) -> usize {
        self.items
    }
}

fn write_object(json: &mut Vec<u8>, write: impl FnOnce(&mut ObjectWriter<'_>)) {
    let mut object = ObjectWriter::begin(json);
    write(&mut object);
    object.end();
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    if needs_escape(text) {
        return serde_json::to_writer(json, text).expect("a text is JSON");
    }
    write_plain(json, text);
}

fn write_plain(json: &mut Vec<u8>, text: &str) {
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

/// RFC 8259 §7. It does not stop at the first one, so that many bytes are compared at once.
fn needs_escape(text: &str) -> bool {
    let needs = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    text.bytes().fold(false, |found, byte| found | needs(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(texts: &[String]) -> Value {
        let (mut json, mut array) = (Vec::new(), ArrayWriter::default());
        for text in texts {
            array.item(|json| {
                let mut object = ObjectWriter::begin(json);
                object.text("text", text);
                object.value("length", &text.len());
                object.plain("plain", "1-a");
                object.optional_text("some", Some(text));
                object.optional_text("none", None);
                object.object("object", |object| object.text("text", text));
                object.objects("objects", texts, |object, text| object.text("text", text));
                object.end();
            });
        }
        assert_eq!(array.items(), texts.len());
        let mut object = ObjectWriter::begin(&mut json);
        object.array("value", &array);
        object.end();
        serde_json::from_slice(&json).unwrap()
    }

    fn expected(texts: &[String]) -> Value {
        let items = texts.iter().map(|text| {
            let object = |text: &String| json!({"text": text});
            let objects: Vec<Value> = texts.iter().map(object).collect();
            let (length, object) = (text.len(), object(text));
            json!({
                "text": text, "length": length, "plain": "1-a", "some": text, "none": null,
                "object": object, "objects": objects,
            })
        });
        json!({"value": items.collect::<Vec<_>>()})
    }

    #[test]
    fn what_needs_an_escape_has_one() {
        let texts: Vec<String> = ('\0'..='\u{ff}').map(|code| format!("a{code}b")).collect();
        assert_eq!(written(&texts), expected(&texts));
        assert_eq!(written(&[]), expected(&[]));
        let all = ArrayWriter::of(&texts);
        assert_eq!(all.items(), texts.len());
    }

    proptest! {
        #[test]
        fn texts_come_back_as_they_were(texts in proptest::collection::vec(".*", 0..5)) {
            prop_assert_eq!(written(&texts), expected(&texts));
        }
    }
}
