//! What Pusher clients read: `{"event":…,"channel":…,"data":"…"}`, the data a string whatever it is.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::realtime::dialect::{Encode, Encoded};
use crate::realtime::pusher::name;
use crate::realtime::vocabulary::json_writer::quoted;
use crate::realtime::vocabulary::{
    Channel, EncodedFrames, Event, Frame, JsonWriter, Member, Message, Payload, Presence,
};

/// The key of what a draft carries that only this dialect reads: the id of the member who sent a client event.
pub const SENDER: &str = "pusher.user";
/// The event's name where a message has none: it came from a dialect without such.
pub const UNNAMED: &str = "message";

/// The one encoding of an app's clients.
#[derive(Debug)]
pub struct PusherEncoder {
    /// Whose reserved channels are its watchlists'.
    pub owner: Arc<str>,
    pub prefix: Arc<str>,
}

impl Encode for PusherEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        match event {
            // The protocol has no word for what becomes of an event.
            Event::Message(message) if !message.is_ordinary() => Encoded::Skip,
            Event::Message(message) => self.message(message),
            Event::Presence { change, user_stays: true, .. } if *change != Presence::Updated => Encoded::Skip,
            Event::Presence { channel, change, member, .. } => match channel.reserved_name(&self.owner) {
                Some(_) if *change == Presence::Updated => Encoded::Skip,
                Some(_) => {
                    let status = if *change == Presence::Joined { "online" } else { "offline" };
                    Encoded::Shared(watchlist(&[(status, &[&member.key])]).into())
                }
                // The protocol has no word for it: who shows something else has gone and come.
                None if *change == Presence::Updated => {
                    let told = [Presence::Left, Presence::Joined].map(|change| self.presence(channel, change, member));
                    Encoded::Shared(EncodedFrames::several(told.into()))
                }
                None => Encoded::Shared(self.presence(channel, *change, member).into()),
            },
            Event::Subscribers { channel, subscribers } => {
                let data = json!({ "subscription_count": subscribers }).to_string();
                let name = self.name(channel);
                Encoded::Shared(
                    frame("pusher_internal:subscription_count", Some(name), Some(&quoted(&data)), None).into(),
                )
            }
            _ => Encoded::PerClient,
        }
    }
}

impl PusherEncoder {
    /// A channel's name without the app's prefix.
    fn name<'a>(&self, channel: &'a Channel) -> &'a str {
        let name = channel.as_str();
        name.strip_prefix(&*self.prefix).unwrap_or(name)
    }

    fn message(&self, message: &Message) -> Encoded {
        let draft = &message.draft;
        let event = draft.name.as_deref().unwrap_or(UNNAMED);
        if name::is_reserved(event) {
            // Of another dialect's client, who must not speak for the door.
            return Encoded::Skip;
        }
        let data = match &draft.data {
            Payload::Text(text) | Payload::Json(text) => quoted(text),
            Payload::Binary(bytes) => format!("\"{}\"", STANDARD.encode(bytes)),
        };
        let user = draft.extras.of(SENDER).and_then(|user| std::str::from_utf8(user).ok());
        Encoded::Shared(EncodedFrames::new(frame(event, Some(self.name(&message.channel)), Some(&data), user)))
    }

    fn presence(&self, channel: &Channel, change: Presence, member: &Member) -> Frame {
        let (event, data) = if change == Presence::Joined {
            let mut data = JsonWriter::object(32);
            data.text("user_id", member.name());
            if let Some(info) = &member.info {
                data.json("user_info", &value(info));
            }
            ("pusher_internal:member_added", data.end())
        } else {
            ("pusher_internal:member_removed", format!("{{\"user_id\":{}}}", quoted(member.name())))
        };
        frame(event, Some(self.name(channel)), Some(&quoted(&data)), None)
    }
}

/// A frame; `data` is one JSON value as it stands.
pub fn frame(event: &str, channel: Option<&str>, data: Option<&str>, user: Option<&str>) -> Frame {
    let mut json = JsonWriter::object(64 + data.map_or(0, str::len));
    json.text("event", event);
    for (key, value) in [("channel", channel), ("user_id", user)] {
        if let Some(value) = value {
            json.text(key, value);
        }
    }
    if let Some(data) = data {
        json.json("data", data);
    }
    Frame::text(json.end())
}

/// Who of a watchlist is online or offline now.
pub fn watchlist(changes: &[(&str, &[&str])]) -> Frame {
    let events: Vec<Value> = changes
        .iter()
        .filter(|(_, users)| !users.is_empty())
        .map(|(name, users)| json!({ "name": name, "user_ids": users }))
        .collect();
    let data = json!({ "events": events }).to_string();
    frame("pusher_internal:watchlist_events", None, Some(&quoted(&data)), None)
}

/// The members of a presence channel, as a subscription is answered with.
pub fn members(members: &[Arc<Member>]) -> String {
    let mut data = JsonWriter::object(32 + 64 * members.len());
    data.nested("presence", |data| {
        data.raw("count", members.len());
        data.list("ids", members, |data, member| data.text_item(member.name()));
        data.nested("hash", |data| {
            for member in members {
                data.any_key(member.name());
                data.item(&member.info.as_ref().map_or("null".to_owned(), value));
            }
        });
    });
    data.end()
}

/// A payload as one JSON value.
pub fn value(payload: &Payload) -> String {
    match payload {
        Payload::Json(text) => text.to_string(),
        Payload::Text(text) => quoted(text),
        Payload::Binary(bytes) => format!("\"{}\"", STANDARD.encode(bytes)),
    }
}

/// A payload as clients are given it: as the inside of a string.
pub fn form_of(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) | Payload::Json(text) => text.to_string(),
        Payload::Binary(bytes) => STANDARD.encode(bytes),
    }
}
