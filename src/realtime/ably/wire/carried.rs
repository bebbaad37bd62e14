//! What only this protocol knows of a message or a member, carried along by the hub unread.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::AblyError;
use crate::realtime::vocabulary::Extras;

/// The key of it.
const KEY: &str = "ably";

/// What other dialects have no place for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// Its id on the wire.
    #[serde(rename = "i", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The connection that it is of.
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// What is left of its encodings.
    #[serde(rename = "e", skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub extras: Option<Map<String, Value>>,
    /// It had no data at all.
    #[serde(rename = "n", skip_serializing_if = "std::ops::Not::not")]
    pub is_empty: bool,
    /// Of a member: what it did.
    #[serde(rename = "a", skip_serializing_if = "Option::is_none")]
    pub action: Option<u8>,
    /// Of a version: why it was made, and what else its maker says of that.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(rename = "m", skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// The extras of what a client says, `whose` in words.
///
/// # Errors
/// 40000: they are no object.
pub fn extras(said: Option<Value>, whose: &str) -> Result<Option<Map<String, Value>>, AblyError> {
    match said {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(extras)) => Ok(Some(extras)),
        Some(_) => Err(AblyError::new(40000, 400, format!("{whose} extras must be an object"))),
    }
}

/// What a change says; what it does not stays as it is.
#[derive(Debug)]
pub struct CarriedChange {
    pub id: String,
    /// What is left of its data's encodings, where it has data.
    pub encoding: Option<Option<String>>,
    pub extras: Option<Map<String, Value>>,
    pub description: Option<String>,
    pub metadata: Option<Map<String, Value>>,
}

impl CarriedChange {
    /// Field by field over those of the message that is changed.
    pub fn extras(self) -> Extras {
        let CarriedChange { id, encoding, extras, description, metadata } = self;
        let mut fields = json!({ "i": id, "d": description, "m": metadata });
        if let Some(encoding) = encoding {
            fields["e"] = json!(encoding);
            fields["n"] = json!(false);
        }
        if let Some(extras) = extras {
            fields["x"] = Value::Object(extras);
        }
        Extras::new([(KEY.into(), Bytes::from(fields.to_string()))])
    }
}

impl Carried {
    pub fn extras(&self) -> Extras {
        // It is made of text and maps of text.
        let json = serde_json::to_vec(self).unwrap_or_default();
        Extras::new([(KEY.into(), Bytes::from(json))])
    }

    /// That of a message or member of this protocol; `None` of all others.
    pub fn of(extras: &Extras) -> Option<Carried> {
        serde_json::from_slice(extras.of(KEY)?).ok()
    }
}
