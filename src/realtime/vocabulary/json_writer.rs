//! JSON written straight into its text, where it is made for many: no tree in between.

use std::fmt::{Display, Write};

/// A JSON object, or an array in it, in the making.
#[derive(Debug)]
pub struct JsonWriter(String);

impl JsonWriter {
    /// An object, with room for `capacity` bytes.
    pub fn object(capacity: usize) -> JsonWriter {
        let mut text = String::with_capacity(capacity);
        text.push('{');
        JsonWriter(text)
    }

    /// The next field's name, which needs no escape.
    pub fn key(&mut self, key: &str) {
        self.separate();
        let _ = write!(self.0, "\"{key}\":");
    }

    /// The next field's name, whatever is in it.
    pub fn any_key(&mut self, key: &str) {
        self.separate();
        quote(&mut self.0, key);
        self.0.push(':');
    }

    /// A field of text.
    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        quote(&mut self.0, value);
    }

    /// A field of text that needs no escape.
    pub fn plain_text(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.0, "\"{value}\"");
    }

    /// A field of something that is its own JSON: a number, a truth value, or JSON as it stands.
    pub fn raw(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    /// A field whose value is JSON as it stands. Faster than [`raw`](JsonWriter::raw).
    pub fn json(&mut self, key: &str, value: &str) {
        self.key(key);
        self.0.push_str(value);
    }

    /// A field whose value is an object that `fill` writes.
    pub fn nested(&mut self, key: &str, fill: impl FnOnce(&mut JsonWriter)) {
        self.key(key);
        self.braced(fill);
    }

    /// A field whose value is a list; `item` writes each of `items` by the methods for list items.
    pub fn list<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, item: impl Fn(&mut JsonWriter, T)) {
        self.key(key);
        self.0.push('[');
        for value in items {
            self.separate();
            item(self, value);
        }
        self.0.push(']');
    }

    /// A list's item, or the value after a key: text.
    pub fn text_item(&mut self, value: &str) {
        quote(&mut self.0, value);
    }

    /// A list's item, or the value after a key: JSON as it stands.
    pub fn item(&mut self, value: &str) {
        self.0.push_str(value);
    }

    /// A list's item, or the value after a key: an object that `fill` writes.
    pub fn braced(&mut self, fill: impl FnOnce(&mut JsonWriter)) {
        self.0.push('{');
        fill(self);
        self.0.push('}');
    }

    /// The whole text.
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn separate(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }
}

/// Writes `text` as a JSON string.
pub fn quote(out: &mut String, text: &str) {
    let is_plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(is_plain) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        // A string always becomes JSON.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8 + 2);
    quote(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn objects_in_lists_in_objects() {
        let mut json = JsonWriter::object(0);
        json.text("a", "x\"\n");
        json.raw("n", 7);
        json.nested("o", |json| json.list("l", ["a", "b"], |json, text| json.text_item(text)));
        json.list("m", [1, 2], |json, number| json.braced(|json| json.raw("k", number)));
        json.any_key("\"");
        json.braced(|_| ());
        let read: Value = serde_json::from_str(&json.end()).unwrap();
        let expected =
            json!({ "a": "x\"\n", "n": 7, "o": { "l": ["a", "b"] }, "m": [{ "k": 1 }, { "k": 2 }], "\"": {} });
        assert_eq!(read, expected);
        assert_eq!(JsonWriter::object(0).end(), "{}");
    }

    proptest! {
        #[test]
        fn any_text_survives(text in any::<String>(), key in any::<String>()) {
            let mut json = JsonWriter::object(0);
            json.any_key(&key);
            json.text_item(&text);
            json.text("then", &text);
            let read: Value = serde_json::from_str(&json.end()).unwrap();
            if key != "then" {
                prop_assert_eq!(&read[&key], &text);
            }
            prop_assert_eq!(&read["then"], &text);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }
    }
}
