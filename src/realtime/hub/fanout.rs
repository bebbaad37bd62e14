//! One event to all of a channel: encoded once a form, one lock a shard, no task a message.

use std::collections::HashSet;
use std::sync::Arc;

use super::channel::{ChannelEntry, ChannelState};
use super::mailboxes::{MailboxAddress, MailboxShard};
use super::metrics::Metrics;
use super::outbox::{Item, OutboxEntry, OutboxLimits, Pushed, Slow};
use super::sync::Mutex;
use crate::realtime::vocabulary::{ConnectionId, DisconnectReason, Encoded, EncodedFrames, Encoding, Event};

/// The parts of the hub that fan-out needs.
pub struct FanOut<'a> {
    pub shards: &'a [MailboxShard],
    pub limits: &'a OutboxLimits,
    pub metrics: &'a Metrics,
}

/// The subscribers that an event is for.
#[derive(Clone, Copy, Default)]
pub struct Recipients<'a> {
    /// Not this one: the sender.
    pub but: Option<MailboxAddress>,
    /// Nor these.
    pub except: Option<&'a HashSet<MailboxAddress>>,
    /// Only those who want to hear what is said.
    pub messages: bool,
    /// Only those who want notices.
    pub notices: bool,
    /// Only those who want to know how many are there.
    pub occupancy: bool,
    /// The list of those who hear it and can answer.
    pub asked: Option<&'a Mutex<HashSet<ConnectionId>>>,
}

/// The kind of thing that is fanned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryKind {
    /// A message with this offset.
    Numbered(u64),
    /// A message that is not worth waiting for.
    Volatile,
    /// Something about the channel.
    Notice,
    /// What the next of its kind makes old: where many hear it, it is written with what comes soon after.
    Passing,
}

/// From so many subscribers on, what passes lingers: before, each write is for few.
const CROWD: usize = 16;

/// Messages of a channel that nobody has any more.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// They came after this offset.
    pub after: u64,
    /// And this is the last of them.
    pub upto: u64,
    /// Offsets mean something else now: who reads the history cannot go on in it.
    pub ends_those_behind: bool,
}

impl FanOut<'_> {
    /// Tells all of a channel that messages are lost.
    pub fn tell_gap(&self, channel: &ChannelEntry, state: &mut ChannelState, gap: Gap) {
        for group in state.groups() {
            for (subscribers, shard) in group.shards.iter_mut().zip(self.shards) {
                if subscribers.is_empty() {
                    continue;
                }
                let mut mailboxes = shard.lock();
                for (_, subscriber) in subscribers.iter_mut().filter(|(_, subscriber)| subscriber.wants.messages) {
                    if subscriber.behind && gap.ends_those_behind {
                        mailboxes.end(subscriber.slot, DisconnectReason::Restarting);
                    } else if !subscriber.behind {
                        mailboxes.lose(subscriber.slot, channel.number, (gap.after, gap.upto));
                    }
                }
            }
        }
    }

    /// Puts `event` into the outboxes of the channel's subscribers. The channel's lock gives all of them one order.
    pub fn fan_out(
        &self,
        channel: &ChannelEntry,
        state: &mut ChannelState,
        event: &Event,
        kind: DeliveryKind,
        recipients: Recipients,
    ) {
        if state.subscribers() == 0 {
            return;
        }
        let slow = state.policy.slow;
        let has_history = state.has_history();
        // Where there is history nothing need be dropped: who is too slow goes on in the history.
        let recovers = slow == Slow::DropOldest && has_history && matches!(kind, DeliveryKind::Numbered(_));
        let offset = if let DeliveryKind::Numbered(offset) = kind { offset } else { 0 };
        let lingers = kind == DeliveryKind::Passing && state.subscribers() >= CROWD;
        let mut individual = None;
        let mut delivered = 0;
        for group in state.groups() {
            let Some((item, bytes)) = item(&group.encoding, event, &mut individual) else { continue };
            let asked = recipients.asked.filter(|_| group.encoding.answers());
            for (subscribers, shard) in group.shards.iter_mut().zip(self.shards) {
                if subscribers.is_empty() {
                    continue;
                }
                let mut mailboxes = shard.lock();
                for (_, subscriber) in subscribers.iter_mut() {
                    let address = MailboxAddress { slot: subscriber.slot, ..shard.address() };
                    if subscriber.behind && !matches!(kind, DeliveryKind::Notice | DeliveryKind::Passing)
                        || recipients.messages && !subscriber.wants.messages
                        || recipients.notices && !subscriber.wants.notices
                        || recipients.occupancy && !subscriber.wants.occupancy
                        || recipients.but == Some(address)
                        || recipients.except.is_some_and(|except| except.contains(&address))
                    {
                        continue;
                    }
                    let entry = OutboxEntry { item: item.share(), channel: channel.number, bytes, offset };
                    let pushed = match kind {
                        DeliveryKind::Volatile => mailboxes.push_volatile(subscriber.slot, entry, self.limits),
                        _ if lingers => mailboxes.push_lingering(subscriber.slot, entry, slow, self.limits),
                        _ if recovers => mailboxes.push(subscriber.slot, entry, Slow::Disconnect, self.limits),
                        _ => mailboxes.push(subscriber.slot, entry, slow, self.limits),
                    };
                    if let Some(asked) = asked
                        && let (Pushed::Queued, _)
                        | (Pushed::Dropped(_), DeliveryKind::Numbered(_) | DeliveryKind::Notice) = (pushed, kind)
                    {
                        asked.lock().extend(mailboxes.id(subscriber.slot));
                    }
                    match pushed {
                        Pushed::Gone => {}
                        Pushed::Queued => delivered += 1,
                        Pushed::Dropped(messages) if kind == DeliveryKind::Volatile => {
                            self.metrics.volatile_dropped.inc_by(messages);
                        }
                        Pushed::Dropped(messages) => {
                            delivered += 1;
                            self.metrics.dropped(slow, messages);
                        }
                        Pushed::Full if recovers => {
                            subscriber.behind = true;
                            self.metrics.fell_behind.inc();
                            mailboxes.fall_behind(subscriber.slot, channel.number, offset);
                        }
                        Pushed::Full => {
                            self.metrics.dropped(Slow::Disconnect, 1);
                            mailboxes.end_slow(subscriber.slot, Some(&channel.name));
                        }
                    }
                }
            }
        }
        self.metrics.delivered.inc_by(delivered);
    }
}

/// The entry for the outboxes of one encoding, shared by reference.
enum SharedItem {
    EncodedFrames(EncodedFrames),
    Event(Arc<Event>),
}

impl SharedItem {
    fn share(&self) -> Item {
        match self {
            SharedItem::EncodedFrames(encoded) => Item::Encoded(encoded.clone()),
            SharedItem::Event(event) => Item::Event(Arc::clone(event)),
        }
    }
}

fn item(encoding: &Encoding, event: &Event, individual: &mut Option<Arc<Event>>) -> Option<(SharedItem, u32)> {
    let (shared, bytes) = match encoding.encode(event) {
        Encoded::Shared(encoded) => {
            let bytes = encoded.bytes();
            (SharedItem::EncodedFrames(encoded), bytes)
        }
        Encoded::PerClient => {
            let bytes = if let Event::Message(message) = event { message.draft.data.len() } else { 0 };
            (SharedItem::Event(Arc::clone(individual.get_or_insert_with(|| Arc::new(event.clone())))), bytes)
        }
        Encoded::Skip => return None,
    };
    Some((shared, u32::try_from(bytes).unwrap_or(u32::MAX)))
}
