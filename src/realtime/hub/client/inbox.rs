//! What a client hears, in order: what waits in its mailbox, and what it reads from histories.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Client;
use crate::realtime::hub::direct_writer::DirectWriter;
use crate::realtime::hub::mailboxes::BATCH_BYTES;
use crate::realtime::hub::outbox::{Backlog, Item, OutboxEntry};
use crate::realtime::vocabulary::{Channel, DisconnectReason, Encoded, Event, Moment, Position};

/// The amount replayed at a time: the rest waits until this is written.
const REPLAY_MESSAGES: usize = 64;
const REPLAY_BYTES: usize = 64 * 1024;

impl Client {
    /// Ready when there is something for [`Client::next_entry`] or [`Client::closing`]; else it sleeps until there is.
    pub fn poll_fill(&mut self, now: Moment, context: &mut Context<'_>) -> Poll<()> {
        if !self.delivery.entries.is_empty() || self.delivery.closing.is_some() {
            return Poll::Ready(());
        }
        let mut delivery = std::mem::take(&mut self.delivery);
        let taken = self.hub.shard(self.address()).take(self.address(), &mut delivery, BATCH_BYTES, context);
        self.delivery = delivery;
        let has_all = taken.is_pending() || self.delivery.is_all;
        // What fell behind comes after what was queued before it did, and before what is queued from now on.
        if has_all && let Some((channel, next)) = self.delivery.behind.first().copied() {
            match self.catch_up(channel, next, now) {
                Some(next) => self.delivery.behind[0].1 = next,
                None => {
                    self.delivery.behind.swap_remove(0);
                }
            }
            context.waker().wake_by_ref();
            return Poll::Ready(());
        }
        taken
    }

    /// True while half of what may wait for it does: whoever is about to tell it more should let it write first.
    pub fn is_crowded(&self) -> bool {
        let limits = self.hub.config().outbox;
        self.hub.shard(self.address()).lock().is_half_full(self.address().slot, &limits)
    }

    /// Its session writes, and fills no more before that is done. Who publishes does not wait for it. Where its end is
    /// ordered, that may take so long from now on: [`Client::ends_by`].
    pub fn writing(&mut self, now: Moment, timeout: Duration, context: &Context<'_>) {
        if !self.hub.shard(self.address()).busy(self.address(), context) {
            self.goes_on();
        } else if self.ends_by().is_none() {
            self.rare.get_or_insert_default().ends_by = Some(now.instant + timeout);
        }
    }

    /// By when it is told what waits, up to its end, whether the link takes it or not.
    pub fn ends_by(&self) -> Option<Instant> {
        self.rare.as_ref().and_then(|rare| rare.ends_by)
    }

    /// What had to be told by [`Client::ends_by`] is told, and was not its end.
    pub fn goes_on(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.ends_by = None;
        }
    }

    /// Its session is ending, and takes no more.
    pub fn retire(&self) {
        self.hub.shard(self.address()).retire(self.address());
    }

    /// True when the last [`Client::poll_fill`] took all that waited in the mailbox; there may be more in histories.
    pub fn took_all(&self) -> bool {
        self.delivery.is_all
    }

    /// True when nothing was left behind by the last [`Client::poll_fill`]: it is woken by whatever comes.
    pub fn has_all(&self) -> bool {
        self.delivery.is_all && self.delivery.behind.is_empty()
    }

    /// From now on its delivery may be written by `writer`, made only where there is somebody to do it.
    pub fn write_directly_by<C: DirectWriter + 'static>(&self, writer: impl FnOnce() -> Arc<C>) -> Option<Arc<C>> {
        if !self.hub.has_direct_writes() {
            return None;
        }
        let writer = writer();
        self.hub.shard(self.address()).lock().write_directly_by(self.address().slot, Arc::clone(&writer) as _);
        Some(writer)
    }

    /// The next of what was taken.
    pub fn next_entry(&mut self) -> Option<OutboxEntry> {
        self.delivery.entries.pop_front()
    }

    /// The reason to close the client, if there is one.
    pub fn closing(&mut self) -> Option<DisconnectReason> {
        let ordered = *self.delivery.closing.take()?;
        if ordered.backlog.is_some() {
            self.rare.get_or_insert_default().backlog = ordered.backlog;
        }
        Some(ordered.why)
    }

    /// Notes that messages of `channel` were dropped: its dialect may end it for that.
    pub fn lags(&mut self, channel: &Channel) {
        let backlog = self.hub.shard(self.address()).lock().backlog(self.address().slot, channel.clone());
        self.rare.get_or_insert_default().backlog = backlog;
    }

    /// The backlog at the last time the client was found to read too slowly.
    pub fn backlog(&mut self) -> Option<Backlog> {
        self.rare.as_mut()?.backlog.take()
    }

    /// The next part of what is in the history from `next` on, to deliver now. `None` when that was all and the
    /// subscription is live again; else where it goes on.
    fn catch_up(&mut self, channel: u32, mut next: u64, now: Moment) -> Option<u64> {
        let entries = &mut self.delivery.entries;
        let subscription = self.subscriptions.iter().find(|known| known.entry.number == channel)?;
        let mut state = subscription.entry.state.lock();
        self.hub.trim(&mut state, now.instant);
        let first = state.log.first_kept(next);
        if first > next {
            let lost = first - next;
            entries.push_back(OutboxEntry {
                item: Item::Lost { after: next - 1 },
                channel,
                bytes: 0,
                offset: first - 1,
            });
            self.hub.metrics.lost.inc_by(lost);
            next = first;
        }
        let before = state.log.bytes();
        let (mut messages, mut bytes) = (0, 0);
        while messages < REPLAY_MESSAGES && bytes < REPLAY_BYTES {
            let Some((message, form)) = state.log.form(next, &subscription.encoding) else { break };
            let item = match form {
                Encoded::Shared(encoded) => Item::Encoded(encoded),
                Encoded::PerClient => Item::Event(Arc::new(Event::Message(Arc::clone(&message)))),
                Encoded::Skip => {
                    next += 1;
                    continue;
                }
            };
            messages += 1;
            bytes += message.draft.data.len();
            entries.push_back(OutboxEntry { item, channel, bytes: 0, offset: next });
            next += 1;
        }
        self.hub.account(before, state.log.bytes());
        self.hub.metrics.replayed.inc_by(messages as u64);
        if next <= state.log.top().offset {
            return Some(next);
        }
        if let Some(subscriber) =
            state.subscriber_mut(self.address().shard, &subscription.encoding, subscription.subscriber)
        {
            subscriber.behind = false;
        }
        None
    }

    /// The name of a channel that it is in, and a position there.
    pub fn position(&self, channel: u32, offset: u64) -> Option<(Channel, Position)> {
        let subscription = self.subscriptions.iter().find(|known| known.entry.number == channel)?;
        let state = subscription.entry.state.lock();
        Some((subscription.entry.name.clone(), state.log.position(offset)))
    }
}
