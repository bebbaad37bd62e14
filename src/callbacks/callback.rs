//! What we tell the app, as JSON: `{"type", "timestamp", "data"}`, as Standard Webhooks advises.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::http::Facts;
use crate::settings::keywords;

/// What the app can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    Connect,
    Subscribe,
    Message,
    /// What clients answered when a handler asked them. Not chosen in the config: who asks hears it.
    Replies,
    Disconnect,
}

keywords!(EventKind {
    "connect" => Connect,
    "subscribe" => Subscribe,
    "message" => Message,
    "publish" => Message,
    "disconnect" => Disconnect,
});

impl EventKind {
    pub fn label(self) -> &'static str {
        match self {
            EventKind::Connect => "connect",
            EventKind::Subscribe => "subscribe",
            EventKind::Message => "message",
            EventKind::Replies => "replies",
            EventKind::Disconnect => "disconnect",
        }
    }
}

/// The client a callback is about: what its upgrade said, and what is known of it since.
#[derive(Debug, Clone)]
pub struct CallbackClient {
    pub connection: String,
    /// What its dialect calls it, where that is something else.
    pub socket: Option<Arc<str>>,
    /// The dialect it speaks, for the app's information.
    pub protocol: &'static str,
    /// The path and query of its upgrade.
    pub path: String,
    pub query: String,
    pub facts: Arc<Facts>,
    /// What [`super::App::carried`] took from its upgrade.
    pub headers: HeaderMap,
    /// Whom the app said it is.
    pub user: Option<Arc<str>>,
    /// What the app gave it to keep: JSON.
    pub data: Option<Box<RawValue>>,
}

/// Which message is changed, and how.
#[derive(Debug, Clone, Serialize)]
pub struct Amends {
    /// The position of that message.
    pub of: String,
    pub change: &'static str,
    /// Of an annotation: what kind it is of, and whether it is taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Box<str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

/// What happened, or is about to.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A client wants in. Answered with allow or refuse; nothing is sent to the client before.
    Connect {
        #[serde(skip_serializing_if = "str::is_empty")]
        scope: Box<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        credentials: Option<Box<RawValue>>,
        /// It was let in before, lost its link and has come back to what it had.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        recovered: bool,
    },
    /// A client wants to hear a channel.
    Subscribe {
        channel: Box<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        credentials: Option<Box<RawValue>>,
    },
    /// A client publishes to a channel, or (without one) speaks to the app itself.
    Message {
        #[serde(skip_serializing_if = "Option::is_none")]
        channel: Option<Box<str>>,
        #[serde(skip_serializing_if = "str::is_empty")]
        scope: Box<str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<Box<str>>,
        #[serde(flatten)]
        content: Content,
        /// It changes an earlier message.
        #[serde(flatten)]
        amends: Option<Amends>,
        /// The client waits for an acknowledgement.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        ack: bool,
    },
    /// What clients have answered, since a handler's question `id` was put to them.
    Replies {
        #[serde(skip_serializing_if = "str::is_empty")]
        scope: Box<str>,
        id: Box<str>,
        results: Vec<Reply>,
        /// The connections that were asked and have not answered in time.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
        /// Why nobody was asked, or not all were.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<Box<str>>,
    },
    /// A client is gone. Delivered at least once.
    /// `reason` is one word: `closed`, `lost`, `idle`, `kicked`, `going_away`, …
    Disconnect {
        #[serde(skip_serializing_if = "str::is_empty")]
        scope: Box<str>,
        reason: Box<str>,
    },
}

/// One client's answer to a handler's question.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    pub connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<Box<str>>,
    /// A JSON array.
    pub args: Box<RawValue>,
}

/// What a message carries: `{"text"}`, `{"json"}` or, for bytes, `{"base64"}`.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    Text(String),
    Json(Box<RawValue>),
    Base64(String),
}

/// An event and the client it is about.
#[derive(Debug, Clone)]
pub struct Callback {
    client: CallbackClient,
    event: Event,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Client<'a> {
    connection: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<&'a str>,
    protocol: &'a str,
    path: &'a str,
    query: &'a str,
    address: std::net::IpAddr,
    user: Option<&'a str>,
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Data<'a> {
    client: Client<'a>,
    #[serde(flatten)]
    event: &'a Event,
}

#[derive(Serialize)]
struct QuestionEnvelope<'a> {
    r#type: &'a str,
    timestamp: String,
    data: Data<'a>,
}

impl Callback {
    pub fn new(client: CallbackClient, event: Event) -> Callback {
        Callback { client, event }
    }

    pub fn kind(&self) -> EventKind {
        match self.event {
            Event::Connect { .. } => EventKind::Connect,
            Event::Subscribe { .. } => EventKind::Subscribe,
            Event::Message { .. } => EventKind::Message,
            Event::Replies { .. } => EventKind::Replies,
            Event::Disconnect { .. } => EventKind::Disconnect,
        }
    }

    pub fn client(&self) -> &CallbackClient {
        &self.client
    }

    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The JSON that is signed and sent.
    pub fn body(&self) -> String {
        let client = &self.client;
        let client = Client {
            connection: &client.connection,
            socket: client.socket.as_deref(),
            protocol: client.protocol,
            path: &client.path,
            query: &client.query,
            address: client.facts.client,
            user: client.user.as_deref(),
            data: client.data.as_deref(),
        };
        let envelope = QuestionEnvelope {
            r#type: self.kind().label(),
            timestamp: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            data: Data { client, event: &self.event },
        };
        serde_json::to_string(&envelope).expect("strings, numbers and JSON become JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_question_is_what_the_readme_says() {
        let facts = Facts {
            client: [203, 0, 113, 7].into(),
            scheme: http::uri::Scheme::HTTPS,
            authority: "chat.test".parse().unwrap(),
            forwarded_for: http::HeaderValue::from_static("203.0.113.7"),
            request_id: crate::http::facts::RequestId::new(),
            trace: None,
            received: Instant::now(),
        };
        let client = CallbackClient {
            connection: "00ff".into(),
            socket: None,
            protocol: "plain",
            path: "/api/ws/lobby".into(),
            query: "a=1".into(),
            facts: Arc::new(facts),
            headers: HeaderMap::new(),
            user: Some("ada".into()),
            data: Some(RawValue::from_string("{\"n\":1}".into()).unwrap()),
        };
        let content = Content::Json(RawValue::from_string("[1, 2]".into()).unwrap());
        let event = Event::Message {
            channel: Some("lobby".into()),
            scope: "".into(),
            name: None,
            content,
            amends: None,
            ack: false,
        };
        let body = Callback::new(client, event).body();
        let (head, data) = body.split_once(",\"data\":").unwrap();
        assert!(head.starts_with("{\"type\":\"message\",\"timestamp\":\"2"), "{head}");
        assert_eq!(
            data,
            "{\"client\":{\"connection\":\"00ff\",\"protocol\":\"plain\",\"path\":\"/api/ws/lobby\",\"query\":\"a=1\",\
             \"address\":\"203.0.113.7\",\"user\":\"ada\",\"data\":{\"n\":1}},\"channel\":\"lobby\",\"json\":[1, 2]}}"
        );
    }
}
