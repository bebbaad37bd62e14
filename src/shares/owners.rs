//! How much memory is kept on account of each client, in bytes.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Holder, SHARDS};

/// By client. What is kept holds its owner's count; with the last of it that goes, and its entry as these double.
#[derive(Debug, Default)]
pub struct Owners([Mutex<OwnerCounts>; SHARDS]);

#[derive(Debug, Default)]
struct OwnerCounts {
    by_holder: HashMap<Holder, Weak<AtomicUsize>>,
    /// How many entries there may be before those of nobody are cleared out.
    most: usize,
}

/// Fewer entries than this are not worth the clearing.
const FEW_OWNERS: usize = 16;

impl Owners {
    /// How much is kept on account of `holder`.
    pub fn held(&self, holder: Holder) -> Arc<AtomicUsize> {
        let mut counts = self.0[holder.shard(SHARDS)].lock();
        if let Some(held) = counts.by_holder.get(&holder).and_then(Weak::upgrade) {
            return held;
        }
        if counts.by_holder.len() >= counts.most {
            counts.by_holder.retain(|_, held| held.strong_count() > 0);
            counts.most = FEW_OWNERS.max(2 * counts.by_holder.len());
            let keep = counts.most;
            counts.by_holder.shrink_to(keep);
        }
        let held = Arc::default();
        counts.by_holder.insert(holder, Arc::downgrade(&held));
        held
    }
}

/// How much one owner may keep where there is room for `most` in all, `kept` are kept, and `held` of those are its own:
/// no more than it leaves free.
pub fn most_of_one(most: usize, kept: usize, held: usize) -> usize {
    most.saturating_sub(kept.saturating_sub(held)) / 2
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn owners_have_one_count_each_and_idle_ones_are_cleared() {
        let owners = Owners::default();
        let holder = |number: u16| Holder::of([10, 0, number.to_be_bytes()[0], number.to_be_bytes()[1]].into());
        let held = owners.held(holder(0));
        held.fetch_add(7, Ordering::Relaxed);
        for number in 1..2000 {
            drop(owners.held(holder(number)));
        }
        assert_eq!(owners.held(holder(0)).load(Ordering::Relaxed), 7);
        let entries: usize = owners.0.iter().map(|shard| shard.lock().by_holder.len()).sum();
        assert!(entries <= FEW_OWNERS * SHARDS, "{entries}");
    }

    #[test]
    fn one_keeps_half_and_another_half_of_the_rest() {
        assert_eq!(most_of_one(100, 0, 0), 50);
        assert_eq!(most_of_one(100, 50, 50), 50);
        assert_eq!(most_of_one(100, 50, 0), 25);
        assert_eq!(most_of_one(100, 200, 0), 0);
    }
}
