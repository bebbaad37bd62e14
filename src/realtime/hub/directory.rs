//! Channels by name, in shards, so that finding one rarely waits for another.

use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::sync::Mutex;

use super::channel::{ChannelEntry, ChannelState};
use super::policy::Policy;
use crate::realtime::vocabulary::{Channel, Epoch};
use crate::shares::{Holder, Shares};

const SHARDS: usize = 64;

/// Never holds a shard's lock and a channel's at once, but to remove a channel: shard first, then channel.
pub struct Directory {
    shards: Vec<Mutex<HashMap<Channel, Arc<ChannelEntry>>>>,
    hasher: RandomState,
    /// How many there may be, and who opened them.
    shares: Arc<Shares>,
    /// Channels that were empty when they came here, each once; taken alone. What is gone is cleared out as it doubles.
    resting: Mutex<VecDeque<Weak<ChannelEntry>>>,
    number: AtomicU32,
    /// The upper half of every epoch: another in each run of Doorway.
    run: u32,
}

impl Directory {
    pub fn new(run: u32, most: usize) -> Directory {
        Directory {
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
            hasher: RandomState::new(),
            shares: Shares::new("realtime.max_channels", most),
            resting: Mutex::new(VecDeque::new()),
            number: AtomicU32::new(0),
            run,
        }
    }

    pub fn len(&self) -> usize {
        self.shares.taken()
    }

    /// Changes how many there may be; those there are stay.
    pub fn limit(&self, most: usize) {
        self.shares.limit(most);
    }

    fn shard(&self, name: &Channel) -> &Mutex<HashMap<Channel, Arc<ChannelEntry>>> {
        let hash = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }

    pub fn find(&self, name: &Channel) -> Option<Arc<ChannelEntry>> {
        self.shard(name).lock().get(name).map(Arc::clone)
    }

    /// Finds `name`, or makes it for `holder` and says so; `None` when there are too many, or too many of this holder.
    pub fn find_or_make(
        &self,
        name: &Channel,
        holder: Holder,
        now: Instant,
        policy: impl FnOnce() -> Arc<Policy>,
    ) -> Option<(Arc<ChannelEntry>, bool)> {
        let mut shard = self.shard(name).lock();
        if let Some(entry) = shard.get(name) {
            return Some((Arc::clone(entry), false));
        }
        let share = self.shares.try_take(holder)?;
        let number = loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if number != 0 {
                break number;
            }
        };
        let epoch = Epoch(u64::from(self.run) << 32 | u64::from(number));
        let entry = Arc::new(ChannelEntry::new(name.clone(), number, epoch, policy(), share, now));
        shard.insert(name.clone(), Arc::clone(&entry));
        Some((entry, true))
    }

    /// The first `most` names, in their order, that begin with `prefix` and come after `after`; no reserved ones.
    pub fn names(&self, prefix: &str, after: Option<&str>, most: usize) -> Vec<Channel> {
        let mut first = BinaryHeap::new();
        let is_meant = |name: &Channel| {
            !name.is_reserved() && name.as_str().starts_with(prefix) && after.is_none_or(|after| name.as_str() > after)
        };
        for shard in &self.shards {
            for name in shard.lock().keys().filter(|name| is_meant(name)) {
                if first.len() < most {
                    first.push(name.clone());
                } else if let Some(mut last) = first.peek_mut()
                    && *name < *last
                {
                    *last = name.clone();
                }
            }
        }
        first.into_sorted_vec()
    }

    /// The channels of one shard; there are [`Directory::shards`].
    pub fn shard_cells(&self, shard: usize) -> Vec<Arc<ChannelEntry>> {
        self.shards[shard % SHARDS].lock().values().map(Arc::clone).collect()
    }

    pub fn shards(&self) -> usize {
        SHARDS
    }

    pub fn all(&self) -> Vec<Arc<ChannelEntry>> {
        (0..SHARDS).flat_map(|shard| self.shard_cells(shard)).collect()
    }

    /// Forgets `entry` if it has been empty for `long`.
    pub fn forget(&self, entry: &Arc<ChannelEntry>, long: Duration, now: Instant) {
        let mut shard = self.shard(&entry.name).lock();
        let mut state = entry.state.lock();
        let is_due =
            |state: &ChannelState| state.is_empty() && now.saturating_duration_since(state.quiet_since) >= long;
        if !state.is_gone && is_due(&state) {
            state.go();
            shard.remove(&entry.name);
        }
    }

    /// Puts an empty channel among those that give way; see [`ChannelState::begins_rest`].
    pub fn rest(&self, entry: &Arc<ChannelEntry>) {
        let mut resting = self.resting.lock();
        if resting.len() > 2 * self.len() + SHARDS {
            resting.retain(|entry| entry.strong_count() > 0);
            let keep = resting.len() * 2;
            resting.shrink_to(keep);
        }
        resting.push_back(Arc::downgrade(entry));
    }

    /// Forgets a channel that is empty, whichever came to rest first. False where there is none.
    pub fn give_way(&self) -> bool {
        loop {
            let Some(first) = self.resting.lock().pop_front() else { return false };
            let Some(entry) = first.upgrade() else { continue };
            let mut shard = self.shard(&entry.name).lock();
            let mut state = entry.state.lock();
            state.rests = false;
            if !state.is_gone && state.is_empty() {
                state.go();
                shard.remove(&entry.name);
                return true;
            }
        }
    }
}
