//! MessagePack to JSON, with placeholders where bytes were. Nothing is trusted: lengths, depth and counts are checked
//! before anything is taken.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use super::super::packet::BadPacket;
use crate::realtime::msgpack::{Malformed, MsgpackItem, MsgpackReader};
use crate::realtime::vocabulary::Text;
use crate::realtime::vocabulary::json_writer::quote;

/// A packet as it came.
#[derive(Debug, Clone, PartialEq)]
pub struct MsgpackPacket {
    pub kind: u8,
    pub scope: Text,
    pub id: Option<u64>,
    /// JSON with placeholders for `attachments`.
    pub data: Option<Text>,
    pub attachments: Vec<Bytes>,
}

/// Reads one packet, nested at most `depth` deep with at most so many attachments.
///
/// # Errors
/// [`BadPacket`].
pub fn read(bytes: &[u8], depth: usize, most_attachments: usize) -> Result<MsgpackPacket, BadPacket> {
    let mut walk = Walk { reader: MsgpackReader::new(bytes), attachments: Vec::new(), most_attachments };
    let MsgpackItem::Map(fields) = walk.reader.item()? else { return Err(BadPacket::Msgpack) };
    let (mut kind, mut scope, mut id, mut data) = (None, None, None, None);
    for _ in 0..fields {
        let MsgpackItem::Text(key) = walk.reader.item()? else { return Err(BadPacket::Msgpack) };
        let mut value = String::new();
        let is_there = walk.value(&mut value, depth + 1)?;
        match key {
            "type" => kind = value.parse::<u8>().ok().filter(|kind| *kind <= 4),
            "nsp" => scope = serde_json::from_str::<String>(&value).ok(),
            "id" if is_there => id = number(&value)?,
            "data" if is_there => data = Some(Text::from(value)),
            _ => {}
        }
    }
    if !walk.reader.is_done() {
        return Err(BadPacket::Msgpack);
    }
    let kind = kind.ok_or(BadPacket::PacketKind)?;
    let scope = Text::from(scope.ok_or(BadPacket::Payload)?);
    Ok(MsgpackPacket { kind, scope, id, data, attachments: walk.attachments })
}

/// A packet's id: any whole number, as for the JavaScript library. None of one that no client counts to: nothing answers it.
fn number(json: &str) -> Result<Option<u64>, BadPacket> {
    let id = json.parse::<u64>().ok();
    let is_whole = id.is_some() || json.parse::<f64>().is_ok_and(|number| number.fract() == 0.0);
    if is_whole { Ok(id) } else { Err(BadPacket::Id) }
}

/// Turns items into JSON.
struct Walk<'a> {
    reader: MsgpackReader<'a>,
    attachments: Vec<Bytes>,
    most_attachments: usize,
}

impl Walk<'_> {
    /// Writes the next value as JSON; false where it is JavaScript's `undefined`, which JSON writes as null.
    fn value(&mut self, out: &mut String, depth: usize) -> Result<bool, BadPacket> {
        let depth = depth.checked_sub(1).ok_or(BadPacket::Nesting)?;
        match self.reader.item()? {
            MsgpackItem::Nil => out.push_str("null"),
            MsgpackItem::Bool(is) => show(out, is),
            MsgpackItem::Unsigned(number) => show(out, number),
            MsgpackItem::Signed(number) => show(out, number),
            MsgpackItem::Float(number) => float(out, number),
            MsgpackItem::Text(text) => quote(out, text),
            MsgpackItem::Binary(bytes) => self.attach(out, bytes)?,
            MsgpackItem::Array(length) => self.array(out, length, depth)?,
            MsgpackItem::Map(length) => self.map(out, length, depth)?,
            // As `notepack.io` writes what MessagePack has no format for: `undefined`, dates, array buffers.
            MsgpackItem::Extension { kind: 0, data: [0], is_fixed: true } => {
                out.push_str("null");
                return Ok(false);
            }
            MsgpackItem::Extension { kind: 0, data: [_], is_fixed: true } => return Err(BadPacket::Msgpack),
            MsgpackItem::Extension { kind: 0, data, is_fixed: true } if let Ok(ms) = data.try_into() => {
                date(out, i64::from_be_bytes(ms));
            }
            MsgpackItem::Extension { kind: 0, data, .. } => self.attach(out, data)?,
            MsgpackItem::Extension { .. } => return Err(BadPacket::Msgpack),
        }
        Ok(true)
    }

    /// Each item takes a byte at least: a length that is a lie ends when the bytes do.
    fn array(&mut self, out: &mut String, length: usize, depth: usize) -> Result<(), BadPacket> {
        out.push('[');
        for index in 0..length {
            if index > 0 {
                out.push(',');
            }
            self.value(out, depth)?;
        }
        out.push(']');
        Ok(())
    }

    fn map(&mut self, out: &mut String, length: usize, depth: usize) -> Result<(), BadPacket> {
        out.push('{');
        let mut is_first = true;
        for _ in 0..length {
            let before = out.len();
            if !is_first {
                out.push(',');
            }
            let MsgpackItem::Text(key) = self.reader.item()? else { return Err(BadPacket::Msgpack) };
            quote(out, key);
            out.push(':');
            if self.value(out, depth)? {
                is_first = false;
            } else {
                // As JSON.stringify does.
                out.truncate(before);
            }
        }
        out.push('}');
        Ok(())
    }

    fn attach(&mut self, out: &mut String, bytes: &[u8]) -> Result<(), BadPacket> {
        if self.attachments.len() == self.most_attachments {
            return Err(BadPacket::TooManyAttachments);
        }
        let _ = write!(out, "{{\"_placeholder\":true,\"num\":{}}}", self.attachments.len());
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }
}

impl From<Malformed> for BadPacket {
    fn from(_: Malformed) -> BadPacket {
        BadPacket::Msgpack
    }
}

/// A date, from milliseconds since 1970.
fn date(out: &mut String, ms: i64) {
    let date = u64::try_from(ms).ok().and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    // The year 9999 is the last that such a text can name.
    match date.filter(|_| ms < 253_402_300_800_000) {
        Some(date) => {
            let _ = write!(out, "\"{}\"", humantime::format_rfc3339_millis(date));
        }
        None => out.push_str("null"),
    }
}

fn show(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

/// As JSON.stringify writes it, but for how it is rounded, which means the same.
fn float(out: &mut String, number: f64) {
    if number.is_finite() {
        out.push_str(
            serde_json::Number::from_f64(number).map_or_else(|| "null".to_owned(), |n| n.to_string()).as_str(),
        );
    } else {
        out.push_str("null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<MsgpackPacket, BadPacket> {
        read(bytes, 4, 2)
    }

    /// `{type: 2, nsp: "/", data: DATA}`.
    fn event(data: &[u8]) -> Result<Option<String>, BadPacket> {
        let bytes = [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat();
        of(&bytes).map(|decoded| decoded.data.map(|data| data.to_string()))
    }

    #[test]
    fn what_the_javascript_library_writes_is_read() {
        let json = |data: &[u8]| event(data).unwrap().unwrap();
        assert_eq!(json(b"\x92\xa1a\xd4\x00\x00"), "[\"a\",null]", "undefined");
        assert_eq!(json(b"\x91\x82\xa1a\xd4\x00\x00\xa1b\x01"), "[{\"b\":1}]", "undefined in an object");
        assert_eq!(json(b"\x91\xd7\x00\x00\x00\x01\x8b\xcf\xe5\x68\x00"), "[\"2023-11-14T22:13:20.000Z\"]", "a date");
        assert_eq!(json(b"\x91\xc7\x02\x00xy"), "[{\"_placeholder\":true,\"num\":0}]", "an array buffer");
        assert_eq!(json(b"\x91\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), "[null]", "infinity");
        assert_eq!(json(b"\x93\xd0\x80\xd1\xff\x00\xff"), "[-128,-256,-1]");
        assert_eq!(event(b"\xd4\x00\x00"), Ok(None));
    }

    #[test]
    fn lies_and_excesses_are_refused() {
        assert_eq!(event(b"\x92\xa1a"), Err(BadPacket::Msgpack), "cut short");
        assert_eq!(event(b"\xdd\xff\xff\xff\xff"), Err(BadPacket::Msgpack), "an array as long as can be");
        assert_eq!(event(b"\xdb\xff\xff\xff\xffa"), Err(BadPacket::Msgpack), "a string as long as can be");
        assert_eq!(event(b"\xc1"), Err(BadPacket::Msgpack));
        assert_eq!(event(b"\x91\xa1\xff"), Err(BadPacket::Msgpack), "not UTF-8");
        assert_eq!(event(b"\x90\x90"), Err(BadPacket::Msgpack), "more than a packet");
        assert_eq!(event(b"\x91\x91\x91\x91\x91\x90"), Err(BadPacket::Nesting));
        assert_eq!(event(b"\x93\xc4\x00\xc4\x00\xc4\x00"), Err(BadPacket::TooManyAttachments));
        assert_eq!(of(b"\x81\xa4type\x02"), Err(BadPacket::Payload), "no namespace");
        assert_eq!(of(b"\x82\xa4type\x05\xa3nsp\xa1/"), Err(BadPacket::PacketKind));
        assert_eq!(of(b""), Err(BadPacket::Msgpack));
        let with_id = |id: &[u8]| of(&[b"\x83\xa4type\x02\xa3nsp\xa1/\xa2id", id].concat()).map(|packet| packet.id);
        assert_eq!(with_id(b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00"), Err(BadPacket::Id), "a half");
        assert_eq!(with_id(b"\xa11"), Err(BadPacket::Id), "a text");
        assert_eq!(with_id(b"\xff"), Ok(None), "minus one");
        assert_eq!(with_id(b"\xcb\x44\x15\xaf\x1d\x78\xb5\x8c\x40"), Ok(None), "1e20");
        assert_eq!(with_id(b"\x07"), Ok(Some(7)));
    }
}
