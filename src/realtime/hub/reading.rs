//! What is in a channel, for whoever may know: members and history, without subscribing.

use std::sync::Arc;

use super::Hub;
use super::channel::ChannelState;
use super::mailboxes::MailboxAddress;
use super::presence_log::PresenceChange;
use crate::realtime::broker::memory::Replay;
use crate::realtime::vocabulary::{Channel, ConnectionId, Member, Message, Moment, Occupancy, Position, Since, Span};

/// The kept messages of a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Past {
    /// Oldest first.
    pub messages: Vec<Arc<Message>>,
    /// The channel's latest message.
    pub top: Position,
    /// There is more of what was asked for.
    pub more: bool,
}

/// A channel at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOverview {
    pub name: Channel,
    /// Connections.
    pub subscribers: usize,
    pub members: usize,
    /// By kind.
    pub occupancy: Occupancy,
    pub top: Position,
}

impl Hub {
    /// An overview of `channel`, if it exists.
    pub fn standing(&self, channel: &Channel) -> Option<ChannelOverview> {
        self.with_channel(channel, |entry, state| ChannelOverview {
            name: entry.name.clone(),
            subscribers: state.subscribers_everywhere(),
            members: state.members.len(),
            occupancy: state.occupancy(),
            top: state.log.top(),
        })
    }

    /// The first `most` channels in the order of their names that begin with `prefix` and come after `after`; and after
    /// which name it goes on, if it does. Reserved ones are left out.
    pub fn standings(&self, prefix: &str, after: Option<&str>, most: usize) -> (Vec<ChannelOverview>, Option<Channel>) {
        let mut names = self.directory.names(prefix, after, most.saturating_add(1));
        let goes_on = names.len() > most;
        names.truncate(most);
        let next = names.last().filter(|_| goes_on).cloned();
        (names.iter().filter_map(|name| self.standing(name)).collect(), next)
    }

    /// The number of connections, and of the users behind those that have one.
    pub fn census(&self) -> (usize, usize) {
        (self.shards.iter().map(|shard| shard.lock().len()).sum(), self.known.users.lock().len())
    }

    /// True if the connection exists.
    pub fn is_connected(&self, id: ConnectionId) -> bool {
        self.with_mailbox(id, |_, _| ()).is_some()
    }

    /// Whom a connection is known as.
    pub fn user_of(&self, id: ConnectionId) -> Option<Arc<str>> {
        self.with_mailbox(id, |mailboxes, slot| mailboxes.user(slot))?
    }

    pub fn members(&self, channel: &Channel) -> Vec<Arc<Member>> {
        self.with_channel(channel, |_, state| state.members.all()).unwrap_or_default()
    }

    pub fn subscribers(&self, channel: &Channel) -> usize {
        self.with_channel(channel, |_, state| state.subscribers_everywhere()).unwrap_or_default()
    }

    /// True if the connection subscribes to the channel.
    pub fn hears(&self, id: ConnectionId, channel: &Channel) -> bool {
        let address = MailboxAddress::of(id);
        let is_subscribed = |state: &ChannelState| state.addresses().any(|known| known == address);
        self.is_connected(id) && self.with_channel(channel, |_, state| is_subscribed(&state)).unwrap_or_default()
    }

    /// At most `most` kept messages of `span`, in its order; and whether there are more of it.
    pub fn read(&self, channel: &Channel, span: &Span, most: usize, now: Moment) -> (Vec<Arc<Message>>, bool) {
        let read = self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            state.log.read(span, most)
        });
        read.unwrap_or_default()
    }

    /// The kept message at a position, as it is by now.
    pub fn message(&self, channel: &Channel, position: Position, now: Moment) -> Option<Arc<Message>> {
        self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            state.log.get(position)
        })?
    }

    /// All versions of the kept message at a position, the first before the others; none where it is not kept.
    pub fn versions(&self, channel: &Channel, position: Position, now: Moment) -> Vec<Arc<Message>> {
        let versions = self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            state.log.versions(position)
        });
        versions.unwrap_or_default()
    }

    /// What is kept of what was said of the message at a position, oldest first.
    pub fn annotations(&self, channel: &Channel, position: Position, now: Moment) -> Vec<Arc<Message>> {
        let annotations = self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            state.log.annotations(position)
        });
        annotations.unwrap_or_default()
    }

    /// What became of a channel's members lately, oldest first: only where clients have it keep messages.
    pub fn presence_changes(&self, channel: &Channel, now: Moment) -> Vec<PresenceChange> {
        let changes = self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            state.presence_log.iter().cloned().collect()
        });
        changes.unwrap_or_default()
    }

    /// At most `most` of what is kept `since` then, the oldest of it; `None` when it cannot be had whole, or there is
    /// no such channel.
    pub fn history(&self, channel: &Channel, since: Since, most: usize, now: Moment) -> Option<Past> {
        self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            let Replay::From { next, .. } = state.log.replay(since, now.instant) else { return None };
            // Who comes back hears too what has become of what it knows.
            let (messages, more) = match since {
                Since::After(_) => some_of(state.log.events(next), most),
                _ => some_of(state.log.messages(next), most),
            };
            Some(Past { messages, top: state.log.top(), more })
        })?
    }

    /// The latest `most` of what is kept from before a position, the oldest of them first; `None` where there is no such
    /// channel, or the position is of another life of it.
    pub fn history_before(&self, channel: &Channel, before: Position, most: usize, now: Moment) -> Option<Past> {
        self.with_channel(channel, |_, mut state| {
            self.trim(&mut state, now.instant);
            let span = Span { before: Some(before), backwards: true, ..Span::default() };
            let (mut messages, more) = state.log.read(&span, most);
            messages.reverse();
            let top = state.log.top();
            (top.epoch == before.epoch).then_some(Past { messages, top, more })
        })?
    }
}

/// The first `most`, and whether there are more.
fn some_of(mut messages: impl Iterator<Item = Arc<Message>>, most: usize) -> (Vec<Arc<Message>>, bool) {
    let some: Vec<_> = messages.by_ref().take(most).collect();
    (some, messages.next().is_some())
}
