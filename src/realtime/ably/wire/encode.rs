//! What clients of a channel read: made once for all who read one format and call the channel by one name.

use std::sync::Arc;

use crate::realtime::ably::wire::Format;
use crate::realtime::ably::wire::message::AblyMessage;
use crate::realtime::ably::wire::presence::AblyPresence;
use crate::realtime::ably::wire::protocol::{ToldFrame, action};
use crate::realtime::dialect::{Encode, Encoded};
use crate::realtime::vocabulary::{Channel, EncodedFrames, Event};

/// The encoder of one format.
#[derive(Debug)]
pub struct AblyEncoder {
    pub format: Format,
    /// What stands before the names of the app's channels at the hub.
    pub prefix: Arc<str>,
    /// The channel as the client writes it, where that is not its name.
    pub written: Option<Box<str>>,
}

impl Encode for AblyEncoder {
    fn encode(&self, event: &Event) -> Encoded {
        let told = match event {
            Event::Message(message) => ToldFrame {
                action: action::MESSAGE,
                channel: Some(self.name(&message.channel)),
                channel_serial: Some(message.position.to_string()),
                messages: Some(vec![AblyMessage::shown(message, self.format)]),
                ..ToldFrame::default()
            },
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
    fn name<'a>(&'a self, channel: &'a Channel) -> &'a str {
        let name = channel.as_str();
        self.written.as_deref().unwrap_or_else(|| name.strip_prefix(&*self.prefix).unwrap_or(name))
    }
}
