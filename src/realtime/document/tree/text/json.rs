//! Texts and their changes as JSON. Half a surrogate pair is written as its escape.

use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::values;
use super::super::write::{put_number, put_raw, quote};
use super::{Attributes, Segment, TextOp};

/// The segments of a text: `[[text, attributes?], …]`.
///
/// # Errors
/// What is wrong.
pub fn read_segments(json: &str) -> Result<Vec<Segment>, String> {
    let all: Vec<Vec<&RawValue>> = serde_json::from_str(json).map_err(|error| format!("a text: {error}"))?;
    let read = |parts: Vec<&RawValue>| {
        let Units(text) = match parts.first() {
            Some(text) => serde_json::from_str(text.get()).map_err(|error| format!("a text: {error}"))?,
            None => return Err("a segment has no text".to_owned()),
        };
        let attributes = match parts.get(1).map(|part| part.get()) {
            None | Some("null") => Attributes::new(),
            Some(json) => values::read(json)?.into_iter().collect(),
        };
        Ok(Segment { text, attributes })
    };
    all.into_iter().map(read).collect()
}

/// The same, written.
pub fn write_segments(segments: &[Segment]) -> String {
    let mut out = String::from("[");
    for (place, segment) in segments.iter().enumerate() {
        out.push_str(if place > 0 { ",[" } else { "[" });
        quote_units(&mut out, &segment.text);
        if !segment.attributes.is_empty() {
            out.push(',');
            out.push_str(&object(&segment.attributes));
        }
        out.push(']');
    }
    out.push(']');
    out
}

/// A place behind the end of any text, with room to count on from.
const FARTHEST: usize = 1 << 30;

/// A text of JSON in units of UTF-16. Half a surrogate pair is one of them: it is what is left of a pair that was cut.
struct Units(Vec<u16>);

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Units, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Units;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a text")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Units, E> {
                Ok(Units(text.encode_utf16().collect()))
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Units, E> {
                units(bytes).map(Units).ok_or_else(|| E::custom("a text is not UTF-8"))
            }
        }
        // As bytes the reader gives halves of pairs too, each in three.
        deserializer.deserialize_bytes(Visitor)
    }
}

fn units(mut bytes: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(bytes.len());
    while !bytes.is_empty() {
        if let [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, behind @ ..] = bytes {
            units.push(0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F));
            bytes = behind;
            continue;
        }
        let whole = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).ok().filter(|text| !text.is_empty())?,
        };
        units.extend(whole.encode_utf16());
        bytes = &bytes[whole.len()..];
    }
    Some(units)
}

#[derive(Deserialize)]
struct Read<'a> {
    r#type: &'a str,
    index: usize,
    text: Option<Units>,
    length: Option<usize>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
}

/// The changes of a text.
///
/// # Errors
/// What is wrong.
pub fn read_ops(json: &str) -> Result<Vec<TextOp>, String> {
    let all: Vec<Read<'_>> = serde_json::from_str(json).map_err(|error| format!("ops: {error}"))?;
    let read = |read: Read<'_>| {
        let attributes = match read.attributes.map(RawValue::get) {
            None | Some("null") => Attributes::new(),
            Some(json) => values::read(json)?.into_iter().collect(),
        };
        let index = read.index.min(FARTHEST);
        let length = read.length.map(|length| length.min(FARTHEST)).ok_or("a length is missing");
        match read.r#type {
            "insert" => {
                let Units(text) = read.text.ok_or("an insert has no text")?;
                Ok(TextOp::Insert { index, text, attributes })
            }
            "delete" => Ok(TextOp::Delete { index, length: length? }),
            "format" => Ok(TextOp::Format { index, length: length?, attributes }),
            other => Err(format!("there is no change {other:?} of a text")),
        }
    };
    all.into_iter().map(read).collect()
}

/// The same, written.
pub fn write_ops(ops: &[TextOp]) -> String {
    let mut out = String::from("[");
    for (place, op) in ops.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        match op {
            TextOp::Insert { index, text, attributes } => {
                out.push_str(r#"{"type":"insert""#);
                put_number(&mut out, "index", *index as u64);
                put_raw(&mut out, "text", "");
                quote_units(&mut out, text);
                if !attributes.is_empty() {
                    put_raw(&mut out, "attributes", &object(attributes));
                }
            }
            TextOp::Delete { index, length } => {
                out.push_str(r#"{"type":"delete""#);
                put_number(&mut out, "index", *index as u64);
                put_number(&mut out, "length", *length as u64);
            }
            TextOp::Format { index, length, attributes } => {
                out.push_str(r#"{"type":"format""#);
                put_number(&mut out, "index", *index as u64);
                put_number(&mut out, "length", *length as u64);
                put_raw(&mut out, "attributes", &object(attributes));
            }
        }
        out.push('}');
    }
    out.push(']');
    out
}

fn object(attributes: &Attributes) -> String {
    let mut out = String::from("{");
    for (key, value) in attributes {
        put_raw(&mut out, key, value);
    }
    out.push('}');
    out
}

fn quote_units(out: &mut String, units: &[u16]) {
    if let Ok(text) = String::from_utf16(units) {
        return quote(out, &text);
    }
    out.push('"');
    for char in char::decode_utf16(units.iter().copied()) {
        match char {
            Ok(char) => {
                let mut quoted = String::new();
                quote(&mut quoted, char.encode_utf8(&mut [0; 4]));
                out.push_str(&quoted[1..quoted.len() - 1]);
            }
            Err(half) => {
                let _ = write!(out, "\\u{:04x}", half.unpaired_surrogate());
            }
        }
    }
    out.push('"');
}
