//! A message as it travels, and as the hub has it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Format;
use super::carried::Carried;
use super::data::{self, Data};
use super::error::AblyError;
use super::serial::serial;
use crate::realtime::vocabulary::{Draft, Message};

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
}

impl AblyMessage {
    /// In bytes, as the protocol counts.
    pub fn size(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let data = match &self.data {
            Some(Data::Text(text)) => text.len(),
            Some(Data::Bytes(bytes)) => bytes.len(),
            Some(Data::Other) | None => 0,
        };
        let extras = self.extras.as_ref().map_or(0, |extras| extras.to_string().len());
        data + text(&self.name) + text(&self.client_id) + extras
    }

    /// What is published of it. `id` is its name on the wire, where the client gave it none: said again, it is the same
    /// message.
    ///
    /// # Errors
    /// 40013 for its data, 40000 for its extras, 93002 for what changes another message.
    pub fn draft(self, id: impl FnOnce() -> String, connection: Option<&str>) -> Result<Draft, AblyError> {
        if self.action.is_some_and(|action| action != 0) {
            return Err(AblyError::new(93002, 400, "Messages of this channel cannot be changed"));
        }
        let extras = match self.extras {
            None | Some(Value::Null) => None,
            Some(Value::Object(extras)) => Some(extras),
            Some(_) => return Err(AblyError::new(40000, 400, "A message's extras must be an object")),
        };
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
            action: None,
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
            timestamp: Some(message.unix_ms),
            extras: carried.extras.map(Value::Object),
            action: Some(0),
            serial: Some(serial(message.position, message.unix_ms)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Channel, ConnectionId, Epoch, Origin, Payload, Position};
    use serde_json::json;

    fn said(draft: Draft) -> Message {
        Message {
            channel: Channel::new("c").unwrap(),
            position: Position { epoch: Epoch(1), offset: 7 },
            unix_ms: 5,
            origin: Some(Origin { connection: ConnectionId(9), user: Some("ann".into()) }),
            draft,
        }
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
        assert_eq!(code(json!({ "action": 1, "serial": "x" })), 93002);
    }
}
