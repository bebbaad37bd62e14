//! JSON to MessagePack, without a tree in between.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::write;

/// Writes one JSON value, read as JavaScript reads it; what is no JSON is nil.
pub fn transcode(out: &mut Vec<u8>, json: &str) {
    let start = out.len();
    let transcode = |out: &mut Vec<u8>, json: &str| {
        out.truncate(start);
        Transcoder(out).deserialize(&mut serde_json::Deserializer::from_str(json)).is_ok()
    };
    let is_written = transcode(out, json) || crate::json::tame(json).is_some_and(|tamed| transcode(out, &tamed));
    if !is_written {
        out.truncate(start);
        write::nil(out);
    }
}

/// Writes what it is given to read.
struct Transcoder<'a>(&'a mut Vec<u8>);

impl<'de> DeserializeSeed<'de> for Transcoder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Transcoder<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        write::nil(self.0);
        Ok(())
    }

    fn visit_bool<E>(self, is: bool) -> Result<(), E> {
        write::bool(self.0, is);
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        write::unsigned(self.0, number);
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        write::signed(self.0, number);
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        write::float(self.0, number);
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        write::text(self.0, text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let start = self.0.len();
        write::array(self.0, 0);
        let mut count = 0;
        while items.next_element_seed(Transcoder(&mut *self.0))?.is_some() {
            count += 1;
        }
        put_head(self.0, start, |head| write::array(head, count));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let start = self.0.len();
        write::map(self.0, 0);
        let mut count = 0;
        while fields.next_key_seed(Transcoder(&mut *self.0))?.is_some() {
            fields.next_value_seed(Transcoder(&mut *self.0))?;
            count += 1;
        }
        put_head(self.0, start, |head| write::map(head, count));
        Ok(())
    }
}

/// Writes the head at `start`, where a byte was left for it, now that it is known how many came.
fn put_head(out: &mut Vec<u8>, start: usize, head: impl Fn(&mut Vec<u8>)) {
    let mut bytes = Vec::with_capacity(5);
    head(&mut bytes);
    out.splice(start..=start, bytes);
}
