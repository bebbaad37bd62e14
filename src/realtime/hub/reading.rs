//! What is in a channel, for whoever may know: members and history, without subscribing.

use std::sync::Arc;

use super::Hub;
use crate::realtime::broker::memory::Replay;
use crate::realtime::vocabulary::{Channel, Member, Message, Moment, Position, Since};

/// What a channel has kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Oldest first.
    pub messages: Vec<Arc<Message>>,
    /// The channel's latest message.
    pub top: Position,
}

impl Hub {
    pub fn members(&self, channel: &Channel) -> Vec<Arc<Member>> {
        self.existing(channel, |_, state| state.members.all()).unwrap_or_default()
    }

    pub fn subscribers(&self, channel: &Channel) -> usize {
        self.existing(channel, |_, state| state.subscribers()).unwrap_or_default()
    }

    /// At most `most` of what is kept `since` then, the oldest of it; `None` when it cannot be had whole, or there is
    /// no such channel.
    pub fn history(&self, channel: &Channel, since: Since, most: usize, now: Moment) -> Option<Past> {
        self.existing(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            let Replay::From { next, .. } = state.log.replay(since, now.instant) else { return None };
            let messages = state.log.messages(next).take(most).map(Arc::clone).collect();
            Some(Past { messages, top: state.log.top() })
        })?
    }
}
