//! What went out to a client and is not known to have arrived, so that it can be said again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;

use super::config::Parser;
use super::rooms::ROOT;
use super::{msgpack, write};
use crate::realtime::vocabulary::{EncodedFrames, Frame};
use crate::shares::most_of_one;

/// How much a replay may hold.
#[derive(Debug, Clone)]
pub struct ReplayLimits {
    /// Events.
    pub events: usize,
    /// The same in bytes.
    pub bytes: usize,
    /// What all trails hold together, in bytes of memory: what several share counts once.
    pub held: Gauge,
    /// What the trails of the same client address hold, of which each has what it was the first to keep.
    pub owned: Arc<AtomicUsize>,
    /// The most of that: of all, and of one address no more than it leaves free. Clients that are away give way before ([`crate::realtime::session::ResumeRegistry`]).
    pub total: usize,
}

/// All that a connection may have to say again: events with their offsets, in the order in which they went out.
/// Bounded: with more, the oldest are forgotten.
#[derive(Debug)]
pub struct ReplayBuffer {
    pub key: u128,
    parser: Parser,
    bounds: ReplayLimits,
    encoded: VecDeque<Kept>,
    bytes: usize,
    /// The number of the first of them. Numbers count from 1.
    first: u64,
    /// Those before this were forgotten though nobody said that they had arrived.
    lost: u64,
    /// Those before this went out before the client was last asked whether it lives.
    mark: u64,
    /// Until when clients without a link are waited for.
    pub until: Option<Instant>,
    /// Numbers of clients, and offsets of what was said to one client only.
    count: u32,
    direct: u64,
}

#[derive(Debug)]
struct Kept {
    encoded: EncodedFrames,
    /// What that costs its address, in bytes.
    owned: usize,
}

/// One client's part of the replay.
#[derive(Debug)]
pub struct Cursor {
    pub number: u32,
    /// The first that can be its.
    since: u64,
    /// The last of its events that is known to have arrived: its number and its offset.
    arrived: Option<(u64, Box<str>)>,
    /// What it held to be its offset when it began: a client does not forget that of an earlier life.
    before: Option<Box<str>>,
    /// With which it has come back.
    pub offset: Option<Box<str>>,
}

/// The number of the question that it is, if it is one.
pub fn question(encoded: &EncodedFrames) -> Option<u64> {
    match encoded.frames().first()? {
        // It stands before the arguments.
        Frame::Text(text) => {
            let head = text.get(2..)?.split('[').next()?;
            let digits = head.bytes().rev().take_while(u8::is_ascii_digit).count();
            head[head.len() - digits..].parse().ok()
        }
        Frame::Binary(bytes) if bytes.first() == Some(&0x84) => msgpack::read(bytes, 130, usize::MAX).ok()?.id,
        _ => None,
    }
}

fn amount(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The longest offset there is: a position's.
const MAX_OFFSET_LEN: usize = 40;

/// Positions are two numbers in hexadecimal or decimal with a hyphen, and offsets of other events decimal numbers.
fn is_of_offset(byte: u8) -> bool {
    byte.is_ascii_hexdigit() || byte == b'-'
}

impl ReplayBuffer {
    pub fn new(key: u128, parser: Parser, bounds: ReplayLimits) -> ReplayBuffer {
        ReplayBuffer {
            key,
            parser,
            bounds,
            encoded: VecDeque::new(),
            bytes: 0,
            first: 1,
            lost: 1,
            mark: 1,
            until: None,
            count: 0,
            direct: 0,
        }
    }

    /// A new client's part, which begins now.
    pub fn begin(&mut self, before: Option<&str>) -> Box<Cursor> {
        self.count = self.count.wrapping_add(1);
        let before = before.filter(|text| text.len() <= MAX_OFFSET_LEN).map(Box::from);
        Box::new(Cursor { number: self.count, since: self.next(), arrived: None, before, offset: None })
    }

    /// The number of the next.
    fn next(&self) -> u64 {
        self.first + self.encoded.len() as u64
    }

    /// An offset that no other event of this connection has: positions have a hyphen.
    pub fn offset(&mut self) -> u64 {
        self.direct += 1;
        self.direct
    }

    /// Takes what goes out, but for questions, which have no offset.
    pub fn push(&mut self, encoded: &EncodedFrames) {
        if question(encoded).is_some() {
            return;
        }
        self.bytes += encoded.bytes();
        let owned = encoded.keep();
        self.bounds.held.inc_by(amount(owned));
        self.bounds.owned.fetch_add(owned, Ordering::Relaxed);
        self.encoded.push_back(Kept { encoded: encoded.clone(), owned });
        while self.is_too_much() && self.pop() {
            self.lost = self.first;
        }
    }

    fn is_too_much(&self) -> bool {
        let ReplayLimits { events, bytes, held, owned, total } = &self.bounds;
        let (kept, owned) = (usize::try_from(held.get()).unwrap_or_default(), owned.load(Ordering::Relaxed));
        let is_too_much = kept > *total || owned > most_of_one(*total, kept, owned);
        self.encoded.len() > *events || self.bytes > *bytes || is_too_much
    }

    fn pop(&mut self) -> bool {
        let Some(Kept { encoded, owned }) = self.encoded.pop_front() else { return false };
        self.bytes -= encoded.bytes();
        self.bounds.held.dec_by(amount(encoded.let_go()));
        self.bounds.owned.fetch_sub(owned, Ordering::Relaxed);
        self.first += 1;
        true
    }

    /// Something went by that could not be told: whoever has only what was before has a gap.
    pub fn gap(&mut self) {
        while self.pop() {}
        self.first += 1;
        self.lost = self.first;
    }

    pub fn mark(&mut self) {
        self.mark = self.next();
    }

    /// The link on which it was asked is gone.
    pub fn unmark(&mut self) {
        self.mark = self.first;
    }

    /// What went out before the mark has arrived.
    pub fn confirm<'a>(&mut self, clients: impl Iterator<Item = (&'a str, &'a mut Cursor)>) {
        let count = usize::try_from(self.mark.saturating_sub(self.first)).unwrap_or_default().min(self.encoded.len());
        if count == 0 {
            return;
        }
        for (scope, cursor) in clients {
            let last = self.encoded.iter().take(count).rposition(|kept| self.is_of(&kept.encoded, scope));
            if let Some(place) = last
                && self.first + place as u64 >= cursor.since
            {
                let offset = self.offset_of(&self.encoded[place].encoded).unwrap_or_default();
                cursor.arrived = Some((self.first + place as u64, offset.into()));
            }
        }
        for _ in 0..count {
            self.pop();
        }
        if self.encoded.is_empty() {
            // A silent client keeps no memory for it.
            self.encoded = VecDeque::new();
        } else if self.encoded.len() < self.encoded.capacity() / 4 {
            self.encoded.shrink_to(self.encoded.len() * 2);
        }
    }

    /// The number of the first event that a client of `scope` has missed, by the offset that it names; `None` where
    /// that cannot be told, or what it missed is no longer known.
    fn missed(&self, scope: &str, cursor: &Cursor, offset: Option<&str>) -> Option<u64> {
        let from = match offset {
            // What it once heard in another life says nothing of this one.
            None => (cursor.arrived.is_none()).then_some(cursor.since),
            offset if offset == cursor.before.as_deref() => (cursor.arrived.is_none()).then_some(cursor.since),
            Some(offset) => self.place_of(scope, cursor, offset).map(|place| place + 1),
        }?;
        (self.lost <= from).then_some(from)
    }

    fn place_of(&self, scope: &str, cursor: &Cursor, offset: &str) -> Option<u64> {
        if offset.is_empty() || offset.len() > MAX_OFFSET_LEN || !offset.bytes().all(is_of_offset) {
            return None;
        }
        // It is most likely near the end.
        let is_it = |kept: &Kept| self.offset_of(&kept.encoded) == Some(offset) && self.is_of(&kept.encoded, scope);
        let place = self.encoded.iter().rposition(is_it).map(|place| self.first + place as u64);
        let arrived = || cursor.arrived.as_ref().filter(|(_, last)| **last == *offset).map(|(at, _)| *at);
        place.filter(|place| *place >= cursor.since).or_else(arrived)
    }

    /// What a client of `scope` has missed, see [`Cursor::offset`]; `None` where not all of it is known.
    pub fn since<'a>(
        &'a self,
        scope: &'a str,
        cursor: &Cursor,
    ) -> Option<impl Iterator<Item = &'a EncodedFrames> + 'a> {
        let from = self.missed(scope, cursor, cursor.offset.as_deref())?;
        let skipped = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        Some(
            self.encoded
                .iter()
                .skip(skipped)
                .map(|kept| &kept.encoded)
                .filter(move |encoded| self.is_of(encoded, scope)),
        )
    }

    /// Whether an event is of this namespace.
    pub fn is_of(&self, encoded: &EncodedFrames, scope: &str) -> bool {
        match encoded.frames().first() {
            Some(Frame::Text(text)) => {
                let rest = text.get(2..).unwrap_or_default();
                let rest = match rest.split_once('-') {
                    Some((count, rest)) if !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) => rest,
                    _ => rest,
                };
                if scope == ROOT {
                    return !rest.starts_with('/');
                }
                rest.strip_prefix(scope).is_some_and(|rest| rest.starts_with(','))
            }
            // The first byte says how many fields there are.
            Some(Frame::Binary(bytes)) => {
                bytes.get(1..).is_some_and(|rest| rest.starts_with(&msgpack::bare(write::EVENT, scope)[1..]))
            }
            _ => false,
        }
    }

    /// Its last argument, where that looks like an offset.
    fn offset_of<'a>(&self, encoded: &'a EncodedFrames) -> Option<&'a str> {
        let bytes = match (encoded.frames().first()?, self.parser) {
            (Frame::Text(text), _) => text.strip_suffix("\"]")?.as_bytes(),
            (Frame::Binary(bytes), Parser::Msgpack) => bytes,
            _ => return None,
        };
        let length = bytes.iter().rev().take_while(|byte| is_of_offset(**byte)).count();
        let (before, offset) = bytes.split_at(bytes.len() - length);
        let is_whole = match (before, self.parser) {
            ([.., b',', b'"'], Parser::Json) => true,
            // A short text has its length in its head, a longer one in a byte of its own.
            ([.., head], Parser::Msgpack) if length < 32 => usize::from(*head) == 0xa0 | length,
            ([.., 0xd9, count], Parser::Msgpack) => usize::from(*count) == length,
            _ => false,
        };
        std::str::from_utf8(offset).ok().filter(|_| is_whole && (1..=MAX_OFFSET_LEN).contains(&length))
    }
}

impl Drop for ReplayBuffer {
    fn drop(&mut self) {
        while self.pop() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::socketio::machine::encode::{OffsetSlot, SocketIoEncoder};
    use crate::realtime::vocabulary::{Draft, Payload};

    fn bounds(events: usize, bytes: usize) -> ReplayLimits {
        ReplayLimits { events, bytes, held: Gauge::default(), owned: Arc::default(), total: usize::MAX }
    }

    fn replay(parser: Parser, events: usize, bytes: usize) -> ReplayBuffer {
        ReplayBuffer::new(1, parser, bounds(events, bytes))
    }

    fn said(scope: &str, parser: Parser, offset: &str) -> EncodedFrames {
        let draft = Draft { name: Some("e".into()), ..Draft::new(Payload::Text("a-b".into())) };
        SocketIoEncoder { parser, recovers: true }.event(scope, &draft, OffsetSlot::At(&offset)).unwrap()
    }

    fn missed(replay: &ReplayBuffer, scope: &str, cursor: &mut Cursor, offset: Option<&str>) -> Option<usize> {
        cursor.offset = offset.map(Into::into);
        replay.since(scope, cursor).map(Iterator::count)
    }

    #[test]
    fn an_offset_says_what_was_missed() {
        for parser in [Parser::Json, Parser::Msgpack] {
            let mut replay = replay(parser, 10, 10_000);
            let (mut root, mut other) = (replay.begin(None), replay.begin(None));
            let long = "ffffffffffffffff-18446744073709551615";
            for (scope, offset) in [("/", "a-1"), ("/x-1", "b-1"), ("/", "a-11"), ("/x-1", "2"), ("/", long)] {
                replay.push(&said(scope, parser, offset));
            }
            for (offset, count) in [(None, 3), (Some("a-1"), 2), (Some("a-11"), 1), (Some(long), 0)] {
                assert_eq!(missed(&replay, "/", &mut root, offset), Some(count), "{offset:?}");
            }
            for offset in ["", "1", "-1", "b-1", "2", "a-2", "\"", "e", &"a".repeat(1000)] {
                assert_eq!(missed(&replay, "/", &mut root, Some(offset)), None, "{offset:?}");
            }
            assert_eq!(missed(&replay, "/x-1", &mut other, Some("b-1")), Some(1));
            assert_eq!(missed(&replay, "/x-1", &mut other, Some("2")), Some(0));
        }
    }

    #[test]
    fn what_was_before_a_client_is_none_of_its() {
        let mut replay = replay(Parser::Json, 10, 10_000);
        replay.push(&said("/", Parser::Json, "a-1"));
        let mut cursor = replay.begin(Some("a-1"));
        replay.push(&said("/", Parser::Json, "a-2"));
        assert_eq!(missed(&replay, "/", &mut cursor, None), Some(1));
        assert_eq!(missed(&replay, "/", &mut cursor, Some("a-1")), Some(1), "what it held to be its offset before");
        assert_eq!(missed(&replay, "/", &mut cursor, Some("a-2")), Some(0));
    }

    #[test]
    fn what_has_arrived_is_not_kept() {
        let mut replay = replay(Parser::Json, 10, 10_000);
        let (mut root, mut other) = (replay.begin(None), replay.begin(None));
        for (scope, offset) in [("/", "a-1"), ("/", "a-2"), ("/x", "b-1")] {
            replay.push(&said(scope, Parser::Json, offset));
        }
        replay.mark();
        replay.push(&said("/", Parser::Json, "a-3"));
        replay.confirm([("/", &mut *root), ("/x", &mut *other)].into_iter());
        assert_eq!(replay.encoded.len(), 1);
        assert_eq!(missed(&replay, "/", &mut root, Some("a-2")), Some(1));
        assert_eq!(missed(&replay, "/", &mut root, Some("a-3")), Some(0));
        assert_eq!(missed(&replay, "/", &mut root, Some("a-1")), None, "it has said that it has more");
        assert_eq!(missed(&replay, "/", &mut root, None), None);
        assert_eq!(missed(&replay, "/x", &mut other, Some("b-1")), Some(0));
        replay.mark();
        replay.unmark();
        replay.confirm([("/", &mut *root)].into_iter());
        assert_eq!(replay.encoded.len(), 1, "asked on a link that is gone");
    }

    #[test]
    fn it_is_bounded_and_knows_what_it_forgot() {
        for mut replay in [replay(Parser::Json, 3, 10_000), replay(Parser::Json, 100, 66)] {
            let mut cursor = replay.begin(None);
            let mut late = None;
            for number in 1..=5 {
                if number == 5 {
                    late = Some(replay.begin(None));
                }
                replay.push(&said("/", Parser::Json, &format!("a-{number}")));
            }
            assert_eq!((replay.encoded.len(), replay.bytes), (3, 3 * 19));
            assert_eq!(missed(&replay, "/", &mut cursor, None), None);
            assert_eq!(missed(&replay, "/", &mut cursor, Some("a-1")), None);
            assert_eq!(missed(&replay, "/", &mut cursor, Some("a-3")), Some(2));
            assert_eq!(missed(&replay, "/", &mut late.unwrap(), None), Some(1), "who came later has missed nothing");
        }
    }

    #[test]
    fn questions_are_not_asked_again() {
        for parser in [Parser::Json, Parser::Msgpack] {
            let mut replay = replay(parser, 10, 10_000);
            let draft = Draft { asks: Some(7), ..Draft::new(Payload::Text("1".into())) };
            for scope in ["/", "/x7"] {
                replay.push(
                    &SocketIoEncoder { parser, recovers: true }.event(scope, &draft, OffsetSlot::Nowhere).unwrap(),
                );
                assert_eq!(replay.encoded.len(), 0);
                replay.push(&said(scope, parser, "a-1"));
                assert!(replay.pop());
            }
        }
    }

    #[test]
    fn what_several_hold_counts_once_and_is_given_back() {
        let held = Gauge::default();
        let new = || ReplayBuffer::new(1, Parser::Json, ReplayLimits { held: held.clone(), ..bounds(3, 10_000) });
        let (mut one, mut two) = (new(), new());
        let event = said("/", Parser::Json, "a-1");
        one.push(&event);
        let alone = held.get();
        two.push(&event);
        assert!(alone > 19 && held.get() - alone < 19, "{alone} {}", held.get());
        drop(one);
        assert_eq!(held.get(), alone);
        for _ in 0..10 {
            two.push(&said("/", Parser::Json, "a-2"));
        }
        assert_eq!(held.get(), 3 * alone);
        two.mark();
        two.confirm(std::iter::empty());
        assert_eq!(held.get(), 0);
    }

    #[test]
    fn together_they_hold_no_more_than_they_may() {
        let held = Gauge::default();
        let new = || {
            ReplayBuffer::new(1, Parser::Json, ReplayLimits { held: held.clone(), total: 1000, ..bounds(100, 10_000) })
        };
        let mut trails = [new(), new(), new()];
        let mut clients = trails.each_mut().map(|replay| replay.begin(None));
        for number in 1..=50 {
            for replay in &mut trails {
                replay.push(&said("/", Parser::Json, &format!("a-{number}")));
                assert!(held.get() <= 1000, "{}", held.get());
            }
        }
        for (replay, cursor) in trails.iter().zip(&mut clients) {
            assert_eq!(missed(replay, "/", cursor, None), None, "none of them has all");
        }
        drop(trails);
        assert_eq!(held.get(), 0);
    }

    #[test]
    fn a_gap_is_not_passed_over() {
        let mut replay = replay(Parser::Json, 10, 10_000);
        let mut cursor = replay.begin(None);
        replay.push(&said("/", Parser::Json, "a-1"));
        replay.gap();
        assert_eq!(missed(&replay, "/", &mut cursor, Some("a-1")), None);
        assert_eq!(missed(&replay, "/", &mut cursor, None), None);
        replay.push(&said("/", Parser::Json, "a-3"));
        replay.push(&said("/", Parser::Json, "a-4"));
        assert_eq!(missed(&replay, "/", &mut cursor, Some("a-3")), Some(1));
    }
}
