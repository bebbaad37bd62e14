//! One channel's messages, kept in memory: offsets, history, replay.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
    top: u64,
    kept: VecDeque<StoredMessage>,
    bytes: usize,
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
        Log { epoch, top: 0, kept: VecDeque::new(), bytes: 0 }
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
        // StoredMessage on its own: as it came it would hold on to the buffer that it was read into.
        let (data, extras) = (message.draft.data.detached(), message.draft.extras.detached());
        let draft = Draft { data, extras, ..message.draft };
        let message = Arc::new(Message { draft, ..message });
        let size = message.size();
        // One that does not fit leaves a hole, and what was kept before a hole is of no use to anyone.
        let may_own = || owner.as_ref().is_none_or(|owner| owner.has_room(size));
        while !self.kept.is_empty() && (self.kept.len() >= keeps.messages() || self.bytes + size > room || !may_own()) {
            self.forget(1);
        }
        if size <= room && may_own() {
            self.bytes += size;
            let owned = owner.map(|owner| owner.held);
            if let Some(held) = &owned {
                held.fetch_add(size, Ordering::Relaxed);
            }
            self.kept.push_back(StoredMessage {
                message: Arc::clone(&message),
                at: now,
                size,
                owned,
                forms: Vec::new(),
            });
        }
        self.trim(keeps, now);
        message
    }

    /// Forgets what `keeps` no longer covers.
    pub fn trim(&mut self, keeps: Keeps, now: Instant) {
        let all = self.kept.len();
        let surplus = |keep: Keep| {
            let many = all.saturating_sub(keep.messages);
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
            self.bytes -= kept.size;
            if let Some(held) = &kept.owned {
                held.fetch_sub(kept.size, Ordering::Relaxed);
            }
        }
        if self.kept.is_empty() {
            self.kept.shrink_to_fit();
        }
    }

    /// The offset of the oldest message that can be had; one past the top when there is none.
    fn oldest(&self) -> u64 {
        self.kept.front().map_or(self.top + 1, |kept| kept.message.position.offset)
    }

    /// What `since` comes to. Rpc [`Log::trim`] first: what is too old is not there.
    pub fn replay(&self, since: Since, now: Instant) -> Replay {
        let from = |next: u64| Replay::From { next, missed: self.top + 1 - next };
        match since {
            Since::Now => from(self.top + 1),
            Since::Start => from(self.oldest()),
            Since::Last(most) => from(self.oldest().max((self.top + 1).saturating_sub(most as u64))),
            Since::Within(age) => {
                let young = |kept: &&StoredMessage| now.saturating_duration_since(kept.at) <= age;
                from(self.kept.iter().find(young).map_or(self.top + 1, |kept| kept.message.position.offset))
            }
            Since::After(position) => {
                let next = position.offset.saturating_add(1);
                let known = position.epoch == self.epoch && position.offset <= self.top;
                if known && next >= self.oldest() { from(next) } else { Replay::Gone }
            }
        }
    }

    /// At most `most` kept messages that `which` asks for, in its order; and whether there are more.
    pub fn read(&self, which: &Span, most: usize) -> (Vec<Arc<Message>>, bool) {
        let offset = |position: Option<Position>| match position {
            Some(position) if position.epoch == self.epoch => Ok(Some(position.offset)),
            Some(_) => Err(()),
            None => Ok(None),
        };
        let (Ok(after), Ok(before)) = (offset(which.after), offset(which.before)) else { return (Vec::new(), false) };
        let begin = self.index(after.map_or(0, |after| after.saturating_add(1)));
        let end = before.map_or(self.kept.len(), |before| self.index(before)).max(begin);
        let is_within = |message: &&Arc<Message>| (which.from_ms..=which.to_ms).contains(&message.unix_ms);
        let mut messages = self.kept.range(begin..end).map(|kept| &kept.message).filter(is_within);
        let mut next = || if which.backwards { messages.next_back() } else { messages.next() };
        let read: Vec<_> = std::iter::from_fn(&mut next).take(most).map(Arc::clone).collect();
        let goes_on = read.len() == most && next().is_some();
        (read, goes_on)
    }

    /// The kept message at `position`.
    pub fn get(&self, position: Position) -> Option<&Arc<Message>> {
        let is_here = position.epoch == self.epoch && position.offset >= self.oldest();
        is_here.then(|| self.kept.get(self.index(position.offset)).map(|kept| &kept.message))?
    }

    /// The kept messages from offset `next` on, oldest first.
    pub fn messages(&self, next: u64) -> impl Iterator<Item = &Arc<Message>> {
        self.kept.range(self.index(next)..).map(|kept| &kept.message)
    }

    /// What `encoding` makes of the message at `offset`: made once, then remembered.
    pub fn form(&mut self, offset: u64, encoding: &Encoding) -> Option<(Arc<Message>, Encoded)> {
        if offset < self.oldest() {
            return None;
        }
        let index = self.index(offset);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::vocabulary::{Channel, Payload};

    const MINUTE: Duration = Duration::from_secs(60);
    const KEEP: Keeps = Keeps { policy: Keep { messages: 3, age: MINUTE }, wish: None };

    fn say(log: &mut Log, text: &str, room: usize, now: Instant) -> Position {
        let message = |position| Message {
            channel: Channel::new("c").unwrap(),
            position,
            unix_ms: 0,
            origin: None,
            draft: Draft::new(Payload::Text(text.into())),
        };
        log.append(message, KEEP, room, None, now).position
    }

    fn filled(messages: u64, now: Instant) -> Log {
        let mut log = Log::new(Epoch(1));
        for number in 1..=messages {
            assert_eq!(say(&mut log, "x", usize::MAX, now).offset, number);
        }
        log
    }

    #[test]
    fn what_was_missed_is_had_whole_or_not_at_all() {
        let now = Instant::now();
        let log = filled(5, now);
        let after = |epoch, offset| log.replay(Since::After(Position { epoch: Epoch(epoch), offset }), now);
        assert_eq!(after(1, 5), Replay::From { next: 6, missed: 0 });
        assert_eq!(after(1, 3), Replay::From { next: 4, missed: 2 });
        assert_eq!(after(1, 2), Replay::From { next: 3, missed: 3 });
        assert_eq!(after(1, 1), Replay::Gone, "2 is no longer kept");
        assert_eq!(after(1, 6), Replay::Gone, "6 was never said");
        assert_eq!(after(1, u64::MAX), Replay::Gone);
        assert_eq!(after(2, 5), Replay::Gone, "another epoch");
        assert_eq!(log.replay(Since::Start, now), Replay::From { next: 3, missed: 3 });
        assert_eq!(log.replay(Since::Last(1), now), Replay::From { next: 5, missed: 1 });
        assert_eq!(log.replay(Since::Last(9), now), Replay::From { next: 3, missed: 3 });
        assert_eq!(log.messages(4).map(|message| message.position.offset).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn messages_age() {
        let now = Instant::now();
        let mut log = filled(2, now);
        say(&mut log, "y", usize::MAX, now + MINUTE / 2);
        log.trim(KEEP, now + MINUTE);
        assert_eq!(log.replay(Since::Start, now), Replay::From { next: 3, missed: 1 });
        log.trim(KEEP, now + 2 * MINUTE);
        assert!(log.is_empty());
        assert_eq!((log.bytes(), log.top().offset), (0, 3));
    }

    #[test]
    fn the_room_is_never_exceeded_and_holes_are_never_replayed_over() {
        let now = Instant::now();
        let mut log = filled(2, now);
        let room = log.bytes();
        say(&mut log, "x", room, now);
        assert_eq!((log.bytes(), log.oldest()), (room, 2));
        say(&mut log, &"x".repeat(10_000), room, now);
        assert_eq!((log.bytes(), log.oldest()), (0, 5), "too large to keep: nothing before it can be replayed");
        say(&mut log, "x", room, now);
        assert_eq!(log.oldest(), 5);
    }

    #[test]
    fn an_owner_keeps_no_more_than_it_may_in_all_logs() {
        let now = Instant::now();
        let (mut one, mut two) = (Log::new(Epoch(1)), Log::new(Epoch(2)));
        let held = Arc::new(AtomicUsize::new(0));
        let own = |log: &mut Log, most| {
            let message = |position| Message {
                channel: Channel::new("c").unwrap(),
                position,
                unix_ms: 0,
                origin: None,
                draft: Draft::new(Payload::Text("x".into())),
            };
            log.append(message, KEEP, usize::MAX, Some(Owner { held: Arc::clone(&held), most }), now);
            held.load(Ordering::Relaxed)
        };
        let each = own(&mut one, usize::MAX);
        assert_eq!(own(&mut one, 2 * each), 2 * each);
        assert_eq!(own(&mut two, 2 * each), 2 * each, "not kept here, as the other log has it all");
        assert_eq!((one.bytes(), two.bytes()), (2 * each, 0));
        assert_eq!(own(&mut one, 2 * each), 2 * each, "its own oldest gives way");
        say(&mut two, "of another", usize::MAX, now);
        assert!(!two.is_empty());
        one.trim(KEEP, now + MINUTE);
        assert_eq!(own(&mut two, 2 * each), each, "what is forgotten is given back");
    }

    #[test]
    fn what_either_wants_is_kept() {
        let now = Instant::now();
        let wish = Some(Keep { messages: usize::MAX, age: 2 * MINUTE });
        let mut log = Log::new(Epoch(1));
        let mut say = |keeps, at| {
            let message = |position| Message {
                channel: Channel::new("c").unwrap(),
                position,
                unix_ms: 0,
                origin: None,
                draft: Draft::new(Payload::Text("x".into())),
            };
            log.append(message, keeps, usize::MAX, None, at);
            log.oldest()
        };
        let both = Keeps { wish, ..KEEP };
        assert_eq!((0..10).map(|_| say(both, now)).last(), Some(1), "more than the policy has");
        assert_eq!(say(both, now + 2 * MINUTE), 11, "neither covers them");
        let policy = Keep { messages: 2, age: 9 * MINUTE };
        let both = Keeps { policy, wish };
        let later = [3, 4, 4, 4].map(|minutes| say(both, now + minutes * MINUTE));
        assert_eq!(later, [11, 12, 12, 12], "the policy keeps the latest for longer, the wish all of its time");
        assert_eq!(say(policy.into(), now + 4 * MINUTE), 15);
    }

    #[test]
    fn the_past_is_read_from_either_end() {
        let now = Instant::now();
        let mut log = Log::new(Epoch(1));
        let keeps = Keeps::from(Keep { messages: 9, age: MINUTE });
        for unix_ms in 1..=6 {
            let message = |position| Message {
                channel: Channel::new("c").unwrap(),
                position,
                unix_ms,
                origin: None,
                draft: Draft::new(Payload::Text("x".into())),
            };
            log.append(message, keeps, usize::MAX, None, now);
        }
        let at = |offset| Some(Position { epoch: Epoch(1), offset });
        let read = |span: Span, most| {
            let (messages, more) = log.read(&span, most);
            (messages.iter().map(|message| message.position.offset).collect::<Vec<_>>(), more)
        };
        assert_eq!(read(Span::default(), 9), (vec![1, 2, 3, 4, 5, 6], false));
        assert_eq!(read(Span { backwards: true, ..Span::default() }, 2), (vec![6, 5], true));
        assert_eq!(read(Span { after: at(2), before: at(5), ..Span::default() }, 2), (vec![3, 4], false));
        assert_eq!(read(Span { from_ms: 2, to_ms: 3, backwards: true, ..Span::default() }, 1), (vec![3], true));
        assert_eq!(read(Span { after: at(7), before: at(2), ..Span::default() }, 9), (vec![], false));
        let other = Position { epoch: Epoch(2), offset: 1 };
        assert_eq!(read(Span { after: Some(other), ..Span::default() }, 9), (vec![], false));
        assert_eq!(log.get(at(6).unwrap()).map(|message| message.position.offset), Some(6));
        assert!(log.get(at(7).unwrap()).is_none() && log.get(other).is_none());
    }
}
