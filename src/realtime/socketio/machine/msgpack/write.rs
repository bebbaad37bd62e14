//! JSON to MessagePack, without a tree in between where there are no attachments.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// Writes one JSON value; what is no JSON is nothing.
pub fn json(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    if !attachments.is_empty() {
        match serde_json::from_str(json) {
            Ok(found) => value(out, &found, attachments),
            Err(_) => out.push(0xc0),
        }
        return;
    }
    let start = out.len();
    if MsgpackWriter(out).deserialize(&mut serde_json::Deserializer::from_str(json)).is_err() {
        out.truncate(start);
        out.push(0xc0);
    }
}

fn value(out: &mut Vec<u8>, found: &Value, attachments: &[Bytes]) {
    match found {
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
            binary(out, number.and_then(|number| attachments.get(number)).map_or(&[], |bytes| bytes));
        }
        Value::Object(fields) => {
            length(out, fields.len(), 0x80, 0xde);
            for (key, item) in fields {
                string(out, key);
                value(out, item, attachments);
            }
        }
        Value::Array(items) => {
            length(out, items.len(), 0x90, 0xdc);
            items.iter().for_each(|item| value(out, item, attachments));
        }
        Value::String(text) => string(out, text),
        Value::Null => out.push(0xc0),
        Value::Bool(is) => out.push(0xc2 + u8::from(*is)),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => unsigned(out, number),
            (_, Some(number)) => signed(out, number),
            _ => float(out, number.as_f64().unwrap_or_default()),
        },
    }
}

/// The head of an array or a map.
fn length(out: &mut Vec<u8>, length: usize, few: u8, many: u8) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length), _) if length < 16 => out.push(few + length),
        (_, Ok(length)) => {
            out.push(many);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(many + 1);
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

pub fn string(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < 32 => out.push(0xa0 + length),
        Ok(length) => out.extend([0xd9, length]),
        Err(_) => wide(out, text.len(), 0xda),
    }
    out.extend_from_slice(text.as_bytes());
}

fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(length) => out.extend([0xc4, length]),
        Err(_) => wide(out, bytes.len(), 0xc5),
    }
    out.extend_from_slice(bytes);
}

/// A length of two bytes after `two`, or of four after its successor.
fn wide(out: &mut Vec<u8>, length: usize, two: u8) {
    match u16::try_from(length) {
        Ok(length) => {
            out.push(two);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(two + 1);
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

pub fn unsigned(out: &mut Vec<u8>, number: u64) {
    match (u8::try_from(number), u16::try_from(number), u32::try_from(number)) {
        (Ok(number), ..) if number < 0x80 => out.push(number),
        (Ok(number), ..) => out.extend([0xcc, number]),
        (_, Ok(number), _) => {
            out.push(0xcd);
            out.extend(number.to_be_bytes());
        }
        (.., Ok(number)) => {
            out.push(0xce);
            out.extend(number.to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend(number.to_be_bytes());
        }
    }
}

fn signed(out: &mut Vec<u8>, number: i64) {
    if let Ok(number) = u64::try_from(number) {
        return unsigned(out, number);
    }
    match (i8::try_from(number), i16::try_from(number), i32::try_from(number)) {
        (Ok(number), ..) if number >= -32 => out.extend(number.to_be_bytes()),
        (Ok(number), ..) => {
            out.push(0xd0);
            out.extend(number.to_be_bytes());
        }
        (_, Ok(number), _) => {
            out.push(0xd1);
            out.extend(number.to_be_bytes());
        }
        (.., Ok(number)) => {
            out.push(0xd2);
            out.extend(number.to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(number.to_be_bytes());
        }
    }
}

fn float(out: &mut Vec<u8>, number: f64) {
    out.push(0xcb);
    out.extend(number.to_be_bytes());
}

/// Writes what it is given to read.
struct MsgpackWriter<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for MsgpackWriter<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MsgpackWriter<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.0.push(0xc0);
        Ok(())
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        self.0.push(0xc2 + u8::from(is));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        unsigned(self.0, number);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        signed(self.0, number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        float(self.0, number);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        string(self.0, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let start = self.0.len();
        self.0.push(0x90);
        let mut count = 0;
        while items.next_element_seed(MsgpackWriter(&mut *self.0))?.is_some() {
            count += 1;
        }
        counted(self.0, start, count, 0x90, 0xdc);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let start = self.0.len();
        self.0.push(0x80);
        let mut count = 0;
        while fields.next_key_seed(MsgpackWriter(&mut *self.0))?.is_some() {
            fields.next_value_seed(MsgpackWriter(&mut *self.0))?;
            count += 1;
        }
        counted(self.0, start, count, 0x80, 0xde);
        Ok(())
    }
}

/// Writes the head at `start`, where a byte was left for it, now that it is known how many came.
fn counted(out: &mut Vec<u8>, start: usize, count: usize, few: u8, many: u8) {
    let mut head = Vec::with_capacity(5);
    length(&mut head, count, few, many);
    out.splice(start..=start, head);
}
