//! One channel's messages, kept in memory: offsets, history, replay.

mod revising;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub use self::revising::Amending;
use self::revising::Revision;
use crate::realtime::vocabulary::{Draft, Encoded, Encoding, Epoch, Event, Message, Position, Since, Span};

/// Encodings remembered of one message. They change when the config is reloaded, and the old ones must go.
const MOST_FORMS: usize = 8;

/// What a log keeps. Older and further messages are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// At most this many messages; 0 keeps nothing.
    pub messages: usize,
    pub age: Duration,
}

impl Keep {
    const NOTHING: Keep = Keep { messages: 0, age: Duration::ZERO };
}

/// All that a log keeps: what either of the two covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    pub policy: Keep,
    /// By the wish of those who may come back.
    pub wish: Option<Keep>,
}

impl Keeps {
    fn messages(self) -> usize {
        self.policy.messages.max(self.wish.unwrap_or(Keep::NOTHING).messages)
    }

    /// True if there is nothing to keep.
    pub fn is_nothing(self) -> bool {
        self.messages() == 0
    }
}

impl From<Keep> for Keeps {
    fn from(policy: Keep) -> Keeps {
        Keeps { policy, wish: None }
    }
}

/// A channel's log. Bounded by [`Keep`] and by the room that [`Log::append`] is given; the oldest go first.
#[derive(Debug)]
pub struct Log {
    epoch: Epoch,
    /// Where epochs ended that this one goes on from.
    earlier: Box<[Position]>,
    top: u64,
    kept: VecDeque<StoredMessage>,
    bytes: usize,
    /// Those of them that change others: they do not count as messages.
    amendments: usize,
}

#[derive(Debug)]
struct StoredMessage {
    message: Arc<Message>,
    at: Instant,
    size: usize,
    /// What is kept of whoever said it, in all logs.
    owned: Option<Arc<AtomicUsize>>,
    /// What encoders made of it, so that a storm of replays encodes it once.
    forms: Vec<(Encoding, Encoded)>,
    /// What has become of it, if anything has.
    revision: Option<Box<Revision>>,
}

/// Whose message is kept, where that is bounded.
#[derive(Debug)]
pub struct Owner {
    /// What is kept of it in all logs, in bytes.
    pub held: Arc<AtomicUsize>,
    pub most: usize,
}

impl Owner {
    fn has_room(&self, size: usize) -> bool {
        self.held.load(Ordering::Relaxed) + size <= self.most
    }
}

/// What a subscriber that asks for the past will get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// These offsets: from `next` up to the top, none missing.
    From { next: u64, missed: u64 },
    /// They are no longer kept, or were never in this epoch.
    Gone,
}

impl Log {
    pub fn new(epoch: Epoch) -> Log {
        Log { epoch, earlier: Box::default(), top: 0, kept: VecDeque::new(), bytes: 0, amendments: 0 }
    }

    /// The position of the latest message.
    pub fn top(&self) -> Position {
        self.position(self.top)
    }

    pub fn position(&self, offset: u64) -> Position {
        Position { epoch: self.epoch, offset }
    }

    /// How many bytes it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Goes on after `base`, with nothing of what was before.
    pub fn restart(&mut self, base: Position) {
        self.forget(self.kept.len());
        self.go_on_as(base.epoch, &[]);
        self.top = base.offset;
    }

    /// Goes on in another epoch with what it has. Numbers of `earlier` ones are good up to where each ended.
    pub fn go_on_as(&mut self, epoch: Epoch, earlier: &[Position]) {
        self.epoch = epoch;
        if *self.earlier != *earlier {
            self.earlier = earlier.into();
        }
    }

    /// Whether a position's number is the same message's here.
    fn is_of_here(&self, position: Position) -> bool {
        let is_earlier = |end: &Position| end.epoch == position.epoch && position.offset <= end.offset;
        position.epoch == self.epoch || self.earlier.iter().any(is_earlier)
    }

    /// Whether a message has had this position.
    pub fn has_had(&self, position: Position) -> bool {
        self.is_of_here(position) && position.offset <= self.top
    }

    /// Gives `message` the next offset and keeps it for as long as `keep` says, within `room` bytes for all that is
    /// kept here and what `owner` may have in all logs.
    pub fn append(
        &mut self,
        message: impl FnOnce(Position) -> Message,
        keeps: Keeps,
        room: usize,
        owner: Option<Owner>,
        now: Instant,
    ) -> Arc<Message> {
        self.top += 1;
        let message = message(self.top());
        if keeps.is_nothing() {
            self.forget(self.kept.len());
            return Arc::new(message);
        }
        let message = detached(message);
        self.keep(Arc::clone(&message), keeps, room, owner, now);
        message
    }

    /// Keeps the latest message. One that does not fit leaves a hole, and what was kept before a hole is of no use to
    /// anyone.
    fn keep(&mut self, message: Arc<Message>, keeps: Keeps, room: usize, owner: Option<Owner>, now: Instant) {
        let size = message.size();
        let is_amendment = message.amended.is_some();
        let may_own = || owner.as_ref().is_none_or(|owner| owner.has_room(size));
        let has_place = |log: &Log| is_amendment || log.kept.len() - log.amendments < keeps.messages();
        while !self.kept.is_empty() && (!has_place(self) || self.bytes + size > room || !may_own()) {
            self.forget(1);
        }
        if size <= room && may_own() {
            self.bytes += size;
            self.amendments += usize::from(is_amendment);
            let owned = owner.map(|owner| owner.held);
            if let Some(held) = &owned {
                held.fetch_add(size, Ordering::Relaxed);
            }
            self.kept.push_back(StoredMessage { message, at: now, size, owned, forms: Vec::new(), revision: None });
        }
        self.trim(keeps, now);
    }

    /// Forgets what `keeps` no longer covers.
    pub fn trim(&mut self, keeps: Keeps, now: Instant) {
        let all = self.kept.len();
        let surplus = |keep: Keep| {
            let many = self.first_messages((all - self.amendments).saturating_sub(keep.messages));
            let old = self.kept.iter().take_while(|kept| now.saturating_duration_since(kept.at) >= keep.age).count();
            many.max(old)
        };
        let forgotten = keeps.wish.map_or(all, surplus);
        // Counted only where the wish does not keep everything.
        let forgotten = if forgotten == 0 { 0 } else { forgotten.min(surplus(keeps.policy)) };
        self.forget(forgotten);
    }

    fn forget(&mut self, oldest: usize) {
        for kept in self.kept.drain(..oldest) {
            self.bytes -= kept.size + kept.revision.as_ref().map_or(0, |revision| revision.size());
            self.amendments -= usize::from(kept.message.amended.is_some());
            if let Some(held) = &kept.owned {
                held.fetch_sub(kept.size, Ordering::Relaxed);
            }
        }
        if self.kept.is_empty() {
            self.kept.shrink_to_fit();
        }
    }

    /// How many of the oldest there are up to the `count`-th that is a message of its own, that one too.
    fn first_messages(&self, count: usize) -> usize {
        if self.amendments == 0 {
            return count;
        }
        let mut messages = self.kept.iter().enumerate().filter(|(_, kept)| kept.message.amended.is_none());
        count.checked_sub(1).map_or(0, |last| messages.nth(last).map_or(self.kept.len(), |(index, _)| index + 1))
    }

    /// The offset of the oldest message that can be had; one past the top when there is none.
    fn oldest(&self) -> u64 {
        self.kept.front().map_or(self.top + 1, |kept| kept.message.position.offset)
    }

    /// What `since` comes to. Call [`Log::trim`] first: what is too old is not there.
    pub fn replay(&self, since: Since, now: Instant) -> Replay {
        let from = |next: u64| Replay::From { next, missed: self.top + 1 - next };
        match since {
            Since::Now => from(self.top + 1),
            Since::Start => from(self.oldest()),
            Since::Last(most) => {
                let messages = self.kept.len() - self.amendments;
                let before = self.first_messages(messages.saturating_sub(most));
                from(if most == 0 { self.top + 1 } else { self.oldest() + before as u64 })
            }
            Since::Within(age) => {
                let young = |kept: &&StoredMessage| now.saturating_duration_since(kept.at) <= age;
                from(self.kept.iter().find(young).map_or(self.top + 1, |kept| kept.message.position.offset))
            }
            Since::After(position) => {
                let next = position.offset.saturating_add(1);
                if self.has_had(position) && next >= self.oldest() { from(next) } else { Replay::Gone }
            }
        }
    }

    /// At most `most` kept messages that `which` asks for, in its order, as they are by now; and whether there are more.
    pub fn read(&self, which: &Span, most: usize) -> (Vec<Arc<Message>>, bool) {
        let offset = |position: Option<Position>| match position {
            Some(position) if self.is_of_here(position) => Ok(Some(position.offset)),
            Some(_) => Err(()),
            None => Ok(None),
        };
        let (Ok(after), Ok(before)) = (offset(which.after), offset(which.before)) else { return (Vec::new(), false) };
        let begin = self.index(after.map_or(0, |after| after.saturating_add(1)));
        let end = before.map_or(self.kept.len(), |before| self.index(before)).max(begin);
        let is_within = |kept: &&StoredMessage| (which.from_ms..=which.to_ms).contains(&kept.message.unix_ms);
        let mut messages = self.kept.range(begin..end).filter(is_within).filter_map(StoredMessage::by_now);
        let mut next = || if which.backwards { messages.next_back() } else { messages.next() };
        let read: Vec<_> = std::iter::from_fn(&mut next).take(most).collect();
        let goes_on = read.len() == most && next().is_some();
        (read, goes_on)
    }

    /// The kept messages from offset `next` on, oldest first, as they are by now.
    pub fn messages(&self, next: u64) -> impl Iterator<Item = Arc<Message>> {
        self.kept.range(self.index(next)..).filter_map(StoredMessage::by_now)
    }

    /// What happened from offset `next` on, oldest first: messages as they are by now, and what has changed others before
    /// them, the last change of each.
    pub fn events(&self, next: u64) -> impl Iterator<Item = Arc<Message>> {
        let news = move |kept: &StoredMessage| match &kept.message.amended {
            Some(amended) if amended.target.offset < next => self.retold(kept),
            _ => kept.by_now(),
        };
        self.kept.range(self.index(next)..).filter_map(news)
    }

    /// What `encoding` makes of the message at `offset`: made once, then remembered.
    pub fn form(&mut self, offset: u64, encoding: &Encoding) -> Option<(Arc<Message>, Encoded)> {
        if offset < self.oldest() {
            return None;
        }
        let index = self.index(offset);
        let kept = self.kept.get(index)?;
        if kept.revision.is_some() || kept.message.amended.is_some() {
            let Some(message) = self.retold(kept) else {
                return Some((Arc::clone(&kept.message), Encoded::Skip));
            };
            let form = encoding.encode(&Event::Message(Arc::clone(&message)));
            return Some((message, form));
        }
        let kept = self.kept.get_mut(index)?;
        let message = Arc::clone(&kept.message);
        if let Some((_, form)) = kept.forms.iter().find(|(known, _)| known == encoding) {
            return Some((message, form.clone()));
        }
        let form = encoding.encode(&Event::Message(Arc::clone(&message)));
        if kept.forms.len() == MOST_FORMS {
            kept.forms.clear();
        }
        kept.forms.push((encoding.clone(), form.clone()));
        Some((message, form))
    }

    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset.saturating_sub(self.oldest())).unwrap_or(usize::MAX).min(self.kept.len())
    }

    /// The first offset that can still be had from `next` on.
    pub fn first_kept(&self, next: u64) -> u64 {
        next.max(self.oldest())
    }
}

/// On its own: as it came it would hold on to the buffer that it was read into.
fn detached(message: Message) -> Arc<Message> {
    let (data, extras) = (message.draft.data.detached(), message.draft.extras.detached());
    let draft = Draft { data, extras, ..message.draft };
    Arc::new(Message { draft, ..message })
}

#[cfg(test)]
mod tests;
