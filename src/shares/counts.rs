//! How much each of some many holds, where each has a bound of its own.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// How much each holds. One entry for each that holds something.
#[derive(Debug)]
pub struct Counts<K: Hash + Eq + Clone>(Arc<Mutex<HashMap<K, usize>>>);

impl<K: Hash + Eq + Clone> Default for Counts<K> {
    fn default() -> Self {
        Counts(Arc::default())
    }
}

/// One of what is shared; given back when dropped.
#[derive(Debug)]
pub struct Count<K: Hash + Eq + Clone> {
    key: K,
    held: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Hash + Eq + Clone> Counts<K> {
    /// One more for `key`, unless that would be more than `most`.
    pub fn take(&self, key: K, most: usize) -> Option<Count<K>> {
        self.take_where(key, |held| held < most)
    }

    /// One more for `key`, where what it holds allows that.
    pub fn take_where(&self, key: K, may: impl FnOnce(usize) -> bool) -> Option<Count<K>> {
        let mut held = self.0.lock();
        if !may(held.get(&key).copied().unwrap_or(0)) {
            return None;
        }
        *held.entry(key.clone()).or_insert(0) += 1;
        Some(Count { key, held: Arc::clone(&self.0) })
    }
}

impl<K: Hash + Eq + Clone> Drop for Count<K> {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takes_its_part_and_who_holds_nothing_is_forgotten() {
        let counts = Counts::default();
        let first = counts.take("a", 2).unwrap();
        let _second = counts.take("a", 2).unwrap();
        assert!(counts.take("a", 2).is_none());
        let other = counts.take("b", 1).unwrap();
        assert!(counts.take("b", 1).is_none());
        drop((first, other));
        assert!(counts.take("a", 2).is_some());
        assert!(!counts.0.lock().contains_key("b"));
    }
}
