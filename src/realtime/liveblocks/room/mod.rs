//! A room's record: when it was made, what the app keeps with it, and who may do what there.

mod query;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use self::query::{RoomFilter, RoomQuery};
use super::scopes::{Accesses, Scope};

/// The longest name of a room or a user, in characters.
pub const LONGEST_NAME: usize = 128;
/// The most entries of a room's metadata.
const MOST_METADATA: usize = 50;
/// The longest key of an entry of metadata, in characters.
const LONGEST_METADATA_KEY: usize = 40;
/// The longest value of an entry of metadata, in characters; of a list, all of it.
const LONGEST_METADATA: usize = 4_000;
/// The most groups, and users, that a room names.
const MOST_ACCESSES: usize = 1_000;
/// The most scopes of one list: as many as there are.
const MOST_SCOPES: usize = 20;
/// The organization that rooms are of where nobody says another.
pub const ORGANIZATION: &str = "default";

/// What a room's record is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoomRecord {
    #[serde(default = "organization")]
    pub organization_id: String,
    /// Milliseconds since the Unix epoch.
    pub created_at: u64,
    /// When somebody came last, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_connection_at: Option<u64>,
    #[serde(default)]
    pub metadata: BTreeMap<String, Metadata>,
    #[serde(flatten)]
    pub accesses: Accesses,
}

/// What an app keeps with a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Metadata {
    Text(String),
    List(Vec<String>),
}

/// What is wrong with what an app says of a room, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct Invalid {
    pub field: String,
    pub what: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, what: impl Into<String>) -> Invalid {
        Invalid { field: field.into(), what: what.into() }
    }
}

fn organization() -> String {
    ORGANIZATION.to_owned()
}

impl RoomRecord {
    /// The record of a room that nobody has described.
    pub fn new(now_ms: u64) -> RoomRecord {
        RoomRecord {
            organization_id: organization(),
            created_at: now_ms,
            last_connection_at: None,
            metadata: BTreeMap::new(),
            accesses: Accesses::default(),
        }
    }

    /// As the app describes a room that it makes.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn create(body: &Map<String, Value>, now_ms: u64) -> Result<RoomRecord, Invalid> {
        let mut record = RoomRecord::new(now_ms);
        if body.get("defaultAccesses").is_none_or(Value::is_null) {
            return Err(Invalid::new(
                "defaultAccesses",
                "a list of permissions is needed, as [\"*:write\"], or [] for none",
            ));
        }
        if let Some(organization) = text(body, "organizationId")? {
            record.organization_id = name("organizationId", organization)?.to_owned();
        }
        record.update(body)?;
        Ok(record)
    }

    /// Takes over what the app says anew; `null` removes, and what is not named stays.
    ///
    /// # Errors
    /// [`Invalid`]; then nothing has changed.
    pub fn update(&mut self, body: &Map<String, Value>) -> Result<(), Invalid> {
        let mut next = self.clone();
        match body.get("defaultAccesses") {
            None => {}
            Some(Value::Null) => next.accesses.default_accesses = Some(Vec::new()),
            Some(value) => next.accesses.default_accesses = Some(scopes("defaultAccesses", value)?),
        }
        for (field, all) in [
            ("groupsAccesses", &mut next.accesses.groups_accesses),
            ("usersAccesses", &mut next.accesses.users_accesses),
        ] {
            for (key, value) in entries(body, field)? {
                let at = format!("{field}.{key}");
                if value.is_null() {
                    all.remove(key);
                } else {
                    all.insert(name(&at, key)?.to_owned(), scopes(&at, value)?);
                }
            }
            if all.len() > MOST_ACCESSES {
                return Err(Invalid::new(field, format!("a room has at most {MOST_ACCESSES} entries")));
            }
        }
        for (key, value) in entries(body, "metadata")? {
            if value.is_null() {
                next.metadata.remove(key);
            } else {
                next.metadata.insert(metadata_key(key)?, metadata(key, value)?);
            }
        }
        if next.metadata.len() > MOST_METADATA {
            return Err(Invalid::new("metadata", format!("a room has at most {MOST_METADATA} entries")));
        }
        *self = next;
        Ok(())
    }

    /// As the app is told of it.
    pub fn describe(&self, id: &str) -> Value {
        let mut room = json!({
            "type": "room",
            "id": id,
            "organizationId": self.organization_id,
            "createdAt": date(self.created_at),
            "metadata": self.metadata,
            "defaultAccesses": self.accesses.of_all(),
            "groupsAccesses": self.accesses.groups_accesses,
            "usersAccesses": self.accesses.users_accesses,
        });
        if let Some(last) = self.last_connection_at {
            room["lastConnectionAt"] = date(last).into();
        }
        room
    }

    /// As it stands in the store.
    pub fn write(&self) -> Vec<u8> {
        // Text and numbers under names.
        serde_json::to_vec(self).expect("a record is JSON")
    }

    /// Reads what the store has.
    ///
    /// # Errors
    /// It is none.
    pub fn read(row: &[u8]) -> Result<RoomRecord, serde_json::Error> {
        serde_json::from_slice(row)
    }
}

/// A time in milliseconds since the Unix epoch, as JavaScript writes it.
pub fn date(ms: u64) -> String {
    // The end of the year 9999, beyond which none is written.
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms.min(253_402_300_799_999));
    humantime::format_rfc3339_millis(time).to_string()
}

/// What may be the name of a room, a user or a group.
///
/// # Errors
/// [`Invalid`].
pub fn name<'a>(field: &str, value: &'a str) -> Result<&'a str, Invalid> {
    if value.is_empty() {
        return Err(Invalid::new(field, "it is empty"));
    }
    if value.chars().count() > LONGEST_NAME {
        return Err(Invalid::new(field, format!("it is longer than {LONGEST_NAME} characters")));
    }
    Ok(value)
}

/// A field that is text, where it is there.
///
/// # Errors
/// [`Invalid`]: it is something else.
pub fn text<'a>(body: &'a Map<String, Value>, field: &str) -> Result<Option<&'a str>, Invalid> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Invalid::new(field, "a string is needed")),
    }
}

/// A list of scopes.
///
/// # Errors
/// [`Invalid`].
pub fn scopes(field: &str, value: &Value) -> Result<Vec<Scope>, Invalid> {
    let list = value.as_array().filter(|list| list.len() <= MOST_SCOPES);
    let list =
        list.ok_or_else(|| Invalid::new(field, format!("a list of at most {MOST_SCOPES} permissions is needed")))?;
    let mut scopes = Vec::with_capacity(list.len());
    for value in list {
        let scope = value.as_str().ok_or_else(|| Invalid::new(field, "permissions are strings"))?;
        let scope = Scope::parse(scope).map_err(|unknown| Invalid::new(field, unknown.to_string()))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// The entries of a field that is an object, where it is there.
fn entries<'a>(
    body: &'a Map<String, Value>,
    field: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, Invalid> {
    match body.get(field) {
        None | Some(Value::Null) => Ok(None.into_iter().flatten()),
        Some(Value::Object(object)) => Ok(Some(object).into_iter().flatten()),
        Some(_) => Err(Invalid::new(field, "an object is needed")),
    }
}

fn metadata_key(key: &str) -> Result<String, Invalid> {
    if key.is_empty() || key.chars().count() > LONGEST_METADATA_KEY {
        let start: String = key.chars().take(LONGEST_METADATA_KEY).collect();
        let what = format!("a key has 1 to {LONGEST_METADATA_KEY} characters");
        return Err(Invalid::new(format!("metadata.{start}"), what));
    }
    Ok(key.to_owned())
}

fn metadata(key: &str, value: &Value) -> Result<Metadata, Invalid> {
    let bad = |what: String| Err(Invalid::new(format!("metadata.{key}"), what));
    let (metadata, length) = match value {
        Value::String(text) => (Metadata::Text(text.clone()), text.chars().count()),
        Value::Array(list) => {
            let texts: Option<Vec<String>> = list.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            let Some(texts) = texts else { return bad("lists are of strings".to_owned()) };
            // An empty string takes room too.
            let length = texts.iter().map(|text| text.chars().count() + 1).sum();
            (Metadata::List(texts), length)
        }
        _ => return bad("a string or a list of strings is needed".to_owned()),
    };
    if length > LONGEST_METADATA {
        return bad(format!("it is longer than {LONGEST_METADATA} characters"));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_123;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn made() -> RoomRecord {
        let body = json!({
            "defaultAccesses": ["*:read", "*:read"], "groupsAccesses": { "g": ["*:write"] },
            "usersAccesses": { "ann": ["storage:write"] }, "metadata": { "kind": "board", "tags": ["a", "b"] },
        });
        RoomRecord::create(&map(body), NOW).unwrap()
    }

    #[test]
    fn it_is_described_as_clients_read_it() {
        let mut room = made();
        assert_eq!(
            room.describe("a room"),
            json!({
                "type": "room", "id": "a room", "organizationId": "default", "createdAt": "2027-01-15T08:00:00.123Z",
                "metadata": { "kind": "board", "tags": ["a", "b"] }, "defaultAccesses": ["*:read"],
                "groupsAccesses": { "g": ["*:write"] }, "usersAccesses": { "ann": ["storage:write"] },
            })
        );
        room.last_connection_at = Some(NOW + 1);
        assert_eq!(room.describe("a")["lastConnectionAt"], json!("2027-01-15T08:00:00.124Z"));
        assert_eq!(date(u64::MAX), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn it_is_kept_and_read_again() {
        let mut room = made();
        assert_eq!(RoomRecord::read(&room.write()).unwrap(), room);
        room.last_connection_at = Some(NOW);
        assert_eq!(RoomRecord::read(&room.write()).unwrap(), room);
        assert_eq!(RoomRecord::read(br#"{"createdAt":7}"#).unwrap(), RoomRecord::new(7));
        for bad in ["", "{}", "[]", r#"{"createdAt":7,"defaultAccesses":["room:eat"]}"#] {
            assert!(RoomRecord::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_update_says_what_changes_and_null_removes() {
        let mut room = made();
        room.update(&Map::new()).unwrap();
        assert_eq!(room, made());
        let body = json!({
            "defaultAccesses": null, "groupsAccesses": { "g": null, "h": ["*:read"] },
            "usersAccesses": { "nobody": null }, "metadata": { "kind": null, "colour": "red" },
        });
        room.update(&map(body)).unwrap();
        let room = room.describe("a");
        assert_eq!(room["defaultAccesses"], json!([]));
        assert_eq!(room["groupsAccesses"], json!({ "h": ["*:read"] }));
        assert_eq!(room["usersAccesses"], json!({ "ann": ["storage:write"] }));
        assert_eq!(room["metadata"], json!({ "colour": "red", "tags": ["a", "b"] }));
    }

    #[test]
    fn what_is_wrong_is_named_and_changes_nothing() {
        let many = |most: usize, value: &Value| -> Value {
            (0..=most).map(|n| (format!("k{n}"), value.clone())).collect::<Map<_, _>>().into()
        };
        let long = |most: usize| "ä".repeat(most + 1);
        for (body, field) in [
            (json!({ "defaultAccesses": "*:read" }), "defaultAccesses"),
            (json!({ "defaultAccesses": ["room:eat"] }), "defaultAccesses"),
            (json!({ "defaultAccesses": [7] }), "defaultAccesses"),
            (json!({ "defaultAccesses": vec!["*:read"; 21] }), "defaultAccesses"),
            (json!({ "groupsAccesses": [] }), "groupsAccesses"),
            (json!({ "groupsAccesses": { "g": "*:read" } }), "groupsAccesses.g"),
            (json!({ "usersAccesses": { "": ["*:read"] } }), "usersAccesses."),
            (json!({ "usersAccesses": many(MOST_ACCESSES, &json!(["*:read"])) }), "usersAccesses"),
            (json!({ "metadata": "x" }), "metadata"),
            (json!({ "metadata": { "a": 1 } }), "metadata.a"),
            (json!({ "metadata": { "a": ["x", 1] } }), "metadata.a"),
            (json!({ "metadata": { "a": long(LONGEST_METADATA) } }), "metadata.a"),
            (json!({ "metadata": { "a": vec![""; LONGEST_METADATA + 1] } }), "metadata.a"),
            (json!({ "metadata": many(MOST_METADATA, &json!("x")) }), "metadata"),
            (json!({ "metadata": { "": "x" } }), "metadata."),
        ] {
            let mut room = made();
            let mut body = map(body);
            body.insert("groupsAccesses".to_owned(), body.get("groupsAccesses").cloned().unwrap_or(json!({ "n": [] })));
            let error = room.update(&body).unwrap_err();
            assert_eq!(error.field, field, "{error}");
            assert_eq!(room, made(), "{error}");
        }
        let mut room = made();
        let key = long(LONGEST_METADATA_KEY);
        let error = room.update(&map(json!({ "metadata": { key: "x" } }))).unwrap_err();
        assert!(error.field.len() < 100, "{error}");
        assert_eq!(RoomRecord::create(&Map::new(), NOW).unwrap_err().field, "defaultAccesses");
        let bad = map(json!({ "defaultAccesses": [], "organizationId": 7 }));
        assert_eq!(RoomRecord::create(&bad, NOW).unwrap_err().field, "organizationId");
    }
}
