//! A message as it travels, and as the hub has it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::annotation::AblySummary;
use super::carried::{self, Carried, CarriedChange};
use super::data::{self, Data};
use super::error::AblyError;
use super::serial::{self, serial};
use super::{Format, Weighed};
use crate::realtime::vocabulary::{Amendment, Change, Draft, Message};

/// What a message does, as a number on the wire.
mod does {
    pub const CREATE: u8 = 0;
    pub const UPDATE: u8 = 1;
    pub const DELETE: u8 = 2;
    pub const SUMMARY: u8 = 4;
    pub const APPEND: u8 = 5;
}

/// Which version of a message it is, who made it and why.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AblyVersion {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// What the annotations of a message come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AblyAnnotations {
    pub summary: AblySummary,
}

/// A message: what a client publishes, and what it hears.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AblyMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    /// Only in what a client publishes: the private key of the connection that it speaks for.
    #[serde(skip_serializing)]
    pub connection_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extras: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<AblyVersion>,
    /// Never a client's to say.
    #[serde(skip_serializing_if = "Option::is_none", skip_deserializing)]
    pub annotations: Option<AblyAnnotations>,
}

impl Weighed for AblyMessage {
    fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let data = self.data.as_ref().map_or(0, Data::size);
        let extras = self.extras.as_ref().map_or(0, |extras| extras.to_string().len());
        data + text(&self.name) + text(&self.client_id) + extras
    }
}

impl AblyMessage {
    /// What it does to an earlier message; `None`: it is a new one.
    ///
    /// # Errors
    /// 40003 for what no client does.
    pub fn change(&self) -> Result<Option<Change>, AblyError> {
        Ok(match self.action.unwrap_or(does::CREATE) {
            does::CREATE => None,
            does::UPDATE => Some(Change::Update),
            does::DELETE => Some(Change::Delete),
            does::APPEND => Some(Change::Append),
            other => return Err(AblyError::new(40003, 400, format!("Invalid action {other} of a message"))),
        })
    }

    /// Who says that it is said: of a change whoever changes, as the message names who said it first.
    pub fn take_speaker(&mut self) -> Option<String> {
        let own = self.client_id.take();
        match (self.action, &mut self.version) {
            (None | Some(does::CREATE), _) => own,
            (_, Some(version)) => version.client_id.take(),
            _ => None,
        }
    }

    /// What is published of it where it changes another. `id` is its name on the wire; `only_of`: that one must be of this
    /// client.
    ///
    /// # Errors
    /// 40003 for a serial that is none, 40013 for its data, 40000 for its extras.
    pub fn amendment(self, change: Change, id: String, only_of: Option<Arc<str>>) -> Result<Draft, AblyError> {
        let target = self.serial.as_deref().and_then(serial::position);
        let target = target.ok_or_else(|| AblyError::new(40003, 400, "Invalid serial: it is no message's"))?;
        let extras = carried::extras(self.extras, "A message's")?;
        let keeps_data = self.data.is_none();
        let (payload, encoding) = data::payload(self.data, self.encoding)?;
        if change == Change::Append && encoding.as_deref().is_some_and(|encoding| encoding.contains("cipher")) {
            return Err(AblyError::new(40013, 400, "Encrypted data cannot be appended to: it is sealed"));
        }
        let version = self.version.unwrap_or_default();
        let carried = CarriedChange {
            id: id.clone(),
            encoding: (!keeps_data).then_some(encoding),
            extras,
            description: version.description,
            metadata: version.metadata,
        };
        let mut draft = Draft::new(payload);
        draft.name = self.name.map(Into::into);
        draft.id = Some(id.into());
        draft.extras = carried.extras();
        draft.amends = Some(Box::new(Amendment { target, change, only_of, keeps_data }));
        Ok(draft)
    }

    /// What is published of it. `id` is its name on the wire, where the client gave it none: said again, it is the same
    /// message.
    ///
    /// # Errors
    /// 40013 for its data, 40000 for its extras.
    pub fn draft(self, id: impl FnOnce() -> String, connection: Option<&str>) -> Result<Draft, AblyError> {
        let extras = carried::extras(self.extras, "A message's")?;
        let is_empty = self.data.is_none();
        let (payload, encoding) = data::payload(self.data, self.encoding)?;
        let id = self.id.filter(|id| !id.is_empty()).unwrap_or_else(id);
        let is_ephemeral =
            extras.as_ref().and_then(|extras: &Map<_, _>| extras.get("ephemeral")) == Some(&Value::Bool(true));
        let carried = Carried {
            id: Some(id.clone()),
            connection: connection.map(str::to_owned),
            encoding,
            extras,
            is_empty,
            ..Carried::default()
        };
        let mut draft = Draft::new(payload);
        draft.name = self.name.map(Into::into);
        draft.passing = is_ephemeral;
        draft.id = Some(id.into());
        draft.extras = carried.extras();
        Ok(draft)
    }

    /// As it is shown to who reads `format`, with every field that applications rely on.
    pub fn shown(message: &Message, format: Format) -> AblyMessage {
        let draft = &message.draft;
        let carried = Carried::of(&draft.extras);
        let is_ours = carried.is_some();
        let carried = carried.unwrap_or_default();
        let (data, encoding) = data::shown(&draft.data, carried.encoding.as_deref(), format);
        let origin = message.origin.as_ref();
        let amended = message.amended.as_deref();
        let (place, unix_ms) =
            amended.map_or((message.position, message.unix_ms), |amended| (amended.target, amended.target_ms));
        let version = amended.map(|amended| AblyVersion {
            serial: Some(serial(amended.version, amended.version_ms)),
            timestamp: Some(amended.version_ms),
            client_id: amended.by.as_ref().and_then(|origin| origin.user.as_deref()).map(str::to_owned),
            description: carried.description,
            metadata: carried.metadata,
        });
        let annotations =
            message.summary.as_ref().map(|summary| AblyAnnotations { summary: AblySummary(Arc::clone(summary)) });
        AblyMessage {
            id: carried.id.or_else(|| Some(message.position.to_string())),
            name: draft.name.as_deref().map(str::to_owned),
            data: (!carried.is_empty).then_some(data),
            encoding: encoding.filter(|_| !carried.is_empty),
            client_id: origin.and_then(|origin| origin.user.as_deref()).map(str::to_owned),
            connection_id: if is_ours {
                carried.connection
            } else {
                origin.map(|origin| origin.connection.to_string())
            },
            connection_key: None,
            timestamp: Some(unix_ms),
            extras: carried.extras.map(Value::Object),
            action: Some(amended.map_or(does::CREATE, |amended| match amended.change {
                Change::Update => does::UPDATE,
                Change::Delete => does::DELETE,
                Change::Append => does::APPEND,
                Change::Annotate(_) => does::SUMMARY,
            })),
            serial: Some(serial(place, unix_ms)),
            version,
            annotations,
        }
    }

    /// What is told of annotations to those who hear messages: what they come to.
    pub fn summed(message: &Message) -> Option<AblyMessage> {
        let (amended, summary) = (message.amended.as_deref()?, message.summary.as_ref()?);
        Some(AblyMessage {
            id: Some(message.position.to_string()),
            timestamp: Some(message.unix_ms),
            action: Some(does::SUMMARY),
            serial: Some(serial(amended.target, amended.target_ms)),
            annotations: Some(AblyAnnotations { summary: AblySummary(Arc::clone(summary)) }),
            ..AblyMessage::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Channel, ConnectionId, Epoch, Origin, Payload, Position};
    use serde_json::json;

    fn said(draft: Draft) -> Message {
        Message::new(
            Channel::new("c").unwrap(),
            Position { epoch: Epoch(1), offset: 7 },
            5,
            Some(Origin { connection: ConnectionId(9), user: Some("ann".into()) }),
            draft,
        )
    }

    #[test]
    fn what_is_published_is_heard_the_same() {
        for (format, sent) in [
            (Format::Json, json!({ "name": "n", "data": "x", "extras": { "headers": { "a": "b" } } })),
            (Format::Json, json!({ "data": "{\"a\":1}", "encoding": "json", "id": "own" })),
            (Format::Json, json!({ "name": "nothing" })),
            (Format::Msgpack, json!({ "data": "x", "encoding": "utf-8/cipher+aes-128-cbc" })),
        ] {
            let message: AblyMessage = format.read(&format.bytes(&sent)).unwrap();
            let draft = message.clone().draft(|| "conn:0:0".into(), Some("conn")).unwrap();
            let shown = AblyMessage::shown(&said(draft), format);
            let AblyMessage { name, data, encoding, extras, .. } = message;
            assert_eq!(
                (shown.name, shown.data, shown.encoding, shown.extras),
                (name, data, encoding, extras),
                "{sent}"
            );
            assert_eq!(shown.id, message.id.or(Some("conn:0:0".into())));
            assert_eq!((shown.client_id.as_deref(), shown.connection_id.as_deref()), (Some("ann"), Some("conn")));
        }
    }

    #[test]
    fn others_are_heard_in_its_words() {
        let shown = |payload| AblyMessage::shown(&said(Draft::new(payload)), Format::Json);
        let json = shown(Payload::Json("[1]".into()));
        assert_eq!((json.data, json.encoding.as_deref()), (Some(Data::Text("[1]".into())), Some("json")));
        assert_eq!(shown(Payload::Binary("hi".into())).encoding.as_deref(), Some("base64"));
        let text = shown(Payload::Text("hi".into()));
        assert_eq!((text.encoding, text.id.as_deref()), (None, Some("1-7")));
        assert_eq!(text.connection_id, Some(ConnectionId(9).to_string()));
    }

    #[test]
    fn what_cannot_be_published_says_why() {
        let code = |message: serde_json::Value| {
            let message: AblyMessage = serde_json::from_value(message).unwrap();
            message.draft(String::new, None).unwrap_err().code
        };
        assert_eq!(code(json!({ "data": { "a": 1 } })), 40013);
        assert_eq!(code(json!({ "extras": "x" })), 40000);
    }
}
