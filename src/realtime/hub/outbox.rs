//! The queue to one client, and what happens when it is full.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::realtime::vocabulary::{Channel, Command, EncodedFrames, Event};
use crate::settings::{Section, Size, keywords};

/// The section `[realtime.outbox]`: what may wait for one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLimits {
    /// Default 256 messages.
    pub messages: usize,
    /// Default 1 MiB. A single message may always wait.
    pub bytes: Size,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        OutboxLimits { messages: 256, bytes: Size::mib(1) }
    }
}

impl OutboxLimits {
    pub fn read(section: &Section) -> OutboxLimits {
        let default = OutboxLimits::default();
        let messages = section.value("messages", default.messages);
        if messages == 0 {
            section.problem("messages", "an outbox without room sends nothing", Some("give at least 1"));
        }
        OutboxLimits { messages: messages.max(1), bytes: section.value("bytes", default.bytes) }
    }
}

/// The fate of a client whose outbox is full, chosen by the channel's policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slow {
    /// The client is closed, and may come back for what it missed.
    Disconnect,
    /// The channel's oldest waiting messages are dropped and the client is told so; if there is history it gets them later.
    DropOldest,
    /// Only the channel's latest message waits for it: for what is worthless once there is a newer one.
    KeepLatest,
}

keywords!(Slow { "disconnect" => Disconnect, "drop-oldest" => DropOldest, "keep-latest" => KeepLatest });

/// One thing that waits for a client.
#[derive(Debug)]
pub enum Item {
    /// Frames to send as they are.
    Encoded(EncodedFrames),
    /// For the client's machine to put into words.
    Event(Arc<Event>),
    /// For its session to carry out: the app's wish.
    Command(Box<Command>),
    /// Here messages were dropped: after this offset, up to the entry's own.
    Lost { after: u64 },
}

/// An item, and what the queue must know of it.
#[derive(Debug)]
pub struct OutboxEntry {
    pub item: Item,
    /// The number of the channel that it comes from; 0 for none.
    pub channel: u32,
    pub bytes: u32,
    /// The message's; 0 for what is no numbered message, and is never dropped.
    pub offset: u64,
}

impl OutboxEntry {
    fn is_message_of(&self, channel: u32) -> bool {
        self.channel == channel && self.offset > 0 && !matches!(self.item, Item::Lost { .. })
    }

    /// An order that ends the connection, or a part of it: carried out in time even if the link takes nothing.
    pub(super) fn ends(&self) -> bool {
        matches!(&self.item, Item::Command(command) if matches!(**command, Command::Close(_) | Command::Kick { .. }))
    }

    fn is_mark_of(&self, channel: u32) -> bool {
        self.channel == channel && matches!(self.item, Item::Lost { .. })
    }
}

/// The backlog of a client at the moment it was found to read too slowly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// The channel of the message that did not fit; `None` if it was of no channel.
    pub channel: Option<Channel>,
    pub messages: usize,
    pub bytes: usize,
}

/// The outcome of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    Queued,
    /// Queued, or itself dropped; this many were dropped in all.
    Dropped(u64),
    /// Not queued: the outbox is full, and the policy is not to drop.
    Full,
    /// Not queued: the client is being closed.
    Gone,
}

/// Bounded by [`OutboxLimits`]. When full, [`Slow`] says what gives way. Holds no memory while empty for long.
#[derive(Debug, Default)]
pub struct Outbox {
    queue: VecDeque<OutboxEntry>,
    bytes: usize,
    /// Marks of what was lost, at most one a channel; they do not count as messages.
    marks: usize,
}

/// Entries that an outbox may keep allocated while nothing waits.
const KEPT_CAPACITY: usize = 8;

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.queue.len() - self.marks
    }

    /// The backlog now that the next message of `channel` did not fit.
    pub fn backlog(&self, channel: Option<Channel>) -> Backlog {
        Backlog { channel, messages: self.len(), bytes: self.bytes }
    }

    pub fn is_half_full(&self, limits: &OutboxLimits) -> bool {
        self.len() * 2 >= limits.messages.max(2) || self.bytes * 2 >= limits.bytes.bytes()
    }

    fn has_room(&self, bytes: u32, limits: &OutboxLimits) -> bool {
        let messages = self.len();
        messages == 0 || messages < limits.messages && self.bytes + bytes as usize <= limits.bytes.bytes()
    }

    pub fn push(&mut self, entry: OutboxEntry, slow: Slow, limits: &OutboxLimits) -> Pushed {
        if self.has_room(entry.bytes, limits) {
            self.append(entry);
            return Pushed::Queued;
        }
        match slow {
            Slow::Disconnect => Pushed::Full,
            Slow::DropOldest => self.drop_oldest_for(entry, limits),
            Slow::KeepLatest => {
                let dropped = self.forget_messages(entry.channel);
                if entry.offset == 0 && !self.has_room(entry.bytes, limits) {
                    return Pushed::Full;
                }
                // Above the limit by one a channel at most.
                self.append(entry);
                if dropped == 0 { Pushed::Queued } else { Pushed::Dropped(dropped) }
            }
        }
    }

    fn drop_oldest_for(&mut self, entry: OutboxEntry, limits: &OutboxLimits) -> Pushed {
        let mut dropped = 0;
        while !self.has_room(entry.bytes, limits) {
            match self.queue.iter().position(|known| known.is_message_of(entry.channel)) {
                Some(place) => self.lose_at(place),
                None if entry.offset == 0 => return Pushed::Full,
                // All that waits is of other channels: this one gives way.
                None => {
                    self.lose(entry);
                    return Pushed::Dropped(dropped + 1);
                }
            }
            dropped += 1;
        }
        self.append(entry);
        Pushed::Dropped(dropped)
    }

    fn append(&mut self, entry: OutboxEntry) {
        self.bytes += entry.bytes as usize;
        self.queue.push_back(entry);
    }

    /// Turns the entry at `place` into a mark, or lets the channel's mark reach over it.
    fn lose_at(&mut self, place: usize) {
        let entry = &mut self.queue[place];
        let (channel, offset) = (entry.channel, entry.offset);
        self.bytes -= std::mem::take(&mut entry.bytes) as usize;
        if let Some(mark) = self.mark_of(channel) {
            self.queue[mark].offset = offset;
            self.queue.remove(place);
        } else {
            self.queue[place].item = Item::Lost { after: offset.saturating_sub(1) };
            self.marks += 1;
        }
    }

    fn lose(&mut self, entry: OutboxEntry) {
        self.mark(entry.channel, entry.offset.saturating_sub(1), entry.offset);
    }

    /// Notes that messages of `channel` are gone, from after one offset up to another.
    pub fn mark(&mut self, channel: u32, after: u64, upto: u64) {
        if let Some(mark) = self.mark_of(channel) {
            self.queue[mark].offset = upto;
        } else {
            self.queue.push_back(OutboxEntry { item: Item::Lost { after }, channel, bytes: 0, offset: upto });
            self.marks += 1;
        }
    }

    fn mark_of(&self, channel: u32) -> Option<usize> {
        if self.marks == 0 { None } else { self.queue.iter().position(|known| known.is_mark_of(channel)) }
    }

    /// Drops the messages of `channel` that wait; says how many.
    fn forget_messages(&mut self, channel: u32) -> u64 {
        self.forget_where(|entry| entry.is_message_of(channel))
    }

    /// Drops all that waits of `channel`; says how many messages that were.
    pub fn forget(&mut self, channel: u32) -> u64 {
        self.forget_where(|entry| entry.channel == channel)
    }

    fn forget_where(&mut self, condition: impl Fn(&OutboxEntry) -> bool) -> u64 {
        let before = self.len();
        let (bytes, marks) = (&mut self.bytes, &mut self.marks);
        self.queue.retain(|entry| {
            let stays = !condition(entry);
            if !stays {
                *bytes -= entry.bytes as usize;
                *marks -= usize::from(matches!(entry.item, Item::Lost { .. }));
            }
            stays
        });
        (before - self.len()) as u64
    }

    /// Moves what waits to the empty `batch`, all of it, where that is nothing but encoded and at most `most` bytes.
    pub fn take_encoded(&mut self, batch: &mut VecDeque<OutboxEntry>, most: usize) -> bool {
        let fits = self.bytes <= most && self.queue.iter().all(|entry| matches!(entry.item, Item::Encoded(_)));
        if fits {
            self.take(batch, most);
        }
        fits
    }

    /// Moves what waits to `batch`, about `most` bytes of it, at least one entry where there is one.
    pub fn take(&mut self, batch: &mut VecDeque<OutboxEntry>, most: usize) {
        if self.bytes <= most && batch.is_empty() {
            std::mem::swap(&mut self.queue, batch);
            (self.bytes, self.marks) = (0, 0);
            // The swap brought the batch's memory here.
            if self.queue.capacity() > KEPT_CAPACITY {
                self.queue = VecDeque::new();
            }
            return;
        }
        let mut taken = 0;
        while taken < most || batch.is_empty() {
            let Some(entry) = self.queue.pop_front() else { break };
            taken += entry.bytes as usize;
            self.bytes -= entry.bytes as usize;
            self.marks -= usize::from(matches!(entry.item, Item::Lost { .. }));
            batch.push_back(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::Frame;

    const LIMITS: OutboxLimits = OutboxLimits { messages: 3, bytes: Size(100) };

    fn entry(channel: u32, offset: u64, bytes: u32) -> OutboxEntry {
        OutboxEntry { item: Item::Encoded(Frame::text("x").into()), channel, bytes, offset }
    }

    fn content(outbox: &mut Outbox) -> Vec<String> {
        let mut batch = VecDeque::new();
        outbox.take(&mut batch, usize::MAX);
        batch
            .into_iter()
            .map(|entry| match entry.item {
                Item::Lost { after } => format!("{}:lost {after}..{}", entry.channel, entry.offset),
                _ => format!("{}:{}", entry.channel, entry.offset),
            })
            .collect()
    }

    fn filled(slow: Slow) -> Outbox {
        let mut outbox = Outbox::default();
        for offset in 1..=3 {
            assert_eq!(outbox.push(entry(1, offset, 1), slow, &LIMITS), Pushed::Queued);
        }
        outbox
    }

    #[test]
    fn disconnect_takes_nothing_more() {
        let mut outbox = filled(Slow::Disconnect);
        assert_eq!(outbox.push(entry(1, 4, 1), Slow::Disconnect, &LIMITS), Pushed::Full);
        assert_eq!(content(&mut outbox), ["1:1", "1:2", "1:3"]);
        assert_eq!(outbox.push(entry(1, 4, 1), Slow::Disconnect, &LIMITS), Pushed::Queued);
    }

    #[test]
    fn drop_oldest_says_what_it_dropped_where_it_was() {
        let mut outbox = filled(Slow::DropOldest);
        assert_eq!(outbox.push(entry(1, 4, 1), Slow::DropOldest, &LIMITS), Pushed::Dropped(1));
        assert_eq!(outbox.push(entry(1, 5, 1), Slow::DropOldest, &LIMITS), Pushed::Dropped(1));
        assert_eq!(outbox.push(entry(2, 9, 1), Slow::DropOldest, &LIMITS), Pushed::Dropped(1));
        assert_eq!(outbox.len(), 3);
        assert_eq!(content(&mut outbox), ["1:lost 0..2", "1:3", "1:4", "1:5", "2:lost 8..9"]);
    }

    #[test]
    fn keep_latest_leaves_the_latest_alone() {
        let mut outbox = filled(Slow::KeepLatest);
        assert_eq!(outbox.push(entry(1, 4, 1), Slow::KeepLatest, &LIMITS), Pushed::Dropped(3));
        assert_eq!(outbox.push(entry(2, 1, 1), Slow::KeepLatest, &LIMITS), Pushed::Queued);
        assert_eq!(content(&mut outbox), ["1:4", "2:1"]);
    }

    #[test]
    fn notices_are_never_dropped() {
        for slow in [Slow::DropOldest, Slow::KeepLatest] {
            let mut outbox = filled(slow);
            assert!(matches!(outbox.push(entry(1, 0, 1), slow, &LIMITS), Pushed::Dropped(_)));
            while outbox.push(entry(1, 0, 1), slow, &LIMITS) != Pushed::Full {}
            assert_eq!(outbox.len(), 3);
        }
    }

    #[test]
    fn bytes_are_bounded_but_a_single_large_message_may_wait() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(entry(1, 1, 1000), Slow::Disconnect, &LIMITS), Pushed::Queued);
        assert_eq!(outbox.push(entry(1, 2, 1), Slow::Disconnect, &LIMITS), Pushed::Full);
        assert_eq!(outbox.push(entry(1, 2, 60), Slow::DropOldest, &LIMITS), Pushed::Dropped(1));
        assert_eq!(outbox.push(entry(1, 3, 60), Slow::DropOldest, &LIMITS), Pushed::Dropped(1));
        assert_eq!(content(&mut outbox), ["1:lost 0..2", "1:3"]);
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn a_large_outbox_is_taken_in_pieces() {
        let mut outbox = Outbox::default();
        let limits = OutboxLimits { messages: 10, bytes: Size(1000) };
        for offset in 1..=5 {
            outbox.push(entry(1, offset, 40), Slow::Disconnect, &limits);
        }
        let mut batch = VecDeque::new();
        outbox.take(&mut batch, 80);
        assert_eq!((batch.len(), outbox.len(), outbox.bytes), (2, 3, 120));
    }

    #[test]
    fn forgetting_a_channel_leaves_the_others() {
        let mut outbox = filled(Slow::DropOldest);
        outbox.push(entry(1, 4, 1), Slow::DropOldest, &LIMITS);
        assert_eq!(outbox.forget(1), 3);
        outbox.push(entry(2, 1, 1), Slow::DropOldest, &LIMITS);
        assert_eq!((outbox.len(), outbox.bytes, outbox.marks), (1, 1, 0));
        assert_eq!(content(&mut outbox), ["2:1"]);
    }
}
