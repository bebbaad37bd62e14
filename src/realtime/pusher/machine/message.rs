//! What a client says, read once and checked: one JSON object a message.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json;
use crate::realtime::vocabulary::Payload;

/// A message of a client.
#[derive(Debug, PartialEq)]
pub enum Said<'a> {
    Ping,
    Pong,
    Subscribe(SubscribeRequest<'a>),
    Unsubscribe {
        channel: Cow<'a, str>,
    },
    SignIn {
        auth: Cow<'a, str>,
        user_data: Cow<'a, str>,
    },
    /// An event for the other clients in a channel.
    Client {
        event: Cow<'a, str>,
        channel: Cow<'a, str>,
        data: Payload,
    },
    /// An event that means nothing here.
    Other,
}

/// What a client shows to be let into a channel.
#[derive(Debug, PartialEq, Deserialize)]
pub struct SubscribeRequest<'a> {
    #[serde(borrow)]
    pub channel: Cow<'a, str>,
    /// `KEY:SIGNATURE`; empty for public channels.
    #[serde(borrow, default)]
    pub auth: Option<Cow<'a, str>>,
    /// Who it is there: JSON, as it was signed.
    #[serde(borrow, default)]
    pub channel_data: Option<Cow<'a, str>>,
}

/// Who a client is in a presence channel.
#[derive(Debug, PartialEq)]
pub struct Membership {
    pub user_id: String,
    pub user_info: Option<Box<str>>,
}

/// Who a client that signs in is.
#[derive(Debug, PartialEq)]
pub struct UserData {
    pub id: String,
    pub user_info: Option<Box<str>>,
    pub watchlist: Vec<String>,
}

#[derive(Deserialize)]
struct EventEnvelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    channel: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Credentials<'a> {
    #[serde(borrow)]
    auth: Cow<'a, str>,
    #[serde(borrow)]
    user_data: Cow<'a, str>,
}

/// Not a message; the words are for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedMessage(pub &'static str);

impl<'a> Said<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// `MalformedMessage`: not JSON, no event, or an event without what it needs.
    pub fn read(text: &'a str) -> Result<Said<'a>, MalformedMessage> {
        let message: EventEnvelope =
            serde_json::from_str(text).map_err(|_| MalformedMessage("Could not parse the message."))?;
        let EventEnvelope { event, channel, data } = message;
        match &*event {
            "pusher:ping" => return Ok(Said::Ping),
            "pusher:pong" => return Ok(Said::Pong),
            "pusher:subscribe" => {
                let subscription =
                    inner(data).ok_or(MalformedMessage("pusher:subscribe needs data with a channel."))?;
                return Ok(Said::Subscribe(subscription));
            }
            "pusher:unsubscribe" => {
                let Named { channel } =
                    inner(data).ok_or(MalformedMessage("pusher:unsubscribe needs data with a channel."))?;
                return Ok(Said::Unsubscribe { channel });
            }
            "pusher:signin" => {
                let missing = MalformedMessage("pusher:signin needs data with auth and user_data.");
                let Credentials { auth, user_data } = inner(data).ok_or(missing)?;
                return Ok(Said::SignIn { auth, user_data });
            }
            event if !event.starts_with("client-") => return Ok(Said::Other),
            _ => {}
        }
        let channel = channel.ok_or(MalformedMessage("A client event needs a channel."))?;
        Ok(Said::Client { event, channel, data: payload(data) })
    }
}

/// Data of an event of ours: an object, as all clients write it.
fn inner<'a, T: Deserialize<'a>>(data: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(data?.get()).ok()
}

/// What a client event carries: text as text, anything else as JSON.
fn payload(data: Option<&RawValue>) -> Payload {
    let Some(data) = data else { return Payload::Json("null".into()) };
    match serde_json::from_str::<Cow<str>>(data.get()) {
        Ok(text) => Payload::Text(text.as_ref().into()),
        Err(_) => json::from_str(data.get())
            .map_or_else(|_| Payload::Json(data.get().into()), |text: String| Payload::Text(text.into())),
    }
}

/// An id that is text, or a number as some libraries write it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(serde_json::Number),
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        match id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        }
    }
}

impl Membership {
    /// Reads `channel_data`; `None` where it says no `user_id`.
    pub fn read(text: &str) -> Option<Membership> {
        #[derive(Deserialize)]
        struct Wire {
            user_id: Id,
            #[serde(default)]
            user_info: Option<Box<RawValue>>,
        }
        let Wire { user_id, user_info } = json::from_str(text).ok()?;
        Some(Membership { user_id: user_id.into(), user_info: user_info.map(|info| info.get().into()) })
    }
}

impl UserData {
    /// Reads `user_data`; `None` where it says no `id`.
    pub fn read(text: &str) -> Option<UserData> {
        #[derive(Deserialize)]
        struct Wire {
            id: Id,
            #[serde(default)]
            user_info: Option<Box<RawValue>>,
            #[serde(default)]
            watchlist: Option<Vec<Id>>,
        }
        let Wire { id, user_info, watchlist } = json::from_str(text).ok()?;
        let watchlist = watchlist.unwrap_or_default().into_iter().map(String::from).collect();
        Some(UserData { id: id.into(), user_info: user_info.map(|info| info.get().into()), watchlist })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        assert_eq!(Said::read(r#"{"event":"pusher:ping","data":{}}"#), Ok(Said::Ping));
        assert_eq!(Said::read(r#"{"event":"pusher:pong"}"#), Ok(Said::Pong));
        let said = Said::read(r#"{"event":"pusher:subscribe","data":{"channel":"a","auth":"","extra":1}}"#);
        let subscription = SubscribeRequest { channel: "a".into(), auth: Some("".into()), channel_data: None };
        assert_eq!(said, Ok(Said::Subscribe(subscription)));
        let said = Said::read(r#"{"event":"client-a\u0062","channel":"private-x","data":{"a": [1]}}"#);
        let data = Payload::Json("{\"a\": [1]}".into());
        assert_eq!(said, Ok(Said::Client { event: "client-ab".into(), channel: "private-x".into(), data }));
        let Ok(Said::Client { data, .. }) = Said::read(r#"{"event":"client-a","channel":"c","data":"te\"xt"}"#) else {
            panic!()
        };
        assert_eq!(data, Payload::Text("te\"xt".into()));
        assert_eq!(Said::read(r#"{"event":"hello"}"#), Ok(Said::Other));
    }

    #[test]
    fn what_is_no_message_is_malformed() {
        for text in [
            "",
            "{",
            "[]",
            "null",
            "\"pusher:ping\"",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"pusher:subscribe"}"#,
            r#"{"event":"pusher:subscribe","data":"x"}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":7}}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":"a","auth":{}}}"#,
            r#"{"event":"pusher:unsubscribe","data":{}}"#,
            r#"{"event":"pusher:signin","data":{"auth":"k:s"}}"#,
            r#"{"event":"client-x","data":{}}"#,
            r#"{"event":"client-x","channel":["a"]}"#,
        ] {
            assert!(Said::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn who_a_client_is_may_be_a_number() {
        let membership = Membership::read(r#"{"user_id":7,"user_info":{"name":"Ann"}}"#).unwrap();
        assert_eq!(membership.user_id, "7");
        assert_eq!(membership.user_info.as_deref(), Some(r#"{"name":"Ann"}"#));
        assert_eq!(Membership::read(r#"{"user_info":{}}"#), None);
        assert_eq!(Membership::read("nonsense"), None);
        let user = UserData::read(r#"{"id":"ann","watchlist":["bob",7]}"#).unwrap();
        assert_eq!((user.id.as_str(), user.watchlist), ("ann", vec!["bob".to_owned(), "7".to_owned()]));
    }
}
