//! What travels: protocol messages, and what is in them, in JSON and in MessagePack.

pub mod annotation;
pub mod carried;
pub mod data;
pub mod encode;
pub mod error;
pub mod list;
pub mod message;
pub mod occupancy;
pub mod presence;
pub mod protocol;
pub mod serial;
pub mod stream;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::realtime::vocabulary::{Frame, Text};

/// How deep MessagePack may be: no deeper than JSON, in which others read what was in it.
const MAX_DEPTH: usize = 100;

/// What is published, and counts for so much.
pub trait Weighed {
    /// In bytes, as the protocol counts.
    fn size(&self) -> usize;
}

/// How a client writes and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text frames.
    Json,
    /// Binary frames.
    Msgpack,
}

impl Format {
    /// By the parameter `format` of a query: JSON where there is none.
    pub fn named(name: Option<&str>) -> Format {
        if name == Some("msgpack") { Format::Msgpack } else { Format::Json }
    }

    /// One frame. What is written here always has a form.
    pub fn frame(self, what: &impl Serialize) -> Frame {
        match self {
            Format::Json => Frame::Text(Text::from(serde_json::to_string(what).unwrap_or_default())),
            Format::Msgpack => Frame::Binary(Bytes::from(rmp_serde::to_vec_named(what).unwrap_or_default())),
        }
    }

    /// The bytes of one body.
    pub fn bytes(self, what: &impl Serialize) -> Bytes {
        match self.frame(what) {
            Frame::Text(text) => text.into_bytes(),
            Frame::Binary(bytes) => bytes,
            _ => Bytes::new(),
        }
    }

    /// Reads one frame, which is an object.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read_object<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, String> {
        let is_object = match self {
            Format::Json => bytes.trim_ascii_start().starts_with(b"{"),
            // Its specification, "map format family".
            Format::Msgpack => matches!(bytes.first(), Some(0x80..=0x8f | 0xde | 0xdf)),
        };
        if is_object { self.read(bytes) } else { Err("it is no object".to_owned()) }
    }

    /// Reads one frame or body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, String> {
        match self {
            Format::Json => crate::json::from_slice(bytes).map_err(|error| error.to_string()),
            Format::Msgpack => {
                let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
                reader.set_max_depth(MAX_DEPTH);
                T::deserialize(&mut reader).map_err(|error| error.to_string())
            }
        }
    }
}
