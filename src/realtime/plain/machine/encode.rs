//! What plain clients read: JSON with a `type`, or frames as they are; with positions for those who asked for them.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::realtime::dialect::{Encode, Encoded};
use crate::realtime::vocabulary::{EncodedFrames, Event, Frame, Member, Message, Payload, Position, Presence};

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
            Event::Message(message) => self.message(message),
            Event::Presence { .. } if self.is_verbatim() => return Encoded::Skip,
            Event::Presence { change, member, .. } => {
                let mut json = Json::new(match change {
                    Presence::Joined => "join",
                    Presence::Updated => "update",
                    Presence::Left => "leave",
                });
                json.key("member");
                json.member(member);
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
        let mut json = Json::with_capacity("broadcast", draft.data.len());
        if let Some(name) = &draft.name {
            json.text("name", name);
        }
        json.payload("data", &draft.data);
        if self == PlainEncoder::Positioned {
            json.display("id", message.position);
            json.number("time", message.unix_ms);
        }
        self.say(json.end(), Some(message.position))
    }

    /// `text` on its own; `position` only where the encoder shows it outside the text.
    pub fn say(self, text: String, position: Option<Position>) -> Frame {
        if !matches!(self, PlainEncoder::EventStream { .. }) {
            return Frame::text(text);
        }
        let mut block = String::with_capacity(text.len() + 48);
        if let Some(position) = position {
            let _ = writeln!(block, "id: {position}");
        }
        // A carriage return ends a line too, so each kind of line end becomes a line of its own.
        for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
            let _ = writeln!(block, "data: {line}");
        }
        block.push('\n');
        Frame::text(block)
    }

    /// What keeps a silent link alive.
    pub fn ping(self) -> Frame {
        match self {
            PlainEncoder::EventStream { .. } => Frame::text(": ping\n\n"),
            _ => Frame::Ping(Bytes::new()),
        }
    }
}

/// A JSON object in the making, written straight into its text.
pub struct Json(String);

impl Json {
    pub fn new(kind: &str) -> Json {
        Json::with_capacity(kind, 0)
    }

    pub fn with_capacity(kind: &str, data: usize) -> Json {
        let mut text = String::with_capacity(64 + data + data / 8);
        text.push_str("{\"type\":\"");
        text.push_str(kind);
        text.push('"');
        Json(text)
    }

    pub fn key(&mut self, key: &str) {
        self.0.push_str(",\"");
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    pub fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.quote(value);
    }

    /// For values that need no escape.
    pub fn display(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        let _ = write!(self.0, "\"{value}\"");
    }

    pub fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    pub fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        self.0.push_str(if value { "true" } else { "false" });
    }

    pub fn payload(&mut self, key: &str, value: &Payload) {
        self.key(key);
        match value {
            Payload::Text(text) => self.quote(text),
            Payload::Json(text) => self.0.push_str(text),
            Payload::Binary(bytes) => {
                self.0.push('"');
                STANDARD.encode_string(bytes, &mut self.0);
                self.0.push('"');
                self.display("encoding", "base64");
            }
        }
    }

    pub fn member(&mut self, member: &Member) {
        self.0.push_str("{\"id\":");
        self.quote(&member.key);
        if let Some(info) = &member.info {
            self.payload("info", info);
        }
        self.0.push('}');
    }

    pub fn members<'a>(&mut self, key: &str, members: impl IntoIterator<Item = &'a Member>) {
        self.key(key);
        self.0.push('[');
        for (place, member) in members.into_iter().enumerate() {
            if place > 0 {
                self.0.push(',');
            }
            self.member(member);
        }
        self.0.push(']');
    }

    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn quote(&mut self, text: &str) {
        let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
        if text.as_bytes().iter().all(plain) {
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
            return;
        }
        self.0.push('"');
        for c in text.chars() {
            match c {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                c if c < '\u{20}' => {
                    let _ = write!(self.0, "\\u{:04x}", u32::from(c));
                }
                c => self.0.push(c),
            }
        }
        self.0.push('"');
    }
}
