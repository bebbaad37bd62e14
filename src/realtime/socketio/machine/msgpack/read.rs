//! MessagePack to JSON, with placeholders where bytes were. Nothing is trusted: lengths, depth and counts are checked
//! before anything is taken.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;

use super::super::packet::BadPacket;
use super::super::write::quote;
use crate::realtime::vocabulary::Text;

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
pub fn read(bytes: &Bytes, depth: usize, most_attachments: usize) -> Result<MsgpackPacket, BadPacket> {
    let mut reader = MsgpackReader { bytes, at: 0, attachments: Vec::new(), most_attachments };
    let fields = reader.map_head()?.ok_or(BadPacket::Msgpack)?;
    let (mut kind, mut scope, mut id, mut data) = (None, None, None, None);
    for _ in 0..fields {
        let mut key = String::new();
        reader.key(&mut key)?;
        let mut value = String::new();
        let is_there = reader.value(&mut value, depth + 1)?;
        match key.as_str() {
            "type" => kind = value.parse::<u8>().ok().filter(|kind| *kind <= 4),
            "nsp" => scope = serde_json::from_str::<String>(&value).ok(),
            "id" if is_there => id = Some(value.parse::<u64>().map_err(|_| BadPacket::Id)?),
            "data" if is_there => data = Some(Text::from(value)),
            _ => {}
        }
    }
    if reader.at != bytes.len() {
        return Err(BadPacket::Msgpack);
    }
    let kind = kind.ok_or(BadPacket::PacketKind)?;
    let scope = Text::from(scope.ok_or(BadPacket::Payload)?);
    Ok(MsgpackPacket { kind, scope, id, data, attachments: reader.attachments })
}

struct MsgpackReader<'a> {
    bytes: &'a Bytes,
    at: usize,
    attachments: Vec<Bytes>,
    most_attachments: usize,
}

impl MsgpackReader<'_> {
    fn take(&mut self, length: usize) -> Result<&[u8], BadPacket> {
        let end = self.at.checked_add(length).ok_or(BadPacket::Msgpack)?;
        let taken = self.bytes.get(self.at..end).ok_or(BadPacket::Msgpack)?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, BadPacket> {
        Ok(self.take(1)?[0])
    }

    /// A big-endian number of so many bytes, at most eight.
    fn number(&mut self, width: usize) -> Result<u64, BadPacket> {
        Ok(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, width: usize) -> Result<usize, BadPacket> {
        usize::try_from(self.number(width)?).map_err(|_| BadPacket::Msgpack)
    }

    /// How many fields a map has; `None` for what is no map.
    fn map_head(&mut self) -> Result<Option<usize>, BadPacket> {
        Ok(match self.byte()? {
            head @ 0x80..=0x8f => Some(usize::from(head & 0x0f)),
            0xde => Some(self.length(2)?),
            0xdf => Some(self.length(4)?),
            _ => None,
        })
    }

    fn key(&mut self, out: &mut String) -> Result<(), BadPacket> {
        match self.byte()? {
            head @ 0xa0..=0xbf => out.push_str(self.text(usize::from(head & 0x1f))?),
            head @ 0xd9..=0xdb => {
                let length = self.length(1 << (head - 0xd9))?;
                out.push_str(self.text(length)?);
            }
            _ => return Err(BadPacket::Msgpack),
        }
        Ok(())
    }

    fn text(&mut self, length: usize) -> Result<&str, BadPacket> {
        std::str::from_utf8(self.take(length)?).map_err(|_| BadPacket::Msgpack)
    }

    /// Writes the next value as JSON; false where it is JavaScript's `undefined`, which JSON writes as null.
    fn value(&mut self, out: &mut String, depth: usize) -> Result<bool, BadPacket> {
        let depth = depth.checked_sub(1).ok_or(BadPacket::Nesting)?;
        let head = self.byte()?;
        match head {
            0x00..=0x7f => show(out, head),
            0xe0..=0xff => show(out, head.cast_signed()),
            0x80..=0x8f => self.map(out, usize::from(head & 0x0f), depth)?,
            0x90..=0x9f => self.array(out, usize::from(head & 0x0f), depth)?,
            0xa0..=0xbf => quote(out, self.text(usize::from(head & 0x1f))?),
            0xc0 => out.push_str("null"),
            0xc2 => out.push_str("false"),
            0xc3 => out.push_str("true"),
            0xc4..=0xc6 => {
                let length = self.length(1 << (head - 0xc4))?;
                self.attach(out, length)?;
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (head - 0xc7))?;
                self.extension(out, length, false)?;
            }
            0xca => {
                let bits = u32::try_from(self.number(4)?).unwrap_or_default();
                float(out, f64::from(f32::from_bits(bits)));
            }
            0xcb => float(out, f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => show(out, self.number(1 << (head - 0xcc))?),
            0xd0..=0xd3 => {
                let width = 1 << (head - 0xd0);
                let shift = 64 - 8 * u32::try_from(width).unwrap_or(8);
                show(out, (self.number(width)?.cast_signed() << shift) >> shift);
            }
            0xd4 => {
                // What `undefined` is there, and nothing else.
                if self.take(2)? != [0, 0] {
                    return Err(BadPacket::Msgpack);
                }
                out.push_str("null");
                return Ok(false);
            }
            0xd5..=0xd8 => self.extension(out, 1 << (head - 0xd4), head == 0xd7)?,
            0xd9..=0xdb => {
                let length = self.length(1 << (head - 0xd9))?;
                quote(out, self.text(length)?);
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (head - 0xdc))?;
                self.array(out, length, depth)?;
            }
            0xde | 0xdf => {
                let length = self.length(2 << (head - 0xde))?;
                self.map(out, length, depth)?;
            }
            0xc1 => return Err(BadPacket::Msgpack),
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
            let mut key = String::new();
            self.key(&mut key)?;
            quote(out, &key);
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

    fn attach(&mut self, out: &mut String, length: usize) -> Result<(), BadPacket> {
        if self.attachments.len() == self.most_attachments {
            return Err(BadPacket::TooManyAttachments);
        }
        let bytes = Bytes::copy_from_slice(self.take(length)?);
        let _ = write!(out, "{{\"_placeholder\":true,\"num\":{}}}", self.attachments.len());
        self.attachments.push(bytes);
        Ok(())
    }

    /// Of extensions there are dates and array buffers.
    fn extension(&mut self, out: &mut String, length: usize, is_date: bool) -> Result<(), BadPacket> {
        if self.byte()? != 0 {
            return Err(BadPacket::Msgpack);
        }
        if !is_date {
            return self.attach(out, length);
        }
        let ms = self.number(8)?.cast_signed();
        let date = u64::try_from(ms).ok().and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
        // The year 9999 is the last that such a text can name.
        match date.filter(|_| ms < 253_402_300_800_000) {
            Some(date) => {
                let _ = write!(out, "\"{}\"", humantime::format_rfc3339_millis(date));
            }
            None => out.push_str("null"),
        }
        Ok(())
    }
}

fn show(out: &mut String, number: impl std::fmt::Display) {
    let _ = write!(out, "{number}");
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
        read(&Bytes::copy_from_slice(bytes), 4, 2)
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
        assert_eq!(of(b"\x83\xa4type\x02\xa3nsp\xa1/\xa2id\xff"), Err(BadPacket::Id));
    }
}
