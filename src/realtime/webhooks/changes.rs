//! Things that change often, each told at once and then once in a while: the last change is never left out.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

/// Of which things it was told a moment ago that they have changed. As large as there are such things.
pub struct Changes<K>(HashMap<K, Told>);

struct Told {
    /// When it may be told again.
    until: Instant,
    /// That it has changed since, and when by the clock.
    waits: Option<u64>,
}

impl<K> Default for Changes<K> {
    fn default() -> Self {
        Changes(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Changes<K> {
    /// Whether nothing is to be looked at.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `thing` has changed at this time of the clock. Whether that is told now; else it waits.
    pub fn is_news(&mut self, thing: &K, unix_ms: u64, now: Instant, throttle: Duration) -> bool {
        if let Some(told) = self.0.get_mut(thing) {
            told.waits = Some(unix_ms);
            return false;
        }
        self.0.insert(thing.clone(), Told { until: now + throttle, waits: None });
        true
    }

    /// What has waited for long enough, and is told now.
    pub fn due(&mut self, now: Instant, throttle: Duration) -> Vec<(K, u64)> {
        let mut due = Vec::new();
        self.0.retain(|thing, told| {
            if told.until > now {
                return true;
            }
            let Some(unix_ms) = told.waits.take() else { return false };
            due.push((thing.clone(), unix_ms));
            told.until = now + throttle;
            true
        });
        due
    }

    /// What waits, all of it: it is the last time that anything is told.
    pub fn rest(&mut self) -> Vec<(K, u64)> {
        self.0.drain().filter_map(|(thing, told)| Some((thing, told.waits?))).collect()
    }

    /// `thing` is no more.
    pub fn forget(&mut self, thing: &K) {
        self.0.remove(thing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_at_once_then_once_in_a_while() {
        let second = Duration::from_secs(1);
        let (mut changes, start) = (Changes::default(), Instant::now());
        assert!(changes.is_news(&"a", 1, start, second));
        assert!(!changes.is_news(&"a", 2, start, second));
        assert!(!changes.is_news(&"a", 3, start, second));
        assert!(changes.is_news(&"b", 4, start, second));
        assert_eq!(changes.due(start + second / 2, second), []);
        assert_eq!(changes.due(start + second, second), [("a", 3)], "the last of them, and nothing of b");
        assert!(!changes.is_news(&"a", 5, start + second, second), "it was told just now");
        assert!(changes.is_news(&"b", 6, start + second, second));
        assert_eq!(changes.due(start + 2 * second, second), [("a", 5)]);
        assert_eq!(changes.due(start + 3 * second, second), []);
        assert!(changes.is_empty(), "nothing grows");
    }

    #[test]
    fn what_waits_at_the_end_is_told_and_what_is_no_more_is_not() {
        let (mut changes, now, second) = (Changes::default(), Instant::now(), Duration::from_secs(1));
        for thing in ["a", "b", "c"] {
            changes.is_news(&thing, 1, now, second);
        }
        changes.is_news(&"a", 2, now, second);
        changes.is_news(&"b", 3, now, second);
        changes.forget(&"b");
        assert_eq!(changes.rest(), [("a", 2)]);
        assert!(changes.is_empty());
    }
}
