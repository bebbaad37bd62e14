//! What listens to a stream of events reads: Server-Sent Events, or a JSON object a line.

use std::fmt::Display;
use std::sync::Arc;

use serde::Serialize;

use super::Format;
use super::data::Data;
use super::encode::{is_annotation, name_of};
use super::error::{AblyError, ErrorInfo};
use super::message::AblyMessage;
use super::presence::AblyPresence;
use crate::realtime::dialect::{Encode, Encoded, server_sent};
use crate::realtime::vocabulary::{EncodedFrames, Event, Frame, JsonWriter, Message};

/// The form of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamStyle {
    /// Server-Sent Events; else a line each.
    pub is_sse: bool,
    /// Data is the message with all that is known of it; else what was said, alone.
    pub is_enveloped: bool,
}

/// The encoder of one form.
#[derive(Debug)]
pub struct StreamEncoder {
    pub style: StreamStyle,
    /// What stands before the names of the app's channels at the hub.
    pub prefix: Arc<str>,
    /// The channel as the client writes it, where that is not its name.
    pub written: Option<Box<str>>,
    /// The client hears one channel, whose positions are its ids; else each machine makes ids of its own.
    pub is_alone: bool,
}

/// A message or a member, and where it is.
#[derive(Serialize)]
struct Placed<'a, T> {
    channel: &'a str,
    #[serde(flatten)]
    item: &'a T,
}

/// What an event holds.
enum EventData<'a> {
    Nothing,
    /// What was said.
    Text(&'a str),
    /// An object.
    Json(String),
}

impl Encode for StreamEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let frame = match event {
            Event::Message(_) if !self.is_alone => return Encoded::PerClient,
            Event::Message(message) => {
                let name = name_of(&message.channel, &self.prefix, self.written.as_deref());
                match self.style.message(name, message, &message.position) {
                    Some(frame) => frame,
                    None => return Encoded::Skip,
                }
            }
            Event::Presence { channel, change, member, unix_ms, .. } => {
                let name = name_of(channel, &self.prefix, self.written.as_deref());
                let item = AblyPresence::changed(*change, member, *unix_ms, Format::Json);
                self.style.placed("presence", None, name, &item, item.data.as_ref())
            }
            Event::Subscribers { .. } => return Encoded::Skip,
            _ => return Encoded::PerClient,
        };
        Encoded::Shared(EncodedFrames::new(frame))
    }
}

impl StreamStyle {
    /// All there are.
    pub const ALL: [StreamStyle; 4] = [
        StreamStyle { is_sse: true, is_enveloped: true },
        StreamStyle { is_sse: true, is_enveloped: false },
        StreamStyle { is_sse: false, is_enveloped: true },
        StreamStyle { is_sse: false, is_enveloped: false },
    ];

    /// A message of the channel that the client calls `name`; `id` is where it goes on. Of annotations it is what they come
    /// to, which is nothing that was said. Data alone has no word for what becomes of a message.
    pub fn message(self, name: &str, message: &Message, id: &dyn Display) -> Option<Frame> {
        if !self.is_enveloped && !message.is_ordinary() {
            return None;
        }
        let item = match is_annotation(message) {
            true => AblyMessage::summed(message)?,
            false => AblyMessage::shown(message, Format::Json),
        };
        Some(self.placed("message", Some(id), name, &item, item.data.as_ref()))
    }

    fn placed<T: Serialize>(
        self,
        kind: &str,
        id: Option<&dyn Display>,
        name: &str,
        item: &T,
        data: Option<&Data>,
    ) -> Frame {
        let data = match data {
            _ if self.is_enveloped => {
                // It is made of text and maps of text.
                EventData::Json(serde_json::to_string(&Placed { channel: name, item }).unwrap_or_default())
            }
            Some(Data::Text(text)) => EventData::Text(text),
            // In JSON bytes are text.
            _ => EventData::Text(""),
        };
        self.event(kind, id, &data)
    }

    /// Something is wrong, or over.
    pub fn error(self, error: &AblyError) -> Frame {
        let info = serde_json::to_string(&ErrorInfo::from(error)).unwrap_or_default();
        self.event("error", None, &EventData::Json(info))
    }

    /// Where a client goes on that has heard nothing yet; lines have no word for it.
    pub fn start(self, id: &dyn Display) -> Option<Frame> {
        self.is_sse.then(|| Frame::text(server_sent::id_alone(id)))
    }

    /// What keeps a silent stream alive: an event where one `is_told` of it.
    pub fn keepalive(self, is_told: bool) -> Frame {
        match (is_told, self.is_sse) {
            (true, _) => self.event("heartbeat", None, &EventData::Nothing),
            (false, true) => Frame::text(":keepalive\n\n"),
            (false, false) => Frame::text("\n"),
        }
    }

    fn event(self, kind: &str, id: Option<&dyn Display>, data: &EventData) -> Frame {
        if self.is_sse {
            let data = match data {
                EventData::Nothing => "",
                EventData::Text(text) => text,
                EventData::Json(json) => json,
            };
            return Frame::text(server_sent::event(id, Some(kind), data));
        }
        let mut line = JsonWriter::object(64);
        if let Some(id) = id {
            line.plain_text("id", id);
        }
        line.plain_text("event", kind);
        match data {
            EventData::Nothing => {}
            EventData::Text(text) => line.text("data", text),
            EventData::Json(json) => line.json("data", json),
        }
        let mut line = line.end();
        line.push('\n');
        Frame::text(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Channel, Draft, Epoch, Payload, Position};

    fn said(payload: Payload) -> Message {
        Message::new(
            Channel::new("2:c").unwrap(),
            Position { epoch: Epoch(1), offset: 7 },
            5,
            None,
            Draft::new(payload),
        )
    }

    fn heard(style: usize, payload: Payload) -> String {
        let (style, prefix) = (StreamStyle::ALL[style], "2:".into());
        let encoder = StreamEncoder { style, prefix, written: None, is_alone: true };
        let Encoded::Shared(frames) = encoder.encode(&Event::Message(said(payload).into())) else { panic!("shared") };
        let [Frame::Text(text)] = frames.frames() else { panic!("one text") };
        text.to_string()
    }

    #[test]
    fn each_style_has_its_form() {
        let text = || Payload::Text("a\nb".into());
        let sse = heard(0, text());
        assert!(sse.starts_with("id: 1-7\nevent: message\ndata: {\"channel\":\"c\","), "{sse}");
        assert!(sse.contains(r#""data":"a\nb""#) && sse.ends_with("}\n\n"), "{sse}");
        assert_eq!(heard(1, text()), "id: 1-7\nevent: message\ndata: a\ndata: b\n\n");
        let line = heard(2, text());
        assert!(line.starts_with(r#"{"id":"1-7","event":"message","data":{"channel":"c","#), "{line}");
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        assert_eq!(heard(3, text()), "{\"id\":\"1-7\",\"event\":\"message\",\"data\":\"a\\nb\"}\n");
        assert_eq!(heard(1, Payload::Binary("hi".into())), "id: 1-7\nevent: message\ndata: aGk=\n\n");
        assert_eq!(heard(1, Payload::Json("[1]".into())), "id: 1-7\nevent: message\ndata: [1]\n\n");
    }

    #[test]
    fn errors_and_heartbeats_are_told() {
        let error = AblyError::new(40142, 401, "Token expired");
        let info =
            r#"{"code":40142,"statusCode":401,"message":"Token expired","href":"https://help.ably.io/error/40142"}"#;
        let text = |frame: Frame| if let Frame::Text(text) = frame { text.to_string() } else { String::new() };
        let [sse, _, line, _] = StreamStyle::ALL;
        assert_eq!(text(sse.error(&error)), format!("event: error\ndata: {info}\n\n"));
        assert_eq!(text(line.error(&error)), format!("{{\"event\":\"error\",\"data\":{info}}}\n"));
        assert_eq!((text(sse.keepalive(false)), text(line.keepalive(false))), (":keepalive\n\n".into(), "\n".into()));
        assert_eq!(text(sse.keepalive(true)), "event: heartbeat\ndata: \n\n");
        assert_eq!(text(line.keepalive(true)), "{\"event\":\"heartbeat\"}\n");
    }
}
