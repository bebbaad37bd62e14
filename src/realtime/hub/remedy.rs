//! What an operator is told when clients are kept out of channels that nobody has opened: once a minute a cause.

use tracing::warn;

use crate::realtime::vocabulary::Channel;
use crate::telemetry::LogThrottle;

/// The operation that a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Hear,
    Speak,
}

/// When each was said last.
#[derive(Default)]
pub struct Remedy {
    hear: LogThrottle,
    speak: LogThrottle,
}

impl Remedy {
    /// A client wanted into a channel that is the app's only because no section names it.
    pub fn warn(&self, verb: Verb, channel: &Channel) {
        let last = match verb {
            Verb::Hear => &self.hear,
            Verb::Speak => &self.speak,
        };
        if !last.may() {
            return;
        }
        match verb {
            Verb::Hear => warn!(
                %channel,
                "a client may not hear a channel that no [[realtime.channel]] names: such channels are the app's where \
                 [callbacks] events names anything or a token is required. Name it in [[realtime.channel]], or let the \
                 app let the client in: join, channels, a \"subscribe\" that it allows, a token's list"
            ),
            Verb::Speak => warn!(
                %channel,
                "a client may not speak in a channel that no [[realtime.channel]] names: such channels are the app's where \
                 [callbacks] events names anything or a token is required. Name it in [[realtime.channel]], or let the \
                 app publish: a \"message\" that it allows, its own publish, a token's list"
            ),
        }
    }
}
