//! What is said of a message, as it travels and as the hub has it; and what all of it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::carried::{self, Carried};
use super::data::{self, Data};
use super::error::AblyError;
use super::serial::{self, serial};
use super::{Format, Weighed};
use crate::realtime::vocabulary::{Amendment, Annotation, Change, Draft, Message, Method, Summary, Tally, Voices};

/// What a summary names of clients, in bytes of their ids: of further ones it says how many there are.
const MAX_LISTED_LEN: usize = 16 * 1024;

/// The longest type, and the longest name, in bytes.
const MAX_NAME_LEN: usize = 256;

/// One annotation, and whether it is put or taken back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AblyAnnotation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// 0 puts it, 1 takes it back.
    pub action: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_serial: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "whole")]
    pub count: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<Value>,
}

fn whole<S: Serializer>(count: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(count.map_or(0, |count| count as u64))
}

impl Weighed for AblyAnnotation {
    fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let data = self.data.as_ref().map_or(0, Data::size);
        let extras = self.extras.as_ref().map_or(0, |extras| extras.to_string().len());
        data + text(&self.kind) + text(&self.name) + extras
    }
}

impl AblyAnnotation {
    /// What is published of it; `id` is its name on the wire where the client gave it none.
    ///
    /// # Errors
    /// 40003 for a serial, type, name or count that is none; 40013 for its data, 40000 for its extras.
    pub fn draft(self, id: impl FnOnce() -> String, connection: Option<&str>) -> Result<Draft, AblyError> {
        let invalid = |what: &str| AblyError::new(40003, 400, format!("Invalid annotation: {what}"));
        let target = self.message_serial.as_deref().and_then(serial::position);
        let target = target.ok_or_else(|| invalid("messageSerial is no serial of a message"))?;
        let kind = self.kind.as_deref().unwrap_or_default();
        let is_short = |text: &str| text.len() <= MAX_NAME_LEN;
        if !is_short(kind) || !self.name.as_deref().is_none_or(is_short) {
            return Err(invalid("its type or name is longer than 256 bytes"));
        }
        let method = method(kind).ok_or_else(|| {
            invalid("its type must be NAMESPACE:METHOD.v1, with total, flag, distinct, unique or multiple as METHOD")
        })?;
        let count = self.count.unwrap_or(1.0);
        if !(1.0..=1e9).contains(&count) || count.fract() != 0.0 {
            return Err(invalid("its count must be a whole number from 1 on"));
        }
        let extras = carried::extras(self.extras, "An annotation's")?;
        let is_empty = self.data.is_none();
        let (payload, encoding) = data::payload(self.data, self.encoding)?;
        let id = self.id.filter(|id| !id.is_empty()).unwrap_or_else(id);
        let connection = connection.map(str::to_owned);
        let carried = Carried { id: Some(id.clone()), connection, encoding, extras, is_empty, ..Carried::default() };
        let annotation = Annotation { kind: kind.into(), method, count: count as u64, removes: self.action == 1 };
        let mut draft = Draft::new(payload);
        draft.name = self.name.map(Into::into);
        draft.id = Some(id.into());
        draft.extras = carried.extras();
        draft.amends =
            Some(Box::new(Amendment { target, change: Change::Annotate(annotation), only_of: None, keeps_data: true }));
        Ok(draft)
    }

    /// As it is shown to who reads `format`; `None` of what is none.
    pub fn shown(message: &Message, format: Format) -> Option<AblyAnnotation> {
        let amended = message.amended.as_deref()?;
        let Change::Annotate(annotation) = &amended.change else { return None };
        let carried = Carried::of(&message.draft.extras).unwrap_or_default();
        let (data, encoding) = data::shown(&message.draft.data, carried.encoding.as_deref(), format);
        let origin = message.origin.as_ref();
        Some(AblyAnnotation {
            id: carried.id.or_else(|| Some(message.position.to_string())),
            action: u8::from(annotation.removes),
            serial: Some(serial(amended.version, amended.version_ms)),
            message_serial: Some(serial(amended.target, amended.target_ms)),
            kind: Some(annotation.kind.to_string()),
            name: message.draft.name.as_deref().map(str::to_owned),
            count: (annotation.method == Method::Multiple).then_some(annotation.count as f64),
            client_id: origin.and_then(|origin| origin.user.as_deref()).map(str::to_owned),
            connection_id: carried.connection,
            data: (!carried.is_empty).then_some(data),
            encoding: encoding.filter(|_| !carried.is_empty),
            timestamp: Some(message.unix_ms),
            extras: carried.extras.map(Value::Object),
        })
    }
}

/// How annotations of this type are counted: `NAMESPACE:METHOD.v1`.
fn method(kind: &str) -> Option<Method> {
    let (namespace, method) = kind.rsplit_once(':')?;
    let method = match method {
        "total.v1" => Method::Total,
        "flag.v1" => Method::Flag,
        "distinct.v1" => Method::Distinct,
        "unique.v1" => Method::Unique,
        "multiple.v1" => Method::Multiple,
        _ => return None,
    };
    (!namespace.is_empty()).then_some(method)
}

/// A summary as it travels, by type.
#[derive(Debug, Clone, PartialEq)]
pub struct AblySummary(pub Arc<Summary>);

impl Serialize for AblySummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut kinds = serializer.serialize_map(Some(self.0.kinds().count()))?;
        let mut room = MAX_LISTED_LEN;
        for (kind, tally) in self.0.kinds() {
            match tally {
                Tally::Total(total) => kinds.serialize_entry(kind, &Total { total: *total })?,
                Tally::Users(users) => kinds.serialize_entry(kind, &Clients::of(users, &mut room))?,
                Tally::Names { names, .. } => {
                    let names = names.iter().map(|(name, users)| (&**name, Clients::of(users, &mut room)));
                    kinds.serialize_entry(kind, &names.collect::<BTreeMap<_, _>>())?;
                }
                Tally::Counts(names) => {
                    let names = names.iter().map(|(name, voices)| (&**name, Counts::of(voices, &mut room)));
                    kinds.serialize_entry(kind, &names.collect::<BTreeMap<_, _>>())?;
                }
            }
        }
        kinds.end()
    }
}

#[derive(Serialize)]
struct Total {
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clients<'a> {
    total: usize,
    client_ids: Vec<&'a str>,
    clipped: bool,
}

impl<'a> Clients<'a> {
    fn of(users: &'a BTreeSet<Arc<str>>, room: &mut usize) -> Clients<'a> {
        let client_ids: Vec<&str> = users.iter().map(|user| &**user).take_while(|user| has_room(user, room)).collect();
        Clients { total: users.len(), clipped: users.len() > client_ids.len(), client_ids }
    }
}

/// Whether one more client is named.
fn has_room(user: &str, room: &mut usize) -> bool {
    let left = room.checked_sub(user.len() + 3);
    *room = left.unwrap_or(0);
    left.is_some()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts<'a> {
    total: u64,
    client_ids: BTreeMap<&'a str, u64>,
    total_unidentified: u64,
    total_client_ids: usize,
    clipped: bool,
}

impl<'a> Counts<'a> {
    fn of(voices: &'a Voices, room: &mut usize) -> Counts<'a> {
        let listed = voices.users.iter().map(|(user, count)| (&**user, *count));
        let client_ids: BTreeMap<&str, u64> = listed.take_while(|(user, _)| has_room(user, room)).collect();
        Counts {
            total: voices.total(),
            total_unidentified: voices.unidentified,
            total_client_ids: voices.users.len(),
            clipped: voices.users.len() > client_ids.len(),
            client_ids,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(annotation: Value) -> Result<Draft, u32> {
        let annotation: AblyAnnotation = serde_json::from_value(annotation).unwrap();
        annotation.draft(|| "c:0:0".into(), Some("c")).map_err(|error| error.code)
    }

    #[test]
    fn a_type_says_how_it_is_counted() {
        let method = |kind: &str| {
            let draft = said(serde_json::json!({ "messageSerial": "1-7", "type": kind })).ok()?;
            match draft.amends?.change {
                Change::Annotate(annotation) => Some(annotation.method),
                _ => None,
            }
        };
        assert_eq!(method("reaction:distinct.v1"), Some(Method::Distinct));
        assert_eq!(method("a:b:total.v1"), Some(Method::Total));
        for bad in ["", "reaction", ":flag.v1", "reaction:flag", "reaction:sum.v1", "reaction:flag.v2"] {
            assert_eq!(method(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_annotation_says_why() {
        let with = |key: &str, value: Value| {
            let mut annotation = serde_json::json!({ "messageSerial": "1-7", "type": "r:multiple.v1", "name": "a" });
            annotation[key] = value;
            said(annotation).map(|draft| draft.amends.is_some())
        };
        assert_eq!(with("count", 3.into()), Ok(true));
        for count in [0.0, -1.0, 1.5, 1e300] {
            assert_eq!(with("count", count.into()), Err(40003), "{count}");
        }
        assert_eq!(with("messageSerial", "x".into()), Err(40003));
        assert_eq!(with("name", "n".repeat(257).into()), Err(40003));
        assert_eq!(with("extras", "x".into()), Err(40000));
        assert_eq!(with("data", 1.into()), Err(40013));
    }

    #[test]
    fn long_lists_are_clipped() {
        let mut summary = Summary::default();
        let annotation = Annotation { kind: "r:flag.v1".into(), method: Method::Flag, count: 1, removes: false };
        let user = |number: usize| format!("{number:05}{}", "u".repeat(92));
        for number in 0..200 {
            summary.count(&annotation, None, Some(&user(number))).unwrap();
        }
        let shown = serde_json::to_value(AblySummary(summary.into())).unwrap();
        let kind = &shown["r:flag.v1"];
        assert_eq!((kind["total"].as_u64(), kind["clipped"].as_bool()), (Some(200), Some(true)));
        assert_eq!(kind["clientIds"].as_array().map(Vec::len), Some(MAX_LISTED_LEN / 100));
    }
}
