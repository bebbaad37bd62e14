//! JSON by hand: what is written is small, and much of it is JSON already.

use std::fmt::Write;

/// Text as JSON.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            char if u32::from(char) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
}

/// A member of an object, which is begun.
pub fn put_raw(out: &mut String, key: &str, json: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    quote(out, key);
    out.push(':');
    out.push_str(json);
}

/// The same, a text.
pub fn put_text(out: &mut String, key: &str, text: &str) {
    put_raw(out, key, "");
    quote(out, text);
}

/// The same, a number.
pub fn put_number(out: &mut String, key: &str, number: u64) {
    put_raw(out, key, "");
    let _ = write!(out, "{number}");
}
