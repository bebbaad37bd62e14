//! What plain clients read: JSON with a `type`, or frames as they are; with positions for those who asked for them.

use base64::Engine;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::realtime::dialect::{Encode, Encoded, server_sent};
use crate::realtime::vocabulary::{
    Amended, Change, EncodedFrames, Event, Frame, JsonWriter, Member, Message, Payload, Position, Presence,
};

/// How a plain client reads. Each is an encoding of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlainEncoder {
    /// `{"type":"broadcast","data":…}`.
    Json,
    /// The same with `"id"` (the position) and `"time"`, for clients that come back with `?since=`.
    Positioned,
    /// Frames as they are.
    Verbatim,
    /// Server-Sent Events (HTML, section 9.2): the JSON as `data:`, the position as `id:`.
    EventStream { verbatim: bool },
}

impl Encode for PlainEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let frame = match event {
            Event::Message(message) if !self.has_places() && !message.is_ordinary() => return Encoded::Skip,
            Event::Message(message) => match message.change() {
                Some(amended) => self.change(message, amended),
                None => self.message(message),
            },
            Event::Presence { .. } if self.is_verbatim() => return Encoded::Skip,
            Event::Presence { change, user_stays: true, .. } if *change != Presence::Updated => return Encoded::Skip,
            Event::Presence { change, member, .. } => {
                let kind = match change {
                    Presence::Joined => "join",
                    Presence::Updated => "update",
                    Presence::Left => "leave",
                };
                let mut json = typed(kind, 0);
                json.key("member");
                self::member(&mut json, member);
                self.say(json.end(), None)
            }
            Event::Subscribers { .. } => return Encoded::Skip,
            _ => return Encoded::PerClient,
        };
        Encoded::Shared(EncodedFrames::new(frame))
    }
}

impl PlainEncoder {
    pub fn is_verbatim(self) -> bool {
        matches!(self, PlainEncoder::Verbatim | PlainEncoder::EventStream { verbatim: true })
    }

    /// Its clients know messages by their positions.
    fn has_places(self) -> bool {
        matches!(self, PlainEncoder::Positioned | PlainEncoder::EventStream { verbatim: false })
    }

    /// What becomes of an earlier message: `{"type":"change","change":"update","of":POSITION,"data":…}`.
    fn change(self, message: &Message, amended: &Amended) -> Frame {
        let draft = &message.draft;
        let mut json = typed("change", draft.data.len());
        json.plain_text("change", amended.change.label());
        json.plain_text("of", amended.target);
        match &amended.change {
            Change::Annotate(annotation) => {
                json.text("kind", &annotation.kind);
                if annotation.removes {
                    json.raw("removed", true);
                }
            }
            Change::Update | Change::Delete | Change::Append => payload(&mut json, "data", &draft.data),
        }
        if let Some(name) = &draft.name {
            json.text("name", name);
        }
        if let Some(summary) = &message.summary {
            json.raw("summary", summary.totals());
        }
        if self == PlainEncoder::Positioned {
            json.plain_text("id", message.position);
            json.raw("time", amended.version_ms);
        }
        self.say(json.end(), Some(message.position))
    }

    fn message(self, message: &Message) -> Frame {
        let draft = &message.draft;
        match (self, &draft.data) {
            (PlainEncoder::Verbatim, Payload::Text(text) | Payload::Json(text)) => return Frame::Text(text.clone()),
            (PlainEncoder::Verbatim, Payload::Binary(bytes)) => return Frame::Binary(bytes.clone()),
            (PlainEncoder::EventStream { verbatim: true }, Payload::Text(text) | Payload::Json(text)) => {
                return self.say(text.to_string(), Some(message.position));
            }
            (PlainEncoder::EventStream { verbatim: true }, Payload::Binary(bytes)) => {
                return self.say(STANDARD.encode(bytes), Some(message.position));
            }
            _ => {}
        }
        let mut json = typed("broadcast", draft.data.len());
        if let Some(name) = &draft.name {
            json.text("name", name);
        }
        payload(&mut json, "data", &draft.data);
        if self.has_places() {
            self::state(&mut json, message);
        }
        if self == PlainEncoder::Positioned {
            json.plain_text("id", message.position);
            json.raw("time", message.unix_ms);
        }
        self.say(json.end(), Some(message.position))
    }

    /// `text` on its own; `position` only where the encoder shows it outside the text.
    pub fn say(self, text: String, position: Option<Position>) -> Frame {
        if !matches!(self, PlainEncoder::EventStream { .. }) {
            return Frame::text(text);
        }
        Frame::text(server_sent::event(position.as_ref().map(|position| position as _), None, &text))
    }

    /// What keeps a silent link alive.
    pub fn ping(self) -> Frame {
        match self {
            PlainEncoder::EventStream { .. } => Frame::text(server_sent::COMMENT),
            _ => Frame::Ping(Bytes::new()),
        }
    }
}

/// What has become of a message since it was said, where anything has.
fn state(json: &mut JsonWriter, message: &Message) {
    if let Some(amended) = &message.amended {
        json.plain_text("change", amended.change.label());
        json.plain_text("version", amended.version);
    }
    if let Some(summary) = &message.summary {
        json.raw("summary", summary.totals());
    }
}

/// An object that begins with its `type`, with room for so much data.
pub fn typed(kind: &str, data: usize) -> JsonWriter {
    let mut json = JsonWriter::object(64 + data + data / 8);
    json.plain_text("type", kind);
    json
}

/// A field of data; bytes as base64, with `encoding` beside it.
pub fn payload(json: &mut JsonWriter, key: &str, value: &Payload) {
    match value {
        Payload::Text(text) => json.text(key, text),
        Payload::Json(text) => json.json(key, text),
        Payload::Binary(bytes) => {
            json.plain_text(key, Base64Display::new(bytes, &STANDARD));
            json.plain_text("encoding", "base64");
        }
    }
}

/// A member: `{"id", "info"}`.
pub fn member(json: &mut JsonWriter, member: &Member) {
    json.braced(|json| {
        json.text("id", member.name());
        if let Some(info) = &member.info {
            payload(json, "info", info);
        }
    });
}
