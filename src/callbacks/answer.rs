//! What the app answers, as JSON; every field may be absent. An empty answer allows and does nothing more.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use super::callback::Content;

use crate::json;

/// The app's answer to one callback.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// False refuses what was asked for. Default true.
    #[serde(default, deserialize_with = "allow")]
    pub allow: Option<bool>,
    /// With a refusal: a close code from 3000 to 4999, or one of the dialect's own.
    #[serde(default)]
    pub code: Option<u16>,
    /// With a refusal: a sentence that the client reads.
    #[serde(default)]
    pub reason: Option<String>,
    /// Who this client is from now on.
    #[serde(default, deserialize_with = "given")]
    pub user: Option<User>,
    /// What comes back with every later callback about this client, and is told to nobody else.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
    /// Channels that the client hears from now on.
    #[serde(default)]
    pub channels: Vec<String>,
    /// In place of the message that was asked about.
    #[serde(default, deserialize_with = "replace")]
    pub replace: Option<Content>,
    /// For the client's acknowledgement, where its dialect has such.
    #[serde(default)]
    pub ack: Option<Box<RawValue>>,
    /// Carried out in this order, after the above.
    #[serde(default)]
    pub commands: Vec<Do>,
}

/// What is said, and is not null: a value that a handler never got is no yes.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn allow<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    given(deserializer).map_err(|error| D::Error::custom(format!("allow: {error}")))
}

fn replace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Content>, D::Error> {
    given(deserializer).map_err(|error| D::Error::custom(format!("replace: {error}")))
}

/// Reads an object. What serde makes of structs would take arrays too, and an empty one for an object without fields.
fn object<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    match text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
        true => json::from_str(text),
        false => Err(serde_json::Error::custom("not an object")),
    }
}

/// `"ada"` or `{"id": "ada", "info": …}`.
#[derive(Debug, Clone)]
pub struct User {
    pub id: Arc<str>,
    /// What others may know of the user: JSON.
    pub info: Option<Box<RawValue>>,
}

impl<'de> Deserialize<'de> for User {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Known {
            id: Arc<str>,
            #[serde(default)]
            info: Option<Box<RawValue>>,
        }
        // Through the raw text, because serde's own buffer (`untagged`) cannot hold raw JSON.
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let known = if raw.get().starts_with('"') {
            json::from_str(raw.get()).map(|id| Known { id, info: None })
        } else {
            object(raw.get())
        };
        let Known { id, info } = known.map_err(|error| D::Error::custom(format!("user: {error}")))?;
        if id.trim().is_empty() {
            return Err(D::Error::custom("user: the id is empty"));
        }
        Ok(User { id, info })
    }
}

/// One command: `{"do": "publish", "channel": "lobby", "json": {…}}`.
#[derive(Debug)]
pub struct Do {
    /// Default: the client that was asked about.
    pub connection: Option<String>,
    pub act: Act,
}

/// A thing that the app has the hub do, in its answer to a callback.
#[derive(Debug)]
pub enum Act {
    /// To this client only.
    Send {
        name: Option<Arc<str>>,
        content: Content,
    },
    /// `echo`: the client that was asked about hears it too. Default true.
    Publish {
        target: Target,
        name: Option<Arc<str>>,
        echo: bool,
        content: Content,
    },
    /// An event, in the words of dialects that have rooms and namespaces.
    Emit(Box<Emit>),
    /// An event that asks those who hear it; what they answer comes as a callback of its own.
    Ask(Box<Ask>),
    /// The client's acknowledgement, in its turn; an array is its arguments.
    Ack {
        args: Option<Box<RawValue>>,
    },
    Join {
        destination: Destination,
    },
    Leave {
        destination: Destination,
    },
    /// `close`: the whole connection, where the dialect has several clients on one. Default: the client.
    Disconnect {
        code: Option<u16>,
        reason: Option<String>,
        close: bool,
    },
    Identify {
        user: User,
    },
}

/// `{"do": "emit", "name": "news", "args": [1], "to": ["room"]}`.
#[derive(Debug)]
pub struct Emit {
    pub name: Arc<str>,
    /// A JSON array. Default `[]`.
    pub args: Option<Box<RawValue>>,
    /// Default: that of the client that was asked about.
    pub namespace: Option<String>,
    pub to: Audience,
    /// Rooms and clients that do not hear it.
    pub except: Vec<String>,
    /// The client that was asked about hears it too, where it is among those. Default true.
    pub echo: bool,
    /// Not worth waiting for.
    pub volatile: bool,
}

/// `{"do": "ask", "id": "7", "timeout": 5000, "name": "ready?", "to": ["lobby"]}`.
#[derive(Debug)]
pub struct Ask {
    pub emit: Emit,
    /// The app's own name for it, which comes back with what was answered. At most 128 bytes.
    pub id: Box<str>,
    /// How long answers are waited for. At most 5 minutes.
    pub timeout: Duration,
}

/// The longest that answers are waited for, in milliseconds.
const MAX_TIMEOUT_MILLIS: u64 = 300_000;
const MOST_ID: usize = 128;

/// Who hears an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// The client that was asked about.
    Client,
    /// Those in any of these rooms, and clients by their ids.
    Rooms(Vec<String>),
    /// All of the namespace.
    Everyone,
}

/// A channel by its name, or a room of the client's namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    Channel(String),
    Room(String),
}

/// Who hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Channel(String),
    User(Arc<str>),
    Everyone,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum ActVerb {
    Send,
    Publish,
    Emit,
    Ask,
    Ack,
    Join,
    Leave,
    Disconnect,
    Identify,
}

/// All that a command can say; which of it belongs together is checked after.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    r#do: ActVerb,
    connection: Option<String>,
    channel: Option<String>,
    user: Option<User>,
    everyone: Option<bool>,
    name: Option<Arc<str>>,
    echo: Option<bool>,
    text: Option<String>,
    json: Option<Box<RawValue>>,
    base64: Option<String>,
    code: Option<u16>,
    reason: Option<String>,
    room: Option<String>,
    namespace: Option<String>,
    args: Option<Box<RawValue>>,
    to: Option<Vec<String>>,
    except: Option<Vec<String>>,
    volatile: Option<bool>,
    close: Option<bool>,
    id: Option<Box<str>>,
    timeout: Option<u64>,
}

impl<'de> Deserialize<'de> for Do {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let mut words: Words = object(raw.get()).map_err(|error| D::Error::custom(format!("commands: {error}")))?;
        let connection = words.connection.take();
        let act = words.act().map_err(D::Error::custom)?;
        Ok(Do { connection, act })
    }
}

impl Words {
    fn act(mut self) -> Result<Act, &'static str> {
        let destination = |channel: Option<String>, room: Option<String>| match (channel, room) {
            (Some(channel), None) => Ok(Destination::Channel(channel)),
            (None, Some(room)) => Ok(Destination::Room(room)),
            _ => Err("join and leave need one of: channel, room"),
        };
        Ok(match self.r#do {
            ActVerb::Send => Act::Send { content: content(self.text, self.json, self.base64)?, name: self.name },
            ActVerb::Publish => {
                let target = match (self.channel, self.user, self.everyone) {
                    (Some(channel), None, None) => Target::Channel(channel),
                    (None, Some(user), None) => Target::User(user.id),
                    (None, None, Some(true)) => Target::Everyone,
                    _ => return Err("publish needs one of: channel, user, everyone: true"),
                };
                let content = content(self.text, self.json, self.base64)?;
                Act::Publish { target, name: self.name, echo: self.echo.unwrap_or(true), content }
            }
            ActVerb::Emit => Act::Emit(Box::new(self.emit()?)),
            ActVerb::Ask => {
                let id = self.id.take().filter(|id| !id.is_empty() && id.len() <= MOST_ID);
                let timeout = self.timeout.filter(|timeout| (1..=MAX_TIMEOUT_MILLIS).contains(timeout));
                Act::Ask(Box::new(Ask {
                    id: id.ok_or("ask needs an id of at most 128 bytes")?,
                    timeout: Duration::from_millis(timeout.ok_or("ask needs a timeout from 1 to 300000 milliseconds")?),
                    emit: self.emit()?,
                }))
            }
            ActVerb::Ack => Act::Ack { args: self.args },
            ActVerb::Join => Act::Join { destination: destination(self.channel, self.room)? },
            ActVerb::Leave => Act::Leave { destination: destination(self.channel, self.room)? },
            ActVerb::Disconnect => {
                Act::Disconnect { code: self.code, reason: self.reason, close: self.close.unwrap_or(false) }
            }
            ActVerb::Identify => Act::Identify { user: self.user.ok_or("identify needs a user")? },
        })
    }
}

impl Words {
    fn emit(self) -> Result<Emit, &'static str> {
        let to = match (self.to, self.everyone.unwrap_or(false)) {
            (None, false) => Audience::Client,
            (None, true) => Audience::Everyone,
            (Some(rooms), false) => Audience::Rooms(rooms),
            (Some(_), true) => return Err("emit goes to rooms or to everyone, not both"),
        };
        Ok(Emit {
            name: self.name.ok_or("emit needs a name")?,
            args: self.args,
            namespace: self.namespace,
            to,
            except: self.except.unwrap_or_default(),
            echo: self.echo.unwrap_or(true),
            volatile: self.volatile.unwrap_or(false),
        })
    }
}

fn content(text: Option<String>, json: Option<Box<RawValue>>, base64: Option<String>) -> Result<Content, &'static str> {
    match (text, json, base64) {
        (Some(text), None, None) => Ok(Content::Text(text)),
        (None, Some(json), None) => Ok(Content::Json(json)),
        (None, None, Some(base64)) => Ok(Content::Base64(base64)),
        _ => Err("a message needs one of: text, json, base64"),
    }
}

impl Answer {
    /// Reads an answer: 2xx with JSON or nothing; 401 and 403 refuse.
    ///
    /// # Errors
    /// One sentence for the log: what is wrong with it, and where.
    pub fn parse(status: StatusCode, body: &[u8]) -> Result<Answer, String> {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let mut answer = Answer::read(body).unwrap_or_default();
                answer.allow = Some(false);
                Ok(answer)
            }
            status if status.is_success() => Answer::read(body),
            StatusCode::GONE => Err("status 410: what asked is no longer there, or in another process".into()),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                Err(format!("status {}: is there a POST handler at the callback's path?", status.as_u16()))
            }
            status => Err(format!("status {}", status.as_u16())),
        }
    }

    fn read(body: &[u8]) -> Result<Answer, String> {
        if body.trim_ascii().is_empty() {
            return Ok(Answer::default());
        }
        let text = std::str::from_utf8(body).map_err(|_| "its JSON is not an answer: it is not UTF-8")?;
        object(text).map_err(|error| format!("its JSON is not an answer: {error}"))
    }

    pub fn allows(&self) -> bool {
        self.allow.unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(status: u16, body: &str) -> Result<Answer, String> {
        Answer::parse(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn nothing_allows() {
        assert!(parse(200, "").unwrap().allows());
        assert!(parse(204, " \n").unwrap().allows());
        assert!(parse(200, "{}").unwrap().allows());
    }

    #[test]
    fn refusals_have_words_or_only_a_status() {
        let answer = parse(200, r#"{"allow": false, "code": 4003, "reason": "not here"}"#).unwrap();
        assert!(!answer.allows());
        assert_eq!((answer.code, answer.reason.as_deref()), (Some(4003), Some("not here")));
        assert!(!parse(401, "Unauthorized").unwrap().allows());
        assert!(!parse(403, r#"{"allow": true}"#).unwrap().allows());
    }

    #[test]
    fn commands_come_in_order() {
        let text = r#"{
            "user": {"id": "ada", "info": {"name": "Ada"}}, "data": {"n": 1}, "channels": ["lobby"],
            "commands": [
                {"do": "send", "json": {"hello": 1}},
                {"do": "publish", "channel": "lobby", "text": "hi", "echo": false},
                {"do": "publish", "everyone": true, "name": "news", "base64": "AAE="},
                {"do": "publish", "user": "bob", "text": "psst"},
                {"do": "join", "channel": "a"}, {"do": "leave", "channel": "a"},
                {"do": "disconnect", "connection": "00ff", "code": 4001},
                {"do": "identify", "user": "grace"}
            ]}"#;
        let answer = parse(200, text).unwrap();
        assert_eq!(answer.user.as_ref().map(|user| &*user.id), Some("ada"));
        assert_eq!(answer.commands.len(), 8);
        assert!(
            matches!(&answer.commands[0].act, Act::Send { content: Content::Json(json), .. } if json.get() == "{\"hello\": 1}")
        );
        assert!(matches!(&answer.commands[1].act,
            Act::Publish { target: Target::Channel(channel), echo: false, .. } if channel == "lobby"));
        assert_eq!(answer.commands[6].connection.as_deref(), Some("00ff"));
    }

    #[test]
    fn nonsense_is_named() {
        for (status, text, part) in [
            (200, "<html>", "its JSON is not an answer"),
            (200, r#"{"alow": true}"#, "alow"),
            (200, r#"{"commands": [{"do": "explode"}]}"#, "explode"),
            (200, r#"{"commands": [{"do": "publish", "text": "x"}]}"#, "publish needs"),
            (200, r#"{"commands": [{"do": "send"}]}"#, "text, json, base64"),
            (200, r#"{"user": 7}"#, "user"),
            (200, "null", "not an object"),
            (200, "0", "not an object"),
            (200, r#""yes""#, "not an object"),
            (200, "true", "not an object"),
            (200, "[]", "not an object"),
            (200, "[true]", "not an object"),
            (200, r#"{"allow": null}"#, "allow"),
            (200, r#"{"allow": "false"}"#, "allow"),
            (200, r#"{"allow": 0}"#, "allow"),
            (200, r#"{"allow": []}"#, "allow"),
            (200, r#"{"allow": false, "allow": true}"#, "duplicate"),
            (200, r#"{"allow": true} {}"#, "trailing"),
            (200, r#"{"user": ""}"#, "empty"),
            (200, r#"{"user": " "}"#, "empty"),
            (200, r#"{"user": null}"#, "user"),
            (200, r#"{"user": {"id": ""}}"#, "empty"),
            (200, r#"{"user": {"id": null}}"#, "user"),
            (200, r#"{"user": {}}"#, "user"),
            (200, r#"{"user": []}"#, "user"),
            (200, r#"{"user": ["ada"]}"#, "user"),
            (200, r#"{"user": {"id": "ada", "id": "bob"}}"#, "duplicate"),
            (200, r#"{"channels": null}"#, "null"),
            (200, r#"{"channels": "lobby"}"#, "string"),
            (200, r#"{"channels": [null]}"#, "null"),
            (200, r#"{"replace": null}"#, "replace"),
            (200, r#"{"replace": {}}"#, "replace"),
            (200, r#"{"commands": {}}"#, "map"),
            (200, r#"{"commands": [["send"]]}"#, "commands"),
            (200, r#"{"commands": [{"do": "identify", "user": ""}]}"#, "empty"),
            (200, r#"{"commands": [{"do": "join", "channel": "a", "do": "leave"}]}"#, "duplicate"),
            (200, r#"{"commands": [{"do": "ask", "name": "x", "timeout": 5}]}"#, "an id"),
            (200, r#"{"commands": [{"do": "ask", "name": "x", "id": "1", "timeout": 300001}]}"#, "a timeout"),
            (200, r#"{"commands": [{"do": "ask", "id": "1", "timeout": 1}]}"#, "a name"),
            (410, "", "no longer there"),
            (404, "", "POST handler"),
            (307, "", "307"),
        ] {
            let error = parse(status, text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
