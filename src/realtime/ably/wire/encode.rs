//! What clients of a channel read: made once for all who read one format and call the channel by one name.

use std::sync::Arc;

use crate::realtime::ably::wire::Format;
use crate::realtime::ably::wire::annotation::AblyAnnotation;
use crate::realtime::ably::wire::message::AblyMessage;
use crate::realtime::ably::wire::presence::AblyPresence;
use crate::realtime::ably::wire::protocol::{ToldFrame, action};
use crate::realtime::dialect::{Encode, Encoded, Encoding};
use crate::realtime::vocabulary::{Change, Channel, EncodedFrames, Event, Message};

/// The encoder of one format.
#[derive(Debug)]
pub struct AblyEncoder {
    pub format: Format,
    /// What stands before the names of the app's channels at the hub.
    pub prefix: Arc<str>,
    /// The channel as the client writes it, where that is not its name.
    pub written: Option<Box<str>>,
    pub hears: Hears,
}

/// What of that which is said in a channel its clients want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hears {
    pub messages: bool,
    /// Each annotation, beside what they come to.
    pub annotations: bool,
}

impl Hears {
    /// What most clients want.
    pub const MESSAGES: Hears = Hears { messages: true, annotations: false };
}

/// The encoders of one app, for all who call its channels by their names.
pub struct Encodings(Box<[(Format, Hears, Encoding)]>);

impl Encodings {
    pub fn new(prefix: &Arc<str>) -> Encodings {
        let wishes = [(true, false), (true, true), (false, true)];
        let both = [Format::Json, Format::Msgpack].into_iter().flat_map(|format| {
            wishes.map(|(messages, annotations)| {
                let hears = Hears { messages, annotations };
                let encoder = AblyEncoder { format, prefix: Arc::clone(prefix), written: None, hears };
                (format, hears, Encoding::new(encoder))
            })
        });
        Encodings(both.collect())
    }

    /// That of those who read `format` and want `hears`.
    pub fn of(&self, format: Format, hears: Hears) -> &Encoding {
        let found = self.0.iter().find(|(known, wish, _)| *known == format && *wish == hears);
        // Who wants neither hears nothing by any of them.
        &found.unwrap_or(&self.0[0]).2
    }
}

/// Whether it says something of another message.
pub fn is_annotation(message: &Message) -> bool {
    message.amended.as_ref().is_some_and(|amended| matches!(amended.change, Change::Annotate(_)))
}

impl Encode for AblyEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let told = match event {
            Event::Message(message) if is_annotation(message) => return self.annotation(message),
            Event::Message(_) if !self.hears.messages => return Encoded::Skip,
            Event::Message(message) => self.message(message, AblyMessage::shown(message, self.format)),
            Event::Presence { channel, change, member, unix_ms, .. } => ToldFrame {
                action: action::PRESENCE,
                channel: Some(self.name(channel)),
                presence: Some(vec![AblyPresence::changed(*change, member, *unix_ms, self.format)]),
                ..ToldFrame::default()
            },
            Event::Subscribers { .. } => return Encoded::Skip,
            _ => return Encoded::PerClient,
        };
        Encoded::Shared(EncodedFrames::new(self.format.frame(&told)))
    }
}

impl AblyEncoder {
    fn message<'a>(&'a self, message: &'a Message, shown: AblyMessage) -> ToldFrame<'a> {
        ToldFrame {
            action: action::MESSAGE,
            channel: Some(self.name(&message.channel)),
            channel_serial: Some(message.position.to_string()),
            messages: Some(vec![shown]),
            ..ToldFrame::default()
        }
    }

    /// To those who want annotations, itself; to those who want messages, what it comes to.
    fn annotation(&self, message: &Message) -> Encoded {
        let annotation = AblyAnnotation::shown(message, self.format).filter(|_| self.hears.annotations);
        let itself = annotation.map(|annotation| ToldFrame {
            action: action::ANNOTATION,
            annotations: Some(vec![annotation]),
            messages: None,
            ..self.message(message, AblyMessage::default())
        });
        let summed = AblyMessage::summed(message).filter(|_| self.hears.messages);
        let summed = summed.map(|summed| self.message(message, summed));
        let frames: Vec<_> = itself.into_iter().chain(summed).map(|told| self.format.frame(&told)).collect();
        if frames.is_empty() { Encoded::Skip } else { Encoded::Shared(EncodedFrames::several(frames)) }
    }

    fn name<'a>(&'a self, channel: &'a Channel) -> &'a str {
        name_of(channel, &self.prefix, self.written.as_deref())
    }
}

/// What a client calls `channel`: as it is `written` by it, or without the app's `prefix`.
pub fn name_of<'a>(channel: &'a Channel, prefix: &str, written: Option<&'a str>) -> &'a str {
    let name = channel.as_str();
    written.unwrap_or_else(|| name.strip_prefix(prefix).unwrap_or(name))
}
