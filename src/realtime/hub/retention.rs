//! What a channel keeps because clients want to come back for it, beside what its policy says.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::realtime::vocabulary::Receipt;

/// Messages named by their senders that a channel remembers in any case, so that one that is sent again is not said
/// again.
const MIN_NAMED: usize = 256;
/// And at most, where it keeps messages for clients that come back: those of that time.
const MAX_NAMED: usize = 16 * 1024;

/// A wish to keep messages: it lasts while a client is there that has it, and as long again after that.
#[derive(Debug)]
pub struct Retention {
    age: Duration,
    keepers: usize,
    until: Instant,
}

impl Retention {
    /// Keeps for at least `age` from now on.
    pub fn ask(this: &mut Option<Box<Retention>>, age: Duration, now: Instant) {
        let retention = this.get_or_insert_with(|| Box::new(Retention { age, keepers: 0, until: now }));
        retention.age = retention.age.max(age);
        retention.until = retention.until.max(now + age);
    }

    /// One more client is there that may come back.
    pub fn enter(&mut self) {
        self.keepers += 1;
    }

    /// One of them has left.
    pub fn leave(&mut self, now: Instant) {
        self.keepers = self.keepers.saturating_sub(1);
        self.until = self.until.max(now + self.age);
    }

    /// For how long all is to be kept; nothing once nobody can want it.
    pub fn keep(&self, now: Instant) -> Option<Duration> {
        (self.keepers > 0 || now < self.until).then_some(self.age)
    }
}

/// Messages by their senders' names for them, the latest last.
#[derive(Debug, Default)]
pub struct Named {
    order: VecDeque<(Arc<str>, Instant)>,
    known: HashMap<Arc<str>, Receipt>,
}

impl Named {
    pub fn get(&self, id: &str) -> Option<Receipt> {
        self.known.get(id).copied()
    }

    /// Remembers one more. The oldest go: beyond the least those that are older than `age`, beyond the most all.
    pub fn remember(&mut self, id: Arc<str>, receipt: Receipt, age: Duration, now: Instant) {
        while self.order.len() >= MIN_NAMED
            && let Some((_, at)) = self.order.front()
            && (self.order.len() >= MAX_NAMED || now.saturating_duration_since(*at) >= age)
        {
            self.order.pop_front().and_then(|(id, _)| self.known.remove(&id));
        }
        if self.known.insert(Arc::clone(&id), receipt).is_none() {
            self.order.push_back((id, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn kept_while_one_may_come_back() {
        let now = Instant::now();
        let mut retention = None;
        Retention::ask(&mut retention, 2 * MINUTE, now);
        let kept = retention.as_mut().unwrap();
        assert!(kept.keep(now + MINUTE).is_some() && kept.keep(now + 2 * MINUTE).is_none());
        kept.enter();
        kept.enter();
        kept.leave(now + 9 * MINUTE);
        assert!(kept.keep(now + 20 * MINUTE).is_some(), "one is there");
        kept.leave(now + 20 * MINUTE);
        assert_eq!(kept.keep(now + 21 * MINUTE), Some(2 * MINUTE));
        assert_eq!(kept.keep(now + 22 * MINUTE), None);
    }

    #[test]
    fn names_are_known_for_their_time_and_not_without_end() {
        let now = Instant::now();
        let mut named = Named::default();
        let receipt = Receipt { position: None, unix_ms: 1 };
        let mut say = |number: usize, age, now| named.remember(number.to_string().into(), receipt, age, now);
        (0..MIN_NAMED + 10).for_each(|number| say(number, MINUTE, now));
        say(1_000, Duration::ZERO, now);
        (2_000..2_000 + 2 * MAX_NAMED).for_each(|number| say(number, MINUTE, now + MINUTE));
        assert_eq!((named.order.len(), named.known.len()), (MAX_NAMED, MAX_NAMED));
        assert!(named.get("0").is_none() && named.get(&(2_000 + 2 * MAX_NAMED - 1).to_string()).is_some());
    }
}
