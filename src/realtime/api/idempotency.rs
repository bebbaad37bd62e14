//! The same request once, however often it is sent (draft-ietf-httpapi-idempotency-key-header): answers are remembered
//! by the `Idempotency-Key` that their requests came with.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = 255;

/// What one entry holds besides its key and its answer, roughly.
const ENTRY_OVERHEAD: usize = 160;

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    pub keys: usize,
    pub age: Duration,
    pub bytes: usize,
}

/// An answer that can be given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse {
    pub status: StatusCode,
    pub body: Bytes,
}

/// What a request is, so that another one under the same key is noticed.
pub type Fingerprint = [u8; 32];

/// What is remembered: bounded by [`MemoryLimits`], and the oldest go first.
#[derive(Default)]
pub struct IdempotencyMemory(Mutex<MemoryState>);

#[derive(Default)]
struct MemoryState {
    entries: HashMap<Arc<str>, MemoryEntry>,
    /// In the order of their arrival. Those given up since are skipped by their number.
    order: VecDeque<(Arc<str>, u64)>,
    next: u64,
    bytes: usize,
}

struct MemoryEntry {
    number: u64,
    fingerprint: Fingerprint,
    at: Instant,
    /// None while it is under way.
    answer: Option<StoredResponse>,
    bytes: usize,
}

/// What a key means for a request.
pub enum Begun<'a> {
    /// It is new: carry it out, and say what it was answered.
    First(Reservation<'a>),
    /// It was carried out already.
    Again(StoredResponse),
    /// It is being carried out just now.
    UnderWay,
    /// The key belongs to another request.
    Reused,
    /// As many as fit are being carried out just now.
    Full,
}

/// A key that was taken. Dropped without an answer it is free again.
pub struct Reservation<'a> {
    memory: &'a IdempotencyMemory,
    key: Arc<str>,
    number: u64,
    limits: MemoryLimits,
}

impl IdempotencyMemory {
    /// Takes `key` for a request.
    pub fn begin(&self, key: &str, fingerprint: Fingerprint, limits: MemoryLimits, now: Instant) -> Begun<'_> {
        let mut state = self.0.lock();
        state.forget_old(limits.age, now);
        if let Some(known) = state.entries.get(key) {
            return match &known.answer {
                _ if known.fingerprint != fingerprint => Begun::Reused,
                Some(answer) => Begun::Again(answer.clone()),
                None => Begun::UnderWay,
            };
        }
        let bytes = key.len() + ENTRY_OVERHEAD;
        if !state.make_room(limits.keys.saturating_sub(1), limits.bytes.saturating_sub(bytes)) {
            return Begun::Full;
        }
        let key: Arc<str> = key.into();
        let number = state.next;
        state.next += 1;
        state.bytes += bytes;
        state.order.push_back((Arc::clone(&key), number));
        state.entries.insert(Arc::clone(&key), MemoryEntry { number, fingerprint, at: now, answer: None, bytes });
        Begun::First(Reservation { memory: self, key, number, limits })
    }

    pub fn len(&self) -> usize {
        self.0.lock().entries.len()
    }
}

impl MemoryState {
    fn forget_old(&mut self, age: Duration, now: Instant) {
        while let Some((key, number)) = self.order.front() {
            let is_over = match self.entries.get(key).filter(|entry| entry.number == *number) {
                Some(entry) => entry.answer.is_some() && now.saturating_duration_since(entry.at) >= age,
                None => true,
            };
            if !is_over {
                return;
            }
            let (key, number) = (Arc::clone(key), *number);
            self.order.pop_front();
            self.remove(&key, number);
        }
    }

    /// Forgets the oldest answers until no more than this is left. Says whether that was possible: what is under way
    /// stays.
    fn make_room(&mut self, keys: usize, bytes: usize) -> bool {
        let mut left = self.order.len();
        while (self.entries.len() > keys || self.bytes > bytes) && left > 0 {
            left -= 1;
            let Some((key, number)) = self.order.pop_front() else { break };
            let is_under_way =
                self.entries.get(&key).is_some_and(|entry| entry.number == number && entry.answer.is_none());
            if is_under_way {
                self.order.push_back((key, number));
            } else {
                self.remove(&key, number);
            }
        }
        self.entries.len() <= keys && self.bytes <= bytes
    }

    fn remove(&mut self, key: &str, number: u64) {
        if self.entries.get(key).is_some_and(|entry| entry.number == number)
            && let Some(entry) = self.entries.remove(key)
        {
            self.bytes -= entry.bytes;
        }
    }
}

impl Reservation<'_> {
    /// Remembers what the request was answered.
    pub fn answered(self, answer: StoredResponse) {
        let mut state = self.memory.0.lock();
        let bytes = answer.body.len();
        if let Some(entry) = state.entries.get_mut(&self.key) {
            entry.bytes += bytes;
            entry.answer = Some(answer);
            state.bytes += bytes;
        }
        let (keys, most) = (self.limits.keys, self.limits.bytes);
        state.make_room(keys, most);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.memory.0.lock();
        if state.entries.get(&self.key).is_some_and(|entry| entry.number == self.number && entry.answer.is_none()) {
            state.remove(&self.key, self.number);
        }
    }
}

/// The key of a header's value: a string of RFC 8941 as the draft says, or the bare word that most clients send.
pub fn key(value: &str) -> Option<&str> {
    let value = value.trim();
    let key = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let is_plain = key.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\');
    ((1..=MAX_KEY_LEN).contains(&key.len()) && is_plain).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: MemoryLimits = MemoryLimits { keys: 2, age: Duration::from_secs(60), bytes: 10_000 };

    fn kept(text: &'static str) -> StoredResponse {
        StoredResponse { status: StatusCode::OK, body: Bytes::from_static(text.as_bytes()) }
    }

    fn first<'a>(memory: &'a IdempotencyMemory, key: &str, limits: MemoryLimits, now: Instant) -> Reservation<'a> {
        match memory.begin(key, [0; 32], limits, now) {
            Begun::First(place) => place,
            _ => panic!("{key} is known"),
        }
    }

    #[test]
    fn a_request_is_carried_out_once() {
        let (memory, now) = (IdempotencyMemory::default(), Instant::now());
        let place = first(&memory, "a", LIMITS, now);
        assert!(matches!(memory.begin("a", [0; 32], LIMITS, now), Begun::UnderWay));
        assert!(matches!(memory.begin("a", [1; 32], LIMITS, now), Begun::Reused));
        place.answered(kept("yes"));
        assert!(matches!(memory.begin("a", [0; 32], LIMITS, now), Begun::Again(answer) if answer == kept("yes")));
        assert!(matches!(memory.begin("a", [1; 32], LIMITS, now), Begun::Reused));
        drop(first(&memory, "a", LIMITS, now + LIMITS.age));
        assert_eq!(memory.len(), 0, "one that was given up is free again");
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let (memory, now) = (IdempotencyMemory::default(), Instant::now());
        for key in ["a", "b", "c"] {
            first(&memory, key, LIMITS, now).answered(kept("x"));
        }
        assert_eq!(memory.len(), 2);
        assert!(matches!(memory.begin("b", [0; 32], LIMITS, now), Begun::Again(_)));
        first(&memory, "a", LIMITS, now).answered(kept("x"));
        let few = MemoryLimits { bytes: 2 * ENTRY_OVERHEAD, ..LIMITS };
        first(&memory, "d", few, now).answered(kept("x"));
        assert_eq!(memory.len(), 1);
        assert!(matches!(memory.begin("d", [0; 32], few, now), Begun::Again(_)));
        let big = MemoryLimits { bytes: ENTRY_OVERHEAD + 1, ..LIMITS };
        first(&memory, "e", big, now).answered(kept("xx"));
        assert_eq!(memory.0.lock().bytes, 0, "an answer that does not fit is not kept");
    }

    #[test]
    fn what_is_under_way_is_never_forgotten() {
        let (memory, now) = (IdempotencyMemory::default(), Instant::now());
        let one = first(&memory, "a", LIMITS, now);
        let two = first(&memory, "b", LIMITS, now);
        assert!(matches!(memory.begin("c", [0; 32], LIMITS, now + 2 * LIMITS.age), Begun::Full));
        one.answered(kept("x"));
        let three = first(&memory, "c", LIMITS, now);
        assert!(matches!(memory.begin("b", [0; 32], LIMITS, now), Begun::UnderWay));
        drop((two, three));
        assert_eq!((memory.len(), memory.0.lock().bytes), (0, 0));
    }

    #[test]
    fn keys_come_quoted_or_bare() {
        assert_eq!(key("\"8e03978e\""), Some("8e03978e"));
        assert_eq!(key("8e03978e"), Some("8e03978e"));
        assert_eq!(key(&"x".repeat(255)), Some(&*"x".repeat(255)));
        for bad in ["", "\"\"", "a\"b", "a\\b", "\u{e9}", &"x".repeat(256)] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }
}
