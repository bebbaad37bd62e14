//! Channels by name, in shards, so that finding one rarely waits for another.

use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::sync::Mutex;

use super::channel::{ChannelEntry, ChannelShare, ChannelState};
use super::parts::{Part, Parts};
use super::policy::Policy;
use super::resting::Resting;
use crate::realtime::vocabulary::{Channel, Epoch};
use crate::shares::{Holder, Lack, Share, Shares};

const SHARDS: usize = 64;

/// Attempts at finding room for a channel: others may take what an empty one has left.
const MAX_TRIES: usize = 16;

/// Never holds a shard's lock and a channel's at once, but to remove a channel: shard first, then channel.
pub struct Directory {
    shards: Vec<Mutex<HashMap<Channel, Arc<ChannelEntry>>>>,
    hasher: RandomState,
    /// The limit of channels, and the shares of those who opened them.
    shares: Arc<Shares>,
    /// And whose they are, where several apps share the hub.
    parts: Parts,
    /// The last lock of all.
    resting: Resting,
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
            parts: Parts::default(),
            resting: Resting::default(),
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

    /// Finds `name`, or makes it for `holder` and for the app that `terms` say; `None` when there are too many that do
    /// not give way, or too many of this holder or app.
    pub fn find_or_make<'a>(
        &self,
        name: &Channel,
        holder: Holder,
        now: Instant,
        terms: impl Fn() -> (Arc<Policy>, Option<&'a Part>),
    ) -> Option<Arc<ChannelEntry>> {
        if let Some(entry) = self.find(name) {
            return Some(entry);
        }
        // Under no lock: another channel may have to go for it.
        let (policy, part) = terms();
        let share = self.channel_share(holder, part)?;
        let mut shard = self.shard(name).lock();
        if let Some(entry) = shard.get(name) {
            return Some(Arc::clone(entry));
        }
        let number = loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if number != 0 {
                break number;
            }
        };
        let epoch = Epoch(u64::from(self.run) << 32 | u64::from(number));
        let entry = Arc::new(ChannelEntry::new(name.clone(), number, epoch, policy, share, now));
        shard.insert(name.clone(), Arc::clone(&entry));
        Some(entry)
    }

    fn channel_share(&self, holder: Holder, part: Option<&Part>) -> Option<ChannelShare> {
        let part = match part {
            Some(part) => Some(self.parts.take(part, self.shares.free() + self.resting.len())?),
            None => None,
        };
        Some((self.share(holder)?, part))
    }

    /// A place for one more channel of `holder`: what is free, within its share; else that of an empty one that it has
    /// opened itself. Empty ones of others count as free, but only where all are taken does one go, and only for who
    /// has no more than it leaves: whoever has its share takes nobody's positions away.
    fn share(&self, holder: Holder) -> Option<Share> {
        for _ in 0..MAX_TRIES {
            if let Ok(share) = self.shares.ask(holder, 0) {
                return Some(share);
            }
            if let Some(share) = self.evict_resting(Some(holder)) {
                return Some(share);
            }
            match self.shares.ask(holder, self.resting.len()) {
                Ok(share) => return Some(share),
                Err(Lack::Share) => {
                    self.shares.say(holder);
                    return None;
                }
                Err(Lack::Full) => drop(self.evict_resting(None)?),
            }
        }
        None
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
        if state.is_empty() && now.saturating_duration_since(state.quiet_since) >= long {
            self.remove(&mut shard, entry, &mut state);
        }
    }

    /// Something has happened in `entry`; see [`Resting::settle`].
    pub fn settle(&self, entry: &Arc<ChannelEntry>, state: &mut ChannelState) {
        self.resting.settle(entry, state);
    }

    /// Forgets the channel that has been empty for longest, of those of `holder` where that is said; gives what it
    /// took. `None` where there is none.
    fn evict_resting(&self, holder: Option<Holder>) -> Option<Share> {
        for _ in 0..MAX_TRIES {
            let entry = self.resting.first(holder)?;
            let mut shard = self.shard(&entry.name).lock();
            let mut state = entry.state.lock();
            // Somebody may have come in between.
            if state.is_empty()
                && let Some(share) = self.remove(&mut shard, &entry, &mut state)
            {
                return Some(share);
            }
        }
        None
    }

    /// Nobody finds it any more. What it took, where it was not gone before.
    fn remove(
        &self,
        shard: &mut HashMap<Channel, Arc<ChannelEntry>>,
        entry: &ChannelEntry,
        state: &mut ChannelState,
    ) -> Option<Share> {
        self.resting.wake(state);
        if std::mem::replace(&mut state.is_gone, true) {
            return None;
        }
        shard.remove(&entry.name);
        state.part = None;
        state.share.take()
    }
}
