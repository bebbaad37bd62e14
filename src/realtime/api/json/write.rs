//! From what came of an operation to JSON.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::realtime::api::operation::{Page, Past, Published};
use crate::realtime::hub::ChannelOverview;
use crate::realtime::vocabulary::{ConnectionId, Member, Message, Payload};

/// `{"position"}` or `{"connections"}`.
pub fn published(published: Published) -> Map<String, Value> {
    let mut object = Map::new();
    match published {
        Published::Said(Some(position)) => object.insert("position".into(), position.to_string().into()),
        Published::Said(None) => None,
        Published::Sent(connections) => object.insert("connections".into(), connections.into()),
    };
    object
}

pub fn standing(standing: &ChannelOverview) -> Value {
    let mut object = json!({
        "name": standing.name.as_str(),
        "subscribers": standing.subscribers,
        "members": standing.members,
    });
    if standing.top.offset > 0 {
        object["position"] = standing.top.to_string().into();
    }
    object
}

pub fn page(page: &Page) -> Value {
    let mut object = json!({ "channels": page.channels.iter().map(standing).collect::<Vec<_>>() });
    if let Some(next) = &page.next {
        object["next"] = next.as_str().into();
    }
    object
}

pub fn user(user: &str, connections: &[ConnectionId]) -> Value {
    json!({ "user": user, "connections": connections.iter().map(ToString::to_string).collect::<Vec<_>>() })
}

pub fn connections((connections, users): (usize, usize)) -> Value {
    json!({ "connections": connections, "users": users })
}

/// What somebody published, under the key that it was published with.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Content<'a> {
    Text(&'a str),
    Json(&'a RawValue),
    Base64(String),
}

impl<'a> From<&'a Payload> for Content<'a> {
    fn from(payload: &'a Payload) -> Self {
        match payload {
            Payload::Text(text) => Content::Text(text),
            // Checked when it was made; shown as text if it was not.
            Payload::Json(text) => serde_json::from_str(text).map_or(Content::Text(text), Content::Json),
            Payload::Binary(bytes) => Content::Base64(STANDARD.encode(bytes)),
        }
    }
}

/// What a member shows: JSON as it is, everything else as a string.
fn info(payload: &Payload) -> Box<RawValue> {
    let raw = match payload {
        Payload::Json(text) => RawValue::from_string(text.to_string()),
        Payload::Text(text) => serde_json::value::to_raw_value(text.as_str()),
        Payload::Binary(bytes) => serde_json::value::to_raw_value(&STANDARD.encode(bytes)),
    };
    raw.unwrap_or_default()
}

pub fn members(members: &[Arc<Member>]) -> String {
    #[derive(Serialize)]
    struct Shape<'a> {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        info: Option<Box<RawValue>>,
    }
    #[derive(Serialize)]
    struct List<'a> {
        members: Vec<Shape<'a>>,
    }
    fn shape(member: &Arc<Member>) -> Shape<'_> {
        Shape { id: member.name(), info: member.info.as_ref().map(info) }
    }
    text(&List { members: members.iter().map(shape).collect() })
}

pub fn past(past: Option<&Past>) -> String {
    #[derive(Serialize)]
    struct Shape<'a> {
        position: String,
        time: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
        #[serde(flatten)]
        content: Content<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<&'a str>,
        /// What has become of it, where that was by its `version`; or of the message that it is `of`.
        #[serde(skip_serializing_if = "Option::is_none")]
        change: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        of: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        summary: Option<Value>,
    }
    #[derive(Serialize)]
    struct List<'a> {
        messages: Vec<Shape<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        position: Option<String>,
        /// Said only where it is so.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    }
    fn shape(message: &Arc<Message>) -> Shape<'_> {
        let (draft, origin) = (&message.draft, message.origin.as_ref());
        let (amended, change) = (message.amended.as_deref(), message.change());
        Shape {
            position: message.position.to_string(),
            time: message.unix_ms,
            name: draft.name.as_deref(),
            id: draft.id.as_deref(),
            content: Content::from(&draft.data),
            connection: origin.map(|origin| origin.connection.to_string()),
            user: origin.and_then(|origin| origin.user.as_deref()),
            change: amended.map(|amended| amended.change.label()),
            version: amended.filter(|_| change.is_none()).map(|amended| amended.version.to_string()),
            of: change.map(|amended| amended.target.to_string()),
            summary: message.summary.as_ref().map(|summary| summary.totals()),
        }
    }
    let messages = past.map(|past| past.messages.iter().map(shape).collect());
    let position = past.map(|past| past.top.to_string());
    text(&List { messages: messages.unwrap_or_default(), position, more: past.is_some_and(|past| past.more) })
}

pub fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings, numbers and JSON become JSON")
}
