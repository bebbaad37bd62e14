//! The data of a message and the stack of its encodings, of which only the last `base64` is ours to undo.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

use super::Format;
use super::error::AblyError;
use crate::realtime::vocabulary::Payload;

/// Data as it travels: text, or bytes in MessagePack.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Text(String),
    Bytes(Bytes),
    /// Neither: JSON travels as text. Refused.
    Other,
}

impl Data {
    /// In bytes.
    pub fn size(&self) -> usize {
        match self {
            Data::Text(text) => text.len(),
            Data::Bytes(bytes) => bytes.len(),
            Data::Other => 0,
        }
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Data::Text(text) => serializer.serialize_str(text),
            Data::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Data::Other => serializer.serialize_unit(),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Data, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

struct DataVisitor;

impl<'de> Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("text or bytes")
    }

    fn visit_str<E>(self, text: &str) -> Result<Data, E> {
        Ok(Data::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Data, E> {
        Ok(Data::Text(text))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Data, E> {
        Ok(Data::Bytes(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Data, E> {
        Ok(Data::Bytes(bytes.into()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Data, E> {
        Ok(Data::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Data, E> {
        Err(E::custom("data is null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Data, A::Error> {
        while items.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Data::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Data, A::Error> {
        while fields.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
        Ok(Data::Other)
    }
}

/// What the hub takes of data that came: its payload, and what is left of the encodings for who reads it.
///
/// # Errors
/// 40013: neither text nor bytes, or no base64 where it says so.
pub fn payload(data: Option<Data>, encoding: Option<String>) -> Result<(Payload, Option<String>), AblyError> {
    let encoding = encoding.filter(|encoding| !encoding.is_empty());
    let wrong = |what: &'static str| AblyError::new(40013, 400, what);
    let (data, encoding) = match (data, encoding) {
        (None, encoding) => return Ok((Payload::Text("".into()), encoding)),
        (Some(Data::Other), _) => {
            return Err(wrong("Invalid message data: it is neither text nor bytes (JSON travels as text)"));
        }
        (Some(Data::Text(text)), Some(encoding)) if encoding == "base64" || encoding.ends_with("/base64") => {
            let bytes = STANDARD.decode(&text).map_err(|_| wrong("Invalid message data: it is not base64"))?;
            let rest = encoding.trim_end_matches("base64").trim_end_matches('/');
            (Data::Bytes(bytes.into()), (!rest.is_empty()).then(|| rest.to_owned()))
        }
        (Some(data), encoding) => (data, encoding),
    };
    Ok(match (data, encoding.as_deref()) {
        (Data::Text(text), Some("json")) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => {
            (Payload::Json(text.into()), None)
        }
        (Data::Bytes(bytes), _) => (Payload::Binary(bytes), encoding),
        (Data::Text(text), _) => (Payload::Text(text.into()), encoding),
        (Data::Other, _) => return Err(wrong("Invalid message data")),
    })
}

/// The same payload as data and encodings, for who reads `format`.
pub fn shown(payload: &Payload, encoding: Option<&str>, format: Format) -> (Data, Option<String>) {
    let stacked = |last: &str| Some(encoding.map_or(last.to_owned(), |encoding| format!("{encoding}/{last}")));
    match payload {
        Payload::Text(text) => (Data::Text(text.to_string()), encoding.map(str::to_owned)),
        Payload::Json(text) => (Data::Text(text.to_string()), stacked("json")),
        Payload::Binary(bytes) if format == Format::Json => (Data::Text(STANDARD.encode(bytes)), stacked("base64")),
        Payload::Binary(bytes) => (Data::Bytes(bytes.clone()), encoding.map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_base64_is_undone() {
        let text = |text: &str| Some(Data::Text(text.into()));
        let read = |data, encoding: &str| payload(data, Some(encoding.to_owned()));
        assert_eq!(payload(text("a"), None), Ok((Payload::Text("a".into()), None)));
        assert_eq!(read(text("[1]"), "json"), Ok((Payload::Json("[1]".into()), None)));
        assert_eq!(read(text("[1"), "json"), Ok((Payload::Text("[1".into()), Some("json".into()))));
        assert_eq!(read(text("aGk="), "base64"), Ok((Payload::Binary("hi".into()), None)));
        let sealed = Some("json/utf-8/cipher+aes-256-cbc".to_owned());
        assert_eq!(
            read(text("aGk="), "json/utf-8/cipher+aes-256-cbc/base64"),
            Ok((Payload::Binary("hi".into()), sealed.clone()))
        );
        assert_eq!(read(text("!"), "base64").unwrap_err().code, 40013);
        assert_eq!(payload(Some(Data::Other), None).unwrap_err().code, 40013);
        let bytes = Payload::Binary("hi".into());
        assert_eq!(shown(&bytes, None, Format::Json), (Data::Text("aGk=".into()), Some("base64".into())));
        assert_eq!(shown(&bytes, None, Format::Msgpack), (Data::Bytes("hi".into()), None));
        let (data, encoding) = shown(&bytes, sealed.as_deref(), Format::Json);
        assert_eq!(payload(Some(data), encoding), Ok((bytes, sealed)));
    }

    #[test]
    fn anything_else_is_known_for_what_it_is() {
        for json in ["1", "-1", "1.5", "true", "[1,{}]", "{\"a\":[]}"] {
            assert_eq!(Format::Json.read::<Data>(json.as_bytes()), Ok(Data::Other), "{json}");
        }
        assert_eq!(Format::Json.read::<Option<Data>>(b"null"), Ok(None));
        let bytes = Format::Msgpack.bytes(&Data::Bytes("x".into()));
        assert_eq!(Format::Msgpack.read::<Data>(&bytes), Ok(Data::Bytes("x".into())));
    }
}
