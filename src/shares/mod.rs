//! Who holds how much of what is bounded, so that no client alone can take it all.
//!
//! One rule: whoever holds some already gets one more only if he then holds no more than he leaves free. One client alone
//! comes to a half; the second to a third, and so on: whoever holds nothing finds something free as long as there are fewer
//! greedy ones than places. While few hold anything, a half is a lot; a bound of 1 is anyone's.

mod counts;
mod holder;
mod holder_queue;
mod line;
mod owners;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use parking_lot::{Mutex, MutexGuard};
use tracing::warn;

pub use counts::{Count, Counts};
pub use holder::Holder;
pub use holder_queue::HolderQueue;
use line::Line;
pub use owners::{Owners, most_of_one};

use crate::telemetry::LogThrottle;

/// Locks for holders: workers seldom meet at one.
const SHARDS: usize = 16;

/// How many holders are looked at when something becomes free; where more stand in line, they are looked at in turn.
const LOOKED_AT: usize = 32;

/// Something of which there is a bounded number. Full, or too much for one holder: [`try_take`](Shares::try_take) gives
/// none, and [`take`](Shares::take) waits.
#[derive(Debug)]
pub struct Shares {
    /// For the log: the key that bounds it, as in `tls.max_handshakes`.
    name: &'static str,
    most: AtomicUsize,
    taken: AtomicUsize,
    /// Only who holds something has an entry, so they cannot outgrow what is taken.
    held: [Mutex<HashMap<Holder, usize>>; SHARDS],
    /// How many stand in line; spares its lock while nobody does.
    waiting: AtomicUsize,
    /// Bounded by whoever calls [`take`](Shares::take): each waits once.
    line: Mutex<Line>,
    said: LogThrottle,
}

/// Why somebody gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// There is none left.
    Full,
    /// It has its share.
    Share,
}

/// One of them, until dropped.
#[derive(Debug)]
pub struct Share {
    shares: Arc<Shares>,
    holder: Holder,
}

/// True when somebody who holds `held` may have one more of those that are `free`.
pub fn may_take(held: usize, free: usize) -> bool {
    free > 0 && (held == 0 || held + 1 < free)
}

impl Shares {
    pub fn new(name: &'static str, most: usize) -> Arc<Shares> {
        Arc::new(Shares {
            name,
            most: AtomicUsize::new(most),
            taken: AtomicUsize::new(0),
            held: Default::default(),
            waiting: AtomicUsize::new(0),
            line: Mutex::default(),
            said: LogThrottle::default(),
        })
    }

    /// Changes how many there are; what is held may be kept.
    pub fn limit(self: &Arc<Self>, most: usize) {
        if self.most.swap(most, Ordering::SeqCst) < most {
            self.serve_line();
        }
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// How many nobody has.
    pub fn free(&self) -> usize {
        self.most.load(Ordering::SeqCst).saturating_sub(self.taken())
    }

    /// One for `holder`, if it may have one now.
    pub fn try_take(self: &Arc<Self>, holder: Holder) -> Option<Share> {
        let taken = self.ask(holder, 0);
        if let Err(Lack::Share) = taken {
            self.say(holder);
        }
        taken.ok()
    }

    /// As [`Shares::try_take`] where `idle` of those that are taken count as if they were free: they would be given up
    /// for others. Says nothing in the log.
    ///
    /// # Errors
    /// [`Lack`]: where all are taken, and the holder might have one in the place of an idle one, it is `Full`.
    pub fn ask(self: &Arc<Self>, holder: Holder, idle: usize) -> Result<Share, Lack> {
        let mut shard = self.shard(holder);
        let held = shard.get(&holder).copied().unwrap_or(0);
        let most = self.most.load(Ordering::SeqCst);
        let free = |taken: usize| most.saturating_sub(taken);
        let may = |free: usize| match holder {
            Holder::House => true,
            Holder::Trusted => free > 0,
            Holder::V4(_) | Holder::V6(_) => may_take(held, free),
        };
        let is_left = |taken: usize| free(taken) > 0 || holder == Holder::House;
        let one_more = |taken: usize| (is_left(taken) && may(free(taken) + idle)).then_some(taken + 1);
        match self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more) {
            Ok(_) => {
                shard.insert(holder, held + 1);
                Ok(Share { shares: Arc::clone(self), holder })
            }
            Err(taken) if is_left(taken) || (idle > 0 && !may(free(taken) + idle)) => Err(Lack::Share),
            Err(_) => Err(Lack::Full),
        }
    }

    /// One for `holder` as soon as it may have one. Holders take turns, and within one who came first goes first.
    /// Cancel-safe; bound it in time.
    pub async fn take(self: &Arc<Self>, holder: Holder) -> Share {
        if let Some(share) = self.try_take(holder) {
            return share;
        }
        let mut place = line::stand(self, holder);
        fence(Ordering::SeqCst);
        // Something may have become free before this stood in line: one of the two sees the other.
        if let Ok(share) = self.ask(holder, 0) {
            return share;
        }
        place.turn().await
    }

    /// Gives what is free to those in line who may have it.
    fn serve_line(self: &Arc<Self>) {
        // Dropped after the lock: what nobody took serves the line again.
        let mut unused = Vec::new();
        let mut line = self.line.lock();
        let mut in_vain = 0;
        while in_vain < LOOKED_AT.min(line.holders()) {
            let Some(holder) = line.next_holder() else { break };
            let mut offered = self.ask(holder, 0).ok();
            in_vain = if offered.is_some() { 0 } else { in_vain + 1 };
            while let Some(share) = offered.take() {
                match line.next_of(holder) {
                    Some(waiting) => offered = waiting.send(share).err(),
                    None => unused.push(share),
                }
            }
        }
        self.waiting.store(line.len(), Ordering::SeqCst);
        drop(line);
    }

    fn shard(&self, holder: Holder) -> MutexGuard<'_, HashMap<Holder, usize>> {
        self.held[holder.shard(SHARDS)].lock()
    }

    /// Says in the log, now and then, that a holder was refused one more than its share.
    pub fn say(&self, holder: Holder) {
        if self.said.may() {
            let help = "a load balancer belongs into listen.trusted_proxies";
            warn!(client = %holder, bound = self.name, help, "a client has its share");
        }
    }
}

impl Share {
    pub fn holder(&self) -> Holder {
        self.holder
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shard = self.shares.shard(self.holder);
        if let Some(held) = shard.get_mut(&self.holder) {
            *held -= 1;
            if *held == 0 {
                shard.remove(&self.holder);
            }
        }
        self.shares.taken.fetch_sub(1, Ordering::SeqCst);
        drop(shard);
        fence(Ordering::SeqCst);
        if self.shares.waiting.load(Ordering::SeqCst) > 0 {
            self.shares.serve_line();
        }
    }
}

#[cfg(test)]
mod tests;
