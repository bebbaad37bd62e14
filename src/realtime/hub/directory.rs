//! Channels by name, in shards, so that finding one rarely waits for another.

use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::sync::Mutex;

use super::channel::{Cell, State};
use super::policy::Policy;
use crate::realtime::vocabulary::{Channel, Epoch};

const SHARDS: usize = 64;

/// Never holds a shard's lock and a channel's at once, but to remove a channel: shard first, then channel.
pub struct Directory {
    shards: Vec<Mutex<HashMap<Channel, Arc<Cell>>>>,
    hasher: RandomState,
    len: AtomicUsize,
    number: AtomicU32,
    /// The upper half of every epoch: another in each run of Doorway.
    run: u32,
}

impl Directory {
    pub fn new(run: u32) -> Directory {
        Directory {
            shards: (0..SHARDS).map(|_| Mutex::new(HashMap::new())).collect(),
            hasher: RandomState::new(),
            len: AtomicUsize::new(0),
            number: AtomicU32::new(0),
            run,
        }
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn shard(&self, name: &Channel) -> &Mutex<HashMap<Channel, Arc<Cell>>> {
        let hash = usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or_default();
        &self.shards[hash]
    }

    pub fn find(&self, name: &Channel) -> Option<Arc<Cell>> {
        self.shard(name).lock().get(name).map(Arc::clone)
    }

    /// Finds `name` or makes it; `None` when there are `most` already.
    pub fn find_or_make(
        &self,
        name: &Channel,
        most: usize,
        now: Instant,
        policy: impl FnOnce() -> Arc<Policy>,
    ) -> Option<Arc<Cell>> {
        let mut shard = self.shard(name).lock();
        if let Some(cell) = shard.get(name) {
            return Some(Arc::clone(cell));
        }
        if self.len() >= most {
            return None;
        }
        let number = loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if number != 0 {
                break number;
            }
        };
        let epoch = Epoch(u64::from(self.run) << 32 | u64::from(number));
        let cell = Arc::new(Cell::new(name.clone(), number, epoch, policy(), now));
        shard.insert(name.clone(), Arc::clone(&cell));
        self.len.fetch_add(1, Ordering::Relaxed);
        Some(cell)
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
    pub fn shard_cells(&self, shard: usize) -> Vec<Arc<Cell>> {
        self.shards[shard % SHARDS].lock().values().map(Arc::clone).collect()
    }

    pub fn shards(&self) -> usize {
        SHARDS
    }

    pub fn all(&self) -> Vec<Arc<Cell>> {
        (0..SHARDS).flat_map(|shard| self.shard_cells(shard)).collect()
    }

    /// Forgets `cell` if it has been empty for `long`.
    pub fn forget(&self, cell: &Arc<Cell>, long: Duration, now: Instant) {
        let mut shard = self.shard(&cell.name).lock();
        let mut state = cell.state.lock();
        let is_due = |state: &State| state.is_empty() && now.saturating_duration_since(state.quiet_since) >= long;
        if !state.is_gone && is_due(&state) {
            state.is_gone = true;
            shard.remove(&cell.name);
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
