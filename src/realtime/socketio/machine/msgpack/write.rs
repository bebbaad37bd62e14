//! JSON to MessagePack, bytes in their places.

use bytes::Bytes;
use serde_json::Value;

use crate::realtime::msgpack::{json, write};

/// Writes one JSON value with placeholders for `attachments`; what is no JSON is nil.
pub fn json(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    if attachments.is_empty() {
        json::transcode(out, json);
        return;
    }
    match crate::json::from_str(json) {
        Ok(found) => value(out, &found, attachments),
        Err(_) => write::nil(out),
    }
}

fn value(out: &mut Vec<u8>, found: &Value, attachments: &[Bytes]) {
    match found {
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
            write::binary(out, number.and_then(|number| attachments.get(number)).map_or(&[], |bytes| bytes));
        }
        Value::Object(fields) => {
            write::map(out, fields.len());
            for (key, item) in fields {
                write::text(out, key);
                value(out, item, attachments);
            }
        }
        Value::Array(items) => {
            write::array(out, items.len());
            items.iter().for_each(|item| value(out, item, attachments));
        }
        Value::String(text) => write::text(out, text),
        Value::Null => write::nil(out),
        Value::Bool(is) => write::bool(out, *is),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => write::unsigned(out, number),
            (_, Some(number)) => write::signed(out, number),
            _ => write::float(out, number.as_f64().unwrap_or_default()),
        },
    }
}
