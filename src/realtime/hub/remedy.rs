//! What an operator is told when clients are kept out of channels that nobody has opened: once a minute a cause.

use std::time::{Duration, Instant};

use tracing::warn;

use super::sync::Mutex;
use crate::realtime::vocabulary::Channel;

const EVERY: Duration = Duration::from_secs(60);

/// What a client was kept from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Hear,
    Speak,
}

/// When each was said last.
#[derive(Default)]
pub struct Remedy {
    hear: Mutex<Option<Instant>>,
    speak: Mutex<Option<Instant>>,
}

impl Remedy {
    /// A client wanted into a channel that is the app's only because no section names it.
    pub fn tell(&self, verb: Verb, channel: &Channel) {
        let last = match verb {
            Verb::Hear => &self.hear,
            Verb::Speak => &self.speak,
        };
        // The log's own time: nothing that the hub does hangs on it.
        let now = Instant::now();
        let mut last = last.lock();
        if last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            return;
        }
        *last = Some(now);
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
