//! Values by their keys, each as JSON.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::write::put_raw;

/// Values by their keys, each as JSON, in the order of the keys.
pub type Values = Vec<(Arc<str>, Box<str>)>;

/// About how many bytes these hold.
pub fn size(values: &Values) -> usize {
    values.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// The values of a JSON object. A key that comes twice counts as it comes last.
pub fn read(json: &str) -> Result<Values, String> {
    let all: Pairs = serde_json::from_str(json).map_err(|error| format!("data: {error}"))?;
    Ok(all.0)
}

/// The same as JSON.
pub fn object(values: &Values) -> String {
    let mut out = String::from("{");
    for (key, value) in values {
        put_raw(&mut out, key, value);
    }
    out.push('}');
    out
}

struct Pairs(Values);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut values: BTreeMap<Arc<str>, Box<str>> = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<Arc<str>, Box<RawValue>>()? {
                    values.insert(key, value.get().into());
                }
                Ok(Pairs(values.into_iter().collect()))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// JSON that is there, and may be `null`: that is a value as any other.
pub fn present<'de, D, J>(deserializer: D) -> Result<Option<J>, D::Error>
where
    D: serde::Deserializer<'de>,
    J: Deserialize<'de>,
{
    J::deserialize(deserializer).map(Some)
}
