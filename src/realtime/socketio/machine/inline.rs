//! Bytes inside of JSON, for the app: what is a placeholder between clients is `{"$base64":"…"}` to it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use crate::realtime::vocabulary::Text;

const KEY: &str = "$base64";

/// Puts `attachments` where their placeholders are.
pub fn inline(json: &Text, attachments: &[Bytes]) -> Text {
    if attachments.is_empty() {
        return json.clone();
    }
    let Ok(mut value) = crate::json::from_str(json) else { return json.clone() };
    put(&mut value, attachments);
    value.to_string().into()
}

fn put(value: &mut Value, attachments: &[Bytes]) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| put(item, attachments)),
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num").and_then(Value::as_u64).and_then(|number| usize::try_from(number).ok());
            if let Some(bytes) = number.and_then(|number| attachments.get(number)) {
                *value = serde_json::json!({ KEY: STANDARD.encode(bytes) });
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|item| put(item, attachments)),
        _ => {}
    }
}

/// Takes bytes out of JSON and leaves placeholders.
///
/// # Errors
/// One sentence: what is no base64.
pub fn outline(json: &str) -> Result<(Text, Vec<Bytes>), String> {
    if !json.contains(KEY) {
        return Ok((json.into(), Vec::new()));
    }
    let mut value = crate::json::from_str(json).map_err(|error| error.to_string())?;
    let mut attachments = Vec::new();
    take(&mut value, &mut attachments)?;
    Ok((value.to_string().into(), attachments))
}

fn take(value: &mut Value, attachments: &mut Vec<Bytes>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| take(item, attachments)),
        Value::Object(fields) if fields.len() == 1 && fields.get(KEY).is_some_and(Value::is_string) => {
            let text = fields.get(KEY).and_then(Value::as_str).unwrap_or_default();
            let bytes = STANDARD.decode(text).map_err(|error| format!("{KEY}: {error}"))?;
            *value = serde_json::json!({ "_placeholder": true, "num": attachments.len() });
            attachments.push(bytes.into());
            Ok(())
        }
        Value::Object(fields) => fields.values_mut().try_for_each(|item| take(item, attachments)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_in_and_come_out() {
        let with = r#"[{"a":{"$base64":"AAE="}},1,{"$base64":"eHl6"}]"#;
        let (text, attachments) = outline(with).unwrap();
        let without = r#"[{"a":{"_placeholder":true,"num":0}},1,{"_placeholder":true,"num":1}]"#;
        assert_eq!(text.as_str(), without);
        assert_eq!(attachments, [Bytes::from_static(&[0, 1]), Bytes::from_static(b"xyz")]);
        assert_eq!(inline(&text, &attachments).as_str(), with);
        assert_eq!(outline("[1]").unwrap(), ("[1]".into(), Vec::new()));
        assert!(outline(r#"[{"$base64":"?"}]"#).is_err());
    }
}
